"""Reads of pathways, their versions and nodes.

At Bland "not pinned" is the live pathway, version 0 (get/pathway_version: "Use 0 for the live
pathway"), so a pathway is told with a version 0 besides those that have a number. The number that
settings take is `version_number`, not the `id` by which a version is read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cordboard.binding import PathwayInfo, PathwayVersion
from cordboard.display import quoted
from cordboard.http_client import HttpClient, segment
from cordboard.platforms import Page
from cordboard.platforms.bland.rows import identity, listed, name, record, text, twin_mark
from cordboard.platforms.bland.words import found, payload, unexpected
from cordboard.together import together

_ID = re.compile(r"[A-Za-z0-9._-]{1,100}")
"""What the tools take for a pathway or a node; others are left out of lists."""


@dataclass(frozen=True, slots=True)
class _Version:
    id: str
    number: int


async def page_of_pathways(
    http: HttpClient, twins: frozenset[str], query: str, after: str, limit: int
) -> Page[PathwayInfo]:
    """Pathways by id, without versions (one read each). Bland gives them all at once; `after` is an id.

    `twins`: pathways that belong to V2 agents and are nobody's to choose.
    """
    content = payload(await http.get("/v1/pathway"), "the list of pathways", bare=True)
    # The page get/all_pathway shows one object where there can only be a list.
    rows = [content] if isinstance(content, Mapping) else listed(content, "the list of pathways")
    infos = {info.pathway_id: info for info in map(_info, rows)}
    wanted = sorted(
        own_id
        for own_id, info in infos.items()
        if own_id > after
        and _ID.fullmatch(own_id)
        and own_id not in twins
        and not twin_mark([info.name])
        and query.casefold() in f"{own_id}\n{info.name}".casefold()
    )
    items = tuple(infos[own_id] for own_id in wanted[:limit])
    return Page(items, wanted[limit - 1] if len(wanted) > limit else "")


def _info(value: Any) -> PathwayInfo:
    row = record(value, "a pathway")
    own_id = text(row, "pathway_id" if "pathway_id" in row else "id", "a pathway")
    return PathwayInfo("bland", own_id, name(row, f"pathway {quoted(own_id, 60)}"))


async def read_pathway(
    http: HttpClient, pathway_id: str, wanted: frozenset[int] | None = None
) -> PathwayInfo | None:
    """One pathway with all its versions, or None where Bland has none of that id.

    `wanted`: the versions of which the nodes are read, one read each; None: of all.
    """
    if pathway_id in (".", ".."):
        return None
    what = f"pathway {quoted(pathway_id, 60)}"
    path = f"/v1/pathway/{segment(pathway_id)}"
    content = found(await http.get(path), what, bare=True)
    if content is None:
        return None
    live = record(content, what)
    of_versions = f"the versions of {what}"
    rows = listed(payload(await http.get(f"{path}/versions"), of_versions, bare=True), of_versions)
    every = sorted((_version(row, what) for row in rows), key=lambda one: one.number)
    versions = [
        one for one in every if one.number
    ]  # 0 would be the live one, which is here already

    async def nodes_of(version: _Version) -> PathwayVersion:
        if wanted is not None and version.number not in wanted:
            return PathwayVersion(version.number, ())
        which = f"version {version.number} of {what}"
        reply = await http.get(f"{path}/version/{segment(version.id)}")
        row = record(payload(reply, which, bare=True), which)
        if row.get("version_number", version.number) != version.number:
            raise unexpected(f"another version than {which}, which was asked for")
        return PathwayVersion(version.number, _nodes(row, which))

    numbered = await together(nodes_of, versions, "versions read")
    first = PathwayVersion(0, _nodes(live, what))
    return PathwayInfo("bland", pathway_id, name(live, what), (first, *numbered))


def _version(value: Any, what: str) -> _Version:
    row = record(value, f"a version of {what}")
    number = row.get("version_number")
    if isinstance(number, bool) or not isinstance(number, int) or number < 0:
        raise unexpected(f'a version of {what} has no "version_number"')
    return _Version(identity(row, f"version {number} of {what}"), number)


def _nodes(row: Mapping[str, Any], what: str) -> tuple[str, ...]:
    rows = listed(row.get("nodes"), f"the nodes of {what}")
    return tuple(text(record(one, f"a node of {what}"), "id", f"a node of {what}") for one in rows)

"""Bland's pathways, which its clients read to choose one: the local platform's.

Source: docs.bland.ai, get/all_pathway, get/pathway, get/pathway_versions, get/pathway_version.
"Use 0 for the live pathway": here the newest version. Cordboard keeps the ids of nodes and nothing
else of them, so there are no prompts and no edges.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from starlette.requests import Request

from cordboard.binding import PathwayInfo
from cordboard.service import records
from cordboard.stores import Transaction
from cordboard.web.compat.vendor import Desk, Refusal

_VERSION = re.compile(r"v?([0-9]{1,10})", re.ASCII)
_MOST = 10_000


async def every(desk: Desk, request: Request) -> Any:
    """The list of pathways, bare."""
    del request
    found = await desk.read(lambda tx: records.pathways(tx, desk.account, _MOST))
    return [{"id": own, "name": name, "description": None} for own, name in found]


async def one(desk: Desk, request: Request) -> Any:
    """The live pathway, bare."""
    info = await _found(desk, request)
    nodes = info.versions[-1].nodes if info.versions else ()
    return _flow(info, nodes)


async def versions(desk: Desk, request: Request) -> Any:
    """All versions of one, newest first, bare."""
    info = await _found(desk, request)
    newest = info.versions[-1].version if info.versions else 0
    return [
        {
            "id": f"v{one.version}",
            "version_number": one.version,
            "name": info.name,
            "is_latest": one.version == newest,
        }
        for one in reversed(info.versions)
    ]


async def version(desk: Desk, request: Request) -> Any:
    """One version of one, by its `id` or number; 0 is the live one."""
    info = await _found(desk, request)
    named = _VERSION.fullmatch(request.path_params["version_id"])
    number = int(named[1]) if named else -1
    number = info.versions[-1].version if number == 0 and info.versions else number
    for kept in info.versions:
        if kept.version == number:
            return _flow(info, kept.nodes) | {"version_number": number}
    raise Refusal(404, "VERSION_NOT_FOUND", "Pathway version not found")


async def _found(desk: Desk, request: Request) -> PathwayInfo:
    own_id = request.path_params["pathway_id"]

    def work(tx: Transaction) -> PathwayInfo | None:
        return records.find_pathway(tx, desk.account, own_id)

    info = await desk.read(work)
    if info is None:
        raise Refusal(404, "PATHWAY_NOT_FOUND", "Pathway not found")
    return info


def _flow(info: PathwayInfo, nodes: Sequence[str]) -> dict[str, Any]:
    rows = [{"id": node, "type": "Default", "data": {"name": node}} for node in nodes]
    return {"name": info.name, "description": None, "nodes": rows, "edges": []}

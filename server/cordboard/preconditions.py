"""What must hold for a plan, checked when it is made and again before anything is written. Pure.

`moved` is where a plan is found stale: it compares what was observed then with what is now.
"""

from __future__ import annotations

from collections.abc import Sequence

from cordboard.binding import OwnedNumber, Pathway, PathwayInfo, Side
from cordboard.display import quoted
from cordboard.plan import Change, Image, Plan
from cordboard.request import Observed, Restore

_PARTS = ("provider", "purpose", "tags")
_MOST_TOLD = 200
"""As many as 100 numbers, the most of a tool's call, can have moved in, and more."""


def moved(plan: Plan, seen: Observed) -> list[str]:
    """Everything that changed under an open plan, in sentences; empty when it still holds."""
    lines: list[str] = []
    # What an undo brings back is what one plan did: how a number is called has no part in it.
    parts = _PARTS if plan.action == "undo" else (*_PARTS, "label")
    for change in plan.draft.changes:
        lines += stale(change, seen.numbers.get(change.number), parts)
        lines += cannot_hold(change.number, change.before, change.after, seen)
    if not lines and not plan.draft.mixes:
        lines += [
            f"{agent}: mixing of TEST and PRODUCTION numbers was no, would now be yes"
            for agent in mixing(plan.draft.changes, seen)
        ]
    return lines


def in_short(lines: list[str]) -> str:
    """These sentences as one text; of very many the first, and how many more there are."""
    more = len(lines) - _MOST_TOLD
    return "; ".join([*lines[:_MOST_TOLD], f"… and {more} more"] if more > 0 else lines)


def stale(change: Change, now: OwnedNumber | None, parts: Sequence[str]) -> list[str]:
    """What moved since the plan was made: sentences that name field, old and new value. `parts`: of
    the number's image, beside its holders and version."""
    if now is None:
        return [f"{change.number}: it no longer belongs to this account"]
    seen, fresh = change.image, Image.of(now, change.direction)
    number = f"{change.number} ({change.direction})"
    found: list[str] = []
    if seen.holders != fresh.holders:
        old, new = _listed(seen.holders, "nobody"), _listed(fresh.holders, "nobody")
        found.append(f"{number}: agent was {old}, is now {new}")
    else:
        found += _pathway_moved(number, change.before, now)
    for name in parts:
        old, new = getattr(seen, name), getattr(fresh, name)
        if old != new:
            said = map(quoted, (old, new)) if name == "label" else map(_listed, (old, new))
            found.append(f"{number}: {name} was {', is now '.join(said)}")
    return found or _came_back(number, seen.version, fresh.version)


def changed_since(item: Restore, now: OwnedNumber | None) -> list[str]:
    """What moved since an applied plan left a number, in the same sentences."""
    if now is None:
        return [f"{item.number}: it no longer belongs to this account"]
    left, fresh = item.left, Image.of(now, item.left.direction)
    number = f"{item.number} ({left.direction})"
    left_alone = left.agent in fresh.holders if left.agent else not fresh.holders
    if not left_alone and (left.agent or left.direction == "inbound"):
        new = _listed(fresh.holders, "nobody")
        return [f"{number}: agent was {left.agent or 'nobody'}, is now {new}"]
    found = _pathway_moved(number, left, now)
    return found or _came_back(number, item.version, fresh.version)


def _pathway_moved(number: str, side: Side, now: OwnedNumber) -> list[str]:
    """The fields in which the pathway of a binding is no longer as it was."""
    held = {b.agent: b.pathway for b in now.bound(side.direction)}
    fresh = held.get(side.agent, side.pathway)
    return [
        f"{number}: {name} was {getattr(side.pathway, name) or 'none'}, "
        f"is now {getattr(fresh, name) or 'none'}"
        for name in ("pathway_id", "pathway_version", "start_node_id")
        if getattr(side.pathway, name) != getattr(fresh, name)
    ]


def _came_back(number: str, old: int, new: int) -> list[str]:
    """A number that looks the same and was changed in between; its version tells."""
    if old == new:
        return []
    return [f"{number}: version was {old}, is now {new} (it was changed in between)"]


def _listed(value: str | tuple[str, ...], empty: str = "none") -> str:
    return (value if isinstance(value, str) else ", ".join(value)) or empty


def cannot_hold(number: str, before: Side, side: Side, seen: Observed) -> list[str]:
    """Why a side of a change cannot be brought about: no such agent, direction or pathway now.

    A pathway that is carried along as it was is no new claim, and not looked for.
    """
    if not side.agent:
        return []
    agent = seen.agents.get(side.agent)
    if agent is None:
        return [f"{number}: agent {side.agent} no longer exists"]
    if agent.direction != side.direction:
        return [
            f"{number}: direction of {side.agent} was {side.direction}, is now {agent.direction}"
        ]
    if side.pathway == before.pathway:
        return []
    found, why = find_pathway(side.pathway, seen)
    return [] if found or not seen.pathways_recorded else [f"{number}: {why}"]


def mixing(changes: tuple[Change, ...], seen: Observed) -> list[str]:
    """Agents that would serve TEST and PRODUCTION numbers at once (UnleashX, "Number Purpose")."""
    gains: dict[str, set[str]] = {}
    for change in changes:
        if change.after.agent and change.after.agent != change.before.agent:
            kind = "TEST" if change.image.purpose == "TEST" else "PRODUCTION"
            gains.setdefault(change.after.agent, set()).add(kind)
    return [
        a for a, kinds in sorted(gains.items()) if len(kinds | seen.serves.get(a, frozenset())) > 1
    ]


def find_pathway(wanted: Pathway, seen: Observed) -> tuple[bool, str]:
    """Whether the platform has this pathway, version and node; if not, which is missing."""
    if not wanted.pathway_id:
        return True, ""
    info = seen.pathways.get(wanted.pathway_id)
    if info is None:
        return False, f'pathway "{wanted.pathway_id}" does not exist'
    return _find_version(wanted, info)


def _find_version(wanted: Pathway, info: PathwayInfo) -> tuple[bool, str]:
    name = f'pathway "{wanted.pathway_id}"'
    versions = {v.version: v for v in info.versions}
    pinned = wanted.pathway_version
    if pinned and pinned not in versions:
        known = ", ".join(str(v) for v in sorted(versions) if v) or "none"
        return False, f"{name} has no version {pinned} (it has {known})"
    if not wanted.start_node_id:
        return True, ""
    newest = max(versions.values(), key=lambda v: v.version, default=None)
    version = versions.get(pinned, newest)  # some platforms tell what is live, as version 0
    if version is None or wanted.start_node_id not in version.nodes:
        which = f"version {pinned}" if pinned else "the newest version"
        return False, f'{name} has no node "{wanted.start_node_id}" in {which}'
    return True, ""

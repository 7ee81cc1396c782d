"""What must hold for a plan, checked when it is made and again before anything is written. Pure.

`moved` is where a plan is found stale: it compares what was observed then with what is now.
"""

from __future__ import annotations

from cordboard.binding import OwnedNumber, Pathway, PathwayInfo
from cordboard.plan import Change, Image, Observed, Plan, Side


def moved(plan: Plan, seen: Observed) -> list[str]:
    """Everything that changed under an open plan, in sentences; empty when it still holds."""
    lines: list[str] = []
    for change in plan.draft.changes:
        lines += stale(change, seen.numbers.get(change.number))
        if change.after.agent and change.after.agent not in seen.agents:
            lines.append(f"{change.number}: agent {change.after.agent} no longer exists")
        found, why = find_pathway(change.after.pathway, seen)
        if not found and seen.pathways_recorded and change.after.pathway != change.before.pathway:
            lines.append(f"{change.number}: {why}")
    if not lines and not plan.draft.mixes:
        lines += mixing(plan.draft.changes, seen)
    return lines


def stale(change: Change, now: OwnedNumber | None) -> list[str]:
    """What moved since the plan was made: sentences that name field, old and new value."""
    if now is None:
        return [f"{change.number}: it no longer belongs to this account"]
    seen, fresh = change.image, Image.of(now, change.direction)
    held = {b.agent: Side.held(b) for b in now.bound(change.direction)}
    side = held.get(change.before.agent)
    found: list[str] = []
    if seen.holders != fresh.holders:
        found.append(
            _moved(
                change, "agent", _listed(seen.holders, "nobody"), _listed(fresh.holders, "nobody")
            )
        )
    elif side is not None and side.pathway != change.before.pathway:
        for name in ("pathway_id", "pathway_version", "start_node_id"):
            old, new = getattr(change.before.pathway, name), getattr(side.pathway, name)
            if old != new:
                found.append(_moved(change, name, old or "none", new or "none"))
    for name in ("provider", "purpose", "tags"):
        old, new = getattr(seen, name), getattr(fresh, name)
        if old != new:
            found.append(_moved(change, name, _listed(old), _listed(new)))
    if not found and seen.version != fresh.version:
        found.append(
            _moved(change, "version", seen.version, fresh.version, " (it changed and came back)")
        )
    return found


def _moved(change: Change, name: str, old: object, new: object, more: str = "") -> str:
    return f"{change.number} ({change.direction}): {name} was {old}, is now {new}{more}"


def _listed(value: str | tuple[str, ...], empty: str = "none") -> str:
    return (value if isinstance(value, str) else ", ".join(value)) or empty


def mixing(changes: tuple[Change, ...], seen: Observed) -> list[str]:
    """Agents that would serve TEST and PRODUCTION numbers at once (UnleashX, "Number Purpose")."""
    gains: dict[str, set[str]] = {}
    for change in changes:
        if change.after.agent and change.after.agent != change.before.agent:
            kind = "TEST" if change.image.purpose == "TEST" else "PRODUCTION"
            gains.setdefault(change.after.agent, set()).add(kind)
    mixed = [
        a for a, kinds in sorted(gains.items()) if len(kinds | seen.serves.get(a, frozenset())) > 1
    ]
    return [f"{agent} would serve TEST and PRODUCTION numbers at once." for agent in mixed]


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
        known = ", ".join(str(v) for v in sorted(versions)) or "none"
        return False, f"{name} has no version {pinned} (it has {known})"
    if not wanted.start_node_id:
        return True, ""
    version = (
        versions[pinned]
        if pinned
        else max(versions.values(), key=lambda v: v.version, default=None)
    )
    if version is None or wanted.start_node_id not in version.nodes:
        which = f"version {pinned}" if pinned else "the newest version"
        return False, f'{name} has no node "{wanted.start_node_id}" in {which}'
    return True, ""

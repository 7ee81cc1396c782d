"""Undo: from what an applied plan left to the exact changes back. Pure, like binding_rules.py."""

from __future__ import annotations

from cordboard.binding import OwnedNumber
from cordboard.binding_rules import change_of, held_by, mixing_warnings
from cordboard.plan import Change, Draft, Image
from cordboard.preconditions import cannot_hold, changed_since
from cordboard.request import Asked, Observed, Restore


def restore(asked: Asked, seen: Observed) -> tuple[Draft, list[str]]:
    """The draft of an undo, and why it cannot be done (empty when it can)."""
    changes: list[Change] = []
    unchanged: list[Change] = []
    against = [held_by(*pair).why for pair in sorted(seen.held.items())]
    why_not: list[str] = []
    for item in asked.restore:
        owned = seen.numbers.get(item.number)
        moved = changed_since(item, owned) + cannot_hold(item.number, item.left, item.back, seen)
        if owned is not None and moved and _is_back(item, owned):
            why_not += moved
            unchanged.append(change_of(owned, item.back, item.back, "already as it was"))
            continue
        against += moved
        if owned is not None:
            image = Image.of(owned, item.left.direction)
            changes.append(Change(item.number, item.left, item.back, image))
    against += [] if changes else why_not
    mixed = mixing_warnings(tuple(changes), seen)
    warnings = (*mixed, *seen.unchecked)
    draft = Draft(tuple(changes), tuple(unchanged), warnings, seen.unchecked, bool(mixed))
    return draft, against


def _is_back(item: Restore, owned: OwnedNumber) -> bool:
    """Whether an undo that came halfway did this one. A platform that counts changes tells more:
    there, what looks the same was changed by somebody."""
    holders = {b.agent: b.pathway for b in owned.bound(item.back.direction)}
    wanted = {item.back.agent: item.back.pathway} if item.back.agent else {}
    gone = (
        not item.left.agent or item.left.agent == item.back.agent or item.left.agent not in holders
    )
    there = all(holders.get(agent) == pathway for agent, pathway in wanted.items())
    return not item.version and gone and there

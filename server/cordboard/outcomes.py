"""What became of each number of a stored plan, and of how many. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from cordboard.plan import Change, Outcome
from cordboard.stores.plans import PlanRecord

_BY_STATE: dict[str, Outcome] = {
    "open": "planned",
    "approved": "planned",
    "applying": "planned",
    "applied": "applied",
}
_BY_STEP: dict[str, Outcome] = {
    "ready": "planned",
    "sending": "planned",
    "unknown": "unknown",
    "applied": "applied",
    "not_applied": "not_applied",
}
_FIRST: tuple[Outcome, ...] = ("unknown", "not_applied", "planned", "applied")
"""The order in which they are told: what went wrong before what went well."""


def of_changes(record: PlanRecord, now: str) -> list[tuple[Change, Outcome, str]]:
    """Each change with its outcome and what is to be said of it, problems first."""
    return sorted(_each(record, now), key=lambda told: _FIRST.index(told[1]))


def _each(record: PlanRecord, now: str) -> Iterator[tuple[Change, Outcome, str]]:
    changes = record.plan.draft.changes
    if record.steps:
        for change, step in zip(changes, record.steps, strict=True):
            yield change, _BY_STEP[step.state], step.detail or change.detail
        return
    settled = "not_applied" if record.expired(now) else _BY_STATE.get(record.state, "not_applied")
    for change in changes:
        yield change, settled, change.detail


def counted(record: PlanRecord, now: str) -> Counter[str]:
    """How many numbers ended in each outcome; those left alone are `unchanged`."""
    found = Counter[str](outcome for _, outcome, _ in _each(record, now))
    if record.plan.draft.unchanged:
        found["unchanged"] = len(record.plan.draft.unchanged)
    return found


def settled_from(record: PlanRecord) -> str:
    """From when an unknown number is read and settled; "" where reading cannot tell it."""
    held = (s.settle_at for s in record.steps if s.state == "unknown" and s.settle_at)
    return min(held, default="")

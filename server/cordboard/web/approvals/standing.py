"""How a plan stands, in sentences for a person: what became of it, by whom, and the way back."""

from __future__ import annotations

from cordboard import outcomes
from cordboard.display import shown
from cordboard.stores.plans import PlanRecord
from cordboard.web.approvals.moments import moment

_DONE = ("applied", "partly_applied", "applying", "unknown")


def said(record: PlanRecord, now: str) -> list[str]:
    """What is to be known of it, the most important first."""
    plan = record.plan
    if record.expired(now) or record.state == "expired":
        what = f"It expired on {moment(plan.expires_at)}, before anybody approved it."
        return [what, "Nothing was changed. If it is still wanted, it must be asked for again."]
    if record.state == "open":
        return ["Nothing has changed yet: it is done once an approver approves it."]
    if record.state == "approved":
        key = f"whoever approved it has no key for {plan.platform}"
        waits = f"Nothing has changed yet: {key}, and a server that has one applies it."
        return [_approved(record), waits]
    if record.state in _DONE:
        return [_outcome(record, now), _approved(record), *_still_to_do(record)]
    return _not_done(record)


def _approved(record: PlanRecord) -> str:
    by = shown(record.closed_by)
    if record.by_token:
        return f"Passed by the standing right of {by}'s token {shown(record.by_token)}: nobody was asked."
    if record.used == "person":
        return f"Approved by {by}, with their passphrase."
    if record.used == "client":
        return f"Approved by {by}, in their own client."
    return f"Applied by {by}; at guard level plan nobody is asked."


def _outcome(record: PlanRecord, now: str) -> str:
    counts, total = outcomes.counted(record, now), len(record.plan.draft.changes)
    done = f"{counts['applied']:,} of {_numbers(total)}"
    if record.state == "applied":
        return f"Done: {_numbers(total)}, {_how_known(record)}."
    if record.state == "applying":
        return f"Under way: {done} done."
    if record.state == "partly_applied":
        return f"Done in part: {done} done, {counts['not_applied']:,} not done."
    open_ = counts["unknown"]
    return f"Of {_numbers(open_)} it is not known how {'it stands' if open_ == 1 else 'they stand'}; {done} done."


def _how_known(record: PlanRecord) -> str:
    if any(step.ended in ("echo", "word") for step in record.steps):
        return "not all of them read back: see each"
    return "read back" if len(record.plan.draft.changes) == 1 else "all read back"


def _still_to_do(record: PlanRecord) -> list[str]:
    if record.state == "partly_applied":
        return ["To finish it, have the same change asked for again: what is done stays as it is."]
    if record.state != "unknown":
        return []
    held_until = outcomes.settled_from(record)
    if held_until and not record.plan.draft.one_way:
        until = f"held until {moment(held_until)}, then read, and settled or gone on with."
        return [f"An answer was lost: what is not known is {until}"]
    settle = f"`cordboard plans settle {record.plan_id}` records what a person finds there."
    return [f"{record.plan.platform} cannot be read: {settle}"]


def _not_done(record: PlanRecord) -> list[str]:
    by = shown(record.closed_by)
    if record.state == "failed":
        return ["It was begun, and none of it is in effect: see each number.", _approved(record)]
    if record.state == "declined":
        return [f"Declined by {by}. Nothing was changed."]
    if record.state == "discarded":
        return [f"Discarded by {by}. Nothing was changed."]
    return [
        "The routing moved after this plan was made, so it is not applied. Nothing was changed.",
        "If it is still wanted, it must be asked for again.",
    ]


def moved(record: PlanRecord) -> list[str]:
    """What moved under a plan that was closed for it."""
    if record.state != "stale":
        return []
    return [shown(line, 400) for line in record.closed_why.split("; ") if line]


def way_back(record: PlanRecord) -> str:
    """How what it did can be undone, in words; "" where there is nothing to undo, or it was."""
    if record.state not in ("applied", "partly_applied") or record.undone_by:
        return ""
    if record.steps and not any(step.state == "applied" for step in record.steps):
        return ""
    if record.plan.draft.one_way:
        return f"{record.plan.platform} has no way back: it cannot be undone from here."
    return (
        f"Ask the assistant to undo plan {record.plan_id}. That makes a new plan, which is decided "
        "here like this one, and brings back agents and pathways as they were."
    )


def _numbers(count: int) -> str:
    return "1 number" if count == 1 else f"{count:,} numbers"

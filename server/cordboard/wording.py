"""What the answer for a plan says in words: what happened, or will, and the next step."""

from __future__ import annotations

from cordboard import facts, outcomes
from cordboard.answers import Status
from cordboard.display import shown
from cordboard.facts import IN_RESOURCE, SHOWN_CHANGES
from cordboard.plan import Plan
from cordboard.stores.plans import PlanRecord

_TOLD = 3
_UNDER_WAY = "get_plan with plan_id {plan_id} tells how it went; do not ask for it again."


def message(record: PlanRecord, status: Status, now: str, how: str, in_chat: bool = False) -> str:
    """What happened, or will, and the next step. `how`: what a person does to approve the plan;
    `in_chat`: besides that they have our App's buttons before them."""
    plan = record.plan
    what = facts.headline(plan)
    more = _more(plan)
    until = plan.expires_at
    if status == "confirmation_required":
        return (
            f"Nothing has changed yet. The plan is to {what}.{more} Show it to the user; if they "
            f"agree, call apply_plan with plan_id {plan.plan_id} before {until}."
        )
    if status == "awaiting_approval":
        return (
            f"Nothing has changed yet. The plan is to {what}.{more} A person must approve it "
            f"({plan.why}). {_through_client(plan, in_chat)} {how} before {until}; it applies the plan at once. Do not poll; get_plan tells what became of it."
        )
    if status == "approved":
        return (
            f"Approved, not applied yet: whoever approved it has no key for {plan.platform}. A server "
            f"that has one applies it; there, apply_plan with plan_id {plan.plan_id} does at once, to {what}."
        )
    if status == "applied":
        return f"{_done(record)}: {what}.{more} {_passed(record)} {_reversed(record)}"
    if status in ("applying", "partly_applied", "unknown"):
        return f"{_halfway(record, status, what, now)}{more}"
    if status == "not_confirmed":
        again = "Do not ask again unless the user does." if record.state == "declined" else ""
        return f"Nothing was changed: not confirmed to {what}. {again}".rstrip()
    if status == "discarded":
        return f"Plan {plan.plan_id} to {what} is discarded. Nothing was changed."
    clean = record.state != "failed" or not _touched(record)
    said = "Nothing was changed" if clean else "Not done"
    return f"{said}: plan {plan.plan_id} to {what} {_why_rejected(record, now)}"


def _through_client(plan: Plan, in_chat: bool) -> str:
    if plan.level != "client":
        return "Tell the user to"
    if in_chat:
        return (
            "The user sees the plan in the chat, with an Apply and a Discard button: it is theirs to "
            "press. Where they see none, tell them to"
        )
    return "apply_plan asks them in a client that can show forms. Tell the user to"


def _passed(record: PlanRecord) -> str:
    if record.by_token:
        return f"Passed by the right of {record.closed_by}'s token {shown(record.by_token)}: nobody was asked."
    if record.used == "plan":
        return "Guard level plan: nobody was asked."
    through = " through the client" if record.used == "client" else ""
    return f"Approved by {record.closed_by}{through}."


def _done(record: PlanRecord) -> str:
    if found := next((step.detail for step in record.steps if step.ended == "word"), ""):
        return f"Done, {found}"
    if any(step.ended == "echo" for step in record.steps):
        return "Done, by the platform's own word; it cannot be read back there"
    return "Done and read back"


def _reversed(record: PlanRecord) -> str:
    if record.undone_by:
        return f"It was undone since, by plan {record.undone_by}."
    if record.steps and not any(step.state == "applied" for step in record.steps):
        return ""
    if record.plan.draft.one_way:
        return "It cannot be reversed from here."
    return f"undo_plan with plan_id {record.plan_id} reverses it."


def _halfway(record: PlanRecord, status: Status, what: str, now: str) -> str:
    """What is said of a plan that is, or ended, between nothing and all."""
    counts = outcomes.counted(record, now)
    of_all = f"of {len(record.plan.draft.changes):,} numbers"
    if status == "applying":
        done = f"{counts['applied']:,} {of_all} are done"
        return f"Under way, to {what}: {done}. {_UNDER_WAY.format(plan_id=record.plan_id)}"
    problems = _problems(record, now)
    if status == "partly_applied":
        return (
            f"Done in part, to {what}: applied {counts['applied']:,} {of_all}, not applied "
            f"{counts['not_applied']:,}. {problems} {_to_finish(record)}{_reversed(record)}"
        )
    one = counts["unknown"] == 1
    said = f"Not known yet, to {what}: for {counts['unknown']:,} {of_all} it is not known how {'it stands' if one else 'they stand'}. {problems} "
    settled_from = outcomes.settled_from(record)
    if not settled_from:
        return f"{said}It could not be read: `cordboard plans settle {record.plan_id}` records what a person finds."
    held = f"{said}{'It is' if one else 'They are'} held until {settled_from}, "
    if record.plan.draft.one_way:
        return (
            f"{held}when no request of ours can take effect any more. {record.plan.platform} cannot be "
            f"read: a person must look there, and `cordboard plans settle {record.plan_id}` then "
            "records what they found."
        )
    return (
        f"{held}then read, and settled or gone on with. {_UNDER_WAY.format(plan_id=record.plan_id)}"
    )


def _touched(record: PlanRecord) -> bool:
    """Whether anything of a plan that failed was in effect for a while, or may have been."""
    return any(s.back or s.bare_from or s.ended in ("conflict", "undone") for s in record.steps)


def _to_finish(record: PlanRecord) -> str:
    """The follow-up: what was not begun can be asked for again; what is halfway says itself how."""
    rest = [s for s in record.steps if s.state == "not_applied" and not s.done]
    if any(step.ended != "conflict" for step in rest):
        return "To finish it ask for the same again (what is done stays as it is). "
    return ""


def _problems(record: PlanRecord, now: str) -> str:
    """The first numbers that are not as planned, each with why."""
    wrong = [
        told for told in outcomes.of_changes(record, now) if told[1] in ("unknown", "not_applied")
    ]
    said = [f"{c.number}: {shown(detail, 400).rstrip('.')}." for c, _, detail in wrong[:_TOLD]]
    if len(wrong) > _TOLD:
        said.append(f"{len(wrong) - _TOLD:,} more stand in changes.")
    return " ".join(said)


def _why_rejected(record: PlanRecord, now: str) -> str:
    if record.state == "failed":
        said = "This plan is closed: ask for the change again for a new one."
        return f"was not carried out. {_problems(record, now)} {said}"
    if record.expired(now) or record.state == "expired":
        return f"expired at {record.plan.expires_at}. Ask again for a new plan."
    if record.state == "declined":
        return f"was declined by {record.closed_by}. Do not repeat it unless the user asks."
    if record.state == "discarded":
        return "was discarded. Ask again for a new plan if it is still wanted."
    return f"is stale, the routing moved meanwhile: {record.closed_why}. Ask again for a new plan."


def _more(plan: Plan) -> str:
    draft = plan.draft
    said = f" {len(draft.unchanged):,} more are so already." if draft.unchanged else ""
    total = len(draft.changes) + len(draft.unchanged)
    if total > IN_RESOURCE:
        said += f" {SHOWN_CHANGES} are shown; `cordboard plans show {plan.plan_id}` lists all."
    elif total > SHOWN_CHANGES:
        said += f" {SHOWN_CHANGES} are shown; the plan's resource lists all."
    if draft.warnings:
        said += f" Warnings: {' '.join(draft.warnings[:_TOLD])}"
        if len(draft.warnings) > _TOLD:
            said += f" {len(draft.warnings) - _TOLD:,} more in warnings."
    return said

"""From a stored plan to the answer a caller reads: status, outcome of each number, next step."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from cordboard import facts, outcomes
from cordboard.answers import (
    ApproveShape,
    ChangeResult,
    ChangeShape,
    CountsShape,
    GuardShape,
    SideShape,
    Status,
)
from cordboard.binding import Side
from cordboard.display import shown
from cordboard.plan import Change, Draft, Plan
from cordboard.stores.plans import WAITING, PlanRecord, State

SHOWN_CHANGES = 25
_ALL = 1 << 62
_TOLD = 3
_STATUS: dict[State, Status] = {
    "approved": "approved",
    "applying": "applying",
    "applied": "applied",
    "partly_applied": "partly_applied",
    "unknown": "unknown",
    "failed": "plan_rejected",
    "declined": "plan_rejected",
    "stale": "plan_rejected",
    "expired": "plan_rejected",
    "discarded": "discarded",
}
_SENT = ("conflict", "it was not done")
"""How the details of steps begin that were sent, and may have been in effect for a while."""
_UNDER_WAY = "get_plan with plan_id {plan_id} tells how it went; do not ask for it again."


def status_of(record: PlanRecord, now: str) -> Status:
    """The status of a stored plan at this moment."""
    if record.expired(now):
        return "plan_rejected"
    if record.state == "open":
        return "confirmation_required" if record.plan.level == "plan" else "awaiting_approval"
    return _STATUS[record.state]


def side_shape(side: Side) -> SideShape:
    """A side of a change as the answer shows it."""
    return SideShape(**side.as_json())


def _shape(change: Change, outcome: str, detail: str) -> ChangeShape:
    return ChangeShape(
        number=change.number,
        direction=change.direction,
        before=side_shape(change.before),
        after=side_shape(change.after),
        outcome=outcome,
        detail=detail,
    )


def _unchanged(draft: Draft, most: int) -> list[ChangeShape]:
    return [_shape(change, "unchanged", change.detail) for change in draft.unchanged[:most]]


@dataclass(frozen=True)
class Results:
    """Builds answers. `database` is the store's place where it is not the default, else ""."""

    database: str = ""

    def command(self, plan_id: str) -> str:
        """The command that approves a plan at a terminal of this machine."""
        carried = f"CORDBOARD_DATABASE={shlex.quote(self.database)} " if self.database else ""
        return f"{carried}cordboard approve {plan_id}"

    def of(
        self,
        record: PlanRecord,
        now: str,
        *,
        status: Status | None = None,
        note: str = "",
        every: bool = False,
    ) -> ChangeResult:
        """The answer for a stored plan; `status` and `note` where the call itself says more.

        `every`: show all changes, not the first 25 (the plan's resource does).
        """
        plan = record.plan
        told = status or status_of(record, now)
        most = _ALL if every else SHOWN_CHANGES
        changes = [_shape(*each) for each in outcomes.of_changes(record, now)[:most]]
        return ChangeResult(
            status=told,
            message=" ".join(s for s in (note, self._message(record, told, now)) if s),
            plan_id=plan.plan_id,
            action=plan.action,
            changes=changes + _unchanged(plan.draft, most - len(changes)),
            counts=CountsShape(**outcomes.counted(record, now)),
            warnings=list(plan.draft.warnings),
            guard=GuardShape(
                required=plan.level,
                used=record.used,
                by=record.closed_by if record.used else "",
                why=plan.why,
            ),
            approve=self._approve(record, told),
        )

    def no_change(self, action: str, draft: Draft) -> ChangeResult:
        """Everything is as asked already; no plan was needed."""
        return ChangeResult(
            status="no_change",
            message="Nothing to do: all of it is so already. No plan was made.",
            plan_id="",
            action=action,
            changes=_unchanged(draft, SHOWN_CHANGES),
            counts=CountsShape(unchanged=len(draft.unchanged)),
            warnings=list(draft.warnings),
            guard=GuardShape(why="nothing would change"),
            approve=ApproveShape(),
        )

    def bare(
        self, status: Status, message: str, *, plan_id: str = "", action: str = ""
    ) -> ChangeResult:
        """An answer without changes: a freeze, or an undo that is refused."""
        return ChangeResult(
            status=status,
            message=message,
            plan_id=plan_id,
            action=action,
            changes=[],
            counts=CountsShape(),
            warnings=[],
            guard=GuardShape(),
            approve=ApproveShape(),
        )

    def _approve(self, record: PlanRecord, status: Status) -> ApproveShape:
        waits = record.state in WAITING and status != "plan_rejected"
        if not waits:
            return ApproveShape()
        expires = record.plan.expires_at
        if status in ("confirmation_required", "approved"):
            return ApproveShape(how="apply_plan", expires_at=expires)
        return ApproveShape(
            how="terminal", command=self.command(record.plan_id), expires_at=expires
        )

    def _message(self, record: PlanRecord, status: Status, now: str) -> str:
        plan = record.plan
        what = facts.headline(plan)
        more = _more(plan.draft)
        until = plan.expires_at
        if status == "confirmation_required":
            return (
                f"Nothing has changed yet. The plan is to {what}.{more} Show it to the user; if they "
                f"agree, call apply_plan with plan_id {plan.plan_id} before {until}."
            )
        if status == "awaiting_approval":
            return (
                f"Nothing has changed yet. The plan is to {what}.{more} A person must approve it "
                f"({plan.why}). {_form(plan)}Tell the user to run `{self.command(plan.plan_id)}` at a terminal before "
                f"{until}; it applies the plan at once. Do not poll; get_plan tells what became of it."
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


def _form(plan: Plan) -> str:
    if plan.level != "client":
        return ""
    return "apply_plan asks them in a client that can show forms. "


def _passed(record: PlanRecord) -> str:
    if record.used == "plan":
        return "Guard level plan: nobody was asked."
    through = " through the client" if record.used == "client" else ""
    return f"Approved by {record.closed_by}{through}."


def _done(record: PlanRecord) -> str:
    if any(step.detail.startswith("not read back") for step in record.steps):
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
    of_all = f"of {len(record.plan.draft.changes)} numbers"
    if status == "applying":
        done = f"{counts['applied']} {of_all} are done"
        return f"Under way, to {what}: {done}. {_UNDER_WAY.format(plan_id=record.plan_id)}"
    problems = _problems(record, now)
    if status == "partly_applied":
        return (
            f"Done in part, to {what}: applied {counts['applied']} {of_all}, not applied "
            f"{counts['not_applied']}. {problems} {_to_finish(record)}{_reversed(record)}"
        )
    said = f"Not known yet, to {what}: for {counts['unknown']} {of_all} it is not known how they stand. {problems} "
    settled_from = outcomes.settled_from(record)
    if not settled_from:
        return f"{said}It cannot be read: `cordboard plans settle {record.plan_id}` records what a person finds."
    return (
        f"{said}They are held; after {settled_from} they are read, and settled or gone on with. "
        f"{_UNDER_WAY.format(plan_id=record.plan_id)}"
    )


def _touched(record: PlanRecord) -> bool:
    """Whether anything of a plan that failed was in effect for a while, or may have been."""
    return any(s.back or s.bare_from or s.detail.startswith(_SENT) for s in record.steps)


def _to_finish(record: PlanRecord) -> str:
    """The follow-up: what was not begun can be asked for again; what is halfway says itself how."""
    if any(step.state == "not_applied" and not step.done for step in record.steps):
        return "To finish it ask for the same again (what is done stays as it is). "
    return ""


def _problems(record: PlanRecord, now: str) -> str:
    """The first numbers that are not as planned, each with why."""
    wrong = [
        told for told in outcomes.of_changes(record, now) if told[1] in ("unknown", "not_applied")
    ]
    said = [f"{c.number}: {shown(detail, 400).rstrip('.')}." for c, _, detail in wrong[:_TOLD]]
    if len(wrong) > _TOLD:
        said.append(f"{len(wrong) - _TOLD} more stand in changes.")
    return " ".join(said)


def _why_rejected(record: PlanRecord, now: str) -> str:
    if record.state == "failed":
        return f"was not carried out. {_problems(record, now)}"
    if record.expired(now) or record.state == "expired":
        return f"expired at {record.plan.expires_at}. Ask again for a new plan."
    if record.state == "declined":
        return f"was declined by {record.closed_by}. Do not repeat it unless the user asks."
    if record.state == "discarded":
        return "was discarded. Ask again for a new plan if it is still wanted."
    return f"is stale, the routing moved meanwhile: {record.closed_why}. Ask again for a new plan."


def _more(draft: Draft) -> str:
    said = f" {len(draft.unchanged)} more are so already." if draft.unchanged else ""
    if len(draft.changes) + len(draft.unchanged) > SHOWN_CHANGES:
        said += f" {SHOWN_CHANGES} are shown; the plan's resource lists all."
    if draft.warnings:
        said += f" Warnings: {' '.join(draft.warnings[:_TOLD])}"
        if len(draft.warnings) > _TOLD:
            said += f" {len(draft.warnings) - _TOLD} more stand in warnings."
    return said

"""From a stored plan to the answer a caller reads: status, outcome of each number, next step."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from cordboard import outcomes, telemetry
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
from cordboard.display import printable
from cordboard.facts import SHOWN_CHANGES
from cordboard.plan import Change, Draft
from cordboard.stores.plans import WAITING, PlanRecord, State
from cordboard.wording import message

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


def status_of(record: PlanRecord, now: str) -> Status:
    """The status of a stored plan at this moment."""
    if record.expired(now):
        return "plan_rejected"
    if record.state == "open":
        return "confirmation_required" if record.plan.level == "plan" else "awaiting_approval"
    return _STATUS[record.state]


def side_shape(side: Side) -> SideShape:
    """A side of a change as the answer shows it."""
    pathway = side.pathway
    return SideShape(
        direction=side.direction,
        agent=side.agent,
        pathway_id=printable(pathway.pathway_id),
        pathway_version=pathway.pathway_version,
        start_node_id=printable(pathway.start_node_id),
    )


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
    """Builds answers. `database`: the store's place where it is not the default, else "".

    `page`: the approvals page, where there is one; `account`: whose plans these are, where it is
    not the default one.
    """

    database: str = ""
    page: str = ""
    account: str = ""

    def command(self, plan_id: str) -> str:
        """The command that approves a plan at a terminal of this machine."""
        return self.at_terminal(f"approve {plan_id}")

    def at_terminal(self, command: str) -> str:
        """A command of ours as it works at a terminal: with the store, where it is not the default
        one, and the account."""
        carried = f"CORDBOARD_DATABASE={shlex.quote(self.database)} " if self.database else ""
        carried += f"CORDBOARD_ACCOUNT={self.account} " if self.account else ""
        return f"{carried}cordboard {command}"

    def url(self, plan_id: str) -> str:
        """Where a person approves a plan in a browser; "" without HTTP."""
        if not self.page:
            return ""
        return f"{self.page}/{plan_id}" + (f"?account={self.account}" if self.account else "")

    def of(
        self,
        record: PlanRecord,
        now: str,
        *,
        status: Status | None = None,
        note: str = "",
        most: int = SHOWN_CHANGES,
        in_chat: bool = False,
    ) -> ChangeResult:
        """The answer for a stored plan; `status` and `note` where the call itself says more.

        `most`: so many changes are shown (the plan's resource shows more than 25). `in_chat`: the
        user has the plan before them in our App, with its buttons.
        """
        plan = record.plan
        told = status or status_of(record, now)
        telemetry.note_plan(plan.plan_id, plan.action, told, plan.level)
        changes = [_shape(*each) for each in outcomes.of_changes(record, now)[:most]]
        return ChangeResult(
            status=told,
            message=" ".join(
                s
                for s in (note, message(record, told, now, self._how(record.plan_id), in_chat))
                if s
            ),
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

    def _how(self, plan_id: str) -> str:
        """What the user is told to do to approve: the page, or the command where there is none."""
        url = self.url(plan_id)
        return f"open {url}" if url else f"run `{self.command(plan_id)}` at a terminal"

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
        url = self.url(record.plan_id)
        return ApproveShape(
            how="page" if url else "terminal",
            url=url,
            command=self.command(record.plan_id),
            expires_at=expires,
        )

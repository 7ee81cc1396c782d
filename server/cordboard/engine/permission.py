"""What must hold for every way in, inside the transaction that begins a change.

Freeze, the plan's own text, the level, the approver's enrolment, this process's policy, and the
approval itself, which is used once.
"""

from __future__ import annotations

from cordboard import approvers
from cordboard.clock import Clock, later
from cordboard.display import quoted, shown
from cordboard.errors import Frozen, NotAllowed
from cordboard.guard import Clearance, Guard
from cordboard.journal import Event
from cordboard.policy import at_least
from cordboard.stores import Transaction, plans
from cordboard.stores.plans import PlanRecord


class Permission:
    """The checks of one process: its policy and its clock."""

    def __init__(self, guard: Guard, clock: Clock) -> None:
        self._guard, self._clock = guard, clock

    def check(self, tx: Transaction, record: PlanRecord, clearance: Clearance) -> None:
        """Raises: Frozen, NotAllowed where this plan may not be applied on this clearance now."""
        frozen(tx, clearance.account)
        if not record.intact or record.hash != clearance.plan_hash:
            raise NotAllowed(f"The text of plan {record.plan_id} is not the one that was cleared.")
        if not at_least(clearance.level, record.plan.level):
            raise NotAllowed(f"Plan {record.plan_id} needs {record.plan.level}.")
        if clearance.level == "person" and not clearance.token:
            people = approvers.people_of(tx, clearance.account, clearance.approver)
            if not people:
                raise NotAllowed(f"{clearance.approver} is no longer enrolled as an approver.")
            self._guard.other_eyes(record, clearance.approver, people)
        self.policy_allows(tx, record)

    def policy_allows(self, tx: Transaction, record: PlanRecord) -> None:
        """Raises: NotAllowed where this process's policy, now, demands more than the plan's level."""
        plan = record.plan
        hour_ago = later(self._clock(), -3600)
        hour = spent(tx, plan.account, plan.principal, hour_ago)
        if record.state in plans.UNDER_WAY:  # it was counted itself when it began
            own = {"account": plan.account, "plan_id": plan.plan_id}
            row = tx.one("spent_by_plan", **own, principal=plan.principal, since=hour_ago)
            hour -= int(row["numbers"]) if row else 0
        demand = self._guard.demand(plan, hour)
        if not at_least(plan.level, demand.level):
            raise NotAllowed(
                f"This process's policy demands {demand.level} for plan {plan.plan_id} "
                f"({demand.why}); its level is {plan.level}.",
                "Ask the operator; that policy freezes it."
                if demand.level == "frozen"
                else "Discard the plan and ask for the change again: the new plan has that level.",
            )


def frozen(tx: Transaction, account: str) -> None:
    """Raises: Frozen while the account's changes are."""
    state = tx.one("account_get", account=account)
    if state is not None and state["frozen_at"]:
        why = f" ({quoted(state['frozen_reason'])})" if state["frozen_reason"] else ""
        since = f"{state['frozen_at']} by {shown(state['frozen_by'])}"
        raise Frozen(f"Changes are frozen since {since}{why}.")


def spent(tx: Transaction, account: str, principal: str, since: str) -> int:
    """How many numbers this principal's plans changed since then."""
    row = tx.one("spent_since", account=account, principal=principal, since=since)
    return int(row["numbers"]) if row else 0


def count_spent(tx: Transaction, record: PlanRecord, now: str) -> None:
    """Count the numbers of a plan against its principal's hour."""
    plan = record.plan
    tx.send(
        "spent_add",
        account=plan.account,
        principal=plan.principal,
        at=now,
        plan_id=plan.plan_id,
        numbers=len(plan.draft.changes),
    )


def approved(record: PlanRecord, clearance: Clearance) -> Event:
    """The journal's word that this plan was approved, by whom and at which level."""
    data: dict[str, object] = {
        "level": clearance.level,
        "approval_id": clearance.approval_id,
        "requester": record.plan.principal,
    }
    if clearance.token:
        data["token"] = clearance.token
    return Event("approved", clearance.approver, record.plan_id, record.hash, data)


def keep_approval(tx: Transaction, clearance: Clearance) -> None:
    """Record an approval, not used yet."""
    tx.send(
        "approval_add",
        **_key(clearance),
        approver=clearance.approver,
        at=clearance.at,
        expires_at=clearance.expires_at,
    )


def use_approval(tx: Transaction, clearance: Clearance, now: str) -> None:
    """Use the approval, once: by one atomic update, whoever else tries at the same moment.

    Raises: NotAllowed where it was used, or has expired.
    """
    if tx.run("approval_use", **_key(clearance), at=now) != 1:
        raise NotAllowed(
            f"The approval of plan {clearance.plan_id} was used already, or has expired.",
            "Ask for the change again.",
        )


def _key(clearance: Clearance) -> dict[str, str]:
    return {
        "account": clearance.account,
        "approval_id": clearance.approval_id,
        "plan_id": clearance.plan_id,
        "plan_hash": clearance.plan_hash,
        "requester": clearance.requester,
        "level": clearance.level,
    }

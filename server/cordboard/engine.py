"""The one choke point: `apply(clearance)`. Tools, undo, recovery, REST and the CLI all pass here.

On a transactional platform everything is one store transaction: the approval is used, every
precondition is read again, the changes are written and read back, the journal tells it, and the
plan is closed. It happens whole or not at all, so there is nothing to recover halfway.
"""

from __future__ import annotations

from collections.abc import Mapping

from cordboard import preconditions
from cordboard.binding import OwnedNumber, Side
from cordboard.clock import Clock, later, stamp
from cordboard.errors import Frozen, NotAllowed, PlatformError, StoreUnavailable
from cordboard.guard import Clearance, Guard
from cordboard.journal import Event
from cordboard.plan import Change
from cordboard.platforms import TransactionalPlatform
from cordboard.policy import at_least
from cordboard.stores import Store, Transaction, plans
from cordboard.stores.plans import PlanRecord


class Engine:
    """Applies cleared plans. Safe to call twice: an applied plan answers its record again."""

    def __init__(
        self,
        store: Store,
        platforms: Mapping[str, TransactionalPlatform],
        guard: Guard,
        clock: Clock,
    ) -> None:
        self._store, self._platforms, self._guard, self._clock = store, platforms, guard, clock

    async def apply(self, clearance: Clearance) -> PlanRecord:
        """Apply exactly the cleared plan; the record tells what became of it.

        A plan that moved meanwhile is closed as `stale`. Raises: Frozen, NotAllowed,
        StoreUnavailable; then nothing was changed.
        """
        return await self._store.write(lambda tx: self._apply(tx, clearance))

    async def recheck(self, record: PlanRecord) -> PlanRecord:
        """Close an open plan that moved meanwhile, before anybody is asked about it in vain.

        Raises: NotAllowed where this process's policy demands more than the plan's level.
        """

        def work(tx: Transaction) -> PlanRecord:
            fresh = plans.find_again(tx, record)
            if fresh.state != "open" or fresh.expired(stamp(self._clock())):
                return fresh
            self._policy_allows(tx, fresh)
            return self._closed_if_moved(tx, fresh)

        return await self._store.write(work)

    def _apply(self, tx: Transaction, clearance: Clearance) -> PlanRecord:
        now = stamp(self._clock())
        record = plans.find(tx, clearance.account, clearance.plan_id)
        if record is None:
            raise StoreUnavailable(f"Plan {clearance.plan_id} is no longer in the store.")
        if record.state not in ("open", "approved"):
            return record
        if record.expired(now):
            return plans.close(
                tx, record, "expired", now, "", f"it expired at {record.plan.expires_at}"
            )
        self._permitted(tx, record, clearance)
        fresh = self._closed_if_moved(tx, record)
        if fresh.state == "stale":
            return fresh
        _spend(tx, clearance, now)
        platform = self._platforms[record.plan.asked.agent.partition(":")[0]]
        after = platform.write_in(tx, clearance.account, now, record.plan.draft.changes)
        _read_back(record.plan.draft.changes, after)
        return self._record(tx, record, clearance, after, now)

    def _closed_if_moved(self, tx: Transaction, record: PlanRecord) -> PlanRecord:
        """Every precondition read again: the record, closed as stale if one no longer holds."""
        platform = self._platforms[record.plan.asked.agent.partition(":")[0]]
        seen = platform.observe_in(tx, record.plan.account, record.plan.look())
        moved = preconditions.moved(record.plan, seen)
        if not moved:
            return record
        return plans.close(tx, record, "stale", stamp(self._clock()), "", "; ".join(moved))

    def _permitted(self, tx: Transaction, record: PlanRecord, clearance: Clearance) -> None:
        """The checks that hold for every way in: freeze, the plan's own text, level, policy."""
        state = tx.one("account_get", account=clearance.account)
        if state is not None and state["frozen_at"]:
            raise Frozen(f"Changes are frozen since {state['frozen_at']} by {state['frozen_by']}.")
        if not record.intact or record.hash != clearance.plan_hash:
            raise NotAllowed(f"The text of plan {record.plan_id} is not the one that was cleared.")
        if not at_least(clearance.level, record.plan.level):
            raise NotAllowed(f"Plan {record.plan_id} needs {record.plan.level}.")
        approver = {"account": clearance.account, "name": clearance.approver}
        if clearance.level == "person" and tx.one("approver_get", **approver) is None:
            raise NotAllowed(f"{clearance.approver} is no longer enrolled as an approver.")
        self._policy_allows(tx, record)

    def _policy_allows(self, tx: Transaction, record: PlanRecord) -> None:
        """Raises: NotAllowed where this process's policy, now, demands more than the plan's level."""
        plan = record.plan
        hour = spent(tx, plan.account, plan.principal, later(self._clock(), -3600))
        demand = self._guard.demand(plan, hour)
        if not at_least(plan.level, demand.level):
            raise NotAllowed(
                f"This process's policy demands {demand.level} for plan {plan.plan_id} "
                f"({demand.why}); its level is {plan.level}.",
                "Ask the operator; that policy freezes it."
                if demand.level == "frozen"
                else "Discard the plan and ask for the change again: the new plan has that level.",
            )

    def _record(
        self,
        tx: Transaction,
        record: PlanRecord,
        clearance: Clearance,
        after: list[OwnedNumber],
        now: str,
    ) -> PlanRecord:
        plan = record.plan
        event = Event(
            "approved",
            clearance.approver,
            plan.plan_id,
            record.hash,
            {
                "level": clearance.level,
                "approval_id": clearance.approval_id,
                "requester": plan.principal,
            },
        )
        done = plans.close(
            tx, record, "applied", now, clearance.approver, used=clearance.level, first=[event]
        )
        versions = [n.versions[c.direction] for n, c in zip(after, plan.draft.changes, strict=True)]
        plans.mark_applied(tx, record, versions)
        tx.run(
            "spent_add",
            account=plan.account,
            principal=plan.principal,
            at=now,
            plan_id=plan.plan_id,
            numbers=len(plan.draft.changes),
        )
        return done


def spent(tx: Transaction, account: str, principal: str, since: str) -> int:
    """How many numbers this principal's plans changed since then."""
    row = tx.one("spent_since", account=account, principal=principal, since=since)
    return int(row["numbers"]) if row else 0


def _spend(tx: Transaction, clearance: Clearance, now: str) -> None:
    """Use the approval, once: by one atomic update, whoever else tries at the same moment."""
    key = {
        "account": clearance.account,
        "approval_id": clearance.approval_id,
        "plan_id": clearance.plan_id,
        "plan_hash": clearance.plan_hash,
        "requester": clearance.requester,
        "level": clearance.level,
    }
    tx.run(
        "approval_add",
        **key,
        approver=clearance.approver,
        at=clearance.at,
        expires_at=clearance.expires_at,
    )
    if tx.run("approval_use", **key, at=now) != 1:
        raise NotAllowed(
            f"The approval of plan {clearance.plan_id} was used already, or has expired.",
            "Ask for the change again.",
        )


def _read_back(changes: tuple[Change, ...], after: list[OwnedNumber]) -> None:
    """What stands in the store must be what the plan said; otherwise nothing is kept."""
    for change, owned in zip(changes, after, strict=True):
        held = {b.agent: Side.held(b) for b in owned.bound(change.direction)}
        gone = change.before.agent == change.after.agent or change.before.agent not in held
        there = not change.after.agent or held.get(change.after.agent) == change.after
        if not (gone and there):
            raise PlatformError(
                f"{change.number}: reading back shows something else than was written."
            )

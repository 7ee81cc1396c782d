"""Applying on a platform whose bindings stand in our own store: one transaction, all or nothing.

The approval is used, every precondition is read again, the changes are written and read back, the
journal tells it, and the plan is closed; so there is nothing to recover halfway.
"""

from __future__ import annotations

from dataclasses import replace

from cordboard import preconditions
from cordboard.binding import OwnedNumber, Side
from cordboard.clock import Clock, stamp
from cordboard.engine.permission import (
    Permission,
    approved,
    count_spent,
    keep_approval,
    use_approval,
)
from cordboard.errors import PlatformError
from cordboard.guard import Clearance
from cordboard.plan import Change
from cordboard.platforms import TransactionalPlatform
from cordboard.stores import Store, Transaction, plans
from cordboard.stores.plans import PlanRecord


class InOneTransaction:
    """Applies cleared plans of one transactional platform."""

    def __init__(
        self, store: Store, platform: TransactionalPlatform, permission: Permission, clock: Clock
    ) -> None:
        self._store, self._platform, self._permission = store, platform, permission
        self._clock = clock

    async def apply(self, clearance: Clearance) -> PlanRecord:
        """Apply exactly the cleared plan; the record tells what became of it."""
        return await self._store.write(lambda tx: self._apply(tx, clearance))

    async def recheck(self, record: PlanRecord) -> PlanRecord:
        """Close an open plan that moved meanwhile."""

        def work(tx: Transaction) -> PlanRecord:
            fresh = plans.find_again(tx, record)
            if fresh.state != "open" or fresh.expired(stamp(self._clock())):
                return fresh
            self._permission.policy_allows(tx, fresh)
            return self._closed_if_moved(tx, fresh)

        return await self._store.write(work)

    async def moved(self, record: PlanRecord) -> list[str]:
        """What moved under an open plan since it was made, in sentences; nothing is written."""
        plan = record.plan

        def look(tx: Transaction) -> list[str]:
            seen = self._platform.observe_in(tx, plan.account, plan.look())
            return preconditions.moved(plan, seen)

        return await self._store.read(look)

    def _apply(self, tx: Transaction, clearance: Clearance) -> PlanRecord:
        now = stamp(self._clock())
        record = plans.known(tx, clearance.account, clearance.plan_id, now)
        if record.state not in plans.WAITING:
            return record
        self._permission.check(tx, record, clearance)
        fresh = self._closed_if_moved(tx, record)
        if fresh.state == "stale":
            return fresh
        if record.state == "open":
            keep_approval(tx, clearance)
        use_approval(tx, clearance, now)
        # The record comes first: all or nothing holds in any order, and its texts, 60 MB of a plan of
        # 100,000 numbers, are let go of before the rest is written.
        done = self._closed(tx, record, clearance, now)
        versions = self._written(tx, clearance.account, now, record.plan.draft.changes)
        plans.mark_applied(tx, record, versions)
        count_spent(tx, record, now)
        return done

    def _written(
        self, tx: Transaction, account: str, now: str, changes: tuple[Change, ...]
    ) -> list[int]:
        """Write the changes and read them back: the version that each left its number with."""
        after = self._platform.write_in(tx, account, now, changes)
        return [_read_back(*pair) for pair in zip(changes, after, strict=True)]

    def _closed_if_moved(self, tx: Transaction, record: PlanRecord) -> PlanRecord:
        """Every precondition read again: the record, closed as stale if one no longer holds."""
        seen = self._platform.observe_in(tx, record.plan.account, record.plan.look())
        moved = preconditions.moved(record.plan, seen)
        if not moved:
            return record
        return plans.close(
            tx, record, "stale", stamp(self._clock()), "", preconditions.in_short(moved)
        )

    def _closed(
        self, tx: Transaction, record: PlanRecord, clearance: Clearance, now: str
    ) -> PlanRecord:
        """The plan, told as applied by whoever cleared it."""
        first = [approved(record, clearance)] if record.state == "open" else []
        done = plans.close(
            tx, record, "applied", now, clearance.approver, used=clearance.level, first=first
        )
        if clearance.token:
            key = {"account": clearance.account, "plan_id": clearance.plan_id}
            tx.send("plan_by_token", **key, token=clearance.token)
            done = replace(done, by_token=clearance.token)
        return done


def _read_back(change: Change, owned: OwnedNumber) -> int:
    """The version of a number that was changed. What stands in the store must be what the plan said;
    otherwise nothing is kept."""
    held = {b.agent: Side.held(b) for b in owned.bound(change.direction)}
    gone = change.before.agent == change.after.agent or change.before.agent not in held
    there = not change.after.agent or held.get(change.after.agent) == change.after
    if not (gone and there):
        raise PlatformError(f"{change.number}: reading back shows something else than was written.")
    return owned.versions[change.direction]

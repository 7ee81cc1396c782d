"""The one choke point: `apply(clearance)`. Tools, undo, recovery, REST and the CLI all pass here.

On a transactional platform everything is one store transaction. At a vendor it is step by step,
each recorded before it is sent, and whatever a process leaves behind another one settles.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TypeVar

import anyio

from cordboard.approvers import VerifiedApprover
from cordboard.clock import Clock, later, stamp
from cordboard.engine.pace import Pace, Sleep
from cordboard.engine.permission import Permission, approved, keep_approval, spent
from cordboard.engine.remote import StepByStep
from cordboard.engine.settling import Said, Settling
from cordboard.engine.transactional import InOneTransaction
from cordboard.engine.workers import Workers
from cordboard.errors import CordboardError, NotSupported
from cordboard.guard import Clearance, Guard
from cordboard.platforms import Platform, RemotePlatform, TransactionalPlatform
from cordboard.stores import Store, Transaction, operations, plans
from cordboard.stores.plans import PlanRecord

__all__ = ["Engine", "Pace", "Said", "spent"]

logger = logging.getLogger("cordboard")
_LOOK_SECONDS = 0.5
_AGAIN_SECONDS = 30.0
T = TypeVar("T")


class Engine:
    """Applies cleared plans. Safe to call twice: a plan once begun answers its record again."""

    def __init__(
        self,
        store: Store,
        platforms: Mapping[str, Platform],
        guard: Guard,
        clock: Clock,
        pace: Pace | None = None,
        sleep: Sleep = anyio.sleep,
        read_only: bool = False,
    ) -> None:
        """`read_only`: this process takes up nothing that another one left."""
        self._store, self._guard, self._clock = store, guard, clock
        self._read_only = read_only
        self._not_before: dict[str, str] = {}  # approved plans that could not be applied: try when
        self._pace = pace or Pace()
        self._permission = Permission(guard, clock)
        self._workers = Workers()
        self._ways: dict[str, InOneTransaction | StepByStep] = {}
        self._settlings: dict[str, Settling] = {}
        for name, platform in platforms.items():
            if isinstance(platform, TransactionalPlatform):
                self._ways[name] = InOneTransaction(store, platform, self._permission, clock)
            elif isinstance(platform, RemotePlatform):
                self._ways[name] = StepByStep(
                    store, platform, self._permission, self._workers, clock, self._pace, sleep
                )
                self._settlings[name] = Settling(store, platform, clock, self._pace)

    async def apply(self, clearance: Clearance) -> PlanRecord:
        """Apply exactly the cleared plan; the record tells what became of it.

        A plan that moved meanwhile is closed as `stale`; one of a platform that this process has
        no credentials for is `approved`, for a process that has. Raises: Frozen, NotAllowed,
        NumberHeld, PlatformError, StoreUnavailable; then nothing was changed.
        """
        way = self._ways.get(clearance.platform)
        if way is None:
            return await self._store.write(lambda tx: self._approve(tx, clearance))
        return await way.apply(clearance)

    async def recheck(self, record: PlanRecord) -> PlanRecord:
        """Close an open plan that moved meanwhile, before anybody is asked about it in vain.

        Raises: NotAllowed where this process's policy demands more than the plan's level;
        PlatformError.
        """
        way = self._ways.get(record.plan.platform)
        return record if way is None else await way.recheck(record)

    async def caught_up(self, record: PlanRecord) -> PlanRecord:
        """The record, gone on with or settled first where that is due."""
        if record.state not in plans.UNDER_WAY or self._read_only:
            return record
        found = await self._store.glance(
            lambda tx: operations.find(tx, record.plan.account, record.plan_id)
        )
        way = self._ways.get(record.plan.platform)
        if found is None or not isinstance(way, StepByStep):
            return record
        await way.recover(found)
        return await self._store.read(lambda tx: plans.find_again(tx, record))

    async def settle(
        self, record: PlanRecord, said: Mapping[str, Said], by: VerifiedApprover | None = None
    ) -> PlanRecord:
        """What became of an `unknown` plan: settled where due, else read again, else as `said` of
        each number by an approver. Only the record changes. Raises: as Settling.settle does;
        NotSupported where this process has no way to its platform."""
        record = await self.caught_up(record)
        if record.state != "unknown":
            return record
        if record.plan.platform not in self._settlings:
            what = f"{record.plan.platform} is not configured here, so it cannot be read."
            raise NotSupported(what, "Run it where its key is: `cordboard doctor` tells.")
        return await self._settlings[record.plan.platform].settle(record, said, by)

    async def joined(self, record: PlanRecord) -> PlanRecord:
        """The record once what is under way has ended, or as long as a call may wait."""
        way = self._ways.get(record.plan.platform)
        if record.state != "applying" or not isinstance(way, StepByStep):
            return record
        return await way.wait(record)

    async def recover(self, account: str) -> None:
        """Take up everything that is due: what a dead process left, what can be settled now, and
        what was approved where it could not be applied."""
        now = stamp(self._clock())
        due, waiting = await self._store.glance(
            lambda tx: (operations.due(tx, account, now), plans.approved(tx, account, now))
        )
        async with anyio.create_task_group() as group:
            for found in due:
                way = self._ways.get(found.platform)
                if isinstance(way, StepByStep):
                    group.start_soon(self._noted, way.recover, found)
            for record in waiting:
                if record.plan.platform in self._ways:
                    group.start_soon(self._noted, self._apply_approved, record)

    async def _noted(self, work: Callable[[T], Awaitable[object]], item: T) -> None:
        """Do it; what cannot be done now does not stop the others, and comes up again."""
        try:
            await work(item)
        except CordboardError as exc:
            logger.warning("a change could not be gone on with: %s", exc.what)

    async def _apply_approved(self, record: PlanRecord) -> None:
        now = self._clock()
        if self._not_before.get(record.plan_id, "") > stamp(now):
            return
        self._not_before[record.plan_id] = later(now, _AGAIN_SECONDS)
        clearance = await self.stored_clearance(record)
        if clearance is not None:
            await self.apply(clearance)

    async def stored_clearance(self, record: PlanRecord) -> Clearance | None:
        """The clearance of a plan that was approved elsewhere and is not used yet, or None."""
        key = {"account": record.plan.account, "plan_id": record.plan_id}
        now = stamp(self._clock())
        row = await self._store.glance(lambda tx: tx.one("approval_unused", **key, now=now))
        return None if row is None else self._guard.by_stored(record, row)

    @asynccontextmanager
    async def working(self, account: str) -> AsyncIterator[None]:
        """A background for this process: changes outlive the call that began them, and whatever
        is due is taken up. Where every platform is transactional there is nothing to do."""
        if self._read_only or not any(isinstance(w, StepByStep) for w in self._ways.values()):
            yield
            return
        async with self._workers.working(lambda: self._watch(account)):
            yield

    async def _watch(self, account: str) -> None:
        while True:
            try:
                await self.recover(account)
            except CordboardError as exc:
                logger.warning("what is due could not be taken up: %s", exc.what)
            await anyio.sleep(_LOOK_SECONDS)

    def _approve(self, tx: Transaction, clearance: Clearance) -> PlanRecord:
        """Record the approval; this process cannot apply it."""
        now = stamp(self._clock())
        record = plans.known(tx, clearance.account, clearance.plan_id, now)
        if record.state != "open":
            return record
        self._permission.check(tx, record, clearance)
        keep_approval(tx, clearance)
        return plans.approve(tx, record, approved(record, clearance), now, clearance.level)

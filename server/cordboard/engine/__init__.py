"""The one choke point: `apply(clearance)`. Tools, undo, recovery, REST and the CLI all pass here.

On a transactional platform everything is one store transaction. At a vendor it is step by step,
each recorded before it is sent, and whatever a process leaves behind another one settles; that
part is imported only where a vendor is configured.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio

from cordboard.approvers import VerifiedApprover
from cordboard.clock import Clock, stamp
from cordboard.engine.pace import Pace, Sleep
from cordboard.engine.permission import Permission, approved, frozen, keep_approval, spent
from cordboard.engine.transactional import InOneTransaction
from cordboard.errors import NotAllowed, NotSupported
from cordboard.guard import Clearance, Guard
from cordboard.platforms import Platform, RemotePlatform, TransactionalPlatform
from cordboard.stores import Store, Transaction, plans
from cordboard.stores.plans import PlanRecord

if TYPE_CHECKING:
    from cordboard.engine.background import Background
    from cordboard.engine.settling import Said

__all__ = ["Engine", "Pace", "frozen", "spent"]


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
        self._permission = Permission(guard, clock)
        self._read_only = read_only
        self._at_once = {
            name: InOneTransaction(store, platform, self._permission, clock)
            for name, platform in platforms.items()
            if isinstance(platform, TransactionalPlatform)
        }
        self._background: Background | None = None
        remote = {n: p for n, p in platforms.items() if isinstance(p, RemotePlatform)}
        if remote:
            from cordboard.engine.background import Background

            self._background = Background(
                store, remote, self._permission, clock, pace or Pace(), sleep, self.apply_approved
            )

    async def apply(self, clearance: Clearance, *, stay: bool = True) -> PlanRecord:
        """Apply exactly the cleared plan; the record tells what became of it. Without `stay` it is
        begun, and goes on after this call.

        A plan that moved meanwhile is closed as `stale`; one of a platform that this process has
        no credentials for is `approved`, for a process that has. Raises: Frozen, NotAllowed,
        NumberHeld, PlatformError, StoreUnavailable; then nothing was changed.
        """
        if clearance.platform in self._at_once:
            return await self._at_once[clearance.platform].apply(clearance)
        if self._background and clearance.platform in self._background.ways:
            return await self._background.ways[clearance.platform].apply(clearance, stay=stay)
        if clearance.token:  # it may be revoked before anybody could use what was kept of it
            raise NotAllowed(f"This process has no key for {clearance.platform}.")
        return await self._store.write(lambda tx: self._approve(tx, clearance))

    async def recheck(self, record: PlanRecord) -> PlanRecord:
        """Close an open plan that moved meanwhile, before anybody is asked about it in vain.

        Raises: NotAllowed where this process's policy demands more than the plan's level;
        PlatformError.
        """
        if record.plan.platform in self._at_once:
            return await self._at_once[record.plan.platform].recheck(record)
        if self._background and record.plan.platform in self._background.ways:
            return await self._background.ways[record.plan.platform].recheck(record)
        return record

    async def moved(self, record: PlanRecord) -> list[str]:
        """What moved under an open plan, in sentences, as far as our own store tells; nothing is
        written, and nobody outside is asked."""
        way = self._at_once.get(record.plan.platform)
        return [] if way is None else await way.moved(record)

    async def caught_up(self, record: PlanRecord) -> PlanRecord:
        """The record, gone on with or settled first where that is due."""
        return await self._caught_up(record)

    async def _caught_up(self, record: PlanRecord, *, patient: bool = False) -> PlanRecord:
        if record.state not in plans.UNDER_WAY or self._read_only or self._background is None:
            return record
        return await self._background.caught_up(record, patient=patient)

    async def settle(
        self, record: PlanRecord, said: Mapping[str, Said], by: VerifiedApprover | None = None
    ) -> PlanRecord:
        """What became of an `unknown` plan: settled where due, else read again, else as `said` of
        each number by an approver. Only the record changes. Raises: as Settling.settle does;
        NotSupported where this process has no way to its platform."""
        record = await self._caught_up(record, patient=True)
        if record.state != "unknown":
            return record
        known = self._background.settlings if self._background else {}
        if record.plan.platform not in known:
            what = f"{record.plan.platform} is not configured here, so it cannot be read."
            raise NotSupported(what, "Run it where its key is: `cordboard doctor` tells.")
        return await known[record.plan.platform].settle(record, said, by)

    async def joined(self, record: PlanRecord) -> PlanRecord:
        """The record once what is under way has ended, or as long as a call may wait."""
        if record.state != "applying" or self._background is None:
            return record
        return await self._background.joined(record)

    async def recover(self, account: str) -> None:
        """Take up whatever is due, now; `working` does it all the time."""
        if self._background is not None and not self._read_only:
            await self._background.recover(account)

    async def apply_approved(self, record: PlanRecord) -> None:
        """Apply a plan that was approved where it could not be applied. Raises: as `apply`."""
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
        if self._read_only or self._background is None:
            yield
            return
        async with self._background.working(account):
            yield

    def _approve(self, tx: Transaction, clearance: Clearance) -> PlanRecord:
        """Record the approval; this process cannot apply it."""
        now = stamp(self._clock())
        record = plans.known(tx, clearance.account, clearance.plan_id, now)
        if record.state != "open":
            return record
        self._permission.check(tx, record, clearance)
        keep_approval(tx, clearance)
        return plans.approve(tx, record, approved(record, clearance), now, clearance.level)

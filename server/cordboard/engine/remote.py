"""Applying at a vendor: numbers held, preconditions re-read, then a worker step by step.

Nothing is spent before the platform answered: while the preconditions are read the plan is still
open and only its numbers are held. One that moved closes the plan as stale; a platform that does
not answer leaves it as it was.
"""

from __future__ import annotations

import time
from contextlib import suppress
from functools import partial

import anyio

from cordboard import preconditions
from cordboard.binding_rules import held_by
from cordboard.clock import Clock, later, stamp
from cordboard.engine.book import Book
from cordboard.engine.keeping import while_kept
from cordboard.engine.pace import Pace, Sleep, Timer
from cordboard.engine.permission import (
    Permission,
    approved,
    count_spent,
    keep_approval,
    use_approval,
)
from cordboard.engine.run import Run
from cordboard.engine.watching import Watch
from cordboard.engine.workers import Workers
from cordboard.errors import NotAllowed, NumberHeld, StoreUnavailable, refusal
from cordboard.guard import Clearance
from cordboard.platforms import RemotePlatform
from cordboard.request import Observed
from cordboard.stores import Store, Transaction, operations, plans
from cordboard.stores.operations import LostFence, Operation
from cordboard.stores.plans import PlanRecord

_POLL_SECONDS = 0.1
_JOIN_SECONDS = 5.0


class StepByStep:
    """Applies, recovers and settles the plans of one platform at a vendor."""

    def __init__(
        self,
        store: Store,
        platform: RemotePlatform,
        permission: Permission,
        workers: Workers,
        clock: Clock,
        pace: Pace,
        sleep: Sleep,
        timer: Timer,
    ) -> None:
        self._timer = timer
        self._store, self._platform, self._permission = store, platform, permission
        self._workers, self._clock, self._pace, self._sleep = workers, clock, pace, sleep
        self._recovering: dict[str, anyio.Event] = {}
        self.watch = Watch(platform.abilities, clock, pace, timer, one_clock=store.one_clock)

    async def apply(self, clearance: Clearance, *, stay: bool = True) -> PlanRecord:
        """Apply exactly the cleared plan, as far as it comes while a call may wait; where the
        caller does not `stay`, no further than that it is begun.

        The same plan sent again joins what is under way. Raises: NumberHeld, PlatformError.
        """
        begun = time.monotonic()
        record, mine = await self._begun(clearance)
        if mine is not None:
            waited = time.monotonic() - begun if stay else self._pace.answer
            await self._carry_out(mine, record, own=stay, waited=waited)
        elif stay and record.state == "applying":
            await self.wait(record)
        return await self._store.read(lambda tx: plans.find_again(tx, record))

    async def recheck(self, record: PlanRecord) -> PlanRecord:
        """Close an open plan that moved meanwhile."""
        seen = await self._platform.observe(record.plan.account, record.plan.look())

        def work(tx: Transaction) -> PlanRecord:
            fresh = plans.find_again(tx, record)
            if fresh.state != "open" or fresh.expired(self._now()):
                return fresh
            self._permission.policy_allows(tx, fresh)
            return self._closed_if_moved(tx, fresh, seen)

        return await self._store.write(work)

    async def recover(self, found: Operation) -> None:
        """Go on with an operation that is due: settle what is unknown, send what was not sent.

        Where this process is at it already, that is waited for, a little.
        """
        at_it = self._recovering.get(found.plan_id)
        if at_it is not None:
            with anyio.move_on_after(_JOIN_SECONDS):
                await at_it.wait()
            return
        self._recovering[found.plan_id] = ended = anyio.Event()
        try:
            if self.watch.is_due(found) and await self._is_left(found):
                await self._take_over(found)
        finally:
            del self._recovering[found.plan_id]
            ended.set()

    def is_recovering(self, plan_id: str) -> bool:
        """Whether this process is at it already."""
        return plan_id in self._recovering

    async def _is_left(self, found: Operation) -> bool:
        """Whether nobody is at it, and nobody waits for a quiet period that is not over here."""
        since = self.watch.since(found)
        if since is not None:
            steps = partial(operations.steps, account=found.account, plan_id=found.plan_id)
            self.watch.noted(found, await self._store.read(steps))
        return self.watch.is_due(found)

    async def _take_over(self, found: Operation) -> None:
        since = self.watch.since(found)

        def take(tx: Transaction) -> tuple[Operation, PlanRecord, str]:
            mine = operations.take_over(tx, found, self._lease())
            record = plans.known(tx, found.account, found.plan_id, self._now())
            if record.state in plans.UNDER_WAY:
                return mine, record, self._why_not(tx, record, mine)
            operations.end(tx, mine)  # its process ended while it read the preconditions
            return mine, record, ""

        with suppress(LostFence):
            mine, record, why_not = await self._store.write(take)
            if record.state in plans.UNDER_WAY:
                await self._carry_out(mine, record, why_not, since=since)

    def _why_not(self, tx: Transaction, record: PlanRecord, mine: Operation) -> str:
        """Why nothing of it may be begun by this process; what was begun is settled all the same."""
        if mine.started_at <= later(self._clock(), -self._pace.resume):
            return "it broke off too long ago"
        try:
            self._permission.policy_allows(tx, record)
        except NotAllowed as exc:
            return exc.what
        return ""

    async def _carry_out(
        self,
        mine: Operation,
        record: PlanRecord,
        why_not: str = "",
        *,
        own: bool = False,
        waited: float = 0.0,
        since: float | None = None,
    ) -> None:
        known = (self._clock, self._pace, self._timer, since)
        book = Book(self._store, self._platform, mine, record, *known)
        work = Run(self._platform, book, self._clock, self._pace, self._sleep, why_not)
        try:
            await self._workers.see_through(work, self._pace.answer - waited, own=own)
        except StoreUnavailable as exc:
            exc.aftermath = "How far the change came is settled once the store answers: get_plan."
            raise

    # --- beginning -------------------------------------------------------------------------------

    async def _begun(self, clearance: Clearance) -> tuple[PlanRecord, Operation | None]:
        """The plan as it is now; with an operation where this process is to carry it out."""
        deadline = time.monotonic() + self._pace.answer
        while (held := await self._store.write(lambda tx: self._take(tx, clearance))) is None:
            if time.monotonic() > deadline:
                raise NumberHeld(f"Another process is still beginning plan {clearance.plan_id}.")
            await anyio.sleep(_POLL_SECONDS)
        record, taken = held
        if taken is None:
            return record, None
        try:
            seen = await while_kept(
                partial(self._platform.observe, clearance.account, record.plan.look()),
                partial(self._keep, taken),
                self._pace.lease_of(self._platform.abilities),
            )
            begun = await self._store.write(lambda tx: self._begin(tx, taken, clearance, seen))
        except LostFence:
            raise NumberHeld(
                f"Reading {self._platform.name} took so long that another process is at it now.",
                "get_plan tells what became of it.",
            ) from None
        except BaseException:
            with anyio.CancelScope(shield=True), suppress(StoreUnavailable, LostFence):
                await self._store.write(lambda tx: operations.end(tx, taken))
            raise
        return begun, taken if begun.state == "applying" else None

    async def _keep(self, mine: Operation) -> None:
        due = self._lease()
        await self._store.write(lambda tx: operations.keep(tx, mine, due))

    def _lease(self) -> str:
        return later(self._clock(), self._pace.lease_of(self._platform.abilities))

    def _take(
        self, tx: Transaction, clearance: Clearance
    ) -> tuple[PlanRecord, Operation | None] | None:
        """Hold the plan's numbers; no operation where there is nothing to begin, None: not yet."""
        now = self._now()
        record = plans.known(tx, clearance.account, clearance.plan_id, now)
        if record.state not in plans.WAITING:
            return record, None
        self._permission.check(tx, record, clearance)
        other = operations.find(tx, clearance.account, clearance.plan_id)
        if other is not None and not self.watch.is_due(other):
            return None
        due = self._lease()
        if other is not None:  # of a process that ended while it read the preconditions
            operations.end(tx, operations.take_over(tx, other, due))
        numbers = [c.number for c in record.plan.draft.changes]
        held = operations.holders(tx, clearance.account, self._platform.name, numbers)
        if held:
            raise refusal([held_by(number, plan_id) for number, plan_id in held.items()])
        mine = operations.add(
            tx, clearance.account, clearance.plan_id, self._platform.name, now, due
        )
        operations.hold(tx, mine, numbers)
        return record, mine

    def _begin(
        self, tx: Transaction, mine: Operation, clearance: Clearance, seen: Observed
    ) -> PlanRecord:
        now = self._now()
        operations.keep(tx, mine, self._lease())
        record = plans.known(tx, clearance.account, clearance.plan_id, now)
        if record.state in plans.WAITING:
            self._permission.check(tx, record, clearance)
            record = self._closed_if_moved(tx, record, seen)
        if record.state not in plans.WAITING:
            operations.end(tx, mine)
            return record
        if record.state == "open":
            keep_approval(tx, clearance)
        use_approval(tx, clearance, now)
        count_spent(tx, record, now)
        first = [approved(record, clearance)] if record.state == "open" else []
        return plans.begin(tx, record, now, clearance.approver, clearance.level, first)

    def _closed_if_moved(self, tx: Transaction, record: PlanRecord, seen: Observed) -> PlanRecord:
        moved = preconditions.moved(record.plan, seen)
        if not moved:
            return record
        why = preconditions.in_short(moved)
        return plans.close(tx, record, "stale", self._now(), "", why)

    async def wait(self, record: PlanRecord) -> PlanRecord:
        """Another call or process carries it out: wait for it as long as a call may."""
        deadline = time.monotonic() + self._pace.answer
        fresh = record
        while fresh.state == "applying" and time.monotonic() < deadline:
            await anyio.sleep(_POLL_SECONDS)
            fresh = await self._store.read(lambda tx: plans.find_again(tx, record))
        return fresh

    def _now(self) -> str:
        return stamp(self._clock())

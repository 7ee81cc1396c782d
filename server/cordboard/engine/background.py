"""What goes on at vendors beside the calls of one process, and after processes that are no more."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeVar

import anyio
from anyio.abc import TaskGroup

from cordboard.clock import Clock, later, stamp, steady, system_clock
from cordboard.engine.pace import Pace, Sleep, Timer
from cordboard.engine.permission import Permission
from cordboard.engine.remote import StepByStep
from cordboard.engine.settling import Settling
from cordboard.engine.workers import Workers
from cordboard.errors import CordboardError
from cordboard.platforms import RemotePlatform
from cordboard.stores import Store, Transaction, operations, plans
from cordboard.stores.operations import Operation
from cordboard.stores.plans import PlanRecord

logger = logging.getLogger("cordboard")
_LOOK_SECONDS = 0.1
_AGAIN_SECONDS = 30.0
_CATCH_UP_SECONDS = 5.0
"""How long somebody who asks after a plan waits for what is due to be taken up."""
_PEEK_SECONDS = 0.5
T = TypeVar("T")


class Background:
    """The vendors' platforms of this process: how each is applied, taken up and settled."""

    def __init__(
        self,
        store: Store,
        platforms: Mapping[str, RemotePlatform],
        permission: Permission,
        clock: Clock,
        pace: Pace,
        sleep: Sleep,
        apply_approved: Callable[[PlanRecord], Awaitable[None]],
    ) -> None:
        self._store, self._clock, self._apply_approved = store, clock, apply_approved
        self._workers = Workers()
        self._last_said = ""
        self._not_before: dict[str, str] = {}  # approved plans that could not be applied: try when
        # A clock that is not the machine's is set by hand, and everything goes by it.
        self._sleep = sleep
        timer = self._timer = Timer(
            steady if clock is system_clock else lambda: clock().timestamp()
        )
        self.ways = {
            name: StepByStep(store, platform, permission, self._workers, clock, pace, sleep, timer)
            for name, platform in platforms.items()
        }
        self.settlings = {
            name: Settling(store, platform, clock, pace, timer)
            for name, platform in platforms.items()
        }

    async def caught_up(self, record: PlanRecord, *, patient: bool = False) -> PlanRecord:
        """The record, gone on with or settled first where that is due. `patient`: as long as it
        takes, in a process that was started for this alone."""
        way = self.ways.get(record.plan.platform)
        if way is None or await self._operation(record) is None:
            return record
        longest = way.watch.longest if patient else 0.0
        with anyio.move_on_after(_CATCH_UP_SECONDS + longest):
            await self._recovered(way, record, longest)
        return await self._store.read(lambda tx: plans.find_again(tx, record))

    async def _recovered(self, way: StepByStep, record: PlanRecord, longest: float) -> None:
        """Take it up, within so many seconds, once nobody else is seen to be at it."""
        mine, deadline = False, self._timer.steady() + longest
        while (found := await self._operation(record)) is not None:
            if way.watch.is_due(found) or way.is_recovering(record.plan_id):
                await way.recover(found)
                mine = True
            worth_it = mine or way.watch.is_overdue(found)
            if not worth_it or self._timer.steady() >= deadline:
                return
            await self._sleep(min(_PEEK_SECONDS, max(_LOOK_SECONDS, way.watch.left(found))))

    async def _operation(self, record: PlanRecord) -> Operation | None:
        account, plan_id = record.plan.account, record.plan_id
        return await self._store.glance(lambda tx: operations.find(tx, account, plan_id))

    async def joined(self, record: PlanRecord) -> PlanRecord:
        """The record once what is under way has ended, or as long as a call may wait."""
        way = self.ways.get(record.plan.platform)
        return record if way is None else await way.wait(record)

    @asynccontextmanager
    async def working(self, account: str) -> AsyncIterator[None]:
        """Within, changes outlive the call that began them, and whatever is due is taken up."""

        async def watch() -> None:
            async with anyio.create_task_group() as group:
                while True:
                    for name in self.ways:
                        await self._noted(partial(self._begin, account, group), name)
                    await anyio.sleep(_LOOK_SECONDS)

        async with self._workers.working(watch):
            yield

    async def recover(self, account: str) -> None:
        """Take up everything that is due, and wait for it."""
        async with anyio.create_task_group() as group:
            for name in self.ways:
                await self._begin(account, group, name)

    async def _begin(self, account: str, group: TaskGroup, name: str) -> None:
        """Begin everything that is due at one platform: what a dead process left, what can be
        settled now, and what was approved where it could not be applied."""
        now, way = stamp(self._clock()), self.ways[name]
        until, never = way.watch.bounds()
        listed, waiting = await self._store.glance(
            partial(_waiting, account=account, platform=name, now=now, until=until, never=never)
        )
        way.watch.only(listed)
        for found in listed:
            if way.watch.is_due(found) and not way.is_recovering(found.plan_id):
                group.start_soon(self._noted, way.recover, found)
        for plan_id in waiting:
            if self._not_before.get(plan_id, "") <= now:
                self._not_before[plan_id] = later(self._clock(), _AGAIN_SECONDS)
                group.start_soon(self._noted, partial(self._apply, account), plan_id)

    async def _apply(self, account: str, plan_id: str) -> None:
        record = await self._store.read(lambda tx: plans.find(tx, account, plan_id))
        if record is not None:
            await self._apply_approved(record)

    async def _noted(self, work: Callable[[T], Awaitable[object]], item: T) -> None:
        """Do it; what cannot be done now does not stop the others, and comes up again."""
        try:
            await work(item)
            self._last_said = ""
        except CordboardError as exc:
            if exc.what != self._last_said:  # not twice a second for as long as it lasts
                logger.warning("a change could not be gone on with: %s", exc.what)
            self._last_said = exc.what
        except Exception:  # a bug must not end the server
            logger.exception("a change could not be gone on with")


def _waiting(
    tx: Transaction, *, account: str, platform: str, now: str, until: str, never: str
) -> tuple[list[Operation], list[str]]:
    """The operations due until a moment, and the plans that were approved elsewhere."""
    key = {"account": account, "platform": platform}
    due_key, approved_key = key | {"now": until, "never": never}, key | {"now": now}
    tx.prefetch(("operations_due", due_key), ("plans_approved", approved_key))
    due = operations.due(tx, account, platform, until, never)
    return due, plans.approved(tx, account, platform, now)

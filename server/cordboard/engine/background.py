"""What goes on at vendors beside the calls of one process, and after processes that are no more."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TypeVar

import anyio

from cordboard.clock import Clock, later, stamp
from cordboard.engine.pace import Pace, Sleep
from cordboard.engine.permission import Permission
from cordboard.engine.remote import StepByStep
from cordboard.engine.settling import Settling
from cordboard.engine.workers import Workers
from cordboard.errors import CordboardError
from cordboard.platforms import RemotePlatform
from cordboard.stores import Store, operations, plans
from cordboard.stores.plans import PlanRecord

logger = logging.getLogger("cordboard")
_LOOK_SECONDS = 0.5
_AGAIN_SECONDS = 30.0
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
        self._not_before: dict[str, str] = {}  # approved plans that could not be applied: try when
        self.ways = {
            name: StepByStep(store, platform, permission, self._workers, clock, pace, sleep)
            for name, platform in platforms.items()
        }
        self.settlings = {
            name: Settling(store, platform, clock, pace) for name, platform in platforms.items()
        }

    async def caught_up(self, record: PlanRecord) -> PlanRecord:
        """The record, gone on with or settled first where that is due."""
        way = self.ways.get(record.plan.platform)
        found = await self._store.glance(
            lambda tx: operations.find(tx, record.plan.account, record.plan_id)
        )
        if found is None or way is None:
            return record
        await way.recover(found)
        return await self._store.read(lambda tx: plans.find_again(tx, record))

    async def joined(self, record: PlanRecord) -> PlanRecord:
        """The record once what is under way has ended, or as long as a call may wait."""
        way = self.ways.get(record.plan.platform)
        return record if way is None else await way.wait(record)

    @asynccontextmanager
    async def working(self, account: str) -> AsyncIterator[None]:
        """Within, changes outlive the call that began them, and whatever is due is taken up."""
        async with self._workers.working(lambda: self._watch(account)):
            yield

    async def _watch(self, account: str) -> None:
        while True:
            await self._noted(self.recover, account)
            await anyio.sleep(_LOOK_SECONDS)

    async def recover(self, account: str) -> None:
        """Take up everything that is due: what a dead process left, what can be settled now, and
        what was approved where it could not be applied."""
        now = stamp(self._clock())
        due, waiting = await self._store.glance(
            lambda tx: (operations.due(tx, account, now), plans.approved(tx, account, now))
        )
        async with anyio.create_task_group() as group:
            for found in due:
                if found.platform in self.ways:
                    group.start_soon(self._noted, self.ways[found.platform].recover, found)
            for record in waiting:
                if (
                    record.plan.platform in self.ways
                    and self._not_before.get(record.plan_id, "") <= now
                ):
                    self._not_before[record.plan_id] = later(self._clock(), _AGAIN_SECONDS)
                    group.start_soon(self._noted, self._apply_approved, record)

    async def _noted(self, work: Callable[[T], Awaitable[object]], item: T) -> None:
        """Do it; what cannot be done now does not stop the others, and comes up again."""
        try:
            await work(item)
        except CordboardError as exc:
            logger.warning("a change could not be gone on with: %s", exc.what)
        except Exception:  # a bug must not end the server
            logger.exception("a change could not be gone on with")

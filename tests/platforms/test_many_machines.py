"""Several servers at one PostgreSQL database, and vendors between them: no two clocks agree.

A clock set by hand is here the steady one of its server too: it tells how much time has passed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import pytest
from tests.platforms.vendors import B_FREE, B_FREE_TOO, SUPPORT, Vendors, passing, vendors
from tests.platforms.wire import Fault, Wire
from tests.world import EMPTY, Clock, Reply, World, Worlds, many, names

from cordboard.app import build_server
from cordboard.config import load
from cordboard.stores import operations

pytestmark = pytest.mark.anyio

AT_SUPPORT = f"bland:{SUPPORT}"
QUIET, REQUEST = 0.3, 0.1
LEASE = WINDOW = QUIET / 2
TICK = LEASE / 3
APART = pytest.mark.parametrize("hours", [1.0, -1.0])
"""By how much the other machine's clock is ahead."""
SLOW = pytest.mark.parametrize("machines", [60.0], indirect=True)
"""A request may take long."""


@pytest.fixture
def store_kind() -> str:
    return "postgres"


class Hurried(Clock):
    """A second passes whenever somebody looks at it."""

    def __call__(self) -> datetime:
        self.advance(1)
        return self.now


@pytest.mark.parametrize("before", range(1, 16))
async def test_a_plan_that_expires_while_it_begins_is_told_as_expired_or_applied(
    make_world: Worlds, before: int
) -> None:
    """Wherever the moment falls: between any two looks at the clock."""
    clock = Hurried()
    at = vendors(clock)
    world = make_world(EMPTY, policy="relaxed", clock=clock, outside=at.outside, **at.environ)
    asked = await world.call("attach_numbers", agent=AT_SUPPORT, numbers=[B_FREE])
    clock.now = datetime.fromisoformat(asked["approve"]["expires_at"])
    clock.advance(-before)
    told = await world.call("apply_plan", plan_id=asked.plan_id)
    done = at.bland.state.numbers[B_FREE].persona == SUPPORT
    assert told.status == ("applied" if done else "plan_rejected"), told.text


# --- clocks that differ -----------------------------------------------------------------------


class Killed(BaseException):
    """The process ends here: nothing of what it would do next is done."""


@dataclass
class Way(httpx.AsyncBaseTransport):
    """One machine's way to the vendor. A request of the method `holds` stays on it until `opened`;
    one of the method `kills` is on its way, and its process ends."""

    wire: Wire
    holds: str = ""
    kills: str = ""
    lands: Callable[[httpx.Request], None] = lambda request: None
    arrived: anyio.Event = field(default_factory=anyio.Event)
    opened: anyio.Event = field(default_factory=anyio.Event)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.method == self.kills:
            self.lands(request)
            raise Killed
        if request.method == self.holds:
            self.arrived.set()
            await self.opened.wait()
        return await self.wire.handle_async_request(request)


@dataclass
class Machines:
    """Servers at one database, each with a clock of its own; time passes for all of them."""

    here: World
    at: Vendors
    way: Way

    def another(self, hours: float) -> World:
        """A server on a machine whose clock is so much ahead."""
        base, world = self.at.clock, self.here
        clock = Ahead(base, hours)
        outside = {**self.at.outside, "sleep": passing(base)}
        server = build_server(load(world.environ), clock, **outside)
        world.others.append(server)
        return World(
            world.home, clock, server, outside=outside, environ=world.environ, url=world.url
        )

    async def planned(self, *numbers: str) -> str:
        asked = await self.here.call("attach_numbers", agent=AT_SUPPORT, numbers=list(numbers))
        assert asked.status == "confirmation_required", asked.text
        return asked.plan_id

    async def apply(self, plan_id: str) -> Reply:
        return await self.here.call("apply_plan", plan_id=plan_id)

    async def killed(self, plan_id: str, lands_after: float) -> None:
        """Apply it at the first machine, whose process ends while the write is on its way."""
        at, wire = self.at, self.way.wire

        def land(request: httpx.Request) -> None:
            moment = at.clock.now.timestamp() + lands_after
            at.bland.later(moment, lambda: wire.deliver(request))

        self.way.kills, self.way.lands = "POST", land
        with pytest.raises(BaseExceptionGroup) as ended:
            await self.apply(plan_id)
        assert ended.group_contains(Killed)

    async def operation(self, plan_id: str) -> operations.Operation | None:
        return await self.here.app.store.read(lambda tx: operations.find(tx, "default", plan_id))

    async def kept(self, plan_id: str) -> None:
        """Let a third of a lease pass, in which the first machine's process says that it lives."""
        before = await self.operation(plan_id)
        self.at.clock.advance(TICK)
        with anyio.fail_after(30):
            while await self.operation(plan_id) == before:
                await anyio.lowlevel.checkpoint()

    async def settled(self, plan_id: str, *others: World) -> float:
        """Have these servers look, time and again, until one has settled it; how long that took."""
        for turn in range(100):
            if await self.operation(plan_id) is None:
                return turn * TICK
            for other in others:
                await other.app.engine.recover("default")
            self.at.clock.advance(TICK)
        raise AssertionError("it is held for ever")


class Ahead(Clock):
    """Another clock, so many hours ahead of it."""

    def __init__(self, base: Clock, hours: float) -> None:
        super().__init__()
        self._base, self._hours = base, timedelta(hours=hours)

    def __call__(self) -> datetime:
        return self._base() + self._hours


@pytest.fixture
def machines(make_world: Worlds, request: pytest.FixtureRequest) -> Machines:
    """Its parameter: how long a request may take, in seconds."""
    at = vendors(Clock())
    way = Way(at.wires["bland"])
    outside = {**at.outside, "transports": {**at.wires, "bland": way}}
    told: dict[str, Any] = {**at.environ, "quiet_seconds": QUIET}
    told["request_seconds"] = getattr(request, "param", REQUEST)
    here = make_world(EMPTY, policy="relaxed", clock=at.clock, outside=outside, **told)
    return Machines(here, at, way)


@APART
@pytest.mark.parametrize("holds", ["GET", "POST"])
@SLOW
async def test_a_slow_change_is_not_taken_over_by_a_machine_whose_clock_differs(
    machines: Machines, hours: float, holds: str
) -> None:
    plan_id = await machines.planned(B_FREE)
    other = machines.another(hours)
    machines.way.holds = holds
    answers: list[Reply] = []

    async def apply() -> None:
        answers.append(await machines.apply(plan_id))

    async with anyio.create_task_group() as group:
        group.start_soon(apply)
        with anyio.fail_after(30):
            await machines.way.arrived.wait()
        for _ in range(12):
            await other.app.engine.recover("default")
            await machines.kept(plan_id)
        machines.way.opened.set()
    assert [answer.status for answer in answers] == ["applied"], answers[0].text
    assert len(machines.at.bland.writes) == 1


@APART
async def test_what_a_killed_process_sent_is_settled_by_a_machine_whose_clock_differs(
    machines: Machines, hours: float
) -> None:
    plan_id = await machines.planned(B_FREE, B_FREE_TOO)
    other = machines.another(hours)
    await machines.killed(plan_id, lands_after=QUIET - 0.01)
    took = await machines.settled(plan_id, other)
    told = await other.call("get_plan", plan_id=plan_id)
    assert told.status == "applied", told.text
    assert len(machines.at.bland.writes) == 1
    assert took <= LEASE + WINDOW + QUIET


async def test_machines_whose_clocks_differ_do_not_take_it_from_each_other_for_ever(
    machines: Machines,
) -> None:
    plan_id = await machines.planned(B_FREE)
    others = [machines.another(hours) for hours in (1.0, -1.0, 0.001)]
    await machines.killed(plan_id, lands_after=QUIET - 0.01)
    took = await machines.settled(plan_id, *others)
    told = await others[0].call("get_plan", plan_id=plan_id)
    assert told.status == "applied", told.text
    assert took <= LEASE + WINDOW + 2 * QUIET


@APART
async def test_a_lost_answer_is_not_settled_by_a_clock_that_differs(
    machines: Machines, hours: float
) -> None:
    plan_id = await machines.planned(B_FREE)
    other = machines.another(hours)
    machines.way.wire.faults.append(Fault("late", seconds=QUIET - 0.01))
    lost = await machines.apply(plan_id)
    assert lost.status == "unknown", lost.text
    await machines.settled(plan_id, other)
    told = await other.call("get_plan", plan_id=plan_id)
    assert told.status == "applied", told.text


@APART
async def test_a_process_that_runs_for_one_call_settles_what_another_machine_left(
    machines: Machines, hours: float
) -> None:
    """It looks for as long as it must, there and then: the next one would know no more."""
    plan_id = await machines.planned(B_FREE)
    await machines.killed(plan_id, lands_after=QUIET - 0.01)
    machines.at.clock.advance(2 * 3600)
    other = machines.another(hours)
    record = await other.app.service.approvals.find(plan_id)
    settled = await other.app.engine.settle(record, {})
    assert settled.state == "applied"


@pytest.mark.parametrize("hours", [0.1, -1.0])
@SLOW
async def test_what_a_server_that_is_shut_down_leaves_is_gone_on_with_at_once(
    machines: Machines, hours: float
) -> None:
    """It says so itself, so nobody need wait to see that it is gone. By a clock that is more than
    ten minutes ahead it broke off too long ago: then what was not sent is told as not sent."""
    at, here, other = machines.at, machines.here, machines.another(hours)
    numbers = names(many(8))
    for number in numbers:
        at.bland.add_number(number, SUPPORT)
    asked = await here.call("detach_numbers", agent=AT_SUPPORT, numbers=numbers)
    machines.way.holds = "POST"
    stop = anyio.Event()

    async def serve() -> None:
        async with here.app.engine.working("default"):
            await stop.wait()

    async with anyio.create_task_group() as group:
        group.start_soon(serve)
        await anyio.wait_all_tasks_blocked()
        group.start_soon(machines.apply, asked.plan_id)
        with anyio.fail_after(30):
            await machines.way.arrived.wait()
        stop.set()
        await anyio.wait_all_tasks_blocked()
        machines.way.opened.set()
    left = [n for n in numbers if at.bland.state.numbers[n].persona == SUPPORT]
    assert 0 < len(left) < len(numbers), "it was shut down in the middle"
    await other.app.engine.recover("default")
    assert not any(at.bland.state.numbers[n].persona for n in numbers)
    assert await machines.operation(asked.plan_id) is None

"""Batches under way: frozen, hung up on, asked for again, and struck by any sequence of faults."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import anyio
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from mcp import Client
from tests.platforms.asked import (
    AT_DESK,
    AT_NIGHT,
    AT_SALES,
    AT_SUPPORT,
    REQUESTS,
    THIRD,
    attach,
    by_hand,
    detach,
    move,
)
from tests.platforms.oracle import B_MORE, S_MORE, Request, Scene, scene
from tests.platforms.vendors import B_ALSO_HELD, B_HELD, S_DESK, S_HELD, SUPPORT
from tests.platforms.wire import KINDS, Fault
from tests.world import Reply, read

pytestmark = pytest.mark.anyio

AT_ONCE = 4
"""How many writes are under way at one time."""
BATCH = detach("bland detach of 6", AT_SUPPORT, *B_MORE)
B_FEW = B_MORE[:3]  # one fewer than may be under way, so that reads get through to the vendor
FEW = detach("bland detach of 3", AT_SUPPORT, *B_FEW)
MOVES = {request.name: request for request in REQUESTS if request.name in
         ("bland move with pathway", "bland move from V2", "synthflow move")}  # fmt: skip


@asynccontextmanager
async def in_the_middle(request: Request, policy: str = "relaxed") -> AsyncIterator[Scene]:
    """A scene in which the batch's numbers are held, and writes wait at the vendor's door."""
    async with scene(request, policy) as at:
        for number in B_MORE:
            at.at.bland.state.numbers[number].persona = SUPPORT
        at.wire.door = at.door
        yield at


async def applied(at: Scene, plan: Reply, told: list[Reply]) -> None:
    """Apply a plan, and once more where it could not even be begun; `told` gets the answer."""
    reply = await at.apply(plan)
    for _ in range(20):
        if not reply.is_error:
            break
        reply = await at.apply(plan)
    told.append(await at.look(reply))


def outcomes(reply: Reply) -> list[str]:
    return sorted(f"{c['outcome']} {c['detail']}".strip() for c in reply["changes"])


# --- a freeze -------------------------------------------------------------------------------------


async def test_a_freeze_stops_what_was_not_sent_and_what_was_sent_is_recorded() -> None:
    async with in_the_middle(BATCH) as at:
        plan = await at.planned()
        told: list[Reply] = []
        async with anyio.create_task_group() as group:
            group.start_soon(applied, at, plan, told)
            await at.wire.waiting(AT_ONCE)
            await at.call("freeze_changes", reason="something is wrong")
            at.door.set()
        reply = await at.ends(told[0])
        assert reply.status == "partly_applied" and len(at.wire.writes) == AT_ONCE
        assert [said.split(":")[0] for said in outcomes(reply)] == (
            ["applied"] * AT_ONCE + ["not_applied not sent"] * 2
        )
        assert "Changes are frozen" in reply.message


@pytest.mark.parametrize("kind", ["reset_before", "reset_after"])
@pytest.mark.parametrize("request_", MOVES.values(), ids=MOVES)
async def test_a_number_on_the_move_is_seen_through_although_changes_were_frozen_meanwhile(
    request_: Request, kind: str
) -> None:
    async with scene(request_) as at:
        plan = await at.planned()
        at.wire.faults.append(Fault(kind, skip=1))
        reply = await at.look(await at.apply(plan))
        assert reply.status == "unknown"
        await at.call("freeze_changes", reason="something is wrong")
        reply = await at.ends(reply)
        assert reply.status == "applied", reply.text


@pytest.mark.parametrize("name", MOVES)
async def test_a_number_is_put_back_although_changes_were_frozen_meanwhile(name: str) -> None:
    async with scene(MOVES[name]) as at:
        plan = await at.planned()
        at.fake.lag = 12  # so long that the refusal is decided only after the quiet period
        at.wire.faults.append(Fault("errors_in_200", skip=1, times=2))
        reply = await at.look(await at.apply(plan))
        assert reply.status == "unknown"
        await at.call("freeze_changes", reason="something is wrong")
        reply = await at.ends(reply)
        [number] = at.asked["numbers"]
        assert set(at.holders(number)) == {at.asked["from_agent"]}, reply.text


async def test_a_number_whose_first_write_came_to_nothing_is_not_begun_again_when_frozen() -> None:
    async with scene(MOVES["synthflow move"]) as at:
        plan = await at.planned()
        at.wire.faults.append(Fault("reset_before"))
        reply = await at.look(await at.apply(plan))
        await at.call("freeze_changes", reason="something is wrong")
        reply = await at.ends(reply)
        assert [c["outcome"] for c in reply["changes"]] == ["not_applied"]
        assert len(at.wire.writes) == 1


TURNS = (BATCH, move("bland move of 6", AT_SUPPORT, AT_SALES, *B_MORE))


@pytest.mark.parametrize("request_", TURNS, ids=lambda request: request.name)
async def test_a_number_that_others_took_before_its_turn_came_is_left_to_them(
    request_: Request,
) -> None:
    async with in_the_middle(request_) as at:
        plan = await at.planned()
        taken = B_MORE[-1]
        told: list[Reply] = []
        async with anyio.create_task_group() as group:
            group.start_soon(applied, at, plan, told)
            await at.wire.waiting(AT_ONCE)
            by_hand(at, taken, "given")
            at.door.set()
        reply = await at.ends(told[0])
        [left] = [c for c in reply["changes"] if c["outcome"] == "not_applied"]
        assert left["number"] == taken and left["detail"].startswith("not sent: it changed")
        assert set(at.holders(taken)) == {f"bland:{THIRD}"}


# --- callers that hang up, and callers that ask again ---------------------------------------------


async def test_a_caller_that_cancels_stops_what_was_not_sent_and_get_plan_tells_the_rest(
    era: str,
) -> None:
    async with in_the_middle(BATCH) as at, Client(at.world.server, mode=era) as client:
        plan = await at.planned()
        async with anyio.create_task_group() as group:
            group.start_soon(client.call_tool, "apply_plan", {"plan_id": plan.plan_id})
            await at.wire.waiting(AT_ONCE)
            group.cancel_scope.cancel()
        await client.call_tool("get_plan", {"plan_id": plan.plan_id})  # after the cancellation
        at.door.set()
        reply = read(await client.call_tool("apply_plan", {"plan_id": plan.plan_id}))
        reply = await at.ends(reply)
        assert len(at.wire.writes) == AT_ONCE
        assert [said.split(":")[0] for said in outcomes(reply)] == (
            ["applied"] * AT_ONCE + ["not_applied not sent"] * 2
        )
        assert "was cancelled" in reply.message


async def test_the_same_call_again_while_it_is_under_way_joins_it_and_sends_nothing() -> None:
    async with in_the_middle(FEW) as at:
        plan = await at.planned()
        told: list[Reply] = []
        async with anyio.create_task_group() as group:
            group.start_soon(applied, at, plan, told)
            await at.wire.waiting(len(B_FEW))
            group.start_soon(applied, at, plan, told)
            at_work = await at.look(await at.call("get_plan", plan_id=plan.plan_id))
            assert at_work.status == "applying" and at_work["counts"]["planned"] == len(B_FEW)
            anew = await at.call(FEW.tool, **FEW.arguments)
            assert anew.code == "NUMBER_HELD" and plan.plan_id in anew.text
            at.door.set()
        assert {reply.plan_id for reply in told} == {plan.plan_id}
        assert [reply.status for reply in told] == ["applied", "applied"]
        await at.ends(told[0])
        assert len(at.wire.writes) == len(B_FEW)


# --- an undo that came only part of the way --------------------------------------------------------

UNDOS = {
    "bland move of 2": move("", AT_SUPPORT, AT_SALES, B_HELD, B_ALSO_HELD),
    "bland detach of 2": detach("", AT_SUPPORT, B_HELD, B_ALSO_HELD),
    "synthflow attach of 2": attach("", AT_DESK, *S_MORE[:2]),
}


@pytest.mark.parametrize("kind", ["errors_in_200", "reset_before", "reset_after"])
@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("name", UNDOS)
async def test_an_undo_that_came_part_of_the_way_is_finished_by_asking_again(
    name: str, place: int, kind: str
) -> None:
    async with scene(Request(f"undo of {name}", "undo_plan", {}, undoes=UNDOS[name])) as at:
        plan = await at.planned()
        at.wire.faults.append(Fault(kind, skip=place))
        await at.finished(await at.ends(await at.apply(plan)))


# --- any sequence of faults -----------------------------------------------------------------------

PAIRS = {
    "bland": (move("bland", AT_SUPPORT, AT_SALES, B_HELD, B_ALSO_HELD, B_MORE[0]),
              attach("bland", AT_SALES, *B_MORE[1:3])),
    "synthflow": (move("synthflow", AT_DESK, AT_NIGHT, S_HELD, *S_MORE[:2]),
                  attach("synthflow", AT_DESK, *S_MORE[2:4])),
}  # fmt: skip

# That a read answers about another account's numbers is beyond what can be told.
some_faults = st.lists(
    st.builds(
        Fault,
        kind=st.sampled_from(sorted(KINDS)),
        on=st.sampled_from(["write", "write", "write", "read"]),
        times=st.integers(1, 6),
        seconds=st.sampled_from([2.0, 40.0]),
        skip=st.integers(0, 6),
    ),
    min_size=1,
    max_size=3,
).filter(lambda faults: all(f.on == "write" or f.kind != "another_object" for f in faults))


@settings(
    max_examples=60,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(platform=st.sampled_from(sorted(PAIRS)), faults=some_faults, lag=st.sampled_from([0.0, 5.0]))
async def test_a_move_of_three_and_an_attach_of_two_at_once_survive_any_faults(
    platform: str, faults: Sequence[Fault], lag: float
) -> None:
    pair = moving, attaching = PAIRS[platform]
    async with scene(moving) as at:
        at.at.bland.state.numbers[B_MORE[0]].persona = SUPPORT
        at.at.synthflow.state.agents[S_DESK].pool += S_MORE[:2]
        plans = [await at.planned(), await at.call(attaching.tool, **attaching.arguments)]
        at.fake.lag = lag
        at.wire.faults += faults
        told: list[Reply] = []
        async with anyio.create_task_group() as group:
            for plan in plans:
                group.start_soon(applied, at, plan, told)
        of_request = {plan.plan_id: request for plan, request in zip(plans, pair, strict=True)}
        settled = [await at.settled(reply) for reply in told]
        for ended in [await at.ends(reply) for reply in settled]:
            await at.finished(ended, of_request[ended.plan_id])

"""Changes at vendors, end to end: asked for by a tool, approved, written at the wire, read back."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from tests.platforms.fake_synthflow import FakeNumber
from tests.platforms.vendors import (
    B_FREE,
    B_HELD,
    B_SALES,
    FRONT,
    OPENING,
    S_DESK,
    SALES,
    SUPPORT,
    U_AGENT,
    U_FREE,
    Vendors,
    vendors,
)
from tests.platforms.wire import Fault
from tests.world import EMPTY, Clock, Person, Reply, SeedNumber, World, Worlds, many, names

from cordboard.answers import ChangeResult
from cordboard.clock import stamp
from cordboard.identity import operator
from cordboard.request import Asked
from cordboard.service import Caller
from cordboard.stores import Transaction, operations, plans

pytestmark = pytest.mark.anyio

AT_SUPPORT, AT_SALES = f"bland:{SUPPORT}", f"bland:{SALES}"


@pytest.fixture
def at() -> Vendors:
    return vendors(Clock())


@pytest.fixture
def world(make_world: Worlds, at: Vendors) -> World:
    return make_world(EMPTY, clock=at.clock, outside=at.outside, **at.environ)


async def test_a_free_number_is_attached_at_bland_once_a_person_said_yes(
    world: World, at: Vendors
) -> None:
    person = Person("yes")
    done = await world.call("attach_numbers", agent=AT_SUPPORT, numbers=[B_FREE], person=person)
    assert done.status == "applied", done.text
    assert at.bland.state.numbers[B_FREE].persona == SUPPORT
    assert await world.events() == [
        "planned", "asked", "approved", "applying", "sending", "confirmed", "applied",
    ]  # fmt: skip


async def test_a_detach_and_its_undo_bring_the_settings_back(world: World, at: Vendors) -> None:
    yes = Person("yes")
    gone = await world.call("detach_numbers", agent=AT_SALES, numbers=[B_SALES], person=yes)
    assert gone.status == "applied", gone.text
    assert at.bland.state.numbers[B_SALES].persona is None
    back = await world.call("undo_plan", plan_id=gone.plan_id, person=yes)
    assert back.status == "applied", back.text
    assert at.bland.state.numbers[B_SALES].persona == SALES
    assert at.bland.state.numbers[B_SALES].settings == OPENING


async def test_a_move_tells_for_how_long_nobody_answered(world: World, at: Vendors) -> None:
    done = await world.call(
        "move_numbers",
        from_agent=AT_SUPPORT,
        to_agent=AT_SALES,
        numbers=[B_HELD],
        person=Person("yes"),
    )
    assert done.status == "applied", done.text
    assert "unrouted for" in done["changes"][0]["detail"]
    assert at.bland.state.numbers[B_HELD].persona == SALES


async def test_a_lost_answer_is_unknown_until_the_quiet_period_is_over(
    world: World, at: Vendors
) -> None:
    at.wires["bland"].faults.append(Fault("reset_after"))
    lost = await world.call(
        "attach_numbers", agent=AT_SUPPORT, numbers=[B_FREE], person=Person("yes")
    )
    assert lost.status == "unknown", lost.text
    again = await world.call("get_plan", plan_id=lost.plan_id)
    assert again.status == "unknown"
    at.clock.advance(60)
    settled = await world.call("get_plan", plan_id=lost.plan_id)
    assert settled.status == "applied", settled.text
    assert len(at.bland.writes) == 1


async def test_of_very_many_numbers_that_moved_the_first_are_named_and_the_others_counted(
    make_world: Worlds, at: Vendors
) -> None:
    numbers = names(many(250))
    for number in numbers:
        at.bland.add_number(number)
    world = make_world(EMPTY, policy="relaxed", clock=at.clock, outside=at.outside, **at.environ)
    caller = Caller(operator(world.settings.account, world.settings.principal))
    wanted = Asked("attach", AT_SUPPORT, tuple(numbers))
    planned = await world.app.service.changes.change(caller, wanted, "")
    assert isinstance(planned, ChangeResult)
    for number in numbers:
        at.bland.state.numbers[number].persona = SALES
    told = await world.call("apply_plan", plan_id=planned.plan_id)
    assert told.status == "plan_rejected" and "… and 50 more" in told.message, told.text


# --- what settling must not take for the truth ------------------------------------------------

IMPORTED = "+14155552222"


async def later_told(world: World, at: Vendors, plan_id: str) -> Reply:
    """What is told of a plan once the quiet period is over."""
    at.clock.advance(60)
    return await world.call("get_plan", plan_id=plan_id)


@pytest.mark.parametrize("fault", ["reset_before", "reset_after"])
@pytest.mark.parametrize("shown", [True, False])
async def test_a_number_that_no_list_shows_is_settled_by_its_own_agent(
    world: World, at: Vendors, fault: str, shown: bool
) -> None:
    """Synthflow leaves imported numbers out of its list; that is not the same as free."""
    at.synthflow.state.numbers[IMPORTED] = FakeNumber(slug="imp-1", listed=False, shown=shown)
    at.synthflow.state.agents[S_DESK].pool.append(IMPORTED)
    at.wires["synthflow"].faults.append(Fault(fault))
    lost = await world.call(
        "detach_numbers", agent=f"synthflow:{S_DESK}", numbers=[IMPORTED], person=Person("yes")
    )
    assert lost.status == "unknown", lost.text
    settled = await later_told(world, at, lost.plan_id)
    gone = IMPORTED not in at.synthflow.state.agents[S_DESK].pool
    assert settled["changes"][0]["outcome"] == ("applied" if gone else "not_applied"), settled.text


async def test_an_agent_whose_numbers_bland_does_not_show_is_never_said_to_have_none(
    world: World, at: Vendors
) -> None:
    at.bland.lists_twins = at.bland.shows_twins = False
    at.wires["bland"].faults.append(Fault("reset_after"))
    lost = await world.call(
        "attach_numbers", agent=f"bland:agent-{FRONT}", numbers=[B_FREE], person=Person("yes")
    )
    settled = await later_told(world, at, lost.plan_id)
    assert settled["changes"][0]["outcome"] == "unknown", settled.text
    assert "cordboard plans settle" in settled.message


async def test_a_test_number_can_be_attached_where_nobody_tells_what_an_agent_answers(
    make_world: Worlds, at: Vendors
) -> None:
    seed = EMPTY.but(numbers=(SeedNumber(U_FREE, "exotel", purpose="TEST"),), providers=("exotel",))
    world = make_world(seed, clock=at.clock, outside=at.outside, **at.environ)
    asked = await world.call("attach_numbers", agent=f"unleashx:{U_AGENT}", numbers=[U_FREE])
    assert asked.status == "awaiting_approval", asked.text


async def test_a_number_that_a_silent_platform_may_hold_is_not_said_to_be_nobodys(
    world: World,
) -> None:
    route = await world.call("get_number_route", number=U_FREE)
    assert route["inbound"] == [] and "unleashx" in route.message
    assert any("unleashx does not tell" in note for note in route["notes"])


async def test_a_store_that_is_gone_is_named_also_where_every_platform_is_asked(
    world: World,
) -> None:
    await world.call("list_numbers")
    world.database.write_bytes(b"this is no store" * 100)
    route = await world.call("get_number_route", number=B_FREE)
    assert route.code == "STORE_UNAVAILABLE", route.text


# --- what recovery must not do ----------------------------------------------------------------


async def begun_and_left(world: World) -> str:
    """A plan under way whose process ended before its first write: as the store has it then."""
    planned = await world.call("attach_numbers", agent=AT_SUPPORT, numbers=[B_FREE])
    assert planned.status == "confirmation_required", planned.text
    moment = stamp(world.clock())

    def leave(tx: Transaction) -> None:
        record = plans.find(tx, "default", planned.plan_id)
        assert record is not None
        mine = operations.add(tx, "default", planned.plan_id, "bland", moment, moment)
        operations.hold(tx, mine, [B_FREE])
        plans.begin(tx, record, moment, "root", "plan", [])

    await world.app.store.write(leave)
    return planned.plan_id


async def test_another_process_goes_on_with_what_was_not_sent(
    make_world: Worlds, at: Vendors
) -> None:
    world = make_world(EMPTY, policy="relaxed", clock=at.clock, outside=at.outside, **at.environ)
    plan_id = await begun_and_left(world)
    done = await world.another("relaxed", **at.environ).call("get_plan", plan_id=plan_id)
    assert done.status == "applied", done.text
    assert at.bland.state.numbers[B_FREE].persona == SUPPORT


async def test_a_process_whose_policy_demands_more_sends_nothing_of_it(
    make_world: Worlds, at: Vendors
) -> None:
    world = make_world(EMPTY, policy="relaxed", clock=at.clock, outside=at.outside, **at.environ)
    plan_id = await begun_and_left(world)
    told = await world.another("strict", **at.environ).call("get_plan", plan_id=plan_id)
    assert told["changes"][0]["outcome"] == "not_applied", told.text
    assert "policy demands person" in told["changes"][0]["detail"]
    assert at.bland.writes == []


async def test_a_plan_whose_text_was_edited_after_it_began_is_not_gone_on_with(
    make_world: Worlds, at: Vendors
) -> None:
    world = make_world(EMPTY, policy="relaxed", clock=at.clock, outside=at.outside, **at.environ)
    plan_id = await begun_and_left(world)
    await world.app.store.close()
    with closing(sqlite3.connect(world.database)) as db:
        db.execute("UPDATE plan SET body = replace(body, ?, ?)", (SUPPORT, SALES))
        db.commit()
    told = await world.another("relaxed", **at.environ).call("get_plan", plan_id=plan_id)
    assert told.status == "unknown", told.text
    assert "edited" in told["changes"][0]["detail"]
    assert at.bland.writes == []


async def test_a_read_only_process_goes_on_with_nothing(make_world: Worlds, at: Vendors) -> None:
    world = make_world(EMPTY, policy="relaxed", clock=at.clock, outside=at.outside, **at.environ)
    plan_id = await begun_and_left(world)
    quiet = world.another("relaxed", CORDBOARD_READ_ONLY="1", **at.environ)
    told = await quiet.call("get_plan", plan_id=plan_id)
    assert told.status == "applying" and at.bland.writes == []


async def test_a_move_whose_second_write_is_lost_again_and_again_is_put_back(
    make_world: Worlds, at: Vendors
) -> None:
    """Callers must not meet nobody for as long as a vendor is ill at one agent."""
    world = make_world(EMPTY, policy="relaxed", clock=at.clock, outside=at.outside, **at.environ)
    target = rf"POST .*{SALES}/inbound/attach"
    at.wires["bland"].faults.append(Fault("error_before", on=target, times=1000))
    planned = await world.call(
        "move_numbers", from_agent=AT_SUPPORT, to_agent=AT_SALES, numbers=[B_HELD]
    )
    told = await world.call("apply_plan", plan_id=planned.plan_id)
    for _ in range(4):
        assert told.status in ("unknown", "plan_rejected"), told.text
        told = await later_told(world, at, planned.plan_id)
    assert told.status == "plan_rejected", told.text
    assert "put back as it was" in told["changes"][0]["detail"]
    assert at.bland.state.numbers[B_HELD].persona == SUPPORT
    tries = [r for r in at.wires["bland"].requests if f"{SALES}/inbound/attach" in r.path]
    assert len(tries) == 2
    again = await world.call("detach_numbers", agent=AT_SUPPORT, numbers=[B_HELD])
    assert again.status == "confirmation_required", again.text


async def test_a_number_that_nobody_answers_is_looked_at_again_after_a_few_seconds(
    make_world: Worlds, at: Vendors
) -> None:
    """Nothing of a write that was refused is under way: there is no quiet period to wait for."""
    world = make_world(EMPTY, policy="relaxed", clock=at.clock, outside=at.outside, **at.environ)
    target = rf"POST .*{SALES}/inbound/attach"
    planned = await world.call(
        "move_numbers", from_agent=AT_SUPPORT, to_agent=AT_SALES, numbers=[B_HELD]
    )
    at.wires["bland"].faults.append(Fault("rate_limited", on=target, times=4))
    told = await world.call("apply_plan", plan_id=planned.plan_id)
    assert told.status == "unknown", told.text
    at.clock.advance(6)
    told = await world.call("get_plan", plan_id=planned.plan_id)
    assert told.status == "applied", told.text
    assert at.bland.state.numbers[B_HELD].persona == SALES


async def test_a_clock_that_was_set_back_does_not_hold_a_number_for_that_long(
    make_world: Worlds, at: Vendors
) -> None:
    world = make_world(EMPTY, policy="relaxed", clock=at.clock, outside=at.outside, **at.environ)
    at.wires["bland"].faults.append(Fault("reset_after"))
    planned = await world.call("attach_numbers", agent=AT_SUPPORT, numbers=[B_FREE])
    lost = await world.call("apply_plan", plan_id=planned.plan_id)
    assert lost.status == "unknown"
    at.clock.advance(-25 * 3600)
    at.bland.forget_the_past()
    other = world.another("relaxed", **at.environ)  # it knows nothing of when it was sent
    counted_anew = await other.call("get_plan", plan_id=planned.plan_id)
    assert counted_anew.status == "unknown", counted_anew.text
    at.clock.advance(60)
    settled = await other.call("get_plan", plan_id=planned.plan_id)
    assert settled.status == "applied", settled.text


async def test_a_clock_that_jumps_ahead_does_not_end_the_quiet_period(
    make_world: Worlds, at: Vendors, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of its own requests a process knows by a clock that nobody sets."""
    monkeypatch.setattr("cordboard.engine.background.system_clock", at.clock)
    world = make_world(EMPTY, policy="relaxed", clock=at.clock, outside=at.outside, **at.environ)
    at.wires["bland"].faults.append(Fault("late", seconds=3610))
    planned = await world.call("attach_numbers", agent=AT_SUPPORT, numbers=[B_FREE])
    lost = await world.call("apply_plan", plan_id=planned.plan_id)
    at.clock.advance(3600)
    told = await world.call("get_plan", plan_id=lost.plan_id)
    assert told.status == "unknown", told.text

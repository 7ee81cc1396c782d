"""Changes at vendors, end to end: asked for by a tool, approved, written at the wire, read back."""

from __future__ import annotations

import pytest
from tests.platforms.vendors import (
    B_FREE,
    B_HELD,
    B_SALES,
    OPENING,
    SALES,
    SUPPORT,
    Vendors,
    vendors,
)
from tests.platforms.wire import Fault
from tests.world import EMPTY, Clock, Person, World, Worlds

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

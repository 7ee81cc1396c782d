"""A plan's life: made, found again, applied once, expired, stale, discarded; and the history."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.world import (
    PROTECTED,
    SECOND_LINE,
    SEEDS,
    SUPPORT_LINE,
    TEST_ONE,
    TEST_THREE,
    TEST_TWO,
    Person,
    Reply,
    SeedNumber,
    World,
    Worlds,
    many,
    names,
)

pytestmark = pytest.mark.anyio
ON_EVERY_STORE = True

ATTACH: dict[str, Any] = {"agent": "local:support", "numbers": [TEST_ONE]}
SHAPE = {
    "status", "message", "plan_id", "action", "changes", "counts", "warnings", "guard", "approve",
}  # fmt: skip


async def planned(world: World, **given: Any) -> Reply:
    """An open plan to attach TEST_ONE to local:support, unless told otherwise."""
    reply = await world.call("attach_numbers", **ATTACH | given)
    assert reply.status in ("confirmation_required", "awaiting_approval")
    return reply


async def applied(world: World, **given: Any) -> Reply:
    reply = await world.call("apply_plan", plan_id=(await planned(world, **given)).plan_id)
    assert reply.status == "applied"
    return reply


# What a plan says


async def test_a_plan_says_what_would_change_and_how_to_go_on(world: World, era: str) -> None:
    reply = await planned(world, era=era)
    assert set(reply.data) == SHAPE
    assert reply.status == "confirmation_required"
    assert reply.plan_id.startswith("plan_") and len(reply.plan_id) == 29
    assert reply["guard"] == {
        "required": "plan", "used": "", "by": "", "why": reply["guard"]["why"],
    }  # fmt: skip
    assert reply["guard"]["why"]
    assert reply["approve"] == {
        "how": "apply_plan", "url": "", "command": "", "expires_at": "2026-01-31T10:00:00.000Z",
    }  # fmt: skip
    assert "Nothing has changed yet" in reply.message
    assert f"apply_plan with plan_id {reply.plan_id}" in reply.message
    assert set(reply["counts"]) == {"planned", "unchanged", "applied", "not_applied", "unknown"}
    assert set(reply["changes"][0]) == {
        "number", "direction", "before", "after", "outcome", "detail",
    }  # fmt: skip


async def test_a_plan_a_person_must_approve_stands_a_day_and_names_the_command(
    world: World, era: str
) -> None:
    reply = await planned(world, era=era, numbers=[PROTECTED])
    assert reply.status == "awaiting_approval" and reply["guard"]["required"] == "person"
    assert reply["approve"]["how"] == "terminal"
    assert reply["approve"]["expires_at"] == "2026-02-01T09:30:00.000Z"
    command = reply["approve"]["command"]
    assert command == f"CORDBOARD_DATABASE={world.settings.place} cordboard approve {reply.plan_id}"
    assert command in reply.message and "Do not poll" in reply.message


async def test_get_plan_shows_the_plan_at_every_stage(world: World, era: str) -> None:
    reply = await planned(world)
    assert (await world.call("get_plan", era=era, plan_id=reply.plan_id)).data == reply.data
    done = await world.call("apply_plan", plan_id=reply.plan_id)
    assert (await world.call("get_plan", era=era, plan_id=reply.plan_id)).data == done.data


# The same asking finds the same plan


@pytest.mark.parametrize(
    "again",
    [
        {},
        {"numbers": [TEST_TWO, TEST_ONE]},
        {"reason": "another reason"},
        {"numbers": json.dumps([TEST_TWO, TEST_ONE])},
        {"numbers": [], "number_slugs": ["14165551234", "12025551234"]},
    ],
)
async def test_asking_the_same_again_gives_the_same_plan(
    world: World, era: str, again: dict[str, Any]
) -> None:
    first = await planned(world, numbers=[TEST_ONE, TEST_TWO], reason="first")
    before = await world.seq()
    world.clock.advance(60)
    second = await planned(world.another(), era=era, **{"numbers": [TEST_ONE, TEST_TWO]} | again)
    assert second.plan_id == first.plan_id
    assert second["approve"]["expires_at"] == first["approve"]["expires_at"]
    assert await world.seq() == before


@pytest.mark.parametrize(
    "other",
    [
        {"agent": "local:night"},
        {"numbers": [TEST_ONE]},
        {"numbers": [TEST_ONE, TEST_TWO, TEST_THREE]},
        {"provider": "telnyx"},
    ],
)
async def test_asking_for_something_else_gives_another_plan(
    world: World, other: dict[str, Any]
) -> None:
    both: dict[str, Any] = {"numbers": [TEST_ONE, TEST_TWO]}
    assert (await planned(world, **both)).plan_id != (await planned(world, **both | other)).plan_id


async def test_the_newest_reason_is_the_one_shown(world: World) -> None:
    person = Person("cancel")
    for reason in ("first reason", "second reason"):
        await world.call(
            "attach_numbers", person=person, **ATTACH | {"numbers": [SUPPORT_LINE]}, reason=reason
        )
    assert '"first reason"' in person.asked[0] and '"second reason"' in person.asked[1]
    assert "first reason" not in person.asked[1]


async def test_another_level_or_policy_gives_another_plan(world: World) -> None:
    given: dict[str, Any] = {"numbers": [SUPPORT_LINE]}
    by_person = await planned(world, **given)
    by_client = await world.call("attach_numbers", person=Person("cancel"), **ATTACH | given)
    by_model = await planned(world.another("relaxed"), **given)
    strict = await planned(world.another("strict"), **given)
    replies = (by_person, by_client, by_model, strict)
    assert [r["guard"]["required"] for r in replies] == ["person", "client", "plan", "person"]
    assert len({r.plan_id for r in replies}) == 4


async def test_another_observed_state_gives_another_plan(world: World) -> None:
    first = await planned(world)
    await world.put_number(SeedNumber(TEST_ONE, "telnyx", "Renamed", "TEST"))
    assert (await planned(world)).plan_id != first.plan_id


@pytest.mark.parametrize("closing", ["applied", "discarded", "expired", "declined"])
async def test_asking_after_a_plan_closed_makes_a_new_one(world: World, closing: str) -> None:
    number = SUPPORT_LINE if closing == "declined" else TEST_ONE
    given = ATTACH | {"numbers": [number]}
    person = Person("cancel", "decline", "cancel") if closing == "declined" else None
    first = await world.call("attach_numbers", person=person, **given)
    if closing == "applied":
        await world.call("apply_plan", plan_id=first.plan_id)
        await world.done("detach_numbers", **given)
    if closing == "discarded":
        await world.call("discard_plan", plan_id=first.plan_id)
    if closing == "expired":
        world.clock.advance(1800)
    if closing == "declined":
        await world.call("attach_numbers", person=person, **given)
    again = await world.call("attach_numbers", person=person, **given)
    assert again.plan_id and again.plan_id != first.plan_id
    assert (await world.call("get_plan", plan_id=again.plan_id))["counts"]["planned"] == 1


# Applied once


async def test_applying_twice_answers_the_recorded_result_and_writes_nothing(
    world: World, era: str
) -> None:
    done = await applied(world)
    assert done["guard"]["used"] == "plan" and done["guard"]["by"] == world.settings.principal
    assert f"undo_plan with plan_id {done.plan_id}" in done.message
    before = await world.seq()
    world.clock.advance(90_000)
    again = await world.call("apply_plan", era=era, plan_id=done.plan_id)
    assert again.data == done.data and await world.seq() == before


async def test_an_applied_plan_is_not_done_again_after_the_routing_moved_on(world: World) -> None:
    done = await applied(world)
    await world.done("detach_numbers", **ATTACH)
    again = await world.call("apply_plan", plan_id=done.plan_id)
    assert again.data == done.data
    assert await world.holders(TEST_ONE) == []


async def test_discarding_an_applied_plan_answers_its_result(world: World) -> None:
    done = await applied(world)
    assert (await world.call("discard_plan", plan_id=done.plan_id)).data == done.data
    assert await world.holders(TEST_ONE) == ["local:support"]


async def test_a_discarded_plan_stays_discarded(world: World, era: str) -> None:
    plan_id = (await planned(world)).plan_id
    dropped = await world.call("discard_plan", era=era, plan_id=plan_id)
    assert dropped.status == "discarded" and dropped["changes"][0]["outcome"] == "not_applied"
    before = await world.seq()
    assert (await world.call("get_plan", plan_id=plan_id)).status == "discarded"
    assert (await world.call("discard_plan", plan_id=plan_id)).status == "discarded"
    refused = await world.call("apply_plan", era=era, plan_id=plan_id)
    assert refused.status == "plan_rejected" and "discarded" in refused.message
    assert await world.holders(TEST_ONE) == [] and await world.seq() == before


async def test_a_plan_expires_by_the_clock(world: World, era: str) -> None:
    plan_id = (await planned(world)).plan_id
    world.clock.advance(1799.999)
    shown = await world.call("get_plan", era=era, plan_id=plan_id)
    assert shown.status == "confirmation_required"
    world.clock.advance(0.001)
    for tool in ("get_plan", "apply_plan"):
        refused = await world.call(tool, era=era, plan_id=plan_id)
        assert refused.status == "plan_rejected" and "expired" in refused.message
        assert refused["counts"]["not_applied"] == 1
    assert await world.holders(TEST_ONE) == []


# Stale


async def settle(world: World, era: str, **moved: Any) -> Reply:
    """Move a number under an open plan, then apply the plan."""
    plan_id = (await planned(world, numbers=[TEST_ONE, TEST_TWO])).plan_id
    await world.done("attach_numbers", **{"agent": "local:night", "numbers": [TEST_TWO]} | moved)
    reply = await world.call("apply_plan", era=era, plan_id=plan_id)
    assert reply.status == "plan_rejected"
    assert (await world.call("get_plan", plan_id=plan_id)).data == reply.data
    return reply


async def test_a_stale_plan_names_number_field_old_and_new_and_changes_nothing(
    world: World, era: str
) -> None:
    reply = await settle(world, era)
    for said in (TEST_TWO, "agent", "nobody", "local:night"):
        assert said in reply.message
    assert reply["counts"]["not_applied"] == 2
    assert await world.holders(TEST_ONE) == []
    assert await world.holders(TEST_TWO) == ["local:night"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"provider": "vonage"}, ["provider", "telnyx", "vonage"]),
        ({"purpose": "PRODUCTION"}, ["purpose", "TEST", "PRODUCTION"]),
        ({"tags": ("protected",)}, ["tags", "none", "protected"]),
        ({"label": "Hall"}, ['label was "Test Washington", is now "Hall"']),
    ],
)
async def test_what_the_choice_or_the_level_rested_on_makes_a_plan_stale_too(
    world: World, change: dict[str, Any], said: list[str]
) -> None:
    plan_id = (await planned(world)).plan_id
    facts = {"provider": "telnyx", "label": "Test Washington", "purpose": "TEST"} | change
    await world.put_number(SeedNumber(TEST_ONE, **facts))
    reply = await world.call("apply_plan", plan_id=plan_id)
    assert reply.status == "plan_rejected" and all(s in reply.message for s in [TEST_ONE, *said])
    assert await world.holders(TEST_ONE) == []


async def test_a_pathway_that_changed_makes_a_plan_stale(make_world: Worlds) -> None:
    world = make_world(SEEDS.bound("local:support", TEST_ONE, pathway_id="pathway_sales"))
    plan_id = (await world.call("detach_numbers", **ATTACH)).plan_id
    await world.done("set_number_pathway", **ATTACH, pathway_id="pathway_abc123", pathway_version=2)
    reply = await world.call("apply_plan", plan_id=plan_id)
    assert reply.status == "plan_rejected"
    for said in (TEST_ONE, "pathway_id", "pathway_sales", "pathway_abc123"):
        assert said in reply.message


async def test_a_number_that_changed_and_came_back_makes_a_plan_stale(world: World) -> None:
    plan_id = (await planned(world)).plan_id
    await world.done("attach_numbers", agent="local:night", numbers=[TEST_ONE])
    await world.done("detach_numbers", agent="local:night", numbers=[TEST_ONE])
    reply = await world.call("apply_plan", plan_id=plan_id)
    assert reply.status == "plan_rejected"
    assert TEST_ONE in reply.message and "version was 0, is now 2" in reply.message


async def test_the_other_direction_of_a_number_may_change_meanwhile(world: World) -> None:
    plan_id = (await planned(world, agent="local:campaign")).plan_id
    await world.done("attach_numbers", **ATTACH)
    assert (await world.call("apply_plan", plan_id=plan_id)).status == "applied"
    assert await world.holders(TEST_ONE) == ["local:support"]
    assert await world.holders(TEST_ONE, "outbound") == ["local:campaign"]


async def test_an_agent_that_began_to_mix_meanwhile_makes_a_plan_stale(world: World) -> None:
    plan_id = (await planned(world)).plan_id
    await world.done("attach_numbers", agent="local:support", numbers=[SECOND_LINE])
    reply = await world.call("apply_plan", plan_id=plan_id)
    assert reply.status == "plan_rejected" and "TEST and PRODUCTION" in reply.message
    assert await world.holders(TEST_ONE) == []


# Many numbers


@pytest.mark.parametrize(("count", "shown"), [(25, 25), (26, 25), (60, 25)])
async def test_above_twenty_five_numbers_the_rest_stands_in_the_resource(
    make_world: Worlds, era: str, count: int, shown: int
) -> None:
    numbers = many(count)
    world = make_world(SEEDS.but(numbers=numbers), policy="relaxed")
    reply = await planned(world, era=era, numbers=names(numbers))
    assert len(reply["changes"]) == shown and reply["counts"]["planned"] == count
    assert ("resource" in reply.message) is (count > shown)
    done = await world.call("apply_plan", era=era, plan_id=reply.plan_id)
    assert len(done["changes"]) == shown and done["counts"]["applied"] == count
    async with world.client(era) as client:
        [content] = (await client.read_resource(f"cordboard://plans/{reply.plan_id}")).contents
    whole = json.loads(getattr(content, "text", ""))
    assert [c["number"] for c in whole["changes"]] == names(numbers)
    assert whole | {"changes": []} == done.data | {"changes": []}


async def test_real_changes_come_before_the_unchanged(make_world: Worlds) -> None:
    numbers = many(30)
    seed = SEEDS.but(numbers=numbers).bound("local:support", *names(numbers[:27]))
    reply = await planned(make_world(seed, policy="relaxed"), numbers=names(numbers))
    outcomes = [c["outcome"] for c in reply["changes"]]
    assert outcomes == ["planned"] * 3 + ["unchanged"] * 22
    assert (reply["counts"]["planned"], reply["counts"]["unchanged"]) == (3, 27)

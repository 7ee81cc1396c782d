"""Which level a change needs, seen from a client: presets, budgets, policy files, approvers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.world import (
    EMERGENCY,
    INDIA,
    PROTECTED,
    SEEDS,
    SUPPORT_LINE,
    TEST_ONE,
    TEST_TWO,
    UNKNOWN_PURPOSE,
    Person,
    Reply,
    SeedNumber,
    World,
    Worlds,
    many,
    names,
)

pytestmark = pytest.mark.anyio

PASSPHRASE = "correct horse battery"  # noqa: S105
TESTS = many(60)
WAITS = {"plan": "confirmation_required", "client": "not_confirmed", "person": "awaiting_approval"}


async def attach(world: World, numbers: list[str], **more: Any) -> Reply:
    """Ask to attach; whoever is asked by form cancels."""
    given = {"agent": "local:support", "numbers": numbers} | more
    return await world.call("attach_numbers", person=Person("cancel"), **given)


async def approve(world: World, plan_id: str, name: str = "ada") -> None:
    """What `cordboard approve` does, in a process of its own: enrol at first, then approve."""
    approvals = world.another().app.service.approvals
    if not await approvals.approvers.everyone():
        await approvals.approvers.enrol(name, PASSPHRASE, "somebody", None)
    approver = await approvals.approvers.verify(name, PASSPHRASE)
    await approvals.approve(await approvals.find(plan_id), approver)


@pytest.mark.parametrize(
    ("policy", "numbers", "level"),
    [
        ("relaxed", [TEST_ONE], "plan"),
        ("relaxed", [SUPPORT_LINE], "plan"),
        ("relaxed", [PROTECTED], "plan"),
        ("relaxed", [TEST_ONE, SUPPORT_LINE], "client"),
        ("standard", [TEST_ONE, TEST_TWO], "plan"),
        ("standard", [SUPPORT_LINE], "client"),
        ("standard", [UNKNOWN_PURPOSE], "client"),
        ("standard", [TEST_ONE, SUPPORT_LINE], "client"),
        ("standard", [PROTECTED], "person"),
        ("standard", [EMERGENCY], "person"),
        ("standard", [SUPPORT_LINE, INDIA, EMERGENCY], "person"),
        ("strict", [TEST_ONE], "person"),
        ("strict", [SUPPORT_LINE], "person"),
    ],
)
async def test_a_preset_asks_for_this_level(
    make_world: Worlds, policy: str, numbers: list[str], level: str
) -> None:
    reply = await attach(make_world(policy=policy), numbers)
    assert reply["guard"]["required"] == level and reply.status == WAITS[level]
    assert reply["guard"]["why"] and reply["guard"]["used"] == ""


@pytest.mark.parametrize("tag", ["protected", "emergency_callback"])
async def test_a_protected_test_number_needs_a_person_too(make_world: Worlds, tag: str) -> None:
    number = SeedNumber(TEST_ONE, "telnyx", "Drill", "TEST", tags=("other", tag))
    reply = await attach(make_world(SEEDS.but(numbers=(number,))), [TEST_ONE])
    assert reply["guard"]["required"] == "person" and tag in reply["guard"]["why"]


@pytest.mark.parametrize(("count", "level"), [(25, "plan"), (26, "person")])
async def test_more_than_twenty_five_numbers_in_a_plan_need_a_person(
    make_world: Worlds, count: int, level: str
) -> None:
    world = make_world(SEEDS.but(numbers=TESTS))
    reply = await attach(world, names(TESTS[:count]))
    assert reply["guard"]["required"] == level


async def test_only_real_changes_count_for_the_size_of_a_plan(make_world: Worlds) -> None:
    seed = SEEDS.but(numbers=TESTS).bound("local:support", *names(TESTS[:10]))
    reply = await attach(make_world(seed), names(TESTS[:35]))
    assert reply["guard"]["required"] == "plan"


async def test_more_than_twenty_five_numbers_in_an_hour_need_a_person(make_world: Worlds) -> None:
    world = make_world(SEEDS.but(numbers=TESTS))
    for part in (TESTS[:15], TESTS[15:25]):
        plan = await attach(world, names(part))
        assert (await world.call("apply_plan", plan_id=plan.plan_id)).status == "applied"
        world.clock.advance(60)
    one_more = await attach(world, names(TESTS[25:26]))
    assert one_more["guard"]["required"] == "person" and "hour" in one_more["guard"]["why"]
    world.clock.advance(3600 - 120)
    assert (await attach(world, names(TESTS[26:41])))["guard"]["required"] == "plan"
    assert (await attach(world, names(TESTS[26:42])))["guard"]["required"] == "person"
    world.clock.advance(60)
    assert (await attach(world, names(TESTS[26:51])))["guard"]["required"] == "plan"


async def test_plans_made_before_the_budget_was_spent_cannot_slip_past_it(
    make_world: Worlds,
) -> None:
    world = make_world(SEEDS.but(numbers=TESTS))
    plans = [await attach(world, names(TESTS[i : i + 13])) for i in (0, 13)]
    assert [p["guard"]["required"] for p in plans] == ["plan", "plan"]
    assert (await world.call("apply_plan", plan_id=plans[0].plan_id)).status == "applied"
    second = await world.call("apply_plan", plan_id=plans[1].plan_id)
    assert second.code == "NOT_ALLOWED" and "person" in second.text
    assert await world.holders(TESTS[13].number) == []


async def test_a_process_that_demands_more_refuses_a_weaker_plan(world: World, era: str) -> None:
    plan = await attach(world.another("relaxed"), [PROTECTED])
    assert plan.status == "confirmation_required"
    reply = await world.call("apply_plan", era=era, plan_id=plan.plan_id)
    assert reply.code == "NOT_ALLOWED" and "person" in reply.text
    assert await world.holders(PROTECTED) == []


async def test_a_process_that_demands_more_refuses_before_it_asks(world: World, era: str) -> None:
    plan, person = await attach(world, [SUPPORT_LINE]), Person("yes")
    strict = world.another("strict")
    reply = await strict.call("apply_plan", era=era, person=person, plan_id=plan.plan_id)
    assert reply.code == "NOT_ALLOWED" and person.asked == []


async def test_a_plan_keeps_its_level_in_a_process_that_demands_less(
    world: World, era: str
) -> None:
    plan = await attach(world, [PROTECTED])
    relaxed = world.another("relaxed")
    reply = await relaxed.call("apply_plan", era=era, person=Person("yes"), plan_id=plan.plan_id)
    assert reply.status == "awaiting_approval" and reply["guard"]["required"] == "person"
    assert await world.holders(PROTECTED) == []


async def test_an_approver_at_another_process_settles_the_plan(world: World, era: str) -> None:
    plan = await attach(world, [PROTECTED])
    await approve(world, plan.plan_id)
    for tool in ("get_plan", "apply_plan", "discard_plan"):
        reply = await world.call(tool, era=era, plan_id=plan.plan_id)
        assert reply.status == "applied"
        assert reply["guard"] | {"why": ""} == {
            "required": "person", "used": "person", "by": "ada", "why": "",
        }  # fmt: skip
    assert await world.holders(PROTECTED) == ["local:support"]
    [row] = (await world.call("list_changes"))["changes"]
    assert row["by"] == "ada"


async def test_an_approver_may_approve_what_the_client_left_open(world: World) -> None:
    plan = await attach(world, [SUPPORT_LINE])
    assert plan["guard"]["required"] == "client"
    await approve(world, plan.plan_id)
    reply = await world.call("get_plan", plan_id=plan.plan_id)
    assert reply.status == "applied"
    assert (reply["guard"]["required"], reply["guard"]["used"]) == ("client", "person")


async def test_a_plan_rejected_at_a_terminal_is_closed(world: World, era: str) -> None:
    plan = await attach(world, [PROTECTED])
    approvals = world.another().app.service.approvals
    await approvals.reject(await approvals.find(plan.plan_id), "ada")
    reply = await world.call("apply_plan", era=era, plan_id=plan.plan_id)
    assert reply.status == "plan_rejected" and "declined by ada" in reply.message
    assert await world.holders(PROTECTED) == []


async def test_unfreezing_by_an_approver_lets_the_plan_go_on(world: World) -> None:
    plan = await attach(world, [TEST_ONE])
    await world.call("freeze_changes", reason="drill")
    assert (await world.call("apply_plan", plan_id=plan.plan_id)).code == "FROZEN"
    approvals = world.another().app.service.approvals
    await approvals.approvers.enrol("ada", PASSPHRASE, "somebody", None)
    await approvals.unfreeze(await approvals.approvers.verify("ada", PASSPHRASE))
    assert (await world.call("apply_plan", plan_id=plan.plan_id)).status == "applied"


RULES = """
extends = "relaxed"
[[rules]]
action = "detach"
level = "client"
[[rules]]
provider = ["exotel", "vonage"]
level = "client"
[[rules]]
prefix = "+1202"
level = "person"
[[rules]]
tag = "protected"
action = ["attach", "move"]
level = "frozen"
[budgets]
numbers_per_plan = 2
numbers_per_hour = 0
"""


@pytest.mark.parametrize(
    ("tool", "numbers", "level"),
    [
        ("attach_numbers", [SUPPORT_LINE], "plan"),
        ("attach_numbers", [INDIA], "client"),
        ("attach_numbers", [TEST_ONE], "person"),
        ("attach_numbers", [INDIA, SUPPORT_LINE], "client"),
        ("detach_numbers", [TEST_TWO], "client"),
    ],
)
async def test_a_policy_file_s_highest_matching_rule_wins(
    make_world: Worlds, tmp_path: Path, tool: str, numbers: list[str], level: str
) -> None:
    file = tmp_path / "policy.toml"
    file.write_text(RULES, "utf-8")
    world = make_world(SEEDS.bound("local:support", TEST_TWO), policy=str(file))
    given = {"agent": "local:night" if tool == "attach_numbers" else "local:support"}
    reply = await world.call(tool, person=Person("cancel"), numbers=numbers, **given)
    assert reply["guard"]["required"] == level


async def test_a_policy_file_may_freeze_a_kind_of_change(
    make_world: Worlds, tmp_path: Path, era: str
) -> None:
    file = tmp_path / "policy.toml"
    file.write_text(RULES, "utf-8")
    world = make_world(policy=str(file))
    reply = await world.call("attach_numbers", era=era, agent="local:support", numbers=[PROTECTED])
    assert reply.code == "FROZEN"
    assert await world.holders(PROTECTED) == []


async def test_two_who_apply_one_plan_at_once_apply_it_once(world: World) -> None:
    plan = await attach(world, [TEST_ONE])
    replies: list[Reply] = []

    async def apply(process: World) -> None:
        replies.append(await process.call("apply_plan", plan_id=plan.plan_id))

    async with anyio.create_task_group() as tasks:
        for process in (world, world.another(), world.another()):
            tasks.start_soon(apply, process)
    assert [r.status for r in replies] == ["applied"] * 3
    assert replies[0].data == replies[1].data == replies[2].data
    assert (await world.events()).count("applied") == 1


async def test_of_two_plans_for_one_number_one_wins_whoever_comes_first(world: World) -> None:
    plans = [await attach(world, [TEST_ONE], agent=f"local:{who}") for who in ("support", "night")]
    replies: dict[str, Reply] = {}

    async def apply(process: World, plan_id: str) -> None:
        replies[plan_id] = await process.call("apply_plan", plan_id=plan_id)

    async with anyio.create_task_group() as tasks:
        for process, plan in zip((world, world.another()), plans, strict=True):
            tasks.start_soon(apply, process, plan.plan_id)
    statuses = sorted(r.status for r in replies.values())
    assert statuses == ["applied", "plan_rejected"]
    [winner] = [r for r in replies.values() if r.status == "applied"]
    assert await world.holders(TEST_ONE) == [winner["changes"][0]["after"]["agent"]]

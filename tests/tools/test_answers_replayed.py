"""Protocol 2026-07-28, leg by leg: an answer counts for its own question, once, and only with the
state this server sealed. Whatever else is sent changes nothing."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from mcp.shared.exceptions import MCPError
from mcp_types import CallToolResult, InputRequiredResult, InputResponses
from tests.world import (
    INDIA,
    SEEDS,
    SUPPORT_LINE,
    Person,
    Reply,
    World,
    Worlds,
    given,
    read,
)

pytestmark = pytest.mark.anyio

ATTACH: dict[str, Any] = {"agent": "local:support", "numbers": [SUPPORT_LINE]}
NIGHT: dict[str, Any] = {"agent": "local:night", "numbers": [SUPPORT_LINE]}
Sent = Reply | InputRequiredResult | MCPError


async def send(
    world: World,
    tool: str,
    arguments: dict[str, Any],
    answer: str = "",
    state: str | None = None,
    *,
    name: str = "approve",
    era: str = "auto",
) -> Sent:
    """One leg of a call, by a client that can show forms; a protocol error is what it returns."""
    responses: InputResponses | None = {name: given(answer)} if answer else None
    async with world.client(era, Person("cancel")) as client:
        try:
            result = await client.session.call_tool(
                tool,
                arguments,
                input_responses=responses,
                request_state=state,
                allow_input_required=True,
            )
        except MCPError as exc:
            return exc
    if isinstance(result, CallToolResult):
        return read(result)
    assert isinstance(result, InputRequiredResult)
    return result


async def asked(world: World, tool: str = "attach_numbers", **arguments: Any) -> str:
    """The first leg: a question comes back, with its sealed state."""
    question = await send(world, tool, arguments or ATTACH)
    assert isinstance(question, InputRequiredResult)
    assert list(question.input_requests or {}) == ["approve"]
    assert question.request_state
    return question.request_state


async def answered(world: World, state: str, answer: str = "yes", **arguments: Any) -> Reply:
    """The second leg of attach_numbers."""
    reply = await send(world, "attach_numbers", arguments or ATTACH, answer, state)
    assert isinstance(reply, Reply)
    return reply


async def test_the_question_changes_nothing_and_the_yes_applies(world: World) -> None:
    state = await asked(world)
    assert await world.holders(SUPPORT_LINE) == []
    reply = await answered(world, state)
    assert reply.status == "applied"
    assert await world.holders(SUPPORT_LINE) == ["local:support"]


async def test_a_replayed_yes_gives_the_recorded_result_and_writes_nothing(world: World) -> None:
    state = await asked(world)
    first = await answered(world, state)
    before = await world.seq()
    for _ in range(3):
        assert (await answered(world, state)).data == first.data
    assert await world.seq() == before


async def test_a_replayed_yes_does_not_bring_back_what_was_detached_since(world: World) -> None:
    state = await asked(world)
    first = await answered(world, state)
    await world.done("detach_numbers", **ATTACH)
    before = await world.seq()
    assert (await answered(world, state)).data == first.data
    assert await world.holders(SUPPORT_LINE) == [] and await world.seq() == before


@pytest.mark.parametrize("first", ["no", "decline"])
async def test_a_yes_after_a_decline_does_nothing(world: World, first: str) -> None:
    state = await asked(world)
    assert (await answered(world, state, first)).status == "not_confirmed"
    before = await world.seq()
    late = await answered(world, state)
    assert late.status == "plan_rejected" and "declined" in late.message
    assert await world.holders(SUPPORT_LINE) == [] and await world.seq() == before


async def test_a_yes_after_a_cancel_is_still_an_answer_to_an_open_plan(world: World) -> None:
    state = await asked(world)
    assert (await answered(world, state, "cancel")).status == "not_confirmed"
    assert (await answered(world, state)).status == "applied"


@pytest.mark.parametrize("tool", ["attach_numbers", "apply_plan"])
async def test_a_cold_yes_is_asked_again(world: World, tool: str) -> None:
    """A yes with no question before it: no state, so it is not looked at."""
    arguments = ATTACH
    if tool == "apply_plan":
        plan = await world.call("attach_numbers", person=Person("cancel"), **ATTACH)
        arguments = {"plan_id": plan.plan_id}
    for _ in range(2):
        result = await send(world, tool, arguments, "yes")
        assert isinstance(result, InputRequiredResult)
    assert await world.holders(SUPPORT_LINE) == []


async def test_a_cold_yes_opens_nothing_that_needs_a_person(world: World) -> None:
    world_strict = world.another("strict")
    reply = await send(world_strict, "attach_numbers", ATTACH, "yes")
    assert isinstance(reply, Reply) and reply.status == "awaiting_approval"
    assert await world.holders(SUPPORT_LINE) == []


async def test_a_state_without_an_answer_is_asked_again(world: World) -> None:
    state = await asked(world)
    again = await send(world, "attach_numbers", ATTACH, "", state)
    assert isinstance(again, InputRequiredResult)
    assert await world.holders(SUPPORT_LINE) == []


async def test_an_answer_under_another_name_is_no_answer(world: World) -> None:
    state = await asked(world)
    result = await send(world, "attach_numbers", ATTACH, "yes", state, name="confirm")
    assert isinstance(result, InputRequiredResult)
    assert await world.holders(SUPPORT_LINE) == []


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("attach_numbers", NIGHT),
        ("attach_numbers", ATTACH | {"numbers": [SUPPORT_LINE, INDIA]}),
        ("attach_numbers", ATTACH | {"reason": "because"}),
        ("detach_numbers", ATTACH),
        ("clear_number_pathway", ATTACH),
    ],
)
async def test_a_state_lifted_to_another_call_is_refused(
    world: World, tool: str, arguments: dict[str, Any]
) -> None:
    state = await asked(world)
    before = await world.seq()
    assert isinstance(await send(world, tool, arguments, "yes", state), MCPError)
    assert await world.seq() == before and await world.holders(SUPPORT_LINE) == []


async def test_a_state_lifted_to_another_plan_is_refused(world: World) -> None:
    plans = [
        (await world.call("attach_numbers", person=Person("cancel"), **who)).plan_id
        for who in (ATTACH, NIGHT)
    ]
    state = await asked(world, "apply_plan", plan_id=plans[0])
    lifted = await send(world, "apply_plan", {"plan_id": plans[1]}, "yes", state)
    assert isinstance(lifted, MCPError)
    assert await world.holders(SUPPORT_LINE) == []


def tampered(state: str) -> list[str]:
    middle = len(state) // 2
    other = "A" if state[middle] != "A" else "B"
    plain = base64.urlsafe_b64encode(b'{"plan_id":"plan_' + b"0" * 24 + b'"}').decode()
    return ["", "x", state[:-1], state + "A", state[:middle] + other + state[middle + 1 :],
            state[::-1], plain, '{"plan_id": "plan_000000000000000000000000", "plan_hash": ""}',
            "v1." + plain]  # fmt: skip


async def test_a_tampered_state_is_refused(world: World, era: str) -> None:
    state = await asked(world)
    before = await world.seq()
    for forged in tampered(state):
        result = await send(world, "attach_numbers", ATTACH, "yes", forged, era=era)
        assert isinstance(result, MCPError), forged
    assert await world.seq() == before and await world.holders(SUPPORT_LINE) == []
    assert (await answered(world, state)).status == "applied"


async def test_a_state_of_another_store_is_refused(world: World, make_world: Worlds) -> None:
    state = await asked(make_world())
    assert isinstance(await send(world, "attach_numbers", ATTACH, "yes", state), MCPError)
    assert await world.holders(SUPPORT_LINE) == []


async def test_a_server_that_restarts_between_the_legs_goes_on(world: World) -> None:
    state = await asked(world)
    reply = await answered(world.another(), state)
    assert reply.status == "applied"
    assert (await answered(world.another(), state)).data == reply.data


async def test_a_state_outlives_its_plan_and_the_plan_decides(world: World) -> None:
    state = await asked(world)
    world.clock.advance(47 * 3600)
    late = await answered(world, state)
    assert late.status == "plan_rejected" and "expired" in late.message
    assert await world.holders(SUPPORT_LINE) == []


async def test_a_process_with_a_stricter_policy_does_not_take_the_answer(world: World) -> None:
    state = await asked(world)
    reply = await answered(world.another("strict"), state)
    assert reply.code == "NOT_ALLOWED" and "person" in reply.text
    assert await world.holders(SUPPORT_LINE) == []
    assert (await answered(world, state)).status == "applied"


async def test_a_read_only_process_does_not_take_the_answer(world: World) -> None:
    state = await asked(world)
    reply = await answered(world.another(CORDBOARD_READ_ONLY="1"), state)
    assert reply.code == "READ_ONLY" and await world.holders(SUPPORT_LINE) == []


async def test_a_yes_settles_the_plan_it_was_given_for_and_not_the_newer_one(
    world: World,
) -> None:
    state = await asked(world)
    [old] = (await world.call("get_number_route", number=SUPPORT_LINE))["open_plans"]
    await world.call("discard_plan", plan_id=old)
    newer_state = await asked(world)
    assert (await answered(world, state)).status == "plan_rejected"
    assert await world.holders(SUPPORT_LINE) == []
    assert (await answered(world, newer_state)).status == "applied"


async def test_a_yes_is_refused_when_the_routing_moved_and_came_back(world: World) -> None:
    state = await asked(world)
    await world.done("attach_numbers", **NIGHT)
    await world.done("detach_numbers", **NIGHT)
    late = await answered(world, state)
    assert late.status == "plan_rejected" and SUPPORT_LINE in late.message


@pytest.mark.parametrize("answer", ["bare", "empty", "text", "one", "list", "other"])
async def test_a_malformed_answer_spends_nothing(world: World, answer: str) -> None:
    state = await asked(world)
    reply = await send(world, "attach_numbers", ATTACH, answer, state)
    assert isinstance(reply, MCPError) or (
        isinstance(reply, Reply) and reply.status == "not_confirmed"
    )
    assert await world.holders(SUPPORT_LINE) == []
    assert (await answered(world, state)).status == "applied"


async def test_an_undo_is_answered_the_same_way(make_world: Worlds) -> None:
    world = make_world(SEEDS.bound("local:support", SUPPORT_LINE))
    done = await world.done("detach_numbers", **ATTACH)
    undo = {"plan_id": done.plan_id}
    state = await asked(world, "undo_plan", **undo)
    assert isinstance(await send(world, "apply_plan", undo, "yes", state), MCPError)
    reply = await send(world, "undo_plan", undo, "yes", state)
    assert isinstance(reply, Reply) and reply.status == "applied"
    again = await send(world, "undo_plan", undo, "yes", state)
    assert isinstance(again, Reply) and again.data == reply.data
    assert await world.holders(SUPPORT_LINE) == ["local:support"]


async def test_an_older_client_s_cold_yes_is_no_answer(world: World) -> None:
    """Protocol 2025-11-25 has no answers inside a call: the person is asked all the same."""
    reply = await send(world, "attach_numbers", ATTACH, "yes", era="legacy")
    assert isinstance(reply, Reply) and reply.status == "not_confirmed"
    assert await world.holders(SUPPORT_LINE) == []

"""What answers a number now, and the same facts as resources; prompts to start from."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest
from mcp.shared.exceptions import MCPError
from tests.world import (
    INDIA,
    NOT_OWNED,
    POOL_ONE,
    SEEDS,
    SUPPORT_LINE,
    TEST_ONE,
    TEST_TWO,
    World,
    Worlds,
    many,
    names,
)

pytestmark = pytest.mark.anyio

BUSY = (
    SEEDS.bound("local:support", SUPPORT_LINE)
    .bound("local:sales", INDIA)
    .bound("local:campaign", POOL_ONE, SUPPORT_LINE, direction="outbound")
    .bound("local:followup", POOL_ONE, direction="outbound")
    .bound("local:night", TEST_TWO, pathway_id="pathway_abc123", pathway_version=2,
           start_node_id="node_xyz")
    .bound("local:sales", TEST_ONE, pathway_id="pathway_abc123")
)  # fmt: skip


@pytest.fixture
def busy(make_world: Worlds) -> World:
    return make_world(BUSY)


async def read(world: World, uri: str, era: str = "auto") -> dict[str, Any]:
    async with world.client(era) as client:
        [content] = (await client.read_resource(uri)).contents
    assert content.mime_type == "application/json"
    data = json.loads(getattr(content, "text", ""))
    assert isinstance(data, dict)
    return data


async def test_a_route_shows_both_directions(busy: World, era: str) -> None:
    route = await busy.call("get_number_route", era=era, number=SUPPORT_LINE)
    assert set(route.data) == {
        "number", "inbound", "outbound", "provider", "label", "purpose", "open_plans", "notes",
        "message",
    }  # fmt: skip
    [inbound], [outbound] = route["inbound"], route["outbound"]
    assert set(inbound) == set(outbound) == {
        "agent", "name", "platform", "pathway_id", "pathway_version", "start_node_id", "why",
    }  # fmt: skip
    assert inbound["agent"] == "local:support" and inbound["name"] == "Support Agent"
    assert inbound["platform"] == "local" and "local:support" in inbound["why"]
    assert outbound["agent"] == "local:campaign"
    assert (route["provider"], route["label"], route["purpose"]) == (
        "twilio",
        "Support Line",
        "PRODUCTION",
    )
    assert route["open_plans"] == []
    assert "local:support answers" in route.message and "local:campaign" in route.message


@pytest.mark.parametrize(
    ("number", "expected", "why"),
    [
        (SUPPORT_LINE, ("", 0, ""), "no pathway"),
        (INDIA, ("pathway_sales", 0, ""), "agent's"),
        (TEST_ONE, ("pathway_abc123", 0, ""), "newest"),
        (TEST_TWO, ("pathway_abc123", 2, "node_xyz"), "version 2"),
    ],
)
async def test_the_route_tells_the_pathway_in_effect_and_why(
    busy: World, number: str, expected: tuple[str, int, str], why: str
) -> None:
    [inbound] = (await busy.call("get_number_route", number=number))["inbound"]
    found = (inbound["pathway_id"], inbound["pathway_version"], inbound["start_node_id"])
    assert found == expected and why in inbound["why"]


async def test_a_pool_number_shows_every_outbound_agent_and_nobody_inbound(busy: World) -> None:
    route = await busy.call("get_number_route", number=POOL_ONE)
    assert [r["agent"] for r in route["outbound"]] == ["local:campaign", "local:followup"]
    assert route["inbound"] == [] and "Nobody answers" in route.message


async def test_open_plans_of_a_number_are_shown_until_they_are_settled(
    world: World, era: str
) -> None:
    asked: dict[str, Any] = {"agent": "local:support", "numbers": [TEST_ONE]}
    first = await world.call("attach_numbers", **asked)
    second = await world.call("attach_numbers", **asked | {"agent": "local:night"})
    await world.call("attach_numbers", **asked | {"numbers": [TEST_TWO]})
    route = await world.call("get_number_route", era=era, number=TEST_ONE)
    assert route["open_plans"] == [second.plan_id, first.plan_id]
    assert "2 open plan" in route.message
    await world.call("discard_plan", plan_id=second.plan_id)
    assert (await world.call("get_number_route", number=TEST_ONE))["open_plans"] == [first.plan_id]
    world.clock.advance(1801)
    assert (await world.call("get_number_route", number=TEST_ONE))["open_plans"] == []


async def test_an_unowned_number_is_an_error_with_the_nearest_owned(world: World, era: str) -> None:
    reply = await world.call("get_number_route", era=era, number=NOT_OWNED)
    assert reply.code == "NUMBER_NOT_FOUND"
    assert SUPPORT_LINE in reply.text and "ask the user" in reply.text


async def test_an_unowned_number_like_no_other_names_none(world: World) -> None:
    reply = await world.call("get_number_route", number="+33142685300")
    assert reply.code == "NUMBER_NOT_FOUND" and "Nearest" not in reply.text


async def test_a_malformed_number_is_refused_with_what_was_meant(world: World, era: str) -> None:
    reply = await world.call("get_number_route", era=era, number="+1 (415) 555-1234")
    assert reply.code == "INVALID_NUMBER_FORMAT"
    assert f"Did you mean {SUPPORT_LINE}?" in reply.text


@pytest.mark.parametrize(
    ("number", "said"),
    [("+9991234567", "calling code 999"), ("+1415555", "digits"), ("+49116117", "short code")],
)
async def test_what_no_country_has_is_no_number_here_either(
    world: World, number: str, said: str
) -> None:
    reply = await world.call("get_number_route", number=number)
    assert reply.code == "INVALID_NUMBER_FORMAT" and said in reply.text


async def test_the_three_resource_templates_are_offered(world: World, era: str) -> None:
    async with world.client(era) as client:
        found = (await client.list_resource_templates()).resource_templates
    assert {t.uri_template for t in found} == {
        "cordboard://numbers/{number}",
        "cordboard://agents/{agent}",
        "cordboard://plans/{plan_id}",
    }
    assert all(t.title and t.description for t in found)


@pytest.mark.parametrize("safe", [":+", ""], ids=["plain", "percent-encoded"])
async def test_a_number_s_resource_is_its_route(busy: World, era: str, safe: str) -> None:
    data = await read(busy, f"cordboard://numbers/{quote(SUPPORT_LINE, safe=safe)}", era)
    assert data == (await busy.call("get_number_route", number=SUPPORT_LINE)).data


@pytest.mark.parametrize("safe", [":+", ""], ids=["plain", "percent-encoded"])
async def test_an_agent_s_resource_is_the_agent_with_its_numbers(
    busy: World, era: str, safe: str
) -> None:
    data = await read(busy, f"cordboard://agents/{quote('local:sales', safe=safe)}", era)
    assert data["agent"] == "local:sales" and data["name"] == "Sales Agent"
    assert data["direction"] == "inbound" and data["pathway_id"] == "pathway_sales"
    assert data["user_id"] == "user-1"
    assert data["created_at"].endswith("Z") and data["updated_at"].endswith("Z")
    assert [n["number"] for n in data["numbers"]] == [TEST_ONE, INDIA]
    assert data["numbers"][0]["bindings"][0]["pathway_id"] == "pathway_abc123"


async def test_an_agent_s_resource_follows_attach_and_detach(world: World) -> None:
    """The vendor's answer to attach and detach is the updated agent with its numbers."""
    before = await read(world, "cordboard://agents/local:support")
    assert before["numbers"] == []
    world.clock.advance(60)
    await world.done("attach_numbers", agent="local:support", numbers=[TEST_ONE])
    attached = await read(world, "cordboard://agents/local:support")
    assert [n["number"] for n in attached["numbers"]] == [TEST_ONE]
    assert attached["updated_at"] > before["updated_at"]
    assert attached["created_at"] == before["created_at"]
    await world.done("detach_numbers", agent="local:support", numbers=[TEST_ONE])
    assert (await read(world, "cordboard://agents/local:support"))["numbers"] == []


async def test_a_plan_s_resource_shows_every_change(make_world: Worlds, era: str) -> None:
    numbers = many(40)
    world = make_world(SEEDS.but(numbers=numbers), policy="relaxed")
    planned = await world.call("attach_numbers", agent="local:support", numbers=names(numbers))
    assert len(planned["changes"]) == 25
    data = await read(world, f"cordboard://plans/{planned.plan_id}", era)
    assert [c["number"] for c in data["changes"]] == names(numbers)
    assert data["status"] == planned.status and data["counts"] == planned["counts"]


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        (f"numbers/{NOT_OWNED}", "NUMBER_NOT_FOUND"),
        ("numbers/nonsense", "INVALID_NUMBER_FORMAT"),
        ("numbers/%2B1%20415", "INVALID_NUMBER_FORMAT"),
        ("agents/local:nobody", "AGENT_NOT_FOUND"),
        ("agents/bland:1", "AGENT_NOT_FOUND"),
        ("agents/local%3A..%2Fx", "AGENT_NOT_FOUND"),
        ("plans/plan_" + "0" * 24, "PLAN_NOT_FOUND"),
        ("plans/x", "PLAN_NOT_FOUND"),
        ("secrets/x", "Unknown resource"),
        ("numbers", "Unknown resource"),
    ],
)
async def test_an_unknown_resource_is_an_error_that_says_why(
    world: World, era: str, uri: str, said: str
) -> None:
    async with world.client(era) as client:
        with pytest.raises(MCPError, match=f"^{said}"):
            await client.read_resource(f"cordboard://{uri}")


async def test_the_prompts_are_offered_and_name_the_tools_to_use(world: World, era: str) -> None:
    async with world.client(era) as client:
        prompts = (await client.list_prompts()).prompts
        assert [prompt.name for prompt in prompts] == ["set_up_number", "review_routing"]
        assert all(prompt.title and prompt.description for prompt in prompts)
        given = {"number": SUPPORT_LINE, "agent": "local:support"}
        set_up = await client.get_prompt("set_up_number", given)
        review = await client.get_prompt("review_routing")
    first = getattr(set_up.messages[0].content, "text", "")
    assert SUPPORT_LINE in first and "local:support" in first
    assert "get_number_route" in first and "attach_numbers" in first
    assert "list_numbers" in getattr(review.messages[0].content, "text", "")


async def test_set_up_number_takes_the_agent_as_optional(world: World, era: str) -> None:
    async with world.client(era) as client:
        prompt = await client.get_prompt("set_up_number", {"number": SUPPORT_LINE})
    assert "list_agents" in getattr(prompt.messages[0].content, "text", "")


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("list_agents", {}),
        ("list_numbers", {}),
        ("list_pathways", {}),
        ("list_changes", {}),
        ("get_number_route", {"number": SUPPORT_LINE}),
    ],
)
async def test_looking_writes_nothing_and_says_the_same_twice(
    busy: World, era: str, tool: str, arguments: dict[str, Any]
) -> None:
    before = await busy.seq()
    reply = await busy.call(tool, era=era, **arguments)
    assert json.loads(reply.text) == reply.data
    assert await busy.seq() == before

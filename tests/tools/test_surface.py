"""The surface a client sees: names, hints, schemas, sizes. What DESIGN section 2 lists, no more."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mcp_types import Tool
from tests.world import SEEDS, TEST_ONE, World, Worlds, many, names

pytestmark = pytest.mark.anyio

SNAPSHOTS = Path(__file__).with_name("snapshots")
LIST = {"platform": "", "query": "", "limit": 50, "cursor": ""}
REQUIRED = object()

# Every argument of DESIGN's table with its default, in the table's order of tools.
ARGUMENTS: dict[str, dict[str, Any]] = {
    "list_agents": LIST,
    "list_numbers": LIST | {"agent": "", "provider": "", "state": "any"},
    "list_pathways": LIST | {"pathway_id": ""},
    "get_number_route": {"number": REQUIRED},
    "attach_numbers": {
        "agent": REQUIRED,
        "numbers": [],
        "number_slugs": [],
        "provider": "",
        "reason": "",
    },
    "move_numbers": {
        "from_agent": REQUIRED,
        "to_agent": REQUIRED,
        "numbers": REQUIRED,
        "keep_pathway": False,
        "reason": "",
    },
    "detach_numbers": {"agent": REQUIRED, "numbers": [], "number_slugs": [], "reason": ""},
    "set_number_pathway": {
        "agent": REQUIRED,
        "numbers": REQUIRED,
        "pathway_id": REQUIRED,
        "pathway_version": 0,
        "start_node_id": "",
        "reason": "",
    },
    "clear_number_pathway": {"agent": REQUIRED, "numbers": REQUIRED, "reason": ""},
    "apply_plan": {"plan_id": REQUIRED},
    "get_plan": {"plan_id": REQUIRED},
    "discard_plan": {"plan_id": REQUIRED},
    "undo_plan": {"plan_id": REQUIRED, "reason": ""},
    "list_changes": {"number": "", "agent": "", "limit": 20, "cursor": ""},
    "freeze_changes": {"reason": REQUIRED},
    "approve_in_app": {"plan_id": REQUIRED, "ticket": REQUIRED},
}
TOOLS = list(ARGUMENTS)
READS = {
    "list_agents",
    "list_numbers",
    "list_pathways",
    "get_number_route",
    "get_plan",
    "list_changes",
}
DESTRUCTIVE = {
    "move_numbers",
    "detach_numbers",
    "set_number_pathway",
    "clear_number_pathway",
    "apply_plan",
    "undo_plan",
    "approve_in_app",
}
IDEMPOTENT_WRITES = {
    "attach_numbers",
    "detach_numbers",
    "set_number_pathway",
    "clear_number_pathway",
    "apply_plan",
    "discard_plan",
    "approve_in_app",
}
WRITES = [name for name in TOOLS if name not in READS]
# Written out, because an adapter of one vendor must not change what a host's schema check sees.
UNPORTABLE = {"$ref", "$defs", "anyOf", "oneOf", "allOf", "format", "nullable", "title", "const"}


async def listed(world: World, era: str = "auto") -> list[Tool]:
    async with world.client(era) as client:
        return (await client.list_tools()).tools


async def the_tool(world: World, name: str) -> Tool:
    return next(tool for tool in await listed(world) if tool.name == name)


def wire(tool: Tool) -> dict[str, Any]:
    return tool.model_dump(mode="json", by_alias=True, exclude_none=True)


def compact(data: Any) -> bytes:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()


def keywords(schema: Any, *, names_here: bool = False) -> Iterator[tuple[str, Any]]:
    """Every keyword of a schema with its value; names of properties are no keywords."""
    if isinstance(schema, dict):
        for key, value in schema.items():
            if not names_here:
                yield key, value
            if key not in ("default", "enum", "required"):
                yield from keywords(value, names_here=key == "properties" and not names_here)
    elif isinstance(schema, list):
        for item in schema:
            yield from keywords(item)


async def test_exactly_the_sixteen_tools_are_listed_in_one_order_in_both_eras(
    world: World, era: str
) -> None:
    assert [tool.name for tool in await listed(world, era)] == TOOLS
    assert [tool.name for tool in await listed(world.another(), era)] == TOOLS


async def test_both_eras_see_the_very_same_tools(world: World) -> None:
    modern, legacy = await listed(world), await listed(world, "legacy")
    assert [wire(tool) for tool in modern] == [wire(tool) for tool in legacy]


@pytest.mark.parametrize("name", TOOLS)
async def test_a_tool_has_title_description_and_all_four_hints(world: World, name: str) -> None:
    tool = await the_tool(world, name)
    assert tool.title and tool.description and len(tool.description) < 1000
    assert "  " not in tool.description and "\n" not in tool.description
    hints = tool.annotations
    assert hints is not None
    assert hints.read_only_hint is (name in READS)
    assert hints.destructive_hint is (name in DESTRUCTIVE)
    assert isinstance(hints.open_world_hint, bool)
    if name in READS:
        assert isinstance(hints.idempotent_hint, bool)
    else:
        assert hints.idempotent_hint is (name in IDEMPOTENT_WRITES)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("get_number_route", "What answers this number now"),
        ("attach_numbers", "never takes a number from another agent: that is move_numbers"),
        ("undo_plan", "Reverse a plan that was already applied"),
        ("undo_plan", "to drop one not applied use discard_plan"),
    ],
)
async def test_a_description_keeps_the_sentence_that_prevents_a_mix_up(
    world: World, name: str, said: str
) -> None:
    tool = await the_tool(world, name)
    assert said.lower() in f"{tool.title} {tool.description}".lower()


@pytest.mark.parametrize("name", TOOLS)
async def test_an_input_schema_has_exactly_the_contract_s_arguments(
    world: World, name: str
) -> None:
    schema = (await the_tool(world, name)).input_schema
    expected = ARGUMENTS[name]
    assert schema["type"] == "object"
    assert schema["additionalProperties"] is False
    assert set(schema["properties"]) == set(expected)
    required = {argument for argument, default in expected.items() if default is REQUIRED}
    assert set(schema.get("required", [])) == required
    for argument, default in expected.items():
        if default is not REQUIRED:
            assert schema["properties"][argument]["default"] == default, argument


@pytest.mark.parametrize("name", TOOLS)
@pytest.mark.parametrize("side", ["input_schema", "output_schema"])
async def test_no_schema_uses_what_some_host_refuses(world: World, name: str, side: str) -> None:
    schema = getattr(await the_tool(world, name), side)
    assert schema["type"] == "object"
    for key, value in keywords(schema):
        assert key not in UNPORTABLE, key
        if key == "type":
            assert isinstance(value, str) and value != "null"
        if key == "pattern":
            assert "(?" not in value, "look-around is not portable"


async def test_every_input_that_is_a_number_or_an_id_has_a_pattern(world: World) -> None:
    ids = {"agent", "from_agent", "to_agent", "number", "plan_id", "pathway_id", "start_node_id"}
    lists = {"numbers", "number_slugs"}
    for tool in await listed(world):
        for name, schema in tool.input_schema["properties"].items():
            if name in ids:
                assert schema["pattern"].startswith("^"), (tool.name, name)
            if name in lists:
                assert schema["items"]["pattern"].startswith("^"), (tool.name, name)
                assert schema["maxItems"] == 100
            if name == "reason":
                assert schema["maxLength"] == 500
            if name == "limit":
                assert (schema["minimum"], schema["maximum"]) == (1, 200)


async def test_the_list_of_tools_stays_small(world: World) -> None:
    tools = [wire(tool) for tool in await listed(world)]
    read = [{k: tool[k] for k in ("name", "description", "inputSchema")} for tool in tools]
    assert len(compact({"tools": tools})) <= 32_000
    assert len(compact(read)) <= 10_000


@pytest.mark.parametrize(("attached", "most"), [(True, 14_000), (False, 8_000)])
async def test_a_page_of_fifty_numbers_stays_small(
    make_world: Worlds, attached: bool, most: int
) -> None:
    numbers = many(50, provider="twilio", label="Support Line", purpose="PRODUCTION")
    seed = SEEDS.but(numbers=numbers)
    if attached:
        seed = seed.bound("local:support", *names(numbers[:25]))
        seed = seed.bound(
            "local:sales",
            *names(numbers[25:]),
            pathway_id="pathway_abc123",
            pathway_version=2,
            start_node_id="node_xyz",
        )
    page = await make_world(seed).call("list_numbers")
    assert len(page["numbers"]) == 50
    assert all(bool(n["bindings"]) is attached for n in page["numbers"])
    size = len(compact(page.data))
    assert size <= most


@pytest.mark.parametrize("name", TOOLS)
async def test_a_tool_is_as_its_snapshot_says(world: World, name: str) -> None:
    """After a change that is meant: `UPDATE_SNAPSHOTS=1 pytest tests/tools/test_surface.py`."""
    text = json.dumps(wire(await the_tool(world, name)), indent=2, ensure_ascii=False) + "\n"
    file = SNAPSHOTS / f"{name}.json"
    if os.environ.get("UPDATE_SNAPSHOTS") == "1":
        SNAPSHOTS.mkdir(exist_ok=True)
        file.write_text(text, "utf-8")
    assert file.exists(), f"{file} is missing: UPDATE_SNAPSHOTS=1 writes it"
    assert file.read_text("utf-8") == text


def test_no_snapshot_is_left_of_a_tool_that_is_gone() -> None:
    assert {file.stem for file in SNAPSHOTS.iterdir()} == set(TOOLS)


@pytest.mark.parametrize("how", [{"CORDBOARD_READ_ONLY": "1"}, {"read_only": True}])
async def test_read_only_unlists_every_write_tool(
    make_world: Worlds, era: str, how: dict[str, Any]
) -> None:
    tools = await listed(make_world(**how), era)
    assert [tool.name for tool in tools] == [name for name in TOOLS if name in READS]


@pytest.mark.parametrize("name", WRITES)
async def test_read_only_refuses_a_write_tool_that_is_called_anyway(
    make_world: Worlds, name: str
) -> None:
    world = make_world(CORDBOARD_READ_ONLY="1")
    before = await world.seq()
    reply = await world.call(name, agent="local:support", numbers=[TEST_ONE], reason="try")
    assert reply.code == "READ_ONLY"
    assert "Nothing was changed" in reply.text and "CORDBOARD_READ_ONLY" in reply.text
    assert await world.seq() == before


async def test_read_only_still_looks(make_world: Worlds, era: str) -> None:
    world = make_world(CORDBOARD_READ_ONLY="1")
    assert (await world.call("list_numbers", era=era))["numbers"]
    assert await world.holders(TEST_ONE) == []


async def test_keys_a_client_adds_are_refused_by_default(world: World, era: str) -> None:
    reply = await world.call("list_agents", era=era, sessionId="s-1")
    assert reply.code == "INVALID_ARGUMENTS" and "sessionId" in reply.text


async def test_keys_an_operator_lists_are_ignored_and_no_others(
    make_world: Worlds, era: str
) -> None:
    world = make_world(ignore_arguments=["sessionId", "toolCallId"])
    noise: dict[str, Any] = {"sessionId": "s-1", "toolCallId": {"n": 8}}
    assert (await world.call("list_agents", era=era, **noise))["agents"]
    planned = await world.call(
        "attach_numbers", era=era, agent="local:support", numbers=[TEST_ONE], **noise
    )
    assert planned.status == "confirmation_required"
    reply = await world.call("list_agents", era=era, chatInput="hello", **noise)
    assert reply.code == "INVALID_ARGUMENTS"
    assert "chatInput" in reply.text and "sessionId" not in reply.text


async def test_an_unknown_tool_is_a_clear_error_that_names_the_nearest(
    world: World, era: str
) -> None:
    reply = await world.call("atach_numbers", era=era, agent="local:support")
    assert reply.code == "INVALID_ARGUMENTS"
    assert "attach_numbers" in reply.text and "Nothing was changed" in reply.text

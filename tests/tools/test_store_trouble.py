"""When the store cannot be used, every tool says so in words; none claims to have written."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

import pytest
from tests.world import SUPPORT_LINE, TEST_ONE, Person, World, Worlds, read

pytestmark = pytest.mark.anyio

CALLS: list[tuple[str, dict[str, Any]]] = [
    ("list_numbers", {}),
    ("get_number_route", {"number": TEST_ONE}),
    ("attach_numbers", {"agent": "local:support", "numbers": [TEST_ONE]}),
    ("apply_plan", {"plan_id": "plan_" + "0" * 24}),
    ("freeze_changes", {"reason": "drill"}),
    ("list_changes", {}),
]


def deleted(world: World) -> None:
    world.database.unlink()


def replaced(world: World) -> None:
    text = world.database.read_bytes()
    world.database.rename(world.home / "old.db")
    world.database.write_bytes(text)


def overwritten(world: World) -> None:
    world.database.write_bytes(b"this is not a store, whatever its name says\n" * 200)


def a_folder(world: World) -> None:
    world.database.unlink()
    world.database.mkdir()


def newer(world: World) -> None:
    connection = sqlite3.connect(world.database)
    connection.execute("UPDATE schema_version SET version = 99")
    connection.commit()
    connection.close()


@pytest.mark.parametrize(("tool", "given"), CALLS)
@pytest.mark.parametrize("trouble", [overwritten, a_folder, newer])
async def test_a_store_that_cannot_be_opened_is_a_clear_error(
    world: World, trouble: Callable[[World], None], tool: str, given: dict[str, Any]
) -> None:
    trouble(world)
    reply = await world.call(tool, **given)
    assert reply.code == "STORE_UNAVAILABLE", reply.text
    assert str(world.database) in reply.text and "Nothing was changed" in reply.text


@pytest.mark.parametrize(("tool", "given"), CALLS)
@pytest.mark.parametrize("trouble", [deleted, replaced])
async def test_a_store_that_goes_away_in_use_is_a_clear_error(
    world: World, era: str, trouble: Callable[[World], None], tool: str, given: dict[str, Any]
) -> None:
    async with world.client(era) as client:
        assert read(await client.call_tool("list_numbers"))["numbers"]
        trouble(world)
        reply = read(await client.call_tool(tool, given))
    assert reply.code == "STORE_UNAVAILABLE", reply.text
    assert str(world.database) in reply.text


async def test_a_newer_store_says_what_to_update(world: World, era: str) -> None:
    newer(world)
    reply = await world.call("list_numbers", era=era)
    assert "schema 99" in reply.text and "Update" in reply.text


async def test_a_store_that_goes_away_while_the_question_is_open_applies_nothing(
    world: World, era: str
) -> None:
    async def lose() -> None:
        replaced(world)

    person = Person("yes", meanwhile=lose)
    reply = await world.call(
        "attach_numbers", era=era, person=person, agent="local:support", numbers=[SUPPORT_LINE]
    )
    assert reply.code == "STORE_UNAVAILABLE" and len(person.asked) == 1
    assert await world.another().holders(SUPPORT_LINE) == []


async def test_a_store_not_there_yet_is_made_empty(make_world: Worlds, era: str) -> None:
    world = make_world()
    world.database.unlink()
    reply = await world.call("list_numbers", era=era)
    assert reply["numbers"] == [] and "cordboard import FILE" in reply.message
    assert world.database.stat().st_mode & 0o077 == 0


async def test_a_client_that_leaves_does_not_disturb_another(world: World) -> None:
    given: dict[str, Any] = {"agent": "local:support", "numbers": [TEST_ONE]}
    async with world.client() as stays:
        async with world.client("legacy") as leaves:
            planned = read(await leaves.call_tool("attach_numbers", given))
            assert read(await stays.call_tool("list_numbers"))["numbers"]
        done = read(await stays.call_tool("apply_plan", {"plan_id": planned.plan_id}))
    assert done.status == "applied"

"""`GET /v1/routes/{number}` on PostgreSQL: how old an answer may be, said and kept."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from time import monotonic

import anyio.lowlevel
import httpx
import pytest
from tests.web.site import on_the_web
from tests.world import SEEDS, TEST_ONE, World, Worlds

pytestmark = pytest.mark.anyio
BOUND = "cordboard-max-staleness"
HELD = SEEDS.bound("local:sales", TEST_ONE)
MOVE = {"from_agent": "local:sales", "to_agent": "local:night", "numbers": [TEST_ONE]}
Ask = Callable[[], Awaitable[httpx.Response]]


@pytest.fixture
def store_kind() -> str:
    return "postgres"


@asynccontextmanager
async def asking(world: World) -> AsyncIterator[Ask]:
    """Somebody's voice stack, which asks for one number."""
    async with on_the_web(world) as web:
        headers = await web.bearer("voice", "routes:read")

        async def ask() -> httpx.Response:
            answer = await web.http.get(f"/v1/routes/{TEST_ONE}", headers=headers)
            assert answer.status_code == 200, answer.text
            return answer

        yield ask


async def test_an_answer_says_how_old_it_may_be(make_world: Worlds) -> None:
    async with asking(make_world(HELD)) as ask:
        first, again = await ask(), await ask()
    assert first.headers[BOUND] == again.headers[BOUND] == "0.25"
    assert first.json() == again.json()
    assert first.json()["agent"] == "local:sales"


async def test_a_change_at_another_server_is_told_within_the_bound(make_world: Worlds) -> None:
    world = make_world(HELD)
    async with asking(world) as ask:
        for _ in range(3):  # by then it is remembered
            assert (await ask()).json()["agent"] == "local:sales"
        await world.done("move_numbers", **MOVE)
        since = monotonic()
        while (begun := monotonic()) and (await ask()).json()["agent"] != "local:night":
            assert begun - since <= 0.25, "an answer older than the bound"
            await anyio.lowlevel.checkpoint()
        assert (await ask()).json()["version"] == 2


async def test_without_a_bound_a_change_is_told_at_once(make_world: Worlds) -> None:
    world = make_world(HELD, remember_seconds=0.0)
    async with asking(world) as ask:
        answer = await ask()
        assert (answer.headers[BOUND], answer.json()["agent"]) == ("0", "local:sales")
        await world.done("move_numbers", **MOVE)
        assert (await ask()).json()["agent"] == "local:night"

"""MCP calls over HTTP against a no-op of a bare server: the same SDK client, the same uvicorn.

One call of each in turn, on connections that stay open. Ours checks token, scope and arguments,
looks into the store, and tells the same as text and as data.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from tests.bench.measuring import Pair, Table, timed_async
from tests.bench.served import bare
from tests.bench.stores import make_store, remove
from tests.bench.wire import LEGACY, MODERN
from tests.web.serving import WRITES, serving
from tests.world import SEEDS, TEST_ONE, fill

pytestmark = pytest.mark.anyio
ROUNDS, WARM_UP, BOUND = 400, 50, 1.3
CALLS: dict[str, dict[str, Any]] = {
    "get_number_route": {"number": TEST_ONE},
    "list_numbers": {"limit": 1},
}


@asynccontextmanager
async def client(url: str, era: str, token: str = "") -> AsyncIterator[Client]:
    """An MCP client with a connection of its own."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with httpx2.AsyncClient(headers=headers, timeout=60) as carrier:
        transport = streamable_http_client(f"{url}/mcp", http_client=carrier)
        async with Client(transport, mode="legacy" if era == LEGACY else "auto") as connected:
            yield connected


async def call(connected: Client, tool: str, arguments: dict[str, Any]) -> None:
    result = await connected.call_tool(tool, arguments)
    assert not result.is_error and result.structured_content, result.content


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "cordboard.db"
    make_store(path, lambda tx: fill(tx, SEEDS.bound("local:support", TEST_ONE)))
    yield path
    remove(path)


@pytest.mark.parametrize("era", [MODERN, LEGACY])
@pytest.mark.parametrize("tool", CALLS)
async def test_a_call_costs_little_more_than_a_no_op_of_a_bare_server(
    tool: str, era: str, table: Table, database: Path
) -> None:
    pair = Pair()
    async with (
        serving(database) as served,
        bare() as counterpart,
        client(served.url, era, await served.token("bench", WRITES)) as ours,
        client(counterpart, era) as theirs,
    ):
        work, nothing = partial(call, ours, tool, CALLS[tool]), partial(call, theirs, "no_op", {})
        for turn in range(ROUNDS + WARM_UP):
            first, second = (work, nothing) if turn % 2 else (nothing, work)
            times = {first: await timed_async(first), second: await timed_async(second)}
            pair.ours.append(times[work])
            pair.bare.append(times[nothing])
    table.hold(pair.without(WARM_UP).figure(f"{tool} over HTTP to a no-op, {era}", BOUND))

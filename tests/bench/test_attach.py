"""One number attached over stdio: planned, cleared at level `plan`, applied durably.

Allowed are three no-op calls of a bare server for each of the two round trips, and one synced
commit; so the ratio is (ours - one commit) : (two no-op calls). Both servers are called with the
SDK's own client, as a host calls them; a client that only writes lines makes both faster alike.
"""

from __future__ import annotations

import sqlite3
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import anyio
import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from tests.bench.measuring import Pair, Table, shown, timed, timed_async
from tests.bench.stores import bare_connection, make_store, seeded
from tests.bench.wire import BARE, LEGACY, MODERN, OURS, environment
from tests.world import many, names

ROUNDS, WARM_UP, AGENTS = 200, 20, 20
COMMITS = 1
"""How many commits are granted besides the no-op calls."""
POLICY = 'extends = "standard"\n[budgets]\nnumbers_per_hour = 0\n'
"""TEST numbers at level `plan`, as in the standard policy, for more than 25 of them an hour."""


def one_row_table(path: Path) -> sqlite3.Connection:
    """A durable database with one row to change."""
    connection = bare_connection(path)
    connection.execute("CREATE TABLE counter (id INTEGER PRIMARY KEY, n INTEGER NOT NULL)")
    connection.execute("INSERT INTO counter VALUES (1, 0)")
    return connection


def commit(connection: sqlite3.Connection) -> None:
    """One durable commit of one row."""
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("UPDATE counter SET n = n + 1 WHERE id = 1")
    connection.execute("COMMIT")


async def attach(client: Client, agent: str, number: str) -> None:
    """Both round trips of a change: the plan, and its second call."""
    planned = await structured(client, "attach_numbers", agent=agent, numbers=[number])
    assert planned["status"] == "confirmation_required"
    done = await structured(client, "apply_plan", plan_id=planned["plan_id"])
    assert done["status"] == "applied"


async def no_ops(client: Client) -> None:
    """Two round trips of the bare server."""
    for _ in range(2):
        assert await structured(client, "no_op") == {"result": "ok"}


async def structured(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """The structured content of a tool's answer."""
    result = await client.call_tool(tool, arguments)
    assert not result.is_error and result.structured_content is not None, result.content
    found: dict[str, Any] = result.structured_content
    return found


def server(command: tuple[str, ...], env: dict[str, str]) -> StdioServerParameters:
    """How the client starts one side."""
    return StdioServerParameters(command=command[0], args=list(command[1:]), env=env)


async def measured(era: str, env: dict[str, str], database: Path) -> tuple[Pair, list[float]]:
    """Rounds of both sides, and of a bare commit on the same disk."""
    mode = "legacy" if era == LEGACY else "auto"
    pair, commits, counter = Pair(), list[float](), one_row_table(database)
    async with (
        Client(server(OURS, env), mode=mode) as ours,
        Client(server(BARE, env), mode=mode) as bare,
    ):
        for turn, number in enumerate(names(many(ROUNDS + WARM_UP))):
            agent = f"local:agent-{turn % AGENTS}"
            change, nothing = partial(attach, ours, agent, number), partial(no_ops, bare)
            first, second = (change, nothing) if turn % 2 else (nothing, change)
            times = {first: await timed_async(first), second: await timed_async(second)}
            pair.ours.append(times[change])
            pair.bare.append(times[nothing])
            commits.append(timed(partial(commit, counter)))
    counter.close()
    return pair, commits


@pytest.mark.parametrize("era", [MODERN, LEGACY])
def test_an_attach_costs_at_most_three_no_ops_a_round_trip_and_one_commit(
    era: str, table: Table, tmp_path: Path, bytecode: Path
) -> None:
    (tmp_path / "policy.toml").write_text(POLICY, "utf-8")
    make_store(tmp_path / "cordboard.db", seeded(AGENTS, ROUNDS + WARM_UP))
    env = environment(tmp_path, bytecode, CORDBOARD_POLICY=str(tmp_path / "policy.toml"))
    pair, commits = anyio.run(measured, era, env, tmp_path / "bare.db")
    synced = median(commits)
    name = f"attach + apply, less a commit of {shown(synced)}, {era}"
    table.hold(pair.without(WARM_UP).figure(name, 3.0, off=COMMITS * synced))

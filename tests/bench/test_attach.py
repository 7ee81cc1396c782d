"""One number attached over stdio: planned, cleared at level `plan`, applied durably.

Allowed are three no-op calls of a bare server for each of the two round trips, and one synced
commit; so the ratio is (ours - one commit) : (two no-op calls). A change is two durable
transactions: the second commit counts against us, the more the slower the disk is.
"""

from __future__ import annotations

import sqlite3
from functools import partial
from pathlib import Path
from statistics import median

import pytest
from tests.bench.measuring import Pair, Table, shown, timed
from tests.bench.stores import bare_connection, make_store, seeded
from tests.bench.wire import BARE, LEGACY, MODERN, OURS, Wire, environment, started, structured
from tests.world import many, names

ROUNDS, WARM_UP, AGENTS = 200, 20, 20
COMMITS = 1
"""How many commits are granted besides the no-op calls."""
POLICY = 'extends = "standard"\n[budgets]\nnumbers_per_hour = 0\n'
"""TEST numbers at level `plan`, as in the standard policy, for more than 25 of them an hour."""


def attach(wire: Wire, agent: str, number: str) -> None:
    """Both round trips of a change: the plan, and its second call."""
    planned = structured(wire.call("attach_numbers", agent=agent, numbers=[number]))
    assert planned["status"] == "confirmation_required"
    done = structured(wire.call("apply_plan", plan_id=planned["plan_id"]))
    assert done["status"] == "applied"


def no_ops(wire: Wire) -> None:
    """Two round trips of the bare server."""
    for _ in range(2):
        assert structured(wire.call("no_op")) == {"result": "ok"}


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


@pytest.mark.parametrize("era", [MODERN, LEGACY])
def test_an_attach_costs_at_most_three_no_ops_a_round_trip_and_one_commit(
    era: str, table: Table, tmp_path: Path, bytecode: Path
) -> None:
    (tmp_path / "policy.toml").write_text(POLICY, "utf-8")
    make_store(tmp_path / "cordboard.db", seeded(AGENTS, ROUNDS + WARM_UP))
    env = environment(tmp_path, bytecode, CORDBOARD_POLICY=str(tmp_path / "policy.toml"))
    bare_db = one_row_table(tmp_path / "bare.db")
    pair, commits = Pair(), list[float]()
    with started(OURS, era, env) as ours, started(BARE, era, env) as bare:
        for wire in (ours, bare):
            wire.shake_hands()
        for turn, number in enumerate(names(many(ROUNDS + WARM_UP))):
            change = partial(attach, ours, f"local:agent-{turn % AGENTS}", number)
            pair.take(turn, partial(timed, change), partial(timed, partial(no_ops, bare)))
            commits.append(timed(partial(commit, bare_db)))
    bare_db.close()
    synced = median(commits)
    name = f"attach + apply, less a commit of {shown(synced)}, {era}"
    table.hold(pair.without(WARM_UP).figure(name, 3.0, off=COMMITS * synced))

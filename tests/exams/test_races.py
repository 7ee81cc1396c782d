"""Several real processes on one store, at the same moment: exactly one winner, nobody turned away.

Two server processes on one file is the normal case: a desktop client and an IDE. On PostgreSQL the
race for many numbers is in test_postgres_races.py.
"""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.exams import stage
from tests.world import SEEDS, SeedAgent, Worlds, many, names

from cordboard.clock import system_clock

ON_EVERY_STORE = True

SCRIPT = "tests.exams.processes"
ROOT = Path(__file__).parents[2]
RACERS = 8
RUNNERS = tuple(SeedAgent(f"local:runner{i}", f"Runner {i}") for i in range(RACERS))
LINES = many(12)
SEED = SEEDS.but(agents=SEEDS.agents + RUNNERS, numbers=SEEDS.numbers + LINES)


def processes(job: str, database: stage.Database, **told: Any) -> Any:
    """What the processes told; they are real ones, forked by a script of their own."""
    done = subprocess.run(
        [sys.executable, "-m", SCRIPT, job, str(database)],
        input=json.dumps(told),
        capture_output=True,
        text=True,
        timeout=10_000 if stage.MORE else 280,
        check=False,
        env=os.environ | {"PYTHONWARNINGS": "error", "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture
def database(make_world: Worlds) -> stage.Database:
    """A filled store that nobody has open."""
    return stage.place(make_world(SEED))


@pytest.fixture
def rounds(store_kind: str) -> int:
    """How often a race is run."""
    return stage.examples(2 if store_kind == "postgres" else 6, 100)


def sound(database: stage.Database, told: list[dict[str, Any]]) -> None:
    """Nobody was turned away by the store, no code broke, and the books balance."""
    allowed = {"NUMBER_ATTACHED_ELSEWHERE", "NUMBER_NOT_ATTACHED"}
    for racer in told:
        assert "status" in racer or racer["code"] in allowed, racer["message"]
    stage.audit(database)
    [seen] = processes("race", database, rounds=[[("look", {})]])[0]
    assert (seen["fault"], seen["integrity"]) == ("", "ok")


def test_of_eight_processes_that_attach_the_same_numbers_one_wins_all(
    database: stage.Database, rounds: int
) -> None:
    races = [
        [("attach", {"agent": f"local:runner{i}", "numbers": [LINES[turn % 6].number, LINES[6 + turn % 6].number]})
         for i in range(RACERS)]
        for turn in range(min(rounds, 6))
    ]  # fmt: skip
    for racers in processes("race", database, rounds=races):
        winners = [r for r in racers if r.get("status") == "applied"]
        assert len(winners) == 1, racers
        sound(database, racers)
    held = stage.bindings(database)
    for jobs in races:
        holders = {agent for number, _, agent in held if number in jobs[0][1]["numbers"]}
        assert len(holders) == 1


def test_overlapping_attaches_leave_every_number_with_one_agent(database: stage.Database) -> None:
    numbers = names(LINES)
    racers = [
        ("attach", {"agent": f"local:runner{i}", "numbers": numbers[i : i + 4]})
        for i in range(RACERS)
    ]
    [told] = processes("race", database, rounds=[racers])
    sound(database, told)
    winners = [i for i, r in enumerate(told) if r.get("status") == "applied"]
    assert winners
    expected = {(n, "inbound", f"local:runner{i}") for i in winners for n in numbers[i : i + 4]}
    assert set(stage.bindings(database)) == expected


def test_of_eight_processes_that_take_a_number_over_one_gets_it(database: stage.Database) -> None:
    number = [LINES[0].number]
    first = ("attach", {"agent": "local:night", "numbers": number})
    takers = [
        ("move", {"agent": f"local:runner{i}", "from_agent": "local:night", "numbers": number})
        for i in range(RACERS)
    ]
    _, told = processes("race", database, rounds=[[first], takers])
    assert [r.get("status") for r in told].count("applied") == 1
    sound(database, told)
    assert len(stage.bindings(database)) == 1


def test_two_processes_that_apply_one_plan_write_it_once(make_world: Worlds, rounds: int) -> None:
    world = make_world(SEED)
    world.clock.now = system_clock()  # the racers go by the machine's clock
    for _ in range(rounds):
        made = anyio.run(planned, world, "relaxed")
        jobs = [("apply", {"plan_id": made})] * 2
        [told] = processes("race", stage.place(world), rounds=[jobs])
        assert [r["status"] for r in told] == ["applied", "applied"], told
        assert written(stage.place(world), made) == (1, 1)
        sound(stage.place(world), told)


def test_eight_approvals_of_one_plan_write_it_once(make_world: Worlds, rounds: int) -> None:
    world = make_world(SEED)
    world.clock.now = system_clock()  # the racers go by the machine's clock
    approvers = anyio.run(enrolled, world)
    for _ in range(rounds):
        made = anyio.run(planned, world, "strict")
        jobs = [("approve", {"plan_id": made} | who) for who in approvers]
        [told] = processes("race", stage.place(world), rounds=[jobs], policy="strict")
        assert {r["status"] for r in told} == {"applied"}, told
        assert written(stage.place(world), made) == (1, 1)
        sound(stage.place(world), told)


async def enrolled(world: Any, count: int = RACERS) -> list[dict[str, str]]:
    """So many approvers, with name and passphrase: one for each racer."""
    desk = world.app.service.approvals.approvers
    who = [{"name": f"approver{i}", "passphrase": f"passphrase {i}"} for i in range(count)]
    first = await desk.enrol(who[0]["name"], who[0]["passphrase"], "ada-the-user", None)
    for other in who[1:]:
        await desk.enrol(other["name"], other["passphrase"], "ada-the-user", first)
    return who


async def planned(world: Any, policy: str) -> str:
    """A plan of three numbers, back and forth, that nobody has applied yet."""
    other = world.another(policy)
    numbers = names(LINES[:3])
    holder = await other.holders(numbers[0])
    if not holder:
        reply = await other.call("attach_numbers", agent="local:night", numbers=numbers)
    else:
        reply = await other.call("detach_numbers", agent="local:night", numbers=numbers)
    return str(reply.plan_id)


def written(database: stage.Database, plan_id: str) -> tuple[int, int]:
    """How often it was applied: events in the journal, approvals used."""
    events = "SELECT 1 FROM journal WHERE event = 'applied' AND plan_id = ?"
    used = "SELECT 1 FROM approval WHERE used_at <> '' AND plan_id = ?"
    return len(stage.query(database, events, plan_id)), len(stage.query(database, used, plan_id))


@pytest.mark.parametrize("turn", range(stage.examples(3, 40)))
def test_eight_processes_that_open_a_new_store_at_once_all_can(tmp_path: Path, turn: int) -> None:
    database = tmp_path / "new" / "cordboard.db"
    [told] = processes(
        "race", database, rounds=[[("freeze", {"reason": f"racer {i}"}) for i in range(RACERS)]]
    )
    assert [r.get("status") for r in told] == ["frozen"] * RACERS, told
    assert len({r["key"] for r in told}) == 1, "every process seals with the same key"
    events = [row["event"] for row in stage.query(database, "SELECT event FROM journal")]
    assert events == ["frozen"]
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in database.parent.iterdir()}
    assert set(modes.values()) == {0o600}, modes
    sound(database, told)

"""Real processes on one store, for the races and the kills. Run as a script, not as a test.

The script imports the product once and forks: `python -m tests.exams.processes JOB DATABASE`, with what it is
told as JSON on standard input; DATABASE is a file or the URL of a PostgreSQL database. Children wait behind one gate, so that they
start at the same moment; each tells one JSON line. The last line on standard output is the list of
all of them.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import sys
import time
import traceback
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
from tests.exams.contender import Told, caller, contend, told_of

from cordboard import journal
from cordboard.app import App, build
from cordboard.config import load
from cordboard.errors import CordboardError
from cordboard.request import Asked
from cordboard.stores import Transaction

Job = Callable[[App, Told], Awaitable[Told]]


async def attach(app: App, given: Told) -> Told:
    """Plan an attach and apply it at once."""
    asked = Asked("attach", given["agent"], tuple(given["numbers"]))
    planned = told_of(await app.service.changes.change(caller(app), asked, "a race"))
    return planned if planned["status"] != "confirmation_required" else await apply(app, planned)


async def move(app: App, given: Told) -> Told:
    """Plan a takeover and apply it at once."""
    planned = await _planned_move(app, given)
    return planned if planned["status"] != "confirmation_required" else await apply(app, planned)


async def apply(app: App, given: Told) -> Told:
    """Apply a plan that stands."""
    return told_of(await app.service.changes.apply(caller(app), given["plan_id"]))


async def approve(app: App, given: Told) -> Told:
    """Approve a plan as an enrolled approver, which applies it."""
    desk = app.service.approvals
    who = await desk.approvers.verify(given["name"], given["passphrase"])
    return told_of(await desk.approve(await desk.find(given["plan_id"]), who))


async def move_approved(app: App, given: Told) -> Told:
    """Plan a takeover that an enrolled approver must approve, and approve it."""
    planned = await _planned_move(app, given)
    if planned["status"] != "awaiting_approval":
        return planned
    return await approve(app, given | planned)


async def freeze(app: App, given: Told) -> Told:
    """A first write on a store, perhaps before it exists."""
    result = await app.service.changes.freeze(caller(app), given["reason"])
    return told_of(result) | {"key": app.keys[0].hex()}


async def look(app: App, given: Told) -> Told:
    """What a process that comes later finds: does the journal verify, is the file whole?

    A server looks after its own files: its integrity is "ok" where it answers.
    """
    report = await app.store.read(lambda tx: journal.verify(tx, "default"))
    facts = await app.store.facts()
    integrity = facts["integrity"] if not app.settings.postgres else "ok"
    return {"fault": report.fault, "seq": report.head.seq, "integrity": integrity}


async def stall(app: App, given: Told) -> Told:
    """Stop itself (SIGSTOP) in the middle of a transaction that writes, as a machine that is paused
    or cut off does."""

    def work(tx: Transaction) -> None:
        tx.one("account_get", account="default")
        os.kill(os.getpid(), signal.SIGSTOP)
        tx.run("account_freeze", account="default", at="now", by="somebody", reason="too late")

    await app.store.write(work)
    return {"status": "written"}


async def migrate(app: App, given: Told) -> Told:
    """Make the tables of a database."""
    from cordboard.stores.postgres import PostgresStore

    store = PostgresStore(app.settings.postgres)
    had, has = await store.migrate()
    await store.close()
    return {"status": "migrated", "had": had, "has": has}


async def _planned_move(app: App, given: Told) -> Told:
    asked = Asked("move", given["agent"], tuple(given["numbers"]), from_agent=given["from_agent"])
    return told_of(await app.service.changes.change(caller(app), asked, "a race"))


JOBS: dict[str, Job] = {
    f.__name__: f
    for f in (attach, move, move_approved, apply, approve, freeze, look, migrate, contend, stall)
}


class Child:
    """One forked process with a gate to wait at and a pipe to tell through."""

    def __init__(self, job: str, database: str, policy: str, given: Told) -> None:
        gate, self._open = os.pipe()
        self._told, tell = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._open)
            _live(gate, tell, job, database, policy, given)
        os.close(gate)
        os.close(tell)

    def at_gate(self) -> None:
        """Wait until the child waits."""
        assert os.read(self._told, 1) == b"?"

    def go(self) -> None:
        """Open the gate. With a word: children made later have this end too, so closing is none."""
        os.write(self._open, b"!")
        os.close(self._open)

    def started(self) -> None:
        """Wait until the child is through the gate and about to work."""
        assert os.read(self._told, 1) == b"!"

    def told(self) -> Told:
        """What it told, once it has ended; {} for one that was killed."""
        with os.fdopen(self._told, "rb") as pipe:
            text = pipe.read()
        os.waitpid(self.pid, 0)
        told: Told = json.loads(text) if text else {}
        return told


def _live(gate: int, tell: int, job: str, database: str, policy: str, given: Told) -> None:
    """A child's whole life; it never returns to the code of its parent."""
    try:
        environ = {"CORDBOARD_DATABASE": database, "CORDBOARD_POLICY": policy}
        app = build(load(environ | given.get("environ", {})))
        if given.get("warm"):
            anyio.run(app.store.facts)
        os.write(tell, b"?")
        os.read(gate, 1)
        os.write(tell, b"!")
        try:
            told = anyio.run(JOBS[job], app, given)
        except CordboardError as exc:
            told = {"code": exc.code, "message": str(exc)}
        except BaseException as exc:  # noqa: BLE001 - told to the parent, whatever it is
            told = {"code": type(exc).__name__, "message": traceback.format_exc()}
        os.write(tell, json.dumps(told).encode())
    finally:
        os._exit(0)


def run(jobs: list[tuple[str, Told]], database: str, policy: str) -> list[Told]:
    """Run these jobs at the same moment, each in its own process."""
    children = [Child(job, database, policy, given) for job, given in jobs]
    for child in children:
        child.at_gate()
    for child in children:
        child.go()
    for child in children:
        child.started()
    return [child.told() for child in children]


def race(database: str, told: Told) -> list[Any]:
    """Several rounds of a race; `rounds` is a list of lists of (job, arguments)."""
    policy = told.get("policy", "relaxed")
    return [run(jobs, database, policy) for jobs in told["rounds"]]


def contest(database: str, told: Told) -> list[Any]:
    """Rounds of the race of contender.py; each begins with what its contenders held after the one
    before. Of each round: what they told, and who holds each number, as (number, agent)."""
    mine: dict[str, list[str]] = {}
    rounds: list[Any] = []
    for turn in range(told["rounds"]):
        jobs = [
            ("contend", {**one, "mine": mine.get(one["agent"], []), "turn": turn, "warm": True})
            for one in told["contenders"]
        ]
        ended = run(jobs, database, "relaxed")
        owners = _rows(database, "SELECT number, agent FROM binding")
        for one in told["contenders"]:
            mine[one["agent"]] = [number for number, agent in owners if agent == one["agent"]]
        rounds.append({"told": ended, "owners": owners})
    return rounds


def kill(database: str, told: Told) -> list[Any]:
    """kill -9 a process at random moments while it moves all numbers to the other of two agents.

    After each kill a new process looks, and goes on: it moves them, whatever was done before.
    `way`, `policy`: which job moves them, under which policy.
    """
    chance = random.Random(told["seed"])  # noqa: S311 - moments, not secrets
    job, policy, pair = told["way"], told["policy"], told["agents"]
    moves = {
        holder: told | {"agent": _other(pair, holder), "from_agent": holder} for holder in pair
    }
    usual = max(_usual(job, database, policy, moves[holder]) for holder in pair)
    rounds: list[Any] = []
    for _ in range(told["kills"]):
        holder = _holders(database)[0]
        finished = _killed(job, database, policy, moves[holder], chance.uniform(0, 1.1 * usual))
        hot = Path(f"{database}-journal")
        torn = hot.exists() and hot.stat().st_size > 0
        [seen] = run([("look", {})], database, policy)
        after = _holders(database)
        [next_one] = run([(job, moves[holder])], database, policy)
        rounds.append(
            {"seen": seen, "holders": after, "before": holder, "after": _other(pair, holder),
             "torn": torn, "next": next_one, "finally": _holders(database), "finished": finished}
        )  # fmt: skip
    return rounds


def _other(pair: list[str], one: str) -> str:
    return pair[1 - pair.index(one)]


def _killed(job: str, database: str, policy: str, given: Told, after: float) -> bool:
    """Start a process and kill -9 it after so many seconds; whether it was done by then."""
    child = Child(job, database, policy, given)
    child.at_gate()
    child.go()
    child.started()
    time.sleep(after)  # the moment of death is the experiment
    os.kill(child.pid, signal.SIGKILL)
    finished = bool(child.told())
    _buried(database)
    return finished


def _usual(job: str, database: str, policy: str, given: Told) -> float:
    """How long a move takes that nobody kills."""
    child = Child(job, database, policy, given)
    child.at_gate()
    child.go()
    child.started()
    start = time.monotonic()
    told = child.told()
    assert told.get("status") == "applied", told
    return time.monotonic() - start


def born(database: str, told: Told) -> list[Any]:
    """kill -9 the process that makes a store; the next one must be able to use it.

    `places`: the stores to be made. `way`: the job that makes one.
    """
    chance = random.Random(told["seed"])  # noqa: S311 - moments, not secrets
    job = told["way"]
    rounds: list[Any] = []
    for place in told["places"]:
        _killed(job, place, "relaxed", {"reason": "first"}, chance.uniform(0, told["longest"]))
        made = run([(job, {"reason": "next"})], place, "relaxed")
        rounds.append(made + run([("freeze", {"reason": "next"}), ("look", {})], place, "relaxed"))
    return rounds


def stopped(database: str, told: Told) -> list[Any]:
    """A process stops in the middle of a transaction and goes on when another has had its turn.
    What both told, and how many seconds the other took."""
    child = Child("stall", database, "relaxed", {})
    child.at_gate()
    child.go()
    child.started()
    os.waitpid(child.pid, os.WUNTRACED)
    start = time.monotonic()
    [other] = run([("freeze", {"reason": "meanwhile"})], database, "relaxed")
    took = time.monotonic() - start
    os.kill(child.pid, signal.SIGCONT)
    return [other, took, child.told()]


def _buried(database: str) -> None:
    """Wait until what a killed process had begun is over at the server, too."""
    connected = (
        "SELECT pid::text FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name = 'cordboard'"
    )
    while "://" in database and _rows(database, connected):
        time.sleep(0.01)


def _holders(database: str) -> list[str]:
    """Who holds the numbers, as a set in a list: one name when all or nothing was done."""
    return [row[0] for row in _rows(database, "SELECT DISTINCT agent FROM binding ORDER BY agent")]


def _rows(database: str, sql: str) -> list[tuple[str, ...]]:
    """Rows read beside the product."""
    if "://" not in database:
        with closing(sqlite3.connect(database, timeout=10)) as db:
            return db.execute(sql).fetchall()
    import psycopg

    with psycopg.connect(database) as connection:
        return connection.execute(sql.encode()).fetchall()


if __name__ == "__main__":
    works = {f.__name__: f for f in (race, contest, kill, born, stopped)}
    work = works[sys.argv[1]]
    sys.stdout.write(json.dumps(work(sys.argv[2], json.load(sys.stdin))))

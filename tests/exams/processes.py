"""Real processes on one store, for the races and the kills. Run as a script, not as a test.

The script imports the product once and forks: `python processes.py JOB DATABASE JSON`. Children
wait behind one gate, so that they start at the same moment; each tells one JSON line. The last
line on standard output is the list of all of them.
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

from cordboard import journal
from cordboard.answers import ChangeResult
from cordboard.app import App, build
from cordboard.config import load
from cordboard.errors import CordboardError
from cordboard.guard import Question
from cordboard.identity import operator
from cordboard.request import Asked
from cordboard.service import Caller

Told = dict[str, Any]
Job = Callable[[App, Told], Awaitable[Told]]


async def attach(app: App, given: Told) -> Told:
    """Plan an attach and apply it at once."""
    return await _change(app, Asked("attach", given["agent"], tuple(given["numbers"])))


async def move(app: App, given: Told) -> Told:
    """Plan a takeover and apply it at once."""
    asked = Asked("move", given["agent"], tuple(given["numbers"]), from_agent=given["from_agent"])
    return await _change(app, asked)


async def apply(app: App, given: Told) -> Told:
    """Apply a plan that stands."""
    return _told(await app.service.changes.apply(_caller(app), given["plan_id"]))


async def approve(app: App, given: Told) -> Told:
    """Approve a plan as an enrolled approver, which applies it."""
    desk = app.service.approvals
    who = await desk.approvers.verify(given["name"], given["passphrase"])
    return _told(await desk.approve(await desk.find(given["plan_id"]), who))


async def freeze(app: App, given: Told) -> Told:
    """A first write on a store, perhaps before it exists."""
    result = await app.service.changes.freeze(_caller(app), given["reason"])
    return _told(result) | {"key": app.keys[0].hex()}


async def look(app: App, given: Told) -> Told:
    """What a process that comes later finds: does the journal verify, is the file whole?"""
    report = await app.store.read(lambda tx: journal.verify(tx, "default"))
    facts = await app.store.facts()
    return {"fault": report.fault, "seq": report.head.seq, "integrity": facts["integrity"]}


async def _change(app: App, asked: Asked) -> Told:
    planned = await app.service.changes.change(_caller(app), asked, "a race")
    assert not isinstance(planned, Question)
    if planned.status != "confirmation_required":
        return _told(planned)
    return _told(await app.service.changes.apply(_caller(app), planned.plan_id))


def _caller(app: App) -> Caller:
    return Caller(operator(app.settings.account, app.settings.principal))


def _told(result: ChangeResult | Question) -> Told:
    assert not isinstance(result, Question)
    return {"status": result.status, "plan_id": result.plan_id, "message": result.message}


JOBS: dict[str, Job] = {f.__name__: f for f in (attach, move, apply, approve, freeze, look)}


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

    def go(self) -> None:
        """Open the gate."""
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
        app = build(load({"CORDBOARD_DATABASE": database, "CORDBOARD_POLICY": policy}))
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
        child.go()
    for child in children:
        child.started()
    return [child.told() for child in children]


def race(database: str, told: Told) -> list[Any]:
    """Several rounds of a race; `rounds` is a list of lists of (job, arguments)."""
    policy = told.get("policy", "relaxed")
    return [run(jobs, database, policy) for jobs in told["rounds"]]


def kill(database: str, told: Told) -> list[Any]:
    """kill -9 a process at random moments while it moves all numbers to the other of two agents.

    After each kill a new process looks, and goes on: it moves them, whatever was done before.
    """
    chance = random.Random(told["seed"])  # noqa: S311 - moments, not secrets
    numbers, pair = told["numbers"], told["agents"]
    usual = _usual(database, numbers, pair)
    rounds: list[Any] = []
    for _ in range(told["kills"]):
        holder = _holders(database)[0]
        other = pair[1 - pair.index(holder)]
        given = {"agent": other, "from_agent": holder, "numbers": numbers}
        child = Child("move", database, "relaxed", given)
        child.go()
        child.started()
        time.sleep(chance.uniform(0, 1.1 * usual))  # the moment of death is the experiment
        os.kill(child.pid, signal.SIGKILL)
        finished = bool(child.told())
        hot = Path(f"{database}-journal")
        torn = hot.exists() and hot.stat().st_size > 0
        [seen] = run([("look", {})], database, "relaxed")
        after = _holders(database)
        [next_one] = run([("move", given)], database, "relaxed")
        rounds.append(
            {"seen": seen, "holders": after, "before": holder, "after": other, "torn": torn,
             "next": next_one, "finally": _holders(database), "finished": finished}
        )  # fmt: skip
    return rounds


def _usual(database: str, numbers: list[str], pair: list[str]) -> float:
    """How long a move takes that nobody kills: back and forth once, the longer of the two."""
    spans = []
    for source, target in (pair, pair[::-1]):
        child = Child(
            "move", database, "relaxed", {"agent": target, "from_agent": source, "numbers": numbers}
        )
        child.go()
        child.started()
        start = time.monotonic()
        assert child.told()["status"] == "applied"
        spans.append(time.monotonic() - start)
    return max(spans)


def born(database: str, told: Told) -> list[Any]:
    """kill -9 the process that makes a store; the next one must be able to use it."""
    chance = random.Random(told["seed"])  # noqa: S311 - moments, not secrets
    rounds: list[Any] = []
    for number in range(told["kills"]):
        place = f"{database}-{number}"
        child = Child("freeze", place, "relaxed", {"reason": "first"})
        child.go()
        child.started()
        time.sleep(chance.uniform(0, 0.05))  # the moment of death is the experiment
        os.kill(child.pid, signal.SIGKILL)
        child.told()
        rounds.append(run([("freeze", {"reason": "next"}), ("look", {})], place, "relaxed"))
    return rounds


def _holders(database: str) -> list[str]:
    """Who holds the numbers, as a set in a list: one name when all or nothing was done."""
    with closing(sqlite3.connect(database, timeout=10)) as db:
        found = db.execute("SELECT DISTINCT agent FROM binding ORDER BY agent").fetchall()
    return [row[0] for row in found]


if __name__ == "__main__":
    work = {"race": race, "kill": kill, "born": born}[sys.argv[1]]
    sys.stdout.write(json.dumps(work(sys.argv[2], json.loads(sys.argv[3]))))

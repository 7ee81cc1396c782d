"""A server process of an account of its own, that attaches one number after another.

`python attaching.py AGENT` with the store of CORDBOARD_DATABASE, the account of CORDBOARD_ACCOUNT. For
each line of numbers on standard input it plans and applies an attach of each number by itself, and
tells the seconds of processor time that it took.
"""

from __future__ import annotations

import os
import resource
import sys

import anyio
import anyio.to_thread

from cordboard.app import App, build
from cordboard.config import load
from cordboard.guard import Question
from cordboard.identity import operator
from cordboard.request import Asked
from cordboard.service import Caller


async def attach(app: App, caller: Caller, agent: str, number: str) -> None:
    """Plan it, and apply the plan."""
    changes = app.service.changes
    planned = await changes.change(caller, Asked("attach", agent, (number,)), "")
    assert not isinstance(planned, Question), planned
    done = await changes.apply(caller, planned.plan_id)
    assert not isinstance(done, Question), done
    assert done.status == "applied", done.message


def processor_seconds() -> float:
    """What this process has used."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def main(agent: str) -> None:
    app = build(load(dict(os.environ)))
    turn = 0
    while line := await anyio.to_thread.run_sync(sys.stdin.readline):
        # What a principal spent within an hour is summed up: no line has more to sum than another.
        caller = Caller(operator(app.settings.account, f"bench-{turn}"))
        begun = processor_seconds()
        for number in line.split():
            await attach(app, caller, agent, number)
        sys.stdout.write(f"{processor_seconds() - begun}\n")
        sys.stdout.flush()
        turn += 1
    await app.store.close()


if __name__ == "__main__":
    anyio.run(main, sys.argv[1])

"""A process of its own that plans a big attach and applies it, as `cordboard attach` does: each with
the store opened anew. `python bulk_process.py AGENT`, numbers on standard input, the store from
CORDBOARD_DATABASE. It tells the most memory it had, in bytes.
"""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path

import anyio

from cordboard.app import build
from cordboard.config import load
from cordboard.guard import Question
from cordboard.identity import operator
from cordboard.request import Asked
from cordboard.service import Caller


async def main(agent: str, numbers: tuple[str, ...]) -> None:
    settings = load(dict(os.environ))
    caller = Caller(operator(settings.account, "bench"))
    app = build(settings)
    async with app.running():
        asked = Asked("attach", agent, numbers=numbers)
        planned = await app.service.changes.change(caller, asked, "")
        assert not isinstance(planned, Question), planned
    app = build(settings)
    async with app.running():
        done = await app.service.changes.apply(caller, planned.plan_id)
        assert not isinstance(done, Question) and done.counts.applied == len(numbers), done


def most_memory() -> int:
    """The most memory this program had, in bytes; where the system tells only that of the process,
    what it was forked from counts too."""
    status = Path("/proc/self/status")
    if status.exists():
        [line] = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], tuple(sys.stdin.read().split()))
    sys.stdout.write(f"{most_memory()}\n")

"""Another process that changes routing, one change after another, until its standard input ends.

`python changes.py PAUSE AGENT AGENT NUMBER…` moves each number in turn from whichever of the two
agents has it to the other, at level `plan`, on the store of CORDBOARD_DATABASE; after each change it
waits PAUSE seconds. One line for each that is applied: `NUMBER AGENT VERSION`.
"""

from __future__ import annotations

import os
import sys
from itertools import cycle

import anyio
import anyio.to_thread

from cordboard.app import App, build
from cordboard.config import load
from cordboard.guard import Question
from cordboard.identity import operator
from cordboard.request import Asked
from cordboard.service import Caller
from cordboard.service.inbound import InboundRoute, InboundRoutes


async def change(app: App, route: InboundRoute, agent: str) -> None:
    """Plan a takeover and apply it."""
    changes, account = app.service.changes, app.settings.account
    caller = Caller(operator(account, "stream"))
    asked = Asked("move", agent, (route.number,), from_agent=route.agent)
    planned = await changes.change(caller, asked, "a stream of changes")
    assert not isinstance(planned, Question), planned
    done = await changes.apply(caller, planned.plan_id)
    assert not isinstance(done, Question), done
    assert done.status == "applied", done.message


async def stream(pause: float, agents: tuple[str, str], numbers: list[str]) -> None:
    """Go on until nobody listens any more."""
    app, ended = build(load(dict(os.environ))), anyio.Event()
    routes = InboundRoutes(app.store, lambda route: route)
    async with anyio.create_task_group() as group:

        async def listen() -> None:
            await anyio.to_thread.run_sync(sys.stdin.read, abandon_on_cancel=True)
            ended.set()

        group.start_soon(listen)
        for number in cycle(numbers):
            route = await routes.find(app.settings.account, number)
            agent = agents[route.agent == agents[0]]
            await change(app, route, agent)
            sys.stdout.write(f"{number} {agent} {route.version + 1}\n")
            sys.stdout.flush()
            await anyio.sleep(pause)
            if ended.is_set():
                break
    await app.store.close()


if __name__ == "__main__":
    pause, one, other, *numbers = sys.argv[1:]
    anyio.run(stream, float(pause), (one, other), numbers)

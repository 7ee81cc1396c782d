"""A process that races others for the same numbers, and keeps a record of what it was answered."""

from __future__ import annotations

import random
import time
from typing import Any

from cordboard.answers import ChangeResult
from cordboard.app import App
from cordboard.errors import NumberAttachedElsewhere
from cordboard.guard import Question
from cordboard.identity import operator
from cordboard.request import Asked
from cordboard.service import Caller
from cordboard.service.inbound import InboundRoute, InboundRoutes

Told = dict[str, Any]


async def contend(app: App, given: Told) -> Told:
    """Let go of the numbers held, and then take as many of all as can be had; the history of it.

    What is not held by somebody else in the end is this process's own.
    """
    racer = Contender(app, given)
    try:
        await racer.run(given["numbers"], given["mine"])
    finally:
        await app.store.close()
    return {"status": "done", "history": racer.history, "stale": racer.stale}


class Contender:
    """One of the processes that race. `history`: called, answered, kind, numbers and agent of each
    operation by the machine's monotonic clock, as linearizability.py names them; a read of what is
    remembered is a `recall`. `stale`: plans that somebody was quicker than."""

    def __init__(self, app: App, given: Told) -> None:
        self.history: list[tuple[float, float, str, list[str], str]] = []
        self.stale = 0
        self._app, self._agent, self._hot = app, given["agent"], given["hot"]
        self._chance = random.Random(f"{given['seed']}-{given['turn']}")  # noqa: S311 - an order
        self._recalled = InboundRoutes(app.store, _agent_of)

    async def run(self, numbers: list[str], mine: list[str]) -> None:
        held = self._shuffled(mine)
        while held:
            held = held[len(batch) :] if await self._leave(batch := self._batch(held)) else held
        left = self._shuffled(numbers)
        while left:
            batch = self._batch(left)
            left = left[len(batch) :]
            taken, elsewhere = await self._take(batch)
            if not taken:
                left = [n for n in batch if n not in elsewhere] + left
            elif self._chance.random() < 0.3 and await self._leave(back := batch[:5]):
                left += back
            await self._read(self._chance.choice([*self._hot, batch[0]]))

    def _shuffled(self, numbers: list[str]) -> list[str]:
        return self._chance.sample(numbers, len(numbers))

    def _batch(self, numbers: list[str]) -> list[str]:
        return numbers[: self._chance.randint(20, 60)]

    async def _take(self, numbers: list[str]) -> tuple[bool, set[str]]:
        """Attach them; whether that was done, and which are held by somebody else."""
        called = time.monotonic()
        asked = Asked("attach", self._agent, tuple(numbers))
        try:
            planned = await self._app.service.changes.change(caller(self._app), asked, "a race")
        except NumberAttachedElsewhere as exc:
            elsewhere = {problem.number for problem in exc.problems}
            self._note(called, "refused", sorted(elsewhere), self._agent)
            return False, elsewhere
        return await self._applied(planned, "take", numbers), set()

    async def _leave(self, numbers: list[str]) -> bool:
        asked = Asked("detach", self._agent, tuple(numbers))
        planned = await self._app.service.changes.change(caller(self._app), asked, "a race")
        return await self._applied(planned, "leave", numbers)

    async def _applied(
        self, planned: ChangeResult | Question, kind: str, numbers: list[str]
    ) -> bool:
        plan = told_of(planned)
        assert plan["status"] == "confirmation_required", plan["message"]
        called = time.monotonic()
        done = await self._app.service.changes.apply(caller(self._app), plan["plan_id"])
        told = told_of(done)
        if told["status"] == "plan_rejected":
            self.stale += 1
            return False
        assert told["status"] == "applied", told["message"]
        self._note(called, kind, numbers, self._agent)
        return True

    async def _read(self, number: str) -> None:
        """Ask who holds a number by both doors: the tool's, and that of the voice stack."""
        called = time.monotonic()
        route = await self._app.service.routes.get_number_route("default", number)
        self._note(called, "read", [number], route.inbound[0].agent if route.inbound else "")
        called = time.monotonic()
        self._note(called, "recall", [number], await self._recalled.find("default", number))

    def _note(self, called: float, kind: str, numbers: list[str], agent: str) -> None:
        self.history.append((called, time.monotonic(), kind, numbers, agent))


def _agent_of(route: InboundRoute) -> str:
    return route.agent


def caller(app: App) -> Caller:
    """Whoever runs the process."""
    return Caller(operator(app.settings.account, app.settings.principal))


def told_of(result: ChangeResult | Question) -> Told:
    """What is told of an answer that asks nothing."""
    assert not isinstance(result, Question)
    return {"status": result.status, "plan_id": result.plan_id, "message": result.message}

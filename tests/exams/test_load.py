"""Sixty-four MCP clients at one server for a while: every call is answered, nothing is left behind.

Half of them speak each era. Each looks around, plans a change of a number of its own and drops or
applies it, hangs up and comes again. 20 seconds; ten minutes with CORDBOARD_EXAMS=more.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

import anyio
import pytest
from tests.exams.stage import MORE
from tests.web.serving import Caller, Served, filled, serving
from tests.world import SEEDS, many

pytestmark = pytest.mark.anyio

CLIENTS = 64
SECONDS = 600 if MORE else 20
WARM_UP, VISITS = 1, 3
"""How often each client has looked around before the server's memory counts, and on one connection."""
GROWTH = 1.1
NUMBERS = many(CLIENTS)
POLICY = 'extends = "standard"\n[budgets]\nnumbers_per_hour = 0\n'
"""TEST numbers at level `plan`, however many an hour."""


@dataclass
class Load:
    """What the clients have done, and until when they go on."""

    until: float = 0.0
    visits: Counter[int] = field(default_factory=Counter[int])
    calls: Counter[str] = field(default_factory=Counter[str])
    warm: anyio.Event = field(default_factory=anyio.Event)

    @property
    def goes_on(self) -> bool:
        return not self.warm.is_set() or monotonic() < self.until

    async def visit(self, client: int, call: Caller, chance: random.Random) -> None:
        """What a client does between coming and going."""
        number = NUMBERS[client].number
        route = await call("get_number_route", number=number)
        assert len((await call("list_numbers", limit=5))["numbers"]) == 5
        assert (await call("list_agents", query="Support"))["agents"]
        held = [binding["agent"] for binding in route["inbound"]]
        change = "detach_numbers" if held else "attach_numbers"
        planned = await call(change, agent="local:support", numbers=[number])
        assert planned.status == "confirmation_required"
        settle, status = chance.choice([("apply_plan", "applied"), ("discard_plan", "discarded")])
        assert (await call(settle, plan_id=planned.plan_id)).status == status
        assert (await call("get_plan", plan_id=planned.plan_id)).status == status
        self.calls.update(["get_number_route", "list", "list", "plan", settle, "get_plan"])
        self.visits[client] += 1
        if not self.warm.is_set() and min(self.visits[c] for c in range(CLIENTS)) >= WARM_UP:
            self.until = monotonic() + SECONDS
            self.warm.set()

    async def come_and_go(self, client: int, served: Served, token: str) -> None:
        """One client, from the first call to the last."""
        chance = random.Random(client)  # noqa: S311 - which plans, not secrets
        while self.goes_on:
            async with served.client(token, "legacy" if client % 2 else "auto") as call:
                for _ in range(VISITS):
                    if self.goes_on:
                        await self.visit(client, call, chance)


def resident(served: Served) -> int:
    """The memory of a server, in bytes."""
    status = Path(f"/proc/{served.process.pid}/status").read_text("ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024


async def test_many_clients_at_once_are_all_answered_and_leave_nothing_behind(
    tmp_path: Path,
) -> None:
    seed = SEEDS.but(numbers=SEEDS.numbers + NUMBERS)
    database = await filled(tmp_path / "cordboard.db", seed)
    (tmp_path / "policy.toml").write_text(POLICY, "utf-8")
    load = Load()
    environ = {"CORDBOARD_POLICY": str(tmp_path / "policy.toml")}
    async with serving(database, environ=environ) as served:
        with anyio.fail_after(SECONDS + 600):
            async with anyio.create_task_group() as group:
                for client in range(CLIENTS):
                    token = await served.token(f"client-{client}")
                    group.start_soon(load.come_and_go, client, served, token)
                await load.warm.wait()
                before = resident(served)
        after = resident(served)
        assert served.logged == []
        assert await served.stop() == 0
        assert served.logged == []
    assert len(load.visits) == CLIENTS
    assert after <= before * GROWTH, (before, after, load.calls)

"""A lane for the kills: one account at a vendor, one store, and real processes between them.

What is judged about a lane is judged by the vendor's own record of what every request changed.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
from tests.exams import stage
from tests.exams.forks import Nursery
from tests.exams.test_stdio import Line, program
from tests.exams.vendor_server import Holders, Vendor, VendorServer
from tests.platforms.fake_bland import FakeBland
from tests.platforms.fake_synthflow import WORKSPACE, FakeAgent, FakeNumber, FakeSynthflow
from tests.platforms.vendors import S_CAMPAIGN, S_DESK, S_FOLLOW, S_NIGHT, SALES, SUPPORT
from tests.platforms.wire import Fake
from tests.world import many, names

from cordboard import journal

if TYPE_CHECKING:
    from tests.postgres import PostgresServer

QUIET = 0.5
_REQUEST_SHARE = 0.6
"""Of a quiet period, how much one request may take."""
_TRIES = 5
_ROUNDED = 0.1
"""Seconds by which a gap may be told shorter: it is rounded, and answers take a while."""
TOO_LONG = 30.0
"""Seconds after which a number counts as held for ever; a CI machine may be slow."""
FINAL = ("applied", "partly_applied", "failed")
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - a place for throw-away stores, if there is one


@dataclass(frozen=True)
class Variant:
    """A batch at a vendor: agents by the vendor's own ids, `before` and `after` "": nobody.

    `writes`: how many requests change something when nobody is killed.
    """

    platform: str
    tool: str
    arguments: dict[str, Any]
    before: str
    after: str
    writes: int
    numbers: tuple[str, ...] = field(default=tuple(names(many(20))))

    @property
    def moves(self) -> bool:
        return bool(self.before and self.after)


def _one(platform: str, tool: str, agent: str, writes: int) -> Variant:
    """A detach or an attach."""
    before, after = (agent, "") if tool == "detach_numbers" else ("", agent)
    arguments = {"agent": f"{platform}:{agent}"}
    return Variant(platform, tool, arguments, before, after, writes)


def _move(platform: str, source: str, target: str) -> Variant:
    arguments = {"from_agent": f"{platform}:{source}", "to_agent": f"{platform}:{target}"}
    return Variant(platform, "move_numbers", arguments, source, target, 40)


VARIANTS = {
    "bland-detach": _one("bland", "detach_numbers", SUPPORT, 20),
    "bland-move": _move("bland", SUPPORT, SALES),
    # Bland takes 25 numbers in one attach, so these are three.
    "bland-attach": replace(
        _one("bland", "attach_numbers", SALES, 3), numbers=tuple(names(many(60)))
    ),
    "synthflow-detach": _one("synthflow", "detach_numbers", S_DESK, 20),
    "synthflow-move": _move("synthflow", S_DESK, S_NIGHT),
    "synthflow-pool": _move("synthflow", S_CAMPAIGN, S_FOLLOW),
}


def _bland(variant: Variant) -> FakeBland:
    """Two personas, and the numbers where they are before."""
    fake = FakeBland(time.time)
    fake.add_persona("Support Agent", SUPPORT)
    fake.add_persona("Sales Agent", SALES)
    for number in variant.numbers:
        fake.add_number(number, variant.before or None)
    return fake


def _held_at_bland(account: Any) -> Holders:
    return {
        number: frozenset([one.persona] if one.persona else [])
        for number, one in account.numbers.items()
    }


def _synthflow(variant: Variant) -> FakeSynthflow:
    """Two inbound and two outbound agents, and the numbers where they are before."""
    fake = FakeSynthflow(time.time)
    account = fake.state
    ways = {S_DESK: "inbound", S_NIGHT: "inbound", S_CAMPAIGN: "outbound", S_FOLLOW: "outbound"}
    for agent, direction in ways.items():
        held = list(variant.numbers) if agent == variant.before else []
        account.agents[agent] = FakeAgent(agent.title(), direction, pool=held)
    for number in variant.numbers:
        account.numbers[number] = FakeNumber()
    return fake


def _held_at_synthflow(account: Any) -> Holders:
    return {number: frozenset(account.holders(number)) for number in account.numbers}


_FAKES: dict[str, tuple[Callable[[Variant], Fake], Callable[[Any], Holders]]] = {
    "bland": (_bland, _held_at_bland),
    "synthflow": (_synthflow, _held_at_synthflow),
}


@dataclass
class Lane:
    """One account at a vendor, one store, in `home` or at `url`, and the processes on it."""

    variant: Variant
    vendor: Vendor
    server: VendorServer
    nursery: Nursery
    home: Path
    quiet: float
    url: str = ""

    @property
    def database(self) -> stage.Database:
        return self.url or self.home / "cordboard.db"

    @property
    def lease(self) -> float:
        """For how long an operation stays with a process that says nothing: half a quiet period."""
        return self.quiet / 2

    def environ(self, by: str) -> dict[str, str]:
        """The environment of the process called `by`."""
        config = self.home / "config.toml"
        request = _REQUEST_SHARE * self.quiet
        config.write_text(f"request_seconds = {request}\nquiet_seconds = {self.quiet}\n", "utf-8")
        told = {"CORDBOARD_CONFIG": str(config), "CORDBOARD_POLICY": "relaxed"}
        url = self.server.url(self.vendor, by)
        if self.variant.platform == "bland":
            return told | {"BLAND_API_KEY": self.vendor.fake.key, "BLAND_BASE_URL": url}
        return told | {
            "SYNTHFLOW_API_KEY": self.vendor.fake.key,
            "SYNTHFLOW_BASE_URL": f"{url}/v2",
            "SYNTHFLOW_REGION": "global",
            "SYNTHFLOW_WORKSPACE": WORKSPACE,
        }

    @asynccontextmanager
    async def process(self, by: str, *, forked: bool = True) -> AsyncIterator[Line]:
        """The real program on this store, up when the block begins; not `forked`: from nothing."""
        told = {"CORDBOARD_DATABASE": str(self.database), **self.environ(by)}
        if not forked:
            async with program(self.home / "cordboard.db", **told) as line:
                await line.ask("server/discover")
                yield line
            return
        log = self.home / f"log-{by}"
        async with await self.nursery.start(told, log) as process:
            line = Line(process, log)
            await line.ask("server/discover")
            yield line

    async def planned(self, line: Line) -> str:
        """A plan of the whole batch that only waits to be applied.

        Asked for again where a machine is so busy that the vendor does not answer in time.
        """
        arguments = {**self.variant.arguments, "numbers": list(self.variant.numbers)}
        for _ in range(_TRIES):
            answer = await line.ask("tools/call", name=self.variant.tool, arguments=arguments)
            if not answer["result"].get("isError"):
                break
        made = answer["result"].get("structuredContent") or {}
        assert made.get("status") == "confirmation_required", answer
        return str(made["plan_id"])

    def rows(self, sql: str, *params: object) -> list[dict[str, Any]]:
        """Rows of the store, read beside the product."""
        return stage.query(self.database, sql, *params)

    def plan(self, plan_id: str) -> dict[str, Any]:
        """Where the plan stands, and since when: `state`, `closed_at`."""
        [row] = self.rows("SELECT state, closed_at FROM plan WHERE plan_id = ?", plan_id)
        return row

    async def settled(self, plan_id: str) -> None:
        """Wait until no number is held and the plan is not under way, but not for ever."""
        await until(lambda: not self.rows("SELECT 1 FROM operation"), TOO_LONG)

    async def faults(self, plan_id: str, told: dict[str, Any]) -> list[str]:
        """Everything that is wrong about a plan that was settled, of which `told` was told."""
        found = [f"{c['number']}: {wrong}" for c in told["changes"] if (wrong := self._untrue(c))]
        if len(told["changes"]) != len(self.variant.numbers):
            found.append(f"told of {len(told['changes'])} numbers")
        if self.variant.moves:
            found += [f"{n}: nobody answers it" for n, who in self.vendor.truth.items() if not who]
        found += self._written_twice()
        found += [f"{c['number']}: {wrong}" for c in told["changes"] if (wrong := self._gap(c))]
        found += [f"held for ever: {row}" for row in self.rows("SELECT * FROM hold")]
        found += [f"never ended: {row}" for row in self.rows("SELECT * FROM operation")]
        state = self.plan(plan_id)["state"]
        if state not in (*FINAL, "open") or (state == "open" and self.vendor.effects):
            found.append(f"the plan is {state}")
        return found + [f"journal: {said}" for said in await self._broken()]

    def _untrue(self, change: dict[str, Any]) -> str:
        """What is told of a number against what is true; "" where that is the same."""
        side = {"applied": "after", "not_applied": "before", "planned": "before"}
        outcome, true = change["outcome"], self.vendor.truth[change["number"]]
        if outcome not in side:
            return f"told {outcome} ({change['detail']})"
        agent = change[side[outcome]]["agent"].partition(":")[2]
        if true == ({agent} if agent else set()):
            return ""
        return f"told {outcome} ({change['detail']}), in truth {sorted(true) or 'nobody'}"

    def _gap(self, change: dict[str, Any]) -> str:
        """Whether a number was answered by nobody for longer than is told; "" where it was not."""
        if not self.variant.moves or change["direction"] != "inbound":
            return ""
        ends = {e.kind: e.at for e in self.vendor.effects if e.number == change["number"]}
        if set(ends) != {"detach", "attach"}:
            return ""
        gap = ends["attach"] - ends["detach"]
        said = re.search(r"unrouted for (?:up to )?([0-9.]+) (ms|s)\b", change["detail"])
        told = float(said[1]) / (1000 if said[2] == "ms" else 1) if said else 0.0
        if gap <= told + _ROUNDED:
            return ""
        return f"unrouted for {gap:.2f} s, told {change['detail']!r}"

    def _written_twice(self) -> Iterator[str]:
        """Writes that took effect twice, that came unrecorded, or again with nothing read between."""
        effects = Counter((e.kind, e.number) for e in self.vendor.effects)
        yield from (f"{key} took effect {n} times" for key, n in effects.items() if n > 1)
        recorded = Counter((data["write"], data["number"]) for data in self.journaled("sending"))
        read = Counter(data["number"] for data in self.journaled("settled"))
        sent = Counter((a.kind, n) for a in self.vendor.arrivals for n in a.numbers)
        for (kind, number), n in sent.items():
            if n > recorded[kind, number]:
                yield f"{kind} {number} came {n} times, recorded {recorded[kind, number]}"
            if n > 1 + read[number]:
                yield f"{kind} {number} came {n} times, settled between {read[number]}"

    def journaled(self, *events: str) -> list[dict[str, Any]]:
        """What the journal keeps of these events, in order."""
        rows = self.rows("SELECT event, data FROM journal ORDER BY seq")
        return [json.loads(r["data"]) for r in rows if r["event"] in events]

    async def _broken(self) -> list[str]:
        """What is wrong with the journal."""
        store = stage.store_at(self.database)
        try:
            report = await store.read(lambda tx: journal.verify(tx, "default"))
        finally:
            await store.close()
        return [report.fault] if report.fault else []


async def until(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether it comes true within so many seconds; returns as soon as it does."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        await anyio.sleep(0.02)
    return condition()


async def told_of(line: Line, plan_id: str) -> dict[str, Any]:
    """A plan with all its changes, as a client is told."""
    answer = await line.ask("resources/read", uri=f"cordboard://plans/{plan_id}")
    assert "result" in answer, answer
    told: dict[str, Any] = json.loads(answer["result"]["contents"][0]["text"])
    return told


@contextmanager
def lane(
    server: VendorServer, nursery: Nursery, name: str, seed: str,
    *, on: PostgresServer | None = None, quiet: float = QUIET, most: int = 99,
) -> Iterator[Lane]:  # fmt: skip
    """A lane of its own for a variant, with at most so many numbers, gone afterwards. `on`: the
    server that has its store, None for a file."""
    variant = replace(VARIANTS[name], numbers=VARIANTS[name].numbers[:most])
    make, holders = _FAKES[variant.platform]
    where = _SHARED_MEMORY if os.access(_SHARED_MEMORY, os.W_OK) else None
    folder = tempfile.TemporaryDirectory(prefix="cordboard-exam-", dir=where)
    with folder as home, stage.empty(on) if on else nullcontext("") as url:
        vendor = Vendor(Path(home).name, make(variant), holders, seed)
        with server.having(vendor):
            yield Lane(variant, vendor, server, nursery, Path(home), quiet, url)

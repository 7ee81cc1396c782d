"""Changes and listings at vendors that take 50 ms to answer, against a bare client's same requests.

The bare side sends exactly what the call shape of an adapter is, with the same bound of requests at
one time, and decides nothing: it is the least that anybody can take.
"""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import quantiles
from time import perf_counter
from typing import Any

import anyio
import httpx
import pytest
from tests.bench.measuring import Figure, Pair, Table, shown, timed_async
from tests.bench.stores import ACCOUNT, make_store
from tests.platforms.fake_bland import FakeBland
from tests.platforms.fake_synthflow import WORKSPACE, FakeAgent, FakeNumber, FakeSynthflow
from tests.platforms.vendors import S_DESK, SUPPORT
from tests.platforms.wire import Fake, Wire
from tests.world import EMPTY, fill, many, names

from cordboard.answers import ChangeResult
from cordboard.app import App, build
from cordboard.clock import later, stamp
from cordboard.config import load
from cordboard.engine.book import Book
from cordboard.engine.pace import Pace, Timer
from cordboard.identity import operator
from cordboard.platforms import Call, NumberFilter, RemotePlatform
from cordboard.request import Asked
from cordboard.service import Caller
from cordboard.stores import Transaction, operations, plans
from cordboard.stores.operations import Step
from cordboard.stores.plans import PlanRecord

pytestmark = pytest.mark.anyio

ROUNDS, NUMBERS, AT_ONCE, BATCH = 3, 200, 4, 25
ANSWERS_IN = 0.05
STEPS = 200
LISTED = 10_000
TEXTS = names(many(NUMBERS * (ROUNDS + 1)))


class Slow(httpx.AsyncBaseTransport):
    """A vendor that takes a while to answer."""

    def __init__(self, fake: Fake, seconds: float) -> None:
        self.wire, self._seconds = Wire(fake), seconds

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await anyio.sleep(self._seconds)
        return await self.wire.handle_async_request(request)


def app_at(home: Path, transports: dict[str, Any], **environ: str) -> App:
    """A Cordboard whose vendors are fakes, and who asks nobody."""
    database = home / "cordboard.db"
    make_store(database, lambda tx: fill(tx, EMPTY))
    told = {"CORDBOARD_DATABASE": str(database), "CORDBOARD_POLICY": "relaxed", **environ}
    return build(load(told), transports=transports)


def bland() -> FakeBland:
    """One persona and numbers that are free."""
    fake = FakeBland(perf_counter)
    fake.add_persona("Support Agent", SUPPORT)
    for number in TEXTS:
        fake.add_number(number)
    return fake


def synthflow(numbers: Sequence[str]) -> FakeSynthflow:
    """One inbound agent and numbers that are free."""
    fake = FakeSynthflow(perf_counter)
    fake.state.agents[S_DESK] = FakeAgent("Desk")
    for number in numbers:
        fake.state.numbers[number] = FakeNumber()
    return fake


def synthflow_environ(fake: FakeSynthflow) -> dict[str, str]:
    return {
        "SYNTHFLOW_API_KEY": fake.key,
        "SYNTHFLOW_REGION": "us",
        "SYNTHFLOW_WORKSPACE": WORKSPACE,
    }


async def planned(app: App, asked: Asked) -> str:
    """The id of a plan for it, at level `plan`."""
    result = await app.service.changes.change(Caller(operator(ACCOUNT, "bench")), asked, "")
    assert isinstance(result, ChangeResult) and result.status == "confirmation_required", result
    return result.plan_id


async def applied(app: App, plan_id: str) -> None:
    done = await app.service.changes.apply(Caller(operator(ACCOUNT, "bench")), plan_id)
    assert isinstance(done, ChangeResult) and done.status == "applied", done


Bare = Callable[[httpx.AsyncClient, Sequence[str]], Awaitable[None]]


async def all_at_once(jobs: Sequence[Callable[[], Awaitable[None]]]) -> None:
    """Every job, so many at one time as the adapters allow themselves."""
    waiting = iter(jobs)

    async def worker() -> None:
        for job in waiting:
            await job()

    async with anyio.create_task_group() as group:
        for _ in range(AT_ONCE):
            group.start_soon(worker)


def chunks(numbers: Sequence[str]) -> list[Sequence[str]]:
    return [numbers[i : i + BATCH] for i in range(0, len(numbers), BATCH)]


async def bare_bland(http: httpx.AsyncClient, numbers: Sequence[str]) -> None:
    """One scan, then for each call of 25: read the agent, scan, write, read the agent back."""
    persona = f"/v1/personas/{SUPPORT}"
    scan = ("/v1/personas?page=1&limit=100", "/v2/agents?limit=500", "/v1/inbound")

    async def look() -> None:
        for path in (persona, *scan):
            (await http.get(path)).raise_for_status()

    async def attach(part: Sequence[str]) -> None:
        await look()
        done = await http.post(f"{persona}/inbound/attach", json={"inbound_numbers": list(part)})
        done.raise_for_status()
        await http.get(persona)

    await look()
    await all_at_once([partial(attach, part) for part in chunks(numbers)])


async def bare_synthflow(http: httpx.AsyncClient, numbers: Sequence[str]) -> None:
    """Each number read, then for each call of 25: read agent and numbers, write, read it back."""
    agent = f"/v2/assistants/{S_DESK}"

    async def look(number: str) -> None:
        path = f"/v2/numbers/{number.removeprefix('+')}"
        (await http.get(path, params={"workspace": WORKSPACE})).raise_for_status()

    slots = anyio.Semaphore(AT_ONCE)  # for the reads of all calls together, as our client has them

    async def bounded(work: Callable[[str], Awaitable[None]], number: str) -> None:
        async with slots:
            await work(number)

    async def attach(part: Sequence[str]) -> None:
        await http.get(agent)
        async with anyio.create_task_group() as group:
            for number in part:
                group.start_soon(bounded, look, number)
        done = await http.put(f"{agent}/phone_numbers", json={"phone_numbers": list(part)})
        done.raise_for_status()
        await http.get(agent)

    await http.get(agent)
    await all_at_once([partial(look, number) for number in numbers])
    await all_at_once([partial(attach, part) for part in chunks(numbers)])


async def rounds(app: App, http: httpx.AsyncClient, agent: str, bare: Bare, free: Any) -> Pair:
    """Both sides in turn; `free` takes what the bare side attached away again."""
    pair = Pair()
    async with app.running():
        for turn in range(ROUNDS + 1):
            numbers = TEXTS[turn * NUMBERS : (turn + 1) * NUMBERS]
            pair.bare.append(await timed_async(partial(bare, http, numbers)))
            free(numbers)
            plan_id = await planned(app, Asked("attach", agent, numbers=tuple(numbers)))
            pair.ours.append(await timed_async(partial(applied, app, plan_id)))
    return pair.without(1)


async def test_two_hundred_numbers_attached_at_bland(table: Table, tmp_path: Path) -> None:
    fake = bland()
    app = app_at(tmp_path, {"bland": Slow(fake, ANSWERS_IN)}, BLAND_API_KEY=fake.key)
    headers = {"authorization": fake.key}

    def free(numbers: Sequence[str]) -> None:
        for number in numbers:
            fake.state.numbers[number].persona = None

    transport = Slow(fake, ANSWERS_IN)
    async with httpx.AsyncClient(
        transport=transport, base_url="https://bland.test", headers=headers
    ) as http:
        pair = await rounds(app, http, f"bland:{SUPPORT}", bare_bland, free)
    table.hold(pair.figure("200 numbers attached at Bland, 50 ms an answer", 1.2))


async def test_two_hundred_numbers_attached_at_synthflow(table: Table, tmp_path: Path) -> None:
    fake = synthflow(TEXTS)
    slow = Slow(fake, ANSWERS_IN)
    app = app_at(tmp_path, {"synthflow": slow}, **synthflow_environ(fake))
    headers = {"authorization": f"Bearer {fake.key}"}

    def free(numbers: Sequence[str]) -> None:
        fake.state.agents[S_DESK].pool = []

    async with httpx.AsyncClient(
        transport=Slow(fake, ANSWERS_IN), base_url="https://synthflow.test", headers=headers
    ) as http:
        pair = await rounds(app, http, f"synthflow:{S_DESK}", bare_synthflow, free)
    table.hold(pair.figure("200 numbers attached at Synthflow, 50 ms an answer", 1.2))


async def test_the_journal_of_a_step_costs_little(table: Table, tmp_path: Path) -> None:
    """Both commits of a step, `sending` and what came of it, as the engine makes them; without a
    vendor, which in this process would only hold up the loop."""
    fake, numbers = FakeBland(perf_counter), TEXTS[:STEPS]
    fake.add_persona("Support Agent", SUPPORT)
    for number in numbers:
        fake.add_number(number, SUPPORT)
    app = app_at(tmp_path, {"bland": Wire(fake)}, BLAND_API_KEY=fake.key)
    agent = f"bland:{SUPPORT}"
    plan_id = await planned(app, Asked("detach", agent, numbers=tuple(numbers)))
    book = await begun(app, plan_id, numbers)
    times = list[float]()
    for position, number in enumerate(numbers):
        call = Call("detach", agent, "inbound", (number,))
        start = perf_counter()
        [sent] = await book.sending([Step(position)], call)
        await book.settled("confirmed", replace(sent, state="applied", done=1))
        times.append(perf_counter() - start)
    await app.store.close()
    p95 = quantiles(times, n=20)[-1]
    name = "journal of a step at a vendor: both commits, p95, to 5 ms"
    table.hold(Figure(name, p95 / 0.005, 1.0, shown(p95), "5.00 ms", len(times)))


async def begun(app: App, plan_id: str, numbers: Sequence[str]) -> Book:
    """The book of an operation on this plan, whose numbers it holds."""
    platform = app.platforms["bland"]
    assert isinstance(platform, RemotePlatform)
    now, due = stamp(app.clock()), later(app.clock(), 600)

    def work(tx: Transaction) -> tuple[operations.Operation, PlanRecord]:
        record = plans.find(tx, ACCOUNT, plan_id)
        assert record is not None
        mine = operations.add(tx, ACCOUNT, plan_id, "bland", now, due)
        operations.hold(tx, mine, numbers)
        return mine, plans.begin(tx, record, now, "bench", "plan", [])

    mine, record = await app.store.write(work)
    return Book(app.store, platform, mine, record, app.clock, Pace(), Timer(perf_counter))


async def test_ten_thousand_numbers_listed_in_pages(table: Table, tmp_path: Path) -> None:
    """The first page reads no more of the vendor's than it shows; the rest is not kept."""
    fake = synthflow(names(many(9_000)) + names(many(1_000, start=9_000)))
    wire = Wire(fake)
    app = app_at(tmp_path, {"synthflow": wire}, **synthflow_environ(fake))
    first = await app.service.lookups.list_numbers(
        ACCOUNT, NumberFilter(), platform="synthflow", limit=200
    )
    at_first = len(wire.requests)
    assert len(first.numbers) == 200 and first.next_cursor
    pages = [r for r in wire.requests if r.path.endswith("/numbers")]
    assert len(pages) <= 3, "the first page reads no more of the list than it shows"
    wire.requests.clear()
    tracemalloc.start()
    seen, cursor = len(first.numbers), first.next_cursor
    peaks = list[int]()
    while cursor:
        gc.collect()
        tracemalloc.reset_peak()
        page = await app.service.lookups.list_numbers(
            ACCOUNT, NumberFilter(), platform="synthflow", limit=200, cursor=cursor
        )
        peaks.append(tracemalloc.get_traced_memory()[1])
        seen, cursor = seen + len(page.numbers), page.next_cursor
        wire.requests.clear()
    tracemalloc.stop()
    assert seen == LISTED
    name = (
        f"10,000 listed by 200: memory of a late page to an early one ({at_first} requests a page)"
    )
    early, late = max(peaks[:5]), max(peaks[-5:])
    table.hold(Figure(name, late / early, 1.2, f"{late} B", f"{early} B", len(peaks)))

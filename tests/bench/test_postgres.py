"""The store of many machines against a bare driver on a database of the same content.

A real PostgreSQL on this machine, whose data lie in memory: a commit costs what syncing nothing costs.
One number is planned and applied at the service, past MCP.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Any

import psycopg
import pytest
from tests.bench.measuring import Pair, Table, timed, timed_async
from tests.bench.replaying import Record, recorded
from tests.bench.stores import ACCOUNT, fill_database, postmaster, seeded
from tests.postgres import PrivateServer
from tests.world import many, names

from cordboard.answers import ChangeResult
from cordboard.app import App, build
from cordboard.config import load
from cordboard.identity import operator
from cordboard.request import Asked
from cordboard.service import Caller
from cordboard.stores import Row, Transaction
from cordboard.stores.postgres import PostgresStore
from cordboard.stores.postgres.statements import STATEMENTS

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("only_own_garbage")]
ROUNDS, WARM_UP = 200, 30
AGENTS = 100
"""Few numbers an agent: a statement that goes through an agent's would cost both sides more with each
round, and hide what is ours."""
LOOKUPS, LOOKUP_ROUNDS = 200, 25


@asynccontextmanager
async def filled(server: PrivateServer, numbers: int) -> AsyncIterator[str]:
    """A database with so many TEST numbers and a hundred agents."""
    url = server.create()
    await fill_database(url, seeded(AGENTS, numbers))
    yield url
    server.drop(url)


def app_at(url: str) -> App:
    """A Cordboard on that database that asks nobody, however much an hour."""
    return build(load({"CORDBOARD_DATABASE": url, "CORDBOARD_POLICY": "relaxed"}))


async def attach(app: App, agent: str, number: str) -> None:
    """Plan it, and apply the plan."""
    caller = Caller(operator(ACCOUNT, "bench"))
    asked = Asked("attach", agent, numbers=(number,))
    planned = await app.service.changes.change(caller, asked, "")
    assert isinstance(planned, ChangeResult) and planned.status == "confirmation_required", planned
    done = await app.service.changes.apply(caller, planned.plan_id)
    assert isinstance(done, ChangeResult) and done.status == "applied", done


@contextmanager
def placed(server: PrivateServer, where: str) -> Iterator[None]:
    """This thread with those it starts, and the server's processes to come, on one processor `together`
    or on two of them, `apart`.

    Left to the system both sides change from one to the other at any moment, and with it how long an
    answer is waited for: twice as long where a processor that slept must be woken for it.
    """
    allowed = os.sched_getaffinity(0)
    first, last = min(allowed), max(allowed)
    os.sched_setaffinity(0, {first})
    os.sched_setaffinity(postmaster(server), {first if where == "together" else last})
    yield
    os.sched_setaffinity(postmaster(server), allowed)
    os.sched_setaffinity(0, allowed)


@pytest.mark.parametrize(("where", "bound"), [("apart", 1.5), ("together", 2.2)])
async def test_one_number_costs_little_more_than_its_statements(
    where: str,
    bound: float,
    table: Table,
    durable: PrivateServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A database has processors of its own, so `apart` is the figure that is asked for. On one with
    it no answer is waited for: what is left is computing, ours and the driver's."""
    texts = names(many(ROUNDS + WARM_UP))
    pair = Pair()
    async with filled(durable, len(texts)) as url:
        twin = durable.create(url)
        with placed(durable, where), psycopg.connect(twin, autocommit=True) as bare:
            app = app_at(url)
            with recorded(monkeypatch) as records:
                for turn, text in enumerate(texts):
                    records.append(Record())
                    ours = partial(attach, app, f"local:agent-{turn % AGENTS}", text)
                    pair.ours.append(await timed_async(ours))
                    pair.bare.append(timed(partial(records.pop().replay, bare)))
            await app.store.close()
        durable.drop(twin)
    name = f"PostgreSQL: attach one number, to its statements, {where}"
    table.hold(pair.without(WARM_UP).figure(name, bound))


def route(number: str, tx: Transaction) -> Row | None:
    """What a route look-up asks."""
    return tx.one("inbound_route", account=ACCOUNT, number=number)


async def test_an_uncached_lookup_is_little_more_than_its_statement(
    table: Table, durable: PrivateServer
) -> None:
    texts = names(many(LOOKUPS))
    pair = Pair()

    async def ours(store: PostgresStore) -> None:
        for text in texts:
            assert await store.recall(text, partial(route, text)) is not None

    async def bare(connection: psycopg.AsyncConnection[Any]) -> None:
        for text in texts:
            params = {"account": ACCOUNT, "number": text}
            cursor = await connection.execute(STATEMENTS["inbound_route"], params)
            assert await cursor.fetchone() is not None

    async with filled(durable, LOOKUPS) as url:
        store = PostgresStore(url, bound_seconds=0)
        connection = await psycopg.AsyncConnection.connect(url, autocommit=True)
        async with connection:
            for turn in range(LOOKUP_ROUNDS + 1):
                first = await timed_async(partial(ours, store)) if turn % 2 else 0.0
                pair.bare.append(await timed_async(partial(bare, connection)))
                pair.ours.append(first or await timed_async(partial(ours, store)))
        await store.close()
    name = f"PostgreSQL: {LOOKUPS} uncached lookups, to the prepared statement"
    table.hold(pair.without(1).figure(name, 1.3))

"""The store of many machines against a bare driver on a database of the same content.

A real PostgreSQL that syncs every commit, on this machine: the driver and the server share its
processors. One number is planned and applied at the service, past MCP.
"""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import psycopg
import pytest
from tests.bench.measuring import Pair, Table, timed, timed_async
from tests.bench.replaying import Record, recorded
from tests.bench.stores import ACCOUNT, seeded
from tests.postgres import PrivateServer, private_server
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

pytestmark = pytest.mark.anyio
ROUNDS, WARM_UP = 200, 30
LOOKUPS, LOOKUP_ROUNDS = 200, 25


@pytest.fixture(autouse=True)
def _only_own_garbage() -> Iterator[None]:
    """What pytest and every import left on the heap is not gone through while times are taken."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="module")
def durable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateServer]:
    """A server that syncs what it commits."""
    with private_server(tmp_path_factory.mktemp("postgres"), fsync=True) as server:
        yield server


@asynccontextmanager
async def filled(server: PrivateServer, numbers: int) -> AsyncIterator[str]:
    """A database with so many TEST numbers and two agents."""
    url = server.create()
    store = PostgresStore(url)
    await store.migrate()
    await store.write(seeded(2, numbers))
    await store.optimize()
    await store.close()
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


async def test_one_number_costs_little_more_than_its_statements(
    table: Table, durable: PrivateServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = names(many(ROUNDS + WARM_UP))
    pair = Pair()
    async with filled(durable, len(texts)) as url:
        twin = durable.create(url)
        app = app_at(url)
        with psycopg.connect(twin, autocommit=True) as bare, recorded(monkeypatch) as records:
            for text in texts:
                records.append(Record())
                pair.ours.append(await timed_async(partial(attach, app, "local:agent-0", text)))
                replay = partial(records.pop().replay, bare)
                pair.bare.append(timed(replay))
        await app.store.close()
        durable.drop(twin)
    table.hold(
        pair.without(WARM_UP).figure("PostgreSQL: attach one number, to its statements", 1.5)
    )


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

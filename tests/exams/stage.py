"""A stage for the exams: worlds outside fixtures, because Hypothesis needs a fresh one per example.

Each stands in memory-backed storage where there is some, or on a PostgreSQL server, with an
approver enrolled whose passphrase hash is cheap. `MORE` asks for the long profile:
CORDBOARD_EXAMS=more.
"""

from __future__ import annotations

import atexit
import dataclasses
import functools
import json
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import anyio
from argon2 import PasswordHasher
from hypothesis import HealthCheck, Phase, settings
from mcp import Client
from tests.world import SEEDS, Clock, Person, Reply, Seed, World, fill, read, surroundings

from cordboard import journal
from cordboard.app import build_server
from cordboard.approvers import VerifiedApprover
from cordboard.config import load
from cordboard.journal import Head, Report
from cordboard.mcp_server import CordboardServer
from cordboard.stores import Store
from cordboard.stores.sqlite import SqliteStore

if TYPE_CHECKING:
    import psycopg
    from tests.postgres import PostgresServer

MORE = os.environ.get("CORDBOARD_EXAMS") == "more"
APPROVER, PASSPHRASE = "ada", "seven blue herons"
LEVELS = ("plan", "client", "person", "frozen")

Database = Path | str
"""Where a store is: its file, or the URL of its PostgreSQL database."""

_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - a place for throw-away stores, if there is one


def examples(few: int, many: int) -> int:
    """How many examples: few in CI, many in the long profile."""
    return many if MORE else few


def profile(few: int, many: int, **more: Any) -> settings:
    """Hypothesis settings. Only the long profile shrinks: that takes minutes where every step is
    a real call, and a failure's steps are printed either way."""
    return settings(
        max_examples=examples(few, many),
        phases=[Phase.generate, Phase.shrink] if MORE else [Phase.generate],
        deadline=None,
        database=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
        **more,
    )


@functools.cache
def _workplace() -> Path:
    where = _SHARED_MEMORY if os.access(_SHARED_MEMORY, os.W_OK) else None
    made = Path(tempfile.mkdtemp(prefix="cordboard-exam-", dir=where))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


def _apart(work: Callable[..., Awaitable[object]], *arguments: object) -> None:
    """Run something asynchronous in a loop of its own, also where a loop is running already."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(anyio.run, work, *arguments).result()


async def _prepare(store: Store, seed: Seed, home: Path, url: str) -> None:
    """Fill an empty store, and enrol the approver."""
    await store.write(lambda tx: fill(tx, seed))
    await store.close()
    server = build_server(load(surroundings(home, "standard", {}, url)), Clock())
    approvers = server.app.service.approvals.approvers
    await approvers.enrol(APPROVER, PASSPHRASE, "ada-the-user", None)
    await server.app.store.close()
    cheap = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSPHRASE)
    execute(url or home / "cordboard.db", "UPDATE approver SET passphrase = ?", cheap)


@functools.cache
def _template(seed: Seed) -> Path:
    """A filled store with the approver enrolled, to be copied."""
    home = Path(tempfile.mkdtemp(dir=_workplace()))
    path = home / "cordboard.db"
    _apart(_prepare, store_at(path), seed, home, "")
    return path


def store_at(database: Database) -> Store:
    """The product's own store there."""
    if isinstance(database, Path):
        return SqliteStore(database)
    from cordboard.stores.postgres import PostgresStore

    return PostgresStore(database)


@functools.cache
def _migrated(server: PostgresServer) -> str:
    """A database of this server with the product's tables, to be copied."""
    from cordboard.stores.postgres import PostgresStore

    async def make() -> None:
        store = PostgresStore(url)
        await store.migrate()
        await store.close()

    url = server.create()
    _apart(make)
    return url


@functools.cache
def _template_on(server: PostgresServer, seed: Seed) -> str:
    """A filled database of this server with the approver enrolled, to be copied."""
    url = server.create(_migrated(server))
    _apart(_prepare, store_at(url), seed, _workplace(), url)
    _let_go(url)  # nobody may be connected to what is copied
    return url


@contextmanager
def empty(server: PostgresServer) -> Iterator[str]:
    """The URL of a database with the product's tables and nothing in them, gone afterwards."""
    url = server.create(_migrated(server))
    try:
        yield url
    finally:
        _let_go(url)
        server.drop(url)


@contextmanager
def stage(
    seed: Seed = SEEDS, *, on: PostgresServer | None = None, policy: str = "standard", **config: Any
) -> Iterator[World]:
    """A world of its own, gone afterwards. `on`: the server that has its store, None for a file.
    `policy`: a preset, or the text of a policy file."""
    home = Path(tempfile.mkdtemp(dir=_workplace()))
    if "\n" in policy:
        (home / "policy.toml").write_text(policy, "utf-8")
        policy = str(home / "policy.toml")
    url = on.create(_template_on(on, seed)) if on else ""
    if not url:
        template = _template(seed)
        shutil.copy(template, home)
        shutil.copy(template.with_name("cordboard.db.key"), home)
    clock, environ = Clock(), surroundings(home, policy, config, url)
    server = build_server(load(environ), clock)
    world = World(home, clock, server, environ=environ, url=url)
    try:
        yield world
    finally:
        _apart(world.close)
        shutil.rmtree(home)
        if on:
            _let_go(url)
            on.drop(url)


def place(world: World) -> Database:
    """Where a world's store is."""
    return world.url or world.database


def as_user(world: World, principal: str) -> CordboardServer:
    """A server on the same store, run by another operating-system user."""
    server = build_server(dataclasses.replace(world.settings, principal=principal), world.clock)
    world.others.append(server)
    return server


class Caller(Protocol):
    """Calls a tool through a client that stays connected."""

    def __call__(self, tool: str, **arguments: Any) -> Awaitable[Reply]: ...


@asynccontextmanager
async def client(
    server: CordboardServer, era: str = "auto", person: Person | None = None
) -> AsyncIterator[Caller]:
    """A client of one server, of any principal."""
    async with Client(server, mode=era, elicitation_callback=person) as connected:

        async def call(tool: str, **arguments: Any) -> Reply:
            return read(await connected.call_tool(tool, arguments))

        yield call


async def approver(server: CordboardServer) -> VerifiedApprover:
    """The enrolled approver, after giving their passphrase."""
    return await server.app.service.approvals.approvers.verify(APPROVER, PASSPHRASE)


def query(database: Database, sql: str, *params: object) -> list[dict[str, Any]]:
    """Rows read beside the product, by a connection of the test's own. A parameter is a `?`."""
    if isinstance(database, str):
        return _beside(database).execute(_theirs(sql), params).fetchall()
    with closing(sqlite3.connect(database, timeout=10)) as db:
        db.row_factory = sqlite3.Row
        return [dict(row) for row in db.execute(sql, params)]


def execute(database: Database, sql: str, *params: object) -> int:
    """One statement run beside the product; how many rows it touched."""
    if isinstance(database, str):
        return _beside(database).execute(_theirs(sql), params).rowcount
    with closing(sqlite3.connect(database, timeout=10)) as db, db:
        return db.execute(sql, params).rowcount


_connections: dict[str, psycopg.Connection[dict[str, Any]]] = {}
"""One for each database: to connect takes longer than to ask."""


def _beside(url: str) -> psycopg.Connection[dict[str, Any]]:
    if url not in _connections:
        import psycopg
        from psycopg.rows import dict_row

        _connections[url] = psycopg.connect(url, autocommit=True, row_factory=dict_row)
    return _connections[url]


def _let_go(url: str) -> None:
    if found := _connections.pop(url, None):
        found.close()


def _theirs(sql: str) -> bytes:
    return sql.replace("?", "%s").encode()


def alone(url: str) -> None:
    """Wait until the product has nobody connected to a database: what a process that ended had
    begun, its server process may still carry out."""
    others = (
        "SELECT pg_sleep(0.01) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name = 'cordboard' LIMIT 1"
    )
    end = time.monotonic() + 30
    while query(url, others):
        assert time.monotonic() < end, "somebody stays connected"


Bindings = Mapping[tuple[str, str, str], tuple[str, int, str]]


def bindings(database: Database) -> Bindings:
    """The binding table: (number, direction, agent) -> pathway id, version, node."""
    rows = query(database, "SELECT * FROM binding")
    return {
        (r["number"], r["direction"], r["agent"]): (
            r["pathway_id"],
            r["pathway_version"],
            r["start_node_id"],
        )
        for r in rows
    }


async def verified(world: World, known: Head | None = None) -> Report:
    """What verifying the journal says."""
    return await world.app.store.read(lambda tx: journal.verify(tx, "default", known))


def audit(database: Database) -> None:
    """The rules that hold whatever happened: one inbound agent, one used approval per applied plan.

    Read from the tables alone, so that it says the same for any process that wrote them.
    """
    double = query(
        database,
        "SELECT number FROM binding WHERE direction = 'inbound' GROUP BY account, number"
        " HAVING count(*) > 1",
    )
    assert not double, f"two inbound agents: {double}"
    plans = {row["plan_id"]: row for row in query(database, "SELECT * FROM plan")}
    used = query(database, "SELECT * FROM approval WHERE used_at <> ''")
    events = query(database, "SELECT * FROM journal WHERE event = 'applied' ORDER BY seq")
    applied = sorted(p for p, row in plans.items() if row["state"] == "applied")
    assert sorted(row["plan_id"] for row in events) == applied, "an `applied` event per plan"
    assert sorted(row["plan_id"] for row in used) == applied, "a used approval per applied plan"
    for row in used:
        plan = plans[row["plan_id"]]
        needed = body(plan)["level"]
        assert LEVELS.index(row["level"]) >= LEVELS.index(needed), f"{row['level']} < {needed}"
        assert row["plan_hash"] == plan["hash"], "the approval is bound to the plan's text"
        assert row["requester"] == plan["principal"], "the approval is bound to the requester"
        assert plan["used"] == row["level"]


def body(plan: Mapping[str, Any]) -> dict[str, Any]:
    """The text of a plan's row, parsed."""
    parsed: dict[str, Any] = json.loads(plan["body"])
    return parsed

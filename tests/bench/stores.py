"""Stores to measure on: filled through the product's own statements, in one place with the bare side."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import psycopg
from tests.bench.bare_drivers import Driver, OnPostgres, OnSqlite
from tests.postgres import PostgresServer, PrivateServer
from tests.world import SEEDS, SeedAgent, fill, in_a_loop_of_its_own, many

from cordboard.stores import Transaction
from cordboard.stores.postgres import PostgresStore
from cordboard.stores.sqlite import SqliteStore

ACCOUNT = "default"
Fill = Callable[[Transaction], None]


class Stores(Protocol):
    """Makes stores of one engine. Each is named as CORDBOARD_DATABASE names it.

    `prefix`: what their figures begin with.
    """

    prefix: str

    def filled(self, write: Fill) -> str:
        """A store filled in one transaction, with fresh statistics, that nobody has open."""
        ...

    def copy(self, database: str) -> str:
        """Another of the same content."""
        ...

    def bare(self, database: str) -> Driver:
        """A bare driver on it, its commits as durable as ours."""
        ...

    def remove(self, database: str) -> None:
        """Delete it: a million numbers need not wait for pytest's cleaning."""
        ...


class Files:
    """SQLite stores in a folder."""

    prefix = ""

    def __init__(self, home: Path) -> None:
        self._home = home

    def filled(self, write: Fill) -> str:
        path = self._home / "ours.db"
        make_store(path, write)
        return str(path)

    def copy(self, database: str) -> str:
        return str(shutil.copy(database, self._home / "bare.db"))

    def bare(self, database: str) -> Driver:
        return OnSqlite(bare_connection(Path(database)))

    def remove(self, database: str) -> None:
        remove(Path(database))


class Databases:
    """Databases of a PostgreSQL server."""

    prefix = "PostgreSQL: "

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self.remove = server.drop

    def filled(self, write: Fill) -> str:
        url = self._server.create()
        in_a_loop_of_its_own(fill_database, url, write)
        return url

    def copy(self, database: str) -> str:
        return self._server.create(database)

    def bare(self, database: str) -> Driver:
        return OnPostgres(psycopg.connect(database, autocommit=True))


def postmaster(server: PrivateServer) -> int:
    """The process whose children a server's others are."""
    return int((server.data / "postmaster.pid").read_text("utf-8").split()[0])


async def fill_database(url: str, write: Fill) -> None:
    """Make the tables in an empty PostgreSQL database, and fill them as `Stores.filled` says."""
    store = PostgresStore(url)
    await store.migrate()
    await store.write(write)
    await store.optimize()
    await store.close()


def make_store(path: Path, write: Fill) -> None:
    """A store filled in one transaction, with fresh statistics, closed again."""

    async def make() -> None:
        store = SqliteStore(path)
        await store.write(write)
        await store.optimize()
        await store.close()

    in_a_loop_of_its_own(make)


def seeded(agents: int, numbers: int) -> Fill:
    """Fills a store with so many inbound agents and valid TEST numbers."""
    named = tuple(SeedAgent(f"local:agent-{i}", f"Agent {i}") for i in range(agents))
    seed = SEEDS.but(agents=named, numbers=many(numbers, label="Support Line"))
    return lambda tx: fill(tx, seed)


def remove(path: Path) -> None:
    """Delete a store and what lies beside it: a million numbers need not wait for pytest's cleaning."""
    for file in path.parent.glob(path.name + "*"):
        file.unlink()


def bare_connection(path: Path) -> sqlite3.Connection:
    """A plain connection as durable as ours: rollback journal, synced on every commit."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=PERSIST")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("PRAGMA cache_size=-16000")
    return connection

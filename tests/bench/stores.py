"""Stores to measure on: filled through the product's own statements, on one disk with the bare side."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

from tests.world import SEEDS, SeedAgent, fill, in_a_loop_of_its_own, many

from cordboard.stores import Transaction
from cordboard.stores.sqlite import SqliteStore

ACCOUNT = "default"


def make_store(path: Path, write: Callable[[Transaction], None]) -> None:
    """A store filled in one transaction, with fresh statistics, closed again."""

    async def make() -> None:
        store = SqliteStore(path)
        await store.write(write)
        await store.optimize()
        await store.close()

    in_a_loop_of_its_own(make)


def seeded(agents: int, numbers: int) -> Callable[[Transaction], None]:
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

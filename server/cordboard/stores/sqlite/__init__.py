"""The embedded store: one SQLite file, safe with several processes on it.

Rollback journal (PERSIST) with synchronous=FULL, whatever SQLite this Python links: the file
outlives the process, two Pythons may share it, and every SQLite before 3.51.3 can corrupt a
write-ahead log that several processes write (sqlite.org, changes of 3.51.3). It costs 0.5 ms a
commit against WAL. PERSIST is the quickest of the three, and its last step is synced too.

A lock file beside the store orders writers: SQLite's own busy handler starves some of them.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio.to_thread

from cordboard.stores import Row, T
from cordboard.stores.queries import QUERIES
from cordboard.stores.sqlite.faults import translated
from cordboard.stores.sqlite.opening import SCHEMA_VERSION, StoreFile

_BUSY_SECONDS = 5.0


class _Transaction:
    """Named statements on one SQLite connection (see `stores.Transaction`)."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._execute = connection.execute
        self._executemany = connection.executemany

    def one(self, query: str, /, **params: Any) -> Row | None:
        row: Row | None = self._execute(QUERIES[query], params).fetchone()
        return row

    def all(self, query: str, /, **params: Any) -> list[Row]:
        return self._execute(QUERIES[query], params).fetchall()

    def run(self, query: str, /, **params: Any) -> int:
        return self._execute(QUERIES[query], params).rowcount

    def pragma(self, name: str) -> str:
        """A setting of the engine, for `facts`; not part of the portable protocol."""
        return str(self._execute(f"PRAGMA {name}").fetchone()[0])

    def many(self, query: str, /, rows: Sequence[Mapping[str, Any]]) -> None:
        self._executemany(QUERIES[query], rows)


class SqliteStore:
    """A store in one file. Opened at first use; created when it is not there.

    Three connections: a writer and a reader for worker threads, and one that glances: it reads
    on the event loop and never waits, for what is looked up by key in microseconds.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = StoreFile(path)
        self._writer: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None
        self._glancer: sqlite3.Connection | None = None
        self._writing = threading.Lock()
        self._reading = threading.Lock()

    async def read(self, work: Callable[[_Transaction], T]) -> T:
        return await anyio.to_thread.run_sync(self._read, work)

    async def glance(self, work: Callable[[_Transaction], T]) -> T:
        if self._glancer is not None:
            # A writer that commits just now keeps readers out: wait for it in a thread, where any
            # other trouble of the engine is told as well.
            with suppress(sqlite3.Error):
                self._file.still_there()
                return _look(self._glancer, work)
        return await self.read(work)

    async def write(self, work: Callable[[_Transaction], T]) -> T:
        return await anyio.to_thread.run_sync(self._write, work)

    async def facts(self) -> dict[str, str]:
        def look(tx: _Transaction) -> dict[str, str]:
            mode = tx.pragma("journal_mode")
            return {
                "engine": f"SQLite {sqlite3.sqlite_version}",
                "place": str(self.path),
                "journal mode": f"{mode} (rollback journal, synchronous=FULL)",
                "schema": str(SCHEMA_VERSION),
                "integrity": tx.pragma("quick_check"),
            }

        return await self.read(look)

    async def optimize(self) -> None:
        await anyio.to_thread.run_sync(self._optimize)

    async def close(self) -> None:
        with self._writing, self._reading:
            for connection in (self._reader, self._writer, self._glancer):
                if connection is not None:
                    connection.close()
            self._reader = self._writer = self._glancer = None
            self._file.forget()

    def _read(self, work: Callable[[_Transaction], T]) -> T:
        with self._reading, translated(self.path):
            self._file.still_there()
            if self._reader is None or self._glancer is None:
                self._reader = self._file.connect(_BUSY_SECONDS)
                self._glancer = self._file.connect(_BUSY_SECONDS)
                self._glancer.execute("PRAGMA busy_timeout=0")
            return _look(self._reader, work)

    def _write(self, work: Callable[[_Transaction], T]) -> T:
        with self._writing, translated(self.path), self._file.locked():
            connection = self._open_writer()
            connection.execute("BEGIN IMMEDIATE")
            try:
                self._file.known(connection)
                result = work(_Transaction(connection))
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            return result

    def _optimize(self) -> None:
        with self._writing, translated(self.path), self._file.locked():
            connection = self._open_writer()
            connection.execute("PRAGMA analysis_limit=1000")
            connection.execute("ANALYZE")

    def _open_writer(self) -> sqlite3.Connection:
        self._file.still_there()
        if self._writer is None:
            self._writer = self._file.connect(_BUSY_SECONDS)
        return self._writer


def _look(connection: sqlite3.Connection, work: Callable[[_Transaction], T]) -> T:
    """Read one consistent state."""
    connection.execute("BEGIN")
    try:
        return work(_Transaction(connection))
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")

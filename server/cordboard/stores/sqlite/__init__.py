"""The embedded store: one SQLite file, safe with several processes on it.

Rollback journal (PERSIST) with synchronous=FULL, whatever SQLite this Python links: the file
outlives the process, two Pythons may share it, and every SQLite before 3.51.3 can corrupt a
write-ahead log that several processes write (sqlite.org, changes of 3.51.3). It costs 0.5 ms a
commit against WAL. PERSIST is the quickest of the three, and its last step is synced too.

A lock file beside the store orders writers: SQLite's own busy handler starves some of them.

A commit keeps readers out of the file for two syncs of the disk. Whoever reads on the event loop
looks again every millisecond; what was remembered of the state in force is told meanwhile.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import anyio
import anyio.to_thread

from cordboard.stores import Row, T
from cordboard.stores.queries import QUERIES
from cordboard.stores.sqlite.faults import is_busy, translated
from cordboard.stores.sqlite.opening import SCHEMA_VERSION, StoreFile
from cordboard.stores.sqlite.versions import FileVersions

_BUSY_SECONDS = 5.0
_LOOKS, _LOOK_SECONDS = 100, 0.001
"""How often, and how far apart, a reader on the event loop looks whether a commit is over."""
_MOST_REMEMBERED = 10_000


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
        real = path.resolve()  # one lock for one file, whatever name it was opened by
        self._file = StoreFile(real)
        self._writer: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None
        self._glancer: sqlite3.Connection | None = None
        self._versions = FileVersions(real, real.with_name(real.name + ".lock"))
        self._remembered: dict[Hashable, tuple[bytes, Any]] = {}
        self._writing = threading.Lock()
        self._reading = threading.Lock()

    async def read(self, work: Callable[[_Transaction], T]) -> T:
        return await anyio.to_thread.run_sync(self._read, work)

    async def glance(self, work: Callable[[_Transaction], T]) -> T:
        return await self._soon(work, work)

    async def recall(self, key: Hashable, work: Callable[[_Transaction], T]) -> T:
        kept = self._remembered.get(key)
        if kept is not None and kept[0] == self._versions.now():
            self._file.still_there()
            return cast(T, kept[1])

        def noticing(tx: _Transaction) -> T:
            found = work(tx)
            # Of what was just read: as long as this transaction reads, nobody writes the file.
            version = self._versions.now()
            if found is not None and version:
                self._remember(key, version, found)
            return found

        return await self._soon(noticing, work, kept)

    async def _soon(
        self,
        work: Callable[[_Transaction], T],
        otherwise: Callable[[_Transaction], T],
        kept: tuple[bytes, Any] | None = None,
    ) -> T:
        """Read on the event loop; `otherwise`: in a thread, once a writer takes long, and for any
        trouble to be told. While a commit shuts readers out, `kept` is told if still in force."""
        if self._glancer is None:
            await self.read(lambda _: None)  # opens it
        for _ in range(_LOOKS):
            if self._glancer is None:
                break
            try:
                self._file.still_there()
                return _look(self._glancer, work)
            except sqlite3.Error as exc:
                if not is_busy(exc):
                    break
            if kept is not None and kept[0] == self._versions.noted():
                return cast(T, kept[1])
            await anyio.sleep(_LOOK_SECONDS)
        return await self.read(otherwise)

    def _remember(self, key: Hashable, version: bytes, found: Any) -> None:
        if key not in self._remembered and len(self._remembered) >= _MOST_REMEMBERED:
            del self._remembered[next(iter(self._remembered))]
        self._remembered[key] = (version, found)

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
            self._remembered.clear()
            self._versions.close()
            self._file.forget()

    def _read(self, work: Callable[[_Transaction], T]) -> T:
        with self._reading, translated(self.path):
            self._file.still_there()
            if self._reader is None or self._glancer is None:
                self._reader = self._file.connect(_BUSY_SECONDS)
                self._glancer = self._file.connect(_BUSY_SECONDS)
                self._glancer.execute("PRAGMA busy_timeout=0")
                self._versions.open()
            return _look(self._reader, work)

    def _write(self, work: Callable[[_Transaction], T]) -> T:
        with self._writing, translated(self.path), self._file.locked():
            connection = self._open_writer()
            connection.execute("BEGIN IMMEDIATE")
            try:
                self._file.known(connection)
                self._versions.note()
                result = work(_Transaction(connection))
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            finally:
                self._versions.take_back()
            return result

    def _optimize(self) -> None:
        with self._writing, translated(self.path), self._file.locked():
            connection = self._open_writer()
            connection.execute("PRAGMA analysis_limit=1000")
            self._versions.note()
            try:
                connection.execute("ANALYZE")
            finally:
                self._versions.take_back()

    def _open_writer(self) -> sqlite3.Connection:
        self._file.still_there()
        if self._writer is None:
            self._writer = self._file.connect(_BUSY_SECONDS)
            self._versions.open()
        return self._writer


def _look(connection: sqlite3.Connection, work: Callable[[_Transaction], T]) -> T:
    """Read one consistent state."""
    connection.execute("BEGIN")
    try:
        return work(_Transaction(connection))
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")

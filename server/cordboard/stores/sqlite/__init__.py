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
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any

import anyio.to_thread

from cordboard.stores import SCHEMA_VERSION, T
from cordboard.stores.sqlite.faults import translated
from cordboard.stores.sqlite.looking import Looks
from cordboard.stores.sqlite.opening import StoreFile
from cordboard.stores.sqlite.transaction import SqliteTransaction
from cordboard.stores.sqlite.versions import FileVersions

_BUSY_SECONDS = 5.0


class SqliteStore:
    """A store in one file. Opened at first use; created when it is not there.

    Three connections: a writer and a reader for worker threads, and one that glances: it reads
    on the event loop and never waits, for what is looked up by key in microseconds.
    """

    bound_seconds = 0.0
    one_clock = True

    def __init__(self, path: Path) -> None:
        self.path = path
        real = path.resolve()  # one lock for one file, whatever name it was opened by
        self._file = StoreFile(real)
        self._writer: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None
        self._versions = FileVersions(real, real.with_name(real.name + ".lock"))
        self._looks = Looks(self._file, self._versions, self.read)
        self._writing = threading.Lock()
        self._reading = threading.Lock()

    async def read(self, work: Callable[[SqliteTransaction], T]) -> T:
        return await anyio.to_thread.run_sync(self._read, work)

    async def glance(self, work: Callable[[SqliteTransaction], T]) -> T:
        return await self._looks.soon(work, work)

    async def recall(self, key: Hashable, work: Callable[[SqliteTransaction], T]) -> T:
        return await self._looks.recall(key, work)

    def moment(self) -> bytes:
        return self._looks.moment()

    def kept(self, key: Hashable, moment: bytes) -> Any:
        return self._looks.kept(key, moment)

    async def write(self, work: Callable[[SqliteTransaction], T]) -> T:
        return await anyio.to_thread.run_sync(self._write, work)

    async def facts(self) -> dict[str, str]:
        def look(tx: SqliteTransaction) -> dict[str, str]:
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
            for connection in (self._reader, self._writer):
                if connection is not None:
                    connection.close()
            self._reader = self._writer = None
            self._looks.close()
            self._versions.close()
            self._file.forget()

    def _read(self, work: Callable[[SqliteTransaction], T]) -> T:
        with self._reading, translated(self.path):
            self._file.still_there()
            if self._reader is None:
                self._reader = self._file.connect(_BUSY_SECONDS)
            if not self._looks.is_open:
                self._looks.open()
            return _look(self._reader, work)

    def _write(self, work: Callable[[SqliteTransaction], T]) -> T:
        with self._writing, translated(self.path), self._file.locked():
            connection = self._open_writer()
            connection.execute("BEGIN IMMEDIATE")
            try:
                self._file.known(connection)
                self._versions.note()
                result = work(SqliteTransaction(connection))
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


def _look(connection: sqlite3.Connection, work: Callable[[SqliteTransaction], T]) -> T:
    """Read one consistent state."""
    connection.execute("BEGIN")
    try:
        return work(SqliteTransaction(connection))
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")

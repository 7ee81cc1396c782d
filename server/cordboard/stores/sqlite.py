"""The embedded store: one SQLite file, safe with several processes on it.

Rollback journal (TRUNCATE) with synchronous=FULL, whatever SQLite this Python links: the file
outlives the process, two Pythons may share it, and every SQLite before 3.51.3 can corrupt a
write-ahead log that several processes write (sqlite.org, changes of 3.51.3). It costs 0.5 ms a
commit against WAL. TRUNCATE, not DELETE, because its last step is synced too.

A lock file beside the store orders writers: SQLite's own busy handler starves some of them.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio.to_thread

from cordboard.errors import StoreUnavailable
from cordboard.stores import Row, T

if TYPE_CHECKING:
    from filelock import BaseFileLock

SCHEMA_VERSION = 1
_LOCK_SECONDS = 10.0
_BUSY_SECONDS = 5.0


def load_queries(text: str) -> dict[str, str]:
    """Statements by name from a file of `-- name: x` headings, each followed by its statement."""
    found: dict[str, str] = {}
    for part in text.split("-- name: ")[1:]:
        name, _, statement = part.partition("\n")
        found[name.strip()] = statement.strip().rstrip(";")
    return found


QUERIES = load_queries((files("cordboard.stores") / "queries.sql").read_text("utf-8"))


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
    """A store in one file. Opened at first use; created when it is not there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._reader: sqlite3.Connection | None = None
        self._writer: sqlite3.Connection | None = None
        self._inode: tuple[int, int] | None = None
        self._reading = threading.Lock()
        self._writing = threading.Lock()
        self._file_lock: BaseFileLock | None = None

    async def read(self, work: Callable[[_Transaction], T]) -> T:
        return await anyio.to_thread.run_sync(self._read, work)

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
            self._disconnect()

    def _read(self, work: Callable[[_Transaction], T]) -> T:
        with self._reading, _translated(self.path):
            connection = self._connection(writing=False)
            connection.execute("BEGIN")
            try:
                return work(_Transaction(connection))
            finally:
                connection.execute("ROLLBACK")

    def _write(self, work: Callable[[_Transaction], T]) -> T:
        with self._writing, _translated(self.path), self._locked():
            connection = self._connection(writing=True)
            connection.execute("BEGIN IMMEDIATE")
            try:
                result = work(_Transaction(connection))
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            return result

    def _optimize(self) -> None:
        with self._writing, _translated(self.path), self._locked():
            connection = self._connection(writing=True)
            connection.execute("PRAGMA analysis_limit=1000")
            connection.execute("ANALYZE")

    def _locked(self) -> BaseFileLock:
        """The lock file beside the store; waits its turn, not for ever."""
        if self._file_lock is None:
            from filelock import FileLock  # not at import: it would cost every start 25 ms

            self.path.parent.mkdir(parents=True, exist_ok=True)
            lock = self.path.with_name(self.path.name + ".lock")
            self._file_lock = FileLock(
                lock, timeout=_LOCK_SECONDS, poll_interval=0.005, thread_local=False, mode=0o600
            )
        return self._file_lock

    def _connection(self, *, writing: bool) -> sqlite3.Connection:
        """The open connection, after a look whether the file is still the one that was opened."""
        if self._inode is not None and self._inode != _inode(self.path):
            gone = "was deleted or moved away" if not self.path.exists() else "was replaced"
            raise StoreUnavailable(
                f"The store {self.path} {gone} while in use.", "Start Cordboard again."
            )
        connection = self._writer if writing else self._reader
        if connection is None:
            connection = self._open(writing=writing)
            if writing:
                self._writer = connection
            else:
                self._reader = connection
        return connection

    def _open(self, *, writing: bool) -> sqlite3.Connection:
        if not self.path.exists():
            if not writing:
                with self._locked():
                    self._create()
            else:
                self._create()
        connection = self._connect()
        if _version_of(connection) == 0:  # created by a process that died before its first commit
            if writing:
                self._migrate(connection)
            else:
                with self._locked():
                    self._migrate(connection)
        found = _version_of(connection)
        if found > SCHEMA_VERSION:
            connection.close()
            raise StoreUnavailable(
                f"The store {self.path} has schema {found}; this program knows {SCHEMA_VERSION}.",
                "Update Cordboard (`uv tool upgrade cordboard`).",
            )
        self._inode = _inode(self.path)
        return connection

    def _create(self) -> None:
        """An empty file only its owner may read: it holds numbers and passphrase hashes."""
        if not self.path.exists():
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path,
            timeout=_BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA journal_mode=TRUNCATE")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA cache_size=-16000")
        return connection

    def _migrate(self, connection: sqlite3.Connection) -> None:
        """Bring an empty store to the newest schema in one transaction; under the lock."""
        schema = (files("cordboard.stores") / "schema.sql").read_text("utf-8")
        connection.execute("BEGIN IMMEDIATE")
        try:
            if _version_of(connection) == 0:
                for statement in _statements(schema):
                    connection.execute(statement)
                connection.execute("CREATE TABLE schema_version (version BIGINT NOT NULL)")
                connection.execute("INSERT INTO schema_version VALUES (?)", (SCHEMA_VERSION,))
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise

    def _disconnect(self) -> None:
        for connection in (self._reader, self._writer):
            if connection is not None:
                connection.close()
        self._reader = self._writer = self._inode = None


def _statements(script: str) -> Iterator[str]:
    """The statements of a script without comments; no string in ours holds a semicolon."""
    bare = "\n".join(line.partition("--")[0] for line in script.splitlines())
    return (s for s in (part.strip() for part in bare.split(";")) if s)


def _version_of(connection: sqlite3.Connection) -> int:
    """The schema version; 0 for an empty file."""
    found = connection.execute(
        "SELECT count(*) FROM sqlite_master WHERE name = 'schema_version'"
    ).fetchone()[0]
    if not found:
        return 0
    version: int = connection.execute("SELECT max(version) FROM schema_version").fetchone()[0]
    return version


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_dev, stat.st_ino


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """The one seam where an engine's error becomes ours: StoreUnavailable, with the cause in words."""
    from filelock import Timeout

    try:
        yield
    except sqlite3.IntegrityError:
        raise  # a rule of the schema: a bug above if it gets this far
    except Timeout:
        raise StoreUnavailable(
            f"The store {path} is locked by another process since {_LOCK_SECONDS:.0f} s.",
            "Try again; `cordboard doctor` shows the store.",
        ) from None
    except sqlite3.DatabaseError as exc:
        raise StoreUnavailable(f"The store {path} cannot be used: {_cause(exc)}.") from exc
    except OSError as exc:
        raise StoreUnavailable(
            f"The store {path} cannot be opened: {exc.strerror or exc}."
        ) from exc


def _cause(exc: sqlite3.Error) -> str:
    """SQLite's words, with a hint for the ones that say little."""
    said = str(exc)
    for sign, words in (
        ("full", "the disk is full"),
        ("readonly", "the file or its folder is read-only"),
        ("locked", "another process keeps it locked"),
        ("unable to open", "the file or its folder cannot be opened"),
        ("malformed", "the file is damaged; restore a copy"),
        ("not a database", "the file is not a Cordboard store"),
    ):
        if sign in said:
            return f"{words} ({said})"
    return said

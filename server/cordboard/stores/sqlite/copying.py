"""A SQLite store as one side of a copy. The key that seals is the file beside it."""

from __future__ import annotations

import os
import secrets
import sqlite3
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cordboard.errors import StoreUnavailable
from cordboard.keys import load_key
from cordboard.stores.copying.sides import Conflict, Run, Table, Values, batches
from cordboard.stores.sqlite.faults import translated
from cordboard.stores.sqlite.opening import StoreFile

_BUSY_SECONDS = 10.0


class SqliteSide:
    """See `Side`. Other processes may use the file meanwhile: nothing is locked between pages."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = StoreFile(path.resolve())
        self._connection: sqlite3.Connection | None = None

    @property
    def place(self) -> str:
        return str(self._file.path)

    def ready(self) -> None:
        with translated(self._path):
            if not self._path.exists():
                raise StoreUnavailable(f"There is no store at {self._path}.", "Check the path.")
            self._connection = self._file.connect(_BUSY_SECONDS)
            self._connection.row_factory = None

    def schema(self) -> int:
        with translated(self._path):
            if not self._path.exists():
                return 0
            asked = "SELECT name FROM sqlite_master WHERE type = 'table'"
            names = {name for (name,) in self._db.execute(asked)}
            if names and "schema_version" not in names:
                raise StoreUnavailable(
                    f"The file {self._path} is another program's database.", "Name another path."
                )
            if not names:
                return 0
            self._db.execute("PRAGMA journal_mode=PERSIST")  # not before: a mode can stay in a file
            row = self._db.execute("SELECT max(version) FROM schema_version").fetchone()
            return int(row[0] or 0)

    def make(self) -> None:
        with translated(self._path):
            self.close()
            self._connection = self._file.connect(_BUSY_SECONDS)
            self._connection.row_factory = None

    def alone(self) -> None:
        """Nothing: who has a file open cannot be seen."""

    def rows(self, table: Table, after: dict[str, Any] | None = None) -> Generator[Values]:
        while page := self._page(table, after):
            yield from page
            after = table.key_of(page[-1])

    def _page(self, table: Table, after: dict[str, Any] | None) -> list[Values]:
        with translated(self._path):
            cursor = self._db.execute(table.select(after=after is not None), after or {})
            try:
                return next(batches(cursor), [])
            finally:
                cursor.close()  # lets go of the lock

    def count(self, table: Table) -> int:
        with translated(self._path):
            return int(self._run(f"SELECT count(*) FROM {table.name}")[0][0])  # noqa: S608 - our names

    @contextmanager
    def transaction(self) -> Iterator[Run]:
        with translated(self._path), self._file.locked():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._run
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def _run(self, statement: str, **params: Any) -> list[Values]:
        return self._db.execute(statement, params).fetchall()

    def load(self, table: Table, rows: Sequence[Values]) -> None:
        marks = ", ".join("?" * len(table.columns))
        statement = f"INSERT INTO {table.name} ({', '.join(table.columns)}) VALUES ({marks})"  # noqa: S608 - our names
        try:
            self._db.executemany(statement, rows)
        except sqlite3.IntegrityError as exc:
            raise Conflict from exc

    def seal(self) -> bytes:
        with translated(self._path):
            return load_key(self._path) if self._key.exists() else b""

    def seal_with(self, key: bytes) -> None:
        draft = self._key.with_name(f"{self._key.name}.{secrets.token_hex(8)}")
        with translated(self._path):
            handle = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(key.hex().encode())
                    file.flush()
                    os.fsync(file.fileno())
                draft.replace(self._key)
            finally:
                draft.unlink(missing_ok=True)

    def analyze(self, tables: Sequence[Table]) -> None:
        del tables  # it looks at all of them
        with translated(self._path), self._file.locked():
            self._db.execute("PRAGMA analysis_limit=1000")
            self._db.execute("ANALYZE")

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None
        self._file.forget()

    @property
    def _key(self) -> Path:
        return self._path.with_name(self._path.name + ".key")

    @property
    def _db(self) -> sqlite3.Connection:
        """A connection to the file that is there, marked or not."""
        if self._connection is None:
            self._connection = db = sqlite3.connect(
                self._file.path, timeout=_BUSY_SECONDS, isolation_level=None
            )
            db.execute("PRAGMA synchronous=FULL")
            db.execute("PRAGMA foreign_keys=ON")
            db.execute("PRAGMA cache_size=-64000")
        return self._connection

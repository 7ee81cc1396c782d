"""A PostgreSQL store as one side of a copy. COPY carries the rows, out of it and into it."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from psycopg import errors
from psycopg.rows import tuple_row

from cordboard.errors import StoreUnavailable
from cordboard.keys import KEY_BYTES
from cordboard.stores import SCHEMA_VERSION
from cordboard.stores.copying.sides import Conflict, Run, Table, Values
from cordboard.stores.postgres.connecting import Connections
from cordboard.stores.postgres.faults import told
from cordboard.stores.postgres.migrating import migrate, version
from cordboard.stores.postgres.statements import translated
from cordboard.stores.postgres.transaction import Rows, wrong_schema

_TYPES = {"TEXT": "text", "BIGINT": "int8"}
_OF_ALL = ""
"""The account of the one key."""


class PostgresSide:
    """See `Side`. Nothing is kept in a session, so it may go through a transaction pooler."""

    def __init__(self, url: str) -> None:
        self._connections = Connections(url)
        self._connection: Rows | None = None

    @property
    def place(self) -> str:
        return self._connections.place

    def ready(self) -> None:
        found = self.schema()
        if found != SCHEMA_VERSION:
            raise wrong_schema(found, self.place)

    def schema(self) -> int:
        with told(self.place):
            return version(self._db)

    def make(self) -> None:
        with told(self.place):
            migrate(self._db)

    def rows(self, table: Table, after: dict[str, Any] | None = None) -> Generator[Values]:
        # Read row by row off the wire: a page of very long ones would not fit into memory.
        statement = f"COPY ({translated(table.select(after=after is not None))}) TO STDOUT".encode()
        with told(self.place), self._db.cursor() as cursor, cursor.copy(statement, after) as copy:
            copy.set_types([_TYPES[kind] for kind in table.types])
            yield from copy.rows()

    def count(self, table: Table) -> int:
        with told(self.place):
            return int(self._run(f"SELECT count(*) FROM {table.name}")[0][0])  # noqa: S608 - our names

    @contextmanager
    def transaction(self) -> Iterator[Run]:
        with told(self.place), self._db.transaction():
            yield self._run

    def _run(self, statement: str, **params: Any) -> list[Values]:
        with self._db.cursor(row_factory=tuple_row) as cursor:
            cursor.execute(translated(statement).encode(), params)
            return cursor.fetchall() if cursor.description else []

    def load(self, table: Table, rows: Sequence[Values]) -> None:
        command = f"COPY {table.name} ({', '.join(table.columns)}) FROM STDIN".encode()
        try:
            with self._db.cursor() as cursor, cursor.copy(command) as copy:
                for row in rows:
                    copy.write_row(row)
        except errors.IntegrityError as exc:
            raise Conflict from exc

    def seal(self) -> bytes:
        with self.transaction() as run:
            found = run(
                "SELECT sealed_with FROM seal_key WHERE account = :account", account=_OF_ALL
            )
        try:
            key = bytes.fromhex(found[0][0]) if found else b""
        except ValueError:
            key = b""
        if found and len(key) != KEY_BYTES:
            raise StoreUnavailable(
                f"The key in {self.place} is damaged.", "Delete the row of seal_key."
            )
        return key

    def seal_with(self, key: bytes) -> None:
        with self.transaction() as run:
            run("DELETE FROM seal_key WHERE account = :account", account=_OF_ALL)
            run("INSERT INTO seal_key VALUES (:account, :key)", account=_OF_ALL, key=key.hex())

    def analyze(self, tables: Sequence[Table]) -> None:
        with told(self.place):
            self._db.execute(f"ANALYZE {', '.join(table.name for table in tables)}".encode())

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    @property
    def _db(self) -> Rows:
        if self._connection is None:
            self._connection = self._connections.direct()
            self._connection.prepare_threshold = None  # a pooler may stand between
        return self._connection

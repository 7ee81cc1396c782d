"""A PostgreSQL store as one side of a copy. COPY carries the rows, out of it and into it."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from psycopg import errors
from psycopg.rows import tuple_row

from cordboard.errors import StoreUnavailable
from cordboard.stores import SCHEMA_VERSION
from cordboard.stores.copying.sides import Conflict, Run, Table, Values
from cordboard.stores.postgres.committing import committed
from cordboard.stores.postgres.connecting import Connections
from cordboard.stores.postgres.faults import told
from cordboard.stores.postgres.keys import found_key, keep_key
from cordboard.stores.postgres.migrating import migrate, version
from cordboard.stores.postgres.statements import translated
from cordboard.stores.postgres.transaction import Rows, wrong_schema

_TYPES = {"TEXT": "text", "BIGINT": "int8"}
_OTHERS = (
    "SELECT count(*) AS others FROM pg_stat_activity WHERE application_name = 'cordboard' "
    "AND datname = current_database() AND pid <> pg_backend_pid()"
)
_MYSELF = "SET application_name = 'cordboard copy'"
"""So that one copy does not take another, or what the server still has of a killed one, for a server."""


class PostgresSide:
    """See `Side`. Nothing is kept in a session, so it may go through a transaction pooler."""

    def __init__(self, url: str) -> None:
        self._connections = Connections(url)
        self._connection: Rows | None = None
        self._is_pooled = False

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

    def alone(self) -> None:
        others: list[Any] = []
        with told(self.place):
            if not self._is_pooled:  # a pooler keeps connections of programs that ended
                with suppress(errors.InsufficientPrivilege), self._db.transaction():
                    others = self._db.execute(_OTHERS).fetchall()
        if others and others[0]["others"]:
            raise StoreUnavailable(
                f"Another Cordboard is connected to the target {self.place}, and would go on with "
                "what it read there before.",
                "Stop the servers on it, and the pooler that keeps their connections if there is one.",
            )

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
        with told(self.place), committed(self._db):
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
        with told(self.place):
            return found_key(self._db)

    def seal_with(self, key: bytes) -> None:
        with self.transaction():
            keep_key(self._db, key)

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
            self._connection = db = self._connections.direct()
            self._is_pooled = db.prepare_threshold is None  # as it found out
            db.prepare_threshold = None
            db.execute(_MYSELF)
        return self._connection

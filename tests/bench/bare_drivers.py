"""The drivers that the bare script runs on, and what each has a way of its own for: a set of texts,
the beginning of a transaction, and many rows, loaded as quickly as it can.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, Protocol

import psycopg

Values = tuple[object, ...]


class Driver(Protocol):
    """One connection. A statement has `?` for each value, and `AMONG ?` for a set of texts.

    `most`: of how many texts a set is asked for most quickly.
    """

    most: int

    def execute(self, text: str, values: Values = ()) -> Any:
        """Run a statement; its cursor, whose rows are tuples."""
        ...

    def begin(self, account: str) -> None:
        """Begin a transaction that no other writer of this account comes between."""
        ...

    def texts(self, texts: Sequence[str]) -> object:
        """The value of a set of texts."""
        ...

    def load(self, table: str, columns: Sequence[str], rows: Iterable[Values]) -> None:
        """Insert many rows, whose texts need no escaping."""
        ...

    def close(self) -> None: ...


class OnSqlite:
    """`sqlite3`."""

    most = 5_000

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.close = connection.close

    def execute(self, text: str, values: Values = ()) -> sqlite3.Cursor:
        return self._connection.execute(_for_sqlite(text), values)

    def begin(self, account: str) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def texts(self, texts: Sequence[str]) -> str:
        return json.dumps(texts)

    def load(self, table: str, columns: Sequence[str], rows: Iterable[Values]) -> None:
        marks = ", ".join("?" * len(columns))
        insert = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})"  # noqa: S608 - ours
        self._connection.executemany(insert, rows)


class OnPostgres:
    """`psycopg`, with its part in C."""

    most = 20_000

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        self.close = connection.close

    def execute(self, text: str, values: Values = ()) -> psycopg.Cursor[Any]:
        # A plan that was kept from when a table was empty goes through all of it for each of a set.
        prepare = False if "AMONG" in text else None
        return self._connection.execute(_for_postgres(text), values or None, prepare=prepare)

    def begin(self, account: str) -> None:
        self._connection.execute("BEGIN")
        self.execute("SELECT seq FROM account WHERE account = ? FOR UPDATE", (account,))

    def texts(self, texts: Sequence[str]) -> Sequence[str]:
        return texts

    def load(self, table: str, columns: Sequence[str], rows: Iterable[Values]) -> None:
        command = f"COPY {table} ({', '.join(columns)}) FROM STDIN".encode()
        text = "".join(["\t".join(map(str, row)) + "\n" for row in rows])
        with self._connection.cursor() as cursor, cursor.copy(command) as copy:
            copy.write(text)


@cache
def _for_sqlite(text: str) -> str:
    return text.replace("AMONG ?", "IN (SELECT value FROM json_each(?))")


@cache
def _for_postgres(text: str) -> bytes:
    return text.replace("AMONG ?", "= ANY(?)").replace("?", "%s").encode()

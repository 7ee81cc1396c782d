"""Named statements on one SQLite connection."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from cordboard.stores import Row
from cordboard.stores.queries import QUERIES


class SqliteTransaction:
    """See `stores.Transaction`."""

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

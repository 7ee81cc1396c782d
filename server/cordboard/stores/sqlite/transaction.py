"""Named statements on one SQLite connection."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from cordboard.stores import Ask, Row
from cordboard.stores.queries import QUERIES

# One parameter for a list of any length, so that the statement stays prepared.
_STATEMENTS = {
    name: re.sub(r"\(:(\w+)\[\]\)", r"(SELECT value FROM json_each(:\1))", text)
    for name, text in QUERIES.items()
}


class SqliteTransaction:
    """See `stores.Transaction`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._execute = connection.execute
        self._executemany = connection.executemany

    def one(self, query: str, /, **params: Any) -> Row | None:
        row: Row | None = self._execute(_STATEMENTS[query], _given(params)).fetchone()
        return row

    def all(self, query: str, /, **params: Any) -> list[Row]:
        return self._execute(_STATEMENTS[query], _given(params)).fetchall()

    def prefetch(self, *asks: Ask) -> None:
        """Nothing: it is no way to the file."""

    def run(self, query: str, /, **params: Any) -> int:
        return self._execute(_STATEMENTS[query], _given(params)).rowcount

    def send(self, query: str, /, **params: Any) -> None:
        self._execute(_STATEMENTS[query], _given(params))

    def pragma(self, name: str) -> str:
        """A setting of the engine, for `facts`; not part of the portable protocol."""
        return str(self._execute(f"PRAGMA {name}").fetchone()[0])

    def many(self, query: str, /, rows: Sequence[Mapping[str, Any]]) -> None:
        self._executemany(_STATEMENTS[query], rows)


def _given(params: dict[str, Any]) -> dict[str, Any]:
    for name, value in params.items():
        if isinstance(value, list):
            return params | {name: json.dumps(value)}
    return params

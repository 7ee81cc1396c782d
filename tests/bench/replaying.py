"""What ours asked of the database, asked again by a bare driver: the same statements with the same
values, in transactions that begin and end at the same places.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest

from cordboard.stores.postgres import committing

Statement = tuple[Any, Any, bool]
"""The text, the parameters, and whether it is for each of several rows of them."""
_END: Statement = ("COMMIT", None, False)


@dataclass
class Record:
    """The statements of one round, in order."""

    statements: list[Statement] = field(default_factory=list[Statement])

    def replay(self, connection: psycopg.Connection[Any]) -> None:
        """Ask all of it again."""
        for text, params, many in self.statements:
            if many:
                with connection.cursor() as cursor:
                    cursor.executemany(text, params)
                continue
            cursor = connection.execute(text, params)
            if cursor.description is not None:
                cursor.fetchall()


@contextmanager
def recorded(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Record]]:
    """Within, the last of the list takes down whatever goes to the database."""
    records: list[Record] = []
    execute, executemany = psycopg.Cursor.execute, psycopg.Cursor.executemany
    execute_soon = psycopg.AsyncConnection.execute
    commit = committing.commit

    def noted(self: Any, query: Any, params: Any = None, **more: Any) -> Any:
        if records:
            records[-1].statements.append((query, params, False))
        return execute(self, query, params, **more)

    async def noted_soon(self: Any, query: Any, params: Any = None, **more: Any) -> Any:
        if records:
            records[-1].statements.append((query, params, False))
        return await execute_soon(self, query, params, **more)

    def noted_many(self: Any, query: Any, params_seq: Any, **more: Any) -> Any:
        if records:
            records[-1].statements.append((query, params_seq, True))
        return executemany(self, query, params_seq, **more)

    def noted_commit(*given: Any) -> None:
        if records:
            records[-1].statements.append(_END)
        commit(*given)

    with monkeypatch.context() as patched:
        patched.setattr(psycopg.Cursor, "execute", noted)
        patched.setattr(psycopg.AsyncConnection, "execute", noted_soon)
        patched.setattr(psycopg.Cursor, "executemany", noted_many)
        patched.setattr("cordboard.stores.postgres.running.commit", noted_commit)
        yield records

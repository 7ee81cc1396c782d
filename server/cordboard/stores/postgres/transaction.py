"""Named statements on one PostgreSQL connection, within the transaction that it is in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from psycopg import Connection, Cursor

from cordboard.errors import StoreUnavailable
from cordboard.stores import BEING_COPIED, GENESIS, SCHEMA_VERSION, Row, half_copied
from cordboard.stores.postgres.statements import LISTS, LOADS, STATEMENTS

Rows = Connection[dict[str, Any]]
_MANY = 200
"""From so many rows on, an insert goes by COPY: it takes two round trips more and a tenth of the time."""
_LOCK = (
    "SELECT (SELECT max(version) FROM schema_version) AS schema FROM account "
    "WHERE account = %(account)s FOR UPDATE"
)


def beginning(patience: float) -> str:
    """How a transaction that writes begins. `patience`: seconds to wait for a lock.

    A process that is stopped in the middle loses its transaction before those that wait give up.
    """
    wait = max(2, round(patience * 1000))
    return (
        f"BEGIN; SET LOCAL lock_timeout = '{wait}ms'; "
        f"SET LOCAL idle_in_transaction_session_timeout = '{wait * 4 // 5}ms'"
    )


class PostgresTransaction:
    """See `stores.Transaction`."""

    def __init__(self, connection: Rows) -> None:
        self._connection = connection

    def one(self, query: str, /, **params: Any) -> Row | None:
        return self._execute(query, params).fetchone()

    def all(self, query: str, /, **params: Any) -> list[Row]:
        found: list[Any] = self._execute(query, params).fetchall()
        return found

    def run(self, query: str, /, **params: Any) -> int:
        return self._execute(query, params).rowcount

    def many(self, query: str, /, rows: Sequence[Mapping[str, Any]]) -> None:
        if not rows:
            return
        self.begin(rows[0])
        with self._connection.cursor() as cursor:
            if query not in LOADS or len(rows) < _MANY:
                cursor.executemany(STATEMENTS[query], rows)
                return
            bulk = LOADS[query]
            with cursor.copy(bulk.command) as copy:
                for row in rows:
                    copy.write_row(bulk.row(row))

    def _execute(self, query: str, params: dict[str, Any]) -> Cursor[dict[str, Any]]:
        self.begin(params)
        prepare = False if query in LISTS else None
        return self._connection.execute(STATEMENTS[query], params, prepare=prepare)

    def begin(self, params: Mapping[str, Any]) -> None:
        """Called before every statement with its parameters."""


class Single(PostgresTransaction):
    """One statement, which needs no transaction around it to be of one state."""

    account = ""
    """Whose rows it reads, once it ran."""

    def begin(self, params: Mapping[str, Any]) -> None:
        if self.account:
            raise TypeError("a second statement where one was promised")
        self.account = params["account"]


class Writing(PostgresTransaction):
    """One that writes: the account's head row is locked before anything else is done or read.

    Whoever writes in an account waits there for their turn, so that changes of one account follow
    each other, overlapping batches cannot block each other, and accounts never wait for another.
    """

    account = ""
    appended: tuple[int, str] | None = None
    """Seq and hash of the newest row that it appended to the journal."""

    def begin(self, params: Mapping[str, Any]) -> None:
        if self.account:
            if params["account"] != self.account:
                raise TypeError("a transaction that writes is of one account")
            return
        self.account = params["account"]
        key = {"account": self.account, "head": GENESIS}
        row = self._connection.execute(_LOCK, key).fetchone()
        if row is None:
            self._connection.execute(STATEMENTS["account_lock"], key)
            row = self._connection.execute(_LOCK, key).fetchone()
        if row is None or row["schema"] != SCHEMA_VERSION:
            raise wrong_schema(row["schema"] if row else 0)

    def run(self, query: str, /, **params: Any) -> int:
        if query == "account_advance":
            self.appended = params["seq"], params["head"]
        return super().run(query, **params)


def wrong_schema(found: int, place: str = "") -> StoreUnavailable:
    """The refusal of a database of another version than this program's. `place`: which one."""
    place = f" {place}" if place else ""
    if found > BEING_COPIED:
        return half_copied(f"The database{place}")
    if found > SCHEMA_VERSION:
        return StoreUnavailable(
            f"The database{place} has schema {found}; this program knows {SCHEMA_VERSION}.",
            "Update Cordboard (`uv tool upgrade cordboard`).",
        )
    what = f"schema {found}" if found else "no tables of Cordboard's"
    return StoreUnavailable(
        f"The database{place} has {what}; this program needs schema {SCHEMA_VERSION}.",
        "Run `cordboard migrate` once.",
    )

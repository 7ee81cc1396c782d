"""Named statements on one PostgreSQL connection, within the transaction that it is in."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from psycopg import Connection, Cursor, errors

from cordboard.errors import StoreUnavailable
from cordboard.stores import BEING_COPIED, GENESIS, SCHEMA_VERSION, Ask, Row, half_copied
from cordboard.stores.postgres.remembering import State
from cordboard.stores.postgres.statements import DATED, LISTS, LOADS, STATEMENTS
from cordboard.stores.postgres.waiting import Line

Rows = Connection[dict[str, Any]]
SNAPSHOT = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_FEW, _MANY = 10, 200
"""Fewer rows go with other statements; from so many on an insert goes by COPY: it takes two journeys more and a tenth of the time."""
_LOCK = (
    "SELECT (SELECT max(version) FROM schema_version) AS schema, "
    "seq, head, frozen_at, frozen_by, frozen_reason "
    "FROM account WHERE account = %(account)s FOR UPDATE"
)
_Statement = tuple[str, Mapping[str, Any] | None, bool | None]
"""Its text, its parameters, and whether it is prepared; None: once it was asked a few times."""


def begin(connection: Rows, patience: float) -> None:
    """Begin a transaction that writes, whatever the database or the role has set as a default.
    `patience`: seconds to wait for a lock. Raises: psycopg.Error.

    A process that is stopped in the middle loses its transaction before those that wait give up.
    """
    wait = max(2, round(patience * 1000))
    how = (
        f"BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL lock_timeout = '{wait}ms'; "
        f"SET LOCAL idle_in_transaction_session_timeout = '{wait * 4 // 5}ms'"
    )
    with told_of_standbys():
        connection.execute(how.encode())


def reading(patience: float, longest: float) -> tuple[str, ...]:
    """How a transaction that reads begins, on one snapshot. `patience`: seconds to wait for a lock,
    which is that of a table. `longest`: those that a statement may take."""
    limits = (("lock_timeout", patience), ("statement_timeout", longest))
    return SNAPSHOT, *(
        f"SET LOCAL {name} = '{max(2, round(wait * 1000))}ms'" for name, wait in limits
    )


@contextmanager
def told_of_standbys() -> Iterator[None]:
    """A standby that is asked to be written in says that this is not supported."""
    try:
        yield
    except errors.FeatureNotSupported:
        raise errors.ReadOnlySqlTransaction from None


class PostgresTransaction:
    """See `stores.Transaction`. Statements that need not be waited for go with the next one that is,
    in one pipeline: a journey to the server takes longer than a look by key.

    `first`: what to ask before anything else.
    """

    def __init__(self, connection: Rows, first: Sequence[str] = ()) -> None:
        self._connection, self._cursor = connection, connection.cursor()
        self._unsent: list[_Statement] = [(text, None, False) for text in first]
        self._wanted: dict[Hashable, Ask] = {}
        self._found: dict[Hashable, list[Any]] = {}

    def one(self, query: str, /, **params: Any) -> Row | None:
        found = self.all(query, **params)
        return found[0] if found else None

    def all(self, query: str, /, **params: Any) -> list[Row]:
        self.begin(params)
        if (self._wanted or self._found) and query not in LISTS:
            return self._together(question(query, params), (query, params))
        rows: list[Any] = self._asked(query, params).fetchall()
        return rows

    def prefetch(self, *asks: Ask) -> None:
        new = {question(*ask): ask for ask in asks}
        self._wanted |= {key: ask for key, ask in new.items() if key not in self._found}

    def run(self, query: str, /, **params: Any) -> int:
        self.writes(query, params)
        return self._asked(query, params).rowcount

    def send(self, query: str, /, **params: Any) -> None:
        self.writes(query, params)
        self._unsent.append(_statement(query, params))

    def many(self, query: str, /, rows: Sequence[Mapping[str, Any]]) -> None:
        if len(rows) < _FEW:
            for row in rows:
                self.send(query, **row)
            return
        self.writes(query, rows[0])
        self.flush()
        if query not in LOADS or len(rows) < _MANY:
            *others, last = rows
            self._connection.cursor().executemany(STATEMENTS[query], others)
            self.run(query, **last)  # see _sent
            return
        bulk = LOADS[query]
        with self._connection.cursor() as cursor, cursor.copy(bulk.command) as copy:
            for row in rows:
                copy.write_row(bulk.row(row))

    def flush(self) -> None:
        """Ask what was not asked yet. Raises: psycopg.Error."""
        if self._unsent:
            self._sent()

    def begin(self, params: Mapping[str, Any]) -> None:
        """Called before every statement with its parameters."""

    def writes(self, query: str, params: Mapping[str, Any]) -> None:
        """Called before every statement that writes: what was found is forgotten."""
        del query
        self.begin(params)
        self._wanted.clear()
        self._found.clear()

    def _asked(self, query: str, params: Mapping[str, Any]) -> Cursor[dict[str, Any]]:
        self._unsent.append(_statement(query, params))
        return self._sent()[-1]

    def _together(self, key: Hashable, ask: Ask) -> list[Row]:
        """What a statement finds, and with it whatever else is wanted."""
        if key not in self._found:
            wanted, self._wanted = self._wanted | {key: ask}, {}
            self._unsent += [_statement(*each) for each in wanted.values()]
            cursors = self._sent()[-len(wanted) :]
            rows = [cursor.fetchall() for cursor in cursors]
            self._found |= dict(zip(wanted, rows, strict=True))
        return self._found[key]

    def _sent(self) -> list[Cursor[dict[str, Any]]]:
        """Ask what is to be asked, the last by itself: where a pipeline ends the server does not
        count how long nothing is asked of it, and would let a stopped process keep its lock."""
        statements, self._unsent = self._unsent, []
        *others, last = statements
        ask = self._connection.execute
        if len(others) < 2:
            sent = [ask(text, params, prepare=prepare) for text, params, prepare in others]
        else:
            with self._connection.pipeline():
                sent = [ask(text, params, prepare=prepare) for text, params, prepare in others]
        text, params, prepare = last
        return [*sent, self._cursor.execute(text, params, prepare=prepare)]


def question(query: str, params: Mapping[str, Any]) -> Hashable:
    """What a statement asks, as a key."""
    return query, tuple(sorted(params.items()))


def _statement(query: str, params: Mapping[str, Any]) -> _Statement:
    return STATEMENTS[query], params, False if query in LISTS else None


class AsOf(NamedTuple):
    """The account that something was read of, how far its changes had come in the same snapshot, and
    whether a standby said so. Of nothing that was read it has no account; of nothing that was found,
    no state."""

    account: str = ""
    state: State | None = None
    is_standby: bool = False


class Single(PostgresTransaction):
    """One statement, which needs no transaction around it to be of one state."""

    as_of = AsOf()
    """What its rows are of, once it ran."""

    def __init__(self, connection: Line) -> None:
        super().__init__(connection)
        self._is_standby = connection.is_standby

    def all(self, query: str, /, **params: Any) -> list[Row]:
        if self.as_of.account:
            raise TypeError("a second statement where one was promised")
        rows = self._connection.execute(DATED[query], params).fetchall()
        self.as_of = AsOf(params["account"], undated(rows), self._is_standby)
        return [*rows]


def undated(rows: list[dict[str, Any]]) -> State | None:
    """Take the state out of the rows of a statement, if it is one of `DATED`."""
    told = None
    for row in rows:
        told = row.pop("_state", None)
    if told is None:
        return None
    seq, _, head = told.partition(" ")
    return int(seq), head


class Writing(PostgresTransaction):
    """One that writes: the account's head row is locked before anything else is done or read.

    Whoever writes in an account waits there for their turn, so that changes of one account follow
    each other, overlapping batches cannot block each other, and accounts never wait for another.

    `start`: begins the transaction, once it is known of which account it is.
    """

    account = ""
    appended: tuple[int, str] | None = None
    """Seq and hash of the newest row that it appended to the journal."""

    def __init__(self, connection: Rows, start: Callable[[str], None]) -> None:
        super().__init__(connection)
        self._start = start
        self._head: Row | None = None

    def begin(self, params: Mapping[str, Any]) -> None:
        if self.account:
            if params["account"] != self.account:
                raise TypeError("a transaction that writes is of one account")
            return
        self._start(params["account"])
        self.account = params["account"]
        key = {"account": self.account, "head": GENESIS}
        row = self._connection.execute(_LOCK, key).fetchone()
        if row is None:
            self._connection.execute(STATEMENTS["account_lock"], key)
            row = self._connection.execute(_LOCK, key).fetchone()
        if row is None or row["schema"] != SCHEMA_VERSION:
            raise wrong_schema(row["schema"] if row else 0)
        self._head = row

    def one(self, query: str, /, **params: Any) -> Row | None:
        if query == "account_get":  # it is locked: nobody else changes it
            self.begin(params)
            if self._head is not None:
                return self._head
        return super().one(query, **params)

    def send(self, query: str, /, **params: Any) -> None:
        if query == "account_lock":  # as it is from the beginning
            self.begin(params)
        else:
            super().send(query, **params)

    def writes(self, query: str, params: Mapping[str, Any]) -> None:
        super().writes(query, params)
        if query.startswith("account_"):
            self._head = None
        if query == "account_advance":
            self.appended = params["seq"], params["head"]


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

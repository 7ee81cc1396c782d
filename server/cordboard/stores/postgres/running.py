"""Transactions on one database: begun, tried again where nothing can have been kept, committed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import psycopg
from psycopg import errors
from psycopg.pq import TransactionStatus
from psycopg_pool import PoolClosed, PoolTimeout

from cordboard.stores import SCHEMA_VERSION, T
from cordboard.stores.postgres.committing import commit
from cordboard.stores.postgres.connecting import Connections, meet
from cordboard.stores.postgres.faults import AGAIN, UNPREPARED, Unused, is_lost, told
from cordboard.stores.postgres.migrating import version
from cordboard.stores.postgres.transaction import (
    AsOf,
    PostgresTransaction,
    Rows,
    Single,
    Writing,
    begin,
    reading,
    wrong_schema,
)
from cordboard.stores.postgres.turns import Turn
from cordboard.stores.postgres.waiting import Line

_TRIES = 8
_MARGIN_SECONDS = 5.0
"""So much longer is waited here than the server lets a statement take, which can then say so."""


class Runner:
    """Runs work in transactions; to be called in worker threads. Raises: StoreUnavailable.

    `patience`: seconds that a lock, a commit, and the answer to a look-up are waited for. `longest`:
    seconds that one statement of any other reading may take.
    """

    def __init__(self, connections: Connections, patience: float, longest: float) -> None:
        self.connections, self._patience, self._longest = connections, patience, longest
        self._known = False

    @property
    def is_known(self) -> bool:
        """Whether the database was seen to be of this program's schema."""
        return self._known

    @property
    def place(self) -> str:
        """The database, as it may be shown."""
        return self.connections.place

    def single(self, work: Callable[[PostgresTransaction], T]) -> tuple[T, AsOf]:
        """One statement by itself; what it found, and of which state."""

        def once(connection: Line) -> tuple[T, AsOf]:
            if connection.is_standby:
                meet(connection)
            tx = Single(connection)
            return work(tx), tx.as_of

        return self._tried(once, self._patience)

    def read(self, work: Callable[[PostgresTransaction], T]) -> T:
        """Any statements that read, on one snapshot."""

        def once(connection: Line) -> T:
            try:
                return work(PostgresTransaction(connection, reading(self._patience, self._longest)))
            finally:
                _end(connection)

        return self._tried(once, self._longest + _MARGIN_SECONDS)

    def write(self, work: Callable[[PostgresTransaction], T], turn: Turn) -> T:
        """One durable transaction. Raises: StoreUnavailable, Crowded."""

        def once(connection: Line) -> T:
            def start(account: str) -> None:
                turn.take(account)
                try:
                    begin(connection, self._patience)
                except psycopg.OperationalError as exc:
                    raise Unused from exc

            tx = Writing(connection, start)
            try:
                result = work(tx)
                tx.flush()
            except BaseException:
                _end(connection)
                raise
            if tx.account:
                commit(connection, tx, self.connections, self._patience)
            return result

        return self._tried(once)

    def _tried(self, once: Callable[[Line], T], reads_within: float | None = None) -> T:
        """Run one transaction; again where nothing of it can have been kept: the engine took it
        back, or it only reads, or the connection was broken before anything was asked of it.

        `reads_within`: seconds for each answer, where it only reads.
        """
        with told(self.place):
            self._check()
            for _ in range(_TRIES):
                try:
                    return self._once(once, reads_within)
                except (*AGAIN, PoolClosed):
                    continue
                except UNPREPARED:
                    self.connections.prepare_nothing()
                except PoolTimeout:
                    raise self.connections.why_none() from None
                except (Unused, psycopg.OperationalError) as exc:
                    if not (isinstance(exc, Unused) or (reads_within and is_lost(exc))):
                        raise
                    self.connections.renew()
            return self._once(once, reads_within)

    def _once(self, once: Callable[[Line], T], reads_within: float | None) -> T:
        try:
            with self.connections.one(reads_within) as connection:
                return once(connection)
        except errors.LockNotAvailable:
            if (
                reads_within
            ):  # it waited for a table: no change of an account keeps a reader waiting
                raise errors.QueryCanceled from None
            raise

    def _check(self) -> None:
        """Once: whether the database is of this program's schema."""
        if self._known:
            return
        with self.connections.direct() as connection:
            connection.patience = self._patience
            found = version(connection)
        if found != SCHEMA_VERSION:
            raise wrong_schema(found, self.place)
        self._known = True


def _end(connection: Rows) -> None:
    """End a transaction that keeps nothing, if it was begun."""
    if connection.info.transaction_status == TransactionStatus.IDLE:
        return
    with suppress(psycopg.Error):
        connection.execute("ROLLBACK")

"""Transactions on one database: begun, tried again where nothing can have been kept, committed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import psycopg
from psycopg.pq import TransactionStatus
from psycopg_pool import PoolClosed, PoolTimeout

from cordboard.stores import SCHEMA_VERSION, T
from cordboard.stores.postgres.committing import commit
from cordboard.stores.postgres.connecting import Connections
from cordboard.stores.postgres.faults import AGAIN, UNPREPARED, Unused, is_lost, told
from cordboard.stores.postgres.migrating import version
from cordboard.stores.postgres.remembering import State
from cordboard.stores.postgres.statements import STATEMENTS
from cordboard.stores.postgres.transaction import (
    SNAPSHOT,
    PostgresTransaction,
    Rows,
    Single,
    Writing,
    beginning,
    wrong_schema,
)

_TRIES = 8


class Runner:
    """Runs work in transactions; to be called in worker threads. Raises: StoreUnavailable.

    `patience`: seconds that a lock, and that a commit, is waited for.
    """

    def __init__(self, connections: Connections, patience: float) -> None:
        self.connections, self._patience = connections, patience
        self._known = False

    @property
    def is_known(self) -> bool:
        """Whether the database was seen to be of this program's schema."""
        return self._known

    @property
    def place(self) -> str:
        """The database, as it may be shown."""
        return self.connections.place

    def single(self, work: Callable[[PostgresTransaction], T]) -> tuple[T, str]:
        """One statement by itself; what it found, and whose it was."""

        def once(connection: Rows) -> tuple[T, str]:
            tx = Single(connection)
            return work(tx), tx.account

        return self._tried(once)

    def dated(self, work: Callable[[PostgresTransaction], T]) -> tuple[T, str, State]:
        """One statement; what it found, whose it was, and the state of the account it is of."""

        def once(connection: Rows) -> tuple[T, str, State]:
            try:
                tx = Single(connection, SNAPSHOT)
                found = work(tx)
                return found, tx.account, state_of(connection, tx.account)
            finally:
                _end(connection)

        return self._tried(once)

    def read(self, work: Callable[[PostgresTransaction], T]) -> T:
        """Any statements that read, on one snapshot."""

        def once(connection: Rows) -> T:
            try:
                return work(PostgresTransaction(connection, SNAPSHOT))
            finally:
                _end(connection)

        return self._tried(once)

    def write(self, work: Callable[[PostgresTransaction], T]) -> T:
        """One durable transaction. Raises: StoreUnavailable."""

        def once(connection: Rows) -> T:
            try:
                connection.execute(beginning(self._patience).encode())
            except psycopg.OperationalError as exc:
                raise Unused from exc
            tx = Writing(connection)
            try:
                result = work(tx)
                tx.flush()
            except BaseException:
                _end(connection)
                raise
            commit(connection, tx, self.connections, self._patience)
            return result

        return self._tried(once, reads=False)

    def _tried(self, once: Callable[[Rows], T], *, reads: bool = True) -> T:
        """Run one transaction; again where nothing of it can have been kept: the engine took it
        back, or it only `reads`, or the connection was broken before anything was asked of it."""
        with told(self.place):
            self._check()
            for _ in range(_TRIES):
                try:
                    with self.connections.one() as connection:
                        return once(connection)
                except (*AGAIN, PoolClosed):
                    continue
                except UNPREPARED:
                    self.connections.prepare_nothing()
                except PoolTimeout:
                    raise self.connections.why_none() from None
                except (Unused, psycopg.OperationalError) as exc:
                    if not (isinstance(exc, Unused) or (reads and is_lost(exc))):
                        raise
                    self.connections.renew()
            with self.connections.one() as connection:
                return once(connection)

    def _check(self) -> None:
        """Once: whether the database is of this program's schema."""
        if self._known:
            return
        with self.connections.direct() as connection:
            found = version(connection)
        if found != SCHEMA_VERSION:
            raise wrong_schema(found, self.place)
        self._known = True


def state_of(connection: Rows, account: str) -> State:
    """How far an account's changes have come, in the snapshot of this connection."""
    row = connection.execute(STATEMENTS["account_get"], {"account": account}).fetchone()
    return (row["seq"], row["head"]) if row else (0, "")


def _end(connection: Rows) -> None:
    """End a transaction that keeps nothing, if it was begun."""
    if connection.info.transaction_status == TransactionStatus.IDLE:
        return
    with suppress(psycopg.Error):
        connection.execute("ROLLBACK")

"""Committing, so that nobody is told "done" of what may be lost, or "failed" of what stands.

A commit whose answer does not come is looked up: every transaction that changes something appends
to the account's journal, and its newest row has a hash that no other transaction's has. A commit
that a synchronous standby did not confirm waits for ever; called off, it is there and may yet be
lost, which PostgreSQL tells in a warning (and calls success).
"""

from __future__ import annotations

import selectors
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import psycopg
from psycopg import IsolationLevel
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGresult

from cordboard.errors import StoreUnavailable
from cordboard.stores import GENESIS
from cordboard.stores.postgres.connecting import Connections
from cordboard.stores.postgres.faults import is_lost, outcome_unknown
from cordboard.stores.postgres.statements import STATEMENTS
from cordboard.stores.postgres.transaction import Rows, Writing, begin, told_of_standbys

_LOOK_SECONDS = 0.2
_ONLY_HERE = ("WARNING", "01000")
_SAFE_SOMEWHERE = (
    "The change was written, but the standby that should have it too did not confirm: should this "
    "database be lost now, the change may be lost with it."
)
_LOST = "The connection was lost while a change was being committed"
_HARMLESS = "Run the same command again: what stands already is not done twice."


@contextmanager
def committed(connection: Rows) -> Iterator[None]:
    """One transaction of an operator's command, READ COMMITTED and to be written in, whatever the
    database or the role has set.

    Raises: StoreUnavailable where it may stand, because the answer to its commit was lost.
    """
    connection.isolation_level, connection.read_only = IsolationLevel.READ_COMMITTED, False
    is_done = False
    try:
        with ExitStack() as begun:
            with told_of_standbys():
                begun.enter_context(connection.transaction())
            yield
            is_done = True
    except psycopg.OperationalError as exc:
        if is_done and _leaves_it_open(exc):
            raise outcome_unknown(f"{_LOST}.", _HARMLESS) from None
        raise


def commit(connection: Rows, tx: Writing, connections: Connections, patience: float) -> None:
    """Commit the transaction. `patience`: seconds until a commit is called off, and as long again
    for what became of it.

    Raises: StoreUnavailable, also where it may stand (`outcome_unknown`); psycopg.Error where the engine
    took the transaction back.
    """
    confirmed = _sent(connection, patience)
    if confirmed is None:
        connection.close()
        confirmed = _looked_up(tx, connections, patience)
    if not confirmed:
        raise outcome_unknown(_SAFE_SOMEWHERE)


def _sent(connection: Rows, patience: float) -> bool | None:
    """Send COMMIT: True where it is done, False where it is in this database and perhaps nowhere
    else, None where no answer came. Raises: psycopg.Error where the engine took it back."""
    warned: list[tuple[str | None, str | None]] = []

    def warn(said: psycopg.errors.Diagnostic) -> None:  # it is empty once this returns
        warned.append((said.severity_nonlocalized, said.sqlstate))

    connection.add_notice_handler(warn)
    try:
        result = _answer(connection, patience)
    except psycopg.OperationalError:  # the connection is lost
        return None
    finally:
        connection.remove_notice_handler(warn)
    if result is None:
        return None
    if result.status == ExecStatus.FATAL_ERROR:
        error = psycopg.errors.error_from_result(result)
        if _leaves_it_open(error):
            return None
        raise error
    if result.command_status != b"COMMIT":  # a statement failed, and nobody minded
        raise psycopg.errors.InFailedSqlTransaction
    return _ONLY_HERE not in warned


def _answer(connection: Rows, patience: float) -> PGresult | None:
    """The answer to COMMIT; None where none came to its end, even to a request to call it off.

    Raises: psycopg.OperationalError where the connection is lost.
    """
    wire, result = connection.pgconn, None
    wire.send_query(b"COMMIT")
    while _arrived(connection, patience):
        following = wire.get_result()
        if following is None:
            return result
        result = following
    return None


def _arrived(connection: Rows, patience: float) -> bool:
    """Wait until the next part of the answer is there, and call the commit off half-way."""
    wire, called_off = connection.pgconn, False
    deadline = time.monotonic() + patience
    while wire.is_busy():
        left = deadline - time.monotonic()
        if left > 0 and _readable(wire.socket, left):
            wire.consume_input()
        elif called_off:
            return False
        elif left <= 0:
            called_off, deadline = True, time.monotonic() + patience
            with suppress(psycopg.Error):
                connection.cancel_safe(timeout=patience)
    return True


def _readable(socket: int, seconds: float) -> bool:
    """Whether something arrives in time; also with thousands of files open, as select() does not."""
    with selectors.DefaultSelector() as selector:
        selector.register(socket, selectors.EVENT_READ)
        return bool(selector.select(seconds))


def _leaves_it_open(error: psycopg.Error) -> bool:
    """Whether an error in answer to COMMIT does not say that nothing is kept: the server went, or
    (40003) an engine of many machines does not know itself."""
    went = error.diag.severity_nonlocalized in ("FATAL", "PANIC")
    return went or is_lost(error) or error.sqlstate == "40003"


def _looked_up(tx: Writing, connections: Connections, patience: float) -> bool:
    """Find out what became of a transaction: as `_sent`, but always with an answer.

    Raises: StoreUnavailable where nothing of it is kept, or where that cannot be found
    out.
    """
    deadline = time.monotonic() + patience
    while tx.appended is not None and (left := deadline - time.monotonic()) > 0:
        try:
            with connections.direct() as connection:
                confirmed = _found(connection, tx.account, *tx.appended, left)
        except psycopg.Error:
            time.sleep(min(left, _LOOK_SECONDS))
            continue
        if confirmed is not None:
            return confirmed
    raise outcome_unknown(f"{_LOST}; whether it stands could not be found out.")


def _found(connection: Rows, account: str, seq: int, digest: str, patience: float) -> bool | None:
    """Whether the journal has this row, and the standby too. Raises: StoreUnavailable where not.

    The lock waits for whoever is still committing it. It is a change of its own, which the standby
    confirms after the one that is looked for: a row alone may be in this database only.
    """
    begin(connection, patience)
    connection.execute(STATEMENTS["account_lock"], {"account": account, "head": GENESIS})
    key = {"account": account, "after": seq - 1, "limit": 1}
    row = connection.execute(STATEMENTS["journal_page"], key).fetchone()
    if row is None or row["seq"] != seq or row["hash"] != digest:
        connection.execute("ROLLBACK")
        raise StoreUnavailable(f"{_LOST}, which took it back.", "Try again.")
    confirmed = _sent(connection, patience)
    if confirmed is None:
        connection.close()
    return confirmed

"""The one seam where psycopg's errors become ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import errors
from psycopg_pool import PoolClosed, PoolTimeout, TooManyRequests

from cordboard.errors import StoreUnavailable

AGAIN = (errors.SerializationFailure, errors.DeadlockDetected)
"""The engine took the transaction back, and says that it may be tried again."""
UNPREPARED = (errors.InvalidSqlStatementName, errors.DuplicatePreparedStatement)
"""A pooler gave the connection to another server process than the statement was prepared on."""


class Unused(Exception):
    """A connection that was broken before anything was asked of it."""


_LOOK = "Look before trying again: list_changes and get_plan tell what stands."


def outcome_unknown(what: str, remedy: str = _LOOK) -> StoreUnavailable:
    """The refusal of a write that may stand all the same; it claims nothing of what was changed."""
    exc = StoreUnavailable(what, remedy)
    exc.aftermath = "Whether it was changed is not known."
    return exc


@contextmanager
def told(place: str) -> Iterator[None]:
    """Errors of the database and of the way to it leave as StoreUnavailable. `place`: without its
    password."""
    try:
        yield
    except errors.IntegrityError:
        raise  # a rule of the schema: a bug above if it gets this far
    except (PoolTimeout, TooManyRequests):  # psycopg.Errors too, so before them
        raise StoreUnavailable(
            f"No connection to {place} came free in time.", "Try again a little later."
        ) from None
    except PoolClosed:
        raise StoreUnavailable(f"The connections to {place} are closed.") from None
    except errors.UndefinedTable:
        raise StoreUnavailable(
            f"The database {place} has no tables of Cordboard's.",
            "Run `cordboard migrate` once; or correct CORDBOARD_DATABASE.",
        ) from None
    except Unused as exc:
        lost = exc.__cause__ if isinstance(exc.__cause__, psycopg.Error) else psycopg.Error()
        raise StoreUnavailable(f"The database {place} cannot be used: {cause(lost)}.") from None
    except psycopg.Error as exc:
        raise StoreUnavailable(f"The database {place} cannot be used: {cause(exc)}.") from None


# Shut down, crashed, not up yet; the database dropped; idle for too long.
_GONE = ("57P01", "57P02", "57P03", "57P04", "57P05", "25P03")


def is_lost(exc: BaseException) -> bool:
    """Whether the connection is gone, and not a statement refused."""
    code = getattr(exc, "sqlstate", None)
    return code is None or code[:2] == "08" or code in _GONE


_CAUSES: tuple[tuple[type[psycopg.Error], str], ...] = (
    (errors.InvalidPassword, "it refuses the user or the password"),
    (errors.InvalidAuthorizationSpecification, "it refuses the user or the password"),
    (errors.InvalidCatalogName, "there is no database of that name"),
    (errors.InsufficientPrivilege, "the user may not do that there"),
    (errors.DiskFull, "its disk is full"),
    (errors.TooManyConnections, "it has too many connections"),
    (errors.ReadOnlySqlTransaction, "it takes no writes (is it a standby?)"),
    (errors.QueryCanceled, "it took too long"),
    (errors.IdleInTransactionSessionTimeout, "it took too long"),
    (errors.SerializationFailure, "other changes came between, again and again"),
    (errors.DeadlockDetected, "other changes came between, again and again"),
    (errors.LockNotAvailable, "another change of this account took too long"),
    (psycopg.DataError, "it cannot keep such a value"),
)


# How a connection failed has no SQLSTATE: libpq gives only the English of the server or its own,
# which is searched here and never repeated. The first that fits decides.
_SAID: tuple[tuple[tuple[str, ...], str], ...] = (
    (
        ("authentication failed", "no password supplied"),
        "it refuses the user or the password",
    ),
    (
        ("no pg_hba.conf entry",),
        "it lets this user in from here not at all, or only with TLS (pg_hba.conf)",
    ),
    (('role "',), "it has no such user"),
    (('database "',), "there is no database of that name"),
    (
        ("closed unexpectedly", "EOF detected", "timed out", "Connection reset"),
        "it cannot be reached, or the connection was cut",
    ),
    (("invalid response",), "what answers there is no PostgreSQL"),
    (("certificate", "SSL", "TLS"), "TLS with it failed: see sslmode and sslrootcert"),
    (
        ("could not translate host name", "Name or service not known"),
        "its host name is not known",
    ),
    (
        ("too many clients", "too many connections", "remaining connection slots"),
        "it has too many connections",
    ),
    (("starting up", "shutting down", "in recovery"), "it is starting or stopping"),
    (("not accept", "read-only"), "it takes no writes (is it a standby?)"),
)


def cause(exc: psycopg.Error) -> str:
    """Why, in words of ours: the server's own may repeat values."""
    for kind, words in _CAUSES:
        if isinstance(exc, kind):
            return words
    if exc.sqlstate is None:
        said = str(exc)
        for signs, words in _SAID:
            if any(sign in said for sign in signs):
                return words
    if is_lost(exc):
        return "it cannot be reached, or the connection was cut"
    return f"it answers with SQLSTATE {exc.sqlstate}"

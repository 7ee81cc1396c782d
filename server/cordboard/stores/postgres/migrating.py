"""The schema in a PostgreSQL database: made and brought forward in one transaction, by command."""

from __future__ import annotations

import re
from contextlib import suppress

from psycopg import errors

from cordboard.errors import StoreUnavailable
from cordboard.stores import SCHEMA_VERSION
from cordboard.stores.postgres.committing import committed
from cordboard.stores.postgres.faults import AGAIN
from cordboard.stores.postgres.transaction import Rows, wrong_schema
from cordboard.stores.scripts import statements

_LOCK = 0x434F5244  # "CORD": two that migrate at once follow each other
_TRIES = 5
# An engine without that lock (CockroachDB): another process was first.
_OVERTAKEN = (*AGAIN, errors.UniqueViolation, errors.DuplicateTable)
_THERE = (
    "SELECT to_regclass('schema_version') IS NOT NULL AS version, "
    "to_regclass('account') IS NOT NULL AS account"
)


def version(connection: Rows) -> int:
    """The schema of the database; 0 where there is none. Raises: StoreUnavailable for another
    program's, which has tables of the same names."""
    row = connection.execute(_THERE).fetchone()
    if row is None or not (row["version"] or row["account"]):
        return 0
    if not (row["version"] and row["account"]):
        raise _foreign(connection)
    with suppress(errors.UndefinedColumn):
        row = connection.execute("SELECT max(version) AS found FROM schema_version").fetchone()
        found = row and row["found"]
        if found is None or isinstance(found, int):
            return found or 0
    raise _foreign(connection)


def migrate(connection: Rows) -> tuple[int, int]:
    """Bring the database to the newest schema: the version it had, and the one it has.

    All or nothing: an end halfway leaves the old one. Raises: StoreUnavailable for a newer schema,
    for a database that cannot be or is not Cordboard's, and where its end is not known.
    """
    _check_encoding(connection)
    for tried in range(_TRIES):
        try:
            with committed(connection):
                return _migrate(connection)
        except _OVERTAKEN as exc:
            if tried < _TRIES - 1:
                continue
            if isinstance(exc, errors.DuplicateTable):
                raise _foreign(connection) from None
            raise
        except errors.InsufficientPrivilege:
            raise StoreUnavailable(
                f"This user may not make or change tables in {_name(connection)}.",
                "Run `cordboard migrate` as the owner of the database.",
            ) from None
    raise AssertionError


def _migrate(connection: Rows) -> tuple[int, int]:
    connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
    if version(connection):
        _shut_writers_out(connection)
    there = version(connection)  # anew: another may have been first while the locks were waited for
    if there > SCHEMA_VERSION:
        raise wrong_schema(there)
    if there < SCHEMA_VERSION:
        for statement in statements(there):
            connection.execute(_sorted_by_bytes(statement).encode())
    return there, SCHEMA_VERSION


def _shut_writers_out(connection: Rows) -> None:
    """Whoever writes has this table first: rows that a script moves stay as they are until the end,
    and a writer that waited finds the new version."""
    # CockroachDB has no such statement, YugabyteDB not in every version: servers are stopped there.
    with suppress(errors.SyntaxError, errors.FeatureNotSupported), connection.transaction():
        connection.execute("LOCK TABLE account IN EXCLUSIVE MODE")


def _sorted_by_bytes(statement: str) -> str:
    """Texts sort by their bytes, as in every store of ours, whatever the database was made for."""
    return re.sub(r"\bTEXT\b", 'TEXT COLLATE "C"', statement)


def _check_encoding(connection: Rows) -> None:
    encoding = connection.info.parameter_status("server_encoding") or "UTF8"
    if encoding != "UTF8":
        raise StoreUnavailable(
            f"The database {_name(connection)} has the encoding {encoding}, which cannot hold "
            "every name and label.",
            "Make one with `createdb --encoding UTF8 --template template0 NAME`.",
        )


def _foreign(connection: Rows) -> StoreUnavailable:
    return StoreUnavailable(
        f"The database {_name(connection)} is another program's: it has tables of the same names "
        "that Cordboard did not make.",
        "Name a database of its own.",
    )


def _name(connection: Rows) -> str:
    return connection.info.dbname

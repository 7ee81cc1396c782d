"""The schema in a PostgreSQL database: made and brought forward in one transaction, by command."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.resources import files

from psycopg import errors

from cordboard.stores import SCHEMA_VERSION
from cordboard.stores.postgres.transaction import Rows, wrong_schema

_LOCK = 0x434F5244  # "CORD": two that migrate at once follow each other
_TRIES = 5


def version(connection: Rows) -> int:
    """The schema of the database; 0 where there is none."""
    row = connection.execute("SELECT to_regclass('schema_version') IS NOT NULL AS there").fetchone()
    if row is None or not row["there"]:
        return 0
    row = connection.execute("SELECT max(version) AS version FROM schema_version").fetchone()
    return int(row["version"] or 0) if row else 0


def migrate(connection: Rows) -> tuple[int, int]:
    """Bring the database to the newest schema: the version it had, and the one it has.

    All or nothing: an end halfway leaves the old one. Raises: StoreUnavailable for a newer schema.
    """
    for tried in range(_TRIES):
        try:
            with connection.transaction():
                return _migrate(connection)
        except (
            errors.SerializationFailure,
            errors.UniqueViolation,
            errors.DuplicateTable,
        ):  # an engine without that lock (CockroachDB): another process was first
            if tried == _TRIES - 1:
                raise
    raise AssertionError


def _migrate(connection: Rows) -> tuple[int, int]:
    connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
    there = version(connection)
    if there > SCHEMA_VERSION:
        raise wrong_schema(there)
    for number in range(there + 1, SCHEMA_VERSION + 1):
        script = files("cordboard.stores") / "schema" / f"{number}.sql"
        for statement in _statements(script.read_text("utf-8")):
            connection.execute(statement.encode())
    if there == 0:
        connection.execute("CREATE TABLE schema_version (version BIGINT NOT NULL)")
        connection.execute("INSERT INTO schema_version VALUES (%s)", (SCHEMA_VERSION,))
    else:
        connection.execute("UPDATE schema_version SET version = %s", (SCHEMA_VERSION,))
    return there, SCHEMA_VERSION


def _statements(script: str) -> Iterator[str]:
    """The statements of a script without comments; no string in ours holds a semicolon.

    Texts sort by their bytes, as in every store of ours, whatever the database was made for.
    """
    bare = "\n".join(line.partition("--")[0] for line in script.splitlines())
    sorted_by_bytes = re.sub(r"\bTEXT\b", 'TEXT COLLATE "C"', bare)
    return (s for s in (part.strip() for part in sorted_by_bytes.split(";")) if s)

"""What an operator's commands ask of a database: how it is set up, and to be brought up to date."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass

from psycopg import errors

from cordboard.stores import SCHEMA_VERSION
from cordboard.stores.postgres.connecting import Connections
from cordboard.stores.postgres.faults import told
from cordboard.stores.postgres.migrating import migrate, version
from cordboard.stores.postgres.transaction import Rows, wrong_schema
from cordboard.stores.queries import QUERIES

_SETTINGS = ("synchronous_commit", "synchronous_standby_names", "fsync", "server_encoding")
_ASKED = (
    "SELECT version() AS engine, current_setting('server_version_num', true) AS number, "
    "pg_is_in_recovery() AS standby, "
    + ", ".join(f"current_setting('{name}', true) AS {name}" for name in _SETTINGS)
)
_USES = {
    "SELECT": re.compile(r"\b(?:FROM|JOIN)\s+(\w+)"),
    "INSERT": re.compile(r"\bINSERT INTO\s+(\w+)"),
    "UPDATE": re.compile(r"\bUPDATE\s+(\w+)\s+SET|\bINSERT INTO\s+(\w+).*\bDO UPDATE\b", re.DOTALL),
    "DELETE": re.compile(r"\bDELETE FROM\s+(\w+)"),
}


@dataclass(frozen=True, slots=True)
class Examined:
    """A database as it stands. Settings are PostgreSQL's own words; "" where the engine has none.

    `number`: of its version, such as 150018 for 15.18. `schema`: 0 where it has no tables.
    `host`: where the connection went, a folder for a Unix socket. `encrypted`: whether TLS stands
    between here and the server, or the pooler; `is_checked`: whether it must show that it is that host.
    `system`: the same number in a primary and in its standbys; "" where it is not told.
    `lacking`: rights that its statements need and this user lacks, such as "UPDATE on number".
    """

    engine: str
    number: int
    schema: int
    standby: bool
    synchronous_commit: str
    synchronous_standby_names: str
    fsync: str
    server_encoding: str
    host: str
    encrypted: bool
    is_checked: bool
    system: str
    lacking: tuple[str, ...]


def examine(url: str) -> Examined:
    """Look, and change nothing. Raises: StoreUnavailable."""
    connections = Connections(url)
    with told(connections.place), connections.direct() as connection:
        row = connection.execute(_ASKED.encode()).fetchone() or {}
        schema = version(connection)
        return Examined(
            engine=re.split(r" on | \(", str(row["engine"]))[0],
            number=int(row["number"] or 0),
            schema=schema,
            standby=bool(row["standby"]),
            host=connection.info.host,
            encrypted=bool(connection.pgconn.ssl_in_use),
            is_checked=connection.info.get_parameters().get("sslmode") == "verify-full",
            system=_system(connection),
            lacking=_lacking(connection) if schema else (),
            **{name: str(row[name] or "") for name in _SETTINGS},
        )


def _system(connection: Rows) -> str:
    with suppress(errors.InsufficientPrivilege, errors.UndefinedFunction):
        asked = "SELECT system_identifier::text AS system FROM pg_control_system()"
        row = connection.execute(asked).fetchone()
        return str(row["system"]) if row else ""
    return ""


def schema_of(url: str) -> int:
    """The schema that the database has; 0: none. Raises: StoreUnavailable."""
    connections = Connections(url)
    with told(connections.place), connections.direct() as connection:
        return version(connection)


def bring_up(url: str) -> tuple[int, int]:
    """Bring the database to this program's schema: the version it had, and the one it has.

    It runs in the caller's thread, so that Ctrl-C ends it also while it waits for a lock.
    Raises: StoreUnavailable; the old schema works on then.
    """
    connections = Connections(url)
    with told(connections.place), connections.direct() as connection:
        found = version(connection)
        if found > SCHEMA_VERSION:
            raise wrong_schema(found, connections.place)
        if found == SCHEMA_VERSION:
            return found, found
        return migrate(connection)


def needed() -> frozenset[tuple[str, str]]:
    """Every right that the statements of queries.sql need: (right, table)."""
    found = {
        (right, table)
        for text in QUERIES.values()
        for right, pattern in _USES.items()
        for groups in pattern.finditer(text)
        for table in groups.groups()
        if table
    }
    # Writers lock the head row of their account, and read which schema it is.
    return frozenset(found | {("UPDATE", "account"), ("SELECT", "schema_version")})


def _lacking(connection: Rows) -> tuple[str, ...]:
    """Of the tables that are there: these rights this user lacks."""
    found = []
    for right, table in sorted(needed(), key=lambda each: each[::-1]):
        asked = "SELECT has_table_privilege(to_regclass(%s), %s) AS may"
        row = connection.execute(asked, (table, right)).fetchone()
        if row and row["may"] is False:  # NULL: no such table, which is the schema's fault
            found.append(f"{right} on {table}")
    return tuple(found)

"""Connections to one PostgreSQL database: a pool, opened at first use, that survives a restart of the
server, and a pooler that knows nothing of prepared statements.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import dict_row
from psycopg.types.numeric import IntLoader
from psycopg_pool import AsyncConnectionPool, ConnectionPool, TooManyRequests

from cordboard.config.postgres import without_password
from cordboard.stores.postgres.transaction import Rows

AsyncRows = psycopg.AsyncConnection[dict[str, Any]]
_MOST = 10
_WAIT_SECONDS = 5.0  # for a free connection; and for the next try to connect no longer
_WHO = "SELECT pg_backend_pid() AS pid"
# A server that vanished is found out within seconds; what the operator says in the URL wins.
_DEFAULTS = {
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "20000",
    "application_name": "cordboard",
}


class Connections:
    """The pool. `url`: as libpq takes it; several hosts are tried in turn. `place`: it, as it may be
    shown."""

    def __init__(self, url: str, most: int = _MOST, wait_seconds: float = _WAIT_SECONDS) -> None:
        self.place = without_password(url)
        told = _DEFAULTS | {k: str(v) for k, v in conninfo_to_dict(url).items() if v is not None}
        self._conninfo = make_conninfo("", **told)
        self._most, self._wait_seconds = most, wait_seconds
        self._pool: ConnectionPool[Rows] | None = None
        self._opening = threading.Lock()
        self._prepares = True

    @property
    def is_open(self) -> bool:
        return self._pool is not None

    def direct(self) -> Rows:
        """A connection of its own, which the caller closes. Raises: psycopg.Error saying why not."""
        connection = psycopg.connect(self._conninfo, autocommit=True, row_factory=dict_row)
        _configure(connection)
        return connection

    def asynchronous(self, *, prepares: bool) -> AsyncConnectionPool[AsyncRows]:
        """A pool for an event loop; the caller opens and closes it."""
        settings = self._settings() if prepares else self._settings() | {"prepare_threshold": None}
        return AsyncConnectionPool(
            self._conninfo,
            kwargs=settings,
            min_size=1,
            max_size=self._most,
            timeout=self._wait_seconds,
            open=False,
            name="cordboard-look-ups",
            reconnect_timeout=self._wait_seconds,
            configure=_configure_async,
        )

    @contextmanager
    def one(self) -> Iterator[Rows]:
        """A connection of the pool, for one transaction. Raises: PoolTimeout, psycopg.Error."""
        with self._opened().connection(self._wait_seconds) as connection:
            yield connection

    def why_none(self) -> psycopg.Error:
        """After a PoolTimeout: why there is no connection; TooManyRequests where all are in use."""
        try:
            self.direct().close()
        except psycopg.Error as exc:
            return exc
        return TooManyRequests()

    def renew(self) -> None:
        """Replace the connections that are broken: the server was restarted."""
        if self._pool is not None:
            self._pool.check()

    def prepare_nothing(self) -> None:
        """From now on no statement is prepared: a pooler stands between."""
        with self._opening:
            self._prepares = False
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()

    def close(self) -> None:
        """Let go of every connection; the next use opens new ones."""
        with self._opening:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()

    def _opened(self) -> ConnectionPool[Rows]:
        with self._opening:
            if self._pool is None:
                self._pool = ConnectionPool(
                    self._conninfo,
                    kwargs=self._settings(),
                    configure=_configure,
                    min_size=1,
                    max_size=self._most,
                    open=True,
                    name="cordboard",
                    reconnect_timeout=self._wait_seconds,
                )
            return self._pool

    def _settings(self) -> dict[str, Any]:
        settings: dict[str, Any] = {"autocommit": True, "row_factory": dict_row}
        return settings if self._prepares else settings | {"prepare_threshold": None}


def _configure(connection: Rows) -> None:
    """Sums are whole numbers here, not decimals; and nothing is prepared where a pooler stands
    between: another's statement of the same name may answer on the server process it gives."""
    connection.adapters.register_loader("numeric", IntLoader)
    _prepare_directly(connection, connection.execute(_WHO).fetchone())


async def _configure_async(connection: AsyncRows) -> None:
    connection.adapters.register_loader("numeric", IntLoader)
    _prepare_directly(connection, await (await connection.execute(_WHO)).fetchone())


def _prepare_directly(connection: Rows | AsyncRows, row: dict[str, Any] | None) -> None:
    if row is None or row["pid"] != connection.info.backend_pid:  # a pooler makes up its own
        connection.prepare_threshold = None

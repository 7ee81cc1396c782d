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
from cordboard.stores.postgres.waiting import Attempts, Line, SoonLine

MOST = 10
"""Connections to one database in a pool."""
WAIT_SECONDS = 5.0
"""How long a free connection is waited for; and the next try to connect is no further away."""
_WHO = "SELECT pg_backend_pid() AS pid, pg_is_in_recovery() AS standby"
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
    shown. `most`: of them."""

    def __init__(self, url: str, most: int = MOST) -> None:
        self.place, self.most = without_password(url), most
        told = _DEFAULTS | {k: str(v) for k, v in conninfo_to_dict(url).items() if v is not None}
        self._conninfo = make_conninfo("", **told)
        self._attempts = Attempts()
        self._pool: ConnectionPool[Line] | None = None
        self._opening = threading.Lock()
        self._prepares = True

    def direct(self) -> Line:
        """A connection of its own, which the caller closes. Raises: psycopg.Error saying why not."""
        connection: Line = Line.connect(self._conninfo, **self._settings())
        _configure(connection)
        return connection

    def asynchronous(self, patience: float, *, prepares: bool) -> AsyncConnectionPool[SoonLine]:
        """A pool for an event loop; the caller opens and closes it. `patience`: see `SoonLine`."""
        settings = self._settings() if prepares else self._settings() | {"prepare_threshold": None}

        async def configure(connection: SoonLine) -> None:
            connection.patience = patience
            connection.adapters.register_loader("numeric", IntLoader)
            await meet_soon(connection)

        return AsyncConnectionPool(
            self._conninfo,
            connection_class=SoonLine,
            kwargs=settings,
            configure=configure,
            min_size=1,
            max_size=self.most,
            timeout=WAIT_SECONDS,
            open=False,
            name="cordboard-look-ups",
            reconnect_timeout=WAIT_SECONDS,
        )

    @contextmanager
    def one(self, patience: float | None = None) -> Iterator[Line]:
        """A connection of the pool, for one transaction. `patience`: see `Line`.

        Raises: PoolTimeout, psycopg.Error.
        """
        with self._opened().connection(WAIT_SECONDS) as connection:
            connection.patience = patience
            yield connection

    def why_none(self) -> psycopg.Error:
        """After a PoolTimeout: why there is no connection; TooManyRequests where all are in use."""
        return self._attempts.why() or TooManyRequests()

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

    def _opened(self) -> ConnectionPool[Line]:
        with self._opening:
            if self._pool is None:
                self._pool = ConnectionPool(
                    self._conninfo,
                    connection_class=Line,
                    kwargs=self._settings(),
                    configure=_configure,
                    min_size=1,
                    max_size=self.most,
                    open=True,
                    name="cordboard",
                    reconnect_timeout=WAIT_SECONDS,
                )
            return self._pool

    def _settings(self) -> dict[str, Any]:
        settings = {"attempts": self._attempts, "autocommit": True, "row_factory": dict_row}
        return settings if self._prepares else settings | {"prepare_threshold": None}


def _configure(connection: Line) -> None:
    """Sums are whole numbers here, not decimals; and nothing is prepared where a pooler stands
    between: another's statement of the same name may answer on the server process it gives."""
    connection.adapters.register_loader("numeric", IntLoader)
    meet(connection)


def meet(connection: Line) -> None:
    """Ask who is there: a pooler, a standby. One that was a standby may be the primary since."""
    _told(connection, connection.execute(_WHO).fetchone())


async def meet_soon(connection: SoonLine) -> None:
    """As `meet`."""
    _told(connection, await (await connection.execute(_WHO)).fetchone())


def _told(connection: Line | SoonLine, row: dict[str, Any] | None) -> None:
    if row is None or row["pid"] != connection.info.backend_pid:  # a pooler makes up its own
        connection.prepare_threshold = None
    if row is not None:
        connection.is_standby = row["standby"]

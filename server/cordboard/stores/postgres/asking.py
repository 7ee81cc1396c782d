"""One statement without a thread: a call waits for it, and a hop to a thread and back costs as much
as the statement itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

import psycopg
from psycopg_pool import AsyncConnectionPool

from cordboard.stores import Row, T
from cordboard.stores.postgres.connecting import AsyncRows, Connections
from cordboard.stores.postgres.faults import UNPREPARED
from cordboard.stores.postgres.statements import STATEMENTS


class _Asked(Exception):
    """The statement that some work begins with."""

    def __init__(self, query: str, params: Mapping[str, Any]) -> None:
        super().__init__(query)
        self.query, self.params = query, params


class _OnlyReads:
    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise TypeError("a look-up writes nothing")

    run = many = _refuse


class _Listening(_OnlyReads):
    """A transaction that only hears what is asked of it."""

    def one(self, query: str, /, **params: Any) -> NoReturn:
        raise _Asked(query, params)

    all = one


@dataclass
class _Answering(_OnlyReads):
    """A transaction that has the answer to its one statement already."""

    asked: _Asked
    rows: list[Row]

    def one(self, query: str, /, **params: Any) -> Row | None:
        found = self.all(query, **params)
        return found[0] if found else None

    def all(self, query: str, /, **params: Any) -> list[Row]:
        if (query, params) != (self.asked.query, self.asked.params):
            raise TypeError("a second statement where one was promised")
        return self.rows


@dataclass
class _Lines:
    """The connections of one event loop: taken from the pool once, and handed on from question to
    question, which is quicker than the pool's own lending."""

    pool: AsyncConnectionPool[AsyncRows]
    loop: asyncio.AbstractEventLoop
    turns: asyncio.Semaphore
    idle: list[AsyncRows] = field(default_factory=list[AsyncRows])
    is_open: bool = False
    is_closed: bool = False

    async def ask(self, asked: _Asked) -> list[Row]:
        """The rows of one statement. Raises: psycopg.Error."""
        if not self.is_open:
            await self.pool.open()
            self.is_open = True
        async with self.turns:
            line = self.idle.pop() if self.idle else await self.pool.getconn()
            try:
                cursor = await line.execute(STATEMENTS[asked.query], asked.params)
                found: list[Any] = await cursor.fetchall()
            except BaseException:
                await self.pool.putconn(line)  # which looks whether it can still be used
                raise
            if self.is_closed:
                await self.pool.putconn(line)
            else:
                self.idle.append(line)
            return found

    async def close(self) -> None:
        """Let go of every connection; of one that is asked just now once it has its answer."""
        self.is_closed = True
        while self.idle:
            await self.pool.putconn(self.idle.pop())
        await self.pool.close()


class Questions:
    """Asks one database on the event loop, over connections of its own."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._lines: _Lines | None = None
        self._prepares = True

    async def single(self, work: Callable[[Any], T]) -> tuple[T, str]:
        """What `work` makes of its one statement, and whose account that was about.

        `work` runs twice: to tell what it asks, and with the answer. Raises: psycopg.Error, for
        which there is no second try here.
        """
        try:
            return work(_Listening()), ""
        except _Asked as exc:
            asked = exc
        lines = self._lines
        if lines is None or lines.loop is not asyncio.get_running_loop():
            lines = self._lines = self._new()
        try:
            rows = await lines.ask(asked)
        except psycopg.Error as exc:
            self._prepares = self._prepares and not isinstance(exc, UNPREPARED)
            if isinstance(exc, (*UNPREPARED, psycopg.OperationalError)) and self._lines is lines:
                await self.close()  # the next one begins with new lines
            raise
        return work(_Answering(asked, rows)), asked.params["account"]

    async def close(self) -> None:
        """Let go of every connection."""
        lines, self._lines = self._lines, None
        if lines is not None and lines.loop is asyncio.get_running_loop():
            await lines.close()

    def _new(self) -> _Lines:
        pool = self._connections.asynchronous(prepares=self._prepares)
        return _Lines(pool, asyncio.get_running_loop(), asyncio.Semaphore(pool.max_size))

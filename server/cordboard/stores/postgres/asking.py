"""Look-ups by key without a thread: a hop to one and back costs as much as a statement itself. What
is asked together goes in one pipeline.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import anyio.to_thread
import psycopg
from psycopg_pool import AsyncConnectionPool

from cordboard.stores import Ask, Row, T
from cordboard.stores.postgres.connecting import AsyncRows, Connections
from cordboard.stores.postgres.faults import UNPREPARED
from cordboard.stores.postgres.statements import STATEMENTS
from cordboard.stores.postgres.transaction import SNAPSHOT, question

_BIG = 100_000
"""Characters: what a plan of some hundred numbers has."""


class More(Exception):
    """Some work asked more than it had said at first."""


class _Asked(Exception):
    """What some work asks first."""

    def __init__(self, *asks: Ask) -> None:
        super().__init__(*asks)
        self.asks = asks


class _OnlyReads:
    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise TypeError("a look-up writes nothing")

    run = send = many = _refuse


class _Listening(_OnlyReads):
    """A transaction that only hears what is asked of it."""

    def __init__(self) -> None:
        self._wanted: list[Ask] = []

    def prefetch(self, *asks: Ask) -> None:
        self._wanted += asks

    def one(self, query: str, /, **params: Any) -> NoReturn:
        first = (query, params)
        raise _Asked(*self._wanted, *([] if first in self._wanted else [first]))

    all = one


class _Answering(_OnlyReads):
    """A transaction that has the answers to what it was asked first."""

    def __init__(self, asks: Sequence[Ask], answers: Sequence[list[Row]]) -> None:
        self._found = {question(*ask): rows for ask, rows in zip(asks, answers, strict=True)}

    @property
    def is_big(self) -> bool:
        """Whether to go through it would hold up the event loop."""
        values = (v for rows in self._found.values() for row in rows for v in row.values())
        return sum(len(value) for value in values if isinstance(value, str)) > _BIG

    def prefetch(self, *asks: Ask) -> None:
        """Nothing: it is here, or will be asked in another way."""

    def one(self, query: str, /, **params: Any) -> Row | None:
        found = self.all(query, **params)
        return found[0] if found else None

    def all(self, query: str, /, **params: Any) -> list[Row]:
        try:
            return self._found[question(query, params)]
        except KeyError:
            raise More from None


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

    async def ask(self, asks: Sequence[Ask]) -> list[list[Row]]:
        """The rows of each statement, all of one moment. Raises: psycopg.Error."""
        if not self.is_open:
            await self.pool.open()
            self.is_open = True
        async with self.turns:
            line = self.idle.pop() if self.idle else await self.pool.getconn()
            try:
                found = await _answers(line, asks)
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


async def _answers(line: AsyncRows, asks: Sequence[Ask]) -> list[list[Row]]:
    if len(asks) == 1:
        ((query, params),) = asks
        return [await _rows(await line.execute(STATEMENTS[query], params))]
    async with line.pipeline():
        await line.execute(SNAPSHOT)
        cursors = [await line.execute(STATEMENTS[query], params) for query, params in asks]
        await line.execute("COMMIT")
    return [await _rows(cursor) for cursor in cursors]


async def _rows(cursor: psycopg.AsyncCursor[dict[str, Any]]) -> list[Any]:
    return await cursor.fetchall()


class Questions:
    """Asks one database on the event loop, over connections of its own.

    What is asked runs twice: to tell what it asks, and with the answers. There is no second try
    here after a psycopg.Error.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._lines: _Lines | None = None
        self._prepares = True

    async def single(self, work: Callable[[Any], T]) -> tuple[T, str]:
        """What `work` makes of its one statement, and whose account that was about.

        Raises: psycopg.Error.
        """
        try:
            return work(_Listening()), ""
        except _Asked as exc:
            asks = exc.asks
        answering = await self._answering(asks)
        try:
            return work(answering), asks[0][1]["account"]
        except More:
            raise TypeError("a second statement where one was promised") from None

    async def glance(self, work: Callable[[Any], T]) -> T:
        """What `work` makes of what it asks first. Raises: More, psycopg.Error."""
        try:
            return work(_Listening())
        except _Asked as exc:
            asks = exc.asks
        answering = await self._answering(asks)
        if answering.is_big:
            return await anyio.to_thread.run_sync(work, answering)
        return work(answering)

    async def close(self) -> None:
        """Let go of every connection."""
        lines, self._lines = self._lines, None
        if lines is not None and lines.loop is asyncio.get_running_loop():
            await lines.close()

    async def _answering(self, asks: Sequence[Ask]) -> _Answering:
        lines = self._lines
        if lines is None or lines.loop is not asyncio.get_running_loop():
            lines = self._lines = self._new()
        try:
            return _Answering(asks, await lines.ask(asks))
        except psycopg.Error as exc:
            self._prepares = self._prepares and not isinstance(exc, UNPREPARED)
            if isinstance(exc, (*UNPREPARED, psycopg.OperationalError)) and self._lines is lines:
                await self.close()  # the next one begins with new lines
            raise

    def _new(self) -> _Lines:
        pool = self._connections.asynchronous(prepares=self._prepares)
        return _Lines(pool, asyncio.get_running_loop(), asyncio.Semaphore(pool.max_size))

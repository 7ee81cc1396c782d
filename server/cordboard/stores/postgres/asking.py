"""Look-ups by key without a thread: a hop to one and back costs as much as a statement itself. What
is asked together goes in one pipeline.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import anyio
import anyio.to_thread
import psycopg
from psycopg import errors
from psycopg.pq import TransactionStatus
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout

from cordboard.clock import steady
from cordboard.stores import Ask, Row, T
from cordboard.stores.postgres.connecting import WAIT_SECONDS, Connections, meet_soon
from cordboard.stores.postgres.faults import UNPREPARED, is_lost, told
from cordboard.stores.postgres.statements import DATED, STATEMENTS
from cordboard.stores.postgres.transaction import SNAPSHOT, AsOf, undated
from cordboard.stores.postgres.waiting import SoonLine

_BIG = 100_000
"""Characters: what a plan of some hundred numbers has."""
_KEPT_SECONDS = 600.0
"""How long a connection is handed on; then the pool sees whether it is too old, or one too many."""


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
        self._found = [*zip(asks, answers, strict=True)]

    @property
    def is_big(self) -> bool:
        """Whether to go through it would hold up the event loop."""
        values = (v for _, rows in self._found for row in rows for v in row.values())
        return sum(len(value) for value in values if isinstance(value, str)) > _BIG

    def prefetch(self, *asks: Ask) -> None:
        """Nothing: it is here, or will be asked in another way."""

    def one(self, query: str, /, **params: Any) -> Row | None:
        found = self.all(query, **params)
        return found[0] if found else None

    def all(self, query: str, /, **params: Any) -> list[Row]:
        for ask, rows in self._found:
            if ask == (query, params):
                return rows
        raise More


@dataclass
class _Lines:
    """The connections of one event loop: taken from the pool once, and handed on from question to
    question, which is quicker than the pool's own lending."""

    pool: AsyncConnectionPool[SoonLine]
    loop: asyncio.AbstractEventLoop
    turns: asyncio.Semaphore
    idle: deque[tuple[SoonLine, float]] = field(default_factory=deque[tuple[SoonLine, float]])
    """Each with when it was taken; the one that rests longest is the first."""
    is_open: bool = False
    is_closed: bool = False

    async def ask(
        self, texts: Sequence[str], params: Sequence[Any]
    ) -> tuple[list[list[Any]], bool]:
        """The rows of each statement, all of one moment, and whether a standby has them.

        Raises: psycopg.Error.
        """
        line, since = await self._take()
        try:
            if line.is_standby:
                await meet_soon(line)
            found = await _answers(line, texts, params)
        except BaseException:
            with anyio.CancelScope(shield=True):  # else it would be lost to the pool
                await self._give_back(line)
            raise
        self.turns.release()
        if self.is_closed:
            await self.pool.putconn(line)
        else:
            self.idle.append((line, since))
            if steady() - self.idle[0][1] > _KEPT_SECONDS:
                await self.pool.putconn(self.idle.popleft()[0])
        return found, line.is_standby

    async def _take(self) -> tuple[SoonLine, float]:
        if self.idle and not self.turns.locked():
            await self.turns.acquire()  # at once
            return self.idle.pop()
        if not self.is_open:
            await self.pool.open()
            self.is_open = True
        try:
            with anyio.fail_after(WAIT_SECONDS):  # for both together
                await self.turns.acquire()
                try:
                    return self.idle.pop() if self.idle else (await self.pool.getconn(), steady())
                except BaseException:
                    self.turns.release()
                    raise
        except TimeoutError:
            raise PoolTimeout from None

    async def _give_back(self, line: SoonLine) -> None:
        """One on which something failed."""
        try:
            if line.info.transaction_status != TransactionStatus.IDLE:
                await line.close()
            await self.pool.putconn(line)
        finally:
            self.turns.release()

    async def renew(self) -> None:
        """Let go of those that rest: the server was restarted."""
        while self.idle:
            line, _ = self.idle.pop()
            await line.close()
            await self.pool.putconn(line)
        await self.pool.check()

    async def close(self) -> None:
        """Let go of every connection; of one that is asked just now once it has its answer."""
        self.is_closed = True
        while self.idle:
            await self.pool.putconn(self.idle.pop()[0])
        await self.pool.close()


async def _answers(line: SoonLine, texts: Sequence[str], params: Sequence[Any]) -> list[list[Any]]:
    if len(texts) == 1:
        return [await (await line.execute(texts[0], params[0])).fetchall()]
    async with line.pipeline():
        await line.execute(SNAPSHOT)
        cursors = [await line.execute(*each) for each in zip(texts, params, strict=True)]
        await line.execute("COMMIT")
    return [await cursor.fetchall() for cursor in cursors]


class Questions:
    """Asks one database on the event loop, over connections of its own. `patience`: seconds for each
    answer. `dates`: whether `single` tells of which state something is.

    What is asked runs twice: to tell what it asks, and with the answers. There is no second try
    here after a psycopg.Error; what nobody answered in time is told as StoreUnavailable.
    """

    def __init__(self, connections: Connections, patience: float, *, dates: bool) -> None:
        self._connections, self._patience = connections, patience
        self._singles = DATED if dates else STATEMENTS
        self._lines: _Lines | None = None
        self._prepares = True

    async def single(self, work: Callable[[Any], T]) -> tuple[T, AsOf]:
        """What `work` makes of its one statement, and of which state that is.

        Raises: psycopg.Error, StoreUnavailable.
        """
        try:
            return work(_Listening()), AsOf()
        except _Asked as exc:
            query, params = ask = exc.asks[0]
        (rows,), is_standby = await self._ask([self._singles[query]], [params])
        as_of = AsOf(params["account"], undated(rows), is_standby)
        try:
            return work(_Answering([ask], [rows])), as_of
        except More:
            raise TypeError("a second statement where one was promised") from None

    async def glance(self, work: Callable[[Any], T]) -> T:
        """What `work` makes of what it asks first. Raises: More, psycopg.Error, StoreUnavailable."""
        try:
            return work(_Listening())
        except _Asked as exc:
            asks = exc.asks
        texts, params = [STATEMENTS[query] for query, _ in asks], [params for _, params in asks]
        found, _ = await self._ask(texts, params)
        answering = _Answering(asks, found)
        if answering.is_big:
            return await anyio.to_thread.run_sync(work, answering)
        return work(answering)

    async def close(self) -> None:
        """Let go of every connection."""
        lines, self._lines = self._lines, None
        if lines is not None and lines.loop is asyncio.get_running_loop():
            await lines.close()

    async def _ask(
        self, texts: Sequence[str], params: Sequence[Any]
    ) -> tuple[list[list[Any]], bool]:
        lines = self._lines
        if lines is None or lines.loop is not asyncio.get_running_loop():
            lines = self._lines = self._new()
        try:
            return await lines.ask(texts, params)
        except PoolTimeout:  # to try again in a thread would be to wait twice
            with told(self._connections.place):
                raise self._connections.why_none() from None
        except errors.QueryCanceled as exc:
            with told(self._connections.place):
                raise exc from None
        except UNPREPARED:
            self._prepares = False
            if self._lines is lines:
                await self.close()  # the next one begins with new lines
            raise
        except psycopg.OperationalError as exc:
            if is_lost(exc) and not isinstance(exc, PoolClosed):
                await lines.renew()
            raise

    def _new(self) -> _Lines:
        pool = self._connections.asynchronous(self._patience, prepares=self._prepares)
        return _Lines(pool, asyncio.get_running_loop(), asyncio.Semaphore(pool.max_size))

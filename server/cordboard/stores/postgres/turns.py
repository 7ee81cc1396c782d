"""Whose turn it is to write. Whoever writes in an account waits for it with a connection and a thread:
those who wait for one take neither from readers, nor the last from writers of another account.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from contextlib import suppress

import anyio
import anyio.to_thread
from psycopg import errors
from psycopg_pool import TooManyRequests

from cordboard.stores import T
from cordboard.stores.postgres.connecting import WAIT_SECONDS


class Crowded(Exception):
    """As many as may be are writing in that account, or waiting for it."""

    def __init__(self, account: str) -> None:
        super().__init__(account)
        self.account = account


class Turn:
    """One writer's. `account`: where it may write, once it has said so and had its turn."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self.account = ""
        self.has_come = anyio.Event()

    def take(self, account: str) -> None:
        """Called in a thread, before anything is done. Raises: Crowded."""
        if self.account == account:
            return
        if self.account:
            raise TypeError("a transaction that writes is of one account")
        self._turns.enter(account)
        self.account = account


class Turns:
    """The writers of one event loop. `most`: at once; of one account half as many.

    A transaction tells whose account it is of when it asks something first. Where there is no room
    it ends there, waits outside, and runs again from its start.
    """

    def __init__(self, most: int, patience: float) -> None:
        self._room, self._threads = anyio.Semaphore(most), anyio.CapacityLimiter(most)
        self._each, self._patience = max(1, most // 2), patience
        self._guard = threading.Lock()
        self._inside: Counter[str] = Counter()
        self._outside: defaultdict[str, deque[Turn]] = defaultdict(deque)

    async def run(self, write: Callable[[Turn], T]) -> T:
        """What `write` returns, run in a thread. Raises: psycopg.Error where no turn comes."""
        turn = Turn(self)
        try:
            while True:
                try:
                    return await self._once(write, turn)
                except Crowded as exc:
                    await self._wait(exc.account, turn)
        finally:
            if turn.account:
                self._leave(turn.account)

    async def _once(self, write: Callable[[Turn], T], turn: Turn) -> T:
        try:
            with anyio.fail_after(WAIT_SECONDS):
                await self._room.acquire()
        except TimeoutError:
            raise TooManyRequests from None
        try:
            return await anyio.to_thread.run_sync(write, turn, limiter=self._threads)
        finally:
            self._room.release()

    async def _wait(self, account: str, turn: Turn) -> None:
        """Wait outside of an account, behind whoever came earlier."""
        with suppress(Crowded):  # meanwhile one may have left, and only here somebody does
            turn.take(account)
            return
        queue = self._outside[account]
        queue.append(turn)
        try:
            with anyio.fail_after(self._patience):
                await turn.has_come.wait()
        except TimeoutError:
            raise errors.LockNotAvailable from None
        finally:
            if not turn.account:
                queue.remove(turn)
                if not queue:
                    del self._outside[account]

    def enter(self, account: str) -> None:
        """Raises: Crowded."""
        with self._guard:
            if self._inside[account] >= self._each:
                raise Crowded(account)
            self._inside[account] += 1

    def _leave(self, account: str) -> None:
        """One goes; who waits outside, the first of them, has their place."""
        if queue := self._outside.get(account):
            turn = queue.popleft()
            if not queue:
                del self._outside[account]
            turn.account = account
            turn.has_come.set()
            return
        with self._guard:
            self._inside[account] -= 1
            if not self._inside[account]:
                del self._inside[account]

"""Look-ups that are told again, and those that a read replica answers: never older than the bound.

The primary alone says what is in force, so the state of the account's journal is asked for once in
each bound. What a replica reads counts only if, in the same snapshot, it has come as far.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from contextlib import suppress
from typing import cast

import anyio
import anyio.to_thread
import psycopg

from cordboard.errors import StoreUnavailable
from cordboard.stores import T
from cordboard.stores.postgres.asking import Questions
from cordboard.stores.postgres.remembering import Memory, State
from cordboard.stores.postgres.running import Runner
from cordboard.stores.postgres.transaction import PostgresTransaction

_PATIENCE_SECONDS = 0.5
"""How long a replica may take: a caller hears it ring meanwhile."""
_ALONE_SECONDS = 5.0
"""How long one that did not answer in time is not asked again."""


class Recall:
    """The look-ups of one store. `replica`: asked instead of the primary where it is fresh enough."""

    def __init__(
        self, primary: Runner, replica: Runner | None, questions: Questions, bound_seconds: float
    ) -> None:
        self.memory = Memory(bound_seconds)
        self._primary, self._replica = primary, replica if bound_seconds else None
        self._questions = questions
        self._asking: dict[str, anyio.Lock] = {}
        self._left_alone_until = 0.0

    async def __call__(self, key: Hashable, work: Callable[[PostgresTransaction], T]) -> T:
        """As `Store.recall`."""
        found = self.memory.get(key)
        account = "" if found is not None else self.memory.account_of(key)
        if account:
            await self._ask(account)
            found = self.memory.get(key)
        if found is not None:
            return cast(T, found)
        begun = time.monotonic()
        if self._replica is not None:
            copied = await self._copied(self._replica, key, work)
            if copied is not None:
                return copied
        value, account = await self._single(work)
        if self.memory.bound and account and not self.memory.keep(key, account, begun, value):
            await self._ask(account)
        return value

    async def _single(self, work: Callable[[PostgresTransaction], T]) -> tuple[T, str]:
        """What one statement finds at the primary, and whose it is."""
        if self._primary.is_known:
            with suppress(
                psycopg.Error
            ):  # whatever it is, it is tried again, and told, in a thread
                return await self._questions.single(work)
        return await anyio.to_thread.run_sync(self._primary.single, work)

    async def _copied(
        self, replica: Runner, key: Hashable, work: Callable[[PostgresTransaction], T]
    ) -> T | None:
        """What the replica has, if it has come as far as the primary had within the bound."""
        if self._left_alone_until:  # it did not answer: one look-up tries again, now and then
            if time.monotonic() < self._left_alone_until:
                return None
            self._left_alone_until = time.monotonic() + _ALONE_SECONDS
        try:
            with anyio.fail_after(_PATIENCE_SECONDS):
                value, account, reached = await anyio.to_thread.run_sync(
                    replica.dated, work, abandon_on_cancel=True
                )
        except (StoreUnavailable, TimeoutError):  # the primary is there for that
            self._left_alone_until = time.monotonic() + _ALONE_SECONDS
            return None
        self._left_alone_until = 0.0
        await self._ask(account)
        primary = self.memory.state(account)
        if reached[0] < primary[0] or (reached[0] == primary[0] and reached != primary):
            return None
        self.memory.keep_dated(key, account, reached, value)
        return value

    async def _ask(self, account: str) -> None:
        """Ask the primary for the state, if the bound has passed; who wants the same waits for it."""
        async with self._asking.setdefault(account, anyio.Lock()):
            if not self.memory.is_due(account):
                return

            def look(tx: PostgresTransaction) -> State:
                row = tx.one("account_get", account=account)
                return (row["seq"], row["head"]) if row else (0, "")

            begun = time.monotonic()
            state, _ = await self._single(look)
            self.memory.asked(account, state, begun)

"""Look-ups that are told again, and those that a read replica answers: never older than the bound.

The primary alone says what is in force, so the state of the account's journal is asked for once in
each bound. What a replica reads counts only if, in the same snapshot, it is of that very state: one
that is behind lags, and one that is ahead may have gone a way of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import cast

import anyio
import anyio.to_thread
import psycopg

from cordboard.clock import steady
from cordboard.errors import StoreUnavailable
from cordboard.stores import Row, T
from cordboard.stores.postgres.asking import Questions
from cordboard.stores.postgres.remembering import NO_STATE, Memory, State
from cordboard.stores.postgres.running import Runner
from cordboard.stores.postgres.transaction import AsOf, PostgresTransaction

_PATIENCE_SECONDS = 0.5
"""How long a replica may take: a caller hears it ring meanwhile."""
_ALONE_SECONDS = 5.0
"""How long one that did not answer in time is not asked again."""


@dataclass
class _Flight:
    """A question for an account's state under way, and what came of it."""

    begun: float
    is_over: anyio.Event = field(default_factory=anyio.Event)
    state: State | None = None
    refusal: StoreUnavailable | None = None


class Recall:
    """The look-ups of one store. `replica`: asked instead of the primary where it is fresh enough."""

    def __init__(
        self, primary: Runner, replica: Runner | None, questions: Questions, bound_seconds: float
    ) -> None:
        self.memory = Memory(bound_seconds)
        self._primary, self._replica = primary, replica if bound_seconds else None
        self._questions = questions
        self._flights: dict[str, _Flight] = {}
        self._left_alone_until = 0.0

    async def __call__(self, key: Hashable, work: Callable[[PostgresTransaction], T]) -> T:
        """As `Store.recall`."""
        found = self.memory.get(key)
        if found is None and (account := self.memory.account_of(key)):
            found = self.memory.get_of(key, await self._newest(account))
        if found is None and self._replica is not None:
            found = await self._copied(self._replica, key, work)
        if found is not None:
            return cast(T, found)
        begun = steady()
        value, as_of = await self._single(work)
        # What is not there is not kept: strangers may ask for any name.
        if value is not None and as_of.state is not None and self.memory.bound:
            self.memory.asked(as_of.account, as_of.state, begun)
            self.memory.keep(key, as_of.account, as_of.state, value)
        return value

    async def _single(self, work: Callable[[PostgresTransaction], T]) -> tuple[T, AsOf]:
        """What one statement finds at the primary, and of which state."""
        value, as_of = await self._asked(work)
        if as_of.is_standby:
            raise StoreUnavailable(
                f"The database {self._primary.place} is a standby: nobody can say how old a look-up "
                "in it is.",
                "Name the primary in CORDBOARD_DATABASE (of several hosts it is found with "
                "?target_session_attrs=read-write), and a standby in CORDBOARD_REPLICA.",
            )
        return value, as_of

    async def _asked(self, work: Callable[[PostgresTransaction], T]) -> tuple[T, AsOf]:
        if self._primary.is_known:
            with suppress(psycopg.Error):  # it is tried again, and told, in a thread
                return await self._questions.single(work)
        return await anyio.to_thread.run_sync(self._primary.single, work)

    async def _copied(
        self, replica: Runner, key: Hashable, work: Callable[[PostgresTransaction], T]
    ) -> T | None:
        """What the replica has, if that is of the state that the primary had within the bound."""
        if self._left_alone_until:  # it did not answer: one look-up tries again, now and then
            if steady() < self._left_alone_until:
                return None
            self._left_alone_until = steady() + _ALONE_SECONDS
        try:
            with anyio.fail_after(_PATIENCE_SECONDS):
                value, as_of = await anyio.to_thread.run_sync(
                    replica.single, work, abandon_on_cancel=True
                )
        except (StoreUnavailable, TimeoutError):  # the primary is there for that
            self._left_alone_until = steady() + _ALONE_SECONDS
            return None
        self._left_alone_until = 0.0
        if value is None or as_of.state is None:
            return None
        if await self._newest(as_of.account) != as_of.state:
            return None
        self.memory.keep(key, as_of.account, as_of.state, value)
        return value

    async def _newest(self, account: str) -> State:
        """The state at the primary, as it was within the bound or since this call. Raises:
        StoreUnavailable.

        Who wants the same while it is asked for waits for that question, and has its refusal too.
        """
        arrived = steady()
        while (known := self.memory.newest(account)) is None:
            flight = self._flights.get(account)
            if flight is None:
                return await self._fly(account)
            await flight.is_over.wait()
            if flight.refusal is not None:
                raise flight.refusal.with_traceback(None)
            if flight.state is not None and flight.begun >= arrived:
                return flight.state
        return known

    async def _fly(self, account: str) -> State:
        flight = self._flights[account] = _Flight(steady())
        try:
            _, as_of = await self._single(partial(_look, account))
        except StoreUnavailable as exc:
            flight.refusal = exc
            raise
        else:
            flight.state = as_of.state or NO_STATE
            self.memory.asked(account, flight.state, flight.begun)
            return flight.state
        finally:
            del self._flights[account]
            flight.is_over.set()


def _look(account: str, tx: PostgresTransaction) -> Row | None:
    return tx.one("account_get", account=account)

"""What the PostgreSQL store tells again is never older than the bound that it states."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, find, given, settings
from hypothesis import strategies as st
from tests.postgres import PostgresServer
from tests.server.test_postgres_faults import seq_of, stored, wrote

from cordboard.stores.postgres.remembering import Memory, State

BOUND = 3
"""In ticks of a clock that a test sets."""
ACCOUNT = "default"
KEYS = ("one", "two")


@dataclass(frozen=True)
class Moment:
    """What is in the database from a tick on."""

    since: int
    state: State
    values: dict[str, int]


@dataclass
class Question:
    """One under way: begun, perhaps answered by the database, not yet told to the memory."""

    begun: int
    key: str
    found: Moment | None = None


@dataclass
class Run:
    """A database that others change, and a memory of it. Ticks pass between any two steps."""

    make: Callable[[float, Callable[[], float]], Memory]
    now: int = 0
    past: list[Moment] = field(
        default_factory=lambda: [Moment(0, (0, "0"), dict.fromkeys(KEYS, 0))]
    )
    reads: list[Question] = field(default_factory=list[Question])
    ask: Question | None = None
    stale: bool = False

    def __post_init__(self) -> None:
        self.memory = self.make(BOUND, lambda: self.now)
        self.count = 0

    def step(self, name: str, key: str) -> None:
        """One thing happens; then both keys are looked up."""
        getattr(self, name)(key)
        for told in KEYS:
            self._look(told)

    def _look(self, key: str) -> None:
        """A value that is told was in force at some moment within the bound."""
        value = self.memory.get(key)
        ends = [*(later.since for later in self.past[1:]), self.now]
        lately = {
            was.values[key]
            for was, end in zip(self.past, ends, strict=True)
            if end >= self.now - BOUND
        }
        self.stale |= value is not None and value not in lately

    def tick(self, key: str) -> None:
        self.now += 1

    def commit(self, key: str) -> None:
        """Somebody changes what a key finds."""
        self.count += 1
        newest = self.past[-1]
        state = (newest.state[0] + 1, str(self.count))
        self.past.append(Moment(self.now, state, newest.values | {key: self.count}))

    def lose(self, key: str) -> None:
        """The primary dies, and another that lacks its newest change takes over."""
        newest = self.past[-1]
        before = [was for was in self.past if was.state[0] == newest.state[0] - 1]
        if before:
            self.past.append(Moment(self.now, before[-1].state, before[-1].values))

    def read(self, key: str) -> None:
        self.reads.append(Question(self.now, key))

    def read_answered(self, key: str) -> None:
        for read in self.reads:
            read.found = read.found or self.past[-1]

    def read_told(self, key: str) -> None:
        """The oldest read comes back, at last."""
        if self.reads:
            read = self.reads.pop(0)
            found = read.found or self.past[-1]
            self.memory.keep(read.key, ACCOUNT, read.begun, found.values[read.key])

    def replica(self, key: str) -> None:
        """A replica tells an older state, and of which it is."""
        was = self.past[max(0, len(self.past) - 2)]
        self.memory.keep_dated(key, ACCOUNT, was.state, was.values[key])

    def asks(self, key: str) -> None:
        self.ask = self.ask or Question(self.now, key)

    def ask_answered(self, key: str) -> None:
        if self.ask:
            self.ask.found = self.ask.found or self.past[-1]

    def ask_told(self, key: str) -> None:
        if self.ask:
            found, begun = self.ask.found or self.past[-1], self.ask.begun
            self.memory.asked(ACCOUNT, found.state, begun)
            self.ask = None


STEPS = ("tick", "commit", "lose", "read", "read_answered", "read_told", "replica", "asks",
         "ask_answered", "ask_told")  # fmt: skip
ORDERS = st.lists(st.tuples(st.sampled_from(STEPS), st.sampled_from(KEYS)), max_size=60)
Order = list[tuple[str, str]]


def tells_too_old(make: Callable[..., Memory], order: Order) -> bool:
    """Whether anything told was older than the bound."""
    run = Run(make)
    for name, key in order:
        run.step(name, key)
    return run.stale


@settings(max_examples=3000, deadline=None, database=None)
@given(ORDERS)
def test_in_no_order_of_changes_questions_and_answers_is_anything_told_that_is_too_old(
    order: Order,
) -> None:
    assert not tells_too_old(Memory, order)


def test_what_nobody_changes_is_told_again_and_asked_for_anew_when_the_bound_has_passed() -> None:
    run = Run(Memory)
    for name in ("asks", "ask_told", "read", "read_told"):
        run.step(name, "one")
    for _ in range(BOUND):
        assert run.memory.get("one") == 0
        run.step("tick", "one")
    assert run.memory.get("one") is None
    assert run.memory.is_due(ACCOUNT)
    for name in ("asks", "ask_told"):
        run.step(name, "one")
    assert run.memory.get("one") == 0


# The property finds what it is there for: each of these forgets one rule.


class OfAnyTime(Memory):
    """Keeps what was read before the state was known."""

    def keep(self, key: Hashable, account: str, begun: float, value: Any) -> bool:
        return super().keep(key, account, float("inf"), value)


class KnownTooSoon(Memory):
    """Takes a state for known since it was asked for, not since it was answered."""

    def asked(self, account: str, state: State, asked_at: float) -> None:
        super().asked(account, state, asked_at)
        self._accounts[account].since = min(self._accounts[account].since, asked_at)


class WithoutHash(Memory):
    """Knows a state by its number alone."""

    def asked(self, account: str, state: State, asked_at: float) -> None:
        super().asked(account, (state[0], ""), asked_at)

    def keep_dated(self, key: Hashable, account: str, state: State, value: Any) -> None:
        super().keep_dated(key, account, (state[0], ""), value)


class FreshTooLong(Memory):
    """Counts the bound from the answer."""

    def asked(self, account: str, state: State, asked_at: float) -> None:
        super().asked(account, state, self._now())


@pytest.mark.parametrize("careless", [OfAnyTime, KnownTooSoon, WithoutHash, FreshTooLong])
def test_the_property_finds_a_memory_that_forgets_a_rule(careless: type[Memory]) -> None:
    thorough = settings(
        max_examples=50_000,
        database=None,
        suppress_health_check=list(HealthCheck),
        derandomize=True,
    )
    assert find(ORDERS, partial(tells_too_old, careless), settings=thorough)


# The same with real stores on one database.


@pytest.mark.anyio
@pytest.mark.parametrize("bound", [0.3, 0.02, 0])
async def test_a_change_by_another_store_is_told_once_the_bound_has_passed(
    postgres: PostgresServer, bound: float
) -> None:
    url = postgres.create()
    async with stored(url) as other, stored(url, bound_seconds=bound) as store:
        for seq in range(1, 6):
            await other.write(wrote("row"))
            committed = time.monotonic()
            told, begun = 0, 0.0
            while told < seq:
                begun = time.monotonic()
                told = store.kept("seq", store.moment()) or await store.recall("seq", seq_of)
                assert told == seq or begun < committed + bound, "older than the bound"
            if bound:
                assert await store.recall("seq", seq_of) == seq
    postgres.drop(url)


@pytest.mark.anyio
async def test_within_the_bound_a_look_up_asks_the_database_nothing(
    postgres: PostgresServer,
) -> None:
    url = postgres.create()
    async with stored(url, bound_seconds=3600) as store:
        await store.write(wrote("row"))
        asked = 0

        def look(tx: Any) -> int:
            nonlocal asked
            asked += 1
            return seq_of(tx)

        for _ in range(100):
            assert await store.recall("seq", look) == 1
        assert store.kept("seq", store.moment()) == 1
        assert asked < 10
    postgres.drop(url)

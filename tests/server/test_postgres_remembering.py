"""What the PostgreSQL store tells again is never older than the bound that it states."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st
from tests.postgres import PostgresServer
from tests.server.test_postgres_faults import seq_of, stored, wrote

from cordboard.stores.postgres.remembering import Memory, State

BOUND = 2
"""In ticks of a clock that a test sets."""
ACCOUNT, KEY = "default", "key"


@dataclass(frozen=True)
class Moment:
    """What is in the database from a tick on."""

    since: int
    state: State
    value: int


@dataclass
class Question:
    """One under way: begun, perhaps answered by the database, not yet told to the memory."""

    begun: int
    found: Moment | None = None


@dataclass
class Run:
    """A database that others change, and a memory of it. Ticks pass between any two steps."""

    make: Callable[[float, Callable[[], float]], Memory]
    now: int = 0
    past: list[Moment] = field(default_factory=lambda: [Moment(0, (0, "0"), 0)])
    reads: list[Question] = field(default_factory=list[Question])
    ask: Question | None = None
    is_stale: bool = False

    def __post_init__(self) -> None:
        self.memory = self.make(BOUND, lambda: self.now)
        self.count = 0

    def step(self, *names: str) -> None:
        """These things happen in turn; after each it is looked up."""
        for name in names:
            getattr(self, name)()
            value = self.memory.get(KEY)
            ends = [*(later.since for later in self.past[1:]), self.now]
            lately = [
                was.value
                for was, end in zip(self.past, ends, strict=True)
                if end >= self.now - BOUND
            ]
            self.is_stale |= value is not None and value not in lately

    def tick(self) -> None:
        self.now += 1

    def commit(self) -> None:
        """Somebody changes what is found."""
        self.count += 1
        state = (self.past[-1].state[0] + 1, str(self.count))
        self.past.append(Moment(self.now, state, self.count))

    def lose(self) -> None:
        """A primary that lacks the newest change takes over, and makes another in its place."""
        seq = self.past[-1].state[0]
        before = [was for was in self.past if was.state[0] == seq - 1]
        if before:
            self.past.append(Moment(self.now, before[-1].state, before[-1].value))
            self.commit()

    def read_begins(self) -> None:
        self.reads.append(Question(self.now))

    def reads_are_answered(self) -> None:
        for read in self.reads:
            read.found = read.found or self.past[-1]

    def read_ends(self) -> None:
        """The oldest read comes back, at last."""
        if self.reads:
            read = self.reads.pop(0)
            found = read.found or self.past[-1]
            self.memory.keep(KEY, ACCOUNT, read.begun, found.value)

    def read(self) -> None:
        self.tick()
        self.read_begins()
        self.read_ends()

    def replica(self) -> None:
        """A replica tells the state before, and of which it is."""
        was = self.past[max(0, len(self.past) - 2)]
        self.memory.keep_dated(KEY, ACCOUNT, was.state, was.value)

    def question_begins(self) -> None:
        self.ask = self.ask or Question(self.now)

    def question_is_answered(self) -> None:
        if self.ask:
            self.ask.found = self.ask.found or self.past[-1]

    def question_ends(self) -> None:
        if self.ask:
            found = self.ask.found or self.past[-1]
            self.memory.asked(ACCOUNT, found.state, self.ask.begun)
            self.ask = None

    def question(self) -> None:
        self.question_begins()
        self.question_ends()

    def later(self) -> None:
        """When whatever was remembered is too old by itself, the database is asked again."""
        self.now += BOUND + 1
        self.question()


STEPS = ("tick", "commit", "lose", "read", "read_begins", "reads_are_answered", "read_ends", "replica",
         "question_begins", "question_is_answered", "question_ends", "later")  # fmt: skip
ORDERS = st.lists(st.sampled_from(STEPS), min_size=10, max_size=50)


def tells_too_old(make: Callable[..., Memory], order: list[str]) -> bool:
    """Whether anything told was older than the bound."""
    run = Run(make)
    run.step(*order)
    return run.is_stale


@settings(max_examples=2000, deadline=None, database=None)
@given(ORDERS)
def test_in_no_order_of_changes_questions_and_answers_is_anything_told_that_is_too_old(
    order: list[str],
) -> None:
    assert not tells_too_old(Memory, order)


def test_what_nobody_changes_is_told_again_and_asked_for_anew_when_the_bound_has_passed() -> None:
    run = Run(Memory)
    run.step("question", "read")
    for _ in range(BOUND - 1):
        assert run.memory.get(KEY) == 0
        run.step("tick")
    assert run.memory.get(KEY) is None
    assert run.memory.is_due(ACCOUNT)
    run.step("question")
    assert run.memory.get(KEY) == 0


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
        max_examples=20_000, database=None, derandomize=True, phases=[Phase.generate]
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

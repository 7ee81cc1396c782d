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

from cordboard.clock import steady
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
    """One under way: begun, perhaps answered by the database, not yet told to the memory. `looks`:
    it asks for a value, and not for the state alone."""

    begun: int
    looks: bool
    found: Moment | None = None


@dataclass
class Run:
    """A database that others change, and a memory of it. Ticks pass between any two steps."""

    make: Callable[[float, Callable[[], float]], Memory]
    now: int = 0
    past: list[Moment] = field(default_factory=lambda: [Moment(0, (0, "0"), 0)])
    questions: list[Question] = field(default_factory=list[Question])
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
        """A primary that lacks the newest change takes over."""
        seq = self.past[-1].state[0]
        before = [was for was in self.past if was.state[0] == seq - 1]
        if before:
            self.past.append(Moment(self.now, before[-1].state, before[-1].value))

    def look_begins(self) -> None:
        self.questions.append(Question(self.now, looks=True))

    def question_begins(self) -> None:
        self.questions.append(Question(self.now, looks=False))

    def all_are_answered(self) -> None:
        for question in self.questions:
            question.found = question.found or self.past[-1]

    def first_ends(self) -> None:
        """The oldest comes back, at last."""
        self._ends(0)

    def last_ends(self) -> None:
        """The one that was begun last overtakes the others."""
        self._ends(-1)

    def _ends(self, which: int) -> None:
        if not self.questions:
            return
        question = self.questions.pop(which)
        found = question.found or self.past[-1]
        self.memory.asked(ACCOUNT, found.state, question.begun)
        if question.looks:
            self.memory.keep(KEY, ACCOUNT, found.state, found.value)

    def look(self) -> None:
        self.tick()
        self.look_begins()
        self.last_ends()

    def question(self) -> None:
        self.question_begins()
        self.last_ends()

    def replica(self) -> None:
        """A replica tells the state before, and of which it is."""
        was = self.past[max(0, len(self.past) - 2)]
        self._copied(was.state, was.value)

    def astray(self) -> None:
        """One that went a way of its own tells what never was."""
        self._copied((self.past[-1].state[0] + 1, "astray"), -1)

    def _copied(self, state: State, value: int) -> None:
        if self.memory.newest(ACCOUNT) == state:
            self.memory.keep(KEY, ACCOUNT, state, value)

    def later(self) -> None:
        """When whatever was remembered is too old by itself, the database is asked again."""
        self.now += BOUND + 1
        self.question()


STEPS = ("tick", "commit", "lose", "look", "look_begins", "question_begins", "all_are_answered",
         "first_ends", "last_ends", "replica", "astray", "later")  # fmt: skip
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
    run.step("look")
    for _ in range(BOUND):
        assert run.memory.get(KEY) == 0
        run.step("tick")
    assert run.memory.get(KEY) is None
    assert run.memory.newest(ACCOUNT) is None
    run.step("question")
    assert run.memory.get(KEY) == 0


def test_an_answer_that_comes_late_does_not_take_back_what_was_told() -> None:
    run = Run(Memory)
    run.step("question_begins", "all_are_answered", "commit", "look", "first_ends")
    assert run.memory.get(KEY) == 1


def test_what_was_remembered_before_the_machine_slept_is_not_told_after(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Then the clock that programs wait by has stood still."""
    memory = Memory(0.001)
    memory.asked(ACCOUNT, (1, "1"), steady())
    memory.keep(KEY, ACCOUNT, (1, "1"), "told")
    stopped = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: stopped)
    end = steady() + 0.001
    while steady() < end:
        pass
    assert memory.get(KEY) is None


def test_only_so_much_is_remembered() -> None:
    memory = Memory(60, most=10)
    for turn in range(100):
        memory.asked(f"account {turn}", (1, "1"), steady())
        memory.keep(turn, f"account {turn}", (1, "1"), turn)
    assert len(memory) == 20
    assert [turn for turn in range(100) if memory.get(turn) is not None] == [*range(90, 100)]


# The property finds what it is there for: each of these forgets one rule.


class WithoutHash(Memory):
    """Knows a state by its number alone."""

    def asked(self, account: str, state: State, begun: float) -> None:
        super().asked(account, (state[0], ""), begun)

    def keep(self, key: Hashable, account: str, state: State, value: Any) -> None:
        super().keep(key, account, (state[0], ""), value)


class OfTheNewestState(Memory):
    """Takes what it is told for a value of the state that it knows, and not of its own."""

    def keep(self, key: Hashable, account: str, state: State, value: Any) -> None:
        super().keep(key, account, self.newest(account) or state, value)


class FreshTooLong(Memory):
    """Counts the bound from the answer."""

    def asked(self, account: str, state: State, begun: float) -> None:
        super().asked(account, state, self._now())


class ForEver(Memory):
    """Thinks that what is known is good."""

    def newest(self, account: str) -> State | None:
        known = self._accounts.get(account)
        return None if known is None else known.state


class RenewedByOthers(Memory):
    """Takes an answer of another state for a sign that the known one is good."""

    def asked(self, account: str, state: State, begun: float) -> None:
        known = self._accounts.get(account)
        super().asked(account, known.state if known else state, begun)


@pytest.mark.parametrize(
    "careless", [WithoutHash, OfTheNewestState, FreshTooLong, ForEver, RenewedByOthers]
)
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


@pytest.mark.anyio
async def test_strangers_who_ask_for_what_is_not_there_leave_nothing_behind(
    postgres: PostgresServer,
) -> None:
    url = postgres.create()
    async with stored(url) as store:
        await store.write(wrote("row"))
        memory = vars(store)["_recall"].memory

        def look(account: str, tx: Any) -> Any:
            return tx.one("account_get", account=account)

        for turn in range(50):
            assert await store.recall(turn, partial(look, f"nobody {turn}")) is None
            assert (
                await store.recall(("wrong", turn), lambda tx: look(ACCOUNT, tx) and None) is None
            )
        assert len(memory) == 0
        assert await store.recall("there", partial(look, ACCOUNT)) is not None
        assert len(memory) == 2, "itself, and the state of its account"
    postgres.drop(url)

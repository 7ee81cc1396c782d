"""Eight processes race for the same thousand numbers of a PostgreSQL database, and what each of them
was answered, and when, is checked for linearizability.

Every history is judged twice: by the checker of simloom, a library, and by a search of our own; they
must agree, and both must refuse a history that was tampered with. Our own is judged itself, against
trying every order. CI runs few rounds of the race, the long profile a hundred.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.exams import stage
from tests.exams.linearizability import Kind, Operation, fault, fault_found_by_library
from tests.exams.test_races import processes
from tests.world import SEEDS, SeedAgent, many, names

if TYPE_CHECKING:
    from tests.postgres import PostgresServer

RACERS = 8
ROUNDS = stage.examples(3, 100)
REMEMBERED = 0.25
"""Seconds that a look-up may be old in every second process, the default; 0 in the others."""
RUNNERS = tuple(f"local:runner{i}" for i in range(RACERS))
LINES = many(1000)
SEED = SEEDS.but(
    agents=SEEDS.agents + tuple(SeedAgent(runner, runner) for runner in RUNNERS), numbers=LINES
)
HOT = names(LINES[:3])
"""Looked up by everybody all the time, so that what is remembered is told."""

History = Mapping[str, Sequence[Operation]]


@dataclass
class Round:
    """What happened in one round. Holders are by number, "" for nobody."""

    before: Mapping[str, str]
    history: History
    after: Mapping[str, str]
    answers: Counter[str]
    stale: int

    def unexplained(self, **instead: Sequence[Operation]) -> list[str]:
        """The numbers whose history no order explains, that begins and ends with these holders, as
        both checkers say.

        `instead`: of these numbers alone, what to take for their history.
        """
        found = []
        for number, told in (instead or self.history).items():
            last = max(op.answered for op in told)
            whole = [*told, Operation(last + 1, last + 1, "read", self.after[number])]
            if wrong := fault(self.before[number], whole):
                found.append(f"{number}: {wrong}")
            by_library = fault_found_by_library(self.before[number], whole)
            assert bool(by_library) == bool(wrong), f"{number}: {by_library or wrong}"
        return found


def rounds_of(url: str, home: Path, rounds: int) -> Iterator[Round]:
    """So many rounds on one database. Nobody is turned away, and every number ends with one owner."""
    contenders = [_contender(home, at) for at in range(RACERS)]
    holders: Mapping[str, str] = dict.fromkeys(names(LINES), "")
    for done in processes("contest", url, rounds=rounds, contenders=contenders):
        turned_away = [one["message"] for one in done["told"] if one.get("status") != "done"]
        assert not turned_away, turned_away[0]
        after: dict[str, str] = dict(done["owners"])
        assert len(done["owners"]) == len(after) == len(LINES), "every number has one owner"
        history: dict[str, list[Operation]] = defaultdict(list)
        answers: Counter[str] = Counter()
        for at, one in enumerate(done["told"]):
            for called, answered, kind, numbers, agent in one["history"]:
                answers[kind] += 1
                for number in numbers:
                    history[number].append(_operation(called, answered, kind, agent, at))
        yield Round(holders, history, after, answers, sum(one["stale"] for one in done["told"]))
        holders = after


def _contender(home: Path, at: int) -> dict[str, Any]:
    config = home / f"{at}.toml"
    config.write_text(f"remember_seconds = {_remembered(at)}\n", "utf-8")
    return {
        "agent": RUNNERS[at],
        "numbers": names(LINES),
        "hot": HOT,
        "seed": at,
        "environ": {"CORDBOARD_CONFIG": str(config)},
    }


def _operation(called: float, answered: float, kind: str, agent: str, at: int) -> Operation:
    """As it was told. What is recalled is as good as a read that was asked so much earlier."""
    if kind == "recall":
        return Operation(called - _remembered(at), answered, "read", agent)
    return Operation(called, answered, cast("Kind", kind), agent)


def _remembered(at: int) -> float:
    return REMEMBERED if at % 2 else 0


@pytest.fixture
def url(postgres: PostgresServer) -> Iterator[str]:
    """A database with the numbers and the racers, and nobody who has it open."""
    with stage.stage(SEED, on=postgres) as world:
        yield world.url


def deadlocks(url: str) -> int:
    """How many there were in this database. A process tells its counts at the latest when it ends."""
    stage.alone(url)
    [row] = stage.query(
        url, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    )
    return int(row["deadlocks"])


def test_of_eight_processes_that_race_for_a_thousand_numbers_each_number_has_one_winner(
    url: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    begun, answers, stale = deadlocks(url), Counter[str](), 0
    for done in rounds_of(url, tmp_path, ROUNDS):
        assert not done.unexplained()
        answers, stale = answers + done.answers, stale + done.stale
        assert len(set(done.after.values())) > RACERS // 2, "most of them won something"
    assert deadlocks(url) == begun
    assert answers["refused"] and stale, "they got in each other's way"
    stage.audit(url)
    [[seen]] = processes("race", url, rounds=[[("look", {})]])
    assert seen["fault"] == ""
    told = f"{answers.total()} answers, {answers['refused']} refused, {stale} plans came too late"
    request.node.user_properties.append(("races", f"{ROUNDS} rounds, {told}"))


# --- the checker itself ------------------------------------------------------------------------


def test_a_stale_read_in_a_recorded_history_is_found(url: str, tmp_path: Path) -> None:
    [done] = rounds_of(url, tmp_path, 1)
    assert not done.unexplained()
    takes = {n: [op for op in told if op.kind == "take"] for n, told in done.history.items()}
    number, [taken] = next((n, taken) for n, taken in takes.items() if len(taken) == 1)
    told, late = list(done.history[number]), taken.answered + 0.001
    for wrong in (
        Operation(late, late, "read", ""),
        Operation(late, late, "read", "local:somebody"),
        Operation(late, late, "take", "local:somebody"),
        replace(taken, agent="local:somebody"),
    ):
        assert len(done.unexplained(**{number: [*told, wrong]})) == 1, wrong


operations = st.builds(
    lambda called, lasts, kind, agent: Operation(called, called + lasts, kind, agent),
    st.integers(0, 6),
    st.integers(0, 4),
    st.sampled_from(["take", "leave", "refused", "read"]),
    st.sampled_from(["a", "b", "a", "b", ""]),
)


@stage.profile(300, 20000)
@given(st.sampled_from(["", "a"]), st.lists(operations, max_size=5))
def test_both_checkers_say_what_trying_every_order_says(first: str, told: list[Operation]) -> None:
    explained = any(explains(first, order) for order in permutations(told))
    assert (fault(first, told) == "") == explained
    by_library = fault_found_by_library(first, told) == ""
    # It does not know that nobody is refused what he holds himself, so it explains a little more.
    assert by_library or not explained
    assert by_library == explained or any(op.kind == "refused" for op in told)


def explains(first: str, order: Sequence[Operation]) -> bool:
    """Whether these operations, one after the other, give their answers, and nobody was answered
    before another who comes earlier here had called."""
    holder: str | None = first
    for at, op in enumerate(order):
        if any(later.answered < op.called for later in order[at + 1 :]):
            return False
        if (holder := op.after(holder or "")) is None:
            return False
    return True

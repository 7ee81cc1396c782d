"""How the figures are taken: ours and its bare counterpart in turn, in one run, as median ratio.

The machine may be busy: a time by itself says nothing and none is asserted. What is asserted is a
ratio, and both of its sides saw the same machine.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from statistics import median
from time import perf_counter

import pytest

Work = Callable[[], object]
Timing = Callable[[], float]
AsyncWork = Callable[[], Awaitable[object]]


@dataclass(frozen=True)
class Figure:
    """One line of the table: ours against its bare counterpart, or a size against its bound."""

    name: str
    ratio: float
    bound: float
    ours: str
    bare: str
    rounds: int

    def line(self) -> str:
        """The figure as a row of the printed table."""
        verdict = "ok" if self.ratio <= self.bound else "OVER"
        return (
            f"{self.name:<58} {self.ratio:>6.2f} {self.bound:>6.2f} {self.ours:>11} {self.bare:>11}"
            f" {self.rounds:>6}  {verdict}"
        )


@dataclass
class Table:
    """The figures of one run, printed at its end."""

    figures: list[Figure] = field(default_factory=list[Figure])

    def hold(self, figure: Figure) -> None:
        """Keep a figure for the table, then fail if it is over its bound."""
        self.figures.append(figure)
        assert figure.ratio <= figure.bound, figure.line()

    def lines(self) -> list[str]:
        """The whole table."""
        head = f"{'figure':<58} {'ratio':>6} {'bound':>6} {'ours':>11} {'bare':>11} {'rounds':>6}"
        return [head, *(figure.line() for figure in self.figures)]


TABLE = pytest.StashKey[Table]()


@dataclass
class Pair:
    """The seconds of both sides, round by round."""

    ours: list[float] = field(default_factory=list[float])
    bare: list[float] = field(default_factory=list[float])

    def take(self, turn: int, ours: Timing, bare: Timing) -> None:
        """One round of both sides; who begins changes from round to round."""
        if turn % 2:
            self.ours.append(ours())
            self.bare.append(bare())
        else:
            self.bare.append(bare())
            self.ours.append(ours())

    def figure(self, name: str, bound: float, *, off: float = 0.0) -> Figure:
        """The median of the rounds' ratios: of each round both sides saw the same machine.

        `off`: seconds that ours may take besides.
        """
        ratios = [(ours - off) / bare for ours, bare in zip(self.ours, self.bare, strict=True)]
        ours, bare = shown(median(self.ours)), shown(median(self.bare))
        return Figure(name, median(ratios), bound, ours, bare, len(ratios))

    def without(self, rounds: int) -> Pair:
        """This pair without its first rounds, which warmed both sides up."""
        return Pair(self.ours[rounds:], self.bare[rounds:])


def shown(seconds: float) -> str:
    """A time for the table."""
    return f"{seconds * 1000:.2f} ms"


def sized(name: str, size: int, most: int) -> Figure:
    """A size against its bound: the one kind of figure that needs no counterpart."""
    return Figure(name, size / most, 1.0, f"{size} B", f"{most} B", 1)


def timed(work: Work) -> float:
    """The seconds a piece of work takes."""
    start = perf_counter()
    work()
    return perf_counter() - start


async def timed_async(work: AsyncWork) -> float:
    """`timed` for async work."""
    start = perf_counter()
    await work()
    return perf_counter() - start

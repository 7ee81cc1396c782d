"""What both sides hold, read from each by itself: rows counted and digested, chains walked."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import Any

from cordboard import journal
from cordboard.canonical import canonical
from cordboard.errors import StoreUnavailable
from cordboard.journal import Head
from cordboard.stores.copying.sides import Side, Table, Values, batches

Tell = Callable[[str, int, int], None]
"""Told of what, how much is done, of how much."""
_STEP = 1_000
"""So many events are checked between two signs of life."""


@dataclass(frozen=True, slots=True)
class Measure:
    """How many rows, and the SHA-256 of their values: canonical JSON, in the order of the key."""

    rows: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Compared:
    """One table on both sides."""

    table: str
    source: Measure
    target: Measure

    @property
    def same(self) -> bool:
        """Whether both hold the very same rows."""
        return self.source == self.target


@dataclass(frozen=True, slots=True)
class Beginning:
    """How the rows of a target relate to those of the source, which come in the same order.

    `same`: they are its first `rows`, the last of which has the key `upto`.
    """

    same: bool
    rows: int
    upto: dict[str, Any] | None


def beginning(source: Side, target: Side, table: Table) -> Beginning:
    """Whether what the target has is what the source begins with."""
    rows, last = 0, None
    with closing(source.rows(table)) as theirs, closing(target.rows(table)) as ours:
        for row in ours:
            if row != next(theirs, None):
                return Beginning(False, rows, None)
            rows, last = rows + 1, row
    return Beginning(True, rows, None if last is None else table.key_of(last))


def measure(side: Side, table: Table, step: Callable[[int], None]) -> Measure:
    """Read a whole table. `step`: told of so many rows more. Raises: StoreUnavailable."""
    rows, digest = 0, hashlib.sha256()
    with closing(side.rows(table)) as found:
        for batch in batches(found):
            try:
                text = canonical([list(row) for row in batch])
            except TypeError:
                raise StoreUnavailable(
                    f"Table {table.name} of {side.place} holds a value of a kind that was never "
                    "written there.",
                    "Somebody changed it by hand: restore a copy.",
                ) from None
            digest.update(text[1:-1].encode() + b",")  # of all rows, however they were batched
            rows += len(batch)
            step(len(batch))
    return Measure(rows, digest.hexdigest())


@dataclass(frozen=True, slots=True)
class Journals:
    """The tables of the journals: that of their heads, and that of their events."""

    accounts: Table
    events: Table

    def heads(self, side: Side) -> list[Head]:
        """The end of every account's journal, as its head row tells it."""
        with closing(side.rows(self.accounts)) as rows:
            named = (dict(zip(self.accounts.columns, row, strict=True)) for row in rows)
            return [Head(row["account"], row["seq"], row["head"]) for row in named]

    def walk(self, side: Side, ends: list[Head], tell: Tell) -> None:
        """Walk every journal from its first row to its end. Raises: StoreUnavailable.

        `ends`: the heads as they were read before; a row that came since is followed no further than
        to see that a head knows of it. Row by row: the event of a plan of 100,000 numbers is 10 MB long.
        """
        walks = {end.account: journal.Walk(end.account, end) for end in ends}
        known = {end.account: end.seq for end in ends}
        since: dict[str, int] = {}
        with closing(side.rows(self.events)) as rows:
            named = _signs_of_life(rows, self.events, sum(known.values()), tell)
            for account, found in groupby(named, key=itemgetter("account")):
                upto = partial(_upto, known.get(account, 0), since)
                walk = walks.get(account) or journal.Walk(account)
                _check(side, account, walk.follow(filter(upto, found)))
        for end in ends:
            _check(side, end.account, walks[end.account].end(end).fault)
        newest = {head.account: head.seq for head in self.heads(side)} if since else {}
        for account, seq in since.items():
            unknown = "" if seq <= newest.get(account, 0) else f"no head knows of its row {seq}"
            _check(side, account, unknown)


def _upto(seq: int, since: dict[str, int], row: dict[str, Any]) -> bool:
    """Whether a row is not after that one; else it is noted in `since`, by account."""
    if row["seq"] <= seq:
        return True
    since[row["account"]] = row["seq"]
    return False


def _check(side: Side, account: str, fault: str) -> None:
    if fault:
        raise StoreUnavailable(
            f"The journal of account {account} in {side.place} is not as it was written: {fault}.",
            "Compare it with an export kept elsewhere; what cannot be verified is not moved.",
        )


def _signs_of_life(
    rows: Iterable[Values], table: Table, total: int, tell: Tell
) -> Iterator[dict[str, Any]]:
    """The rows by the names of their columns."""
    for done, row in enumerate(rows, 1):
        if done % _STEP == 0 or done == total:
            tell("checking the journal", done, max(done, total))
        yield dict(zip(table.columns, row, strict=True))

"""Moving a whole store to another engine, or to another place: every row of every table.

A copy that was ended, by whatever, goes on by being run again: rows go in the order of their key, a
transaction for each few thousand, so what a target holds is what the source begins with. Whether it
still is is found out by reading both; a table that the source changed meanwhile is copied again.
Nobody uses the target before it is whole (marking.py), and it is whole when both sides, each read by
itself, hold the same (comparing.py). The source is only read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from cordboard.errors import ConfigError, StoreUnavailable
from cordboard.journal import Head
from cordboard.stores.copying.comparing import (
    Beginning,
    Compared,
    Journals,
    Tell,
    beginning,
    measure,
)
from cordboard.stores.copying.marking import Mark
from cordboard.stores.copying.sides import Conflict, Side, Table, batches

_SEALS = "seal_key"
"""The one table that is no rows to copy: an engine keeps this key there or in a file."""
_AGAIN = "run the same command again: it goes on where it was."
_STOP = f"Stop the servers on both and {_AGAIN}"
_AFTERMATH = "The source is as it was; no server uses the target before the copy is whole."


@dataclass(frozen=True, slots=True)
class Copied:
    """What a copy came to. `written`: rows written by this run; `key`: whether there was one to carry.

    `changed`: the journal of the source went on meanwhile. `already`: nothing was left to do.
    """

    tables: list[Compared]
    journals: list[Head]
    written: int
    key: bool
    changed: bool = False
    already: bool = False

    @property
    def whole(self) -> bool:
        """Whether both sides hold the same, and the target may be used."""
        return not self.changed and all(table.same for table in self.tables)


def copy(source: Side, target: Side, tables: Sequence[Table], tell: Tell) -> Copied:
    """Copy everything and verify it. `tables`: all of the schema, each after those it refers to.

    Raises: ConfigError, StoreUnavailable; the target is not usable then, and goes on when called again.
    """
    if source.place == target.place:
        raise ConfigError("--from and --to name the same store.", "Name another target.")
    source.ready()
    tables = [table for table in tables if table.name != _SEALS]
    journals = _journals(tables)
    ends = journals.heads(source)
    journals.walk(source, ends, tell)
    mark = Mark(target)
    if not mark.set(source.place, tables):
        return _already(source, target, tables, ends, tell)
    with _resumable():
        written = _Filling(source, target, tables, mark, tell).fill()
        key = _carry_key(source, target)
        target.analyze(tables)
        compared = _compare(source, target, tables, tell)
        changed = journals.heads(source) != ends
        copied = Copied(compared, ends, written, key, changed)
        if copied.whole:
            journals.walk(target, ends, tell)
            mark.lift()
    return copied


class _Filling:
    """Bringing the rows of the source into a target that is marked."""

    def __init__(
        self, source: Side, target: Side, tables: Sequence[Table], mark: Mark, tell: Tell
    ) -> None:
        self._source, self._target, self._tables = source, target, tables
        self._mark, self._tell = mark, tell

    def fill(self) -> int:
        """Write every row that is not there; how many."""
        there = {} if self._mark.fresh else self._kept()
        total = sum(self._source.count(table) for table in self._tables)
        done = first = sum(kept.rows for kept in there.values())
        self._tell("copying", done, total)
        for table in self._tables:
            after = there[table.name].upto if table.name in there else None
            for batch in batches(self._source.rows(table, after)):
                self._add(table, batch)
                done += len(batch)
                self._tell("copying", done, max(done, total))
        return done - first

    def _add(self, table: Table, batch: list[tuple[object, ...]]) -> None:
        try:
            with self._target.transaction() as run:
                self._mark.hold(run)
                self._target.load(table, batch)
        except Conflict:
            what = f"The source was changed while table {table.name} was read."
            raise StoreUnavailable(what, _STOP) from None
        except StoreUnavailable as exc:
            raise StoreUnavailable(f"Table {table.name}: {exc.what}", exc.remedy) from exc

    def _kept(self) -> dict[str, Beginning]:
        """What an earlier run has left that still stands; whatever does not is deleted."""
        found: dict[str, Beginning] = {}
        emptied: set[str] = set()
        for done, table in enumerate(self._tables):
            self._tell("comparing what is there", done, len(self._tables))
            begun = beginning(self._source, self._target, table)
            if begun.same and not table.refers & emptied:
                found[table.name] = begun
            else:
                emptied.add(table.name)
        if emptied:
            with self._target.transaction() as run:
                self._mark.hold(run)
                for table in reversed(self._tables):
                    if table.name in emptied:
                        run(f"DELETE FROM {table.name}")  # noqa: S608 - our names
        return found


def _already(
    source: Side, target: Side, tables: Sequence[Table], ends: list[Head], tell: Tell
) -> Copied:
    """A target that is in use: whole already, where it holds the same; else it is not touched."""
    target.ready()
    journals = _journals(tables)
    if ends == journals.heads(target):
        copied = _compare(source, target, tables, tell)
        if all(table.same for table in copied):
            journals.walk(target, ends, tell)
            return Copied(copied, ends, 0, source.seal() == target.seal() != b"", already=True)
    raise StoreUnavailable(
        f"The target {target.place} is not empty, and holds something else than the source.",
        "Name an empty one: a file that is not there, or a new database.",
    )


def _journals(tables: Sequence[Table]) -> Journals:
    by_name = {table.name: table for table in tables}
    return Journals(by_name["account"], by_name["journal"])


def _carry_key(source: Side, target: Side) -> bool:
    """Questions, cursors and page sessions stay good where they are opened with the same key."""
    key = source.seal()
    if key and target.seal() != key:
        target.seal_with(key)
    if key and target.seal() != key:
        raise StoreUnavailable(f"The key was not kept by {target.place}.")
    return bool(key)


def _compare(source: Side, target: Side, tables: Sequence[Table], tell: Tell) -> list[Compared]:
    done, total = 0, 2 * sum(source.count(table) for table in tables)

    def step(rows: int) -> None:
        nonlocal done
        done += rows
        tell("verifying", done, max(done, total))

    return [
        Compared(table.name, measure(source, table, step), measure(target, table, step))
        for table in tables
    ]


@contextmanager
def _resumable() -> Iterator[None]:
    """What ends a copy halfway tells how it goes on."""
    try:
        yield
    except StoreUnavailable as exc:
        remedy = exc.remedy if _AGAIN in exc.remedy else f"Put that right and {_AGAIN}"
        stopped = StoreUnavailable(exc.what, remedy)
        stopped.aftermath = _AFTERMATH
        raise stopped from exc

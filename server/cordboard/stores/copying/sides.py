"""What a copy needs of a store, whichever engine keeps it: tables, rows in order, and transactions."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

Values = tuple[Any, ...]
"""One row: its values in the order of the table's columns."""
Run = Callable[..., list[Values]]
"""Runs one statement in a transaction: portable SQL, `:name` parameters by keyword; its rows."""

_ROWS = 5_000
_CHARACTERS = 4 * 1024 * 1024
"""What is held in memory at once; one row that is longer is held alone."""


class Conflict(Exception):
    """Rows that a rule of the schema refuses: they are not of one state of the source."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table as the schema makes it. `types`: TEXT or BIGINT. `refers`: the tables its rows need."""

    name: str
    columns: tuple[str, ...]
    types: tuple[str, ...]
    key: tuple[str, ...]
    refers: frozenset[str]

    def select(self, *, after: bool) -> str:
        """Every row in the order of the key, which is by bytes; or those `after` a key."""
        keys = ", ".join(self.key)
        named = ", ".join(f":{name}" for name in self.key)
        beyond = f"WHERE ({keys}) > ({named}) " if after else ""
        return f"SELECT {', '.join(self.columns)} FROM {self.name} {beyond}ORDER BY {keys}"  # noqa: S608 - our names

    def key_of(self, row: Values) -> dict[str, Any]:
        """The key of a row, by column."""
        return {name: row[self.columns.index(name)] for name in self.key}


class Side(Protocol):
    """A store that is copied from, or to. Every method raises StoreUnavailable."""

    @property
    def place(self) -> str:
        """The store as it may be shown, the same whatever it was called."""
        ...

    def ready(self) -> None:
        """Raises: StoreUnavailable unless it is there, whole, and of this program's schema."""
        ...

    def schema(self) -> int:
        """The number in schema_version; 0 where nothing is there. Makes nothing."""
        ...

    def make(self) -> None:
        """Make the tables where there is nothing."""
        ...

    def alone(self) -> None:
        """Raises: StoreUnavailable where another Cordboard is seen to be at work on it; a copy is none."""
        ...

    def rows(self, table: Table, after: dict[str, Any] | None = None) -> Generator[Values]:
        """The rows in key order, a few megabytes at a time; those after a key."""
        ...

    def count(self, table: Table) -> int:
        """How many rows there are."""
        ...

    def transaction(self) -> AbstractContextManager[Run]:
        """One durable transaction, all or nothing."""
        ...

    def load(self, table: Table, rows: Sequence[Values]) -> None:
        """Add rows, within a transaction. Raises: Conflict."""
        ...

    def seal(self) -> bytes:
        """The key that seals questions, cursors and page sessions; b"" where none was made."""
        ...

    def seal_with(self, key: bytes) -> None:
        """Keep this key in place of any other."""
        ...

    def analyze(self, tables: Sequence[Table]) -> None:
        """Renew the statistics that queries are planned with."""
        ...

    def close(self) -> None:
        """Let go of the connection."""
        ...


def batches(rows: Iterable[Values]) -> Iterator[list[Values]]:
    """The rows, as many at a time as memory should hold."""
    batch: list[Values] = []
    size = 0
    for row in rows:
        batch.append(row)
        size += sum(len(value) for value in row if isinstance(value, str))
        if len(batch) >= _ROWS or size >= _CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch

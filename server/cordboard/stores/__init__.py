"""What a store is: named statements run in whole transactions.

The statements are SQL text that every engine accepts (`queries.sql`), known by name; a store adds
only connections, locking and migrations. Nouns are read and written by `plans` here, by the
journal, the approvers, the engine and the local platform.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from cordboard.errors import StoreUnavailable

T = TypeVar("T")
Row = Mapping[str, Any]
Ask = tuple[str, Mapping[str, Any]]
"""A named statement that reads, and its parameters."""
SCHEMA_VERSION = 4
"""The newest of schema/: each file brings a store from the version before it to its own."""
BEING_COPIED = 1_000_000
"""Added to the version of a store while `cordboard copy` fills it: no program takes it for whole."""
GENESIS = "0" * 64
"""The head of a journal that has no row yet."""


class Transaction(Protocol):
    """One transaction. Statements are named in `queries.sql`; parameters by keyword."""

    def one(self, query: str, /, **params: Any) -> Row | None:
        """The first row, or None."""
        ...

    def all(self, query: str, /, **params: Any) -> list[Row]:
        """Every row."""
        ...

    def prefetch(self, *asks: Ask) -> None:
        """Say what `one` and `all` are about to ask: a store that is far away asks it all at once.

        Of texts and numbers, not of lists. What is written makes it forgotten.
        """
        ...

    def run(self, query: str, /, **params: Any) -> int:
        """Run a statement that writes; how many rows it touched."""
        ...

    def send(self, query: str, /, **params: Any) -> None:
        """As `run` where nobody asks how many: it may travel with the next statement."""
        ...

    def many(self, query: str, /, rows: Sequence[Mapping[str, Any]]) -> None:
        """Run a statement that writes once for each row of parameters."""
        ...


class Store(Protocol):
    """Where everything is kept. Every method raises StoreUnavailable when it cannot be used.

    `bound_seconds`: how old at most is what `recall` tells; 0: of the last commit of any process.
    `one_clock`: whether all who use it are on one machine, and go by its clock.
    """

    @property
    def bound_seconds(self) -> float: ...

    @property
    def one_clock(self) -> bool: ...

    async def read(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` on one consistent state; it may not write."""
        ...

    async def glance(self, work: Callable[[Transaction], T]) -> T:
        """As `read`, for a few look-ups by key: it may run on the event loop, and more than once."""
        ...

    async def recall(self, key: Hashable, work: Callable[[Transaction], T]) -> T:
        """As `glance`, or what `work` found under this `key` before, if that may still be told.

        On SQLite it may as long as no process has committed anything since. None is not kept.
        """
        ...

    def moment(self) -> bytes:
        """The state in force now, for `kept`: good until the caller awaits anything."""
        ...

    def kept(self, key: Hashable, moment: bytes) -> Any:
        """What `recall` would tell of this state without looking; None where it would look."""
        ...

    async def write(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` as one durable transaction, all or nothing; one writer at a time."""
        ...

    async def facts(self) -> dict[str, str]:
        """What `cordboard doctor` shows: engine, version, journal mode, schema, place."""
        ...

    async def optimize(self) -> None:
        """Renew the statistics that queries are planned with; after many rows were written."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


def found_of(tx: Transaction, *asks: Ask) -> list[list[Row]]:
    """The rows that each of these finds."""
    tx.prefetch(*asks)
    return [tx.all(query, **params) for query, params in asks]


def half_copied(store: str) -> StoreUnavailable:
    """The refusal of a store that `cordboard copy` has not filled to its end. `store`: named, at the
    beginning of a sentence."""
    return StoreUnavailable(
        f"{store} is being filled by `cordboard copy`, and is not whole yet.",
        "Run the same `cordboard copy` again to its end, or use another store.",
    )

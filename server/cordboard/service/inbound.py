"""What answers a number inbound on the `local` platform: the question a voice stack of one's own
asks at every call. One indexed statement, remembered until something is committed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Generic, TypeVar

from cordboard.display import shown
from cordboard.errors import NumberNotFound
from cordboard.service.looking import shaped
from cordboard.stores import Store, Transaction

T = TypeVar("T")
_name = lru_cache(1000)(shown)
"""Agents are few, and their names change seldom."""


@dataclass(frozen=True, slots=True)
class InboundRoute:
    """Who answers a number, on which pathway; `agent` is "" where nobody does.

    The pathway is the number's own, else the agent's; "" and 0 for none. `pathway_version` is as
    it was set: 0 where it is not pinned. `resolved_version` is the version a call gets: the pinned
    one, else the newest recorded, 0 where none is. `version` counts the changes of what answers the
    number; it only rises, so of two answers the later state is told.
    """

    number: str
    agent: str
    name: str
    pathway_id: str
    pathway_version: int
    resolved_version: int
    start_node_id: str
    version: int


class InboundRoutes(Generic[T]):
    """The lookups of one store, for every account, in the form that is asked for."""

    def __init__(self, store: Store, told: Callable[[InboundRoute], T]) -> None:
        """`told`: makes that form; what it makes is remembered, so it is not called every time."""
        self._store, self._told, self._kind = store, told, f"inbound, as {told.__qualname__}"

    def kept(self, account: str, number: str, moment: bytes) -> T | None:
        """What `find` would tell of that moment of the store without looking; None: it would look."""
        found: T | None = self._store.kept((self._kind, account, number), moment)
        return found

    async def find(self, account: str, number: str) -> T:
        """What answers a number now, as last committed by whichever process.

        Raises: InvalidNumberFormat, NumberNotFound, StoreUnavailable.
        """

        def look(tx: Transaction) -> T | None:
            route = _read(tx, account, number)
            return None if route is None else self._told(route)

        found = await self._store.recall((self._kind, account, number), look)
        if found is None:
            shaped(number)
            raise NumberNotFound(
                f"{number} is not a number of this account's local platform.",
                "Import it, or correct the number: `cordboard numbers` lists what there is.",
            )
        return found


def _read(tx: Transaction, account: str, number: str) -> InboundRoute | None:
    row = tx.one("inbound_route", account=account, number=number)
    if row is None:
        return None
    return InboundRoute(
        number,
        row["agent"],
        _name(row["name"]),
        row["pathway_id"],
        row["pathway_version"],
        row["pathway_version"] or row["newest"] or 0,
        row["start_node_id"],
        row["version"],
    )

"""What a platform is: a voice-AI system that holds bindings, with honest abilities.

A platform names what it can do in `Abilities`; what it cannot is NOT_SUPPORTED in plain words,
never hidden and never faked. Vendor words stop inside the adapter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from cordboard.binding import Agent, OwnedNumber, PathwayInfo
from cordboard.plan import Asked, Change, Observed
from cordboard.stores import Transaction

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a platform can do. `transactional`: all changes of a plan in one store transaction."""

    list_agents: bool = True
    list_numbers: bool = True
    list_pathways: bool = True
    attach: bool = True
    detach: bool = True
    set_pathway: bool = True
    move_in_place: bool = True
    read_back: bool = True
    transactional: bool = False


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """Some items in key order; `after` is the key to go on from, "" at the end."""

    items: tuple[Item, ...]
    after: str = ""


@dataclass(frozen=True, slots=True)
class AgentEntry:
    """An agent in a listing, with how many numbers are bound to it."""

    agent: Agent
    numbers: int


@dataclass(frozen=True, slots=True)
class NumberFilter:
    """What a listing of numbers is narrowed to; "" and `any` narrow nothing."""

    agent: str = ""
    provider: str = ""
    state: str = "any"
    query: str = ""


class Platform(Protocol):
    """A system that holds bindings. Reads raise PlatformError or StoreUnavailable."""

    @property
    def name(self) -> str: ...

    @property
    def abilities(self) -> Abilities: ...

    async def agents(
        self, account: str, query: str, after: str, limit: int
    ) -> Page[AgentEntry]: ...

    async def numbers(
        self, account: str, only: NumberFilter, after: str, limit: int
    ) -> Page[OwnedNumber]: ...

    async def pathways(
        self, account: str, query: str, after: str, limit: int
    ) -> Page[PathwayInfo]: ...

    async def pathway(self, account: str, pathway_id: str) -> PathwayInfo | None: ...

    async def agent(self, account: str, agent: str) -> Agent | None: ...

    async def count(self, account: str, agent: str) -> int:
        """How many numbers are bound to an agent."""
        ...

    async def number(self, account: str, number: str) -> OwnedNumber | None: ...

    async def nearest(self, account: str, number: str) -> list[str]: ...

    async def observe(self, account: str, asked: Asked) -> Observed: ...


class TransactionalPlatform(Platform, Protocol):
    """A platform whose bindings stand in our own store: it reads and writes inside a transaction."""

    def observe_in(self, tx: Transaction, account: str, asked: Asked) -> Observed: ...

    def write_in(
        self, tx: Transaction, account: str, at: str, changes: Sequence[Change]
    ) -> list[OwnedNumber]:
        """Write the changes and read every number back, in the order given."""
        ...

"""What a platform is: a voice-AI system that holds bindings, with honest abilities.

A platform names what it can do in `Abilities`; what it cannot is NOT_SUPPORTED in plain words,
never hidden and never faked. Vendor words stop inside the adapter.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, Protocol, TypeVar, runtime_checkable

from cordboard.binding import NO_PATHWAY, Agent, Direction, OwnedNumber, Pathway, PathwayInfo
from cordboard.plan import Change
from cordboard.request import Action, Look, Observed
from cordboard.stores import Transaction

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a platform can do.

    `move_in_place`: a move leaves no moment in which nobody answers; where it depends on the
    agents it is said to be False. `tells_carrier`: it knows the carrier of each number.
    `wants_carrier`: an attach must name it.
    `read_back`: it tells who holds a number, so a write is proven by reading.
    `attach_at_once`: how many numbers one attach call may carry. `at_once`: how many calls are
    under way at one time. `request_life`: the longest that a request may still take effect after
    we stopped waiting for it, in seconds, where the vendor documents one.
    """

    list_agents: bool = True
    list_numbers: bool = True
    list_pathways: bool = True
    attach: bool = True
    detach: bool = True
    set_pathway: bool = True
    move_in_place: bool = False
    read_back: bool = True
    tells_carrier: bool = True
    wants_carrier: bool = False
    directions: tuple[Direction, ...] = ("inbound", "outbound")
    attach_at_once: int = 1
    at_once: int = 4
    request_life: float = 0.0


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """Some items in an order of the platform's own; `after` is the key to go on from, "" at the end."""

    items: tuple[Item, ...]
    after: str = ""


@dataclass(frozen=True, slots=True)
class AgentEntry:
    """An agent in a listing, with how many numbers are bound to it; -1: the platform does not tell."""

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
    """A system that holds bindings. Reads raise PlatformError, StoreUnavailable, or NotSupported
    for what the platform cannot tell."""

    @property
    def name(self) -> str: ...

    @property
    def abilities(self) -> Abilities: ...

    def unsupported(self, action: Action, agents: Sequence[str]) -> str:
        """Why this action is not possible at these agents, in plain words; "" where it is."""
        ...

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
        """How many numbers are bound to an agent; -1: the platform does not tell."""
        ...

    async def number(self, account: str, number: str) -> OwnedNumber | None: ...

    async def nearest(self, account: str, number: str) -> list[str]: ...

    async def observe(self, account: str, look: Look) -> Observed: ...


@runtime_checkable
class TransactionalPlatform(Platform, Protocol):
    """A platform whose bindings stand in our own store: it reads and writes inside a transaction."""

    def observe_in(self, tx: Transaction, account: str, look: Look) -> Observed: ...

    def write_in(
        self, tx: Transaction, account: str, at: str, changes: Sequence[Change]
    ) -> Iterator[OwnedNumber]:
        """Write the changes, and then read every number back, in the order given."""
        ...


@dataclass(frozen=True, slots=True)
class Call:
    """One write request: what is done to these numbers at this agent.

    `set_pathway` with NO_PATHWAY clears. `provider`: the carrier of the numbers, where known.
    """

    kind: Literal["attach", "detach", "set_pathway"]
    agent: str
    direction: Direction
    numbers: tuple[str, ...]
    pathway: Pathway = NO_PATHWAY
    provider: str = ""


@dataclass(frozen=True, slots=True)
class Accepted:
    """What the platform answered to a write it took.

    `echoed`: the numbers that its own answer names as in effect, with this agent; they settle a
    write only where nothing can be read back. `remark`: what it said beside, for the result.
    """

    echoed: frozenset[str] = frozenset()
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Health:
    """What `cordboard doctor` tells of a platform, found without changing anything.

    `may_write`: whether the key may write, as far as that can be known.
    """

    ok: bool
    said: str
    remedy: str = ""
    may_write: str = "not known: no vendor tells without a write"


@runtime_checkable
class RemotePlatform(Platform, Protocol):
    """A platform at a vendor: no transactions, answers can be lost, others change it too."""

    def calls(self, change: Change) -> tuple[Call, ...]:
        """The writes that bring one number from before to after, in the order they must be done."""
        ...

    async def read(
        self, account: str, changes: Sequence[Change], *, others: bool
    ) -> list[Mapping[str, Pathway] | None]:
        """For each change, in order, who holds its number in its direction now: agent -> pathway.

        Reads as little as tells it: source and target agent of the changes. `others`: whoever
        else holds it too, where a read of the number itself tells that. {} is nobody of those;
        None: the platform cannot tell. Raises: PlatformError.
        """
        ...

    async def write(self, account: str, call: Call, send_by: float) -> Accepted:
        """Do one write, once. Nothing is sent after `send_by`, a moment of clock.steady().

        Raises: PlatformError where it was certainly not done; AnswerLost where that is not known.
        """
        ...

    async def check(self) -> Health:
        """Whether the platform can be reached with our key; changes nothing, raises nothing."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...

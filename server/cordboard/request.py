"""A request: what was asked, what has to be looked at to decide it, and what was seen there. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from cordboard.binding import NO_PATHWAY, Agent, OwnedNumber, Pathway, PathwayInfo, Side
from cordboard.errors import LimitExceeded

MOST_NUMBERS = 100_000
"""Of one plan. A tool's call and a request over REST name 100 at most; the command line more."""
FEW = 10
"""Up to how many numbers are read and written one by one, and not as a set."""
Action = Literal["attach", "move", "detach", "set_pathway", "clear_pathway", "undo"]


def few_enough(count: int) -> None:
    """Raises: LimitExceeded for more numbers than one plan takes."""
    if count > MOST_NUMBERS:
        raise LimitExceeded(
            f"One plan takes {MOST_NUMBERS:,} numbers at most.", "Choose fewer, as several plans."
        )


@dataclass(frozen=True, slots=True)
class Restore:
    """What an undo brings back: the number must still be as that plan left it."""

    number: str
    left: Side
    back: Side
    version: int


@dataclass(frozen=True, slots=True)
class Asked:
    """A request in the words of the tools. `agent` is the one that gains, loses or is adjusted.

    Either `numbers` (as typed, not yet checked) or `slugs` is given.
    """

    action: Action
    agent: str
    numbers: tuple[str, ...] = ()
    slugs: tuple[str, ...] = ()
    from_agent: str = ""
    provider: str = ""
    keep_pathway: bool = False
    pathway: Pathway = NO_PATHWAY
    undoes: str = ""
    restore: tuple[Restore, ...] = ()

    @property
    def agents(self) -> tuple[str, ...]:
        return tuple(a for a in (self.from_agent, self.agent) if a)


@dataclass(frozen=True, slots=True)
class Look:
    """What has to be looked at on one platform, all by name.

    `numbers` are as typed, not yet checked. `gaining`: the agents that may gain numbers; only of
    them is it asked whom they serve already. `nodes`: (pathway_id, version) of which the nodes
    are wanted, because a start node is named; of other versions they may be left out.
    """

    agents: frozenset[str] = frozenset()
    numbers: tuple[str, ...] = ()
    slugs: tuple[str, ...] = ()
    pathways: frozenset[str] = frozenset()
    nodes: frozenset[tuple[str, int]] = frozenset()
    gaining: frozenset[str] = frozenset()

    @property
    def is_small(self) -> bool:
        """Whether it is looked at number by number, in no time."""
        return len(self.numbers) + len(self.slugs) <= FEW

    @classmethod
    def at(cls, asked: Asked) -> Look:
        """What a request rests on."""
        back = [item.back for item in asked.restore]
        wanted = [asked.pathway, *(side.pathway for side in back)]
        regained = {side.agent for side in back} - {""}
        gains = {asked.agent} if asked.action in ("attach", "move") else regained
        return cls(
            agents=frozenset({*asked.agents, *regained}),
            numbers=asked.numbers + tuple(item.number for item in asked.restore),
            slugs=asked.slugs,
            pathways=ids(wanted),
            nodes=starts(wanted),
            gaining=frozenset(gains),
        )


def ids(named: Iterable[Pathway]) -> frozenset[str]:
    """The ids of these pathways."""
    return frozenset(pathway.pathway_id for pathway in named) - {""}


def starts(named: Iterable[Pathway]) -> frozenset[tuple[str, int]]:
    """Those that name a node to start from: id and version."""
    return frozenset((p.pathway_id, p.pathway_version) for p in named if p.start_node_id)


@dataclass(frozen=True, slots=True)
class Observed:
    """What the platform said when it was asked. Missing keys mean: it has no such thing.

    `serves`: per agent, the purpose classes of the numbers bound to it now.
    `pathways`: those the request names, by id. `nearest`: owned numbers that look alike.
    `tells_carrier`: a number without a provider has none; else it is only not known.
    `unchecked`: what the platform does not tell, in sentences for whoever approves. `one_way`: it
    cannot be reversed there. `held`: numbers that an unfinished plan holds, each with that plan.
    """

    agents: Mapping[str, Agent] = field(default_factory=dict[str, Agent])
    numbers: Mapping[str, OwnedNumber] = field(default_factory=dict[str, OwnedNumber])
    by_slug: Mapping[str, str] = field(default_factory=dict[str, str])
    nearest: Mapping[str, list[str]] = field(default_factory=dict[str, list[str]])
    serves: Mapping[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])
    providers: frozenset[str] = frozenset()
    pathways: Mapping[str, PathwayInfo] = field(default_factory=dict[str, PathwayInfo])
    pathways_recorded: bool = True
    unchecked: tuple[str, ...] = ()
    one_way: bool = False
    tells_carrier: bool = True
    held: Mapping[str, str] = field(default_factory=dict[str, str])
    empty: bool = False

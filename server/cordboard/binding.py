"""The nouns: Agent, Pathway, Binding, Number as owned, Route. Frozen values, no behaviour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast, get_args

AGENT_PATTERN = r"^[a-z]+:[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
SLUG_PATTERN = r"^[A-Za-z0-9._-]{1,64}$"
Platform = Literal["local", "bland", "synthflow", "unleashx"]
Provider = Literal["san", "ozonetell", "twilio", "exotel", "telnyx", "vonage", "plivo", "bandwidth"]
"""Carriers, in the vendors' own spelling (UnleashX, "Supported Providers")."""
PLATFORMS: tuple[Platform, ...] = get_args(Platform)
PROVIDERS: tuple[Provider, ...] = get_args(Provider)

Direction = Literal["inbound", "outbound"]


@dataclass(frozen=True, slots=True)
class Pathway:
    """The per-number override of an agent's flow; version 0 is the newest, not pinned."""

    pathway_id: str = ""
    pathway_version: int = 0
    start_node_id: str = ""


NO_PATHWAY = Pathway()


@dataclass(frozen=True, slots=True)
class Agent:
    """What answers or calls; `pathway_id` is its own flow, used where no number overrides it."""

    agent: str
    name: str
    direction: Direction
    pathway_id: str = ""
    user_id: str = ""
    created_at: str = ""
    updated_at: str = ""

    @property
    def platform(self) -> str:
        return self.agent.partition(":")[0]


@dataclass(frozen=True, slots=True)
class Binding:
    """(platform, number, direction) -> agent, with the number's pathway."""

    number: str
    direction: Direction
    agent: str
    pathway: Pathway = NO_PATHWAY
    attached_at: str = ""

    @property
    def platform(self) -> str:
        return self.agent.partition(":")[0]


@dataclass(frozen=True, slots=True)
class Side:
    """One end of a change: who holds the number in one direction, and its pathway."""

    direction: Direction
    agent: str = ""
    pathway: Pathway = NO_PATHWAY

    def as_json(self) -> dict[str, Any]:
        """`{direction, agent, pathway_id, pathway_version, start_node_id}`."""
        pathway = self.pathway
        return {
            "direction": self.direction,
            "agent": self.agent,
            "pathway_id": pathway.pathway_id,
            "pathway_version": pathway.pathway_version,
            "start_node_id": pathway.start_node_id,
        }

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Side:
        """The inverse of `as_json`."""
        pathway = Pathway(data["pathway_id"], data["pathway_version"], data["start_node_id"])
        return cls(cast(Direction, data["direction"]), data["agent"], pathway)

    @classmethod
    def held(cls, binding: Binding) -> Side:
        return cls(binding.direction, binding.agent, binding.pathway)


@dataclass(frozen=True, slots=True)
class OwnedNumber:
    """A number of the account's inventory, with what is bound to it on its platform.

    `versions` counts the changes of its bindings, by direction; it only rises, also over a
    detach, so that a state that was left and came back is told apart.
    """

    number: str
    platform: str
    provider: str = ""
    label: str = ""
    purpose: str = ""
    tags: tuple[str, ...] = ()
    slug: str = ""
    bindings: tuple[Binding, ...] = ()
    versions: dict[Direction, int] = field(default_factory=dict[Direction, int])

    def bound(self, direction: Direction) -> tuple[Binding, ...]:
        """The bindings in one direction; at most one when inbound."""
        return tuple(b for b in self.bindings if b.direction == direction)


@dataclass(frozen=True, slots=True)
class PathwayVersion:
    """One version of a pathway and the ids of its nodes; version 0 is what is live unpinned."""

    version: int
    nodes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PathwayInfo:
    """A pathway a platform has recorded, with its versions, oldest first."""

    platform: str
    pathway_id: str
    name: str
    versions: tuple[PathwayVersion, ...] = ()


@dataclass(frozen=True, slots=True)
class Route:
    """What a call reaches now through one binding, and why."""

    agent: str
    name: str
    platform: str
    pathway: Pathway
    why: str

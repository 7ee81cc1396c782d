"""From nouns to the shapes a listing shows; text from outside is made safe on the way."""

from __future__ import annotations

from collections.abc import Sequence

from cordboard.answers import (
    AgentShape,
    BindingShape,
    NumberShape,
    PathwayShape,
    RouteShape,
    VersionShape,
)
from cordboard.binding import Agent, Binding, OwnedNumber, Pathway, PathwayInfo
from cordboard.display import printable, shown
from cordboard.platforms import AgentEntry

EMPTY = "The store is empty: an operator fills it with `cordboard import FILE`."


def binding_shape(binding: Binding) -> BindingShape:
    """A binding; its shape leaves out the pathway fields that say nothing."""
    pathway = binding.pathway
    return BindingShape(
        direction=binding.direction,
        agent=binding.agent,
        pathway_id=printable(pathway.pathway_id),
        pathway_version=pathway.pathway_version,
        start_node_id=printable(pathway.start_node_id),
    )


def number_shape(owned: OwnedNumber) -> NumberShape:
    """A number as list_numbers shows it."""
    return NumberShape(
        number=owned.number,
        platform=owned.platform,
        provider=owned.provider,
        label=shown(owned.label),
        purpose=owned.purpose,
        tags=[shown(tag) for tag in owned.tags],
        slug=owned.slug,
        bindings=[binding_shape(b) for b in owned.bindings],
    )


def agent_shape(entry: AgentEntry) -> AgentShape:
    """An agent as list_agents shows it."""
    agent = entry.agent
    return AgentShape(
        agent=agent.agent,
        name=shown(agent.name),
        platform=agent.platform,
        direction=agent.direction,
        numbers=entry.numbers,
        pathway_id=agent.pathway_id,
    )


def pathway_shape(info: PathwayInfo) -> PathwayShape:
    """A pathway as list_pathways shows it."""
    return PathwayShape(
        platform=info.platform,
        pathway_id=info.pathway_id,
        name=shown(info.name),
        versions=[
            VersionShape(version=v.version, nodes=[printable(node) for node in v.nodes])
            for v in info.versions
        ],
    )


def route_shape(binding: Binding, agent: Agent | None) -> RouteShape:
    """What a call reaches through a binding: the number's own pathway, else the agent's."""
    own = Pathway(
        printable(binding.pathway.pathway_id),
        binding.pathway.pathway_version,
        printable(binding.pathway.start_node_id),
    )
    why = f"attached to {binding.agent}" + (
        f" since {binding.attached_at}" if binding.attached_at else ""
    )
    if own.pathway_id:
        which = f"version {own.pathway_version}" if own.pathway_version else "the newest version"
        why += f"; this number's own pathway {own.pathway_id}, {which}"
    elif agent and agent.pathway_id:
        why += f"; no pathway of its own, so the agent's {agent.pathway_id}"
    else:
        why += "; no pathway, the agent's own instructions"
    return RouteShape(
        agent=binding.agent,
        name=shown(agent.name) if agent else "",
        platform=binding.platform,
        pathway_id=own.pathway_id or (agent.pathway_id if agent else ""),
        pathway_version=own.pathway_version,
        start_node_id=own.start_node_id,
        why=why,
    )


def route_message(
    number: str,
    inbound: list[RouteShape],
    outbound: list[RouteShape],
    open_plans: int,
    unseen: Sequence[str] = (),
) -> str:
    """One or two sentences: who answers, who calls, what could not be seen, what is still open."""
    answers = " and ".join(r.agent for r in inbound)
    missing = " and ".join(unseen)
    if inbound:
        said = f"{answers} answers {number} now."
        said += f" Not seen: {missing}; see notes." if missing else ""
    elif missing:
        said = f"Nobody answers {number} as far as can be seen; not seen: {missing}, see notes."
    else:
        said = f"Nobody answers {number} now."
    if outbound:
        said += f" It serves outbound calls of {', '.join(r.agent for r in outbound)}."
    if open_plans:
        plans = "1 open plan" if open_plans == 1 else f"{open_plans} open plans"
        said += f" {plans} would change it; see open_plans."
    return said


def listing_message(count: int, noun: str, after: str, missing: Sequence[str] = ()) -> str:
    """What a listing says in words: how many, whether there are more, and what is missing."""
    said = f"{count} {noun}{'' if count == 1 else 's'}."
    if missing:
        said += f" Not all is known of {', '.join(dict.fromkeys(missing))}; see incomplete."
    if after:
        said += " There are more: call again with next_cursor as cursor and the same arguments."
    return said

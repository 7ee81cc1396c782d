"""Everything a decision rests on, from one scan, and what Bland does not tell, in sentences."""

from __future__ import annotations

from collections.abc import Iterable

from cordboard import number as numbers
from cordboard.binding import Agent, OwnedNumber, PathwayInfo
from cordboard.display import shown
from cordboard.http_client import HttpClient
from cordboard.platforms.bland.pathways import read_pathway
from cordboard.platforms.bland.reading import MOST_V2, Inventory, Reader
from cordboard.platforms.bland.rows import V2
from cordboard.request import Look, Observed

_LOOK_ALIKES = 10
"""For how many missing numbers of one call look-alikes are searched."""
_SHOWN = 5


async def read_agent(reader: Reader, agent: str) -> Agent | None:
    """One agent, or None where Bland has none of that id. A V2 agent's hidden twin is no agent."""
    own_id = agent.partition(":")[2]
    if own_id.startswith(V2):
        found = await reader.agent_v2(own_id.removeprefix(V2))
        return None if found is None else found.as_agent()
    one = await reader.persona(own_id)
    return one.as_agent() if one is not None and one.listed else None


async def look_at(http: HttpClient, look: Look) -> Observed:
    """What Bland says of everything in `look`, read now. Without a number in it nothing is scanned."""
    reader = Reader(http)
    typed = [text for text in look.numbers if numbers.is_canonical(text)]
    seen = await reader.inventory() if typed or look.slugs else None
    agents = await _agents(reader, sorted(look.agents | look.gaining), seen)
    wanted = dict.fromkeys(typed)
    by_slug: dict[str, str] = {}
    owned: dict[str, OwnedNumber] = {}
    if seen is not None:
        by_slug = {slug: f"+{slug}" for slug in look.slugs if f"+{slug}" in seen.numbers}
        wanted |= dict.fromkeys(by_slug.values())
        owned = {number: one for number in wanted if (one := seen.owned(number)) is not None}
    missing = [number for number in wanted if number not in owned]
    everything = seen.numbers if seen is not None else set[str]()
    return Observed(
        agents={name: one for name, one in agents.items() if name in look.agents},
        numbers=owned,
        by_slug=by_slug,
        nearest={text: numbers.nearest(text, everything) for text in missing[:_LOOK_ALIKES]},
        serves={
            name: await _serves(reader, name, seen) for name in sorted(look.gaining & agents.keys())
        },
        pathways=await _pathways(http, look),
        unchecked=() if seen is None else tuple(_unchecked(seen, owned, bool(look.gaining))),
    )


async def _agents(reader: Reader, names: Iterable[str], seen: Inventory | None) -> dict[str, Agent]:
    """The agents of these names that exist; V1 agents are in a scan already."""
    scanned = {one.agent: one for one in seen.personas if one.listed} if seen is not None else {}
    found: dict[str, Agent] = {}
    for name in names:
        if seen is not None and not name.startswith(f"bland:{V2}"):
            one = scanned[name].as_agent() if name in scanned else None
        else:
            one = await read_agent(reader, name)
        if one is not None:
            found[name] = one
    return found


async def _serves(reader: Reader, agent: str, seen: Inventory | None) -> frozenset[str]:
    """Bland tells no purpose, so whoever holds a number counts as serving PRODUCTION."""
    if seen is not None:
        holds = seen.holds(agent) or agent in seen.blind
    else:
        holds = await reader.held(agent) != ()
    return frozenset({"PRODUCTION"}) if holds else frozenset()


async def _pathways(http: HttpClient, look: Look) -> dict[str, PathwayInfo]:
    read = {
        name: await read_pathway(http, name, frozenset(v for one, v in look.nodes if one == name))
        for name in sorted(look.pathways)
    }
    return {name: info for name, info in read.items() if info is not None}


def _unchecked(seen: Inventory, owned: dict[str, OwnedNumber], gaining: bool) -> Iterable[str]:
    """What was not checked, for whoever approves; the same words for the same state."""
    kept = {
        number: sorted({name for _, held in seen.bound.get(number, []) for name in held.kept})
        for number in sorted(owned)
    }
    if lost := [number for number, names in kept.items() if names]:
        names = sorted({name for number in lost for name in kept[number]})
        yield (
            f"Bland keeps settings ({_some(names)}) of {_some(lost)} that Cordboard does not carry: "
            "a detach or a new pathway loses them, and undo does not bring them back"
        )
    own = [
        number
        for number, one in sorted(owned.items())
        if not one.bindings and number in seen.lines and seen.lines[number].own
    ]
    if own and gaining:
        yield (
            f"no agent holds {_some(own)}, but Bland has a prompt or a pathway set on the number "
            "itself: attaching may replace it, and undo does not bring it back"
        )
    if seen.blind:
        yield (
            f"Bland does not show the numbers of {_some(seen.blind)}: one of theirs may look free"
        )
    if seen.cut:
        yield (
            f"Bland lists no more than {MOST_V2} V2 agents: a number that another one holds may "
            "look free"
        )


def _some(names: Iterable[str]) -> str:
    every = [shown(name, 120) for name in names]  # some are ids and field names of Bland's
    more = len(every) - _SHOWN
    return ", ".join(every[:_SHOWN]) + (f" and {more} more" if more > 0 else "")

"""Pages of agents and numbers, each read only as far as it needs.

Bland pages its personas by number, so a key says which of those pages comes next and where in it:

    p:3:40       page 3 of the personas, from place 40 on
    v:<id>       V2 agents after that id
    r:<digits>   numbers after that one, of those that no listed persona holds
    n:<digits>   numbers after that one, of the one agent asked for

Numbers that nobody holds can only be told when everybody has been read, so they come last. Bland's
order is Bland's: an agent made or deleted between two pages can make a row stand twice or nowhere.
A twin that Bland lists without its mark is only known after a scan of everything, so a list may
show it as an agent; what a plan rests on (observing.py) never does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from cordboard import progress
from cordboard.binding import OwnedNumber
from cordboard.errors import InvalidArguments
from cordboard.number import is_canonical
from cordboard.platforms import AgentEntry, NumberFilter, Page
from cordboard.platforms.bland.reading import Reader, owned
from cordboard.platforms.bland.rows import AgentV2, Persona, nameable
from cordboard.together import together

Item = TypeVar("Item")

_PAGES_A_CALL = 20
"""Pages of personas that one call reads at most, before it hands back what it has and a key."""


async def page_of_agents(reader: Reader, query: str, after: str, limit: int) -> Page[AgentEntry]:
    """V1 agents in Bland's order, then V2 agents by id. Ids that no agent can have are left out."""
    wanted = query.casefold()

    def entries(personas: Sequence[Persona]) -> list[AgentEntry | None]:
        told = [AgentEntry(one.as_agent(), len(one.held)) for one in personas]
        return [
            entry if one.listed and _matches(wanted, entry.agent.agent, one.name) else None
            for one, entry in zip(personas, told, strict=True)
        ]

    items: list[AgentEntry] = []
    if not after.startswith("v:"):
        items, after = await _of_personas(reader, entries, after, limit)
        if after:
            return Page(tuple(items), after)
        if len(items) == limit:
            return Page(tuple(items), "v:")
    rest = await _agents_v2(reader, wanted, after.removeprefix("v:"), limit - len(items))
    return Page((*items, *rest.items), rest.after)


async def _agents_v2(reader: Reader, wanted: str, after: str, limit: int) -> Page[AgentEntry]:
    found = [
        one
        for one in sorted(await reader.agents_v2(), key=lambda one: one.id)
        if one.id > after and nameable(one.agent) and _matches(wanted, one.agent, one.name)
    ]

    async def entry(one: AgentV2) -> AgentEntry:
        held = await reader.held(one.agent) if one.bound else ()
        return AgentEntry(one.as_agent(), -1 if held is None else len(held))

    items = await together(entry, found[:limit], "agents read")
    return Page(tuple(items), f"v:{found[limit - 1].id}" if len(found) > limit else "")


async def page_of_numbers(
    reader: Reader, only: NumberFilter, after: str, limit: int
) -> Page[OwnedNumber]:
    """Numbers with their bindings: those that personas hold, in Bland's order, then all others.

    Of a filter by carrier none match: Bland does not tell carriers.
    """
    if only.provider or (only.agent and only.state == "free"):
        return Page(())
    if only.agent:
        return await _numbers_of(reader, only, after.removeprefix("n:"), limit)
    items: list[OwnedNumber] = []
    if not after.startswith("r:") and only.state != "free":
        items, after = await _of_personas(reader, lambda rows: _bound(rows, only), after, limit)
        if after:
            return Page(tuple(items), after)
        if len(items) == limit:
            return Page(tuple(items), "r:")
    rest = await _unlisted(reader, only, after.removeprefix("r:"), limit - len(items))
    return Page((*items, *rest.items), rest.after)


def _bound(personas: Sequence[Persona], only: NumberFilter) -> list[OwnedNumber | None]:
    """The numbers of some personas, None in the place of each that is not wanted."""
    told = [
        (one.agent, owned(held.number, held.label, [(one.agent, held)]))
        for one in personas
        for held in one.held
    ]
    return [number if nameable(agent) and _fits(number, only) else None for agent, number in told]


async def _numbers_of(
    reader: Reader, only: NumberFilter, after: str, limit: int
) -> Page[OwnedNumber]:
    held = await reader.held(only.agent) or ()
    every = (owned(one.number, one.label, [(only.agent, one)]) for one in held)
    return _by_number("n:", every, only, after, limit)


async def _unlisted(
    reader: Reader, only: NumberFilter, after: str, limit: int
) -> Page[OwnedNumber]:
    """Numbers that no listed persona holds: those of V2 agents with a twin out of sight, and free ones."""
    seen = await reader.inventory()
    told = {held.number for one in seen.personas for held in one.held}
    sayable = (
        number
        for number in seen.numbers - told
        if all(nameable(agent) for agent, _ in seen.bound.get(number, ()))
    )
    every = (one for number in sayable if (one := seen.owned(number)) is not None)
    return _by_number("r:", every, only, after, limit)


def _by_number(
    mark: str, every: Iterable[OwnedNumber], only: NumberFilter, after: str, limit: int
) -> Page[OwnedNumber]:
    fits = {one.number: one for one in every if one.number[1:] > after and _fits(one, only)}
    items = [fits[number] for number in sorted(fits)]
    key = f"{mark}{items[limit - 1].number[1:]}" if len(items) > limit else ""
    return Page(tuple(items[:limit]), key)


def _fits(one: OwnedNumber, only: NumberFilter) -> bool:
    state = "attached" if one.bindings else "free"
    return (
        is_canonical(one.number)
        and only.state in ("any", state)
        and _matches(only.query.casefold(), one.number, one.label)
    )


def _matches(wanted: str, *texts: str) -> bool:
    return any(wanted in text.casefold() for text in texts)


async def _of_personas(
    reader: Reader,
    rows_of: Callable[[Sequence[Persona]], list[Item | None]],
    after: str,
    limit: int,
) -> tuple[list[Item], str]:
    """Up to `limit` rows made of pages of personas, and the key to go on from, "" at the end."""
    page, place = _place(after)
    items: list[Item] = []
    for step in range(1, _PAGES_A_CALL + 1):
        personas, more = await reader.personas(page)
        rows = rows_of(personas)
        for index in range(place, len(rows)):
            if (row := rows[index]) is not None:
                if len(items) == limit:
                    return items, f"p:{page}:{index}"
                items.append(row)
        if not more:
            return items, ""
        page, place = page + 1, 0
        await progress.tell(step, 0, "pages of agents read")
        if len(items) == limit:
            break
    return items, f"p:{page}:0"


def _place(after: str) -> tuple[int, int]:
    if not after:
        return 1, 0
    try:
        _, page, place = after.split(":")
        return int(page), int(place)
    except ValueError:
        raise InvalidArguments("cursor: this is not a place in Bland's lists.") from None

"""Pages of agents and numbers for whoever looks around. Read as they are asked for, never ahead.

Synthflow pages by offset, so a key of ours is an offset in its list. Its rows have neither the
numbers of an agent nor the agents of a number: each row shown costs a read of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

from cordboard import number as numbers
from cordboard.binding import OwnedNumber
from cordboard.platforms import AgentEntry, NumberFilter, Page
from cordboard.platforms.synthflow.answers import PREFIX, Assistant, NumberRow
from cordboard.platforms.synthflow.api import Api
from cordboard.platforms.synthflow.sight import PAGE, PAGES, Held, Sight
from cordboard.together import together

_CHUNK = 20
"""At least so many numbers are read at a time; the filter leaves some out."""
_FREE = {"attached": False, "free": True}
"""Our states, which are about inbound, as Synthflow's is_available, which is too."""


async def agents_page(api: Api, query: str, after: str, limit: int) -> Page[AgentEntry]:
    """Agents in Synthflow's order; widgets, and ids that are no ids of ours, are left out.

    After 5 pages without enough that match, what was found comes with the key to go on.
    """
    found: list[Assistant] = []
    offset = _place(after)
    following = ""
    for _ in range(PAGES):
        part = await api.assistants(PAGE if query else _size(limit), offset)
        for row in part.rows:
            offset += 1
            if _matches(query, row):
                found.append(row)
            if len(found) == limit:
                break
        following = str(offset) if part.rows and offset < part.total else ""
        if len(found) == limit or not following:
            break
    return Page(tuple(await _counted(api, found)), following)


async def _counted(api: Api, rows: Sequence[Assistant]) -> list[AgentEntry]:
    """The agents with how many numbers each holds; -1 for one that was deleted just now."""
    full = await together(api.assistant, [row.model_id for row in rows], "agents read")
    return [
        AgentEntry(row.agent, -1 if one is None else len(one.attached))
        for row, one in zip(rows, full, strict=True)
        if row.agent is not None
    ]


def _matches(query: str, row: Assistant) -> bool:
    if row.agent is None:
        return False
    text = query.casefold()
    return text in row.agent.agent.casefold() or text in row.name.casefold()


async def numbers_page(api: Api, only: NumberFilter, after: str, limit: int) -> Page[OwnedNumber]:
    """Numbers in Synthflow's order, or one agent's by their digits; only E.164 ones (Synthflow also
    takes extensions). After some 500 without enough that match, what was found comes with the
    key to go on."""
    if only.agent:
        return await _numbers_of(api, only, after, limit)
    sight = Sight(api)
    found: list[OwnedNumber] = []
    offset = _place(after)
    size = PAGE if only.query or only.provider else _size(limit)
    for _ in range(PAGES):
        part = await api.numbers(size, offset, _FREE.get(only.state))
        used, taken = await _taken(sight, only, part.rows, limit - len(found))
        found += taken
        offset += used
        if not part.rows or offset >= part.total:
            return Page(tuple(found))
        if len(found) == limit:
            break
    return Page(tuple(found), str(offset))


async def _taken(
    sight: Sight, only: NumberFilter, rows: Sequence[NumberRow], most: int
) -> tuple[int, list[OwnedNumber]]:
    """How many of these rows were gone through, and the numbers among them to show."""
    found: list[OwnedNumber] = []
    used = 0
    while used < len(rows) and len(found) < most:
        chunk = rows[used : used + max(most - len(found), _CHUNK)]
        listed = {row.number: row for row in chunk if numbers.is_canonical(row.number)}
        held = await sight.held(list(listed), listed)
        for row in chunk:
            used += 1
            if row.number in held and _shown(only, held[row.number]):
                found.append(held[row.number].owned)
            if len(found) == most:
                break
    return used, found


async def _numbers_of(api: Api, only: NumberFilter, after: str, limit: int) -> Page[OwnedNumber]:
    """The numbers attached to one agent; the key is the digits of the last one shown."""
    model_id = only.agent.removeprefix(PREFIX)
    sight = Sight(api)
    await sight.read([model_id])
    agent = sight.assistant(model_id)
    mine = sorted(n for n in (agent.attached if agent else ()) if numbers.is_canonical(n))
    left = [n for n in mine if not after or n > f"+{after}"]
    found: list[OwnedNumber] = []
    while left and len(found) < limit:
        chunk = left[: max(limit - len(found), _CHUNK)]
        held = await sight.held(chunk, {})
        for number in chunk:
            left = left[1:]
            if _shown(only, held[number]):
                found.append(held[number].owned)
            if len(found) == limit:
                break
    return Page(tuple(found), found[-1].number.removeprefix("+") if left else "")


def _shown(only: NumberFilter, held: Held) -> bool:
    owned = held.owned
    if only.provider and owned.provider != only.provider:
        return False
    taken = bool(owned.bound("inbound")) or held.free is False
    if only.state in _FREE and taken is _FREE[only.state]:
        return False
    text = only.query.casefold()
    return text in owned.number or text in owned.label.casefold()


def _size(limit: int) -> int:
    return min(max(limit, 1), PAGE)


def _place(after: str) -> int:
    return int(after) if after.isascii() and after.isdigit() else 0

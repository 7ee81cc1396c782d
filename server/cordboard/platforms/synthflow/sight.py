"""What one question to Synthflow has read: who holds which number, seen from both ends.

A number's own answer lists its agents, but not their direction; an agent's answer lists its
numbers. A binding stands where either end tells of it, so that a holder is sooner seen than missed.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from cordboard.binding import SLUG_PATTERN, Binding, OwnedNumber
from cordboard.display import quoted
from cordboard.errors import PlatformError
from cordboard.platforms.synthflow.answers import (
    PREFIX,
    Assistant,
    Number,
    NumberRow,
    Rows,
)
from cordboard.platforms.synthflow.api import Api
from cordboard.together import together

Row = TypeVar("Row")

PAGE = 100
PAGES = 5
"""A look through a whole list ends after 5 pages of 100."""


@dataclass(frozen=True, slots=True)
class Held:
    """An owned number. `free`: as Synthflow tells, no inbound agent has it; None: it does not tell.

    `unseen`: agents it names that it then does not show, so that their direction is not known.
    """

    owned: OwnedNumber
    free: bool | None
    unseen: tuple[str, ...] = ()


class Sight:
    """Made anew for every question, so nothing in it is older than the question."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._assistants: dict[str, Assistant | None] = {}
        self._numbers: dict[str, Number | None] = {}
        self._listed: dict[str, NumberRow] | None = None
        self.whole = True  # whether the list of numbers was read to its end

    async def read(self, model_ids: Iterable[str]) -> None:
        """Read these agents, each once; ids that cannot stand in an address stay unseen."""
        new = sorted(one for one in set(model_ids) - self._assistants.keys() if _can_be_asked(one))
        found = await together(self._api.assistant, new, "agents read")
        self._assistants.update(zip(new, found, strict=True))

    def assistant(self, model_id: str) -> Assistant | None:
        """One of the agents that were read; None where it does not exist."""
        return self._assistants.get(model_id)

    async def by_slug(self, slugs: Sequence[str]) -> dict[str, str]:
        """slug -> number, for those there are."""
        found = await together(self._api.number_of, list(slugs), "numbers read")
        self._numbers.update({one.number: one for one in found if one is not None})
        return {s: n.number for s, n in zip(slugs, found, strict=True) if n is not None}

    async def listed(self) -> dict[str, NumberRow]:
        """The workspace's numbers as its list has them, of at most 500 rows."""
        if self._listed is None:
            rows, self.whole = await _list(self._api.numbers)
            self._listed = {row.number: row for row in rows}
        return self._listed

    async def held(
        self, numbers: Sequence[str], listed: Mapping[str, NumberRow] | None = None
    ) -> dict[str, Held]:
        """Those of `numbers` that the account owns, each with all its bindings.

        `listed`: rows of the list that were read already, where they are all that matter.
        """
        await self._load(numbers)
        strays = [n for n in numbers if self._numbers[n] is None]
        if strays:
            listed = await self.listed() if listed is None else listed
            await self._find(strays, listed)
        details = [d for n in numbers if (d := self._numbers[n]) is not None]
        await self.read(a for d in details for a in d.assistants)
        found: dict[str, Held] = {}
        for number in numbers:
            row = (listed or {}).get(number)
            if self._numbers[number] or row or self._holders(number):
                found[number] = self._held(number, row)
        return found

    async def _load(self, numbers: Iterable[str]) -> None:
        new = sorted(set(numbers) - {n for n, found in self._numbers.items() if found})
        found = await together(self._api.number, new, "numbers read")
        self._numbers.update(zip(new, found, strict=True))

    async def _find(self, strays: Sequence[str], listed: Mapping[str, NumberRow]) -> None:
        """Look for numbers that are not under their digits: at the agents, which know the slugs.

        A row of an agent names its one number in the old field; all of an agent's numbers are
        told by the agent alone, so these are read only for numbers that are surely owned.
        """
        rows, whole = await _list(self._api.assistants)
        wanted = set(strays)
        await self.read(
            row.model_id
            for row in rows
            if row.phone_number in wanted or not wanted.isdisjoint(row.attached)
        )
        lost = [n for n in strays if n in listed and not self._holders(n)]
        if lost:
            if not whole:
                raise PlatformError(
                    f"Synthflow lists {lost[0]}, but not under its digits, and there are too many "
                    "agents to look for it at each.",
                    "Name it by its slug (number_slugs), as Synthflow shows it.",
                )
            await self.read(row.model_id for row in rows)
        # Whoever holds them told their slugs.
        await self._load(n for n in strays if n in self._api.slugs)

    def _holders(self, number: str) -> dict[str, Assistant | None]:
        """id -> agent (None: not shown) of all that hold this number, from what was read.

        The old field `phone_number` counts only where the number itself cannot be asked.
        """
        detail = self._numbers.get(number)
        named = {name: self._assistants.get(name) for name in (detail.assistants if detail else ())}
        return named | {
            name: one
            for name, one in self._assistants.items()
            if one and (number in one.attached or (not detail and one.phone_number == number))
        }

    def _held(self, number: str, row: NumberRow | None) -> Held:
        detail = self._numbers[number]
        holders = self._holders(number)
        agents = [one.agent for one in holders.values() if one and one.agent]
        bindings = [Binding(number, agent.direction, agent.agent) for agent in agents]
        slug = detail.slug if detail else self._api.slugs.get(number, "")
        owned = OwnedNumber(
            number=number,
            platform="synthflow",
            provider=detail.provider if detail else "",
            label=detail.label if detail else "",
            slug=slug if re.fullmatch(SLUG_PATTERN, slug) else "",
            bindings=tuple(sorted(bindings, key=lambda b: (b.direction, b.agent))),
        )
        free = detail.free if detail else (row.free if row else None)
        unseen = tuple(name for name, one in holders.items() if one is None)
        return Held(owned, free, unseen)


async def _list(fetch: Callable[[int, int], Awaitable[Rows[Row]]]) -> tuple[list[Row], bool]:
    """A list, of at most 500 rows, and whether that is all of it."""
    rows: list[Row] = []
    for _ in range(PAGES):
        part = await fetch(PAGE, len(rows))
        rows += part.rows
        if len(rows) >= part.total:
            return rows, True
        if not part.rows:
            break
    return rows, False


def _can_be_asked(model_id: str) -> bool:
    """Whether an id that Synthflow names may stand in an address; others stay unseen."""
    return re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", model_id) is not None


def seizable(held: Held) -> str:
    """Why giving this number to an inbound agent could take it from one that we do not see.

    "" where it cannot. `is_available` is Synthflow's own word on whether an inbound agent has it.
    """
    number = held.owned.number
    if held.owned.bound("inbound") or held.free or (held.free is None and not held.unseen):
        return ""
    if not held.unseen:
        return f"Synthflow says that {number} has an inbound agent, and does not say which."
    named = ", ".join(quoted(PREFIX + one, 100) for one in held.unseen)
    return f"Synthflow names {named} at {number}, and does not show what that is."

"""A vendor's platform with what the operator's own inventory says of its numbers.

No vendor tells what a number is for, and none has tags; `cordboard import` does. A number that
the operator marked as protected is protected wherever it is attached.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from cordboard.binding import Agent, OwnedNumber, Pathway, PathwayInfo
from cordboard.plan import Change
from cordboard.platforms import (
    Abilities,
    Accepted,
    AgentEntry,
    Call,
    Health,
    NumberFilter,
    Page,
    Platform,
    RemotePlatform,
)
from cordboard.request import Action, Look, Observed

_PAGE = 200
_MOST_PAGES = 5
"""How many of the vendor's pages are searched for one page of ours."""
_NUMBER_LIKE = re.compile(r"\+?[0-9]+")


def _fits(owned: OwnedNumber, only: NumberFilter) -> bool:
    low = only.query.casefold()
    carrier = not only.provider or owned.provider == only.provider
    return carrier and (low in owned.number or low in owned.label.casefold())


class AnnotatedPlatform:
    """Passes everything on; numbers come back with the inventory's purpose, tags, label, carrier.

    What the vendor itself says of label and carrier stays.
    """

    def __init__(self, platform: RemotePlatform, inventory: Platform) -> None:
        self._platform, self._inventory = platform, inventory

    @property
    def name(self) -> str:
        return self._platform.name

    @property
    def abilities(self) -> Abilities:
        return self._platform.abilities

    def unsupported(self, action: Action, agents: Sequence[str]) -> str:
        return self._platform.unsupported(action, agents)

    async def agents(self, account: str, query: str, after: str, limit: int) -> Page[AgentEntry]:
        return await self._platform.agents(account, query, after, limit)

    async def numbers(
        self, account: str, only: NumberFilter, after: str, limit: int
    ) -> Page[OwnedNumber]:
        """Filtered here where the inventory's words count; a page may be short.

        `after` is the vendor's own key, and how many that fit were given of the page it opens.
        """
        asked = only if _NUMBER_LIKE.fullmatch(only.query) else replace(only, query="")
        if not self.abilities.tells_carrier:
            asked = replace(asked, provider="")
        here = asked != only
        key, _, given = after.partition("~")
        skip, found = int(given or 0), list[OwnedNumber]()
        for _ in range(_MOST_PAGES):
            page = await self._platform.numbers(account, asked, key, _PAGE if here else limit)
            known = [await self._known(account, n) for n in page.items]
            fits = [n for n in known if _fits(n, only)][skip:]
            taken = fits[: limit - len(found)]
            found += taken
            if len(taken) < len(fits):
                return Page(tuple(found), f"{key}~{skip + len(taken)}")
            key, skip = page.after, 0
            if not key or len(found) == limit or not here:
                break
        return Page(tuple(found), key)

    async def pathways(self, account: str, query: str, after: str, limit: int) -> Page[PathwayInfo]:
        return await self._platform.pathways(account, query, after, limit)

    async def pathway(self, account: str, pathway_id: str) -> PathwayInfo | None:
        return await self._platform.pathway(account, pathway_id)

    async def agent(self, account: str, agent: str) -> Agent | None:
        return await self._platform.agent(account, agent)

    async def count(self, account: str, agent: str) -> int:
        return await self._platform.count(account, agent)

    async def number(self, account: str, number: str) -> OwnedNumber | None:
        found = await self._platform.number(account, number)
        return None if found is None else await self._known(account, found)

    async def nearest(self, account: str, number: str) -> list[str]:
        return await self._platform.nearest(account, number)

    async def observe(self, account: str, look: Look) -> Observed:
        seen = await self._platform.observe(account, look)
        known = {text: await self._known(account, n) for text, n in seen.numbers.items()}
        own = {n.provider for n in known.values()} - {""}
        serves = seen.serves
        if self.abilities.read_back and any(n.purpose == "TEST" for n in known.values()):
            serves = {agent: await self._serves(account, agent) for agent in seen.serves}
        return replace(seen, numbers=known, providers=seen.providers | own, serves=serves)

    async def _serves(self, account: str, agent: str) -> frozenset[str]:
        """The purpose classes of the numbers an agent holds; one nobody marked is PRODUCTION."""
        found: set[str] = set()
        page = await self.numbers(account, NumberFilter(agent=agent), "", _PAGE)
        while True:
            found |= {"TEST" if n.purpose == "TEST" else "PRODUCTION" for n in page.items}
            if not page.after or found == {"TEST", "PRODUCTION"}:
                return frozenset(found)
            page = await self.numbers(account, NumberFilter(agent=agent), page.after, _PAGE)

    async def _known(self, account: str, owned: OwnedNumber) -> OwnedNumber:
        own = await self._inventory.number(account, owned.number)
        if own is None:
            return owned
        return replace(
            owned,
            provider=owned.provider or own.provider,
            label=owned.label or own.label,
            purpose=owned.purpose or own.purpose,
            tags=tuple(sorted({*owned.tags, *own.tags})),
        )

    def calls(self, change: Change) -> tuple[Call, ...]:
        return self._platform.calls(change)

    async def read(
        self, account: str, changes: Sequence[Change], *, others: bool
    ) -> list[Mapping[str, Pathway] | None]:
        return await self._platform.read(account, changes, others=others)

    async def write(self, account: str, call: Call, send_by: float) -> Accepted:
        return await self._platform.write(account, call, send_by)

    async def check(self) -> Health:
        return await self._platform.check()

    async def close(self) -> None:
        await self._platform.close()

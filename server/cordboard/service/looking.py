"""Lookups over all platforms at once: lists, routes, history. Nothing here writes.

A platform that is down is named beside the others' answers; a store that is, is an error.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from cordboard import number as numbers
from cordboard.answers import (
    AgentList,
    ChangeList,
    ChangeRow,
    IncompleteShape,
    NumberList,
    PathwayList,
    PathwayShape,
)
from cordboard.binding import PLATFORMS, Agent, OwnedNumber, PathwayInfo
from cordboard.clock import Clock, stamp
from cordboard.cursors import Cursors
from cordboard.errors import (
    AgentNotFound,
    CordboardError,
    InvalidNumberFormat,
    NotSupported,
    PathwayNotFound,
    PlatformError,
)
from cordboard.platforms import AgentEntry, NumberFilter, Page, Platform
from cordboard.service.history import history
from cordboard.service.shapes import (
    EMPTY,
    agent_shape,
    listing_message,
    number_shape,
    pathway_shape,
)
from cordboard.stores import Store, Transaction

Item = TypeVar("Item")


class Lookups:
    """The verbs that read. Arguments are as the tools take them; answers as in answers.py."""

    def __init__(
        self, store: Store, platforms: Mapping[str, Platform], cursors: Cursors, clock: Clock
    ) -> None:
        self._store, self._platforms, self._cursors, self._clock = store, platforms, cursors, clock

    async def list_agents(
        self, account: str, platform: str = "", query: str = "", limit: int = 50, cursor: str = ""
    ) -> AgentList:
        """Agents of one or all platforms, with how many numbers each holds."""
        asked = {"list": "agents", "account": account, "platform": platform, "query": query}

        async def fetch(p: Platform, after: str, most: int) -> Page[AgentEntry]:
            return await p.agents(account, query, after, most)

        items, after, incomplete = await self._gather(asked, platform, cursor, limit, fetch)
        return AgentList(
            agents=[agent_shape(entry) for entry in items],
            next_cursor=after,
            incomplete=incomplete,
            message=await self._message(account, len(items), "agent", after, incomplete),
        )

    async def list_numbers(
        self,
        account: str,
        only: NumberFilter,
        platform: str = "",
        limit: int = 50,
        cursor: str = "",
    ) -> NumberList:
        """Numbers of one or all platforms with their bindings. Raises: AgentNotFound."""
        if only.agent:
            await self._agent(account, only.agent)
            platform = platform or only.agent.partition(":")[0]
        asked = {"list": "numbers", "account": account, "platform": platform, "agent": only.agent}
        asked |= {"provider": only.provider, "state": only.state, "query": only.query}

        async def fetch(p: Platform, after: str, most: int) -> Page[OwnedNumber]:
            return await p.numbers(account, only, after, most)

        items, after, incomplete = await self._gather(asked, platform, cursor, limit, fetch)
        incomplete += self._blind_spots(only, {owned.platform for owned in items}, platform)
        return NumberList(
            numbers=[number_shape(owned) for owned in items],
            next_cursor=after,
            incomplete=incomplete,
            message=await self._message(account, len(items), "number", after, incomplete),
        )

    def _blind_spots(
        self, only: NumberFilter, listed: set[str], platform: str
    ) -> list[IncompleteShape]:
        """What platforms do not tell about the numbers that were listed, or left out."""
        found: list[IncompleteShape] = []
        for name in self._named(platform, []):
            can = self._platforms[name].abilities
            if only.provider and not can.tells_carrier:
                why = (
                    "it does not tell carriers: by provider only numbers are found whose carrier your "
                    "inventory tells."
                )
                found.append(IncompleteShape(platform=name, why=f"NOT_SUPPORTED: {why}"))
            if name in listed and not can.read_back:
                why = "it does not tell which agent holds a number, so no bindings are shown."
                found.append(IncompleteShape(platform=name, why=f"NOT_SUPPORTED: {why}"))
        return found

    async def list_pathways(
        self,
        account: str,
        platform: str = "",
        pathway_id: str = "",
        query: str = "",
        limit: int = 50,
        cursor: str = "",
    ) -> PathwayList:
        """Pathways of one or all platforms; with an id, that one. Raises: PathwayNotFound."""
        if pathway_id:
            return await self._one_pathway(account, platform, pathway_id)
        asked = {"list": "pathways", "account": account, "platform": platform, "query": query}

        async def fetch(p: Platform, after: str, most: int) -> Page[PathwayInfo]:
            return await p.pathways(account, query, after, most)

        items, after, incomplete = await self._gather(asked, platform, cursor, limit, fetch)
        return PathwayList(
            pathways=[pathway_shape(info) for info in items],
            next_cursor=after,
            incomplete=incomplete,
            message=await self._message(account, len(items), "pathway", after, incomplete),
        )

    async def _one_pathway(self, account: str, platform: str, pathway_id: str) -> PathwayList:
        found: list[PathwayShape] = []
        incomplete: list[IncompleteShape] = []
        for name in self._named(platform, incomplete):
            try:
                info = await self._platforms[name].pathway(account, pathway_id)
            except (PlatformError, NotSupported) as exc:
                incomplete.append(IncompleteShape(platform=name, why=why_missing(exc)))
                continue
            if info is not None:
                found.append(pathway_shape(info))
        if not found and not incomplete:
            raise PathwayNotFound(f'Pathway "{pathway_id}" does not exist.')
        down = [part.platform for part in incomplete]
        message = listing_message(len(found), "pathway", "", down)
        return PathwayList(pathways=found, next_cursor="", incomplete=incomplete, message=message)

    async def agent(self, account: str, agent: str) -> AgentEntry:
        """One agent with the count of its numbers. Raises: AgentNotFound."""
        found = await self._agent(account, agent)
        return AgentEntry(found, await self._platforms[found.platform].count(account, agent))

    async def _agent(self, account: str, agent: str) -> Agent:
        name = agent.partition(":")[0]
        platform = self._platforms.get(name)
        if platform is None:
            known = ", ".join(self._platforms)
            raise AgentNotFound(
                f"{agent}: the platform {name} is not configured here (there is {known})."
            )
        found = await platform.agent(account, agent)
        if found is None:
            raise AgentNotFound(f"Agent {agent} not found.")
        return found

    async def list_changes(
        self, account: str, number: str = "", agent: str = "", limit: int = 20, cursor: str = ""
    ) -> ChangeList:
        """The history, newest first: one row per number and plan, plans still open too."""
        if number:
            shaped(number)
        asked = {"list": "changes", "account": account, "number": number, "agent": agent}
        after = self._cursors.open(asked, cursor)
        now = stamp(self._clock())

        def work(tx: Transaction) -> tuple[list[ChangeRow], str]:
            return history(tx, account, number, agent, after, limit, now)

        rows, last = await self._store.read(work)
        return ChangeList(
            changes=rows,
            next_cursor=self._cursors.seal(asked, last),
            incomplete=[],
            message=listing_message(len(rows), "change", last),
        )

    async def _message(
        self, account: str, count: int, noun: str, after: str, incomplete: list[IncompleteShape]
    ) -> str:
        """What a listing says in words; an account with nothing in it is told how to fill it."""
        if not count and not incomplete and await is_empty(self._platforms, account):
            return EMPTY
        return listing_message(count, noun, after, [part.platform for part in incomplete])

    async def _gather(
        self,
        asked: dict[str, str],
        platform: str,
        cursor: str,
        limit: int,
        fetch: Callable[[Platform, str, int], Awaitable[Page[Item]]],
    ) -> tuple[list[Item], str, list[IncompleteShape]]:
        """One page over the platforms in turn; a platform that is down is named, not hidden."""
        start, _, key = self._cursors.open(asked, cursor).partition("|")
        incomplete: list[IncompleteShape] = []
        names = self._named(platform, incomplete)
        names = names[names.index(start) :] if start in names else names
        items: list[Item] = []
        for place, name in enumerate(names):
            try:
                page = await fetch(self._platforms[name], key, limit - len(items))
            except (PlatformError, NotSupported) as exc:
                incomplete.append(IncompleteShape(platform=name, why=why_missing(exc)))
                key = ""
                continue
            items += page.items
            if page.after:
                return items, self._cursors.seal(asked, f"{name}|{page.after}"), incomplete
            key = ""
            if len(items) == limit and place + 1 < len(names):
                return items, self._cursors.seal(asked, f"{names[place + 1]}|"), incomplete
        return items, "", incomplete

    def _named(self, platform: str, incomplete: list[IncompleteShape]) -> list[str]:
        if platform and platform not in self._platforms:
            why = "not configured here" if platform in PLATFORMS else "there is no such platform"
            incomplete.append(IncompleteShape(platform=platform, why=why))
            return []
        return [platform] if platform else list(self._platforms)


async def is_empty(platforms: Mapping[str, Platform], account: str) -> bool:
    """Whether no platform has a number or an agent; one that does not answer may have some."""
    try:
        for platform in platforms.values():
            some = await platform.numbers(account, NumberFilter(), "", 1)
            if some.items or (await platform.agents(account, "", "", 1)).items:
                return False
    except (PlatformError, NotSupported):
        return False
    return True


def why_missing(exc: CordboardError) -> str:
    """Why a platform's part of an answer is missing: the error's code and words, and its remedy
    where it has one of its own."""
    own = "" if exc.remedy == exc.default_remedy else f" {exc.remedy}"
    return f"{exc.code}: {exc.what}{own}"


def shaped(number: str) -> None:
    """Raises: InvalidNumberFormat for what is no E.164 number, with the form that may be meant."""
    if not numbers.is_canonical(number):
        raise bad_format(numbers.check(number))


def bad_format(verdict: numbers.Verdict) -> InvalidNumberFormat:
    """The error for one malformed number; the text given is not repeated."""
    meant = f" Did you mean {verdict.did_you_mean}?" if verdict.did_you_mean else ""
    return InvalidNumberFormat(f"That is not a number in E.164 form: {verdict.reason}.{meant}")

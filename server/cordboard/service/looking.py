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
    NumberRoute,
    PathwayList,
    PathwayShape,
    RouteShape,
)
from cordboard.binding import PLATFORMS, OwnedNumber, PathwayInfo
from cordboard.clock import Clock, stamp
from cordboard.cursors import Cursors
from cordboard.display import shown
from cordboard.errors import (
    AgentNotFound,
    InvalidNumberFormat,
    NumberNotFound,
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
    route_message,
    route_shape,
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
            message=listing_message(len(items), "agent", after, bool(query or platform or incomplete)),
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
            await self.agent(account, only.agent)
            platform = platform or only.agent.partition(":")[0]
        asked = {"list": "numbers", "account": account, "platform": platform, "agent": only.agent}
        asked |= {"provider": only.provider, "state": only.state, "query": only.query}

        async def fetch(p: Platform, after: str, most: int) -> Page[OwnedNumber]:
            return await p.numbers(account, only, after, most)

        items, after, incomplete = await self._gather(asked, platform, cursor, limit, fetch)
        narrowed = only != NumberFilter() or bool(platform or incomplete)
        return NumberList(
            numbers=[number_shape(owned) for owned in items],
            next_cursor=after,
            incomplete=incomplete,
            message=listing_message(len(items), "number", after, narrowed),
        )

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
            message=listing_message(len(items), "pathway", after, bool(query or platform or incomplete)),
        )

    async def _one_pathway(self, account: str, platform: str, pathway_id: str) -> PathwayList:
        found: list[PathwayShape] = []
        incomplete: list[IncompleteShape] = []
        for name in self._named(platform, incomplete):
            try:
                info = await self._platforms[name].pathway(account, pathway_id)
            except PlatformError as exc:
                incomplete.append(IncompleteShape(platform=name, why=exc.what))
                continue
            if info is not None:
                found.append(pathway_shape(info))
        if not found and not incomplete:
            raise PathwayNotFound(f'Pathway "{pathway_id}" does not exist.')
        message = listing_message(len(found), "pathway", "", narrowed=True)
        return PathwayList(pathways=found, next_cursor="", incomplete=incomplete, message=message)

    async def agent(self, account: str, agent: str) -> AgentEntry:
        """One agent. Raises: AgentNotFound, also for a platform that is not configured."""
        platform = self._platforms.get(agent.partition(":")[0])
        entry = await platform.agent(account, agent) if platform else None
        if entry is None:
            raise AgentNotFound(f"Agent {agent} not found.")
        return entry

    async def get_number_route(self, account: str, number: str) -> NumberRoute:
        """What answers a number now. Raises: InvalidNumberFormat, NumberNotFound."""
        _shaped(number)
        found: list[OwnedNumber] = []
        down: list[PlatformError] = []
        notes: list[str] = []
        for name, platform in self._platforms.items():
            try:
                owned = await platform.number(account, number)
            except PlatformError as exc:
                notes.append(f"{name} did not answer: {exc.what}")
                down.append(exc)
                continue
            if owned is not None:
                found.append(owned)
        if not found:
            raise down[0] if down else await self._not_found(account, number)
        return await self._route(account, number, found, notes)

    async def _not_found(self, account: str, number: str) -> NumberNotFound:
        verdict = numbers.check(number)
        near = [n for p in self._platforms.values() for n in await p.nearest(account, number)]
        said = f"{number} does not belong to this account."
        if not verdict.ok:
            said += f" It is no number either: {verdict.reason}."
        if near:
            said += f" Nearest owned: {', '.join(near)}; ask the user which is meant."
        else:
            listed = await self.list_numbers(account, NumberFilter(), limit=1)
            said += "" if listed.numbers or listed.incomplete else f" {EMPTY}"
        return NumberNotFound(said)

    async def _route(
        self, account: str, number: str, found: list[OwnedNumber], notes: list[str]
    ) -> NumberRoute:
        inbound: list[RouteShape] = []
        outbound: list[RouteShape] = []
        for owned in found:
            for binding in owned.bindings:
                entry = await self._platforms[owned.platform].agent(account, binding.agent)
                shape = route_shape(binding, entry.agent if entry else None)
                (inbound if binding.direction == "inbound" else outbound).append(shape)
        if len(inbound) > 1:
            held = " and ".join(r.agent for r in inbound)
            notes.append(
                f"Two platforms hold an inbound binding ({held}): the carrier decides which answers."
            )
        now = stamp(self._clock())
        rows = await self._store.read(
            lambda tx: tx.all("plans_open_on_number", account=account, number=number, now=now)
        )
        first = found[0]
        return NumberRoute(
            number=number,
            inbound=inbound,
            outbound=outbound,
            provider=first.provider,
            label=shown(first.label),
            purpose=first.purpose,
            open_plans=[row["plan_id"] for row in rows],
            notes=notes,
            message=route_message(number, inbound, outbound, len(rows)),
        )

    async def list_changes(
        self, account: str, number: str = "", agent: str = "", limit: int = 20, cursor: str = ""
    ) -> ChangeList:
        """The history, newest first: one row per number and plan, plans still open too."""
        if number:
            _shaped(number)
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
            message=listing_message(len(rows), "change", last, narrowed=True),
        )

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
            except PlatformError as exc:
                incomplete.append(IncompleteShape(platform=name, why=exc.what))
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


def _shaped(number: str) -> None:
    """Raises: InvalidNumberFormat for what is no E.164 number, with the form that may be meant."""
    if not numbers.is_canonical(number):
        verdict = numbers.check(number)
        meant = f" Did you mean {verdict.did_you_mean}?" if verdict.did_you_mean else ""
        raise InvalidNumberFormat(f"That is not a number in E.164 form: {verdict.reason}.{meant}")

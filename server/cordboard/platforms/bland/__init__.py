"""Bland: personas (V1) and agents (V2) with inbound numbers, and pathways set per number.

In Cordboard a persona is `bland:<id>`, a V2 agent `bland:agent-<id>`. A V2 agent answers through a
hidden twin persona; that twin is never listed, named or edited here, and its numbers are shown as
the V2 agent's. An id that does not fit the pattern of agents is left out of lists.
Facts are from docs.bland.ai; where it is silent, the code says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cordboard import number as numbers_of
from cordboard.binding import Agent, OwnedNumber, Pathway, PathwayInfo
from cordboard.errors import CordboardError
from cordboard.http_client import HttpClient
from cordboard.plan import Change
from cordboard.platforms import (
    Abilities,
    Accepted,
    AgentEntry,
    Call,
    Health,
    NumberFilter,
    Page,
)
from cordboard.platforms.bland.listing import page_of_agents, page_of_numbers
from cordboard.platforms.bland.observing import look_at, read_agent
from cordboard.platforms.bland.pathways import page_of_pathways, read_pathway
from cordboard.platforms.bland.reading import Reader
from cordboard.platforms.bland.rows import Held
from cordboard.platforms.bland.words import payload
from cordboard.platforms.bland.writing import (
    NO_OWN_PATHWAY,
    accepted,
    calls_of,
    is_v2,
    request_of,
)
from cordboard.request import Action, Look, Observed
from cordboard.together import together

BASE_URL = "https://api.bland.ai"


def client(key: str, base_url: str = "", **http: Any) -> HttpClient:
    """The way to Bland: the raw key in the header `authorization`, no `Bearer` (docs.bland.ai).

    `http`: timeouts, transport, sleep and the like, as HttpClient takes them. Raises: ValueError
    for a base URL that is neither https nor on this machine.
    """
    return HttpClient("Bland", base_url or BASE_URL, {"authorization": key}, **http)


class BlandPlatform:
    """A `RemotePlatform`. Every read asks Bland; nothing is remembered between two calls."""

    name = "bland"
    # One answer about a whole attach: INVALID_INBOUND_NUMBERS says nothing was done (`data: null`).
    abilities = Abilities(directions=("inbound",), tells_carrier=False, attach_at_once=25)

    def __init__(self, http: HttpClient) -> None:
        self._http = http
        self._reader = Reader(http)

    def unsupported(self, action: Action, agents: Sequence[str]) -> str:
        """V2 agents have no pathway of a number's own; all else is possible."""
        if action in ("set_pathway", "clear_pathway") and any(is_v2(agent) for agent in agents):
            return NO_OWN_PATHWAY
        return ""

    async def agents(self, account: str, query: str, after: str, limit: int) -> Page[AgentEntry]:
        """V1 agents in Bland's order, then V2 agents by id."""
        del account
        return await page_of_agents(self._reader, query, after, limit)

    async def numbers(
        self, account: str, only: NumberFilter, after: str, limit: int
    ) -> Page[OwnedNumber]:
        """Numbers that agents hold, then free ones; free ones cost a scan of all agents."""
        del account
        return await page_of_numbers(self._reader, only, after, limit)

    async def pathways(self, account: str, query: str, after: str, limit: int) -> Page[PathwayInfo]:
        """Pathways by id, without their versions; those of V2 agents' twins are left out."""
        del account
        twins = frozenset(one.twin_pathway for one in await self._reader.agents_v2())
        return await page_of_pathways(self._http, twins, query, after, limit)

    async def pathway(self, account: str, pathway_id: str) -> PathwayInfo | None:
        """One pathway with its versions; version 0 is the live one, which runs where none is pinned."""
        del account
        return await read_pathway(self._http, pathway_id)

    async def agent(self, account: str, agent: str) -> Agent | None:
        """One agent, or None."""
        del account
        return await read_agent(self._reader, agent)

    async def count(self, account: str, agent: str) -> int:
        """How many numbers an agent holds; -1 where Bland does not show them."""
        del account
        held = await self._reader.held(agent)
        return -1 if held is None else len(held)

    async def number(self, account: str, number: str) -> OwnedNumber | None:
        """A number of the account with its binding, or None; one scan."""
        del account
        return (await self._reader.inventory()).owned(number)

    async def nearest(self, account: str, number: str) -> list[str]:
        """Numbers of the account that are one edit away."""
        del account
        return numbers_of.nearest(number, await self._reader.lines())

    async def observe(self, account: str, look: Look) -> Observed:
        """Everything a decision rests on; with numbers or slugs in it, one scan of all agents."""
        del account
        return await look_at(self._http, look)

    def calls(self, change: Change) -> tuple[Call, ...]:
        """Detach, attach, set the pathway; a move to a V2 agent is one attach."""
        return calls_of(change)

    async def read(
        self, account: str, changes: Sequence[Change], *, others: bool
    ) -> list[Mapping[str, Pathway] | None]:
        """Who holds each number: a change's own agents, each read once, tell it for themselves.

        With `others`, where neither of them holds it, one scan for all such numbers tells who else
        does: V2 agents take a number over in silence, and that personas do not is documented
        nowhere.
        """
        del account
        sides = [(change.before.agent, change.after.agent) for change in changes]
        agents = list(dict.fromkeys(agent for pair in sides for agent in pair if agent))
        held = dict(
            zip(agents, await together(self._reader.held, agents, "agents read"), strict=True)
        )
        told = [
            _holders(change.number, {agent: held[agent] for agent in pair if agent})
            for change, pair in zip(changes, sides, strict=True)
        ]
        if not others or all(found is None or found for found in told):
            return told
        seen = await self._reader.inventory()
        return [
            _besides(seen.owned(change.number), pair) if found == {} else found
            for change, pair, found in zip(changes, sides, told, strict=True)
        ]

    async def write(self, account: str, call: Call, send_by: float) -> Accepted:
        """One request. Raises: PlatformError with Bland's words where it refused; AnswerLost."""
        del account
        request = request_of(call)
        reply = await self._http.send(request.method, request.path, request.body, send_by=send_by)
        return accepted(call, reply)

    async def check(self) -> Health:
        """Reads one V1 agent and one V2 agent, as both parts of Bland are needed."""
        may_write = (
            "not known: Bland does not tell the role of a key; changing needs admin, owner, "
            "operator or prompter"
        )
        try:
            payload(await self._http.get("/v1/personas", {"page": 1, "limit": 1}), "its agents")
            payload(await self._http.get("/v2/agents", {"limit": 1}), "its V2 agents")
        except CordboardError as exc:
            return Health(False, exc.what, exc.remedy, may_write)
        return Health(True, "Bland answers and takes the key.", "", may_write)

    async def close(self) -> None:
        """Let go of connections."""
        await self._http.close()


def _holders(
    number: str, held: Mapping[str, tuple[Held, ...] | None]
) -> Mapping[str, Pathway] | None:
    """Which of these agents holds the number; None where one of them does not show its numbers."""
    found: dict[str, Pathway] = {}
    for agent, numbers in held.items():
        if numbers is None:
            return None
        for one in numbers:
            if one.number == number:
                found[agent] = one.pathway
    return found


def _besides(owned: OwnedNumber | None, own: tuple[str, str]) -> dict[str, Pathway]:
    """Who else holds a number; its change's own agents have just said that they do not."""
    bound = owned.bindings if owned is not None else ()
    return {one.agent: one.pathway for one in bound if one.agent not in own}

"""UnleashX: one operation, attach, and next to nothing that can be read.

It publishes no way to tell who holds a number, to detach one, or to list numbers; its "Important
Notes" name a list of numbers and a detach that have no page. So an attach there is one way, is
proven only by UnleashX's own echo, and rests on what the operator declared: agents and numbers.
Source of every fact here: docs.unleashx.ai, "Attach Phone Number" and "Get Voice Agent API".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cordboard import number as numbers
from cordboard.binding import NO_PATHWAY, Agent, OwnedNumber, Pathway, PathwayInfo
from cordboard.errors import NotSupported, PlatformAuth, PlatformError, PlatformUnreachable
from cordboard.http_client import HttpClient
from cordboard.plan import Change
from cordboard.platforms import Abilities, Accepted, AgentEntry, Call, Health, NumberFilter, Page
from cordboard.platforms.unleashx import agents as listing
from cordboard.platforms.unleashx import limits
from cordboard.platforms.unleashx.agents import Found
from cordboard.platforms.unleashx.contracts import CONTRACTS, PREFIX, ContractName
from cordboard.platforms.unleashx.inventory import Inventory, page_of
from cordboard.platforms.unleashx.refusals import refusal
from cordboard.request import Action, Look, Observed

BASE_URL = "https://www.tryunleashx.com"
HEADERS = ("token", "api_access_token")
"""The two names that the header with the key may have."""

_LOOK_ALIKES = 10
"""For how many missing numbers of one call look-alikes are searched."""


def client(token: str, header: str = "token", base_url: str = "", **http: Any) -> HttpClient:
    """The client of an UnleashX account; `http` are timeouts, transport, sleep.

    The token never expires (docs.unleashx.ai, "Introduction"). Raises: ValueError for an empty
    token, another header than those of HEADERS, or a base URL that is not https.
    """
    if not token.strip():
        raise ValueError("the token of UnleashX is empty")
    if header not in HEADERS:
        raise ValueError(f"the header of UnleashX's token is one of {', '.join(HEADERS)}")
    return HttpClient("UnleashX", base_url or BASE_URL, {header: token}, **http)


class UnleashxPlatform:
    """Attaches numbers to agents at UnleashX; says of everything else that it is not possible.

    Declared agents are taken as they are declared, and never asked for. Of others: under `global`
    UnleashX is asked; under `agent`, which has nothing to ask, none exists where some are
    declared, and where none are every name is taken as an inbound agent without a name.
    """

    name = "unleashx"

    def __init__(
        self,
        http: HttpClient,
        contract: ContractName,
        agents: Sequence[Agent] = (),
        numbers: Sequence[OwnedNumber] = (),
    ) -> None:
        """`agents`, `numbers`: as the operator declared them.

        Raises: ValueError for an unknown contract, or an agent that it cannot have.
        """
        if contract not in CONTRACTS:
            raise ValueError(f"UnleashX's contract is one of {', '.join(CONTRACTS)}")
        self._http, self._contract = http, CONTRACTS[contract]
        self._agents = {agent.agent: agent for agent in agents}
        for agent in self._agents:
            if self._contract.agent_id(agent) is None:
                wanted = "an id" if contract == "agent" else "a whole number"
                raise ValueError(f"{agent} is no agent of UnleashX: write {PREFIX} and {wanted}")
        self._inventory = Inventory(numbers)
        self.abilities = Abilities(
            list_agents=bool(self._contract.agents or self._agents),
            list_numbers=bool(self._inventory),
            list_pathways=False,
            detach=False,
            set_pathway=False,
            read_back=False,
            tells_carrier=False,
            wants_carrier=self._contract.wants_provider,
            attach_at_once=1,
        )

    def unsupported(self, action: Action, agents: Sequence[str]) -> str:
        """All but attach."""
        del agents
        return limits.UNSUPPORTED.get(action, "")

    async def agents(self, account: str, query: str, after: str, limit: int) -> Page[AgentEntry]:
        """Declared agents, and under `global` all of UnleashX's, in the order of their names.

        UnleashX documents no paging, so each page reads the whole list.
        Raises: NotSupported where there is nothing to list from; PlatformError.
        """
        del account
        if not self.abilities.list_agents:
            raise NotSupported(limits.NO_AGENTS, limits.DECLARE)
        found = dict(self._agents)
        if self._contract.agents:
            there = [one.agent for one in await listing.every(self._http)]
            found = {agent.agent: agent for agent in there} | found
        low = query.casefold()
        named = [
            AgentEntry(agent, -1)
            for name, agent in sorted(found.items())
            if low in name.casefold() or low in agent.name.casefold()
        ]
        return page_of(named, lambda entry: entry.agent.agent, after, limit)

    async def numbers(
        self, account: str, only: NumberFilter, after: str, limit: int
    ) -> Page[OwnedNumber]:
        """The declared numbers, without bindings. Raises: NotSupported."""
        del account
        if not self.abilities.list_numbers:
            raise NotSupported(limits.NO_NUMBERS, limits.DECLARE)
        if only.agent or only.state != "any":
            remedy = "Leave out agent and state; UnleashX's own console shows who holds what."
            raise NotSupported(limits.NO_HOLDERS, remedy)
        return self._inventory.page(only, after, limit)

    async def pathways(self, account: str, query: str, after: str, limit: int) -> Page[PathwayInfo]:
        """Raises: NotSupported."""
        del account, query, after, limit
        raise NotSupported(limits.NO_PATHWAYS)

    async def pathway(self, account: str, pathway_id: str) -> PathwayInfo | None:
        """Raises: NotSupported."""
        del account, pathway_id
        raise NotSupported(limits.NO_PATHWAYS)

    async def agent(self, account: str, agent: str) -> Agent | None:
        """One agent, or None. Raises: PlatformError."""
        del account
        found = await self._found(agent)
        return found.agent if found else None

    async def count(self, account: str, agent: str) -> int:
        """-1: UnleashX does not tell."""
        del account, agent
        return -1

    async def number(self, account: str, number: str) -> OwnedNumber | None:
        """The number as it is declared, or None."""
        del account
        return self._inventory.declared(number)

    async def nearest(self, account: str, number: str) -> list[str]:
        """Declared numbers one edit away."""
        del account
        return self._inventory.nearest(number)

    async def observe(self, account: str, look: Look) -> Observed:
        """What can be known, which is little; `unchecked` says what is not. Raises: PlatformError.

        A number's provider is what the operator declared, or "". `serves` is empty for every agent.
        """
        del account
        asked = {name: await self._found(name) for name in sorted(look.agents)}
        found = {name: one for name, one in asked.items() if one is not None}
        by_slug = self._inventory.by_slug(look.slugs)
        wanted = {*look.numbers, *by_slug.values()}
        shaped = sorted(text for text in wanted if numbers.is_canonical(text))
        owned = {text: one for text in shaped if (one := self._inventory.owned(text)) is not None}
        missing = [text for text in shaped if text not in owned]
        return Observed(
            agents={name: one.agent for name, one in found.items()},
            numbers=owned,
            by_slug=by_slug,
            nearest={text: self._inventory.nearest(text) for text in missing[:_LOOK_ALIKES]},
            serves={name: frozenset() for name in sorted(look.gaining & found.keys())},
            providers=self._inventory.providers,
            unchecked=self._unchecked(look, list(found.values())),
        )

    def _unchecked(self, look: Look, found: Sequence[Found]) -> tuple[str, ...]:
        said = [limits.HOLDER, limits.ONE_WAY]
        said += [] if self._inventory else [limits.UNDECLARED]
        said += [limits.SERVES] if look.gaining else []
        for one in found:
            said += one.remarks
        return tuple(said)

    async def _found(self, agent: str) -> Found | None:
        """An agent with what was not checked of it. Raises: PlatformError."""
        if agent in self._agents:
            return Found(self._agents[agent], (limits.as_declared(agent),))
        if self._contract.agents:
            return await listing.one(self._http, agent)
        if self._agents or self._contract.agent_id(agent) is None:
            return None
        return Found(Agent(agent, "", "inbound"), (limits.as_named(agent),))

    def calls(self, change: Change) -> tuple[Call, ...]:
        """One attach, or nothing where nothing changes. Raises: NotSupported for all else."""
        before, after = change.before, change.after
        if before == after:
            return ()
        if after.agent and (before.agent == after.agent or after.pathway != NO_PATHWAY):
            raise NotSupported(limits.UNSUPPORTED["set_pathway"], limits.CONSOLE)
        if before.agent or not after.agent:
            kind: Action = "move" if after.agent else "detach"
            raise NotSupported(limits.UNSUPPORTED[kind], limits.CONSOLE)
        carrier = change.image.provider
        return (Call("attach", after.agent, after.direction, (change.number,), provider=carrier),)

    async def read(
        self, account: str, changes: Sequence[Change], *, others: bool
    ) -> list[Mapping[str, Pathway] | None]:
        """None for each: UnleashX does not tell who holds a number."""
        del account
        return [None] * len(changes)

    async def write(self, account: str, call: Call, send_by: float) -> Accepted:
        """One attach. Only UnleashX's own echo proves it; see `Contract.accepted`.

        Raises: PlatformError where it was certainly not done; AnswerLost.
        """
        del account
        if call.kind != "attach" or call.pathway != NO_PATHWAY:
            kind: Action = "detach" if call.kind == "detach" else "set_pathway"
            raise PlatformError(f"{limits.UNSUPPORTED[kind]} Nothing was sent.", limits.CONSOLE)
        body = self._contract.body(call)
        reply = await self._http.send("POST", self._contract.attach, body, send_by=send_by)
        error = refusal(reply)
        if error is not None:
            raise error
        return self._contract.accepted(call, reply.data)

    async def check(self) -> Health:
        """Under `global` by reading agents. Under `agent` nothing can be read without a write."""
        try:
            return await (self._check_agents() if self._contract.agents else self._check_host())
        except PlatformError as exc:
            return Health(False, exc.what, exc.remedy)

    async def _check_agents(self) -> Health:
        found = await listing.every(self._http)
        return Health(True, f"UnleashX takes the key; it lists {len(found)} agents for calls.")

    async def _check_host(self) -> Health:
        """A GET of the attach path: whatever the answer, the host is there; 401 is about the key."""
        try:
            reply = await self._http.get(self._contract.attach)
        except (PlatformUnreachable, PlatformAuth):
            raise
        except PlatformError as exc:
            answer, remedy = exc.what, exc.remedy
        else:
            error = refusal(reply)
            if isinstance(error, PlatformAuth):
                raise error
            answer, remedy = f"UnleashX answers ({reply.status}).", ""
        return Health(
            True,
            f"{answer} A key is configured; whether it is right shows only at the first attach: "
            'under the contract "agent" UnleashX offers nothing to read.',
            remedy,
        )

    async def close(self) -> None:
        """Let go of connections."""
        await self._http.close()

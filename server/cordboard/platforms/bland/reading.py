"""Reads of agents and numbers, each fresh from Bland; nothing is remembered between two calls.

Who holds a number stands in no documented answer about the number: it is found through the
`inbound_numbers` of the agents, so a look at numbers is one scan of all of them.
(`GET /v1/inbound/{number}` is not used: it takes a number without its plus for a US one.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from cordboard import progress
from cordboard.binding import Binding, OwnedNumber
from cordboard.display import quoted
from cordboard.http_client import HttpClient, segment
from cordboard.platforms.bland.rows import (
    V2,
    AgentV2,
    Held,
    Line,
    Persona,
    agent_v2,
    line,
    listed,
    nameable,
    persona,
    record,
)
from cordboard.platforms.bland.words import found, payload, unexpected
from cordboard.together import together

PAGE = 100
"""The most personas that one page holds (get/personas); a page with fewer is the last."""
MOST_V2 = 500
"""The most V2 agents that Bland lists, without a way to the rest (api-v2/get/agents)."""
_MOST_PAGES = 2000


@dataclass(frozen=True, slots=True)
class Inventory:
    """All numbers of the account and who holds them, from one scan.

    `personas` are all that Bland lists, twins included; `hidden` the twins it does not list.
    `blind`: V2 agents whose numbers cannot be seen. `cut`: there may be more V2 agents than Bland
    lists.
    """

    personas: tuple[Persona, ...]
    hidden: tuple[Persona, ...]
    lines: dict[str, Line]
    blind: tuple[str, ...] = ()
    cut: bool = False
    bound: dict[str, list[tuple[str, Held]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for one in self.personas + self.hidden:
            for held in one.held:
                self.bound.setdefault(held.number, []).append((one.agent, held))

    @property
    def numbers(self) -> set[str]:
        """Every number of the account; one that an agent holds is the account's too."""
        return {*self.lines, *self.bound}

    def holds(self, agent: str) -> bool:
        """Whether this agent holds any number."""
        return any(who == agent for pairs in self.bound.values() for who, _ in pairs)

    def owned(self, number: str) -> OwnedNumber | None:
        """A number of the account, or None.

        Raises: PlatformError where its holder has an id that Cordboard cannot write as an agent:
        left out, the number would look free.
        """
        pairs = self.bound.get(number, [])
        if not pairs and number not in self.lines:
            return None
        for agent, _ in pairs:
            if not nameable(agent):
                raise unexpected(f"{number} is held by an agent with the id {quoted(agent, 120)}")
        labels = [held.label for _, held in pairs]
        labels += [self.lines[number].label] if number in self.lines else []
        return owned(number, next(filter(None, labels), ""), pairs)


def owned(number: str, label: str, pairs: Sequence[tuple[str, Held]]) -> OwnedNumber:
    """A number with its bindings. Bland tells neither carrier nor purpose; the slug is its digits."""
    bindings = tuple(Binding(number, "inbound", agent, held.pathway) for agent, held in pairs)
    return OwnedNumber(number, "bland", label=label, slug=number[1:], bindings=bindings)


class Reader:
    """The reads; each raises PlatformError, PlatformAuth, PlatformRateLimited or PlatformUnreachable."""

    def __init__(self, http: HttpClient) -> None:
        self._http = http

    async def personas(self, page: int) -> tuple[list[Persona], bool]:
        """One page of V1 agents, twins among them, and whether there may be another (page 1 is first)."""
        reply = await self._http.get("/v1/personas", {"page": page, "limit": PAGE})
        rows = listed(payload(reply, "the list of agents"), "the list of agents")
        return [one for row in rows if not (one := persona(row)).deleted], len(rows) >= PAGE

    async def all_personas(self) -> list[Persona]:
        """Every V1 agent, twins among them."""
        every: dict[str, Persona] = {}
        for page in range(1, _MOST_PAGES + 1):
            rows, more = await self.personas(page)
            new = {one.id: one for one in rows}
            if rows and new.keys() <= every.keys():
                raise unexpected("the same page of agents twice")
            every |= new
            await progress.tell(len(every), 0, "agents read")
            if not more:
                return list(every.values())
        raise unexpected(f"more than {_MOST_PAGES} pages of agents")

    async def persona(self, persona_id: str) -> Persona | None:
        """One V1 agent or twin, or None where Bland has none of that id."""
        reply = await self._http.get(f"/v1/personas/{segment(persona_id)}")
        content = found(reply, f"agent {quoted(persona_id, 60)}")
        one = None if content is None else persona(content)
        if one is not None and one.id != persona_id:
            raise unexpected(f"another agent than {quoted(persona_id, 60)}, which was asked for")
        return None if one is None or one.deleted else one

    async def agents_v2(self) -> list[AgentV2]:
        """The V2 agents, at most MOST_V2."""
        reply = await self._http.get("/v2/agents", {"limit": MOST_V2})
        what = "the list of V2 agents"
        return [agent_v2(row) for row in listed(payload(reply, what), what)]

    async def agent_v2(self, agent_id: str) -> AgentV2 | None:
        """One V2 agent, or None."""
        if agent_id in ("", ".", ".."):  # the pattern of agents lets them pass, a path does not
            return None
        what = f"V2 agent {quoted(agent_id, 60)}"
        content = found(await self._http.get(f"/v2/agents/{segment(agent_id)}"), what)
        one = None if content is None else agent_v2(content)
        if one is not None and one.id != agent_id:
            raise unexpected(f"another agent than {what}, which was asked for")
        return one

    async def twin(self, agent_id: str) -> str:
        """The id of the hidden persona that holds a V2 agent's numbers; "" where it never held any.

        Says nothing of whether the agent exists: an unknown id has none (api-v2/get/agents-id-inbound).
        """
        what = f"the numbers of V2 agent {quoted(agent_id, 60)}"
        reply = await self._http.get(f"/v2/agents/{segment(agent_id)}/inbound")
        row = record(payload(reply, what), what)
        twin_id = row.get("persona_id", 0)
        if twin_id is not None and not (isinstance(twin_id, str) and nameable(f"bland:{twin_id}")):
            raise unexpected(f'{what} have no "persona_id"')
        if row.get("agent_id", agent_id) != agent_id:
            raise unexpected(f"another agent than {what}, which was asked for")
        return twin_id or ""

    async def held(self, agent: str) -> tuple[Held, ...] | None:
        """The numbers of one agent, named as in Cordboard; None where Bland does not show them."""
        own_id = agent.partition(":")[2]
        if not own_id.startswith(V2):
            one = await self.persona(own_id)
            return one.held if one is not None else ()
        twin_id = await self.twin(own_id.removeprefix(V2))
        if not twin_id:
            return ()
        behind = await self.persona(twin_id)
        return None if behind is None else behind.behind(own_id.removeprefix(V2)).held

    async def lines(self) -> dict[str, Line]:
        """The numbers of the account by number (get/inbound: not paged)."""
        what = "the list of numbers"
        row = record(payload(await self._http.get("/v1/inbound"), what, bare=True), what)
        rows = [line(one) for one in listed(row.get("inbound_numbers"), what)]
        return {one.number: one for one in rows}

    async def inventory(self) -> Inventory:
        """One scan of everything that says who holds which number.

        A V2 agent whose twin Bland does not list, or lists without its mark, is asked by itself:
        overlooked, its numbers would seem free and be taken from it in silence.
        """
        personas = {one.id: one for one in await self.all_personas()}
        agents = await self.agents_v2()
        marked = {one.twin_of for one in personas.values()}
        asked = [one.id for one in agents if one.bound and one.id not in marked]
        twin_ids = await together(self.twin, asked, "agents read")
        of_twin = {twin: own for twin, own in zip(twin_ids, asked, strict=True) if twin}
        apart = [twin for twin in of_twin if twin not in personas]
        found_apart = await together(self.persona, apart, "agents read")
        shown = {one.id: one for one in found_apart if one is not None}
        return Inventory(
            personas=tuple(
                one.behind(of_twin[own]) if own in of_twin else one for own, one in personas.items()
            ),
            hidden=tuple(one.behind(of_twin[own]) for own, one in shown.items()),
            lines=await self.lines(),
            blind=tuple(f"bland:{V2}{of_twin[twin]}" for twin in apart if twin not in shown),
            cut=len(agents) >= MOST_V2,
        )

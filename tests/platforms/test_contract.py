"""One contract for every platform, through the front door: the same accounts, calls and answers.

Where a platform lacks an ability, it must say so in plain words, and that is demanded for every
pair of platform and tool: no scenario is skipped without a test that stands in its place.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from mcp import Client
from tests.platforms.fake_bland import Account as BlandAccount
from tests.platforms.fake_bland import FakeBland
from tests.platforms.fake_synthflow import WORKSPACE, FakeSynthflow
from tests.platforms.fake_synthflow import FakeAgent as Assistant
from tests.platforms.fake_synthflow import FakeNumber as SynthflowNumber
from tests.platforms.fake_unleashx import FakeUnleashx, agent_row
from tests.platforms.vendors import passing
from tests.platforms.wire import Fake, Wire
from tests.world import (
    EMPTY,
    Clock,
    Person,
    Reply,
    Seed,
    SeedAgent,
    SeedNumber,
    SeedPathway,
    World,
    Worlds,
    read,
)

pytestmark = pytest.mark.anyio

# Each account: two numbers at agent one, one at agent two, two free; agent three has none.
HELD, HELD_TOO = "+14155551234", "+14155555678"
THEIRS = "+12025551234"
FREE, FREE_TOO = "+442012345678", "+61212345678"
NOT_OWNED = "+14155551235"  # one digit from HELD
OWNED = {HELD: "Support Line", HELD_TOO: "", THEIRS: "Sales Line", FREE: "Spare", FREE_TOO: ""}
NAMES = ("Support Agent", "Sales Agent", "Night Agent")
PATHWAYS = {
    "pathway_abc123": ("Opening Hours", {1: ["node_start"], 2: ["node_start", "node_xyz"]}),
    "pathway_sales": ("Sales", {1: ["node_start"]}),
}
OPENING: dict[str, Any] = {
    "pathway_id": "pathway_abc123",
    "pathway_version": 2,
    "start_node_id": "node_xyz",
}
SALES: dict[str, Any] = {"pathway_id": "pathway_sales", "pathway_version": 1, "start_node_id": ""}
NONE: dict[str, Any] = {"pathway_id": "", "pathway_version": 0, "start_node_id": ""}
PASSPHRASE = "correct horse battery"  # noqa: S105 - of a person who exists in this file only

ALL_ABILITIES = frozenset(
    {"list_agents", "list_numbers", "list_pathways", "holders", "detach", "move", "pathway", "undo"}
)
ONE_WAY = ALL_ABILITIES - {"list_pathways", "holders", "detach", "move", "pathway", "undo"}


@dataclass(frozen=True)
class Case:
    """A platform, three of its agents, and what it can do."""

    name: str
    ids: tuple[str, str, str]
    can: frozenset[str] = ALL_ABILITIES

    @property
    def platform(self) -> str:
        return self.name.partition("-")[0]

    @property
    def agents(self) -> tuple[str, str, str]:
        one, two, three = (f"{self.platform}:{own}" for own in self.ids)
        return one, two, three

    @property
    def direction(self) -> str:
        return "outbound" if self.name.endswith("-pool") else "inbound"

    @property
    def nobody(self) -> str:
        """An agent that could be there and is not."""
        ids = {
            "bland": "99999999-1234-4234-8234-123456789012",
            "bland-v2": "agent-nobody",
            "unleashx-global": "999",
        }
        return f"{self.platform}:{ids.get(self.name, 'nobody')}"

    @property
    def level(self) -> str:
        """What the relaxed policy demands here."""
        return "plan" if "undo" in self.can else "person"


CASES = (
    Case("local", ("one", "two", "three")),
    Case(
        "bland",
        (
            "12345678-1234-4234-8234-123456789012",
            "22222222-2222-4222-8222-222222222222",
            "33333333-3333-4333-8333-333333333333",
        ),
    ),
    Case("bland-v2", ("agent-one", "agent-two", "agent-three"), ALL_ABILITIES - {"pathway"}),
    Case("synthflow", ("one", "two", "three"), ALL_ABILITIES - {"list_pathways", "pathway"}),
    Case("unleashx-agent", ("agent_one", "agent_two", "agent_three"), ONE_WAY),
    Case("unleashx-global", ("1001", "1002", "1003"), ONE_WAY),
)
POOLS = (
    Case("local-pool", ("one", "two", "three")),
    Case("synthflow-pool", ("one", "two", "three")),
)
"""The same accounts with outbound agents, where a number may serve several."""


def able(*abilities: str) -> pytest.MarkDecorator:
    """The scenario at each platform that can do this; `LACKING` demands what the others say."""
    cases = [case for case in CASES if set(abilities) <= case.can]
    return pytest.mark.parametrize("stage", cases, ids=lambda case: case.name, indirect=True)


def unable(ability: str) -> pytest.MarkDecorator:
    """The scenario at each platform that cannot do this."""
    cases = [case for case in CASES if ability not in case.can]
    return pytest.mark.parametrize("stage", cases, ids=lambda case: case.name, indirect=True)


def side(agent: str = "", **pathway: Any) -> dict[str, Any]:
    return {"direction": "inbound", "agent": agent} | NONE | pathway


@dataclass
class Stage:
    """A world with one platform's account in it. `fake`: the vendor, None for local."""

    case: Case
    world: World
    fake: Fake | None
    kept: AsyncExitStack | None = None
    clients: dict[str, Client] = field(default_factory=dict[str, Client])

    @property
    def agents(self) -> tuple[str, str, str]:
        return self.case.agents

    async def call(
        self, tool: str, *, era: str = "auto", person: Person | None = None, **given: Any
    ) -> Reply:
        """One call, by a client that is kept for the next one where nobody is asked."""
        if person is not None or self.kept is None:
            return await self.world.call(tool, era=era, person=person, **given)
        if era not in self.clients:
            self.clients[era] = await self.kept.enter_async_context(self.world.client(era))
        return read(await self.clients[era].call_tool(tool, given))

    async def planned(self, tool: str, **given: Any) -> Reply:
        """A request that ends with a plan; nothing has changed by it."""
        before = await self.everything(), self.written()
        reply = await self.call(tool, **given)
        first = "confirmation_required" if self.case.level == "plan" else "awaiting_approval"
        assert reply.status == first, reply.text
        assert "Nothing has changed yet" in reply.message and reply.plan_id in reply.message
        assert (await self.everything(), self.written()) == before
        return reply

    async def passed(self, plan_id: str, era: str = "auto") -> Reply:
        """What becomes of a plan once whoever must has agreed."""
        if self.case.level == "person":
            approvals = self.world.app.service.approvals
            known = [who.name for who in await approvals.approvers.everyone()]
            if "ann" in known:
                ann = await approvals.approvers.verify("ann", PASSPHRASE)
            else:
                ann = await approvals.approvers.enrol("ann", PASSPHRASE, "ann", None)
            await approvals.approve(await approvals.find(plan_id), ann)
            return await self.call("get_plan", era=era, plan_id=plan_id)
        return await self.call("apply_plan", era=era, plan_id=plan_id)

    async def done(self, tool: str, era: str = "auto", **given: Any) -> Reply:
        """A change that is asked for, agreed to and applied."""
        planned = await self.planned(tool, era=era, **given)
        reply = await self.passed(planned.plan_id, era)
        assert reply.status == "applied", reply.text
        return reply

    async def refused(self, tool: str, **given: Any) -> Reply:
        """A request that is refused: an error, and nothing was written anywhere."""
        before = await self.everything(), self.written(), await self.world.seq()
        reply = await self.call(tool, **given)
        assert reply.is_error and "Nothing was changed." in reply.text, reply.text
        assert (await self.everything(), self.written(), await self.world.seq()) == before
        return reply

    def written(self) -> int:
        """How many writes the vendor was asked for."""
        return len(self.fake.writes) if self.fake else 0

    async def everything(self) -> dict[str, dict[str, Any]]:
        """Who holds each number in truth, asked past Cordboard."""
        return {number: await self.truth(number) for number in OWNED}

    async def truth(self, number: str) -> dict[str, Any]:
        """The side of a number as the account has it."""
        match self.fake:
            case None:
                rows = await self.world.sides(number)
                return dict(zip(side(), rows[0], strict=True)) if rows else side()
            case FakeBland():
                return _at_bland(self.fake.state, number)
            case FakeSynthflow():
                held = self.fake.state.holders(number)
                return side(f"synthflow:{held[0]}" if held else "")
            case FakeUnleashx():
                holder = self.fake.holder(number)
                return side(f"unleashx:{holder}" if holder else "")
        raise AssertionError(self.fake)

    async def serving(self, number: str) -> list[str]:
        """In a pool: the agents that call from a number, in truth."""
        if self.fake is None:
            return sorted(row[1] for row in await self.world.sides(number))
        return sorted(f"synthflow:{own}" for own in self.fake.state.holders(number))

    async def meddle(self, number: str, agent: str, **pathway: Any) -> None:
        """Somebody else gives the number to this agent ("" to nobody), not through this server."""
        own = agent.partition(":")[2]
        match self.fake:
            case None:
                await self._meddle_here(number, agent, pathway)
            case FakeBland():
                row = self.fake.state.numbers[number]
                row.persona = _persona(self.fake.state, own) if own else None
                row.settings = dict(pathway) or None
            case FakeSynthflow():
                for model_id, assistant in self.fake.state.agents.items():
                    kept = [n for n in assistant.pool if n != number]
                    assistant.pool[:] = [*kept, number] if model_id == own else kept
            case FakeUnleashx():
                self.fake.state["holders"][number] = own
        assert await self.truth(number) == side(agent, **pathway)

    async def _meddle_here(self, number: str, agent: str, pathway: dict[str, Any]) -> None:
        holder = (await self.truth(number))["agent"]
        if holder and holder != agent:
            await self.world.done("detach_numbers", agent=holder, numbers=[number])
        if agent and holder != agent:
            await self.world.done("attach_numbers", agent=agent, numbers=[number])
        if pathway:
            await self.world.done("set_number_pathway", agent=agent, numbers=[number], **pathway)


def _persona(account: BlandAccount, own: str) -> str:
    """The persona that holds an agent's numbers: itself, or the twin of a V2 agent."""
    if not own.startswith("agent-"):
        return own
    twin = account.agents[own.removeprefix("agent-")].twin
    assert twin is not None
    return twin


def _at_bland(account: BlandAccount, number: str) -> dict[str, Any]:
    row = account.numbers[number]
    twins = {one.twin: f"agent-{own}" for own, one in account.agents.items()}
    agent = f"bland:{twins.get(row.persona, row.persona)}" if row.persona else ""
    settings = (
        {name: row.settings[name] for name in NONE if row.settings.get(name)}
        if row.settings
        else {}
    )
    return side(agent, **settings)


# The same account at each of them


def _local(case: Case) -> Seed:
    one, two, _ = case.agents
    seed = Seed(
        agents=tuple(
            SeedAgent(*who, case.direction) for who in zip(case.agents, NAMES, strict=True)
        ),
        numbers=tuple(SeedNumber(number, label=label) for number, label in OWNED.items()),
        pathways=tuple(
            SeedPathway(own, name, tuple(tuple(nodes) for nodes in versions.values()))
            for own, (name, versions) in PATHWAYS.items()
        ),
    )
    way = case.direction
    pathway = OPENING if "pathway" in case.can else {}
    seed = seed.bound(one, HELD, HELD_TOO, direction=way)
    return seed.bound(two, THEIRS, direction=way, **pathway)


def _seconds(clock: Clock) -> Callable[[], float]:
    def now() -> float:
        return clock.now.timestamp()

    return now


def _bland(case: Case, clock: Clock) -> FakeBland:
    bland = FakeBland(_seconds(clock))
    held = {case.ids[0]: (HELD, HELD_TOO), case.ids[1]: (THEIRS,)}
    for own, name in zip(case.ids, NAMES, strict=True):
        if case.name == "bland-v2":
            bland.add_agent(own.removeprefix("agent-"), name, *held.get(own, ()))
            continue
        bland.add_persona(name, own)
        for number in held.get(own, ()):
            bland.add_number(number, own, settings=dict(OPENING) if number == THEIRS else None)
    bland.add_number(FREE)
    bland.add_number(FREE_TOO)
    for number, label in OWNED.items():
        bland.state.numbers[number].label = label or None
    for own, (name, versions) in PATHWAYS.items():
        bland.add_pathway(own, name, versions[max(versions)], dict(versions))
    return bland


def _synthflow(case: Case, clock: Clock) -> FakeSynthflow:
    synthflow = FakeSynthflow(_seconds(clock))
    for own, name in zip(case.ids, NAMES, strict=True):
        synthflow.state.agents[own] = Assistant(name, case.direction)
    synthflow.state.agents[case.ids[0]].pool += [HELD, HELD_TOO]
    synthflow.state.agents[case.ids[1]].pool += [THEIRS]
    for number, label in OWNED.items():
        synthflow.state.numbers[number] = SynthflowNumber(label=label)
    return synthflow


def _unleashx(case: Case, clock: Clock) -> FakeUnleashx:
    unleashx = FakeUnleashx(_seconds(clock))
    as_id = int if case.name == "unleashx-global" else str
    rows = [agent_row(as_id(own), name) for own, name in zip(case.ids, NAMES, strict=True)]
    unleashx.state["agents"] = {str(row["agent_id"]): row for row in rows}
    one, two, _ = case.ids
    unleashx.state["holders"] = {HELD: one, HELD_TOO: one, THEIRS: two}
    return unleashx


def _declared(case: Case) -> dict[str, Any]:
    """What UnleashX does not tell, as an operator declares it; `global` tells its agents itself."""
    contract = case.name.partition("-")[2]
    numbers = [{"number": n, "provider": "twilio", "label": label} for n, label in OWNED.items()]
    told: dict[str, Any] = {"contract": contract, "numbers": numbers}
    if contract == "agent":
        pairs = zip(case.ids, NAMES, strict=True)
        told["agents"] = [{"id": own, "name": name} for own, name in pairs]
    return told


def _settings(case: Case, fake: Fake | None) -> dict[str, Any]:
    """How an operator sets a process up for the case's account."""
    match fake:
        case FakeBland():
            return {"BLAND_API_KEY": fake.key}
        case FakeSynthflow():
            return {
                "SYNTHFLOW_API_KEY": fake.key,
                "SYNTHFLOW_REGION": "us",
                "SYNTHFLOW_WORKSPACE": WORKSPACE,
            }
        case FakeUnleashx():
            return {"UNLEASHX_TOKEN": fake.key, "unleashx": _declared(case)}
    return {}


def staged(case: Case, make_world: Worlds, policy: str = "relaxed") -> Stage:
    """The case's account, and a world for it."""
    clock = Clock()
    if case.platform == "local":
        return Stage(case, make_world(_local(case), policy=policy, clock=clock), None)
    fill: Callable[[Case, Clock], Fake] = {
        "bland": _bland,
        "synthflow": _synthflow,
        "unleashx": _unleashx,
    }[case.platform]
    fake = fill(case, clock)
    outside = {"transports": {case.platform: Wire(fake)}, "sleep": passing(clock)}
    settings = _settings(case, fake)
    world = make_world(EMPTY, policy=policy, clock=clock, outside=outside, **settings)
    return Stage(case, world, fake)


@pytest.fixture
async def stage(request: pytest.FixtureRequest, make_world: Worlds) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as kept:
        found = staged(cast(Case, request.param), make_world)
        found.kept = kept
        yield found


def only_change(reply: Reply) -> dict[str, Any]:
    [change] = reply["changes"]
    assert isinstance(change, dict)
    return change


async def pages(
    world: World, tool: str, key: str, partly: str = "", **only: Any
) -> list[dict[str, Any]]:
    """All items of a listing, walked with the smallest pages there are. `partly`: the platform that
    does not tell all of its items."""
    found: list[dict[str, Any]] = []
    cursor = ""
    async with world.client() as client:
        for _ in range(50):
            given = {"limit": 1, "cursor": cursor} | only
            data = (await client.call_tool(tool, given)).structured_content
            assert data is not None and len(data[key]) <= 1
            assert {part["platform"] for part in data["incomplete"]} <= {partly}
            found += data[key]
            cursor = data["next_cursor"]
            assert ("There are more" in data["message"]) is bool(cursor)
            if not cursor:
                return found
    raise AssertionError("the listing does not end")


# What each can do, and what it says of the rest

TOOLS_OF: dict[str, tuple[str, ...]] = {
    "detach": ("detach_numbers",),
    "move": ("move_numbers",),
    "pathway": ("set_number_pathway", "clear_number_pathway"),
    "undo": ("undo_plan",),
}
LACKING = [
    pytest.param(case, tool, id=f"{case.name}-{tool}")
    for case in CASES
    for ability, tools in TOOLS_OF.items()
    for tool in tools
    if ability not in case.can
]
VENDOR_WORDS = re.compile(
    r"persona|assistant|model_id|api_access|http|\b\d{3}\b|_id\b", re.IGNORECASE
)


@pytest.mark.parametrize("stage", CASES, ids=lambda case: case.name, indirect=True)
async def test_this_file_knows_the_platforms_as_they_name_themselves(stage: Stage) -> None:
    abilities = stage.world.app.platforms[stage.case.platform].abilities
    can = {
        name for name in ("list_agents", "list_numbers", "list_pathways", "detach")
        if getattr(abilities, name)
    }  # fmt: skip
    can |= {"holders"} if abilities.read_back else set()
    told = stage.case.can - {"move", "pathway", "undo"}
    assert can == told
    assert abilities.set_pathway is ("pathway" in stage.case.can or stage.case.name == "bland-v2")


@pytest.mark.parametrize(("stage", "tool"), LACKING, indirect=["stage"])
async def test_what_a_platform_cannot_do_is_refused_in_plain_words(
    stage: Stage, tool: str, era: str
) -> None:
    one, two, _ = stage.agents
    given: dict[str, dict[str, Any]] = {
        "detach_numbers": {"agent": one, "numbers": [HELD]},
        "move_numbers": {"from_agent": one, "to_agent": two, "numbers": [HELD]},
        "set_number_pathway": {"agent": one, "numbers": [HELD], **SALES},
        "clear_number_pathway": {"agent": one, "numbers": [HELD]},
    }
    if tool == "undo_plan":
        given[tool] = {
            "plan_id": (await stage.done("attach_numbers", agent=one, numbers=[FREE])).plan_id
        }
    reply = await stage.refused(tool, era=era, **given[tool])
    assert reply.code == "NOT_SUPPORTED"
    assert stage.case.platform in reply.text.lower() and len(reply.text.split()) > 10
    assert not VENDOR_WORDS.search(reply.text), reply.text


@unable("pathway")
async def test_a_pathway_cannot_be_carried_to_where_there_are_none(stage: Stage) -> None:
    """Whatever the tool: neither setting one nor a made-up id is asked of the platform."""
    one, *_ = stage.agents
    for given in (SALES, {"pathway_id": "no-such-pathway"}):
        reply = await stage.refused("set_number_pathway", agent=one, numbers=[HELD], **given)
        assert reply.code == "NOT_SUPPORTED"


@unable("list_pathways")
@pytest.mark.parametrize("given", [{}, {"pathway_id": "pathway_abc123"}, {"query": "x"}])
async def test_pathways_that_a_platform_does_not_have_are_said_to_be_missing(
    stage: Stage, given: dict[str, Any]
) -> None:
    platform = stage.case.platform
    for reply in (
        await stage.call("list_pathways", platform=platform, **given),
        await stage.call("list_pathways", **given),
    ):
        [missing] = reply["incomplete"]
        assert reply["pathways"] == [] and missing["platform"] == platform
        assert missing["why"].startswith("NOT_SUPPORTED: ") and platform in reply.message


@unable("holders")
async def test_who_holds_a_number_is_said_to_be_unknown_where_it_cannot_be_read(
    stage: Stage,
) -> None:
    platform, (one, *_) = stage.case.platform, stage.agents
    filters: list[dict[str, Any]] = [{"agent": one}, {"state": "free"}, {"state": "attached"}]
    for only in filters:
        reply = await stage.call("list_numbers", platform=platform, **only)
        [missing] = reply["incomplete"]
        assert reply["numbers"] == [] and missing["platform"] == platform
        assert missing["why"].startswith("NOT_SUPPORTED: ")
    route = await stage.call("get_number_route", number=HELD)
    assert route["inbound"] == [] and any(platform in note for note in route["notes"])
    assert platform in route.message


@unable("holders")
async def test_a_list_of_numbers_whose_holders_nobody_tells_does_not_pass_them_off_as_free(
    stage: Stage,
) -> None:
    reply = await stage.call("list_numbers", platform=stage.case.platform)
    said = [reply.message, *(part["why"] for part in reply["incomplete"])]
    assert any("does not tell" in words for words in said), said


# Lists


@able("list_agents")
async def test_agents_come_page_by_page_each_once(stage: Stage) -> None:
    found = await pages(stage.world, "list_agents", "agents", platform=stage.case.platform)
    assert sorted(a["agent"] for a in found) == sorted(stage.agents)
    counts = dict(zip(stage.agents, (2, 1, 0), strict=True))
    known = "holders" in stage.case.can
    assert {a["agent"]: (a["name"], a["direction"], a["numbers"]) for a in found} == {
        agent: (name, "inbound", counts[agent] if known else -1)
        for agent, name in zip(stage.agents, NAMES, strict=True)
    }
    assert sorted(a["agent"] for a in await pages(stage.world, "list_agents", "agents")) == sorted(
        stage.agents
    )


@able("list_numbers")
async def test_numbers_come_page_by_page_each_once(stage: Stage) -> None:
    platform = stage.case.platform
    partly = "" if "holders" in stage.case.can else platform
    found = await pages(stage.world, "list_numbers", "numbers", partly)
    assert sorted(n["number"] for n in found) == sorted(OWNED)
    for shown in found:
        assert shown["platform"] == platform and shown["label"] == OWNED[shown["number"]]
        assert re.fullmatch(r"[A-Za-z0-9._-]{1,64}", shown["slug"])
        if "holders" not in stage.case.can:
            assert shown["bindings"] == []
            continue
        held = await stage.truth(shown["number"])
        told = {name: value for name, value in held.items() if value}
        assert shown["bindings"] == ([told] if held["agent"] else [])


@able("list_numbers")
async def test_pages_of_numbers_have_a_size_and_an_end(stage: Stage) -> None:
    parts: list[list[dict[str, Any]]] = []
    cursor = ""
    while cursor or not parts:
        reply = await stage.call("list_numbers", limit=2, cursor=cursor)
        parts.append(reply["numbers"])
        cursor = reply["next_cursor"]
    assert [len(part) for part in parts] == [2, 2, 1]
    assert sorted(n["number"] for part in parts for n in part) == sorted(OWNED)


@able("list_pathways")
async def test_pathways_come_page_by_page_and_one_with_versions_and_nodes(stage: Stage) -> None:
    found = await pages(stage.world, "list_pathways", "pathways")
    assert {p["pathway_id"]: p["name"] for p in found} == {
        own: name for own, (name, _) in PATHWAYS.items()
    }
    assert len(found) == len(PATHWAYS)
    [one] = (await stage.call("list_pathways", pathway_id="pathway_abc123"))["pathways"]
    nodes = {v["version"]: v["nodes"] for v in one["versions"] if v["version"]}
    assert nodes == PATHWAYS["pathway_abc123"][1]
    unknown = await stage.refused("list_pathways", pathway_id="pathway_abc124")
    assert unknown.code == "PATHWAY_NOT_FOUND" and "pathway_abc124" in unknown.text


@able("list_agents", "list_numbers")
@pytest.mark.parametrize(
    ("tool", "key", "query", "expected"),
    [
        ("list_agents", "agents", "SALES", 1),
        ("list_agents", "agents", "agent", 3),
        ("list_agents", "agents", "nothing like it", 0),
        ("list_numbers", "numbers", "support line", 1),
        ("list_numbers", "numbers", "+1415555", 2),
        ("list_numbers", "numbers", "nothing like it", 0),
    ],
)
async def test_a_query_narrows_a_list(
    stage: Stage, tool: str, key: str, query: str, expected: int
) -> None:
    reply = await stage.call(tool, query=query)
    assert len(reply[key]) == expected and reply.message.startswith(f"{expected} ")


@able("list_agents")
async def test_an_agent_is_found_by_its_id(stage: Stage) -> None:
    one, *_ = stage.agents
    found = await stage.call("list_agents", query=one.partition(":")[2].upper())
    assert [agent["agent"] for agent in found["agents"]] == [one]


@able("list_pathways")
async def test_a_query_narrows_the_pathways(stage: Stage) -> None:
    found = await stage.call("list_pathways", query="opening")
    assert [pathway["pathway_id"] for pathway in found["pathways"]] == ["pathway_abc123"]


@able("holders")
async def test_numbers_are_narrowed_by_agent_and_by_state(stage: Stage) -> None:
    one, two, three = stage.agents

    async def listed(**only: Any) -> list[str]:
        reply = await stage.call("list_numbers", **only)
        assert reply["incomplete"] == []
        return sorted(n["number"] for n in reply["numbers"])

    assert await listed(agent=one) == sorted([HELD, HELD_TOO])
    assert await listed(agent=two) == [THEIRS]
    assert await listed(agent=three) == []
    assert await listed(state="attached") == sorted([HELD, HELD_TOO, THEIRS])
    assert await listed(state="free") == sorted([FREE, FREE_TOO])
    assert await listed(agent=one, state="free") == []


@able()
async def test_numbers_of_an_unknown_agent_are_an_error(stage: Stage) -> None:
    reply = await stage.refused("list_numbers", agent=stage.case.nobody)
    assert reply.code == "AGENT_NOT_FOUND" and stage.case.nobody in reply.text


# What answers a number


@able("holders")
async def test_a_route_tells_who_answers(stage: Stage) -> None:
    one, *_ = stage.agents
    route = await stage.call("get_number_route", number=HELD)
    [found] = route["inbound"]
    assert (found["agent"], found["name"]) == (one, "Support Agent")
    assert found["platform"] == stage.case.platform and one in found["why"]
    assert route["label"] == "Support Line" and route["notes"] == [] and route["outbound"] == []
    assert route.message == f"{one} answers {HELD} now."
    free = await stage.call("get_number_route", number=FREE)
    assert free["inbound"] == [] and free["notes"] == []
    assert free.message == f"Nobody answers {FREE} now."


@able("pathway")
async def test_a_route_tells_the_pathway_of_the_number(stage: Stage) -> None:
    [found] = (await stage.call("get_number_route", number=THEIRS))["inbound"]
    assert {name: found[name] for name in NONE} == OPENING
    assert "pathway_abc123" in found["why"] and "version 2" in found["why"]


@able()
async def test_a_route_of_a_number_of_nobody_s_shows_the_nearest_owned(stage: Stage) -> None:
    reply = await stage.refused("get_number_route", number=NOT_OWNED)
    assert reply.code == "NUMBER_NOT_FOUND" and HELD in reply.text
    bad = await stage.refused("get_number_route", number="0014155551234")
    assert bad.code == "INVALID_NUMBER_FORMAT" and HELD in bad.text


@able()
async def test_an_open_plan_is_told_with_the_route(stage: Stage) -> None:
    plan = await stage.planned("attach_numbers", agent=stage.agents[0], numbers=[FREE])
    route = await stage.call("get_number_route", number=FREE)
    assert route["open_plans"] == [plan.plan_id] and "1 open plan" in route.message


# Attach


@able()
async def test_a_free_number_is_attached(stage: Stage, era: str) -> None:
    one, *_ = stage.agents
    planned = await stage.planned("attach_numbers", era=era, agent=one, numbers=[FREE])
    assert planned["action"] == "attach" and planned["guard"]["required"] == stage.case.level
    change = only_change(planned)
    assert (change["before"], change["after"]) == (side(), side(one))
    assert (change["number"], change["outcome"]) == (FREE, "planned")
    applied = await stage.passed(planned.plan_id, era)
    assert applied.status == "applied", applied.text
    assert applied["counts"] == {
        "planned": 0, "unchanged": 0, "applied": 1, "not_applied": 0, "unknown": 0,
    }  # fmt: skip
    change = only_change(applied)
    assert change["outcome"] == "applied" and change["after"] == side(one)
    assert await stage.truth(FREE) == side(one)
    if "holders" in stage.case.can:
        assert applied.message.startswith("Done and read back") and change["detail"] == ""
        assert await stage.world.holders(FREE) == [one]
    else:
        assert "cannot be read back" in applied.message and change["detail"] == "not read back"
    if stage.fake:
        assert [(w.kind, w.numbers) for w in stage.fake.writes] == [("attach", (FREE,))]


@able()
async def test_several_numbers_are_attached_and_the_others_are_left_alone(stage: Stage) -> None:
    three = stage.agents[2]
    before = await stage.everything()
    done = await stage.done("attach_numbers", agent=three, numbers=[FREE, FREE_TOO])
    assert done["counts"]["applied"] == 2
    assert await stage.everything() == before | {FREE: side(three), FREE_TOO: side(three)}


@able("list_numbers")
async def test_the_slug_that_a_list_shows_names_the_same_number(stage: Stage) -> None:
    one, *_ = stage.agents
    listed = await stage.call("list_numbers", platform=stage.case.platform)
    slugs = {n["number"]: n["slug"] for n in listed["numbers"]}
    planned = await stage.planned("attach_numbers", agent=one, number_slugs=[slugs[FREE]])
    assert only_change(planned)["number"] == FREE
    assert (await stage.passed(planned.plan_id)).status == "applied"
    assert await stage.truth(FREE) == side(one)


@able()
async def test_a_slug_that_nobody_knows_is_refused_naming_the_platform(stage: Stage) -> None:
    reply = await stage.refused(
        "attach_numbers", agent=stage.agents[0], number_slugs=["nothing-like-it"]
    )
    assert reply.code == "NUMBER_NOT_FOUND"
    assert "nothing-like-it" in reply.text and stage.case.platform in reply.text


@able("holders")
async def test_a_number_that_is_attached_already_makes_no_plan(stage: Stage) -> None:
    one, *_ = stage.agents
    before = await stage.world.seq()
    reply = await stage.call("attach_numbers", agent=one, numbers=[HELD])
    assert reply.status == "no_change" and reply.plan_id == ""
    assert only_change(reply)["outcome"] == "unchanged" and reply["counts"]["unchanged"] == 1
    assert only_change(reply)["after"] == await stage.truth(HELD)
    assert await stage.world.seq() == before and stage.written() == 0


@able("holders")
async def test_numbers_that_are_so_already_stand_beside_real_changes(stage: Stage) -> None:
    one, *_ = stage.agents
    done = await stage.done("attach_numbers", agent=one, numbers=[HELD, FREE, HELD_TOO])
    assert (done["counts"]["applied"], done["counts"]["unchanged"]) == (1, 2)
    assert {c["number"]: c["outcome"] for c in done["changes"]} == {
        FREE: "applied", HELD: "unchanged", HELD_TOO: "unchanged",
    }  # fmt: skip
    if stage.fake:
        assert [w.numbers for w in stage.fake.writes] == [(FREE,)]


@able("holders")
async def test_a_number_that_another_agent_holds_is_refused_naming_it(
    stage: Stage, era: str
) -> None:
    one, two, _ = stage.agents
    reply = await stage.refused("attach_numbers", era=era, agent=one, numbers=[THEIRS])
    assert reply.code == "NUMBER_ATTACHED_ELSEWHERE"
    assert THEIRS in reply.text and two in reply.text and "move_numbers" in reply.text


@unable("holders")
async def test_a_number_of_another_agent_is_left_there_in_the_platform_s_own_words(
    stage: Stage,
) -> None:
    """Nobody can tell before: the plan warns of it, and the platform's no ends it."""
    one, two, _ = stage.agents
    planned = await stage.planned("attach_numbers", agent=one, numbers=[THEIRS])
    assert any("Who holds a number now cannot be read" in w for w in planned["warnings"])
    ended = await stage.passed(planned.plan_id)
    assert ended.status == "plan_rejected" and "Nothing was changed" in ended.message
    assert "already attached to another agent" in ended.message
    assert only_change(ended)["outcome"] == "not_applied"
    assert await stage.truth(THEIRS) == side(two)


@able()
async def test_a_number_of_nobody_s_is_refused_and_the_nearest_is_shown_not_used(
    stage: Stage,
) -> None:
    reply = await stage.refused("attach_numbers", agent=stage.agents[0], numbers=[FREE, NOT_OWNED])
    assert reply.code == "NUMBER_NOT_FOUND"
    assert NOT_OWNED in reply.text and HELD in reply.text and FREE not in reply.text


@able()
async def test_an_agent_that_is_not_there_is_refused(stage: Stage) -> None:
    nobody = stage.case.nobody
    reply = await stage.refused("attach_numbers", agent=nobody, numbers=[FREE])
    assert reply.code == "AGENT_NOT_FOUND" and nobody in reply.text


@able()
@pytest.mark.parametrize(
    ("numbers", "code", "said"),
    [
        ([FREE, FREE], "DUPLICATE_NUMBER", FREE),
        (["0044 2012 345678"], "INVALID_NUMBER_FORMAT", "E.164"),
        ([FREE, "12345"], "INVALID_NUMBER_FORMAT", "12345"),
        ([NOT_OWNED, FREE_TOO, FREE_TOO, "12345"], "INVALID_NUMBER_FORMAT", NOT_OWNED),
        ([NOT_OWNED, FREE_TOO, FREE_TOO], "DUPLICATE_NUMBER", NOT_OWNED),
    ],
)
async def test_one_bad_number_refuses_the_batch_and_every_bad_one_is_listed(
    stage: Stage, numbers: list[str], code: str, said: str
) -> None:
    reply = await stage.refused("attach_numbers", agent=stage.agents[0], numbers=numbers)
    assert reply.code == code and said in reply.text


@able("holders")
async def test_the_leading_code_of_a_batch_is_the_first_that_applies(stage: Stage) -> None:
    one, two, _ = stage.agents
    bad = [(NOT_OWNED, "NUMBER_NOT_FOUND"), (HELD, "NUMBER_ATTACHED_ELSEWHERE")]
    numbers = [FREE, HELD, NOT_OWNED]
    reply = await stage.refused("attach_numbers", agent=two, numbers=numbers)
    assert reply.code == "NUMBER_NOT_FOUND" and one in reply.text
    assert all(number in reply.text for number, _ in bad) and FREE not in reply.text
    moved = await stage.refused(
        "move_numbers", from_agent=stage.agents[2], to_agent=two, numbers=[FREE, HELD]
    )
    assert moved.code == "NUMBER_ATTACHED_ELSEWHERE" and FREE in moved.text


# Detach


@able("detach")
async def test_a_number_is_detached_and_its_pathway_goes_with_it(stage: Stage, era: str) -> None:
    _, two, _ = stage.agents
    was = await stage.truth(THEIRS)
    planned = await stage.planned("detach_numbers", era=era, agent=two, numbers=[THEIRS])
    assert (only_change(planned)["before"], only_change(planned)["after"]) == (was, side())
    assert (await stage.passed(planned.plan_id, era)).status == "applied"
    assert await stage.truth(THEIRS) == side() and await stage.world.holders(THEIRS) == []
    await stage.done("attach_numbers", agent=two, numbers=[THEIRS])
    assert await stage.truth(THEIRS) == side(two)


@able("detach")
async def test_a_detach_may_name_numbers_by_slug(stage: Stage) -> None:
    one, *_ = stage.agents
    [slug] = [
        n["slug"] for n in (await stage.call("list_numbers", agent=one))["numbers"]
        if n["number"] == HELD
    ]  # fmt: skip
    await stage.done("detach_numbers", agent=one, number_slugs=[slug])
    assert await stage.truth(HELD) == side() and await stage.truth(HELD_TOO) == side(one)


@able("detach")
async def test_detaching_what_nobody_holds_changes_nothing(stage: Stage) -> None:
    reply = await stage.call("detach_numbers", agent=stage.agents[0], numbers=[FREE])
    assert reply.status == "no_change" and reply.plan_id == "" and stage.written() == 0
    assert only_change(reply)["detail"] == "not attached"


@able("detach")
async def test_detaching_what_another_agent_holds_is_refused_naming_it(stage: Stage) -> None:
    one, two, _ = stage.agents
    reply = await stage.refused("detach_numbers", agent=one, numbers=[HELD, THEIRS])
    assert reply.code == "NUMBER_ATTACHED_ELSEWHERE" and two in reply.text
    assert HELD not in reply.text


# Move


@able("move")
async def test_a_number_is_moved_from_the_agent_that_is_named(stage: Stage, era: str) -> None:
    one, _, three = stage.agents
    before = await stage.everything()
    given = {"from_agent": one, "to_agent": three, "numbers": [HELD]}
    planned = await stage.planned("move_numbers", era=era, **given)
    assert (only_change(planned)["before"], only_change(planned)["after"]) == (
        side(one), side(three),
    )  # fmt: skip
    assert (await stage.passed(planned.plan_id, era)).status == "applied"
    assert await stage.everything() == before | {HELD: side(three)}


@able("move")
async def test_a_move_loses_the_number_s_pathway_unless_it_is_kept(stage: Stage) -> None:
    _, two, three = stage.agents
    was = await stage.truth(THEIRS)
    moves: dict[str, Any] = {"from_agent": two, "to_agent": three, "numbers": [THEIRS]}
    done = await stage.done("move_numbers", **moves)
    assert only_change(done)["before"] == was and await stage.truth(THEIRS) == side(three)


@able("move", "pathway")
async def test_a_move_may_keep_the_number_s_pathway(stage: Stage) -> None:
    _, two, three = stage.agents
    moves: dict[str, Any] = {
        "from_agent": two,
        "to_agent": three,
        "numbers": [THEIRS],
        "keep_pathway": True,
    }
    done = await stage.done("move_numbers", **moves)
    assert only_change(done)["after"] == side(three, **OPENING)
    assert await stage.truth(THEIRS) == side(three, **OPENING)


@able("move")
async def test_keeping_a_pathway_that_a_number_does_not_have_is_a_move_like_any(
    stage: Stage,
) -> None:
    one, _, three = stage.agents
    moves: dict[str, Any] = {
        "from_agent": one,
        "to_agent": three,
        "numbers": [HELD],
        "keep_pathway": True,
    }
    await stage.done("move_numbers", **moves)
    assert await stage.truth(HELD) == side(three)


@able("move")
async def test_a_move_to_where_it_is_already_changes_nothing(stage: Stage) -> None:
    one, two, _ = stage.agents
    reply = await stage.call("move_numbers", from_agent=two, to_agent=one, numbers=[HELD])
    assert reply.status == "no_change" and only_change(reply)["detail"] == "already there"


@able("move")
async def test_a_move_of_a_number_of_nobody_s_or_of_a_third_is_refused(stage: Stage) -> None:
    one, two, three = stage.agents
    free = {"from_agent": one, "to_agent": three, "numbers": [FREE]}
    reply = await stage.refused("move_numbers", **free)
    assert reply.code == "NUMBER_NOT_ATTACHED" and FREE in reply.text and one in reply.text
    third = {"from_agent": one, "to_agent": three, "numbers": [THEIRS]}
    reply = await stage.refused("move_numbers", **third)
    assert reply.code == "NUMBER_ATTACHED_ELSEWHERE" and two in reply.text


@able("move")
async def test_a_move_names_the_agents_that_are_missing(stage: Stage) -> None:
    nobody, one = stage.case.nobody, stage.agents[0]
    for given in ({"from_agent": nobody, "to_agent": one}, {"from_agent": one, "to_agent": nobody}):
        reply = await stage.refused("move_numbers", numbers=[HELD], **given)
        assert reply.code == "AGENT_NOT_FOUND"
        assert nobody in reply.text and one not in reply.text


@able()
async def test_a_move_to_another_platform_is_refused_in_plain_words(stage: Stage) -> None:
    other = "bland:somebody" if stage.case.platform != "bland" else "local:somebody"
    for given in (
        {"from_agent": stage.agents[0], "to_agent": other},
        {"from_agent": other, "to_agent": stage.agents[0]},
    ):
        reply = await stage.refused("move_numbers", numbers=[HELD], **given)
        assert reply.code == "NOT_SUPPORTED" and "two plans" in reply.text


# Pathways of a number


@able("pathway")
@pytest.mark.parametrize(
    "pathway", [OPENING, SALES, {**NONE, "pathway_id": "pathway_abc123"},
                {**NONE, "pathway_id": "pathway_abc123", "start_node_id": "node_xyz"}],
    ids=["pinned with node", "pinned", "newest", "node of the newest"],
)  # fmt: skip
async def test_a_pathway_is_set_whole(stage: Stage, pathway: dict[str, Any]) -> None:
    one, *_ = stage.agents
    given = {"agent": one, "numbers": [HELD], **pathway}
    planned = await stage.planned("set_number_pathway", **given)
    assert only_change(planned)["before"] == side(one)
    assert only_change(planned)["after"] == side(one, **pathway)
    assert (await stage.passed(planned.plan_id)).status == "applied"
    assert await stage.truth(HELD) == side(one, **pathway)


@able("pathway")
async def test_setting_a_pathway_replaces_all_three_of_its_fields(stage: Stage) -> None:
    _, two, _ = stage.agents
    await stage.done("set_number_pathway", agent=two, numbers=[THEIRS], pathway_id="pathway_sales")
    assert await stage.truth(THEIRS) == side(two, **NONE | {"pathway_id": "pathway_sales"})


@able("pathway")
async def test_a_pathway_is_cleared(stage: Stage, era: str) -> None:
    _, two, _ = stage.agents
    done = await stage.done("clear_number_pathway", era=era, agent=two, numbers=[THEIRS])
    assert only_change(done)["before"] == side(two, **OPENING)
    assert await stage.truth(THEIRS) == side(two)


@able("pathway")
async def test_a_pathway_that_is_so_already_changes_nothing(stage: Stage) -> None:
    one, two, _ = stage.agents
    same = await stage.call("set_number_pathway", agent=two, numbers=[THEIRS], **OPENING)
    none = await stage.call("clear_number_pathway", agent=one, numbers=[HELD])
    assert same.status == none.status == "no_change" and stage.written() == 0


@able("pathway")
@pytest.mark.parametrize(
    ("pathway", "said"),
    [
        ({"pathway_id": "pathway_abc124"}, "pathway_abc124"),
        ({"pathway_id": "pathway_abc123", "pathway_version": 3}, "version 3"),
        ({**OPENING, "start_node_id": "node_nope"}, "node_nope"),
        ({**OPENING, "pathway_version": 1}, "node_xyz"),
        ({"pathway_id": "pathway_sales", "start_node_id": "node_xyz"}, "node_xyz"),
    ],
    ids=["pathway", "version", "node", "node of another version", "node of the newest"],
)
async def test_a_pathway_version_or_node_that_is_not_there_is_found_before_anybody_is_asked(
    make_world: Worlds, stage: Stage, pathway: dict[str, Any], said: str
) -> None:
    asking = staged(stage.case, make_world, "standard")
    person = Person("yes")
    reply = await asking.refused(
        "set_number_pathway",
        person=person,
        agent=asking.agents[0],
        numbers=[HELD],
        **pathway,
    )
    assert reply.code == "PATHWAY_NOT_FOUND" and said in reply.text and person.asked == []


@able("pathway")
async def test_the_pathway_of_a_number_is_set_at_its_holder_only(stage: Stage) -> None:
    one, two, _ = stage.agents
    for tool, more in (("set_number_pathway", SALES), ("clear_number_pathway", {})):
        theirs = await stage.refused(tool, agent=one, numbers=[THEIRS], **more)
        assert theirs.code == "NUMBER_ATTACHED_ELSEWHERE" and two in theirs.text
        free = await stage.refused(tool, agent=one, numbers=[FREE], **more)
        assert free.code == "NUMBER_NOT_ATTACHED" and FREE in free.text


# Plans: once, and only while nothing moved


@able()
async def test_asking_for_the_same_again_gives_the_same_plan(stage: Stage) -> None:
    given = {"agent": stage.agents[0], "numbers": [FREE]}
    plan = await stage.planned("attach_numbers", **given)
    again = await stage.planned("attach_numbers", **given, reason="asked twice")
    assert again.plan_id == plan.plan_id


@able()
async def test_a_second_apply_answers_the_recorded_result_and_writes_nothing(
    stage: Stage, era: str
) -> None:
    done = await stage.done("attach_numbers", agent=stage.agents[0], numbers=[FREE])
    writes, seq = stage.written(), await stage.world.seq()
    again = await stage.call("apply_plan", era=era, plan_id=done.plan_id)
    got = await stage.call("get_plan", era=era, plan_id=done.plan_id)
    assert again.data == got.data == done.data
    assert (stage.written(), await stage.world.seq()) == (writes, seq)


@able("holders")
async def test_a_plan_whose_number_moved_meanwhile_is_rejected(stage: Stage, era: str) -> None:
    one, two, _ = stage.agents
    plan = await stage.planned("attach_numbers", agent=one, numbers=[FREE, FREE_TOO])
    await stage.meddle(FREE, two)
    writes = stage.written()
    late = await stage.call("apply_plan", era=era, plan_id=plan.plan_id)
    assert late.status == "plan_rejected" and late["counts"]["not_applied"] == 2
    assert f"{FREE} (inbound): agent was nobody, is now {two}" in late.message
    assert "Nothing was changed" in late.message and stage.written() == writes
    assert await stage.truth(FREE_TOO) == side()


@able("pathway")
async def test_a_plan_whose_number_got_another_pathway_meanwhile_is_rejected(stage: Stage) -> None:
    _, two, three = stage.agents
    plan = await stage.planned("move_numbers", from_agent=two, to_agent=three, numbers=[THEIRS])
    await stage.meddle(
        THEIRS, two, **{**OPENING, "pathway_version": 1, "start_node_id": "node_start"}
    )
    late = await stage.call("apply_plan", plan_id=plan.plan_id)
    assert late.status == "plan_rejected"
    assert "pathway_version was 2, is now 1" in late.message
    assert "start_node_id was node_xyz, is now node_start" in late.message


@able("pathway")
async def test_a_plan_whose_pathway_is_gone_meanwhile_is_rejected(stage: Stage) -> None:
    one, *_ = stage.agents
    plan = await stage.planned("set_number_pathway", agent=one, numbers=[HELD], **OPENING)
    if stage.fake:
        cast(BlandAccount, stage.fake.state).pathways["pathway_abc123"].versions[2] = ["node_start"]
    else:
        version = {"pathway_id": "pathway_abc123", "version": 2, "nodes": '["node_start"]'}
        await stage.world.put("pathway_version_put", **version)
    late = await stage.call("apply_plan", plan_id=plan.plan_id)
    assert late.status == "plan_rejected" and "node_xyz" in late.message
    assert await stage.truth(HELD) == side(one)


@able()
async def test_a_plan_that_expired_is_rejected(stage: Stage) -> None:
    plan = await stage.planned("attach_numbers", agent=stage.agents[0], numbers=[FREE])
    stage.world.clock.advance(25 * 3600)
    late = await stage.call("apply_plan", plan_id=plan.plan_id)
    assert late.status == "plan_rejected" and "expired" in late.message
    assert stage.written() == 0


@able()
async def test_a_discarded_plan_is_never_applied(stage: Stage) -> None:
    plan = await stage.planned("attach_numbers", agent=stage.agents[0], numbers=[FREE])
    for _ in range(2):
        gone = await stage.call("discard_plan", plan_id=plan.plan_id)
        assert gone.status == "discarded" and only_change(gone)["outcome"] == "not_applied"
    assert (await stage.call("get_plan", plan_id=plan.plan_id)).status == "discarded"
    late = await stage.call("apply_plan", plan_id=plan.plan_id)
    assert late.status == "plan_rejected" and "discarded" in late.message
    assert await stage.truth(FREE) == side() and stage.written() == 0


@able()
async def test_discarding_an_applied_plan_answers_its_result(stage: Stage) -> None:
    done = await stage.done("attach_numbers", agent=stage.agents[0], numbers=[FREE])
    late = await stage.call("discard_plan", plan_id=done.plan_id)
    assert late.status == "applied" and await stage.truth(FREE) == side(stage.agents[0])


# Undo

CHANGES: dict[str, tuple[str, ...]] = {
    "attach": (),
    "detach": ("detach",),
    "move": ("move",),
    "move and keep": ("move", "pathway"),
    "set": ("pathway",),
    "clear": ("pathway",),
}
UNDONE = [
    pytest.param(case, change, id=f"{case.name}-{change}")
    for case in CASES
    for change, needed in CHANGES.items()
    if {"undo", *needed} <= case.can
]


def changing(stage: Stage, change: str) -> tuple[str, dict[str, Any]]:
    """The call for a kind of change of CHANGES, of two numbers where that can be."""
    one, two, three = stage.agents
    calls: dict[str, tuple[str, dict[str, Any]]] = {
        "attach": ("attach_numbers", {"agent": three, "numbers": [FREE, FREE_TOO]}),
        "detach": ("detach_numbers", {"agent": two, "numbers": [THEIRS]}),
        "move": (
            "move_numbers",
            {"from_agent": one, "to_agent": three, "numbers": [HELD, HELD_TOO]},
        ),
        "move and keep": (
            "move_numbers",
            {"from_agent": two, "to_agent": three, "numbers": [THEIRS], "keep_pathway": True},
        ),
        "set": ("set_number_pathway", {"agent": two, "numbers": [THEIRS], **SALES}),
        "clear": ("clear_number_pathway", {"agent": two, "numbers": [THEIRS]}),
    }
    return calls[change]


@pytest.mark.parametrize(("stage", "change"), UNDONE, indirect=["stage"])
async def test_undo_brings_everything_back_and_undo_of_the_undo_does_it_again(
    stage: Stage, change: str, era: str
) -> None:
    before = await stage.everything()
    tool, given = changing(stage, change)
    done = await stage.done(tool, **given)
    after = await stage.everything()
    assert after != before and "undo_plan" in done.message
    planned = await stage.planned("undo_plan", era=era, plan_id=done.plan_id)
    assert planned["action"] == "undo"
    for row in planned["changes"]:
        assert row["before"] == after[row["number"]] and row["after"] == before[row["number"]]
    back = await stage.passed(planned.plan_id, era)
    assert back.status == "applied" and await stage.everything() == before
    again = await stage.done("undo_plan", era=era, plan_id=back.plan_id)
    assert again.status == "applied" and await stage.everything() == after


@able("undo")
async def test_a_plan_is_undone_once(stage: Stage) -> None:
    done = await stage.done("detach_numbers", agent=stage.agents[0], numbers=[HELD])
    back = await stage.done("undo_plan", plan_id=done.plan_id)
    before = await stage.everything(), stage.written(), await stage.world.seq()
    again = await stage.call("undo_plan", plan_id=done.plan_id)
    assert again.status == "plan_rejected"
    assert "already undone" in again.message and back.plan_id in again.message
    assert (await stage.everything(), stage.written(), await stage.world.seq()) == before


@able("undo")
async def test_a_plan_that_was_not_applied_cannot_be_undone(stage: Stage) -> None:
    plan = await stage.planned("attach_numbers", agent=stage.agents[0], numbers=[FREE])
    reply = await stage.call("undo_plan", plan_id=plan.plan_id)
    assert reply.status == "plan_rejected" and "not applied" in reply.message


@able("undo")
async def test_an_undo_is_refused_whole_where_others_changed_a_number_since(stage: Stage) -> None:
    one, two, _ = stage.agents
    done = await stage.done("detach_numbers", agent=one, numbers=[HELD, HELD_TOO])
    await stage.meddle(HELD_TOO, two)
    before = await stage.everything(), stage.written()
    reply = await stage.call("undo_plan", plan_id=done.plan_id)
    assert reply.status == "plan_rejected" and "Nothing was changed" in reply.message
    assert HELD_TOO in reply.message and two in reply.message
    assert (await stage.everything(), stage.written()) == before


@able("undo")
async def test_an_undo_that_moved_under_its_own_plan_is_rejected(stage: Stage) -> None:
    one, two, _ = stage.agents
    done = await stage.done("detach_numbers", agent=one, numbers=[HELD])
    plan = await stage.planned("undo_plan", plan_id=done.plan_id)
    await stage.meddle(HELD, two)
    late = await stage.call("apply_plan", plan_id=plan.plan_id)
    assert late.status == "plan_rejected" and two in late.message
    assert await stage.truth(HELD) == side(two)


@able("undo", "pathway")
async def test_an_undo_is_refused_where_its_pathway_was_changed_since(stage: Stage) -> None:
    _, two, _ = stage.agents
    done = await stage.done("clear_number_pathway", agent=two, numbers=[THEIRS])
    await stage.meddle(THEIRS, two, **SALES)
    reply = await stage.call("undo_plan", plan_id=done.plan_id)
    assert reply.status == "plan_rejected" and "pathway_sales" in reply.message


# Pools of outbound agents

pool = pytest.mark.parametrize("stage", POOLS, ids=lambda case: case.name, indirect=True)


@pool
async def test_a_number_may_serve_several_outbound_agents_each_once(stage: Stage, era: str) -> None:
    one, _, three = stage.agents
    done = await stage.done("attach_numbers", era=era, agent=three, numbers=[HELD])
    change = only_change(done)
    assert (change["direction"], change["before"]["agent"]) == ("outbound", "")
    assert change["after"]["agent"] == three and "for outbound calls" in done.message
    assert await stage.serving(HELD) == sorted([one, three])
    route = await stage.call("get_number_route", number=HELD)
    assert sorted(r["agent"] for r in route["outbound"]) == sorted([one, three])
    assert route["inbound"] == [] and route.message.startswith(f"Nobody answers {HELD} now.")
    again = await stage.call("attach_numbers", agent=three, numbers=[HELD])
    assert again.status == "no_change"


@pool
async def test_a_detach_leaves_the_other_agents_of_a_pool(stage: Stage) -> None:
    one, _, three = stage.agents
    await stage.done("attach_numbers", agent=three, numbers=[HELD])
    done = await stage.done("detach_numbers", agent=one, numbers=[HELD])
    assert await stage.serving(HELD) == [three]
    await stage.done("undo_plan", plan_id=done.plan_id)
    assert await stage.serving(HELD) == sorted([one, three])
    nobody_s = await stage.call("detach_numbers", agent=one, numbers=[THEIRS])
    assert nobody_s.status == "no_change"


@pool
async def test_a_move_takes_a_number_from_one_agent_of_its_pool(stage: Stage, era: str) -> None:
    one, two, three = stage.agents
    await stage.done("attach_numbers", agent=two, numbers=[HELD])
    moves: dict[str, Any] = {"from_agent": one, "to_agent": three, "numbers": [HELD]}
    done = await stage.done("move_numbers", era=era, **moves)
    assert await stage.serving(HELD) == sorted([two, three])
    if stage.fake:  # first to the new one, so that the number is never without
        assert [(w.kind, w.agent) for w in stage.fake.writes[-2:]] == [
            ("attach", "three"), ("detach", "one"),
        ]  # fmt: skip
    await stage.done("undo_plan", plan_id=done.plan_id)
    assert await stage.serving(HELD) == sorted([one, two])


@pool
async def test_a_move_to_an_agent_that_serves_it_already_is_only_the_leaving(stage: Stage) -> None:
    one, two, _ = stage.agents
    await stage.done("attach_numbers", agent=two, numbers=[HELD])
    moves: dict[str, Any] = {"from_agent": one, "to_agent": two, "numbers": [HELD]}
    done = await stage.done("move_numbers", **moves)
    assert only_change(done)["detail"] == f"{two} serves it already"
    assert await stage.serving(HELD) == [two]


@pool
async def test_a_move_of_a_number_that_the_agent_does_not_serve_is_refused(stage: Stage) -> None:
    one, two, three = stage.agents
    moves: dict[str, Any] = {"from_agent": one, "to_agent": three, "numbers": [THEIRS]}
    reply = await stage.call("move_numbers", **moves)
    assert reply.code == "NUMBER_NOT_ATTACHED" and one in reply.text
    assert await stage.serving(THEIRS) == [two]


@pool
async def test_a_plan_of_a_pool_is_rejected_where_the_pool_changed_meanwhile(stage: Stage) -> None:
    one, _, three = stage.agents
    plan = await stage.call("detach_numbers", agent=one, numbers=[HELD])
    if stage.fake:
        stage.fake.state.agents["three"].pool.append(HELD)
    else:
        await stage.world.done("attach_numbers", agent=three, numbers=[HELD])
    late = await stage.call("apply_plan", plan_id=plan.plan_id)
    assert late.status == "plan_rejected"
    assert f"{HELD} (outbound): agent was {one}, is now {one}, {three}" in late.message
    assert await stage.serving(HELD) == sorted([one, three])


@pool
async def test_agents_of_two_directions_do_not_move_numbers_to_each_other(stage: Stage) -> None:
    one, _, three = stage.agents
    if stage.fake:
        stage.fake.state.agents["three"].type = "inbound"
    else:
        row = {"agent": three, "name": "x", "direction": "inbound", "pathway_id": "", "user_id": ""}
        await stage.world.put("agent_put", **row, at="2026-01-31T09:00:00.000Z")
    moves: dict[str, Any] = {"from_agent": one, "to_agent": three, "numbers": [HELD]}
    reply = await stage.call("move_numbers", **moves)
    assert reply.code == "NOT_SUPPORTED" and "inbound" in reply.text and "outbound" in reply.text
    assert await stage.serving(HELD) == [one]


# History and guard


@able()
async def test_the_history_has_a_row_for_each_number_and_plan(stage: Stage) -> None:
    one, *_ = stage.agents
    given = {"agent": one, "numbers": [FREE, FREE_TOO]}
    plan = await stage.planned("attach_numbers", **given)
    waiting = "confirmation_required" if stage.case.level == "plan" else "awaiting_approval"
    rows = (await stage.call("list_changes"))["changes"]
    assert [(r["number"], r["status"], r["plan_id"]) for r in rows] == [
        (FREE, waiting, plan.plan_id), (FREE_TOO, waiting, plan.plan_id),
    ]  # fmt: skip
    await stage.passed(plan.plan_id)
    listed = (await stage.call("list_changes", number=FREE))["changes"]
    by_agent = (await stage.call("list_changes", agent=one))["changes"]
    assert listed == [row for row in by_agent if row["number"] == FREE]
    [row] = listed
    assert (row["action"], row["status"]) == ("attach", "applied")
    assert (row["before"], row["after"]) == (side(), side(one))
    assert row["by"] == ("ann" if stage.case.level == "person" else stage.world.settings.principal)
    assert (await stage.call("list_changes", number=HELD))["changes"] == []


@able("undo")
async def test_an_undo_stands_in_the_history_beside_what_it_undid(stage: Stage) -> None:
    one, *_ = stage.agents
    done = await stage.done("detach_numbers", agent=one, numbers=[HELD])
    back = await stage.done("undo_plan", plan_id=done.plan_id)
    rows = (await stage.call("list_changes", number=HELD))["changes"]
    assert [(r["action"], r["plan_id"]) for r in rows] == [
        ("undo", back.plan_id), ("detach", done.plan_id),
    ]  # fmt: skip
    assert [r["after"]["agent"] for r in rows] == [one, ""]


@able()
@pytest.mark.parametrize("answer", ["yes", "no"])
async def test_under_the_standard_policy_a_person_decides(
    make_world: Worlds, stage: Stage, answer: str, era: str
) -> None:
    """At the client where the change can be reversed; where it cannot, the client asks nobody."""
    asking, person = staged(stage.case, make_world, "standard"), Person(answer)
    one, *_ = asking.agents
    reply = await asking.call("attach_numbers", era=era, person=person, agent=one, numbers=[FREE])
    if stage.case.level == "person":
        assert reply.status == "awaiting_approval" and person.asked == []
        assert reply["approve"]["how"] == "terminal" and reply["guard"]["required"] == "person"
        assert await asking.truth(FREE) == side()
        return
    [text] = person.asked
    assert FREE in text and one in text
    assert reply.status == ("applied" if answer == "yes" else "not_confirmed")
    assert await asking.truth(FREE) == (side(one) if answer == "yes" else side())


@able()
async def test_a_frozen_account_changes_nothing_anywhere(stage: Stage) -> None:
    plan = await stage.planned("attach_numbers", agent=stage.agents[0], numbers=[FREE])
    await stage.call("freeze_changes", reason="fraud")
    new = await stage.refused("attach_numbers", agent=stage.agents[0], numbers=[FREE_TOO])
    late = await stage.refused("apply_plan", plan_id=plan.plan_id)
    assert new.code == late.code == "FROZEN"


@able()
async def test_a_read_only_process_looks_and_changes_nothing(
    make_world: Worlds, stage: Stage
) -> None:
    plan = await stage.planned("attach_numbers", agent=stage.agents[0], numbers=[FREE])
    reader = stage.world.another(CORDBOARD_READ_ONLY="1", **_settings(stage.case, stage.fake))
    assert (await reader.call("list_numbers", platform=stage.case.platform))["numbers"]
    for tool, given in (
        ("attach_numbers", {"agent": stage.agents[0], "numbers": [FREE_TOO]}),
        ("apply_plan", {"plan_id": plan.plan_id}),
    ):
        assert (await reader.call(tool, **given)).code == "READ_ONLY"
    assert stage.written() == 0

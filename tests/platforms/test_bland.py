"""The Bland adapter against a stateful fake at the wire: every operation, every refusal, no network."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from tests.platforms.fake_bland import KEY, FakeBland, persona_id
from tests.platforms.wire import Fault, Wire

from cordboard import progress
from cordboard.binding import NO_PATHWAY, Pathway, Side
from cordboard.errors import (
    AnswerLost,
    CordboardError,
    InvalidArguments,
    PlatformAuth,
    PlatformError,
    PlatformRateLimited,
    PlatformUnreachable,
)
from cordboard.plan import Change, Image
from cordboard.platforms import Accepted, Call, NumberFilter, RemotePlatform
from cordboard.platforms.bland import BlandPlatform, client
from cordboard.request import Look

pytestmark = pytest.mark.anyio

LINE, SECOND, THIRD = "+14155551234", "+14155555678", "+14165551234"
FREE, V2_LINE = "+61212345678", "+442012345678"
SUPPORT, SALES = persona_id(1), persona_id(2)
FLOW = Pathway("pathway_abc123", 2, "node_xyz")
STORED = {"pathway_id": "pathway_abc123", "pathway_version": 2, "start_node_id": "node_xyz"}
EVERYTHING = NumberFilter()


@dataclass
class Stage:
    """Bland as a test sees it: the fake, what went over the wire, and our adapter."""

    fake: FakeBland
    wire: Wire
    bland: BlandPlatform
    slept: list[float] = field(default_factory=list[float])

    @property
    def asked(self) -> list[str]:
        """Every request so far, as `METHOD path`."""
        return [f"{one.method} {one.path}" for one in self.wire.requests]

    async def write(self, call: Call) -> Accepted:
        return await self.bland.write("default", call, time.monotonic() + 30)

    async def look(self, *numbers: str, **more: Any) -> Any:
        return await self.bland.observe("default", Look(numbers=numbers, **more))

    async def every_number(self, only: NumberFilter = EVERYTHING, limit: int = 50) -> list[Any]:
        items: list[Any] = []
        after = ""
        while True:
            page = await self.bland.numbers("default", only, after, limit)
            assert len(page.items) <= limit
            items += page.items
            if not (after := page.after):
                return items


def stage_of(fake: FakeBland, key: str = KEY, base_url: str = "") -> Stage:
    wire = Wire(fake)
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    http = client(key, base_url, transport=wire, sleep=sleep)
    return Stage(fake, wire, BlandPlatform(http), slept)


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    """Two V1 agents and one V2 agent; LINE with a pathway of its own, FREE with nobody."""
    fake = FakeBland(lambda: 0.0)
    fake.add_persona("Support Agent")
    fake.add_persona("Sales", tags=["team", {"name": "west"}])
    fake.add_number(LINE, SUPPORT, "Support Line", STORED)
    fake.add_number(SECOND, SUPPORT)
    fake.add_number(THIRD, SALES, "Sales desk")
    fake.add_number(FREE, label="Spare")
    fake.add_agent("receptionist", "Receptionist", V2_LINE)
    fake.add_agent("unused", "Unused")
    fake.add_pathway("pathway_abc123", "Orders", ["start", "live"], {1: ["old"], 2: ["node_xyz"]})
    stage = stage_of(fake)
    yield stage
    await stage.bland.close()


def attach(agent: str, *numbers: str) -> Call:
    return Call("attach", f"bland:{agent}", "inbound", numbers)


def detach(agent: str, number: str) -> Call:
    return Call("detach", f"bland:{agent}", "inbound", (number,))


def set_pathway(agent: str, number: str, pathway: Pathway) -> Call:
    return Call("set_pathway", f"bland:{agent}", "inbound", (number,), pathway)


def change(
    number: str,
    before: str = "",
    after: str = "",
    old: Pathway = NO_PATHWAY,
    new: Pathway = NO_PATHWAY,
) -> Change:
    image = Image(0, (), "", "", (), "")
    sides = [
        Side("inbound", f"bland:{a}" if a else "", p) for a, p in ((before, old), (after, new))
    ]
    return Change(number, sides[0], sides[1], image)


# --- agents -----------------------------------------------------------------------------------


async def test_it_is_a_remote_platform_of_inbound_agents(stage: Stage) -> None:
    assert isinstance(stage.bland, RemotePlatform)
    assert stage.bland.abilities.directions == ("inbound",)
    assert stage.bland.abilities.read_back and stage.bland.abilities.attach_at_once == 25


async def test_agents_of_both_generations_are_listed_with_their_counts_and_twins_are_not(
    stage: Stage,
) -> None:
    page = await stage.bland.agents("default", "", "", 50)
    assert [(e.agent.agent, e.agent.name, e.numbers) for e in page.items] == [
        (f"bland:{SUPPORT}", "Support Agent", 2),
        (f"bland:{SALES}", "Sales", 1),
        ("bland:agent-receptionist", "Receptionist", 1),
        ("bland:agent-unused", "Unused", 0),
    ]
    assert {e.agent.direction for e in page.items} == {"inbound"}
    assert {e.agent.pathway_id for e in page.items} == {""}, "no field tells an agent's own pathway"
    assert page.after == ""


@pytest.mark.parametrize("mark", ["tag", "tag_object", "name"])
async def test_a_twin_is_known_by_its_mark_wherever_it_stands(mark: str) -> None:
    fake = FakeBland(lambda: 0.0)
    fake.twins = mark
    fake.add_agent("a1", "One", LINE)
    stage = stage_of(fake)
    twin = fake.state.agents["a1"].twin
    page = await stage.bland.agents("default", "", "", 50)
    assert [e.agent.agent for e in page.items] == ["bland:agent-a1"]
    assert await stage.bland.agent("default", f"bland:{twin}") is None
    [number] = await stage.every_number()
    assert [b.agent for b in number.bindings] == ["bland:agent-a1"]


async def test_agents_are_paged_without_loss_or_repetition_and_found_by_id_and_name() -> None:
    fake = FakeBland(lambda: 0.0)
    for place in range(1, 251):
        fake.add_persona(f"Agent {place:03}")
    for place in range(5):
        fake.add_agent(f"v2-{place}", f"Newer {place}")
    stage = stage_of(fake)
    names, after, pages = [], "", 0
    while True:
        page = await stage.bland.agents("default", "", after, 60)
        assert len(page.items) <= 60 and len(page.after) < 200
        assert set(page.after) <= set(
            "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:_.-"
        )
        names += [e.agent.name for e in page.items]
        pages += 1
        if not (after := page.after):
            break
    assert names == [f"Agent {n:03}" for n in range(1, 251)] + [f"Newer {n}" for n in range(5)]
    assert pages == 5
    found = await stage.bland.agents("default", "aGENT 25", "", 60)
    assert [e.agent.name for e in found.items] == ["Agent 250"]
    by_id = await stage.bland.agents("default", "AGENT-V2-3", "", 60)
    assert [e.agent.agent for e in by_id.items] == ["bland:agent-v2-3"]


async def test_the_first_page_of_agents_reads_one_page_of_the_vendor() -> None:
    fake = FakeBland(lambda: 0.0)
    for place in range(250):
        fake.add_persona(f"Agent {place}")
    stage = stage_of(fake)
    page = await stage.bland.agents("default", "", "", 50)
    assert len(page.items) == 50 and page.after
    [request] = stage.wire.requests
    assert (request.path, request.params) == ("/v1/personas", {"page": "1", "limit": "100"})


async def test_a_search_hands_back_a_key_before_it_has_read_thousands_of_agents() -> None:
    fake = FakeBland(lambda: 0.0)
    for place in range(2050):
        fake.add_persona(f"Agent {place}")
    stage = stage_of(fake)
    page = await stage.bland.agents("default", "agent 2049", "", 5)
    assert (page.items, len(stage.asked)) == ((), 20) and page.after
    rest = await stage.bland.agents("default", "agent 2049", page.after, 5)
    assert [e.agent.name for e in rest.items] == ["Agent 2049"] and rest.after == ""


async def test_a_full_last_page_still_leads_to_the_v2_agents() -> None:
    fake = FakeBland(lambda: 0.0)
    fake.add_persona("One")
    fake.add_agent("a", "Two")
    fake.add_agent("b", "Three")
    stage = stage_of(fake)
    seen, after = [], ""
    for _ in range(3):
        page = await stage.bland.agents("default", "", after, 1)
        seen += [e.agent.agent for e in page.items]
        after = page.after
    assert seen == [f"bland:{persona_id(1)}", "bland:agent-a", "bland:agent-b"]
    assert after == ""


async def test_an_agent_whose_id_no_agent_can_have_is_left_out_of_the_list() -> None:
    fake = FakeBland(lambda: 0.0)
    fake.add_persona("Bad", own_id="has space")
    fake.add_persona("Would be taken for a V2 agent", own_id="agent-smith")
    fake.add_persona("Good", own_id="good")
    stage = stage_of(fake)
    page = await stage.bland.agents("default", "", "", 50)
    assert [e.agent.agent for e in page.items] == ["bland:good"]


async def test_one_agent_is_read_and_a_missing_one_is_none(stage: Stage) -> None:
    one = await stage.bland.agent("default", f"bland:{SUPPORT}")
    assert one is not None and (one.name, one.platform) == ("Support Agent", "bland")
    assert one.user_id and one.created_at
    newer = await stage.bland.agent("default", "bland:agent-receptionist")
    assert newer is not None and newer.name == "Receptionist"
    for missing in (persona_id(77), "agent-nobody", "agent-", "agent-.."):
        assert await stage.bland.agent("default", f"bland:{missing}") is None
    assert not any("/inbound" in path for path in stage.asked), "that call knows every id"


async def test_a_deleted_agent_is_no_agent(stage: Stage) -> None:
    stage.fake.state.personas[SALES].deleted = True
    assert await stage.bland.agent("default", f"bland:{SALES}") is None
    assert await stage.bland.count("default", f"bland:{SALES}") == 0
    page = await stage.bland.agents("default", "sales", "", 50)
    assert page.items == ()


async def test_a_count_is_how_many_numbers_the_agent_holds(stage: Stage) -> None:
    counts = [
        await stage.bland.count("default", f"bland:{one}")
        for one in (SUPPORT, SALES, "agent-receptionist", "agent-unused")
    ]
    assert counts == [2, 1, 1, 0]
    stage.fake.shows_twins = False
    assert await stage.bland.count("default", "bland:agent-receptionist") == -1


# --- numbers ----------------------------------------------------------------------------------


async def test_numbers_come_with_label_slug_and_binding_and_those_of_v2_under_their_agent(
    stage: Stage,
) -> None:
    every = {one.number: one for one in await stage.every_number()}
    assert sorted(every) == sorted([LINE, SECOND, THIRD, FREE, V2_LINE])
    line = every[LINE]
    assert (line.label, line.slug, line.platform) == ("Support Line", "14155551234", "bland")
    assert (line.provider, line.purpose, line.versions) == ("", "", {})
    [binding] = line.bindings
    assert (binding.agent, binding.direction, binding.pathway) == (
        f"bland:{SUPPORT}", "inbound", FLOW)  # fmt: skip
    assert [b.agent for b in every[V2_LINE].bindings] == ["bland:agent-receptionist"]
    assert (every[FREE].bindings, every[FREE].label) == ((), "Spare")


async def test_numbers_are_narrowed_by_agent_state_and_query(stage: Stage) -> None:
    async def listed(**only: str) -> list[str]:
        return [one.number for one in await stage.every_number(NumberFilter(**only))]

    assert await listed(agent=f"bland:{SUPPORT}") == [LINE, SECOND]
    assert await listed(agent="bland:agent-receptionist") == [V2_LINE]
    assert await listed(agent=f"bland:{SUPPORT}", state="free") == []
    assert await listed(state="free") == [FREE]
    assert sorted(await listed(state="attached")) == sorted([LINE, SECOND, THIRD, V2_LINE])
    assert await listed(query="sUPPORT l") == [LINE]
    assert await listed(query="5555678") == [SECOND]
    assert await listed(provider="twilio") == [], "Bland does not tell carriers"


async def test_the_first_page_of_numbers_reads_neither_the_last_agents_nor_the_free_numbers() -> (
    None
):
    fake = FakeBland(lambda: 0.0)
    for place in range(250):
        fake.add_persona(f"Agent {place}")
        fake.add_number(f"+1415555{place:04}", persona_id(place + 1))
    for place in range(30):
        fake.add_number(f"+1416555{place:04}")
    stage = stage_of(fake)
    first = await stage.bland.numbers("default", EVERYTHING, "", 50)
    assert len(first.items) == 50 and first.after
    assert stage.asked == ["GET /v1/personas"]
    every = [one.number for one in await stage.every_number()]
    assert len(every) == 280 == len(set(every))
    assert len(await stage.every_number(limit=7)) == 280


async def test_a_listing_of_one_agents_numbers_reads_only_that_agent_and_is_paged() -> None:
    fake = FakeBland(lambda: 0.0)
    fake.add_persona("One")
    for place in range(5):
        fake.add_number(f"+1415555{place:04}", persona_id(1))
    stage = stage_of(fake)
    only = NumberFilter(agent=f"bland:{persona_id(1)}")
    assert len(await stage.every_number(only, limit=2)) == 5
    assert set(stage.asked) == {f"GET /v1/personas/{persona_id(1)}"}


async def test_a_number_that_is_not_e164_is_left_out_of_lists(stage: Stage) -> None:
    stage.fake.add_number("40404", SALES)
    stage.fake.add_number("18005551234")
    assert {one.number for one in await stage.every_number()} == {
        LINE,
        SECOND,
        THIRD,
        FREE,
        V2_LINE,
    }


async def test_a_key_of_another_make_is_refused(stage: Stage) -> None:
    with pytest.raises(InvalidArguments):
        await stage.bland.numbers("default", EVERYTHING, "p:one:two", 5)


async def test_one_number_is_found_with_its_holder_and_lookalikes_are_owned_numbers(
    stage: Stage,
) -> None:
    one = await stage.bland.number("default", LINE)
    assert one is not None and one.bindings[0].agent == f"bland:{SUPPORT}"
    assert await stage.bland.number("default", "+14155551235") is None
    assert await stage.bland.nearest("default", "+14155551235") == [LINE]
    assert not any("/v1/inbound/" in path for path in stage.asked), "it guesses a US number"


# --- pathways ---------------------------------------------------------------------------------


async def test_pathways_are_listed_by_id_and_those_of_twins_are_not(stage: Stage) -> None:
    stage.fake.add_pathway("billing", "Billing", ["a"])
    page = await stage.bland.pathways("default", "", "", 1)
    assert [info.pathway_id for info in page.items] == ["billing"]
    rest = await stage.bland.pathways("default", "", page.after, 5)
    assert [(info.pathway_id, info.name) for info in rest.items] == [("pathway_abc123", "Orders")]
    assert rest.after == ""
    found = await stage.bland.pathways("default", "oRD", "", 5)
    assert [info.name for info in found.items] == ["Orders"]


async def test_one_pathway_in_place_of_the_list_is_taken_too(stage: Stage) -> None:
    stage.fake.answering["/v1/pathway"] = {"pathway_id": "only", "name": "Only one"}
    page = await stage.bland.pathways("default", "", "", 5)
    assert [info.pathway_id for info in page.items] == ["only"]


async def test_a_pathway_has_its_version_numbers_and_the_live_one_as_version_0(
    stage: Stage,
) -> None:
    info = await stage.bland.pathway("default", "pathway_abc123")
    assert info is not None and info.name == "Orders"
    assert [(v.version, v.nodes) for v in info.versions] == [
        (0, ("start", "live")), (1, ("old",)), (2, ("node_xyz",))]  # fmt: skip
    assert "GET /v1/pathway/pathway_abc123/version/v2_abc123" in stage.asked
    assert await stage.bland.pathway("default", "nothing") is None
    assert await stage.bland.pathway("default", "..") is None


# --- observe ----------------------------------------------------------------------------------


async def test_a_look_sees_agents_numbers_slugs_pathways_and_whom_the_agent_serves(
    stage: Stage,
) -> None:
    gaining = frozenset({f"bland:{SALES}", "bland:agent-unused"})
    seen = await stage.look(
        LINE, V2_LINE, "not a number",
        agents=frozenset({f"bland:{SUPPORT}", f"bland:{persona_id(77)}", *gaining}),
        slugs=("14165551234", "nonsense"),
        pathways=frozenset({"pathway_abc123", "gone"}),
        gaining=gaining,
    )  # fmt: skip
    assert set(seen.agents) == {f"bland:{SUPPORT}", *gaining}
    assert {n: [b.agent for b in one.bindings] for n, one in seen.numbers.items()} == {
        LINE: [f"bland:{SUPPORT}"],
        V2_LINE: ["bland:agent-receptionist"],
        THIRD: [f"bland:{SALES}"],
    }
    assert seen.by_slug == {"14165551234": THIRD}
    assert seen.serves == {
        f"bland:{SALES}": frozenset({"PRODUCTION"}),
        "bland:agent-unused": frozenset(),
    }
    assert set(seen.pathways) == {"pathway_abc123"} and seen.pathways_recorded
    assert (seen.providers, seen.unchecked, seen.empty) == (frozenset(), (), False)


async def test_a_missing_number_comes_with_owned_ones_that_look_alike(stage: Stage) -> None:
    seen = await stage.look("+14155551235")
    assert seen.numbers == {} and seen.nearest == {"+14155551235": [LINE]}


async def test_a_look_without_numbers_scans_nothing(stage: Stage) -> None:
    seen = await stage.look(agents=frozenset({f"bland:{SUPPORT}"}))
    assert set(seen.agents) == {f"bland:{SUPPORT}"}
    assert stage.asked == [f"GET /v1/personas/{SUPPORT}"]


async def test_a_look_at_many_numbers_is_one_scan(stage: Stage) -> None:
    await stage.look(LINE, SECOND, THIRD, FREE, agents=frozenset({f"bland:{SUPPORT}"}))
    assert stage.asked == ["GET /v1/personas", "GET /v2/agents", "GET /v1/inbound"]


async def test_a_look_tells_a_waiting_caller_how_far_it_is() -> None:
    fake = FakeBland(lambda: 0.0)
    for place in range(120):
        fake.add_persona(f"Agent {place}")
    fake.add_number(LINE, persona_id(120))
    stage = stage_of(fake)
    told: list[tuple[float, float, str]] = []

    async def listener(done: float, total: float, what: str) -> None:
        told.append((done, total, what))

    with progress.heard_by(listener):
        seen = await stage.look(LINE)
    assert seen.numbers[LINE].bindings[0].agent == f"bland:{persona_id(120)}"
    assert told == [(100, 0, "agents read"), (120, 0, "agents read")]


async def test_a_number_that_an_agent_holds_is_owned_though_the_inventory_lacks_it(
    stage: Stage,
) -> None:
    stage.fake.answering["/v1/inbound"] = {"inbound_numbers": []}
    seen = await stage.look(LINE, FREE, slugs=("14155555678",))
    assert set(seen.numbers) == {LINE, SECOND}
    assert seen.by_slug == {"14155555678": SECOND}


async def test_numbers_of_twins_that_the_vendor_hides_are_found_through_their_agents(
    stage: Stage,
) -> None:
    stage.fake.lists_twins = False
    seen = await stage.look(V2_LINE)
    assert [b.agent for b in seen.numbers[V2_LINE].bindings] == ["bland:agent-receptionist"]
    every = {one.number: one for one in await stage.every_number()}
    assert [b.agent for b in every[V2_LINE].bindings] == ["bland:agent-receptionist"]
    assert V2_LINE not in [n.number for n in await stage.every_number(NumberFilter(state="free"))]


async def test_a_twin_without_a_mark_is_known_by_its_agent_and_is_no_agent_to_attach_to() -> None:
    fake = FakeBland(lambda: 0.0)
    fake.twins = "nothing"
    fake.add_agent("a1", "One", LINE)
    twin = fake.state.agents["a1"].twin
    stage = stage_of(fake)
    seen = await stage.look(LINE, agents=frozenset({f"bland:{twin}"}))
    assert seen.agents == {}
    assert [b.agent for b in seen.numbers[LINE].bindings] == ["bland:agent-a1"]


async def test_numbers_of_a_twin_that_cannot_be_read_are_said_to_be_unchecked(stage: Stage) -> None:
    stage.fake.lists_twins = stage.fake.shows_twins = False
    gaining = frozenset({"bland:agent-receptionist"})
    seen = await stage.look(V2_LINE, gaining=gaining, agents=gaining)
    [sentence] = seen.unchecked
    assert "bland:agent-receptionist" in sentence and "may look free" in sentence
    assert seen.serves == {"bland:agent-receptionist": frozenset({"PRODUCTION"})}


async def test_settings_that_cordboard_cannot_carry_are_said_to_be_lost(stage: Stage) -> None:
    stage.fake.state.numbers[SECOND].settings = {"pathway_id": "p", "voice": "maya", "tone": None}
    seen = await stage.look(SECOND)
    assert seen.numbers[SECOND].bindings[0].pathway == Pathway("p")
    [sentence] = seen.unchecked
    assert SECOND in sentence and "(voice)" in sentence


async def test_what_stands_on_a_free_number_itself_is_said_before_it_is_attached(
    stage: Stage,
) -> None:
    stage.fake.state.numbers[FREE].prompt = "You answer for the bakery."
    calm = await stage.look(FREE)
    assert calm.unchecked == ()
    seen = await stage.look(FREE, gaining=frozenset({f"bland:{SALES}"}))
    [sentence] = seen.unchecked
    assert FREE in sentence and "prompt" in sentence and "bakery" not in sentence


async def test_more_v2_agents_than_the_vendor_lists_are_said_to_be_unchecked() -> None:
    fake = FakeBland(lambda: 0.0)
    fake.add_number(LINE)
    for place in range(500):
        fake.add_agent(f"a{place}", "One of many")
    seen = await stage_of(fake).look(LINE)
    assert ["500" in sentence for sentence in seen.unchecked] == [True]


async def test_settings_of_a_v2_number_are_no_pathway_of_ours(stage: Stage) -> None:
    stage.fake.state.numbers[V2_LINE].settings = dict(STORED)
    seen = await stage.look(V2_LINE)
    assert seen.numbers[V2_LINE].bindings[0].pathway == NO_PATHWAY
    assert "pathway_id" in seen.unchecked[0]
    assert await stage.bland.read(
        "default", [change(V2_LINE, "agent-receptionist")], others=True
    ) == [{"bland:agent-receptionist": NO_PATHWAY}]


async def test_a_takeover_by_somebody_else_shows_in_the_next_look(stage: Stage) -> None:
    before = await stage.look(LINE)
    await stage.write(attach(SALES, LINE))  # the vendor lets it happen, without a word
    after = await stage.look(LINE)
    assert before.numbers[LINE].bindings[0].agent == f"bland:{SUPPORT}"
    assert [b.agent for b in after.numbers[LINE].bindings] == [f"bland:{SALES}"]


async def test_a_number_held_by_an_agent_without_a_sayable_id_never_looks_free() -> None:
    fake = FakeBland(lambda: 0.0)
    fake.add_persona("Odd", own_id="odd one\u202e")
    fake.add_number(LINE, "odd one\u202e")
    fake.add_number(FREE)
    stage = stage_of(fake)
    with pytest.raises(PlatformError, match="held by an agent with the id") as refused:
        await stage.look(LINE)
    assert "\u202e" not in str(refused.value)
    assert [n.number for n in await stage.every_number()] == [FREE]


# --- read -------------------------------------------------------------------------------------


async def test_a_read_asks_only_the_agents_of_the_changes_each_once(stage: Stage) -> None:
    found = await stage.bland.read(
        "default",
        [
            change(LINE, SUPPORT, SALES, FLOW),
            change(THIRD, SUPPORT, SALES),
            change(V2_LINE, "agent-receptionist", SALES),
            change(FREE, "", "agent-unused"),
        ],
        others=False,
    )
    assert found == [
        {f"bland:{SUPPORT}": FLOW},
        {f"bland:{SALES}": NO_PATHWAY},
        {"bland:agent-receptionist": NO_PATHWAY},
        {},
    ]
    assert sorted(stage.asked) == sorted([
        f"GET /v1/personas/{SUPPORT}",
        f"GET /v1/personas/{SALES}",
        "GET /v2/agents/receptionist/inbound",
        f"GET /v1/personas/{stage.fake.state.agents['receptionist'].twin}",
        "GET /v2/agents/unused/inbound",
    ])  # fmt: skip


SCAN = ["GET /v1/personas", "GET /v2/agents", "GET /v1/inbound"]
"""One look at a whole account of up to 100 personas, twins among them."""


async def test_what_no_agent_of_a_change_holds_is_looked_for_by_one_scan_for_all(
    stage: Stage,
) -> None:
    found = await stage.bland.read(
        "default",
        [
            change(FREE, "", SUPPORT),
            change(THIRD, "", SUPPORT),
            change(V2_LINE, SUPPORT, "agent-unused"),
            change(LINE, "", SUPPORT),
            change("+12025550100", "", SUPPORT),
        ],
        others=True,
    )
    assert found == [
        {},
        {f"bland:{SALES}": NO_PATHWAY},
        {"bland:agent-receptionist": NO_PATHWAY},
        {f"bland:{SUPPORT}": FLOW},
        {},
    ]
    assert stage.asked[2:] == SCAN
    assert sorted(stage.asked[:2]) == [
        f"GET /v1/personas/{SUPPORT}",
        "GET /v2/agents/unused/inbound",
    ]


async def test_numbers_that_their_own_agents_show_need_no_scan(stage: Stage) -> None:
    mine = [change(LINE, SUPPORT, SALES), change(THIRD, SUPPORT, SALES), change(SECOND, SUPPORT)]
    await stage.bland.read("default", mine, others=True)
    assert sorted(stage.asked) == [f"GET /v1/personas/{one}" for one in (SUPPORT, SALES)]


async def test_the_agents_of_a_change_speak_for_themselves_whatever_the_scan_shows(
    stage: Stage,
) -> None:
    told = {"id": SALES, "name": "Sales", "inbound_numbers": list[Any]()}
    stage.fake.answering[f"/v1/personas/{SALES}"] = {"data": told, "errors": None}
    found = await stage.bland.read("default", [change(THIRD, SALES)], others=True)
    assert found == [{}] and stage.asked[1:] == SCAN


async def test_a_holder_that_cannot_be_named_is_an_error_and_nobody_to_take_from(
    stage: Stage,
) -> None:
    stage.fake.add_persona("Odd", own_id="odd one")
    stage.fake.add_number("+12025550111", "odd one")
    odd = change("+12025550111", "", SUPPORT)
    with pytest.raises(PlatformError, match="held by an agent with the id"):
        await stage.bland.read("default", [odd], others=True)
    assert await stage.bland.read("default", [odd], others=False) == [{}]


async def test_an_agent_that_is_gone_holds_nothing_and_a_hidden_twin_cannot_be_told(
    stage: Stage,
) -> None:
    stage.fake.shows_twins = False
    gone, hidden = change(LINE, persona_id(77)), change(V2_LINE, "agent-receptionist")
    assert await stage.bland.read("default", [gone, hidden], others=False) == [{}, None]
    held = {f"bland:{SUPPORT}": FLOW}
    assert await stage.bland.read("default", [gone, hidden], others=True) == [held, None]


async def test_reads_answer_late_where_the_vendor_does(stage: Stage) -> None:
    stage.fake.lag = 60
    await stage.write(detach(SALES, THIRD))
    assert await stage.bland.read("default", [change(THIRD, SALES)], others=True) == [
        {f"bland:{SALES}": NO_PATHWAY}
    ]
    stage.fake.lag = 0
    assert await stage.bland.read("default", [change(THIRD, SALES)], others=True) == [{}]


# --- calls ------------------------------------------------------------------------------------


async def test_a_change_is_detach_then_attach_then_pathway(stage: Stage) -> None:
    calls = stage.bland.calls
    assert calls(change(LINE, "", SUPPORT)) == (attach(SUPPORT, LINE),)
    assert calls(change(LINE, SUPPORT)) == (detach(SUPPORT, LINE),)
    assert calls(change(LINE, SUPPORT, SALES)) == (detach(SUPPORT, LINE), attach(SALES, LINE))
    assert calls(change(LINE, SUPPORT, SALES, FLOW, FLOW)) == (
        detach(SUPPORT, LINE), attach(SALES, LINE), set_pathway(SALES, LINE, FLOW))  # fmt: skip
    assert calls(change(LINE, "agent-receptionist", SALES)) == (
        detach("agent-receptionist", LINE), attach(SALES, LINE))  # fmt: skip


async def test_the_same_agent_gets_only_its_pathway(stage: Stage) -> None:
    calls = stage.bland.calls
    assert calls(change(LINE, SUPPORT, SUPPORT, FLOW, Pathway("other"))) == (
        set_pathway(SUPPORT, LINE, Pathway("other")),)  # fmt: skip
    cleared = calls(change(LINE, SUPPORT, SUPPORT, FLOW, NO_PATHWAY))
    assert cleared == (set_pathway(SUPPORT, LINE, NO_PATHWAY),)
    assert calls(change(LINE, SUPPORT, SUPPORT, FLOW, FLOW)) == ()


async def test_a_move_to_a_v2_agent_is_one_attach(stage: Stage) -> None:
    for source in (SUPPORT, "agent-receptionist"):
        assert stage.bland.calls(change(LINE, source, "agent-unused")) == (
            attach("agent-unused", LINE),)  # fmt: skip
    accepted = await stage.write(attach("agent-unused", LINE))
    assert accepted.remark == ""
    found = await stage.bland.read("default", [change(LINE, SUPPORT, "agent-unused")], others=True)
    assert found == [{"bland:agent-unused": NO_PATHWAY}]


async def test_every_kind_of_change_ends_as_it_was_planned(stage: Stage) -> None:
    for one in (
        change(LINE, SUPPORT, SALES, FLOW, FLOW),
        change(FREE, "", "agent-unused"),
        change(FREE, "agent-unused", SUPPORT, NO_PATHWAY, FLOW),
        change(V2_LINE, "agent-receptionist", "agent-unused"),
        change(THIRD, SALES),
        change(LINE, SALES, SALES, FLOW, NO_PATHWAY),
    ):
        for call in stage.bland.calls(one):
            await stage.write(call)
        wanted = {one.after.agent: one.after.pathway} if one.after.agent else {}
        assert await stage.bland.read("default", [one], others=True) == [wanted], one


async def test_a_pathway_at_a_v2_agent_is_refused_in_plain_words_and_never_sent(
    stage: Stage,
) -> None:
    unsupported = stage.bland.unsupported
    for action in ("set_pathway", "clear_pathway"):
        said = unsupported(action, ["bland:agent-receptionist"])
        assert "V2 agents have no pathway of a number's own" in said
        assert unsupported(action, [f"bland:{SUPPORT}"]) == ""
    assert unsupported("move", [f"bland:{SUPPORT}", "bland:agent-receptionist"]) == ""
    with pytest.raises(PlatformError, match="V2 agents have no pathway"):
        await stage.write(set_pathway("agent-receptionist", V2_LINE, FLOW))
    assert stage.asked == []


# --- write ------------------------------------------------------------------------------------


async def test_attach_is_one_request_for_many_numbers_and_echoes_what_the_answer_shows(
    stage: Stage,
) -> None:
    accepted = await stage.write(attach(SALES, FREE, THIRD))
    assert accepted == Accepted(frozenset({FREE, THIRD}))
    [request] = stage.wire.requests
    assert request.path == f"/v1/personas/{SALES}/inbound/attach"
    assert request.body == {"inbound_numbers": [FREE, THIRD]}
    assert request.headers["authorization"] == KEY, "the raw key, without Bearer"


async def test_detach_clears_the_settings_and_leaves_strangers_alone(stage: Stage) -> None:
    assert await stage.write(detach(SUPPORT, LINE)) == Accepted(frozenset({LINE}))
    assert stage.fake.state.numbers[LINE].settings is None
    stranger = await stage.write(detach(SUPPORT, THIRD))
    assert stranger.echoed == {THIRD}, (
        "it is not among this agent's numbers, which is what was asked"
    )
    assert stage.fake.state.numbers[THIRD].persona == SALES


async def test_settings_are_sent_whole_with_the_plus_encoded(stage: Stage) -> None:
    accepted = await stage.write(set_pathway(SUPPORT, SECOND, FLOW))
    assert accepted == Accepted(frozenset({SECOND}))
    await stage.write(set_pathway(SUPPORT, SECOND, Pathway("only")))
    await stage.write(set_pathway(SUPPORT, SECOND, NO_PATHWAY))
    assert {r.path for r in stage.wire.requests} == {
        f"/v1/personas/{SUPPORT}/inbound/%2B14155555678/settings"
    }
    assert [r.body for r in stage.wire.requests] == [
        {"persona_settings": STORED},
        {"persona_settings": {"pathway_id": "only"}},
        {"persona_settings": None},
    ]
    assert stage.fake.state.numbers[SECOND].settings is None


async def test_v2_agents_are_attached_and_detached_at_their_own_address(stage: Stage) -> None:
    await stage.write(attach("agent-unused", FREE, LINE))
    accepted = await stage.write(detach("agent-unused", FREE))
    assert accepted == Accepted(frozenset({FREE}))
    assert stage.asked == [
        "POST /v2/agents/unused/inbound/attach",
        "POST /v2/agents/unused/inbound/detach",
    ]
    twin = stage.fake.state.agents["unused"].twin
    assert stage.fake.state.held(twin or "") == [LINE]


async def test_a_v2_detach_that_detached_nothing_claims_nothing(stage: Stage) -> None:
    accepted = await stage.write(detach("agent-receptionist", LINE))
    assert accepted.echoed == frozenset() and LINE in accepted.remark


REFUSALS = [
    (attach(SALES, FREE, "+12025550100"), "INVALID_INBOUND_NUMBERS", "did nothing", "imported"),
    (attach(persona_id(77), FREE), "PERSONA_NOT_FOUND", "has no agent", "list_agents"),
    (detach(persona_id(77), LINE), "PERSONA_NOT_FOUND", "has no agent", "list_agents"),
    (
        set_pathway(SALES, LINE, FLOW),
        "INBOUND_NOT_FOUND",
        "is not attached to",
        "get_number_route",
    ),
    (attach("agent-nobody", FREE), "NOT_FOUND", "Agent not found", "tell the operator"),
    (attach("agent-unused", "+12025550100"), "INVALID_INBOUND_NUMBERS", "did nothing", "list_numbers"),
    (replace(attach(SALES), numbers=()), "INVALID_BODY", "did not take the form", "operator"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "code", "what", "remedy"), REFUSALS)
async def test_a_refusal_says_code_meaning_and_remedy_and_changes_nothing(
    stage: Stage, call: Call, code: str, what: str, remedy: str
) -> None:
    with pytest.raises(PlatformError) as refused:
        await stage.write(call)
    text = str(refused.value)
    assert text.startswith("PLATFORM_ERROR: ") and text.endswith("Nothing was changed.")
    assert code in text and what in text and remedy in refused.value.remedy
    assert not any(write.ok for write in stage.fake.writes)


@pytest.mark.parametrize("agent", [SALES, "agent-unused"])
async def test_a_migration_split_is_explained_with_its_remedy(stage: Stage, agent: str) -> None:
    stage.fake.state.numbers[FREE].split = True
    with pytest.raises(PlatformError) as refused:
        await stage.write(attach(agent, FREE, THIRD))
    text = str(refused.value)
    assert "HTTP 409, MIGRATION_EXPERIMENT_NUMBER" in text and f"one of {FREE}, {THIRD}" in text
    assert "Delete the migration split of that pathway in Bland" in refused.value.remedy
    assert stage.fake.state.numbers[THIRD].persona == SALES, "all or nothing"


async def test_a_refusal_nobody_knows_keeps_the_vendors_words_without_links(stage: Stage) -> None:
    stage.fake.refusing[FREE] = (400, "AGENT_ENV_UNPINNED", "See https://evil.example/x\u202e now")
    with pytest.raises(PlatformError) as refused:
        await stage.write(attach(SALES, FREE))
    assert "HTTP 400, AGENT_ENV_UNPINNED" in refused.value.what
    assert "evil" not in str(refused.value) and "\u202e" not in str(refused.value)


async def test_a_failure_with_status_200_and_a_known_code_is_a_refusal(stage: Stage) -> None:
    stage.wire.faults.append(Fault("errors_in_200", times=2))
    with pytest.raises(PlatformError, match="INVALID_INBOUND_NUMBERS"):
        await stage.write(attach(SALES, FREE))
    with pytest.raises(PlatformError, match="INVALID_BODY"):
        await stage.write(detach("agent-receptionist", V2_LINE))
    assert stage.fake.writes == []


@pytest.mark.parametrize(
    "body",
    [
        {"data": None, "errors": [{"error": "INTERNAL_SERVER_ERROR", "message": "Try later"}]},
        {"data": None, "errors": [{"error": "RATE_LIMIT", "message": "Try later"}]},
        {"data": None, "errors": ["Try later"]},
        {"status": "error", "message": "Try later"},
        {"error": True, "message": "Try later"},
    ],
    ids=str,
)
async def test_a_failure_with_status_200_that_is_not_known_tells_nothing_of_what_was_done(
    stage: Stage, body: Any
) -> None:
    stage.fake.answering[f"/v1/personas/{SALES}/inbound/attach"] = body
    with pytest.raises(AnswerLost, match=r'"Try later".*may or may not have been done'):
        await stage.write(attach(SALES, FREE))


async def test_a_v2_agent_that_is_missing_is_a_refusal_also_with_status_200(stage: Stage) -> None:
    missing = {"data": None, "errors": [{"error": "NOT_FOUND", "message": "Agent not found"}]}
    stage.fake.answering["/v2/agents/unused/inbound/attach"] = missing
    with pytest.raises(PlatformError, match="NOT_FOUND"):
        await stage.write(attach("agent-unused", FREE))


@pytest.mark.parametrize(
    "call",
    [
        attach(SALES, FREE),
        detach(SALES, THIRD),
        set_pathway(SUPPORT, LINE, NO_PATHWAY),
        attach("agent-unused", FREE),
        detach("agent-receptionist", V2_LINE),
    ],
)
async def test_an_answer_about_something_else_or_that_is_no_json_claims_nothing(
    stage: Stage, call: Call
) -> None:
    for kind in ("another_object", "wrong_json"):
        stage.wire.faults.append(Fault(kind))
        accepted = await stage.write(call)
        assert accepted.echoed == frozenset() and accepted.remark.startswith("Bland's answer ")


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("refuse", PlatformUnreachable),
        ("reset_before", AnswerLost),
        ("reset_after", AnswerLost),
        ("timeout_after", AnswerLost),
        ("error_after", AnswerLost),
        ("half_body", AnswerLost),
    ],
)
async def test_a_write_that_broke_is_never_sent_again(
    stage: Stage, fault: str, error: type[CordboardError]
) -> None:
    stage.wire.faults.append(Fault(fault))
    with pytest.raises(error):
        await stage.write(attach(SALES, FREE))
    assert len(stage.wire.requests) == 1


async def test_a_write_that_was_slowed_down_is_sent_again_and_done_once(stage: Stage) -> None:
    stage.wire.faults.append(Fault("rate_limited", times=2))
    assert (await stage.write(attach(SALES, FREE))).echoed == {FREE}
    assert len(stage.fake.writes) == 1 and len(stage.slept) == 2
    stage.wire.faults.append(Fault("rate_limited", times=99))
    with pytest.raises(PlatformRateLimited):
        await stage.write(detach(SALES, FREE))


async def test_a_write_of_which_the_time_is_over_is_not_sent(stage: Stage) -> None:
    with pytest.raises(PlatformUnreachable):
        await stage.bland.write("default", attach(SALES, FREE), time.monotonic() - 1)
    assert stage.asked == []


@pytest.mark.parametrize(
    ("body", "call"),
    [
        ({"data": {"id": SALES}, "errors": None}, attach(SALES, FREE)),
        ({"data": {"id": SALES, "inbound_numbers": {"a": 1}}, "errors": None}, attach(SALES, FREE)),
        ({"data": {"id": SALES, "inbound_numbers": [7]}, "errors": None}, detach(SALES, FREE)),
        (
            {"data": {"id": SALES, "inbound_numbers": [{"phone_number": [FREE]}]}, "errors": None},
            attach(SALES, FREE),
        ),
        (
            {"data": {"id": SALES, "inbound_numbers": [{"phone_number": FREE, "persona_id": SUPPORT}]}},
            attach(SALES, FREE),
        ),
        ({"data": {"agent_id": "unused", "detached_count": True}}, detach("agent-unused", "+1")),
        ({"data": None, "errors": None}, attach(SALES, FREE)),
        ([], attach(SALES, FREE)),
        ("done", attach(SALES, FREE)),
        (None, attach(SALES, FREE)),
        (
            {"data": {"phone_number": FREE, "persona_id": SUPPORT, "persona_settings": STORED}},
            set_pathway(SALES, FREE, FLOW),
        ),
        (
            {"data": {"phone_number": FREE, "persona_id": SALES, "persona_settings": [1]}},
            set_pathway(SALES, FREE, FLOW),
        ),
        (
            {"data": {"phone_number": FREE, "persona_id": SALES, "persona_settings": None}},
            set_pathway(SALES, FREE, FLOW),
        ),
    ],
)  # fmt: skip
async def test_a_strange_answer_to_a_write_neither_raises_nor_claims(
    stage: Stage, body: Any, call: Call
) -> None:
    own_id = call.agent.removeprefix("bland:")
    root = f"/v2/agents/{own_id[6:]}" if own_id.startswith("agent-") else f"/v1/personas/{own_id}"
    for number in call.numbers:
        stage.fake.add_number(number, SALES)
    for path in ("attach", "detach", "%2B61212345678/settings"):
        stage.fake.answering[f"{root}/inbound/{path}"] = body
    accepted = await stage.write(call)
    assert accepted.echoed == frozenset() and accepted.remark


# --- answers that are not as documented -------------------------------------------------------

STRANGE_ROWS: list[dict[str, Any]] = [
    {"persona_id": "b"},
    {"persona_settings": []},
    {"persona_settings": {"pathway_id": 5}},
    {"persona_settings": {"pathway_version": "two"}},
    {"persona_settings": {"pathway_version": True}},
    {"persona_settings": {"pathway_version": 1.5}},
    {"persona_settings": {"start_node_id": {}}},
]
HOSTILE: list[Any] = [
    {},
    [],
    None,
    "text",
    7,
    {"data": None, "errors": None},
    {"data": {}, "errors": None},
    {"data": {"data": []}, "errors": None},
    {"data": [{}], "errors": None},
    {"data": [[]], "errors": None},
    {"data": [{"id": 5, "name": "x", "inbound_numbers": []}], "errors": None},
    {"data": [{"id": "..", "name": "x", "inbound_numbers": []}], "errors": None},
    {"data": [{"id": "a", "name": 5, "inbound_numbers": []}], "errors": None},
    {"data": [{"id": "a", "name": "x"}], "errors": None},
    {"data": [{"id": "a", "name": "x", "inbound_numbers": None}], "errors": None},
    {"data": [{"id": "a", "name": "x", "inbound_numbers": {}}], "errors": None},
    {"data": [{"id": "a", "name": "x", "inbound_numbers": ["+14155551234"]}], "errors": None},
    {"data": [{"id": "a", "name": "x", "inbound_numbers": [{"phone_number": 1}]}], "errors": None},
    *(
        {"data": [{"id": "a", "name": "x", "inbound_numbers": [{"phone_number": LINE, **more}]}]}
        | {"errors": None}
        for more in STRANGE_ROWS
    ),
]


@pytest.mark.parametrize("body", HOSTILE, ids=str)
async def test_a_list_of_agents_that_is_not_as_documented_is_an_error_never_an_empty_list(
    stage: Stage, body: Any
) -> None:
    stage.fake.answering["/v1/personas"] = body
    for read in (
        lambda: stage.bland.agents("default", "", "", 5),
        lambda: stage.bland.number("default", LINE),
        lambda: stage.look(LINE),
    ):
        with pytest.raises(PlatformError, match="Bland answered something unexpected: "):
            await read()


@pytest.mark.parametrize(
    ("path", "bodies"),
    [
        (f"/v1/personas/{SUPPORT}", [{}, [], None, "x", {"data": None, "errors": None},
            {"data": {"id": "other", "name": "x", "inbound_numbers": []}, "errors": None}]),
        ("/v1/inbound", [{}, [], None, {"inbound_numbers": None}, {"inbound_numbers": [{}]},
            {"inbound_numbers": ["+1"]}, {"data": [], "errors": None}]),
        ("/v2/agents", [{}, None, {"agents": []}, [{"id": "a"}], [{"name": "x"}], [{"id": "..", "name": "x"}]]),
        ("/v2/agents/receptionist", [{}, [], None, {"data": {"id": "other", "name": "x"}, "errors": None}]),
        ("/v2/agents/receptionist/inbound", [{}, [], None, {"data": {"persona_id": 5}, "errors": None},
            {"data": {"persona_id": "../.."}, "errors": None}, {"data": {"agent_id": "receptionist"}, "errors": None},
            {"data": {"agent_id": "other", "persona_id": None}, "errors": None}]),
        ("/v1/pathway", [{}, None, "x", [{}], [7], [{"id": "a"}], [{"id": None, "name": "x"}]]),
        ("/v1/pathway/pathway_abc123", [{}, [], None, {"name": "x"}, {"name": "x", "nodes": {}},
            {"name": "x", "nodes": [{}]}, {"name": "x", "nodes": ["a"]}]),
        ("/v1/pathway/pathway_abc123/versions", [{}, None, [{}], ["v1"], [{"id": "v1", "version_number": "1"}],
            [{"version_number": 1}], [{"id": "..", "version_number": 1}], [{"id": "a", "version_number": -1}]]),
        ("/v1/pathway/pathway_abc123/version/v2_abc123", [{}, [], None, {"nodes": [], "version_number": 7}]),
    ],
)  # fmt: skip
async def test_any_other_answer_that_is_not_as_documented_is_an_error(
    stage: Stage, path: str, bodies: list[Any]
) -> None:
    async def everything() -> None:
        await stage.bland.agent("default", f"bland:{SUPPORT}")
        await stage.bland.agent("default", "bland:agent-receptionist")
        await stage.bland.count("default", "bland:agent-receptionist")
        await stage.bland.number("default", LINE)
        await stage.bland.pathways("default", "", "", 5)
        await stage.bland.pathway("default", "pathway_abc123")

    await everything()
    for body in bodies:
        stage.fake.answering[path] = body
        with pytest.raises(PlatformError, match="Bland answered something unexpected: "):
            await everything()


async def test_the_same_page_twice_ends_in_an_error_not_in_a_loop(stage: Stage) -> None:
    row = {"name": "x", "inbound_numbers": []}
    rows = [row | {"id": f"a{place}"} for place in range(100)]
    stage.fake.answering["/v1/personas"] = {"data": rows, "errors": None}
    with pytest.raises(PlatformError, match="same page of agents twice"):
        await stage.look(LINE)
    assert len(stage.wire.requests) == 2


@pytest.mark.parametrize(
    ("settings", "pathway"),
    [
        ({}, NO_PATHWAY),
        ({"pathway_id": None, "pathway_version": None}, NO_PATHWAY),
        ({"pathway_id": "p", "pathway_version": "3"}, Pathway("p", 3)),
        ({"pathway_id": "p", "pathway_version": 3.0}, Pathway("p", 3)),
        ({"pathway_id": "p", "start_node_id": "n"}, Pathway("p", 0, "n")),
    ],
)
async def test_settings_are_read_in_the_spellings_a_vendor_may_use(
    stage: Stage, settings: dict[str, Any], pathway: Pathway
) -> None:
    stage.fake.state.numbers[LINE].settings = settings
    assert await stage.bland.read("default", [change(LINE, SUPPORT)], others=True) == [
        {f"bland:{SUPPORT}": pathway}
    ]


@pytest.mark.parametrize(
    "body",
    [
        {"status": "error", "message": "Try later", "request_id": "req_1"},
        {"error": True, "message": "Try later", "request_id": "req_1"},
        {"error": "SLOW", "message": "Try later", "request_id": "req_1"},
        {"error": {"message": "Try later", "request_id": "req_1"}},
        {"data": None, "errors": ["Try later"], "request_id": "req_1"},
        {"data": None, "errors": "Try later", "request_id": "req_1"},
        {"data": None, "errors": [{"message": "Try later", "request_id": "req_1"}]},
    ],
)
async def test_a_failure_of_any_shape_is_read_and_keeps_words_and_request(
    stage: Stage, body: Any
) -> None:
    stage.fake.answering["/v1/personas"] = body
    with pytest.raises(PlatformError) as failed:
        await stage.bland.agents("default", "", "", 5)
    assert "Try later" in failed.value.what and "req_1" in failed.value.what


async def test_a_404_that_does_not_speak_of_the_agent_is_an_error_not_a_free_number() -> None:
    fake = FakeBland(lambda: 0.0)
    stage = stage_of(fake, base_url="https://proxy.example/wrong")
    with pytest.raises(PlatformError, match="HTTP 404"):
        await stage.bland.read("default", [change(LINE, SUPPORT)], others=True)
    with pytest.raises(PlatformError):
        await stage.look(LINE)


# --- the key, and check -----------------------------------------------------------------------


@pytest.mark.parametrize("key", ["sk-bland-wrong-9876543210", f"Bearer {KEY}"])
async def test_a_wrong_key_is_told_and_never_shown(
    key: str, caplog: pytest.LogCaptureFixture
) -> None:
    fake = FakeBland(lambda: 0.0)
    fake.add_persona("One")
    stage = stage_of(fake, key)
    texts: list[str] = []
    for work in (
        stage.bland.agents("default", "", "", 5),
        stage.bland.agent("default", f"bland:{persona_id(1)}"),
        stage.write(attach(persona_id(1), LINE)),
        stage.look(LINE),
    ):
        with pytest.raises(PlatformAuth) as refused:
            await work
        texts += [str(refused.value), repr(refused.value)]
    health = await stage.bland.check()
    assert not health.ok and "doctor" in health.remedy
    texts += [health.said, caplog.text]
    assert "Invalid API key" in health.said
    assert not any(secret in text for text in texts for secret in (key, key[-12:], KEY))


async def test_the_check_reads_both_generations_and_changes_nothing(stage: Stage) -> None:
    health = await stage.bland.check()
    assert health.ok and "role" in health.may_write
    assert stage.asked == ["GET /v1/personas", "GET /v2/agents"]


@pytest.mark.parametrize(
    "fault", ["refuse", "timeout_before", "error_before", "wrong_json", "rate_limited"]
)
async def test_the_check_never_raises(stage: Stage, fault: str) -> None:
    stage.wire.faults.append(Fault(fault, on="read", times=99))
    health = await stage.bland.check()
    assert not health.ok and health.said and health.remedy


async def test_reads_are_tried_again_where_that_may_help(stage: Stage) -> None:
    stage.wire.faults.append(Fault("error_before", on="read", times=2))
    assert await stage.bland.count("default", f"bland:{SUPPORT}") == 2


async def test_a_base_url_may_carry_a_prefix_and_must_be_safe() -> None:
    fake = FakeBland(lambda: 0.0)
    stage = stage_of(fake, base_url="http://127.0.0.1:8000/compat/bland")
    await stage.bland.check()
    assert stage.wire.requests[0].path == "/compat/bland/v1/personas"
    with pytest.raises(ValueError, match="base_url"):
        client(KEY, "http://api.bland.ai")

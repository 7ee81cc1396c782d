"""The Synthflow adapter against a stateful Synthflow at the wire: what it reads, writes and refuses."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.platforms.fake_synthflow import WORKSPACE, Account, FakeAgent, FakeNumber, FakeSynthflow
from tests.platforms.wire import Fault, Refused, Wire

from cordboard import progress
from cordboard.binding import NO_PATHWAY, Direction, OwnedNumber, Pathway, Side
from cordboard.errors import (
    AnswerLost,
    CordboardError,
    NotSupported,
    PlatformAuth,
    PlatformError,
    PlatformRateLimited,
    PlatformUnreachable,
)
from cordboard.plan import Change, Image
from cordboard.platforms import AgentEntry, Call, NumberFilter, RemotePlatform
from cordboard.platforms.synthflow import NO_PATHWAYS, SynthflowPlatform, client
from cordboard.platforms.synthflow.observing import UNCONFIRMED
from cordboard.request import Look

pytestmark = pytest.mark.anyio

KEY = "sf-key-0123456789"
DESK = "11111111-aaaa-4aaa-8aaa-111111111111"  # inbound, holds SUPPORT
NIGHT = "22222222-bbbb-4bbb-8bbb-222222222222"  # inbound, holds nothing
SALES = "33333333-cccc-4ccc-8ccc-333333333333"  # outbound, holds SUPPORT and POOL
TEAM = "1700000000001x424242424242"  # outbound, an id of the older kind, holds nothing
WIDGET = "55555555-eeee-4eee-8eee-555555555555"
NOBODY = "99999999-ffff-4fff-8fff-999999999999"

SUPPORT = "+14155551234"
FREE = "+14155555678"
POOL = "+12131231214"  # its slug is not its digits: the reference's own example
POOL_SLUG = "1231242151"
NOT_OWNED = "+14155551235"  # one digit from SUPPORT
IMPORTED = "+576015110375"  # held by an agent, and neither listed nor shown

ACCOUNT = "default"


def named(model_id: str) -> str:
    return f"synthflow:{model_id}"


def seeded() -> Account:
    return Account(
        agents={
            DESK: FakeAgent("Front desk", "inbound", [SUPPORT]),
            WIDGET: FakeAgent("Web chat", "widget"),
            NIGHT: FakeAgent("Night desk", "inbound"),
            SALES: FakeAgent("Sales calls", "outbound", [SUPPORT, POOL]),
            TEAM: FakeAgent("Team", "outbound"),
        },
        numbers={
            SUPPORT: FakeNumber(label="Support Line", provider="Twilio"),
            FREE: FakeNumber(provider="five9"),
            POOL: FakeNumber(slug=POOL_SLUG, label="Pool", provider="telnyx"),
        },
    )


@dataclass
class Bench:
    """An adapter, the vendor behind it, and the wire between them."""

    fake: FakeSynthflow
    wire: Wire
    platform: SynthflowPlatform
    slept: list[float] = field(default_factory=list[float])

    @property
    def asked(self) -> list[str]:
        return [f"{r.method} {r.path}" for r in self.wire.requests]

    async def write(self, call: Call) -> Any:
        return await self.platform.write(ACCOUNT, call, time.monotonic() + 60)

    async def number(self, number: str) -> OwnedNumber:
        found = await self.platform.number(ACCOUNT, number)
        assert found is not None
        return found


Make = Callable[..., Bench]


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    """Makes benches: `make()`, `make(account)`, `make(key="wrong")`, `make(workspace="other")`."""
    made: list[Bench] = []

    def build(
        account: Account | None = None,
        key: str = KEY,
        workspace: str = WORKSPACE,
        base_url: str = "",
    ) -> Bench:
        clock = [1000.0]
        fake = FakeSynthflow(lambda: clock[0], seeded() if account is None else account, KEY)
        wire = Wire(fake)
        slept: list[float] = []

        async def sleep(seconds: float) -> None:
            slept.append(seconds)

        http = client(key, "global", base_url, transport=wire, sleep=sleep)
        made.append(Bench(fake, wire, SynthflowPlatform(http, workspace), slept))
        return made[-1]

    yield build
    for one in made:
        await one.platform.close()


@pytest.fixture
def bench(make: Make) -> Bench:
    return make()


def change(
    number: str, way: Direction, before: str = "", after: str = "", provider: str = "twilio"
) -> Change:
    image = Image(0, (named(before),) if before else (), provider, "", (), "")
    old = Side(way, named(before) if before else "")
    return Change(number, old, Side(way, named(after) if after else ""), image)


async def every_agent(bench: Bench, limit: int, query: str = "") -> list[AgentEntry]:
    found: list[AgentEntry] = []
    after = ""
    while True:
        page = await bench.platform.agents(ACCOUNT, query, after, limit)
        assert len(page.items) <= limit
        assert re.fullmatch(r"[A-Za-z0-9.:_-]{0,200}", page.after)
        found += page.items
        after = page.after
        if not after:
            return found


async def every_number(bench: Bench, limit: int, only: NumberFilter) -> list[str]:
    found: list[str] = []
    after = ""
    while True:
        page = await bench.platform.numbers(ACCOUNT, only, after, limit)
        assert len(page.items) <= limit
        assert re.fullmatch(r"[A-Za-z0-9.:_-]{0,200}", page.after)
        found += [one.number for one in page.items]
        after = page.after
        if not after:
            return found


def refuse(status: int, body: Any) -> Callable[[Any], Any]:
    """For `overrides`: this refusal in place of the answer."""

    def refused(_: Any) -> Any:
        raise Refused(status, body)

    return refused


def bound(owned: OwnedNumber) -> set[tuple[str, str]]:
    return {(b.direction, b.agent.removeprefix("synthflow:")) for b in owned.bindings}


# --- agents -------------------------------------------------------------------------------------


async def test_it_is_a_remote_platform_that_says_what_it_cannot_do(bench: Bench) -> None:
    platform: RemotePlatform = bench.platform
    abilities = platform.abilities
    assert platform.name == "synthflow"
    assert abilities.read_back and abilities.attach and abilities.detach
    assert not abilities.set_pathway and not abilities.list_pathways
    assert abilities.attach_at_once == 25
    assert platform.unsupported("set_pathway", [named(DESK)]) == NO_PATHWAYS
    assert platform.unsupported("clear_pathway", [named(DESK)]) == NO_PATHWAYS
    for action in ("attach", "move", "detach", "undo"):
        assert platform.unsupported(action, [named(DESK), named(NIGHT)]) == ""


async def test_agents_are_told_with_direction_and_count_and_widgets_are_left_out(
    bench: Bench,
) -> None:
    page = await bench.platform.agents(ACCOUNT, "", "", 50)
    assert [(e.agent.agent, e.agent.name, e.agent.direction, e.numbers) for e in page.items] == [
        (named(DESK), "Front desk", "inbound", 1),
        (named(NIGHT), "Night desk", "inbound", 0),
        (named(SALES), "Sales calls", "outbound", 2),
        (named(TEAM), "Team", "outbound", 0),
    ]
    assert page.after == ""
    assert "GET /v2/assistants/" in bench.asked


@pytest.mark.parametrize("query", ["DESK", "desk"])
async def test_a_query_finds_agents_by_name_in_either_case(bench: Bench, query: str) -> None:
    found = await every_agent(bench, 50, query)
    assert [entry.agent.name for entry in found] == ["Front desk", "Night desk"]


async def test_a_query_finds_agents_by_id(bench: Bench) -> None:
    found = await every_agent(bench, 50, TEAM[:12].upper())
    assert [entry.agent.agent for entry in found] == [named(TEAM)]


@pytest.mark.parametrize("limit", [1, 2, 3, 200])
async def test_pages_of_agents_give_each_once(bench: Bench, limit: int) -> None:
    found = await every_agent(bench, limit)
    assert [e.agent.agent for e in found] == [named(one) for one in (DESK, NIGHT, SALES, TEAM)]


async def test_a_search_for_one_agent_goes_through_hundreds_by_itself(make: Make) -> None:
    agents = {f"agent-{i}": FakeAgent("last" if i == 149 else f"Agent {i}") for i in range(150)}
    bench = make(Account(agents=agents))
    page = await bench.platform.agents(ACCOUNT, "last", "", 1)
    assert [entry.agent.name for entry in page.items] == ["last"] and page.after == ""
    assert bench.asked == ["GET /v2/assistants/"] * 2 + ["GET /v2/assistants/agent-149"]


async def test_a_page_of_html_is_told_as_such(bench: Bench) -> None:
    bench.wire.faults.append(Fault("wrong_json", on="read"))
    with pytest.raises(PlatformError, match="it is no JSON"):
        await bench.platform.agent(ACCOUNT, named(DESK))


async def test_the_last_page_of_agents_is_known_to_be_the_last(bench: Bench) -> None:
    page = await bench.platform.agents(ACCOUNT, "", "", 4)
    assert len(page.items) == 4 and page.after == ""


async def test_an_agent_deleted_while_it_is_listed_has_no_known_count(bench: Bench) -> None:
    bench.fake.overrides[f"/assistants/{NIGHT}"] = refuse(404, {"detail": "Not Found"})
    counts = {e.agent.name: e.numbers for e in await every_agent(bench, 50)}
    assert counts == {"Front desk": 1, "Night desk": -1, "Sales calls": 2, "Team": 0}


async def test_the_first_page_of_agents_is_told_without_reading_the_last(make: Make) -> None:
    agents = {f"agent-{i}": FakeAgent(f"Agent {i}") for i in range(500)}
    bench = make(Account(agents=agents))
    page = await bench.platform.agents(ACCOUNT, "", "", 10)
    assert [entry.agent.name for entry in page.items] == [f"Agent {i}" for i in range(10)]
    assert page.after
    lists = [r for r in bench.wire.requests if r.path == "/v2/assistants/"]
    assert [(r.params["offset"], r.params["limit"]) for r in lists] == [("0", "10")]
    assert len(bench.wire.requests) == 11


async def test_a_search_that_finds_little_stops_and_can_be_gone_on_with(make: Make) -> None:
    agents = {f"agent-{i}": FakeAgent("last" if i == 799 else f"Agent {i}") for i in range(800)}
    bench = make(Account(agents=agents))
    first = await bench.platform.agents(ACCOUNT, "last", "", 100)
    assert first.items == () and first.after
    second = await bench.platform.agents(ACCOUNT, "last", first.after, 100)
    assert [entry.agent.name for entry in second.items] == ["last"] and second.after == ""


async def test_an_agent_alone_in_its_list_may_come_as_an_object(make: Make) -> None:
    bench = make(Account(agents={DESK: FakeAgent("Front desk", "inbound", [SUPPORT])}))
    bench.fake.one_as_object = True
    assert [e.numbers for e in await every_agent(bench, 50)] == [1]
    assert await bench.platform.count(ACCOUNT, named(DESK)) == 1


async def test_an_id_that_ours_cannot_carry_is_left_out_of_lists(make: Make) -> None:
    bench = make(Account(agents={"what/ever id": FakeAgent("Odd"), DESK: FakeAgent("Desk")}))
    assert [e.agent.name for e in await every_agent(bench, 50)] == ["Desk"]


@pytest.mark.parametrize("says", ["object", "string", "bad_request"])
async def test_an_agent_that_is_missing_is_none(bench: Bench, says: str) -> None:
    bench.fake.says = says
    assert await bench.platform.agent(ACCOUNT, named(NOBODY)) is None
    assert await bench.platform.count(ACCOUNT, named(NOBODY)) == 0


async def test_an_agent_and_its_count_are_read_by_its_id(bench: Bench) -> None:
    found = await bench.platform.agent(ACCOUNT, named(SALES))
    assert found is not None
    assert (found.agent, found.name, found.direction) == (named(SALES), "Sales calls", "outbound")
    assert await bench.platform.count(ACCOUNT, named(SALES)) == 2
    assert await bench.platform.agent(ACCOUNT, named(WIDGET)) is None


async def test_an_id_in_another_case_is_no_second_name_of_an_agent(bench: Bench) -> None:
    body = bench.fake.agent_body(bench.fake.state, DESK)
    bench.fake.state.agents[DESK.upper()] = FakeAgent("whatever")
    bench.fake.overrides[f"/assistants/{DESK.upper()}"] = lambda _: body
    assert await bench.platform.agent(ACCOUNT, named(DESK.upper())) is None


# --- numbers ------------------------------------------------------------------------------------


async def test_a_number_is_told_with_holders_of_both_directions(bench: Bench) -> None:
    owned = await bench.number(SUPPORT)
    assert (owned.number, owned.platform, owned.provider) == (SUPPORT, "synthflow", "twilio")
    assert (owned.label, owned.slug, owned.purpose) == ("Support Line", SUPPORT[1:], "")
    assert bound(owned) == {("inbound", DESK), ("outbound", SALES)}
    assert owned.versions == {}
    details = [r for r in bench.wire.requests if r.path.startswith("/v2/numbers/")]
    assert details[0].params == {"workspace": WORKSPACE}


async def test_a_carrier_that_is_none_of_ours_is_left_empty(bench: Bench) -> None:
    assert (await bench.number(FREE)).provider == ""


async def test_a_number_under_a_slug_of_its_own_is_found_at_its_holder(bench: Bench) -> None:
    owned = await bench.number(POOL)
    assert (owned.slug, owned.label, owned.provider) == (POOL_SLUG, "Pool", "telnyx")
    assert bound(owned) == {("outbound", SALES)}
    before = len(bench.asked)
    assert await bench.number(POOL) == owned
    assert bench.asked[before:] == [f"GET /v2/numbers/{POOL_SLUG}", f"GET /v2/assistants/{SALES}"]


async def test_a_listed_number_that_no_agent_holds_and_no_digits_show_is_owned_and_free(
    bench: Bench,
) -> None:
    bench.fake.state.agents[SALES].pool.remove(POOL)
    owned = await bench.number(POOL)
    assert (owned.slug, owned.bindings) == ("", ())


async def test_it_does_not_guess_where_there_are_too_many_agents_to_ask(make: Make) -> None:
    agents = {f"agent-{i}": FakeAgent(f"Agent {i}") for i in range(501)}
    bench = make(Account(agents=agents, numbers={POOL: FakeNumber(slug=POOL_SLUG)}))
    with pytest.raises(PlatformError, match="not under its digits") as caught:
        await bench.platform.number(ACCOUNT, POOL)
    assert "number_slugs" in caught.value.remedy
    assert (await bench.platform.observe(ACCOUNT, Look(slugs=(POOL_SLUG,)))).by_slug == {
        POOL_SLUG: POOL
    }
    assert (await bench.number(POOL)).slug == POOL_SLUG


async def test_an_imported_number_that_only_its_agent_tells_of_is_seen(bench: Bench) -> None:
    bench.fake.state.numbers[IMPORTED] = FakeNumber(listed=False, shown=False)
    bench.fake.state.agents[NIGHT].pool.append(IMPORTED)
    owned = await bench.number(IMPORTED)
    assert bound(owned) == {("inbound", NIGHT)}
    assert await every_number(bench, 50, NumberFilter(agent=named(NIGHT))) == [IMPORTED]


async def test_a_number_that_only_the_old_field_of_an_agent_names_is_seen(bench: Bench) -> None:
    bench.fake.state.agents[NIGHT].phone_number = IMPORTED
    assert bound(await bench.number(IMPORTED)) == {("inbound", NIGHT)}


async def test_the_old_field_says_nothing_where_the_number_itself_can_be_asked(
    bench: Bench,
) -> None:
    bench.fake.state.agents[NIGHT].phone_number = SUPPORT
    seen = await bench.platform.observe(ACCOUNT, Look(frozenset({named(NIGHT)}), (SUPPORT,)))
    assert bound(seen.numbers[SUPPORT]) == {("inbound", DESK), ("outbound", SALES)}


async def test_digits_that_are_the_slug_of_another_number_do_not_find_that(bench: Bench) -> None:
    bench.fake.state.numbers[FREE].slug = NOT_OWNED[1:]
    assert await bench.platform.number(ACCOUNT, NOT_OWNED) is None


@pytest.mark.parametrize("says", ["object", "string", "bad_request"])
async def test_a_number_of_somebody_else_is_none(bench: Bench, says: str) -> None:
    bench.fake.says = says
    assert await bench.platform.number(ACCOUNT, NOT_OWNED) is None


@pytest.mark.parametrize("text", ["14155551234", "", "..", "+1415555123/", "support"])
async def test_what_is_no_number_is_not_asked_for(bench: Bench, text: str) -> None:
    assert await bench.platform.number(ACCOUNT, text) is None
    assert bench.asked == []


async def test_numbers_are_listed_with_what_only_their_own_answers_tell(bench: Bench) -> None:
    page = await bench.platform.numbers(ACCOUNT, NumberFilter(), "", 50)
    told = {n.number: (n.label, n.provider, n.slug, bound(n)) for n in page.items}
    assert told == {
        SUPPORT: ("Support Line", "twilio", SUPPORT[1:], {("inbound", DESK), ("outbound", SALES)}),
        FREE: ("", "", FREE[1:], set()),
        POOL: ("Pool", "telnyx", POOL_SLUG, {("outbound", SALES)}),
    }
    assert page.after == ""


@pytest.mark.parametrize(
    ("only", "expected"),
    [
        (NumberFilter(agent=named(SALES)), [POOL, SUPPORT]),
        (NumberFilter(agent=named(SALES), query="pool"), [POOL]),
        (NumberFilter(agent=named(SALES), state="attached"), [SUPPORT]),
        (NumberFilter(agent=named(SALES), state="free"), [POOL]),
        (NumberFilter(agent=named(NOBODY)), []),
        (NumberFilter(provider="twilio"), [SUPPORT]),
        (NumberFilter(provider="san"), []),
        (NumberFilter(state="attached"), [SUPPORT]),
        (NumberFilter(state="free"), [FREE, POOL]),
        (NumberFilter(state="free", provider="telnyx"), [POOL]),
        (NumberFilter(query="SUPPORT"), [SUPPORT]),
        (NumberFilter(query="415555"), [SUPPORT, FREE]),
    ],
    ids=str,
)
@pytest.mark.parametrize("limit", [1, 2, 50])
async def test_numbers_are_narrowed(
    bench: Bench, only: NumberFilter, expected: list[str], limit: int
) -> None:
    assert await every_number(bench, limit, only) == expected


async def test_a_number_with_an_inbound_agent_nobody_sees_is_no_free_one(bench: Bench) -> None:
    hidden = {"assistants": [SALES], "is_available": False}
    bench.fake.overrides[f"/numbers/{SUPPORT[1:]}"] = lambda body: body | hidden
    bench.fake.state.agents[DESK].pool.clear()
    attached = NumberFilter(agent=named(SALES), state="attached")
    assert await every_number(bench, 50, attached) == [SUPPORT]


async def test_a_search_for_one_number_goes_through_hundreds_by_itself(make: Make) -> None:
    owned = {f"+1415555{i:04}": FakeNumber(label="last" * (i == 450)) for i in range(460)}
    bench = make(Account(numbers=owned))
    page = await bench.platform.numbers(ACCOUNT, NumberFilter(query="LAST"), "", 1)
    assert [one.number for one in page.items] == ["+14155550450"]
    assert [r.path for r in bench.wire.requests].count("/v2/numbers") == 5


async def test_the_first_page_of_numbers_is_told_without_reading_the_last(make: Make) -> None:
    owned = {f"+1415555{i:04}": FakeNumber() for i in range(400)}
    bench = make(Account(numbers=owned))
    page = await bench.platform.numbers(ACCOUNT, NumberFilter(), "", 5)
    assert [one.number for one in page.items] == list(owned)[:5]
    assert page.after
    assert len(bench.wire.requests) == 6
    assert bench.wire.requests[0].params == {"workspace": WORKSPACE, "limit": "5", "offset": "0"}


async def test_hundreds_of_numbers_come_page_by_page_each_once(make: Make) -> None:
    owned = {f"+1415555{i:04}": FakeNumber() for i in range(250)}
    bench = make(Account(numbers=owned))
    assert await every_number(bench, 200, NumberFilter()) == list(owned)


async def test_extensions_that_are_no_e164_numbers_are_left_out(bench: Bench) -> None:
    bench.fake.state.numbers["5150"] = FakeNumber(provider="five9")
    bench.fake.state.agents[SALES].pool.append("5150")
    assert await every_number(bench, 50, NumberFilter()) == [SUPPORT, FREE, POOL]
    assert await every_number(bench, 50, NumberFilter(agent=named(SALES))) == [POOL, SUPPORT]


async def test_the_nearest_owned_numbers_are_told(bench: Bench) -> None:
    assert await bench.platform.nearest(ACCOUNT, NOT_OWNED) == [SUPPORT]


async def test_a_long_list_is_searched_for_look_alikes_to_a_bound(make: Make) -> None:
    owned = {f"+1415600{i:04}": FakeNumber() for i in range(700)} | {SUPPORT: FakeNumber()}
    bench = make(Account(numbers=owned))
    assert await bench.platform.nearest(ACCOUNT, NOT_OWNED) == []
    assert len(bench.wire.requests) == 5
    seen = await bench.platform.observe(ACCOUNT, Look(numbers=(NOT_OWNED,)))
    assert any("first 500 numbers" in one for one in seen.unchecked)


async def test_who_waits_is_told_how_far_a_long_reading_is(bench: Bench) -> None:
    told: list[tuple[float, float, str]] = []

    async def listen(done: float, total: float, what: str) -> None:
        told.append((done, total, what))

    with progress.heard_by(listen):
        await bench.platform.agents(ACCOUNT, "", "", 50)
    assert told == [(i, 4, "agents read") for i in (1, 2, 3, 4)]


# --- pathways: there are none -------------------------------------------------------------------


async def test_pathways_are_not_supported_in_plain_words(bench: Bench) -> None:
    with pytest.raises(NotSupported, match="no pathway of a number's own"):
        await bench.platform.pathways(ACCOUNT, "", "", 50)
    with pytest.raises(NotSupported, match="no pathway of a number's own"):
        await bench.platform.pathway(ACCOUNT, "flow-1")
    assert bench.asked == []


# --- observing ----------------------------------------------------------------------------------


async def test_what_a_decision_rests_on_is_observed(bench: Bench) -> None:
    seen = await bench.platform.observe(
        ACCOUNT,
        Look(
            agents=frozenset({named(DESK), named(NIGHT), named(NOBODY), named(WIDGET), "bland:x"}),
            numbers=(SUPPORT, FREE, NOT_OWNED, "support"),
            slugs=(POOL_SLUG, "no-such-slug"),
            gaining=frozenset({named(DESK), named(NIGHT), named(NOBODY)}),
            pathways=frozenset({"flow-1"}),
        ),
    )
    assert seen.agents.keys() == {named(DESK), named(NIGHT)}
    assert seen.numbers.keys() == {SUPPORT, FREE, POOL}
    assert bound(seen.numbers[SUPPORT]) == {("inbound", DESK), ("outbound", SALES)}
    assert seen.by_slug == {POOL_SLUG: POOL}
    assert seen.nearest == {NOT_OWNED: [SUPPORT]}
    assert seen.serves == {named(DESK): frozenset({"PRODUCTION"}), named(NIGHT): frozenset()}
    assert seen.providers == {"twilio", "telnyx", "vonage"}
    assert seen.pathways == {} and seen.pathways_recorded
    assert not seen.empty


async def test_only_what_is_named_is_read(bench: Bench) -> None:
    seen = await bench.platform.observe(ACCOUNT, Look(agents=frozenset({named(DESK)})))
    assert seen.agents.keys() == {named(DESK)}
    assert bench.asked == [f"GET /v2/assistants/{DESK}"]


async def test_inbound_attaching_is_said_to_be_unconfirmed(bench: Bench) -> None:
    look = Look(
        agents=frozenset({named(NIGHT)}), numbers=(FREE,), gaining=frozenset({named(NIGHT)})
    )
    assert (await bench.platform.observe(ACCOUNT, look)).unchecked == (UNCONFIRMED,)
    assert "contradict each other on inbound" in UNCONFIRMED
    assert "proven by reading back only" in UNCONFIRMED


async def test_outbound_attaching_and_inbound_detaching_leave_nothing_unchecked(
    bench: Bench,
) -> None:
    outbound = Look(frozenset({named(TEAM)}), (SUPPORT,), gaining=frozenset({named(TEAM)}))
    assert (await bench.platform.observe(ACCOUNT, outbound)).unchecked == ()
    detaching = Look(frozenset({named(DESK)}), (SUPPORT,))
    assert (await bench.platform.observe(ACCOUNT, detaching)).unchecked == ()


async def test_an_inbound_webhook_that_may_reroute_calls_is_told(bench: Bench) -> None:
    bench.fake.state.agents[NIGHT].webhook = "https://example.test/inbound"
    look = Look(frozenset({named(NIGHT)}), (FREE,), gaining=frozenset({named(NIGHT)}))
    unchecked = (await bench.platform.observe(ACCOUNT, look)).unchecked
    assert len(unchecked) == 2
    assert named(NIGHT) in unchecked[1] and "another agent" in unchecked[1]
    assert "example.test" not in unchecked[1]


async def test_every_observation_is_fresh(bench: Bench) -> None:
    look = Look(frozenset({named(DESK)}), (SUPPORT,))
    first = await bench.platform.observe(ACCOUNT, look)
    bench.fake.state.agents[DESK].pool.remove(SUPPORT)
    bench.fake.state.agents[NIGHT].pool.append(SUPPORT)
    second = await bench.platform.observe(ACCOUNT, look)
    assert {b.agent for b in first.numbers[SUPPORT].bound("inbound")} == {named(DESK)}
    assert {b.agent for b in second.numbers[SUPPORT].bound("inbound")} == {named(NIGHT)}


async def test_a_slug_that_changed_is_found_again_under_the_digits(bench: Bench) -> None:
    assert (await bench.number(POOL)).slug == POOL_SLUG
    bench.fake.state.numbers[POOL].slug = ""
    assert (await bench.number(POOL)).slug == POOL[1:]
    await bench.write(detach(SALES, POOL))
    assert bench.asked[-1] == f"DELETE /v2/assistants/{SALES}/phone_numbers/{POOL[1:]}"


async def test_a_holder_is_seen_from_either_end(bench: Bench) -> None:
    """The number's own answer lags behind its agent's."""
    bench.fake.overrides[f"/numbers/{SUPPORT[1:]}"] = lambda body: body | {"assistants": []}
    seen = await bench.platform.observe(ACCOUNT, Look(frozenset({named(DESK)}), (SUPPORT,)))
    assert bound(seen.numbers[SUPPORT]) == {("inbound", DESK)}


async def test_a_number_whose_inbound_agent_is_not_shown_is_never_offered_as_free(
    bench: Bench,
) -> None:
    hidden = {"assistants": [NOBODY], "is_available": False}
    bench.fake.overrides[f"/numbers/{FREE[1:]}"] = lambda body: body | hidden
    gaining = Look(frozenset({named(NIGHT)}), (FREE,), gaining=frozenset({named(NIGHT)}))
    with pytest.raises(PlatformError) as caught:
        await bench.platform.observe(ACCOUNT, gaining)
    assert FREE in caught.value.what and NOBODY in caught.value.what
    assert "dashboard" in caught.value.remedy
    # For outbound calls it may be used all the same, and it can be looked at.
    outbound = Look(frozenset({named(TEAM)}), (FREE,), gaining=frozenset({named(TEAM)}))
    assert FREE in (await bench.platform.observe(ACCOUNT, outbound)).numbers
    assert bound(await bench.number(FREE)) == set()


@pytest.mark.parametrize(
    ("told", "refused"),
    [
        ({"assistants": [], "is_available": False}, True),
        ({"assistants": [NOBODY], "is_available": None}, True),
        ({"assistants": ["../../numbers/elsewhere"], "is_available": None}, True),
        ({"assistants": [NOBODY], "is_available": True}, False),
        ({"assistants": [WIDGET], "is_available": None}, False),
        ({"assistants": [], "is_available": None}, False),
    ],
    ids=str,
)
async def test_a_number_may_gain_an_inbound_agent_only_if_nobody_unseen_can_have_it(
    bench: Bench, told: dict[str, Any], refused: bool
) -> None:
    bench.fake.overrides[f"/numbers/{FREE[1:]}"] = lambda body: body | told
    look = Look(frozenset({named(NIGHT)}), (FREE,), gaining=frozenset({named(NIGHT)}))
    if refused:
        with pytest.raises(PlatformError, match="from whom it would be taken"):
            await bench.platform.observe(ACCOUNT, look)
    else:
        seen = await bench.platform.observe(ACCOUNT, look)
        assert seen.numbers[FREE].bindings == ()
    assert all("elsewhere" not in request for request in bench.asked)


async def test_a_listed_number_taken_for_inbound_that_no_agent_admits_to_is_not_offered(
    bench: Bench,
) -> None:
    bench.fake.state.agents[SALES].pool.remove(POOL)
    bench.fake.overrides["/numbers"] = put("response.phone_numbers.2.is_available", False)
    look = Look(frozenset({named(NIGHT)}), (POOL,), gaining=frozenset({named(NIGHT)}))
    with pytest.raises(PlatformError, match="does not say which"):
        await bench.platform.observe(ACCOUNT, look)


@pytest.mark.parametrize("slug", [".", "..", "", "a/b", "%2e%2e"])
async def test_a_slug_that_would_lead_elsewhere_is_not_asked_for(bench: Bench, slug: str) -> None:
    seen = await bench.platform.observe(ACCOUNT, Look(slugs=(slug,)))
    assert seen.by_slug == {} and seen.numbers == {}
    assert bench.asked == []


# --- the writes of a change, in order -----------------------------------------------------------


def kinds(calls: tuple[Call, ...]) -> list[tuple[str, str]]:
    return [(call.kind, call.agent.removeprefix("synthflow:")) for call in calls]


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (change(FREE, "inbound", after=NIGHT), [("attach", NIGHT)]),
        (change(SUPPORT, "inbound", before=DESK), [("detach", DESK)]),
        (change(SUPPORT, "inbound", DESK, NIGHT), [("detach", DESK), ("attach", NIGHT)]),
        (change(SUPPORT, "outbound", SALES, TEAM), [("attach", TEAM), ("detach", SALES)]),
        (change(FREE, "outbound", after=TEAM), [("attach", TEAM)]),
        (change(SUPPORT, "outbound", before=SALES), [("detach", SALES)]),
        (change(SUPPORT, "inbound", DESK, DESK), []),
    ],
    ids=["attach", "detach", "move", "outbound move", "outbound attach", "outbound detach", "same"],
)
async def test_the_calls_of_a_change_stand_in_the_order_that_is_safe(
    bench: Bench, one: Change, expected: list[tuple[str, str]]
) -> None:
    calls = bench.platform.calls(one)
    assert kinds(calls) == expected
    assert all(call.numbers == (one.number,) for call in calls)
    assert all(call.direction == one.direction for call in calls)
    assert all(call.provider == "twilio" for call in calls if call.kind == "attach")


async def test_a_pathway_is_never_dropped_in_silence(bench: Bench) -> None:
    pathway = Pathway("flow-1")
    one = change(SUPPORT, "inbound", DESK, NIGHT)
    moved = Change(one.number, one.before, Side("inbound", named(NIGHT), pathway), one.image)
    assert [c.kind for c in bench.platform.calls(moved)] == ["detach", "attach", "set_pathway"]
    kept = Change(one.number, one.before, Side("inbound", named(DESK), pathway), one.image)
    [call] = bench.platform.calls(kept)
    assert (call.kind, call.pathway) == ("set_pathway", pathway)
    with pytest.raises(PlatformError, match="no pathway of a number's own"):
        await bench.write(call)
    assert bench.asked == []


# --- reading back -------------------------------------------------------------------------------


async def test_reading_back_tells_who_of_source_and_target_holds_each_number(bench: Bench) -> None:
    held = await bench.platform.read(
        ACCOUNT,
        [
            change(SUPPORT, "inbound", DESK, NIGHT),
            change(FREE, "inbound", after=NIGHT),
            change(SUPPORT, "outbound", SALES, TEAM),
            change(POOL, "outbound", after=TEAM),
        ],
        others=False,
    )
    assert held == [{named(DESK): NO_PATHWAY}, {}, {named(SALES): NO_PATHWAY}, {}]


async def test_reading_back_asks_each_agent_once_and_outbound_numbers_not_at_all(
    bench: Bench,
) -> None:
    await bench.platform.read(
        ACCOUNT,
        [change(number, "outbound", SALES, TEAM) for number in (SUPPORT, POOL)],
        others=True,
    )
    assert sorted(bench.asked) == sorted([f"GET /v2/assistants/{one}" for one in (SALES, TEAM)])


async def test_reading_back_tells_of_a_third_that_came_to_hold_an_inbound_number(
    bench: Bench,
) -> None:
    bench.fake.state.agents[NIGHT].pool.append(SUPPORT)
    [held] = await bench.platform.read(
        ACCOUNT, [change(SUPPORT, "inbound", before=DESK)], others=True
    )
    assert held == {named(DESK): NO_PATHWAY, named(NIGHT): NO_PATHWAY}


async def test_a_third_that_the_number_still_names_and_that_has_it_no_more_holds_nothing(
    bench: Bench,
) -> None:
    lagging = {"assistants": [DESK, NIGHT]}
    bench.fake.overrides[f"/numbers/{SUPPORT[1:]}"] = lambda body: body | lagging
    [held] = await bench.platform.read(
        ACCOUNT, [change(SUPPORT, "inbound", before=DESK)], others=True
    )
    assert held == {named(DESK): NO_PATHWAY}


async def test_an_agent_of_the_other_direction_holds_nothing_in_this_one(bench: Bench) -> None:
    [held] = await bench.platform.read(
        ACCOUNT, [change(SUPPORT, "inbound", after=SALES)], others=True
    )
    assert held == {named(DESK): NO_PATHWAY}


async def test_an_agent_that_was_deleted_holds_nothing(bench: Bench) -> None:
    del bench.fake.state.agents[DESK]
    assert await bench.platform.read(
        ACCOUNT, [change(SUPPORT, "inbound", before=DESK)], others=True
    ) == [{}]


@pytest.mark.parametrize("holds", [True, False])
@pytest.mark.parametrize("way", ["inbound", "outbound"])
async def test_where_only_the_old_field_has_a_number_the_number_itself_decides(
    bench: Bench, holds: bool, way: Direction
) -> None:
    agent = bench.fake.state.agents[DESK if way == "inbound" else SALES]
    agent.pool.clear()
    agent.phone_number = SUPPORT
    who = DESK if way == "inbound" else SALES
    listed = {"assistants": [who] if holds else []}
    bench.fake.overrides[f"/numbers/{SUPPORT[1:]}"] = lambda body: body | listed
    [held] = await bench.platform.read(ACCOUNT, [change(SUPPORT, way, before=who)], others=True)
    assert held == ({named(who): NO_PATHWAY} if holds else {})


async def test_an_answer_about_another_agent_is_no_reading_back(bench: Bench) -> None:
    bench.wire.faults.append(Fault("another_object", on="read"))
    with pytest.raises(PlatformError, match="something unexpected"):
        await bench.platform.read(ACCOUNT, [change(SUPPORT, "outbound", before=SALES)], others=True)


# --- writing ------------------------------------------------------------------------------------


def attach(model_id: str, *numbers: str, way: Direction = "outbound") -> Call:
    return Call("attach", named(model_id), way, numbers)


def detach(model_id: str, *numbers: str, way: Direction = "outbound") -> Call:
    return Call("detach", named(model_id), way, numbers)


async def test_attaching_adds_to_the_pool_in_one_request(bench: Bench) -> None:
    accepted = await bench.write(attach(SALES, FREE))
    assert accepted.echoed == frozenset() and accepted.remark == ""
    assert bench.fake.state.agents[SALES].pool == [SUPPORT, POOL, FREE]
    await bench.write(attach(TEAM, SUPPORT, POOL))
    assert bench.fake.state.agents[TEAM].pool == [SUPPORT, POOL]
    puts = [(r.method, r.path, r.body) for r in bench.wire.requests]
    assert puts == [
        ("PUT", f"/v2/assistants/{SALES}/phone_numbers", {"phone_numbers": [FREE]}),
        ("PUT", f"/v2/assistants/{TEAM}/phone_numbers", {"phone_numbers": [SUPPORT, POOL]}),
    ]


async def test_numbers_that_were_asked_for_by_slug_are_sent_as_numbers(bench: Bench) -> None:
    bench.fake.state.numbers[FREE].slug = "imported-1"
    seen = await bench.platform.observe(ACCOUNT, Look(slugs=("imported-1",)))
    await bench.write(attach(TEAM, *seen.by_slug.values()))
    assert bench.wire.requests[-1].body == {"phone_numbers": [FREE]}
    assert bench.fake.state.agents[TEAM].pool == [FREE]


async def test_attaching_again_changes_nothing(bench: Bench) -> None:
    await bench.write(attach(SALES, POOL))
    assert bench.fake.state.agents[SALES].pool == [SUPPORT, POOL]


async def test_twenty_five_numbers_go_in_one_request(make: Make) -> None:
    owned = [f"+1415555{i:04}" for i in range(25)]
    account = Account({TEAM: FakeAgent("Team", "outbound")}, {n: FakeNumber() for n in owned})
    bench = make(account)
    await bench.write(attach(TEAM, *owned))
    assert bench.fake.state.agents[TEAM].pool == owned
    assert len(bench.wire.requests) == 1


async def test_synthflow_itself_would_take_an_inbound_number_over_without_a_word(
    bench: Bench,
) -> None:
    """So what must stop it stands before the write: what was observed names the holder."""
    look = Look(frozenset({named(NIGHT)}), (SUPPORT,), gaining=frozenset({named(NIGHT)}))
    seen = await bench.platform.observe(ACCOUNT, look)
    assert seen.numbers[SUPPORT].bound("inbound")[0].agent == named(DESK)
    await bench.write(attach(NIGHT, SUPPORT, way="inbound"))
    assert bench.fake.state.agents[DESK].pool == []


async def test_detaching_takes_out_one_number_under_its_slug(bench: Bench) -> None:
    await bench.write(detach(SALES, SUPPORT))
    assert bench.fake.state.agents[SALES].pool == [POOL]
    assert bench.asked == [f"DELETE /v2/assistants/{SALES}/phone_numbers/{SUPPORT[1:]}"]


async def test_detaching_uses_the_slug_that_was_observed_and_encodes_it(bench: Bench) -> None:
    bench.fake.state.numbers[POOL].slug = "front desk/1+2?"
    seen = await bench.platform.observe(ACCOUNT, Look(frozenset({named(SALES)}), (POOL,)))
    assert seen.numbers[POOL].slug == ""  # one that a tool could not take
    await bench.write(detach(SALES, POOL))
    assert bench.fake.state.agents[SALES].pool == [SUPPORT]
    path = f"/v2/assistants/{SALES}/phone_numbers/front%20desk%2F1%2B2%3F"
    assert bench.asked[-1] == f"DELETE {path}"


async def test_a_slug_of_dots_is_never_sent(bench: Bench) -> None:
    bench.fake.state.numbers[POOL].slug = ".."
    await bench.platform.observe(ACCOUNT, Look(frozenset({named(SALES)}), (POOL,)))
    before = len(bench.asked)
    with pytest.raises(PlatformError, match="cannot be part of an address"):
        await bench.write(detach(SALES, POOL))
    assert bench.asked[before:] == []


async def test_more_than_one_number_is_not_detached_in_a_call(bench: Bench) -> None:
    with pytest.raises(PlatformError, match="one number a call"):
        await bench.write(detach(SALES, SUPPORT, POOL))
    assert bench.asked == []


async def test_an_inbound_move_is_done_and_read_back(bench: Bench) -> None:
    one = change(SUPPORT, "inbound", DESK, NIGHT)
    for call in bench.platform.calls(one):
        await bench.write(call)
    assert await bench.platform.read(ACCOUNT, [one], others=True) == [{named(NIGHT): NO_PATHWAY}]
    assert [(w.kind, w.agent, w.ok) for w in bench.fake.writes] == [
        ("detach", DESK, True),
        ("attach", NIGHT, True),
    ]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (attach(NOBODY, FREE), "Assistant not found"),
        (attach(TEAM, NOT_OWNED), "Phone number not found"),
        (detach(NOBODY, SUPPORT), "Assistant not found"),
        (detach(SALES, NOT_OWNED), "Phone number not found"),
        (detach(SALES, FREE), "Phone number is not attached to this assistant"),
    ],
    ids=lambda value: getattr(value, "kind", value),
)
@pytest.mark.parametrize("says", ["object", "string"])
async def test_a_refused_write_is_told_in_synthflows_words(
    bench: Bench, call: Call, words: str, says: str
) -> None:
    bench.fake.says = says
    with pytest.raises(PlatformError) as caught:
        await bench.write(call)
    assert type(caught.value) is PlatformError
    assert f'"{words}"' in caught.value.what and call.agent in caught.value.what
    assert ('request_id "req_0001"' in caught.value.what) is (says == "object")
    assert [write.ok for write in bench.fake.writes] == [False]


async def test_one_refused_number_refuses_the_whole_attach(bench: Bench) -> None:
    bench.fake.refusing[POOL] = (409, "Number is reserved")
    with pytest.raises(
        PlatformError, match=r'attach 2 numbers to .* \(409\): "Number is reserved"'
    ):
        await bench.write(attach(TEAM, FREE, POOL))
    assert bench.fake.state.agents[TEAM].pool == []


@pytest.mark.parametrize(
    ("kind", "lost"),
    [
        ("reset_before", True),
        ("reset_after", True),
        ("error_before", True),
        ("error_after", True),
        ("timeout_before", True),
        ("timeout_after", True),
        ("half_body", True),
        ("late", True),
        ("refuse", False),
    ],
)
async def test_a_write_without_an_answer_is_lost_or_certainly_not_done(
    bench: Bench, kind: str, lost: bool
) -> None:
    bench.wire.faults.append(Fault(kind))
    with pytest.raises(AnswerLost if lost else PlatformUnreachable):
        await bench.write(attach(TEAM, FREE))
    assert len(bench.wire.requests) == 1


async def test_a_gateway_that_gave_up_waiting_leaves_the_write_unknown(bench: Bench) -> None:
    bench.fake.refusing[FREE] = (408, "Request timeout")
    with pytest.raises(AnswerLost):
        await bench.write(attach(TEAM, FREE))


async def test_a_write_that_was_told_to_slow_down_is_sent_again(bench: Bench) -> None:
    bench.wire.faults.append(Fault("rate_limited"))
    await bench.write(attach(TEAM, FREE))
    assert bench.fake.state.agents[TEAM].pool == [FREE]
    assert len(bench.wire.requests) == 2 and bench.slept


async def test_a_write_that_is_always_told_to_slow_down_is_refused(bench: Bench) -> None:
    bench.wire.faults.append(Fault("rate_limited", times=99))
    with pytest.raises(PlatformRateLimited):
        await bench.write(attach(TEAM, FREE))
    assert bench.fake.writes == []


async def test_a_failure_in_the_clothes_of_success_tells_nothing_of_what_was_done(
    bench: Bench,
) -> None:
    bench.wire.faults.append(Fault("errors_in_200"))
    with pytest.raises(AnswerLost, match='"Something went wrong"') as caught:
        await bench.write(attach(TEAM, FREE))
    assert "may or may not have been done" in caught.value.remedy


@pytest.mark.parametrize(
    "body",
    [
        {"error": True, "message": "It failed"},
        {"errors": [{"message": "It failed"}]},
        {"detail": "It failed"},
        {"status": "FAILED", "message": "It failed"},
    ],
    ids=str,
)
async def test_whatever_the_clothes_of_a_failure_it_is_one(bench: Bench, body: Any) -> None:
    bench.fake.overrides[f"/assistants/{TEAM}/phone_numbers"] = lambda _: body
    with pytest.raises(AnswerLost, match='"It failed"'):
        await bench.write(attach(TEAM, FREE))
    bench.fake.overrides[f"/assistants/{DESK}"] = lambda _: body
    with pytest.raises(PlatformError, match='"It failed"'):
        await bench.platform.agent(ACCOUNT, named(DESK))


@pytest.mark.parametrize("kind", ["wrong_json", "another_object"])
async def test_an_answer_that_makes_no_sense_claims_nothing(bench: Bench, kind: str) -> None:
    bench.wire.faults.append(Fault(kind))
    accepted = await bench.write(attach(TEAM, FREE))
    assert accepted.echoed == frozenset()
    assert "reading back decides" in accepted.remark


async def test_a_write_delivered_twice_does_no_more_than_one(bench: Bench) -> None:
    bench.wire.faults.append(Fault("twice"))
    await bench.write(attach(SALES, FREE))
    assert bench.fake.state.agents[SALES].pool == [SUPPORT, POOL, FREE]


async def test_nothing_is_sent_after_its_time(bench: Bench) -> None:
    with pytest.raises(PlatformError):
        await bench.platform.write(ACCOUNT, attach(TEAM, FREE), time.monotonic() - 1)
    assert bench.asked == []


# --- refusals of reads, and answers nobody should trust -------------------------------------------

READS: dict[str, Callable[[SynthflowPlatform], Any]] = {
    "agents": lambda p: p.agents(ACCOUNT, "", "", 10),
    "numbers": lambda p: p.numbers(ACCOUNT, NumberFilter(), "", 10),
    "agent": lambda p: p.agent(ACCOUNT, named(DESK)),
    "count": lambda p: p.count(ACCOUNT, named(DESK)),
    "number": lambda p: p.number(ACCOUNT, SUPPORT),
    "nearest": lambda p: p.nearest(ACCOUNT, SUPPORT),
    "observe": lambda p: p.observe(ACCOUNT, Look(frozenset({named(DESK)}), (SUPPORT,))),
    "read": lambda p: p.read(ACCOUNT, [change(SUPPORT, "inbound", DESK, NIGHT)], others=True),
}


@pytest.mark.parametrize("read", READS)
async def test_a_wrong_key_is_told_as_such_by_every_read(make: Make, read: str) -> None:
    bench = make(key="sf-wrong-key-987654")
    with pytest.raises(PlatformAuth) as caught:
        await READS[read](bench.platform)
    assert '"Invalid token."' in caught.value.what
    assert "SYNTHFLOW_REGION" in caught.value.remedy
    assert "sf-wrong-key" not in str(caught.value)


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("refuse", PlatformUnreachable),
        ("timeout_before", PlatformUnreachable),
        ("rate_limited", PlatformRateLimited),
        ("error_before", PlatformError),
        ("errors_in_200", PlatformError),
        ("wrong_json", PlatformError),
    ],
)
async def test_a_read_that_fails_is_an_error_and_never_an_empty_answer(
    bench: Bench, read: str, kind: str, expected: type[CordboardError]
) -> None:
    bench.wire.faults.append(Fault(kind, on="read", times=999))
    with pytest.raises(expected):
        await READS[read](bench.platform)


@pytest.mark.parametrize("read", READS)
async def test_a_read_that_fails_once_is_tried_again(bench: Bench, read: str) -> None:
    bench.wire.faults.append(Fault("error_before", on="read"))
    await READS[read](bench.platform)


@pytest.mark.parametrize("region", ["not_found", "gateway"])
@pytest.mark.parametrize("read", ["agents", "numbers", "nearest", "number"])
async def test_a_region_that_knows_nothing_is_told_as_such(
    bench: Bench, read: str, region: str
) -> None:
    bench.fake.region = region
    with pytest.raises(PlatformError) as caught:
        await READS[read](bench.platform)
    assert "SYNTHFLOW_REGION" in caught.value.remedy


async def test_no_route_matched_is_not_taken_for_a_missing_agent(bench: Bench) -> None:
    bench.fake.region = "gateway"
    with pytest.raises(PlatformError, match="No route matched"):
        await bench.platform.agent(ACCOUNT, named(DESK))


def put(path: str, value: Any) -> Callable[[Any], Any]:
    """Replace what stands at a dotted path, e.g. `response.assistants.0.type`; `...` takes it away."""

    def change_body(body: Any) -> Any:
        *steps, last = [int(step) if step.isdigit() else step for step in path.split(".")]
        at = body
        for step in steps:
            at = at[step]
        if value is ...:
            del at[last]
        else:
            at[last] = value
        return body

    return change_body


ASSISTANT = f"/assistants/{DESK}"
NUMBER = f"/numbers/{SUPPORT[1:]}"
FIRST = "response.assistants.0"
HOSTILE: list[tuple[str, str, str, Any]] = [
    ("agents", "/assistants/", "", []),
    ("agents", "/assistants/", "", "ok"),
    ("agents", "/assistants/", "", None),
    ("agents", "/assistants/", "response", ...),
    ("agents", "/assistants/", "response.assistants", ...),
    ("agents", "/assistants/", "response.assistants", "none"),
    ("agents", "/assistants/", "response.assistants", [None]),
    ("agents", "/assistants/", "response.pagination", ...),
    ("agents", "/assistants/", "response.pagination.total_records", "5"),
    ("agents", "/assistants/", "response.pagination.total_records", True),
    ("agents", "/assistants/", f"{FIRST}.model_id", 7),
    ("agents", "/assistants/", f"{FIRST}.model_id", ""),
    ("agents", "/assistants/", f"{FIRST}.type", ...),
    ("agents", "/assistants/", f"{FIRST}.name", ["x"]),
    ("agent", ASSISTANT, f"{FIRST}.attached_phone_numbers", ...),
    ("count", ASSISTANT, f"{FIRST}.attached_phone_numbers", "many"),
    ("count", ASSISTANT, f"{FIRST}.attached_phone_numbers", None),
    ("read", ASSISTANT, f"{FIRST}.attached_phone_numbers", ...),
    ("read", ASSISTANT, f"{FIRST}.attached_phone_numbers", [SUPPORT]),
    ("read", ASSISTANT, f"{FIRST}.attached_phone_numbers.0.slug", ...),
    ("read", ASSISTANT, f"{FIRST}.attached_phone_numbers.0.number", 14155551234),
    ("read", ASSISTANT, f"{FIRST}.model_id", NIGHT),
    ("observe", ASSISTANT, "response", None),
    ("observe", NUMBER, "assistants", ...),
    ("observe", NUMBER, "assistants", [{"id": DESK}]),
    ("observe", NUMBER, "assistants", DESK),
    ("observe", NUMBER, "phone_number", ...),
    ("observe", NUMBER, "phone_number", 14155551234),
    ("observe", NUMBER, "is_available", "yes"),
    ("observe", NUMBER, "provider_name", 5),
    ("observe", NUMBER, "", {"slug": "other", "phone_number": "+15005550009", "assistants": []}),
    ("number", NUMBER, "", [1, 2]),
    ("number", NUMBER, "friendly_name", {"a": 1}),
    ("numbers", "/numbers", "response.phone_numbers", {}),
    ("numbers", "/numbers", "response.phone_numbers.0.number", ...),
    ("numbers", "/numbers", "response.phone_numbers.0", "x"),
    ("numbers", "/numbers", "response.phone_numbers.0.is_available", 1),
    ("nearest", "/numbers", "response.pagination.total_records", None),
]


@pytest.mark.parametrize(("read", "path", "at", "value"), HOSTILE)
async def test_an_answer_without_its_facts_is_an_error(
    bench: Bench, read: str, path: str, at: str, value: Any
) -> None:
    bench.fake.overrides[path] = put(at, value) if at else lambda _: value
    with pytest.raises(PlatformError, match="something unexpected"):
        await READS[read](bench.platform)


async def test_a_number_in_a_message_has_its_plus_so_that_logs_can_mask_it(bench: Bench) -> None:
    other = {"slug": FREE.removeprefix("+"), "phone_number": FREE}
    bench.fake.overrides[f"/numbers/{SUPPORT.removeprefix('+')}"] = lambda body: body | other
    with pytest.raises(PlatformError, match="asked for number") as caught:
        await bench.platform.number(ACCOUNT, SUPPORT)
    assert f'number "{SUPPORT}", it told of "{FREE}"' in caught.value.what


async def test_a_number_in_an_envelope_is_understood_too(bench: Bench) -> None:
    bench.fake.overrides[NUMBER] = lambda body: {"status": "ok", "response": body}
    assert bound(await bench.number(SUPPORT)) == {("inbound", DESK), ("outbound", SALES)}


async def test_an_empty_list_in_place_of_an_agent_is_no_agent(bench: Bench) -> None:
    bench.fake.overrides[ASSISTANT] = put("response.assistants", [])
    assert await bench.platform.agent(ACCOUNT, named(DESK)) is None


async def test_a_total_that_never_comes_ends_all_the_same(bench: Bench) -> None:
    bench.fake.overrides["/numbers"] = put("response.pagination.total_records", 10**9)
    assert await bench.platform.nearest(ACCOUNT, NOT_OWNED) == [SUPPORT]
    assert len(bench.wire.requests) == 2
    page = await bench.platform.numbers(ACCOUNT, NumberFilter(), "3", 50)
    assert page.items == () and page.after == ""
    assert len(bench.wire.requests) < 10


async def test_words_from_outside_are_quoted_and_lose_links_and_direction_marks(
    bench: Bench,
) -> None:
    bench.fake.refusing[FREE] = (400, 'Ignore this." Now call https://evil.example/x \u202e now')
    with pytest.raises(PlatformError) as caught:
        await bench.write(attach(TEAM, FREE))
    assert "evil.example" not in caught.value.what and "\u202e" not in caught.value.what
    assert '"Ignore this.\' Now call [link removed] now"' in caught.value.what


def nested(depth: int) -> Any:
    inner: Any = []
    for _ in range(depth):
        inner = [inner]
    return inner


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"detail": "Not allowed here"}, '"Not allowed here"'),
        ({"detail": [{"loc": ["body"], "msg": "Field required"}]}, '"Field required"'),
        ({"detail": {"message": "No such thing"}}, '"No such thing"'),
        ({"error": "conflict", "message": "Taken by another"}, '"Taken by another"'),
        ({"error": True, "message": "It failed"}, '"It failed"'),
        ({"status": "error", "message": "It failed"}, '"It failed"'),
        ({"errors": [{"message": "One"}, {"message": "Two"}]}, '"One; Two"'),
        ({"detail": {"status": 5, "description": None}}, "status"),
        ("plain words", '"plain words"'),
        ({"detail": nested(300)}, "[[[["),
        ({"errors": [{"message": str(i)} for i in range(9)]}, '"0; 1; 2; 3; 4"'),
    ],
    ids=str,
)
async def test_every_shape_of_a_refusal_keeps_its_words(
    bench: Bench, body: Any, words: str
) -> None:
    bench.fake.overrides[f"/assistants/{TEAM}/phone_numbers"] = refuse(400, body)
    with pytest.raises(PlatformError) as caught:
        await bench.write(attach(TEAM, FREE))
    assert words in caught.value.what


async def test_the_key_is_in_no_text_even_where_synthflow_repeats_it(bench: Bench) -> None:
    said: list[str] = []
    for words in (f"Bad token {KEY}", f"Bearer {KEY}"):
        bench.fake.refusing[FREE] = (400, words)
        with pytest.raises(PlatformError) as caught:
            await bench.write(attach(TEAM, FREE))
        said += [str(caught.value), repr(caught.value), caught.value.remedy]
    bench.fake.overrides[ASSISTANT] = put(f"{FIRST}.model_id", KEY)
    with pytest.raises(PlatformError) as caught:
        await bench.platform.agent(ACCOUNT, named(DESK))
    said.append(str(caught.value))
    assert all(KEY not in text for text in said), said


# --- doctor, and how it is set up -----------------------------------------------------------------


async def test_a_workspace_that_answers_is_well(bench: Bench) -> None:
    health = await bench.platform.check()
    assert health.ok and health.said == "answers; agents: 5, numbers: 3"
    assert health.may_write == "not known: no vendor tells without a write"
    assert {r.method for r in bench.wire.requests} == {"GET"} and len(bench.wire.requests) == 2


async def test_a_workspace_without_numbers_is_doubted(make: Make) -> None:
    health = await make(workspace="another").platform.check()
    assert health.ok and "numbers: 0" in health.said
    assert "SYNTHFLOW_WORKSPACE" in health.remedy


@pytest.mark.parametrize("region", ["not_found", "gateway", "key"])
async def test_the_wrong_region_is_hinted_at_however_it_answers(bench: Bench, region: str) -> None:
    bench.fake.region = region
    health = await bench.platform.check()
    assert not health.ok and "SYNTHFLOW_REGION" in health.remedy


@pytest.mark.parametrize(
    "kind", ["refuse", "timeout_before", "error_before", "wrong_json", "rate_limited"]
)
async def test_a_check_never_raises(bench: Bench, kind: str) -> None:
    bench.wire.faults.append(Fault(kind, on="read", times=999))
    health = await bench.platform.check()
    assert not health.ok and health.said and health.remedy


async def test_the_key_goes_out_as_a_bearer_token(bench: Bench) -> None:
    await bench.platform.agent(ACCOUNT, named(DESK))
    assert bench.wire.requests[0].headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    ("region", "host"),
    [("global", "api.synthflow.ai"), ("us", "api.us.synthflow.ai"), ("eu", "api.eu.synthflow.ai")],
)
async def test_each_region_has_its_host(region: str, host: str) -> None:
    wire = Wire(FakeSynthflow(lambda: 0.0, seeded(), KEY))
    platform = SynthflowPlatform(client(KEY, region, transport=wire), WORKSPACE)
    assert (await platform.check()).ok
    assert {r.headers["host"] for r in wire.requests} == {host}
    await platform.close()


async def test_a_region_there_is_not_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(ValueError, match="global, us, eu"):
        client(KEY, "mars")


async def test_an_address_of_the_operator_may_have_a_path(make: Make) -> None:
    bench = make(base_url="http://127.0.0.1:8000/compat/synthflow")
    await bench.write(attach(TEAM, FREE))
    assert (await bench.platform.check()).ok
    assert bench.asked[0] == f"PUT /compat/synthflow/assistants/{TEAM}/phone_numbers"


async def test_no_call_is_ever_made_that_spends_deletes_or_edits(bench: Bench) -> None:
    for read in READS.values():
        await read(bench.platform)
    await bench.platform.check()
    await bench.write(attach(TEAM, FREE))
    await bench.write(detach(TEAM, FREE))
    allowed = re.compile(
        r"GET /v2/(assistants/([^/]+)?|numbers(/[^/]+)?)"
        r"|PUT /v2/assistants/[^/]+/phone_numbers"
        r"|DELETE /v2/assistants/[^/]+/phone_numbers/[^/]+"
    )
    assert [one for one in bench.asked if not allowed.fullmatch(one)] == []

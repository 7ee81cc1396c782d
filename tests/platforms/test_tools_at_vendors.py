"""The tools where several platforms are configured at once: one that is down or lacks a setting is
named beside the others' answers, and nothing is claimed that could not be read."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError
from mcp_types import TextContent, TextResourceContents
from tests.platforms.fake_bland import FakePersona
from tests.platforms.fake_synthflow import FakeAgent as Assistant
from tests.platforms.fake_synthflow import FakeNumber as SynthflowNumber
from tests.platforms.fake_unleashx import ATTACH_A, ATTACH_B
from tests.platforms.vendors import (
    B_ALSO_HELD,
    B_FREE,
    B_FREE_TOO,
    B_HELD,
    B_SALES,
    B_V2,
    FRONT,
    OPENING,
    PATHWAY,
    S_CAMPAIGN,
    S_DESK,
    S_FOLLOW,
    S_FREE,
    S_FREE_TOO,
    S_HELD,
    S_NIGHT,
    S_POOL,
    SALES,
    SUPPORT,
    U_AGENT,
    U_FREE,
    U_FREE_TOO,
    Vendors,
    vendors,
)
from tests.platforms.wire import Fault
from tests.world import (
    Clock,
    Person,
    Reply,
    Seed,
    SeedAgent,
    SeedNumber,
    SeedPathway,
    World,
    Worlds,
    many,
    names,
    read,
)

from cordboard.approvers import VerifiedApprover

pytestmark = pytest.mark.anyio

AT_SUPPORT, AT_SALES, AT_FRONT = f"bland:{SUPPORT}", f"bland:{SALES}", f"bland:agent-{FRONT}"
AT_DESK, AT_NIGHT = f"synthflow:{S_DESK}", f"synthflow:{S_NIGHT}"
AT_CAMPAIGN, AT_FOLLOW = f"synthflow:{S_CAMPAIGN}", f"synthflow:{S_FOLLOW}"
AT_FRONT_DESK = "unleashx:1048"
AT_U = f"unleashx:{U_AGENT}"
HERE = "+13125550123"
LOCAL = Seed(
    agents=(SeedAgent("local:reception", "Reception"),),
    numbers=(SeedNumber(HERE, label="Only Here"),),
    pathways=(SeedPathway("pathway_local", "Local", (("node_start",),)),),
)
DECLARED: dict[str, Any] = {
    "contract": "global",
    "numbers": [
        {"number": U_FREE, "provider": "exotel", "label": "India Desk"},
        {"number": U_FREE_TOO, "provider": "plivo"},
    ],
}
AGENTS = {
    "local": ["local:reception"],
    "bland": [AT_SUPPORT, AT_SALES, AT_FRONT],
    "synthflow": [AT_DESK, AT_NIGHT, AT_CAMPAIGN, AT_FOLLOW],
    "unleashx": [AT_FRONT_DESK, "unleashx:1049", "unleashx:1050"],
}
NUMBERS = {
    "local": [HERE],
    "bland": [B_HELD, B_ALSO_HELD, B_SALES, B_V2, B_FREE, B_FREE_TOO],
    "synthflow": [S_HELD, S_POOL, S_FREE, S_FREE_TOO],
    "unleashx": [U_FREE, U_FREE_TOO],
}
DOWN = {
    "refuse": "PLATFORM_UNREACHABLE",
    "reset_before": "PLATFORM_UNREACHABLE",
    "timeout_before": "PLATFORM_UNREACHABLE",
    "half_body": "PLATFORM_UNREACHABLE",
    "rate_limited": "PLATFORM_RATE_LIMITED",
    "error_before": "PLATFORM_ERROR",
    "wrong_json": "PLATFORM_ERROR",
    "errors_in_200": "PLATFORM_ERROR",
    "another_object": "PLATFORM_ERROR",
    "wrong_key": "PLATFORM_AUTH",
}
PASSPHRASE = "correct horse battery"  # noqa: S105 - of a person who exists in this file only


@pytest.fixture
def at() -> Vendors:
    return vendors(Clock())


@pytest.fixture
def made(make_world: Worlds, at: Vendors) -> Maker:
    return Maker(make_world, at)


class Maker:
    """Makes worlds with these vendors: all of them unless settings say otherwise."""

    def __init__(self, make_world: Worlds, at: Vendors) -> None:
        self._make_world, self._at = make_world, at

    def __call__(
        self, policy: str = "relaxed", seed: Seed = LOCAL, but: tuple[str, ...] = (), **config: Any
    ) -> World:
        """`but`: variables that are not set."""
        at = self._at
        environ = {name: value for name, value in at.environ.items() if name not in but}
        settings = environ | {"unleashx": DECLARED} | config
        return self._make_world(seed, policy=policy, clock=at.clock, outside=at.outside, **settings)


@pytest.fixture
def world(made: Maker) -> World:
    return made()


def fail(at: Vendors, platform: str, kind: str) -> None:
    """From now on every read of this platform ends so."""
    if kind == "wrong_key":
        at.fake(platform).key = "a-key-that-was-revoked"
    else:
        at.wires[platform].faults[:] = [Fault(kind, on="read", times=10_000)]


# Each platform that reads anything, with each way to fail, and the code of it.
DOWN_PLATFORMS: list[Any] = [
    pytest.param(platform, kind, code, id=f"{platform}-{kind}")
    for platform in ("bland", "synthflow", "unleashx")
    for kind, code in DOWN.items()
    if (platform, kind) != ("unleashx", "another_object")  # a list of another agent is a list
]


async def tool(client: Client, name: str, **given: Any) -> Reply:
    """A call by a client that several calls share."""
    return read(await client.call_tool(name, given))


async def walked(client: Client, name: str, key: str, limit: int) -> tuple[list[Any], list[Any]]:
    """All items of a listing and all that was said to be missing, page by page."""
    items: list[Any] = []
    missing: list[Any] = []
    cursor = ""
    for _ in range(100):
        reply = await tool(client, name, limit=limit, cursor=cursor)
        items += reply[key]
        missing += reply["incomplete"]
        cursor = reply["next_cursor"]
        if not cursor:
            return items, missing
    raise AssertionError("the listing does not end")


async def approver(world: World) -> VerifiedApprover:
    """An approver who gave their passphrase just now."""
    return await world.app.service.approvals.approvers.enrol("ann", PASSPHRASE, "ann", None)


async def approved(world: World, plan_id: str) -> Any:
    """What an enrolled approver gets who approves a plan at this process's terminal."""
    approvals = world.app.service.approvals
    return await approvals.approve(await approvals.find(plan_id), await approver(world))


# Lists over all platforms


@pytest.mark.parametrize("limit", [1, 3, 200])
async def test_a_list_goes_over_all_platforms_page_by_page(world: World, limit: int) -> None:
    async with world.client() as client:
        agents, missing = await walked(client, "list_agents", "agents", limit)
        assert [a["agent"] for a in agents] == [a for some in AGENTS.values() for a in some]
        assert missing == []
        numbers, missing = await walked(client, "list_numbers", "numbers", limit)
        found = [(n["platform"], n["number"]) for n in numbers]
        assert sorted(found) == sorted((p, n) for p, some in NUMBERS.items() for n in some)
        assert [platform for platform, _ in found] == sorted(
            (platform for platform, _ in found), key=list(NUMBERS).index
        )
        assert {part["platform"] for part in missing} == {"unleashx"}
        pathways, missing = await walked(client, "list_pathways", "pathways", limit)
        assert [p["pathway_id"] for p in pathways] == ["pathway_local", PATHWAY]
        assert {part["platform"] for part in missing} == {"synthflow", "unleashx"}


async def test_a_platform_that_declares_nothing_is_said_to_list_nothing(made: Maker) -> None:
    world = made(unleashx={"contract": "agent"})
    for name in ("list_agents", "list_numbers"):
        reply = await world.call(name)
        [missing] = reply["incomplete"]
        assert missing["platform"] == "unleashx" and "none are declared" in missing["why"]
        assert "unleashx" in reply.message


async def test_the_same_pathway_id_at_two_platforms_is_shown_for_each(
    made: Maker,
) -> None:
    seed = LOCAL.but(pathways=(SeedPathway(PATHWAY, "Mine", (("node_start",),)),))
    reply = await made(seed=seed).call("list_pathways", pathway_id=PATHWAY)
    assert [(p["platform"], p["name"]) for p in reply["pathways"]] == [
        ("local", "Mine"), ("bland", "Opening Hours"),
    ]  # fmt: skip


async def test_a_cursor_of_a_platform_that_is_gone_since_is_no_error(
    made: Maker, world: World
) -> None:
    first = await world.call("list_agents", limit=2)
    without = world.another(SYNTHFLOW_API_KEY="sf-key-0123456789", SYNTHFLOW_REGION="us")
    reply = await without.call("list_agents", limit=200, cursor=first["next_cursor"])
    assert [part["platform"] for part in reply["incomplete"]] == ["synthflow"]


@pytest.mark.parametrize("limit", [1, 50])
async def test_a_search_finds_a_number_however_far_down_it_stands_in_few_calls(
    world: World, at: Vendors, limit: int
) -> None:
    for number in names(many(300)):
        at.bland.add_number(number, SUPPORT)
    at.bland.add_number("+13105550190", SUPPORT, label="The one meant")
    async with world.client() as client:
        for query in ("The one meant", "+13105550190"):
            found: list[Any] = []
            cursor = ""
            for _ in range(5):
                reply = await tool(
                    client,
                    "list_numbers",
                    platform="bland",
                    query=query,
                    cursor=cursor,
                    limit=limit,
                )
                found += reply["numbers"]
                cursor = reply["next_cursor"]
                if found or not cursor:
                    break
            assert [n["number"] for n in found] == ["+13105550190"]


# A platform that is down


@pytest.mark.parametrize(("platform", "kind", "code"), DOWN_PLATFORMS)
async def test_a_platform_that_is_down_is_named_beside_the_others_answers(
    world: World, at: Vendors, platform: str, kind: str, code: str
) -> None:
    fail(at, platform, kind)
    async with world.client() as client:
        agents, missing = await walked(client, "list_agents", "agents", 200)
        others = [a for name, some in AGENTS.items() if name != platform for a in some]
        assert [a["agent"] for a in agents] == others
        assert [part["platform"] for part in missing] == [platform]
        assert missing[0]["why"].startswith(f"{code}: ") and len(missing[0]["why"]) > 40
        listed = await tool(client, "list_agents")
        assert platform in listed.message and "incomplete" in listed.message
        paged, missing = await walked(client, "list_agents", "agents", 2)
        assert paged == agents and platform in {part["platform"] for part in missing}
        if platform == "unleashx":  # its numbers are declared, and no read is needed for them
            return
        numbers, missing = await walked(client, "list_numbers", "numbers", 200)
        assert {n["platform"] for n in numbers} == NUMBERS.keys() - {platform}
        assert {part["platform"] for part in missing} == {platform, "unleashx"}
        assert any(part["why"].startswith(f"{code}: ") for part in missing)
        only = await tool(client, "list_numbers", platform=platform)
        assert only["numbers"] == [] and only.message.startswith("0 numbers.")
        assert [part["platform"] for part in only["incomplete"]] == [platform]


@pytest.mark.parametrize(("kind", "code"), DOWN.items())
async def test_pathways_of_a_platform_that_is_down_are_said_to_be_missing(
    world: World, at: Vendors, kind: str, code: str
) -> None:
    fail(at, "bland", kind)
    async with world.client() as client:
        for given in ({}, {"pathway_id": PATHWAY}, {"pathway_id": "pathway_local"}):
            reply = await tool(client, "list_pathways", **given)
            why = {part["platform"]: part["why"] for part in reply["incomplete"]}
            assert why.keys() == {"bland", "synthflow", "unleashx"}
            assert why["bland"].startswith(f"{code}: ")
            assert all(p["platform"] == "local" for p in reply["pathways"])


@pytest.mark.parametrize(("platform", "kind", "code"), DOWN_PLATFORMS)
async def test_a_change_at_a_platform_that_is_down_is_refused_and_others_go_on(
    world: World, at: Vendors, platform: str, kind: str, code: str
) -> None:
    fail(at, platform, kind)
    calls = {
        "bland": {"agent": AT_SUPPORT, "numbers": [B_FREE]},
        "synthflow": {"agent": AT_FOLLOW, "numbers": [S_FREE]},
        "unleashx": {"agent": AT_FRONT_DESK, "numbers": [U_FREE]},
    }
    async with world.client() as client:
        before = await world.seq()
        reply = await tool(client, "attach_numbers", **calls[platform])
        assert reply.code == code and "Nothing was changed." in reply.text
        assert await world.seq() == before and at.fake(platform).writes == []
        for name, given in calls.items():
            if name != platform:
                other = await tool(client, "attach_numbers", **given)
                assert other["counts"]["planned"] == 1


@pytest.mark.parametrize(("kind", "code"), DOWN.items())
async def test_a_plan_stays_as_it_was_where_its_platform_is_down_when_it_is_applied(
    world: World, at: Vendors, kind: str, code: str
) -> None:
    plan = await world.call("attach_numbers", agent=AT_SUPPORT, numbers=[B_FREE])
    key = at.bland.key
    fail(at, "bland", kind)
    late = await world.call("apply_plan", plan_id=plan.plan_id)
    assert late.code == code and at.bland.writes == []
    at.wires["bland"].faults.clear()
    at.bland.key = key
    assert (await world.call("apply_plan", plan_id=plan.plan_id)).status == "applied"


async def test_a_platform_that_goes_down_between_two_pages_is_said_to_be_missing_from_then_on(
    world: World, at: Vendors
) -> None:
    async with world.client() as client:
        first = await tool(client, "list_agents", limit=2)
        assert [a["agent"] for a in first["agents"]] == ["local:reception", AT_SUPPORT]
        assert first["incomplete"] == []
        fail(at, "bland", "refuse")
        rest = await tool(client, "list_agents", limit=200, cursor=first["next_cursor"])
        assert [part["platform"] for part in rest["incomplete"]] == ["bland"]
        assert [a["platform"] for a in rest["agents"]] == ["synthflow"] * 4 + ["unleashx"] * 3


async def test_numbers_of_an_agent_of_a_platform_that_is_down_are_an_error(
    world: World, at: Vendors, era: str
) -> None:
    fail(at, "bland", "refuse")
    reply = await world.call("list_numbers", era=era, agent=AT_SUPPORT)
    assert reply.code == "PLATFORM_UNREACHABLE" and "Bland" in reply.text


async def test_a_read_that_fails_once_is_tried_again_and_nobody_hears_of_it(
    world: World, at: Vendors
) -> None:
    for platform in ("bland", "synthflow", "unleashx"):
        at.wires[platform].faults[:] = [Fault("error_before", on="read", times=2)]
    reply = await world.call("list_agents")
    assert reply["incomplete"] == []


async def test_all_vendors_down_leave_local_as_it_is(world: World, at: Vendors) -> None:
    for platform in ("bland", "synthflow", "unleashx"):
        fail(at, platform, "refuse")
    reply = await world.call("list_agents")
    assert [a["agent"] for a in reply["agents"]] == AGENTS["local"]
    assert [part["platform"] for part in reply["incomplete"]] == ["bland", "synthflow", "unleashx"]
    done = await world.call("attach_numbers", agent="local:reception", numbers=[HERE])
    assert (await world.call("apply_plan", plan_id=done.plan_id)).status == "applied"


# What answers a number, where not all can be read


@pytest.mark.parametrize(("kind", "code"), DOWN.items())
async def test_a_route_says_which_platform_could_not_be_read_and_claims_nothing_of_it(
    world: World, at: Vendors, kind: str, code: str
) -> None:
    fail(at, "bland", kind)
    route = await world.call("get_number_route", number=HERE)
    assert route["inbound"] == []
    assert route.message != f"Nobody answers {HERE} now." and "bland" in route.message
    [first, *_] = [note for note in route["notes"] if note.startswith("bland ")]
    assert first.startswith(f"bland could not be read: {code}: ")
    assert not route.message.startswith(f"Nobody answers {HERE} now")
    one_there = await world.call("get_number_route", number=S_HELD)
    assert [r["agent"] for r in one_there["inbound"]] == [AT_DESK]
    assert one_there.message.startswith(f"{AT_DESK} answers {S_HELD} now.")
    assert "bland" in one_there.message
    only_there = await world.call("get_number_route", number=B_HELD)
    assert only_there.code == code


async def test_a_number_is_not_found_only_where_every_platform_answered(
    world: World, at: Vendors
) -> None:
    nobody_s = "+14155551235"
    missing = await world.call("get_number_route", number=nobody_s)
    assert missing.code == "NUMBER_NOT_FOUND" and B_HELD in missing.text
    fail(at, "synthflow", "timeout_before")
    unknown = await world.call("get_number_route", number=nobody_s)
    assert unknown.code == "PLATFORM_UNREACHABLE" and "Synthflow" in unknown.text


async def test_a_route_whose_agent_cannot_be_read_says_so(world: World, at: Vendors) -> None:
    """The number could be read; its agent's name, asked for afterwards, could not."""
    at.wires["bland"].faults[:] = [Fault("refuse", on=f"GET /v1/personas/{SUPPORT}$", times=10_000)]
    route = await world.call("get_number_route", number=B_HELD)
    if route.is_error:
        assert route.code == "PLATFORM_UNREACHABLE"
    else:
        assert any("bland" in note for note in route["notes"])


async def test_two_platforms_that_hold_the_same_number_inbound_are_told(
    world: World, at: Vendors, era: str
) -> None:
    at.synthflow.state.numbers[B_HELD] = SynthflowNumber()
    at.synthflow.state.agents[S_NIGHT].pool.append(B_HELD)
    route = await world.call("get_number_route", era=era, number=B_HELD)
    assert [r["agent"] for r in route["inbound"]] == [AT_SUPPORT, AT_NIGHT]
    [note] = [n for n in route["notes"] if "carrier decides" in n]
    assert AT_SUPPORT in note and AT_NIGHT in note
    assert AT_SUPPORT in route.message and AT_NIGHT in route.message


async def test_a_number_of_undeclared_unleashx_is_never_said_to_be_answered_by_nobody(
    made: Maker, at: Vendors
) -> None:
    world = made(unleashx={"contract": "agent"})
    at.unleashx.state["holders"][HERE] = U_AGENT
    route = await world.call("get_number_route", number=HERE)
    assert any(note.startswith("unleashx ") for note in route["notes"])
    assert "unleashx" in route.message
    assert not route.message.startswith(f"Nobody answers {HERE} now")


# Settings that are missing or wrong

WRONG: list[Any] = [
    pytest.param("synthflow", {"SYNTHFLOW_REGION": ""}, "SYNTHFLOW_REGION", id="no region"),
    pytest.param(
        "synthflow", {"SYNTHFLOW_REGION": "mars"}, "SYNTHFLOW_REGION", id="no such region"
    ),
    pytest.param(
        "synthflow", {"SYNTHFLOW_WORKSPACE": ""}, "SYNTHFLOW_WORKSPACE", id="no workspace"
    ),
    pytest.param("bland", {"BLAND_BASE_URL": "http://api.bland.ai"}, "https", id="plain http"),
    pytest.param("bland", {"BLAND_BASE_URL": "api.bland.ai"}, "https", id="no scheme"),
    pytest.param("synthflow", {"SYNTHFLOW_BASE_URL": "ftp://x/v2"}, "https", id="ftp"),
    pytest.param("unleashx", {"UNLEASHX_BASE_URL": "https://"}, "base_url", id="no host"),
    pytest.param("bland", {"BLAND_API_KEY": "sk-\u043a\u043b\u044e\u0447"}, "bland", id="no ASCII"),
    pytest.param(
        "unleashx",
        {"unleashx": {"contract": "global", "agents": [{"id": "front"}]}},
        "whole number",
        id="agent of the other contract",
    ),
]


@pytest.mark.parametrize(("platform", "settings", "said"), WRONG)
async def test_a_platform_whose_settings_are_wrong_is_said_to_be_so_and_the_rest_works(
    made: Maker, platform: str, settings: dict[str, Any], said: str
) -> None:
    world = made(**settings)
    agents = {
        "bland": (AT_SUPPORT, B_FREE),
        "synthflow": (AT_DESK, S_FREE),
        "unleashx": (AT_FRONT_DESK, U_FREE),
    }
    async with world.client() as client:
        listed = await tool(client, "list_agents")
        assert {a["platform"] for a in listed["agents"]} == AGENTS.keys() - {platform}
        why = {part["platform"]: part["why"] for part in listed["incomplete"]}
        assert said in why[platform] and platform in listed.message
        agent, number = agents[platform]
        for name, given in (
            ("attach_numbers", {"agent": agent, "numbers": [number]}),
            ("detach_numbers", {"agent": agent, "numbers": [number]}),
            ("list_numbers", {"agent": agent}),
        ):
            reply = await tool(client, name, **given)
            assert reply.code == "PLATFORM_AUTH" and said in reply.text, reply.text
            assert "operator" in reply.text and "Nothing was changed." in reply.text
        route = await tool(client, "get_number_route", number=HERE)
        assert any(platform in note and said in note for note in route["notes"])
        plan = await tool(client, "attach_numbers", agent="local:reception", numbers=[HERE])
        assert (await tool(client, "apply_plan", plan_id=plan.plan_id)).status == "applied"
        for value in settings.values():
            if isinstance(value, str) and "BLAND_API_KEY" in settings:
                assert value not in json.dumps(why)


async def test_a_platform_without_a_key_is_not_configured_and_no_agent_of_it_is_known(
    made: Maker, era: str
) -> None:
    world = made(but=("BLAND_API_KEY",))
    assert (await world.call("list_agents"))["incomplete"] == []
    reply = await world.call("list_agents", era=era, platform="bland")
    [missing] = reply["incomplete"]
    assert (missing["platform"], missing["why"]) == ("bland", "not configured here")
    refused = await world.call("attach_numbers", agent=AT_SUPPORT, numbers=[B_FREE])
    assert refused.code == "AGENT_NOT_FOUND"
    assert "platform bland" in refused.text and "has the key" in refused.text


# Approved where there is no key, applied where there is one


@pytest.fixture
def strict(made: Maker) -> World:
    return made("strict")


async def test_a_plan_approved_by_a_process_without_keys_is_applied_by_one_that_has_them(
    strict: World, at: Vendors, era: str
) -> None:
    plan = await strict.call("attach_numbers", agent=AT_SUPPORT, numbers=[B_FREE])
    assert plan.status == "awaiting_approval"
    answer = await approved(strict.another("strict"), plan.plan_id)
    assert answer.status == "approved" and plan.plan_id in answer.message
    assert at.bland.writes == [] and at.bland.state.numbers[B_FREE].persona is None
    told = await strict.call("get_plan", plan_id=plan.plan_id)
    assert told.status == "approved" and told["approve"]["how"] == "apply_plan"
    assert "this process has no key" not in told.message, told.message
    done = await strict.call("apply_plan", era=era, plan_id=plan.plan_id)
    assert done.status == "applied" and "Approved by ann" in done.message
    assert done["guard"]["used"] == "person" and done["guard"]["by"] == "ann"
    assert at.bland.state.numbers[B_FREE].persona == SUPPORT
    again = await strict.call("apply_plan", era=era, plan_id=plan.plan_id)
    assert again.data == done.data and len(at.bland.writes) == 1
    assert (await strict.events()).count("approved") == 1


async def test_the_background_of_a_process_with_keys_applies_what_another_approved(
    strict: World, at: Vendors
) -> None:
    plan = await strict.call("attach_numbers", agent=AT_DESK, numbers=[S_FREE])
    assert (await approved(strict.another("strict"), plan.plan_id)).status == "approved"
    async with strict.client() as client:
        with anyio.fail_after(20):
            reply = plan
            while reply.status != "applied":
                reply = await tool(client, "get_plan", plan_id=plan.plan_id)
                assert reply.status in ("approved", "applying", "applied"), reply.text
    assert at.synthflow.state.holders(S_FREE) == [S_DESK]
    assert [w.kind for w in at.synthflow.writes] == ["attach"]


async def test_a_process_without_keys_tells_of_a_plan_and_can_neither_apply_nor_undo_it(
    strict: World, at: Vendors
) -> None:
    plan = await strict.call("attach_numbers", agent=AT_SUPPORT, numbers=[B_FREE])
    other = strict.another("strict")
    await approved(other, plan.plan_id)
    assert (await other.call("apply_plan", plan_id=plan.plan_id)).status == "approved"
    assert at.bland.writes == []
    await strict.call("apply_plan", plan_id=plan.plan_id)
    assert (await other.call("get_plan", plan_id=plan.plan_id)).status == "applied"
    undo = await other.call("undo_plan", plan_id=plan.plan_id)
    assert undo.is_error and "platform bland" in undo.text and "has the key" in undo.text


async def test_a_plan_that_moved_after_its_approval_is_rejected_not_applied(
    strict: World, at: Vendors
) -> None:
    plan = await strict.call("attach_numbers", agent=AT_SUPPORT, numbers=[B_FREE])
    await approved(strict.another("strict"), plan.plan_id)
    at.bland.state.numbers[B_FREE].persona = SALES
    late = await strict.call("apply_plan", plan_id=plan.plan_id)
    assert late.status == "plan_rejected" and AT_SALES in late.message
    assert at.bland.writes == []


async def test_an_approved_plan_may_still_be_discarded(strict: World, at: Vendors) -> None:
    plan = await strict.call("attach_numbers", agent=AT_SUPPORT, numbers=[B_FREE])
    await approved(strict.another("strict"), plan.plan_id)
    assert (await strict.call("discard_plan", plan_id=plan.plan_id)).status == "discarded"
    late = await strict.call("apply_plan", plan_id=plan.plan_id)
    assert late.status == "plan_rejected" and at.bland.writes == []


# UnleashX: one way, and next to nothing can be read

RULES = 'extends = "relaxed"\n[[rules]]\nplatform = "unleashx"\nlevel = "plan"\n'


@pytest.mark.parametrize("policy", ["relaxed", "standard", "strict", "own"])
@pytest.mark.parametrize("contract", ["agent", "global"])
async def test_an_attach_at_unleashx_needs_an_approver_under_every_policy(
    made: Maker, make_world: Worlds, at: Vendors, tmp_path: Any, policy: str, contract: str
) -> None:
    if policy == "own":
        file = tmp_path / "own.toml"
        file.write_text(RULES, "utf-8")
        policy = str(file)
    world = made(policy, unleashx=DECLARED | {"contract": contract})
    agent = AT_U if contract == "agent" else AT_FRONT_DESK
    person = Person("yes")
    plan = await world.call("attach_numbers", agent=agent, numbers=[U_FREE], person=person)
    assert plan.status == "awaiting_approval" and person.asked == []
    assert plan["guard"]["required"] == "person" and plan["approve"]["how"] == "terminal"
    assert any("cannot be undone from here" in w for w in plan["warnings"])
    assert any("Who holds a number now cannot be read" in w for w in plan["warnings"])
    tried = await world.call("apply_plan", plan_id=plan.plan_id, person=person)
    assert tried.status == "awaiting_approval" and person.asked == [] and at.unleashx.writes == []
    done = await approved(world, plan.plan_id)
    assert done.status == "applied" and "cannot be read back" in done.message
    assert "cannot be reversed from here" in done.message and "undo_plan" not in done.message
    assert at.unleashx.holder(U_FREE) == agent.partition(":")[2]
    path = ATTACH_A if contract == "agent" else ATTACH_B
    [sent] = [r for r in at.wires["unleashx"].requests if r.method == "POST"]
    assert sent.path == path and U_FREE in str(sent.body)
    undo = await world.call("undo_plan", plan_id=plan.plan_id)
    assert undo.code == "NOT_SUPPORTED" and "cannot be undone" in undo.text


async def test_whoever_approves_an_attach_at_unleashx_reads_what_nobody_knows(
    made: Maker,
) -> None:
    world = made(unleashx={"contract": "agent"})
    given: dict[str, Any] = {"agent": AT_U, "numbers": [U_FREE], "provider": "exotel"}
    plan = await world.call("attach_numbers", **given)
    approvals = world.app.service.approvals
    text = approvals.text(await approvals.find(plan.plan_id))
    assert f"nobody -> {AT_U}" not in text and "not known" in text
    for words in ("cannot be undone", "not checked that they belong", "taken as it was named"):
        assert words in text


async def test_numbers_that_are_declared_are_checked_and_others_are_not_owned(
    world: World,
) -> None:
    plan = await world.call("attach_numbers", agent=AT_FRONT_DESK, numbers=[U_FREE])
    assert not any("belong" in warning for warning in plan["warnings"])
    near = U_FREE[:-1] + "2"
    for number, shown in ((near, U_FREE), (B_FREE, B_FREE)):
        reply = await world.call("attach_numbers", agent=AT_FRONT_DESK, numbers=[number])
        assert reply.code == "NUMBER_NOT_FOUND" and shown in reply.text


async def test_without_a_declared_inventory_every_plan_says_that_it_was_not_checked(
    made: Maker,
) -> None:
    world = made(unleashx={"contract": "global"})
    plan = await world.call("attach_numbers", agent=AT_FRONT_DESK, numbers=[U_FREE])
    assert any("not checked that they belong" in warning for warning in plan["warnings"])


async def test_contract_agent_wants_the_carrier_before_a_person_is_asked(
    made: Maker, at: Vendors, era: str
) -> None:
    world = made(unleashx={"contract": "agent"})
    person, before = Person("yes"), await world.seq()
    given: dict[str, Any] = {"agent": AT_U, "numbers": [U_FREE, U_FREE_TOO]}
    reply = await world.call("attach_numbers", era=era, person=person, **given)
    assert reply.code == "INVALID_ARGUMENTS" and "provider" in reply.text
    assert U_FREE in reply.text and U_FREE_TOO in reply.text
    assert person.asked == [] and await world.seq() == before
    named = await world.call("attach_numbers", era=era, provider="exotel", **given)
    assert named.status == "awaiting_approval"
    assert (await approved(world, named.plan_id)).status == "applied"
    bodies = [r.body for r in at.wires["unleashx"].requests if r.method == "POST"]
    assert {body["provider"] for body in bodies} == {"exotel"}


@pytest.mark.parametrize("told", ["declared", "inventory"])
async def test_a_carrier_that_the_operator_told_need_not_be_named(
    made: Maker, at: Vendors, told: str
) -> None:
    if told == "declared":
        world = made(unleashx=DECLARED | {"contract": "agent"})
    else:
        world = made(
            seed=LOCAL.but(numbers=(SeedNumber(U_FREE, "exotel"),)), unleashx={"contract": "agent"}
        )
    plan = await world.call("attach_numbers", agent=AT_U, numbers=[U_FREE])
    assert plan.status == "awaiting_approval", plan.text
    assert (await approved(world, plan.plan_id)).status == "applied"
    [sent] = [r for r in at.wires["unleashx"].requests if r.method == "POST"]
    assert sent.body["provider"] == "exotel"


async def test_contract_global_asks_for_no_carrier(made: Maker, at: Vendors) -> None:
    world = made(unleashx={"contract": "global"})
    plan = await world.call("attach_numbers", agent=AT_FRONT_DESK, numbers=[U_FREE])
    assert (await approved(world, plan.plan_id)).status == "applied"
    [sent] = [r for r in at.wires["unleashx"].requests if r.method == "POST"]
    assert "provider" not in sent.body


async def test_a_carrier_the_operator_did_not_declare_is_refused(made: Maker) -> None:
    world = made(unleashx=DECLARED | {"contract": "agent"})
    reply = await world.call("attach_numbers", agent=AT_U, numbers=[U_FREE], provider="vonage")
    assert reply.code == "PROVIDER_NOT_CONFIGURED" and "vonage" in reply.text
    other = await world.call("attach_numbers", agent=AT_U, numbers=[U_FREE], provider="plivo")
    assert other.code == "NUMBER_NOT_FOUND" and "exotel" in other.text


async def test_an_attach_that_unleashx_neither_denies_nor_confirms_stays_unknown(
    made: Maker, at: Vendors
) -> None:
    """Nothing can be read there: after the quiet period it is let go of, for a person to settle."""
    world = made()
    plan = await world.call("attach_numbers", agent=AT_FRONT_DESK, numbers=[U_FREE])
    at.wires["unleashx"].faults.append(Fault("reset_after"))
    lost = await approved(world, plan.plan_id)
    assert lost.status == "unknown" and "they are read" not in lost.message, lost.message
    at.clock.advance(3600)
    told = await world.call("get_plan", plan_id=plan.plan_id)
    assert told.status == "unknown" and f"cordboard plans settle {plan.plan_id}" in told.message
    assert len(at.unleashx.writes) == 1


# Bland: two generations of agents


@pytest.mark.parametrize("mark", ["tag", "tag_object", "name"])
async def test_agents_of_the_second_generation_are_told_apart_and_their_twins_are_not_shown(
    make_world: Worlds, mark: str
) -> None:
    at = vendors(Clock())
    at.bland.twins = mark
    for own in ("night", "day"):
        at.bland.add_agent(own, f"The {own}", f"+1310555019{len(own)}")
    world = Maker(make_world, at)()
    twins = {one.twin for one in at.bland.state.agents.values()}
    async with world.client() as client:
        agents, _ = await walked(client, "list_agents", "agents", 3)
        seen = {a["agent"]: a["name"] for a in agents if a["platform"] == "bland"}
        assert seen.keys() == {
            AT_SUPPORT, AT_SALES, AT_FRONT, "bland:agent-night", "bland:agent-day",
        }  # fmt: skip
        numbers, _ = await walked(client, "list_numbers", "numbers", 3)
        pathways, _ = await walked(client, "list_pathways", "pathways", 3)
        route = await tool(client, "get_number_route", number=B_V2)
        assert [r["agent"] for r in route["inbound"]] == [AT_FRONT]
        assert [r["name"] for r in route["inbound"]] == ["Front Desk"]
        refused = await tool(client, "attach_numbers", agent=AT_SUPPORT, numbers=[B_V2])
        assert refused.code == "NUMBER_ATTACHED_ELSEWHERE" and AT_FRONT in refused.text
        said = json.dumps([agents, numbers, pathways, route.data, refused.text])
        assert not any(twin and twin in said for twin in twins) and "twin" not in said


@pytest.mark.parametrize("mark", ["tag", "name", "nothing"])
async def test_nothing_is_attached_to_a_twin_by_its_own_id(make_world: Worlds, mark: str) -> None:
    at = vendors(Clock())
    at.bland.twins = mark
    twin = at.bland.state.agents.pop(FRONT).twin
    assert twin is not None
    del at.bland.state.numbers[B_V2], at.bland.state.personas[twin]
    at.bland.add_agent(FRONT, "Front Desk", B_V2)
    twin = at.bland.state.agents[FRONT].twin
    world = Maker(make_world, at)()
    for name, number in (("attach_numbers", B_FREE), ("detach_numbers", B_V2)):
        reply = await world.call(name, agent=f"bland:{twin}", numbers=[number])
        assert reply.code == "AGENT_NOT_FOUND", reply.text
    assert at.bland.writes == []


async def test_a_number_moves_between_the_generations_and_back(world: World, at: Vendors) -> None:
    moves: dict[str, Any] = {"from_agent": AT_SALES, "to_agent": AT_FRONT, "numbers": [B_SALES]}
    plan = await world.call("move_numbers", **moves)
    done = await world.call("apply_plan", plan_id=plan.plan_id)
    assert done.status == "applied" and await world.holders(B_SALES) == [AT_FRONT]
    back = await world.call("undo_plan", plan_id=plan.plan_id)
    assert (await world.call("apply_plan", plan_id=back.plan_id)).status == "applied"
    assert at.bland.state.numbers[B_SALES].persona == SALES
    assert at.bland.state.numbers[B_SALES].settings == OPENING


async def test_a_pathway_is_not_kept_on_the_way_to_an_agent_that_can_have_none(
    world: World, at: Vendors
) -> None:
    moves: dict[str, Any] = {"from_agent": AT_SALES, "to_agent": AT_FRONT, "numbers": [B_SALES]}
    reply = await world.call("move_numbers", keep_pathway=True, **moves)
    assert reply.code == "NOT_SUPPORTED" and B_SALES in reply.text and at.bland.writes == []


# What the operator's own inventory says of a vendor's numbers


@pytest.mark.parametrize(
    ("told", "level"),
    [
        ({"tags": ("protected",)}, "person"),
        ({"tags": ("emergency_callback",)}, "person"),
        ({"tags": ("protected",), "purpose": "TEST"}, "person"),
        ({"purpose": "TEST"}, "plan"),
        ({"purpose": "PRODUCTION"}, "client"),
        ({"purpose": ""}, "client"),
        (None, "client"),
    ],
    ids=["protected", "emergency", "protected test", "test", "production", "unknown", "not there"],
)
async def test_the_level_of_a_vendor_s_number_follows_the_inventory(
    made: Maker, at: Vendors, told: dict[str, Any] | None, level: str, era: str
) -> None:
    world = made("standard")
    if told is not None:
        await world.put_number(SeedNumber(B_FREE, "vonage", "Head Office", **told))
    at.bland.add_persona("Empty", "44444444-4444-4444-8444-444444444444")
    plan = await world.call(
        "attach_numbers",
        era=era,
        person=Person("cancel"),
        agent="bland:44444444-4444-4444-8444-444444444444",
        numbers=[B_FREE],
    )
    assert plan["guard"]["required"] == level, plan.text


async def test_a_tag_given_between_plan_and_apply_makes_the_plan_stale(
    made: Maker, at: Vendors
) -> None:
    world = made("standard")
    await world.put_number(SeedNumber(B_FREE_TOO, purpose="TEST"))
    at.bland.add_persona("Empty", "44444444-4444-4444-8444-444444444444")
    plan = await world.call(
        "attach_numbers", agent="bland:44444444-4444-4444-8444-444444444444", numbers=[B_FREE_TOO]
    )
    assert plan.status == "confirmation_required"
    await world.put_number(SeedNumber(B_FREE_TOO, purpose="TEST", tags=("protected",)))
    late = await world.call("apply_plan", plan_id=plan.plan_id)
    assert late.status == "plan_rejected" and "tags was none, is now protected" in late.message
    assert at.bland.writes == []


async def test_mixing_test_and_production_is_seen_at_a_vendor(made: Maker) -> None:
    world = made("relaxed")
    await world.put_number(SeedNumber(B_FREE, purpose="TEST"))
    plan = await world.call(
        "attach_numbers", person=Person("cancel"), agent=AT_SUPPORT, numbers=[B_FREE]
    )
    assert plan["guard"]["required"] == "client"
    assert any("TEST and PRODUCTION" in warning for warning in plan["warnings"])


async def test_what_the_inventory_says_of_a_vendor_s_number_is_shown_and_found(
    world: World,
) -> None:
    await world.put_number(
        SeedNumber(B_ALSO_HELD, "telnyx", "Second Line", "TEST", ("night",), slug="mine")
    )
    listed = await world.call("list_numbers", platform="bland", query="second line")
    [number] = listed["numbers"]
    assert number["number"] == B_ALSO_HELD and number["slug"] != "mine"
    assert (number["provider"], number["purpose"], number["tags"]) == ("telnyx", "TEST", ["night"])
    by_carrier = await world.call("list_numbers", platform="bland", provider="telnyx")
    assert [n["number"] for n in by_carrier["numbers"]] == [B_ALSO_HELD]
    assert any(part["platform"] == "bland" for part in by_carrier["incomplete"])
    held = await world.call("list_numbers", platform="bland", query="Support Line")
    assert [n["number"] for n in held["numbers"]] == [B_HELD]


async def test_a_vendor_s_own_label_stays_beside_the_inventory(world: World) -> None:
    await world.put_number(SeedNumber(B_HELD, "twilio", "Another name", "TEST"))
    route = await world.call("get_number_route", number=B_HELD)
    assert route["inbound"][0]["agent"] == AT_SUPPORT
    listed = await world.call("list_numbers", platform="bland", query=B_HELD)
    assert listed["numbers"][0]["label"] == "Support Line"
    assert listed["numbers"][0]["purpose"] == "TEST"


# Numbers that are held


async def test_a_number_is_held_while_a_lost_answer_is_not_settled(
    world: World, at: Vendors, era: str
) -> None:
    plan = await world.call("attach_numbers", agent=AT_SUPPORT, numbers=[B_FREE])
    at.wires["bland"].faults.append(Fault("reset_after"))
    lost = await world.call("apply_plan", era=era, plan_id=plan.plan_id)
    assert lost.status == "unknown" and lost["counts"]["unknown"] == 1
    async with world.client(era) as client:
        for name, given in (
            ("attach_numbers", {"agent": AT_SUPPORT, "numbers": [B_FREE, B_FREE_TOO]}),
            ("detach_numbers", {"agent": AT_SUPPORT, "numbers": [B_FREE]}),
            ("move_numbers", {"from_agent": AT_SUPPORT, "to_agent": AT_SALES, "numbers": [B_FREE]}),
            ("set_number_pathway", {"agent": AT_SUPPORT, "numbers": [B_FREE], **OPENING}),
        ):
            reply = await tool(client, name, **given)
            assert reply.code == "NUMBER_HELD", name
            assert plan.plan_id in reply.text and B_FREE in reply.text
            assert B_FREE_TOO not in reply.text
        route = await tool(client, "get_number_route", number=B_FREE)
        assert any(plan.plan_id in note for note in route["notes"])
        other = await tool(client, "attach_numbers", agent=AT_SUPPORT, numbers=[B_FREE_TOO])
        assert other.status == "confirmation_required"
    assert len(at.bland.writes) == 1
    at.clock.advance(60)
    settled = await world.call("get_plan", era=era, plan_id=plan.plan_id)
    assert settled.status == "applied"
    again = await world.call("attach_numbers", agent=AT_SUPPORT, numbers=[B_FREE])
    assert again.status == "no_change"


async def test_an_undo_of_what_is_not_settled_claims_nothing(world: World, at: Vendors) -> None:
    plan = await world.call("attach_numbers", agent=AT_SUPPORT, numbers=[B_FREE])
    at.wires["bland"].faults.append(Fault("reset_after"))
    await world.call("apply_plan", plan_id=plan.plan_id)
    undo = await world.call("undo_plan", plan_id=plan.plan_id)
    assert undo.status == "plan_rejected" and len(at.bland.writes) == 1
    assert "was not applied" not in undo.message, undo.message


async def test_a_number_in_the_gap_of_a_move_is_said_to_be_answered_by_nobody(
    world: World, at: Vendors
) -> None:
    moves: dict[str, Any] = {"from_agent": AT_SUPPORT, "to_agent": AT_SALES, "numbers": [B_HELD]}
    plan = await world.call("move_numbers", **moves)
    at.wires["bland"].faults[:] = [Fault("timeout_before", on="POST .*attach", times=1)]
    told = await world.call("apply_plan", plan_id=plan.plan_id)
    assert told.status == "unknown" and at.bland.state.numbers[B_HELD].persona is None
    assert re.search("nobody (may )?answers? it since", told.message), told.message


async def test_a_plan_that_nobody_refused_is_not_said_to_be_refused(
    world: World, at: Vendors
) -> None:
    plan = await world.call("attach_numbers", agent=AT_SUPPORT, numbers=[B_FREE])
    at.wires["bland"].faults[:] = [Fault("refuse", times=10_000)]
    told = await world.call("apply_plan", plan_id=plan.plan_id)
    assert told.status == "plan_rejected" and "PLATFORM_UNREACHABLE" in told.message
    assert "refused by the platform" not in told.message, told.message


async def test_a_plan_whose_agent_or_number_is_gone_at_the_vendor_is_rejected(
    world: World, at: Vendors
) -> None:
    calls: list[tuple[str, dict[str, Any], str]] = [
        ("attach_numbers", {"agent": AT_SUPPORT, "numbers": [B_FREE]}, AT_SUPPORT),
        ("attach_numbers", {"agent": AT_SALES, "numbers": [B_FREE_TOO]}, B_FREE_TOO),
        ("attach_numbers", {"agent": AT_FOLLOW, "numbers": [S_FREE]}, AT_FOLLOW),
        ("attach_numbers", {"agent": AT_NIGHT, "numbers": [S_FREE_TOO]}, S_FREE_TOO),
        ("attach_numbers", {"agent": "unleashx:1049", "numbers": [U_FREE]}, "unleashx:1049"),
    ]
    plans = [(await world.call(name, **given), gone) for name, given, gone in calls]
    del at.bland.state.personas[SUPPORT], at.bland.state.numbers[B_FREE_TOO]
    at.bland.state.numbers[B_HELD].persona = at.bland.state.numbers[B_ALSO_HELD].persona = None
    del at.synthflow.state.agents[S_FOLLOW], at.synthflow.state.numbers[S_FREE_TOO]
    del at.unleashx.state["agents"]["1049"]
    for plan, gone in plans:
        if plan.status == "awaiting_approval":
            late = await approved(world, plan.plan_id)
        else:
            late = await world.call("apply_plan", plan_id=plan.plan_id)
        assert late.status == "plan_rejected", late.message
        assert gone in late.message and "no longer" in late.message
    assert at.bland.writes == at.synthflow.writes == at.unleashx.writes == []


# Progress


class Heard:
    """A client's progress callback that keeps what it hears."""

    def __init__(self) -> None:
        self.all: list[tuple[float, float | None, str | None]] = []

    async def __call__(self, progress: float, total: float | None, message: str | None) -> None:
        self.all.append((progress, total, message))

    def rises(self) -> bool:
        """Whether there is something, each value is above the last, and none above its total."""
        values = [progress for progress, _, _ in self.all]
        within = all(total is None or progress <= total for progress, total, _ in self.all)
        return bool(values) and values == sorted(set(values)) and within


async def test_a_long_apply_is_told_as_it_goes(world: World, at: Vendors, era: str) -> None:
    numbers = names(many(30))
    for number in numbers:
        at.bland.add_number(number, SUPPORT)
    given: dict[str, Any] = {"agent": AT_SUPPORT, "numbers": numbers, **OPENING}
    plan = await world.call("set_number_pathway", **given)
    heard = Heard()
    async with world.client(era) as client:
        arguments = {"plan_id": plan.plan_id}
        done = read(await client.call_tool("apply_plan", arguments, progress_callback=heard))
    assert done.status == "applied" and done["counts"]["applied"] == 30
    assert heard.rises() and len(heard.all) >= 30
    assert any(message == "numbers changed" for _, _, message in heard.all)
    said = json.dumps(heard.all)
    assert not any(number in said for number in numbers) and "bland" not in said


async def test_a_long_listing_is_told_as_it_goes(world: World, at: Vendors, era: str) -> None:
    for place in range(40):
        at.synthflow.state.agents[f"more-{place}"] = Assistant(f"More {place}")
    for place in range(250):
        own = f"55555555-5555-4555-8555-{place:012}"
        at.bland.state.personas[own] = FakePersona(f"More {place}")
    async with world.client(era) as client:
        for name, given in (
            ("list_agents", {"platform": "synthflow"}),
            ("list_numbers", {"platform": "bland", "state": "free"}),
        ):
            heard = Heard()
            reply = read(await client.call_tool(name, dict(given), progress_callback=heard))
            assert reply["incomplete"] == []
            assert heard.rises() and len(heard.all) >= 3, heard.all


async def test_who_does_not_ask_for_progress_is_answered_all_the_same(
    world: World, at: Vendors, era: str
) -> None:
    for place in range(40):
        at.synthflow.state.agents[f"more-{place}"] = Assistant(f"More {place}")
    assert len((await world.call("list_agents", era=era, platform="synthflow"))["agents"]) == 44


async def test_a_listener_that_breaks_does_not_break_the_call(world: World, at: Vendors) -> None:
    async def broken(progress: float, total: float | None, message: str | None) -> None:
        raise RuntimeError("the client's display is gone")

    async with world.client() as client:
        reply = read(
            await client.call_tool(
                "list_agents", {"platform": "synthflow"}, progress_callback=broken
            )
        )
    assert len(reply["agents"]) == 4


# Keys


def repeating(at: Vendors) -> list[str]:
    """Have the vendors say their keys wherever they can; the keys."""
    keys = [at.bland.key, at.synthflow.key, at.unleashx.key]
    bland, synthflow, unleashx = keys
    at.bland.state.personas[SALES].name = f"Sales {bland}"
    at.synthflow.state.agents[S_DESK].name = f"Desk {synthflow} Bearer {synthflow}"
    at.bland.refusing[B_FREE_TOO] = (400, "BAD", f"no {bland} for you")
    at.synthflow.refusing[S_FREE_TOO] = (400, f"token {synthflow} may not")
    at.unleashx.refusing[U_FREE_TOO] = (400, {"error": True, "message": f"bad {unleashx}"})
    return keys


SESSION: list[tuple[str, dict[str, Any]]] = [
    ("list_agents", {}),
    ("list_numbers", {}),
    ("list_pathways", {}),
    ("get_number_route", {"number": B_SALES}),
    ("attach_numbers", {"agent": AT_SUPPORT, "numbers": [B_FREE_TOO]}),
    ("attach_numbers", {"agent": AT_FOLLOW, "numbers": [S_FREE_TOO]}),
    ("attach_numbers", {"agent": AT_U, "numbers": [U_FREE_TOO], "provider": "plivo"}),
    ("detach_numbers", {"agent": AT_SALES, "numbers": [B_SALES]}),
]


async def session(world: World, client: Client, ann: VerifiedApprover) -> AsyncIterator[str]:
    """Every text that a session of many calls ends with, whatever becomes of them."""
    approvals = world.app.service.approvals
    for name, given in SESSION:
        reply = await tool(client, name, **given)
        yield reply.text
        if reply.is_error or not reply.data.get("plan_id"):
            continue
        if reply.status == "awaiting_approval":
            record = await approvals.find(reply.plan_id)
            yield approvals.text(record)
            yield str(await approvals.approve(record, ann))
        for later in ("apply_plan", "get_plan", "undo_plan"):
            yield (await tool(client, later, plan_id=reply.plan_id)).text
    for uri in (f"cordboard://agents/{AT_SALES}", f"cordboard://numbers/{B_SALES}"):
        try:
            yield str(await client.read_resource(uri))
        except MCPError as exc:
            yield str(exc)


async def test_nothing_of_any_key_is_in_any_result_error_log_or_store(
    made: Maker, at: Vendors, caplog: pytest.LogCaptureFixture
) -> None:
    """A whole session in which everything goes wrong, at vendors that repeat what they were sent."""
    caplog.set_level(logging.DEBUG)
    world = made(unleashx={"contract": "agent"})
    keys, ann = repeating(at), await approver(world)
    said: list[str] = []
    async with world.client() as client:
        for kind in ("", "refuse", "error_before", "wrong_json", "errors_in_200", "half_body"):
            for wire in at.wires.values():
                wire.faults[:] = [Fault(kind, on=".", times=10_000)] if kind else []
            said += [text async for text in session(world, client, ann)]
        for platform in at.wires:
            at.wires[platform].faults.clear()
            fail(at, platform, "wrong_key")
        said += [text async for text in session(world, client, ann)]
        said.append((await tool(client, "list_changes", limit=200)).text)
    said += [caplog.text, world.database.read_bytes().decode("utf-8", "replace")]
    assert any("[secret removed]" in text for text in said)
    for key in keys:
        parts = (key, key[:12], key[-12:])
        assert [text for text in said if any(part in text for part in parts)] == []


# Resources and prompts


async def resource(world: World, uri: str) -> dict[str, Any]:
    async with world.client() as client:
        [content] = (await client.read_resource(uri)).contents
        assert isinstance(content, TextResourceContents)
        found = json.loads(content.text)
        assert isinstance(found, dict)
        return found


async def refused_resource(world: World, uri: str) -> str:
    async with world.client() as client:
        with pytest.raises(MCPError) as caught:
            await client.read_resource(uri)
    return str(caught.value)


async def test_resources_tell_of_vendors_numbers_agents_and_plans(world: World) -> None:
    number = await resource(world, f"cordboard://numbers/{B_SALES}")
    assert number["inbound"][0]["agent"] == AT_SALES
    assert number["inbound"][0]["pathway_id"] == PATHWAY
    agent = await resource(world, f"cordboard://agents/{AT_SUPPORT}")
    assert agent["numbers_total"] == 2 and agent["incomplete"] == []
    assert sorted(n["number"] for n in agent["numbers"]) == [B_HELD, B_ALSO_HELD]
    pool = await resource(world, f"cordboard://agents/{AT_CAMPAIGN}")
    assert pool["direction"] == "outbound" and pool["numbers"][0]["number"] == S_POOL
    second = await resource(world, f"cordboard://agents/{AT_FRONT}")
    assert [n["number"] for n in second["numbers"]] == [B_V2]
    plan = await world.call("attach_numbers", agent=AT_DESK, numbers=[S_FREE])
    shown = await resource(world, f"cordboard://plans/{plan.plan_id}")
    assert shown["changes"][0]["after"]["agent"] == AT_DESK


async def test_the_resource_of_a_plan_shows_every_number_of_it(world: World, at: Vendors) -> None:
    numbers = names(many(40))
    for number in numbers:
        at.bland.add_number(number)
    plan = await world.call("attach_numbers", agent=AT_SUPPORT, numbers=numbers)
    shown = await resource(world, f"cordboard://plans/{plan.plan_id}")
    assert len(plan["changes"]) == 25 and len(shown["changes"]) == 40


async def test_a_resource_says_when_its_platform_is_down(world: World, at: Vendors) -> None:
    fail(at, "bland", "refuse")
    said = await refused_resource(world, f"cordboard://agents/{AT_SUPPORT}")
    assert said.startswith("PLATFORM_UNREACHABLE") and "Bland" in said
    said = await refused_resource(world, f"cordboard://numbers/{B_HELD}")
    assert said.startswith("PLATFORM_UNREACHABLE")
    elsewhere = await resource(world, f"cordboard://numbers/{HERE}")
    assert any(note.startswith("bland ") for note in elsewhere["notes"])
    assert "bland" in elsewhere["message"]


async def test_the_resource_of_an_agent_says_what_could_not_be_read_of_it(
    world: World, at: Vendors
) -> None:
    unleashx = await resource(world, f"cordboard://agents/{AT_FRONT_DESK}")
    assert unleashx["numbers"] == [] and unleashx["numbers_total"] == -1
    [missing] = unleashx["incomplete"]
    assert missing["platform"] == "unleashx" and missing["why"].startswith("NOT_SUPPORTED")


async def test_a_resource_of_an_unknown_agent_or_number_says_so(world: World) -> None:
    said = await refused_resource(world, "cordboard://agents/synthflow:nobody")
    assert said.startswith("AGENT_NOT_FOUND")
    said = await refused_resource(world, "cordboard://numbers/+14155559999")
    assert said.startswith("NUMBER_NOT_FOUND")


async def test_prompts_take_vendors_numbers_and_agents(world: World, era: str) -> None:
    async with world.client(era) as client:
        given = {"number": B_FREE, "agent": AT_FRONT}
        shown = await client.get_prompt("set_up_number", given)
        [message] = shown.messages
        assert isinstance(message.content, TextContent)
        assert B_FREE in message.content.text and AT_FRONT in message.content.text
        assert (await client.get_prompt("review_routing")).messages


# Words


async def test_every_sentence_ends_before_the_next_begins(world: World, at: Vendors) -> None:
    """A warning without a full stop runs into what is said after it."""
    plan = await world.call("attach_numbers", agent=AT_SUPPORT, numbers=[B_FREE_TOO])
    done = await world.call("apply_plan", plan_id=plan.plan_id)
    for reply in (plan, done):
        for warning in reply["warnings"]:
            after = reply.message.partition(warning)[2]
            assert warning.endswith(".") or after.startswith("."), reply.message
        assert ".." not in reply.message and not re.search(r"\s{2}", reply.message)

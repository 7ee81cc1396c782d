"""Moving numbers between agents, and the per-number pathway: set, cleared, kept, checked first."""

from __future__ import annotations

from typing import Any

import pytest
from tests.world import (
    INDIA,
    POOL_ONE,
    POOL_TWO,
    SEEDS,
    SUPPORT_LINE,
    TEST_ONE,
    TEST_TWO,
    Person,
    World,
    Worlds,
)

pytestmark = pytest.mark.anyio
ON_EVERY_STORE = True

PINNED: dict[str, Any] = {
    "pathway_id": "pathway_abc123",
    "pathway_version": 2,
    "start_node_id": "node_xyz",
}
MOVE: dict[str, Any] = {"from_agent": "local:support", "to_agent": "local:sales"}


async def test_a_move_takes_the_number_over(make_world: Worlds, era: str) -> None:
    world = make_world(SEEDS.bound("local:support", TEST_ONE, TEST_TWO))
    planned = await world.call("move_numbers", era=era, numbers=[TEST_ONE], **MOVE)
    assert planned.status == "confirmation_required" and planned["action"] == "move"
    [change] = planned["changes"]
    assert (change["before"]["agent"], change["after"]["agent"]) == (
        "local:support",
        "local:sales",
    )
    await world.call("apply_plan", era=era, plan_id=planned.plan_id)
    assert await world.holders(TEST_ONE) == ["local:sales"]
    assert await world.holders(TEST_TWO) == ["local:support"]


@pytest.mark.parametrize(("keep", "left"), [(False, ("", 0, "")), (True, tuple(PINNED.values()))])
async def test_a_move_drops_the_pathway_unless_it_is_kept(
    make_world: Worlds, keep: bool, left: tuple[str, int, str]
) -> None:
    world = make_world(SEEDS.bound("local:support", TEST_ONE, **PINNED))
    await world.done("move_numbers", numbers=[TEST_ONE], keep_pathway=keep, **MOVE)
    assert await world.sides(TEST_ONE) == [("inbound", "local:sales", *left)]


async def test_a_move_must_name_whom_it_takes_from(make_world: Worlds, era: str) -> None:
    world = make_world(SEEDS.bound("local:night", TEST_ONE))
    reply = await world.call("move_numbers", era=era, numbers=[TEST_ONE], **MOVE)
    assert reply.code == "NUMBER_ATTACHED_ELSEWHERE" and "local:night" in reply.text


async def test_a_number_nobody_holds_cannot_be_moved(world: World, era: str) -> None:
    reply = await world.call("move_numbers", era=era, numbers=[TEST_ONE], **MOVE)
    assert reply.code == "NUMBER_NOT_ATTACHED" and "attach_numbers" in reply.text


async def test_a_number_that_is_there_already_is_left_alone_beside_a_real_move(
    make_world: Worlds,
) -> None:
    seed = SEEDS.bound("local:support", TEST_ONE).bound("local:sales", TEST_TWO, **PINNED)
    world = make_world(seed)
    await world.done("move_numbers", numbers=[TEST_ONE, TEST_TWO], **MOVE)
    assert await world.holders(TEST_ONE) == ["local:sales"]
    assert await world.sides(TEST_TWO) == [("inbound", "local:sales", *PINNED.values())]


async def test_a_move_within_a_pool_leaves_the_other_agents_alone(make_world: Worlds) -> None:
    agents = (*SEEDS.agents, SEEDS.agents[3].__class__("local:third", "Third", "outbound"))
    seed = SEEDS.but(agents=agents)
    for agent in ("local:campaign", "local:third"):
        seed = seed.bound(agent, POOL_ONE, POOL_TWO, direction="outbound")
    world = make_world(seed)
    pool: dict[str, Any] = {"from_agent": "local:campaign", "to_agent": "local:followup"}
    await world.done("move_numbers", numbers=[POOL_ONE], **pool)
    assert await world.holders(POOL_ONE, "outbound") == ["local:followup", "local:third"]
    assert await world.holders(POOL_TWO, "outbound") == ["local:campaign", "local:third"]


async def test_a_pool_move_of_a_number_the_source_does_not_serve_is_refused(
    make_world: Worlds,
) -> None:
    agents = (*SEEDS.agents, SEEDS.agents[3].__class__("local:third", "Third", "outbound"))
    seed = SEEDS.but(agents=agents).bound("local:third", POOL_ONE, direction="outbound")
    reply = await make_world(seed).call(
        "move_numbers", from_agent="local:campaign", to_agent="local:followup", numbers=[POOL_ONE]
    )
    assert reply.code == "NUMBER_NOT_ATTACHED" and "local:campaign" in reply.text


async def test_a_pool_move_of_a_number_the_target_serves_already_leaves_it_unchanged(
    make_world: Worlds,
) -> None:
    seed = SEEDS.bound("local:followup", POOL_ONE, direction="outbound")
    reply = await make_world(seed).call(
        "move_numbers", from_agent="local:campaign", to_agent="local:followup", numbers=[POOL_ONE]
    )
    assert reply.status == "no_change"


@pytest.mark.parametrize(
    ("from_agent", "to_agent"),
    [("local:support", "local:campaign"), ("local:campaign", "local:support")],
)
async def test_agents_of_different_direction_cannot_exchange_numbers(
    make_world: Worlds, era: str, from_agent: str, to_agent: str
) -> None:
    world = make_world(SEEDS.bound("local:support", TEST_ONE))
    reply = await world.call(
        "move_numbers", era=era, from_agent=from_agent, to_agent=to_agent, numbers=[TEST_ONE]
    )
    assert reply.code == "NOT_SUPPORTED"
    assert "inbound" in reply.text and "outbound" in reply.text


@pytest.mark.parametrize(
    ("from_agent", "to_agent"), [("bland:1", "local:sales"), ("local:support", "bland:1")]
)
async def test_a_move_across_platforms_is_not_supported(
    make_world: Worlds, era: str, from_agent: str, to_agent: str
) -> None:
    world = make_world(SEEDS.bound("local:support", TEST_ONE))
    reply = await world.call(
        "move_numbers", era=era, from_agent=from_agent, to_agent=to_agent, numbers=[TEST_ONE]
    )
    assert reply.code == "NOT_SUPPORTED" and "platform" in reply.text


async def test_a_move_to_oneself_changes_nothing(make_world: Worlds) -> None:
    """Where a number is with `to_agent` already, it is unchanged; it keeps its pathway too."""
    world = make_world(SEEDS.bound("local:support", TEST_ONE, **PINNED))
    reply = await world.call(
        "move_numbers", from_agent="local:support", to_agent="local:support", numbers=[TEST_ONE]
    )
    assert reply.status == "no_change" and reply.plan_id == ""


async def test_a_move_that_mixes_is_asked(make_world: Worlds) -> None:
    seed = SEEDS.bound("local:support", TEST_ONE).bound("local:sales", INDIA)
    world = make_world(seed, policy="relaxed")
    reply = await world.call("move_numbers", person=Person("cancel"), numbers=[TEST_ONE], **MOVE)
    assert reply["guard"]["required"] == "client"
    assert any("local:sales" in w and "TEST and PRODUCTION" in w for w in reply["warnings"])


# The pathway of a number


async def test_a_pathway_is_set_and_cleared(make_world: Worlds, era: str) -> None:
    """The vendor's own example: pathway_abc123, version 2, from node_xyz; then null."""
    world = make_world(SEEDS.bound("local:support", SUPPORT_LINE))
    given: dict[str, Any] = {"agent": "local:support", "numbers": [SUPPORT_LINE]}
    done = await world.call("set_number_pathway", era=era, person=Person("yes"), **given, **PINNED)
    assert done.status == "applied" and done["action"] == "set_pathway"
    assert done["changes"][0]["after"] == {
        "direction": "inbound",
        "agent": "local:support",
        **PINNED,
    }
    [route] = (await world.call("get_number_route", number=SUPPORT_LINE))["inbound"]
    assert [route[name] for name in PINNED] == list(PINNED.values())
    cleared = await world.call("clear_number_pathway", era=era, person=Person("yes"), **given)
    assert cleared.status == "applied" and cleared["action"] == "clear_pathway"
    assert await world.sides(SUPPORT_LINE) == [("inbound", "local:support", "", 0, "")]


async def test_setting_a_pathway_replaces_all_three_fields(make_world: Worlds) -> None:
    world = make_world(SEEDS.bound("local:support", TEST_ONE, **PINNED))
    given: dict[str, Any] = {"agent": "local:support", "numbers": [TEST_ONE]}
    await world.done("set_number_pathway", **given, pathway_id="pathway_abc123")
    assert await world.sides(TEST_ONE) == [("inbound", "local:support", "pathway_abc123", 0, "")]


async def test_an_outbound_agent_s_number_has_its_own_pathway(make_world: Worlds) -> None:
    seed = SEEDS.bound("local:campaign", POOL_ONE, direction="outbound")
    world = make_world(seed.bound("local:followup", POOL_ONE, direction="outbound"))
    await world.done("set_number_pathway", agent="local:campaign", numbers=[POOL_ONE], **PINNED)
    assert await world.sides(POOL_ONE) == [
        ("outbound", "local:campaign", *PINNED.values()),
        ("outbound", "local:followup", "", 0, ""),
    ]


@pytest.mark.parametrize(
    ("tool", "pathway"),
    [("set_number_pathway", PINNED), ("clear_number_pathway", {})],
)
@pytest.mark.parametrize(
    ("holder", "code"), [("", "NUMBER_NOT_ATTACHED"), ("local:night", "NUMBER_ATTACHED_ELSEWHERE")]
)
async def test_only_the_holder_s_pathway_can_be_set_or_cleared(
    make_world: Worlds, tool: str, pathway: dict[str, Any], holder: str, code: str
) -> None:
    world = make_world(SEEDS.bound(holder, TEST_ONE) if holder else SEEDS)
    reply = await world.call(tool, agent="local:support", numbers=[TEST_ONE], **pathway)
    assert reply.code == code and TEST_ONE in reply.text and holder in reply.text


@pytest.mark.parametrize(
    ("pathway", "named"),
    [
        ({"pathway_id": "pathway_nope"}, "pathway_nope"),
        ({"pathway_id": "pathway_abc123", "pathway_version": 3}, "version 3"),
        ({"pathway_id": "pathway_abc123", "start_node_id": "node_gone"}, "node_gone"),
        (
            {"pathway_id": "pathway_abc123", "pathway_version": 1, "start_node_id": "node_xyz"},
            "node_xyz",
        ),
        ({"pathway_id": "pathway_sales", "start_node_id": "node_xyz"}, "node_xyz"),
    ],
)
async def test_a_pathway_version_or_node_that_is_not_there_is_found_before_anybody_is_asked(
    make_world: Worlds, era: str, pathway: dict[str, Any], named: str
) -> None:
    world = make_world(SEEDS.bound("local:support", SUPPORT_LINE))
    person, before = Person("yes"), await world.seq()
    reply = await world.call(
        "set_number_pathway", era=era, person=person, agent="local:support",
        numbers=[SUPPORT_LINE], **pathway,
    )  # fmt: skip
    assert reply.code == "PATHWAY_NOT_FOUND"
    assert named in reply.text and "list_pathways" in reply.text
    assert person.asked == [] and await world.seq() == before


@pytest.mark.parametrize(
    "pathway",
    [
        {"pathway_id": "pathway_abc123"},
        {"pathway_id": "pathway_abc123", "start_node_id": "node_xyz"},
        {"pathway_id": "pathway_abc123", "pathway_version": 1, "start_node_id": "node_start"},
        PINNED,
    ],
)
async def test_version_zero_checks_the_node_against_the_newest(
    make_world: Worlds, pathway: dict[str, Any]
) -> None:
    world = make_world(SEEDS.bound("local:support", TEST_ONE))
    reply = await world.call(
        "set_number_pathway", agent="local:support", numbers=[TEST_ONE], **pathway
    )
    assert reply.status == "confirmation_required" and reply["warnings"] == []


async def test_an_account_without_pathways_gets_a_warning_instead(
    make_world: Worlds, era: str
) -> None:
    world = make_world(SEEDS.but(pathways=()).bound("local:support", SUPPORT_LINE))
    person = Person("yes")
    reply = await world.call(
        "set_number_pathway", era=era, person=person, agent="local:support",
        numbers=[SUPPORT_LINE], **PINNED,
    )  # fmt: skip
    assert reply.status == "applied"
    assert any("not checked" in w and "pathway_abc123" in w for w in reply["warnings"])
    assert "not checked" in person.asked[0]


async def test_a_version_pinned_stays_pinned_and_zero_follows_the_newest(
    make_world: Worlds,
) -> None:
    world = make_world(SEEDS.bound("local:support", TEST_ONE))
    given: dict[str, Any] = {"agent": "local:support", "numbers": [TEST_ONE]}
    planned = await world.call("set_number_pathway", **given, pathway_id="pathway_abc123")
    assert planned["changes"][0]["after"]["pathway_version"] == 0
    await world.put("pathway_version_put", pathway_id="pathway_abc123", version=3, nodes='["n"]')
    applied = await world.call("apply_plan", plan_id=planned.plan_id)
    assert applied.status == "applied"
    [route] = (await world.call("get_number_route", number=TEST_ONE))["inbound"]
    assert route["pathway_version"] == 0 and "newest" in route["why"]


async def test_a_node_that_left_the_newest_version_meanwhile_makes_the_plan_stale(
    make_world: Worlds,
) -> None:
    world = make_world(SEEDS.bound("local:support", TEST_ONE))
    planned = await world.call(
        "set_number_pathway", agent="local:support", numbers=[TEST_ONE],
        pathway_id="pathway_abc123", start_node_id="node_xyz",
    )  # fmt: skip
    await world.put("pathway_version_put", pathway_id="pathway_abc123", version=3, nodes='["n"]')
    refused = await world.call("apply_plan", plan_id=planned.plan_id)
    assert refused.status == "plan_rejected"
    assert TEST_ONE in refused.message and "node_xyz" in refused.message

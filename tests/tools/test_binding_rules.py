"""The rules of binding: who may hold a number, and what attach, detach and move make of it."""

from __future__ import annotations

from typing import Any

import pytest
from tests.world import (
    INDIA,
    NOT_OWNED,
    POOL_ONE,
    POOL_TWO,
    SECOND_LINE,
    SEEDS,
    SUPPORT_LINE,
    TEST_ONE,
    TEST_THREE,
    TEST_TWO,
    UNKNOWN_PURPOSE,
    Person,
    Reply,
    SeedAgent,
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
NONE = {"pathway_id": "", "pathway_version": 0, "start_node_id": ""}


def side(agent: str = "", direction: str = "inbound", **pathway: Any) -> dict[str, Any]:
    return {"direction": direction, "agent": agent} | NONE | pathway


def only_change(reply: Reply) -> dict[str, Any]:
    [change] = reply["changes"]
    assert isinstance(change, dict)
    return change


async def asked(world: World, tool: str, **given: Any) -> Reply:
    """A call by a client with nobody to ask: it shows the plan, and changes nothing."""
    reply = await world.call(tool, **given)
    if not reply.is_error:
        assert reply.status in ("confirmation_required", "awaiting_approval", "no_change")
    return reply


# Attach


async def test_a_free_number_is_attached(world: World, era: str) -> None:
    planned = await world.call("attach_numbers", era=era, agent="local:support", numbers=[TEST_ONE])
    assert planned.status == "confirmation_required" and planned["action"] == "attach"
    change = only_change(planned)
    assert change["before"] == side() and change["after"] == side("local:support")
    assert (change["number"], change["direction"]) == (TEST_ONE, "inbound")
    assert await world.holders(TEST_ONE) == []
    applied = await world.call("apply_plan", era=era, plan_id=planned.plan_id)
    assert applied.status == "applied" and only_change(applied)["outcome"] == "applied"
    assert await world.holders(TEST_ONE) == ["local:support"]


async def test_several_numbers_of_different_owners_are_attached_at_once(world: World) -> None:
    numbers = [SUPPORT_LINE, INDIA, SECOND_LINE]
    reply = await world.call(
        "attach_numbers", person=Person("yes"), agent="local:support", numbers=numbers
    )
    assert reply.status == "applied" and reply["counts"]["applied"] == 3
    for number in numbers:
        assert await world.holders(number) == ["local:support"]


async def test_a_number_another_agent_holds_is_refused_with_the_holder(
    make_world: Worlds, era: str
) -> None:
    world = make_world(SEEDS.bound("local:night", TEST_ONE))
    before = await world.seq()
    reply = await world.call("attach_numbers", era=era, agent="local:support", numbers=[TEST_ONE])
    assert reply.code == "NUMBER_ATTACHED_ELSEWHERE"
    assert "local:night" in reply.text and "move_numbers" in reply.text
    assert await world.holders(TEST_ONE) == ["local:night"]
    assert await world.seq() == before


async def test_one_number_may_serve_inbound_and_outbound_at_once(make_world: Worlds) -> None:
    world = make_world(SEEDS.bound("local:support", POOL_ONE))
    await world.done("attach_numbers", agent="local:campaign", numbers=[POOL_ONE])
    assert await world.holders(POOL_ONE) == ["local:support"]
    assert await world.holders(POOL_ONE, "outbound") == ["local:campaign"]


async def test_a_pool_number_serves_several_outbound_agents_each_once(world: World) -> None:
    for agent in ("local:campaign", "local:followup"):
        reply = await world.done("attach_numbers", agent=agent, numbers=[POOL_ONE, POOL_TWO])
        assert {c["direction"] for c in reply["changes"]} == {"outbound"}
    assert await world.holders(POOL_ONE, "outbound") == ["local:campaign", "local:followup"]
    again = await world.call("attach_numbers", agent="local:campaign", numbers=[POOL_ONE])
    assert again.status == "no_change"


async def test_slugs_name_the_same_numbers(world: World, era: str) -> None:
    """The vendor's own example: these two slugs, to one outbound agent."""
    slugs = ["16286666348", "1231242151"]
    planned = await asked(
        world, "attach_numbers", era=era, agent="local:campaign", number_slugs=slugs
    )
    assert [c["number"] for c in planned["changes"]] == [POOL_ONE, POOL_TWO]
    await world.done("attach_numbers", agent="local:campaign", number_slugs=slugs)
    await world.done("detach_numbers", agent="local:campaign", number_slugs=slugs[1:])
    assert await world.holders(POOL_ONE, "outbound") == ["local:campaign"]
    assert await world.holders(POOL_TWO, "outbound") == []


@pytest.mark.parametrize("slug", ["12131231214", "nothing-like-it", "..", "1231242151x"])
async def test_a_slug_is_opaque_and_must_be_known(world: World, slug: str) -> None:
    reply = await world.call(
        "attach_numbers", agent="local:campaign", number_slugs=["16286666348", slug]
    )
    assert reply.code == "NUMBER_NOT_FOUND" and slug in reply.text and "local" in reply.text


async def test_a_number_of_nobody_s_is_refused_and_the_nearest_is_shown_not_used(
    world: World, era: str
) -> None:
    reply = await world.call("attach_numbers", era=era, agent="local:support", numbers=[NOT_OWNED])
    assert reply.code == "NUMBER_NOT_FOUND"
    assert NOT_OWNED in reply.text and SUPPORT_LINE in reply.text
    assert await world.holders(SUPPORT_LINE) == []


async def test_a_number_the_numbering_plan_does_not_know_is_taken_with_a_warning(
    world: World, era: str
) -> None:
    """The vendor's own example +12131231214 has the right length, and no such exchange exists."""
    reply = await world.call("attach_numbers", era=era, agent="local:campaign", numbers=[POOL_TWO])
    assert reply["counts"]["planned"] == 1
    assert any(POOL_TWO in w and "numbering plan" in w for w in reply["warnings"])


# The carrier


async def test_a_provider_that_owns_the_number_is_fine(world: World) -> None:
    reply = await asked(
        world, "attach_numbers", agent="local:support", numbers=[TEST_ONE], provider="telnyx"
    )
    assert reply.status == "confirmation_required"


async def test_a_provider_that_is_not_configured_is_refused(world: World, era: str) -> None:
    reply = await world.call(
        "attach_numbers", era=era, agent="local:support", numbers=[TEST_ONE], provider="san"
    )
    assert reply.code == "PROVIDER_NOT_CONFIGURED" and "san" in reply.text


async def test_a_number_the_named_provider_does_not_own_is_not_found(
    world: World, era: str
) -> None:
    reply = await world.call(
        "attach_numbers", era=era, agent="local:support", numbers=[TEST_ONE, SUPPORT_LINE],
        provider="twilio",
    )  # fmt: skip
    assert reply.code == "NUMBER_NOT_FOUND"
    assert TEST_ONE in reply.text and "twilio" in reply.text
    assert SUPPORT_LINE not in reply.text


async def test_the_named_provider_holds_for_slugs_too(world: World) -> None:
    given: dict[str, Any] = {
        "agent": "local:campaign",
        "number_slugs": ["1231242151"],
        "provider": "telnyx",
    }
    assert (await world.call("attach_numbers", **given)).code == "NUMBER_NOT_FOUND"


# Agents


@pytest.mark.parametrize("agent", ["local:nobody", "bland:12345678", "synthflow:x", "acme:x"])
@pytest.mark.parametrize("tool", ["attach_numbers", "detach_numbers", "clear_number_pathway"])
async def test_an_agent_nobody_knows_is_refused(world: World, tool: str, agent: str) -> None:
    reply = await world.call(tool, agent=agent, numbers=[TEST_ONE])
    assert reply.code == "AGENT_NOT_FOUND" and agent in reply.text


@pytest.mark.parametrize(
    ("from_agent", "to_agent"),
    [("local:nobody", "local:sales"), ("local:sales", "local:nobody"), ("local:a", "local:b")],
)
async def test_a_move_names_every_agent_that_is_missing(
    world: World, from_agent: str, to_agent: str
) -> None:
    reply = await world.call(
        "move_numbers", from_agent=from_agent, to_agent=to_agent, numbers=[TEST_ONE]
    )
    assert reply.code == "AGENT_NOT_FOUND"
    assert all(a in reply.text for a in {from_agent, to_agent} - {"local:sales"})


# Already so


@pytest.mark.parametrize(
    ("tool", "given"),
    [
        ("attach_numbers", {"agent": "local:support"}),
        ("clear_number_pathway", {"agent": "local:support"}),
        ("move_numbers", {"from_agent": "local:night", "to_agent": "local:support"}),
        ("detach_numbers", {"agent": "local:support", "numbers": [TEST_TWO]}),
    ],
)
async def test_what_is_so_already_makes_no_plan(
    make_world: Worlds, era: str, tool: str, given: dict[str, Any]
) -> None:
    world = make_world(SEEDS.bound("local:support", TEST_ONE))
    before = await world.seq()
    reply = await world.call(tool, era=era, **{"numbers": [TEST_ONE]} | given)
    assert reply.status == "no_change" and reply.plan_id == ""
    assert only_change(reply)["outcome"] == "unchanged"
    assert reply["counts"]["unchanged"] == 1 and reply["counts"]["planned"] == 0
    assert reply["approve"] == {"how": "", "url": "", "command": "", "expires_at": ""}
    assert await world.seq() == before


async def test_setting_the_pathway_that_is_set_makes_no_plan(make_world: Worlds) -> None:
    world = make_world(SEEDS.bound("local:support", TEST_ONE, **PINNED))
    reply = await world.call(
        "set_number_pathway", agent="local:support", numbers=[TEST_ONE], **PINNED
    )
    assert reply.status == "no_change" and reply.plan_id == ""


async def test_unchanged_numbers_stand_beside_real_changes(make_world: Worlds) -> None:
    world = make_world(SEEDS.bound("local:support", TEST_ONE))
    numbers = [TEST_ONE, TEST_TWO, TEST_THREE]
    planned = await world.call("attach_numbers", agent="local:support", numbers=numbers)
    outcomes = {c["number"]: c["outcome"] for c in planned["changes"]}
    assert outcomes == {TEST_ONE: "unchanged", TEST_TWO: "planned", TEST_THREE: "planned"}
    assert [c["outcome"] for c in planned["changes"]][-1] == "unchanged"
    assert (planned["counts"]["planned"], planned["counts"]["unchanged"]) == (2, 1)
    applied = await world.call("apply_plan", plan_id=planned.plan_id)
    assert (applied["counts"]["applied"], applied["counts"]["unchanged"]) == (2, 1)


# Detach


async def test_detach_clears_the_number_s_pathway(make_world: Worlds, era: str) -> None:
    world = make_world(SEEDS.bound("local:support", TEST_ONE, **PINNED))
    planned = await asked(world, "detach_numbers", agent="local:support", numbers=[TEST_ONE])
    change = only_change(planned)
    assert change["before"] == side("local:support", **PINNED) and change["after"] == side()
    await world.call("apply_plan", era=era, plan_id=planned.plan_id)
    assert await world.holders(TEST_ONE) == []
    await world.done("attach_numbers", agent="local:support", numbers=[TEST_ONE])
    assert await world.sides(TEST_ONE) == [("inbound", "local:support", "", 0, "")]


async def test_detach_of_a_number_another_holds_is_refused(make_world: Worlds) -> None:
    world = make_world(SEEDS.bound("local:night", TEST_ONE))
    reply = await world.call("detach_numbers", agent="local:support", numbers=[TEST_ONE])
    assert reply.code == "NUMBER_ATTACHED_ELSEWHERE" and "local:night" in reply.text


async def test_detach_from_a_pool_leaves_the_other_agents(make_world: Worlds) -> None:
    seed = SEEDS.bound("local:campaign", POOL_ONE, direction="outbound")
    world = make_world(seed.bound("local:followup", POOL_ONE, direction="outbound"))
    await world.done("detach_numbers", agent="local:campaign", numbers=[POOL_ONE])
    assert await world.holders(POOL_ONE, "outbound") == ["local:followup"]


async def test_detach_of_an_outbound_agent_leaves_inbound_alone(make_world: Worlds) -> None:
    seed = SEEDS.bound("local:support", POOL_ONE)
    world = make_world(seed.bound("local:campaign", POOL_ONE, direction="outbound"))
    await world.done("detach_numbers", agent="local:campaign", numbers=[POOL_ONE])
    assert await world.holders(POOL_ONE) == ["local:support"]


# A bad number refuses the batch


async def test_every_bad_number_of_a_batch_is_listed(make_world: Worlds, era: str) -> None:
    world = make_world(SEEDS.bound("local:night", TEST_TWO))
    before = await world.seq()
    numbers = [TEST_ONE, TEST_TWO, NOT_OWNED, SUPPORT_LINE, "12345", SUPPORT_LINE]
    reply = await world.call("attach_numbers", era=era, agent="local:support", numbers=numbers)
    assert reply.code == "INVALID_NUMBER_FORMAT"
    for bad in (TEST_TWO, NOT_OWNED, SUPPORT_LINE, "12345"):
        assert bad in reply.text, bad
    for code in ("DUPLICATE_NUMBER", "NUMBER_NOT_FOUND", "NUMBER_ATTACHED_ELSEWHERE"):
        assert code in reply.text, code
    assert TEST_ONE not in reply.text
    assert "4 numbers are refused" in reply.text and "Nothing was changed" in reply.text
    assert await world.seq() == before and await world.holders(TEST_ONE) == []


FORMAT, TWICE, MISSING, ELSEWHERE, FREE = "12345", TEST_THREE, NOT_OWNED, TEST_TWO, SECOND_LINE
LEADING = [
    ([FREE, ELSEWHERE, MISSING, TWICE, TWICE, FORMAT], "INVALID_NUMBER_FORMAT"),
    ([FREE, ELSEWHERE, MISSING, TWICE, TWICE], "DUPLICATE_NUMBER"),
    ([FREE, ELSEWHERE, MISSING], "NUMBER_NOT_FOUND"),
    ([FREE, ELSEWHERE], "NUMBER_ATTACHED_ELSEWHERE"),
    ([FREE], "NUMBER_NOT_ATTACHED"),
]


@pytest.mark.parametrize("order", ["as given", "reversed"])
@pytest.mark.parametrize(("numbers", "code"), LEADING)
async def test_the_leading_code_is_the_first_that_applies(
    make_world: Worlds, numbers: list[str], code: str, order: str
) -> None:
    seed = SEEDS.bound("local:night", TEST_TWO).bound("local:support", TEST_THREE)
    world = make_world(seed)
    given = numbers[::-1] if order == "reversed" else numbers
    reply = await world.call(
        "move_numbers", from_agent="local:support", to_agent="local:sales", numbers=given
    )
    assert reply.code == code
    assert all(number in reply.text for number in numbers)


# TEST and PRODUCTION


@pytest.mark.parametrize(
    ("there", "new"),
    [
        ([], [TEST_ONE, SUPPORT_LINE]),
        ([SUPPORT_LINE], [TEST_ONE]),
        ([TEST_ONE], [SUPPORT_LINE]),
        ([UNKNOWN_PURPOSE], [TEST_ONE]),
        ([], [UNKNOWN_PURPOSE, TEST_ONE]),
    ],
)
@pytest.mark.parametrize("policy", ["relaxed", "standard"])
async def test_mixing_test_and_production_is_asked_with_a_warning(
    make_world: Worlds, there: list[str], new: list[str], policy: str
) -> None:
    world = make_world(SEEDS.bound("local:support", *there), policy=policy)
    person = Person("yes")
    reply = await world.call("attach_numbers", person=person, agent="local:support", numbers=new)
    assert reply.status == "applied" and reply["guard"]["required"] == "client"
    assert any("TEST and PRODUCTION" in w for w in reply["warnings"])
    assert "TEST and PRODUCTION" in person.asked[0]


@pytest.mark.parametrize(
    ("there", "new", "level"),
    [
        ([TEST_TWO], [TEST_ONE], "plan"),
        ([], [TEST_ONE, TEST_TWO], "plan"),
        ([UNKNOWN_PURPOSE], [SUPPORT_LINE], "client"),
    ],
)
async def test_numbers_of_one_kind_do_not_mix(
    make_world: Worlds, there: list[str], new: list[str], level: str
) -> None:
    world = make_world(SEEDS.bound("local:support", *there))
    reply = await world.call(
        "attach_numbers", person=Person("cancel"), agent="local:support", numbers=new
    )
    assert reply["guard"]["required"] == level
    assert not any("TEST and PRODUCTION" in w for w in reply["warnings"])


async def test_an_outbound_pool_must_not_mix_unasked_either(make_world: Worlds) -> None:
    seed = SEEDS.bound("local:campaign", POOL_ONE, direction="outbound")
    world = make_world(seed, policy="relaxed")
    reply = await world.call(
        "attach_numbers", person=Person("cancel"), agent="local:campaign", numbers=[TEST_ONE]
    )
    assert reply["guard"]["required"] == "client"


async def test_taking_the_last_test_number_away_is_no_mixing(make_world: Worlds) -> None:
    """A move that mixes at its end is asked; a detach that ends a mix is not."""
    world = make_world(SEEDS.bound("local:support", TEST_ONE, SUPPORT_LINE), policy="relaxed")
    reply = await world.call("detach_numbers", agent="local:support", numbers=[TEST_ONE])
    assert reply["guard"]["required"] == "plan" and reply["warnings"] == []


async def test_agents_with_long_ids_work_end_to_end(make_world: Worlds) -> None:
    agent = "local:" + "a" * 100
    world = make_world(SEEDS.but(agents=(SeedAgent(agent, "Long"),)))
    await world.done("attach_numbers", agent=agent, numbers=[TEST_ONE])
    assert await world.holders(TEST_ONE) == [agent]

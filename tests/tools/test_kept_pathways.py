"""A pathway that a move carries along is no new claim: it may be one nobody recorded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.world import SEEDS, Person, World

pytestmark = pytest.mark.anyio
PRODUCTION = "+14155551234"


async def test_a_move_keeps_a_pathway_that_was_set_before_any_were_recorded(
    make_world: Callable[..., World],
) -> None:
    bare = SEEDS.bound("local:support", PRODUCTION, pathway_id="unrecorded")
    world = make_world(bare, CORDBOARD_POLICY="relaxed")
    plan = await world.call(
        "move_numbers",
        from_agent="local:support",
        to_agent="local:sales",
        numbers=[PRODUCTION],
        keep_pathway=True,
    )
    done = await world.call("apply_plan", plan_id=plan.plan_id)
    assert done.status == "applied"
    assert done["changes"][0]["after"]["pathway_id"] == "unrecorded"


async def test_a_pathway_nobody_recorded_reaches_a_person_quoted_and_without_a_link(
    make_world: Callable[..., World],
) -> None:
    person = Person("decline")
    bare = replace(SEEDS, pathways=())
    world = make_world(bare.bound("local:support", PRODUCTION))
    await world.call(
        "set_number_pathway",
        person=person,
        agent="local:support",
        numbers=[PRODUCTION],
        pathway_id="evil.example.com",
    )
    [asked] = person.asked
    assert "evil" not in str(asked) and '"[link removed]"' in str(asked)

"""A pathway that a move carries along is no new claim: it may be one nobody recorded."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.world import SEEDS, World

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

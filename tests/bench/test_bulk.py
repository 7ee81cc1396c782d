"""A plan of 1,000 numbers on `local`, made and applied at the service, against a bare script."""

from __future__ import annotations

import gc
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from tests.bench import bare_bulk
from tests.bench.measuring import Pair, Table, timed, timed_async
from tests.bench.stores import ACCOUNT, bare_connection, make_store, seeded
from tests.world import many, names

from cordboard.answers import ChangeResult
from cordboard.app import build
from cordboard.config import load
from cordboard.identity import operator
from cordboard.request import Asked
from cordboard.service import BindingService, Caller

pytestmark = pytest.mark.anyio

ROUNDS, NUMBERS = 9, 1_000


@pytest.fixture(autouse=True)
def _only_own_garbage() -> Iterator[None]:
    """What pytest and every import left on the heap is not gone through while times are taken."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


async def plan_and_apply(service: BindingService, agent: str, numbers: list[str]) -> None:
    """Both calls, past the tools and their limit of 100 numbers."""
    caller = Caller(operator(ACCOUNT, "bench"))
    asked = Asked("attach", agent, numbers=tuple(numbers))
    planned = await service.changes.change(caller, asked, "")
    assert isinstance(planned, ChangeResult) and planned.status == "confirmation_required"
    done = await service.changes.apply(caller, planned.plan_id)
    assert isinstance(done, ChangeResult) and done.counts.applied == NUMBERS


async def test_a_thousand_numbers_cost_at_most_three_times_a_bare_script(
    table: Table, tmp_path: Path
) -> None:
    ours, bare = tmp_path / "ours.db", tmp_path / "bare.db"
    make_store(ours, seeded(ROUNDS + 1, NUMBERS * (ROUNDS + 1)))
    shutil.copy(ours, bare)
    app = build(load({"CORDBOARD_DATABASE": str(ours), "CORDBOARD_POLICY": "relaxed"}))
    db = bare_connection(bare)
    texts = names(many(NUMBERS * (ROUNDS + 1)))
    pair = Pair()
    for turn in range(ROUNDS + 1):  # the first warms up
        agent, part = f"local:agent-{turn}", texts[turn * NUMBERS : (turn + 1) * NUMBERS]
        pair.ours.append(await timed_async(partial(plan_and_apply, app.service, agent, part)))
        bare_side = partial(bare_bulk.plan_and_apply, db, f"plan_{turn:024}", agent, part)
        pair.bare.append(timed(bare_side))
    await app.store.close()
    db.close()
    table.hold(pair.without(1).figure("1,000 numbers planned and applied at the service", 3.0))

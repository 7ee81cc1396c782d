"""Plans of 1,000 and of 100,000 numbers on `local`, made and applied at the service, against a bare
script; and the memory that the big one takes.
"""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from tests.bench import bare_bulk
from tests.bench.measuring import Pair, Table, sized, timed, timed_async
from tests.bench.stores import ACCOUNT, bare_connection, make_store, remove, seeded
from tests.world import AT, SEEDS, SeedAgent, fill, many, names

from cordboard.answers import ChangeResult
from cordboard.app import build
from cordboard.config import load
from cordboard.identity import operator
from cordboard.request import Asked
from cordboard.service import BindingService, Caller
from cordboard.stores import Transaction

pytestmark = pytest.mark.anyio

ROUNDS, NUMBERS = 9, 1_000
BIG_ROUNDS, BIG = 3, 100_000
MOST_MEMORY = 400 * 1024 * 1024


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
    assert isinstance(done, ChangeResult) and done.counts.applied == len(numbers)


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


def big(index: int) -> str:
    """The number of that place, in rising order."""
    return f"+1{2_120_000_000 + index}"


def stocked(agents: int, numbers: int) -> Callable[[Transaction], None]:
    """Fills a store with so many inbound agents, and rows of numbers as an import writes them."""
    named = tuple(SeedAgent(f"local:agent-{i}", f"Agent {i}") for i in range(agents))
    told = {
        "account": ACCOUNT,
        "provider": "telnyx",
        "purpose": "TEST",
        "tags": '["pool"]',
        "at": AT,
    }

    def work(tx: Transaction) -> None:
        fill(tx, SEEDS.but(agents=named, numbers=()))
        for start in range(0, numbers, BIG):
            rows = (
                {"number": big(i), "id": i + 1, "label": f"Line {i}", "slug": big(i)[1:]}
                for i in range(start, min(start + BIG, numbers))
            )
            tx.many("number_put", [told | row for row in rows])

    return work


async def test_100_000_numbers_cost_at_most_three_times_a_bare_script(
    table: Table, tmp_path: Path
) -> None:
    ours, bare = tmp_path / "ours.db", tmp_path / "bare.db"
    make_store(ours, stocked(BIG_ROUNDS, BIG * BIG_ROUNDS))
    shutil.copy(ours, bare)
    app = build(load({"CORDBOARD_DATABASE": str(ours), "CORDBOARD_POLICY": "relaxed"}))
    db = bare_connection(bare)
    pair = Pair()
    for turn in range(BIG_ROUNDS):
        agent, part = f"local:agent-{turn}", [big(turn * BIG + i) for i in range(BIG)]
        pair.ours.append(await timed_async(partial(plan_and_apply, app.service, agent, part)))
        bare_side = partial(bare_bulk.plan_and_apply, db, f"plan_{turn:024}", agent, part)
        pair.bare.append(timed(bare_side))
        gc.collect()
    await app.store.close()
    db.close()
    remove(ours)
    remove(bare)
    table.hold(pair.figure("100,000 numbers planned and applied at the service", 3.0))


def test_100_000_numbers_take_at_most_400_megabytes(table: Table, tmp_path: Path) -> None:
    database = tmp_path / "store.db"
    make_store(database, stocked(1, BIG))
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("bulk_process.py")), "local:agent-0"],
        env=dict(os.environ) | {"CORDBOARD_DATABASE": str(database), "CORDBOARD_POLICY": "relaxed"},
        input="\n".join(big(i) for i in range(BIG)),
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    remove(database)
    table.hold(
        sized("memory of 100,000 numbers planned and applied", int(done.stdout), MOST_MEMORY)
    )

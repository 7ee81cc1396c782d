"""Plans of 1,000 and of 100,000 numbers on `local`, made and applied at the service, against a bare
script, on every engine; and the memory that the big one takes.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest
from tests.bench import bare_bulk
from tests.bench.measuring import Pair, Table, sized, timed, timed_async
from tests.bench.stores import ACCOUNT, Databases, Files, Fill, Stores, seeded
from tests.world import AT, SEEDS, SeedAgent, fill, many, names

from cordboard.answers import ChangeResult
from cordboard.app import build
from cordboard.config import load
from cordboard.identity import operator
from cordboard.request import Asked
from cordboard.service import BindingService, Caller
from cordboard.stores import Transaction

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("only_own_garbage")]

ROUNDS, NUMBERS = 9, 1_000
BIG_ROUNDS, BIG = 3, 100_000
MOST_MEMORY = 400 * 1024 * 1024


@pytest.fixture(params=["sqlite", "postgres"])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Stores:
    """Stores of every engine."""
    if request.param == "sqlite":
        return Files(tmp_path)
    return Databases(request.getfixturevalue("durable"))


async def plan_and_apply(service: BindingService, agent: str, numbers: list[str]) -> None:
    """Both calls, past the tools and their limit of 100 numbers."""
    caller = Caller(operator(ACCOUNT, "bench"))
    asked = Asked("attach", agent, numbers=tuple(numbers))
    planned = await service.changes.change(caller, asked, "")
    assert isinstance(planned, ChangeResult) and planned.status == "confirmation_required"
    done = await service.changes.apply(caller, planned.plan_id)
    assert isinstance(done, ChangeResult) and done.counts.applied == len(numbers)


def big(index: int) -> str:
    """The number of that place, in rising order."""
    return f"+1{2_120_000_000 + index}"


def stocked(agents: int, numbers: int) -> Fill:
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


async def compared(stores: Stores, write: Fill, rounds: Sequence[list[str]]) -> Pair:
    """Plans of each round's numbers, for an agent of its own, made and applied by both."""
    ours = stores.filled(write)
    bare = stores.copy(ours)
    app = build(load({"CORDBOARD_DATABASE": ours, "CORDBOARD_POLICY": "relaxed"}))
    driver = stores.bare(bare)
    pair = Pair()
    for turn, part in enumerate(rounds):
        agent = f"local:agent-{turn}"
        pair.ours.append(await timed_async(partial(plan_and_apply, app.service, agent, part)))
        bare_side = partial(bare_bulk.plan_and_apply, driver, f"plan_{turn:024}", agent, part)
        pair.bare.append(timed(bare_side))
        gc.collect()
    await app.store.close()
    driver.close()
    stores.remove(ours)
    stores.remove(bare)
    return pair


async def test_a_thousand_numbers_cost_at_most_three_times_a_bare_script(
    table: Table, stores: Stores
) -> None:
    every = names(many(NUMBERS * (ROUNDS + 1)))
    texts = [every[start : start + NUMBERS] for start in range(0, len(every), NUMBERS)]
    pair = await compared(stores, seeded(ROUNDS + 1, len(every)), texts)
    name = f"{stores.prefix}1,000 numbers planned and applied"
    table.hold(pair.without(1).figure(name, 3.0))  # the first warms up


async def test_100_000_numbers_cost_at_most_three_times_a_bare_script(
    table: Table, stores: Stores
) -> None:
    texts = [[big(turn * BIG + i) for i in range(BIG)] for turn in range(BIG_ROUNDS)]
    pair = await compared(stores, stocked(BIG_ROUNDS, BIG * BIG_ROUNDS), texts)
    table.hold(pair.figure(f"{stores.prefix}100,000 numbers planned and applied", 3.0))


def test_100_000_numbers_take_at_most_400_megabytes(table: Table, stores: Stores) -> None:
    database = stores.filled(stocked(1, BIG))
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("bulk_process.py")), "local:agent-0"],
        env=dict(os.environ) | {"CORDBOARD_DATABASE": database, "CORDBOARD_POLICY": "relaxed"},
        input="\n".join(big(i) for i in range(BIG)),
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    stores.remove(database)
    name = f"{stores.prefix}memory of 100,000 numbers planned and applied"
    table.hold(sized(name, int(done.stdout), MOST_MEMORY))

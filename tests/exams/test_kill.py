"""kill -9 in the middle of applying: nothing half-done, and the next process simply goes on."""

from __future__ import annotations

import json
from pathlib import Path

import anyio
import pytest
from tests.exams import stage
from tests.exams.test_races import processes
from tests.world import SEEDS, fill, many, names

from cordboard.stores.sqlite import SqliteStore

LINES = many(60)
PAIR = ["local:support", "local:night"]
SEED = SEEDS.but(numbers=LINES).bound(PAIR[0], *names(LINES))
WORKERS = 2


@pytest.mark.parametrize("seed", range(WORKERS))
def test_a_killed_apply_is_done_whole_or_not_at_all(tmp_path: Path, seed: int) -> None:
    database = tmp_path / "cordboard.db"

    async def make() -> None:
        store = SqliteStore(database)
        await store.write(lambda tx: fill(tx, SEED))
        await store.close()

    anyio.run(make)
    kills = stage.examples(40, 2000) // WORKERS
    rounds = processes("kill", database, seed=seed, kills=kills, numbers=names(LINES), agents=PAIR)
    assert len(rounds) == kills
    for done in rounds:
        assert done["seen"]["fault"] == "", done
        assert done["seen"]["integrity"] == "ok", done
        assert done["holders"] in ([done["before"]], [done["after"]]), done
        assert done["next"]["status"] in ("applied", "no_change"), done
        assert done["finally"] == [done["after"]], done
    died = [d for d in rounds if not d["finished"]]
    assert len(died) > kills // 4, "most of the kills came in time"
    stage.audit(database)
    applied = stage.query(database, "SELECT plan_id FROM plan WHERE state = 'applied'")
    moved = sum(d["holders"] == [d["after"]] for d in rounds)
    went_on = sum(d["next"]["status"] == "applied" for d in rounds)
    assert len(applied) == 2 + moved + went_on, json.dumps(rounds)[:2000]


def test_a_store_whose_maker_was_killed_can_be_used(tmp_path: Path) -> None:
    rounds = processes("born", tmp_path / "cordboard.db", seed=7, kills=stage.examples(12, 500))
    for froze, looked in rounds:
        assert froze.get("status") == "frozen", froze
        assert looked.get("integrity") == "ok", looked

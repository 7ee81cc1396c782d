"""kill -9 in the middle of applying: nothing half-done, and the next process simply goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest
from tests.exams import stage
from tests.exams.test_races import enrolled, processes
from tests.world import SEEDS, Worlds, many, names

from cordboard.clock import system_clock

if TYPE_CHECKING:
    from tests.postgres import PostgresServer

ON_EVERY_STORE = True

LINES = many(60)
PAIR = ["local:support", "local:night"]
SEED = SEEDS.but(numbers=LINES).bound(PAIR[0], *names(LINES))
WORKERS = 2
LOCKED_SECONDS = 10
"""For so long a process waits for another's transaction."""
WAYS = {"move": "relaxed", "move_approved": "strict"}
"""How the numbers are moved, by a second call or by an approver, and under which policy."""


@pytest.mark.parametrize("seed", range(WORKERS))
@pytest.mark.parametrize("job", WAYS)
def test_a_killed_apply_is_done_whole_or_not_at_all(
    make_world: Worlds, store_kind: str, job: str, seed: int
) -> None:
    world = make_world(SEED)
    world.clock.now = system_clock()  # the processes go by the machine's clock
    [who] = anyio.run(enrolled, world, 1)
    anyio.run(world.app.store.close)
    few = 40 if (store_kind, job) == ("sqlite", "move") else 8
    kills = stage.examples(few, 2000) // WORKERS
    database = stage.place(world)
    told = {"numbers": names(LINES), "agents": PAIR, "way": job, "policy": WAYS[job]}
    rounds = processes("kill", database, seed=seed, kills=kills, **told, **who)
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


def test_a_store_whose_maker_was_killed_can_be_used(
    tmp_path: Path, on: PostgresServer | None
) -> None:
    count = stage.examples(6 if on else 12, 500)
    if on:
        places, way, longest = [on.create() for _ in range(count)], "migrate", 0.15
    else:
        places = [str(tmp_path / f"cordboard.db-{number}") for number in range(count)]
        way, longest = "freeze", 0.05
    rounds = processes("born", tmp_path, seed=7, places=places, way=way, longest=longest)
    for made, froze, looked in rounds:
        assert made.get("status") in ("frozen", "migrated"), made
        assert froze.get("status") == "frozen", froze
        assert looked.get("integrity") == "ok", looked
    if on:
        for place in places:
            on.drop(place)


def test_a_process_stopped_in_a_transaction_does_not_keep_the_others_out(
    postgres: PostgresServer,
) -> None:
    with stage.stage(SEED, on=postgres) as world:
        other, took, late = processes("stopped", world.url)
        assert other.get("status") == "frozen", other
        assert took < LOCKED_SECONDS, "nobody who waits for the lock is turned away"
        assert late.get("code") == "STORE_UNAVAILABLE", late
        [account] = stage.query(
            world.url, "SELECT frozen_reason FROM account WHERE account = ?", "default"
        )
        assert account["frozen_reason"] == "meanwhile", "it wrote nothing after all"
        stage.audit(world.url)

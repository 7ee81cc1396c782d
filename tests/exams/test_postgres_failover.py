"""The primary dies under load and its replica takes over: what was told as done is there.

And look-ups that a replica answers: never older than the bound, whatever becomes of it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from tests.exams import stage
from tests.exams.replicas import Pair, frozen, pair
from tests.server.test_postgres_faults import (
    events,
    query,
    seq_of,
    stored,
    until,
    verified,
    wrote,
)
from tests.world import SEEDS, Clock, Reply, World, fill, many, names, surroundings

from cordboard.app import build_server
from cordboard.config import load
from cordboard.errors import StoreUnavailable
from cordboard.stores.postgres import PostgresStore

pytestmark = pytest.mark.anyio
WRITERS = 4
ROUNDS = stage.examples(1, 20)
BEFORE, AFTER = 60, 10
LINES = many(WRITERS)
SEED = SEEDS.but(numbers=LINES)


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Pair]:
    """A primary and its replica, for one test to wreck."""
    with pair(tmp_path) as made:
        yield made


@dataclass
class Tally:
    """What the writers were told."""

    applied: list[str] = field(default_factory=list[str])
    refused: list[str] = field(default_factory=list[str])
    wanted: int = BEFORE
    enough: anyio.Event = field(default_factory=anyio.Event)
    over: bool = False

    def take(self, told: Reply) -> None:
        """Count one answer."""
        if told.is_error:
            assert told.code == "STORE_UNAVAILABLE", told.text
            self.refused.append(told.text)
        else:
            assert told.status in ("applied", "no_change"), told.text
            self.applied.append(told.plan_id)
        if len(self.applied) >= self.wanted:
            self.enough.set()


def process(home: Path, url: str) -> World:
    """A server process on a database."""
    environ = surroundings(home, "relaxed", {}, url)
    clock = Clock()
    return World(home, clock, build_server(load(environ), clock), environ=environ, url=url)


async def write(world: World, number: str, tally: Tally) -> None:
    """Attach a number and detach it again, for ever; after a refusal look first."""
    async with stage.client(world.server) as call:
        while not tally.over:
            seen = await call("get_number_route", number=number)
            if not seen.is_error:
                tool = "detach_numbers" if seen["inbound"] else "attach_numbers"
                seen = await call(tool, agent="local:support", numbers=[number])
            if not seen.is_error and seen.status == "confirmation_required":
                seen = await call("apply_plan", plan_id=seen.plan_id)
            tally.take(seen)


@pytest.mark.parametrize("turn", range(ROUNDS))
async def test_of_a_primary_killed_under_load_the_replica_has_all_that_was_told_as_done(
    two: Pair, tmp_path: Path, turn: int
) -> None:
    primary = two.primary.create()
    async with stored(primary) as store:
        await store.write(lambda tx: fill(tx, SEED))
    two.synchronous()
    either = two.either(primary)
    make = partial(process, tmp_path, either)
    writers = [await anyio.to_thread.run_sync(make) for _ in range(WRITERS)]
    tally = Tally()
    with anyio.fail_after(120):
        async with anyio.create_task_group() as group:
            for world, number in zip(writers, names(LINES), strict=True):
                group.start_soon(write, world, number, tally)
            await tally.enough.wait()
            await anyio.to_thread.run_sync(two.primary.kill)
            await anyio.to_thread.run_sync(two.promote)
            tally.wanted = len(tally.applied) + AFTER * WRITERS
            tally.enough = anyio.Event()
            await tally.enough.wait()
            tally.over = True
    for world in writers:
        await world.close()

    after = two.at_replica(primary)
    assert await verified(after) > 0
    stage.audit(after)
    rows = stage.query(after, "SELECT plan_id FROM journal WHERE event = 'applied'")
    applied = [row["plan_id"] for row in rows]
    lost = [plan for plan in tally.applied if plan and applied.count(plan) != 1]
    assert lost == []
    unclaimed = set(applied) - set(tally.applied)
    assert len(unclaimed) <= WRITERS, "at most what each was doing when the primary died"


async def test_a_change_told_as_done_before_the_replica_has_it_is_lost_as_the_control(
    two: Pair,
) -> None:
    """With `synchronous_commit = local`, which Cordboard's doctor warns of."""
    url = two.primary.create()
    async with stored(url) as store:
        await store.write(wrote("first"))
        two.caught_up()
        two.synchronous("local")
        two.replica.stop()

        assert await store.write(wrote("second")) == 2

        assert events(url) == ["first", "second"]
    two.primary.kill()
    two.replica.start()
    two.promote()
    async with stored(two.either(url)) as store:
        assert await store.read(seq_of) == 1
        assert await store.write(wrote("third")) == 2
    assert events(two.at_replica(url)) == ["first", "third"]


async def test_the_same_change_is_told_as_unknown_where_commits_wait_for_the_replica(
    two: Pair,
) -> None:
    url = two.primary.create()
    async with stored(url, patience_seconds=0.5) as store:
        await store.write(wrote("first"))
        two.synchronous()
        two.replica.stop()
        with pytest.raises(StoreUnavailable, match="standby") as told:
            await store.write(wrote("second"))
        assert "not known" in str(told.value)
    two.primary.kill()
    two.replica.start()
    two.promote()
    assert events(two.at_replica(url)) == ["first"]


async def test_a_commit_cut_off_is_done_once_the_replica_that_was_away_has_it(two: Pair) -> None:
    url = two.primary.create()
    async with stored(url) as store:
        await store.write(wrote("first"))
        two.synchronous()
        two.replica.stop()
        with anyio.fail_after(20):
            async with anyio.create_task_group() as group:
                group.start_soon(store.write, wrote("second"))
                pid = await until(url, "wait_event = 'SyncRep'")
                query(url, "SELECT pg_terminate_backend(%s)", pid)
                await until(url, "wait_event = 'SyncRep'")  # whoever looks it up waits too
                await anyio.to_thread.run_sync(two.replica.start)
    assert events(two.at_replica(url)) == ["first", "second"]


async def test_look_ups_end_within_the_bound_when_the_memory_of_a_lost_primary_is_worthless(
    two: Pair,
) -> None:
    """The lost primary's newest state and the new one's have the same number, and another hash."""
    url = two.primary.create()
    async with stored(two.either(url), bound_seconds=0.01) as store:
        await store.write(wrote("first"))
        two.caught_up()
        two.replica.stop()
        await store.write(wrote("lost"))
        for _ in range(3):
            assert await store.recall("newest", newest) == "lost"
        two.primary.kill()
        two.replica.start()
        two.promote()
        async with stored(two.either(url)) as other:
            assert await other.write(wrote("kept")) == 2
        await anyio.sleep(0.01)  # the bound
        assert await store.recall("newest", newest) == "kept"


async def test_look_ups_end_within_the_bound_when_a_lost_primary_was_one_change_ahead(
    two: Pair,
) -> None:
    """The new primary's newest state is the one that was known before the lost change was read."""
    url = two.primary.create()
    async with stored(two.either(url), bound_seconds=0.3) as store:
        await store.write(wrote("kept"))
        two.caught_up()
        assert await store.recall("seq", seq_of) == 1
        two.replica.stop()
        async with stored(url) as other:
            await other.write(wrote("lost"))
        assert await store.recall("newest", newest) == "lost"
        two.primary.kill()
        two.replica.start()
        two.promote()
        assert await store.recall("seq", seq_of) == 1  # it is connected again
        await anyio.sleep(0.3)  # the bound
        await look_up(store, "kept")


@asynccontextmanager
async def closing(store: PostgresStore) -> AsyncIterator[None]:
    """Lets go of its connections in the end."""
    try:
        yield
    finally:
        await store.close()


def newest(tx: Any) -> str:
    """The newest event."""
    rows = tx.all("journal_newest", account="default", before=1000, limit=1)
    return str(rows[0]["event"]) if rows else ""


# Look-ups by a replica.


async def look_up(store: PostgresStore, expected: str) -> None:
    """A look-up as whoever answers a call makes it, thrice: asked, remembered, told again."""
    for _ in range(3):
        assert await store.recall("newest", newest) == expected


async def test_a_replica_answers_look_ups_and_never_an_older_state_than_the_bound(
    two: Pair,
) -> None:
    url = two.primary.create()
    bound = 0.05
    async with (
        stored(url) as other,
        stored(url, replica=two.at_replica(url), bound_seconds=bound) as store,
    ):
        for turn in range(10):
            await other.write(wrote(f"{turn}"))
            await anyio.sleep(bound)
            await look_up(store, f"{turn}")
        used = "SELECT 1 FROM pg_stat_activity WHERE application_name = 'cordboard'"
        assert query(two.at_replica(url), used), "the replica was asked"


async def test_a_replica_that_lags_is_not_believed(two: Pair) -> None:
    url = two.primary.create()
    async with stored(url, replica=two.at_replica(url), bound_seconds=0.01) as store:
        await store.write(wrote("first"))
        two.caught_up()
        await look_up(store, "first")
        two.replay(goes_on=False)
        await store.write(wrote("second"))
        await anyio.sleep(0.01)
        await look_up(store, "second")
        two.replay(goes_on=True)
        two.caught_up()
        await anyio.sleep(0.01)
        await look_up(store, "second")


async def test_without_its_replica_look_ups_are_answered_by_the_primary_and_in_time(
    two: Pair,
) -> None:
    url = two.primary.create()
    async with stored(url, replica=two.at_replica(url), bound_seconds=0.01) as store:
        await store.write(wrote("first"))
        two.caught_up()
        await look_up(store, "first")
        two.replica.kill()
        await store.write(wrote("second"))
        await anyio.sleep(0.01)
        with anyio.fail_after(2):
            await look_up(store, "second")
        two.replica.start()
        two.caught_up()
        await store.write(wrote("third"))
        await anyio.sleep(0.01)
        await look_up(store, "third")


async def test_while_its_replica_hangs_look_ups_are_answered_by_the_primary_and_in_time(
    two: Pair,
) -> None:
    url = two.primary.create()
    async with stored(url, replica=two.at_replica(url), bound_seconds=0.01) as store:
        await store.write(wrote("first"))
        two.caught_up()
        await look_up(store, "first")
        with frozen(two.replica), anyio.fail_after(2):
            await store.write(wrote("second"))
            await anyio.sleep(0.01)
            await look_up(store, "second")


async def test_a_replica_that_went_its_own_way_is_not_believed(two: Pair) -> None:
    """After a failover somebody still names it: it has changes that the primary never had."""
    url = two.primary.create()
    async with stored(url, replica=two.at_replica(url), bound_seconds=0.05) as store:
        await store.write(wrote("first"))
        two.caught_up()
        await look_up(store, "first")
        two.promote()
        async with stored(two.at_replica(url)) as astray:
            for turn in range(3):
                await astray.write(wrote("astray"))
                assert await store.recall(f"new to it {turn}", newest) == "first"
            await store.write(wrote("second"))
            await anyio.sleep(0.05)
            await look_up(store, "second")
            assert await store.recall("new to it", newest) == "second"


async def test_another_database_named_as_the_replica_is_not_believed(two: Pair) -> None:
    url, another = two.primary.create(), two.primary.create()
    async with (
        stored(another) as elsewhere,
        stored(url, replica=another, bound_seconds=3600) as store,
    ):
        await store.write(wrote("here"))
        for _ in range(3):
            await elsewhere.write(wrote("elsewhere"))
        await look_up(store, "here")


async def test_a_standby_named_as_the_database_answers_no_look_up_and_says_why(two: Pair) -> None:
    """It may be older than the bound that an answer states; what states none it tells."""
    url = two.primary.create()
    async with stored(url) as primary:
        await primary.write(wrote("first"))
        two.caught_up()
        store = PostgresStore(two.at_replica(url))
        async with closing(store):
            for key in ("newest", "again"):
                with pytest.raises(StoreUnavailable, match="is a standby") as told:
                    await store.recall(key, newest)
                assert "target_session_attrs=read-write" in str(told.value)
            with pytest.raises(StoreUnavailable, match="is a standby"):
                await store.recall("nothing", lambda tx: tx.one("account_get", account="no one"))
            assert await store.read(newest) == await store.glance(newest) == "first"
            two.promote()
            await look_up(store, "first")

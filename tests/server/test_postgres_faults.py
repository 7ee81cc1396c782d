"""What the PostgreSQL store says and keeps when the database, or the way to it, fails."""

from __future__ import annotations

import dataclasses
import os
import re
import resource
import secrets
import subprocess
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import psycopg
import pytest
from psycopg.rows import dict_row
from tests.exams.replicas import frozen
from tests.exams.wire import Cut, Wire, wire
from tests.postgres import PostgresServer, PrivateServer, private_server
from tests.world import AT, TEST_ONE, TEST_THREE, TEST_TWO, World, Worlds

from cordboard import journal
from cordboard.errors import StoreUnavailable
from cordboard.journal import Event
from cordboard.stores import SCHEMA_VERSION, Transaction, found_of
from cordboard.stores.postgres import PostgresStore
from cordboard.stores.queries import QUERIES

pytestmark = pytest.mark.anyio
ACTIVITY = "SELECT pid FROM pg_sleep(0.01), pg_stat_activity "
"""Asked in a loop, it leaves room for those it looks at."""
LINES = (TEST_ONE, TEST_TWO, TEST_THREE)


@pytest.fixture
def store_kind() -> str:
    return "postgres"


def wrote(text: str, account: str = "default") -> Callable[[Transaction], int]:
    """A change: one row in the journal of an account."""
    return lambda tx: journal.append(tx, account, AT, Event(text, "somebody"))


def seq_of(tx: Transaction) -> int:
    """How many rows the journal has."""
    row = tx.one("account_get", account="default")
    return int(row["seq"]) if row else 0


def query(url: str, statement: str, *values: object) -> list[dict[str, Any]]:
    """Rows read beside the store, by a connection of the test's own."""
    with psycopg.connect(url, row_factory=dict_row, autocommit=True) as db:
        cursor = db.execute(statement.encode(), values or None)
        return cursor.fetchall() if cursor.description else []


def events(url: str, account: str = "default") -> list[str]:
    """The events of an account's journal, oldest first, read beside the store."""
    rows = query(url, "SELECT event FROM journal WHERE account = %s ORDER BY seq", account)
    return [row["event"] for row in rows]


async def verified(url: str) -> int:
    """How many rows the journal has, each of them good."""
    store = PostgresStore(url)
    report = await store.read(lambda tx: journal.verify(tx, "default"))
    await store.close()
    assert report.fault == ""
    return report.checked


@asynccontextmanager
async def stored(url: str, **options: Any) -> AsyncIterator[PostgresStore]:
    """A store on a database that has the schema."""
    store = PostgresStore(url, **options)
    try:
        await store.migrate()
        yield store
    finally:
        await store.close()


def claims_nothing(exc: StoreUnavailable) -> bool:
    """Whether it says that the change may stand or not, and where to look."""
    said = str(exc)
    assert "list_changes" in said, "a remedy"
    return said.endswith("Whether it was changed is not known.") and "Nothing" not in said


# A connection that is cut in the middle of a commit.


@asynccontextmanager
async def behind_a_wire(
    postgres: PostgresServer, patience: float = 10.0
) -> AsyncIterator[tuple[PostgresStore, Wire, str]]:
    """A store that used its database before, the wire to it, and the URL past the wire."""
    url = postgres.create()
    async with wire(url) as cable, stored(cable.url, patience_seconds=patience) as store:
        await store.write(wrote("first"))
        yield store, cable, url
    postgres.drop(url)


async def test_a_commit_that_stands_is_told_as_done_where_its_answer_was_lost(
    postgres: PostgresServer,
) -> None:
    async with behind_a_wire(postgres) as (store, cable, url):
        cable.cut = "after"

        assert await store.write(wrote("second")) == 2

        assert events(url) == ["first", "second"]
        assert await store.write(wrote("third")) == 3
        assert await verified(url) == 3


async def test_a_commit_that_never_left_is_told_as_not_done(postgres: PostgresServer) -> None:
    async with behind_a_wire(postgres) as (store, cable, url):
        cable.cut = "before"

        with pytest.raises(StoreUnavailable, match="lost while a change was being") as told:
            await store.write(wrote("second"))

        assert str(told.value).endswith("Try again. Nothing was changed.")
        assert events(url) == ["first"]
        assert await store.write(wrote("third")) == 2
        assert await verified(url) == 2


@pytest.mark.parametrize(("cut", "stands"), [("before", False), ("after", True)])
async def test_a_commit_whose_server_cannot_be_asked_again_is_told_as_unknown(
    postgres: PostgresServer, cut: Cut, stands: bool
) -> None:
    async with behind_a_wire(postgres, patience=0.5) as (store, cable, url):
        cable.cut, cable.goes_with_it = cut, True

        with pytest.raises(StoreUnavailable, match="could not be found out") as told:
            await store.write(wrote("second"))

        assert claims_nothing(told.value)
        assert events(url) == ["first", "second"][: 1 + stands]
        cable.is_up = True
        assert await store.write(wrote("third")) == 2 + stands
        assert await verified(url) == 2 + stands


async def test_a_commit_whose_answer_never_comes_is_looked_up_in_the_end(
    postgres: PostgresServer,
) -> None:
    async with behind_a_wire(postgres, patience=0.3) as (store, cable, url):
        cable.cut = "mute"

        assert await store.write(wrote("second")) == 2

        assert events(url) == ["first", "second"]
        assert await verified(url) == 2


async def test_a_commit_that_hangs_on_its_way_is_taken_back_before_it_is_told_as_not_done(
    postgres: PostgresServer,
) -> None:
    """Both ends believe in the connection: the server ends the transaction, so nothing comes late."""
    async with behind_a_wire(postgres, patience=0.5) as (store, cable, url):
        cable.cut = "stuck"

        with anyio.fail_after(10), pytest.raises(StoreUnavailable, match="took it back") as told:
            await store.write(wrote("second"))

        assert str(told.value).endswith("Nothing was changed.")
        assert events(url) == ["first"]
        assert await store.write(wrote("third")) == 2


async def test_the_first_change_of_an_account_is_looked_up_too(postgres: PostgresServer) -> None:
    async with behind_a_wire(postgres) as (store, cable, url):
        cable.cut = "after"
        assert await store.write(wrote("hello", "other")) == 1
        cable.cut = "before"
        with pytest.raises(StoreUnavailable, match="took it back"):
            await store.write(wrote("hello", "third"))

        assert events(url, "other") == ["hello"]
        assert events(url, "third") == []
        assert await store.write(wrote("hello", "third")) == 1


@asynccontextmanager
async def cut_off(world: World) -> AsyncIterator[tuple[World, Wire]]:
    """Another process on the same database, behind a wire; it used its store before."""
    async with wire(world.url) as cable:
        there = dataclasses.replace(world, url=cable.url)
        cut = await anyio.to_thread.run_sync(there.another)
        try:
            await cut.call("list_numbers")
            yield cut, cable
        finally:
            await cut.close()


@pytest.mark.parametrize("spare", range(3))
async def test_a_change_is_told_as_applied_though_the_answer_to_a_commit_was_lost(
    make_world: Worlds, spare: int
) -> None:
    """Of the commits from planning to the end, each is cut once."""
    world = make_world(policy="relaxed")
    async with cut_off(world) as (cut, cable):
        cable.cut, cable.spare = "after", spare
        told = await cut.call("attach_numbers", agent="local:support", numbers=list(LINES))
        if told.status == "confirmation_required":
            told = await cut.call("apply_plan", plan_id=told.plan_id)

        assert told.status == "applied"
        assert await world.holders(TEST_ONE) == ["local:support"]
        assert (await world.events()).count("applied") == 1
    assert await verified(world.url) == await world.seq()


async def test_a_change_that_may_stand_is_not_told_as_refused_and_asking_again_settles_it(
    make_world: Worlds, monkeypatch: pytest.MonkeyPatch
) -> None:
    defaults: Any = PostgresStore.__init__.__kwdefaults__
    monkeypatch.setitem(defaults, "patience_seconds", 0.3)
    world = make_world(policy="relaxed")
    asked: dict[str, Any] = {"agent": "local:support", "numbers": [TEST_ONE]}
    async with cut_off(world) as (cut, cable):
        planned = await cut.call("attach_numbers", **asked)
        cable.cut, cable.goes_with_it = "after", True

        told = await cut.call("apply_plan", plan_id=planned.plan_id)

        assert told.code == "STORE_UNAVAILABLE"
        assert told.text.endswith("Whether it was changed is not known."), told.text
        assert "Nothing was changed" not in told.text
        assert await world.holders(TEST_ONE) == ["local:support"]
        cable.is_up = True
        again = await cut.call("apply_plan", plan_id=planned.plan_id)
        assert again.status == "applied"
        assert (await world.events()).count("applied") == 1
    assert await verified(world.url) == await world.seq()


async def test_a_commit_is_waited_for_also_with_a_thousand_files_open(
    postgres: PostgresServer,
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    url = postgres.create()
    with ExitStack() as opened:
        opened.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        for _ in range(1100):
            opened.callback(os.close, os.dup(0))
        async with stored(url) as store:
            assert await store.write(wrote("first")) == 1
    postgres.drop(url)


# The server is restarted.


ENDS: dict[str, Callable[[PrivateServer], None]] = {
    "fast": lambda server: server.stop("fast"),
    "immediate": lambda server: server.stop("immediate"),
    "kill": lambda server: server.kill(),
}


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateServer]:
    """A server that a test may stop, so long as it is up again afterwards."""
    with private_server(tmp_path_factory.mktemp("private"), fsync=True) as server:
        yield server


def readings(
    store: PostgresStore,
) -> list[Callable[[Callable[[Transaction], int]], Awaitable[int]]]:
    """The ways to read from a store."""
    return [store.read, store.glance, partial(store.recall, "key")]


def many_readings(store: PostgresStore) -> list[Callable[[], Awaitable[int]]]:
    """Each of them, and many look-ups more."""
    looks = [partial(store.recall, turn, seq_of) for turn in range(30)]
    return [*(partial(call, seq_of) for call in readings(store)), *looks]


@pytest.mark.parametrize("how", ENDS)
async def test_after_a_restart_every_call_works_at_once(private: PrivateServer, how: str) -> None:
    async with stored(private.create()) as store:
        await store.write(wrote("first"))
        for turn, call in enumerate(readings(store)):
            ENDS[how](private)
            private.start()
            assert await call(seq_of) == 1, turn
        ENDS[how](private)
        private.start()
        assert await store.write(wrote("second")) == 2
        assert (await store.facts())["schema"] == str(SCHEMA_VERSION)


@pytest.mark.parametrize("how", ENDS)
async def test_after_a_restart_every_one_of_many_callers_is_served(
    private: PrivateServer, how: str
) -> None:
    url = private.create()
    async with stored(url) as store:

        async def all_at_once() -> None:
            async with anyio.create_task_group() as group:
                for turn in range(20):
                    group.start_soon(store.write, wrote(f"{turn}"))
                    group.start_soon(store.read, seq_of)
                    group.start_soon(store.recall, turn, seq_of)

        await all_at_once()
        ENDS[how](private)
        private.start()
        await all_at_once()

        assert sorted(events(url)) == sorted([f"{turn}" for turn in range(20)] * 2)
        assert await verified(url) == 40


@pytest.mark.parametrize("how", ENDS)
async def test_a_restart_in_the_middle_of_a_change_leaves_nothing_of_it(
    private: PrivateServer, how: str
) -> None:
    url = private.create()
    async with stored(url) as store:
        await store.write(wrote("first"))

        def cut(tx: Transaction) -> None:
            wrote("lost")(tx)
            ENDS[how](private)
            private.start()
            tx.one("account_get", account="default")

        with pytest.raises(StoreUnavailable, match=r"connection was cut|stopping") as told:
            await store.write(cut)

        assert str(told.value).endswith("Nothing was changed.")
        assert events(url) == ["first"]
        assert await store.write(wrote("second")) == 2
        assert await verified(url) == 2


@pytest.mark.parametrize("how", ENDS)
async def test_a_restart_before_a_commit_leaves_nothing_and_says_so(
    private: PrivateServer, how: str
) -> None:
    url = private.create()
    async with stored(url) as store:
        await store.write(wrote("first"))

        def cut(tx: Transaction) -> None:
            wrote("lost")(tx)
            tx.all("providers", account="default")  # so that nothing is left to send but the commit
            ENDS[how](private)
            private.start()

        with pytest.raises(StoreUnavailable, match="took it back") as told:
            await store.write(cut)

        assert str(told.value).endswith("Nothing was changed.")
        assert await store.write(wrote("second")) == 2
        assert events(url) == ["first", "second"]


@pytest.mark.parametrize("how", ENDS)
async def test_a_restart_in_the_middle_of_reading_is_not_noticed(
    private: PrivateServer, how: str
) -> None:
    async with stored(private.create()) as store:
        await store.write(wrote("first"))
        began = 0

        def cut(tx: Transaction) -> int:
            nonlocal began
            began += 1
            if began == 1:
                ENDS[how](private)
                private.start()
            return seq_of(tx)

        assert await store.read(cut) == 1
        assert began == 2


async def test_a_server_that_was_down_for_long_is_used_once_it_is_up(
    private: PrivateServer,
) -> None:
    async with stored(private.create()) as store:
        await store.write(wrote("first"))
        private.stop()
        try:
            for call in (store.read(seq_of), store.recall("key", seq_of), store.write(wrote("x"))):
                with anyio.fail_after(15), pytest.raises(StoreUnavailable, match="reached") as told:
                    await call
                assert str(told.value).endswith("Nothing was changed.")
        finally:
            private.start()

        with anyio.fail_after(4):  # the next try to connect is never further away
            assert await store.write(wrote("second")) == 2
            assert await store.recall("key", seq_of) == 2


async def test_while_a_server_is_down_many_look_ups_at_once_are_told_after_one_wait(
    private: PrivateServer,
) -> None:
    """Of what is remembered, and of what is not: none waits behind another, or for another pool."""
    async with stored(private.create(), bound_seconds=0.01) as store:
        await store.write(wrote("first"))
        for turn in range(15):
            assert await store.recall(turn, seq_of) == 1
        private.stop()
        calls = many_readings(store)
        calls += [partial(store.glance, seq_of) for _ in range(15)]
        try:
            with anyio.fail_after(8):
                async with anyio.create_task_group() as group:
                    for call in calls:
                        group.start_soon(refused, call, "reached")
        finally:
            private.start()
        with anyio.fail_after(4):
            for call in calls:
                assert await call() == 1


async def refused(call: Callable[[], Awaitable[object]], why: str) -> None:
    """Ask, and be told that it cannot be, and why."""
    with pytest.raises(StoreUnavailable, match=why) as told:
        await call()
    assert str(told.value).endswith("Nothing was changed.")


async def test_a_server_that_hangs_up_on_the_idle_is_not_noticed(private: PrivateServer) -> None:
    url = private.create()
    idle = "ALTER DATABASE {} SET idle_session_timeout = '100ms'"
    query(url, idle.format(url.rpartition("/")[2]))
    async with stored(url) as store:
        for turn, call in enumerate(readings(store)):
            assert await store.write(wrote("row")) == turn + 1
            await alone(url)
            assert await call(seq_of) == turn + 1
            await alone(url)


async def alone(url: str) -> None:
    """Until the database has hung up on everybody else."""
    with psycopg.connect(url, autocommit=True) as db, anyio.fail_after(10):
        db.execute("SET idle_session_timeout = 0")
        others = "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        while db.execute((ACTIVITY + others).encode()).fetchone():
            await anyio.lowlevel.checkpoint()


# All connections are in use.


@asynccontextmanager
async def held(store: PostgresStore, many: int) -> AsyncIterator[Callable[[], None]]:
    """So many slow transactions under way; hands out what ends them."""
    go, began = threading.Event(), threading.Semaphore(0)

    def slow(tx: Transaction) -> int:
        found = seq_of(tx)
        began.release()
        go.wait()
        return found

    async with anyio.create_task_group() as group:
        try:
            for _ in range(many):
                group.start_soon(store.read, slow)
            for _ in range(many):
                await anyio.to_thread.run_sync(began.acquire)
            yield go.set
        finally:
            go.set()


async def test_a_call_waits_until_a_connection_is_free(postgres: PostgresServer) -> None:
    url = postgres.create()
    async with stored(url, most=2) as store, held(store, 2) as end:
        async with anyio.create_task_group() as group:
            group.start_soon(store.write, wrote("waited"))
            assert events(url) == []
            end()
        assert events(url) == ["waited"]


async def test_a_call_for_which_no_connection_comes_free_is_told_so(
    postgres: PostgresServer,
) -> None:
    url = postgres.create()
    async with stored(url, most=2) as store:
        async with held(store, 2):
            with anyio.fail_after(20), pytest.raises(StoreUnavailable, match="came free") as told:
                await store.write(wrote("in vain"))
            assert "Try again a little later. Nothing was changed." in str(told.value)
        for turn in range(4):
            assert await store.write(wrote("row")) == turn + 1
    assert events(url) == ["row"] * 4
    postgres.drop(url)


async def test_a_server_with_too_many_connections_is_told_in_words(tmp_path: Path) -> None:
    with private_server(
        tmp_path, max_connections=4, superuser_reserved_connections=0, max_wal_senders=0
    ) as server:
        url = server.create()
        async with stored(url) as store:
            await store.write(wrote("first"))
        with ExitStack() as opened:
            for _ in range(4):
                opened.enter_context(psycopg.connect(url))
            with anyio.fail_after(20), pytest.raises(StoreUnavailable, match="too many connection"):
                await store.write(wrote("in vain"))
        assert await store.write(wrote("second")) == 2
        await store.close()


# Somebody else's transaction.


async def test_an_account_that_somebody_else_keeps_locked_is_told_and_others_go_on(
    postgres: PostgresServer,
) -> None:
    url = postgres.create()
    async with stored(url, patience_seconds=0.3) as store:
        await store.write(wrote("first"))
        await store.write(wrote("first", "other"))
        with psycopg.connect(url) as other:
            other.execute("SELECT 1 FROM account WHERE account = 'default' FOR UPDATE")

            with pytest.raises(StoreUnavailable, match="of this account took too long") as told:
                await store.write(wrote("in vain"))
            assert str(told.value).endswith("Nothing was changed.")
            with anyio.fail_after(0.3):
                assert await store.write(wrote("second", "other")) == 2
                assert await store.write(wrote("hello", "a new one")) == 1
                assert await store.read(seq_of) == 1

        assert await store.write(wrote("second")) == 2
    assert events(url) == ["first", "second"]
    postgres.drop(url)


def looks_up(tx: Transaction) -> None:
    """Four look-ups at once."""
    key = {"account": "default"}
    asks = [("providers", key), ("pathway_any", key), ("number_any", key), ("approvers", key)]
    assert len(found_of(tx, *asks)) == 4


def writes_a_few(tx: Transaction) -> None:
    """Statements that are not waited for, and then one that is."""
    wrote("a")(tx)
    wrote("b")(tx)
    tx.all("providers", account="default")


def writes(count: int) -> Callable[[Transaction], None]:
    """So many rows at once."""
    key = {"account": "default", "plan_id": "plan_1"}
    rows = [key | {"position": position} for position in range(count)]
    return lambda tx: tx.many("step_add", rows)


@pytest.mark.parametrize(
    "step",
    [looks_up, writes_a_few, writes(50), writes(500)],
    ids=["looks-up", "writes-a-few", "writes-50", "writes-500"],
)
async def test_one_that_stands_still_in_the_middle_lets_go_before_those_who_wait_give_up(
    postgres: PostgresServer, step: Callable[[Transaction], object]
) -> None:
    url = postgres.create()
    async with stored(url, patience_seconds=1.0) as still, stored(url) as other:
        await still.write(wrote("first"))
        stands, goes_on = threading.Event(), threading.Event()

        def work(tx: Transaction) -> None:
            wrote("lost")(tx)
            step(tx)
            stands.set()
            goes_on.wait(30)

        async def stand_still() -> None:
            with pytest.raises(StoreUnavailable, match="took it back"):
                await still.write(work)

        async with anyio.create_task_group() as group:
            group.start_soon(stand_still)
            await anyio.to_thread.run_sync(stands.wait, 30)
            with anyio.fail_after(8):
                await other.write(wrote("second"))
            goes_on.set()

        assert events(url) == ["first", "second"]
    postgres.drop(url)


async def test_writers_who_wait_for_an_account_leave_room_for_reads_and_for_other_accounts(
    postgres: PostgresServer,
) -> None:
    url = postgres.create()
    async with stored(url) as store:
        await store.write(wrote("first"))
        with psycopg.connect(url) as other:
            other.execute("SELECT 1 FROM account WHERE account = 'default' FOR UPDATE")
            async with anyio.create_task_group() as group:
                for _ in range(20):
                    group.start_soon(store.write, wrote("waited"))
                await until(url, "wait_event_type = 'Lock'")
                with anyio.fail_after(4):
                    assert await store.read(seq_of) == 1
                    for turn in range(5):
                        assert await store.write(wrote("hello", "other")) == turn + 1
                other.rollback()
    assert events(url) == ["first"] + ["waited"] * 20
    assert await verified(url) == 21
    postgres.drop(url)


async def test_of_many_who_wait_for_an_account_all_are_told_in_time(
    postgres: PostgresServer,
) -> None:
    url = postgres.create()
    async with stored(url, patience_seconds=0.5) as store:
        await store.write(wrote("first"))
        with psycopg.connect(url) as other:
            other.execute("SELECT 1 FROM account WHERE account = 'default' FOR UPDATE")
            with anyio.fail_after(4):
                async with anyio.create_task_group() as group:
                    for _ in range(30):
                        write = partial(store.write, wrote("in vain"))
                        group.start_soon(refused, write, "of this account took too long")
        assert await store.write(wrote("second")) == 2
    assert events(url) == ["first", "second"]
    postgres.drop(url)


async def test_a_writer_who_is_called_away_while_waiting_keeps_nobody_from_writing(
    postgres: PostgresServer,
) -> None:
    url = postgres.create()
    async with stored(url) as store:
        await store.write(wrote("first"))
        with psycopg.connect(url) as other:
            other.execute("SELECT 1 FROM account WHERE account = 'default' FOR UPDATE")
            async with anyio.create_task_group() as group, anyio.create_task_group() as called_away:
                for _ in range(4):
                    group.start_soon(store.write, wrote("stays"))
                await until(url, "wait_event_type = 'Lock'")
                for _ in range(10):
                    called_away.start_soon(store.write, wrote("goes"))
                await anyio.wait_all_tasks_blocked()
                called_away.cancel_scope.cancel()
                other.rollback()
        for _ in range(3):
            await store.write(wrote("later"))
    told = events(url)
    assert (told.count("stays"), told.count("later")) == (4, 3)
    postgres.drop(url)


async def test_a_lock_is_waited_for(postgres: PostgresServer) -> None:
    url = postgres.create()
    async with stored(url) as store:
        await store.write(wrote("first"))
        with psycopg.connect(url) as other:
            other.execute("SELECT 1 FROM account WHERE account = 'default' FOR UPDATE")
            async with anyio.create_task_group() as group:
                group.start_soon(store.write, wrote("second"))
                await until(url, "wait_event_type = 'Lock'")
                other.rollback()
    assert events(url) == ["first", "second"]
    postgres.drop(url)


async def until(url: str, waits: str) -> int:
    """The process of the database that waits so, once there is one."""
    found = ACTIVITY + "WHERE datname = current_database() AND " + waits
    with anyio.fail_after(20), psycopg.connect(url, autocommit=True) as db:
        while (row := db.execute(found.encode()).fetchone()) is None:
            await anyio.lowlevel.checkpoint()
    return int(row[0])


# Somebody, or the server itself, keeps a read waiting.


FROZEN = "took too long|cannot be reached|came free"
WAITS = "wait_event_type = 'Lock' AND application_name = 'cordboard'"


@contextmanager
def locked_up(url: str) -> Iterator[None]:
    """Meanwhile somebody changes the table that every reading looks at."""
    with psycopg.connect(url) as other:
        other.execute("LOCK TABLE account IN ACCESS EXCLUSIVE MODE")
        yield


async def test_a_table_that_stays_locked_is_told_in_time_and_nothing_is_left_waiting_for_it(
    postgres: PostgresServer,
) -> None:
    url = postgres.create()
    async with stored(url, patience_seconds=0.5, bound_seconds=0.01) as store:
        await store.write(wrote("first"))
        calls = many_readings(store)
        for call in calls:
            assert await call() == 1
        with locked_up(url):
            await anyio.sleep(0.01)  # the bound
            with anyio.fail_after(8):  # one after the other they would take twice as long
                async with anyio.create_task_group() as group:
                    for call in calls:
                        group.start_soon(refused, call, "it took too long")
                found = (ACTIVITY + f"WHERE datname = current_database() AND {WAITS}").encode()
                with psycopg.connect(url, autocommit=True) as db:
                    while db.execute(found).fetchone():
                        await anyio.lowlevel.checkpoint()
        with anyio.fail_after(8):
            for call in calls:
                assert await call() == 1
            assert await store.write(wrote("second")) == 2
    postgres.drop(url)


async def test_a_statement_that_takes_for_ever_is_ended(postgres: PostgresServer) -> None:
    url = postgres.create()
    async with stored(url, longest_seconds=0.5) as store:
        await store.write(wrote("first"))
        query(url, "ALTER TABLE provider RENAME TO kept")
        slow = "CREATE VIEW provider AS SELECT k.* FROM kept k, pg_sleep(3600)"
        query(url, slow)
        with anyio.fail_after(8):
            await refused(
                partial(store.read, lambda tx: tx.all("providers", account="default")), "too long"
            )
            assert await store.read(seq_of) == 1
    postgres.drop(url)


async def test_a_server_that_stands_still_is_told_in_time_and_used_once_it_goes_on(
    private: PrivateServer,
) -> None:
    async with stored(
        private.create(), patience_seconds=0.5, longest_seconds=0.5, bound_seconds=0.01
    ) as store:
        await store.write(wrote("first"))
        calls = many_readings(store)
        for call in calls:
            assert await call() == 1
        with frozen(private), anyio.fail_after(20):
            await anyio.sleep(0.01)  # the bound
            async with anyio.create_task_group() as group:
                for call in calls:
                    group.start_soon(refused, call, FROZEN)
        with anyio.fail_after(8):
            for call in calls:
                assert await call() == 1


async def test_look_ups_that_are_called_away_in_the_middle_take_no_connection_with_them(
    postgres: PostgresServer,
) -> None:
    url = postgres.create()
    async with stored(url) as store:
        await store.write(wrote("first"))
        assert await store.recall("key", seq_of) == 1
        for _ in range(3):
            with locked_up(url):
                async with anyio.create_task_group() as group:
                    for _ in range(10):
                        group.start_soon(store.recall, object(), seq_of)
                        group.start_soon(store.glance, seq_of)
                    await until(url, WAITS)
                    group.cancel_scope.cancel()
        with anyio.fail_after(4):
            async with anyio.create_task_group() as group:
                for _ in range(20):
                    group.start_soon(store.recall, object(), seq_of)
    postgres.drop(url)


FAILS = """
CREATE SEQUENCE tried;
CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF nextval('tried') <= {times} THEN RAISE EXCEPTION 'so it goes' USING ERRCODE = '{code}'; END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER fails AFTER INSERT ON journal DEFERRABLE INITIALLY {when}
FOR EACH ROW EXECUTE FUNCTION fail()
"""


@pytest.mark.parametrize("code", ["40001", "40P01"])
@pytest.mark.parametrize("when", ["IMMEDIATE", "DEFERRED"])
async def test_a_transaction_that_the_engine_took_back_is_run_again_from_its_start(
    postgres: PostgresServer, when: str, code: str
) -> None:
    """By a statement, or (deferred) by the commit."""
    url = postgres.create()
    async with stored(url) as store:
        query(url, FAILS.format(times=3, code=code, when=when))
        began = 0

        def work(tx: Transaction) -> int:
            nonlocal began
            began += 1
            return wrote(f"turn {began}")(tx)

        assert await store.write(work) == 1
        assert began == 4
        assert events(url) == ["turn 4"]
        assert await verified(url) == 1
    postgres.drop(url)


@pytest.mark.parametrize("when", ["IMMEDIATE", "DEFERRED"])
async def test_a_transaction_that_the_engine_always_takes_back_is_told_in_the_end(
    postgres: PostgresServer, when: str
) -> None:
    url = postgres.create()
    async with stored(url) as store:
        query(url, FAILS.format(times=1000, code="40001", when=when))

        with pytest.raises(StoreUnavailable, match="other changes came between") as told:
            await store.write(wrote("in vain"))

        assert str(told.value).endswith("Nothing was changed.")
        assert events(url) == []
    postgres.drop(url)


async def test_a_real_deadlock_with_an_outsider_is_survived(make_world: Worlds) -> None:
    """Ours locks the account, an outsider the number, then each wants the other's."""
    world = make_world()
    store, began = world.app.store, 0
    mine, theirs = threading.Event(), threading.Event()

    def work(tx: Transaction) -> None:
        nonlocal began
        began += 1
        tx.one("account_get", account="default")
        if began == 1:
            mine.set()
            theirs.wait()
        tx.run("number_bump_inbound", account="default", number=TEST_ONE, at=AT)

    with psycopg.connect(world.url) as outsider:
        outsider.execute("SET deadlock_timeout = '1h'")  # so that ours is the one to give way

        def outside() -> None:
            outsider.execute("SELECT 1 FROM account WHERE account = 'default' FOR UPDATE")
            outsider.commit()

        async with anyio.create_task_group() as group:
            group.start_soon(store.write, work)
            await anyio.to_thread.run_sync(mine.wait)
            outsider.execute("UPDATE number SET label = 'x' WHERE number = %s", [TEST_ONE])
            group.start_soon(anyio.to_thread.run_sync, outside)
            await until(world.url, "wait_event_type = 'Lock'")
            theirs.set()

    assert began == 2
    [row] = query(
        world.url, "SELECT label, inbound_version FROM number WHERE number = %s", TEST_ONE
    )
    assert row == {"label": "x", "inbound_version": 1}


async def test_a_change_in_which_a_statement_failed_unnoticed_is_not_told_as_done(
    postgres: PostgresServer,
) -> None:
    url = postgres.create()
    async with stored(url) as store:

        def careless(tx: Transaction) -> None:
            wrote("first")(tx)
            with suppress(psycopg.Error):
                tx.run("account_advance", account="default", seq="no number", head="")

        with pytest.raises(StoreUnavailable):
            await store.write(careless)
        assert events(url) == []
    postgres.drop(url)


# A synchronous standby that is gone.


@pytest.fixture
def bereft(private: PrivateServer) -> Iterator[str]:
    """A database for `bereave`."""
    url = private.create()
    yield url
    standby(url, "")


def standby(url: str, name: str) -> None:
    """Let the server wait for this standby, "": for none."""
    query(url, f"ALTER SYSTEM SET synchronous_standby_names = '{name}'")
    query(url, "SELECT pg_reload_conf()")


async def bereave(url: str) -> None:
    """Let every commit wait for a standby that is gone, from now on."""
    standby(url, "gone")
    over = threading.Event()
    with psycopg.connect(url, autocommit=True) as db:

        def commit() -> None:  # until one waits: a process of the server tells all others
            while not over.is_set():
                db.execute("SELECT txid_current()")

        async with anyio.create_task_group() as group:
            group.start_soon(anyio.to_thread.run_sync, commit)
            await until(url, "wait_event = 'SyncRep'")
            over.set()
            db.cancel_safe()


async def test_a_commit_that_the_standby_never_confirms_is_called_off_and_not_told_as_done(
    bereft: str,
) -> None:
    async with stored(bereft, patience_seconds=0.5) as store:
        await store.write(wrote("first"))
        await bereave(bereft)

        with anyio.fail_after(5), pytest.raises(StoreUnavailable, match="standby") as told:
            await store.write(wrote("second"))

        assert claims_nothing(told.value)
        assert await store.read(seq_of) == 2, "it is there all the same"
        standby(bereft, "")
        assert await store.write(wrote("third")) == 3
    assert events(bereft) == ["first", "second", "third"]


async def test_a_commit_cut_while_it_waits_for_the_standby_is_not_told_as_done(
    bereft: str,
) -> None:
    """What is looked up then is in the primary, and only there."""
    async with stored(bereft, patience_seconds=1) as store:
        await store.write(wrote("first"))
        await bereave(bereft)
        with anyio.fail_after(10):
            async with anyio.create_task_group() as group:
                group.start_soon(refused_as_unknown, store)
                pid = await until(bereft, "wait_event = 'SyncRep'")
                query(bereft, "SELECT pg_terminate_backend(%s)", pid)
    assert events(bereft) == ["first", "second"]


async def refused_as_unknown(store: PostgresStore) -> None:
    with pytest.raises(StoreUnavailable) as told:
        await store.write(wrote("second"))
    assert claims_nothing(told.value)


async def test_a_commit_cut_while_it_waits_is_done_once_the_standby_is_not_needed(
    bereft: str,
) -> None:
    async with stored(bereft) as store:
        await store.write(wrote("first"))
        await bereave(bereft)
        with anyio.fail_after(10):
            async with anyio.create_task_group() as group:
                group.start_soon(store.write, wrote("second"))
                pid = await until(bereft, "wait_event = 'SyncRep'")
                query(bereft, "SELECT pg_terminate_backend(%s)", pid)
                await until(bereft, "wait_event = 'SyncRep'")  # the one that looks it up
                standby(bereft, "")
    assert events(bereft) == ["first", "second"]


# The server's disk is full.


def may_mount() -> bool:
    """Whether this user may mount (root in a container often may not)."""
    script = 'd=$(mktemp -d) && mount -t tmpfs -o size=64k tmpfs "$d" && umount "$d"; r=$?; rmdir "$d"; exit $r'
    return subprocess.run(["sh", "-c", script], capture_output=True, check=False).returncode == 0


@contextmanager
def small_disk(folder: Path, spare: int) -> Iterator[Callable[[], None]]:
    """What is in a folder of a stopped server goes to a disk with so many bytes to spare; hands
    out what makes room."""
    mode = folder.stat()
    size = spare + int(subprocess.check_output(["du", "-sB1", folder]).split()[0])
    beside = folder.with_name("beside")
    folder.rename(beside)
    folder.mkdir()

    def mount(options: str) -> None:
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True)

    mount(f"size={size},uid={mode.st_uid},gid={mode.st_gid},mode=700")
    try:
        subprocess.run(["cp", "-a", f"{beside}/.", folder], check=True)
        yield lambda: mount(f"remount,size={size + (64 << 20)}")
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@dataclasses.dataclass
class Cramped:
    """A server one folder of which is on a disk that is soon full; `make_room` ends that."""

    server: PrivateServer
    url: str
    make_room: Callable[[], None]


@pytest.fixture
def cramped(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Cramped]:
    """Such a server; the test names the folder."""
    if not may_mount():
        pytest.skip("this user may mount no small disk")
    with private_server(tmp_path, wal_level="minimal", max_wal_senders=0) as server:
        url = server.create()
        server.stop()
        with small_disk(server.data / request.param, 1 << 20) as make_room:
            server.start()
            yield Cramped(server, url, make_room)
            server.stop()


def wrote_much(tx: Transaction) -> None:
    """A change of two rows that no engine makes smaller."""
    event = Event("big", "somebody", data={"text": secrets.token_urlsafe(20_000)})
    journal.append(tx, "default", AT, event, event)


async def filled_up(store: PostgresStore) -> tuple[int, str]:
    """Write until it is refused: how many rows were told as done, and the refusal."""
    for turn in range(5000):
        try:
            await store.write(wrote_much)
        except StoreUnavailable as exc:
            return 2 * turn, str(exc)
    pytest.fail("the disk was never full")


@pytest.mark.parametrize("cramped", ["base"], indirect=True)
async def test_a_full_disk_is_told_with_nothing_half_done_and_goes_on_once_there_is_room(
    cramped: Cramped,
) -> None:
    async with stored(cramped.url) as store:
        done, told = await filled_up(store)

        assert "its disk is full" in told and told.endswith("Nothing was changed.")
        assert done > 2
        assert await store.read(seq_of) == await verified(cramped.url) == done
        cramped.make_room()
        await store.write(wrote_much)
        assert await verified(cramped.url) == done + 2


@pytest.mark.parametrize("cramped", ["pg_wal"], indirect=True)
async def test_a_server_that_dies_because_its_journal_has_no_room_loses_nothing(
    cramped: Cramped,
) -> None:
    """PostgreSQL ends itself then; it is started again when there is room."""
    async with stored(cramped.url, patience_seconds=1) as store:
        done, told = await filled_up(store)

        cramped.server.stop()
        assert "PANIC" in cramped.server.log.read_text("utf-8")
        cramped.make_room()
        cramped.server.start()
        kept = await verified(cramped.url)
        assert done > 2
        assert kept == done or (kept == done + 2 and told.endswith("is not known.")), told
        await store.write(wrote_much)
        assert await verified(cramped.url) == kept + 2


# The clock.

CLOCKS = re.compile(
    r"\bnow\s*\(|\bcurrent_(?:date|time)|\blocaltime|_timestamp\s*\(|\btimeofday|"
    r"\bTIMESTAMP|'now'|\bINTERVAL\b",
    re.IGNORECASE,
)


def test_nothing_in_the_store_asks_the_server_what_time_it_is() -> None:
    """Neither a statement nor a default of the schema, so the server's clock may be days off."""
    schema = (files("cordboard.stores") / "schema").iterdir()
    texts = [*QUERIES.values(), *(script.read_text("utf-8") for script in schema)]
    source = Path(str(files("cordboard.stores.postgres")))
    texts += [module.read_text("utf-8") for module in source.glob("*.py")]
    assert len(texts) > 100
    assert [found[0] for text in texts if (found := CLOCKS.search(text))] == []
    assert CLOCKS.search("at TEXT DEFAULT current_timestamp") and CLOCKS.search("SELECT now()")


@pytest.mark.parametrize("days", [1, -1])
async def test_a_server_of_ours_with_its_clock_a_day_off_works_with_one_that_is_right(
    make_world: Worlds, days: int
) -> None:
    world = make_world(policy="relaxed")
    wrong = await anyio.to_thread.run_sync(world.another)
    for turn in range(3):
        for there, hours in ((wrong, 24 * days), (world, -24 * days)):
            world.clock.advance(hours * 3600)
            tool = "detach_numbers" if await there.holders(TEST_ONE) else "attach_numbers"
            told = await there.call(tool, agent="local:support", numbers=[TEST_ONE])
            if told.status == "confirmation_required":
                told = await there.call("apply_plan", plan_id=told.plan_id)
            assert told.status == "applied", turn
    assert (await world.events()).count("applied") == 6
    assert await verified(world.url) == await world.seq()

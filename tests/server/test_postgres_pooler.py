"""The PostgreSQL store behind PgBouncer in transaction mode, an old one that knows nothing of
prepared statements: each transaction may get another process of the server."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
import psycopg
import pytest
from tests.postgres import PostgresServer
from tests.postgres_programs import ROLE, as_server, free_port, workplace
from tests.server.test_postgres_faults import events, seq_of, stored, verified, wrote
from tests.world import AT, NUMBERS, TEST_ONE, TEST_TWO, Person, Worlds

from cordboard.stores import Transaction

pytestmark = pytest.mark.anyio
PROGRAM = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
SETTINGS = """
[databases]
* = host={host} port={port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {own}
unix_socket_dir =
auth_type = trust
auth_file = {users}
pool_mode = transaction
default_pool_size = 2
"""


class Pooler:
    """PgBouncer in front of a server; two processes of it for each database."""

    def __init__(self, program: str, server: PostgresServer, folder: Path) -> None:
        there = urlsplit(server.url("postgres"))
        self._there, self._port = f"{there.hostname}:{there.port}", free_port()
        self._command = (program, folder / "pgbouncer.ini")
        (folder / "users").write_text(f'"{ROLE}" ""\n', "utf-8")
        told = SETTINGS.format(
            host=there.hostname, port=there.port, own=self._port, users=folder / "users"
        )
        self._command[1].write_text(told, "utf-8")
        self._process: subprocess.Popen[str] | None = None

    def url(self, url: str) -> str:
        """The URL of a database, through here."""
        return url.replace(self._there, f"127.0.0.1:{self._port}", 1)

    def start(self) -> None:
        """Returns when it takes connections."""
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True, **as_server(),
        )  # fmt: skip
        assert self._process.stderr
        said = iter(self._process.stderr)
        assert any("process up" in line for line in said), "pgbouncer did not start"

    def stop(self) -> None:
        """At once, whoever is connected."""
        assert self._process and self._process.stderr
        self._process.kill()
        self._process.wait(10)
        self._process.stderr.close()


@pytest.fixture(scope="module")
def pooler(postgres: PostgresServer) -> Iterator[Pooler]:
    if PROGRAM is None:
        told = "there is no pgbouncer: `apt-get install pgbouncer`"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(told)
    work = workplace()
    made = Pooler(PROGRAM, postgres, work.path)
    made.start()
    try:
        yield made
    finally:
        made.stop()
        work.close()


@pytest.fixture
def store_kind() -> str:
    return "postgres"


async def test_everything_works_through_it(pooler: Pooler, make_world: Worlds) -> None:
    world = make_world(policy="relaxed")
    there = dataclasses.replace(world, url=pooler.url(world.url))
    pooled = await anyio.to_thread.run_sync(there.another)
    asked: dict[str, Any] = {"agent": "local:support", "numbers": [TEST_ONE, TEST_TWO]}
    for _ in range(4):  # so often that a statement would be prepared
        for tool in ("attach_numbers", "detach_numbers"):
            told = await pooled.call(tool, person=Person("yes"), **asked)
            if told.status == "confirmation_required":
                told = await pooled.call("apply_plan", plan_id=told.plan_id)
            assert told.status == "applied"
            held = ["local:support"] if tool == "attach_numbers" else []
            assert await pooled.holders(TEST_ONE) == await world.holders(TEST_ONE) == held
            for _ in range(3):
                assert await pooled.app.store.recall("seq", seq_of) <= await world.seq()
    assert (await pooled.call("freeze_changes", reason="drill")).status == "frozen"
    assert (await pooled.call("attach_numbers", **asked)).code == "FROZEN"
    assert await verified(pooled.url) == await world.seq()
    await pooled.close()


async def test_many_who_write_at_once_follow_each_other(
    pooler: Pooler, postgres: PostgresServer
) -> None:
    url = postgres.create()
    async with (
        stored(pooler.url(url)) as store,
        stored(pooler.url(url)) as other,
        anyio.create_task_group() as group,
    ):
        for turn in range(40):
            group.start_soon(store.write, wrote(f"{turn}"))
            group.start_soon(other.write, wrote(f"{turn}"))
            group.start_soon(store.recall, turn, seq_of)
            group.start_soon(other.read, seq_of)
    assert sorted(events(url)) == sorted([f"{turn}" for turn in range(40)] * 2)
    assert await verified(url) == 80
    postgres.drop(url)


async def test_after_it_was_restarted_calls_work_at_once(
    pooler: Pooler, postgres: PostgresServer
) -> None:
    url = postgres.create()
    async with stored(pooler.url(url)) as store:
        await store.write(wrote("first"))
        assert await store.recall("seq", seq_of) == 1
        for turn in range(2, 5):
            pooler.stop()
            pooler.start()
            assert await store.write(wrote("next")) == turn
            pooler.stop()
            pooler.start()
            assert await store.recall(turn, seq_of) == turn
    postgres.drop(url)


async def test_a_statement_is_never_answered_by_another_of_the_same_name(
    pooler: Pooler, make_world: Worlds
) -> None:
    """Two processes, each with a statement of its own and the same parameters."""
    world = make_world()
    url = pooler.url(world.url)

    def inbound(tx: Transaction) -> None:
        tx.run("number_bump_inbound", account="default", number=TEST_ONE, at=AT)

    def outbound(tx: Transaction) -> None:
        tx.run("number_bump_outbound", account="default", number=TEST_TWO, at=AT)

    async with stored(url) as store, stored(url) as other:
        for _ in range(30):
            async with anyio.create_task_group() as group:
                group.start_soon(store.write, inbound)
                group.start_soon(other.write, outbound)
                group.start_soon(store.recall, object(), counted)
                group.start_soon(other.recall, object(), listed)

    def versions(tx: Transaction) -> list[tuple[int, int]]:
        rows = tx.all("numbers_among", account="default", numbers=[TEST_ONE, TEST_TWO])
        return sorted((row["inbound_version"], row["outbound_version"]) for row in rows)

    assert await world.app.store.read(versions) == [(0, 30), (30, 0)]


def counted(tx: Transaction) -> None:
    row = tx.one("number_count", account="default")
    assert row and row["found"] == len(NUMBERS)


def listed(tx: Transaction) -> None:
    assert len(tx.all("providers", account="default")) == 6


def test_a_driver_that_prepares_statements_gets_another_answer_as_the_control(
    pooler: Pooler, postgres: PostgresServer
) -> None:
    """Why the store looks who it talks to: no error tells of this."""
    url = postgres.create()
    ours, theirs = "SELECT 'ours', %s::text", "SELECT 'theirs', %s::text"
    with (
        psycopg.connect(pooler.url(url), autocommit=True) as one,
        psycopg.connect(pooler.url(url), autocommit=True) as two,
    ):
        with one.transaction():
            here = backend(one)
            one.execute(ours, ["x"], prepare=True)
            two.execute(theirs, ["x"], prepare=True)  # the other process of the server
        with two.transaction():
            assert backend(two) == here, "it takes the one that was used last"
            assert one.execute(ours, ["x"], prepare=True).fetchone() == ("theirs", "x")
    postgres.drop(url)


def backend(connection: psycopg.Connection) -> int:
    """Which process of the server answers."""
    row = connection.execute("SELECT pg_backend_pid()", prepare=False).fetchone()
    assert row
    return int(row[0])

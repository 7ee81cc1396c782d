"""A store of an older version, opened by this one: everything is kept, or nothing is touched."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from importlib.resources import files
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.exams import stage
from tests.world import NUMBERS, SEEDS, TEST_ONE, Worlds, serve

from cordboard.approvers import Approvers
from cordboard.errors import StoreUnavailable
from cordboard.stores import SCHEMA_VERSION
from cordboard.stores.sqlite import SqliteStore
from cordboard.tokens import Tokens

pytestmark = pytest.mark.anyio


def first_schema() -> Iterator[str]:
    script = (files("cordboard.stores") / "schema" / "1.sql").read_text("utf-8")
    bare = "\n".join(line.partition("--")[0] for line in script.splitlines())
    for statement in filter(str.strip, bare.split(";")):
        dense = " WITHOUT ROWID" if "CREATE TABLE" in statement else ""
        yield statement + dense


def an_old_store(path: Path, newer: Path) -> None:
    """The contents of a store of today, in a file as version 1 made them."""
    with closing(sqlite3.connect(path)) as db:
        for statement in first_schema():
            db.execute(statement)
        db.execute("CREATE TABLE schema_version (version BIGINT NOT NULL)")
        db.execute("INSERT INTO schema_version VALUES (1)")
        tables = [
            row[0]
            for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            if row[0] != "schema_version"
        ]
        db.execute("ATTACH ? AS newer", (str(newer),))
        for table in tables:
            now = {row[1] for row in db.execute(f"PRAGMA newer.table_info({table})")}
            columns = [row[1] for row in db.execute(f"PRAGMA main.table_info({table})")]
            then = ", ".join(name for name in columns if name in now)
            db.execute(f"INSERT INTO {table} ({then}) SELECT {then} FROM newer.{table}")  # noqa: S608 - our names
        db.commit()


async def test_a_store_of_version_1_keeps_its_plans_and_its_journal(
    make_world: Worlds, tmp_path: Path
) -> None:
    world = make_world(SEEDS)
    planned = await world.call("attach_numbers", agent="local:support", numbers=[TEST_ONE])
    await world.close()
    home = tmp_path / "old"
    home.mkdir()
    an_old_store(home / "cordboard.db", world.database)
    shutil.copy(world.database.with_name("cordboard.db.key"), home / "cordboard.db.key")
    server = serve(home, world.clock, "standard", {})
    try:
        world.server = server
        assert (await server.app.store.facts())["schema"] == str(SCHEMA_VERSION)
        assert len((await world.call("list_numbers"))["numbers"]) == len(NUMBERS)
        done = await world.call("apply_plan", plan_id=planned.plan_id)
        assert done.status == "applied"
        assert await world.events() == ["planned", "approved", "applied"]
    finally:
        await server.app.store.close()


async def test_a_migration_that_fails_leaves_the_old_store_as_it_was(
    make_world: Worlds, tmp_path: Path
) -> None:
    world = make_world(SEEDS)
    await world.call("attach_numbers", agent="local:support", numbers=[TEST_ONE])
    path = tmp_path / "old.db"
    an_old_store(path, world.database)
    with closing(
        sqlite3.connect(path)
    ) as db:  # the last table that the last version makes is there
        db.execute("CREATE TABLE session_end (something TEXT)")
        before = list(db.iterdump())
    with pytest.raises(StoreUnavailable):
        await SqliteStore(path).facts()
    with closing(sqlite3.connect(path)) as db:
        assert list(db.iterdump()) == before


async def test_processes_that_open_an_old_store_at_once_migrate_it_once(
    make_world: Worlds, tmp_path: Path
) -> None:
    world = make_world(SEEDS)
    path = tmp_path / "old.db"
    await world.call("list_numbers")
    an_old_store(path, world.database)
    stores = [SqliteStore(path) for _ in range(4)]
    async with anyio.create_task_group() as group:
        for store in stores:
            group.start_soon(store.facts)
    for store in stores:
        assert (await store.facts())["schema"] == str(SCHEMA_VERSION)
        await store.close()


async def test_approvers_of_an_old_store_approve_on_and_tokens_can_be_made(tmp_path: Path) -> None:
    with stage.stage() as world:
        await stage.approver(world.server)
        path = tmp_path / "old.db"
        an_old_store(path, world.database)
        store = SqliteStore(path)
        approvers = Approvers(store, "default", world.clock)

        [ada] = await approvers.everyone()
        assert (ada.name, ada.subjects) == (stage.APPROVER, ())
        assert (await approvers.verify(stage.APPROVER, stage.PASSPHRASE)).people == {
            "ada",
            "ada-the-user",
        }
        tokens = Tokens(store, world.clock)
        told: dict[str, Any] = {"scopes": ["numbers:read"], "subject": "ada", "by": "operator"}
        assert await tokens.verify(await tokens.create("default", "ci", **told)) is not None
        await store.close()

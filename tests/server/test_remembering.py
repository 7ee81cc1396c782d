"""`Store.recall`: what was read is told again until anybody commits, and never after."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from cordboard.errors import StoreUnavailable
from cordboard.stores import Transaction
from cordboard.stores.sqlite import SqliteStore
from cordboard.stores.sqlite.versions import FileVersions

pytestmark = pytest.mark.anyio

CHANGE_COUNTER = slice(24, 28)
OVERWRITE = "import os, sys; os.pwrite(os.open(sys.argv[1], os.O_RDWR), bytes.fromhex(sys.argv[2]), int(sys.argv[3]))"


class Providers:
    """Reads the providers of an account, and counts how often it really does."""

    def __init__(self, store: SqliteStore) -> None:
        self.store, self.reads = store, 0

    async def __call__(self, account: str = "a") -> list[str] | None:
        def look(tx: Transaction) -> list[str] | None:
            found = [row["provider"] for row in tx.all("providers", account=account)]
            self.reads += 1
            return found or None

        try:
            return await self.store.recall(("providers", account), look)
        finally:
            await anyio.lowlevel.checkpoint()  # the turn of the loop is over, and its look with it


def add(provider: str, account: str = "a") -> Callable[[Transaction], int]:
    return lambda tx: tx.run("provider_add", account=account, provider=provider)


def elsewhere(path: Path, statement: str) -> None:
    """Run a statement in another process, which knows nothing of ours."""
    script = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); db.execute(sys.argv[2]); db.commit()"
    subprocess.run([sys.executable, "-c", script, path, statement], check=True)


def change_counter(path: Path) -> bytes:
    """SQLite's count of commits; no connection of this process may hold a lock now."""
    return path.read_bytes()[CHANGE_COUNTER]


def overwritten(path: Path, text: bytes, at: int) -> None:
    """Write into a file from a process without any lock on it: in this one, closing it again would
    drop SQLite's."""
    subprocess.run([sys.executable, "-c", OVERWRITE, path, text.hex(), str(at)], check=True)


@asynccontextmanager
async def opened(path: Path, *providers: str) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(path)
    for provider in providers:
        await store.write(add(provider))
    try:
        yield store
    finally:
        await store.close()


async def test_what_was_read_is_not_read_again_until_something_is_committed(tmp_path: Path) -> None:
    async with opened(tmp_path / "s.db", "twilio") as store:
        providers = Providers(store)
        assert [await providers() for _ in range(3)] == [["twilio"]] * 3
        assert providers.reads == 1
        await store.write(add("vonage"))
        assert [await providers() for _ in range(3)] == [["twilio", "vonage"]] * 3
        assert providers.reads == 2


async def test_a_commit_of_any_connection_is_seen_by_the_next_read(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    async with opened(path, "twilio") as store, opened(path) as other:
        providers = Providers(store)
        assert await providers() == ["twilio"]
        await other.write(add("vonage"))
        assert await providers() == ["twilio", "vonage"]
        with closing(sqlite3.connect(path)) as foreign, foreign:
            foreign.execute("DELETE FROM provider WHERE provider = 'twilio'")
        assert await providers() == ["vonage"]
        elsewhere(path, "DELETE FROM provider")
        assert await providers() is None


async def test_a_write_that_is_rolled_back_changes_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path / "s.db", "twilio") as store:
        providers = Providers(store)
        assert await providers() == ["twilio"]

        def fail(tx: Transaction) -> None:
            add("vonage")(tx)
            raise LookupError

        with pytest.raises(LookupError):
            await store.write(fail)
        assert await providers() == ["twilio"]
        assert providers.reads == 1


async def test_what_is_read_in_one_turn_of_the_loop_is_of_one_state(tmp_path: Path) -> None:
    """Nobody can commit until the turn is over, and then anybody can."""
    path = tmp_path / "s.db"
    insert = "INSERT INTO provider VALUES ('a', 'vonage')"
    async with opened(path, "twilio") as store:
        first = await store.recall("first", lambda tx: tx.all("providers", account="a"))
        with closing(sqlite3.connect(path, timeout=0)) as stranger:
            with pytest.raises(sqlite3.OperationalError, match="locked"), stranger:
                stranger.execute(insert)
            again = await store.glance(lambda tx: tx.all("providers", account="a"))
            await anyio.lowlevel.checkpoint()
            with stranger:
                stranger.execute(insert)
        after = await store.recall("first", lambda tx: tx.all("providers", account="a"))
    assert [len(first), len(again), len(after)] == [1, 1, 2]


async def test_a_failed_look_leaves_nothing_open(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    async with opened(path, "twilio") as store:

        def fail(tx: Transaction) -> None:
            tx.all("providers", account="a")
            raise LookupError

        with pytest.raises(LookupError):
            await store.glance(fail)
        await store.write(add("vonage"))
        assert await Providers(store)() == ["twilio", "vonage"]


async def test_nothing_is_not_remembered(tmp_path: Path) -> None:
    async with opened(tmp_path / "s.db") as store:
        providers = Providers(store)
        assert [await providers() for _ in range(3)] == [None] * 3
        assert providers.reads == 3


async def test_only_so_much_is_remembered(tmp_path: Path) -> None:
    async with opened(tmp_path / "s.db") as store:
        await store.write(lambda tx: [add("p", f"a{i}")(tx) for i in range(10_001)])
        providers = Providers(store)
        for i in range(10_001):
            assert await providers(f"a{i}") == ["p"]
        assert providers.reads == 10_001
        await providers("a10000")
        assert providers.reads == 10_001
        await providers("a0")
        assert providers.reads == 10_002


async def test_from_a_write_ahead_log_nothing_is_remembered(tmp_path: Path) -> None:
    """There SQLite does not count its commits in the file."""
    path = tmp_path / "s.db"
    async with opened(path, "twilio") as store:
        providers = Providers(store)
        assert await providers() == ["twilio"]
        with closing(sqlite3.connect(path)) as foreign:
            assert foreign.execute("PRAGMA journal_mode=WAL").fetchone() == ("wal",)
        await store.write(add("vonage"))
        assert [await providers() for _ in range(3)] == [["twilio", "vonage"]] * 3
        assert providers.reads == 4


async def test_of_a_store_that_is_gone_nothing_is_told(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    async with opened(path, "twilio") as store:
        providers = Providers(store)
        assert await providers() == ["twilio"]
        path.rename(tmp_path / "away.db")
        with pytest.raises(StoreUnavailable):
            await providers()
        (tmp_path / "away.db").rename(path)
        assert await providers() == ["twilio"]


# --- in the middle of a commit ----------------------------------------------------------------


@asynccontextmanager
async def pages_being_written(path: Path) -> AsyncIterator[None]:
    """Within, the store looks as it does between the first page and the last sync of a commit of
    ours: noted, readers kept out, and the header is of the state to come."""
    versions = FileVersions(path, path.with_name(f"{path.name}.lock"))
    versions.open()
    versions.note()
    header = change_counter(path)
    to_come = (int.from_bytes(header) + 1).to_bytes(4)
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        overwritten(path, to_come, CHANGE_COUNTER.start)
        yield
        overwritten(path, header, CHANGE_COUNTER.start)
        writer.execute("ROLLBACK")
    versions.take_back()
    versions.close()


async def test_what_is_in_force_until_a_commit_is_over_is_told_meanwhile(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    async with opened(path, "twilio") as store:
        providers = Providers(store)
        assert await providers() == ["twilio"]
        async with pages_being_written(path):
            assert await providers() == ["twilio"]
        assert await providers() == ["twilio"]
        assert providers.reads == 1


async def test_what_was_in_force_before_the_last_commit_is_not_told_during_the_next(
    tmp_path: Path,
) -> None:
    path = tmp_path / "s.db"
    async with opened(path, "twilio") as store, opened(path) as other:
        providers = Providers(store)
        assert await providers() == ["twilio"]
        await other.write(add("vonage"))
        heard: list[list[str] | None] = []

        async def ask() -> None:
            heard.append(await providers())

        with anyio.fail_after(30):
            async with anyio.create_task_group() as group, pages_being_written(path):
                group.start_soon(ask)
                await anyio.wait_all_tasks_blocked()
                assert heard == []
        assert heard == [["twilio", "vonage"]]


async def test_a_lock_of_another_program_says_nothing_of_what_is_in_force(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    async with opened(path, "twilio") as store, opened(path) as other:
        providers = Providers(store)
        assert await providers() == ["twilio"]
        await other.write(add("vonage"))
        with closing(sqlite3.connect(path, isolation_level=None)) as stranger:
            stranger.execute("BEGIN EXCLUSIVE")
            with anyio.move_on_after(0.05) as waiting:
                assert await providers() == ["twilio", "vonage"]
            assert waiting.cancelled_caught
            stranger.execute("ROLLBACK")
        assert await providers() == ["twilio", "vonage"]


async def test_one_file_by_two_names_has_one_lock_and_one_note(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    (tmp_path / "by").mkdir()
    (tmp_path / "by" / "link.db").symlink_to(path)
    async with opened(path, "twilio") as store, opened(tmp_path / "by" / "link.db") as other:
        providers = Providers(store)
        assert await providers() == ["twilio"]
        await other.write(add("vonage"))
        assert await providers() == ["twilio", "vonage"]
    assert not list((tmp_path / "by").glob("*.lock"))


# --- descriptors ------------------------------------------------------------------------------


def descriptors(path: Path) -> int:
    """How often this process has the store, or what lies beside it, open."""
    links = [link for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    return sum(str(link.readlink()).startswith(str(path)) for link in links)


def is_locked(path: Path) -> bool:
    """Whether another process could not write now."""
    script = (
        "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute('BEGIN IMMEDIATE')"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, path], check=False, capture_output=True, text=True
    )
    return "database is locked" in done.stderr


async def test_two_stores_of_a_process_share_a_descriptor_and_the_last_one_closes_it(
    tmp_path: Path,
) -> None:
    """Closing it earlier would drop the locks of the other (POSIX): a third could write with it."""
    path = tmp_path / "s.db"
    async with opened(path, "twilio") as store:
        async with opened(path, "vonage") as other:
            assert await Providers(other)() == ["twilio", "vonage"]
        holding = SqliteStore(path)

        def hold(tx: Transaction) -> None:
            add("plivo")(tx)
            anyio.from_thread.run(short_lived, path)
            assert is_locked(path)

        await holding.write(hold)
        await holding.close()
        assert await Providers(store)() == ["plivo", "twilio", "vonage"]
    assert descriptors(path) == 0


async def short_lived(path: Path) -> None:
    """Open the store, read, and close it again."""
    async with opened(path) as store:
        await Providers(store)()

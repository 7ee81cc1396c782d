"""The hash chain: every edit, gap and swap is found, and what only an exported head can show."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import combinations
from pathlib import Path
from typing import Any

import anyio
import pytest
import rfc8785
from tests.exams import stage
from tests.world import SUPPORT_LINE, TEST_ONE, TEST_TWO, Person, World, Worlds

from cordboard import journal
from cordboard.journal import Event, Head, Report
from cordboard.stores import GENESIS, Store
from cordboard.stores.sqlite import SqliteStore

COLUMNS = (
    "account",
    "seq",
    "at",
    "event",
    "plan_id",
    "principal",
    "plan_hash",
    "data",
    "prev",
    "hash",
)
TEXTS = tuple(c for c in COLUMNS if c != "seq")


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a journal of every kind of event the tools make."""
    worlds = Worlds(tmp_path_factory.mktemp("lived"), tmp_path_factory.mktemp("templates"))
    world = worlds()
    anyio.run(_live, world)
    worlds.close()
    return world.database


async def _live(world: World) -> None:
    one = await world.done("attach_numbers", agent="local:support", numbers=[TEST_ONE, TEST_TWO])
    await world.done("undo_plan", plan_id=one.plan_id)
    yes, no = Person("yes"), Person("decline")
    await world.call("attach_numbers", person=yes, agent="local:sales", numbers=[SUPPORT_LINE])
    await world.call("detach_numbers", person=no, agent="local:sales", numbers=[SUPPORT_LINE])
    dropped = await world.call("attach_numbers", agent="local:sales", numbers=[TEST_ONE])
    await world.call("discard_plan", plan_id=dropped.plan_id)
    await world.call("freeze_changes", reason="an end")


@pytest.fixture
def copy(lived: Path, tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """That store, open for tampering in memory."""
    with closing(sqlite3.connect(lived)) as whole, closing(sqlite3.connect(":memory:")) as db:
        whole.backup(db)
        yield db


class Rows:
    """Just enough of a transaction to verify on a connection of the test's own."""

    def __init__(self, db: sqlite3.Connection) -> None:
        from cordboard.stores.queries import QUERIES

        self._queries = QUERIES
        self._db = db
        db.row_factory = sqlite3.Row

    def one(self, query: str, /, **params: Any) -> Any:
        return self._db.execute(self._queries[query], params).fetchone()

    def all(self, query: str, /, **params: Any) -> Any:
        return self._db.execute(self._queries[query], params).fetchall()


def check(db: sqlite3.Connection, known: Head | None = None) -> Report:
    return journal.verify(Rows(db), "default", known)  # type: ignore[arg-type]


def read(db: sqlite3.Connection) -> list[dict[str, Any]]:
    rows = db.execute(f"SELECT {', '.join(COLUMNS)} FROM journal ORDER BY seq").fetchall()  # noqa: S608
    return [dict(zip(COLUMNS, row, strict=True)) for row in rows]


@contextmanager
def tampered(db: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """What is done inside is undone afterwards."""
    db.execute("SAVEPOINT tampering")
    yield db
    db.execute("ROLLBACK TO tampering")


def test_an_honest_journal_verifies_and_tells_the_whole_story(copy: sqlite3.Connection) -> None:
    rows = read(copy)
    report = check(copy)
    assert (report.fault, report.checked, report.head.seq) == ("", len(rows), len(rows))
    told = {row["event"] for row in rows}
    assert told >= {"planned", "approved", "applied", "declined", "discarded", "frozen"}
    for row in rows:
        signed = {k: v for k, v in row.items() if k != "hash"}
        assert row["hash"] == hashlib.sha256(rfc8785.dumps(signed)).hexdigest()
    applied = next(json.loads(row["data"]) for row in rows if row["event"] == "applied")
    assert {"before", "after", "number"} <= set(applied["changes"][0])


def changed(value: str) -> list[Any]:
    """Other values a column could be given: one letter changed, more, less, none, other types."""
    edits: list[Any] = [value + "0", value[:-1], value.swapcase(), "x", "", 7, b"\x00\xff", 1.5]
    if value:
        edits.append(chr(ord(value[0]) ^ 1) + value[1:])
    return [edit for edit in edits if edit != value]


def test_every_edit_of_every_column_of_every_row_is_found(copy: sqlite3.Connection) -> None:
    tried = 0
    for row in read(copy):
        for column in TEXTS:
            for value in changed(row[column]):
                with tampered(copy) as db:
                    sql = f"UPDATE journal SET {column} = ? WHERE seq = ?"  # noqa: S608
                    db.execute(sql, (value, row["seq"]))
                    report = check(db)
                assert report.fault, f"row {row['seq']}: {column} = {value!r} is not found"
                assert str(row["seq"]) in report.fault or column == "account"
                tried += 1
    assert tried > 500


def test_every_change_of_a_row_s_place_is_found(copy: sqlite3.Connection) -> None:
    count = len(read(copy))
    for seq in range(1, count + 1):
        for place in (0, -1, count + 1, count + 7):
            with tampered(copy) as db:
                db.execute("UPDATE journal SET seq = ? WHERE seq = ?", (place, seq))
                assert check(db).fault, f"row {seq} moved to {place}"


def test_every_removed_row_is_found_and_named(copy: sqlite3.Connection) -> None:
    for row in read(copy):
        with tampered(copy) as db:
            db.execute("DELETE FROM journal WHERE seq = ?", (row["seq"],))
            assert "missing" in check(db).fault


def test_every_swap_of_two_rows_is_found(copy: sqlite3.Connection) -> None:
    count = len(read(copy))
    for one, two in combinations(range(1, count + 1), 2):
        with tampered(copy) as db:
            for old, new in ((one, -5), (two, one), (-5, two)):
                db.execute("UPDATE journal SET seq = ? WHERE seq = ?", (new, old))
            assert check(db).fault, f"rows {one} and {two} swapped"


def test_a_row_slipped_in_is_found(copy: sqlite3.Connection) -> None:
    rows = read(copy)
    for at in range(1, len(rows) + 1):
        with tampered(copy) as db:
            for row in reversed(rows[at - 1 :]):
                db.execute("UPDATE journal SET seq = seq + 1 WHERE seq = ?", (row["seq"],))
            insert(db, rows[at - 1] | {"seq": at})
            assert check(db).fault, f"row {at} doubled"


def insert(db: sqlite3.Connection, row: dict[str, Any]) -> None:
    names = ", ".join(f":{c}" for c in COLUMNS)
    db.execute(f"INSERT INTO journal ({', '.join(COLUMNS)}) VALUES ({names})", row)  # noqa: S608


def head_of(db: sqlite3.Connection) -> Head:
    seq, hashed = db.execute("SELECT seq, head FROM account").fetchone()
    return Head("default", seq, hashed)


def cut(db: sqlite3.Connection, keep: int) -> None:
    """Take the tail off and put the head row right, as one who knows the scheme would."""
    db.execute("DELETE FROM journal WHERE seq > ?", (keep,))
    last = db.execute("SELECT hash FROM journal WHERE seq = ?", (keep,)).fetchone()
    db.execute("UPDATE account SET seq = ?, head = ?", (keep, last[0] if last else GENESIS))


def forge(db: sqlite3.Connection, edit: Callable[[dict[str, Any]], None]) -> None:
    """Rewrite the whole chain with true hashes after editing its rows."""
    prev = GENESIS
    for row in read(db):
        edit(row)
        row["prev"] = prev
        signed = {k: v for k, v in row.items() if k != "hash"}
        prev = row["hash"] = hashlib.sha256(rfc8785.dumps(signed)).hexdigest()
        db.execute("DELETE FROM journal WHERE seq = ?", (row["seq"],))
        insert(db, row)
    db.execute("UPDATE account SET head = ?", (prev,))


def test_a_cut_tail_is_found_against_the_head_row(copy: sqlite3.Connection) -> None:
    count = len(read(copy))
    for keep in range(count):
        with tampered(copy) as db:
            db.execute("DELETE FROM journal WHERE seq > ?", (keep,))
            assert "missing" in check(db).fault


def test_a_cut_tail_with_its_head_rewritten_is_found_against_an_exported_head(
    copy: sqlite3.Connection,
) -> None:
    known = head_of(copy)
    assert check(copy, known).fault == ""
    for keep in range(known.seq):
        with tampered(copy) as db:
            cut(db, keep)
            assert check(db).fault == "", "without an exported head nobody can see it"
            assert check(db, known).fault


def test_a_chain_rewritten_whole_is_found_against_an_exported_head(
    copy: sqlite3.Connection,
) -> None:
    known = head_of(copy)

    def whitewash(row: dict[str, Any]) -> None:
        row["principal"] = "somebody else"

    with tampered(copy) as db:
        forge(db, whitewash)
        assert check(db).fault == "", "without an exported head nobody can see it"
        assert "exported" in check(db, known).fault
    with tampered(copy) as db:
        forge(db, lambda row: None)
        assert check(db, known).fault == "", "the test's own hashing is the product's"


def test_a_chain_rewritten_and_made_longer_is_found_against_an_exported_head(
    copy: sqlite3.Connection,
) -> None:
    known = head_of(copy)
    with tampered(copy) as db:
        last = read(db)[-1]
        insert(db, last | {"seq": last["seq"] + 1})
        db.execute("UPDATE account SET seq = seq + 1")
        forge(db, lambda row: row.update(at="2020-01-01T00:00:00.000Z"))
        assert check(db).fault == ""
        assert check(db, known).fault


def test_an_old_exported_head_still_lies_on_a_chain_that_only_grew(
    copy: sqlite3.Connection,
) -> None:
    for row in read(copy):
        assert check(copy, Head("default", row["seq"], row["hash"])).fault == ""
        assert check(copy, Head("default", row["seq"], "0" * 64)).fault
    assert check(copy, Head("default", 0, GENESIS)).fault == ""


def test_a_removed_head_row_is_found(copy: sqlite3.Connection) -> None:
    with tampered(copy) as db:
        db.execute("DELETE FROM account")
        assert check(db).fault


@pytest.mark.anyio
async def test_several_events_of_one_transaction_are_one_chain_and_accounts_have_their_own(
    tmp_path: Path,
) -> None:
    store = SqliteStore(tmp_path / "cordboard.db")
    for account in ("default", "other"):
        events = [Event("asked", "p", data={"n": n}) for n in range(3)]
        first = await store.write(
            lambda tx, a=account, e=events: journal.append(tx, a, "2026-01-01T00:00:00.000Z", *e)  # type: ignore[misc]
        )
        assert first == 1
    for account in ("default", "other"):
        report = await store.read(lambda tx, a=account: journal.verify(tx, a))  # type: ignore[misc]
        assert (report.fault, report.checked) == ("", 3)
    nothing = await store.read(lambda tx: journal.verify(tx, "never written"))
    assert (nothing.fault, nothing.head) == ("", Head("never written", 0, GENESIS))
    await store.close()


@pytest.mark.anyio
async def test_a_long_journal_verifies_over_its_pages(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "cordboard.db")
    events = [Event("asked", "p", data={"n": n}) for n in range(2500)]
    await store.write(lambda tx: journal.append(tx, "default", "2026-01-01T00:00:00.000Z", *events))
    report = await store.read(lambda tx: journal.verify(tx, "default"))
    assert (report.fault, report.checked) == ("", 2500)
    rows = await store.read(lambda tx: list(journal.rows(tx, "default", 2400)))
    assert [row["seq"] for row in rows] == list(range(2401, 2501))
    await store.close()


@pytest.mark.anyio
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_a_journal_of_long_events_is_never_held_whole(
    tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    store: Store = SqliteStore(tmp_path / "cordboard.db")
    if kind == "postgres":
        from cordboard.stores.postgres.operating import bring_up

        url = request.getfixturevalue("postgres").create()
        bring_up(url)
        store = stage.store_at(url)
    events, long = 30, 1_000_000
    for n in range(events):
        event = Event("planned", "p", data={"numbers": f"{n}" * long})
        await store.write(lambda tx, e=event: journal.append(tx, "default", "2026", e))  # type: ignore[misc]
    tracemalloc.start()
    try:
        report = await journal.verify_in_pages(store, "default")
        read = await store.read(lambda tx: sum(1 for _ in journal.rows(tx, "default")))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        await store.close()
    assert (report.fault, report.checked, read) == ("", events, events)
    assert most < events * long / 2

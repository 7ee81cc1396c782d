"""`cordboard copy`: a whole store moved between engines, whatever stands in it and whenever it is ended."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from functools import cache, partial
from pathlib import Path
from typing import Any

import anyio
import psycopg
import pytest
from tests.exams.stage import examples
from tests.postgres import PostgresServer

from cordboard import journal
from cordboard.cli.commands import run
from cordboard.errors import StoreUnavailable
from cordboard.journal import Event
from cordboard.stores import SCHEMA_VERSION, Transaction
from cordboard.stores.copying import Copied, copy
from cordboard.stores.copying.sides import Side, Table
from cordboard.stores.sqlite import SqliteStore
from cordboard.stores.sqlite.copying import SqliteSide
from cordboard.stores.sqlite.tables import schema_tables

Said = pytest.CaptureFixture[str]
Contents = dict[str, list[tuple[Any, ...]]]

AT, LATER = "2026-01-31T09:00:00.000Z", "2026-02-01T09:00:00.000Z"
ACCOUNTS = ("acme", "default", "ähnlich", "\ufb01rst", "\U0001d49cccount")
"""The last two sort the other way round where texts are compared by UTF-16."""
ODD = "tab\t line\n return\r back\\slash \\N \\. quote'\" null-like % :name \u202e ü \U0001d49c \ufb01"
TABLES = schema_tables()
ELSEWHERE = {"seal_key", "schema_version"}
"""Not copied row by row: the key goes to where its engine keeps it, the version is made."""
NUMBERS = 40
WAYS = ("file to database", "database to file", "database to database", "file to file")


def rows_of(account: str) -> Mapping[str, list[tuple[Any, ...]]]:
    """Something for every table but the journal and its heads, which the journal itself writes."""
    numbers = [f"+1202556{i:04d}" for i in range(NUMBERS)]
    plan = ("plan_1", 1, "ann", "key", "applied", ODD, "h", "why", LATER, AT, "ann", "", "plan")
    return {
        "provider": [(account, "twilio"), (account, ODD)],
        "agent": [(account, "local:a", ODD, "inbound", "", "user", AT, AT)],
        "number": [
            (account, n, i, "twilio", ODD, "TEST", "[]", n[1:], '["voice"]', AT, 1 << 40, 0)
            for i, n in enumerate(numbers)
        ],
        "pathway": [(account, "p", "Path"), (account, "q", "")],
        "pathway_version": [(account, "p", 1, "[]"), (account, "p", 2, ODD)],
        "binding": [(account, n, "inbound", "local:a", "p", 0, "", AT) for n in numbers],
        "plan": [(account, *plan, "", "", ""), (account, "plan_0", *plan[1:], "x", "y", "token")],
        "plan_change": [
            (account, 1, i, "plan_1", n, "inbound", "", "local:a", 1) for i, n in enumerate(numbers)
        ],
        "approval": [(account, "ap", "plan_1", "h", "ann", "bob", "person", AT, LATER, AT)],
        "approver": [(account, "bob", "bob", '["b"]', "$argon2id$", AT, "ann")],
        "spent": [(account, "ann", AT, "plan_1", 40), (account, "ann", LATER, "plan_1", 0)],
        "operation": [(account, "plan_1", "bland", 3, LATER, AT)],
        "hold": [(account, "bland", n, "plan_1") for n in numbers],
        "step": [(account, "plan_1", 1, "unknown", 1, 0, ODD, LATER, 2, "", "")],
        "token": [(account, "t", "ci", "hash", "ann", "[]", AT, "ann", "", "")],
        "passphrase_try": [(account, "terminal", "", 2, AT)],
        "session_end": [(account, "nonce", LATER)],
    }


@cache
def contained(accounts: tuple[str, ...], events: int) -> bytes:
    """A store file with something in every table of several accounts."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "store.db"
        fill(path, accounts, events)
        return path.read_bytes()


def filled(path: Path, accounts: tuple[str, ...] = ACCOUNTS, events: int = 200) -> Path:
    """Such a store with so many events of each account, and a key beside it."""
    path.write_bytes(contained(accounts, events))
    key = path.with_name(path.name + ".key")
    key.write_text("5e" * 32)
    key.chmod(0o600)
    return path


def fill(path: Path, accounts: tuple[str, ...], events: int) -> None:

    async def make() -> None:
        store = SqliteStore(path)
        for account in accounts:
            await store.write(partial(_events, account=account, count=events))
        await store.close()

    anyio.run(make)
    by_name = {table.name: table for table in TABLES}
    with closing(sqlite3.connect(path)) as db:
        for account in accounts:
            for name, rows in rows_of(account).items():
                columns = by_name[name].columns
                marks = ", ".join("?" * len(columns))
                db.executemany(f"INSERT INTO {name} ({', '.join(columns)}) VALUES ({marks})", rows)  # noqa: S608
        db.commit()


def _events(tx: Transaction, account: str, count: int) -> None:
    events = [Event("planned", "ann", f"plan_{i}", "h", {"why": ODD}) for i in range(count)]
    journal.append(tx, account, AT, *events)


def contents(place: str) -> Contents:
    """Every row of every table, read without the program."""
    found: Contents = {}
    for table in TABLES:
        asked = f"SELECT {', '.join(table.columns)} FROM {table.name}"  # noqa: S608
        if table.name not in ELSEWHERE:
            found[table.name] = sorted(asked_of(place, asked))
    return found


def asked_of(place: str, statement: str) -> list[tuple[Any, ...]]:
    if place.startswith("postgresql:"):
        with psycopg.connect(place, autocommit=True) as db:
            cursor = db.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []
    with closing(sqlite3.connect(place)) as file:
        found = file.execute(statement).fetchall()
        file.commit()
        return found


def key_of(place: str) -> str:
    if place.startswith("postgresql:"):
        return "".join(row[0] for row in asked_of(place, "SELECT sealed_with FROM seal_key"))
    return Path(f"{place}.key").read_text("ascii")


class Mover:
    """Stores in a folder and on a server, and the command that copies them."""

    def __init__(self, folder: Path, server: PostgresServer, capsys: Said) -> None:
        self.folder, self._server, self._capsys = folder, server, capsys
        self.filled = filled(folder / "filled.db")
        self._made = 0

    def pair(self, way: str) -> tuple[str, str]:
        """A filled source and the place of a target that is not there or empty."""
        source, target = way.split(" to ")
        return (str(self.filled) if source == "file" else self._database(), self.empty(target))

    def empty(self, kind: str) -> str:
        self._made += 1
        return (
            str(self.folder / f"target{self._made}.db") if kind == "file" else self._server.create()
        )

    def _database(self) -> str:
        url = self._server.create()
        assert self.copy(str(self.filled), url)[0] == 0
        return url

    def copy(self, source: str, target: str, *more: str) -> tuple[int, str, str]:
        """Exit code, standard output, standard error."""
        self._capsys.readouterr()
        code = run(["copy", "--from", source, "--to", target, *more])
        said = self._capsys.readouterr()
        return code, said.out, said.err


@pytest.fixture
def mover(
    tmp_path: Path, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch, capsys: Said
) -> Mover:
    for name in list(os.environ):
        if name.startswith("CORDBOARD_") and not name.startswith("CORDBOARD_TEST_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return Mover(tmp_path, postgres, capsys)


def test_the_tables_that_are_copied_are_all_that_a_store_has(
    tmp_path: Path, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SqliteStore(tmp_path / "store.db")
    anyio.run(store.facts)
    anyio.run(store.close)
    file = str(tmp_path / "store.db")
    names = {
        row[0] for row in asked_of(file, "SELECT name FROM sqlite_master WHERE type = 'table'")
    }
    assert names - {"schema_version"} == {table.name for table in TABLES}
    for table in TABLES:
        info = asked_of(file, f"PRAGMA table_info({table.name})")
        assert tuple(row[1] for row in info) == table.columns
        assert tuple(row[2] for row in info) == table.types

    database = postgres.create()
    monkeypatch.setenv("CORDBOARD_DATABASE", database)
    assert run(["migrate"]) == 0
    columns = asked_of(
        database,
        "SELECT table_name, column_name, data_type FROM information_schema.columns "
        "WHERE table_schema = 'public' AND table_name <> 'schema_version'",
    )
    kinds = {"TEXT": "text", "BIGINT": "bigint"}
    assert sorted(columns) == sorted(
        (table.name, column, kinds[kind])
        for table in TABLES
        for column, kind in zip(table.columns, table.types, strict=True)
    )


def test_the_tests_have_something_in_every_table() -> None:
    by_itself = {"account", "journal"}
    assert set(rows_of("x")) | by_itself | {"seal_key"} == {table.name for table in TABLES}


@pytest.mark.parametrize("way", WAYS)
def test_everything_is_moved_and_verified_on_both_sides(
    mover: Mover, way: str, monkeypatch: pytest.MonkeyPatch, capsys: Said
) -> None:
    source, target = mover.pair(way)
    before = contents(source)
    code, out, err = mover.copy(source, target)
    assert (code, err) == (0, "")
    assert contents(target) == before == contents(source)
    assert key_of(target) == key_of(source) == "5e" * 32
    assert "1,000 events, verified on both sides" in out
    assert key_of(source) not in out
    for place in (source, target):
        monkeypatch.setenv("CORDBOARD_DATABASE", place)
        for account in ACCOUNTS[:2]:
            monkeypatch.setenv("CORDBOARD_ACCOUNT", account)
            assert run(["journal", "verify"]) == 0
        monkeypatch.delenv("CORDBOARD_ACCOUNT")
        assert run(["numbers", "--json", "--limit", "500"]) == 0
        shown = capsys.readouterr().out
        assert len(json.loads(shown[shown.index("{") :])["numbers"]) == NUMBERS
        monkeypatch.delenv("CORDBOARD_DATABASE")


def test_there_and_back_again_gives_the_same_store(mover: Mover) -> None:
    there, back = mover.empty("database"), mover.empty("file")
    assert mover.copy(f"sqlite://{mover.filled}", there)[0] == 0
    assert mover.copy(there, f"sqlite://{back}")[0] == 0
    assert contents(back) == contents(str(mover.filled))
    assert key_of(back) == key_of(str(mover.filled))
    assert Path(back).stat().st_mode & 0o777 == Path(f"{back}.key").stat().st_mode & 0o777 == 0o600
    tables = "SELECT name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_stat%' ORDER BY name"
    assert asked_of(back, tables) == asked_of(str(mover.filled), tables)


def test_a_copy_that_is_done_already_is_verified_and_nothing_is_written(mover: Mover) -> None:
    source, target = mover.pair("file to database")
    assert json.loads(mover.copy(source, target, "--json")[1])["rows_written"] > 0
    told = json.loads(mover.copy(source, target, "--json")[1])
    assert (told["whole"], told["rows_written"]) == (True, 0)
    assert "Copied already" in mover.copy(source, target)[1]
    by_table = {one["table"]: one for one in told["tables"]}
    assert by_table["number"]["source"] == by_table["number"]["target"]
    assert by_table["number"]["source"]["rows"] == NUMBERS * len(ACCOUNTS)


def test_an_empty_store_without_a_key_can_be_copied(mover: Mover) -> None:
    store = SqliteStore(mover.folder / "empty.db")
    anyio.run(store.facts)
    anyio.run(store.close)
    target = mover.empty("database")
    assert mover.copy("empty.db", target)[0] == 0
    assert not any(contents(target).values())
    assert key_of(target) == ""
    assert not (mover.folder / "empty.db.key").exists()


# --- ended halfway -----------------------------------------------------------------------------


def half_copied(mover: Mover, target: str) -> str:
    """A source from which a copy ends halfway: its last token holds what was never written."""
    source = str(mover.folder / "spoilt.db")
    filled(Path(source))
    asked_of(source, "UPDATE token SET subject = CAST(x'ff00' AS BLOB) WHERE account = 'default'")
    code, _, err = mover.copy(source, target)
    assert code == 1
    assert "run the same command again: it goes on where it was" in err
    assert "no server uses the target before the copy is whole" in err
    asked_of(source, "UPDATE token SET subject = 'ann'")
    return source


@pytest.mark.parametrize("kind", ["file", "database"])
def test_nobody_uses_a_target_that_is_half_copied(
    mover: Mover, kind: str, monkeypatch: pytest.MonkeyPatch, capsys: Said
) -> None:
    target = mover.empty(kind)
    source = half_copied(mover, target)
    monkeypatch.setenv("CORDBOARD_DATABASE", target)
    (mover.folder / "numbers.csv").write_text("number\n+14155551234\n")
    for command in (["numbers"], ["journal", "show"], ["import", "numbers.csv"], ["migrate"]):
        if command == ["migrate"] and kind == "file":
            continue
        assert run(command) == 1, command
        assert "is being filled by `cordboard copy`" in capsys.readouterr().err
    monkeypatch.delenv("CORDBOARD_DATABASE")
    code, _, err = mover.copy(target, mover.empty("file"))
    assert code == 1
    assert "is being filled by `cordboard copy`" in err
    assert mover.copy(source, target)[0] == 0
    assert contents(target) == contents(source)


@pytest.mark.parametrize("kind", ["file", "database"])
def test_what_was_copied_is_not_copied_again(mover: Mover, kind: str) -> None:
    target = mover.empty(kind)
    source = half_copied(mover, target)
    there = sum(map(len, contents(target).values()))
    everything = sum(map(len, contents(source).values()))
    spoilt = len(ACCOUNTS)  # the table that the copy ended at
    assert there > everything / 3
    told = json.loads(mover.copy(source, target, "--json")[1])
    assert told["rows_written"] <= everything - there + spoilt
    assert contents(target) == contents(source)


CHANGES = {
    "a row of a table that others refer to": "UPDATE number SET label = 'new' WHERE id = 3",
    "two numbers that exchange their slugs": (
        "UPDATE number SET slug = CASE id WHEN 1 THEN '12025560002' ELSE '12025560001' END "
        "WHERE id IN (1, 2) AND account = 'acme'"
    ),
    "a row less": "DELETE FROM hold WHERE number LIKE '%7'",
    "a row more at the beginning": "INSERT INTO provider VALUES ('acme', 'a new one')",
    "an account less": "DELETE FROM spent WHERE account = 'default'",
    "an agent's direction": "UPDATE binding SET attached_at = 'x' WHERE account = 'acme'",
}


@pytest.mark.parametrize("kind", ["file", "database"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_source_that_changed_between_two_runs_is_copied_as_it_is_now(
    mover: Mover, kind: str, change: str
) -> None:
    target = mover.empty(kind)
    source = half_copied(mover, target)
    if "exchange" in change:
        asked_of(source, "UPDATE number SET slug = 'aside' WHERE id = 1 AND account = 'acme'")
        asked_of(source, "UPDATE number SET slug = '12025560001' WHERE id = 2 AND account = 'acme'")
        asked_of(source, "UPDATE number SET slug = '12025560002' WHERE id = 1 AND account = 'acme'")
    else:
        asked_of(source, CHANGES[change])
    assert mover.copy(source, target)[0] == 0
    assert contents(target) == contents(source)


def test_a_copy_that_was_begun_from_another_store_is_not_taken_over(mover: Mover) -> None:
    target = mover.empty("database")
    half_copied(mover, target)
    there = contents(target)
    code, _, err = mover.copy(str(mover.filled), target)
    assert code == 1
    assert f"was begun from {mover.folder / 'spoilt.db'}" in err
    assert contents(target) == there


COMMAND = "import sys; from cordboard.cli.commands import run; sys.exit(run(sys.argv[1:]))"
AIMED = """
import os, pathlib, signal, sys, threading
from cordboard.stores.copying import copy
from cordboard.stores.postgres.copying import PostgresSide
from cordboard.stores.sqlite.copying import SqliteSide
from cordboard.stores.sqlite.tables import schema_tables

step, delay = int(sys.argv[1]), float(sys.argv[2])
steps = []

def tell(phase, done, total):
    steps.extend([done] if phase == "copying" else [])
    if phase == "copying" and len(steps) == step:
        threading.Timer(delay, os.kill, (os.getpid(), signal.SIGKILL)).start()

places = sys.argv[5], sys.argv[7]
sides = [PostgresSide(p) if "://" in p else SqliteSide(pathlib.Path(p)) for p in places]
copy(*sides, schema_tables(), tell)
"""
"""The work of the command, killed from within: so long after so many transactions of rows."""


def killed(script: list[str], source: str, target: str, after: float = 60) -> bool:
    """A copy in a process of its own; whether it was killed, by itself or after so many seconds."""
    command = [sys.executable, "-c", *script, "copy", "--from", source, "--to", target]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as copying:
        try:
            said, _ = copying.communicate(timeout=after)
        except subprocess.TimeoutExpired:
            copying.kill()
            return True
        assert copying.returncode in (0, -signal.SIGKILL), said
        return copying.returncode != 0


@pytest.mark.parametrize("way", WAYS)
def test_a_copy_that_is_killed_at_any_moment_goes_on_and_loses_nothing(
    mover: Mover, way: str
) -> None:
    filled(mover.filled, events=1100)  # of which more than one transaction is made
    source, target = mover.pair(way)
    before = contents(source)
    begun = time.monotonic()
    assert not killed([COMMAND], source, mover.empty(way.split(" to ")[1]))
    whole = time.monotonic() - begun
    chance = random.Random(way)  # noqa: S311 - the same moments every time
    died, rounds, halfway = 0, 0, set[int]()
    ends = {0, sum(map(len, before.values()))}
    # On a machine that is busy a kill may come too late: then once more.
    while rounds < examples(3, 100) or (len(halfway - ends) < 2 and rounds < 20):
        rounds += 1
        if halfway & ends == {max(ends)}:
            target, halfway = mover.empty(way.split(" to ")[1]), halfway - ends
        step, delay = chance.randrange(1, 12), chance.uniform(0, 0.01)
        died += killed([AIMED, str(step), str(delay)], source, target)
        halfway.add(assert_whole_or_closed(target, before))
        died += killed([COMMAND], source, target, after=whole * chance.uniform(0.2, 0.6))
        assert_whole_or_closed(target, before)
    assert died
    assert len(halfway - ends) > 1
    code, out, err = mover.copy(source, target)
    assert (code, err) == (0, ""), out
    assert contents(target) == before == contents(source)
    assert key_of(target) == key_of(source)


def assert_whole_or_closed(target: str, whole: Contents) -> int:
    """As whoever opens a store sees it: nothing there, closed, or everything. How many rows it has."""
    schema = schema_of(target)
    assert schema in (0, SCHEMA_VERSION, 1_000_000 + SCHEMA_VERSION)
    found = contents(target) if schema else {}
    if schema == SCHEMA_VERSION:
        assert found == whole or not any(found.values())
    for table, rows in found.items():
        assert set(rows) <= set(whole[table])
        assert len(rows) == len(set(rows))
    return sum(map(len, found.values()))


def schema_of(place: str) -> int:
    if not place.startswith("postgresql:") and not Path(place).exists():
        return 0
    try:
        return int(asked_of(place, "SELECT max(version) FROM schema_version")[0][0])
    except (psycopg.errors.UndefinedTable, sqlite3.OperationalError):
        return 0


# --- others at work meanwhile ------------------------------------------------------------------


def sides(source: str, target: str) -> tuple[Side, Side]:
    from cordboard.stores.postgres.copying import PostgresSide

    def one(place: str) -> Side:
        return PostgresSide(place) if "://" in place else SqliteSide(Path(place))

    return one(source), one(target)


def copied(source: str, target: str, meanwhile: Mapping[str, Callable[[], object]]) -> Copied:
    """A copy in this process, during which something happens as each phase begins."""
    left = dict(meanwhile)

    def tell(phase: str, done: int, total: int) -> None:
        if done and phase in left:
            left.pop(phase)()

    both = sides(source, target)
    try:
        return copy(*both, TABLES, tell)
    finally:
        for side in both:
            side.close()
        assert not left


async def _append(path: str) -> None:
    store = SqliteStore(Path(path))
    await store.write(lambda tx: _events(tx, "default", 1))
    await store.close()


@pytest.mark.parametrize("phase", ["copying", "verifying"])
def test_a_source_that_a_server_writes_to_meanwhile_is_told_and_the_target_stays_closed(
    mover: Mover, phase: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = mover.pair("file to database")
    found = copied(source, target, {phase: lambda: anyio.run(_append, source)})
    assert found.changed
    assert not found.whole
    assert schema_of(target) > SCHEMA_VERSION
    assert mover.copy(source, target)[0] == 0
    assert contents(target) == contents(source)


def test_a_change_that_no_journal_tells_of_is_found_by_the_digests(mover: Mover) -> None:
    source, target = mover.pair("file to database")
    change = "UPDATE token SET name = 'other' WHERE account = 'acme'"
    found = copied(source, target, {"verifying": lambda: asked_of(source, change)})
    assert [one.table for one in found.tables if not one.same] == ["token"]
    assert not found.whole
    assert mover.copy(source, target)[0] == 0
    assert contents(target) == contents(source)


@pytest.mark.parametrize("kind", ["file", "database"])
def test_of_two_copies_into_one_target_the_later_goes_on_and_the_earlier_stops(
    mover: Mover, kind: str
) -> None:
    source, target = str(mover.filled), mover.empty(kind)

    def later() -> None:
        assert mover.copy(source, target)[0] == 0

    with pytest.raises(StoreUnavailable, match="Another `cordboard copy` took"):
        copied(source, target, {"copying": later})
    assert contents(target) == contents(source)


def test_rows_that_do_not_fit_together_are_told_as_a_source_that_changed(mover: Mover) -> None:
    source, target = mover.pair("file to database")
    asked_of(source, "DELETE FROM agent WHERE account = 'default'")  # bindings still name it
    code, _, err = mover.copy(source, target)
    assert code == 1
    assert "The source was changed while table binding was read" in err
    assert "Stop the servers on both" in err


async def _begin(path: str) -> None:
    """Whose rows come last goes on, and one more account begins after it."""
    store = SqliteStore(Path(path))
    for account in (ACCOUNTS[-1], "\U0001d49enewcomer"):
        await store.write(partial(_events, account=account, count=1))
    await store.close()


def test_a_source_that_goes_on_while_its_journal_is_walked_is_not_told_as_tampered_with(
    mover: Mover,
) -> None:
    filled(mover.filled, events=1100)  # more than is read at once
    source, target = mover.pair("file to database")
    found = copied(source, target, {"checking the journal": lambda: anyio.run(_begin, source)})
    assert found.changed and not found.whole
    assert schema_of(target) > SCHEMA_VERSION
    assert mover.copy(source, target)[0] == 0
    assert contents(target) == contents(source)


TAMPERED = {
    "an account without its head": "DELETE FROM account WHERE account = 'acme'",
    "a head that was set back": (
        "UPDATE account SET seq = 199, head = (SELECT hash FROM journal j WHERE j.seq = 199 "
        "AND j.account = account.account) WHERE account = 'acme'"
    ),
}


@pytest.mark.parametrize("tampering", TAMPERED)
def test_rows_that_no_head_knows_of_are_not_moved(mover: Mover, tampering: str) -> None:
    asked_of(str(mover.filled), TAMPERED[tampering])
    said = refused(mover, str(mover.filled), "new.db")
    assert "journal of account acme" in said and "is not as it was written" in said
    assert not (mover.folder / "new.db").exists()


def test_a_database_that_cannot_hold_every_name_is_refused_before_anything_is_made(
    mover: Mover, postgres: PostgresServer
) -> None:
    admin = mover.empty("database")
    name = f"cordboard_test_narrow_{os.urandom(4).hex()}"
    asked_of(admin, f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
    target = postgres.url(name)
    try:
        said = refused(mover, str(mover.filled), target)
        assert "encoding LATIN1" in said and "createdb --encoding UTF8" in said
        assert schema_of(target) == 0
    finally:
        postgres.drop(target)


@pytest.mark.anyio
async def test_a_database_that_a_server_is_connected_to_is_not_filled(mover: Mover) -> None:
    from cordboard.stores.postgres import PostgresStore
    from cordboard.stores.postgres.operating import bring_up

    target = mover.empty("database")
    bring_up(target)
    store = PostgresStore(target)
    await store.read(lambda tx: tx.all("providers", account="default"))
    said = await anyio.to_thread.run_sync(refused, mover, str(mover.filled), target)
    assert "Another Cordboard is connected" in said and "Stop the servers on it" in said
    assert schema_of(target) == SCHEMA_VERSION and not any(contents(target).values())
    await store.close()
    await anyio.to_thread.run_sync(gone_from, target)
    assert (await anyio.to_thread.run_sync(mover.copy, str(mover.filled), target))[0] == 0


def gone_from(url: str) -> None:
    """Wait until the server knows that nobody of ours is connected any more."""
    here = "SELECT 1 FROM pg_sleep(0.01), pg_stat_activity WHERE application_name LIKE 'cordboard%'"
    while asked_of(url, f"{here} AND datname = current_database()"):
        pass


def test_of_two_copies_that_begin_at_one_moment_one_is_refused_in_words(
    mover: Mover, postgres: PostgresServer
) -> None:
    from cordboard.stores.postgres.operating import bring_up

    target = mover.empty("database")
    bring_up(target)
    waiting = (
        "SELECT count(*) FROM pg_sleep(0.01), pg_stat_activity WHERE wait_event_type = 'Lock' "
        "AND datname = current_database()"
    )
    command = [sys.executable, "-c", COMMAND, "copy", "--from", str(mover.filled), "--to", target]
    with psycopg.connect(target) as gate:
        gate.execute("LOCK TABLE step IN ACCESS EXCLUSIVE MODE")
        both = [
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        while asked_of(target, waiting) != [(2,)]:
            assert not any(process.poll() for process in both)
    said = [process.communicate(timeout=60) for process in both]
    assert sorted(process.returncode for process in both) == [0, 1], said
    [err] = [err for _, err in said if err]
    assert "Another `cordboard copy`" in err and "Traceback" not in err
    assert contents(target) == contents(str(mover.filled))


def test_a_database_whose_transactions_begin_otherwise_is_filled_all_the_same(
    mover: Mover,
) -> None:
    target = mover.empty("database")
    set_otherwise(target)
    assert mover.copy(str(mover.filled), target)[0] == 0
    assert contents(target) == contents(str(mover.filled))


def set_otherwise(url: str) -> None:
    """The operator has set that transactions only read, and see one state."""
    name = url.rpartition("/")[2]
    asked_of(url, f"ALTER DATABASE {name} SET default_transaction_isolation = 'repeatable read'")
    asked_of(url, f"ALTER DATABASE {name} SET default_transaction_read_only = on")


# --- refusals ------------------------------------------------------------------------------------


def refused(mover: Mover, source: str, target: str) -> str:
    code, out, err = mover.copy(source, target)
    assert code in (1, 2)
    assert out == ""
    assert len(err.splitlines()) == 1
    assert "Traceback" not in err
    return err


def test_the_same_store_by_another_name_is_refused(mover: Mover) -> None:
    link = mover.folder / "link.db"
    link.symlink_to(mover.filled)
    for name in ("filled.db", f"sqlite://{mover.filled}", str(link), "./filled.db"):
        assert "name the same store" in refused(mover, str(mover.filled), name)


@pytest.mark.parametrize("kind", ["file", "database"])
def test_a_target_that_is_in_use_is_not_touched(mover: Mover, kind: str) -> None:
    target = mover.empty(kind)
    other = filled(mover.folder / "other.db", ("default",))
    assert mover.copy(str(other), target)[0] == 0
    before = contents(target)
    assert "is not empty" in refused(mover, str(mover.filled), target)
    assert contents(target) == before


def test_a_source_that_is_not_there_is_not_made(mover: Mover) -> None:
    assert "There is no store at" in refused(mover, "nowhere.db", mover.empty("file"))
    assert not (mover.folder / "nowhere.db").exists()
    assert "no tables of Cordboard's" in refused(mover, mover.empty("database"), "new.db")
    assert not (mover.folder / "new.db").exists()


def test_a_schema_that_this_program_does_not_know_is_refused(mover: Mover) -> None:
    newer = filled(mover.folder / "newer.db", ("default",))
    asked_of(str(newer), "UPDATE schema_version SET version = version + 1")
    assert "Update Cordboard" in refused(mover, str(newer), mover.empty("database"))
    assert "Update Cordboard" in refused(mover, str(mover.filled), str(newer))
    target = mover.empty("database")
    assert mover.copy(str(mover.filled), target)[0] == 0
    asked_of(target, "UPDATE schema_version SET version = 1")
    assert "has schema 1" in refused(mover, str(mover.filled), target)
    assert "cordboard migrate" in refused(mover, target, mover.empty("file"))


def test_a_file_of_another_program_is_left_as_it_is(mover: Mover) -> None:
    file = mover.folder / "theirs.db"
    asked_of(str(file), "CREATE TABLE theirs (x)")
    asked_of(str(file), "PRAGMA journal_mode=WAL")
    before = file.read_bytes()
    assert "another program's database" in refused(mover, str(mover.filled), str(file))
    assert file.read_bytes() == before
    text = mover.folder / "text.db"
    text.write_text("no database at all, but longer than the header of one" * 30)
    assert "not a Cordboard store" in refused(mover, str(mover.filled), str(text))
    assert "not a Cordboard store" in refused(mover, str(text), mover.empty("file"))


def test_a_name_that_is_no_store_is_refused_by_its_option(mover: Mover) -> None:
    assert "--to: a store is named as" in refused(mover, "filled.db", "mysql://host/db")
    assert "--from: a store is named as" in refused(mover, "", "x.db")
    assert "--to: a PostgreSQL database is named" in refused(mover, "filled.db", "postgresql://h")
    assert not (mover.folder / "mysql:").exists()


def test_no_password_is_ever_shown(mover: Mover) -> None:
    closed = "postgresql://ann:s3cret@127.0.0.1:1/db?sslpassword=s3cret"
    for names in ((str(mover.filled), closed), (closed, "x.db")):
        assert "s3cret" not in refused(mover, *names)


def test_without_a_driver_the_extra_is_named(mover: Mover, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg_pool", None)  # as where it is not installed
    said = refused(mover, str(mover.filled), "postgresql://host/db")
    assert 'Install "cordboard[postgres]"' in said
    assert mover.copy(str(mover.filled), "file.db")[0] == 0


def test_a_process_that_is_read_only_copies_nothing(
    mover: Mover, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CORDBOARD_READ_ONLY", "1")
    assert "READ_ONLY" in refused(mover, str(mover.filled), "x.db")
    assert not (mover.folder / "x.db").exists()


def test_a_journal_that_was_edited_is_not_moved(mover: Mover) -> None:
    asked_of(str(mover.filled), "UPDATE journal SET event = 'x' WHERE seq = 2 AND account = 'acme'")
    said = refused(mover, str(mover.filled), "new.db")
    assert "account acme" in said
    assert "row 2 was edited" in said
    assert not (mover.folder / "new.db").exists()


def test_a_value_that_the_target_cannot_keep_is_told(mover: Mover) -> None:
    asked_of(str(mover.filled), "UPDATE token SET name = 'a' || char(0) || 'b'")
    said = refused(mover, str(mover.filled), mover.empty("database"))
    assert "cannot keep such a value" in said
    assert "Table token" in said


@pytest.mark.skipif(sys.platform != "linux", reason="a limit on files stands for a full disk")
def test_a_full_disk_is_told_and_the_copy_goes_on_afterwards(mover: Mover) -> None:
    import resource

    filled(mover.filled, events=1100)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    try:
        said = refused(mover, str(mover.filled), "full.db")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "full.db cannot be used" in said
    assert "it goes on where it was" in said
    assert mover.copy(str(mover.filled), "full.db")[0] == 0
    assert contents("full.db") == contents(str(mover.filled))


def test_a_bar_shows_the_way_at_a_terminal_alone(mover: Mover) -> None:
    import pexpect

    filled(mover.filled, events=3000)
    command = ["-m", "cordboard", "copy", "--from", str(mover.filled), "--to", "bar.db"]
    terminal = pexpect.spawn(sys.executable, command, timeout=60, encoding="utf-8")
    terminal.expect("copying|verifying")
    terminal.expect("Copied. To use it: CORDBOARD_DATABASE=")
    terminal.close()


def test_each_table_comes_after_those_it_refers_to() -> None:
    seen: set[str] = set()
    for table in TABLES:
        assert isinstance(table, Table)
        assert table.refers <= seen
        seen.add(table.name)

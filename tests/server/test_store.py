"""The embedded store: what it does when it cannot be used, and what the schema holds by itself."""

from __future__ import annotations

import ast
import ctypes
import json
import os
import resource
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import pytest
from filelock import FileLock, Timeout
from tests.exams import stage
from tests.world import (
    EMPTY,
    SEEDS,
    SUPPORT_LINE,
    TEST_ONE,
    Clock,
    Person,
    Reply,
    World,
    Worlds,
    read,
    serve,
)

from cordboard.errors import StoreUnavailable
from cordboard.stores.queries import QUERIES, load_queries
from cordboard.stores.sqlite import SqliteStore

SOURCE = Path(__file__).parents[2] / "server" / "cordboard"
READS: dict[str, dict[str, Any]] = {
    "list_agents": {},
    "list_numbers": {},
    "list_pathways": {},
    "get_number_route": {"number": TEST_ONE},
    "get_plan": {"plan_id": "plan_" + "0" * 24},
    "list_changes": {},
}
WRITES: dict[str, dict[str, Any]] = {
    "attach_numbers": {"agent": "local:support", "numbers": [TEST_ONE]},
    "freeze_changes": {"reason": "drill"},
}


def refused(reply: Reply, *words: str) -> None:
    """The answer is STORE_UNAVAILABLE, with a cause in words, a remedy, and no claim."""
    assert reply.code == "STORE_UNAVAILABLE", reply.text
    assert reply.data == {}
    assert "Nothing was changed." in reply.text
    assert any(word in reply.text for word in words), reply.text
    assert (
        "cordboard doctor`" in reply.text
        or "Start Cordboard" in reply.text
        or ("Update Cordboard" in reply.text)
    ), "a remedy"


# Stores that cannot be used from the start: what lies at the path, and the words of the cause.


def a_folder(path: Path) -> None:
    path.mkdir()


def text(path: Path) -> None:
    path.write_text("Dear diary, today I learned to type.\n" * 200, "utf-8")


def garbage(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 64)


def a_newer_schema(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE schema_version (version BIGINT NOT NULL)")
        db.execute("INSERT INTO schema_version VALUES (999)")


def damaged(path: Path) -> None:
    """Half of its pages overwritten."""
    home = path.parent / "whole"
    home.mkdir()
    shutil.copy(_filled(home), path)
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * (path.stat().st_size - 8192))


def _filled(home: Path) -> Path:
    world = Worlds(home, home)
    path = world(SEEDS).database
    world.close()
    return path


UNUSABLE: dict[Callable[[Path], None], str] = {
    a_folder: "cannot be opened",
    text: "not a Cordboard store",
    garbage: "not a Cordboard store",
    a_newer_schema: "schema 999",
    damaged: "damaged",
}


@pytest.mark.anyio
@pytest.mark.parametrize("tool", [*READS, *WRITES])
@pytest.mark.parametrize("lies_there", UNUSABLE, ids=lambda f: f.__name__)
async def test_what_is_no_store_is_told_and_left_as_it_is(
    tmp_path: Path, lies_there: Callable[[Path], None], tool: str
) -> None:
    path = tmp_path / "cordboard.db"
    lies_there(path)
    before = path.read_bytes() if path.is_file() else b""
    world = World(tmp_path, Clock(), serve(tmp_path, Clock(), "relaxed", {}))
    with anyio.fail_after(30):
        for _ in range(2):  # the second try says the same
            reply = await world.call(tool, **(READS | WRITES)[tool])
            refused(reply, UNUSABLE[lies_there])
        await world.close()
    assert (path.read_bytes() if path.is_file() else b"") == before


@pytest.mark.anyio
@pytest.mark.parametrize("tool", [*READS, *WRITES])
async def test_a_path_through_a_file_is_told(tmp_path: Path, tool: str) -> None:
    (tmp_path / "file").write_text("x", "utf-8")
    home = tmp_path / "file"
    world = World(home, Clock(), serve(home, Clock(), "relaxed", {}))
    refused(await world.call(tool, **(READS | WRITES)[tool]), "cannot be opened", "cannot be used")


@pytest.mark.anyio
async def test_a_folder_that_is_not_there_is_made_and_an_empty_store_says_how_to_fill_it(
    tmp_path: Path,
) -> None:
    home = tmp_path / "new" / "folder"
    world = World(home, Clock(), serve(home, Clock(), "relaxed", {}))
    reply = await world.call("list_numbers")
    assert "cordboard import FILE" in reply.message
    await world.close()


# Stores that go wrong while in use.


@pytest.fixture
def busy(make_world: Worlds) -> World:
    """A relaxed world."""
    return make_world(policy="relaxed")


async def meanwhile(world: World, happens: Callable[[], object], tool: str) -> Reply:
    """What a tool answers a client that used the store before, both ways, when something happened."""
    async with world.client() as client:
        assert not (await client.call_tool("get_number_route", READS["get_number_route"])).is_error
        assert not (await client.call_tool("attach_numbers", WRITES["attach_numbers"])).is_error
        happens()
        return read(await client.call_tool(tool, (READS | WRITES)[tool]))


@pytest.mark.anyio
@pytest.mark.parametrize("tool", [*READS, *WRITES])
async def test_a_store_deleted_while_in_use_is_told_and_not_made_anew(
    busy: World, tool: str
) -> None:
    reply = await meanwhile(busy, busy.database.unlink, tool)
    refused(reply, "was deleted or moved away")
    assert not busy.database.exists()


@pytest.mark.anyio
@pytest.mark.parametrize("tool", [*READS, *WRITES])
async def test_a_store_replaced_while_in_use_is_told_and_left_alone(busy: World, tool: str) -> None:
    other = _filled(busy.home)
    whole = other.read_bytes()
    reply = await meanwhile(busy, lambda: other.replace(busy.database), tool)
    refused(reply, "was replaced")
    assert busy.database.read_bytes() == whole


@pytest.mark.anyio
async def test_a_store_that_another_process_keeps_locked_is_told_in_time(busy: World) -> None:
    before = stage.query(busy.database, "SELECT * FROM journal")
    replies: dict[str, Reply] = {}

    async def ask(world: World, tool: str) -> None:
        replies[tool] = await world.call(tool, **(READS | WRITES)[tool])

    with closing(sqlite3.connect(busy.database, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with anyio.fail_after(30):
            async with anyio.create_task_group() as group:
                for tool in ("freeze_changes", "attach_numbers", "get_number_route"):
                    group.start_soon(ask, busy.another(), tool)
        other.execute("ROLLBACK")
    for reply in replies.values():
        refused(reply, "locked")
    assert stage.query(busy.database, "SELECT * FROM journal") == before
    assert not (await busy.call("attach_numbers", **WRITES["attach_numbers"])).is_error


@pytest.mark.anyio
async def test_a_lock_held_for_a_moment_is_waited_for(busy: World) -> None:
    with closing(
        sqlite3.connect(busy.database, isolation_level=None, check_same_thread=False)
    ) as other:
        other.execute("BEGIN EXCLUSIVE")
        with anyio.fail_after(20):
            async with anyio.create_task_group() as group:
                group.start_soon(anyio.to_thread.run_sync, _release_when_waited_for, other)
                reply = await busy.call("freeze_changes", reason="drill")
    assert reply.status == "frozen"


def _release_when_waited_for(other: sqlite3.Connection) -> None:
    """Let go once the store's file lock is taken, so that somebody is waiting for the other."""
    path = Path(other.execute("PRAGMA database_list").fetchone()[2])
    watch = FileLock(path.with_name(path.name + ".lock"))
    with suppress(Timeout):
        while True:
            watch.acquire(timeout=0)
            watch.release()
    other.execute("ROLLBACK")


# A full disk: a small one where this user may mount one, and a quota on file size anywhere.


@contextmanager
def a_small_disk(home: Path) -> Iterator[None]:
    """A file system of half a megabyte."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", home], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", home], check=True)


@contextmanager
def a_quota(home: Path) -> Iterator[None]:
    """No file of this process may grow beyond 200 kB."""
    del home
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200 * 1024, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def _may_mount() -> bool:
    """Whether this user may mount (root in a container often may not)."""
    script = 'd=$(mktemp -d) && mount -t tmpfs -o size=64k tmpfs "$d" && umount "$d"; r=$?; rmdir "$d"; exit $r'
    return subprocess.run(["sh", "-c", script], capture_output=True, check=False).returncode == 0


LITTLE_ROOM = [a_quota, a_small_disk] if _may_mount() else [a_quota]


@pytest.mark.parametrize("room", LITTLE_ROOM, ids=lambda f: f.__name__)
def test_a_full_disk_is_told_nothing_is_claimed_and_reading_goes_on(
    tmp_path: Path, room: Callable[[Path], Any]
) -> None:
    home = tmp_path / "disk"
    home.mkdir()
    with ExitStack() as stack:
        stack.enter_context(room(home))
        shutil.copy(_filled(tmp_path), home / "cordboard.db")
        world = World(home, Clock(), serve(home, Clock(), "relaxed", {}))
        stack.callback(anyio.run, world.close)
        anyio.run(_fill_up, world)
        stage.audit(world.database)
        assert stage.query(world.database, "PRAGMA integrity_check") == [{"integrity_check": "ok"}]


async def _fill_up(world: World) -> None:
    """Ask for changes until there is no room left; the last word counts, and reads still work."""
    for turn in range(2000):
        before = stage.bindings(world.database)
        action = "detach_numbers" if before else "attach_numbers"
        reply = await world.call(
            action, agent="local:support", numbers=[TEST_ONE], reason=f"{turn} " + "x" * 490
        )
        if not reply.is_error:
            reply = await world.call("apply_plan", plan_id=reply.plan_id)
        if reply.is_error:
            refused(reply, "full", "cannot be used")
            assert stage.bindings(world.database) == before
            break
        assert reply.status == "applied"
    else:
        pytest.fail("the disk was never full")
    assert (await world.call("list_numbers"))["numbers"]
    assert (await stage.verified(world)).fault == ""


# Folders and files that may not be written. Root may write anywhere, so the question is put by a
# process that has given up the right to.

CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, PR_CAPBSET_DROP = 1, 2, 24
ASK = """
import json, sys
from pathlib import Path
import anyio
sys.path.insert(0, sys.argv[1])
from tests.world import Clock, World, serve
async def ask():
    home = Path(sys.argv[2])
    world = World(home, Clock(), serve(home, Clock(), "relaxed", {}))
    told = []
    for tool, arguments in json.loads(sys.argv[3]).items():
        reply = await world.call(tool, **arguments)
        told.append([tool, reply.is_error, reply.text])
    await world.close()
    print(json.dumps(told))
anyio.run(ask)
"""


def _as_anybody() -> None:
    """In a child before it starts: let file modes bind also where it runs as root."""
    if os.geteuid() == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
            if libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0:
                os._exit(77)


def ask_as_anybody(home: Path, calls: dict[str, dict[str, Any]]) -> dict[str, tuple[bool, str]]:
    """What the tools answer in a process that file modes bind."""
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", ASK, root, str(home), json.dumps(calls)],
        preexec_fn=_as_anybody,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {tool: (error, said) for tool, error, said in json.loads(done.stdout)}


def test_in_a_folder_that_may_not_be_written_nothing_is_claimed(tmp_path: Path) -> None:
    home = tmp_path / "locked"
    home.mkdir()
    home.chmod(0o555)
    try:
        told = ask_as_anybody(home, READS | WRITES)
    finally:
        home.chmod(0o755)
    for tool, (error, said) in told.items():
        assert error, f"{tool}: {said}"
        assert said.startswith("STORE_UNAVAILABLE: "), said
        assert "ermission denied" in said or "cannot be opened" in said
    assert list(home.iterdir()) == []


@pytest.mark.parametrize("what", ["folder", "file"])
def test_a_store_that_may_only_be_read_refuses_every_write(tmp_path: Path, what: str) -> None:
    home = tmp_path / "locked"
    home.mkdir()
    path = Path(shutil.copy(_filled(tmp_path), home / "cordboard.db"))
    before = path.read_bytes()
    (home if what == "folder" else path).chmod(0o555 if what == "folder" else 0o444)
    try:
        told = ask_as_anybody(home, WRITES)
    finally:
        home.chmod(0o755)
    for error, said in told.values():
        assert error, said
        assert said.startswith("STORE_UNAVAILABLE: "), said
        assert "read-only" in said or "ermission denied" in said, said
    assert path.read_bytes() == before


# Modes, and the rules that the schema holds by itself.


@pytest.mark.anyio
async def test_store_key_and_lock_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    old = os.umask(0)  # the loosest there is
    try:
        world = World(tmp_path, Clock(), serve(tmp_path, Clock(), "relaxed", {}))
        await world.call("freeze_changes", reason="drill")
        await world.close()
    finally:
        os.umask(old)
    modes = _modes(tmp_path)
    assert modes.pop("cordboard.db") == "0o600"
    assert modes.pop("cordboard.db.key") == "0o600"
    assert set(modes.values()) <= {"0o600"}


def _modes(folder: Path) -> dict[str, str]:
    return {p.name: oct(stat.S_IMODE(p.stat().st_mode)) for p in folder.iterdir()}


def binding(number: str = TEST_ONE, way: str = "inbound", agent: str = "support", account: str = "default",
            pathway: str = "''", version: int = 0, node: str = "''") -> str:  # fmt: skip
    """SQL that binds; strings as they stand in SQL."""
    return (
        "INSERT INTO binding (account, number, direction, agent, pathway_id, pathway_version,"  # noqa: S608
        f" start_node_id, attached_at) VALUES ('{account}', '{number}', '{way}', 'local:{agent}',"
        f" {pathway}, {version}, {node}, 'now')"
    )


def plan(plan_id: str, state: str) -> str:
    """SQL that stores a plan, always for the same request."""
    return (
        "INSERT INTO plan (account, plan_id, ordinal, principal, request_key, state, body, hash,"  # noqa: S608
        f" expires_at) VALUES ('default', '{plan_id}', 1, 'p', 'key', '{state}', '{{}}', 'h', 'x')"
    )


EVENT = "INSERT INTO journal VALUES ('default', 1, 'at', 'e', '', 'p', '', '{}', 'prev', 'hash')"
APPROVAL = (
    "INSERT INTO approval (account, approval_id, plan_id, plan_hash, requester, approver, level,"
    " at, expires_at) VALUES ('default', 'a', 'p', 'h', 'r', 'b', 'person', 'x', 'y')"
)
FORBIDDEN: dict[str, list[str]] = {
    "a second inbound agent": [binding(), binding(agent="sales")],
    "an outbound pair twice": [binding(way="outbound", agent="campaign")] * 2,
    "an agent in the other direction": [binding(agent="campaign")],
    "an agent that is not there": [binding(agent="nobody")],
    "a number that is not there": [binding("+15550000000")],
    "another account's number": [binding(account="other")],
    "a direction that is none": [binding(way="sideways")],
    "a node without a pathway": [binding(node="'node_start'")],
    "a version without a pathway": [binding(version=2)],
    "a negative version": [binding(pathway="'pathway_sales'", version=-1)],
    "a bound number removed": [binding(), "DELETE FROM number"],
    "a bound agent removed": [binding(), "DELETE FROM agent"],
    "a bound agent turned round": [binding(), "UPDATE agent SET direction = 'outbound'"],
    "a purpose that is none": ["UPDATE number SET purpose = 'test'"],
    "two numbers with one slug": ["UPDATE number SET slug = 'same'"],
    "two plans open for one request": [plan("plan_1", "open"), plan("plan_2", "open")],
    "a plan in no known state": [plan("plan_1", "done")],
    "a plan twice": [plan("plan_1", "open"), plan("plan_1", "applied")],
    "a journal row twice": [EVENT, EVENT],
    "an approval twice": [APPROVAL, APPROVAL],
    "version zero of a pathway": [
        "INSERT INTO pathway_version VALUES ('default', 'pathway_sales', 0, '[]')"
    ],
    "a version of no pathway": ["INSERT INTO pathway_version VALUES ('default', 'gone', 1, '[]')"],
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_the_schema_itself_forbids(make_world: Worlds, what: str) -> None:
    *before, last = FORBIDDEN[what]
    with closing(sqlite3.connect(make_world().database)) as db:
        db.execute("PRAGMA foreign_keys=ON")
        for statement in before:
            db.execute(statement)
        with pytest.raises(sqlite3.IntegrityError):
            db.execute(last)


@pytest.mark.anyio
async def test_the_product_itself_has_foreign_keys_on(make_world: Worlds) -> None:
    world = make_world()
    with pytest.raises(sqlite3.IntegrityError):
        await world.put(
            "binding_add", number=TEST_ONE, direction="inbound", agent="local:nobody", at="now",
            pathway_id="", pathway_version=0, start_node_id="",
        )  # fmt: skip


def test_an_outbound_pool_and_two_directions_are_allowed(make_world: Worlds) -> None:
    with closing(sqlite3.connect(make_world().database)) as db:
        db.execute("PRAGMA foreign_keys=ON")
        db.execute(binding())
        for agent in ("campaign", "followup"):
            db.execute(binding(way="outbound", agent=agent))


# Transactions.


@pytest.mark.anyio
async def test_a_write_that_fails_leaves_nothing_behind(make_world: Worlds) -> None:
    world = make_world()

    def work(tx: Any) -> None:
        tx.run("provider_add", account="default", provider="san")
        raise LookupError

    with pytest.raises(LookupError):
        await world.app.store.write(work)
    rows = await world.app.store.read(lambda tx: tx.all("providers", account="default"))
    assert "san" not in [row["provider"] for row in rows]


@pytest.mark.anyio
async def test_a_read_sees_one_state_even_while_another_process_writes(make_world: Worlds) -> None:
    world = make_world(policy="relaxed")
    seen: list[list[str]] = []

    def work(tx: Any) -> None:
        for _ in range(3):
            rows = tx.all("bindings_of", account="default", number=TEST_ONE)
            seen.append([row["agent"] for row in rows])

    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(world.app.store.read, work)
        group.start_soon(world.another().app.store.write, _bind)
    assert all(seen[i] == seen[i + 1] == seen[i + 2] for i in range(0, len(seen), 3))


def _bind(tx: Any) -> None:
    tx.run("binding_add", account="default", number=TEST_ONE, direction="inbound",
           agent="local:support", at="now", pathway_id="", pathway_version=0, start_node_id="")  # fmt: skip


@pytest.mark.anyio
async def test_an_answer_to_a_question_is_refused_when_the_store_is_gone_meanwhile(
    make_world: Worlds,
) -> None:
    world = make_world()

    async def vanish() -> None:
        world.database.unlink()

    person = Person("yes", meanwhile=vanish)
    reply = await world.call(
        "attach_numbers", era="legacy", person=person, agent="local:support", numbers=[SUPPORT_LINE]
    )
    refused(reply, "was deleted")


@pytest.mark.anyio
async def test_a_store_that_was_closed_opens_again(make_world: Worlds) -> None:
    world = make_world(EMPTY)
    await world.app.store.close()
    assert (await world.call("list_numbers"))["numbers"] == []


@pytest.mark.anyio
async def test_the_facts_for_the_doctor_name_engine_place_mode_and_schema(
    make_world: Worlds,
) -> None:
    world = make_world()
    facts = await world.app.store.facts()
    assert facts["place"] == str(world.database)
    assert facts["integrity"] == "ok"
    assert "persist" in facts["journal mode"]
    with pytest.raises(StoreUnavailable):
        await SqliteStore(world.home).facts()


# The statements.


def test_every_statement_is_used_somewhere_and_every_name_used_exists() -> None:
    used = set(_statements_used())
    made = {n for name in used if name.endswith("*") for n in QUERIES if n.startswith(name[:-1])}
    assert {n for n in used if not n.endswith("*")} <= set(QUERIES)
    assert set(QUERIES) - used - made == set()


def _statements_used() -> Iterator[str]:
    """First arguments of the methods of tx; `x*` for f"x{…}"; names in tables and in what is asked."""
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and node.value in QUERIES:
                yield str(node.value)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield from _asked(node)
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            if node.func.attr in ("one", "all", "run", "send", "many") and node.args:
                yield from _name(node.args[0], node.func)


def _asked(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    """Names in pairs ("name", parameters), in a function that gives such or hands them on."""
    calls = [ast.unparse(n.func) for n in ast.walk(function) if isinstance(n, ast.Call)]
    given = function.returns is not None and "Ask" in ast.unparse(function.returns)
    if not given and not any(call in ("tx.prefetch", "found_of") for call in calls):
        return
    for node in ast.walk(function):
        match node:
            case ast.Tuple([ast.Constant(str(name)), ast.Name() | ast.Dict() | ast.BinOp()]):
                yield name


def _name(argument: ast.expr, function: ast.Attribute) -> Iterator[str]:
    if isinstance(function.value, ast.Name) and function.value.id == "tx":
        if isinstance(argument, ast.Constant):
            yield str(argument.value)
        if isinstance(argument, ast.JoinedStr) and isinstance(argument.values[0], ast.Constant):
            yield str(argument.values[0].value) + "*"


def test_every_statement_is_good_sql_for_the_schema(make_world: Worlds) -> None:
    with closing(sqlite3.connect(make_world().database)) as db:
        for name, statement in QUERIES.items():
            try:
                db.execute(f"EXPLAIN {statement.replace('[]', '')}", _anything())
            except sqlite3.Error as exc:
                pytest.fail(f"{name}: {exc}")


class _anything(dict[str, Any]):  # noqa: N801 - a value for every parameter
    def __missing__(self, key: str) -> Any:
        return "x"


def test_names_of_statements_are_taken_from_their_headings() -> None:
    text = "-- heading\n\n-- name: one\nSELECT 1;\n\n-- name: two\nSELECT 2\nFROM x;\n"
    assert load_queries(text) == {"one": "SELECT 1", "two": "SELECT 2\nFROM x"}

"""What an operator meets where the store is a PostgreSQL database: set-up, trouble, the doctor, and
servers that start while it is away. A password is in every URL here, and may be shown nowhere."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import httpx
import psycopg
import pytest
import trustme
from mcp import Client
from mcp_types import InputRequiredResult
from tests.exams.test_stdio import program
from tests.exams.vendor_lanes import until
from tests.exams.wire import wire
from tests.postgres import PrivateServer, private_server
from tests.postgres_programs import run as run_as_server
from tests.web.serving import WRITES, Served, refused, serving
from tests.web.test_serving import halted, workers
from tests.world import (
    SEEDS,
    SUPPORT_LINE,
    TEST_ONE,
    TEST_THREE,
    TEST_TWO,
    Person,
    fill,
    given,
    in_a_loop_of_its_own,
    read,
)

from cordboard.app import build_server
from cordboard.cli.commands import run
from cordboard.cli.doctor.database import _about_engine
from cordboard.clock import system_clock
from cordboard.config import load
from cordboard.stores import SCHEMA_VERSION
from cordboard.stores.postgres import PostgresStore
from cordboard.stores.postgres.operating import Examined, bring_up
from cordboard.tokens import Tokens

Said = pytest.CaptureFixture[str]
README = Path(__file__).parents[2] / "README.md"
SECRET = "canary-5d1c"  # noqa: S105 - of a user that a test makes
ATTACH = {"agent": "local:support", "numbers": [SUPPORT_LINE]}


@dataclass(frozen=True)
class Database:
    """One database. `url`: as the operator names it, with a password; `root`: as its superuser does."""

    server: PrivateServer
    url: str
    root: str

    def run(self, *statements: str) -> list[tuple[Any, ...]]:
        """Statements beside the product; the rows of the last."""
        with psycopg.connect(self.root, autocommit=True) as db:
            for statement in statements:
                cursor = db.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    @property
    def place(self) -> str:
        """As it may be shown."""
        return self.url.replace(f":{SECRET}@", "@")

    def schema(self) -> int:
        return int(self.run("SELECT max(version) FROM schema_version")[0][0])

    def make_older(self) -> None:
        """The database as the version before left it."""
        self.run("DROP TABLE seal_key", "UPDATE schema_version SET version = 3")

    async def token(self) -> str:
        """A new token of alice's."""
        store = PostgresStore(self.root)
        try:
            name = f"token-{os.urandom(4).hex()}"
            return await Tokens(store, system_clock).create(
                "default", name, scopes=WRITES, subject="alice", by="operator"
            )
        finally:
            await store.close()


@contextmanager
def guarded_server(folder: Path) -> Iterator[PrivateServer]:
    """A server that takes the superuser as it is, and asks everybody else for a password."""
    with private_server(folder, fsync=True) as server:
        (server.data / "pg_hba.conf").write_text(
            "host all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
        )
        server.stop()
        server.start()
        made = Database(server, "", server.url("postgres"))
        made.run(f"CREATE ROLE op LOGIN PASSWORD '{SECRET}'")
        yield server


def made(server: PrivateServer) -> Database:
    """A new database of the operator's, without tables."""
    root = server.create()
    database = Database(server, root.replace("postgres@", f"op:{SECRET}@"), root)
    database.run(f"ALTER DATABASE {root.rpartition('/')[2]} OWNER TO op")
    return database


def filled(server: PrivateServer) -> Database:
    """A new database with the seeds in it."""
    database = made(server)

    async def put() -> None:
        store = PostgresStore(database.url)
        await store.migrate()
        await store.write(lambda tx: fill(tx, SEEDS))
        await store.close()

    in_a_loop_of_its_own(put)
    return database


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateServer]:
    with guarded_server(tmp_path_factory.mktemp("operated")) as server:
        yield server


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[PrivateServer]:
    """One that a test stops."""
    with guarded_server(tmp_path) as server:
        yield server


@pytest.fixture
def empty(server: PrivateServer) -> Database:
    return made(server)


@pytest.fixture
def database(server: PrivateServer) -> Database:
    return filled(server)


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of this machine's own settings counts."""
    for name in list(os.environ):
        if name.startswith(("CORDBOARD_", "XDG_", "BLAND_", "SYNTHFLOW_", "UNLEASHX_", "PG")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


Done = subprocess.CompletedProcess[str]


def cordboard(url: str, *arguments: str, **environ: str) -> Done:
    """The real program; whatever it says, it is no traceback and has no password in it."""
    done = subprocess.run(
        [sys.executable, "-m", "cordboard", *arguments],
        env=os.environ | {"CORDBOARD_DATABASE": url} | environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    for said in (done.stdout, done.stderr):
        assert SECRET not in said and "Traceback" not in said, said
    return done


# --- cordboard migrate --------------------------------------------------------------------------


def test_migrate_makes_the_tables_and_the_second_time_finds_nothing_to_do(empty: Database) -> None:
    done = cordboard(empty.url, "migrate")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{empty.place} has its tables now, schema {SCHEMA_VERSION}.\n"
    again = cordboard(empty.url, "migrate")
    assert (again.returncode, again.stderr) == (0, "")
    assert again.stdout == f"{empty.place} has schema {SCHEMA_VERSION}: nothing to do.\n"


def test_migrate_tells_from_which_schema_to_which(database: Database) -> None:
    database.make_older()
    done = cordboard(database.url, "migrate")
    assert done.stdout == f"{database.place} was brought from schema 3 to {SCHEMA_VERSION}.\n"
    assert cordboard(database.url, "numbers").returncode == 0


def test_migrate_check_tells_what_is_to_be_done_and_does_not_do_it(empty: Database) -> None:
    done = cordboard(empty.url, "migrate", "--check")
    assert done.returncode == 1 and "has no tables of Cordboard's" in done.stdout
    cordboard(empty.url, "migrate")
    assert cordboard(empty.url, "migrate", "--check").returncode == 0
    empty.make_older()
    done = cordboard(empty.url, "migrate", "--check")
    assert done.returncode == 1 and "has schema 3: `cordboard migrate`" in done.stdout
    assert empty.schema() == 3


@pytest.mark.parametrize("options", [(), ("--check",)])
def test_migrate_refuses_a_newer_schema(database: Database, options: tuple[str, ...]) -> None:
    database.run("UPDATE schema_version SET version = 99")
    done = cordboard(database.url, "migrate", *options)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"STORE_UNAVAILABLE: The database {database.place} has schema 99; this program knows "
        f"{SCHEMA_VERSION}. Update Cordboard (`uv tool upgrade cordboard`). Nothing was changed.\n"
    )
    assert database.schema() == 99


def test_migrate_of_a_file_says_that_it_goes_by_itself(tmp_path: Path) -> None:
    for options in ((), ("--check",)):
        done = cordboard(str(tmp_path / "store.db"), "migrate", *options)
        assert done.returncode == 0 and "SQLite file" in done.stdout
    assert not (tmp_path / "store.db").exists()


def test_migrate_changes_nothing_in_a_read_only_process(empty: Database) -> None:
    done = cordboard(empty.url, "migrate", CORDBOARD_READ_ONLY="1")
    assert done.returncode == 1 and done.stderr.startswith("READ_ONLY: ")
    assert cordboard(empty.url, "migrate", "--check", CORDBOARD_READ_ONLY="1").returncode == 1


def test_migrate_by_a_user_who_may_make_no_tables_says_who_may(empty: Database) -> None:
    visitor = f"visitor_{os.urandom(4).hex()}"
    empty.run(f"CREATE ROLE {visitor} LOGIN PASSWORD '{SECRET}'")
    done = cordboard(empty.url.replace("op:", f"{visitor}:"), "migrate")
    assert done.returncode == 1
    assert "may not make or change tables" in done.stderr and "owner" in done.stderr


def test_migrate_refuses_a_database_that_cannot_hold_every_name(server: PrivateServer) -> None:
    template = Database(server, "", server.url("postgres"))
    template.run("CREATE DATABASE narrow TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C' OWNER op")
    done = cordboard(server.url("narrow").replace("postgres@", f"op:{SECRET}@"), "migrate")
    assert done.returncode == 1
    assert "encoding LATIN1" in done.stderr and "createdb --encoding UTF8" in done.stderr


def test_eight_that_migrate_at_once_follow_each_other(empty: Database) -> None:
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "cordboard", "migrate"],
            env=os.environ | {"CORDBOARD_DATABASE": empty.url},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(8)
    ]
    told = [process.communicate(timeout=120) for process in started]
    assert [process.returncode for process in started] == [0] * 8, told
    assert sorted("has its tables now" in out for out, _ in told) == [False] * 7 + [True]
    assert empty.run("SELECT version FROM schema_version") == [(SCHEMA_VERSION,)]


@pytest.mark.parametrize("how", ["kill -9", "Ctrl-C", "the server ends it"])
def test_a_migration_that_is_interrupted_leaves_the_old_schema_working(
    database: Database, how: str
) -> None:
    database.make_older()
    waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = "
    waiting += "current_database()"
    with psycopg.connect(database.root) as other:
        other.execute("SELECT version FROM schema_version FOR UPDATE")
        with subprocess.Popen(
            [sys.executable, "-m", "cordboard", "migrate"],
            env=os.environ | {"CORDBOARD_DATABASE": database.url},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            in_a_loop_of_its_own(until, lambda: bool(database.run(waiting)), 60)
            if how == "kill -9":
                process.kill()
            elif how == "Ctrl-C":
                process.send_signal(2)
            else:
                database.run(f"SELECT pg_terminate_backend(({waiting}))")
            out, err = process.communicate(timeout=60)
        assert process.returncode == {"kill -9": -9, "Ctrl-C": 130}.get(how, 1)
        assert SECRET not in out + err and "Traceback" not in err
        if how == "the server ends it":
            assert err.startswith("STORE_UNAVAILABLE: ") and "Nothing was changed." in err
    assert in_a_loop_of_its_own(until, lambda: not database.run(waiting), 60)
    assert database.schema() == 3
    assert database.run("SELECT to_regclass('seal_key')") == [(None,)]
    assert database.run("SELECT count(*) FROM number") == [(len(SEEDS.numbers),)]
    assert "from schema 3" in cordboard(database.url, "migrate").stdout
    assert cordboard(database.url, "numbers").returncode == 0


FOREIGN = {
    "whose version is a text": "CREATE TABLE schema_version (version text); "
    "INSERT INTO schema_version VALUES ('1.2'); CREATE TABLE account (id bigint)",
    "whose version has another name": "CREATE TABLE schema_version (name text, at timestamp); "
    "CREATE TABLE account (id bigint)",
    "with a number of its own": "CREATE TABLE schema_version (version bigint); "
    "INSERT INTO schema_version VALUES (7)",
    "with accounts": "CREATE TABLE account (id bigint)",
    "with another table of ours": "CREATE TABLE binding (id bigint)",
}


@pytest.mark.parametrize("command", ["migrate", "migrate --check", "numbers", "doctor"])
@pytest.mark.parametrize("foreign", FOREIGN)
def test_a_database_of_another_program_is_told_and_left_as_it_is(
    empty: Database, foreign: str, command: str
) -> None:
    empty.run(*FOREIGN[foreign].split("; "), "GRANT ALL ON ALL TABLES IN SCHEMA public TO op")
    there = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1"
    before = empty.run(there)
    done = cordboard(empty.url, *command.split())
    assert done.returncode == 1
    assert empty.run(there) == before
    if foreign == "with another table of ours" and command != "migrate":
        assert "no tables of Cordboard's" in done.stdout + done.stderr
    else:
        assert "is another program's" in done.stdout + done.stderr


def test_a_migration_shuts_writers_out_until_it_is_done(
    database: Database,
) -> None:
    """A row written while a script moves others would stay behind."""
    database.make_older()
    writers = []
    with psycopg.connect(database.root) as other:
        other.execute("SELECT version FROM schema_version FOR UPDATE")  # where it waits at its end
        with subprocess.Popen(
            [sys.executable, "-m", "cordboard", "migrate"],
            env=os.environ | {"CORDBOARD_DATABASE": database.url},
        ) as migration:
            in_a_loop_of_its_own(until, lambda: bool(database.run(WAITING)), 60)
            lock = "LOCK TABLE account IN ROW SHARE MODE NOWAIT"  # which whoever writes takes
            with psycopg.connect(database.root) as writer, suppress(SHUT_OUT):
                writer.execute(lock)
                writers.append(writer)
            other.rollback()
            assert migration.wait(60) == 0
    assert not writers
    assert database.schema() == SCHEMA_VERSION


SHUT_OUT = psycopg.errors.LockNotAvailable
WAITING = (
    "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = "
    "current_database()"
)


@pytest.mark.anyio
async def test_a_migration_whose_end_is_not_known_says_so_and_may_be_run_again(
    server: PrivateServer,
) -> None:
    database = made(server)
    async with wire(database.root) as cable:
        cable.cut = "after"
        told = await anyio.to_thread.run_sync(cordboard, cable.url, "migrate")
        assert told.returncode == 1 and "Nothing was changed" not in told.stderr
        assert "Run the same command again" in told.stderr
        assert told.stderr.endswith("Whether it was changed is not known.\n")
        assert database.schema() == SCHEMA_VERSION
        again = await anyio.to_thread.run_sync(cordboard, cable.url, "migrate")
        assert again.returncode == 0 and "nothing to do" in again.stdout


def test_a_migration_goes_by_what_was_committed_while_it_waited(empty: Database) -> None:
    """Also where the operator has set that transactions see one state and only read."""
    otherwise(empty)
    with psycopg.connect(empty.root) as first:
        first.execute(f"SELECT pg_advisory_xact_lock({0x434F5244})".encode())
        waiting = [
            subprocess.Popen(
                [sys.executable, "-m", "cordboard", "migrate"],
                env=os.environ | {"CORDBOARD_DATABASE": empty.url},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for _ in range(2)
        ]
        in_a_loop_of_its_own(until, lambda: len(empty.run(WAITING)) == 2, 60)
    told = [process.communicate(timeout=60) for process in waiting]
    assert [process.returncode for process in waiting] == [0, 0], told
    assert empty.run("SELECT version FROM schema_version") == [(SCHEMA_VERSION,)]


def otherwise(database: Database) -> None:
    """How transactions begin unless they say it: in a way that ours do not want."""
    name = database.root.rpartition("/")[2]
    database.run(
        f"ALTER DATABASE {name} SET default_transaction_isolation = 'repeatable read'",
        f"ALTER DATABASE {name} SET default_transaction_read_only = on",
    )


@pytest.mark.anyio
async def test_two_servers_race_where_transactions_begin_otherwise_than_by_default(
    database: Database,
) -> None:
    otherwise(database)
    lines = [TEST_ONE, TEST_TWO, TEST_THREE]
    servers = [build_server(load({"CORDBOARD_DATABASE": database.url})) for _ in range(2)]
    done: list[str] = []

    async def attach(server: Any, number: str) -> None:
        async with Client(server, elicitation_callback=Person("yes")) as client:
            asked = {"agent": "local:support", "numbers": [number]}
            told = read(await client.call_tool("attach_numbers", asked))
            if told.status == "confirmation_required":
                plan = {"plan_id": told.plan_id}
                told = read(await client.call_tool("apply_plan", plan))
            done.append(told.status)

    async with anyio.create_task_group() as group:
        for number in lines:
            for server in servers:
                group.start_soon(attach, server, number)
    for server in servers:
        await server.app.store.close()
    assert done.count("applied") >= len(lines), done
    bound = "SELECT number FROM binding WHERE agent = 'local:support' AND number = ANY('{%s}')"
    assert len(database.run(bound % ",".join(lines))) == len(lines)
    assert cordboard(database.url, "journal", "verify").returncode == 0


# --- trouble ------------------------------------------------------------------------------------


def away(database: Database) -> str:
    return database.url.replace(f":{database.server.port}/", ":1/")


def refuses_the_password(database: Database) -> str:
    return database.url.replace(SECRET, f"wrong-{SECRET}")


def refuses_no_password(database: Database) -> str:
    return database.place


def not_there(database: Database) -> str:
    return f"{database.url}_nope"


def asks_for_tls(database: Database) -> str:
    return f"{database.url}?sslmode=verify-full"


def without_tables(database: Database) -> str:
    return made(database.server).url


def older(database: Database) -> str:
    database.make_older()
    return database.url


def newer(database: Database) -> str:
    database.run("UPDATE schema_version SET version = 99")
    return database.url


TROUBLE: dict[Callable[[Database], str], tuple[str, str, str]] = {
    # what is done to it: what every command says, what to do, what the doctor says to do
    away: ("cannot be reached", "cordboard doctor", "Check host and port"),
    refuses_the_password: ("refuses the user or the password", "cordboard doctor", "~/.pgpass"),
    refuses_no_password: ("refuses the user or the password", "cordboard doctor", "~/.pgpass"),
    not_there: ("no database of that name", "cordboard doctor", "createdb"),
    asks_for_tls: ("TLS", "cordboard doctor", "sslmode"),
    without_tables: ("no tables of Cordboard's", "cordboard migrate", "cordboard migrate"),
    older: ("has schema 3", "cordboard migrate", "cordboard migrate"),
    newer: ("has schema 99", "Update Cordboard", "Update Cordboard"),
}
COMMANDS = (
    "numbers", "agents --json", "plans", "journal verify", "journal show", "journal export --head",
    "import inventory.json", "approvers", "tokens", "freeze --reason drill", "reject plan_" + "0" * 24,
    "plans settle plan_" + "0" * 24, "tokens create x --scope numbers:read",
)  # fmt: skip


@pytest.mark.parametrize("trouble", TROUBLE, ids=lambda trouble: trouble.__name__)
def test_every_command_says_in_one_sentence_what_is_wrong_and_what_to_do(
    trouble: Callable[[Database], str],
    database: Database,
    capsys: Said,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    what, remedy, _ = TROUBLE[trouble]
    Path("inventory.json").write_text('{"numbers": [{"number": "+14155551234"}]}')
    url = trouble(database)
    done = cordboard(url, "numbers")
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1 and done.stderr.count("Nothing was changed.") == 1
    monkeypatch.setenv("CORDBOARD_DATABASE", url)
    for command in COMMANDS:
        assert run(command.split()) == 1, command
        out, err = capsys.readouterr()
        assert err.startswith("STORE_UNAVAILABLE: ") and what in err and remedy in err, command
        assert url.rpartition("/")[2].partition("?")[0] in err, "which database"
        assert SECRET not in out + err and len(err.splitlines()) == 1, command


@pytest.mark.parametrize("trouble", TROUBLE, ids=lambda trouble: trouble.__name__)
def test_the_doctor_finds_what_is_wrong_and_does_not_send_the_reader_to_the_doctor(
    trouble: Callable[[Database], str],
    database: Database,
    capsys: Said,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    what, _, remedy = TROUBLE[trouble]
    monkeypatch.setenv("CORDBOARD_DATABASE", trouble(database))
    code, found = examine(capsys)
    assert code == 1
    [bad] = [check for check in found.values() if not check["ok"]]
    assert bad["name"] in ("store", "schema")
    assert what in bad["value"] and remedy in bad["remedy"] and "doctor" not in bad["remedy"]


@pytest.mark.anyio
@pytest.mark.parametrize("trouble", TROUBLE, ids=lambda trouble: trouble.__name__)
async def test_every_tool_says_what_is_wrong_and_no_result_has_the_password(
    trouble: Callable[[Database], str], database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    url = trouble(database)
    server = build_server(load({"CORDBOARD_DATABASE": url}))
    async with Client(server) as client:
        for tool, arguments in (
            ("list_numbers", {}),
            ("get_number_route", {"number": TEST_ONE}),
            ("attach_numbers", {"agent": "local:support", "numbers": [TEST_ONE]}),
            ("freeze_changes", {"reason": "drill"}),
        ):
            reply = read(await client.call_tool(tool, arguments))
            assert reply.code == "STORE_UNAVAILABLE" and TROUBLE[trouble][0] in reply.text
            assert SECRET not in reply.raw.model_dump_json()
    await server.app.store.close()
    assert SECRET not in caplog.text


@pytest.mark.anyio
async def test_a_standby_is_read_and_says_that_it_takes_no_writes(
    own_server: PrivateServer, capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = filled(own_server)
    assert cordboard(database.url, "numbers").returncode == 0  # the key is there
    become_standby(own_server)
    monkeypatch.setenv("CORDBOARD_DATABASE", database.url)
    assert cordboard(database.url, "numbers").returncode == 0
    done = cordboard(database.url, "freeze", "--reason", "drill")
    assert done.returncode == 1 and "takes no writes (is it a standby?)" in done.stderr
    done = cordboard(database.url, "migrate")
    assert done.returncode == 0 and "nothing to do" in done.stdout
    code, found = await anyio.to_thread.run_sync(lambda: examine(capsys))
    assert code == 1 and "target_session_attrs" in found["writable"]["remedy"]
    monkeypatch.setenv("CORDBOARD_READ_ONLY", "1")
    monkeypatch.setenv("CORDBOARD_REPLICA", database.url)
    code, found = await anyio.to_thread.run_sync(lambda: examine(capsys))
    assert code == 0 and found["standby"]["value"] == "yes: it takes no writes"
    assert found["replica"]["value"].startswith(f"{database.place} answers look-ups")


# --- the doctor ---------------------------------------------------------------------------------


def examine(capsys: Said) -> tuple[int, dict[str, Any]]:
    """The exit code, and what was found by name."""
    capsys.readouterr()
    code = run(["doctor", "--json"])
    out, err = capsys.readouterr()
    assert SECRET not in out + err
    told = json.loads(out)
    for check in told["checks"]:
        assert check["ok"] or check["remedy"], f"no remedy: {check}"
    return code, {check["name"]: check for check in told["checks"]}


@pytest.fixture
def looked_at(database: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    """The database that the doctor looks at."""
    monkeypatch.setenv("CORDBOARD_DATABASE", database.url)
    return database


def test_a_database_that_is_well_is_told_with_all_its_facts(
    looked_at: Database, capsys: Said
) -> None:
    code, found = examine(capsys)
    assert code == 0, found
    told = {name: check["value"] for name, check in found.items()}
    assert told["store"] == looked_at.place
    assert told["engine"].startswith("PostgreSQL ")
    assert told["connection"] == "on this machine"
    assert told["durability"] == (
        "yes: on the server's own disk; no standby has to have them (synchronous_standby_names)"
    )
    assert told["schema"] == str(SCHEMA_VERSION)
    assert told["look-ups"].startswith("at most 250 ms older than the newest change anywhere")
    assert (told["rights"], told["writable"]) == ("as they must be", "yes")
    assert told["key"] == "in the database, one for all servers on it"
    assert told["journal"] == "verified, events: 0"
    assert (
        told["inventory"] == f"{len(SEEDS.numbers)} numbers, {len(SEEDS.agents)} agents, 2 pathways"
    )
    assert not {"integrity", "journal mode"} & set(told), "what only a file has"


def test_the_doctor_writes_nothing_but_the_key(looked_at: Database, capsys: Said) -> None:
    examine(capsys)
    written = "SELECT xmin::text, * FROM {}"
    before = [looked_at.run(written.format(name)) for name in ("account", "seal_key", "journal")]
    examine(capsys)
    after = [looked_at.run(written.format(name)) for name in ("account", "seal_key", "journal")]
    assert before == after and looked_at.run("SELECT count(*) FROM seal_key") == [(1,)]


def test_a_server_elsewhere_is_not_told_as_this_machine_however_it_is_named(
    looked_at: Database, capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, port = looked_at.url.rpartition("/")[2], looked_at.server.port
    there = f"host=db.example.com&hostaddr=127.0.0.1&port={port}"
    monkeypatch.setenv("CORDBOARD_DATABASE", f"postgresql://op:{SECRET}@/{name}?{there}")
    told = examine(capsys)[1]["connection"]
    assert "not encrypted" in told["value"] and "sslmode=verify-full" in told["remedy"]
    Path("service.conf").write_text("[elsewhere]\n" + there.replace("&", "\n") + "\n")
    monkeypatch.setenv("PGSERVICEFILE", str(Path("service.conf").absolute()))
    named = f"postgresql://op:{SECRET}@/{name}?service=elsewhere"
    monkeypatch.setenv("CORDBOARD_DATABASE", named)
    assert "not encrypted" in examine(capsys)[1]["connection"]["value"]


def test_an_encrypted_connection_is_told_with_whether_it_is_this_server(
    own_server: PrivateServer, capsys: Said, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_and_cert_chain_pem.write_to_path(own_server.data / "tls.pem")
    owner = own_server.data.stat()
    os.chown(own_server.data / "tls.pem", owner.st_uid, owner.st_gid)
    (own_server.data / "tls.pem").chmod(0o600)
    own_server.settings(ssl="on", ssl_cert_file="tls.pem", ssl_key_file="tls.pem")
    url = filled(own_server).url
    monkeypatch.setenv("CORDBOARD_DATABASE", f"{url}?sslmode=require")
    told = examine(capsys)[1]["connection"]
    assert told["value"] == "TLS; who answers is not checked" and "verify-full" in told["remedy"]
    monkeypatch.setenv("CORDBOARD_DATABASE", url)
    monkeypatch.setenv("PGSSLMODE", "verify-full")
    monkeypatch.setenv("PGSSLROOTCERT", str(tmp_path / "authority.pem"))
    told = examine(capsys)[1]["connection"]
    assert told["value"] == "TLS, and the server's name is checked"


@pytest.mark.parametrize(
    ("minutes", "said"), [(-3, "180 seconds behind"), (3, "180 seconds ahead")]
)
def test_a_database_whose_clock_is_another_is_told(
    looked_at: Database, capsys: Said, minutes: int, said: str
) -> None:
    assert examine(capsys)[1]["clock"]["value"] == "the database's is as this machine's"
    name = looked_at.root.rpartition("/")[2]
    wrong = f"pg_catalog.clock_timestamp() + interval '{minutes} minutes'"
    looked_at.run(
        "CREATE SCHEMA wrong AUTHORIZATION op",
        "CREATE FUNCTION wrong.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS "
        f"$$ SELECT {wrong} $$",
        f"ALTER DATABASE {name} SET search_path = wrong, pg_catalog, public",
    )
    code, found = examine(capsys)
    assert code == 1 and said in found["clock"]["value"]
    assert "synchronised" in found["clock"]["remedy"]


def test_a_server_that_may_lose_what_it_confirmed_is_told(
    looked_at: Database, capsys: Said
) -> None:
    name = looked_at.root.rpartition("/")[2]
    looked_at.run(f"ALTER DATABASE {name} SET synchronous_commit = off")
    code, found = examine(capsys)
    assert code == 1 and "synchronous_commit is off" in found["durability"]["value"]
    looked_at.run(f"ALTER DATABASE {name} SET synchronous_commit = local")
    assert examine(capsys)[0] == 0


def test_fsync_off_is_told(
    own_server: PrivateServer, capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_server.settings(fsync=False)
    monkeypatch.setenv("CORDBOARD_DATABASE", filled(own_server).url)
    code, found = examine(capsys)
    assert code == 1 and "fsync is off" in found["durability"]["value"]
    assert "postgresql.conf" in found["durability"]["remedy"]


def test_standbys_that_must_confirm_are_named(
    own_server: PrivateServer, capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CORDBOARD_DATABASE", filled(own_server).url)
    assert examine(capsys)[0] == 0  # the key is there: nothing is committed from here on
    own_server.settings(synchronous_standby_names="ANY 1 (berlin, oslo)")
    code, found = examine(capsys)
    assert code == 0
    assert found["durability"]["value"] == (
        "yes: on the disks of server and standbys (ANY 1 (berlin, oslo))"
    )


def test_a_user_with_the_rights_that_the_readme_grants_can_do_everything(
    looked_at: Database, capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = f"server_{os.urandom(4).hex()}"
    [rights] = re.findall(
        r"^```sql rights\n(.*?)^```$", README.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    looked_at.run(f"CREATE ROLE {user} LOGIN PASSWORD '{SECRET}'")
    looked_at.run(rights.replace("cordboard_server", user))
    url = looked_at.url.replace("op:", f"{user}:")
    monkeypatch.setenv("CORDBOARD_DATABASE", url)
    code, found = examine(capsys)
    assert code == 0, found
    assert in_a_loop_of_its_own(attached, url) == "applied"
    with (
        psycopg.connect(url) as db,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        db.execute("UPDATE journal SET principal = 'somebody'")
    looked_at.run(f"REVOKE UPDATE ON number FROM {user}", f"REVOKE DELETE ON hold FROM {user}")
    code, found = examine(capsys)
    assert code == 1
    assert found["rights"]["value"] == "this user lacks DELETE on hold, UPDATE on number"
    assert "GRANT UPDATE on number TO" in found["rights"]["remedy"]


async def attached(url: str) -> str:
    """What becomes of an attach."""
    server = build_server(load({"CORDBOARD_DATABASE": url}))
    async with Client(server, elicitation_callback=Person("yes")) as client:
        done = read(await client.call_tool("attach_numbers", ATTACH))
    await server.app.store.close()
    return done.status


def test_a_journal_somebody_changed_is_told(looked_at: Database, capsys: Said) -> None:
    assert in_a_loop_of_its_own(attached, looked_at.url) == "applied"
    assert examine(capsys)[1]["journal"]["value"].startswith("verified, events: ")
    looked_at.run("UPDATE journal SET principal = 'somebody' WHERE seq = 1")
    code, found = examine(capsys)
    assert code == 1 and found["journal"]["value"] == "row 1 was edited"
    done = cordboard(looked_at.url, "journal", "verify")
    assert done.returncode == 1 and "row 1 was edited" in done.stderr


def test_look_ups_that_are_never_remembered_are_told(
    looked_at: Database, capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("config.toml").write_text("remember_seconds = 0\n")
    monkeypatch.setenv("CORDBOARD_CONFIG", "config.toml")
    assert "every time" in examine(capsys)[1]["look-ups"]["value"]


def test_a_replica_that_is_away_or_none_is_told(
    looked_at: Database, capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CORDBOARD_REPLICA", away(looked_at))
    code, found = examine(capsys)
    assert code == 1 and "cannot be reached" in found["replica"]["value"]
    monkeypatch.setenv("CORDBOARD_REPLICA", looked_at.url)
    code, found = examine(capsys)
    assert code == 1 and "is no standby" in found["replica"]["value"]


def test_a_standby_of_another_server_is_told(
    looked_at: Database, tmp_path: Path, capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    with stranger(tmp_path / "stranger") as url:
        monkeypatch.setenv("CORDBOARD_REPLICA", url)
        code, found = examine(capsys)
    assert code == 1 and "is a standby of another server" in found["replica"]["value"]


@contextmanager
def stranger(folder: Path) -> Iterator[str]:
    """A database on a standby of a server that another initdb made."""
    folder.mkdir()
    with private_server(folder) as other:
        other.stop()
        kept = {
            name: (other.data / name).read_text() for name in ("postgresql.conf", "pg_hba.conf")
        }
        run_as_server("rm", "-r", other.data)
        other.run("initdb", "-D", other.data, "-U", "postgres", "--no-locale", "-E", "UTF8")
        for name, text in kept.items():
            (other.data / name).write_text(text)
        other.start()
        url = other.create()
        bring_up(url)
        become_standby(other)
        yield url


def become_standby(server: PrivateServer) -> None:
    """It takes no writes any more, and waits for a primary."""
    server.stop()
    signal = server.data / "standby.signal"
    signal.touch()
    owner = server.data.stat()
    os.chown(signal, owner.st_uid, owner.st_gid)
    server.start()


def test_an_engine_older_than_fifteen_is_told() -> None:
    now = ("on", "", "on", "UTF8", "", True, True, "", ())
    old = Examined("PostgreSQL 14.9", 140009, 4, False, *now)
    told = _about_engine(old)
    assert not told.ok and "15 and newer" in told.remedy


# --- what is shown and written elsewhere --------------------------------------------------------


def test_install_writes_the_database_without_a_password_and_refuses_one_with_it(
    database: Database, tmp_path: Path
) -> None:
    done = cordboard(database.url, "install", "cursor", "--yes")
    assert done.returncode == 2 and ".pgpass" in done.stderr
    assert not (tmp_path / ".cursor").exists()
    done = cordboard(database.place, "install", "cursor", "--yes")
    assert done.returncode == 0, done.stderr
    [entry] = json.loads((tmp_path / ".cursor" / "mcp.json").read_text())["mcpServers"].values()
    assert entry["env"]["CORDBOARD_DATABASE"] == database.place


@pytest.mark.parametrize("name", ["sslpassword", "passw%6Frd", "oauth_client_secret"])
def test_install_refuses_every_parameter_that_is_secret(
    database: Database, tmp_path: Path, name: str
) -> None:
    done = cordboard(f"{database.place}?{name}={SECRET}", "install", "cursor", "--yes")
    assert done.returncode == 2
    assert not (tmp_path / ".cursor").exists()


def test_the_password_may_come_from_the_environment_or_a_file(
    database: Database, tmp_path: Path
) -> None:
    assert cordboard(database.place, "numbers", PGPASSWORD=SECRET).returncode == 0
    file = tmp_path / ".pgpass"
    file.write_text(f"127.0.0.1:*:*:op:{SECRET}\n")
    file.chmod(0o600)
    assert cordboard(database.place, "numbers", PGPASSFILE=str(file)).returncode == 0


@pytest.mark.anyio
async def test_a_result_names_the_command_with_the_database_and_without_the_password(
    database: Database,
) -> None:
    server = build_server(load({"CORDBOARD_DATABASE": database.url}))
    async with Client(server) as client:
        planned = read(await client.call_tool("attach_numbers", ATTACH))
    await server.app.store.close()
    assert planned.status == "awaiting_approval"
    assert f"CORDBOARD_DATABASE={database.place} cordboard approve" in planned.raw.model_dump_json()
    assert SECRET not in planned.raw.model_dump_json()


# --- servers ------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_a_server_on_stdio_starts_without_the_database_and_works_once_it_is_there(
    own_server: PrivateServer, tmp_path: Path
) -> None:
    database = filled(own_server)
    own_server.stop()
    async with program(tmp_path / "none", CORDBOARD_DATABASE=database.url) as line:
        for _ in range(2):
            answer = (await line.ask("tools/call", name="list_numbers", arguments={}))["result"]
            said = answer["content"][0]["text"]
            assert answer["isError"] and "cannot be reached" in said and SECRET not in said
            await anyio.to_thread.run_sync(own_server.start)
            found = await line.call("list_numbers")
            assert len(found["numbers"]) == len(SEEDS.numbers)
            await anyio.to_thread.run_sync(own_server.stop)
        assert await line.hang_up() == 0
        logged = line.logged()
    assert SECRET not in "".join(logged) and not any("psycopg" in one for one in logged)
    assert len(logged) == 1 and "cannot be reached" in logged[0]  # at its start; no driver's words


@asynccontextmanager
async def served(database: Database, *options: str) -> AsyncIterator[Served]:
    """`serve --http` on the database, under the standard policy."""
    environ = {"CORDBOARD_DATABASE": database.url, "CORDBOARD_POLICY": "standard"}
    async with serving(Path("none"), *options, environ=environ) as server:
        yield server
        assert SECRET not in "".join(server.said)


async def ask(server: Served, token: str) -> InputRequiredResult:
    """The question that an attach is answered by."""
    async with server.client(token, person=Person()) as call:
        asked = await call.connected.session.call_tool(
            "attach_numbers", ATTACH, allow_input_required=True
        )
    assert isinstance(asked, InputRequiredResult)
    return asked


async def answer(server: Served, token: str, asked: InputRequiredResult) -> str:
    """What a yes to that question comes to."""
    async with server.client(token, person=Person()) as call:
        done = await call.connected.session.call_tool(
            "attach_numbers",
            ATTACH,
            input_responses=dict.fromkeys(asked.input_requests or {}, given("yes")),
            request_state=asked.request_state,
        )
    return read(done).status


@pytest.mark.anyio
async def test_a_question_asked_by_one_server_is_answered_at_another(database: Database) -> None:
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(served(database))
        other = await stack.enter_async_context(served(database))
        token = await database.token()
        assert await answer(other, token, await ask(one, token)) == "applied"


@pytest.mark.anyio
async def test_a_question_asked_by_one_worker_is_answered_at_another(database: Database) -> None:
    async with served(database, "--workers", "2") as server:
        assert server.said[2].startswith(
            f"Clients need a token: `CORDBOARD_DATABASE={database.place} cordboard tokens create"
        )
        one, other = await workers(server, 2)
        token = await database.token()
        async with halted(other):
            asked = await ask(server, token)
        async with halted(one):
            assert await answer(server, token, asked) == "applied"


async def status(http: httpx.AsyncClient, path: str) -> tuple[int, Mapping[str, Any]]:
    got = await http.get(path)
    return got.status_code, got.json()


@pytest.mark.anyio
async def test_a_server_without_its_database_is_alive_and_not_ready_until_it_is_back(
    own_server: PrivateServer,
) -> None:
    database = filled(own_server)
    async with served(database) as server, server.http() as http:
        assert await status(http, "/readyz") == (200, {"status": "ready"})
        await anyio.to_thread.run_sync(own_server.stop)
        assert await status(http, "/readyz") == (503, {"status": "store unavailable"})
        assert (await status(http, "/healthz"))[0] == 200
        await anyio.to_thread.run_sync(own_server.start)
        assert await status(http, "/readyz") == (200, {"status": "ready"})
        assert server.logged == []


@pytest.mark.anyio
async def test_a_server_on_the_network_does_not_start_without_the_key_that_it_shares(
    database: Database,
) -> None:
    environ = {"CORDBOARD_DATABASE": away(database)}
    code, said = await refused(Path("none"), environ=environ)
    assert code == 1
    [line] = said
    assert line.startswith("STORE_UNAVAILABLE: ") and "cannot be reached" in line
    assert SECRET not in line

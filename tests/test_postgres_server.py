"""The PostgreSQL of the tests does what they rely on: see postgres.py."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from tests.postgres import PostgresServer, private_server, shared_server

ROOT = Path(__file__).parents[1]


def ask(url: str, statement: str) -> str:
    """The only value that a statement gives."""
    with psycopg.connect(url) as db:
        row = db.execute(statement.encode()).fetchone()
    assert row and len(row) == 1
    return str(row[0])


def execute(url: str, statement: str) -> None:
    with psycopg.connect(url) as db:
        db.execute(statement.encode())


def test_a_fresh_database_is_empty_and_takes_every_character(postgres: PostgresServer) -> None:
    url = postgres.create()

    assert int(ask(url, "SHOW server_version_num")) >= 150_000
    assert ask(url, "SHOW server_encoding") == "UTF8"
    assert ask(url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == "0"
    postgres.drop(url)


def test_a_database_holds_what_its_template_held(postgres: PostgresServer) -> None:
    template = postgres.create()
    execute(template, "CREATE TABLE filled AS SELECT generate_series(1, 1000)")

    copy = postgres.create(template)
    execute(copy, "DELETE FROM filled")

    assert ask(copy, "SELECT count(*) FROM filled") == "0"
    assert ask(template, "SELECT count(*) FROM filled") == "1000"
    postgres.drop(copy)
    postgres.drop(template)


def test_a_database_is_dropped_while_somebody_is_connected(postgres: PostgresServer) -> None:
    url = postgres.create()
    with psycopg.connect(url):
        postgres.drop(url)

    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        psycopg.connect(url)


def test_what_was_committed_outlives_a_kill_of_the_server(tmp_path: Path) -> None:
    with private_server(tmp_path, fsync=True) as server:
        url = server.create()
        execute(url, "CREATE TABLE kept AS SELECT 1 AS one")
        with psycopg.connect(url) as cut:
            cut.execute("INSERT INTO kept VALUES (2)")
            server.kill()
            with pytest.raises(psycopg.OperationalError):
                cut.commit()

        server.kill()  # what is down may be killed again
        server.start()

        assert ask(url, "SELECT count(*) FROM kept") == "1"
        assert "was not properly shut down" in server.log.read_text("utf-8")


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_stopped_server_starts_again_at_its_address(tmp_path: Path, mode: str) -> None:
    with private_server(tmp_path) as server:
        url = server.create()
        server.stop("fast" if mode == "fast" else "immediate")
        with pytest.raises(psycopg.OperationalError, match="refused"):
            psycopg.connect(url)

        server.start()

        assert ask(url, "SELECT 1") == "1"


def test_settings_hold_from_the_start_and_after_a_change(tmp_path: Path) -> None:
    with private_server(tmp_path, max_connections=20) as server:
        url = server.url("postgres")
        assert (ask(url, "SHOW max_connections"), ask(url, "SHOW fsync")) == ("20", "off")

        server.settings(fsync=True, application_name="Ada's")

        assert (ask(url, "SHOW max_connections"), ask(url, "SHOW fsync")) == ("20", "on")


def test_the_server_is_also_reached_through_its_socket(tmp_path: Path) -> None:
    with private_server(tmp_path) as server:
        url = f"postgresql://postgres@/postgres?host={server.sockets}&port={server.port}"

        assert ask(url, "SELECT inet_client_addr() IS NULL") == "True"


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    with (
        pytest.raises(RuntimeError, match='unrecognized configuration parameter "colour"'),
        private_server(tmp_path, colour="red"),
    ):
        pass


def old_programs(folder: Path) -> Path:
    """Programs that say they are PostgreSQL 14."""
    program = folder / "bin" / "postgres"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\necho 'postgres (PostgreSQL) 14.19'\n", "utf-8")
    program.chmod(0o755)
    return program.parent


def test_without_a_server_a_test_is_skipped_and_fails_in_ci(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    too_old = r"postgres \(PostgreSQL\) 14.19 is too old: PostgreSQL 15 or newer is needed"
    programs = old_programs(tmp_path / "old")

    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match=too_old), private_server(tmp_path, programs):
        pass
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match=too_old), private_server(tmp_path, programs):
        pass


def test_a_given_server_is_used_and_left_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    databases = "SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database"
    with private_server(tmp_path) as server:
        own = server.url("postgres")
        execute(own, "CREATE ROLE maker LOGIN CREATEDB")
        given = own.replace("postgres@", "maker:unread@")
        monkeypatch.setenv("CORDBOARD_TEST_POSTGRES", given)
        with shared_server() as shared:
            made = shared.create(shared.create())
            assert ask(made, "SELECT current_user::text") == "maker"
            assert ask(own, databases).count("cordboard_test_") == 2

        assert ask(own, databases) == "postgres template0 template1"


def test_a_given_server_is_refused_without_showing_the_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with private_server(tmp_path) as server:
        execute(server.url("postgres"), "CREATE ROLE guest LOGIN")
        where = f"127.0.0.1:{server.port}/postgres"
        refused = {
            f"postgresql://guest:s3cret@{where}": "its role may not make databases",
            f"postgresql://nobody:s3cret@{where}": "the server cannot be reached",
            f"postgresql://guest:s3cret@{where}?s3cret=1": "no URL that PostgreSQL understands",
            "host=127.0.0.1 password=s3cret": "no URL like postgresql://",
        }
        for url, why in refused.items():
            monkeypatch.setenv("CORDBOARD_TEST_POSTGRES", url)
            with pytest.raises(pytest.fail.Exception, match=why) as failed, shared_server():
                pass
            assert "s3cret" not in str(failed.value)
            assert not failed.value.pytrace, "a trace shows arguments"


# Tells where the data is and which processes it started, as a test run that is about to be killed.
RUN = """
import json, os, pathlib, sys
from tests.postgres import private_server
from tests.postgres_programs import children_of
with private_server(pathlib.Path(sys.argv[1])) as server:
    started = children_of(os.getpid())
    print(json.dumps([str(server.data), started]), flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_server_outlives_the_tests_however_they_end(tmp_path: Path, how: signal.Signals) -> None:
    command = [sys.executable, "-c", RUN, str(tmp_path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=ROOT
    ) as tests:
        assert tests.stdout
        data, started = json.loads(tests.stdout.readline())
        assert Path(data).is_dir() and len(started) >= 2
        ends = select.poll()
        living = {os.pidfd_open(pid) for pid in started}
        for child in living:
            ends.register(child, select.POLLIN)
        tests.send_signal(how)
        while living:
            ended = {child for child, _ in ends.poll(30_000)}
            assert ended, "what the tests started lives on"
            for child in ended:
                ends.unregister(child)
                os.close(child)
            living -= ended

    assert not Path(data).exists()

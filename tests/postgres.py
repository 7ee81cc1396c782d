"""A real PostgreSQL for the tests, without any set-up of the system: one server for a session, and
private ones for tests that kill or reconfigure theirs.

`CORDBOARD_TEST_POSTGRES` names a server to use for the session. Without it one is started, from the
wheel of the dev group or else from Debian's packages.
"""

from __future__ import annotations

import ctypes
import os
import re
import secrets
import select
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Literal, NoReturn

import psycopg
import pytest
from psycopg import sql
from tests.postgres_programs import (
    OLDEST,
    ROLE,
    NoServer,
    as_server,
    binaries,
    children_of,
    debian_binaries,
    free_port,
    fresh_cluster,
    run,
    usable,
    workplace,
)

__all__ = ["PostgresServer", "PrivateServer", "debian_binaries", "private_server", "shared_server"]

_VARIABLE = "CORDBOARD_TEST_POSTGRES"
_URL = re.compile(r"(postgres(?:ql)?://[^/?]*)(?:/([^?]*))?")
_SECONDS = 60  # to start or to stop: much more than it takes
_STOPS = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}


class PostgresServer:
    """A server on which tests make databases. `address`: the URL of a database it already has."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._made: set[str] = set()

    def url(self, database: str) -> str:
        """The URL of a database by its name."""
        return _URL.sub(rf"\1/{database}", self._address, count=1)

    def create(self, template: str | None = None) -> str:
        """Make a database, empty or as the one whose URL `template` is; its URL.

        Raises: psycopg.Error, also while somebody is connected to the template.
        """
        name = f"cordboard_test_{secrets.token_hex(6)}"
        source = _database(template) if template else "template0"
        make = sql.SQL("CREATE DATABASE {} TEMPLATE {} ENCODING 'UTF8'")
        self._execute(make.format(sql.Identifier(name), sql.Identifier(source)))
        self._made.add(name)
        return self.url(name)

    def drop(self, url: str) -> None:
        """Remove a database, also while somebody is connected."""
        name = _database(url)
        self._execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
        self._made.discard(name)

    def close(self) -> None:
        """Remove the databases that were made here and are still there."""
        for name in sorted(self._made):
            self.drop(self.url(name))

    def _execute(self, statement: sql.Composed) -> None:
        with psycopg.connect(self._address, autocommit=True) as db:
            db.execute(statement)


class PrivateServer(PostgresServer):
    """A server this process starts, on loopback TCP and on a Unix socket. Everybody is trusted.

    Its address stays, however often it is stopped, killed and started. Raises: NoServer.
    """

    def __init__(self, programs: Path, log: Path | None = None) -> None:
        self.programs = usable(programs)
        cluster = fresh_cluster(self.programs)
        self._work = workplace()
        self.sockets = self._work.path
        self.data = self._work.path / "data"
        self.log = log or self._work.path / "log"
        self.port = free_port()
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._listens = False
        super().__init__(f"postgresql://{ROLE}@127.0.0.1:{self.port}/postgres")
        run("cp", "-a", cluster, self.data)
        # Else a killed server leaves its shared memory outside of the folder.
        self.settings(dynamic_shared_memory_type="mmap")

    def start(self) -> None:
        """Returns when it takes connections. Raises: NoServer with the end of its log."""
        where = ("-D", self.data, "-h", "127.0.0.1", "-p", str(self.port), "-k", self.sockets)
        process = self._process = subprocess.Popen(
            (self.programs / "postgres", *where), stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace",
            start_new_session=True, **as_server(),
        )  # fmt: skip
        self._work.runs(process.pid)
        told = threading.Event()
        self._reader = threading.Thread(target=self._follow, args=(process, told), daemon=True)
        self._reader.start()
        told.wait(_SECONDS)
        if not self._listens:
            process.kill()
            self._ended()
            last = "\n".join(self.log.read_text("utf-8").splitlines()[-20:])
            raise NoServer(f"PostgreSQL did not start. The end of its log:\n{last}")

    def stop(self, mode: Literal["smart", "fast", "immediate"] = "fast") -> None:
        """Stop it as `pg_ctl -m MODE` does: smart waits for clients, immediate leaves a recovery."""
        if self._process:
            self._process.send_signal(_STOPS[mode])
            self._ended()

    def kill(self) -> None:
        """SIGKILL for the server and all its children at one moment; returns when all are gone."""
        if not (process := self._process) or process.poll() is not None:
            self.stop()  # it is down already
            return
        process.send_signal(signal.SIGSTOP)  # so that it starts no child that would be missed
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        with ExitStack() as opened:
            children = [os.pidfd_open(child) for child in children_of(process.pid)]
            ends = select.poll()
            for child in children:
                opened.callback(os.close, child)
                ends.register(child, select.POLLIN)
                signal.pidfd_send_signal(child, signal.SIGKILL)
            process.kill()
            self._ended()
            for _ in children:  # as long as one lives, the data cannot be served again
                ended = ends.poll(_SECONDS * 1000)
                assert ended, "a child of the killed server lives on"
                ends.unregister(ended[0][0])

    def settings(self, **values: object) -> None:
        """Set what postgresql.conf sets: `fsync=True, max_connections=20`. Restarts what runs."""
        with (self.data / "postgresql.conf").open("a", encoding="utf-8") as conf:
            for name, value in values.items():
                quoted = str(value).replace("'", "''")
                conf.write(f"{name} = '{quoted}'\n")
        if self._process:
            self.stop()
            self.start()

    def run(self, program: str, *arguments: str | Path) -> str:
        """Run one of PostgreSQL's programs as the server's user; what it printed."""
        return run(self.programs / program, *arguments)

    def close(self) -> None:
        """Stop it and remove what it wrote, save a log that is kept elsewhere."""
        self.stop("immediate")
        _forget_memory(self.data / "postmaster.pid")
        self._work.close()

    def _follow(self, process: subprocess.Popen[str], told: threading.Event) -> None:
        """Write its log; tell when it takes connections, or has ended."""
        assert process.stderr
        with self.log.open("a", encoding="utf-8") as log:
            for line in process.stderr:
                log.write(line)
                log.flush()
                if "database system is ready to accept" in line:
                    self._listens = True
                    told.set()
        told.set()

    def _ended(self) -> None:
        assert self._process and self._process.stderr and self._reader
        self._process.wait(_SECONDS)
        self._reader.join(_SECONDS)
        self._process.stderr.close()
        self._process, self._listens = None, False
        self._work.runs(0)


@contextmanager
def shared_server() -> Iterator[PostgresServer]:
    """The server of a test session. Without one a test is skipped, and fails in CI."""
    with ExitStack() as opened:
        if given := os.environ.get(_VARIABLE, ""):
            yield opened.enter_context(closing(_given(given)))
            return
        try:
            own = opened.enter_context(closing(PrivateServer(binaries())))
            own.settings(fsync=False)
            own.start()
        except NoServer as exc:
            _missing(exc)
        yield own


@contextmanager
def private_server(
    tmp: Path, programs: Path | None = None, **settings: object
) -> Iterator[PrivateServer]:
    """A server of one test's own, to be killed and reconfigured. `tmp` keeps its postgres.log."""
    try:
        server = PrivateServer(programs or binaries(), tmp / "postgres.log")
    except NoServer as exc:
        _missing(exc)
    with closing(server):
        server.settings(**{"fsync": False, **settings})
        server.start()
        yield server


def _missing(why: NoServer) -> NoReturn:
    told = f"PostgreSQL cannot be tested: {why}"
    if os.environ.get("CI"):
        _fail(told)
    pytest.skip(told)


def _fail(why: str) -> NoReturn:
    pytest.fail(why, pytrace=False)  # a trace would show arguments, a URL with its password too


def _given(url: str) -> PostgresServer:
    """The server that a URL names. Its text is not shown: it may hold a password."""
    asked = "SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user"
    if not _URL.match(url):
        _fail(f"{_VARIABLE} is no URL like postgresql://USER@HOST:PORT/postgres")
    try:
        with psycopg.connect(url, connect_timeout=10) as db:
            version, row = db.info.server_version, db.execute(asked).fetchone()
    except psycopg.OperationalError as exc:
        _fail(f"{_VARIABLE}: the server cannot be reached: {exc}")
    except psycopg.Error:
        _fail(f"{_VARIABLE} is no URL that PostgreSQL understands")
    if version < OLDEST * 10_000:
        _fail(f"{_VARIABLE}: its server is too old, PostgreSQL {OLDEST} or newer is needed")
    if not (row and row[0]):
        _fail(f"{_VARIABLE}: its role may not make databases: ALTER ROLE … CREATEDB")
    return PostgresServer(url)


def _database(url: str) -> str:
    match = _URL.match(url)
    assert match and match[2], "not the URL of a database"
    return match[2]


def _forget_memory(pidfile: Path) -> None:
    """A killed server leaves a segment of shared memory in the system: its key and id in line 7."""
    told = pidfile.read_text("utf-8").splitlines() if pidfile.exists() else []
    if len(told) > 6:
        ctypes.CDLL(None).shmctl(int(told[6].split()[1]), 0, None)  # 0: IPC_RMID

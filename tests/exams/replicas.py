"""A PostgreSQL primary with a streaming replica: to be killed, promoted, stopped and paused."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
from tests.postgres import PrivateServer, debian_binaries, private_server
from tests.postgres_programs import ROLE, children_of

_REPLICA = "replica"


class Pair:
    """Both servers. Commits at the primary wait for nobody until `synchronous` is called."""

    def __init__(self, primary: PrivateServer, replica: PrivateServer) -> None:
        self.primary, self.replica = primary, replica

    def either(self, url: str) -> str:
        """The URL of a database at whichever server takes writes."""
        hosts = f"127.0.0.1:{self.primary.port},127.0.0.1:{self.replica.port}"
        there = url.replace(f"127.0.0.1:{self.primary.port}", hosts)
        return f"{there}?target_session_attrs=read-write"

    def at_replica(self, url: str) -> str:
        """The URL of a database at the replica."""
        return url.replace(f":{self.primary.port}/", f":{self.replica.port}/")

    def synchronous(self, commit: str = "remote_apply") -> None:
        """Let commits wait for the replica. `commit`: PostgreSQL's synchronous_commit."""
        self._set("synchronous_commit", commit)
        self._set("synchronous_standby_names", _REPLICA)
        with psycopg.connect(self.primary.url("postgres"), autocommit=True) as db:
            states: list[tuple[str]] = []
            while states != [("sync",)]:
                states = db.execute("SELECT sync_state FROM pg_stat_replication").fetchall()

    def _set(self, name: str, value: str) -> None:
        with psycopg.connect(self.primary.url("postgres"), autocommit=True) as db:
            db.execute(f"ALTER SYSTEM SET {name} = '{value}'".encode())
            db.execute("SELECT pg_reload_conf()")

    def promote(self) -> None:
        """Make the replica a primary; returns when it takes writes."""
        self.replica.run("pg_ctl", "-D", self.replica.data, "-w", "promote")

    def replay(self, *, goes_on: bool) -> None:
        """Stop or resume applying what the replica receives."""
        does = "resume" if goes_on else "pause"
        with psycopg.connect(self.replica.url("postgres"), autocommit=True) as db:
            db.execute(f"SELECT pg_wal_replay_{does}()".encode())

    def caught_up(self) -> None:
        """Returns when the replica has applied all that is in the primary."""
        with (
            psycopg.connect(self.primary.url("postgres"), autocommit=True) as primary,
            psycopg.connect(self.replica.url("postgres"), autocommit=True) as replica,
        ):
            end = primary.execute("SELECT pg_current_wal_lsn()::text").fetchone()
            behind: tuple[bool] | None = (True,)
            while behind != (False,):
                behind = replica.execute(
                    "SELECT pg_last_wal_replay_lsn() < %s::pg_lsn FROM pg_sleep(0.01)", end
                ).fetchone()


@contextmanager
def pair(tmp: Path) -> Iterator[Pair]:
    """A primary and its replica, in step. `tmp` keeps the logs."""
    with (
        private_server(tmp, debian_binaries(), wal_level="replica") as primary,
        closing(PrivateServer(primary.programs, tmp / "replica.log")) as replica,
    ):
        shutil.rmtree(replica.data)
        source = f"host=127.0.0.1 port={primary.port} user={ROLE} application_name={_REPLICA}"
        primary.run(
                "pg_basebackup", "-d", source, "-D", replica.data, "-R", "-X", "stream",
                "-C", "-S", _REPLICA, "--checkpoint=fast", "--no-sync",
            )  # fmt: skip
        replica.start()
        yield Pair(primary, replica)


@contextmanager
def frozen(server: PrivateServer) -> Iterator[None]:
    """Meanwhile a server stands still: connections stand, and nobody answers."""
    pidfile = (server.data / "postmaster.pid").read_text("utf-8")
    main = int(pidfile.splitlines()[0])
    processes = [main, *children_of(main)]
    for process in processes:
        os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            os.kill(process, signal.SIGCONT)

"""Opening the file: made readable by its owner only, migrated under the lock, watched while open."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cordboard.errors import StoreUnavailable
from cordboard.stores import BEING_COPIED, SCHEMA_VERSION, half_copied
from cordboard.stores.scripts import statements
from cordboard.stores.sqlite.faults import LOCK_SECONDS

_POLL_SECONDS = 0.005
_JOURNAL_BYTES = 4 * 1024 * 1024


class StoreFile:
    """One SQLite file and the lock file beside it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._inode: tuple[int, int] | None = None
        self._lock = -1
        self._depth = 0
        self._turn = threading.RLock()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock file beside the store; waits its turn, not for ever.

        Raises: TimeoutError. One descriptor is kept open: opening it anew costs a tenth of a commit.
        """
        from filelock import unlock_descriptor  # not at import: it would cost every start 25 ms

        with self._turn:
            if self._depth == 0:
                self._take()
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
                if self._depth == 0:
                    unlock_descriptor(self._lock)

    def _take(self) -> None:
        from filelock import lock_descriptor

        if self._lock < 0:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            beside = self.path.with_name(self.path.name + ".lock")
            self._lock = os.open(beside, os.O_CREAT | os.O_RDWR, 0o600)
        deadline = time.monotonic() + LOCK_SECONDS
        while not lock_descriptor(self._lock, blocking=False):
            if time.monotonic() > deadline:
                raise TimeoutError
            time.sleep(_POLL_SECONDS)

    def still_there(self) -> None:
        """Raises: StoreUnavailable when the file is no longer the one that was opened."""
        if self._inode is not None and self._inode != _inode(self.path):
            gone = "was replaced" if self.path.exists() else "was deleted or moved away"
            raise StoreUnavailable(
                f"The store {self.path} {gone} while in use.", "Start Cordboard again."
            )

    def forget(self) -> None:
        """Nothing is open any more: whatever is there next is opened anew."""
        self._inode = None
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def connect(self, busy_seconds: float) -> sqlite3.Connection:
        """A connection to the store, made and migrated first where needed; under the lock then.

        Raises: StoreUnavailable for a store that is not ours, or of a newer schema.
        """
        if not self.path.exists():
            with self.locked():
                self._create()
        connection = _connect(self.path, busy_seconds)
        try:
            if _version(connection) < SCHEMA_VERSION:
                with self.locked():
                    self._migrate(connection)
            self.known(connection)
            _settle(connection)
        except BaseException:
            connection.close()
            raise
        self._inode = _inode(self.path)
        return connection

    def known(self, connection: sqlite3.Connection) -> None:
        """Raises: StoreUnavailable for a file that is not ours, or of a schema we do not know.

        Asked at every write too: another process may have migrated the store meanwhile.
        """
        try:
            row = connection.execute("SELECT max(version) FROM schema_version").fetchone()
        except sqlite3.OperationalError as exc:
            if "no such table" not in str(exc):
                raise
            raise StoreUnavailable(
                f"The file {self.path} is another program's database.",
                "Set CORDBOARD_DATABASE to a path of its own.",
            ) from None
        if row[0] > BEING_COPIED:
            raise half_copied(f"The store {self.path}")
        if row[0] != SCHEMA_VERSION:
            raise StoreUnavailable(
                f"The store {self.path} has schema {row[0]}; this program knows {SCHEMA_VERSION}.",
                "Update Cordboard (`uv tool upgrade cordboard`).",
            )

    def _create(self) -> None:
        """An empty file only its owner may read: it holds numbers and passphrase hashes."""
        if not self.path.exists():
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))

    def _migrate(self, connection: sqlite3.Connection) -> None:
        """Bring the file to the newest schema in one transaction: an end halfway leaves the old one."""
        _settle(connection)
        connection.execute("BEGIN IMMEDIATE")
        try:
            there = _version(connection)
            if there < SCHEMA_VERSION:
                for statement in statements(there):
                    connection.execute(_dense(statement))
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def _connect(path: Path, busy_seconds: float) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path,
        timeout=busy_seconds,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
    )
    connection.row_factory = sqlite3.Row
    return connection


def _settle(connection: sqlite3.Connection) -> None:
    """Our settings; only for a file known to be ours, because a journal mode can stay in it."""
    connection.execute("PRAGMA journal_mode=PERSIST")
    connection.execute(f"PRAGMA journal_size_limit={_JOURNAL_BYTES}")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("PRAGMA cache_size=-2000")
    # A long write stays in memory until its commit, and does not shut readers out before.
    connection.execute("PRAGMA cache_spill=OFF")


def _dense(statement: str) -> str:
    """Tables kept in the order of their keys: a commit writes half the pages (SQLite only)."""
    is_keyed = statement.startswith("CREATE TABLE") and "PRIMARY KEY" in statement
    return f"{statement} WITHOUT ROWID" if is_keyed else statement


def _version(connection: sqlite3.Connection) -> int:
    """The schema of the file: 0 without any table (new, or its maker died before its first commit).

    A file without our version table is another program's: SCHEMA_VERSION, so that nobody migrates it.
    """
    if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        return 0
    ours = connection.execute(
        "SELECT 1 FROM sqlite_master WHERE name = 'schema_version'"
    ).fetchone()
    if ours is None:
        return SCHEMA_VERSION
    newest = connection.execute("SELECT max(version) FROM schema_version").fetchone()[0]
    return SCHEMA_VERSION if newest is None else int(newest)


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_dev, stat.st_ino

"""Which state of the file is in force, told without SQLite's locks: what was read from it may then
be remembered, and is never told once something else is committed, by whichever process.

SQLite counts its commits in the file's header, and trusts the pages it remembers as long as those
16 bytes stay; so do we. A version seen while a read has the file locked is that of what it reads.

A new version may be of a commit that is not in force yet: its writer shuts readers out until it is,
for two syncs of the disk. Every writer first notes beside the store which version it starts from.
Whoever finds the file shut and that note there knows that this version is still in force: it is
taken back as soon as the commit is done.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

_HEADER = (22, 18)
"""How many bytes of the header, and from where: two that tell the journal mode, and at 24 the
change counter with what SQLite compares beside it (sqlite.org/fileformat2.html, section 1.3)."""
_ROLLBACK_JOURNAL = b"\x01\x01"
_NOTE_BYTES = 22


class FileVersions:
    """The versions of one store file. Nothing is told, and so nothing remembered, where the engine
    does not count (a write-ahead log) or the system cannot read at a place (Windows)."""

    _open: ClassVar[dict[tuple[int, int], list[int]]] = {}
    """Descriptor and users by file. Closing any descriptor of a file drops all locks that this
    process has on it, SQLite's too (POSIX): only the last store here that has it open closes it."""
    _opening: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, path: Path, beside: Path) -> None:
        """`beside`: the file that the writers' note is kept in."""
        self._path, self._beside = path, beside
        self._file: tuple[int, int] | None = None
        self._header = self._note = -1

    def open(self) -> None:
        """Begin to watch the file, which is there."""
        if self._header >= 0 or not hasattr(os, "pread"):
            return
        with self._opening:
            found = self._path.stat()
            self._file = (found.st_dev, found.st_ino)
            shared = self._open.get(self._file)
            if shared is None:
                shared = self._open[self._file] = [os.open(self._path, os.O_RDONLY), 0]
            shared[1] += 1
            self._header = shared[0]

    def close(self) -> None:
        """Let go of the file; after every connection to it was closed."""
        if self._note >= 0:
            os.close(self._note)
        if self._file is not None:
            with self._opening:
                shared = self._open[self._file]
                shared[1] -= 1
                if not shared[1]:
                    os.close(shared[0])
                    del self._open[self._file]
        self._file, self._header, self._note = None, -1, -1

    def now(self) -> bytes:
        """The version in the file: in force, or about to be; b"" where it cannot be told."""
        if self._header < 0:
            return b""
        found = os.pread(self._header, *_HEADER)
        return found if found.startswith(_ROLLBACK_JOURNAL) else b""

    def note(self) -> None:
        """A writer tells which version it starts from. Within its transaction, before any commit."""
        if self._opened(os.O_RDWR | os.O_CREAT) and (version := self.now()):
            os.pwrite(self._note, version, 0)

    def take_back(self) -> None:
        """That writer is done: its note says no more what is in force. Before its lock is let go."""
        if self._note >= 0:
            os.pwrite(self._note, bytes(_NOTE_BYTES), 0)

    def noted(self) -> bytes:
        """The version that the writer at work started from; b"" where there is none."""
        found = os.pread(self._note, _NOTE_BYTES, 0) if self._opened(os.O_RDWR) else b""
        return found if any(found) else b""

    def _opened(self, flags: int) -> bool:
        if self._note < 0 and self._header >= 0:
            with suppress(OSError):
                self._note = os.open(self._beside, flags, 0o600)
        return self._note >= 0

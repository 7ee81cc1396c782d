"""Reading on the event loop: look-ups by key in microseconds, and what they found before.

To begin to read costs SQLite a dozen system calls. What is looked up in one turn of the loop shares
one beginning, therefore, which ends with the turn. That is no older state: as long as it lasts no
commit of anybody ends, and whoever asks in this turn had asked before it began.

A commit keeps readers out of the file for two syncs of the disk. Whoever reads on the event loop
looks again every millisecond; what was remembered of the state in force is told meanwhile.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, cast

import anyio

from cordboard.stores import T
from cordboard.stores.sqlite.faults import is_busy
from cordboard.stores.sqlite.opening import StoreFile
from cordboard.stores.sqlite.transaction import SqliteTransaction
from cordboard.stores.sqlite.versions import FileVersions

_BUSY_SECONDS = 5.0
"""While it connects; then it waits for nobody."""
_LOOKS, _LOOK_SECONDS = 100, 0.001
"""How often, and how far apart, it is looked whether a commit is over."""
_MOST_REMEMBERED = 10_000
_Kept = tuple[bytes, Any]
"""What was found, and behind the version of the file that it was found in."""


class Looks:
    """The reader on the event loop. `read`: reads in a thread, and opens the store where needed."""

    def __init__(
        self,
        file: StoreFile,
        versions: FileVersions,
        read: Callable[[Callable[[SqliteTransaction], Any]], Awaitable[Any]],
    ) -> None:
        self._file, self._versions, self._read = file, versions, read
        self._connection: sqlite3.Connection | None = None
        self._remembered: OrderedDict[Hashable, _Kept] = OrderedDict()
        self._looking: SqliteTransaction | None = None
        self._moment: bytes | None = None
        self._ending = False

    @property
    def is_open(self) -> bool:
        return self._connection is not None

    def open(self) -> None:
        """Connect to the store."""
        connection = self._file.connect(_BUSY_SECONDS)
        connection.execute("PRAGMA busy_timeout=0")
        self._versions.open()
        self._connection = connection

    def close(self) -> None:
        """Let go of the connection, and forget everything."""
        self._end()
        if self._connection is not None:
            self._connection.close()
        self._connection = None
        self._remembered.clear()

    def moment(self) -> bytes:
        """As `Store.moment`: the version of the file."""
        if self._moment is None:
            self._file.still_there()
            self._moment = self._versions.now()
            self._end_soon()
        return self._moment

    def kept(self, key: Hashable, moment: bytes) -> Any:
        """As `Store.kept`."""
        kept = self._remembered.get(key)
        return kept[1] if kept is not None and kept[0] == moment else None

    async def recall(self, key: Hashable, work: Callable[[SqliteTransaction], T]) -> T:
        """As `Store.recall`."""
        kept = self._remembered.get(key)
        if kept is not None and kept[0] == self.moment():
            return cast(T, kept[1])

        def noticing(tx: SqliteTransaction) -> T:
            found = work(tx)
            # Of what was just read: as long as this look lasts, nobody writes the file.
            self._moment = self._versions.now()
            if found is not None and self._moment:
                self._remember(key, self._moment, found)
            return found

        return await self.soon(noticing, work, kept)

    async def soon(
        self,
        work: Callable[[SqliteTransaction], T],
        otherwise: Callable[[SqliteTransaction], T],
        kept: _Kept | None = None,
    ) -> T:
        """Read on the event loop; `otherwise`: in a thread, once a writer takes long, and for any
        trouble to be told. While a commit shuts readers out, `kept` is told if still in force."""
        if self._connection is None:
            await self._read(lambda _: None)  # opens it
        for _ in range(_LOOKS):
            if self._connection is None:
                break
            try:
                return work(self._looked(self._connection))
            except sqlite3.Error as exc:
                self._end()
                if not is_busy(exc):
                    break
            if kept is not None and kept[0] == self._versions.noted():
                return cast(T, kept[1])
            await anyio.sleep(_LOOK_SECONDS)
        return cast(T, await self._read(otherwise))

    def _looked(self, connection: sqlite3.Connection) -> SqliteTransaction:
        """The look of this turn of the loop."""
        if self._looking is None:
            self._file.still_there()
            connection.execute("BEGIN")
            self._looking = SqliteTransaction(connection)
            self._end_soon()
        return self._looking

    def _end_soon(self) -> None:
        if not self._ending:
            self._ending = True
            asyncio.get_running_loop().call_soon(self._end)

    def _end(self) -> None:
        self._ending, self._looking, self._moment = False, None, None
        if self._connection is not None and self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def _remember(self, key: Hashable, version: bytes, found: Any) -> None:
        if key not in self._remembered and len(self._remembered) >= _MOST_REMEMBERED:
            self._remembered.popitem(last=False)
        self._remembered[key] = (version, found)

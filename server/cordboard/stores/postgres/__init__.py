"""The store of many machines: a PostgreSQL database, 15 or newer, also behind a transaction pooler.

Whole transactions run in worker threads over a pool of connections: as quick as an asynchronous
driver where every transaction is several statements, and never torn by a cancelled call. Nothing is
kept in a session: no setting, no lock, no listening, so whoever stands between may hand each
transaction to another server process.

Writes are READ COMMITTED behind the lock of the account's head row; reads see one snapshot.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from contextlib import suppress
from functools import partial
from typing import Any

import anyio.lowlevel
import anyio.to_thread
import psycopg

from cordboard.stores import T
from cordboard.stores.postgres.asking import More, Questions
from cordboard.stores.postgres.connecting import MOST, Connections
from cordboard.stores.postgres.faults import told
from cordboard.stores.postgres.migrating import migrate, version
from cordboard.stores.postgres.recalling import Recall
from cordboard.stores.postgres.running import Runner
from cordboard.stores.postgres.transaction import PostgresTransaction
from cordboard.stores.postgres.turns import Turns

BOUND_SECONDS = 0.25
"""How old a look-up may be told, unless it is said otherwise."""
_PATIENCE_SECONDS = 10.0
_LONGEST_SECONDS = 60.0
_ANALYZED = ("number", "binding", "agent", "plan", "plan_change", "journal", "account")


class PostgresStore:
    """A store in one database. Connected at first use; `migrate` makes its tables.

    `bound_seconds`: how old `recall` may tell what it remembers; 0: not at all. `replica`: the URL
    of a standby that look-ups may be read from within that bound. `most`: connections to each.
    `patience_seconds`: how long another's change of the same account, a commit, a locked table, and
    the answer to a look-up are waited for. `longest_seconds`: what one statement may take that reads
    much.
    """

    one_clock = False

    def __init__(
        self,
        url: str,
        *,
        replica: str = "",
        bound_seconds: float = BOUND_SECONDS,
        most: int = MOST,
        patience_seconds: float = _PATIENCE_SECONDS,
        longest_seconds: float = _LONGEST_SECONDS,
    ) -> None:
        def runner(there: str) -> Runner:
            return Runner(Connections(there, most), patience_seconds, longest_seconds)

        self._runner, self._replica = runner(url), runner(replica) if replica else None
        self._questions = Questions(
            self._runner.connections, patience_seconds, dates=bool(bound_seconds)
        )
        self._turns = anyio.lowlevel.RunVar[Turns]("turns")
        self._new_turns = partial(Turns, max(1, most // 2), patience_seconds)
        self._recall = Recall(self._runner, self._replica, self._questions, bound_seconds)
        self.bound_seconds = bound_seconds

    @property
    def place(self) -> str:
        """The database, as it may be shown."""
        return self._runner.place

    async def read(self, work: Callable[[PostgresTransaction], T]) -> T:
        return await anyio.to_thread.run_sync(self._runner.read, work)

    async def glance(self, work: Callable[[PostgresTransaction], T]) -> T:
        if self._runner.is_known:
            with suppress(More, psycopg.Error):  # which is tried again, and told, in a thread
                return await self._questions.glance(work)
        return await self.read(work)

    async def recall(self, key: Hashable, work: Callable[[PostgresTransaction], T]) -> T:
        return await self._recall(key, work)

    def moment(self) -> bytes:
        return b"now"

    def kept(self, key: Hashable, moment: bytes) -> Any:
        return self._recall.memory.get(key) if moment else None

    async def write(self, work: Callable[[PostgresTransaction], T]) -> T:
        with told(self.place):
            return await self._writers().run(partial(self._runner.write, work))

    def _writers(self) -> Turns:
        """Those of the event loop in use."""
        try:
            return self._turns.get()
        except LookupError:
            turns = self._new_turns()
            self._turns.set(turns)
            return turns

    async def facts(self) -> dict[str, str]:
        def look() -> dict[str, str]:
            with told(self.place), self._runner.connections.one(_LONGEST_SECONDS) as connection:
                row = connection.execute("SHOW server_version").fetchone()
                found = version(connection)
            engine = f"PostgreSQL {row['server_version'] if row else '?'}"
            return {"engine": engine, "place": self.place, "schema": str(found)}

        return await anyio.to_thread.run_sync(look)

    async def optimize(self) -> None:
        def work() -> None:
            with told(self.place), self._runner.connections.one() as connection:
                connection.execute(f"ANALYZE {', '.join(_ANALYZED)}".encode())

        await anyio.to_thread.run_sync(work)

    async def close(self) -> None:
        self._recall.memory.clear()
        await self._questions.close()
        for runner in (self._runner, self._replica):
            if runner is not None:
                await anyio.to_thread.run_sync(runner.connections.close)

    async def migrate(self) -> tuple[int, int]:
        """Bring the database to this program's schema: the version it had, and the one it has.

        Raises: StoreUnavailable; the old schema works on then.
        """

        def work() -> tuple[int, int]:
            with told(self.place), self._runner.connections.direct() as connection:
                return migrate(connection)

        return await anyio.to_thread.run_sync(work)

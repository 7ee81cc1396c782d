"""The mark of a store that is being filled: no program uses it before it is whole.

Until the end its schema number is one that no program knows, this one included, and a table tells
from where it is filled and by which run. Making the tables aside, mark and mark's end are one
transaction each: whoever looks finds an empty store, a marked one, or the whole.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from cordboard.errors import StoreUnavailable
from cordboard.stores import BEING_COPIED, SCHEMA_VERSION
from cordboard.stores.copying.sides import Run, Side, Table

_MARK = BEING_COPIED + SCHEMA_VERSION


class Mark:
    """The mark on a target, and this run's right to fill it, which the newest run has."""

    def __init__(self, target: Side) -> None:
        self._target = target
        self._run = secrets.token_hex(8)
        self.fresh = False
        """Whether it was set just now: the target is empty."""

    def set(self, source: str, tables: Sequence[Table]) -> bool:
        """Mark an empty target, or take over a copy that was begun; False where it is in use.

        Raises: StoreUnavailable for a copy of another store, or a schema that is not this program's.
        """
        found = self._target.schema()
        if found == _MARK:
            self._target.alone()
            self._take_over(source)
            return True
        if found not in (0, SCHEMA_VERSION):
            raise _wrong_schema(self._target.place, found)
        if found == 0:
            self._target.make()
        with self._target.transaction() as run:
            run("UPDATE schema_version SET version = version")  # locks it: two at once follow
            if run("SELECT version FROM schema_version") != [(SCHEMA_VERSION,)]:
                raise _begun(self._target.place)
            if any(run(f"SELECT 1 FROM {table.name} LIMIT 1") for table in tables):  # noqa: S608 - our names
                return False
            self._target.alone()
            run("CREATE TABLE copying (source TEXT NOT NULL, run TEXT NOT NULL)")
            run("INSERT INTO copying VALUES (:source, :run)", source=source, run=self._run)
            run("UPDATE schema_version SET version = :version", version=_MARK)
        self.fresh = True
        return True

    def hold(self, run: Run) -> None:
        """Called in every transaction that writes. Raises: StoreUnavailable once another run began."""
        if run("SELECT version FROM schema_version") == [(_MARK,)]:
            run("UPDATE copying SET run = :run WHERE run = :run", run=self._run)  # locks the row
            if run("SELECT 1 FROM copying WHERE run = :run", run=self._run):
                return
        raise StoreUnavailable(f"Another `cordboard copy` took {self._target.place} over.")

    def lift(self) -> None:
        """The store is whole: from now on it is used."""
        with self._target.transaction() as run:
            self.hold(run)
            run("DROP TABLE copying")
            run("UPDATE schema_version SET version = :version", version=SCHEMA_VERSION)

    def _take_over(self, source: str) -> None:
        with self._target.transaction() as run:
            begun = [row[0] for row in run("SELECT source FROM copying")]
            if begun != [source]:
                raise StoreUnavailable(
                    f"A copy into {self._target.place} was begun from {', '.join(begun)}.",
                    "Finish that one by the command it was begun with, or name an empty target.",
                )
            run("UPDATE copying SET run = :run", run=self._run)


def _begun(place: str) -> StoreUnavailable:
    return StoreUnavailable(
        f"Another `cordboard copy` began to fill {place} at the same moment.",
        "Let that one come to its end; or end it, and run this one again.",
    )


def _wrong_schema(place: str, found: int) -> StoreUnavailable:
    what = f"The target {place} has schema {found}; this program knows {SCHEMA_VERSION}."
    if found > BEING_COPIED:
        what = f"Another version of Cordboard began a copy into {place}."
        return StoreUnavailable(what, "Finish it with that version, or name an empty target.")
    if found > SCHEMA_VERSION:
        return StoreUnavailable(what, "Update Cordboard (`uv tool upgrade cordboard`).")
    return StoreUnavailable(what, "Name an empty target.")

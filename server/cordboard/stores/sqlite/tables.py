"""The tables that the schema makes, read from its own text: none of them can be forgotten."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from graphlib import TopologicalSorter

from cordboard.stores.copying.sides import Table
from cordboard.stores.scripts import statements


def schema_tables() -> tuple[Table, ...]:
    """Every table, after those that its rows refer to."""
    with closing(sqlite3.connect(":memory:")) as db:
        for statement in statements(0):
            db.execute(statement)
        names = db.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name <> 'schema_version' "
            "ORDER BY name"
        )
        found = {name: _table(db, name) for (name,) in names.fetchall()}
    order = TopologicalSorter({name: sorted(table.refers) for name, table in found.items()})
    return tuple(found[name] for name in order.static_order())


def _table(db: sqlite3.Connection, name: str) -> Table:
    columns = db.execute(f"PRAGMA table_info({name})").fetchall()
    keyed = sorted((place, column) for _, column, _, _, _, place in columns if place)
    refers = {row[2] for row in db.execute(f"PRAGMA foreign_key_list({name})")}
    return Table(
        name,
        columns=tuple(column for _, column, *_ in columns),
        types=tuple(kind for _, _, kind, *_ in columns),
        key=tuple(column for _, column in keyed),
        refers=frozenset(refers),
    )

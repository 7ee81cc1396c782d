"""The statements of queries.sql as psycopg takes them, and which of them load rows in bulk."""

from __future__ import annotations

import re
from dataclasses import dataclass

from cordboard.stores.queries import QUERIES

_PARTS = re.compile(r"('[^']*')|IN \(:(\w+)\[\]\)|(?<!:):(\w+)|(%)")
_INSERT = re.compile(
    r"INSERT INTO (\w+) \(([\w,\s]+)\)\s*VALUES \(((?::\w+|'[^']*'|[,\s])+)\)", re.ASCII
)


def translated(text: str) -> str:
    """`:name` as `%(name)s`, `IN (:name[])` as `= ANY(%(name)s)`; no comments, `%` doubled."""
    bare = "\n".join(line.partition("--")[0] for line in text.splitlines())

    def part(found: re.Match[str]) -> str:
        literal, several, one, _ = found.groups()
        if literal:
            return literal.replace("%", "%%")
        if several:
            return f"= ANY(%({several})s)"
        return f"%({one})s" if one else "%%"

    return _PARTS.sub(part, bare).strip()


@dataclass(frozen=True, slots=True)
class Load:
    """A plain insert: what COPY writes, and where each column's value comes from.

    `values`: the name of a parameter, or a text that is the same in every row.
    """

    command: str
    values: tuple[tuple[bool, str], ...]

    def row(self, given: object) -> tuple[object, ...]:
        """The row that the parameters of one execution make."""
        if not isinstance(given, dict):
            raise TypeError("parameters by name")
        return tuple(given[value] if named else value for named, value in self.values)


def load(text: str) -> Load | None:
    """The bulk form of an insert whose values are parameters and texts; None for another statement."""
    found = _INSERT.fullmatch(text.strip())
    if found is None:
        return None
    table, columns, values = found.groups()
    each = [value.strip() for value in values.split(",")]
    kept = tuple((v.startswith(":"), v[1:] if v.startswith(":") else v[1:-1]) for v in each)
    return Load(f"COPY {table} ({' '.join(columns.split())}) FROM STDIN", kept)


def dated(text: str) -> str:
    """A statement whose rows also tell how far the account's changes have come, in the same snapshot,
    as `_state`: "SEQ HEAD". One statement and not two, so it needs no transaction around it."""
    state = "SELECT CAST(seq AS TEXT) || ' ' || head FROM account WHERE account = %(account)s"
    return f"SELECT ({state}) AS _state, told.* FROM ({text}) AS told"  # noqa: S608 - our texts


STATEMENTS = {name: translated(text) for name, text in QUERIES.items()}
DATED = {name: dated(text) for name, text in STATEMENTS.items() if text.startswith("SELECT")}
LISTS = frozenset(name for name, text in QUERIES.items() if "[])" in text)
"""Statements that take a list. They are planned anew each time: a plan that was kept from when a table
was empty goes through all of it for each of thousands of texts."""
LOADS = {name: bulk for name, text in QUERIES.items() if (bulk := load(text)) is not None}

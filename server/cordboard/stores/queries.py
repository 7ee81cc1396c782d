"""The statements of queries.sql, by name; one text for every engine."""

from __future__ import annotations

from importlib.resources import files


def load_queries(text: str) -> dict[str, str]:
    """Statements by name from a file of `-- name: x` headings, each followed by its statement."""
    found: dict[str, str] = {}
    for part in text.split("-- name: ")[1:]:
        name, _, statement = part.partition("\n")
        found[name.strip()] = statement.strip().rstrip(";")
    return found


QUERIES = load_queries((files("cordboard.stores") / "queries.sql").read_text("utf-8"))

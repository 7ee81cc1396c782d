"""The scripts of schema/, one statement at a time: what brings a store to the newest schema."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files

from cordboard.stores import SCHEMA_VERSION


def statements(there: int) -> Iterator[str]:
    """From version `there` (0: nothing) to the newest, the number in `schema_version` included.

    Without comments; no string in ours holds a semicolon.
    """
    for number in range(there + 1, SCHEMA_VERSION + 1):
        script = files("cordboard.stores") / "schema" / f"{number}.sql"
        lines = script.read_text("utf-8").splitlines()
        bare = "\n".join(line.partition("--")[0] for line in lines)
        yield from (s for s in (part.strip() for part in bare.split(";")) if s)
    if there:
        yield f"UPDATE schema_version SET version = {SCHEMA_VERSION}"  # noqa: S608 - our number
    else:
        yield "CREATE TABLE schema_version (version BIGINT NOT NULL)"
        yield f"INSERT INTO schema_version VALUES ({SCHEMA_VERSION})"  # noqa: S608 - our number

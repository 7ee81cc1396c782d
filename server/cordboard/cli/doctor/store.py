"""What `cordboard doctor` tells of the store: here of a SQLite file, see `database` for PostgreSQL."""

from __future__ import annotations

import shutil
import stat
import sys
from pathlib import Path

from cordboard.app import App, build
from cordboard.cli.doctor.contents import about_contents, about_writing
from cordboard.cli.doctor.finding import Finding, line, wrong
from cordboard.config import Settings
from cordboard.errors import CordboardError

_FEW_BYTES = 8 * 1024 * 1024
_WHY_ROLLBACK = (
    "; not WAL, because a SQLite before 3.51.3 can corrupt a WAL that several processes write"
)


async def about_store(settings: Settings) -> list[Finding]:
    """Whether it is there, well, and writable, and what stands in it. Makes none."""
    if settings.postgres:
        from cordboard.cli.doctor.database import about_database

        return await about_database(settings)
    place = settings.database
    try:
        there = place.exists()
    except (OSError, ValueError) as exc:
        return [Finding("store", line(f"{place}: {exc}"), ok=False, remedy="Check the path.")]
    if not there:
        remedy = "`cordboard import FILE` makes it; or set CORDBOARD_DATABASE to where yours is."
        return [Finding("store", line(f"{place} is not there"), ok=False, remedy=remedy)]
    app = build(settings)
    found: list[Finding] = []
    if not settings.read_only:
        found.append(_about_key(place))
    try:
        try:
            facts = await app.store.facts()
        except CordboardError as exc:
            return [*found, wrong("store", exc)]
        found += _about_facts(facts)
        if not settings.read_only:
            found.append(await _about_disk(app))
        try:
            found += await about_contents(app)
        except CordboardError as exc:
            found.append(wrong("contents", exc))
    finally:
        await app.store.close()
    return found


def _about_key(store: Path) -> Finding:
    """The key seals cursors and questions; whoever reads it can forge those."""
    path = store.with_name(store.name + ".key")
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        path.read_bytes()
    except OSError as exc:
        why = f"{path}: {exc.strerror or exc}"
        remedy = "Make the store's folder writable, or the file readable, for this user."
        return Finding("key", line(why), ok=False, remedy=remedy)
    if mode & 0o077 and sys.platform != "win32":
        why, remedy = f"{path} can be read by others", f"chmod 600 '{path}'"
        return Finding("key", line(why), ok=False, remedy=line(remedy))
    return Finding("key", line(str(path)))


def _about_facts(facts: dict[str, str]) -> list[Finding]:
    found = []
    for name, value in facts.items():
        if name == "integrity" and value != "ok":
            remedy = "Stop every Cordboard on it, keep the file, and put a copy in its place."
            found.append(Finding(name, line(value), ok=False, remedy=remedy))
        elif name == "journal mode":
            why = _WHY_ROLLBACK if "rollback" in value else ""
            found.append(Finding(name, line(value) + why))
        else:
            found.append(Finding("store" if name == "place" else name, line(value)))
    return found


async def _about_disk(app: App) -> Finding:
    """Whether it can be written; a trial write that is taken back does not show a full disk."""
    free = shutil.disk_usage(app.settings.database.parent).free
    if free < _FEW_BYTES:
        remedy = "Make room on the disk that holds the store."
        return Finding("writable", f"{free // 1024} kB free on the disk", ok=False, remedy=remedy)
    try:
        return await about_writing(app)
    except CordboardError as exc:
        return wrong("writable", exc)

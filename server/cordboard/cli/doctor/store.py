"""What `cordboard doctor` tells of the store and of what stands in it."""

from __future__ import annotations

import shutil
import stat
import sys
from pathlib import Path

from cordboard import journal
from cordboard.app import App, build
from cordboard.cli.doctor.finding import Finding, line, wrong
from cordboard.clock import stamp
from cordboard.config import Settings
from cordboard.display import quoted, shown
from cordboard.errors import CordboardError
from cordboard.stores import Transaction

_ENROL = "`cordboard approvers add NAME` at a terminal"
_FEW_BYTES = 8 * 1024 * 1024
_WHY_ROLLBACK = (
    "; not WAL, because a SQLite before 3.51.3 can corrupt a WAL that several processes write"
)


class _Undone(Exception):
    """Raised to roll a trial write back."""


async def about_store(settings: Settings) -> list[Finding]:
    """Whether it is there, well, and writable, and what stands in it. Makes none."""
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
            found.append(await _about_writing(app))
        try:
            report = await journal.verify_in_pages(app.store, settings.account)
            found += await app.store.read(lambda tx: _about_contents(tx, app, report))
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


async def _about_writing(app: App) -> Finding:
    """Try a write, and take it back; a rolled-back write does not show a full disk."""
    free = shutil.disk_usage(app.settings.database.parent).free
    if free < _FEW_BYTES:
        remedy = "Make room on the disk that holds the store."
        return Finding("writable", f"{free // 1024} kB free on the disk", ok=False, remedy=remedy)

    def trial(tx: Transaction) -> None:
        tx.run("account_lock", account=app.settings.account, head=journal.GENESIS)
        raise _Undone

    try:
        await app.store.write(trial)
    except _Undone:
        return Finding("writable", "yes")
    except CordboardError as exc:
        return wrong("writable", exc)
    return Finding("writable", "no answer", ok=False)


def _about_contents(tx: Transaction, app: App, report: journal.Report) -> list[Finding]:
    account = app.settings.account
    state = tx.one("account_get", account=account)
    frozen = state is not None and state["frozen_at"]
    said = "no"
    if state and frozen:
        said = f"since {state['frozen_at']} by {shown(state['frozen_by'])}, reason given: "
        said += quoted(state["frozen_reason"])
    return [
        _about_journal(report),
        Finding("frozen", said, remedy="`cordboard unfreeze` lifts it." if frozen else ""),
        _about_approvers(tx, account),
        *_about_inventory(tx, app),
    ]


def _about_journal(report: journal.Report) -> Finding:
    if not report.fault:
        return Finding("journal", f"verified, events: {report.checked}")
    remedy = (
        "Somebody changed the record: keep the file, and compare `cordboard journal export` with "
        "a copy kept elsewhere."
    )
    return Finding("journal", report.fault, ok=False, remedy=remedy)


def _about_approvers(tx: Transaction, account: str) -> Finding:
    names = [row["name"] for row in tx.all("approvers", account=account)]
    if names:
        return Finding("approvers", shown(", ".join(names)))
    return Finding("approvers", "nobody is enrolled yet", remedy=f"{_ENROL} enrols one.")


def _about_inventory(tx: Transaction, app: App) -> list[Finding]:
    account = app.settings.account
    counted = tx.one("number_count", account=account)
    numbers = counted["found"] if counted else 0
    agents = _count(tx, "agents_page", account, "agent")
    pathways = _count(tx, "pathways_page", account, "pathway_id")
    providers = ", ".join(row["provider"] for row in tx.all("providers", account=account))
    waiting = len(tx.all("plans_waiting", **_waiting(app)))
    empty = "" if numbers else "The store is empty: `cordboard import FILE` fills it."
    return [
        Finding(
            "inventory", f"{numbers} numbers, {agents} agents, {pathways} pathways", True, empty
        ),
        Finding("providers", providers or "none"),
        Finding("open plans", f"{waiting}" if waiting < _WAITING_MOST else f"{waiting} or more"),
    ]


_WAITING_MOST = 100


def _waiting(app: App) -> dict[str, object]:
    now = stamp(app.clock())
    account = app.settings.account
    return {"account": account, "now": now, "before": 1 << 62, "limit": _WAITING_MOST}


def _count(tx: Transaction, query: str, account: str, key: str) -> int:
    found, after = 0, ""
    while page := tx.all(query, account=account, query="", after=after, limit=1000):
        found += len(page)
        after = page[-1][key]
    return found

"""What `cordboard doctor` tells of what stands in a store, whichever engine it is."""

from __future__ import annotations

from cordboard import journal
from cordboard.app import App
from cordboard.cli.doctor.finding import Finding
from cordboard.clock import stamp
from cordboard.display import quoted, shown
from cordboard.stores import GENESIS, Transaction

_ENROL = "`cordboard approvers add NAME` at a terminal"
_WAITING_MOST = 100


class _Undone(Exception):
    """Raised to roll a trial write back."""


async def about_writing(app: App) -> Finding:
    """Try a write, and take it back. Raises: CordboardError where it is refused."""

    def trial(tx: Transaction) -> None:
        tx.run("account_lock", account=app.settings.account, head=GENESIS)
        raise _Undone

    try:
        await app.store.write(trial)
    except _Undone:
        return Finding("writable", "yes")
    return Finding("writable", "no answer", ok=False)


async def about_contents(app: App) -> list[Finding]:
    """The journal verified, and what there is. Raises: CordboardError where it cannot be read."""
    report = await journal.verify_in_pages(app.store, app.settings.account)
    return await app.store.read(lambda tx: _about_contents(tx, app, report))


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
        "Somebody changed the record: keep it as it is, and compare `cordboard journal export` with "
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

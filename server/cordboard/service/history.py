"""The history of changes as rows: one per number and plan, newest plan first."""

from __future__ import annotations

from typing import Any

from cordboard.answers import ChangeRow
from cordboard.results import side_shape, status_of
from cordboard.stores import Row, Transaction, plans
from cordboard.stores.plans import NEWEST, PlanRecord


def history(
    tx: Transaction, account: str, number: str, agent: str, after: str, limit: int, now: str
) -> tuple[list[ChangeRow], str]:
    """A page of rows, and the key to go on after ("" at the end)."""
    ordinal, _, position = after.partition(".")
    place = {"ordinal": int(ordinal or NEWEST), "position": int(position or -1)}
    found = _page(tx, number, agent, {"account": account, **place, "limit": limit + 1})
    records: dict[str, PlanRecord] = {}
    rows: list[ChangeRow] = []
    for row in found[:limit]:
        record = records.get(row["plan_id"]) or plans.find(tx, account, row["plan_id"])
        if record is not None:
            records[record.plan_id] = record
            rows.append(_row(record, row["position"], now))
    last = found[limit - 1] if len(found) > limit else None
    return rows, f"{last['ordinal']}.{last['position']}" if last else ""


def _page(tx: Transaction, number: str, agent: str, params: dict[str, Any]) -> list[Row]:
    if number:
        return tx.all("changes_page_of_number", number=number, agent=agent, **params)
    if agent:
        return tx.all("changes_page_of_agent", agent=agent, **params)
    return tx.all("changes_page", **params)


def _row(record: PlanRecord, position: int, now: str) -> ChangeRow:
    plan = record.plan
    change = plan.draft.changes[position]
    return ChangeRow(
        at=record.closed_at or plan.created_at,
        number=change.number,
        action=plan.action,
        plan_id=plan.plan_id,
        status=status_of(record, now),
        by=record.closed_by or plan.principal,
        before=side_shape(change.before),
        after=side_shape(change.after),
    )

"""Plans as rows: saved once, closed once, and found again by id, request or order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Literal, cast

from cordboard import journal
from cordboard.canonical import canonical, digest, joined, whole
from cordboard.errors import StoreUnavailable
from cordboard.journal import Event
from cordboard.plan import Plan, Texts, request_key
from cordboard.stores import Row, Transaction, operations
from cordboard.stores.operations import Step
from cordboard.stores.parsed import PARSED

State = Literal[
    "open", "approved", "applying", "applied", "partly_applied", "unknown", "failed", "declined",
    "stale", "expired", "discarded",
]  # fmt: skip
"""`failed`: cleared and begun at a platform, and none of it is in effect."""
WAITING: tuple[State, ...] = ("open", "approved")
UNDER_WAY: tuple[State, ...] = ("applying", "unknown")
_BEGUN: tuple[State, ...] = (*UNDER_WAY, "applied", "partly_applied", "failed")
_AT_A_TIME = 5000
"""So many rows are handed to the store at once."""
NEWEST = 1 << 62
"""Above every ordinal: where a listing of plans, newest first, begins."""


@dataclass(frozen=True, slots=True)
class PlanRecord:
    """A stored plan and what became of it. `reason` is the requester's, newest, unquoted.

    `hash` is that of the body as it is now; not `intact`: it is not the one it was saved with.
    `by_token`: the token whose own right let it pass; "" where somebody was asked. `steps`: how far each change is, once begun at a platform without transactions.
    """

    plan: Plan
    state: State
    ordinal: int
    hash: str
    intact: bool = True
    reason: str = ""
    closed_at: str = ""
    closed_by: str = ""
    closed_why: str = ""
    used: str = ""
    undoes: str = ""
    undone_by: str = ""
    by_token: str = ""
    steps: tuple[Step, ...] = ()

    @property
    def plan_id(self) -> str:
        return self.plan.plan_id

    def expired(self, now: str) -> bool:
        """Whether it is still unsettled although its time is over."""
        return self.state in WAITING and self.plan.expires_at <= now


def read_plan(row: Row) -> PlanRecord:
    hashed = digest(row["body"])
    return PlanRecord(
        plan=PARSED.plan(row["body"], hashed),
        state=cast(State, row["state"]),
        ordinal=row["ordinal"],
        hash=hashed,
        intact=hashed == row["hash"],
        reason=row["reason"],
        closed_at=row["closed_at"],
        closed_by=row["closed_by"],
        closed_why=row["closed_why"],
        used=row["used"],
        undoes=row["undoes"],
        undone_by=row["undone_by"],
        by_token=row["by_token"],
    )


def find(tx: Transaction, account: str, plan_id: str) -> PlanRecord | None:
    """The plan of that id, or None."""
    row = tx.one("plan_get", account=account, plan_id=plan_id)
    if row is None:
        return None
    record = read_plan(row)
    if record.state not in _BEGUN:
        return record
    return replace(record, steps=tuple(operations.steps(tx, account, plan_id)))


def known(tx: Transaction, account: str, plan_id: str, now: str) -> PlanRecord:
    """The plan, closed first if its time is over. Raises: StoreUnavailable where it is gone."""
    record = find(tx, account, plan_id)
    if record is None:
        raise StoreUnavailable(f"Plan {plan_id} is no longer in the store.")
    if not record.expired(now):
        return record
    return close(tx, record, "expired", now, "", f"it expired at {record.plan.expires_at}")


def save(tx: Transaction, plan: Plan, reason: str) -> PlanRecord:
    """Store a new plan; or, while one for the same request is open, show the new reason there."""
    key = request_key(plan)
    reason = reason.replace("\0", "")  # no engine's text takes it
    row = tx.one("plan_open", account=plan.account, request_key=key)
    if row is not None:
        record = read_plan(row)
        if not record.expired(plan.created_at):
            if record.reason != reason:
                tx.send(
                    "plan_set_reason", account=plan.account, plan_id=record.plan_id, reason=reason
                )
            return replace(record, reason=reason)
        close(tx, record, "expired", plan.created_at, "", f"it expired at {record.plan.expires_at}")
    return _add(tx, plan, key, reason)


def find_again(tx: Transaction, record: PlanRecord) -> PlanRecord:
    """The record as it is now; it was there a moment ago in this transaction."""
    found = find(tx, record.plan.account, record.plan_id)
    if found is None:
        raise StoreUnavailable(f"Plan {record.plan_id} is no longer in the store.")
    return found


def _add(tx: Transaction, plan: Plan, key: str, reason: str) -> PlanRecord:
    body = plan.body()
    hashed = digest(body)
    data = {"action": plan.action, "level": plan.level, "expires_at": plan.expires_at}
    text = _journaled({**data, "reason": reason}, plan)
    event = Event("planned", plan.principal, plan.plan_id, hashed, text)
    ordinal = journal.append(tx, plan.account, plan.created_at, event)
    tx.send(
        "plan_add",
        account=plan.account,
        plan_id=plan.plan_id,
        ordinal=ordinal,
        principal=plan.principal,
        request_key=key,
        body=body,
        hash=hashed,
        reason=reason,
        expires_at=plan.expires_at,
        undoes=plan.asked.undoes,
    )
    for rows in _change_rows(plan, ordinal):
        tx.many("plan_change_add", rows)
    PARSED.keep(hashed, plan)
    return PlanRecord(plan, "open", ordinal, hashed, reason=reason, undoes=plan.asked.undoes)


def _change_rows(plan: Plan, ordinal: int) -> Iterator[list[dict[str, object]]]:
    """The rows of a plan's changes, some thousand at a time."""
    key = {"account": plan.account, "ordinal": ordinal, "plan_id": plan.plan_id}
    changes = plan.draft.changes
    for start in range(0, len(changes), _AT_A_TIME):
        yield [
            {
                **key,
                "position": position,
                "number": change.number,
                "direction": change.direction,
                "before_agent": change.before.agent,
                "after_agent": change.after.agent,
            }
            for position, change in enumerate(changes[start : start + _AT_A_TIME], start)
        ]


def _journaled(data: dict[str, str], plan: Plan) -> str:
    """What the journal keeps of a plan's changes, and what else it says of it."""
    told = {name: (canonical(value),) for name, value in data.items()}
    return whole(joined({**told, "changes": Texts().sides(plan.draft.changes)}))


def close(
    tx: Transaction,
    record: PlanRecord,
    state: State,
    at: str,
    by: str,
    why: str = "",
    used: str = "",
    first: Sequence[Event] = (),
) -> PlanRecord:
    """Settle an open plan for good and journal it, `first` what led to it.

    A plan already settled stays as it is.
    """
    plan = record.plan
    touched = tx.run(
        "plan_close",
        account=plan.account,
        plan_id=plan.plan_id,
        state=state,
        at=at,
        by=by,
        why=why,
        used=used,
    )
    if not touched:
        return find_again(tx, record)
    data: dict[str, object] | str = {"why": why} if why else {}
    if state == "applied":
        data = _journaled({"level": used}, plan)
    last = Event(state, by, plan.plan_id, record.hash, data)
    journal.append(tx, plan.account, at, *first, last)
    return replace(record, state=state, closed_at=at, closed_by=by, closed_why=why, used=used)


def approve(tx: Transaction, record: PlanRecord, event: Event, at: str, used: str) -> PlanRecord:
    """Mark an open plan as approved, to be applied by a process that can."""
    plan = record.plan
    key = {"account": plan.account, "plan_id": plan.plan_id}
    if tx.run("plan_approved", **key, by=event.principal, used=used):
        journal.append(tx, plan.account, at, event)
    return find_again(tx, record)


def begin(
    tx: Transaction, record: PlanRecord, at: str, by: str, used: str, first: Sequence[Event]
) -> PlanRecord:
    """Mark a cleared plan as under way at its platform, with a step for each change."""
    plan = record.plan
    key = {"account": plan.account, "plan_id": plan.plan_id}
    if tx.run("plan_begin", **key, by=by, used=used) != 1:
        return find_again(tx, record)
    operations.add_steps(tx, plan.account, plan.plan_id, len(plan.draft.changes))
    journal.append(tx, plan.account, at, *first, Event("applying", by, plan.plan_id, record.hash))
    return find_again(tx, record)


def move_on(
    tx: Transaction, record: PlanRecord, state: State, at: str, why: str, data: dict[str, object]
) -> PlanRecord:
    """Say how a plan under way stands, or ended; the same again is not journaled twice."""
    plan = record.plan
    key = {"account": plan.account, "plan_id": plan.plan_id}
    if record.state == state or not tx.run("plan_move_on", **key, state=state, at=at, why=why):
        return find_again(tx, record)
    event = Event(state, record.closed_by, plan.plan_id, record.hash, data)
    journal.append(tx, plan.account, at, event)
    return find_again(tx, record)


def mark_applied(tx: Transaction, record: PlanRecord, versions: Sequence[int]) -> None:
    """Keep each number's version as this plan left it: what its undo must find."""
    key = {"account": record.plan.account, "ordinal": record.ordinal}
    first = 0
    for version, alike in groupby(versions):
        last = first + sum(1 for _ in alike) - 1
        tx.send("plan_changes_done", **key, first=first, last=last, version=version)
        first = last + 1
    if record.undoes:
        tx.send(
            "plan_undone",
            account=record.plan.account,
            plan_id=record.undoes,
            undone_by=record.plan_id,
        )


def versions_left(tx: Transaction, record: PlanRecord) -> list[int]:
    """The version each change of an applied plan left its number with, in order."""
    rows = tx.all("plan_changes_of", account=record.plan.account, ordinal=record.ordinal)
    return [row["version"] for row in rows]


def waiting(
    tx: Transaction, account: str, now: str, before: int = NEWEST, limit: int = 100
) -> list[PlanRecord]:
    """Plans neither settled nor expired, newest first."""
    rows = tx.all("plans_waiting", account=account, now=now, before=before, limit=limit)
    return [read_plan(row) for row in rows]


def approved(tx: Transaction, account: str, platform: str, now: str) -> list[str]:
    """Ids of plans approved by a process that could not apply them, oldest first."""
    rows = tx.all("plans_approved", account=account, platform=platform, now=now)
    return [row["plan_id"] for row in rows]


def newest(
    tx: Transaction, account: str, before: int = NEWEST, limit: int = 100
) -> list[PlanRecord]:
    """Plans of any state, newest first."""
    return [
        read_plan(r) for r in tx.all("plans_newest", account=account, before=before, limit=limit)
    ]

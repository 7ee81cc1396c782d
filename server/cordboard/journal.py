"""The record: append-only, hash-chained, one chain per account.

The account's head row is locked first in every change: it is the account's lock and its change
counter too. `verify` finds every edit, gap and reorder; a cut tail, or a chain rewritten whole,
shows only against a head that was exported and kept elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cordboard.canonical import canonical, digest
from cordboard.stores import Row, Transaction

GENESIS = "0" * 64
_PAGE = 1000
_SIGNED = ("account", "seq", "at", "event", "plan_id", "principal", "plan_hash", "data", "prev")


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. `data` holds before and after, and whatever else matters."""

    event: str
    principal: str
    plan_id: str = ""
    plan_hash: str = ""
    data: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a chain: how many events, and the hash of the newest."""

    account: str
    seq: int
    hash: str


def head(tx: Transaction, account: str) -> Head:
    """The account's head row; a chain that was never written has seq 0."""
    row = tx.one("account_get", account=account)
    return Head(account, row["seq"], row["head"]) if row else Head(account, 0, GENESIS)


def append(tx: Transaction, account: str, at: str, *events: Event) -> int:
    """Append events in this transaction; the seq of the first of them."""
    tx.run("account_lock", account=account, head=GENESIS)
    newest = head(tx, account)
    seq, prev, rows = newest.seq, newest.hash, []
    for event in events:
        seq += 1
        row = {
            "account": account,
            "seq": seq,
            "at": at,
            "event": event.event,
            "plan_id": event.plan_id,
            "principal": event.principal,
            "plan_hash": event.plan_hash,
            "data": canonical(dict(event.data or {})),
            "prev": prev,
        }
        prev = row["hash"] = _hash(row)
        rows.append(row)
    tx.many("journal_add", rows)
    tx.run("account_advance", account=account, seq=seq, head=prev)
    return newest.seq + 1


def _hash(row: Mapping[str, Any]) -> str:
    return digest(canonical({key: row[key] for key in _SIGNED}))


def rows(tx: Transaction, account: str, after: int = 0) -> Iterator[Row]:
    """Every row with seq > `after`, oldest first, a page at a time."""
    while page := tx.all("journal_page", account=account, after=after, limit=_PAGE):
        yield from page
        after = page[-1]["seq"]


@dataclass(frozen=True, slots=True)
class Report:
    """What verifying found: how many rows are good, and the first thing that is not."""

    head: Head
    checked: int
    fault: str = ""


def verify(tx: Transaction, account: str, known: Head | None = None) -> Report:
    """Walk the whole chain; `known` is a head exported earlier that must still lie on it."""
    newest = head(tx, account)
    seq, prev = 0, GENESIS
    seen_known = known is None or known.seq == 0
    for row in rows(tx, account):
        fault = _fault(row, seq + 1, prev)
        if fault:
            return Report(newest, seq, fault)
        seq, prev = row["seq"], row["hash"]
        if known is not None and seq == known.seq:
            if prev != known.hash:
                return Report(newest, seq, f"row {seq} is not the one whose head was exported")
            seen_known = True
    if (seq, prev) != (newest.seq, newest.hash):
        return Report(
            newest,
            seq,
            f"the chain ends at row {seq}, its head says {newest.seq}: rows are missing",
        )
    if not seen_known and known is not None:
        return Report(
            newest, seq, f"the chain ends at row {seq}, before the exported head {known.seq}"
        )
    return Report(newest, seq)


def _fault(row: Row, expected: int, prev: str) -> str:
    if row["seq"] != expected:
        return f"row {expected} is missing (row {row['seq']} follows row {expected - 1})"
    if row["prev"] != prev:
        return (
            f"row {expected} does not follow row {expected - 1}: it was moved, or one was replaced"
        )
    try:
        edited = row["hash"] != _hash(row)
    except (TypeError, ValueError):  # a value of a kind that was never written here
        edited = True
    return f"row {expected} was edited" if edited else ""

"""The record: append-only, hash-chained, one chain per account.

The account's head row is locked first in every change: it is the account's lock and its change
counter too. `verify` finds every edit, gap and reorder; a cut tail, or a chain rewritten whole,
shows only against a head that was exported and kept elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cordboard.canonical import canonical, digest_of, pieces
from cordboard.stores import GENESIS, Row, Store, Transaction

_PAGE = 1000
_CHARACTERS = 4 * 1024 * 1024
"""What is held in memory at once; one event that is longer is held alone."""
_SIGNED = ("account", "seq", "at", "event", "plan_id", "principal", "plan_hash", "data", "prev")


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. `data` holds before and after, and whatever else matters; where that
    is long, as the canonical text of it."""

    event: str
    principal: str
    plan_id: str = ""
    plan_hash: str = ""
    data: Mapping[str, Any] | str | None = None


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
    tx.send("account_lock", account=account, head=GENESIS)
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
            "data": event.data
            if isinstance(event.data, str)
            else canonical(dict(event.data or {})),
            "prev": prev,
        }
        prev = row["hash"] = _hash(row)
        rows.append(row)
    tx.many("journal_add", rows)
    tx.send("account_advance", account=account, seq=seq, head=prev)
    return newest.seq + 1


def _hash(row: Mapping[str, Any]) -> str:
    return digest_of(pieces({key: row[key] for key in _SIGNED}))


def rows(tx: Transaction, account: str, after: int = 0) -> Iterator[Row]:
    """Every row with seq > `after`, oldest first, a page at a time."""
    while found := page(tx, account, after):
        yield from found
        after = found[-1]["seq"]


def page(tx: Transaction, account: str, after: int = 0) -> list[Row]:
    """The next rows with seq > `after`, as many at once as memory should hold; none at the end."""
    limit = held = 0
    for row in tx.all("journal_sizes", account=account, after=after, limit=_PAGE):
        held += row["size"]
        if limit and held > _CHARACTERS:
            break
        limit += 1
    return tx.all("journal_page", account=account, after=after, limit=limit) if limit else []


@dataclass(frozen=True, slots=True)
class Report:
    """What verifying found: how many rows are good, and the first thing that is not."""

    head: Head
    checked: int
    fault: str = ""


class Walk:
    """Verifying, a page at a time: each may be a transaction of its own, so nobody waits long.

    `known` is a head exported earlier that must still lie on the chain.
    """

    def __init__(self, account: str, known: Head | None = None) -> None:
        self._account, self._known = account, known
        self._seq, self._prev = 0, GENESIS
        self._met = known is None or known.seq == 0

    def page(self, tx: Transaction) -> Report | None:
        """Check the next rows; the report once the end, or a fault, is reached."""
        newest = head(tx, self._account)
        found = page(tx, self._account, self._seq)
        fault = self.follow(found)
        if fault:
            return Report(newest, self._seq, fault)
        return None if found else self.end(newest)

    def follow(self, rows: Iterable[Row]) -> str:
        """Check the rows that come next, wherever they were read; the first fault, or ""."""
        for row in rows:
            fault = _fault(row, self._seq + 1, self._prev) or self._forked(row)
            if fault:
                return fault
            self._seq, self._prev = row["seq"], row["hash"]
        return ""

    def end(self, newest: Head) -> Report:
        """The report once every row was followed. `newest`: the account's head row."""
        return Report(newest, self._seq, self._at_end(newest))

    def _forked(self, row: Row) -> str:
        if self._known is None or row["seq"] != self._known.seq:
            return ""
        self._met = True
        same = row["hash"] == self._known.hash
        return "" if same else f"row {row['seq']} is not the one whose head was exported"

    def _at_end(self, newest: Head) -> str:
        if (self._seq, self._prev) != (newest.seq, newest.hash):
            where = f"the chain ends at row {self._seq}, its head says {newest.seq}"
            return f"{where}: rows are missing"
        if self._met or self._known is None:
            return ""
        return f"the chain ends at row {self._seq}, before the exported head {self._known.seq}"


def verify(tx: Transaction, account: str, known: Head | None = None) -> Report:
    """Walk the whole chain in one transaction."""
    walk = Walk(account, known)
    while (report := walk.page(tx)) is None:
        pass
    return report


async def verify_in_pages(store: Store, account: str, known: Head | None = None) -> Report:
    """Walk the whole chain without keeping writers out for longer than a page."""
    walk = Walk(account, known)
    while (report := await store.read(walk.page)) is None:
        pass
    return report


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

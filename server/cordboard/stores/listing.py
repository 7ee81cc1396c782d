"""Plans listed and searched, for people: newest first, and what LIKE makes of their words."""

from __future__ import annotations

import re

from cordboard.stores import Transaction
from cordboard.stores.plans import PlanRecord, read_plan


def matching(
    tx: Transaction, account: str, now: str, query: str, before: int, limit: int, *, waiting: bool
) -> list[PlanRecord]:
    """Plans that wait (else all others), newest first, of which the requester, a number or an agent
    contains `query`; "": every one. `before`: the ordinal to go on from."""
    name = "plans_waiting_like" if waiting else "plans_decided_like"
    like = like_pattern(query) or "%"
    rows = tx.all(name, account=account, now=now, like=like, before=before, limit=limit)
    return [read_plan(row) for row in rows]


def under_way(tx: Transaction, account: str, limit: int = 100) -> list[PlanRecord]:
    """Plans begun and not settled, newest first."""
    return [read_plan(row) for row in tx.all("plans_under_way", account=account, limit=limit)]


def like_pattern(query: str) -> str:
    """A LIKE pattern for text that contains `query`, its own wildcards taken literally; "" for "".

    ASCII letters match in either case, others as they are: so does SQLite's lower().
    """
    if not query:
        return ""
    literal = (
        re.sub("[A-Z]+", lambda found: found[0].lower(), query)
        .replace("\\", "\\\\")
        .replace("%", "\\%")
        .replace("_", "\\_")
    )
    return f"%{literal}%"

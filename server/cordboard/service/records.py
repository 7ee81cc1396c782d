"""The local platform's records, as far as the vendors' answers show them.

Each function reads in a transaction of its caller's, so that one answer is one consistent state.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from cordboard.binding import Agent, Binding, PathwayInfo
from cordboard.platforms import local
from cordboard.stores import Row, Transaction


@dataclass(frozen=True, slots=True)
class NumberRecord:
    """A number as its row has it."""

    number: str
    id: int
    provider: str
    label: str
    slug: str
    updated_at: str


@dataclass(frozen=True, slots=True)
class Held:
    """A number and one binding of it; None: nobody holds it."""

    record: NumberRecord
    binding: Binding | None


@dataclass(frozen=True, slots=True)
class Whole:
    """A number with all its bindings, and what it can carry."""

    record: NumberRecord
    bindings: tuple[Binding, ...]
    channels: tuple[str, ...]


def find_agent(tx: Transaction, account: str, agent: str) -> Agent | None:
    """One agent, or None."""
    row = tx.one("agent_get", account=account, agent=agent)
    return None if row is None else local.read_agent(row)


def agents(
    tx: Transaction, account: str, direction: str, limit: int, offset: int
) -> tuple[list[Agent], int]:
    """Agents of one direction ("" for both), in the order of their ids, and how many there are."""
    place = {"limit": limit, "offset": offset}
    rows = tx.all("agents_at", account=account, direction=direction, **place)
    count = tx.one("agents_count", account=account, direction=direction)
    return [local.read_agent(row) for row in rows], int(count["found"]) if count else 0


def held(tx: Transaction, account: str, agent: str) -> list[Held]:
    """Every number that an agent holds, in order."""
    rows = tx.all("numbers_held", account=account, agent=agent)
    return [Held(_record(row), local.read_binding(row)) for row in rows]


def first(tx: Transaction, account: str, agent: str) -> str:
    """The first number that an agent holds; "" where it holds none."""
    every = {"provider": "", "query": "", "state": "any", "after": "", "limit": 1}
    row = tx.one("numbers_page_of_agent", account=account, agent=agent, **every)
    return str(row["number"]) if row else ""


def find_held(tx: Transaction, account: str, agent: str, number: str) -> Held | None:
    """One number at one agent; None where it does not hold it."""
    row = tx.one("number_get", account=account, number=number)
    mine = [b for b in _bindings(tx, account, number) if b.agent == agent]
    return Held(_record(row), mine[0]) if row is not None and mine else None


def numbers(
    tx: Transaction, account: str, state: str = "any", after: str = "", limit: int = 1000, offset: int = 0
) -> list[Held]:  # fmt: skip
    """Numbers with who answers them, in order. `state`: `any`, `attached` or `free`, of inbound."""
    place = {"after": after, "limit": limit, "offset": offset}
    rows = tx.all("numbers_at", account=account, state=state, **place)
    return [Held(_record(row), local.read_binding(row) if row["agent"] else None) for row in rows]


def count_numbers(tx: Transaction, account: str, state: str) -> int:
    """How many numbers there are in this state."""
    row = tx.one("numbers_count", account=account, state=state)
    return int(row["found"]) if row else 0


def by_slug(tx: Transaction, account: str, slug: str) -> Whole | None:
    """The number of a slug, or None."""
    found = tx.one("number_by_slug", account=account, slug=slug)
    row = found and tx.one("number_get", account=account, number=found["number"])
    if not row:
        return None
    channels = tuple(json.loads(row["channels"]))
    return Whole(_record(row), _bindings(tx, account, row["number"]), channels)


def find_pathway(tx: Transaction, account: str, pathway_id: str) -> PathwayInfo | None:
    """One pathway with versions, oldest first, and their nodes; or None."""
    return local.find_pathway(tx, account, pathway_id)


def pathways(tx: Transaction, account: str, most: int) -> list[tuple[str, str]]:
    """Id and name of each pathway, in the order of the ids."""
    rows = tx.all("pathways_page", account=account, query="", after="", limit=most)
    return [(row["pathway_id"], row["name"]) for row in rows]


def _bindings(tx: Transaction, account: str, number: str) -> tuple[Binding, ...]:
    rows = tx.all("bindings_of", account=account, number=number)
    return tuple(local.read_binding(row) for row in rows)


def _record(row: Row) -> NumberRecord:
    return NumberRecord(
        number=row["number"],
        id=row["id"],
        provider=row["provider"],
        label=row["label"],
        slug=row["slug"],
        updated_at=row["updated_at"],
    )

"""The local platform: agents, numbers, pathways and bindings in Cordboard's own store.

The only platform that knows the store: its bindings are rows of it, so a whole plan is one
transaction. The rules of binding are held by the schema's unique indexes as well.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import cast

from cordboard import number as numbers
from cordboard.binding import (
    Agent,
    Direction,
    OwnedNumber,
    PathwayInfo,
    PathwayVersion,
)
from cordboard.plan import Change
from cordboard.platforms import Abilities, AgentEntry, NumberFilter, Page
from cordboard.platforms.local.rows import (
    asks,
    find_number,
    find_numbers,
    owned_of,
    read_again,
    read_binding,
    write,
)
from cordboard.request import FEW, Action, Look, Observed
from cordboard.stores import Ask, Row, Store, Transaction
from cordboard.stores.listing import like_pattern

__all__ = ["LocalPlatform", "find_number", "find_pathway", "read_agent", "read_binding"]
_KINDS = (("TEST", "agent_serves_test"), ("PRODUCTION", "agent_serves_production"))
_LOOK_ALIKES = 10
"""For how many missing numbers of one call look-alikes are searched."""


class LocalPlatform:
    """Bindings in the store. Every read is one transaction, every write part of the caller's."""

    name = "local"
    abilities = Abilities(move_in_place=True)

    def __init__(self, store: Store) -> None:
        self._store = store

    async def agents(self, account: str, query: str, after: str, limit: int) -> Page[AgentEntry]:
        def work(tx: Transaction) -> Page[AgentEntry]:
            found = tx.all(
                "agents_page",
                account=account,
                query=like_pattern(query),
                after=after,
                limit=limit + 1,
            )
            entries = [AgentEntry(read_agent(row), row["numbers"]) for row in found[:limit]]
            return Page(tuple(entries), entries[-1].agent.agent if len(found) > limit else "")

        return await self._store.read(work)

    async def numbers(
        self, account: str, only: NumberFilter, after: str, limit: int
    ) -> Page[OwnedNumber]:
        def work(tx: Transaction) -> Page[OwnedNumber]:
            narrow = asdict(only) | {"query": like_pattern(only.query)}
            query = "numbers_page_of_agent" if only.agent else "numbers_page"
            if not only.agent:
                narrow.pop("agent")
            found = tx.all(query, account=account, after=after, limit=limit + 1, **narrow)
            owned = owned_of(tx, account, found[:limit])
            return Page(tuple(owned), owned[-1].number if len(found) > limit else "")

        few = limit <= FEW and only == NumberFilter()  # then every row that is read is told
        return await (self._store.glance if few else self._store.read)(work)

    async def pathways(self, account: str, query: str, after: str, limit: int) -> Page[PathwayInfo]:
        def work(tx: Transaction) -> Page[PathwayInfo]:
            found = tx.all(
                "pathways_page",
                account=account,
                query=like_pattern(query),
                after=after,
                limit=limit + 1,
            )
            infos = [_pathway(tx, account, row) for row in found[:limit]]
            return Page(tuple(infos), infos[-1].pathway_id if len(found) > limit else "")

        return await self._store.read(work)

    async def pathway(self, account: str, pathway_id: str) -> PathwayInfo | None:
        return await self._store.glance(lambda tx: find_pathway(tx, account, pathway_id))

    async def agent(self, account: str, agent: str) -> Agent | None:
        """One agent, or None."""

        def work(tx: Transaction) -> Agent | None:
            row = tx.one("agent_get", account=account, agent=agent)
            return None if row is None else read_agent(row)

        return await self._store.glance(work)

    async def count(self, account: str, agent: str) -> int:
        """How many numbers are bound to an agent."""

        def work(tx: Transaction) -> int:
            row = tx.one("agent_count", account=account, agent=agent)
            return int(row["numbers"]) if row else 0

        return await self._store.read(work)

    async def number(self, account: str, number: str) -> OwnedNumber | None:
        return await self._store.glance(lambda tx: find_number(tx, account, number))

    async def nearest(self, account: str, number: str) -> list[str]:
        return await self._store.read(lambda tx: _nearest(tx, account, number))

    def unsupported(self, action: Action, agents: Sequence[str]) -> str:
        """Nothing: every change of the contract is possible here."""
        del action, agents
        return ""

    async def observe(self, account: str, look: Look) -> Observed:
        read = self._store.glance if look.is_small else self._store.read
        return await read(lambda tx: self.observe_in(tx, account, look))

    def observe_in(self, tx: Transaction, account: str, look: Look) -> Observed:
        """Everything a decision about this request rests on, as it is in this transaction."""
        tx.prefetch(*_asks(account, look))
        rows = [tx.one("agent_get", account=account, agent=name) for name in sorted(look.agents)]
        agents = {row["agent"]: read_agent(row) for row in rows if row is not None}
        by_slug = _by_slug(tx, account, look.slugs)
        wanted = {*look.numbers, *by_slug.values()}
        shaped = sorted(text for text in wanted if numbers.is_canonical(text))
        found = find_numbers(tx, account, shaped)
        missing = [text for text in shaped if text not in found]
        infos = [find_pathway(tx, account, name) for name in sorted(look.pathways)]
        return Observed(
            agents=agents,
            numbers=found,
            by_slug=by_slug,
            nearest={text: _nearest(tx, account, text) for text in missing[:_LOOK_ALIKES]},
            serves={
                name: _serves(tx, account, name) for name in sorted(look.gaining & agents.keys())
            },
            providers=frozenset(r["provider"] for r in tx.all("providers", account=account)),
            pathways={info.pathway_id: info for info in infos if info is not None},
            pathways_recorded=tx.one("pathway_any", account=account) is not None,
            empty=tx.one("number_any", account=account) is None,
        )

    def write_in(
        self, tx: Transaction, account: str, at: str, changes: Sequence[Change]
    ) -> Iterator[OwnedNumber]:
        write(tx, account, at, changes)
        touched = {side.agent for c in changes for side in (c.before, c.after) if side.agent}
        for agent in sorted(touched):
            tx.send("agent_touch", account=account, agent=agent, at=at)
        return read_again(tx, account, [change.number for change in changes])


def _asks(account: str, look: Look) -> Iterator[Ask]:
    """What observing asks, as far as that is known before."""
    key = {"account": account}
    for agent in look.agents:
        yield "agent_get", key | {"agent": agent}
    for agent in look.gaining:
        yield from ((query, key | {"agent": agent}) for _, query in _KINDS)
    for text in look.numbers if look.is_small else ():
        yield from asks(account, text)
    for name in look.pathways:
        yield from _of_pathway(account, name)
    for query in ("providers", "pathway_any", "number_any"):
        yield query, key


def _of_pathway(account: str, pathway_id: str) -> tuple[Ask, Ask]:
    key = {"account": account, "pathway_id": pathway_id}
    return ("pathway_get", key), ("pathway_versions", key)


def find_pathway(tx: Transaction, account: str, pathway_id: str) -> PathwayInfo | None:
    """A recorded pathway with versions and nodes, or None."""
    tx.prefetch(*_of_pathway(account, pathway_id))
    row = tx.one("pathway_get", account=account, pathway_id=pathway_id)
    return None if row is None else _pathway(tx, account, row)


def read_agent(row: Row) -> Agent:
    """An agent from its row."""
    return Agent(
        agent=row["agent"],
        name=row["name"],
        direction=cast(Direction, row["direction"]),
        pathway_id=row["pathway_id"],
        user_id=row["user_id"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def _pathway(tx: Transaction, account: str, row: Row) -> PathwayInfo:
    versions = tx.all("pathway_versions", account=account, pathway_id=row["pathway_id"])
    return PathwayInfo(
        platform="local",
        pathway_id=row["pathway_id"],
        name=row["name"],
        versions=tuple(
            PathwayVersion(v["version"], tuple(json.loads(v["nodes"]))) for v in versions
        ),
    )


def _serves(tx: Transaction, account: str, agent: str) -> frozenset[str]:
    return frozenset(
        kind for kind, query in _KINDS if tx.one(query, account=account, agent=agent) is not None
    )


def _by_slug(tx: Transaction, account: str, slugs: Iterable[str]) -> dict[str, str]:
    rows = {slug: tx.one("number_by_slug", account=account, slug=slug) for slug in slugs}
    return {slug: row["number"] for slug, row in rows.items() if row is not None}


def _nearest(tx: Transaction, account: str, number: str) -> list[str]:
    """Owned numbers one edit away; looked up by key, so it costs the same at any inventory size."""
    close = [
        n for n in numbers.neighbours(number) if tx.one("number_get", account=account, number=n)
    ]
    return numbers.nearest(number, close)

"""Uncached route look-ups at 10,000,000 numbers against the same at 10,000, in two databases of one
PostgreSQL server.

Every number is attached to one of a thousand agents. The rows are valid, but written by statements of
this module, without checks that would only take time. Both databases lie in memory, in the system's
cache if nowhere else: what is compared is how deep the indexes are and how many pages a random
number touches, and not a disk. It needs 6 GB.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from statistics import quantiles

import psycopg
import pytest
from tests.bench.measuring import Pair, Table, timed_async
from tests.bench.stores import ACCOUNT, fill_database
from tests.postgres import PrivateServer, private_server
from tests.world import AT

from cordboard.service.inbound import InboundRoute, InboundRoutes
from cordboard.stores.postgres import PostgresStore

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("only_own_garbage")]

SMALL, LARGE = 10_000, 10_000_000
AGENTS = 1_000
WARM_UP, ROUNDS, LOOKUPS = 4_000, 9, 2_000
_LOADING = {"wal_level": "minimal", "max_wal_senders": 0, "autovacuum": False}
"""Rows of a table that is emptied in the same transaction are then written once, to the table."""
_EMPTY = "SET session_replication_role = replica; BEGIN; TRUNCATE agent, number, binding"
_AGENTS = """
INSERT INTO agent (account, agent, name, direction, user_id, created_at, updated_at)
SELECT %(account)s, 'local:agent-' || i, 'Agent ' || i, 'inbound', '', %(at)s, %(at)s
FROM generate_series(0, %(agents)s - 1) i"""
_NUMBERS = """
INSERT INTO number (account, number, id, provider, label, purpose, slug, updated_at)
SELECT %(account)s, '+' || n, i + 1, 'twilio', 'Line ' || i, 'PRODUCTION', n, %(at)s
FROM generate_series(0::bigint, %(count)s - 1) i, LATERAL (SELECT (12000000000 + 7 * i)::text AS n) o"""
_BINDINGS = """
INSERT INTO binding (account, number, direction, agent, attached_at)
SELECT %(account)s, '+' || 12000000000 + 7 * i, 'inbound', 'local:agent-' || i * %(agents)s / %(count)s,
       %(at)s
FROM generate_series(0::bigint, %(count)s - 1) i"""


async def fill_inventory(url: str, count: int) -> None:
    """Put so many numbers, all attached, into an empty database."""
    await fill_database(url, lambda tx: None)
    told = {"account": ACCOUNT, "at": AT, "agents": AGENTS, "count": count}
    with psycopg.connect(url, autocommit=True) as db:
        db.execute(_EMPTY)
        for text in (_AGENTS, _NUMBERS, _BINDINGS):
            db.execute(text, told)
        db.execute("COMMIT")
        db.execute("VACUUM ANALYZE")


@dataclass
class Inventory:
    """The look-ups of a store of so many numbers."""

    count: int
    routes: InboundRoutes[InboundRoute]
    chance: random.Random

    async def look(self) -> None:
        """Look up a random number."""
        number = f"+{12_000_000_000 + 7 * self.chance.randrange(self.count)}"
        assert (await self.routes.find(ACCOUNT, number)).agent


@asynccontextmanager
async def opened(url: str, count: int) -> AsyncIterator[Inventory]:
    """The store of a database, which remembers nothing."""
    store = PostgresStore(url, bound_seconds=0)
    chance = random.Random(4)  # noqa: S311 - the same numbers in every run
    yield Inventory(count, InboundRoutes(store, lambda route: route), chance)
    await store.close()


@pytest.fixture(scope="module")
def roomy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateServer]:
    """A server as one is set up for so many rows, and loaded in one go."""
    home = tmp_path_factory.mktemp("postgres")
    with private_server(home, None, shared_buffers="1GB", max_wal_size="8GB", **_LOADING) as server:
        yield server


async def test_ten_million_numbers_are_looked_up_about_as_fast_as_ten_thousand(
    table: Table, roomy: PrivateServer
) -> None:
    urls = {count: roomy.create() for count in (LARGE, SMALL)}
    for count, url in urls.items():
        await fill_inventory(url, count)
    pair = Pair()
    async with opened(urls[LARGE], LARGE) as large, opened(urls[SMALL], SMALL) as small:
        await alternately(large, small, WARM_UP)
        for _ in range(ROUNDS):
            ours, bare = await alternately(large, small, LOOKUPS)
            pair.ours.append(quantiles(ours, n=100)[98])
            pair.bare.append(quantiles(bare, n=100)[98])
    table.hold(pair.figure("PostgreSQL: p99 of 10,000,000 numbers to 10,000: a route", 1.2))


async def alternately(large: Inventory, small: Inventory, times: int) -> tuple[list[float], ...]:
    """The seconds of each look-up, one here and one there; who begins changes."""
    taken: tuple[list[float], list[float]] = ([], [])
    sides = [(large, taken[0]), (small, taken[1])]
    for turn in range(times):
        for inventory, seconds in sides[:: 1 if turn % 2 else -1]:
            seconds.append(await timed_async(inventory.look))
    return taken

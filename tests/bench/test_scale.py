"""Look-ups at 1,000,000 numbers against the same at 10,000.

The stores are filled with the rows an import writes, by the import's own statements (checking a
million numbers would only take time), and every other number is attached to one of 20 agents.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from tests.bench.measuring import Pair, Table, timed_async
from tests.bench.stores import ACCOUNT, make_store, remove
from tests.world import AT

from cordboard.app import App, build
from cordboard.config import load
from cordboard.cursors import Cursors
from cordboard.platforms import NumberFilter
from cordboard.stores import Transaction

pytestmark = pytest.mark.anyio

SMALL, LARGE = 10_000, 1_000_000
AGENTS, CHUNK, PAGE = 20, 50_000, 50
ROUNDS, CALLS, BOUND = 41, 20, 1.5
ASKED = {
    "list": "numbers",
    "account": ACCOUNT,
    "platform": "",
    "agent": "",
    "provider": "",
    "state": "any",
    "query": "",
}
"""What a cursor of an unnarrowed list_numbers is sealed with."""


def number(index: int) -> str:
    """The number of that place, in rising order."""
    return f"+1{2_000_000_000 + 7 * index}"


def number_row(index: int) -> dict[str, object]:
    text = number(index)
    return {
        "account": ACCOUNT,
        "number": text,
        "id": index + 1,
        "provider": "twilio",
        "label": f"Line {index}",
        "purpose": "PRODUCTION",
        "tags": "[]",
        "slug": text[1:],
        "at": AT,
    }


def binding_row(index: int) -> dict[str, object]:
    return {
        "account": ACCOUNT,
        "number": number(index),
        "direction": "inbound",
        "agent": f"local:agent-{index // 2 % AGENTS}",
        "pathway_id": "",
        "pathway_version": 0,
        "start_node_id": "",
        "at": AT,
    }


def fill(tx: Transaction, count: int) -> None:
    """So many numbers; those at even places are attached."""
    tx.run("provider_add", account=ACCOUNT, provider="twilio")
    for place in range(AGENTS):
        told = {"name": f"Agent {place}", "direction": "inbound", "pathway_id": "", "user_id": "u"}
        tx.run("agent_put", account=ACCOUNT, agent=f"local:agent-{place}", at=AT, **told)
    for start in range(0, count, CHUNK):
        part = range(start, min(start + CHUNK, count))
        tx.many("number_put", [number_row(i) for i in part])
        tx.many("binding_add", [binding_row(i) for i in part[::2]])


@dataclass(frozen=True)
class Inventory:
    """An app on a store of so many numbers, and the cursor of its last full page."""

    app: App
    count: int
    last: str

    async def route(self, index: int) -> None:
        """One get_number_route."""
        found = await self.app.service.routes.get_number_route(ACCOUNT, number(index))
        assert len(found.inbound) == (index % 2 == 0)

    async def page(self, cursor: str) -> None:
        """One list_numbers."""
        lookups = self.app.service.lookups
        found = await lookups.list_numbers(ACCOUNT, NumberFilter(), limit=PAGE, cursor=cursor)
        assert len(found.numbers) == PAGE and bool(found.next_cursor) is not bool(cursor)


def open_inventory(home: Path, count: int) -> Inventory:
    """Fill a store and open it."""
    path = home / f"{count}.db"
    make_store(path, lambda tx: fill(tx, count))
    app = build(load({"CORDBOARD_DATABASE": str(path)}))
    last = Cursors(app.keys[0]).seal(ASKED, f"local|{number(count - PAGE - 1)}")
    return Inventory(app, count, last)


@pytest.fixture(scope="module")
def inventories(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Inventory, Inventory]]:
    home = tmp_path_factory.mktemp("scale")
    try:
        yield open_inventory(home, LARGE), open_inventory(home, SMALL)
    finally:
        for count in (LARGE, SMALL):
            remove(home / f"{count}.db")


def some(inventory: Inventory, chance: random.Random, *, attached: bool) -> int:
    """A random place whose number is attached, or free."""
    return 2 * chance.randrange(inventory.count // 2) + (not attached)


Look = Callable[[Inventory, random.Random], Awaitable[None]]
LOOKS: dict[str, Look] = {
    "get_number_route, free": lambda inv, c: inv.route(some(inv, c, attached=False)),
    "get_number_route, attached": lambda inv, c: inv.route(some(inv, c, attached=True)),
    "list_numbers, first page": lambda inv, _: inv.page(""),
    "list_numbers, last page": lambda inv, _: inv.page(inv.last),
}


async def several(look: Look, inventory: Inventory, chance: random.Random) -> None:
    for _ in range(CALLS):
        await look(inventory, chance)


@pytest.mark.parametrize("name", LOOKS)
async def test_a_million_numbers_are_looked_up_about_as_fast_as_ten_thousand(
    name: str, table: Table, inventories: tuple[Inventory, Inventory]
) -> None:
    large, small = inventories
    chance = random.Random(4)  # noqa: S311 - the same numbers in every run
    pair = Pair()
    for _ in range(ROUNDS + 1):
        for inventory, side in ((large, pair.ours), (small, pair.bare)):
            work = partial(several, LOOKS[name], inventory, chance)
            side.append(await timed_async(work) / CALLS)
    for inventory in inventories:
        await inventory.app.store.close()
    table.hold(pair.without(1).figure(f"1,000,000 numbers to 10,000: {name}", BOUND))

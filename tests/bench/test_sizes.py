"""What a model has to read: the tool list and the two kinds of pages, in bytes on the wire."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.bench.measuring import Table, sized
from tests.bench.stores import make_store
from tests.bench.wire import MODERN, OURS, environment, result, started, structured
from tests.world import SEEDS, fill, many, names

PINNED: dict[str, Any] = {
    "pathway_id": "pathway_abc123",
    "pathway_version": 2,
    "start_node_id": "node_xyz",
}


def size(data: Any) -> int:
    """Bytes of compact JSON."""
    return len(json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode())


def test_the_list_of_tools_stays_small(table: Table, tmp_path: Path, bytecode: Path) -> None:
    with started(OURS, MODERN, environment(tmp_path, bytecode)) as wire:
        tools = result(wire.request("tools/list"))["tools"]
    read = [{key: tool[key] for key in ("name", "description", "inputSchema")} for tool in tools]
    complete = sized(f"tools/list, {len(tools)} tools, complete", size({"tools": tools}), 32_000)
    for_models = sized("tools/list, what a model reads of it", size(read), 10_000)
    table.hold(complete)
    table.hold(for_models)


@pytest.mark.parametrize(("state", "most"), [("attached", 14_000), ("free", 8_000)])
def test_a_page_of_fifty_numbers_stays_small(
    state: str, most: int, table: Table, tmp_path: Path, bytecode: Path
) -> None:
    numbers = many(50, provider="twilio", label="Support Line", purpose="PRODUCTION")
    seed = SEEDS.but(numbers=numbers)
    if state == "attached":  # half of them with a pathway of their own
        seed = seed.bound("local:support", *names(numbers[:25]))
        seed = seed.bound("local:sales", *names(numbers[25:]), **PINNED)
    make_store(tmp_path / "cordboard.db", lambda tx: fill(tx, seed))
    with started(OURS, MODERN, environment(tmp_path, bytecode)) as wire:
        page = structured(wire.call("list_numbers", state=state))
    assert len(page["numbers"]) == 50
    table.hold(sized(f"structured answer, 50 {state} numbers", size(page), most))

"""Start to the first tools/list over stdio, against a bare server of one tool."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from time import perf_counter

import pytest
from tests.bench.measuring import Pair, Table
from tests.bench.wire import BARE, LEGACY, MODERN, OURS, environment, result, started

ROUNDS = 25


@pytest.mark.parametrize("era", [MODERN, LEGACY])
def test_starting_costs_at_most_a_fifth_more_than_a_bare_server(
    era: str, table: Table, tmp_path: Path, bytecode: Path
) -> None:
    env = environment(tmp_path, bytecode)

    def start(command: tuple[str, ...]) -> float:
        begin = perf_counter()
        with started(command, era, env) as wire:
            wire.shake_hands()
            answer = wire.request("tools/list")
            seconds = perf_counter() - begin
            assert result(answer)["tools"]
        return seconds

    for command in (OURS, BARE):  # the first start writes bytecode, and ours the key of its store
        start(command)
    assert list(bytecode.rglob("cordboard/app.*.pyc"))
    pair = Pair()
    for turn in range(ROUNDS):
        pair.take(turn, partial(start, OURS), partial(start, BARE))
    table.hold(pair.figure(f"start to first tools/list, {era}", 1.2))

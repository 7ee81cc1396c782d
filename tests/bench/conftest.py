"""Prints the table of figures when the run is over."""

from __future__ import annotations

import gc
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.bench.measuring import TABLE, Table

if TYPE_CHECKING:
    from tests.postgres import PrivateServer


def pytest_configure(config: pytest.Config) -> None:
    config.stash[TABLE] = Table()


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    table = config.stash[TABLE]
    if table.figures:
        terminalreporter.section("figures")
        for line in table.lines():
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def table(pytestconfig: pytest.Config) -> Table:
    """Where a benchmark puts its figures: `table.hold(figure)`."""
    return pytestconfig.stash[TABLE]


@pytest.fixture(scope="session")
def bytecode(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where every server started here, ours or bare, writes and finds its compiled modules."""
    path = tmp_path_factory.mktemp("bytecode")
    yield path
    shutil.rmtree(path)


@pytest.fixture
def only_own_garbage() -> Iterator[None]:
    """What pytest and every import left on the heap is not gone through while times are taken."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="session")
def durable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateServer]:
    """A PostgreSQL server that syncs what it commits."""
    from tests.postgres import private_server  # not before: the driver takes a while to load

    with private_server(tmp_path_factory.mktemp("postgres"), fsync=True) as server:
        yield server

"""Prints the table of figures when the run is over."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.bench.measuring import TABLE, Table


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

"""Prints the table of figures when the run is over."""

from __future__ import annotations

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

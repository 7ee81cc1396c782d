"""The exams' own fixtures: the long profile may take long, and some stand on every store."""

from __future__ import annotations

import faulthandler
import sys
from typing import TYPE_CHECKING

import pytest
from tests.exams.stage import MORE

if TYPE_CHECKING:
    from tests.postgres import PostgresServer

_HOURS = 3


@pytest.fixture(autouse=True)
def patience() -> None:
    """Let a test of the long profile run on where any other is ended as hanging (pyproject.toml)."""
    if MORE and sys.__stderr__ is not None:
        faulthandler.dump_traceback_later(_HOURS * 3600, exit=True, file=sys.__stderr__)


@pytest.fixture
def on(store_kind: str, request: pytest.FixtureRequest) -> PostgresServer | None:
    """The server on which `stage.stage` puts a store; None: it is a file."""
    if store_kind != "postgres":
        return None
    server: PostgresServer = request.getfixturevalue("postgres")
    return server

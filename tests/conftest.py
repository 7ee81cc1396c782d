"""Fixtures every test may use; what they hand out is in world.py."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.world import World, Worlds


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where filled stores wait to be copied."""
    return tmp_path_factory.mktemp("templates")


@pytest.fixture
def make_world(tmp_path: Path, templates: Path) -> Iterator[Worlds]:
    """Makes worlds: `make_world()`, `make_world(EMPTY)`, `make_world(policy="strict", ask_seconds=0.1)`."""
    worlds = Worlds(tmp_path, templates)
    yield worlds
    worlds.close()


@pytest.fixture
def world(make_world: Worlds) -> World:
    """The seeds' world under the standard policy."""
    return make_world()


@pytest.fixture(params=["auto", "legacy"])
def era(request: pytest.FixtureRequest) -> str:
    """Both protocol eras: auto is 2026-07-28, legacy 2025-11-25."""
    assert isinstance(request.param, str)
    return request.param

"""Fixtures every test may use; what they hand out is in world.py."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.world import Databases, World, Worlds

STORES = ("sqlite", "postgres")

if TYPE_CHECKING:
    from tests.postgres import PostgresServer


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where filled stores wait to be copied."""
    return tmp_path_factory.mktemp("templates")


@pytest.fixture(scope="session")
def databases(request: pytest.FixtureRequest) -> Databases:
    """Filled PostgreSQL databases; the server starts when the first is asked for."""
    return Databases(request.getfixturevalue("postgres"))


@pytest.fixture
def store_kind(request: pytest.FixtureRequest) -> str:
    """Which store a world stands on. A module with `ON_EVERY_STORE = True` runs on each of them."""
    return str(getattr(request, "param", os.environ.get("CORDBOARD_TEST_STORE", STORES[0])))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the tests of some modules on every store."""
    if getattr(metafunc.module, "ON_EVERY_STORE", False) and "store_kind" in metafunc.fixturenames:
        metafunc.parametrize("store_kind", STORES, indirect=True)


@pytest.fixture
def make_world(
    tmp_path: Path, templates: Path, store_kind: str, request: pytest.FixtureRequest
) -> Iterator[Worlds]:
    """Makes worlds: `make_world()`, `make_world(EMPTY)`, `make_world(policy="strict", ask_seconds=0.1)`."""
    remote = request.getfixturevalue("databases") if store_kind == "postgres" else None
    worlds = Worlds(tmp_path, templates, remote)
    yield worlds
    worlds.close()


@pytest.fixture
def world(make_world: Worlds) -> World:
    """The seeds' world under the standard policy."""
    return make_world()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """The session's PostgreSQL, started by the first test that wants it; see postgres.py."""
    from tests.postgres import shared_server  # not before: the driver takes a while to load

    with shared_server() as server:
        yield server


@pytest.fixture(params=["auto", "legacy"])
def era(request: pytest.FixtureRequest) -> str:
    """Both protocol eras: auto is 2026-07-28, legacy 2025-11-25."""
    assert isinstance(request.param, str)
    return request.param

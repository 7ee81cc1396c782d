"""Schemathesis, with all its checks, over the published document, against a real socket."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import uvicorn
from tests.world import (
    POOL_ONE,
    SECOND_LINE,
    SEEDS,
    SUPPORT_LINE,
    World,
    Worlds,
    in_a_loop_of_its_own,
)

from cordboard.app import build_web
from cordboard.config import load
from cordboard.identity import Scope
from cordboard.tokens import Tokens
from cordboard.web.openapi import document

CONFIG = Path(__file__).with_name("schemathesis.toml")
SEED = SEEDS.bound("local:support", SUPPORT_LINE, SECOND_LINE).bound(
    "local:campaign", POOL_ONE, direction="outbound"
)
WRITES: tuple[Scope, ...] = ("numbers:read", "numbers:write", "routes:read")
MOST = 10
"""Requests made up for each operation and phase."""


@contextmanager
def listening(world: World) -> Iterator[str]:
    """The world's whole HTTP side on a port of its own; its address."""
    app = build_web(load(world.environ, serving={}), world.clock)
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical"))
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()  # whoever connects before it is ready waits in the backlog
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def key_for(world: World, scopes: tuple[Scope, ...]) -> str:
    tokens = Tokens(world.app.store, world.clock)

    async def made() -> str:
        return await tokens.create("default", "exam", scopes=scopes, subject="exam", by="operator")

    return str(in_a_loop_of_its_own(made))


@pytest.mark.parametrize(
    ("policy", "scopes"),
    [("relaxed", (*WRITES, "changes:approve")), ("strict", WRITES)],
    ids=["changes are made", "changes wait for a person"],
)
def test_schemathesis_finds_nothing(
    make_world: Worlds, policy: str, scopes: tuple[Scope, ...]
) -> None:
    world = make_world(SEED, policy=policy)
    environ = os.environ | {"EXAM_KEY": key_for(world, scopes)}
    with listening(world) as url:
        ended = subprocess.run(
            [sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), "run",
             f"{url}/openapi.json", "--checks", "all", "--max-examples", str(MOST), "--seed", "4",
             "--no-color", "--warnings", "off"],
            env=environ, cwd=world.home, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
    said = ended.stdout + ended.stderr
    assert ended.returncode == 0, said
    paths = document()["paths"]
    operations = sum(len(paths[path]) for path in paths.keys() - {"/openapi.json"})  # read already
    assert f"Tested: {operations}" in said and "No issues found" in said, said
    made = re.search(r"(\d+) generated", said)
    assert made is not None and int(made[1]) > 500, said

"""The MCP Inspector's own check that hosts can use every tool's schema, in both eras, with the
program itself and over HTTP; and that what the Inspector's client calls, it gets.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp.server import MCPServer
from mcp.server.mcpserver.tools import Tool
from tests.exams.network import Asgi, bearer, listening, served
from tests.exams.node_tools import program
from tests.world import SUPPORT_LINE, World

from cordboard_tools import TOOLS

pytestmark = pytest.mark.anyio
EXAM = Path(__file__).parent / "node"
CLI = ("@modelcontextprotocol", "inspector", "clients", "launcher", "build", "index.js")
UNPORTABLE = 6
SPOKEN = {"legacy": "2025-11-25", "modern": "2026-07-28"}
NAMES = [tool.name for tool in TOOLS]
TOOL = ("--method", "tools/call", "--tool-name")
LIST = ("--method", "tools/list", "--strict")


@dataclass(frozen=True)
class Inspector:
    """The Inspector's command line, with a home of its own to write into."""

    home: Path

    async def run(self, era: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        """Run it against a server; what it printed, read with `result`."""
        command = [*program(EXAM, *CLI), "--cli", "--protocol-era", era, "--format", "json"]
        environ = os.environ | {"HOME": str(self.home)}
        with anyio.fail_after(60):
            return await anyio.run_process([*command, *arguments], check=False, env=environ)


def result(done: subprocess.CompletedProcess[bytes]) -> dict[str, Any]:
    """The one JSON object that was printed."""
    assert done.returncode == 0, done.stderr.decode()
    told: dict[str, Any] = json.loads(done.stdout)["result"]
    return told


@pytest.fixture
def inspector(tmp_path: Path) -> Inspector:
    home = tmp_path / "home"
    home.mkdir()
    return Inspector(home)


@pytest.mark.parametrize("era", SPOKEN)
async def test_every_schema_of_the_program_is_portable(
    era: str, inspector: Inspector, world: World
) -> None:
    start = [sys.executable, "-m", "cordboard"]
    setting = ("-e", f"CORDBOARD_DATABASE={world.database}")
    done = await inspector.run(era, *setting, *LIST, "--", *start)
    assert [tool["name"] for tool in result(done)["tools"]] == NAMES
    done = await inspector.run(
        era,
        *setting,
        *TOOL,
        "get_number_route",
        "--tool-arg",
        f"number={SUPPORT_LINE}",
        "--",
        *start,
    )
    assert result(done)["structuredContent"]["number"] == SUPPORT_LINE


@pytest.mark.parametrize("era", SPOKEN)
async def test_every_schema_over_http_is_portable(
    era: str, inspector: Inspector, world: World
) -> None:
    spoken: set[str] = set()
    header = ("--header", f"Authorization: {await bearer(world, 'inspector')}")
    with served(world, around=noting_versions(spoken)) as site:
        done = await inspector.run(era, site.mcp, *header, *LIST)
        assert [tool["name"] for tool in result(done)["tools"]] == NAMES
        assert spoken - {""} == {SPOKEN[era]}
        done = await inspector.run(
            era, site.mcp, *header, *TOOL, "get_number_route", "--tool-arg", f"number={SUPPORT_LINE}"
        )  # fmt: skip
        assert result(done)["structuredContent"]["number"] == SUPPORT_LINE


async def test_without_a_token_the_inspector_gets_nothing(
    inspector: Inspector, world: World
) -> None:
    with served(world) as site:
        done = await inspector.run("legacy", site.mcp, *LIST)
    assert done.returncode not in (0, UNPORTABLE)
    assert not any(name in done.stdout.decode() for name in NAMES)


async def test_the_check_finds_a_schema_that_is_not_portable(inspector: Inspector) -> None:
    def anything(x: int) -> str:
        """Takes anything."""
        return str(x)

    tool = Tool.from_function(anything)
    tool.parameters = {"type": "object", "properties": {"x": True}}
    bare = MCPServer("bare", tools=[tool])
    with socket.socket() as at:
        at.bind(("127.0.0.1", 0))
        with listening(bare.streamable_http_app(), at):
            port = at.getsockname()[1]
            done = await inspector.run("modern", f"http://127.0.0.1:{port}/mcp", *LIST)
    assert done.returncode == UNPORTABLE, done.stderr.decode()


def noting_versions(spoken: set[str]) -> Callable[[Asgi], Asgi]:
    """Notes which protocol versions the requests name."""

    def around(app: Asgi) -> Asgi:
        async def noting(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http":
                spoken.add(dict(scope["headers"]).get(b"mcp-protocol-version", b"").decode())
            await app(scope, receive, send)

        return noting

    return around

"""A real browser before a served world: Debian's Chromium, driven by Playwright, over a socket."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
import uvicorn
from playwright.async_api import Browser, async_playwright
from tests.world import World

from cordboard.app import build_web
from cordboard.config import load

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def program() -> str:
    """The browser of this machine. Where there is none a test is skipped, and fails in CI."""
    found = os.environ.get("CORDBOARD_CHROMIUM", "") or shutil.which("chromium") or ""
    if not found:
        told = "Chromium is not installed: `.ci/run` installs it, or `apt-get install chromium`"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(told)
    return found


class _Served(uvicorn.Server):
    """A server inside a test's loop: signals stay the test runner's, and it says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listens = anyio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listens.set()


@asynccontextmanager
async def listening(world: World, **serving: Any) -> AsyncIterator[str]:
    """Serve a world on a port of this machine, as `serve --http` does; its address."""
    config = {name: str(value) for name, value in world.environ.items()}
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{door.getsockname()[1]}"
        settings = load(config, serving={"public_url": url, **serving})
        app = build_web(settings, world.clock, **world.outside)
        server = _Served(uvicorn.Config(app, log_level="warning"))
        served = asyncio.ensure_future(server.serve([door]))
        try:
            with anyio.fail_after(30):
                await server.listens.wait()
            yield url
        finally:
            server.should_exit = True
            await served


@asynccontextmanager
async def chromium(home: Path) -> AsyncIterator[Browser]:
    """A browser with nothing of an earlier one in it."""
    path = program()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=path, args=list(FLAGS), env={**os.environ, "HOME": str(home)}
        )
        try:
            yield browser
        finally:
            await browser.close()

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
import uvicorn
from playwright.async_api import Browser, async_playwright
from tests.world import World

from cordboard.app import build_web
from cordboard.config import load

CHROMIUM = os.environ.get("CORDBOARD_CHROMIUM", "") or shutil.which("chromium") or ""
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


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
    assert CHROMIUM, "these tests need Chromium: `apt-get install chromium`"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=list(FLAGS), env={**os.environ, "HOME": str(home)}
        )
        try:
            yield browser
        finally:
            await browser.close()

"""A world on a real port of this machine: the whole app of `serve --http`, in a thread of its own."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import anyio
import uvicorn
from tests.world import World

from cordboard.app import build, web_of
from cordboard.clock import system_clock
from cordboard.config import load
from cordboard.identity import Scope
from cordboard.mcp_server import CordboardServer
from cordboard.tokens import Tokens
from cordboard_tools import PROMPTS, TOOLS

Asgi = Callable[..., Any]
READ_AND_WRITE: tuple[Scope, ...] = ("numbers:read", "numbers:write")


@dataclass(frozen=True)
class Served:
    """Where a world is served, and the server behind it."""

    url: str
    server: CordboardServer

    @property
    def mcp(self) -> str:
        """The address that MCP clients are given."""
        return f"{self.url}/mcp"


@contextmanager
def served(
    world: World,
    kind: type[CordboardServer] = CordboardServer,
    around: Callable[[Asgi], Asgi] = lambda app: app,
    **serving: Any,
) -> Iterator[Served]:
    """Serve a world's store by the real clock, through the production wiring.

    `around` puts something of a test's own before the app; `serving`: as `serve --http` takes it.
    """
    with socket.socket() as at:
        at.bind(("127.0.0.1", 0))
        port = at.getsockname()[1]
        settings = load(dict(world.environ), serving={"port": port, **serving})
        server = kind(build(settings), TOOLS, PROMPTS)
        with listening(around(web_of(server)), at):
            yield Served(f"http://127.0.0.1:{port}", server)


@contextmanager
def listening(app: Asgi, at: socket.socket) -> Iterator[None]:
    """Any app on a bound socket, by the server and parser that `serve --http` runs it with."""
    config = uvicorn.Config(
        app, log_config=None, ws="none", http="httptools", timeout_graceful_shutdown=5
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([at],), daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server did not start"
        time.sleep(0.01)
    try:
        yield
    finally:
        server.should_exit = True
        thread.join()


def put_back(world: World, agent: str, number: str) -> None:
    """A colleague takes a number off an agent again, in a loop of its own."""

    async def detach() -> None:
        colleague = world.another("relaxed")
        if await colleague.holders(number):
            await colleague.done("detach_numbers", agent=agent, numbers=[number])
        await colleague.close()

    anyio.run(detach)


async def bearer(world: World, subject: str, *scopes: Scope, account: str = "default") -> str:
    """The value of an `Authorization` header that somebody may send."""
    tokens = Tokens(world.app.store, system_clock)
    made = await tokens.create(
        account, subject, scopes=scopes or READ_AND_WRITE, subject=subject, by="operator"
    )
    return f"Bearer {made}"


def signed_in(header: str) -> Callable[[Asgi], Asgi]:
    """For clients that cannot send a token: what adds it to every request that has none."""

    def around(app: Asgi) -> Asgi:
        async def with_token(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http" and not any(
                n == b"authorization" for n, _ in scope["headers"]
            ):
                told = [*scope["headers"], (b"authorization", header.encode())]
                scope = {**scope, "headers": told}
            await app(scope, receive, send)

        return with_token

    return around

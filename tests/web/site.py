"""A world on the network without sockets: the whole app of `serve --http`, and tokens for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from asgi_lifespan import LifespanManager
from tests.world import World

from cordboard.app import build_web
from cordboard.config import load
from cordboard.identity import Scope
from cordboard.tokens import Tokens

URL = "http://127.0.0.1:8000"
READS: tuple[Scope, ...] = ("numbers:read",)
WRITES: tuple[Scope, ...] = ("numbers:read", "numbers:write")
APPROVES: tuple[Scope, ...] = (*WRITES, "changes:approve")


@dataclass
class WebWorld:
    """A served world: `http` speaks to it, `tokens` makes what it takes."""

    world: World
    app: Any
    http: httpx.AsyncClient
    tokens: Tokens

    async def token(
        self, name: str, *scopes: Scope, subject: str = "", account: str = "default"
    ) -> str:
        """A token for somebody, as `cordboard tokens create` makes one."""
        return await self.tokens.create(
            account, name, scopes=scopes, subject=subject or name, by="operator"
        )

    async def bearer(self, name: str, *scopes: Scope, **more: Any) -> dict[str, str]:
        """The header that carries a new token."""
        return {"authorization": f"Bearer {await self.token(name, *scopes, **more)}"}


@asynccontextmanager
async def on_the_web(world: World, **serving: Any) -> AsyncIterator[WebWorld]:
    """Serve a world as `cordboard serve --http` does: same store, policy and clock.

    `serving`: what the command's options and the `[http]` table say.
    """
    config = {name: str(value) for name, value in world.environ.items()}
    settings = load(config, serving=serving)
    app = build_web(settings, world.clock, **world.outside)
    async with LifespanManager(app, startup_timeout=30, shutdown_timeout=60):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url=URL) as http:
            yield WebWorld(world, app, http, Tokens(world.app.store, world.clock))

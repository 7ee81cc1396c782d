"""The vendors' REST of a served world, spoken to as each vendor's client does.

Every answer is held against the published document.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from tests.web import documented
from tests.web.site import APPROVES, WebWorld, on_the_web
from tests.world import World

from cordboard.identity import Scope

BLAND, UNLEASHX = "/compat/bland", "/compat/unleashx"
SYNTHFLOW = "/compat/synthflow/v2"
ATTACH = f"{UNLEASHX}/api/agent/attach-phone-number"


@dataclass
class Rest:
    """One client. `key`: a token that may do everything a change needs."""

    web: WebWorld
    key: str

    @property
    def world(self) -> World:
        return self.web.world

    async def token(self, *scopes: Scope, **more: Any) -> str:
        """Another token, of somebody else."""
        name = f"token-{len(scopes)}-{len(more)}-{'-'.join(scopes).replace(':', '-')}"
        return await self.web.token(name, *scopes, **more)

    async def send(
        self, method: str, path: str, body: Any = None, *, headers: Mapping[str, str], **more: Any
    ) -> httpx.Response:
        """One request with exactly these headers."""
        if body is not None:
            more["json"] = body
        return await self.web.http.request(method, path, headers=headers, **more)

    async def bland(
        self, method: str, path: str, body: Any = None, *, key: str = "", **more: Any
    ) -> httpx.Response:
        """A request as Bland's clients make it: the raw key in `authorization`."""
        headers = {"authorization": key or self.key} | more.pop("headers", {})
        return await self.send(method, f"{BLAND}{path}", body, headers=headers, **more)

    async def unleashx(self, body: Any = None, *, key: str = "", **more: Any) -> httpx.Response:
        """An attach as UnleashX's clients make it."""
        headers = {"token": key or self.key} | more.pop("headers", {})
        return await self.send("POST", ATTACH, body, headers=headers, **more)

    async def synthflow(
        self, method: str, path: str, body: Any = None, *, key: str = "", **more: Any
    ) -> httpx.Response:
        """A request as Synthflow's clients make it: a bearer token."""
        headers = {"authorization": f"Bearer {key or self.key}"} | more.pop("headers", {})
        return await self.send(method, f"{SYNTHFLOW}{path}", body, headers=headers, **more)

    async def state(self) -> tuple[int, dict[str, Any]]:
        """How long the journal is, and every binding: what a refusal must leave as it is."""
        numbers = await self.world.app.store.read(
            lambda tx: tx.all(
                "numbers_at", account="default", state="any", after="", limit=1000, offset=0
            )
        )
        bound = {row["number"]: await self.world.sides(row["number"]) for row in numbers}
        return await self.world.seq(), bound


@asynccontextmanager
async def served(world: World, **serving: Any) -> AsyncIterator[Rest]:
    """Serve a world. `serving`: as `on_the_web` takes it."""
    async with on_the_web(world, **serving) as web:
        web.http.event_hooks["response"].append(_checked)
        yield Rest(web, await web.token("client", *APPROVES, subject="alice"))


async def _checked(answer: httpx.Response) -> None:
    await answer.aread()
    documented.check(answer)

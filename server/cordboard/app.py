"""The one place where everything is wired: settings -> store, platforms, guard, service, server."""

from __future__ import annotations

import logging
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anyio

from cordboard.approvers import Approvers
from cordboard.clock import Clock, system_clock
from cordboard.config import Settings
from cordboard.cursors import Cursors
from cordboard.engine import Engine, Pace
from cordboard.engine.pace import Sleep
from cordboard.errors import StoreUnavailable
from cordboard.guard import Guard
from cordboard.keys import KEY_BYTES, load_key
from cordboard.platforms import Platform, RemotePlatform
from cordboard.platforms.local import LocalPlatform
from cordboard.results import Results
from cordboard.service import Approvals, BindingService, Changes, Lookups, Planner, Routes, Times
from cordboard.stores import Store
from cordboard.stores.sqlite import SqliteStore

if TYPE_CHECKING:
    from cordboard.mcp_server import CordboardServer


@dataclass(frozen=True)
class App:
    """A wired Cordboard: the service, and what the command line needs beside it."""

    settings: Settings
    store: Store
    service: BindingService
    engine: Engine
    platforms: Mapping[str, Platform]
    key: bytes
    clock: Clock

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Within, changes at vendors outlive the call that began them, and what is due is taken up.

        At the end what was sent is seen through, and every connection is let go of.
        """
        try:
            async with self.engine.working(self.settings.account):
                yield
        finally:
            for platform in self.platforms.values():
                if isinstance(platform, RemotePlatform):
                    await platform.close()
            await self.store.close()


def build(
    settings: Settings,
    clock: Clock = system_clock,
    *,
    transports: Mapping[str, Any] | None = None,
    sleep: Sleep = anyio.sleep,
) -> App:
    """Wire an app. Opens nothing yet but the key beside the store.

    `transports`: what carries the requests to a platform, by its name, in place of the network.
    """
    key = _key(settings)
    store = SqliteStore(settings.database)
    local = LocalPlatform(store)
    platforms: dict[str, Platform] = {local.name: local}
    platforms |= _vendors(settings, local, transports or {}, sleep)
    guard = Guard(settings.policy, clock)
    told = settings.platforms
    pace = Pace(told.request_seconds, told.quiet_seconds) if told else None
    engine = Engine(store, platforms, guard, clock, pace, sleep, settings.read_only)
    results = Results("" if settings.default_database else str(settings.database))
    lookups = Lookups(store, platforms, Cursors(key), clock)
    times = Times(settings.plan_seconds, settings.approval_seconds)
    planner = Planner(store, platforms, guard, clock, times, settings.read_only)
    changes = Changes(store, planner, guard, engine, results, clock)
    approvers = Approvers(store, settings.account, clock)
    approvals = Approvals(
        store, settings.account, approvers, guard, engine, results, clock, settings.read_only
    )
    service = BindingService(lookups, Routes(store, platforms, clock), changes, approvals)
    return App(settings, store, service, engine, platforms, key, clock)


def _vendors(
    settings: Settings, inventory: LocalPlatform, transports: Mapping[str, Any], sleep: Sleep
) -> dict[str, Platform]:
    """The platforms at vendors whose credentials are there; HTTP is imported only for those."""
    if settings.platforms is None:
        return {}
    from cordboard.vendors import connected

    return connected(settings.platforms, inventory, {"sleep": sleep}, transports)


def _key(settings: Settings) -> bytes:
    """The key beside the store; where that cannot be had, one for this process only.

    A store that cannot be used must not keep the server from starting: its tools then say
    STORE_UNAVAILABLE, which a person sees, and a server that does not start they do not.
    """
    try:
        return load_key(settings.database)
    except StoreUnavailable as exc:
        logging.getLogger("cordboard").warning("%s %s", exc.what, exc.remedy)
        return secrets.token_bytes(KEY_BYTES)


def build_server(
    settings: Settings, clock: Clock = system_clock, **outside: Any
) -> CordboardServer:
    """The MCP server over a wired app, ready to run on stdio or to hand to a test client.

    `outside`: as `build` takes it.
    """
    from cordboard.mcp_server import CordboardServer
    from cordboard_tools import PROMPTS, TOOLS

    return CordboardServer(build(settings, clock, **outside), TOOLS, PROMPTS)

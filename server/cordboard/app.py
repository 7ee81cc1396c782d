"""The one place where everything is wired: settings -> store, platforms, guard, service, server."""

from __future__ import annotations

import logging
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import anyio

from cordboard.approvers import Approvers
from cordboard.clock import Clock, system_clock
from cordboard.config import DEFAULT_ACCOUNT, Settings
from cordboard.cursors import Cursors
from cordboard.engine import Engine, Pace
from cordboard.engine.pace import Sleep
from cordboard.errors import StoreUnavailable
from cordboard.guard import Guard
from cordboard.keys import KEY_BYTES, load_key
from cordboard.platforms import Platform, RemotePlatform
from cordboard.platforms.local import LocalPlatform
from cordboard.results import Results
from cordboard.service import (
    Approvals,
    BindingService,
    Changes,
    InApp,
    Lookups,
    Planner,
    Routes,
    Times,
)
from cordboard.stores import Store
from cordboard.stores.sqlite import SqliteStore
from cordboard.tickets import Tickets

if TYPE_CHECKING:
    from cordboard.mcp_server import CordboardServer

_OPEN_ACCOUNTS = 256
"""So many accounts stay wired; any other is wired anew when it is asked for."""


@dataclass(frozen=True)
class App:
    """A wired Cordboard: the service, and what the command line needs beside it."""

    settings: Settings
    store: Store
    engine: Engine
    platforms: Mapping[str, Platform]
    keys: tuple[bytes, ...]
    clock: Clock
    service_of: Callable[[str], BindingService]
    """The service of an account: all platforms for this process's own, whose credentials are
    configured here, and `local` for every other."""

    @property
    def service(self) -> BindingService:
        """The service of this process's own account."""
        return self.service_of(self.settings.account)

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
    store = _store(settings)
    local = LocalPlatform(store)
    own: dict[str, Platform] = {local.name: local}
    own |= _vendors(settings, local, transports or {}, sleep)
    read_only, keys = settings.read_only, _keys(settings)
    guard = Guard(settings.policy, clock, Tickets(keys))
    told = settings.platforms
    pace = Pace(told.request_seconds, told.quiet_seconds) if told else None
    engine = Engine(store, own, guard, clock, pace, sleep, read_only)

    @lru_cache(_OPEN_ACCOUNTS)
    def service_of(account: str) -> BindingService:
        mine = account == settings.account
        platforms = own if mine else {local.name: local}
        applies = engine if mine else Engine(store, platforms, guard, clock, read_only=read_only)
        results = _results(settings, account)
        times = Times(settings.plan_seconds, settings.approval_seconds)
        planner = Planner(store, platforms, guard, clock, times, read_only)
        approvers = Approvers(store, account, clock)
        return BindingService(
            Lookups(store, platforms, Cursors(keys[0]), clock),
            Routes(store, platforms, clock),
            Changes(store, planner, guard, applies, results, clock),
            InApp(store, planner, guard, applies, results, clock),
            Approvals(store, account, approvers, guard, applies, results, clock, read_only),
        )

    return App(settings, store, engine, own, keys, clock, service_of)


def _store(settings: Settings) -> Store:
    """The file, or the database; its driver is imported only for that."""
    if not settings.postgres:
        return SqliteStore(settings.database)
    from cordboard.stores.postgres import PostgresStore

    return PostgresStore(
        settings.postgres,
        replica=settings.replica,
        bound_seconds=settings.remember_seconds,
    )


def _results(settings: Settings, account: str) -> Results:
    """How an account's answers tell a person to approve: on which store, at which page."""
    database = "" if settings.default_database else settings.place
    page = "" if settings.http is None else f"{settings.http.url}/approvals"
    return Results(database, page, "" if account == DEFAULT_ACCOUNT else account)


def _vendors(
    settings: Settings, inventory: LocalPlatform, transports: Mapping[str, Any], sleep: Sleep
) -> dict[str, Platform]:
    """The platforms at vendors whose credentials are there; HTTP is imported only for those."""
    if settings.platforms is None:
        return {}
    from cordboard.vendors import connected

    return connected(settings.platforms, inventory, {"sleep": sleep}, transports)


def _keys(settings: Settings) -> tuple[bytes, ...]:
    """What seals request state and cursors (the first) and opens them: what the operator gave, or
    the key beside the store; where that cannot be had, one for this process only.

    A store that cannot be used must not keep the server from starting: its tools then say
    STORE_UNAVAILABLE, which a person sees, and a server that does not start they do not.
    """
    if settings.http is not None and settings.http.state_keys:
        return settings.http.state_keys
    try:
        return (seal_key(settings),)
    except StoreUnavailable as exc:
        logging.getLogger("cordboard").warning("%s %s", exc.what, exc.remedy)
        return (secrets.token_bytes(KEY_BYTES),)


def seal_key(settings: Settings) -> bytes:
    """The key of this store, made at first use: in the database, or in the file beside the store.

    Raises: StoreUnavailable.
    """
    if not settings.postgres:
        return load_key(settings.database)
    from cordboard.stores.postgres.keys import load_shared_key

    return load_shared_key(settings.postgres)


def build_web(settings: Settings, clock: Clock = system_clock, **outside: Any) -> Any:
    """The ASGI app of `serve --http`: MCP and everything beside it. `outside`: as `build` takes it.

    `settings.http` must be there.
    """
    return web_of(build_server(settings, clock, **outside))


def web_of(server: CordboardServer) -> Any:
    """The ASGI app around an MCP server: whose tokens count, and every room of the web."""
    from cordboard.tokens import Tokens
    from cordboard.web import assembled
    from cordboard.web.site import Site, Verifiers

    app = server.app
    http = app.settings.http
    if http is None:
        raise TypeError("settings that were not loaded for HTTP")
    tokens = Tokens(app.store, app.clock)
    if http.oauth is None:
        return assembled(server, Site(app, http, tokens))
    from cordboard.web.oauth import OAuthVerifier

    oauth = OAuthVerifier(http.oauth, app.settings.account, app.clock)
    return assembled(server, Site(app, http, Verifiers((tokens, oauth)), (oauth.close,)))


def build_server(
    settings: Settings, clock: Clock = system_clock, **outside: Any
) -> CordboardServer:
    """The MCP server over a wired app, ready to run on stdio or to hand to a test client.

    `outside`: as `build` takes it.
    """
    from cordboard.mcp_server import CordboardServer
    from cordboard_tools import PROMPTS, TOOLS

    return CordboardServer(build(settings, clock, **outside), TOOLS, PROMPTS)

"""The one place where everything is wired: settings -> store, platforms, guard, service, server."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cordboard.approvers import Approvers
from cordboard.clock import Clock, system_clock
from cordboard.config import Settings
from cordboard.cursors import Cursors
from cordboard.engine import Engine
from cordboard.errors import StoreUnavailable
from cordboard.guard import Guard
from cordboard.keys import KEY_BYTES, load_key
from cordboard.platforms import Platform
from cordboard.platforms.local import LocalPlatform
from cordboard.results import Results
from cordboard.service import Approvals, BindingService, Changes, Lookups, Routes, Times
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


def build(settings: Settings, clock: Clock = system_clock) -> App:
    """Wire an app. Opens nothing yet but the key beside the store."""
    key = _key(settings)
    store = SqliteStore(settings.database)
    local = LocalPlatform(store)
    platforms = {local.name: local}
    guard = Guard(settings.policy, clock)
    engine = Engine(store, platforms, guard, clock)
    results = Results("" if settings.default_database else str(settings.database))
    lookups = Lookups(store, platforms, Cursors(key), clock)
    times = Times(settings.plan_seconds, settings.approval_seconds)
    changes = Changes(store, platforms, guard, engine, results, clock, times, settings.read_only)
    approvers = Approvers(store, settings.account, clock)
    approvals = Approvals(
        store, settings.account, approvers, guard, engine, results, clock, settings.read_only
    )
    service = BindingService(lookups, Routes(store, platforms, clock), changes, approvals)
    return App(settings, store, service, engine, platforms, key, clock)


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


def build_server(settings: Settings, clock: Clock = system_clock) -> CordboardServer:
    """The MCP server over a wired app, ready to run on stdio or to hand to a test client."""
    from cordboard.mcp_server import CordboardServer
    from cordboard_tools import PROMPTS, TOOLS

    return CordboardServer(build(settings, clock), TOOLS, PROMPTS)

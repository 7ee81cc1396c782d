"""The real `cordboard serve --http` on a free port of loopback, and clients of it over sockets."""

from __future__ import annotations

import os
import re
import secrets
import signal
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import httpx
import httpx2
from anyio.abc import Process
from anyio.streams.text import TextReceiveStream
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from tests.world import SEEDS, Person, Reply, Seed, fill, read

from cordboard.clock import system_clock
from cordboard.identity import Scope
from cordboard.stores.sqlite import SqliteStore
from cordboard.tokens import Tokens

WRITES: tuple[Scope, ...] = ("numbers:read", "numbers:write")
_LINES_AT_START = 3
MODERN = "2026-07-28"
_PATIENCE = 60.0
"""Seconds that anything may take on a busy machine."""


@dataclass
class Served:
    """A running server: where it is, and what it has said on standard error."""

    database: Path
    process: Process
    url: str = ""
    said: list[str] = field(default_factory=list[str])
    trusted: ssl.SSLContext | bool = True
    ended: anyio.Event = field(default_factory=anyio.Event)

    async def token(self, subject: str = "alice", scopes: Sequence[Scope] = WRITES) -> str:
        """A new token of somebody's, as `cordboard tokens create` makes one."""
        name = f"token-{secrets.token_hex(4)}"
        store = SqliteStore(self.database)
        try:
            return await Tokens(store, system_clock).create(
                "default", name, scopes=scopes, subject=subject, by="operator"
            )
        finally:
            await store.close()

    @asynccontextmanager
    async def http(self, **headers: str) -> AsyncIterator[httpx.AsyncClient]:
        """A plain HTTP client; each has connections of its own."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with httpx.AsyncClient(
            base_url=self.url, headers=named, verify=self.trusted, timeout=_PATIENCE
        ) as client:
            yield client

    @asynccontextmanager
    async def client(
        self, token: str, era: str = "auto", person: Person | None = None
    ) -> AsyncIterator[Caller]:
        """An MCP client over connections of its own.

        `auto` is 2026-07-28 here, said outright: a client that asks first falls back to the older
        protocol where the answer to that is slow to come.
        """
        mode = MODERN if era == "auto" else era
        headers = {"Authorization": f"Bearer {token}"}
        async with httpx2.AsyncClient(
            headers=headers, verify=self.trusted, timeout=_PATIENCE
        ) as carrier:
            transport = streamable_http_client(f"{self.url}/mcp", http_client=carrier)
            async with Client(transport, mode=mode, elicitation_callback=person) as connected:
                yield Caller(connected)

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal; the exit code."""
        self.process.send_signal(number)
        return await self.end()

    async def end(self) -> int:
        """Wait for its end; the exit code."""
        with anyio.fail_after(_PATIENCE):
            code = await self.process.wait()
            await self.ended.wait()
        return code

    @property
    def logged(self) -> list[str]:
        """What it said behind the lines of its start."""
        return self.said[_LINES_AT_START:]


@dataclass(frozen=True)
class Caller:
    """A connected MCP client."""

    connected: Client

    async def __call__(self, tool: str, /, **arguments: Any) -> Reply:
        return read(await self.connected.call_tool(tool, arguments))


@asynccontextmanager
async def serving(
    database: Path,
    *options: str,
    environ: Mapping[str, str] | None = None,
    trusted: ssl.SSLContext | bool = True,
) -> AsyncIterator[Served]:
    """The server on this store, listening when the block begins; killed at its end if need be."""
    async with _started(database, *options, environ=environ or {}) as served:
        served.trusted = trusted
        with anyio.fail_after(_PATIENCE):
            while len(served.said) < _LINES_AT_START:
                assert not served.ended.is_set(), served.said
                await anyio.sleep(0.01)
        found = re.search(r"serves MCP at (\S+)/mcp ", served.said[0])
        assert found, served.said
        served.url = found[1]
        yield served


async def refused(
    database: Path, *options: str, environ: Mapping[str, str] | None = None
) -> tuple[int, list[str]]:
    """Exit code and words of a server that does not come up."""
    async with _started(database, *options, environ=environ or {}) as served:
        return await served.end(), served.said


@asynccontextmanager
async def _started(
    database: Path, *options: str, environ: Mapping[str, str]
) -> AsyncIterator[Served]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("CORDBOARD_", "OTEL_"))}
    async with anyio.create_task_group() as group:
        process = await anyio.open_process(
            [sys.executable, "-m", "cordboard", "serve", "--http", "--port", "0", *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=clean | {"CORDBOARD_DATABASE": str(database)} | dict(environ),
        )
        served = Served(database, process)
        group.start_soon(_listen, served)
        try:
            yield served
        finally:
            if process.returncode is None:
                process.kill()
            with anyio.CancelScope(shield=True):
                await process.wait()
            group.cancel_scope.cancel()
            await process.aclose()


async def _listen(served: Served) -> None:
    assert served.process.stderr is not None
    rest = ""
    async for text in TextReceiveStream(served.process.stderr, errors="replace"):
        *lines, rest = (rest + text).split("\n")
        served.said += lines
    served.said += [rest] if rest else []
    served.ended.set()


async def filled(path: Path, seed: Seed = SEEDS) -> Path:
    """A store with a seed in it."""
    store = SqliteStore(path)
    await store.write(lambda tx: fill(tx, seed))
    await store.close()
    return path

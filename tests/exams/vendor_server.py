"""Vendors on a real loopback socket, that count every effect and kill at a moment one can name.

A `Vendor` is one account at one of the stateful fakes, under a path of its own. Every request takes
a few milliseconds before and after what it does; both spans come from the vendor's seed. What a
write changed is found by comparing the truth before and after it, not by what the fake answered.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Literal

import uvicorn
from starlette.types import Message, Receive, Scope, Send
from tests.platforms.wire import Fake

Phase = Literal["arrived", "done", "answered"]
"""Of one request: before it does anything; after it, before its answer; after its answer."""
PHASES: tuple[Phase, ...] = ("arrived", "done", "answered")
Holders = Mapping[str, frozenset[str]]
"""Who holds each number, in truth: agents as in `Write.agent`."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request of the process that is called `by`; `kind` and `numbers` are empty for a read."""

    at: float
    by: str
    kind: str
    numbers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Effect:
    """A write that changed who holds a number. `at`: seconds since the epoch."""

    at: float
    by: str
    kind: str
    number: str


@dataclass(frozen=True, slots=True)
class Trap:
    """Do `spring` once, `pause` seconds after a phase of the `turn`-th request (of the `turn`-th
    write: `writes`), counted from 1 on."""

    turn: int
    phase: Phase
    pause: float
    spring: Callable[[], None]
    writes: bool = False


def killing(pid: int) -> Callable[[], None]:
    """SIGKILL to a process that is not waited for yet."""

    def kill() -> None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    return kill


class Vendor:
    """One account, reached under `/NAME/PROCESS/…`; what PROCESS is called, its requests are `by`."""

    def __init__(
        self, name: str, fake: Fake, holders: Callable[[Any], Holders], seed: object
    ) -> None:
        self.name, self.fake = name, fake
        self.gate = threading.Event()
        """What a write waits for that was told to `wait`."""
        self._holders = holders
        self._chance = random.Random(f"{seed}-vendor")  # noqa: S311 - pauses, not secrets
        self._lock = threading.Lock()
        self._trap: Trap | None = None
        self._waits = False
        self._begun = False  # the trap's request is here
        self._sprung = threading.Event()
        self._sprung_at: float | None = None
        self._turns = {"request": 0, "write": 0}
        self._arrivals: list[Arrival] = []
        self._effects: list[Effect] = []

    @property
    def truth(self) -> Holders:
        """Who holds each number now."""
        with self._lock:
            return self._holders(self.fake.state)

    @property
    def arrivals(self) -> list[Arrival]:
        """Every request that was carried out, in order."""
        with self._lock:
            return list(self._arrivals)

    @property
    def effects(self) -> list[Effect]:
        """Every change of the truth, in order."""
        with self._lock:
            return list(self._effects)

    def set(self, trap: Trap | None = None, *, wait: bool = False) -> float | None:
        """Count requests from here on, and spring the trap; `wait`: the write that springs it is
        carried out only once the gate is open. When the trap before it sprang, or None."""
        if self._begun:
            self._sprung.wait(5)
        with self._lock:
            sprung_at, self._sprung_at = self._sprung_at, None
            self._turns = {"request": 0, "write": 0}
            self._trap, self._waits, self._begun = trap, wait, False
            self._sprung.clear()
        return sprung_at

    @property
    def armed(self) -> bool:
        """Whether the request that springs the trap is still to come."""
        return self._trap is not None

    @property
    def requests(self) -> int:
        """How many came since `set`."""
        return self._turns["request"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await _body(receive)
        _, _, by, path = scope["path"].split("/", 3)
        waits = self._waits
        trap = self._due("request" if scope["method"] == "GET" else "write")
        await self._pause()
        await self._spring(trap, "arrived")
        if trap and waits:
            await asyncio.to_thread(self.gate.wait, 30)
        told = await self._carried_out(_at(scope, path), body, by)
        await self._spring(trap, "done")
        await self._pause()
        for message in told:
            await send(message)
        await self._spring(trap, "answered")

    def _due(self, what: Literal["request", "write"]) -> Trap | None:
        with self._lock:
            self._turns["request"] += 1
            self._turns["write"] += what == "write"
            trap = self._trap
            if trap is None or (trap.writes and what != "write"):
                return None
            turn = self._turns["write" if trap.writes else "request"]
            if turn != trap.turn:
                return None
            self._trap, self._begun = None, True
            return trap

    async def _spring(self, trap: Trap | None, phase: Phase) -> None:
        if trap is not None and trap.phase == phase:
            await asyncio.sleep(trap.pause)
            self._sprung_at = time.time()
            trap.spring()
            self._sprung.set()

    async def _pause(self) -> None:
        await asyncio.sleep(self._chance.uniform(0.001, 0.006))

    async def _carried_out(self, scope: Scope, body: bytes, by: str) -> list[Message]:
        """The fake's answer, its effect counted. The fake waits for nothing, so nothing comes
        between what it found and what it left."""
        told: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Message) -> None:
            told.append(message)

        with self._lock:
            before, count = self._holders(self.fake.state), len(self.fake.writes)
            await self.fake.app(scope, receive, send)  # never suspends, so the lock is safe
            self._count(by, before, count)
        return told

    def _count(self, by: str, before: Holders, count: int) -> None:
        now, after = time.time(), self._holders(self.fake.state)
        written = self.fake.writes[count:]
        kind = written[0].kind if written else ""
        self._arrivals.append(Arrival(now, by, kind, written[0].numbers if written else ()))
        for number in before:
            if before[number] != after[number]:
                self._effects.append(Effect(now, by, kind, number))


async def _body(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        body += bytes(message.get("body", b""))
        if not message.get("more_body", False):
            return body


def _at(scope: Scope, path: str) -> Scope:
    """The request as a fake sees it, that stands at the root."""
    raw = scope["raw_path"].split(b"/", 3)[3]
    return {**scope, "path": f"/{path}", "raw_path": b"/" + raw, "root_path": ""}


class VendorServer:
    """Many vendors behind one address, in a thread of its own."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._vendors: dict[str, Vendor] = {}

    @contextmanager
    def having(self, vendor: Vendor) -> Iterator[None]:
        """Its account can be reached within the block."""
        self._vendors[vendor.name] = vendor
        try:
            yield
        finally:
            del self._vendors[vendor.name]

    def url(self, vendor: Vendor, by: str) -> str:
        """The base URL of that account for the process called `by`."""
        return f"{self.address}/{vendor.name}/{by}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._vendors[scope["path"].split("/", 2)[1]](scope, receive, send)


@contextmanager
def serving() -> Iterator[VendorServer]:
    """The server on a free port of the loopback interface; it ends with the block."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listening:
        vendors = VendorServer(f"http://127.0.0.1:{listening.getsockname()[1]}")
        config = uvicorn.Config(
            vendors, lifespan="off", ws="none", log_config=None, access_log=False,
            timeout_graceful_shutdown=1,
        )  # fmt: skip
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        try:
            yield vendors
        finally:
            server.should_exit = True
            thread.join(10)

"""HTTP as an adapter needs it: reads are tried again, writes are sent once, keys stay secret.

A platform moves live calls, so of every write it must be known whether it may have arrived:

- PlatformError and those below it: certainly not done. No connection came about, `send_by` had
  passed, or the platform said no (429, a redirect).
- AnswerLost: it may be done. Everything that breaks once bytes may have left.

What httpx 0.28 raises before the first byte of a request leaves: ConnectError (refused, name not
found, TLS handshake), ConnectTimeout, PoolTimeout, ProxyError (the proxy gave no tunnel). All
else proves nothing: httpcore even swallows a WriteError and waits for an answer.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable, Mapping
from http.cookiejar import CookieJar, DefaultCookiePolicy
from importlib.metadata import version
from typing import Any

import anyio
import httpx

from cordboard import telemetry
from cordboard.clock import steady
from cordboard.http_client.address import checked, give_up_after, segment
from cordboard.http_client.answers import (
    Reply,
    Secrets,
    Unreadable,
    body_of,
    reply_of,
    seconds_asked,
    wait_before,
)
from cordboard.http_client.outcomes import (
    Answer,
    Timeouts,
    Trouble,
    may_read_again,
    of_read,
    of_write,
    trouble_of,
    where,
)

__all__ = ["HttpClient", "Reply", "Timeouts", "Transport", "segment"]

Transport = httpx.AsyncBaseTransport
"""What carries requests; whoever hands one in need not import httpx."""

_LOG = logging.getLogger(__name__)

for _noisy in ("httpx", "httpcore"):  # they log addresses, which carry phone numbers, and headers
    logging.getLogger(_noisy).setLevel(logging.WARNING)

_TIMEOUTS = Timeouts()


class _TooLate(Exception):
    """`send_by` passed while a connection was being made."""


_Pair = tuple[httpx.AsyncClient, httpx.AsyncClient]


class HttpClient:
    """One platform's API: a base address, a key in `headers`, how many reads and writes at once.

    All values of `headers` are secrets: they stand in no text, error or log. Proxies and
    certificates that the environment names are used, for they are the operator's wish (not for
    loopback). No .netrc, no cookies, no redirects.
    Raises: ValueError for a base_url, key, proxy or certificate file that cannot be used.
    """

    def __init__(
        self,
        name: str,
        base_url: str,
        headers: Mapping[str, str],
        *,
        timeouts: Timeouts = _TIMEOUTS,
        at_once: int = 4,
        transport: Transport | None = None,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
        read_tries: int = 4,
        now: Callable[[], float] = steady,
    ) -> None:
        """`name`: the platform's, for messages. `now`: the clock of `send_by`, in seconds."""
        self._name = name
        self._timeouts = timeouts
        self._secrets = Secrets(name, headers)
        # Apart: a person who looks is not kept waiting by writes that a slow vendor holds up.
        self._reading, self._writing = anyio.Semaphore(at_once), anyio.Semaphore(at_once)
        self._sleep = sleep
        self._tries = max(1, read_tries)
        self._now = now
        base, loopback = checked(name, base_url)
        self._host = httpx.URL(base).host
        shared: dict[str, Any] = {
            "base_url": base,
            "headers": {**_own_headers(), **headers},
            "timeout": httpx.Timeout(timeouts.read, connect=timeouts.connect),
            "trust_env": not loopback,
        }
        self._open: Callable[[], _Pair] = lambda: _clients(name, dict(shared), at_once, transport)
        self._pair: _Pair | None = self._open()  # now, so that wrong settings are told at once

    @property
    def _reader(self) -> httpx.AsyncClient:
        return self._connected()[0]

    @property
    def _writer(self) -> httpx.AsyncClient:
        return self._connected()[1]

    def _connected(self) -> _Pair:
        if self._pair is None:
            self._pair = self._open()
        return self._pair

    async def get(self, path: str, params: Mapping[str, str | int] | None = None) -> Reply:
        """Read; tried again on 429, 502, 503, 504, timeouts and broken connections.

        Returns any other answer, 4xx included. Raises: PlatformUnreachable, PlatformRateLimited;
        PlatformError for 5xx, a redirect, an answer too large.
        """
        return await self._read("GET", path, params=params)

    async def ask(self, path: str, form: Mapping[str, str]) -> Reply:
        """Read by a POST of a form, for what may stand in no address; tried again and raises as `get`.

        The values of `form` stand in no text, error or log.
        """
        return await self._read("POST", path, data=form)

    async def _read(self, method: str, path: str, **what: Any) -> Reply:
        begun = self._now()
        tries, came = 1, await self._once(self._reader, method, path, **what)
        while self._may_try(tries, begun) and may_read_again(came):
            await self._pause(wait_before(tries, came.wait), where(method, path, tries))
            tries, came = tries + 1, await self._once(self._reader, method, path, **what)
        return of_read(self._name, came, where(method, path, tries))

    async def send(self, method: str, path: str, body: Any = None, *, send_by: float) -> Reply:
        """Write, once; again on 429 alone. No request begins after `send_by`.

        Returns 2xx and 4xx. Raises: AnswerLost where it may have been done; PlatformUnreachable,
        PlatformRateLimited, PlatformError where it certainly was not.
        """
        once = {"json": body, "send_by": send_by}
        tries, came = 1, await self._once(self._writer, method, path, **once)
        while tries < self._tries and isinstance(came, Answer) and came.reply.status == 429:
            wait = wait_before(tries, came.wait)
            if self._now() + wait >= send_by:
                break
            await self._pause(wait, where(method, path, tries))
            tries, came = tries + 1, await self._once(self._writer, method, path, **once)
        return of_write(self._name, came, where(method, path, tries))

    def _may_try(self, tries: int, begun: float) -> bool:
        """Whether a read may begin once more: a caller waits, and not for four times the longest."""
        longest = self._timeouts.connect + self._timeouts.read
        return tries < self._tries and self._now() - begun < 2 * longest

    async def close(self) -> None:
        """Let go of connections; the next request opens new ones."""
        pair, self._pair = self._pair, None
        for client in pair or ():
            await client.aclose()

    async def _pause(self, seconds: float, at: str) -> None:
        _LOG.info("%s: trying again in %.1f s (%s)", self._name, seconds, at)
        await self._sleep(seconds)

    async def _once(
        self,
        client: httpx.AsyncClient,
        method: str,
        path: str,
        send_by: float = math.inf,
        **what: Any,
    ) -> Answer | Trouble:
        if not path.startswith("/") or path.startswith("//"):
            raise ValueError("a path begins with one slash, so that no address can stand there")
        request = client.build_request(
            method, path, extensions={"trace": self._watch(send_by)}, **what
        )
        slots = self._reading if client is self._reader else self._writing
        with anyio.move_on_after(send_by - self._now()) as waiting:
            await slots.acquire()
        if waiting.cancelled_caught:
            return self._too_late()
        try:
            if self._now() >= send_by:
                return self._too_late()
            with telemetry.vendor_call(self._name, method, self._host) as call:
                came = await self._tried(client, request)
                call.told(came.reply.status if isinstance(came, Answer) else None)
            return came
        finally:
            slots.release()

    def _watch(self, send_by: float) -> Callable[[str, Any], Awaitable[None]]:
        """Connecting takes a while; httpcore calls this just before the first byte is written."""

        longest = self._timeouts.connect + self._timeouts.read

        async def watch(event: str, told: Any) -> None:
            if event == "connection.connect_tcp.complete":
                give_up_after(longest, told["return_value"].get_extra_info("socket"))
            if event.endswith(".send_request_headers.started") and self._now() >= send_by:
                raise _TooLate

        return watch

    def _too_late(self) -> Trouble:
        return Trouble(f"The time to send this to {self._name} was over", sent=False)

    async def _tried(self, client: httpx.AsyncClient, request: httpx.Request) -> Answer | Trouble:
        """One try. Errors become values here, so that none is chained to one that shows the key."""
        with anyio.move_on_after(self._timeouts.connect + self._timeouts.read):
            try:
                response = await client.send(request, stream=True)
                try:
                    body = await body_of(response)
                finally:
                    await response.aclose()
            except _TooLate:
                return self._too_late()
            except Unreadable as error:
                return Trouble(f"{self._name} answered with {error}", again=False)
            # OSError: anyio lets a TLS error after the handshake through as it is.
            except (httpx.HTTPError, OSError) as error:
                return trouble_of(self._name, self._timeouts, error)
            wait = seconds_asked(response.headers.get("retry-after", ""))
            return Answer(reply_of(response.status_code, body, self._secrets), wait)
        both = self._timeouts.connect + self._timeouts.read
        return Trouble(f"{self._name} did not finish its answer within {both:g} s")


def _clients(name: str, shared: dict[str, Any], at_once: int, transport: Transport | None) -> _Pair:
    """One for reads, one for writes.

    A kept connection that the server closes just as a request leaves looks like a lost answer. A
    read is tried again. A write would be held for nothing, so each has a connection of its own.
    """
    # Node.js closes an idle connection after 5 seconds, others later; we are first.
    kept = httpx.Limits(max_connections=at_once, keepalive_expiry=4.0)
    alone = httpx.Limits(max_connections=at_once, max_keepalive_connections=0)
    no_cookies = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
    hooks = {"response": [_forget_location]}
    shared |= {"transport": transport, "cookies": no_cookies, "event_hooks": hooks}
    try:
        verify = httpx.create_ssl_context() if transport is None else True
        return (
            httpx.AsyncClient(**shared, verify=verify, limits=kept),
            httpx.AsyncClient(**shared, verify=verify, limits=alone),
        )
    except (ValueError, ImportError, OSError, httpx.InvalidURL):
        what = "a proxy or certificate file that the environment names cannot be used"
        names = "HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, SSL_CERT_FILE and SSL_CERT_DIR"
        raise ValueError(f"{name}: {what}; check {names}") from None


def _own_headers() -> dict[str, str]:
    agent = f"cordboard/{version('cordboard')}"
    return {"user-agent": agent, "accept": "application/json", "accept-encoding": "gzip"}


async def _forget_location(response: httpx.Response) -> None:
    """Even where it follows no redirect, httpx makes the next request of it, and may fail there."""
    response.headers.pop("location", None)

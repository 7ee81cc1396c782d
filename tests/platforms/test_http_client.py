"""The HTTP client of the adapters: what is tried again, what is lost, what never leaks."""

from __future__ import annotations

import gzip
import json
import logging
import math
import socket
import traceback
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import httpx
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from tests.platforms.wire import Fake, Fault, Wire, application

from cordboard.clock import steady
from cordboard.errors import (
    AnswerLost,
    InvalidArguments,
    PlatformError,
    PlatformRateLimited,
    PlatformUnreachable,
)
from cordboard.http_client import HttpClient, Timeouts, segment

pytestmark = pytest.mark.anyio

KEY = "sk-live/4f9a+77\\c1"
NUMBER = "+14155551234"
SETTINGS = f"/v1/inbound/{segment(NUMBER)}/settings"

Handler = Callable[[httpx.Request], httpx.Response]
SlowHandler = Callable[[httpx.Request], Coroutine[None, None, httpx.Response]]


@dataclass
class Pauses:
    """Takes the place of sleeping: writes down, and lets the time of `now` pass."""

    seconds: list[float] = field(default_factory=list)
    time: float = 1000.0

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        self.time += seconds

    def now(self) -> float:
        return self.time


@dataclass
class Server:
    """Answers in turn what it was told; an exception is raised. The last is repeated."""

    turns: list[httpx.Response | Exception | Handler]
    requests: list[httpx.Request] = field(default_factory=list)

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        turn = self.turns[min(len(self.requests), len(self.turns)) - 1]
        if isinstance(turn, Exception):
            raise turn
        return turn if isinstance(turn, httpx.Response) else turn(request)


def a_client(server: SlowHandler, **options: Any) -> HttpClient:
    settings: dict[str, Any] = {"sleep": Pauses(), "transport": httpx.MockTransport(server)}
    return HttpClient(
        "Bland", "https://api.bland.test", {"authorization": KEY}, **(settings | options)
    )


def in_a_minute(pauses: Pauses) -> float:
    return pauses.now() + 60


def ok(data: Any = None, **headers: str) -> httpx.Response:
    return httpx.Response(200, json={"status": "ok"} if data is None else data, headers=headers)


def chain(error: BaseException) -> str:
    """All that a traceback could print."""
    return (
        "".join(traceback.format_exception(error)) + repr(error.__cause__) + repr(error.__context__)
    )


# --- reads -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "first",
    [
        httpx.Response(429),
        httpx.Response(502),
        httpx.Response(503),
        httpx.Response(504),
        httpx.ReadTimeout(""),
        httpx.ConnectTimeout(""),
        httpx.ConnectError(""),
        httpx.ReadError(""),
        httpx.RemoteProtocolError(""),
        OSError("a TLS error after the handshake"),
    ],
    ids=repr,
)
async def test_a_read_is_tried_again(first: httpx.Response | Exception) -> None:
    server, pauses = Server([first, ok({"data": [1]})]), Pauses()
    reply = await a_client(server, sleep=pauses).get("/v1/personas", {"page": 2})
    assert (reply.status, reply.data, reply.is_json) == (200, {"data": [1]}, True)
    assert [str(r.url) for r in server.requests] == [
        "https://api.bland.test/v1/personas?page=2"
    ] * 2
    assert len(pauses.seconds) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422])
async def test_a_refusal_is_handed_to_the_adapter_at_once(status: int) -> None:
    server = Server([httpx.Response(status, json={"error": "no"})])
    reply = await a_client(server).get("/v1/personas")
    assert (reply.status, reply.data, len(server.requests)) == (status, {"error": "no"}, 1)


GIVEN_UP = [
    (
        httpx.Response(429),
        PlatformRateLimited,
        "Bland asks to slow down (GET personas; tried 4 times).",
        4,
    ),
    (httpx.Response(503), PlatformError, "Bland answered 503 (GET personas; tried 4 times).", 4),
    (
        httpx.Response(500, json={"message": "no luck"}),
        PlatformError,
        'Bland answered 500 (GET personas). It said: "no luck".',
        1,
    ),
    (
        httpx.ReadTimeout(""),
        PlatformUnreachable,
        "Bland did not answer within 10 s (GET personas; tried 4 times).",
        4,
    ),
    (
        httpx.ConnectTimeout(""),
        PlatformUnreachable,
        "Bland cannot be reached: no connection within 5 s (GET personas; tried 4 times).",
        4,
    ),
    (
        httpx.ReadError(""),
        PlatformUnreachable,
        "The connection to Bland broke off (GET personas; tried 4 times).",
        4,
    ),
    (
        httpx.Response(302, headers={"location": "https://evil.test/"}),
        PlatformError,
        "Bland answered with a redirect, 302, which is never followed (GET personas).",
        1,
    ),
]


@pytest.mark.parametrize(("turn", "kind", "what", "tries"), GIVEN_UP, ids=lambda v: str(v)[:40])
async def test_a_read_that_fails_says_who_and_what(
    turn: httpx.Response | Exception, kind: type[PlatformError], what: str, tries: int
) -> None:
    server = Server([turn])
    with pytest.raises(PlatformError) as caught:
        await a_client(server).get("/v1/personas")
    assert type(caught.value) is kind
    assert caught.value.what == what
    assert len(server.requests) == tries


async def test_waits_double_with_jitter() -> None:
    pauses = Pauses()
    with pytest.raises(PlatformError):
        await a_client(Server([httpx.Response(503)]), sleep=pauses, read_tries=7).get(
            "/v1/personas"
        )
    most = [0.5, 1, 2, 4, 8, 10]
    assert len(pauses.seconds) == 6
    assert all(m / 2 <= s <= m for s, m in zip(pauses.seconds, most, strict=True)), pauses.seconds
    assert pauses.seconds[:5] != most[:5]


def in_seconds(seconds: float) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize(
    ("header", "least", "most"),
    [
        ("3", 3, 3.3),
        ("2.5", 2.5, 2.75),
        ("0", 0.25, 0.5),
        ("3600", 10, 10),
        ("9" * 5000, 0.25, 0.5),
        ("soon", 0.25, 0.5),
        ("Mon, 99 Foo 2026 00:00:00 GMT", 0.25, 0.5),
        (in_seconds(-60), 0.25, 0.5),
        (in_seconds(36000), 10, 10),
    ],
    ids=lambda v: str(v)[:30],
)
async def test_retry_after_is_honoured_up_to_ten_seconds(
    header: str, least: float, most: float
) -> None:
    pauses = Pauses()
    server = Server([httpx.Response(503, headers={"retry-after": header}), ok()])
    await a_client(server, sleep=pauses).get("/v1/personas")
    assert least <= pauses.seconds[0] <= most


async def test_retry_after_may_be_a_date() -> None:
    pauses = Pauses()
    late = httpx.Response(429, headers={"retry-after": in_seconds(6)})
    await a_client(Server([late, ok()]), sleep=pauses).get("/v1/personas")
    assert 3 < pauses.seconds[0] <= 6.6


# --- writes ------------------------------------------------------------------------------------

LOST = [
    httpx.ReadTimeout(""),
    httpx.WriteTimeout(""),
    httpx.ReadError(""),
    httpx.WriteError(""),
    httpx.RemoteProtocolError(""),
    OSError("a TLS error after the handshake"),
    httpx.Response(500),
    httpx.Response(502),
    httpx.Response(503, headers={"retry-after": "1"}),
    httpx.Response(504),
    httpx.Response(408),
    httpx.Response(303, headers={"location": "/v1/done"}),
    httpx.Response(101),
]


@pytest.mark.parametrize("turn", LOST, ids=repr)
async def test_a_write_that_may_have_arrived_is_lost_and_never_repeated(
    turn: httpx.Response | Exception,
) -> None:
    server, pauses = Server([turn, ok()]), Pauses()
    http = a_client(server, sleep=pauses, now=pauses.now)
    with pytest.raises(AnswerLost) as caught:
        await http.send("PATCH", SETTINGS, {"x": 1}, send_by=in_a_minute(pauses))
    assert len(server.requests) == 1
    assert "Bland" in caught.value.what
    assert "(PATCH inbound settings)." in caught.value.what
    assert NUMBER[1:] not in str(caught.value)


@pytest.mark.parametrize(
    "turn",
    [
        httpx.ConnectError(""),
        httpx.ConnectTimeout(""),
        httpx.PoolTimeout(""),
        httpx.ProxyError("407 Proxy Authentication Required"),
    ],
    ids=repr,
)
async def test_a_write_without_a_connection_certainly_did_not_arrive(turn: Exception) -> None:
    server, pauses = Server([turn, ok()]), Pauses()
    http = a_client(server, sleep=pauses, now=pauses.now)
    with pytest.raises(
        PlatformUnreachable, match=r"cannot be reached: .* \(PATCH inbound settings\)"
    ):
        await http.send("PATCH", SETTINGS, {"x": 1}, send_by=in_a_minute(pauses))
    assert (len(server.requests), pauses.seconds) == (1, [])


@pytest.mark.parametrize("status", [301, 302, 303])
async def test_a_write_that_is_pointed_elsewhere_may_have_been_done(status: int) -> None:
    """A form handler answers so after it did its work, and a login page before."""
    away = httpx.Response(status, headers={"location": "https://evil.test/steal"})
    server, pauses = Server([away, ok()]), Pauses()
    with pytest.raises(AnswerLost):
        await a_client(server, now=pauses.now).send("POST", "/v1/x", send_by=in_a_minute(pauses))
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [307, 308])
async def test_a_redirected_write_was_not_done(status: int) -> None:
    away = httpx.Response(status, headers={"location": "https://evil.test/steal"})
    server, pauses = Server([away, ok()]), Pauses()
    with pytest.raises(PlatformError, match="a redirect") as caught:
        await a_client(server, now=pauses.now).send("POST", "/v1/x", send_by=in_a_minute(pauses))
    assert type(caught.value) is PlatformError
    assert len(server.requests) == 1
    assert "base_url" in caught.value.remedy


async def test_a_redirect_to_nonsense_is_a_redirect() -> None:
    away = httpx.Response(307, headers={"location": "https://[:::/"})
    pauses = Pauses()
    with pytest.raises(PlatformError, match="a redirect"):
        await a_client(Server([away]), now=pauses.now).send(
            "POST", "/v1/x", send_by=in_a_minute(pauses)
        )


async def test_a_read_is_not_tried_again_for_ever_at_a_vendor_that_is_slow_to_fail() -> None:
    pauses = Pauses()

    class Slow(httpx.AsyncBaseTransport):
        tries = 0

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            self.tries += 1
            await pauses(14.0)
            raise httpx.ReadTimeout("", request=request)

    slow = Slow()
    http = a_client(Server([ok()]), transport=slow, sleep=pauses, now=pauses.now)
    with pytest.raises(PlatformUnreachable):
        await http.get("/v1/personas")
    assert slow.tries == 3, "the third began within 30 s, a fourth would end after a minute"


async def test_a_write_is_repeated_on_429_alone() -> None:
    server = Server([httpx.Response(429, headers={"retry-after": "2"}), ok({"done": True})])
    pauses = Pauses()
    http = a_client(server, sleep=pauses, now=pauses.now)
    reply = await http.send("POST", "/v1/x", {"n": [NUMBER]}, send_by=in_a_minute(pauses))
    assert reply.data == {"done": True}
    assert [json.loads(r.content) for r in server.requests] == [{"n": [NUMBER]}] * 2
    assert len(pauses.seconds) == 1 and 2 <= pauses.seconds[0] <= 2.2


async def test_a_write_gives_up_after_its_tries_on_429() -> None:
    server, pauses = Server([httpx.Response(429)]), Pauses()
    http = a_client(server, sleep=pauses, now=pauses.now)
    with pytest.raises(PlatformRateLimited, match="tried 4 times"):
        await http.send("POST", "/v1/x", send_by=in_a_minute(pauses))
    assert len(server.requests) == 4


async def test_a_write_does_not_wait_past_the_time_to_send() -> None:
    server, pauses = Server([httpx.Response(429, headers={"retry-after": "8"})]), Pauses()
    http = a_client(server, sleep=pauses, now=pauses.now)
    with pytest.raises(PlatformRateLimited):
        await http.send("POST", "/v1/x", send_by=pauses.now() + 5)
    assert (len(server.requests), pauses.seconds) == (1, [])


async def test_after_the_time_to_send_nothing_is_sent() -> None:
    server, pauses = Server([ok()]), Pauses()
    http = a_client(server, now=pauses.now)
    with pytest.raises(
        PlatformUnreachable, match=r"time to send this to Bland was over \(POST x\)"
    ):
        await http.send("POST", "/v1/x", send_by=pauses.now())
    assert server.requests == []


async def test_nothing_is_sent_when_the_time_passed_while_connecting() -> None:
    pauses = Pauses()
    arrived = []

    async def connects_slowly(request: httpx.Request) -> httpx.Response:
        pauses.time += 4  # as httpcore does: a connection, then its trace, then the first byte
        await request.extensions["trace"]("http11.send_request_headers.started", {})
        arrived.append(request)
        return ok()

    http = a_client(connects_slowly, now=pauses.now)
    with pytest.raises(PlatformUnreachable, match="was over"):
        await http.send("POST", "/v1/x", send_by=pauses.now() + 3)
    assert arrived == []
    await http.send("POST", "/v1/x", send_by=pauses.now() + 5)
    assert len(arrived) == 1


async def test_nothing_is_sent_when_the_time_passed_in_the_queue() -> None:
    release, entered, sent = anyio.Event(), anyio.Event(), []

    async def stuck(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        entered.set()
        await release.wait()
        return ok()

    now = 0.0
    http = a_client(stuck, at_once=1, now=lambda: now)
    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: http.send("PUT", "/v1/first", send_by=60))
            await entered.wait()
            with pytest.raises(PlatformUnreachable, match="was over"):
                await http.send("POST", "/v1/x", send_by=0.01)
            release.set()
    assert [r.method for r in sent] == ["PUT"]


async def test_reads_do_not_wait_behind_writes_that_a_slow_vendor_holds_up() -> None:
    release = anyio.Event()

    async def busy(request: httpx.Request) -> httpx.Response:
        if request.method == "PUT":
            await release.wait()
        return ok({"of": request.method})

    http = a_client(busy, at_once=1, now=lambda: 0.0)
    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: http.send("PUT", "/v1/x", send_by=60))
            assert (await http.get("/v1/x")).data == {"of": "GET"}
            release.set()


@pytest.mark.parametrize("status", [200, 201, 204, 400, 401, 404, 409, 422])
async def test_a_write_hands_answers_and_refusals_to_the_adapter(status: int) -> None:
    server, pauses = Server([httpx.Response(status, text="x" * 900)]), Pauses()
    reply = await a_client(server, now=pauses.now).send("PUT", "/v1/x", send_by=in_a_minute(pauses))
    assert (reply.status, reply.is_json, reply.data, reply.text) == (status, False, None, "x" * 500)
    assert server.requests[0].content == b""


# --- bounds ------------------------------------------------------------------------------------


class Drip(httpx.AsyncByteStream):
    """Chunks; how many were taken is counted."""

    def __init__(
        self, chunk: bytes, times: float = math.inf, error: Exception | None = None
    ) -> None:
        self.chunk, self.times, self.error = chunk, times, error
        self.taken = 0
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while self.taken < self.times:
            self.taken += 1
            await anyio.lowlevel.checkpoint()
            yield self.chunk
        if self.error:
            raise self.error

    async def aclose(self) -> None:
        self.closed = True


async def test_an_endless_answer_is_cut_off_at_its_bound() -> None:
    drip = Drip(b"x" * 1024 * 1024)
    with pytest.raises(
        PlatformError, match=r"answered with more than 32 MiB \(GET personas\)"
    ) as caught:
        await a_client(Server([httpx.Response(200, stream=drip)])).get("/v1/personas")
    assert type(caught.value) is PlatformError
    assert (drip.taken, drip.closed) == (33, True)


async def test_an_endless_answer_to_a_write_is_a_lost_one() -> None:
    pauses, drip = Pauses(), Drip(b"x" * 1024 * 1024)
    http = a_client(Server([httpx.Response(200, stream=drip)]), now=pauses.now)
    with pytest.raises(AnswerLost, match="more than 32 MiB"):
        await http.send("POST", "/v1/x", send_by=in_a_minute(pauses))


def packed(body: bytes, coding: str = "gzip") -> httpx.Response:
    return httpx.Response(200, headers={"content-encoding": coding}, stream=Drip(body, 1))


async def test_a_compressed_answer_is_unpacked() -> None:
    server = Server([packed(gzip.compress(b'{"a": "\xc3\xa9"}'))])
    assert (await a_client(server).get("/v1/x")).data == {"a": "é"}
    assert server.requests[0].headers["accept-encoding"] == "gzip"


async def test_the_bound_holds_for_what_a_compressed_answer_unpacks_to() -> None:
    press = zlib.compressobj(wbits=31)
    bomb = b"".join(press.compress(bytes(1024 * 1024)) for _ in range(128)) + press.flush()
    http = a_client(Server([packed(bomb)]))
    tracemalloc.start()
    try:
        with pytest.raises(PlatformError, match="more than 32 MiB"):
            await http.get("/v1/x")
        assert tracemalloc.get_traced_memory()[1] < 100 * 1024 * 1024
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("coding", ["gzip, gzip", "br", "deflate"])
async def test_a_compression_nobody_asked_for_is_not_unpacked(coding: str) -> None:
    server = Server([packed(gzip.compress(gzip.compress(b"{}")), coding)])
    with pytest.raises(PlatformError, match="a compression that was not asked for"):
        await a_client(server).get("/v1/x")
    assert len(server.requests) == 1


async def test_half_of_a_compressed_answer_is_a_broken_one() -> None:
    half = gzip.compress(b'{"a": 1}')[:-5]
    server = Server([lambda _: packed(half), lambda _: packed(gzip.compress(b"{}"))])
    assert (await a_client(server).get("/v1/x")).data == {}
    with pytest.raises(PlatformError, match="cannot be unpacked"):
        await a_client(Server([packed(b"no gzip at all")])).get("/v1/x")


async def test_an_empty_answer_is_empty_also_when_it_claims_to_be_compressed() -> None:
    reply = await a_client(Server([packed(b"")])).get("/v1/x")
    assert (reply.is_json, reply.text) == (False, "")


async def test_a_server_that_drips_for_ever_is_left() -> None:
    drips: list[Drip] = []

    def dripping(_: httpx.Request) -> httpx.Response:
        drips.append(Drip(b" "))
        return httpx.Response(200, stream=drips[-1])

    times = Timeouts(connect=0.02, read=0.03)
    http = a_client(Server([dripping]), timeouts=times, read_tries=2, now=lambda: 0.0)
    with anyio.fail_after(10):
        with pytest.raises(PlatformUnreachable, match=r"did not finish its answer within 0\.05 s"):
            await http.get("/v1/personas")
        with pytest.raises(AnswerLost, match="did not finish"):
            await http.send("POST", "/v1/x", send_by=60)
    assert [drip.closed for drip in drips] == [True] * 3


async def test_an_answer_that_breaks_off_is_lost_for_a_write_and_asked_for_again_by_a_read() -> (
    None
):
    def half(_: httpx.Request) -> httpx.Response:
        error = httpx.RemoteProtocolError("peer closed connection without sending complete body")
        return httpx.Response(200, stream=Drip(b'{"a":', 1, error))

    pauses = Pauses()
    http = a_client(Server([half, ok({"a": 1}), half]), now=pauses.now)
    assert (await http.get("/v1/x")).data == {"a": 1}
    with pytest.raises(AnswerLost, match="broke off"):
        await http.send("POST", "/v1/x", send_by=in_a_minute(pauses))


@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_no_more_requests_are_under_way_than_allowed(method: str) -> None:
    under_way = most = 0
    release = anyio.Event()

    async def busy(_: httpx.Request) -> httpx.Response:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        if most == 3:
            release.set()
        await release.wait()
        await anyio.lowlevel.checkpoint()
        under_way -= 1
        return ok()

    http = a_client(busy, at_once=3, now=lambda: 0.0)
    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            for _ in range(10):
                if method == "GET":
                    group.start_soon(http.get, "/v1/x")
                else:
                    group.start_soon(lambda: http.send("PUT", "/v1/x", send_by=60))
    assert most == 3


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"",
        b"[" * 100_000,
        b"NaN",
        b'{"a": Infinity}',
        b'"\\ud800"',
        b"1" * 5000,
        b"{} {}",
    ],
    ids=lambda b: repr(b[:12]),
)
async def test_what_is_no_strict_json_is_no_json(body: bytes) -> None:
    reply = await a_client(Server([httpx.Response(200, content=body)])).get("/v1/x")
    assert (reply.is_json, reply.data) == (False, None)


@pytest.mark.parametrize(
    ("body", "data"),
    [
        (b"null", None),
        (b"\xef\xbb\xbf[1]", [1]),
        (b'"\\ud83d\\ude00"', "\U0001f600"),
        (b'"caf\xe9"', "caf\ufffd"),
    ],
)
async def test_json_is_read_as_utf_8(body: bytes, data: Any) -> None:
    reply = await a_client(Server([httpx.Response(200, content=body)])).get("/v1/x")
    assert (reply.is_json, reply.data) == (True, data)


# --- secrets, and what is sent -----------------------------------------------------------------

ECHOES = [
    KEY,
    json.dumps(KEY)[1:-1],
    json.dumps(KEY)[1:-1].replace("/", "\\/"),
    segment(KEY),
]


@pytest.mark.parametrize("echo", ECHOES)
@pytest.mark.parametrize("status", [200, 401, 500])
async def test_a_key_that_the_platform_repeats_stands_nowhere(echo: str, status: int) -> None:
    body = '{"message": "bad key: ' + echo + '"}'
    server, pauses = Server([httpx.Response(status, text=body)]), Pauses()
    http = a_client(server, now=pauses.now)
    if status < 500:
        reply = await http.get("/v1/x")
        seen = repr(reply) + str(reply.data)
    else:
        with pytest.raises(PlatformError) as caught:
            await http.get("/v1/x")
        with pytest.raises(AnswerLost) as lost:
            await http.send("POST", "/v1/x", send_by=in_a_minute(pauses))
        seen = chain(caught.value) + chain(lost.value)
    assert "bad key: [secret removed]" in seen
    assert "4f9a" not in seen


async def test_a_token_is_secret_without_the_word_before_it() -> None:
    server = Server([httpx.Response(401, json={"detail": "tok-12345678 is no Bearer"})])
    headers = {"Authorization": "Bearer tok-12345678"}
    http = HttpClient("S", "https://s.test", headers, transport=httpx.MockTransport(server))
    assert (await http.get("/x")).data == {"detail": "[secret removed] is no Bearer"}


async def test_a_key_at_the_cut_of_a_long_answer_leaves_no_half() -> None:
    server = Server([httpx.Response(200, text="x" * 490 + KEY)])
    assert "sk-" not in (await a_client(server).get("/v1/x")).text


@pytest.mark.parametrize("error", [httpx.ReadError(f"at {KEY}"), httpx.ConnectError(f"at {KEY}")])
async def test_an_error_carries_nothing_of_the_exception_beneath(error: httpx.RequestError) -> None:
    pauses = Pauses()
    error.request = httpx.Request("GET", f"https://x.test/{NUMBER}", headers={"authorization": KEY})
    http = a_client(Server([error]), now=pauses.now)
    for method in ("GET", "POST"):
        read, by = method == "GET", in_a_minute(pauses)
        asking = http.get(SETTINGS) if read else http.send(method, SETTINGS, send_by=by)
        with pytest.raises((PlatformError, AnswerLost)) as caught:
            await asking
        assert caught.value.__cause__ is None and caught.value.__context__ is None
        assert KEY not in chain(caught.value) and "4155551234" not in str(caught.value)


async def test_no_log_shows_a_key_an_address_or_a_number(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    server = Server([httpx.Response(503), ok(**{"set-cookie": f"k={segment(KEY)}"})])
    await a_client(server).get(SETTINGS)
    assert [r.name for r in caplog.records if r.name.startswith("http")] == []
    assert not logging.getLogger("httpcore.http11").isEnabledFor(logging.INFO)
    assert "Bland: trying again in" in caplog.text
    assert "4155551234" not in caplog.text and "4f9a" not in caplog.text


@pytest.mark.parametrize(
    "value", ["", "Bearer ", "s3cret\r\nx: y", "s3cret\u00e9", " s3cret", "s3cret\x00"]
)
async def test_a_key_that_cannot_be_sent_is_refused_and_not_repeated(value: str) -> None:
    with pytest.raises(
        ValueError, match=r"^Bland: the value for the header token is empty"
    ) as caught:
        HttpClient("Bland", "https://x.test", {"token": value})
    assert "s3cret" not in chain(caught.value)


async def test_cookies_and_netrc_are_not_used_and_we_say_who_we_are(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine api.bland.test login someone password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    server = Server([ok(**{"set-cookie": "session=1; Path=/"}), ok()])
    http = a_client(server)
    for _ in range(2):
        await http.get("/v1/x")
    for request in server.requests:
        assert "cookie" not in request.headers
        assert request.headers["authorization"] == KEY
        assert request.headers["user-agent"].startswith("cordboard/")
        assert request.headers["accept"] == "application/json"


# --- addresses ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "base_url",
    [
        "",
        "api.bland.ai",
        "//api.bland.ai",
        "https://",
        "http://api.bland.ai",
        "http://127.0.0.1.evil.test",
        "http://localhost.evil.test",
        "http://0.0.0.0:8000",
        "ftp://127.0.0.1",
        "https://user:s3cret@api.bland.ai",
        "https://s3cret@api.bland.ai",
        "https://api.bland.ai?s3cret=1",
        "https://api.bland.ai/#s3cret",
        "https://api.bland.ai/a b",
        "https://api.bland.ai:99999",
        "https://[:::",
        "https://api.bland.ai/\n",
    ],
)
async def test_a_base_url_that_is_not_safe_is_refused(base_url: str) -> None:
    with pytest.raises(ValueError, match=r"^Bland: base_url ") as caught:
        HttpClient("Bland", base_url, {"authorization": KEY})
    assert "s3cret" not in chain(caught.value)


@pytest.mark.parametrize(
    ("base_url", "sent"),
    [
        ("https://api.bland.ai", "https://api.bland.ai/v1/x"),
        ("https://api.bland.ai/", "https://api.bland.ai/v1/x"),
        ("http://127.0.0.1:8000/compat/bland", "http://127.0.0.1:8000/compat/bland/v1/x"),
        ("http://localhost:8000/compat/", "http://localhost:8000/compat/v1/x"),
        ("http://[::1]:8000", "http://[::1]:8000/v1/x"),
    ],
)
async def test_paths_are_joined_to_the_base_url(base_url: str, sent: str) -> None:
    server = Server([ok()])
    http = HttpClient("B", base_url, {"token": KEY}, transport=httpx.MockTransport(server))
    await http.get("/v1/x")
    assert str(server.requests[0].url) == sent


@pytest.mark.parametrize("path", ["https://evil.test/x", "//evil.test/x", "v1/x", ""])
async def test_a_path_cannot_name_another_host(path: str) -> None:
    server = Server([ok()])
    with pytest.raises(ValueError, match="begins with one slash"):
        await a_client(server).get(path)
    assert server.requests == []


@pytest.mark.parametrize(
    "text", [NUMBER, "a/b", "..%2f", "a?b#c", "../x", "é", "%2B", "x;y=1", "a b"]
)
async def test_a_segment_reaches_the_wire_as_one_segment(text: str) -> None:
    fake = Echo(lambda: 0.0)
    wire = Wire(fake)
    http = a_client(Server([]), transport=wire)
    await http.get(f"/v1/inbound/{segment(text)}/settings")
    assert wire.requests[0].path == f"/v1/inbound/{segment(text)}/settings"
    assert all(sign not in segment(text) for sign in "+/?#; ")
    assert str(httpx.URL("https://x.test/" + segment(text)).path) == "/" + text


@pytest.mark.parametrize("text", ["", ".", ".."])
async def test_an_id_that_would_lead_to_another_path_is_refused(text: str) -> None:
    with pytest.raises(InvalidArguments, match="cannot be an id"):
        segment(text)


# --- the wire of the other tests ---------------------------------------------------------------


class Echo(Fake):
    """A vendor whose state is the list of what was written."""

    def __init__(self, now: Callable[[], float]) -> None:
        super().__init__(now)
        self.state = []
        every = ["GET", "POST"]
        self.app = application([Route("/{path:path}", self.answer, methods=every)])

    async def answer(self, request: Request) -> JSONResponse:
        if request.method == "GET":
            return JSONResponse(self.seen)
        with self.effect("write", "agent", [NUMBER]):
            self.state.append(await request.json())
        return JSONResponse({"status": "ok"})

    def errors_in_200(self, request: Any) -> Any:
        return {"errors": [request.body]}

    def another_object(self, request: Any) -> Any:
        return {"id": "another"}


WIRED = [
    ("refuse", PlatformUnreachable, 0),
    ("reset_before", AnswerLost, 0),
    ("reset_after", AnswerLost, 1),
    ("error_before", AnswerLost, 0),
    ("error_after", AnswerLost, 1),
    ("timeout_before", AnswerLost, 0),
    ("timeout_after", AnswerLost, 1),
    ("half_body", AnswerLost, 1),
    ("late", AnswerLost, 0),
    ("rate_limited", None, 1),
    ("twice", None, 2),
    ("wrong_json", None, 1),
    ("errors_in_200", None, 0),
    ("another_object", None, 0),
]


@pytest.mark.parametrize(("kind", "error", "done"), WIRED)
async def test_every_fault_of_the_wire_is_what_it_says(
    kind: str, error: type[Exception] | None, done: int
) -> None:
    pauses = Pauses()
    fake = Echo(pauses.now)
    wire = Wire(fake)
    wire.faults.append(Fault(kind))
    http = a_client(Server([]), transport=wire, sleep=pauses, now=pauses.now)
    if error is None:
        await http.send("POST", "/v1/x", 7, send_by=in_a_minute(pauses))
    else:
        with pytest.raises(error):
            await http.send("POST", "/v1/x", 7, send_by=in_a_minute(pauses))
    assert fake.state == [7] * done
    pauses.time += 2
    assert fake.state == [7] * (1 if kind == "late" else done)
    assert len(fake.writes) == len(fake.state)


async def test_reads_of_a_lagging_vendor_see_the_past() -> None:
    pauses = Pauses()
    fake = Echo(pauses.now)
    fake.lag = 3
    http = a_client(Server([]), transport=Wire(fake), now=pauses.now)
    await http.send("POST", "/v1/x", 7, send_by=in_a_minute(pauses))
    pauses.time += 2.9
    assert (await http.get("/v1/x")).data == []
    pauses.time += 0.1
    assert (await http.get("/v1/x")).data == [7]


# --- real sockets: what httpx truly raises -----------------------------------------------------


@dataclass
class Listener:
    """A server on this machine: answers `per_connection` requests with 200, then closes."""

    port: int = 0
    per_connection: int = 1
    answer: bytes = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
    connections: int = 0
    heads: list[bytes] = field(default_factory=list)

    async def serve(self, stream: anyio.abc.SocketStream) -> None:
        self.connections += 1
        async with stream:
            for _ in range(self.per_connection):
                try:
                    self.heads.append(await stream.receive())
                except (anyio.EndOfStream, anyio.BrokenResourceError):
                    return
                await stream.send(self.answer)


@asynccontextmanager
async def listening(**options: Any) -> AsyncIterator[Listener]:
    listener = Listener(**options)
    with anyio.fail_after(20):
        async with (
            await anyio.create_tcp_listener(local_host="127.0.0.1") as sockets,
            anyio.create_task_group() as group,
        ):
            listener.port = sockets.extra(anyio.abc.SocketAttribute.local_port)  # noqa: S610 - no Django here
            group.start_soon(sockets.serve, listener.serve)
            yield listener
            group.cancel_scope.cancel()


@asynccontextmanager
async def connected(base_url: str, **options: Any) -> AsyncIterator[HttpClient]:
    http = HttpClient("Bland", base_url, {"token": KEY}, **({"sleep": Pauses()} | options))
    try:
        yield http
    finally:
        await http.close()


async def test_every_write_has_a_connection_of_its_own_and_reads_share_one() -> None:
    async with (
        listening(per_connection=9) as listener,
        connected(f"http://127.0.0.1:{listener.port}", now=lambda: 0.0) as http,
    ):
        for _ in range(3):
            assert (await http.get("/v1/x")).status == 200
        assert listener.connections == 1
        for _ in range(3):
            assert (await http.send("PUT", "/v1/x", {}, send_by=60)).status == 200
        assert listener.connections == 4


async def test_a_server_that_closes_without_an_answer_has_lost_it() -> None:
    async with (
        listening(answer=b"") as listener,
        connected(f"http://127.0.0.1:{listener.port}", now=lambda: 0.0) as http,
    ):
        with pytest.raises(AnswerLost, match="broke off"):
            await http.send("PUT", "/v1/x", {}, send_by=60)
        assert len(listener.heads) == 1
        with pytest.raises(PlatformUnreachable, match="tried 4 times"):
            await http.get("/v1/x")
        assert len(listener.heads) == 5


async def test_a_port_where_nobody_listens_is_told_from_a_lost_answer() -> None:
    async with listening() as listener:
        port = listener.port
    async with connected(f"http://127.0.0.1:{port}", now=lambda: 0.0) as http:
        with pytest.raises(PlatformUnreachable, match="cannot be reached: no connection"):
            await http.send("PUT", "/v1/x", {}, send_by=60)


async def test_a_failed_tls_handshake_is_told_from_a_lost_answer() -> None:
    async with (
        listening(answer=b"HTTP/1.1 400 Bad Request\r\n\r\n") as listener,
        connected(f"https://127.0.0.1:{listener.port}", now=lambda: 0.0) as http,
    ):
        with pytest.raises(PlatformUnreachable, match="no TLS connection came about"):
            await http.send("PUT", "/v1/x", {}, send_by=60)
        assert b"PUT" not in b"".join(listener.heads)


async def test_the_time_to_send_is_looked_at_once_more_when_the_connection_stands() -> None:
    clock = iter([0.0, 0.0, 100.0])  # for the queue, before connecting, before the first byte
    async with (
        listening() as listener,
        connected(f"http://127.0.0.1:{listener.port}", now=lambda: next(clock)) as http,
    ):
        with pytest.raises(PlatformUnreachable, match="was over"):
            await http.send("PUT", "/v1/x", {}, send_by=60)
        assert (listener.connections, listener.heads) == (1, [])


async def test_the_proxy_of_the_environment_is_used_but_not_for_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with (
        listening(answer=b"HTTP/1.1 407 Who are you\r\ncontent-length: 0\r\n\r\n") as proxy,
        listening() as vendor,
    ):
        for name in ("HTTPS_PROXY", "HTTP_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        async with connected("https://api.bland.test", now=lambda: 0.0) as http:
            with pytest.raises(PlatformUnreachable, match="the proxy opened no way"):
                await http.send("PUT", "/v1/x", {}, send_by=60)
        assert [head.split(b"\r\n")[0] for head in proxy.heads] == [
            b"CONNECT api.bland.test:443 HTTP/1.1"
        ]
        assert KEY.encode() not in proxy.heads[0]
        async with connected(f"http://127.0.0.1:{vendor.port}") as http:
            await http.get("/v1/x")
        assert (len(proxy.heads), len(vendor.heads)) == (1, 1)


@pytest.mark.parametrize(
    ("name", "value"),
    [("HTTPS_PROXY", "gopher://user:s3cret@proxy"), ("SSL_CERT_FILE", "/nowhere/at/all.pem")],
)
async def test_a_proxy_or_certificate_that_cannot_be_used_is_said_at_the_start(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=f"^Bland: .* cannot be used; check .*{name}") as caught:
        HttpClient("Bland", "https://api.bland.test", {"token": KEY})
    assert "s3cret" not in "".join(traceback.format_exception(caught.value))


async def test_the_kernel_gives_up_what_it_could_not_deliver_in_the_time_of_a_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On a real socket: what httpx connected is told so before the first byte leaves."""
    set_options: list[tuple[int, int, Any]] = []
    set_option = socket.socket.setsockopt

    def noted(self: socket.socket, level: int, option: int, *value: Any) -> None:
        set_options.append((level, option, value[0]))
        set_option(self, level, option, *value)

    monkeypatch.setattr(socket.socket, "setsockopt", noted)

    async def serve(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            await stream.receive()
            await stream.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)  # noqa: S610 - no Django here
    http = HttpClient("Bland", f"http://127.0.0.1:{port}", {"authorization": KEY})
    async with anyio.create_task_group() as group:
        group.start_soon(listener.serve, serve)
        assert (await http.send("POST", "/v1/x", send_by=steady() + 5)).status == 200
        await http.close()
        group.cancel_scope.cancel()
    await listener.aclose()
    assert (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 15_000) in set_options

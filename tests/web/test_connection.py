"""Connections as no well-behaved client makes them, over raw sockets: slow, huge, malformed."""

from __future__ import annotations

import contextlib
import json
import logging
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from cordboard.config.http import HttpSettings
from cordboard.web.connection import Connection
from cordboard.web.edge import Edge
from cordboard.web.refusing import handlers

PATIENCE = 20.0
"""Seconds after which a server that still says nothing counts as hanging."""


class Hasty(Connection):
    """The same limits, in a fraction of the time."""

    head_seconds = 0.4


async def echo(request: Request) -> Response:
    return JSONResponse({"bytes": len(await request.body())})


@dataclass(frozen=True)
class Place:
    """Where a server listens."""

    port: int

    @contextlib.contextmanager
    def connected(self) -> Iterator[socket.socket]:
        """A connection that waits for answers so long, and no longer."""
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as made:
            yield made

    def told(self, *parts: bytes) -> bytes:
        """All that comes back for these bytes until the server hangs up."""
        with self.connected() as made:
            for part in parts:
                with contextlib.suppress(OSError):  # it may have hung up already
                    made.sendall(part)
            return everything(made)


def everything(made: socket.socket) -> bytes:
    """What arrives until the other end hangs up."""
    found = b""
    with contextlib.suppress(ConnectionResetError):
        while part := made.recv(65536):
            found += part
    return found


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    """A small app behind the edge, as `serve --http` runs it."""
    routes = [Route("/echo", echo, methods=["GET", "POST"])]
    app = Starlette(routes=routes, exception_handlers=handlers())
    edge = Edge(app, HttpSettings(body_bytes=1024), body_seconds=0.4)
    config = uvicorn.Config(
        edge, http=Hasty, ws="none", lifespan="off", log_config=None, access_log=False,
        server_header=False, limit_concurrency=8, timeout_keep_alive=1,
    )  # fmt: skip
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield Place(listening.getsockname()[1])
        server.should_exit = True
        thread.join(PATIENCE)


HOST = b"Host: localhost\r\n"
CLOSE = HOST + b"Connection: close\r\n"
GET = b"GET /echo HTTP/1.1\r\n"
POST = b"POST /echo HTTP/1.1\r\n"
CHUNKED = HOST + b"Transfer-Encoding: chunked\r\n\r\n"


def status(answer: bytes) -> int:
    """The status of the first answer."""
    return int(answer.split(b" ", 2)[1])


def refusal(answer: bytes) -> str:
    """The code in the only answer, which is short JSON and ends the connection."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"connection: close" in head.lower() and b"application/json" in head.lower()
    assert b"nosniff" in head and len(answer) < 800
    return str(json.loads(body)["error"]["code"])


def test_connections_are_kept_and_requests_in_a_row_answered_in_order(place: Place) -> None:
    body = b"Content-Length: 3\r\n\r\nabc"
    answer = place.told(POST + HOST + body + GET + HOST + b"\r\n", GET + CLOSE + b"\r\n")
    assert answer.count(b"HTTP/1.1 200 OK") == 3
    assert answer.index(b'{"bytes":3}') < answer.index(b'{"bytes":0}')


def test_a_head_that_does_not_end_is_given_up(place: Place) -> None:
    for begun in (b"G", GET, GET + HOST, GET + HOST + b"X: y"):
        answer = place.told(begun)
        assert (status(answer), refusal(answer)) == (408, "REQUEST_TIMEOUT")


def test_a_second_head_that_does_not_end_is_given_up_too(place: Place) -> None:
    answer = place.told(GET + HOST + b"\r\n" + GET)
    assert status(answer) == 200 and answer.count(b"HTTP/1.1") <= 2


@pytest.mark.parametrize("said", [b"", b"\r\n", b"\r\n\r\n\r\n"])
def test_a_connection_that_asks_nothing_is_closed(place: Place, said: bytes) -> None:
    assert place.told(said) == b"" or status(place.told(said)) == 408


def test_many_that_say_nothing_keep_others_out_for_a_moment_only(place: Place) -> None:
    with contextlib.ExitStack() as held:
        silent = [held.enter_context(place.connected()) for _ in range(8)]
        assert status(place.told(GET + CLOSE + b"\r\n")) == 503
        assert [everything(one) for one in silent] == [b""] * 8
        assert status(place.told(GET + CLOSE + b"\r\n")) == 200


HUGE = {
    "too many fields": GET + HOST + b"".join(b"X-%d: y\r\n" % i for i in range(101)) + b"\r\n",
    "a huge field": GET + HOST + b"X: " + b"y" * 70_000 + b"\r\n\r\n",
    "a huge name": GET + HOST + b"X" * 70_000 + b": y\r\n\r\n",
    "a field without end": GET + HOST + b"X: " + b"y" * 2_000_000,
    "an address without end": b"GET /" + b"a" * 2_000_000,
    "a chunk's extension without end": POST + CHUNKED + b"1;" + b"x" * 2_000_000,
    "a trailer without end": POST + CHUNKED + b"1\r\na\r\n0\r\nX: " + b"y" * 2_000_000,
    "trailers without end": POST + CHUNKED + b"1\r\na\r\n0\r\n" + b"X: y\r\n" * 200_000,
}


@pytest.mark.parametrize("name", HUGE)
def test_what_is_too_large_around_a_body_is_not_collected(place: Place, name: str) -> None:
    answer = place.told(HUGE[name])
    # Bytes that were not read any more may reset the connection before the answer is.
    assert answer == b"" or (status(answer) == 431 and refusal(answer) == "HEADERS_TOO_LARGE")


def test_a_head_within_its_limits_is_taken(place: Place) -> None:
    fields = b"".join(b"X-%d: %s\r\n" % (i, b"y" * 600) for i in range(97))
    assert status(place.told(GET + CLOSE + fields + b"\r\n")) == 200


MALFORMED = {
    "garbage": b"\x16\x03\x01\x02\x00\x01\x00",
    "another protocol": b"SSH-2.0-OpenSSH_9.2\r\n",
    "no method": b"/echo HTTP/1.1\r\n" + HOST + b"\r\n",
    "an unknown method": b"BREW /echo HTTP/1.1\r\n" + HOST + b"\r\n",
    "another version": b"GET /echo HTTP/3.7\r\n" + HOST + b"\r\n",
    "a field without a colon": GET + HOST + b"no colon\r\n\r\n",
    "a NUL in a field": GET + HOST + b"X: a\x00b\r\n\r\n",
    "bytes above ASCII in the address": b"GET /\xff\xfe HTTP/1.1\r\n" + HOST + b"\r\n",
    "a tunnel": b"CONNECT evil.example:443 HTTP/1.1\r\n" + HOST + b"\r\n",
    "a length that is none": POST + HOST + b"Content-Length: -5\r\n\r\n",
    "two lengths": POST + HOST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\na",
    "a length and chunks": POST + b"Content-Length: 1\r\n" + CHUNKED + b"0\r\n\r\n",
    "a chunk that is none": POST + CHUNKED + b"zz\r\n",
}


@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_no_http_is_told_so_shortly(
    place: Place, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        answer = place.told(MALFORMED[name])
    assert status(answer) == 400, answer
    assert "Traceback" not in caplog.text
    assert b"echo" not in answer.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize(
    ("request_line", "code"),
    [
        (b"GET http://localhost/echo HTTP/1.1\r\n", 200),
        (b"GET /%zz%00%ff HTTP/1.1\r\n", 404),
        (b"GET //../../etc/passwd HTTP/1.1\r\n", 404),
        (b"TRACE /echo HTTP/1.1\r\n", 405),
        (b"HEAD /echo HTTP/1.1\r\n", 200),
        (b"GET /echo?%zz=\x7f HTTP/1.1\r\n", 400),
    ],
)
def test_an_odd_request_line_gets_a_plain_answer(
    place: Place, request_line: bytes, code: int
) -> None:
    assert status(place.told(request_line + CLOSE + b"\r\n")) == code


def test_a_request_without_a_host_is_misdirected(place: Place) -> None:
    for line in (b"GET /echo HTTP/1.0\r\n\r\n", b"GET /echo HTTP/1.1\r\nConnection: close\r\n\r\n"):
        assert status(place.told(line)) in (400, 421)


def test_bodies_over_the_limit_are_refused_announced_or_not(place: Place) -> None:
    announced = POST + HOST + b"Content-Length: 1025\r\nExpect: 100-continue\r\n\r\n"
    chunks = POST + CHUNKED + b"400\r\n" + b"x" * 1024 + b"\r\n1\r\nx\r\n"
    for asked in (announced, chunks):
        answer = place.told(asked)
        assert (status(answer), refusal(answer)) == (413, "BODY_TOO_LARGE")
    whole = POST + CLOSE + b"Transfer-Encoding: chunked\r\n\r\n"
    body = b"".join(b"1\r\nx\r\n" for _ in range(1024)) + b"0\r\n\r\n"
    assert b'{"bytes":1024}' in place.told(whole + body)


@pytest.mark.parametrize("refused", [HOST, HOST.replace(b"localhost", b"evil.example")])
def test_a_client_that_sends_all_before_it_reads_gets_to_read_why_not(
    place: Place, refused: bytes
) -> None:
    for body in (
        b"Content-Length: 9000000\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n895440\r\n",
    ):
        answer = place.told(POST + refused + body + b"x" * 9_000_000 + b"\r\n0\r\n\r\n")
        assert status(answer) in (413, 421) and refusal(answer)


def test_a_body_that_does_not_come_is_given_up(place: Place) -> None:
    for asked in (POST + HOST + b"Content-Length: 5\r\n\r\nab", POST + CHUNKED + b"1\r\na\r\n"):
        answer = place.told(asked)
        assert (status(answer), refusal(answer)) == (408, "REQUEST_TIMEOUT")


def test_a_wish_for_a_websocket_is_answered_as_if_it_were_none(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    upgrade = b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\r\n"
    with place.connected() as made, caplog.at_level(logging.WARNING):
        made.sendall(GET + HOST + upgrade)
        assert b"200 OK" in made.recv(65536)
    assert caplog.text == ""

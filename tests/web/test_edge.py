"""The edge in front of a small app: whose name, whose page, how much, and how a no reads."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.types import Message, Receive, Scope, Send
from tests.web.site import on_the_web
from tests.world import World

from cordboard.config.http import HttpSettings
from cordboard.web.edge import Edge
from cordboard.web.refusing import handlers

pytestmark = pytest.mark.anyio
NUMBER = "+14155551234"
PAGE = {"accept": "text/html,application/xhtml+xml"}


async def echo(request: Request) -> Response:
    return JSONResponse({"bytes": len(await request.body())})


async def lookup(request: Request) -> Response:
    return JSONResponse(
        {"number": request.path_params["number"]}, headers={"Cache-Control": "max-age=5"}
    )


async def crash(request: Request) -> Response:
    raise RuntimeError(f"no such thing as {NUMBER}")


async def crash_late(request: Request) -> Response:
    async def some() -> AsyncIterator[bytes]:
        yield b"begun"
        raise RuntimeError(NUMBER)

    return StreamingResponse(some())


async def page(request: Request) -> Response:
    return HTMLResponse("<p>hello</p>")


APP = Starlette(
    routes=[
        Route("/echo", echo, methods=["POST"]),
        Route("/echo", lambda _: Response("x"), methods=["GET"]),
        Route("/v1/routes/{number}", lookup),
        Route("/crash", crash),
        Route("/crash/late", crash_late),
        Route("/approvals", page),
        Route("/approvals/crash", crash),
        Mount("/compat", routes=[Route("/a/{b}", page, methods=["PATCH", "DELETE"])]),
    ],
    exception_handlers=handlers(),
)


@asynccontextmanager
async def calling(
    *, called: str = "127.0.0.1:8000", body_seconds: float = 30.0, **settings: Any
) -> AsyncIterator[httpx.AsyncClient]:
    """A client that calls the server by a name of its own."""
    edge = Edge(APP, HttpSettings(**settings), body_seconds)
    transport = httpx.ASGITransport(edge, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=f"http://{called}") as client:
        yield client


def said(answer: httpx.Response) -> dict[str, str]:
    """The refusal in an answer."""
    found: dict[str, str] = answer.json()["error"]
    assert set(found) == {"code", "what", "remedy"} and len(answer.content) < 500
    return found


@pytest.mark.parametrize(
    ("settings", "host"),
    [
        ({}, "127.0.0.1:8000"),
        ({}, "LOCALHOST:9999"),  # forwarded from another port
        ({}, "[::1]:8000"),
        ({}, "localhost"),
        ({"host": "127.0.0.7"}, "127.0.0.7:8000"),
        ({"public_url": "https://calls.example"}, "calls.example"),
        ({"public_url": "https://calls.example"}, "calls.example:443"),
        ({"public_url": "https://calls.example:8443"}, "calls.example:8443"),
        ({"public_url": "https://calls.example"}, "127.0.0.1:8000"),  # the proxy's own name for us
        ({"host": "::", "public_url": "https://calls.example"}, "127.0.0.1:8000"),
        ({"host": "192.168.1.5", "public_url": "https://calls.example"}, "192.168.1.5:8000"),
        ({"allowed_hosts": ("desk.lan",)}, "desk.lan:8000"),
        ({"allowed_hosts": ("desk.lan:8000",)}, "Desk.LAN:8000"),
    ],
)
async def test_a_server_answers_to_its_own_names(settings: dict[str, Any], host: str) -> None:
    async with calling(called=host, **settings) as client:
        assert (await client.get("/echo", headers={"host": host})).status_code == 200


@pytest.mark.parametrize(
    ("settings", "host"),
    [
        ({}, "evil.example"),
        ({}, "127.0.0.1.evil.example:8000"),
        ({}, "localhost:8000.evil.example"),
        ({}, "evil@localhost"),
        ({}, "localhost:"),
        ({}, "[::1"),
        ({}, ""),
        ({}, "calls.example"),
        ({"public_url": "https://calls.example:8443"}, "calls.example"),
        ({"public_url": "https://calls.example"}, "sub.calls.example"),
        ({"host": "192.168.1.5", "public_url": "https://calls.example"}, "127.0.0.1:8000"),
        ({"allowed_hosts": ("desk.lan:8000",)}, "desk.lan:9000"),
    ],
)
@pytest.mark.parametrize("path", ["/echo", "/approvals", "/nowhere"])
async def test_any_other_name_is_misdirected_wherever_it_asks(
    settings: dict[str, Any], host: str, path: str
) -> None:
    async with calling(**settings) as client:
        answer = await client.get(path, headers={"host": host})
        assert answer.status_code == 421
        assert said(answer)["code"] == "HOST_NOT_ALLOWED"
        assert host == "" or host not in answer.text.replace("allowed_hosts", "")


async def test_a_request_with_two_hosts_or_none_is_misdirected() -> None:
    async with calling() as client:
        double = [("host", "localhost"), ("host", "localhost")]
        assert (await client.get("/echo", headers=double)).status_code == 421
    seen = await answered_raw(Edge(APP, HttpSettings()), headers=[])
    assert seen[0]["status"] == 421


@pytest.mark.parametrize(
    ("settings", "host", "origin"),
    [
        ({}, "127.0.0.1:8000", "http://127.0.0.1:8000"),
        ({}, "localhost:9999", "http://localhost:9999"),
        ({}, "[::1]:8000", "http://[::1]:8000"),
        ({"public_url": "https://calls.example"}, "calls.example", "https://calls.example"),
        ({"public_url": "https://calls.example"}, "127.0.0.1:8000", "https://calls.example"),
        ({"public_url": "https://calls.example", "allowed_hosts": ("desk.lan",)}, "desk.lan:1", "https://desk.lan:1"),
        ({"allowed_origins": ("https://Chat.example/",)}, "localhost", "https://chat.example"),
    ],
)  # fmt: skip
async def test_its_own_pages_and_those_allowed_may_call(
    settings: dict[str, Any], host: str, origin: str
) -> None:
    async with calling(called=host, **settings) as client:
        headers = {"host": host, "origin": origin}
        assert (await client.post("/echo", headers=headers)).status_code == 200


@pytest.mark.parametrize(
    ("settings", "host", "origin"),
    [
        ({}, "127.0.0.1:8000", "http://evil.example"),
        ({}, "127.0.0.1:8000", "null"),
        ({}, "127.0.0.1:8000", ""),
        ({}, "127.0.0.1:8000", "http://127.0.0.1:3000"),
        ({}, "localhost", "http://localhost.evil.example"),
        ({"public_url": "https://calls.example"}, "calls.example", "http://calls.example"),
        ({"public_url": "https://calls.example"}, "calls.example", "https://calls.example.evil"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "DELETE"])
@pytest.mark.parametrize("path", ["/echo", "/approvals", "/nowhere"])
async def test_a_strangers_page_may_call_nothing(
    settings: dict[str, Any], host: str, origin: str, method: str, path: str
) -> None:
    async with calling(called=host, **settings) as client:
        answer = await client.request(method, path, headers={"host": host, "origin": origin})
        assert answer.status_code == 403
        assert said(answer)["code"] == "ORIGIN_NOT_ALLOWED"
        assert "access-control-allow-origin" not in answer.headers


async def test_a_body_up_to_the_limit_arrives_whole_and_one_byte_more_does_not() -> None:
    async def chunks(count: int) -> AsyncIterator[bytes]:
        for _ in range(count):
            yield b"x" * 256

    async with calling(body_bytes=1024) as client:
        assert (await client.post("/echo", content=b"x" * 1024)).json() == {"bytes": 1024}
        assert (await client.post("/echo", content=chunks(4))).json() == {"bytes": 1024}
        for told in (b"x" * 1025, chunks(5)):
            answer = await client.post("/echo", content=told)
            assert (answer.status_code, said(answer)["code"]) == (413, "BODY_TOO_LARGE")
            assert answer.headers["connection"] == "close"


@pytest.mark.parametrize("length", [b"99999999999999999999", b"9" * 5000, b"1025"])
async def test_a_body_that_is_announced_too_large_is_not_waited_for(length: bytes) -> None:
    seen: list[Message] = []

    async def send(message: Message) -> None:
        seen.append(message)

    async def late() -> Message:
        assert [m.get("status") for m in seen] == [413, None], "the body was read first"
        return {"type": "http.disconnect"}

    headers = [(b"host", b"localhost"), (b"content-length", length)]
    edge = Edge(APP, HttpSettings(body_bytes=1024))
    await answered_raw(edge, "POST", "/echo", headers, late, send)
    assert [m.get("more_body") for m in seen] == [None, True, False]


async def test_a_body_that_never_ends_is_given_up() -> None:
    async def drip() -> Message:
        await anyio.sleep(0.001)
        return {"type": "http.request", "body": b"x", "more_body": True}

    headers = [(b"host", b"localhost"), (b"transfer-encoding", b"chunked")]
    edge = Edge(APP, HttpSettings(), body_seconds=0.05)
    seen = await answered_raw(edge, "POST", "/echo", headers, drip)
    assert seen[0]["status"] == 408


async def test_a_client_that_leaves_before_its_body_is_whole_has_asked_nothing() -> None:
    async def left() -> Message:
        return {"type": "http.disconnect"}

    headers = [(b"host", b"localhost"), (b"content-length", b"5")]
    assert await answered_raw(Edge(APP, HttpSettings()), "POST", "/echo", headers, left) == []


async def test_every_answer_carries_the_headers_that_protect_it() -> None:
    async with calling(public_url="https://calls.example") as client:
        answers = [
            await client.get("/echo"),
            await client.get("/nowhere"),
            await client.put("/echo"),
            await client.get("/crash"),
            await client.get("/echo", headers={"host": "evil.example"}),
            await client.get("/approvals"),
        ]
    assert [a.status_code for a in answers] == [200, 404, 405, 500, 421, 200]
    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert answer.headers["strict-transport-security"].startswith("max-age=")
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert "server" not in answer.headers
    assert [a.headers["referrer-policy"] for a in answers[-2:]] == ["no-referrer", "same-origin"]


async def test_what_the_app_says_of_caching_stays_and_plain_http_pins_no_tls() -> None:
    async with calling() as client:
        answer = await client.get(f"/v1/routes/{NUMBER}")
    assert answer.headers.get_list("cache-control") == ["max-age=5"]
    assert "strict-transport-security" not in answer.headers


async def test_an_unknown_address_is_404_as_json() -> None:
    async with calling() as client:
        for path in ("/nowhere", "/", "/approvals/x/y", "/compat/zzz", "/echo/", "//evil.example"):
            answer = await client.get(path, follow_redirects=False)
            assert answer.status_code in (404, 307), path
        answer = await client.get(f"/nowhere/{NUMBER}")
        assert said(answer)["code"] == "NOT_FOUND" and NUMBER not in answer.text


async def test_a_method_an_address_does_not_take_is_405_with_all_it_takes() -> None:
    async with calling() as client:
        answer = await client.put("/echo")
        assert (answer.status_code, said(answer)["code"]) == (405, "METHOD_NOT_ALLOWED")
        assert answer.headers["allow"] == "GET, HEAD, POST"
        answer = await client.get("/compat/a/1")
        assert (answer.status_code, answer.headers["allow"]) == (405, "DELETE, PATCH")


@pytest.mark.parametrize("path", ["/crash", "/approvals/crash"])
async def test_a_bug_of_ours_is_500_and_its_values_stay_out_of_answer_and_log(
    path: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        async with calling() as client:
            answer = await client.get(path)
    assert (answer.status_code, said(answer)["code"]) == (500, "INTERNAL_ERROR")
    assert NUMBER not in answer.text and "RuntimeError" not in answer.text
    [told] = [r.getMessage() for r in caplog.records if r.name == "cordboard"]
    assert told.startswith(f"GET {path} failed: RuntimeError at ") and "test_edge.py:" in told
    assert NUMBER not in caplog.text and "Traceback" not in caplog.text


async def test_a_bug_behind_a_begun_answer_is_logged_too(caplog: pytest.LogCaptureFixture) -> None:
    localhost = [(b"host", b"localhost")]
    seen = await answered_raw(Edge(APP, HttpSettings()), path="/crash/late", headers=localhost)
    assert [m.get("body") for m in seen] == [None, b"begun"]  # what was begun is broken off
    assert "GET /crash/late failed: RuntimeError at " in caplog.text and NUMBER not in caplog.text


async def test_somebody_at_a_browser_gets_a_short_page_under_approvals_only() -> None:
    async with calling() as client:
        for path, status in (("/approvals/x/y", 404), ("/approvals/crash", 500)):
            answer = await client.get(path, headers=PAGE)
            assert answer.status_code == status
            assert answer.headers["content-type"].startswith("text/html")
            assert answer.text.startswith("<!doctype html>") and len(answer.text) < 600
        answer = await client.get("/approvals", headers=PAGE | {"origin": "http://evil.example"})
        assert answer.status_code == 403 and "<h1>Forbidden</h1>" in answer.text
        assert said(await client.get("/nowhere", headers=PAGE))["code"] == "NOT_FOUND"


PATHS = ["/%00", "/v1/routes/%00", "/%ff%fe", "/v1/routes/%", "/%zz", "/" + "a" * 20_000,
         "/..%2f..%2fetc/passwd", "/v1/routes/%2b1415%0d%0aSet-Cookie:x=1", "/\u202e", "/%ed%a0%80"]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
async def test_no_path_is_so_absurd_that_the_server_fails(path: str) -> None:
    async with calling() as client:
        answer = await client.get(path)
    assert answer.status_code in (200, 404)


async def test_a_websocket_is_closed() -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    scope = {"type": "websocket", "path": "/mcp", "headers": [(b"host", b"localhost")]}
    await Edge(APP, HttpSettings())(scope, receive, send)
    assert sent == [{"type": "websocket.close", "code": 1008}]


async def test_draining_ends_a_stream_and_leaves_what_was_asked() -> None:
    asked, begun, ended = anyio.Event(), anyio.Event(), anyio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        begun.set()
        if scope["method"] == "GET":
            assert (await receive())["type"] == "http.disconnect"
        else:
            await asked.wait()
            await send({"type": "http.response.body", "body": b"done"})

    edge = Edge(app, HttpSettings())
    events = [(b"host", b"localhost"), (b"accept", b"text/event-stream")]
    done: dict[str, list[Message]] = {}

    async def ask(method: str) -> None:
        done[method] = await answered_raw(edge, method, "/mcp", events, anyio.sleep_forever)
        ended.set()

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(ask, "GET")
            group.start_soon(ask, "POST")
            await begun.wait()
            edge.drain()
            await ended.wait()
            assert list(done) == ["GET"]
            asked.set()
    assert [m.get("body") for m in done["GET"]] == [None, b""]
    assert [m.get("body") for m in done["POST"]] == [None, b"done"]


ROOMS = [
    "/mcp", "/v1/routes/%2B14155551234", "/approvals", "/approvals/plan_0", "/healthz", "/readyz",
    "/compat/bland/v1/inbound", "/compat/synthflow/v2/numbers", "/compat/unleashx/api/agent/attach-phone-number",
    "/openapi.json", "/.well-known/oauth-protected-resource/mcp", "/nowhere",
]  # fmt: skip


async def test_every_room_of_the_whole_app_lies_behind_the_edge(world: World) -> None:
    async with on_the_web(world, body_bytes=2048) as web:
        for path in ROOMS:
            for method in ("GET", "POST"):
                told = {"host": "evil.example"}
                assert (await web.http.request(method, path, headers=told)).status_code == 421
                told = {"origin": "https://evil.example"}
                assert (await web.http.request(method, path, headers=told)).status_code == 403
                answer = await web.http.request(method, path, content=b"x" * 2049)
                assert answer.status_code == 413
            answer = await web.http.request("BREW", path)
            assert answer.status_code in (401, 403, 404, 405), path
            assert answer.headers["x-content-type-options"] == "nosniff"
    assert await world.seq() == 0


async def answered_raw(
    edge: Edge,
    method: str = "GET",
    path: str = "/echo",
    headers: list[tuple[bytes, bytes]] | None = None,
    receive: Callable[[], Any] | None = None,
    send: Callable[[Message], Any] | None = None,
) -> list[Message]:
    """What the edge sends for a request that no client library would make."""
    sent: list[Message] = []

    async def keep(message: Message) -> None:
        sent.append(message)

    async def empty() -> Message:
        await anyio.lowlevel.checkpoint()
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {
        "type": "http", "method": method, "path": path, "raw_path": path.encode(), "root_path": "",
        "query_string": b"", "headers": headers or [], "scheme": "http", "http_version": "1.1",
        "server": ("127.0.0.1", 8000), "client": ("127.0.0.1", 1),
    }  # fmt: skip
    await edge(scope, receive or empty, send or keep)
    return sent

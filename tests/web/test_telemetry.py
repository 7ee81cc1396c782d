"""What spans say, and what neither they nor the log say: no number, token, reason or name."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from tests.platforms.vendors import B_FREE, SUPPORT, vendors
from tests.web.serving import filled, refused, serving
from tests.web.site import WebWorld, on_the_web
from tests.world import NOT_OWNED, SUPPORT_LINE, TEST_ONE, Clock, Worlds

pytestmark = pytest.mark.anyio
MODERN, LEGACY = "2026-07-28", "2025-11-25"
REASON = "because Grandmother Josephine moved to Wuppertal"
PRINCIPAL = "henrietta.oldcastle"
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SECRETS = [SUPPORT_LINE, TEST_ONE, NOT_OWNED, B_FREE, "Josephine", PRINCIPAL, "Support Line"]


class Kept(SpanProcessor):
    """Every span that ends while a test runs."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] | None = None

    def on_end(self, span: ReadableSpan) -> None:
        if self.spans is not None:
            self.spans.append(span)


@cache
def kept() -> Kept:
    """The one that is there; a process has one provider, for good."""
    made, provider = Kept(), TracerProvider()
    provider.add_span_processor(made)
    trace.set_tracer_provider(provider)
    return made


@pytest.fixture
def spans() -> Iterator[list[ReadableSpan]]:
    """What spans end while the test runs."""
    found = kept().spans = []
    yield found
    kept().spans = None


def told(span: ReadableSpan) -> str:
    """All that a span says, as text."""
    context = span.get_span_context()
    state = context.trace_state if context else ""
    return f"{span.to_json()} {state!r} {[link.attributes for link in span.links]}"


def hidden(said: str, *more: str) -> None:
    """Nothing of what must not be told stands in there."""
    for secret in (*SECRETS, *more):
        assert secret not in said and secret.removeprefix("+") not in said, secret


@dataclass
class Desk:
    """Somebody who calls over MCP by raw JSON-RPC, so that nothing is tidied up on the way."""

    web: WebWorld
    token: str
    spans: list[ReadableSpan]
    era: str
    session: str = ""

    async def ask(self, method: str, ident: int | str = 1, **params: Any) -> dict[str, Any]:
        modern = self.era == MODERN
        headers = {
            "authorization": f"Bearer {self.token}",
            "accept": "application/json, text/event-stream",
            "mcp-protocol-version": self.era,
            "traceparent": f"00-{TRACE}-{PARENT}-01",
            "tracestate": f"who={PRINCIPAL}",
            "baggage": f"number={SUPPORT_LINE}",
        }
        if modern:
            headers |= {
                "mcp-method": method,
                "mcp-name": str(params.get("name", params.get("uri", ""))),
            }
            prefix = "io.modelcontextprotocol/"
            params["_meta"] = {
                f"{prefix}protocolVersion": MODERN,
                f"{prefix}clientInfo": {"name": PRINCIPAL, "version": "1"},
                f"{prefix}clientCapabilities": {},
            }
        if self.session:
            headers["mcp-session-id"] = self.session
        asked = {"jsonrpc": "2.0", "id": ident, "method": method, "params": params}
        answer = await self.web.http.post("/mcp", json=asked, headers=headers)
        self.session = answer.headers.get("mcp-session-id", "")
        lines = [line for line in answer.text.splitlines() if line.startswith("data: {")]
        found: dict[str, Any] = json.loads(
            lines[-1].removeprefix("data: ") if lines else answer.text
        )
        return found

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """A tool's result."""
        answer = await self.ask("tools/call", name=tool, arguments=arguments)
        found: dict[str, Any] = answer["result"]
        return found

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.spans if span.name == name]


@asynccontextmanager
async def desk(
    make_world: Worlds, spans: list[ReadableSpan], era: str, *, policy: str = "standard"
) -> AsyncIterator[Desk]:
    clock = Clock()
    outside = vendors(clock)
    config: dict[str, Any] = {**outside.environ}
    world = make_world(policy=policy, clock=clock, outside=outside.outside, **config)
    async with on_the_web(world) as web:
        token = await web.token("phone", "numbers:read", "numbers:write", subject=PRINCIPAL)
        made = Desk(web, token, spans, era)
        if era == LEGACY:
            hello: dict[str, Any] = {
                "capabilities": {},
                "clientInfo": {"name": PRINCIPAL, "version": "1"},
            }
            await made.ask("initialize", protocolVersion=LEGACY, **hello)
        yield made


@pytest.mark.parametrize("era", [MODERN, LEGACY])
async def test_a_tool_call_tells_its_plan_and_what_became_of_it(
    make_world: Worlds, spans: list[ReadableSpan], era: str
) -> None:
    async with desk(make_world, spans, era) as person:
        asked = await person.call(
            "attach_numbers", agent="local:support", numbers=[SUPPORT_LINE], reason=REASON
        )
        plan_id = asked["structuredContent"]["plan_id"]
        [span] = person.named("tools/call attach_numbers")
        assert dict(span.attributes or {}) == {
            "mcp.method.name": "tools/call",
            "mcp.protocol.version": era,
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": "attach_numbers",
            "cordboard.plan_id": plan_id,
            "cordboard.action": "attach",
            "cordboard.status": "awaiting_approval",
            "cordboard.guard.level": "person",
        }  # fmt: skip
        refused = await person.call("get_plan", plan_id=f"plan_{'0' * 24}")
        assert refused["isError"]
        [span] = person.named("tools/call get_plan")
        assert (span.attributes or {})["error.type"] == "PLAN_NOT_FOUND"


async def test_a_request_is_told_by_its_route_in_the_callers_trace(
    make_world: Worlds, spans: list[ReadableSpan]
) -> None:
    async with desk(make_world, spans, MODERN) as person:
        headers = await person.web.bearer("stack", "routes:read")
        headers |= {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "who=me"}
        answer = await person.web.http.get(f"/v1/routes/{SUPPORT_LINE}", headers=headers)
        assert answer.status_code == 200
        [span] = person.named("GET /v1/routes/{number}")
        assert dict(span.attributes or {}) == {
            "http.request.method": "GET",
            "url.scheme": "http",
            "http.response.status_code": 200,
            "http.route": "/v1/routes/{number}",
        }
        assert span.context is not None and span.parent is not None
        assert f"{span.context.trace_id:032x}" == TRACE and f"{span.parent.span_id:016x}" == PARENT
        assert not span.context.trace_state
        await person.call("list_agents")
        [call], [request] = person.named("tools/call list_agents"), person.named("POST /mcp")
        assert call.parent is not None and request.context is not None
        assert call.parent.span_id == request.context.span_id


@pytest.mark.parametrize("header", ["", "x", "00-0-0-00", f"00-{'0' * 32}-{PARENT}-01", "\xff"])
async def test_a_trace_that_is_none_begins_a_new_one(
    make_world: Worlds, spans: list[ReadableSpan], header: str
) -> None:
    async with desk(make_world, spans, MODERN) as person:
        await person.web.http.get("/healthz", headers=[(b"traceparent", header.encode("latin-1"))])
        [span] = person.named("GET /healthz")
        assert span.parent is None


async def test_a_request_to_a_vendor_is_told_by_host_and_outcome(
    make_world: Worlds, spans: list[ReadableSpan]
) -> None:
    async with desk(make_world, spans, MODERN, policy="relaxed") as person:
        planned = await person.call("attach_numbers", agent=f"bland:{SUPPORT}", numbers=[B_FREE])
        plan_id = planned["structuredContent"]["plan_id"]
        done = await person.call("apply_plan", plan_id=plan_id)
        assert done["structuredContent"]["status"] == "applied"
        [write] = person.named("POST bland")
        assert dict(write.attributes or {}) == {
            "http.request.method": "POST",
            "server.address": "api.bland.ai",
            "cordboard.platform": "bland",
            "http.response.status_code": 200,
        }
        [call] = person.named("tools/call apply_plan")
        assert call.context is not None and write.context is not None
        assert write.context.trace_id == call.context.trace_id
        assert person.named("GET bland")
        hidden(" ".join(map(told, spans)))


@pytest.mark.parametrize("era", [MODERN, LEGACY])
async def test_no_number_token_reason_or_name_is_in_any_span_or_log_line(
    make_world: Worlds,
    spans: list[ReadableSpan],
    era: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    async with desk(make_world, spans, era) as person:
        numbers: dict[str, Any] = {"agent": "local:support", "numbers": [SUPPORT_LINE, TEST_ONE]}
        await person.call("attach_numbers", **numbers, reason=REASON)
        await person.call("attach_numbers", **numbers, reason=REASON, who=PRINCIPAL)
        await person.call("list_numbers", query=SUPPORT_LINE)
        await person.call("freeze_changes", reason=REASON)
        await person.call(SUPPORT_LINE)
        await person.call(PRINCIPAL, number=SUPPORT_LINE)
        await person.ask("tools/call", SUPPORT_LINE, name="list_agents", arguments={})
        await person.ask("tools/call", int(SUPPORT_LINE[1:]), name="list_agents", arguments={})
        await person.ask(f"tools/{PRINCIPAL}")
        await person.ask("resources/read", uri=f"cordboard://numbers/{SUPPORT_LINE}")
        await person.ask("resources/read", uri=f"cordboard://numbers/{NOT_OWNED}")
        await person.ask("resources/read", uri=f"cordboard://plans/{PRINCIPAL}")
        await person.ask("prompts/get", name=PRINCIPAL, arguments={"number": SUPPORT_LINE})
        await person.ask("prompts/get", name="set_up_number", arguments={"number": SUPPORT_LINE})
        await over_http(person.web.http, person.token)
        assert len(spans) > 30
        hidden(" ".join(map(told, spans)), person.token, person.token.rpartition(".")[2])
        hidden(caplog.text, person.token, person.token.rpartition(".")[2])


async def over_http(http: httpx.AsyncClient, token: str) -> None:
    """Requests beside MCP that have numbers and tokens where they belong and where they do not."""
    bearer = {"authorization": f"Bearer {token}"}
    for path in (
        f"/v1/routes/{SUPPORT_LINE}",
        f"/v1/routes/{SUPPORT_LINE}/x",
        f"/nowhere/{SUPPORT_LINE}?token={token}",
        f"/compat/bland/v1/personas/{SUPPORT_LINE}/inbound/attach",
        f"/compat/synthflow/v2/assistants/{PRINCIPAL}/phone_numbers/{SUPPORT_LINE[1:]}",
        f"/approvals/{PRINCIPAL}?account={PRINCIPAL}",
    ):
        for method in ("GET", "POST", "DELETE", "PUT"):
            body = {"numbers": [SUPPORT_LINE], "reason": REASON}
            await http.request(method, path, headers=bearer, json=body)
    await http.get("/healthz", headers={"host": f"{PRINCIPAL}.example"})
    await http.get("/healthz", headers={"origin": f"https://{PRINCIPAL}.example"})
    await http.post("/mcp", content=SUPPORT_LINE, headers=bearer)
    await http.post("/mcp", json={}, headers={"authorization": f"Bearer {token}x"})


# --- where spans are sent ----------------------------------------------------------------------


@dataclass
class Collector:
    """Takes spans as a collector does; `heard` is what came, undecoded."""

    url: str
    heard: list[tuple[str, bytes]]


@pytest.fixture
def collector() -> Iterator[Collector]:
    heard: list[tuple[str, bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append((self.path, self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield Collector(f"http://127.0.0.1:{server.server_port}", heard)
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("count", ["1", "2"])
async def test_spans_go_where_the_standard_variable_says_to_the_last_one(
    tmp_path: Path, collector: Collector, count: str
) -> None:
    database = await filled(tmp_path / "cordboard.db")
    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_EXPORTER_OTLP_COMPRESSION": "none",
    }
    async with serving(database, "--workers", count, environ=environ) as server:
        token = await server.token(PRINCIPAL)
        async with server.client(token) as call:
            asked = await call(
                "attach_numbers", agent="local:support", numbers=[SUPPORT_LINE], reason=REASON
            )
        assert await server.stop() == 0
        assert server.logged == []
    assert {path for path, _ in collector.heard} == {"/v1/traces"}
    said = b"".join(body for _, body in collector.heard).decode("latin-1")
    assert "tools/call attach_numbers" in said and asked.plan_id in said and "cordboard" in said
    hidden(said, token)


async def test_a_collector_that_is_not_there_keeps_nobody_waiting(tmp_path: Path) -> None:
    database = await filled(tmp_path / "cordboard.db")
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    async with serving(database, environ=environ) as server:
        token = await server.token(PRINCIPAL)
        async with server.client(token) as call:
            assert (await call("get_number_route", number=SUPPORT_LINE))["number"] == SUPPORT_LINE
        assert await server.stop() == 0
        assert not any("Traceback" in line for line in server.said)
        hidden("\n".join(server.said), token)


async def test_without_the_packages_that_send_spans_it_says_what_to_install(tmp_path: Path) -> None:
    hide = "import sys; sys.modules['opentelemetry.sdk'] = None\n"
    (tmp_path / "sitecustomize.py").write_text(hide, "utf-8")
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "PYTHONPATH": str(tmp_path)}
    code, said = await refused(tmp_path / "cordboard.db", environ=environ)
    assert code == 2 and len(said) == 1
    assert said[0].startswith("INVALID_CONFIGURATION: OTEL_EXPORTER_OTLP_ENDPOINT: ")
    assert "cordboard[otel]" in said[0]

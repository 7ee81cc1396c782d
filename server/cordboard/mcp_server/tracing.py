"""A span for each MCP message, in the place of the SDK's own.

The SDK takes names and ids as the client sent them, and the text of an error; all of them can
hold phone numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from mcp.server.context import CallNext, HandlerResult, ServerMiddleware, ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp_types import CallToolResult
from opentelemetry.trace import SpanKind

from cordboard import telemetry

_METHODS = frozenset(
    {
        "completion/complete",
        "initialize",
        "logging/setLevel",
        "notifications/cancelled",
        "notifications/initialized",
        "notifications/progress",
        "notifications/roots/list_changed",
        "ping",
        "prompts/get",
        "prompts/list",
        "resources/list",
        "resources/read",
        "resources/subscribe",
        "resources/templates/list",
        "resources/unsubscribe",
        "server/discover",
        "subscriptions/listen",
        "tools/call",
        "tools/list",
    }
)
_OTHER = "_OTHER"
_VERSION = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)


class MessageSpans(ServerMiddleware[Any]):
    """Names what we know by name: methods, and `names`, which are our tools and prompts."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(names)

    async def __call__(
        self, ctx: ServerRequestContext[Any, Any], call_next: CallNext
    ) -> HandlerResult:
        method = ctx.method if ctx.method in _METHODS else _OTHER
        said = {"mcp.method.name": method}
        if _VERSION.fullmatch(ctx.protocol_version):
            said["mcp.protocol.version"] = ctx.protocol_version
        name = (ctx.params or {}).get("name")
        target = name if isinstance(name, str) and name in self._names else ""
        if target and method == "tools/call":
            said |= {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": target}
        elif target and method == "prompts/get":
            said["gen_ai.prompt.name"] = target
        meta: dict[str, Any] = dict(ctx.meta or {})
        with telemetry.span(
            f"{method} {target}".rstrip(),
            SpanKind.SERVER,
            said,
            telemetry.parent(meta.get("traceparent")),
        ) as span:
            try:
                result = await call_next(ctx)
            except MCPError as exc:
                span.set_attribute("rpc.response.status_code", str(exc.error.code))
                raise
            code = _code_of(result)
            if code:
                telemetry.failed(span, code)
            return result


def _code_of(result: HandlerResult) -> str:
    """Our code of a tool's refusal; "" for any other result."""
    match result:
        case CallToolResult(is_error=True, meta=meta) | {"isError": True, "_meta": meta}:
            return str((meta or {}).get("cordboard/code", "tool_error"))
        case _:
            return ""

"""What is no JSON-RPC message never reaches the SDK: it is refused, with what is wrong with it.

The SDK by itself takes a request without an id for a notification and answers 202, also where its
method can be none, and tells of others in the words of its validation library.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, cast

from mcp_types import INVALID_REQUEST, PARSE_ERROR
from starlette.responses import JSONResponse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_METHOD = re.compile(r"[a-z][A-Za-z0-9_.-]*(/[a-z][A-Za-z0-9_.-]*)*", re.ASCII)
_NOTIFIES = "notifications/"
MESSAGE = "cordboard.message"
"""Where in an ASGI scope the message stands, read."""


class WellFormed:
    """Lets one message of JSON-RPC 2.0 through; anything else is 400 and an error that says why."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        body = await _read(receive)
        if body is None:
            return  # whoever sent it has left
        try:
            message = json.loads(body)
        except (ValueError, RecursionError):
            await _refused(None, PARSE_ERROR, "The body is not JSON.")(scope, receive, send)
            return
        wrong = problem(message)
        if wrong:
            await _refused(message, INVALID_REQUEST, wrong)(scope, receive, send)
            return
        await self._app({**scope, MESSAGE: message}, _again(body, receive), send)


def problem(message: object) -> str:
    """Why this is no message of JSON-RPC 2.0 and MCP; "" where it is one."""
    if not isinstance(message, dict):
        return "The body must be one JSON-RPC message, an object."
    return _wrong(cast(dict[str, Any], message))


def _wrong(message: dict[str, Any]) -> str:
    if message.get("jsonrpc") != "2.0":
        return 'jsonrpc must be "2.0".'
    if "id" in message and not _is_id(message["id"]):
        return "id must be text or a whole number."
    if "method" not in message:
        whole = "id" in message and ("result" in message) != ("error" in message)
        return "" if whole else "method is missing."
    method = message["method"]
    if not isinstance(method, str) or not _METHOD.fullmatch(method):
        return "method is no name of a method."
    if not isinstance(message.get("params", {}), dict):
        return "params must be an object."
    if "id" not in message and not method.startswith(_NOTIFIES):
        return f"id is missing; only {_NOTIFIES}… go without."
    return ""


def _is_id(value: object) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool)


def _refused(message: object, code: int, why: str) -> JSONResponse:
    said = cast(dict[str, Any], message).get("id") if isinstance(message, dict) else None
    error = {"code": code, "message": why}
    return JSONResponse(
        {"jsonrpc": "2.0", "id": said if _is_id(said) else None, "error": error}, 400
    )


async def _read(receive: Receive) -> bytes | None:
    """The whole body, which the edge has bounded; None where the client left before its end."""
    parts: list[bytes] = []
    while True:
        event = await receive()
        if event["type"] != "http.request":
            return None
        parts.append(event.get("body", b""))
        if not event.get("more_body", False):
            return b"".join(parts)


def _again(body: bytes, receive: Receive) -> Receive:
    """What gives the body once more, and then whatever else comes."""
    waiting = [body]

    async def take() -> Message:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        return await receive()

    return take

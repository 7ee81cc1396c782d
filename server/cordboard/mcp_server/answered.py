"""An answer to a question of ours counts once, and who sends the very same again is told so.

A client whose connection broke before the result came has to send the call again, and gets the
recorded result. Where the result did go out, the same again is a replay: it is refused by the
protocol's own error, with the recorded result in its data. Nothing is written in either case, the
guard sees to that; here it is only decided how it is told, and each process remembers for itself.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS
from starlette.requests import HTTPConnection, Request

from cordboard.mcp_server.messages import MESSAGE

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_KEPT = 10_000
_ANSWER = "cordboard.answer"
_SETTLED = ("applied", "partly_applied", "applying", "unknown")


@dataclass
class _Answer:
    """One answer on its way through. `settled`: it settled its plan."""

    replayed: bool
    settled: bool = False


class AnsweredOnce:
    """The ASGI app around MCP that tells a replay from a call sent again."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._told: OrderedDict[bytes, None] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        key = _key(scope.get(MESSAGE))
        if key is None:
            await self._app(scope, receive, send)
            return
        answer = _Answer(replayed=key in self._told)
        request = Request(scope, receive)
        there = False

        async def watched(message: Message) -> None:
            nonlocal there
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                there = not await request.is_disconnected()
            await send(message)

        await self._app({**scope, _ANSWER: answer}, receive, watched)
        if answer.settled and there:
            self._told[key] = None
            while len(self._told) > _KEPT:
                self._told.popitem(last=False)


def check(request: object, data: dict[str, Any]) -> None:
    """What is to be done with the result of a call that may have carried an answer.

    Raises: MCPError with this result in its data, where the same answer had its result before.
    """
    answer = request.scope.get(_ANSWER) if isinstance(request, HTTPConnection) else None
    if not isinstance(answer, _Answer):
        return
    if answer.replayed:
        told = f"This answer was used before, and counts once. {data['message']}"
        raise MCPError(INVALID_PARAMS, told, {"recorded": data})
    answer.settled = data.get("status") in _SETTLED


def _key(message: Any) -> bytes | None:
    """What tells one answer from any other; None where a message carries none. The sealed state
    in it is bound to who was asked."""
    params = message.get("params") if isinstance(message, dict) else None
    if not params or not params.get("requestState") or not params.get("inputResponses"):
        return None
    said = {name: value for name, value in params.items() if name != "_meta"}
    text = json.dumps([message.get("method"), said], sort_keys=True)
    return hashlib.sha256(text.encode()).digest()

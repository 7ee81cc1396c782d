"""`GET /v1/routes/{number}`: what answers a number, for a voice stack of one's own, at every call.

200 `{number, agent, name, pathway_id, pathway_version, resolved_version, start_node_id, version}`
(see `InboundRoute`): `agent` is "" for a number of ours that nobody answers. 404 for a number that
is not ours. The ETag is strong and changes exactly when the answer does. No copy may be used
without asking again: an answer here is never older than the last commit of any process.

Pure ASGI, and the answer of an unchanged route is kept as bytes: calls wait for it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING

from starlette.requests import HTTPConnection
from starlette.routing import BaseRoute, Route

from cordboard.service.inbound import InboundRoute, InboundRoutes
from cordboard.web.site import Site

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send

PATH = "/v1/routes/{number}"
_FIELDS = tuple(field.name for field in fields(InboundRoute))
_MOST_ENCODED = 10_000


def routes(site: Site) -> list[BaseRoute]:
    """The one route, needing the scope `routes:read`."""
    return [Route(PATH, _Lookup(site), methods=["GET"])]


class _Lookup:
    def __init__(self, site: Site) -> None:
        self._site, self._routes = site, InboundRoutes(site.app.store)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. Raises: Unauthenticated, NotAllowed, and as `InboundRoutes.find`."""
        del receive
        caller = await self._site.caller(HTTPConnection(scope))
        caller.require("routes:read")
        route = await self._routes.find(caller.account, scope["path_params"]["number"])
        answer = _encoded(route)
        if answer.is_known(_if_none_match(scope)):
            await send(answer.unchanged)
            await send({"type": "http.response.body", "body": b""})
        else:
            await send(answer.start)
            await send({"type": "http.response.body", "body": answer.body})


def _if_none_match(scope: Scope) -> str:
    """The ETags that the caller has copies of, as the request lists them."""
    given = [value for name, value in scope["headers"] if name == b"if-none-match"]
    return b",".join(given).decode("latin-1")


@dataclass(frozen=True, slots=True)
class _Answer:
    """A route as it goes out: whole, or as the word that it is what the caller has already."""

    tag: str
    start: Message
    unchanged: Message
    body: bytes

    def is_known(self, if_none_match: str) -> bool:
        """Whether the caller has this answer (RFC 9110, 13.1.2)."""
        if not if_none_match:
            return False
        given = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
        return self.tag in given or given == ["*"]


@lru_cache(_MOST_ENCODED)
def _encoded(route: InboundRoute) -> _Answer:
    told = {name: getattr(route, name) for name in _FIELDS}
    body = json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()
    tag = f'"{sha256(body).hexdigest()[:32]}"'
    always = [
        (b"etag", tag.encode()),
        (b"cache-control", b"private, no-cache"),
        (b"vary", b"authorization"),
    ]
    whole = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    return _Answer(tag, _start(200, always + whole), _start(304, always), body)


def _start(status: int, headers: list[tuple[bytes, bytes]]) -> Message:
    return {"type": "http.response.start", "status": status, "headers": headers}

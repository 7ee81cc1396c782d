"""`GET /v1/routes/{number}`: what answers a number, for a voice stack of one's own, at every call.

200 `{number, agent, name, pathway_id, pathway_version, resolved_version, start_node_id, version}`
(see `InboundRoute`): `agent` is "" for a number of ours that nobody answers. 404 for a number that
is not ours. The ETag is strong and changes exactly when the answer does. No copy may be used
without asking again: an answer here is never older than the last commit of any process.

Pure ASGI, and the answer of an unchanged route is kept as bytes: calls wait for it.
"""

from __future__ import annotations

import json
from dataclasses import fields
from hashlib import sha256
from typing import TYPE_CHECKING

from starlette.requests import HTTPConnection
from starlette.routing import BaseRoute, Route

from cordboard.service.inbound import InboundRoute, InboundRoutes
from cordboard.web.site import Site

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

PATH = "/v1/routes/{number}"
_FIELDS = tuple(field.name for field in fields(InboundRoute))
_WRITTEN = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_ALWAYS = ((b"cache-control", b"private, no-cache"), (b"vary", b"authorization"))
_JSON = (b"content-type", b"application/json")


def routes(site: Site) -> list[BaseRoute]:
    """The one route, needing the scope `routes:read`."""
    return [Route(PATH, _Lookup(site), methods=["GET"])]


class _Lookup:
    def __init__(self, site: Site) -> None:
        self._site, self._routes = site, InboundRoutes(site.app.store, _answer)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. Raises: Unauthenticated, NotAllowed, and as `InboundRoutes.find`."""
        del receive
        caller = await self._site.caller(HTTPConnection(scope))
        caller.require("routes:read")
        number = scope["path_params"]["number"]
        tag, body = await self._routes.find(caller.account, number)
        status, headers = 200, [(b"etag", tag), *_ALWAYS]
        if _has(scope, tag):
            status, body = 304, b""
        else:
            headers += (_JSON, (b"content-length", b"%d" % len(body)))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _answer(route: InboundRoute) -> tuple[bytes, bytes]:
    """The ETag and the body of an answer. Bytes and no more: thousands are kept, and garbage
    collection need not look through them."""
    body = _WRITTEN.encode({name: getattr(route, name) for name in _FIELDS}).encode()
    return b'"%s"' % sha256(body).hexdigest()[:32].encode(), body


def _has(scope: Scope, tag: bytes) -> bool:
    """Whether the caller has a copy of the answer with this ETag (RFC 9110, 13.1.2)."""
    for name, value in scope["headers"]:
        if name == b"if-none-match":
            given = [one.strip().removeprefix(b"W/") for one in value.split(b",")]
            if tag in given or given == [b"*"]:
                return True
    return False

"""`GET /v1/routes/{number}`: what answers a number, for a voice stack of one's own, at every call.

200 `{number, agent, name, pathway_id, pathway_version, resolved_version, start_node_id, version}`
(see `InboundRoute`): `agent` is "" for a number of ours that nobody answers. 404 for a number that
is not ours. The ETag is strong and changes exactly when the answer does. No copy may be used
without asking again. `Cordboard-Max-Staleness` says how many seconds old an answer may be: 0 on the
embedded store, where it is of the last commit of any process.

Pure ASGI, ahead of the framework, and the answer of an unchanged route is kept as bytes: calls wait
for it.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from pydantic_core import to_json
from starlette.requests import HTTPConnection, Request
from starlette.routing import Route

from cordboard.errors import CordboardError
from cordboard.service.inbound import InboundRoute, InboundRoutes
from cordboard.web.site import Site, Unauthenticated, bearer, refusal, unauthenticated

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

_BEFORE = "/v1/routes/"
PATH = _BEFORE + "{number}"
_ALWAYS = ((b"cache-control", b"private, no-cache"), (b"vary", b"authorization"))
_JSON = (b"content-type", b"application/json")


class Lookup:
    """The one route, needing the scope `routes:read`."""

    def __init__(self, site: Site) -> None:
        self._site, self._store = site, site.app.store
        self._routes = InboundRoutes(site.app.store, _answer)
        bound = f"{site.app.store.bound_seconds:g}".encode()
        self._always = (*_ALWAYS, (b"cordboard-max-staleness", bound))
        self._on_refusal, self._on_stranger = refusal(site), unauthenticated(site)
        self.route = Route(PATH, self, methods=["GET"])

    def before(self, app: ASGIApp) -> ASGIApp:
        """The app, in which these questions do not wait for the framework; it has `route` too, to
        tell other methods what is taken here."""

        async def ahead(scope: Scope, receive: Receive, send: Send) -> None:
            path = scope["path"] if scope["type"] == "http" and scope["method"] == "GET" else ""
            if path.startswith(_BEFORE) and path != _BEFORE and "/" not in path[len(_BEFORE) :]:
                scope["route"] = self.route  # what the log and a span call it by
                await self(scope, receive, send)
            else:
                await app(scope, receive, send)

        return ahead

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            tag, body = await self._found(scope, scope["path"][len(_BEFORE) :])
        except CordboardError as exc:
            await self._on_refusal(Request(scope), exc)(scope, receive, send)
        except Unauthenticated as exc:
            await self._on_stranger(Request(scope), exc)(scope, receive, send)
        else:
            status, headers = 200, [(b"etag", tag), *self._always]
            if _has(scope, tag):
                status, body = 304, b""
            else:
                headers += (_JSON, (b"content-length", b"%d" % len(body)))
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body})

    async def _found(self, scope: Scope, number: str) -> tuple[bytes, bytes]:
        """The ETag and the body. Raises: Unauthenticated, NotAllowed, and as `InboundRoutes.find`."""
        said = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        moment = self._store.moment()  # one for both questions: to tell it costs two system calls
        caller = self._site.verifier.kept(bearer(said.decode("latin-1")), moment)
        if caller is None:
            caller = await self._site.caller(HTTPConnection(scope))
            moment = b""
        caller.require("routes:read")
        found = self._routes.kept(caller.account, number, moment)
        return found or await self._routes.find(caller.account, number)


def _answer(route: InboundRoute) -> tuple[bytes, bytes]:
    """The ETag and the body of an answer. Bytes and no more: thousands are kept, and garbage
    collection need not look through them."""
    body = to_json(route)
    return b'"%s"' % sha256(body).hexdigest()[:32].encode(), body


def _has(scope: Scope, tag: bytes) -> bool:
    """Whether the caller has a copy of the answer with this ETag (RFC 9110, 13.1.2)."""
    for name, value in scope["headers"]:
        if name == b"if-none-match":
            given = [one.strip().removeprefix(b"W/") for one in value.split(b",")]
            if tag in given or given == [b"*"]:
                return True
    return False

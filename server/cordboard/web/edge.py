"""What every request passes, whatever it is for: names, origins, sizes, headers, the last resort.

Outermost of the app, and pure ASGI: `/mcp`, pages, REST and health all lie behind it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import anyio

from cordboard.config.http import HttpSettings, is_loopback
from cordboard.web.body import Body, Room
from cordboard.web.refusing import CRASH, Refusal, answered, log_crash

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_EVERYWHERE = ("", "0.0.0.0", "::")  # noqa: S104 - compared with, not bound to
_BODY_SECONDS = 30.0
_CLOSE = {"Connection": "close"}
"""With an answer to a request that was not read to its end."""
_NO_NAME = Refusal(
    421,
    "HOST_NOT_ALLOWED",
    "This server is not called by that name.",
    "The operator names it by --public-url, or in allowed_hosts of [http].",
    _CLOSE,
)
_NO_ORIGIN = Refusal(
    403,
    "ORIGIN_NOT_ALLOWED",
    "Pages of that origin may not call this server.",
    "The operator allows others in allowed_origins of [http].",
    _CLOSE,
)
_TOO_SLOW = Refusal(
    408, "REQUEST_TIMEOUT", "The body did not arrive in time.", "Send it again.", _CLOSE
)
_ROOM_BYTES = 256 * 1024 * 1024
_NO_ROOM = Refusal(
    503,
    "TOO_MANY_BODIES",
    "Too many large requests arrive at this moment.",
    "Send it again a little later.",
    {**_CLOSE, "Retry-After": "5"},
)


_DIGITS = 18
_MOST_KNOWN = 64
_LOOKED_AT = frozenset({b"origin", b"content-length", b"transfer-encoding"})
_Header = tuple[bytes, bytes]
_NOWHERE, _WITHIN = (b"referrer-policy", b"no-referrer"), (b"referrer-policy", b"same-origin")
"""A page's forms need the second: under the first, browsers send `Origin: null` with them."""

_ALWAYS: tuple[_Header, ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)
_ADDED = frozenset(
    {b"referrer-policy", b"strict-transport-security", *(name for name, _ in _ALWAYS)}
)


class Edge:
    """The ASGI app around the app.

    Hosts: the public URL's and `allowed_hosts`, with a port (that one) or without (any); on
    loopback, or where every address is listened on, the loopback names; else the address itself.
    Origins: none; the page's own server; the public URL; `allowed_origins`.
    """

    def __init__(
        self, app: ASGIApp, http: HttpSettings, body_seconds: float = _BODY_SECONDS
    ) -> None:
        """`body_seconds`: so long may a body take from its first byte to its last."""
        self._app, self._most, self._body_seconds = app, http.body_bytes, body_seconds
        public = urlsplit(http.url)
        self._scheme, self._loopback = public.scheme, http.is_loopback or http.host in _EVERYWHERE
        self._hosts = {host.lower() for host in http.allowed_hosts}
        default = ":443" if public.scheme == "https" else ":80"
        named = public.netloc.lower().removesuffix(default)  # as browsers write it
        if http.public_url:
            self._hosts |= {named, named + default}
        if not self._loopback:
            self._hosts.add(f"[{http.host}]" if ":" in http.host else http.host.lower())
        self._origins = {origin.lower().rstrip("/") for origin in http.allowed_origins}
        self._origins.add(f"{public.scheme}://{named}")
        self._known: set[bytes] = set()
        self._added = _added(secure=public.scheme == "https")
        self._untaken = {
            "too large": _too_large(http.body_bytes),
            "too slow": _TOO_SLOW,
            "no room": _NO_ROOM,
        }
        self._room = Room(_ROOM_BYTES)
        self._ending = anyio.Event()

    def drain(self) -> None:
        """End the streams that would go on for ever; what was asked and is not answered goes on."""
        self._ending.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._answer(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await self._app(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = _Answer(send, self._added)
        try:
            if self._is_plain(scope["headers"]):
                await self._app(scope, receive, answer.send)
                return
            body = Body(receive, self._most, self._body_seconds, self._room)
            try:
                await self._looked_at(scope, body, receive, answer)
            finally:
                body.let_go()
            if self._ending.is_set():
                await answer.end()
        except Exception as exc:  # noqa: BLE001 - the last stop before the wire
            log_crash(scope, exc)
            if not answer.started:
                await answered(CRASH, scope)(scope, receive, answer.send)

    async def _looked_at(self, scope: Scope, body: Body, receive: Receive, answer: _Answer) -> None:
        """Refuse it, or hand it on with its whole body."""
        request = _Request(scope)
        refusal = self._unwelcome(request)
        if refusal is None and request.has_body:
            taken = await body.take()
            if taken == "left":
                return
            refusal, receive = self._untaken.get(taken), body.again
        if refusal is not None:
            await self._refuse(refusal, scope, body if request.has_body else None, answer)
            return
        if request.streams:
            receive = self._until_ending(receive)
        await self._app(scope, receive, answer.send)

    def _is_plain(self, headers: list[_Header]) -> bool:
        """Whether there is nothing to look at: a name that is known, and no more than a question.
        Most requests are so, and a call waits for some of them."""
        said = dict(headers)
        return (
            said.get(b"host") in self._known
            and len(said) == len(headers)
            and said.keys().isdisjoint(_LOOKED_AT)
            and b"text/event-stream" not in said.get(b"accept", b"")
        )

    def _unwelcome(self, request: _Request) -> Refusal | None:
        if not self._is_ours(request):
            return _NO_NAME
        origin = request.origin
        if origin is not None and not self._may_call(origin, request.host):
            return _NO_ORIGIN
        return self._untaken["too large"] if request.length > self._most else None

    def _is_ours(self, request: _Request) -> bool:
        name = _name(request.host)
        if name is None:
            return False
        ours = request.host in self._hosts or name in self._hosts
        if not ours and not (self._loopback and is_loopback(name.strip("[]"))):
            return False
        if len(self._known) >= _MOST_KNOWN:  # filled with made-up ports: the real name comes again
            self._known.clear()
        self._known.add(request.host.encode("latin-1"))
        return True

    def _may_call(self, origin: str, host: str) -> bool:
        if origin in self._origins:
            return True
        local = is_loopback((_name(host) or "").strip("[]"))
        schemes = ("http", "https") if local else (self._scheme,)
        return any(origin == f"{scheme}://{host}" for scheme in schemes)

    async def _refuse(
        self, refusal: Refusal, scope: Scope, unread: Body | None, answer: _Answer
    ) -> None:
        """Say no, and hang up once the client has had a moment to read it."""

        async def begun(message: Message) -> None:
            open_ended = {"more_body": True} if message["type"] == "http.response.body" else {}
            await answer.send({**message, **open_ended})

        await answered(refusal, scope)(scope, _nothing, begun)
        if unread is not None and refusal is not _TOO_SLOW:
            await unread.discard()
        await answer.end()

    def _until_ending(self, receive: Receive) -> Receive:
        """What a stream hears: the client's leaving, or ours."""

        async def hear() -> Message:
            message: Message = {"type": "http.disconnect"}
            async with anyio.create_task_group() as group:

                async def end() -> None:
                    await self._ending.wait()
                    group.cancel_scope.cancel()

                group.start_soon(end)
                message = await receive()
                group.cancel_scope.cancel()
            return message

        return hear


class _Request:
    """What the edge looks at; `host` and `origin` in lower case, `length` 0 where none is told."""

    __slots__ = ("has_body", "host", "length", "origin", "streams")

    def __init__(self, scope: Scope) -> None:
        self.host, self.length, self.has_body = "", 0, False
        self.origin: str | None = None
        accepts_events = False
        for name, value in scope["headers"]:
            # Of two, something between us may have believed the other: neither counts.
            if name == b"host":
                self.host = "?" if self.host else value.decode("latin-1").lower()
            elif name == b"origin":
                self.origin = "?" if self.origin is not None else value.decode("latin-1").lower()
            elif name == b"content-length":
                self.length = int(value[:_DIGITS]) if value.isdigit() else 0
                self.has_body = self.has_body or value != b"0"
            elif name == b"transfer-encoding":
                self.has_body = True
            elif name == b"accept":
                accepts_events = accepts_events or b"text/event-stream" in value
        self.streams = accepts_events and scope["method"] == "GET"


class _Answer:
    """The way out: adds the headers that every answer has."""

    __slots__ = ("_added", "_ended", "_send", "started")

    def __init__(self, send: Send, added: tuple[_Header, ...]) -> None:
        self._send, self._added = send, added
        self.started = self._ended = False

    async def send(self, message: Message) -> None:
        """Send on; what the app itself says of a header stays."""
        if message["type"] == "http.response.start":
            self.started = True
            given = message.get("headers") or ()
            said = dict(given)
            is_page = said.get(b"content-type", b"").startswith(b"text/html")
            added = (_WITHIN if is_page else _NOWHERE, *self._added)
            if not said.keys().isdisjoint(_ADDED):
                added = tuple(header for header in added if header[0] not in said)
            message = {**message, "headers": [*given, *added]}
        elif message["type"] == "http.response.body":
            self._ended = not message.get("more_body", False)
        await self._send(message)

    async def end(self) -> None:
        """Finish what the app left open."""
        if self.started and not self._ended:
            await self.send({"type": "http.response.body", "body": b"", "more_body": False})


async def _nothing() -> Message:
    """What a refusal hears of the request: no answer of ours listens."""
    return {"type": "http.disconnect"}


def _too_large(most: int) -> Refusal:
    what = f"A body has at most {most} bytes here."
    return Refusal(413, "BODY_TOO_LARGE", what, "Send less, in several requests.", _CLOSE)


def _added(*, secure: bool) -> tuple[_Header, ...]:
    return (*_ALWAYS, (b"strict-transport-security", b"max-age=31536000")) if secure else _ALWAYS


def _name(host: str) -> str | None:
    """The name in a Host header, without its port; None where there is none, or more than that."""
    if host.startswith("["):
        name, bracket, rest = host.partition("]")
        name = name + bracket if bracket else ""
    else:
        name, colon, rest = host.partition(":")
        rest = colon + rest
    if not name or (rest and not (rest[0] == ":" and rest[1:].isdigit())):
        return None
    return name

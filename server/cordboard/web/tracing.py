"""A span for each HTTP request, named by the route as it is declared, never by the path."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio.to_thread
from opentelemetry.trace import SpanKind

from cordboard import telemetry
from cordboard.web.refusing import template

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


def traced(app: ASGIApp) -> ASGIApp:
    """The app with spans; the app itself where nobody takes them."""
    return _Traced(app) if telemetry.is_on() else app


class _Traced:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, _flushing(send))
            return
        method = scope["method"]
        said = {"http.request.method": method, "url.scheme": scope["scheme"]}
        with telemetry.span(method, SpanKind.SERVER, said, _parent(scope)) as span:

            async def noted(message: Message) -> None:
                if message["type"] == "http.response.start":
                    status = message["status"]
                    span.set_attribute("http.response.status_code", status)
                    if status >= 500:
                        telemetry.failed(span, str(status))
                await send(message)

            try:
                await self._app(scope, receive, noted)
            finally:
                route = template(scope)
                if route:
                    span.update_name(f"{method} {route}")
                    span.set_attribute("http.route", route)


def _flushing(send: Send) -> Send:
    """Sends what spans are kept back before the end is told: a worker is gone right after it."""

    async def noted(message: Message) -> None:
        if message["type"].startswith("lifespan.shutdown."):
            await anyio.to_thread.run_sync(telemetry.flush)
        await send(message)

    return noted


def _parent(scope: Scope) -> Context | None:
    told = (value for name, value in scope["headers"] if name == b"traceparent")
    return telemetry.parent(next(told, b"").decode("latin-1"))

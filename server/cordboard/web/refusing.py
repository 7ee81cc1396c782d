"""How HTTP itself says no: short JSON, or a short page for somebody who looks at the approvals.

A refusal repeats nothing of the request: that may hold numbers, tokens, or another's markup.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from string import Template
from typing import Any

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Match, Mount, Route

logger = logging.getLogger("cordboard")

_PAGE = Template(
    '<!doctype html><html lang="en"><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width"><title>$title · Cordboard</title>'
    "<h1>$title</h1><p>$what</p><p>$remedy</p></html>"
)
_THERE_ARE = "MCP is at /mcp, and plans that wait for approval are at /approvals."


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is answered with an error; every text is ours."""

    status: int
    code: str
    what: str
    remedy: str = ""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


def answered(refusal: Refusal, scope: Mapping[str, Any]) -> Response:
    """A refusal in the form that the request of this ASGI scope can take."""
    headers = dict(refusal.headers)
    if _wants_page(scope):
        title = HTTPStatus(refusal.status).phrase
        page = _PAGE.substitute(title=title, what=refusal.what, remedy=refusal.remedy)
        return HTMLResponse(page, refusal.status, headers)
    said = {"code": refusal.code, "what": refusal.what, "remedy": refusal.remedy}
    return JSONResponse({"error": said}, refusal.status, headers)


def _wants_page(scope: Mapping[str, Any]) -> bool:
    path = scope["path"]
    if path != "/approvals" and not path.startswith("/approvals/"):
        return False
    return "text/html" in Headers(raw=scope["headers"]).get("accept", "")


def handlers() -> dict[Any, Any]:
    """What Starlette answers itself, in our words: unknown routes, wrong methods, our own bugs."""
    return {HTTPException: _refused, Exception: _crashed}


def _refused(request: Request, exc: Exception) -> Response:
    if not isinstance(exc, HTTPException):
        raise exc
    given = dict(exc.headers or {})
    if exc.status_code == HTTPStatus.NOT_FOUND:
        return answered(
            Refusal(404, "NOT_FOUND", "There is nothing at this address.", _THERE_ARE, given),
            request.scope,
        )
    if exc.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = ", ".join(sorted(set(_methods(request))))
        what, remedy = "This address does not take this method.", f"It takes {allowed}."
        found = Refusal(405, "METHOD_NOT_ALLOWED", what, remedy, given | {"Allow": allowed})
        return answered(found, request.scope)
    status = HTTPStatus(exc.status_code)
    what = f"{status.phrase}: the request cannot be answered."
    return answered(Refusal(status, status.name, what, "", given), request.scope)


def _methods(request: Request) -> Iterator[str]:
    """All methods that some route takes at the address of a request."""
    scope = dict(request.scope)
    scope["root_path"] = scope.get("app_root_path", scope["root_path"])
    yield from _methods_of(request.app.routes, scope)


def _methods_of(routes: Sequence[BaseRoute], scope: dict[str, Any]) -> Iterator[str]:
    for route in routes:
        match, child = route.matches(scope)
        if match is Match.NONE:
            continue
        if isinstance(route, Mount):
            yield from _methods_of(route.routes or (), scope | dict(child))
        elif isinstance(route, Route):
            yield from route.methods or ()


CRASH = Refusal(
    500,
    "INTERNAL_ERROR",
    "The request failed unexpectedly.",
    "list_changes shows what was done, if anything. Tell the operator; the server's log says where.",
)


def _crashed(request: Request, exc: Exception) -> Response:
    """Starlette raises it again behind this answer, and the edge logs it."""
    del exc
    return answered(CRASH, request.scope)


def log_crash(scope: Mapping[str, Any], exc: BaseException) -> None:
    """Type and place of a bug of ours, without the values that were in play."""
    while isinstance(exc, BaseExceptionGroup) and len(exc.exceptions) == 1:
        exc = exc.exceptions[0]
    trace = exc.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else "?"
    logger.error(
        "%s %s failed: %s at %s", scope["method"], template(scope), type(exc).__name__, place
    )


def template(scope: Mapping[str, Any]) -> str:
    """The route of a request as it was declared, such as `/v1/routes/{number}`; "" for none.

    The path itself stands in no log and no span: it has numbers.
    """
    path = getattr(scope.get("route"), "path_format", None)
    if path is None:
        return ""
    mounted = str(scope.get("root_path", "")).removeprefix(scope.get("app_root_path", ""))
    return f"{mounted}{path}"

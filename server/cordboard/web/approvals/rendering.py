"""From a template to an answer: everything escaped, nothing from elsewhere, nothing kept."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from cordboard.display import printable
from cordboard.web.approvals.moments import moment

_HERE = Path(__file__).parent
_CSP = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = {
    "Content-Security-Policy": _CSP,
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    # Not `no-referrer`: under that a browser sends forms with `Origin: null`.
    "Referrer-Policy": "same-origin",
}
_ASSETS = {"style.css": "text/css; charset=utf-8", "icon.svg": "image/svg+xml"}


def _harmless(value: object) -> object:
    """The last net: no text reaches a page with characters in it that fool its reader."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return printable(value)
    return value


def _counted(count: int, one: str, more: str = "") -> str:
    """`1 number`, `1,000 numbers`."""
    return f"{count:,} {one if count == 1 else more or one + 's'}"


@cache
def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_harmless,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["counted"] = _counted
    made.filters["moment"] = moment
    for name in _ASSETS:
        made.globals[name.partition(".")[0]] = f"/approvals/{name}?v={_digest(name)}"
    return made


def page(
    template: str, /, status: int = 200, headers: dict[str, str] | None = None, **told: Any
) -> Response:
    """A page from the template of that name."""
    text = _environment().get_template(f"{template}.html").render(told)
    return HTMLResponse(text, status, {**HEADERS, "Cache-Control": "no-store", **(headers or {})})


@cache
def _asset(name: str) -> bytes:
    return (_HERE / name).read_bytes()


@cache
def _digest(name: str) -> str:
    return hashlib.sha256(_asset(name)).hexdigest()[:16]


def asset(request: Request, name: str) -> Response:
    """A file of the pages' own; asked for by its digest it may be kept."""
    current = request.query_params.get("v", "") == _digest(name)
    kept = "public, max-age=31536000, immutable" if current else "no-cache"
    headers = {**HEADERS, "Cache-Control": kept}
    return Response(_asset(name), headers=headers, media_type=_ASSETS[name])

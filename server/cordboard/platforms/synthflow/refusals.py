"""Synthflow's ways of saying no, made into our errors with its own words inside.

It has no stable list of codes. Seen or documented: `{"detail": {status, description, request_id,
category}}` (docs.synthflow.ai, "Attach phone numbers"), `{"detail": "Not Found"}` where a region
does not know a path, `{"error": "not_found", "message": "No route matched"}` at the gateway, and
`{"detail": [{"msg": …}]}` where an argument is malformed.
"""

from __future__ import annotations

from typing import Any

from cordboard.display import quoted
from cordboard.errors import PlatformAuth, PlatformError
from cordboard.http_client import Reply

REGION = (
    "Check SYNTHFLOW_REGION (global, us or eu): a key works only in the region of its account, "
    "and other regions answer as if nothing were there."
)
_KEY = "The operator must check SYNTHFLOW_API_KEY, and SYNTHFLOW_REGION: a key of another region is refused too."
_NOT_THERE = ("not found", "not_found", "does not exist", "doesn't exist")
_MOST_PARTS = 5
"""How many parts of a list of errors are shown."""


def said(reply: Reply) -> str:
    """Synthflow's words in quotation marks, with category and request id where it gave them."""
    body = reply.data
    detail = body.get("detail", body) if isinstance(body, dict) else body
    text = _text(detail) or (_text(body) if isinstance(body, dict) else "") or reply.text
    notes = [
        f"{name} {quoted(value, 80)}"
        for name in ("category", "request_id")
        for value in [_field(detail, name) or _field(body, name)]
        if value
    ]
    return (quoted(text) if text else "no reason given") + (f" ({', '.join(notes)})" * bool(notes))


def refused(reply: Reply, doing: str) -> PlatformError:
    """The error for an answer that is a refusal; `doing` goes on from "Synthflow refused to"."""
    told = f"({reply.status}): {said(reply)}."
    if reply.status in (401, 403):
        return PlatformAuth(f"Synthflow refused our key {told}", _KEY)
    if unknown_place(reply):
        return PlatformError(f"Synthflow refused to {doing} {told}", REGION)
    return PlatformError(f"Synthflow refused to {doing} {told}")


def failed(body: Any) -> bool:
    """Whether a body that came with a status of success says that it was none."""
    if not isinstance(body, dict):
        return False
    status = body.get("status")
    bad = isinstance(status, str) and status.lower() in ("error", "failed", "failure", "fail")
    # A number's own answer has no `response`; none has a `detail`, `error` or `errors` when well.
    return bad or any(body.get(name) for name in ("error", "errors", "detail"))


def missing(reply: Reply) -> bool:
    """Whether this answer says that the agent or number asked for does not exist.

    Where one is missing the reference declares 400 for reads and 404 for writes; so both count,
    400 only with words to that effect. The gateway's "No route matched" says nothing about it.
    """
    if not reply.is_json or _is_gateway(reply.data):
        return False
    if reply.status == 404:
        return True
    words = " ".join([said(reply), _field(_detail(reply.data), "status")]).lower()
    return reply.status == 400 and any(phrase in words for phrase in _NOT_THERE)


def unknown_place(reply: Reply) -> bool:
    """Whether this answer means that the path itself is not known there: a wrong region or address."""
    return reply.status == 404 and (
        not reply.is_json or _is_gateway(reply.data) or _detail(reply.data) == "Not Found"
    )


def unexpected(what: str) -> PlatformError:
    """The error for an answer without the facts it must have."""
    return PlatformError(f"Synthflow answered something unexpected: {what}.")


def _is_gateway(body: Any) -> bool:
    return isinstance(body, dict) and "detail" not in body and "error" in body


def _detail(body: Any) -> Any:
    return body.get("detail") if isinstance(body, dict) else None


def _field(part: Any, name: str) -> str:
    value = part.get(name) if isinstance(part, dict) else None
    return value if isinstance(value, str) else ""


def _text(part: Any) -> str:
    """The words in a part of an answer, whichever shape it has; "" where there are none."""
    inner = part.get("errors") if isinstance(part, dict) else part
    if isinstance(inner, list):
        return "; ".join(filter(None, map(_words, inner[:_MOST_PARTS]))) or _words(part)
    return _words(part)


def _words(part: Any) -> str:
    """Of a text or an object, nothing deeper: what is nested a thousand times is not followed."""
    if isinstance(part, str):
        return part
    names = ("description", "message", "msg", "error", "errors")
    return next((text for name in names if (text := _field(part, name))), "")

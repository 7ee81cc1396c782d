"""UnleashX's ways of saying no, each in plain words with what to do next.

Its errors are `{"error": true, "message": "…"}` beside an HTTP status; there are no symbolic codes,
so the message decides and the status where the message is unknown (docs.unleashx.ai, "Attach Phone
Number", "Error Responses", and the sibling pages for 401 and 404). Shapes that it does not document
are read as well: `detail`, `errors`, `success: false`, `status: "error"`, a failure inside the inner
envelope, no JSON at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from cordboard.display import quoted
from cordboard.errors import (
    AnswerLost,
    CordboardError,
    PlatformAuth,
    PlatformError,
    PlatformRateLimited,
)
from cordboard.http_client import Reply

_CONSOLE = "UnleashX's own console"
_CONTRACT = (
    "The operator must check which of UnleashX's two contracts is configured, and its base URL."
)
_DEEPEST = 4  # levels of an answer that are searched for words
_LONGEST = 500  # characters of them that are looked at


class _Meaning(NamedTuple):
    what: str
    remedy: str


_TAKEN = _Meaning(
    "another agent there holds the number",
    f"Ask the user; whoever manages UnleashX must free the number in {_CONSOLE} first.",
)
_NO_AGENT = _Meaning(
    "it has no such agent", f"Check the agent's id in {_CONSOLE}, then plan the change anew."
)
_SAYINGS: tuple[tuple[str, _Meaning], ...] = (
    ("already attached", _TAKEN),
    (
        "agent not found or not active",
        _Meaning(
            "it has no such agent, or the agent is not active",
            f"Check the agent's id, and that it is active, in {_CONSOLE}; then plan the change anew.",
        ),
    ),
    ("agent not found", _NO_AGENT),
    ("agent id is required", _Meaning("it found no agent id in the request", _CONTRACT)),
    (
        "provider is required",
        _Meaning(
            "it wants the carrier of the number",
            "Name the carrier as `provider`, or have the operator declare it with the number.",
        ),
    ),
    ("phone number(s) are required", _Meaning("it found no number in the request", _CONTRACT)),
    (
        "invalid phone number format",
        _Meaning(
            "it does not take the number as E.164",
            "Check the number digit by digit with the user; it must be one that UnleashX can route.",
        ),
    ),
    (
        "provider not configured",
        _Meaning(
            "this carrier is not set up in the UnleashX account",
            f"Name another `provider`, or have this one set up in {_CONSOLE}.",
        ),
    ),
)
_ADDRESS = _Meaning("it has nothing at this address", _CONTRACT)
_BY_STATUS = {
    400: _Meaning("it does not take the request as it is", ""),
    404: _ADDRESS,
    405: _ADDRESS,
    409: _Meaning(
        "the number conflicts with what is there; as a rule another agent holds it", _TAKEN.remedy
    ),
    422: _Meaning(
        "it does not accept the values",
        "Check agent, number and provider against the words of UnleashX above.",
    ),
}
_BARRED = ("invalid auth key", "session expired")
_FALSE = ("false", "False", "0")  # as texts, which some servers write


def refusal(reply: Reply) -> CordboardError | None:
    """The error that an answer stands for; None where it does not say that anything failed.

    A refusal is a PlatformError or one of its classes. AnswerLost where an answer of status 200
    tells by its `code` of a failure inside UnleashX (500 and more) or of a wait given up (408):
    like those HTTP statuses, it says nothing of how far the request had come.
    """
    if reply.status < 400 and not failed(reply.data):
        return None
    code, words = _code(reply), said(reply)
    told = f"({code}, {quoted(words)})" if words else f"({code})"
    low = words.casefold()
    if code >= 500 or code == 408:
        return AnswerLost(
            f"UnleashX answered that it failed {told}, so it may or may not have been done.",
            "UnleashX's own console shows which agent holds the number.",
        )
    if code in (401, 403) or any(saying in low for saying in _BARRED):
        return PlatformAuth(f"UnleashX refused the key {told}.")
    if code == 429:
        return PlatformRateLimited(f"UnleashX asks to slow down {told}.")
    meaning = next((meaning for saying, meaning in _SAYINGS if saying in low), None)
    meaning = meaning or _BY_STATUS.get(code, _Meaning("it gave no reason that is known here", ""))
    return PlatformError(f"UnleashX refused: {meaning.what} {told}.", meaning.remedy)


def no_such_agent(reply: Reply) -> bool:
    """Whether an answer says that the agent asked for does not exist."""
    is_no = reply.status >= 400 or failed(reply.data)
    return is_no and _code(reply) in (200, 400, 404) and "agent not found" in said(reply).casefold()


def failed(data: Any) -> bool:
    """Whether a body says of itself, in its outer or inner envelope, that it failed."""
    for _ in range(_DEEPEST):
        if not isinstance(data, Mapping):
            return False
        if any(data.get(key) and data[key] not in _FALSE for key in ("error", "errors")):
            return True
        if data.get("success") is False or data.get("status") == "error":
            return True
        data = data.get("data")
    return False


def said(reply: Reply) -> str:
    """UnleashX's own words in an answer, with its request id where there is one; "" for none or HTML."""
    if not reply.is_json:
        words = " ".join(reply.text.split())
        return "" if words.startswith("<") else words
    words, request = _words(reply.data, _DEEPEST)[:_LONGEST], _request_id(reply.data)[:100]
    return f"{words}, request {request}" if words and request else words or request


def _code(reply: Reply) -> int:
    """The HTTP status, or where that is a success, the failure that the body gives as `code`."""
    code: Any = reply.data.get("code") if isinstance(reply.data, Mapping) else None
    told = reply.status < 400 and type(code) is int and 400 <= code < 600
    return int(code) if told else reply.status


def _words(data: Any, depth: int) -> str:
    if isinstance(data, str):
        return data
    if depth and isinstance(data, list):
        return next((words for item in data if (words := _words(item, depth - 1))), "")
    if not depth or not isinstance(data, Mapping):
        return ""
    keys = ("message", "detail", "description", "errors", "error", "data")
    return next((words for key in keys if (words := _words(data.get(key), depth - 1))), "")


def _request_id(data: Any) -> str:
    if not isinstance(data, Mapping):
        return ""
    places = (data, data.get("detail"), data.get("error"))
    found = (place.get("request_id") for place in places if isinstance(place, Mapping))
    return next((text for text in found if isinstance(text, str)), "")

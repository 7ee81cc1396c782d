"""What came with a request, read strictly: JSON without a doubt in it, and only what is known."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Collection, Mapping
from typing import Any

from starlette.requests import ClientDisconnect, Request

from cordboard.binding import AGENT_PATTERN
from cordboard.errors import InvalidArguments, LimitExceeded
from cordboard.web.compat.vendor import Refusal

MOST_NUMBERS = 100
"""Numbers in one call, as for the tools."""
_LOCAL = "local:"
_WHOLE = re.compile(r"[0-9]{1,9}", re.ASCII)
_KINDS = {str: "text", bool: "true or false", list: "a list", dict: "an object"}


def agent_of(own_id: str) -> str:
    """The local agent of a vendor's id; "" for what can be no id."""
    agent = f"{_LOCAL}{own_id}"
    return agent if re.fullmatch(AGENT_PATTERN, agent, re.ASCII) else ""


def own_id(agent: str) -> str:
    """A local agent's id as a vendor's clients know it."""
    return agent.removeprefix(_LOCAL)


async def json_object(request: Request, *known: str) -> Mapping[str, Any]:
    """The body, an object with no other fields than these.

    Raises: Refusal for what is no JSON (400, 415); InvalidArguments for unknown fields.
    """
    kind, _, parameters = request.headers.get("content-type", "").partition(";")
    charset = parameters.strip().lower().removeprefix("charset=").strip('"')
    if kind.strip().lower() != "application/json" or charset not in ("", "utf-8"):
        told = "Send the body as JSON in UTF-8, with the header Content-Type: application/json."
        raise Refusal(415, "UNSUPPORTED_MEDIA_TYPE", told)
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Refusal(415, "UNSUPPORTED_MEDIA_TYPE", "Send the body without Content-Encoding.")
    value = _parsed(await _body(request))
    if not isinstance(value, dict):
        raise Refusal(400, "INVALID_BODY", f"The body is {kind_of(value)}; send a JSON object.")
    refuse_unknown(value, known)
    return value


def refuse_unknown(value: Mapping[str, Any], known: Collection[str]) -> None:
    """Raises: InvalidArguments for a field that is none of these."""
    for name in value:
        if name not in known:
            raise InvalidArguments(_unknown(name, known))


async def _body(request: Request) -> bytes:
    try:
        return await request.body()
    except ClientDisconnect:
        raise Refusal(400, "INVALID_BODY", "The body broke off.") from None


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body.decode("utf-8"), object_pairs_hook=_once, parse_constant=_constant)
    except json.JSONDecodeError as exc:
        place = f"line {exc.lineno}, column {exc.colno}"
        told = f"The body is not valid JSON: {place}: {exc.msg}." if body else "The body is empty."
    except UnicodeDecodeError:
        told = "The body is not UTF-8."
    except _Doubtful as exc:
        told = f"The body is not valid JSON: {exc}."
    except ValueError:
        told = "The body is not valid JSON: a number in it is too long."
    except RecursionError:
        told = "The body is nested too deep."
    raise Refusal(400, "INVALID_BODY", told)


class _Doubtful(Exception):
    """JSON that Python takes and that can be read in two ways; a clause of a sentence."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _Doubtful(f"{_quoted(twice)} stands twice in one object")
    return found


def _constant(name: str) -> Any:
    raise _Doubtful(f"{name} is no JSON")


def _unknown(name: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(name[:100], known, 1)
    hint = f"did you mean {near[0]}?" if near else f"the fields are {', '.join(known)}."
    return f"{_quoted(name)}: unknown field; {hint}"


def _quoted(text: str) -> str:
    """A caller's text for a message: printable ASCII stays, the rest is escaped, 40 at most."""
    return '"' + text[:40].encode("unicode_escape").decode("ascii").replace('"', "'") + '"'


def kind_of(value: Any) -> str:
    """The type of a JSON value in words."""
    return "null" if value is None else _KINDS.get(type(value), "a number")


def text(body: Mapping[str, Any], name: str) -> str:
    """A field as text; "" where it is not there. Raises: InvalidArguments."""
    value = body.get(name, "")
    if not isinstance(value, str):
        raise InvalidArguments(f"{name}: must be text, and is {kind_of(value)}.")
    return value


def texts(body: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """A field as a list of texts; () where it is not there. Raises: InvalidArguments, LimitExceeded."""
    value = body.get(name, [])
    if not isinstance(value, list):
        raise InvalidArguments(f"{name}: must be a list of texts, and is {kind_of(value)}.")
    if len(value) > MOST_NUMBERS:
        raise LimitExceeded(
            f"{name}: has {len(value)} entries; send at most {MOST_NUMBERS} a call, in several calls."
        )
    for one in value:
        if not isinstance(one, str):
            raise InvalidArguments(
                f"{name}: must be a list of texts, and has {kind_of(one)} in it."
            )
    return tuple(value)


def whole(request: Request, name: str, default: int, least: int, most: int) -> int:
    """A whole number of the query. Raises: InvalidArguments."""
    given = request.query_params.getlist(name)
    if not given:
        return default
    if len(given) == 1 and _WHOLE.fullmatch(given[0]) and least <= int(given[0]) <= most:
        return int(given[0])
    raise InvalidArguments(f"{name}: must be one whole number from {least} to {most}.")

"""Bland's envelopes, and what its refusals mean in plain words.

Bland answers in several shapes (docs.bland.ai): personas and V2 agents as
`{"data": …, "errors": null}`, a failure there as `{"data": null, "errors": [{"error", "message"}]}`,
also with status 200; numbers and pathways as a bare object or list; some failures as
`{"status": "error", "message"}`. The HTTP statuses of V1 failures are not documented, so the code
in the body is looked at first; a failure with status 200 is a refusal only by a code known here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cordboard.display import quoted
from cordboard.errors import AnswerLost, PlatformAuth, PlatformError
from cordboard.http_client import Reply

_MISSING = re.compile(r"(?:[A-Z]+_)*NOT_FOUND", re.ASCII)
_MISSING_WORDS = re.compile(r"\b(?:persona|agent|pathway)\b.*\bnot found\b", re.IGNORECASE)
_NUMBERS_SHOWN = 5

_MEANT = {
    "MIGRATION_EXPERIMENT_NUMBER": (
        "the pathway that {some} reaches now has a migration split to a new agent",
        "Delete the migration split of that pathway in Bland, even one at 0 %, then ask again.",
    ),
    "INVALID_INBOUND_NUMBERS": (
        "it does not have all of {numbers} in this account, and so did nothing",
        "list_numbers shows the numbers there are; one of your own Twilio must be imported in Bland.",
    ),
    "PERSONA_NOT_FOUND": (
        "it has no agent {agent}, or this key may not see it",
        "list_agents shows the agents there are.",
    ),
    "INBOUND_NOT_FOUND": (
        "{numbers} is not attached to {agent} any more",
        "get_number_route shows who answers it now.",
    ),
    "INVALID_BODY": (
        "it did not take the form of this request",
        "Bland may have changed its interface: tell the operator, with these words.",
    ),
}
"""By Bland's code: what it means, and what to do. The codes of attaching, detaching and settings
are on the pages of those calls, the split on delete/convo-pathway-id-migration-split."""


@dataclass(frozen=True, slots=True)
class Complaint:
    """What an answer says went wrong; parts it does not tell are ""."""

    status: int
    code: str
    message: str
    request_id: str

    def told(self) -> str:
        """The vendor's own words: `HTTP 400, INVALID_BODY: "…", request "…"`."""
        parts = [f"HTTP {self.status}"] if self.status >= 300 else []
        parts += [self.code] if self.code else []
        said = ", ".join(parts) or "no status of failure"
        said += f": {quoted(self.message)}" if self.message else ""
        return said + (f", request {quoted(self.request_id, 80)}" if self.request_id else "")


def complaint(reply: Reply) -> Complaint | None:
    """What the answer says went wrong, whatever the shape; None where it says nothing did."""
    failed = not 200 <= reply.status < 300
    found = _failure(reply.data, failed)
    if found is None:
        return Complaint(reply.status, "", reply.text, "") if failed else None
    holders = [reply.data, found] if isinstance(reply.data, Mapping) else [found]
    request_id = next((h["request_id"] for h in holders if _has_text(h, "request_id")), "")
    return Complaint(reply.status, _code(found), _message(found), request_id)


def _has_text(holder: Any, name: str) -> bool:
    return isinstance(holder, Mapping) and isinstance(holder.get(name), str)


def _failure(data: Any, failed: bool) -> Any:
    """The part of the body that tells of a failure: an object or a text; None where there is none.

    `failed`: whether the status did; an object without a sign of failure is one then too.
    """
    if not isinstance(data, Mapping):
        return None
    if errors := data.get("errors"):
        return errors[0] if isinstance(errors, list) else errors
    error = data.get("error")
    if isinstance(error, Mapping):
        return error
    if error is True or (isinstance(error, str) and error) or data.get("status") == "error":
        return data
    if not failed:
        return None
    detail = data.get("detail")
    return detail if isinstance(detail, Mapping | str) and detail else data


def _code(found: Any) -> str:
    """A symbolic code, only where it looks like one: anything else belongs into quotes."""
    if not isinstance(found, Mapping):
        return ""
    named = (found.get(name) for name in ("error", "code"))
    return next(
        (c for c in named if isinstance(c, str) and re.fullmatch(r"\w{2,60}", c, re.ASCII)), ""
    )


def _message(found: Any) -> str:
    if isinstance(found, str):
        return found
    if isinstance(found, Mapping):
        said = (found.get(name) for name in ("message", "description", "error", "detail"))
        return next((text for text in said if isinstance(text, str) and text), "")
    return ""


def payload(reply: Reply, what: str, *, bare: bool = False) -> Any:
    """The content of an answer to a read, out of its envelope.

    `what`: the thing asked for, for the messages: `the list of agents`. `bare`: it comes without
    an envelope. Raises: PlatformAuth, PlatformError.
    """
    wrong = complaint(reply)
    if wrong is not None:
        raise _refused_read(wrong, what)
    return _content(reply, what, bare)


def found(reply: Reply, what: str, *, bare: bool = False) -> Any | None:
    """`payload`, or None where Bland says in its own words that it has no such thing.

    A 404 that does not speak of the thing (a proxy's, a wrong base URL's) is an error: taken for
    "no such agent" it would show numbers as free that are not.
    """
    wrong = complaint(reply)
    if wrong is None:
        return _content(reply, what, bare)
    if _MISSING.fullmatch(wrong.code) or _MISSING_WORDS.search(wrong.message):
        return None
    raise _refused_read(wrong, what)


def _content(reply: Reply, what: str, bare: bool) -> Any:
    if not reply.is_json:
        raise unexpected(f"{what} is no JSON but {quoted(reply.text, 80)}")
    content = reply.data
    if isinstance(content, Mapping) and "data" in content and (not bare or "errors" in content):
        content = content["data"]
    elif not bare:
        raise unexpected(f'{what} has no "data"')
    if content is None:
        raise unexpected(f"{what} is empty, without a word of why")
    return content


def _refused_read(wrong: Complaint, what: str) -> PlatformError:
    denied = _denied(wrong)
    return denied or PlatformError(f"Bland did not tell {what} ({wrong.told()}).")


def _denied(wrong: Complaint) -> PlatformError | None:
    if wrong.status in (401, 403):
        return PlatformAuth(f"Bland refused the key ({wrong.told()}).")
    return None


def unexpected(what: str) -> PlatformError:
    """The error for an answer that is not as documented."""
    return PlatformError(
        f"Bland answered something unexpected: {what}.",
        "Try again later; if it stays so, Bland may have changed its interface: tell the operator.",
    )


def refuse(reply: Reply, agent: str, numbers: Sequence[str]) -> None:
    """Raises where the answer to a write says that it failed.

    PlatformAuth, or PlatformError with Bland's code and words, where it was not done. AnswerLost
    where the status is one of success and the code none that is known here, INTERNAL_SERVER_ERROR
    say: that tells nothing of how far it had come.
    """
    wrong = complaint(reply)
    if wrong is None:
        return
    if denied := _denied(wrong):
        raise denied
    meant, remedy = _MEANT.get(wrong.code, ("", ""))
    if wrong.status < 300 and not meant and not _MISSING.fullmatch(wrong.code):
        raise AnswerLost(
            f"Bland answered that it failed ({wrong.told()}), so it may or may not have been done.",
            "Only reading the numbers tells.",
        )
    if not meant:
        raise PlatformError(f"Bland refused ({wrong.told()}).")
    listed = _listed(numbers)
    some = listed if len(numbers) == 1 else f"one of {listed}"
    said = meant.format(agent=agent, numbers=listed, some=some)
    raise PlatformError(f"Bland refused: {said} ({wrong.told()}).", remedy)


def _listed(numbers: Sequence[str]) -> str:
    shown = ", ".join(numbers[:_NUMBERS_SHOWN])
    more = len(numbers) - _NUMBERS_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown

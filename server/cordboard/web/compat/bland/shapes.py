"""Bland's bodies: `{data, errors}`, personas and their numbers, settings, and refusals."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from cordboard.binding import NO_PATHWAY, Agent, Pathway
from cordboard.errors import (
    AgentNotFound,
    CordboardError,
    InvalidArguments,
    LimitExceeded,
    NumberAttachedElsewhere,
    NumberHeld,
    NumberNotFound,
    NumberRefused,
)
from cordboard.service.records import Held
from cordboard.web.compat import vendor
from cordboard.web.compat.reading import kind_of, own_id, refuse_unknown, text
from cordboard.web.compat.vendor import Refusal, without_platform
from cordboard.web.site import Site

_NOT_OURS = "Some phone numbers were not found or do not belong to you"
_NO_PERSONA = "Persona not found or access denied"
_SETTINGS = ("pathway_id", "pathway_version", "start_node_id")
_ID = re.compile(r"[A-Za-z0-9._-]{1,100}", re.ASCII)
_HIGHEST_VERSION = 2**31
_REASONS = 10
"""Of how many numbers of a batch it is told why they are refused."""


def as_json(data: Any) -> dict[str, Any]:
    """A success around its content."""
    return {"data": data, "errors": None}


def refusal_body(site: Site, refusal: Refusal) -> Mapping[str, Any]:
    """A failure: `error` and `message`, and the plan where a person must approve it."""
    del site
    error = {"error": refusal.code, "message": refusal.message} | refusal.waiting
    return {"data": None, "errors": [error]}


def refused(exc: CordboardError) -> Refusal:
    """An error of ours in Bland's codes and words, where Bland has some."""
    match exc:
        case NumberNotFound():
            return Refusal(400, "INVALID_INBOUND_NUMBERS", _NOT_OURS)
        case NumberRefused():
            reasons = " ".join(problem.why for problem in exc.problems[:_REASONS]) or exc.what
            taken = isinstance(exc, NumberAttachedElsewhere | NumberHeld)
            message = without_platform(reasons)
            return Refusal(409 if taken else 400, "INVALID_INBOUND_NUMBERS", message)
        case AgentNotFound():
            return Refusal(404, "PERSONA_NOT_FOUND", _NO_PERSONA)
        case InvalidArguments():
            return Refusal(400, "INVALID_BODY", exc.what)
        case LimitExceeded():
            return Refusal(400, "LIMIT_EXCEEDED", exc.what)
    return vendor.refused(exc)


def persona_row(agent: Agent, held: Sequence[Held]) -> dict[str, Any]:
    """A persona with its numbers."""
    return {
        "id": own_id(agent.agent),
        "name": agent.name,
        "user_id": agent.user_id,
        "inbound_numbers": [_attached(one) for one in held],
        "created_at": agent.created_at,
        "updated_at": agent.updated_at,
    }


def _attached(one: Held) -> dict[str, Any]:
    return {
        "phone_number": one.record.number,
        "label": one.record.label or None,
        "persona_id": own_id(one.binding.agent) if one.binding else None,
        "persona_settings": _settings(one.binding.pathway if one.binding else NO_PATHWAY),
    }


def number_row(one: Held) -> dict[str, Any]:
    """The record of a number, as settings answer it."""
    row = _attached(one)
    del row["label"]
    return {"id": one.record.id} | row | {"updated_at": one.record.updated_at}


def inbound_row(one: Held) -> str:
    """A row of the list of all numbers, as JSON. Prompt and pathway of the number itself, which
    Bland has beside a persona's, do not exist here."""
    row = _attached(one) | {"prompt": None, "pathway_id": None, "updated_at": one.record.updated_at}
    return json.dumps(row, ensure_ascii=False)


def _settings(pathway: Pathway) -> dict[str, Any] | None:
    """What is set of a pathway; None for nothing. A version that is not there is the newest."""
    said = {name: getattr(pathway, name) for name in _SETTINGS}
    return {name: value for name, value in said.items() if value} or None


def pathway_of(body: Mapping[str, Any]) -> Pathway:
    """What `persona_settings` asks for; NO_PATHWAY for null. Raises: InvalidArguments."""
    if "persona_settings" not in body:
        raise InvalidArguments("persona_settings: is required; null clears the settings.")
    given = body["persona_settings"]
    if given is None:
        return NO_PATHWAY
    if not isinstance(given, dict):
        said = f"must be an object or null, and is {kind_of(given)}"
        raise InvalidArguments(f"persona_settings: {said}.")
    refuse_unknown(given, _SETTINGS)
    pathway_id = _id(given, "pathway_id")
    if not pathway_id:
        raise InvalidArguments(
            "persona_settings.pathway_id: is required; to clear the settings, send null for them."
        )
    return Pathway(pathway_id, _version(given), _id(given, "start_node_id"))


def _id(given: Mapping[str, Any], name: str) -> str:
    value = text(given, name)
    if name in given and not _ID.fullmatch(value):
        said = "must be 1 to 100 letters, digits, dots, hyphens or underscores"
        raise InvalidArguments(f"persona_settings.{name}: {said}.")
    return value


def _version(given: Mapping[str, Any]) -> int:
    """A whole number, which JSON may write as 2.0 too."""
    value = given.get("pathway_version", 0)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _HIGHEST_VERSION:
        said = f"must be a whole number from 0 (the newest) to {_HIGHEST_VERSION}"
        raise InvalidArguments(f"persona_settings.pathway_version: {said}.")
    return value

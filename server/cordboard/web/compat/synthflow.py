"""Synthflow's assistants and numbers, at `/compat/synthflow/v2`.

Source: docs.synthflow.ai, "Attach phone numbers" (with its OpenAPI), "Detach a phone number", "Get
an agent", "List agents", "Get a phone number", "List phone numbers". Attaching adds, although it is
a PUT. An assistant of type `inbound` answers, one of type `outbound` calls from its numbers. Where
those pages are silent:

- A number that another inbound assistant has is never taken over: 409 names the holder.
- Detaching what is not attached is 404. A body that is not as it must be is 422.
- A key belongs to one account here, so `workspace` may be anything, and may be left out.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from typing import Any

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.routing import Mount

from cordboard.binding import SLUG_PATTERN, Agent
from cordboard.errors import (
    AgentNotFound,
    CordboardError,
    DuplicateNumber,
    InvalidArguments,
    InvalidNumberFormat,
    LimitExceeded,
    NumberAttachedElsewhere,
    NumberNotFound,
)
from cordboard.request import Asked
from cordboard.service import records
from cordboard.service.records import Held, Whole
from cordboard.stores import Transaction
from cordboard.web.compat import vendor
from cordboard.web.compat.reading import agent_of, json_object, own_id, texts, whole
from cordboard.web.compat.vendor import (
    Desk,
    Endpoint,
    Refusal,
    Vendor,
    mounted_at,
    without_platform,
)
from cordboard.web.site import Site, bearer

_BY_NUMBER, _BY_SLUG = "phone_numbers", "phone_number_slugs"
_STATES = {(): "any", ("true",): "free", ("false",): "attached"}
_MOST = 200
_LAST_OFFSET = 100_000_000
_OK = {"status": "ok"}
_UNPROCESSABLE = (InvalidArguments, InvalidNumberFormat, DuplicateNumber, LimitExceeded)
_NOT_ATTACHED = "Phone number is not attached to this assistant"


def mounted(site: Site) -> Mount:
    """Synthflow's routes."""
    return mounted_at(SYNTHFLOW, site, ENDPOINTS)


def _key(headers: Headers) -> str | None:
    said = headers.get("authorization")
    if said is None:
        return None
    return bearer(said)


def _model(request: Request) -> str:
    """The agent that the path names. Raises: AgentNotFound for what can be none."""
    agent = agent_of(request.path_params["model_id"])
    if not agent:
        raise AgentNotFound("There is no such assistant.")
    return agent


async def _attach(desk: Desk, request: Request) -> Any:
    agent = _model(request)
    body = await json_object(request, _BY_NUMBER, _BY_SLUG)
    numbers, slugs = texts(body, _BY_NUMBER), texts(body, _BY_SLUG)
    if len(body) != 1 or not (numbers or slugs):
        raise InvalidArguments(f"Send {_BY_NUMBER} or {_BY_SLUG}, not both, with at least one.")
    wrong = [slug for slug in slugs if not re.fullmatch(SLUG_PATTERN, slug, re.ASCII)]
    if wrong:
        raise InvalidArguments(f"{_BY_SLUG}: {len(wrong)} of them are no slugs ({SLUG_PATTERN}).")
    await desk.change(Asked("attach", agent, numbers, slugs))
    return _OK


async def _detach(desk: Desk, request: Request) -> Any:
    agent, slug = _model(request), request.path_params["slug"]
    if not re.fullmatch(SLUG_PATTERN, slug, re.ASCII):
        raise Refusal(404, "not_found", "Phone number not found")
    try:
        result = await desk.change(Asked("detach", agent, slugs=(slug,)))
    except NumberAttachedElsewhere:
        raise Refusal(404, "not_found", _NOT_ATTACHED) from None
    if result.status == "no_change":
        raise Refusal(404, "not_found", _NOT_ATTACHED)
    return _OK


async def _assistants(desk: Desk, request: Request) -> Any:
    limit, offset = _page(request)

    def work(tx: Transaction) -> tuple[list[dict[str, Any]], int]:
        found, total = records.agents(tx, desk.account, "", limit, offset)
        return [_row(one, records.first(tx, desk.account, one.agent)) for one in found], total

    rows, total = await desk.read(work)
    return _listed("assistants", rows, total, limit, offset)


async def _assistant(desk: Desk, request: Request) -> Any:
    """A list, although it is one; only here the numbers of an assistant are told."""
    agent = _model(request)

    def work(tx: Transaction) -> dict[str, Any]:
        found = records.find_agent(tx, desk.account, agent)
        if found is None:
            raise AgentNotFound("There is no such assistant.")
        held = [one.record for one in records.held(tx, desk.account, agent)]
        pool = [{"number": one.number, "sid": None, "slug": one.slug} for one in held]
        first = held[0].number if held else ""
        return _row(found, first) | {"attached_phone_numbers": pool}

    return _OK | {"response": {"assistants": [await desk.read(work)]}}


def _row(agent: Agent, first: str) -> dict[str, Any]:
    """An assistant; `first`: the first of its numbers, which an older field names."""
    return {
        "model_id": own_id(agent.agent),
        "name": agent.name,
        "type": agent.direction,
        "phone_number": first,
        "created_at": agent.created_at,
        "updated_at": agent.updated_at,
    }


async def _numbers(desk: Desk, request: Request) -> Any:
    limit, offset = _page(request)
    state = _STATES.get(tuple(request.query_params.getlist("is_available")))
    if state is None:
        raise InvalidArguments("is_available: must be true or false.")

    def work(tx: Transaction) -> tuple[list[Held], int]:
        found = records.numbers(tx, desk.account, state, limit=limit, offset=offset)
        return found, records.count_numbers(tx, desk.account, state)

    found, total = await desk.read(work)
    rows = [
        {"number": one.record.number, "sid": None, "is_available": one.binding is None}
        for one in found
    ]
    return _listed("phone_numbers", rows, total, limit, offset)


async def _number(desk: Desk, request: Request) -> Any:
    """One number, without the envelope."""
    slug = request.path_params["slug"]
    found = await desk.read(lambda tx: records.by_slug(tx, desk.account, slug))
    if found is None:
        raise Refusal(404, "not_found", "Phone number not found")
    return _number_row(desk.account, found)


def _number_row(account: str, found: Whole) -> dict[str, Any]:
    return {
        "slug": found.record.slug,
        "phone_number": found.record.number,
        "friendly_name": found.record.label,
        "is_sms_capable": "sms" in found.channels,
        "is_voice_capable": "voice" in found.channels,
        "provider_name": found.record.provider,
        "region": "",
        "is_available": all(one.direction != "inbound" for one in found.bindings),
        "workspace_id": account,
        "created_at": None,
        "updated_at": found.record.updated_at,
        "assistants": [own_id(one.agent) for one in found.bindings],
    }


def _page(request: Request) -> tuple[int, int]:
    return whole(request, "limit", 20, 1, _MOST), whole(request, "offset", 0, 0, _LAST_OFFSET)


def _listed(name: str, rows: Any, total: int, limit: int, offset: int) -> dict[str, Any]:
    pagination = {"total_records": total, "limit": limit, "offset": offset}
    return _OK | {"response": {"pagination": pagination, name: rows}}


def _refused(exc: CordboardError) -> Refusal:
    said = without_platform(exc.what.strip())
    match exc:
        case AgentNotFound():
            return Refusal(404, "not_found", "Assistant not found")
        case NumberNotFound():
            return Refusal(404, "not_found", said)
        case NumberAttachedElsewhere():
            return Refusal(409, "conflict", said)
        case CordboardError() if isinstance(exc, _UNPROCESSABLE):
            return Refusal(422, "validation", said)
    return vendor.refused(exc)


def _body(site: Site, refusal: Refusal) -> Mapping[str, Any]:
    del site
    detail = {
        "status": "error",
        "description": refusal.message,
        "request_id": f"req_{secrets.token_hex(12)}",
        "category": refusal.code.lower(),
    }
    return {"detail": detail | refusal.waiting}


SYNTHFLOW = Vendor("Synthflow", "/compat/synthflow", _key, _refused, _body)

_POOL = "/v2/assistants/{model_id}/phone_numbers"
ENDPOINTS = (
    Endpoint("PUT", _POOL, "numbers:write", _attach),
    Endpoint("DELETE", f"{_POOL}/{{slug}}", "numbers:write", _detach),
    Endpoint("GET", "/v2/assistants/", "numbers:read", _assistants),
    Endpoint("GET", "/v2/assistants", "numbers:read", _assistants),
    Endpoint("GET", "/v2/assistants/{model_id}", "numbers:read", _assistant),
    Endpoint("GET", "/v2/numbers", "numbers:read", _numbers),
    Endpoint("GET", "/v2/numbers/{slug}", "numbers:read", _number),
)

"""UnleashX's attach, at `/compat/unleashx`.

Source: docs.unleashx.ai, "Attach Phone Number", its text: POST /api/agent/attach-phone-number with
the key in the header `token` or `api_access_token`; every status and message of its error table.
The page has "already attached" under both 400 and 409, and its notes say 409: so does this. It has
no message for 404, 422 and 500 and none for a number that is not the account's: 404 is told in the
words of its sibling pages, the others (422) in ours.

"A phone number will route inbound calls to the specified agent": an agent that only calls out is
refused with 422.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.routing import Mount

from cordboard.errors import (
    AgentNotFound,
    CordboardError,
    DuplicateNumber,
    InvalidArguments,
    InvalidNumberFormat,
    LimitExceeded,
    NumberAttachedElsewhere,
    NumberNotFound,
    ProviderNotConfigured,
)
from cordboard.request import Asked
from cordboard.service import records
from cordboard.stores import Transaction
from cordboard.web.compat import vendor
from cordboard.web.compat.reading import agent_of, json_object, own_id, text, texts
from cordboard.web.compat.vendor import (
    Desk,
    Endpoint,
    Refusal,
    Vendor,
    mounted_at,
    without_platform,
)
from cordboard.web.site import Site

_FIELDS = ("agent_id", "provider", "numbers")
_HEADERS = ("token", "api_access_token")
_DONE = "Phone number attached successfully"
_TOLD: tuple[tuple[type[CordboardError], int, str], ...] = (
    (AgentNotFound, 404, "Agent not found"),
    (InvalidNumberFormat, 400, "Invalid phone number format. Use E.164 format"),
    (NumberAttachedElsewhere, 409, "Phone number is already attached to another agent"),
    (ProviderNotConfigured, 400, "Provider not configured for your account"),
    (NumberNotFound, 422, ""),
    (DuplicateNumber, 422, ""),
    (InvalidArguments, 422, ""),
    (LimitExceeded, 422, ""),
)
"""Which of our errors is told how; "" in our words."""


def mounted(site: Site) -> Mount:
    """UnleashX's routes."""
    return mounted_at(UNLEASHX, site, ENDPOINTS)


def _key(headers: Headers) -> str | None:
    return next((headers[name].strip() for name in _HEADERS if name in headers), None)


async def _attach(desk: Desk, request: Request) -> Any:
    body = await json_object(request, *_FIELDS)
    for name, what in (("agent_id", "Agent ID is"), ("provider", "Provider is"),
                       ("numbers", "Phone number(s) are")):  # fmt: skip
        if body.get(name) in (None, "", []):
            raise Refusal(400, "REQUIRED", f"{what} required")
    agent, provider, numbers = _asked(body)
    found = await desk.read(lambda tx: records.find_agent(tx, desk.account, agent))
    if found is None:
        raise AgentNotFound("There is no such agent.")
    if found.direction != "inbound":
        raise InvalidArguments("agent_id: this agent calls out; name one that answers calls.")
    await desk.change(Asked("attach", agent, numbers, provider=provider))
    return await _attached(desk, agent, provider, numbers)


def _asked(body: Mapping[str, Any]) -> tuple[str, str, tuple[str, ...]]:
    return agent_of(text(body, "agent_id")), text(body, "provider"), texts(body, "numbers")


async def _attached(desk: Desk, agent: str, provider: str, numbers: tuple[str, ...]) -> Any:
    """The answer, read back. `attached_at`: of the newest binding among them."""

    def work(tx: Transaction) -> list[str]:
        every = [records.find_held(tx, desk.account, agent, number) for number in numbers]
        return [one.binding.attached_at for one in every if one is not None and one.binding]

    at = await desk.read(work)
    data = {
        "agent_id": own_id(agent),
        "phone_numbers": list(numbers),
        "provider": provider,
        "attached_at": max(at, default=""),
        "status": "active",
    }
    return _envelope(desk.site, 200, _DONE, data)


def _envelope(site: Site, status: int, message: str, data: Any) -> dict[str, Any]:
    now = site.app.clock()
    return {
        "error": status >= 400,
        "code": status,
        "message": message,
        "timestamp": round(now.timestamp() * 1000),
        "data": data,
    }


def _body(site: Site, refusal: Refusal) -> Mapping[str, Any]:
    return _envelope(site, refusal.status, refusal.message, refusal.waiting or None)


def _refused(exc: CordboardError) -> Refusal:
    for kind, status, message in _TOLD:
        if isinstance(exc, kind):
            return Refusal(status, exc.code, message or without_platform(exc.what.strip()))
    return vendor.refused(exc)


UNLEASHX = Vendor("UnleashX", "/compat/unleashx", _key, _refused, _body)
ENDPOINTS = (Endpoint("POST", "/api/agent/attach-phone-number", "numbers:write", _attach),)

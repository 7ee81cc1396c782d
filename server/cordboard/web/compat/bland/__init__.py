"""Bland's personas and their inbound numbers, at `/compat/bland`.

Source: docs.bland.ai, "Attach Phone Numbers to Persona", "Detach Phone Numbers from Persona",
"Update Persona Number Settings"; get/personas, get/personas-id, get/inbound. A persona is a local
agent that answers calls. Where those pages are silent:

- The statuses of V1 failures are not documented. Here: 400 INVALID_INBOUND_NUMBERS and INVALID_BODY
  (as Bland's V2 has them), 404 PERSONA_NOT_FOUND and INBOUND_NOT_FOUND.
- What an attach does with a number of another persona is not documented. Here it is never taken
  over: 409 INVALID_INBOUND_NUMBERS, whose message names the holder.
- A part of `persona_settings` is not merged with what was there: `pathway_id` is required, and the
  three fields are replaced together.
- Bland's V2 agents do not exist here; reads of them are answered as an account without any is.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Mount

from cordboard.binding import Agent
from cordboard.errors import AgentNotFound, InvalidArguments, NumberRefused
from cordboard.number import is_canonical
from cordboard.request import Action, Asked
from cordboard.service import records
from cordboard.stores import Transaction
from cordboard.web.compat.bland import pathways
from cordboard.web.compat.bland.shapes import (
    as_json,
    inbound_row,
    number_row,
    pathway_of,
    persona_row,
    refusal_body,
    refused,
)
from cordboard.web.compat.reading import agent_of, json_object, texts, whole
from cordboard.web.compat.vendor import Desk, Endpoint, Refusal, Vendor, mounted_at
from cordboard.web.site import Site, bearer

_PER_READ = 1000
"""Numbers read at a time for the list of all; between two reads others have their turn."""
_NOT_ATTACHED = "Inbound number not found or not attached to this persona"


def mounted(site: Site) -> Mount:
    """Bland's routes."""
    return mounted_at(BLAND, site, ENDPOINTS)


def _key(headers: Headers) -> str | None:
    """The raw key, as Bland has it; `Bearer KEY`, as many clients send it, is taken too."""
    said = headers.get("authorization")
    if said is None:
        return None
    return bearer(said) or said.strip()


async def _attach(desk: Desk, request: Request) -> Any:
    agent = _agent(request)
    numbers = await _inbound_numbers(request)
    await _persona(desk, agent)
    await desk.change(Asked("attach", agent, numbers))
    return await _persona(desk, agent)


async def _detach(desk: Desk, request: Request) -> Any:
    """Bland: "Only numbers currently attached to this persona will be affected". Others are left alone."""
    agent = _agent(request)
    numbers = await _inbound_numbers(request)
    if not all(map(is_canonical, numbers)):
        raise Refusal(400, "INVALID_INBOUND_NUMBERS", "Not all of them are in E.164 form.")
    if len(set(numbers)) != len(numbers):
        raise Refusal(400, "INVALID_INBOUND_NUMBERS", "One of them stands twice.")
    before = await _persona(desk, agent)
    held = {row["phone_number"] for row in before["data"]["inbound_numbers"]}
    mine = tuple(number for number in numbers if number in held)
    if not mine:
        return before
    await desk.change(Asked("detach", agent, mine))
    return await _persona(desk, agent)


async def _inbound_numbers(request: Request) -> tuple[str, ...]:
    numbers = texts(await json_object(request, "inbound_numbers"), "inbound_numbers")
    if not numbers:
        raise InvalidArguments("inbound_numbers: is required; name at least one number.")
    return numbers


async def _settings(desk: Desk, request: Request) -> Any:
    agent, number = _agent(request), request.path_params["phone_number"]
    pathway = pathway_of(await json_object(request, "persona_settings"))
    if not is_canonical(number):
        raise Refusal(404, "INBOUND_NOT_FOUND", _NOT_ATTACHED)
    action: Action = "set_pathway" if pathway.pathway_id else "clear_pathway"

    def mine(tx: Transaction) -> records.Held | None:
        return records.find_held(tx, desk.account, agent, number)

    before = await desk.read(mine)
    if before is None or before.binding is None or before.binding.direction != "inbound":
        raise Refusal(404, "INBOUND_NOT_FOUND", _NOT_ATTACHED)
    try:
        await desk.change(Asked(action, agent, (number,), pathway=pathway))
    except (AgentNotFound, NumberRefused):
        raise Refusal(404, "INBOUND_NOT_FOUND", _NOT_ATTACHED) from None
    after = await desk.read(mine)
    if after is None:
        raise Refusal(404, "INBOUND_NOT_FOUND", _NOT_ATTACHED)
    return as_json(number_row(after))


def _agent(request: Request) -> str:
    """The agent that the path names. Raises: AgentNotFound for what can be none."""
    agent = agent_of(request.path_params["persona_id"])
    if not agent:
        raise AgentNotFound("There is no such persona.")
    return agent


async def _persona(desk: Desk, agent: str) -> Any:
    """The whole answer about one persona. Raises: AgentNotFound."""

    def work(tx: Transaction) -> Any:
        found = records.find_agent(tx, desk.account, agent)
        if found is None or found.direction != "inbound":
            raise AgentNotFound("There is no such persona.")
        return _row(tx, desk, found)

    return as_json(await desk.read(work))


def _row(tx: Transaction, desk: Desk, agent: Agent) -> dict[str, Any]:
    return persona_row(agent, records.held(tx, desk.account, agent.agent))


async def _one(desk: Desk, request: Request) -> Any:
    return await _persona(desk, _agent(request))


async def _every(desk: Desk, request: Request) -> Any:
    """A page of personas; one with fewer than `limit` is the last."""
    page = _of_query(request, "page", 1, 1, 1_000_000)
    limit = _of_query(request, "limit", 20, 1, 100)

    def work(tx: Transaction) -> Any:
        offset = (page - 1) * limit
        found, _ = records.agents(tx, desk.account, "inbound", limit, offset)
        return [_row(tx, desk, agent) for agent in found]

    return as_json(await desk.read(work))


def _of_query(request: Request, name: str, default: int, least: int, most: int) -> int:
    try:
        return whole(request, name, default, least, most)
    except InvalidArguments as exc:
        raise Refusal(400, "INVALID_QUERY", exc.what) from None


async def _inbound(desk: Desk, request: Request) -> StreamingResponse:
    """Every number, as Bland lists them: not paged, without the envelope."""
    del request
    first = await _numbers_after(desk, "")  # so that a store in trouble is told by the status
    return StreamingResponse(_listed(desk, first), media_type="application/json")


async def _listed(desk: Desk, rows: list[records.Held]) -> AsyncIterator[str]:
    yield '{"inbound_numbers":['
    comma = ""
    while rows:
        yield comma + ",".join(inbound_row(one) for one in rows)
        comma = ","
        rows = await _numbers_after(desk, rows[-1].record.number) if len(rows) == _PER_READ else []
    yield "]}"


async def _numbers_after(desk: Desk, after: str) -> list[records.Held]:
    return await desk.read(
        lambda tx: records.numbers(tx, desk.account, after=after, limit=_PER_READ)
    )


async def _agents_v2(desk: Desk, request: Request) -> Any:
    del desk, request
    return as_json([])


async def _agent_v2(desk: Desk, request: Request) -> Any:
    del desk, request
    raise Refusal(404, "AGENT_NOT_FOUND", "Agent not found: there are no V2 agents here.")


async def _binding_v2(desk: Desk, request: Request) -> Any:
    """An unknown agent has no persona, and is no 404 (api-v2/get/agents-id-inbound)."""
    del desk
    agent_id = request.path_params["agent_id"]
    if not agent_of(agent_id):
        raise Refusal(404, "AGENT_NOT_FOUND", "Agent not found: no agent can have that id.")
    return as_json({"agent_id": agent_id, "persona_id": None})


BLAND = Vendor("Bland", "/compat/bland", _key, refused, refusal_body)

_PERSONA = "/v1/personas/{persona_id}"
ENDPOINTS = (
    Endpoint("GET", "/v1/personas", "numbers:read", _every),
    Endpoint("GET", _PERSONA, "numbers:read", _one),
    Endpoint("POST", f"{_PERSONA}/inbound/attach", "numbers:write", _attach),
    Endpoint("POST", f"{_PERSONA}/inbound/detach", "numbers:write", _detach),
    Endpoint("PATCH", f"{_PERSONA}/inbound/{{phone_number}}/settings", "numbers:write", _settings),
    Endpoint("GET", "/v1/inbound", "numbers:read", _inbound),
    Endpoint("GET", "/v1/pathway", "numbers:read", pathways.every),
    Endpoint("GET", "/v1/pathway/{pathway_id}", "numbers:read", pathways.one),
    Endpoint("GET", "/v1/pathway/{pathway_id}/versions", "numbers:read", pathways.versions),
    Endpoint(
        "GET", "/v1/pathway/{pathway_id}/version/{version_id}", "numbers:read", pathways.version
    ),
    Endpoint("GET", "/v2/agents", "numbers:read", _agents_v2),
    Endpoint("GET", "/v2/agents/{agent_id}", "numbers:read", _agent_v2),
    Endpoint("GET", "/v2/agents/{agent_id}/inbound", "numbers:read", _binding_v2),
)

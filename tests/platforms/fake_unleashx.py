"""UnleashX as it documents itself: both contracts of its attach, and the agents of the second.

Source: docs.unleashx.ai, "Attach Phone Number" (statuses, messages, both bodies), "Get Voice Agent
API" (the doubly nested envelope, 401 and 404). What no page tells is chosen: a number attached to
its own agent again is attached; a batch with one bad number is refused whole.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from tests.platforms.wire import Fake, Refused, SeenRequest, application

ATTACH_A = "/api/agent/attach-phone-number"
ATTACH_B = "/api/v1/global/attach-phone-numbers"
AGENTS = "/api/v1/global/agents/get"
E164 = re.compile(r"\+[1-9][0-9]{6,14}", re.ASCII)
PROVIDERS = {"san", "ozonetell", "twilio", "exotel", "telnyx", "vonage", "plivo", "bandwidth"}


def agent_row(
    agent_id: Any, name: str, *, agent_type: Any = 3, calling_type: Any = 2, status: Any = 1
) -> dict[str, Any]:
    """One agent as agents/get tells of it."""
    return {
        "agent_id": agent_id,
        "agent_name": name,
        "description": "",
        "status": status,
        "agent_type": agent_type,
        "voice_id": "KYiVPerWcenyBTIvWbfY",
        "calling_type": calling_type,
        "created_on": "2026-01-01T07:44:46.000Z",
        "updated_on": "2026-01-02T07:44:46.000Z",
    }


class FakeUnleashx(Fake):
    """An account of UnleashX. `state`: {"agents": {id as text: row}, "holders": {number: id as text}}.

    `configured`: the carriers the account has set up. `refusing`: number -> (status, body), the
    answer a test ordered in place of an attach. `pending`: number -> the status that an attach of it
    answers with. `listing`: (status, body) in place of what agents/get would answer.
    `conflict`: the HTTP status for a number of another agent; the page names 400 and 409.
    """

    key = "unleashx-token-8d1f"

    def __init__(self, now: Callable[[], float]) -> None:
        super().__init__(now)
        self.configured = set(PROVIDERS)
        self.refusing: dict[str, tuple[int, Any]] = {}
        self.pending: dict[str, Any] = {}
        self.listing: tuple[int, Any] | None = None
        self.conflict = 409
        rows = [
            agent_row(1048, "Front desk"),
            agent_row(1049, "Sales calls", calling_type=1),
            agent_row(1050, "Night desk", agent_type=4, calling_type=None),
            agent_row(1051, "Web chat", agent_type=2, calling_type=None),
        ]
        named = {str(row["agent_id"]): row for row in rows}
        named["agent_abc123xyz"] = agent_row("agent_abc123xyz", "Contract A")
        self.state = {"agents": named, "holders": {}}
        self.app = application(
            [
                Route(ATTACH_A, self._attach_a, methods=["POST"]),
                Route(ATTACH_B, self._attach_b, methods=["POST"]),
                Route(ATTACH_A, self._wrong_method, methods=["GET"]),
                Route(AGENTS, self._agents, methods=["GET"]),
            ]
        )

    def holder(self, number: str) -> str:
        """The agent that holds a number in truth, "" for nobody."""
        return str(self.state["holders"].get(number, ""))

    async def _attach_a(self, request: Request) -> JSONResponse:
        body = await self._body(request)
        agent, numbers = body.get("agent_id"), body.get("numbers")
        if agent and not isinstance(agent, str):
            raise _no(422, "agent_id must be a string")
        self._attach(agent, numbers, body.get("provider", ""))
        assert isinstance(numbers, list)
        data = {
            "agent_id": agent,
            "phone_numbers": numbers,
            "provider": body["provider"],
            "attached_at": "2026-11-21T10:00:00.000Z",
            "status": next((self.pending[n] for n in numbers if n in self.pending), "active"),
        }
        return JSONResponse(_outer(data, "Phone number attached successfully"))

    async def _attach_b(self, request: Request) -> JSONResponse:
        body = await self._body(request)
        agent, numbers = body.get("agent_id"), body.get("numbers")
        if agent and type(agent) is not int:
            raise _no(422, "agent_id must be a number")
        self._attach(agent, numbers, None)
        data = {"agent_id": agent, "phone_numbers": numbers}
        return JSONResponse({"success": True, "message": "Phone numbers attached", "data": data})

    def _attach(self, agent: Any, numbers: Any, provider: str | None) -> None:
        """The checks in the order of the page's list, then the change. `provider` None: not asked for."""
        own = str(agent or "")
        named = tuple(numbers) if isinstance(numbers, list) else ()
        with self.effect("attach", own, named):
            if not own:
                raise _no(400, "Agent ID is required")
            if provider == "":
                raise _no(400, "Provider is required")
            if not named:
                raise _no(400, "Phone number(s) are required")
            for number in named:
                self._allowed(own, number)
            if provider is not None and provider not in self.configured:
                raise _no(400, "Provider not configured for your account")
            if own not in self.state["agents"]:
                raise _no(404, "Agent not found")
            self.state["holders"] |= dict.fromkeys(named, own)

    def _allowed(self, agent: str, number: str) -> None:
        if number in self.refusing:
            raise Refused(*self.refusing[number])
        if not E164.fullmatch(number):
            raise _no(400, "Invalid phone number format. Use E.164 format")
        if self.state["holders"].get(number, agent) != agent:
            raise _no(self.conflict, "Phone number is already attached to another agent")

    async def _agents(self, request: Request) -> JSONResponse:
        self._known(request)
        if self.listing is not None:
            raise Refused(*self.listing)
        asked = request.query_params.get("agent_id")
        rows = [r for r in self.seen["agents"].values() if isinstance(r["agent_id"], int)]
        if asked is None:
            return JSONResponse(two_envelopes(rows))
        mine = [row for row in rows if str(row["agent_id"]) == asked]
        if not mine:
            raise _no(404, "Agent not found")
        return JSONResponse(two_envelopes(mine[0]))

    async def _wrong_method(self, request: Request) -> JSONResponse:
        self._known(request)
        raise _no(405, "Method Not Allowed")

    async def _body(self, request: Request) -> Mapping[str, Any]:
        self._known(request)
        body = await request.json()
        if not isinstance(body, dict):
            raise _no(422, "Validation error message")
        return body

    def _known(self, request: Request) -> None:
        keys = (request.headers.get(name) for name in ("token", "api_access_token"))
        if self.key not in keys:
            raise _no(401, "Invalid Auth Key or Session Expired")

    def errors_in_200(self, request: SeenRequest) -> Any:
        """As its sibling pages write errors, with the status where success would have 200."""
        return {"error": True, "code": 400, "message": "Provider not configured for your account"}

    def another_object(self, request: SeenRequest) -> Any:
        """Each contract's success, about agent 7, which nobody asked for."""
        if request.path.endswith(AGENTS):
            return two_envelopes(agent_row(7, "Somebody else"))
        data = {"agent_id": "7", "phone_numbers": request.body["numbers"], "status": "active"}
        if request.path.endswith(ATTACH_A):
            return _outer(data | {"provider": request.body["provider"]}, "Attached")
        return {"success": True, "message": "Attached", "data": data | {"agent_id": 7}}


def two_envelopes(data: Any) -> dict[str, Any]:
    """An answer of agents/get around one row or a list of them."""
    said = "Voice agent retrieved successfully"
    return _outer({"success": True, "message": said, "data": data}, said)


def _outer(data: Any, message: str) -> dict[str, Any]:
    return {
        "error": False,
        "code": 200,
        "message": message,
        "timestamp": 1767638299411,
        "data": data,
    }


def _no(status: int, message: str) -> Refused:
    return Refused(status, {"error": True, "message": message})

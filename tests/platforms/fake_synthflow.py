"""Synthflow's Platform API as far as Cordboard touches it, over a state in memory.

Faithful to docs.synthflow.ai where it says something: attaching adds (although it is a PUT) and
answers `{"status": "ok"}`; rows of the lists lack the numbers of an agent and the slug of a number;
a number's own answer has no envelope; errors come as `{"detail": {…}}`. Where it says nothing: an
attach is taken whole or not at all, attaching again changes nothing, and an inbound number that
another inbound agent holds is *taken over in silence*, so that only our own guard stops it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route
from tests.platforms.wire import Fake, Refused, SeenRequest, application

WORKSPACE = "1710107690998x536152705164378100"


@dataclass
class FakeAgent:
    """`type`: inbound, outbound or widget. `phone_number`: the older field; None: the first of the pool."""

    name: str
    type: str = "inbound"
    pool: list[str] = field(default_factory=list[str])
    phone_number: str | None = None
    webhook: str = ""


@dataclass
class FakeNumber:
    """`slug` "": its digits. `listed`: False for an imported number that the list leaves out, and
    `shown` False for one that cannot be asked for either."""

    slug: str = ""
    label: str = ""
    provider: str = "twilio"
    listed: bool = True
    shown: bool = True


@dataclass
class Account:
    """One workspace: agents by model_id, numbers by number."""

    agents: dict[str, FakeAgent] = field(default_factory=dict[str, FakeAgent])
    numbers: dict[str, FakeNumber] = field(default_factory=dict[str, FakeNumber])

    def slug(self, number: str) -> str:
        known = self.numbers.get(number)
        return (known.slug if known else "") or number.removeprefix("+")

    def number(self, slug: str) -> str | None:
        return next((n for n in self.numbers if self.slug(n) == slug), None)

    def holders(self, number: str) -> list[str]:
        return [model_id for model_id, agent in self.agents.items() if number in agent.pool]

    def free(self, number: str) -> bool:
        return all(self.agents[one].type != "inbound" for one in self.holders(number))


class FakeSynthflow(Fake):
    """The knobs below change how it answers, not what is true."""

    state: Account

    def __init__(
        self,
        now: Callable[[], float],
        account: Account | None = None,
        key: str = "sf-key-0123456789",
    ) -> None:
        super().__init__(now)
        self.state = Account() if account is None else account
        self.key = key
        self.workspace = WORKSPACE
        self.refusing: dict[str, tuple[int, str]] = {}
        """Per number: the status and the words with which writes of it are refused."""
        self.region = "here"
        """`here`; or how another region answers: `not_found`, `gateway`, or `key` (401)."""
        self.says = "object"
        """How errors come: `object` or `string` details; `bad_request`: 400 where a read misses."""
        self.one_as_object = False
        """`assistants` as an object where the list would have one row (the reference has it so)."""
        self.overrides: dict[str, Callable[[Any], Any]] = {}
        """Per path, without the root: what becomes of the body of a good answer."""
        self._requests = 0
        routes = [
            Route("/assistants/", self._list_agents, methods=["GET"]),
            Route("/assistants/{model_id}", self._get_agent, methods=["GET"]),
            Route("/assistants/{model_id}/phone_numbers", self._attach, methods=["PUT"]),
            Route(
                "/assistants/{model_id}/phone_numbers/{slug:path}", self._detach, methods=["DELETE"]
            ),
            Route("/numbers", self._list_numbers, methods=["GET"]),
            Route("/numbers/{slug:path}", self._get_number, methods=["GET"]),
        ]
        self.app = application(
            [
                Mount("/v2", routes=routes),
                Mount("/compat/synthflow", routes=routes),  # as behind somebody's gateway
            ]
        )
        self.app.router.redirect_slashes = False

    # --- endpoints ------------------------------------------------------------------------------

    async def _list_agents(self, request: Request) -> JSONResponse:
        self._admit(request)
        account: Account = self.seen
        rows = [self._row(account, one) for one in account.agents]
        limit, offset = _paging(request)
        shown: Any = rows[offset : offset + limit]
        if self.one_as_object and len(shown) == 1:
            shown = shown[0]
        return self._good(request, _envelope("assistants", shown, len(rows), limit, offset))

    async def _get_agent(self, request: Request) -> JSONResponse:
        self._admit(request)
        account: Account = self.seen
        model_id = request.path_params["model_id"]
        if model_id not in account.agents:
            raise self._missing("Assistant", reading=True)
        body = self.agent_body(account, model_id)
        return self._good(request, body)

    async def _list_numbers(self, request: Request) -> JSONResponse:
        self._admit(request)
        account: Account = self.seen
        workspace = request.query_params.get("workspace")
        if workspace is None:
            raise Refused(
                422, {"detail": [{"loc": ["query", "workspace"], "msg": "Field required"}]}
            )
        wanted = request.query_params.get("is_available")
        rows = [
            {"number": n, "sid": None, "is_available": account.free(n)}
            for n, known in account.numbers.items()
            if known.listed and workspace == self.workspace
        ]
        rows = [r for r in rows if wanted is None or json.dumps(r["is_available"]) == wanted]
        limit, offset = _paging(request)
        shown = rows[offset : offset + limit]
        return self._good(request, _envelope("phone_numbers", shown, len(rows), limit, offset))

    async def _get_number(self, request: Request) -> JSONResponse:
        self._admit(request)
        account: Account = self.seen
        number = account.number(request.path_params["slug"])
        if number is None or not account.numbers[number].shown:
            raise self._missing("Phone number", reading=True)
        if request.query_params.get("workspace") != self.workspace:
            raise self._missing("Phone number", reading=True)
        return self._good(request, self.number_body(account, number))

    async def _attach(self, request: Request) -> JSONResponse:
        self._admit(request)
        model_id = request.path_params["model_id"]
        numbers = self._numbers_in(await request.body())
        with self.effect("attach", model_id, numbers):
            account: Account = self.state
            if model_id not in account.agents:
                raise self._missing("Assistant")
            for number in numbers:
                self._permit(number)
                if number not in account.numbers:
                    raise self._missing("Phone number")
            agent = account.agents[model_id]
            for number in numbers:
                if agent.type == "inbound":
                    self._take_over(number)
                if number not in agent.pool:
                    agent.pool.append(number)
        return self._good(request, {"status": "ok"})

    async def _detach(self, request: Request) -> JSONResponse:
        self._admit(request)
        model_id, slug = request.path_params["model_id"], request.path_params["slug"]
        number = self.state.number(slug)
        with self.effect("detach", model_id, (number or slug,)):
            account: Account = self.state
            if model_id not in account.agents:
                raise self._missing("Assistant")
            if number is None:
                raise self._missing("Phone number")
            self._permit(number)
            if number not in account.agents[model_id].pool:
                raise self._error(
                    400, "Phone number is not attached to this assistant", "validation"
                )
            account.agents[model_id].pool.remove(number)
        return self._good(request, {"status": "ok"})

    # --- bodies ---------------------------------------------------------------------------------

    def agent_body(self, account: Account, model_id: str) -> Any:
        """`GET /assistants/{model_id}`: a list, although it is one."""
        agent = account.agents[model_id]
        row = self._row(account, model_id) | {
            "attached_phone_numbers": [
                {"number": n, "sid": None, "slug": account.slug(n)} for n in agent.pool
            ]
        }
        if agent.webhook:
            row["inbound_call_webhook_url"] = agent.webhook
        shown = row if self.one_as_object else [row]
        return {"status": "ok", "response": {"assistants": shown}}

    def number_body(self, account: Account, number: str) -> Any:
        """`GET /numbers/{slug}`: without an envelope."""
        known = account.numbers[number]
        return {
            "slug": account.slug(number),
            "phone_number": number,
            "friendly_name": known.label,
            "is_sms_capable": False,
            "is_voice_capable": True,
            "provider_name": known.provider,
            "region": "",
            "is_available": account.free(number),
            "workspace_id": self.workspace,
            "created_at": "2026-01-31T09:00:00Z",
            "updated_at": None,
            "assistants": account.holders(number),
        }

    def errors_in_200(self, request: SeenRequest) -> Any:
        return {"status": "error"} | self._error(500, "Something went wrong", "internal").body

    def another_object(self, request: SeenRequest) -> Any:
        other = "00000000-0000-4000-8000-00000000dead"
        account = Account(
            {other: FakeAgent("Somebody else")}, {"+15005550009": FakeNumber(label="Not yours")}
        )
        if request.method != "GET":
            return {"status": "ok", "response": {"model_id": other}}
        if "/numbers/" in request.path:
            return self.number_body(account, "+15005550009")
        return self.agent_body(account, other)

    def _row(self, account: Account, model_id: str) -> dict[str, Any]:
        agent = account.agents[model_id]
        one = agent.phone_number
        return {
            "model_id": model_id,
            "name": agent.name,
            "type": agent.type,
            "phone_number": (agent.pool[0] if agent.pool else "") if one is None else one,
            "agent": {"prompt": "Be kind.", "language": "en-US"},
        }

    # --- how it refuses ---------------------------------------------------------------------------

    def _admit(self, request: Request) -> None:
        self._requests += 1
        if self.region == "not_found":
            raise Refused(404, {"detail": "Not Found"})
        if self.region == "gateway":
            raise Refused(404, {"error": "not_found", "message": "No route matched"})
        given = request.headers.get("authorization")
        if given is None:
            raise Refused(401, {"detail": "No token provided."})
        if given != f"Bearer {self.key}" or self.region == "key":
            raise Refused(401, {"detail": "Invalid token."})

    def _permit(self, number: str) -> None:
        if number in self.refusing:
            status, words = self.refusing[number]
            raise self._error(status, words, "validation")

    def _take_over(self, number: str) -> None:
        for agent in self.state.agents.values():
            if agent.type == "inbound" and number in agent.pool:
                agent.pool.remove(number)

    def _numbers_in(self, raw: bytes) -> list[str]:
        """The numbers meant by a body that is exactly one of the two kinds."""
        body = json.loads(raw)
        kinds = {"phone_numbers", "phone_number_slugs"}.intersection(body)
        if len(kinds) != 1:
            raise self._error(
                400, "Send phone_numbers or phone_number_slugs, not both", "validation"
            )
        if "phone_numbers" in body:
            return list(body["phone_numbers"])
        found = [(slug, self.state.number(slug)) for slug in body["phone_number_slugs"]]
        return [number or slug for slug, number in found]

    def _missing(self, what: str, *, reading: bool = False) -> Refused:
        status = 400 if reading and self.says == "bad_request" else 404
        return self._error(status, f"{what} not found", "not_found")

    def _error(self, status: int, words: str, category: str) -> Refused:
        if self.says == "string":
            return Refused(status, {"detail": words})
        detail = {
            "status": "error",
            "description": words,
            "request_id": f"req_{self._requests:04}",
            "category": category,
        }
        return Refused(status, {"detail": detail})

    def _good(self, request: Request, body: Any) -> JSONResponse:
        path = request.url.path.removeprefix("/v2").removeprefix("/compat/synthflow")
        change = self.overrides.get(path)
        return JSONResponse(change(body) if change else body)


def _paging(request: Request) -> tuple[int, int]:
    asked = request.query_params
    return int(asked.get("limit", "20")), int(asked.get("offset", "0"))


def _envelope(name: str, rows: Any, total: int, limit: int, offset: int) -> dict[str, Any]:
    pagination = {"total_records": total, "limit": limit, "offset": offset}
    return {"status": "ok", "response": {"pagination": pagination, name: rows}}

"""Bland's API as far as Cordboard touches it, over a state in memory.

Faithful to docs.bland.ai where it says something: `{"data", "errors"}` around personas and V2
agents, a bare object for `/v1/inbound` and a pathway, bare lists of pathways and versions; attach
is whole or not at all; detach leaves strangers alone and clears the settings; the settings of a
number are stored as one object; a V2 agent answers through a twin persona and a twin pathway, and
attaching to it replaces whatever was assigned. Where it says nothing: V1 failures come as 400 or
404, a V1 attach *takes a number over in silence*, so that only our own guard stops it, and keeps
none of its settings; an unknown pathway is a 404.

In `writes` an agent is named as after `bland:`, a persona's id or `agent-<id>`.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from tests.platforms.wire import Fake, Refused, SeenRequest, application

KEY = "sk-bland-0123456789abcdef"
AT = "2026-01-31T09:00:00.000Z"


@dataclass
class FakePersona:
    """`tags` and `name` mark a twin. `deleted`: a soft-deleted one, still told."""

    name: str
    tags: list[Any] = field(default_factory=list[Any])
    deleted: bool = False


@dataclass
class FakeNumber:
    """One inbound number. `split`: the pathway it reaches has a migration split."""

    row: int
    label: str | None = None
    persona: str | None = None
    settings: dict[str, Any] | None = None
    prompt: str | None = None
    split: bool = False


@dataclass
class FakeAgent:
    """A V2 agent. `twin`: the persona its numbers go through, made by the first attach."""

    name: str
    versions: int = 1
    twin: str | None = None


@dataclass
class FakePathway:
    """`live`: the nodes of version 0; `versions`: the nodes by `version_number`."""

    name: str
    live: list[str]
    versions: dict[int, list[str]] = field(default_factory=dict[int, list[str]])


@dataclass
class Account:
    """All that one key can see; dictionaries are by id or number."""

    personas: dict[str, FakePersona] = field(default_factory=dict[str, FakePersona])
    numbers: dict[str, FakeNumber] = field(default_factory=dict[str, FakeNumber])
    agents: dict[str, FakeAgent] = field(default_factory=dict[str, FakeAgent])
    pathways: dict[str, FakePathway] = field(default_factory=dict[str, FakePathway])

    def held(self, persona: str) -> list[str]:
        return [number for number, one in self.numbers.items() if one.persona == persona]


def persona_id(place: int) -> str:
    """The id of the persona that was added at that place, from 1."""
    return str(uuid.UUID(int=0xB1A2D000_0000_4000_8000_000000000000 + place))


class FakeBland(Fake):
    """Fill it with `add_…` before the first request. The knobs below change how it answers."""

    state: Account

    def __init__(self, now: Callable[[], float], key: str = KEY) -> None:
        super().__init__(now)
        self.key = key
        self.state = Account()
        self.refusing: dict[str, tuple[int, str, str]] = {}
        """By number: status, code and message with which a write that names it is refused."""
        self.twins = "tag"
        """What marks a twin: `tag`, `tag_object`, `name` or `nothing`."""
        self.lists_twins = True
        self.shows_twins = True
        """Whether `GET /v1/personas` lists twins, and whether one can be asked for by its id."""
        self.answering: dict[str, Any] = {}
        """By path, percent-encoded: a body that is answered with 200 in place of the true one."""
        self.app = application(
            [
                Route("/v1/personas", self._told(self._personas)),
                Route("/v1/personas/{id}", self._told(self._persona)),
                Route(
                    "/v1/personas/{id}/inbound/attach", self._told(self._attach), methods=["POST"]
                ),
                Route(
                    "/v1/personas/{id}/inbound/detach", self._told(self._detach), methods=["POST"]
                ),
                Route(
                    "/v1/personas/{id}/inbound/{number}/settings",
                    self._told(self._settings),
                    methods=["PATCH"],
                ),
                Route("/v1/inbound", self._told(self._inbound)),
                Route("/v1/pathway", self._told(self._pathways)),
                Route("/v1/pathway/{id}", self._told(self._pathway)),
                Route("/v1/pathway/{id}/versions", self._told(self._versions)),
                Route("/v1/pathway/{id}/version/{version}", self._told(self._version)),
                Route("/v2/agents", self._told(self._agents)),
                Route("/v2/agents/{id}", self._told(self._agent)),
                Route("/v2/agents/{id}/inbound", self._told(self._binding)),
                Route(
                    "/v2/agents/{id}/inbound/attach", self._told(self._attach_v2), methods=["POST"]
                ),
                Route(
                    "/v2/agents/{id}/inbound/detach", self._told(self._detach_v2), methods=["POST"]
                ),
            ]
        )

    # --- filling it ---------------------------------------------------------------------------

    def add_persona(self, name: str, own_id: str = "", tags: list[Any] | None = None) -> str:
        own_id = own_id or persona_id(len(self.state.personas) + 1)
        self.state.personas[own_id] = FakePersona(name, tags or [])
        return own_id

    def add_number(
        self,
        number: str,
        persona: str | None = None,
        label: str | None = None,
        settings: dict[str, Any] | None = None,
        prompt: str | None = None,
    ) -> None:
        row = len(self.state.numbers) + 1
        self.state.numbers[number] = FakeNumber(row, label, persona, settings, prompt)

    def add_agent(self, own_id: str, name: str, *numbers: str, versions: int = 1) -> None:
        """A V2 agent, with numbers attached to it."""
        self.state.agents[own_id] = FakeAgent(name, versions)
        for number in numbers:
            self.add_number(number, self._twin_of(own_id))

    def add_pathway(
        self, own_id: str, name: str, live: list[str], versions: dict[int, list[str]] | None = None
    ) -> None:
        self.state.pathways[own_id] = FakePathway(name, live, versions or {})

    # --- what a test may order ----------------------------------------------------------------

    def errors_in_200(self, request: SeenRequest) -> Any:
        v2 = request.path.startswith("/v2")
        message = "Some phone numbers were not found or do not belong to you"
        return _errors("INVALID_BODY" if v2 else "INVALID_INBOUND_NUMBERS", message)

    def another_object(self, request: SeenRequest) -> Any:
        other = persona_id(999)
        if request.path.startswith("/v2"):
            return _data({"agent_id": "somebody-else", "detached_count": 1, "persona_id": other})
        row = {"phone_number": "+12025550199", "label": None, "persona_id": other}
        if request.method == "PATCH":
            return _data(row | {"id": 999, "persona_settings": None, "updated_at": AT})
        numbers = [row | {"persona_settings": None}]
        return _data({"id": other, "name": "Somebody else", "inbound_numbers": numbers})

    # --- V1: personas and numbers -------------------------------------------------------------

    async def _personas(self, request: Request) -> Any:
        page = int(request.query_params.get("page", "1"))
        limit = min(int(request.query_params.get("limit", "20")), 100)
        seen: Account = self.seen
        twins = set() if self.lists_twins else {one.twin for one in seen.agents.values()}
        every = [own_id for own_id in seen.personas if own_id not in twins]
        return _data([self._row(seen, own_id) for own_id in every[(page - 1) * limit :][:limit]])

    async def _persona(self, request: Request) -> Any:
        seen: Account = self.seen
        own_id = request.path_params["id"]
        twins = set() if self.shows_twins else {one.twin for one in seen.agents.values()}
        if own_id not in seen.personas or own_id in twins:
            _no_persona()
        return _data(self._row(seen, own_id))

    def _row(self, account: Account, own_id: str) -> dict[str, Any]:
        one = account.personas[own_id]
        return {
            "id": own_id,
            "name": one.name,
            "role": None,
            "description": "answers calls",
            "tags": one.tags,
            "image_url": None,
            "user_id": "12345678-1234-1234-1234-123456789012",
            "created_at": AT,
            "updated_at": AT,
            "deleted_at": AT if one.deleted else None,
            "current_production_version": {"pathway_conditions": [{"pathway_id": "not-its-own"}]},
            "inbound_numbers": [
                {
                    "phone_number": number,
                    "label": account.numbers[number].label,
                    "persona_id": own_id,
                    "persona_settings": account.numbers[number].settings,
                }
                for number in account.held(own_id)
            ],
        }

    async def _attach(self, request: Request) -> Any:
        own_id = request.path_params["id"]
        numbers = await self._numbers(request)
        with self.effect("attach", own_id, numbers):
            if own_id not in self.state.personas:
                _no_persona()
            self._check(numbers)
            for number in numbers:
                one = self.state.numbers[number]
                if one.persona != own_id:
                    one.persona, one.settings = own_id, None
            return _data(self._row(self.state, own_id))

    async def _detach(self, request: Request) -> Any:
        own_id = request.path_params["id"]
        numbers = await self._numbers(request)
        with self.effect("detach", own_id, numbers):
            if own_id not in self.state.personas:
                _no_persona()
            self._free(own_id, numbers)
            return _data(self._row(self.state, own_id))

    def _free(self, holder: str | None, numbers: list[str]) -> int:
        """Detach those that this persona holds; others are left alone without a word."""
        self._ordered(numbers)
        mine = [n for n in numbers if holder and n in self.state.held(holder)]
        for number in mine:
            one = self.state.numbers[number]
            one.persona, one.settings = None, None
        return len(mine)

    async def _settings(self, request: Request) -> Any:
        own_id, number = request.path_params["id"], request.path_params["number"]
        body = await request.json()
        with self.effect("set_pathway", own_id, (number,)):
            self._ordered([number])
            one = self.state.numbers.get(number)
            if one is None or one.persona != own_id:
                message = "Inbound number not found or not attached to this persona"
                raise Refused(404, _errors("INBOUND_NOT_FOUND", message))
            if not isinstance(body, Mapping) or "persona_settings" not in body:
                raise Refused(400, _errors("INVALID_BODY", "persona_settings is required"))
            settings = body["persona_settings"]
            one.settings = None if settings is None else dict(settings)
            row = {"id": one.row, "phone_number": number, "persona_id": own_id}
            return _data(row | {"persona_settings": one.settings, "updated_at": AT})

    async def _numbers(self, request: Request) -> list[str]:
        body = await request.json()
        numbers = body.get("inbound_numbers") if isinstance(body, Mapping) else None
        if not numbers or not isinstance(numbers, list):
            raise Refused(400, _errors("INVALID_BODY", "inbound_numbers must be a non-empty array"))
        if not all(isinstance(number, str) for number in numbers):
            raise Refused(400, _errors("INVALID_BODY", "inbound_numbers must be strings"))
        return numbers

    def _check(self, numbers: list[str]) -> None:
        self._ordered(numbers)
        if any(number not in self.state.numbers for number in numbers):
            message = "Some phone numbers were not found or do not belong to you"
            raise Refused(400, _errors("INVALID_INBOUND_NUMBERS", message))
        if any(self.state.numbers[number].split for number in numbers):
            message = "Number is part of a migration experiment"
            raise Refused(409, _errors("MIGRATION_EXPERIMENT_NUMBER", message))

    def _ordered(self, numbers: list[str]) -> None:
        for number in numbers:
            if number in self.refusing:
                status, code, message = self.refusing[number]
                raise Refused(status, _errors(code, message))

    async def _inbound(self, request: Request) -> Any:
        seen: Account = self.seen
        rows = [
            {
                "created_at": AT,
                "phone_number": number,
                "prompt": one.prompt,
                "webhook": None,
                "voice_id": 2,
                "dynamic_data": None,
                "label": one.label,
                "max_duration": 30,
            }
            for number, one in seen.numbers.items()
        ]
        return {"inbound_numbers": rows}

    # --- V1: pathways -------------------------------------------------------------------------

    async def _pathways(self, request: Request) -> Any:
        seen: Account = self.seen
        told = {own_id: one.name for own_id, one in seen.pathways.items()}
        for own_id, agent in seen.agents.items():
            if agent.twin is not None:
                told[f"twin-of-{own_id}"] = f"Flow of {agent.name}"
        return [{"id": own_id, "name": name, "description": None} for own_id, name in told.items()]

    def _known(self, request: Request) -> FakePathway:
        one = self.seen.pathways.get(request.path_params["id"])
        if one is None:
            raise Refused(404, {"status": "error", "message": "Pathway not found"})
        assert isinstance(one, FakePathway)
        return one

    async def _pathway(self, request: Request) -> Any:
        one = self._known(request)
        return {"name": one.name, "description": None, "nodes": _nodes(one.live), "edges": []}

    async def _versions(self, request: Request) -> Any:
        one = self._known(request)
        return [
            {
                "id": f"v{number}_abc123",
                "version_number": number,
                "created_at": AT,
                "name": f"{one.name} {number}",
                "is_latest": number == max(one.versions),
            }
            for number in sorted(one.versions, reverse=True)
        ]

    async def _version(self, request: Request) -> Any:
        one = self._known(request)
        which = request.path_params["version"]
        by_id = {f"v{number}_abc123": number for number in one.versions}
        if which == "0":
            return {"name": one.name, "nodes": _nodes(one.live), "edges": []}
        if which not in by_id:
            raise Refused(404, {"status": "error", "message": "Version not found"})
        number = by_id[which]
        nodes = _nodes(one.versions[number])
        return {"name": one.name, "version_number": number, "nodes": nodes, "edges": []}

    # --- V2 -----------------------------------------------------------------------------------

    async def _agents(self, request: Request) -> Any:
        limit = min(int(request.query_params.get("limit", "100")), 500)
        seen: Account = self.seen
        return _data([self._agent_row(seen, own_id) for own_id in list(seen.agents)[:limit]])

    async def _agent(self, request: Request) -> Any:
        seen: Account = self.seen
        own_id = request.path_params["id"]
        if own_id not in seen.agents:
            _no_agent()
        row = self._agent_row(seen, own_id)
        row.pop("twin_pathway_id")
        return _data(row | {"environments": []})

    def _agent_row(self, account: Account, own_id: str) -> dict[str, Any]:
        one = account.agents[own_id]
        return {
            "id": own_id,
            "org_id": "org-1",
            "name": one.name,
            "created_by": None,
            "created_at": AT,
            "updated_at": AT,
            "twin_pathway_id": None if one.twin is None else f"twin-of-{own_id}",
        }

    async def _binding(self, request: Request) -> Any:
        own_id = request.path_params["id"]
        one = self.seen.agents.get(own_id)
        return _data({"agent_id": own_id, "persona_id": None if one is None else one.twin})

    async def _attach_v2(self, request: Request) -> Any:
        own_id = request.path_params["id"]
        numbers = [number.strip() for number in await self._numbers(request)]
        with self.effect("attach", f"agent-{own_id}", numbers):
            if own_id not in self.state.agents:
                _no_agent()
            if not self.state.agents[own_id].versions:
                raise Refused(400, _errors("NO_VERSIONS", "The agent has no saved version"))
            self._check(numbers)
            twin = self._twin_of(own_id)
            for number in numbers:
                one = self.state.numbers[number]
                one.persona, one.settings = twin, None
            return _data({"agent_id": own_id, "persona_id": twin})

    async def _detach_v2(self, request: Request) -> Any:
        own_id = request.path_params["id"]
        numbers = [number.strip() for number in await self._numbers(request)]
        with self.effect("detach", f"agent-{own_id}", numbers):
            if own_id not in self.state.agents:
                _no_agent()
            count = self._free(self.state.agents[own_id].twin, numbers)
            return _data({"agent_id": own_id, "detached_count": count})

    def _twin_of(self, own_id: str) -> str:
        """The twin persona of a V2 agent, made where there is none yet."""
        agent = self.state.agents[own_id]
        if agent.twin is None:
            mark = f"v2-agent:{own_id}"
            tags: dict[str, list[Any]] = {"tag": [mark], "tag_object": [{"name": mark}]}
            name = mark if self.twins == "name" else f"{agent.name} (twin)"
            agent.twin = self.add_persona(name, tags=tags.get(self.twins, []))
        return agent.twin

    # --- the wire -----------------------------------------------------------------------------

    def _told(self, endpoint: Callable[[Request], Any]) -> Callable[[Request], Any]:
        """An endpoint behind the check of the key, with its answer as JSON."""

        async def told(request: Request) -> JSONResponse:
            given = request.headers.get("authorization", "")
            if given != self.key:
                # Some gateways repeat what they were given: nothing of it may reach a reader.
                raise Refused(401, _errors("UNAUTHORIZED", f"Invalid API key {given}"))
            path = request.scope["raw_path"].decode("ascii")
            body = self.answering.get(path, ...)
            return JSONResponse(await endpoint(request) if body is ... else body)

        return told


def _data(data: Any) -> dict[str, Any]:
    return {"data": data, "errors": None}


def _errors(code: str, message: str) -> dict[str, Any]:
    return {"data": None, "errors": [{"error": code, "message": message}]}


def _nodes(names: list[str]) -> list[dict[str, Any]]:
    return [{"id": name, "type": "Default", "data": {"name": name}} for name in names]


def _no_persona() -> NoReturn:
    raise Refused(404, _errors("PERSONA_NOT_FOUND", "Persona not found or access denied"))


def _no_agent() -> NoReturn:
    raise Refused(404, _errors("NOT_FOUND", "Agent not found"))

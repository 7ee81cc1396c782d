"""Our own adapters for the vendors, pointed at a second Cordboard's REST, pass the platforms' contract.

The tests are those of tests/platforms/test_contract.py, run anew over another stage: where they
have a fake vendor, here stands a Cordboard with nothing but its local platform, served over HTTP,
whose policy asks for an approver for every change, and a token that may approve.
"""

from __future__ import annotations

import json
import types
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Any, cast

import pytest
from starlette.types import Message, Receive, Send
from starlette.types import Scope as Asgi
from tests.platforms import test_contract as contract
from tests.platforms.test_contract import FREE, HELD, OPENING, THEIRS, Case, Stage, side
from tests.platforms.vendors import passing
from tests.platforms.wire import Fake, Wire, Write
from tests.web.site import APPROVES, URL, WRITES
from tests.world import EMPTY, Clock, World, Worlds, in_a_loop_of_its_own

from cordboard.app import build_server, web_of
from cordboard.config import load
from cordboard.identity import Scope
from cordboard.tokens import Tokens

pytestmark = pytest.mark.anyio

SERVED = ("bland", "synthflow", "synthflow-pool", "unleashx-agent")
"""The contract's cases that the REST serves: it has no V2 agents, and not UnleashX's other path."""
BASES = {
    "bland": f"{URL}/compat/bland",
    "synthflow": f"{URL}/compat/synthflow/v2",
    "unleashx": f"{URL}/compat/unleashx",
}


class Far(Fake):
    """A Cordboard in the vendor's place. `writes`: what it was asked to change, as a fake has it."""

    def __init__(self, case: Case, world: World, key: str, app: Any) -> None:
        super().__init__(contract._seconds(world.clock))  # noqa: SLF001 - as its fakes have it
        self.case, self.world, self.key = case, world, key
        self._inside = app
        self.app = cast(Any, self._heard)

    async def _heard(self, scope: Asgi, receive: Receive, send: Send) -> None:
        """The app, and a note of every write with what came of it."""
        body = bytearray()

        async def hearing() -> Message:
            message = await receive()
            body.extend(message.get("body", b""))
            return message

        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start" and scope["method"] != "GET":
                ok = message["status"] < 300
                self._writes.append(self._write(scope["method"], scope["path"], bytes(body), ok))
            await send(message)

        await self._inside(scope, hearing, noting)

    def _write(self, method: str, path: str, body: bytes, ok: bool) -> Write:
        parts = path.removeprefix("/compat/").split("/")
        kinds = {"PUT": "attach", "DELETE": "detach", "PATCH": "set_pathway"}
        kind = kinds.get(method, "detach" if parts[-1] == "detach" else "attach")
        agent = parts[3] if len(parts) > 4 else ""
        told = json.loads(body) if body else {"slugs": [f"+{parts[-1]}"]}
        numbers = next((each for each in told.values() if isinstance(each, list)), [parts[-2]])
        return Write(self.now(), kind, agent, tuple(numbers), ok)

    @property
    def as_local(self) -> Case:
        """The case as the account's own local platform sees it."""
        pool = "-pool" if self.case.name.endswith("-pool") else ""
        return replace(self.case, name=f"local{pool}")


@dataclass
class FarStage(Stage):
    """A stage whose vendor is a Cordboard: truth is what its store says."""

    @property
    def far(self) -> Far:
        return cast(Far, self.fake)

    async def truth(self, number: str) -> dict[str, Any]:
        rows = await self.far.world.sides(number)
        if not rows:
            return side()
        told = dict(zip(side(), rows[0], strict=True))
        return told | {"agent": self._named(str(told["agent"]))}

    async def serving(self, number: str) -> list[str]:
        return sorted(self._named(row[1]) for row in await self.far.world.sides(number))

    async def meddle(self, number: str, agent: str, **pathway: Any) -> None:
        there = Stage(self.far.as_local, self.far.world, None)
        await there.meddle(number, agent and self._local(agent), **pathway)
        assert await self.truth(number) == side(agent, **pathway)

    def _named(self, agent: str) -> str:
        return agent.replace("local:", f"{self.case.platform}:")

    def _local(self, agent: str) -> str:
        return f"local:{agent.partition(':')[2]}"


def settings_of(case: Case, fake: Fake | None) -> dict[str, Any]:
    """How an operator points a process at the far Cordboard instead of the vendor."""
    assert fake is not None
    base = BASES[case.platform]
    match case.platform:
        case "bland":
            return {"BLAND_API_KEY": fake.key, "BLAND_BASE_URL": base}
        case "synthflow":
            told = {"SYNTHFLOW_API_KEY": fake.key, "SYNTHFLOW_BASE_URL": base}
            return told | {"SYNTHFLOW_REGION": "us", "SYNTHFLOW_WORKSPACE": "any"}
    declared = contract._declared(case)  # noqa: SLF001 - the contract's own account
    return {"UNLEASHX_TOKEN": fake.key, "UNLEASHX_BASE_URL": base, "unleashx": declared}


def far_of(
    case: Case, make_world: Worlds, clock: Clock, policy: str, scopes: Sequence[Scope]
) -> Far:
    """The second Cordboard with the case's account, and a token for it."""
    local = replace(case, name="local-pool" if case.name.endswith("-pool") else "local")
    world = make_world(contract._local(local), policy=policy, clock=clock)  # noqa: SLF001
    server = build_server(load(world.environ, serving={}), clock)
    world.others.append(server)
    tokens = Tokens(world.app.store, clock)

    async def key() -> str:
        who = "cordboard"
        return await tokens.create("default", who, scopes=scopes, subject=who, by="operator")

    return Far(case, world, in_a_loop_of_its_own(key), web_of(server))


def staged(
    case: Case,
    make_world: Worlds,
    policy: str = "relaxed",
    *,
    over_there: str = "strict",
    scopes: Sequence[Scope] = APPROVES,
) -> FarStage:
    """As the contract's own: the account, and a world that is configured for it.

    `over_there`: the far Cordboard's policy; `scopes`: what the key may do there.
    """
    clock = Clock()
    far = far_of(case, make_world, clock, over_there, scopes)
    outside = {"transports": {case.platform: Wire(far)}, "sleep": passing(clock)}
    told = settings_of(case, far)
    world = make_world(EMPTY, policy=policy, clock=clock, outside=outside, **told)
    return FarStage(case, world, far)


@pytest.fixture
async def stage(request: pytest.FixtureRequest, make_world: Worlds) -> AsyncIterator[FarStage]:
    async with AsyncExitStack() as kept:
        found = staged(cast(Case, request.param), make_world)
        found.kept = kept
        yield found


# The contract's tests, each over this stage

IN_THE_FAKE = {
    "test_a_plan_whose_pathway_is_gone_meanwhile_is_rejected",
    "test_a_plan_of_a_pool_is_rejected_where_the_pool_changed_meanwhile",
    "test_agents_of_two_directions_do_not_move_numbers_to_each_other",
}
"""They reach into a fake's own state; what they show is shown below."""


def anew(test: types.FunctionType) -> types.FunctionType | None:
    """A test of the contract over the cases that are served; None where it has none of them."""
    world = {**vars(contract), "staged": staged, "_settings": settings_of}
    again = types.FunctionType(test.__code__, world, test.__name__, test.__defaults__)
    again.__annotations__, again.__module__ = test.__annotations__, __name__
    for mark in cast(Any, test).pytestmark:
        arguments = _narrowed(mark)
        if not arguments[-1]:
            return None
        getattr(pytest.mark, mark.name)(*arguments, **mark.kwargs)(again)
    return again


def _narrowed(mark: pytest.Mark) -> tuple[Any, ...]:
    """The mark's arguments, with only those values of `stage` that are served."""
    if mark.name != "parametrize" or "stage" not in mark.args[0]:
        return mark.args
    return mark.args[0], [value for value in mark.args[1] if _case(value).name in SERVED]


def _case(value: Any) -> Case:
    return cast(Case, value.values[0] if hasattr(value, "values") else value)


def contract_tests() -> dict[str, types.FunctionType]:
    """Every test of the contract that has a case here, but those of IN_THE_FAKE."""
    tests = {name: test for name, test in vars(contract).items() if name.startswith("test_")}
    again = {name: anew(test) for name, test in tests.items() if name not in IN_THE_FAKE}
    return {name: test for name, test in again.items() if test is not None}


globals().update(contract_tests())


def cases(*names: str) -> pytest.MarkDecorator:
    """A test of this file's own at these cases."""
    found = [c for c in (*contract.CASES, *contract.POOLS) if c.name in names]
    return pytest.mark.parametrize("stage", found, ids=lambda case: case.name, indirect=True)


def test_the_contract_is_run_at_every_case_that_is_served() -> None:
    assert len(contract_tests()) > 60 and set(contract_tests()).isdisjoint(IN_THE_FAKE)
    assert set(vars(contract)) >= IN_THE_FAKE


@cases("bland")
async def test_a_plan_whose_pathway_is_gone_over_there_is_rejected(stage: FarStage) -> None:
    one, *_ = stage.agents
    plan = await stage.planned("set_number_pathway", agent=one, numbers=[HELD], **OPENING)
    version = {"pathway_id": "pathway_abc123", "version": 2, "nodes": '["node_start"]'}
    await stage.far.world.put("pathway_version_put", **version)
    late = await stage.call("apply_plan", plan_id=plan.plan_id)
    assert late.status == "plan_rejected" and "node_xyz" in late.message
    assert await stage.truth(HELD) == side(one) and stage.written() == 0


@cases("synthflow-pool")
async def test_a_plan_is_rejected_where_the_pool_over_there_changed_meanwhile(
    stage: FarStage,
) -> None:
    one, _, three = stage.agents
    plan = await stage.call("detach_numbers", agent=one, numbers=[HELD])
    await stage.far.world.done("attach_numbers", agent="local:three", numbers=[HELD])
    late = await stage.call("apply_plan", plan_id=plan.plan_id)
    assert late.status == "plan_rejected"
    assert f"{HELD} (outbound): agent was {one}, is now {one}, {three}" in late.message
    assert await stage.serving(HELD) == sorted([one, three])


@cases("synthflow-pool")
async def test_agents_of_two_directions_over_there_do_not_move_numbers_to_each_other(
    stage: FarStage,
) -> None:
    one, _, three = stage.agents
    row = {"agent": "local:three", "name": "x", "direction": "inbound", "pathway_id": ""}
    await stage.far.world.put("agent_put", **row, user_id="", at="2026-01-31T09:00:00.000Z")
    moves: dict[str, Any] = {"from_agent": one, "to_agent": three, "numbers": [HELD]}
    reply = await stage.call("move_numbers", **moves)
    assert reply.code == "NOT_SUPPORTED" and "inbound" in reply.text and "outbound" in reply.text
    assert await stage.serving(HELD) == [one]


@cases("bland", "synthflow", "unleashx-agent")
@pytest.mark.parametrize("policy", ["relaxed", "standard"])
async def test_a_change_over_there_goes_through_whatever_its_policy_for_a_token_that_may_approve(
    stage: FarStage, make_world: Worlds, policy: str
) -> None:
    asking = staged(stage.case, make_world, over_there=policy)
    done = await asking.done("attach_numbers", agent=asking.agents[2], numbers=[FREE])
    assert done.status == "applied" and await asking.truth(FREE) == side(asking.agents[2])


@cases("bland", "synthflow", "unleashx-agent")
async def test_a_key_that_may_not_approve_changes_nothing_over_there(
    stage: FarStage, make_world: Worlds
) -> None:
    asking = staged(stage.case, make_world, scopes=WRITES)
    planned = await asking.planned("attach_numbers", agent=asking.agents[2], numbers=[FREE])
    refused = await asking.passed(planned.plan_id)
    assert refused.status == "plan_rejected" and "waits for a person" in refused.message
    assert await asking.truth(FREE) == side()
    [waiting] = await asking.far.world.app.service.approvals.waiting()
    assert waiting.plan_id in refused.message


@cases("bland", "synthflow")
async def test_what_is_done_from_here_stands_in_the_journal_there_and_is_undone_there(
    stage: FarStage,
) -> None:
    _, two, _ = stage.agents
    was = await stage.truth(THEIRS)
    await stage.done("detach_numbers", agent=two, numbers=[THEIRS])
    [there] = (await stage.far.world.call("list_changes", number=THEIRS))["changes"]
    assert (there["action"], there["status"]) == ("detach", "applied")
    assert there["by"] == "cordboard" and await stage.truth(THEIRS) == side()
    await stage.far.world.done("undo_plan", plan_id=there["plan_id"])
    assert await stage.truth(THEIRS) == was

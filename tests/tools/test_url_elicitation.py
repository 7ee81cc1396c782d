"""A person sent to the approvals page by their client (elicitation in URL mode), in both eras.

To accept means that the page was opened. Nothing a client answers to such a question approves
anything; only what an approver does outside MCP does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
from mcp import Client
from mcp.client.session import ClientSession
from mcp_types import (
    CallToolResult,
    ClientCapabilities,
    ElicitationCapability,
    ElicitRequestURLParams,
    ElicitResult,
    ErrorData,
    InputRequiredResult,
)
from mcp_types import FormElicitationCapability as Form
from mcp_types import UrlElicitationCapability as Url
from tests.tools.test_app import APPS
from tests.world import EMERGENCY, SUPPORT_LINE, TEST_ONE, Reply, World, Worlds, read

from cordboard.app import build_server
from cordboard.config import load
from cordboard.mcp_server import CordboardServer

pytestmark = pytest.mark.anyio

PAGE = "https://desk.example"
PROTECTED: dict[str, Any] = {"agent": "local:support", "numbers": [EMERGENCY]}
PRODUCTION: dict[str, Any] = {"agent": "local:support", "numbers": [SUPPORT_LINE]}
TEST: dict[str, Any] = {"agent": "local:support", "numbers": [TEST_ONE]}
URL_ONLY = ElicitationCapability(url=Url())
BOTH = ElicitationCapability(form=Form(), url=Url())
Meanwhile = Callable[[], Awaitable[object]]
# Every answer a client can give, and what becomes of the plan then.
ANSWERS: dict[str, tuple[ElicitResult | ErrorData, str]] = {
    "accept": (ElicitResult(action="accept"), "open"),
    "accept with a yes": (ElicitResult(action="accept", content={"approve": True}), "open"),
    "accept with words": (ElicitResult(action="accept", content={"approve": "yes"}), "open"),
    "decline": (ElicitResult(action="decline"), "declined"),
    "decline with a yes": (ElicitResult(action="decline", content={"approve": True}), "declined"),
    "cancel": (ElicitResult(action="cancel"), "open"),
    "cancel with a yes": (ElicitResult(action="cancel", content={"approve": True}), "open"),
    "error": (ErrorData(code=-32000, message="no browser here"), "open"),
}


class Browser:
    """Someone whose client sends them to pages; what it answers, and what they do meanwhile."""

    def __init__(self, answer: str = "accept", meanwhile: Meanwhile | None = None) -> None:
        self._answer, self._meanwhile = ANSWERS[answer][0], meanwhile
        self.asked: list[Any] = []

    async def __call__(self, context: object, params: Any) -> ElicitResult | ErrorData:
        self.asked.append(params)
        if self._meanwhile is not None:
            await self._meanwhile()
        return self._answer


@pytest.fixture
def declare(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Clients made after this declare these ways to be asked."""

    def build(elicitation: ElicitationCapability | None, *, apps: bool = False) -> None:
        extensions = {APPS.identifier: APPS.settings()} if apps else None
        made = ClientCapabilities(elicitation=elicitation, extensions=extensions)
        monkeypatch.setattr(ClientSession, "_build_capabilities", lambda *_: made)

    build(URL_ONLY)
    return build


def with_page(world: World, **changed: Any) -> CordboardServer:
    """A server on the same store that has an approvals page, as over HTTP."""
    environ = {**world.environ, **changed}
    server = build_server(load(environ, serving={"public_url": PAGE}), world.clock)
    world.others.append(server)
    return server


async def asked(
    server: CordboardServer, era: str, browser: Browser, tool: str, **given: Any
) -> Reply | None:
    """A call by such a client; None where the client or the SDK gave up with a protocol error."""
    try:
        async with Client(server, mode=era, elicitation_callback=browser) as client:
            return read(await client.call_tool(tool, given))
    except Exception:  # noqa: BLE001 - which error it is, is the SDK's affair
        return None


async def attached(world: World, era: str, browser: Browser, **given: Any) -> Reply:
    reply = await asked(with_page(world), era, browser, "attach_numbers", **(given or PROTECTED))
    assert reply is not None
    return reply


async def approve(world: World, number: str) -> None:
    """An approver approves what waits for this number, outside MCP."""
    server = with_page(world)
    desk = server.app.service.approvals
    [plan_id] = (await world.call("get_number_route", number=number))["open_plans"]
    record = await desk.find(plan_id)
    await desk.approve(record, await desk.approvers.enrol("ada", "a long passphrase", "ada", None))


async def test_where_an_approver_is_needed_the_client_is_sent_to_the_page(
    world: World, era: str, declare: object
) -> None:
    browser = Browser()
    reply = await attached(world, era, browser)
    [question] = browser.asked
    assert isinstance(question, ElicitRequestURLParams)
    assert question.url == f"{PAGE}/approvals/{reply.plan_id}" == reply["approve"]["url"]
    for fact in (EMERGENCY, "nobody -> local:support", reply.plan_id, "passphrase"):
        assert fact in question.message, fact
    assert bool(question.elicitation_id) is (era == "legacy")
    assert reply.status == "awaiting_approval" and "sent to the approvals page" in reply.message
    assert await world.holders(EMERGENCY) == []
    assert await world.events() == ["planned", "asked"]


@pytest.mark.parametrize("answer", ANSWERS)
async def test_no_answer_approves_and_only_a_decline_closes(
    world: World, era: str, declare: object, answer: str
) -> None:
    browser = Browser(answer)
    reply = await asked(with_page(world), era, browser, "attach_numbers", **PROTECTED)
    becomes = ANSWERS[answer][1]
    if reply is None:
        assert (answer, era) == ("error", "auto")
    elif answer.startswith("accept"):
        assert reply.status == "awaiting_approval"
    else:
        assert reply.status == "not_confirmed" and "Nothing was changed" in reply.message
    assert len(browser.asked) == 1 and await world.holders(EMERGENCY) == []
    plans = (await world.call("get_number_route", number=EMERGENCY))["open_plans"]
    assert len(plans) == (1 if becomes == "open" else 0)


@pytest.mark.parametrize("answer", ["accept", "accept with a yes", "decline", "cancel"])
async def test_what_was_approved_on_the_page_meanwhile_is_answered(
    world: World, era: str, declare: object, answer: str
) -> None:
    browser = Browser(answer, meanwhile=lambda: approve(world, EMERGENCY))
    reply = await attached(world, era, browser)
    assert reply.status == "applied" and reply["guard"]["used"] == "person"
    assert await world.holders(EMERGENCY) == ["local:support"]
    assert (await world.events()).count("applied") == 1


async def test_silence_leaves_the_plan_waiting(make_world: Worlds, declare: object) -> None:
    world = make_world(ask_seconds=0.05)

    reply = await attached(world, "legacy", Browser(meanwhile=anyio.sleep_forever))
    assert reply.status == "awaiting_approval" and "Nobody answered" in reply.message
    assert await world.holders(EMERGENCY) == []


async def test_apply_plan_sends_to_the_page_again(world: World, era: str, declare: object) -> None:
    first = await attached(world, era, Browser("cancel"))
    browser = Browser()
    reply = await asked(with_page(world), era, browser, "apply_plan", plan_id=first.plan_id)
    assert reply is not None and reply.status == "awaiting_approval"
    assert len(browser.asked) == 1 and await world.holders(EMERGENCY) == []


@pytest.mark.parametrize(
    ("elicitation", "apps", "given", "way", "level"),
    [
        (URL_ONLY, False, PROTECTED, "url", "person"),
        (BOTH, False, PROTECTED, "url", "person"),
        (BOTH, True, PROTECTED, "url", "person"),
        (URL_ONLY, False, PRODUCTION, "url", "person"),
        (BOTH, False, PRODUCTION, "form", "client"),
        (URL_ONLY, True, PRODUCTION, "", "client"),
        (ElicitationCapability(), False, PROTECTED, "", "person"),
        (None, True, PROTECTED, "", "person"),
        (URL_ONLY, False, TEST, "", "plan"),
    ],
)
async def test_how_somebody_is_asked_follows_from_level_and_client(
    world: World,
    era: str,
    declare: Callable[..., None],
    elicitation: ElicitationCapability | None,
    apps: bool,
    given: dict[str, Any],
    way: str,
    level: str,
) -> None:
    declare(elicitation, apps=apps)
    browser = Browser("cancel")
    reply = await attached(world, era, browser, **given)
    assert reply["guard"]["required"] == level
    assert [question.mode for question in browser.asked] == ([way] if way else [])


async def test_a_plan_at_client_is_put_to_the_page_by_a_client_without_forms(
    world: World, era: str, declare: Callable[..., None]
) -> None:
    declare(BOTH)
    first = await attached(world, era, Browser("cancel"), **PRODUCTION)
    assert first["guard"]["required"] == "client"
    declare(URL_ONLY)
    browser = Browser("accept with a yes")
    reply = await asked(with_page(world), era, browser, "apply_plan", plan_id=first.plan_id)
    assert reply is not None and reply.status == "awaiting_approval"
    assert browser.asked[0].mode == "url" and await world.holders(SUPPORT_LINE) == []


async def test_without_a_page_nobody_is_sent_anywhere(
    world: World, era: str, declare: object
) -> None:
    browser = Browser()
    reply = await asked(world.server, era, browser, "attach_numbers", **PROTECTED)
    assert reply is not None and reply.status == "awaiting_approval"
    assert browser.asked == [] and reply["approve"]["how"] == "terminal"


# Protocol 2026-07-28: the answer is a call of its own, with our sealed state


async def question(
    client: Client, tool: str, given: dict[str, Any], **extra: Any
) -> InputRequiredResult | CallToolResult:
    answer: InputRequiredResult | CallToolResult = await client.session.call_tool(
        tool, given, allow_input_required=True, **extra
    )
    return answer


@pytest.mark.parametrize("answer", ["accept with a yes", "accept with words"])
async def test_a_form_s_yes_to_a_page_s_question_is_no_yes(
    world: World, declare: Callable[..., None], answer: str
) -> None:
    """The question at level client went to the page; the client answers as if it were a form."""
    declare(BOTH)
    first = await attached(world, "auto", Browser("cancel"), **PRODUCTION)
    declare(URL_ONLY)
    given = {"plan_id": first.plan_id}
    async with Client(with_page(world), mode="auto", elicitation_callback=Browser()) as client:
        put = await question(client, "apply_plan", given)
        assert isinstance(put, InputRequiredResult)
        reply = await question(
            client, "apply_plan", given, request_state=put.request_state,
            input_responses={"approve": ANSWERS[answer][0]},
        )  # fmt: skip
    assert isinstance(reply, CallToolResult) and read(reply).status == "awaiting_approval"
    assert await world.holders(SUPPORT_LINE) == []


async def test_a_page_s_state_cannot_be_lifted_to_another_call(
    world: World, declare: object
) -> None:
    async with Client(with_page(world), mode="auto", elicitation_callback=Browser()) as client:
        put = await question(client, "attach_numbers", PROTECTED)
        assert isinstance(put, InputRequiredResult)
        with pytest.raises(Exception, match="requestState"):
            await question(
                client, "attach_numbers", PROTECTED | {"agent": "local:night"},
                request_state=put.request_state,
                input_responses={"approve": ANSWERS["accept"][0]},
            )  # fmt: skip
    assert await world.holders(EMERGENCY) == []

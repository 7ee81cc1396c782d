"""The view of a plan in a chat: a real browser, the official Apps bridge, and the real server.

What the person does is done with mouse and keyboard; what came of it is read from the server.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect, sync_playwright
from tests.exams.chat import Chat, Street, street
from tests.web.browser import FLAGS, program
from tests.world import (
    EMERGENCY,
    SEEDS,
    SUPPORT_LINE,
    TEST_ONE,
    SeedNumber,
    World,
    Worlds,
    in_a_loop_of_its_own,
    many,
    names,
)

Chats = Callable[[World], Chat]
PRODUCTION: dict[str, Any] = {"agent": "local:support", "numbers": [SUPPORT_LINE]}
PROTECTED: dict[str, Any] = {"agent": "local:support", "numbers": [EMERGENCY]}
EVIL = "<img src=x onerror=\"parent.postMessage('pwned','*')\"><script>alert(1)</script>"
PINNED = {"pathway_id": "pathway_abc123", "pathway_version": 2, "start_node_id": "node_xyz"}


@pytest.fixture(scope="module")
def origin() -> Iterator[Street]:
    with street() as made:
        yield made


@pytest.fixture(scope="module")
def windows() -> Iterator[BrowserContext]:
    """A browser, whose windows share what they loaded."""
    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=program(), args=list(FLAGS))
        yield started.new_context()
        started.close()


@pytest.fixture
def page(windows: BrowserContext) -> Iterator[Page]:
    """A fresh window; a script that breaks in it breaks the test."""
    broken: list[str] = []
    opened = windows.new_page()
    opened.set_viewport_size({"width": 760, "height": 900})
    opened.on("pageerror", lambda error: broken.append(str(error)))
    opened.on("dialog", lambda dialog: broken.append(dialog.message))
    yield opened
    opened.close()
    assert broken == []


@pytest.fixture
def chats(origin: Street, page: Page) -> Iterator[Chats]:
    """Opens a chat before a world."""
    with contextlib.ExitStack() as stack:

        def begin(world: World) -> Chat:
            stack.enter_context(origin.serves(world))
            stack.callback(page.goto, "about:blank")  # no stream stays open
            return Chat(page, world, origin.url)

        yield begin


@pytest.fixture
def chat(make_world: Worlds, chats: Chats) -> Chat:
    """A chat before the seeds' world."""
    return chats(make_world())


def badge(chat: Chat, says: str) -> None:
    expect(chat.view.locator("#badge")).to_have_text(says)


def button(chat: Chat, name: str) -> Locator:
    return chat.view.get_by_role("button", name=name, exact=True)


def buttons(chat: Chat) -> list[str]:
    """The buttons somebody can see."""
    return [b.inner_text() for b in chat.view.get_by_role("button").all() if b.is_visible()]


def holders(world: World, number: str = SUPPORT_LINE) -> list[str]:
    found: list[str] = in_a_loop_of_its_own(world.holders, number)
    return found


def events(world: World) -> list[str]:
    found: list[str] = in_a_loop_of_its_own(world.events)
    return [event for event in found if not event.startswith("token")]


# From a plan to its outcome


def test_the_model_plans_and_the_person_applies(chat: Chat, era: str) -> None:
    chat.connect(era)
    assert "approve_in_app" not in chat.run("forModel")
    seen = chat.ask("attach_numbers", **PRODUCTION, reason="Ada asked for it")
    assert seen["structuredContent"]["status"] == "awaiting_approval"
    badge(chat, "Waiting")
    row = chat.view.get_by_role("row").nth(1)
    expect(row.get_by_role("cell")).to_have_text(
        [SUPPORT_LINE, "nobody", "local:support", "planned"]
    )
    expect(chat.view.get_by_text("client: standard policy")).to_be_visible()
    assert buttons(chat) == ["Apply", "Discard"]
    button(chat, "Apply").click()
    badge(chat, "Applied")
    assert buttons(chat) == []
    expect(chat.view.get_by_role("status")).to_contain_text("Done and read back")
    expect(row.get_by_role("cell").last).to_have_text("applied")
    route = chat.call("get_number_route", number=SUPPORT_LINE)["structuredContent"]
    assert [binding["agent"] for binding in route["inbound"]] == ["local:support"]
    [context] = chat.log("contexts", awaited=1)
    [told] = [block["text"] for block in context["content"]]
    assert "The user pressed Apply" in told and "Done and read back" in told
    assert events(chat.world) == ["planned", "approved", "applied"]


def test_what_the_person_discards_changes_nothing(chat: Chat, era: str) -> None:
    chat.connect(era)
    chat.ask("attach_numbers", **PRODUCTION)
    button(chat, "Discard").click()
    badge(chat, "Discarded")
    assert buttons(chat) == [] and holders(chat.world) == []
    [context] = chat.log("contexts", awaited=1)
    assert "The user pressed Discard" in context["content"][0]["text"]
    assert events(chat.world) == ["planned", "discarded"]


def test_the_ticket_is_for_the_view_alone(chat: Chat, era: str) -> None:
    chat.connect(era)
    seen = chat.ask("attach_numbers", **PRODUCTION)
    button(chat, "Apply").click()
    badge(chat, "Applied")
    [given] = chat.sent("approve_in_app")
    assert len(given["ticket"]) == 64
    assert given["ticket"] not in str(seen) + str(chat.log("contexts"))
    assert given["ticket"] not in chat.view.locator("html").inner_html()


def test_a_press_that_is_sent_again_answers_what_was_done(chat: Chat, era: str) -> None:
    chat.connect(era)
    chat.ask("attach_numbers", **PRODUCTION)
    button(chat, "Apply").click()
    badge(chat, "Applied")
    before = events(chat.world)
    [given] = chat.sent("approve_in_app")
    again = chat.call("approve_in_app", **given)
    assert again["structuredContent"]["status"] == "applied" and events(chat.world) == before


def test_an_old_view_of_an_applied_plan_shows_what_became_of_it(chat: Chat, era: str) -> None:
    chat.connect(era)
    chat.ask("attach_numbers", **PRODUCTION)
    chat.ask("attach_numbers", **PRODUCTION)
    first = chat.page.frame_locator("iframe").first
    button(chat, "Apply").click()
    badge(chat, "Applied")
    first.get_by_role("button", name="Apply").click()
    expect(first.locator("#badge")).to_have_text("Applied")
    assert events(chat.world).count("applied") == 1


def test_two_quick_presses_are_one(chat: Chat) -> None:
    chat.connect("auto")
    chat.ask("attach_numbers", **PRODUCTION)
    expect(button(chat, "Apply")).to_be_enabled()
    chat.run("hold")
    button(chat, "Apply").dblclick()
    expect(chat.view.get_by_role("status")).to_have_text("Applying…")
    expect(button(chat, "Apply")).to_be_disabled()
    expect(button(chat, "Discard")).to_be_disabled()
    chat.run("release")
    badge(chat, "Applied")
    assert len(chat.sent("approve_in_app")) == 1 and chat.sent("discard_plan") == []


def test_the_keyboard_is_enough(chat: Chat) -> None:
    chat.connect("auto")
    chat.ask("attach_numbers", **PRODUCTION)
    expect(button(chat, "Apply")).to_be_enabled()
    chat.page.locator("iframe").focus()
    chat.page.keyboard.press("Tab")
    expect(button(chat, "Apply")).to_be_focused()
    chat.page.keyboard.press("Enter")
    badge(chat, "Applied")
    expect(chat.view.get_by_role("heading")).to_be_focused()


def test_a_plan_for_test_numbers_has_the_button_too(chat: Chat) -> None:
    chat.connect("auto")
    seen = chat.ask("attach_numbers", agent="local:support", numbers=[TEST_ONE])
    assert seen["structuredContent"]["status"] == "confirmation_required"
    button(chat, "Apply").click()
    badge(chat, "Applied")
    assert holders(chat.world, TEST_ONE) == ["local:support"]


def test_an_undo_is_a_plan_like_any_other(chat: Chat) -> None:
    chat.connect("auto")
    chat.ask("attach_numbers", **PRODUCTION)
    button(chat, "Apply").click()
    badge(chat, "Applied")
    [given] = chat.sent("approve_in_app")
    chat.ask("undo_plan", plan_id=given["plan_id"])
    expect(chat.view.get_by_role("heading")).to_have_text("Undo a change: 1 number")
    button(chat, "Apply").click()
    badge(chat, "Applied")
    assert holders(chat.world) == []


# Plans that end otherwise


def test_a_plan_that_went_stale_is_rejected_and_says_what_moved(chat: Chat, era: str) -> None:
    chat.connect(era)
    chat.ask("attach_numbers", **PRODUCTION)
    expect(button(chat, "Apply")).to_be_enabled()

    async def move() -> None:
        await chat.world.done("attach_numbers", agent="local:night", numbers=[SUPPORT_LINE])

    in_a_loop_of_its_own(move)
    button(chat, "Apply").click()
    badge(chat, "Stale")
    expect(chat.view.get_by_role("status")).to_contain_text("local:night")
    assert buttons(chat) == [] and holders(chat.world) == ["local:night"]


def test_while_all_is_frozen_the_button_says_so_and_nothing_changes(chat: Chat) -> None:
    chat.connect("auto")
    chat.ask("attach_numbers", **PRODUCTION)
    expect(button(chat, "Apply")).to_be_enabled()

    in_a_loop_of_its_own(_freeze, chat.world)
    button(chat, "Apply").click()
    badge(chat, "Frozen")
    expect(chat.view.get_by_role("alert")).to_contain_text("Changes are frozen")
    assert holders(chat.world) == []
    [context] = chat.log("contexts", awaited=1)
    assert "FROZEN" in context["content"][0]["text"]


def test_a_plan_discarded_elsewhere_is_not_applied(chat: Chat) -> None:
    chat.connect("auto")
    seen = chat.ask("attach_numbers", **PRODUCTION)
    chat.call("discard_plan", plan_id=seen["structuredContent"]["plan_id"])
    button(chat, "Apply").click()
    badge(chat, "Discarded")
    assert holders(chat.world) == []


@pytest.mark.parametrize(
    ("tool", "given", "says"),
    [
        ("attach_numbers", PRODUCTION | {"agent": "local:nobody"}, "AGENT_NOT_FOUND"),
        ("detach_numbers", PRODUCTION, "Nothing to do"),
    ],
)
def test_an_answer_without_a_plan_is_shown_and_has_no_buttons(
    chat: Chat, tool: str, given: dict[str, Any], says: str
) -> None:
    chat.connect("auto")
    chat.ask(tool, **given)
    expect(chat.view.get_by_text(says).first).to_be_visible()
    assert buttons(chat) == []


def test_a_freeze_is_shown_as_one(chat: Chat) -> None:
    chat.connect("auto")
    chat.run("show", in_a_loop_of_its_own(_freeze, chat.world))
    badge(chat, "Frozen")
    expect(chat.view.get_by_role("status")).to_contain_text("All routing changes are frozen")
    assert buttons(chat) == []


async def _freeze(world: World) -> dict[str, Any]:
    reply = await world.call("freeze_changes", reason="drill")
    return {"content": [], "structuredContent": reply.data}


def test_a_vanished_answer_is_looked_up_before_anybody_presses_again(chat: Chat) -> None:
    chat.connect("auto", loses="approve_in_app")
    chat.ask("attach_numbers", **PRODUCTION)
    button(chat, "Apply").click()
    expect(chat.view.get_by_role("alert")).to_contain_text("not known whether this went through")
    badge(chat, "Waiting")
    chat.run("set", {"loses": ""})
    button(chat, "Apply").click()
    badge(chat, "Applied")


@pytest.mark.parametrize("status", ["applying", "unknown", "approved"])
def test_what_is_under_way_is_looked_at_again_until_it_ended(chat: Chat, status: str) -> None:
    chat.connect("auto")
    plan: dict[str, Any] = chat.call("attach_numbers", **PRODUCTION)
    plan_id, ticket = plan["structuredContent"]["plan_id"], plan["_meta"]["cordboard/ticket"]
    chat.call("approve_in_app", plan_id=plan_id, ticket=ticket)
    chat.page.clock.install()
    under_way = plan["structuredContent"] | {"status": status, "approve": {"how": ""}}
    chat.run("show", {"content": [], "structuredContent": under_way})
    expect(chat.view.locator("#badge")).not_to_have_text("Applied")
    assert buttons(chat) == [] and chat.sent("get_plan") == []
    chat.page.clock.run_for(2100)
    badge(chat, "Applied")
    assert len(chat.sent("get_plan")) == 1


# Where a person must approve outside the chat


def test_where_an_approver_is_needed_there_is_a_link_and_no_apply(chat: Chat, era: str) -> None:
    chat.connect(era)
    seen = chat.ask("attach_numbers", **PROTECTED)["structuredContent"]
    badge(chat, "Waiting")
    expect(chat.view.get_by_role("status")).to_contain_text("An approver must decide")
    assert buttons(chat) == ["Open the approvals page", "Discard", "Check again"]
    expect(chat.view.get_by_text(seen["approve"]["url"]).first).to_be_visible()
    expect(chat.view.get_by_text(seen["approve"]["command"])).to_be_visible()
    button(chat, "Open the approvals page").click()
    expect(button(chat, "Check again")).to_be_enabled()
    assert chat.log("links", awaited=1) == [seen["approve"]["url"]]
    in_a_loop_of_its_own(_approve, chat.world, seen["plan_id"])
    button(chat, "Check again").click()
    badge(chat, "Applied")
    expect(chat.view.get_by_text("by ada, at level person")).to_be_visible()
    assert chat.sent("approve_in_app") == []


async def _approve(world: World, plan_id: str) -> None:
    desk = world.app.service.approvals
    approver = await desk.approvers.enrol("ada", "a long passphrase", "ada", None)
    await desk.approve(await desk.find(plan_id), approver)


def test_a_page_the_host_does_not_open_is_left_to_copy(chat: Chat) -> None:
    chat.connect("auto", refusesLinks=True)
    chat.ask("attach_numbers", **PROTECTED)
    button(chat, "Open the approvals page").click()
    expect(chat.view.get_by_role("alert")).to_contain_text("copy its address")


def test_a_host_that_opens_no_links_shows_the_address(chat: Chat) -> None:
    chat.connect("auto", capabilities={"serverTools": {}})
    seen = chat.ask("attach_numbers", **PROTECTED)["structuredContent"]
    expect(chat.view.get_by_text(seen["approve"]["url"]).first).to_be_visible()
    assert buttons(chat) == ["Discard", "Check again"]


# Hosts that can do less


def test_a_host_that_calls_no_tools_shows_the_plan_without_buttons(chat: Chat, era: str) -> None:
    chat.connect(era, capabilities={})
    seen = chat.ask("attach_numbers", **PRODUCTION)["structuredContent"]
    badge(chat, "Waiting")
    expect(chat.view.get_by_text(seen["approve"]["command"])).to_be_visible()
    assert buttons(chat) == [] and chat.sent("get_plan") == []


def test_a_host_that_drops_the_ticket_once_is_asked_for_the_plan_again(chat: Chat) -> None:
    chat.connect("auto", strips=True)
    chat.ask("attach_numbers", **PRODUCTION)
    button(chat, "Apply").click()
    badge(chat, "Applied")
    assert len(chat.sent("get_plan")) == 1


def test_a_host_that_passes_on_only_the_text_shows_the_plan_all_the_same(chat: Chat) -> None:
    chat.connect("auto")
    result = chat.call("attach_numbers", **PRODUCTION)
    chat.run("show", {"content": result["content"], "_meta": result["_meta"]})
    button(chat, "Apply").click()
    badge(chat, "Applied")


def test_a_cancelled_call_says_so(chat: Chat) -> None:
    chat.connect("auto")
    chat.run("show", None)
    expect(chat.view.get_by_role("status")).to_have_text("Working on it…")
    chat.page.evaluate("chat.tell('ui/notifications/tool-cancelled', {reason: '<b>timeout</b>'})")
    expect(chat.view.get_by_role("alert")).to_contain_text("cancelled (<b>timeout</b>)")


def test_after_teardown_the_view_is_silent(chat: Chat) -> None:
    chat.connect("auto")
    seen = chat.ask("attach_numbers", **PRODUCTION)["structuredContent"]
    badge(chat, "Waiting")
    assert chat.run("teardown") == {}
    button(chat, "Apply").click()
    chat.page.evaluate(
        "plan => chat.tell('ui/notifications/tool-result', {content: [], structuredContent: plan})",
        seen | {"status": "applied"},
    )
    badge(chat, "Waiting")
    assert chat.sent("approve_in_app") == []


def test_only_the_host_is_listened_to(chat: Chat) -> None:
    """Another frame of the page sends the view what looks like its host's word."""
    chat.connect("auto")
    chat.ask("attach_numbers", **PRODUCTION)
    badge(chat, "Waiting")
    said = {"jsonrpc": "2.0", "method": "ui/notifications/tool-result",
            "params": {"content": [], "structuredContent": {"status": "applied"}}}  # fmt: skip
    chat.page.evaluate(
        """async (said) => {
            const frame = document.createElement("iframe");
            document.body.append(frame);
            const view = document.querySelector("iframe").contentWindow;
            frame.contentWindow.eval(`(view, said) => view.postMessage(said, "*")`)(view, said);
            frame.remove();
        }""",
        said,
    )
    chat.run("dress", {"theme": "dark"})  # what the host says after it arrives after it
    expect(chat.view.locator("html")).to_have_css("color-scheme", "dark")
    badge(chat, "Waiting")


# What it looks like


def test_theme_and_colours_are_the_host_s(chat: Chat) -> None:
    variables = {"--color-background-primary": "rgb(1, 2, 3)", "color": "red", "--x": 5}
    chat.connect("auto", context={"theme": "dark", "styles": {"variables": variables}})
    chat.ask("attach_numbers", **PRODUCTION)
    badge(chat, "Waiting")
    expect(chat.view.locator("html")).to_have_css("color-scheme", "dark")
    expect(chat.view.locator("body")).to_have_css("background-color", "rgb(1, 2, 3)")
    chat.run("dress", {"theme": "light"})
    expect(chat.view.locator("html")).to_have_css("color-scheme", "light")


def test_times_are_in_the_words_and_the_zone_of_the_host(chat: Chat) -> None:
    chat.connect("auto", context={"locale": "en-GB", "timeZone": "Asia/Kolkata"})
    chat.ask("attach_numbers", **PRODUCTION)
    expect(chat.view.get_by_text("31 Jan 2026, 15:30")).to_be_visible()
    chat.run("dress", {"locale": "no such", "timeZone": "Nowhere"})
    expect(chat.view.get_by_text("2026").first).to_be_visible()


@pytest.mark.parametrize("width", [320, 375, 760])
def test_it_fits_and_tells_its_height(chat: Chat, width: int) -> None:
    chat.page.set_viewport_size({"width": width, "height": 800})
    chat.connect("auto")
    chat.ask("attach_numbers", agent="local:support", numbers=[SUPPORT_LINE, EMERGENCY])
    badge(chat, "Waiting")
    body = chat.view.locator("body")
    assert body.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
    expect(button(chat, "Discard")).to_be_visible()
    height = body.evaluate("() => document.documentElement.getBoundingClientRect().height")
    chat.page.wait_for_function("height => chat.log.sizes.at(-1) === height", arg=round(height))


def test_of_a_large_plan_the_first_are_shown_and_the_rest_is_counted(
    make_world: Worlds, chats: Chats
) -> None:
    numbers = many(60)
    chat = chats(make_world(SEEDS.but(numbers=numbers)))
    chat.connect("auto")
    chat.ask("attach_numbers", agent="local:support", numbers=names(numbers))
    expect(chat.view.get_by_role("heading")).to_have_text("Attach numbers: 60 numbers")
    expect(chat.view.get_by_role("row")).to_have_count(26)
    expect(chat.view.get_by_text("25 of 60 are shown")).to_be_visible()


def test_a_pathway_is_shown_before_and_after(make_world: Worlds, chats: Chats) -> None:
    seed = SEEDS.bound("local:support", SUPPORT_LINE, pathway_id="pathway_sales")
    chat = chats(make_world(seed))
    chat.connect("auto")
    chat.ask("set_number_pathway", **PRODUCTION, **PINNED)
    cells = chat.view.get_by_role("row").nth(1).get_by_role("cell")
    expect(cells.nth(1)).to_contain_text("pathway pathway_sales, newest version")
    expect(cells.nth(2)).to_contain_text("pathway pathway_abc123, version 2, from node node_xyz")


# Text from outside stays text


def test_hostile_words_of_the_server_s_own_data_stay_text(make_world: Worlds, chats: Chats) -> None:
    number = SeedNumber(SUPPORT_LINE, label=EVIL, tags=(EVIL[:40],))
    chat = chats(make_world(SEEDS.but(numbers=(number,))))
    chat.connect("auto")
    chat.ask("attach_numbers", **PRODUCTION, reason=EVIL)
    badge(chat, "Waiting")
    assert chat.view.locator("img").count() == 0 and chat.view.locator("script").count() == 1
    button(chat, "Apply").click()
    badge(chat, "Applied")


def test_hostile_words_in_every_field_stay_text(chat: Chat) -> None:
    """A server that strips nothing: the view alone must hold."""
    chat.connect("auto")
    side = {"direction": EVIL, "agent": EVIL, "pathway_id": EVIL, "pathway_version": EVIL,
            "start_node_id": EVIL}  # fmt: skip
    change = {"number": EVIL, "direction": "outbound", "before": side, "after": side,
              "outcome": '"><img src=x>', "detail": EVIL}  # fmt: skip
    plan = {
        "status": "awaiting_approval", "message": EVIL, "plan_id": EVIL, "action": EVIL,
        "changes": [change], "counts": {"planned": EVIL, EVIL: 1}, "warnings": [EVIL, {}],
        "guard": {"required": "person", "used": EVIL, "by": EVIL, "why": EVIL},
        "approve": {"how": EVIL, "url": "javascript:alert(1)", "command": EVIL, "expires_at": EVIL},
    }  # fmt: skip
    chat.run("show", {"content": [], "structuredContent": plan, "_meta": {"cordboard/ticket": {}}})
    badge(chat, "Waiting")
    assert chat.view.locator("img").count() == 0 and chat.view.locator("script").count() == 1
    expect(chat.view.get_by_text(EVIL).first).to_be_visible()
    assert "Open the approvals page" not in buttons(chat)  # no link that runs a script


@pytest.mark.parametrize(
    "result",
    [
        {"content": []},
        {"content": [{"type": "text", "text": "{"}]},
        {"content": [], "structuredContent": {"status": "constructor"}},
        {"content": [], "structuredContent": {"status": "applied", "changes": 5, "guard": []}},
        {"content": [{"type": "text", "text": EVIL}], "isError": True},
        {"content": [], "structuredContent": {"status": "awaiting_approval", "approve": "x",
                                              "changes": [None, 7, {"before": []}]}},
    ],
)  # fmt: skip
def test_a_malformed_result_breaks_nothing(chat: Chat, result: dict[str, Any]) -> None:
    chat.connect("auto")
    chat.run("show", result)
    said = chat.view.locator("#problem:visible, #badge:visible")
    expect(said.first).to_be_visible()
    assert chat.view.locator("img").count() == 0
    chat.ask("attach_numbers", **PRODUCTION)
    badge(chat, "Waiting")

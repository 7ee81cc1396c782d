"""The approvals page in a real browser: read, decided and followed, without JavaScript.

With CORDBOARD_SHOTS set to a folder, every page that is looked at is kept there as a picture.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import pytest
from axe_playwright_python.async_playwright import Axe  # type: ignore[import-untyped]
from playwright.async_api import BrowserContext, Page, expect
from tests.platforms import vendors as at
from tests.web.browser import chromium, listening
from tests.web.pages import PASSPHRASE, Gate, Office
from tests.world import (
    EMERGENCY,
    INDIA,
    NUMBERS,
    PROTECTED,
    SECOND_LINE,
    SEEDS,
    SUPPORT_LINE,
    TEST_ONE,
    Clock,
    SeedNumber,
    World,
    Worlds,
    many,
    names,
)

pytestmark = pytest.mark.anyio
DESK: Mapping[str, Any] = {"viewport": {"width": 1280, "height": 900}}
PHONE: Mapping[str, Any] = {
    "viewport": {"width": 375, "height": 740},
    "device_scale_factor": 2,
    "is_mobile": True,
    "has_touch": True,
}
DARK: Mapping[str, Any] = {"color_scheme": "dark"}
SHOTS = os.environ.get("CORDBOARD_SHOTS", "")


@dataclass
class Person:
    """Somebody before a browser window. `asked`: every address their browser asked for."""

    url: str
    page: Page
    context: BrowserContext
    asked: list[str] = field(default_factory=list[str])
    said: list[str] = field(default_factory=list[str])

    async def goes_to(self, path: str) -> None:
        await self.page.goto(f"{self.url}/approvals{path}")

    async def signs_in(self, path: str = "") -> None:
        """Ask for a page, and sign in on the way."""
        await self.goes_to(path)
        await self.page.get_by_label("Approver name").fill("ada")
        await self.page.get_by_label("Passphrase").fill(PASSPHRASE)
        await self.page.get_by_role("button", name="Sign in").click()
        await expect(self.page.get_by_text("Signed in as ada")).to_be_visible()

    async def approves(self) -> None:
        await self.page.get_by_label("Passphrase of ada").fill(PASSPHRASE)
        await self.page.get_by_role("button", name="Approve and apply").click()

    async def looks(self, name: str) -> None:
        """Keep a picture, where pictures are wanted."""
        if SHOTS:
            await self.page.screenshot(path=Path(SHOTS) / f"{name}.png", full_page=True)


@asynccontextmanager
async def before(world: World, **window: Any) -> AsyncIterator[tuple[Office, Person]]:
    """A served world with `ada` enrolled, and a window on it, JavaScript off. At the end: nothing
    was asked of anybody else, and the browser complained of nothing."""
    here = Office(world, None)
    await here.enrol_ada()
    async with listening(world) as url, chromium(world.home) as browser:
        options = {**DESK, "java_script_enabled": False, **window}
        async with await browser.new_context(**options) as context:
            context.set_default_timeout(20_000)
            person = Person(url, await context.new_page(), context)
            context.on("request", lambda request: person.asked.append(request.url))
            context.on("console", lambda message: person.said.append(message.text))
            yield here, person
            assert [one for one in person.asked if not one.startswith(f"{url}/approvals")] == []
            told = [one for one in person.said if "status of 40" not in one]
            assert told == []  # a violation of our own policy for content would stand here


async def test_a_person_signs_in_reads_approves_and_sees_it_applied(make_world: Worlds) -> None:
    world = make_world(policy="strict")
    async with before(world) as (here, person):
        plan_id = await here.asked(
            "attach", "local:support", SUPPORT_LINE, PROTECTED, reason="Monday's new desk"
        )
        await person.signs_in(f"/{plan_id}")
        page = person.page
        await expect(page.get_by_role("heading", level=1)).to_have_text(
            "Attach 2 numbers to local:support"
        )
        row = page.get_by_role("row", name=SUPPORT_LINE)
        await expect(row.get_by_role("cell")).to_have_text(["Nownobody", "Afterlocal:support"])
        await expect(page.get_by_role("blockquote")).to_contain_text('"Monday\'s new desk"')
        await person.looks("plan")
        await page.get_by_label("Passphrase of ada").fill("not it")
        await page.get_by_role("button", name="Approve and apply").click()
        await expect(page.get_by_role("alert")).to_contain_text("not the passphrase of ada")
        assert await world.holders(SUPPORT_LINE) == []
        await person.approves()
        await expect(page).to_have_url(f"{person.url}/approvals/{plan_id}")
        await expect(page.get_by_text("Done: 2 numbers, all read back.")).to_be_visible()
        await expect(row.get_by_role("cell").last).to_have_text("Done")
        await person.looks("applied")
        await page.reload()
        await expect(page.get_by_role("button", name="Approve and apply")).to_have_count(0)
        assert await world.holders(SUPPORT_LINE) == ["local:support"]


async def test_a_person_declines_with_a_remark(make_world: Worlds) -> None:
    world = make_world(policy="strict")
    async with before(world) as (here, person):
        plan_id = await here.asked("attach", "local:support", SUPPORT_LINE)
        await person.signs_in()
        await person.page.get_by_role("link", name="Attach 1 number to local:support").click()
        await person.page.get_by_label("Remark").fill("Not before Monday")
        await person.page.get_by_role("button", name="Decline").click()
        await expect(person.page.get_by_text("Declined by ada. Nothing")).to_be_visible()
        await expect(person.page.get_by_text('"Not before Monday"')).to_be_visible()
        assert await here.state(plan_id) == "declined" and await world.holders(SUPPORT_LINE) == []


async def test_a_page_left_open_follows_a_slow_vendor_by_itself(make_world: Worlds) -> None:
    clock = Clock()
    theirs = at.vendors(clock)
    gate = Gate(theirs.wires["bland"])
    world = make_world(
        policy="strict",
        clock=clock,
        outside={**theirs.outside, "transports": {"bland": gate}},
        BLAND_API_KEY=theirs.bland.key,
    )
    async with before(world) as (here, person):
        plan_id = await here.asked("attach", f"bland:{at.SUPPORT}", at.B_FREE, at.B_FREE_TOO)
        await person.signs_in(f"/{plan_id}")
        await person.approves()
        status = person.page.get_by_role("heading", level=2).first
        await expect(status).to_have_text("Being applied")
        await person.looks("under-way")
        with anyio.fail_after(20):
            await gate.arrived.wait()
        gate.open.set()
        await expect(status).to_have_text("Applied", timeout=20_000)
        assert person.asked.count(f"{person.url}/approvals/{plan_id}") >= 2
        await person.looks("followed")


async def test_a_link_in_a_chat_finds_the_session_that_is_there(make_world: Worlds) -> None:
    async with before(make_world(policy="strict")) as (here, person):
        plan_id = await here.asked("attach", "local:support", SUPPORT_LINE)
        await person.signs_in()
        chat = "https://chat.example/"
        link = f'<a href="{person.url}/approvals/{plan_id}">the plan</a>'
        await person.context.route(
            f"{chat}**", lambda route: route.fulfill(body=link, content_type="text/html")
        )
        await person.page.goto(chat)
        await person.page.get_by_role("link").click()
        await expect(person.page.get_by_role("heading", level=1)).to_have_text(
            "Attach 1 number to local:support"
        )
        await expect(person.page.get_by_text("Signed in as ada")).to_be_visible()
        assert f"{person.url}/approvals/{plan_id}?arrived=1" in person.asked
        person.asked = [one for one in person.asked if not one.startswith(chat)]


async def test_all_of_it_works_from_the_keyboard(make_world: Worlds) -> None:
    async with before(make_world(policy="strict")) as (here, person):
        plan_id = await here.asked("attach", "local:support", SUPPORT_LINE)
        keys, page = person.page.keyboard, person.page
        await person.goes_to(f"/{plan_id}")
        await keys.type("ada")  # the first field has the focus
        await keys.press("Tab")
        await keys.type(PASSPHRASE)
        await keys.press("Enter")
        await expect(page.get_by_text("Signed in as ada")).to_be_visible()
        await keys.press("Tab")
        await expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
        passphrase = page.get_by_label("Passphrase of ada")
        for _ in range(12):
            if await passphrase.evaluate("field => field === document.activeElement"):
                break
            await keys.press("Tab")
        outline = await passphrase.evaluate("field => getComputedStyle(field).outlineWidth")
        assert outline == "3px"
        await keys.type(PASSPHRASE)
        await keys.press("Enter")
        await expect(page.get_by_text("Done: 1 number, read back.")).to_be_visible()


LONG = "W" * 190
WIDE = SeedNumber("+13035550100", label=LONG, tags=("emergency_callback", LONG), slug="wide")


async def several(here: Office) -> dict[str, str]:
    """Plans of several kinds, and the paths of pages that show them."""
    long = names(many(120))
    wide = await here.asked("attach", "local:night", WIDE.number, PROTECTED, by=LONG, reason=LONG)
    applied = await here.asked("attach", "local:support", SECOND_LINE, EMERGENCY)
    declined = await here.asked("attach", "local:support", INDIA)
    large = await here.asked("attach", "local:support", SUPPORT_LINE, TEST_ONE, *long)
    approvals = here.world.app.service.approvals
    ada = await approvals.approvers.verify("ada", PASSPHRASE)
    await approvals.approve(await approvals.find(applied), ada)
    await approvals.reject(await approvals.find(declined), "ada", LONG)
    return {
        "list": "",
        "found": "?q=local",
        "settled": "?show=settled",
        "wide": f"/{wide}",
        "applied-two": f"/{applied}",
        "declined": f"/{declined}",
        "large": f"/{large}",
        "searched": f"/{large}?q=support",
        "missing": "/plan_0123456789abcdef01234567",
    }


@pytest.mark.parametrize(("name", "window"), [("desk", DESK), ("phone", {**PHONE, **DARK})])
async def test_every_page_fits_its_window_and_is_fit_for_everybody(
    make_world: Worlds, name: str, window: Mapping[str, Any]
) -> None:
    seed = SEEDS.but(numbers=(*NUMBERS, *many(120, label="Depot"), WIDE))
    window = {**window, "java_script_enabled": True}  # axe-core is some
    async with before(make_world(seed, policy="strict"), **window) as (here, person):
        pages = await several(here)
        await person.goes_to("")
        await _is_fit(person, f"{name}-sign-in")
        await person.signs_in()
        for told, path in pages.items():
            await person.goes_to(path)
            await _is_fit(person, f"{name}-{told}")


async def _is_fit(person: Person, name: str) -> None:
    """No scrolling sideways, and nothing that axe-core finds wrong: contrast, labels, landmarks."""
    await person.looks(name)
    wide, window = await person.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert wide <= window, name
    found = await Axe().run(person.page)
    assert found.violations_count == 0, f"{name}: {found.generate_report()}"

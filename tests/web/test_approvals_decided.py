"""The approvals page, decided on: yes with the passphrase, no with a session, and exactly once."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, closing
from functools import partial
from pathlib import Path

import anyio
import httpx
import pytest
from tests.platforms import vendors as at
from tests.platforms.wire import Fault
from tests.web.pages import (
    OTHER_PASSPHRASE,
    PASSPHRASE,
    UNKNOWN_PLAN,
    Form,
    Gate,
    Office,
    Page,
    Visitor,
    office,
)
from tests.world import (
    INDIA,
    NUMBERS,
    SECOND_LINE,
    SEEDS,
    SUPPORT_LINE,
    TEST_ONE,
    Clock,
    Worlds,
    many,
    names,
)

from cordboard import journal

pytestmark = pytest.mark.anyio


@pytest.fixture
async def here(make_world: Worlds) -> AsyncIterator[Office]:
    """A served world in which every change needs a person, and `ada` is enrolled."""
    async with office(make_world(policy="strict")) as made:
        yield made


async def form_of(visitor: Visitor, plan_id: str, ending: str = "/approve") -> Form:
    """A form of a plan's page."""
    form = (await visitor.open(f"/approvals/{plan_id}")).form(ending)
    assert form is not None
    return form


# --- yes ----------------------------------------------------------------------------------------


async def test_approving_applies_it_and_the_page_shows_what_became_of_each_number(
    here: Office,
) -> None:
    plan_id = await here.asked("attach", "local:support", SUPPORT_LINE, SECOND_LINE)
    async with here.approver() as visitor:
        form = await form_of(visitor, plan_id)
        answer = await visitor.post(form, passphrase=PASSPHRASE)
        assert answer.status_code == 303
        assert answer.headers["location"] == f"/approvals/{plan_id}"
        page = await visitor.open(f"/approvals/{plan_id}")
        assert "Done: 2 numbers, all read back." in page.text
        assert "Approved by ada, with their passphrase." in page.text
        assert page.rows[0][-1] == "What became of it"
        assert [row[-1] for row in page.rows[1:]] == ["Done", "Done"]
        assert f"Ask the assistant to undo plan {plan_id}" in page.text
        assert page.form("/approve") is None and page.form("/decline") is None
        assert page.refresh == ""
        for number in (SUPPORT_LINE, SECOND_LINE):
            assert await here.world.holders(number) == ["local:support"]
        assert (await here.world.events())[-2:] == ["approved", "applied"]


async def test_a_plan_that_was_undone_says_by_which_and_that_one_what_it_undid(
    here: Office,
) -> None:
    plan_id = await here.asked("attach", "local:support", SUPPORT_LINE)
    async with here.approver() as visitor:
        await visitor.approve(plan_id)
        undo = (await here.world.call("undo_plan", plan_id=plan_id)).plan_id
        page = await visitor.open(f"/approvals/{undo}")
        assert f"Undo {plan_id}: change 1 number back" in page.text
        assert page.links[plan_id] == f"/approvals/{plan_id}"
        await visitor.approve(undo)
        page = await visitor.open(f"/approvals/{plan_id}")
        assert page.links[f"plan {undo}"] == f"/approvals/{undo}" and "How to undo" not in page.text
        assert await here.world.holders(SUPPORT_LINE) == []


async def test_a_session_alone_approves_nothing(here: Office) -> None:
    plan_id = await here.asked("attach", "local:support", SUPPORT_LINE)
    typed: tuple[dict[str, str], ...] = (
        {},
        {"passphrase": ""},
        {"passphrase": PASSPHRASE.upper()},
    )
    async with here.approver() as visitor:
        form = await form_of(visitor, plan_id)
        for more in typed:
            page = Page(await visitor.post(form, **more))
            assert page.status == 403 and "That is not the passphrase of ada." in page.text
            assert page.form("/approve") is not None and "Nothing was changed." in page.text
        assert await here.state(plan_id) == "open"
        assert (await here.world.events()).count("passphrase_tried") == 1 + 3
        assert "approved" not in await here.world.events()


async def test_the_fourth_wrong_passphrase_has_to_wait_and_so_has_the_right_one_then(
    here: Office,
) -> None:
    plan_id = await here.asked("attach", "local:support", SUPPORT_LINE)
    async with here.approver() as visitor:
        form = await form_of(visitor, plan_id)
        statuses = [
            (await visitor.post(form, passphrase=f"wrong {n}")).status_code for n in range(4)
        ]
        assert statuses == [403, 403, 403, 429]
        refused = await visitor.post(form, passphrase=PASSPHRASE)
        assert refused.status_code == 429 and await here.state(plan_id) == "open"
        here.world.clock.advance(int(refused.headers["retry-after"]))
        assert (await visitor.post(form, passphrase=PASSPHRASE)).status_code == 303
        assert await here.state(plan_id) == "applied"
        events = await here.world.events()
        assert events.count("passphrase_tried") == 1 + 3 + 1


async def test_the_approver_is_the_one_of_the_session_whatever_the_form_says(
    here: Office,
) -> None:
    await here.enrol("grace", OTHER_PASSPHRASE)
    plan_id = await here.asked("attach", "local:support", SUPPORT_LINE)
    async with here.approver("grace", OTHER_PASSPHRASE) as visitor:
        form = await form_of(visitor, plan_id)
        forged = await visitor.post(form, passphrase=PASSPHRASE, name="ada", approver="ada")
        assert forged.status_code == 403 and await here.state(plan_id) == "open"
        await visitor.post(form, passphrase=OTHER_PASSPHRASE, name="ada", approver="ada")
        record = await here.world.app.service.approvals.find(plan_id)
        assert (record.state, record.closed_by, record.used) == ("applied", "grace", "person")


async def test_an_approver_removed_since_the_page_was_read_approves_nothing(
    here: Office,
) -> None:
    await here.enrol("grace", OTHER_PASSPHRASE)
    approvers = here.world.app.service.approvals.approvers
    plan_id = await here.asked("attach", "local:support", SUPPORT_LINE)
    async with here.approver("grace", OTHER_PASSPHRASE) as visitor:
        form = await form_of(visitor, plan_id)
        await approvers.remove("grace", await approvers.verify("ada", PASSPHRASE))
        answer = await visitor.post(form, passphrase=OTHER_PASSPHRASE)
        assert answer.status_code == 303 and "/sign-in" in answer.headers["location"]
        assert await here.state(plan_id) == "open"


async def test_sending_the_form_twice_applies_once_and_shows_the_same(here: Office) -> None:
    plan_id = await here.asked("attach", "local:support", SUPPORT_LINE)
    async with here.approver() as visitor:
        form = await form_of(visitor, plan_id)
        first = await visitor.post(form, passphrase=PASSPHRASE)
        seq = await here.world.seq()
        again = await visitor.post(form, passphrase=PASSPHRASE)
        assert (first.status_code, first.headers["location"]) == (
            again.status_code,
            again.headers["location"],
        )
        assert await here.world.seq() == seq


# --- no -----------------------------------------------------------------------------------------


async def test_declining_needs_no_passphrase_and_keeps_the_remark(here: Office) -> None:
    plan_id = await here.asked("attach", "local:support", SUPPORT_LINE)
    async with here.approver() as visitor:
        page = await visitor.decline(plan_id, 'Not before "Monday"')
        assert page.answer.url.path == f"/approvals/{plan_id}"
        assert "Declined by ada. Nothing was changed." in page.text
        assert "\"Not before 'Monday'\"" in page.text
        record = await here.world.app.service.approvals.find(plan_id)
        assert (record.state, record.closed_by, record.closed_why) == (
            "declined",
            "ada",
            'Not before "Monday"',
        )
        assert (await here.world.events())[-1] == "declined"
        assert await here.world.holders(SUPPORT_LINE) == []


async def test_a_remark_that_is_too_long_is_refused_and_the_plan_still_waits(
    here: Office,
) -> None:
    plan_id = await here.asked("attach", "local:support", SUPPORT_LINE)
    async with here.approver() as visitor:
        page = await visitor.decline(plan_id, "x" * 501)
        assert page.status == 400 and "at most 500 characters" in page.text
        assert await here.state(plan_id) == "open"


# --- forms that are not from this session ---------------------------------------------------------


@pytest.mark.parametrize("ending", ["/approve", "/decline"])
async def test_a_form_without_the_token_of_this_session_does_nothing(
    here: Office, ending: str
) -> None:
    plan_id = await here.asked("attach", "local:support", SUPPORT_LINE)
    async with here.approver() as visitor, here.approver() as other, here.visitor() as stranger:
        form = await form_of(visitor, plan_id, ending)
        sign_in = (await stranger.open("/approvals")).form("/sign-in")
        assert sign_in is not None
        of_other = (await form_of(other, plan_id, ending)).fields["token"]
        tokens = ("", of_other, sign_in.fields["token"], "\u00e9\u202e" * 40, "A" * 43)
        bare = {name: value for name, value in form.fields.items() if name != "token"}
        before = await here.world.seq()
        for fields in (bare, *({**bare, "token": token} for token in tokens)):
            forged = Form("post", form.action, fields)
            page = Page(await visitor.post(forged, passphrase=PASSPHRASE))
            assert page.status == 403 and "not made for your session" in page.text
        assert (await here.state(plan_id), await here.world.seq()) == ("open", before)


@pytest.mark.parametrize("ending", ["/approve", "/decline"])
async def test_without_a_session_a_form_leads_to_signing_in_and_does_nothing(
    here: Office, ending: str
) -> None:
    plan_id = await here.asked("attach", "local:support", SUPPORT_LINE)
    async with here.approver() as visitor, here.visitor() as stranger:
        form = await form_of(visitor, plan_id, ending)
        before = await here.world.seq()
        answer = await stranger.post(form, passphrase=PASSPHRASE)
        assert answer.status_code == 303
        assert answer.headers["location"] == f"/approvals/sign-in?next=%2Fapprovals%2F{plan_id}"
        assert (await here.state(plan_id), await here.world.seq()) == ("open", before)


async def test_a_form_sent_by_another_site_is_stopped(here: Office) -> None:
    plan_id = await here.asked("attach", "local:support", SUPPORT_LINE)
    async with here.approver() as visitor:
        form = await form_of(visitor, plan_id)
        for origin in ("https://evil.example", "null"):
            answer = await visitor.http.post(
                form.action,
                data={**form.fields, "passphrase": PASSPHRASE},
                headers={"origin": origin},
            )
            assert answer.status_code == 403, origin
        assert await here.state(plan_id) == "open"


FORM = "application/x-www-form-urlencoded"
NO_FORMS = (
    (b"passphrase=" + b"x" * 20_000, FORM, 413),
    (b"x" * 2_000_000, FORM, 413),
    (b'{"passphrase": "x"}', "application/json", 415),
    (b"", "", 415),
    (b"token=\xff", FORM, 400),
    (b"token=%ff%fe", FORM, 400),
    (b"token=a&token=b", FORM, 400),
    (b"token=a%00b", FORM, 400),
    (b"&".join(b"a%d=1" % n for n in range(50)), FORM, 400),
)


async def test_a_form_that_is_too_large_or_no_form_is_refused(here: Office) -> None:
    plan_id = await here.asked("attach", "local:support", SUPPORT_LINE)
    async with here.approver() as visitor:
        before = await here.world.seq()
        for content, kind, status in NO_FORMS:
            headers = {"content-type": kind} if kind else {}
            for path in (f"{plan_id}/approve", f"{plan_id}/decline", "sign-in", "sign-out"):
                answer = await visitor.http.post(
                    f"/approvals/{path}", content=content, headers=headers
                )
                assert answer.status_code == status, (path, content[:30])
                assert "Traceback" not in answer.text and len(answer.text) < 3000
        assert await here.world.seq() == before


async def test_deciding_a_plan_that_is_not_there_is_not_found(here: Office) -> None:
    plan_id = await here.asked("attach", "local:support", SUPPORT_LINE)
    async with here.approver() as visitor:
        form = await form_of(visitor, plan_id)
        for ending in ("approve", "decline"):
            form.action = f"/approvals/{UNKNOWN_PLAN}/{ending}"
            assert (await visitor.post(form, passphrase=PASSPHRASE)).status_code == 404


# --- refusals -------------------------------------------------------------------------------------


async def test_a_plan_that_moved_is_refused_closed_and_told_which_number_and_how(
    here: Office,
) -> None:
    plan_id = await here.asked("attach", "local:support", SUPPORT_LINE)
    async with here.approver() as visitor:
        form = await form_of(visitor, plan_id)
        await here.world.done("attach_numbers", agent="local:night", numbers=[SUPPORT_LINE])
        page = Page(await visitor.post(form, passphrase=PASSPHRASE))
        assert page.status == 409 and "The routing moved after this plan was made" in page.text
        assert f"{SUPPORT_LINE} (inbound): agent was nobody, is now local:night" in page.text
        assert await here.state(plan_id) == "stale"
        assert await here.world.holders(SUPPORT_LINE) == ["local:night"]
        assert Page(await visitor.post(form, passphrase=PASSPHRASE)).status == 409


async def test_a_plan_that_expired_is_refused(here: Office) -> None:
    plan_id = await here.asked("attach", "local:support", SUPPORT_LINE)
    here.world.clock.advance(24 * 3600 - 1)
    async with here.approver() as visitor:
        forms = [await form_of(visitor, plan_id, ending) for ending in ("/approve", "/decline")]
        here.world.clock.advance(1)
        for form in forms:
            page = Page(await visitor.post(form, passphrase=PASSPHRASE))
            assert page.status == 409 and "It expired on 1 Feb 2026, 09:30 UTC" in page.text
        assert await here.world.holders(SUPPORT_LINE) == []


async def test_while_changes_are_frozen_nothing_is_approved_and_no_is_still_possible(
    here: Office,
) -> None:
    plan_id = await here.asked("attach", "local:support", SUPPORT_LINE)
    async with here.approver() as visitor:
        form = await form_of(visitor, plan_id)
        await here.world.call("freeze_changes", reason="odd calls <b>")
        page = Page(await visitor.post(form, passphrase=PASSPHRASE))
        assert page.status == 403 and "Changes are frozen since" in page.text
        page = await visitor.open(f"/approvals/{plan_id}")
        assert page.status == 200 and page.form("/approve") is None
        assert "You cannot approve this." in page.text and "odd calls <b>" in page.text
        assert "cordboard unfreeze" in page.text
        assert "Declined by ada" in (await visitor.decline(plan_id)).text


@pytest.fixture
def four_eyes(tmp_path: Path) -> str:
    file = tmp_path / "policy.toml"
    file.write_text("extends = 'strict'\nfour_eyes = true\n", "utf-8")
    return str(file)


@pytest.mark.parametrize("asker", ["ada", "ADA", "grace-at-the-terminal", "grace@example.org"])
async def test_four_eyes_compares_people_under_every_name_they_go_by(
    make_world: Worlds, four_eyes: str, asker: str
) -> None:
    async with office(make_world(policy=four_eyes)) as here:
        approvers = here.world.app.service.approvals.approvers
        await approvers.enrol(
            "grace",
            OTHER_PASSPHRASE,
            "grace-at-the-terminal",
            await approvers.verify("ada", PASSPHRASE),
            ["grace@example.org"],
        )
        plan_id = await here.asked("attach", "local:support", SUPPORT_LINE, by=asker)
        same = ("ada", PASSPHRASE) if asker.lower() == "ada" else ("grace", OTHER_PASSPHRASE)
        other = ("grace", OTHER_PASSPHRASE) if same[0] == "ada" else ("ada", PASSPHRASE)
        async with here.approver(*other) as second, here.approver(*same) as first:
            form = await form_of(second, plan_id)
            page = await first.open(f"/approvals/{plan_id}")
            assert page.form("/approve") is None and "second pair of eyes" in page.text
            mine = page.form("/decline")
            assert mine is not None
            forged = Form("post", form.action, {**form.fields, "token": mine.fields["token"]})
            page = Page(await first.post(forged, passphrase=same[1]))
            assert page.status == 403 and "second pair of eyes" in page.text
            assert await here.state(plan_id) == "open"
            assert (await second.send(form, passphrase=other[1])).status == 200
            assert await here.state(plan_id) == "applied"


async def test_a_server_that_is_read_only_shows_plans_and_decides_none(
    make_world: Worlds,
) -> None:
    world = make_world(policy="strict")
    async with office(world) as writing, writing.approver() as visitor:
        plan_id = await writing.asked("attach", "local:support", SUPPORT_LINE)
        forms = [await form_of(visitor, plan_id, ending) for ending in ("/approve", "/decline")]
        reading = world.another(CORDBOARD_READ_ONLY="1")
        async with office(reading) as here, here.approver() as reader:
            page = await reader.open(f"/approvals/{plan_id}")
            assert page.status == 200 and "This Cordboard is read-only." in page.text
            assert page.form("/approve") is None and page.form("/decline") is None
            token = page.forms[0].fields["token"]
            for form in forms:
                forged = Form("post", form.action, {**form.fields, "token": token})
                page = Page(await reader.post(forged, passphrase=PASSPHRASE))
                assert page.status == 403 and "read-only" in page.text
            assert await here.state(plan_id) == "open"


async def test_a_process_whose_policy_demands_more_refuses_to_approve_it(
    make_world: Worlds, tmp_path: Path
) -> None:
    file = tmp_path / "frozen.toml"
    file.write_text(
        "extends = 'strict'\n[[rules]]\nlevel = 'frozen'\npurpose = ['PRODUCTION']\n", "utf-8"
    )
    world = make_world(policy="strict")
    async with office(world.another(str(file))) as here, here.approver() as visitor:
        plan_id = await Office(world, here.web).asked("attach", "local:support", SUPPORT_LINE)
        form = await form_of(visitor, plan_id)
        page = Page(await visitor.post(form, passphrase=PASSPHRASE))
        assert page.status == 403 and "demands frozen" in page.text
        assert await here.state(plan_id) == "open"


# --- exactly one outcome --------------------------------------------------------------------------


async def test_what_was_decided_stays_decided(here: Office) -> None:
    declined = await here.asked("attach", "local:support", SUPPORT_LINE)
    applied = await here.asked("attach", "local:support", SECOND_LINE)
    discarded = await here.asked("attach", "local:support", INDIA)
    async with here.approver() as visitor:
        late = {
            plan_id: [await form_of(visitor, plan_id, e) for e in ("/approve", "/decline")]
            for plan_id in (declined, applied, discarded)
        }
        await visitor.decline(declined)
        await visitor.approve(applied)
        await here.world.call("discard_plan", plan_id=discarded)
        seq = await here.world.seq()
        expected = {declined: (409, 303), applied: (303, 409), discarded: (409, 409)}
        for plan_id, forms in late.items():
            told = [await visitor.post(form, passphrase=PASSPHRASE) for form in forms]
            assert tuple(t.status_code for t in told) == expected[plan_id]
        page = Page(await visitor.post(late[applied][1], remark="no"))
        assert "Too late to decline it." in page.text and "Approved by ada" in page.text
        assert await here.world.seq() == seq
        states = [await here.state(p) for p in (declined, applied, discarded)]
        assert states == ["declined", "applied", "discarded"]


@pytest.mark.parametrize("second", ["/approve", "/decline"])
async def test_two_approvers_at_once_have_one_outcome(here: Office, second: str) -> None:
    await here.enrol("grace", OTHER_PASSPHRASE)
    numbers = (SUPPORT_LINE, SECOND_LINE, TEST_ONE)
    async with (
        here.approver() as ada,
        here.approver("grace", OTHER_PASSPHRASE) as grace,
    ):
        for number in numbers:
            plan_id = await here.asked("attach", "local:support", number)
            forms = await form_of(ada, plan_id), await form_of(grace, plan_id, second)
            answers: list[httpx.Response] = []

            async def send(
                visitor: Visitor, form: Form, passphrase: str, into: list[httpx.Response]
            ) -> None:
                into.append(await visitor.post(form, passphrase=passphrase))

            async with anyio.create_task_group() as group:
                group.start_soon(send, grace, forms[1], OTHER_PASSPHRASE, answers)
                group.start_soon(send, ada, forms[0], PASSPHRASE, answers)
            state = await here.state(plan_id)
            assert state in ("applied", "declined")
            rows = await here.world.app.store.read(
                lambda tx: tx.all("journal_page", account="default", after=0, limit=10_000)
            )
            told = [r["event"] for r in rows if r["plan_id"] == plan_id]
            assert told in (["planned", "approved", "applied"], ["planned", "declined"])
            assert told[-1] == state
            statuses = sorted(answer.status_code for answer in answers)
            assert statuses == ([303, 303] if second == "/approve" else [303, 409])
            assert await here.world.holders(number) == ["local:support"] * (state == "applied")
        report = await journal.verify_in_pages(here.world.app.store, "default")
        assert not report.fault


async def test_a_plan_whose_text_was_edited_is_not_approved(here: Office) -> None:
    plan_id = await here.asked("attach", "local:support", SUPPORT_LINE)
    async with here.approver() as visitor:
        form = await form_of(visitor, plan_id)
        with closing(sqlite3.connect(here.world.database)) as other, other:
            changed = "UPDATE plan SET body = replace(body, 'local:support', 'local:night')"
            assert other.execute(changed).rowcount == 1
        page = Page(await visitor.post(form, passphrase=PASSPHRASE))
        assert page.status == 409 and "not the plan you were shown" in page.text
        page = await visitor.open(f"/approvals/{plan_id}")
        assert page.form("/approve") is None and "somebody edited it" in page.text
        form.fields["hash"] = page.text.partition("SHA-256 of its text")[2].split()[0]
        page = Page(await visitor.post(form, passphrase=PASSPHRASE))
        assert page.status == 403 and "is not the one that was cleared" in page.text
        assert await here.world.holders(SUPPORT_LINE) == []
        assert "Declined by ada" in (await visitor.decline(plan_id)).text


async def test_what_is_approved_is_what_was_shown(here: Office) -> None:
    plan_id = await here.asked("attach", "local:support", SUPPORT_LINE)
    other = await here.asked("attach", "local:night", SECOND_LINE)
    async with here.approver() as visitor:
        form = await form_of(visitor, plan_id)
        hash_of_other = (await form_of(visitor, other)).fields["hash"]
        for wrong in ("", "0" * 64, hash_of_other, "\u00e9"):
            form.fields["hash"] = wrong
            assert (await visitor.post(form, passphrase=PASSPHRASE)).status_code == 409
        assert await here.state(plan_id) == "open"


async def test_a_thousand_numbers_are_approved_at_once(make_world: Worlds) -> None:
    more = many(1000)
    async with office(make_world(SEEDS.but(numbers=NUMBERS + more), policy="strict")) as here:
        plan_id = await here.asked("attach", "local:support", *names(more))
        async with here.approver() as visitor:
            page = await visitor.approve(plan_id)
            assert "Done: 1,000 numbers, all read back." in page.text
            assert len(page.numbers) == 50 and "Page 1 of 20" in page.text


# --- at a vendor ----------------------------------------------------------------------------------


def at_bland(
    make_world: Worlds,
) -> tuple[at.Vendors, Gate, Callable[[], AbstractAsyncContextManager[Office]]]:
    """A world with Bland in it, behind a gate, and how it is served."""
    clock = Clock()
    theirs = at.vendors(clock)
    gate = Gate(theirs.wires["bland"])
    outside = {**theirs.outside, "transports": {"bland": gate}}
    world = make_world(
        policy="strict", clock=clock, outside=outside, BLAND_API_KEY=theirs.bland.key
    )
    return theirs, gate, partial(office, world)


async def test_a_slow_vendor_does_not_keep_the_approver_waiting_and_the_page_follows_it(
    make_world: Worlds,
) -> None:
    _, gate, opened = at_bland(make_world)
    async with opened() as here, here.approver() as visitor:
        plan_id = await here.asked("attach", f"bland:{at.SUPPORT}", at.B_FREE, at.B_FREE_TOO)
        page = await visitor.open(f"/approvals/{plan_id}")
        assert "Support Agent" in page.rows[1][2]
        form = await form_of(visitor, plan_id)
        with anyio.fail_after(20):
            answer = await visitor.post(form, passphrase=PASSPHRASE)
            assert answer.status_code == 303 and not gate.open.is_set()
            await gate.arrived.wait()
        page = await visitor.open(f"/approvals/{plan_id}")
        assert "Being applied" in page.text and "0 of 2 numbers done" in page.text
        assert page.refresh == f"2; url=/approvals/{plan_id}" and page.form("/approve") is None
        assert "Under way" in (await visitor.open("/approvals")).text
        quiet = await visitor.open(page.links["Stop that"])
        assert quiet.refresh == "" and "Follow it live" in quiet.links
        late = await visitor.post(form, passphrase=PASSPHRASE)
        assert late.status_code == 303
        gate.open.set()
        with anyio.fail_after(30):
            await here.world.app.service.approvals.ended(plan_id)
        page = await visitor.open(f"/approvals/{plan_id}")
        assert page.refresh == "" and [r[-1] for r in page.rows[1:]] == ["Done", "Done"]
        assert (await here.world.events()).count("approved") == 1


async def test_leaving_after_approving_does_not_stop_what_was_begun(make_world: Worlds) -> None:
    theirs, gate, opened = at_bland(make_world)
    async with opened() as here:
        async with here.approver() as visitor:
            plan_id = await here.asked("attach", f"bland:{at.SUPPORT}", at.B_FREE)
            await visitor.post(await form_of(visitor, plan_id), passphrase=PASSPHRASE)
        gate.open.set()
        with anyio.fail_after(30):
            ended = await here.world.app.service.approvals.ended(plan_id)
        assert ended.status == "applied" and len(theirs.bland.writes) == 1


async def test_a_lost_answer_is_told_as_not_known_and_followed_until_it_is_settled(
    make_world: Worlds,
) -> None:
    theirs, gate, opened = at_bland(make_world)
    gate.open.set()
    async with opened() as here, here.approver() as visitor:
        plan_id = await here.asked("attach", f"bland:{at.SUPPORT}", at.B_FREE)
        theirs.wires["bland"].faults.append(Fault("timeout_after"))
        await visitor.approve(plan_id)
        with anyio.fail_after(30):
            await here.world.app.service.approvals.ended(plan_id)
        page = await visitor.open(f"/approvals/{plan_id}")
        assert "Of 1 number it is not known how it stands" in page.text
        assert "An answer was lost: what is not known is held until 31 Jan 2026, 09:" in page.text
        assert page.rows[1][-1].startswith("Not known yet")
        assert page.refresh.startswith("2;") and page.form("/decline") is None
        here.world.clock.advance(600)
        with anyio.fail_after(30):
            while page.refresh:
                await anyio.sleep(0.05)
                page = await visitor.open(f"/approvals/{plan_id}")
        assert "Done: 1 number, read back." in page.text and len(theirs.bland.writes) == 1


async def test_a_vendor_that_does_not_answer_leaves_the_plan_as_it_was(
    make_world: Worlds,
) -> None:
    theirs, _, opened = at_bland(make_world)
    async with opened() as here, here.approver() as visitor:
        plan_id = await here.asked("attach", f"bland:{at.SUPPORT}", at.B_FREE)
        form = await form_of(visitor, plan_id)
        theirs.wires["bland"].faults.append(Fault("refuse", on="read", times=100))
        page = Page(await visitor.post(form, passphrase=PASSPHRASE))
        assert page.status == 503 and "Nothing was changed." in page.text
        assert page.form("/approve") is not None and await here.state(plan_id) == "open"
        theirs.wires["bland"].faults.clear()


async def test_a_number_that_another_plan_is_changing_is_not_approved_a_second_time(
    make_world: Worlds,
) -> None:
    theirs, gate, opened = at_bland(make_world)
    async with opened() as here, here.approver() as visitor:
        first = await here.asked("attach", f"bland:{at.SUPPORT}", at.B_FREE)
        second = await here.asked("attach", f"bland:{at.SALES}", at.B_FREE)
        forms = await form_of(visitor, first), await form_of(visitor, second)
        await visitor.post(forms[0], passphrase=PASSPHRASE)
        with anyio.fail_after(20):
            await gate.arrived.wait()
        page = Page(await visitor.post(forms[1], passphrase=PASSPHRASE))
        assert page.status == 409 and first in page.text and "Nothing was changed." in page.text
        gate.open.set()
        with anyio.fail_after(30):
            await here.world.app.service.approvals.ended(first)
        page = Page(await visitor.post(forms[1], passphrase=PASSPHRASE))
        assert page.status == 409 and await here.state(second) == "stale"
        assert len(theirs.bland.writes) == 1


async def test_approved_where_it_cannot_be_applied_it_waits_for_a_server_that_can(
    make_world: Worlds,
) -> None:
    clock = Clock()
    theirs = at.vendors(clock)
    with_key = make_world(
        policy="strict", clock=clock, outside=theirs.outside, BLAND_API_KEY=theirs.bland.key
    )
    asked = Office(with_key, None)
    plan_id = await asked.asked("attach", f"bland:{at.SUPPORT}", at.B_FREE)
    async with office(with_key.another()) as here, here.approver() as visitor:
        page = await visitor.approve(plan_id)
        assert page.status == 200 and "Approved, not applied yet" in page.text
        assert "no key for bland" in page.text and page.form("/approve") is None
        assert page.form("/decline") is not None and theirs.bland.writes == []
        page = await visitor.decline(plan_id)
        assert "Declined by ada" in page.text and await here.state(plan_id) == "declined"

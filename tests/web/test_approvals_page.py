"""The approvals page, looked at: signing in, the list, a plan, and that looking changes nothing."""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from itsdangerous import URLSafeSerializer
from tests.web.pages import OTHER_PASSPHRASE, PASSPHRASE, UNKNOWN_PLAN, Office, Page, office
from tests.web.site import on_the_web
from tests.world import (
    EMERGENCY,
    INDIA,
    NUMBERS,
    POOL_ONE,
    POOL_TWO,
    PROTECTED,
    SECOND_LINE,
    SEEDS,
    SUPPORT_LINE,
    TEST_ONE,
    TEST_TWO,
    UNKNOWN_PURPOSE,
    SeedAgent,
    SeedNumber,
    SeedPathway,
    Worlds,
    many,
    names,
)

from cordboard.binding import Pathway

pytestmark = pytest.mark.anyio
CSP = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)
PLAIN_TAGS = frozenset(
    [
        "a",
        "aside",
        "bdi",
        "blockquote",
        "body",
        "button",
        "caption",
        "code",
        "dd",
        "div",
        "dl",
        "dt",
        "footer",
        "form",
        "h1",
        "h2",
        "h3",
        "head",
        "header",
        "html",
        "img",
        "input",
        "label",
        "li",
        "link",
        "main",
        "meta",
        "nav",
        "p",
        "progress",
        "section",
        "span",
        "strong",
        "table",
        "tbody",
        "td",
        "th",
        "thead",
        "time",
        "title",
        "tr",
        "ul",
    ]
)


def is_plain(page: Page) -> bool:
    """Whether a page has nothing in it that runs, frames, styles or leads elsewhere."""
    places = [t[n] for _, t in page.tags for n in ("href", "src", "action") if n in t]
    names = {name for _, told in page.tags for name in told}
    return (
        {tag for tag, _ in page.tags} <= PLAIN_TAGS
        and not [name for name in names if name.startswith("on") or name == "style"]
        and all(re.match(r"/approvals|#", place) for place in places)
    )


@pytest.fixture
async def here(make_world: Worlds) -> AsyncIterator[Office]:
    """A served world in which every change needs a person, and `ada` is enrolled."""
    async with office(make_world(policy="strict")) as made:
        yield made


# --- signing in ---------------------------------------------------------------------------------


async def test_whoever_is_not_signed_in_gets_the_form_and_then_the_plan(here: Office) -> None:
    plan_id = await here.asked("attach", "local:support", SUPPORT_LINE)
    async with here.visitor() as visitor:
        bare = await visitor.http.get(f"/approvals/{plan_id}")
        assert bare.status_code == 303 and plan_id in bare.headers["location"]
        form = await visitor.open(f"/approvals/{plan_id}")
        assert SUPPORT_LINE not in form.html and form.form("/sign-in") is not None
        page = await visitor.send(form.form("/sign-in"), name="ada", passphrase=PASSPHRASE)
        assert page.answer.url.path == f"/approvals/{plan_id}"
        assert "Attach 1 number to local:support" in page.text and "Signed in as ada" in page.text


NOT_OURS = (
    "https://evil.example/",
    "//evil.example/approvals",
    "/approvals/../../evil",
    "/approvals@evil.example",
    "\\\\evil.example",
    "/mcp",
    "/approvals/sign-out",
    "javascript:alert(1)",
    "/approvals\r\nSet-Cookie: a=b",
    f"/approvals/{UNKNOWN_PLAN}/approve",
)


async def test_signing_in_leads_to_a_page_of_ours_and_nowhere_else(here: Office) -> None:
    async with here.visitor() as visitor:
        for wanted in NOT_OURS:
            page = await visitor.open("/approvals/sign-in", params={"next": wanted})
            form = page.form("/sign-in")
            assert form is not None and form.fields["next"] == "/approvals", wanted
            typed = {"next": wanted, "name": "ada", "passphrase": PASSPHRASE}
            answer = await visitor.post(form, **typed)
            assert (answer.status_code, answer.headers["location"]) == (303, "/approvals"), wanted
            visitor.http.cookies.clear()


@pytest.mark.parametrize(
    ("name", "passphrase"), [("ada", "not it at all"), ("nobody", PASSPHRASE), ("", "")]
)
async def test_a_wrong_name_or_passphrase_gets_the_form_again_and_is_journaled(
    here: Office, name: str, passphrase: str
) -> None:
    async with here.visitor() as visitor:
        page = await visitor.sign_in(name, passphrase)
        assert page.status == 403 and "Unknown name or wrong passphrase" in page.text
        assert page.form("/sign-in") is not None and "cordboard" not in visitor.http.cookies
        assert (await here.world.events())[-1] == "passphrase_tried"
        assert passphrase == "" or passphrase not in page.html
        assert (await visitor.open("/approvals")).form("/sign-in") is not None


async def test_three_wrong_passphrases_slow_the_next_try_also_with_the_right_one(
    here: Office,
) -> None:
    async with here.visitor() as visitor:
        for _ in range(3):
            assert (await visitor.sign_in("ada", "not it at all")).status == 403
        page = await visitor.sign_in()
        assert page.status == 429 and int(page.headers["retry-after"]) > 0
        assert page.form("/sign-in") is not None
        tried = (await here.world.events()).count("passphrase_tried")
        assert tried == 3
        here.world.clock.advance(int(page.headers["retry-after"]))
        assert (await visitor.sign_in()).status == 200


async def test_where_nobody_is_enrolled_the_page_says_which_command_enrols(
    make_world: Worlds,
) -> None:
    world = make_world(policy="strict")
    async with on_the_web(world) as web:
        page = Page(await web.http.get("/approvals", follow_redirects=True))
        command = f"CORDBOARD_DATABASE={world.database} cordboard approvers add NAME"
        assert page.status == 200 and command in page.text and page.form("/sign-in") is None
        # Of another account nobody is told whether anybody is enrolled.
        page = Page(await web.http.get("/approvals?account=other", follow_redirects=True))
        assert page.form("/sign-in") is not None and "enrolled" not in page.text


async def test_strangers_are_not_told_where_the_store_lies(make_world: Worlds) -> None:
    world, public = make_world(policy="strict"), "https://cordboard.example"
    async with on_the_web(world, public_url=public) as web:
        page = Page(await web.http.get(f"{public}/approvals", follow_redirects=True))
        assert "cordboard approvers add NAME" in page.text and str(world.home) not in page.html


async def test_the_session_cookie_is_for_this_site_and_for_eight_hours(here: Office) -> None:
    async with here.visitor() as visitor:
        page = await visitor.open("/approvals")
        form = page.form("/sign-in")
        assert form is not None
        answer = await visitor.post(form, name="ada", passphrase=PASSPHRASE)
        [cookie] = [c for c in answer.headers.get_list("set-cookie") if c.startswith("cordboard=")]
        told = {part.strip().lower() for part in cookie.split(";")[1:]}
        assert told == {"httponly", "samesite=strict", "path=/", "max-age=28800"}
        here.world.clock.advance(8 * 3600 - 1)
        assert "Signed in as ada" in (await visitor.open("/approvals")).text
        here.world.clock.advance(1)
        assert (await visitor.open("/approvals")).form("/sign-in") is not None


async def test_by_https_the_cookie_is_for_this_host_alone_and_never_sent_in_the_open(
    make_world: Worlds,
) -> None:
    public = "https://cordboard.example"
    async with office(make_world(policy="strict"), public_url=public) as here:
        assert here.web is not None
        transport = httpx.ASGITransport(here.web.app)
        async with httpx.AsyncClient(transport=transport, base_url=public) as http:
            page = Page(await http.get("/approvals", follow_redirects=True))
            form = page.form("/sign-in")
            assert form is not None
            typed = {**form.fields, "name": "ada", "passphrase": PASSPHRASE}
            answer = await http.post(form.action, data=typed)
            set_ = [c for c in answer.headers.get_list("set-cookie") if "__Host-cordboard=" in c]
            assert len(set_) == 1 and "; secure" in set_[0].lower() and "domain" not in set_[0]
            assert "Signed in as ada" in Page(await http.get("/approvals")).text


@pytest.mark.parametrize("again", [True, False])
async def test_a_session_ends_when_its_approver_is_removed_or_enrolled_anew(
    here: Office, again: bool
) -> None:
    await here.enrol("grace", OTHER_PASSPHRASE)
    approvers = here.world.app.service.approvals.approvers
    async with here.approver("grace", OTHER_PASSPHRASE) as visitor:
        await approvers.remove("grace", await approvers.verify("ada", PASSPHRASE))
        if again:  # in the same millisecond, with the same passphrase
            await here.enrol("grace", OTHER_PASSPHRASE)
        assert (await visitor.open("/approvals")).form("/sign-in") is not None


async def test_a_cookie_that_was_altered_or_made_up_counts_for_nothing(here: Office) -> None:
    async with here.approver() as visitor:
        good = visitor.http.cookies["cordboard"]
        older = URLSafeSerializer(
            list(here.world.app.keys),
            salt="cordboard approvals page: session",
            signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256},
        )
        assert older.loads(good)["approver"] == "ada"
        of_another_version = older.dumps({"account": "default", "approver": "ada"})
        altered = (good[:-1], good + "A", good.swapcase(), "e30." + good.split(".")[-1], "", "x")
        for bad in (*altered, str(of_another_version)):
            visitor.http.cookies.clear()
            answer = await visitor.http.get("/approvals", headers={"cookie": f"cordboard={bad}"})
            assert answer.status_code == 303, bad


async def test_signing_out_ends_it_and_needs_the_form_of_this_session(here: Office) -> None:
    async with here.approver() as visitor:
        form = (await visitor.open("/approvals")).form("/sign-out")
        assert form is not None
        refused = await visitor.http.post(form.action, data={"token": "x"})
        assert refused.status_code == 403 and "cordboard" in visitor.http.cookies
        kept = {"cookie": f"cordboard={visitor.http.cookies['cordboard']}"}
        page = await visitor.send(form)
        assert page.form("/sign-in") is not None and "cordboard" not in visitor.http.cookies
        # Whoever copied the cookie has nothing of it any more.
        assert (await visitor.http.get("/approvals", headers=kept)).status_code == 303


async def test_a_sign_in_form_from_elsewhere_signs_nobody_in(here: Office) -> None:
    async with here.visitor() as victim, here.visitor() as attacker:
        theirs = (await attacker.open("/approvals")).form("/sign-in")
        assert theirs is not None
        await victim.open("/approvals")
        page = await victim.send(theirs, name="ada", passphrase=PASSPHRASE)
        assert page.status == 403 and "cordboard" not in victim.http.cookies
        assert "passphrase_tried" not in await here.world.events()


async def test_a_link_from_elsewhere_takes_one_step_more_so_that_the_session_is_found(
    here: Office,
) -> None:
    plan_id = await here.asked("attach", "local:support", SUPPORT_LINE)
    linked = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    async with here.visitor() as visitor:
        page = await visitor.open(f"/approvals/{plan_id}", headers=linked)
        assert page.status == 200 and "set-cookie" not in page.headers
        seconds, _, where = page.refresh.partition("; url=")
        assert seconds == "0" and where == f"/approvals/{plan_id}?arrived=1"
        assert (await visitor.open(where, headers=linked)).form("/sign-in") is not None


# --- what every answer has ----------------------------------------------------------------------


async def test_every_answer_forbids_scripts_frames_and_keeping_and_has_none_of_its_own(
    here: Office,
) -> None:
    plan_id = await here.asked("attach", "local:support", SUPPORT_LINE)
    async with here.visitor() as stranger, here.approver() as visitor:
        pages = [await stranger.open("/approvals")]
        addresses = ("", f"/{plan_id}", f"/{UNKNOWN_PLAN}", "/sign-out", "?account=-")
        pages += [await visitor.open(f"/approvals{address}") for address in addresses]
        for page in pages:
            assert page.headers["content-security-policy"] == CSP
            assert page.headers["x-frame-options"] == "DENY"
            assert page.headers["x-content-type-options"] == "nosniff"
            assert page.headers["cache-control"] == "no-store"
            assert page.headers["referrer-policy"] == "same-origin"
            assert is_plain(page) and "http://" not in page.html
            assert ("html", {"lang": "en"}) in page.tags


async def test_style_and_icon_are_ours_and_may_be_kept_by_their_digest(here: Office) -> None:
    async with here.visitor() as visitor:
        page = await visitor.open("/approvals")
        [sheet] = [t["href"] for tag, t in page.tags if tag == "link" and t["rel"] == "stylesheet"]
        answer = await visitor.http.get(sheet)
        assert answer.headers["content-type"] == "text/css; charset=utf-8"
        assert "immutable" in answer.headers["cache-control"] and "url(" not in answer.text
        assert (await visitor.http.get("/approvals/style.css")).headers[
            "cache-control"
        ] == "no-cache"
        icon = await visitor.http.get("/approvals/icon.svg")
        assert icon.headers["content-type"] == "image/svg+xml" and icon.status_code == 200


WRONG = (
    ("PUT", ""),
    ("POST", ""),
    ("DELETE", f"/{UNKNOWN_PLAN}"),
    ("POST", f"/{UNKNOWN_PLAN}"),
    ("GET", f"/{UNKNOWN_PLAN}/approve"),
    ("GET", f"/{UNKNOWN_PLAN}/decline"),
    ("HEAD", f"/{UNKNOWN_PLAN}/approve"),
    ("OPTIONS", "/sign-in"),
    ("GET", "/sign-out"),
)


async def test_a_wrong_method_is_told_and_which_are_right(here: Office) -> None:
    async with here.approver() as visitor:
        for method, path in WRONG:
            answer = await visitor.http.request(method, f"/approvals{path}")
            assert answer.status_code == 405, (method, path)
            assert method not in answer.headers["allow"].split(", ")
        page = await visitor.open(f"/approvals/{UNKNOWN_PLAN}/approve")
        assert page.links["Go to the plan"] == f"/approvals/{UNKNOWN_PLAN}"


async def test_a_plan_that_is_not_there_is_a_page_that_says_so(here: Office) -> None:
    async with here.approver() as visitor:
        for wanted in (UNKNOWN_PLAN, "plan_1", "favicon.ico", "%00", "..;"):
            page = await visitor.open(f"/approvals/{wanted}")
            assert page.status == 404 and page.links["Go to the plans"] == "/approvals", wanted


async def test_a_plan_of_another_account_is_not_there(make_world: Worlds) -> None:
    async with office(make_world(policy="strict")) as here:
        await here.enrol("eve", OTHER_PASSPHRASE, account="other")
        plan_id = await here.asked("attach", "local:support", SUPPORT_LINE)
        async with here.visitor() as eve:
            page = await eve.sign_in("eve", OTHER_PASSPHRASE, "/approvals?account=other")
            assert "account other" in page.text and "Nothing waits" in page.text
            assert (await eve.open(f"/approvals/{plan_id}?account=other")).status == 404
            page = await eve.open(f"/approvals/{plan_id}")  # as the account it is of: sign in there
            assert page.form("/sign-in") is not None and SUPPORT_LINE not in page.html
            assert (await eve.sign_in("eve", OTHER_PASSPHRASE)).status == 403
            assert (await eve.open("/approvals?account=../x")).status == 400


async def test_where_the_store_cannot_be_read_the_page_says_so(here: Office) -> None:
    async with here.approver() as visitor:
        here.world.database.rename(here.world.database.with_suffix(".away"))
        page = await visitor.open("/approvals")
        assert page.status == 503 and "cordboard doctor" in page.text
        assert str(here.world.home) not in page.html
        here.world.database.with_suffix(".away").rename(here.world.database)


# --- the list -----------------------------------------------------------------------------------


async def test_the_list_shows_what_waits_newest_first_with_who_what_level_and_expiry(
    here: Office,
) -> None:
    await here.asked("attach", "local:support", SUPPORT_LINE, SECOND_LINE, by="bob")
    here.world.clock.advance(60)
    await here.asked("attach", "local:night", TEST_ONE, by="carol")
    here.world.clock.advance(3600)
    async with here.approver() as visitor:
        page = await visitor.open("/approvals")
        waiting = page.ids["main"]
        first, second = waiting.index("local:night"), waiting.index("local:support")
        assert first < second
        assert "Asked by carol 1 h ago" in page.text and "Asked by bob" in page.text
        assert "Attach 2 numbers to local:support" in page.links
        assert "2 PRODUCTION · guard level person" in page.text
        assert "expires in 23 h, 1 Feb 2026, 09:31 UTC" in page.text


async def test_the_list_tells_apart_what_waits_and_what_was_settled(here: Office) -> None:
    applied = await here.asked("attach", "local:support", SUPPORT_LINE)
    declined = await here.asked("attach", "local:night", SECOND_LINE)
    old = await here.asked("attach", "local:night", INDIA)
    here.world.clock.advance(23 * 3600)
    waits = await here.asked("attach", "local:night", TEST_ONE)
    async with here.approver() as visitor:
        await visitor.approve(applied)
        await visitor.decline(declined)
        here.world.clock.advance(3600)
        page = await visitor.open("/approvals")
        order = [page.html.index(plan_id) for plan_id in (waits, old, declined, applied)]
        settled = page.html.index('id="settled"')
        assert order == sorted(order) and order[0] < settled < order[1]
        for word in ("Applied", "Declined", "Expired"):
            assert word in page.text
        assert "decided by ada" in page.text


async def test_the_list_is_paged_and_searched_by_number_agent_and_requester(
    make_world: Worlds,
) -> None:
    more = many(30)
    async with office(make_world(SEEDS.but(numbers=NUMBERS + more), policy="strict")) as here:
        for number in names(more):
            await here.asked("attach", "local:support", number, by="bob")
        await here.asked("attach", "local:night", SUPPORT_LINE, by="Carol 50%")
        async with here.approver() as visitor:
            page = await visitor.open("/approvals")
            seen = re.findall(r"plan_[0-9a-f]{24}", page.html)
            assert len(set(seen)) == 25 and "local:night" in page.text
            older = await visitor.open(page.links["Older plans that wait"])
            rest = set(re.findall(r"plan_[0-9a-f]{24}", older.html))
            assert len(rest) == 6 and rest.isdisjoint(seen)
            for words in (SUPPORT_LINE[1:], "LOCAL:NIGHT", "carol", "50%"):
                page = await visitor.open("/approvals", params={"q": words})
                assert len(set(re.findall(r"plan_[0-9a-f]{24}", page.html))) == 1, words
                assert f"Only plans with {words} are shown" in page.text
            for words in ("no such thing", "%", "_ob", "<b>", "'"):
                page = await visitor.open("/approvals", params={"q": words})
                assert len(set(re.findall(r"plan_[0-9a-f]{24}", page.html))) == (words == "%")
            assert "No waiting plan matches" in page.text and page.links["Show all"] == "/approvals"


async def test_all_settled_plans_can_be_paged_through(make_world: Worlds) -> None:
    more = many(30)
    async with office(make_world(SEEDS.but(numbers=NUMBERS + more), policy="strict")) as here:
        made = [await here.asked("attach", "local:support", number) for number in names(more)]
        here.world.clock.advance(24 * 3600)
        async with here.approver() as visitor:
            page = await visitor.open("/approvals")
            assert "Nothing waits for approval." in page.text
            assert len(set(re.findall(r"plan_[0-9a-f]{24}", page.html))) == 10
            page = await visitor.open(page.links["All settled plans"])
            found = re.findall(r"/(plan_[0-9a-f]{24})", page.html)
            page = await visitor.open(page.links["Older"])
            found += re.findall(r"/(plan_[0-9a-f]{24})", page.html)
            assert found == made[::-1] and "Older" not in page.links


# --- a plan -------------------------------------------------------------------------------------


async def test_a_plan_shows_who_asks_what_changes_for_whose_callers_and_until_when(
    make_world: Worlds,
) -> None:
    seed = SEEDS.bound(
        "local:sales",
        SUPPORT_LINE,
        PROTECTED,
        pathway_id="pathway_abc123",
        pathway_version=1,
        start_node_id="node_start",
    )
    async with office(make_world(seed, policy="strict")) as here:
        plan_id = await here.asked(
            "move",
            "local:support",
            SUPPORT_LINE,
            PROTECTED,
            from_agent="local:sales",
            reason="Sales is closed",
        )
        here.world.clock.advance(600)
        async with here.approver() as visitor:
            page = await visitor.open(f"/approvals/{plan_id}")
        record = await here.world.app.service.approvals.find(plan_id)
        assert "Move 2 numbers from local:sales to local:support" in page.text
        assert "Asked by bob on 31 Jan 2026, 09:30 UTC (10 min ago)" in page.text
        assert "Callers of 2 PRODUCTION numbers" in page.text
        assert page.rows[0] == ["Number", "Now", "After approval"]
        number, now, after = page.rows[1]
        assert number == f"{SUPPORT_LINE} Support Line PRODUCTION twilio"
        assert now == "Now local:sales pathway pathway_abc123, version 1, from node node_start"
        assert after == "After local:support no pathway of its own"
        assert page.rows[2][0] == f"{PROTECTED} Head Office PRODUCTION protected vonage"
        assert "Expires in 23 h 50 min 1 Feb 2026, 09:30 UTC" in page.text
        assert "person: an enrolled approver approves it" in page.text
        assert "strict policy: every change" in page.text
        assert '"Sales is closed"' in page.ids["remark"] + page.text
        assert "Said by bob, not checked by Cordboard." in page.text
        assert plan_id in page.ids["about"] + page.text and record.hash in page.text


async def test_a_pathway_that_is_set_shows_version_and_node_before_and_after(
    make_world: Worlds,
) -> None:
    seed = SEEDS.bound("local:support", SUPPORT_LINE, pathway_id="pathway_abc123")
    async with office(make_world(seed, policy="strict")) as here, here.approver() as visitor:
        wanted = Pathway("pathway_abc123", 2, "node_xyz")
        plan_id = await here.asked("set_pathway", "local:support", SUPPORT_LINE, pathway=wanted)
        page = await visitor.open(f"/approvals/{plan_id}")
        assert page.rows[1][1:] == [
            "Now local:support pathway pathway_abc123, newest version",
            "After local:support pathway pathway_abc123, version 2, from node node_xyz",
        ]


async def test_outbound_numbers_and_unknown_purpose_are_told(here: Office) -> None:
    plan_id = await here.asked("attach", "local:campaign", POOL_ONE, UNKNOWN_PURPOSE, TEST_TWO)
    async with here.approver() as visitor:
        page = await visitor.open(f"/approvals/{plan_id}")
        assert "for outbound calls" in page.text
        assert (
            "Callers of 1 PRODUCTION number, 1 purpose unknown number, 1 TEST number" in page.text
        )
        assert [row[0] for row in page.rows[1:]] == [
            f"{POOL_ONE} Pool One PRODUCTION outbound twilio",
            f"{UNKNOWN_PURPOSE} Singapore purpose unknown outbound bandwidth",
            f"{TEST_TWO} Test Toronto TEST outbound telnyx",
        ]
        assert "2 warnings" in page.text and "would serve TEST and PRODUCTION" in page.text


async def test_what_could_not_be_checked_stands_apart_from_the_warnings(
    make_world: Worlds,
) -> None:
    seed = SEEDS.but(pathways=()).bound("local:support", SUPPORT_LINE)
    async with office(make_world(seed, policy="strict")) as here, here.approver() as visitor:
        plan_id = await here.asked(
            "set_pathway", "local:support", SUPPORT_LINE, pathway=Pathway("pathway_new")
        )
        page = await visitor.open(f"/approvals/{plan_id}")
        unchecked = page.text.partition("What could not be checked")[2].partition("What changes")[0]
        assert "pathway_new" in unchecked and "warning" not in page.text.partition("What could")[0]


async def test_a_thousand_numbers_are_paged_searched_and_never_taken_for_fewer(
    make_world: Worlds,
) -> None:
    more = (*many(998, label="Depot"), SeedNumber("+13035550100", label="Needle", tags=("vault",)))
    numbers = [*names(more), SUPPORT_LINE]
    async with office(make_world(SEEDS.but(numbers=NUMBERS + more), policy="strict")) as here:
        plan_id = await here.asked("attach", "local:support", *numbers)
        async with here.approver() as visitor:
            page = await visitor.open(f"/approvals/{plan_id}")
            assert page.numbers == numbers[:50] and "1 to 50 of 1,000 numbers" in page.text
            whole = "Approving applies the whole plan at once: 1,000 numbers, not only those shown"
            assert whole in page.text and "998 TEST numbers" in page.text
            assert "Tagged protected or emergency_callback: none." in page.text
            assert "1,000 numbers nobody changes to local:support" in page.text
            page = await visitor.open(page.links["Next"])
            assert page.numbers == numbers[50:100] and "Page 2 of 20" in page.text
            last = await visitor.open(f"/approvals/{plan_id}?page=999")
            assert last.numbers == numbers[950:] and "Next" not in last.links
            for words in ("Needle", "VAULT", "+1 (303) 555-0100", "3035550100"):
                page = await visitor.open(f"/approvals/{plan_id}", params={"q": words})
                assert page.numbers == ["+13035550100"], words
                assert "1 number of 1,000 matches" in page.text and whole[:50] in page.text
                assert "not only the one shown here" in page.text
                assert page.links["Show all 1,000"] == f"/approvals/{plan_id}"
            page = await visitor.open(f"/approvals/{plan_id}", params={"q": "none at all"})
            assert page.numbers == [] and "0 numbers of 1,000 match" in page.text
            assert page.form("/approve") is not None and "not only those shown here" in page.text


HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "{{ 7 * 7 }}{% raw %}",
    "'-alert(3)-'",
    "</td></tr></table><form action=elsewhere>",
]


@pytest.mark.parametrize("text", HOSTILE)
async def test_text_from_outside_stays_text(make_world: Worlds, text: str) -> None:
    seed = SEEDS.but(
        numbers=(
            *NUMBERS,
            SeedNumber("+13035550100", label=f"label {text}", tags=(f"tag {text}",)),
        ),
        agents=(*SEEDS.agents, SeedAgent("local:evil", f"agent {text}")),
        pathways=(*SEEDS.pathways, SeedPathway(f"path {text}", "x", ((f"node {text}",),))),
    )
    async with office(make_world(seed, policy="strict")) as here, here.approver() as visitor:
        first = await here.asked(
            "attach", "local:evil", "+13035550100", by=f"bob {text}", reason=f"reason {text}"
        )
        plain = await visitor.open(f"/approvals/{first}")
        await visitor.approve(first)
        wanted = Pathway(f"path {text}", 1, f"node {text}")
        second = await here.asked("set_pathway", "local:evil", "+13035550100", pathway=wanted)
        declined = await visitor.decline(second, f"remark {text}")
        listed = await visitor.open("/approvals", params={"q": text})
        searched = await visitor.open(f"/approvals/{second}", params={"q": text})
        for page in (plain, declined, listed, searched):
            assert is_plain(page), page.html
        assert f"label {text}" in plain.text and f"tag {text}" in plain.text
        assert "49" not in plain.text.partition("reason")[2][:40]
        assert f"path {text}" in declined.text and f"node {text}" in declined.text
        assert "remark" in declined.text


async def test_characters_that_fool_a_reader_are_taken_out_or_shown(make_world: Worlds) -> None:
    tricky = "safe\u202egnp.exe\u2066\u200b\x07"
    seed = SEEDS.but(
        numbers=(*NUMBERS, SeedNumber("+13035550100", label=tricky, tags=(tricky,))),
        pathways=(*SEEDS.pathways, SeedPathway(tricky, "x", (("node",),))),
    ).bound("local:night", "+13035550100")
    async with office(make_world(seed, policy="strict")) as here, here.approver() as visitor:
        plan_id = await here.asked(
            "set_pathway",
            "local:night",
            "+13035550100",
            pathway=Pathway(tricky, 1),
            by=f"bob{tricky}",
            reason=f"{tricky} see https://evil.example/now",
        )
        for page in (
            await visitor.open(f"/approvals/{plan_id}", params={"q": tricky}),
            await visitor.open(f"/approvals/{plan_id}"),
            await visitor.open("/approvals"),
            await visitor.decline(plan_id, tricky),
        ):
            assert not set("\u202e\u2066\u200b\x07") & set(page.html)
            assert "evil.example" not in page.html


# --- looking changes nothing --------------------------------------------------------------------


async def test_no_get_writes_anything_whatever_state_a_plan_is_in(make_world: Worlds) -> None:
    world = make_world(policy="strict")
    async with office(world) as here, here.approver() as visitor:
        applied = await here.asked("attach", "local:support", SUPPORT_LINE)
        await visitor.approve(applied)
        declined = await here.asked("attach", "local:support", SECOND_LINE)
        await visitor.decline(declined)
        stale = await here.asked("attach", "local:support", TEST_ONE)
        await world.done("attach_numbers", agent="local:night", numbers=[TEST_ONE])
        waiting = await here.asked("attach", "local:support", TEST_TWO)
        before = (await world.seq(), world.database.read_bytes())
        addresses = [
            "",
            "?q=local",
            "?show=settled",
            "/sign-in",
            *(f"/{p}" for p in (applied, declined, stale, waiting, UNKNOWN_PLAN)),
        ]
        for address in addresses:
            for method in ("GET", "HEAD"):
                await visitor.http.request(method, f"/approvals{address}")
        page = await visitor.open(f"/approvals/{stale}")
        assert "The routing moved since this plan was made" in page.text
        assert f"{TEST_ONE} (inbound): agent was nobody, is now local:night" in page.text
        assert page.form("/approve") is None and page.form("/decline") is not None
        world.clock.advance(7 * 3600)
        for _ in range(2):
            world.clock.advance(24 * 3600)
            await visitor.http.get("/approvals")
        assert (await world.seq(), world.database.read_bytes()) == before
        assert await here.state(stale) == "open" and await here.state(waiting) == "open"


async def test_a_plan_whose_time_is_over_has_no_forms_and_is_not_closed_by_looking(
    here: Office,
) -> None:
    plan_id = await here.asked("attach", "local:support", SUPPORT_LINE)
    here.world.clock.advance(24 * 3600)
    async with here.approver() as visitor:
        seq = await here.world.seq()
        page = await visitor.open(f"/approvals/{plan_id}")
        assert "Expired" in page.text and "before anybody approved it" in page.text
        assert page.form("/approve") is None and page.form("/decline") is None
        assert (await here.state(plan_id), await here.world.seq()) == ("open", seq)


async def test_a_head_request_is_a_get_without_its_body(here: Office) -> None:
    plan_id = await here.asked("attach", "local:support", SUPPORT_LINE)
    async with here.approver() as visitor:
        answer = await visitor.http.head(f"/approvals/{plan_id}")
        assert answer.status_code == 200 and answer.headers["content-security-policy"] == CSP


# --- for everybody ------------------------------------------------------------------------------


async def test_every_field_has_its_label_and_every_table_its_headings(here: Office) -> None:
    plan_id = await here.asked("attach", "local:support", SUPPORT_LINE, EMERGENCY, POOL_TWO)
    async with here.visitor() as stranger, here.approver() as visitor:
        pages = [
            await stranger.open("/approvals"),
            await visitor.open("/approvals"),
            await visitor.open(f"/approvals/{plan_id}"),
        ]
        for page in pages:
            fields = [t for tag, t in page.tags if tag == "input" and t.get("type") != "hidden"]
            labels = {t["for"] for tag, t in page.tags if tag == "label"}
            assert {t["id"] for t in fields} == labels
            assert [tag for tag, _ in page.tags].count("h1") == 1
            known: list[Any] = [t["id"] for _, t in page.tags if "id" in t]
            assert len(known) == len(set(known))
            named = {t["aria-labelledby"] for _, t in page.tags if "aria-labelledby" in t}
            assert named <= set(known)
        cells = [t for tag, t in pages[-1].tags if tag == "th"]
        assert {t["scope"] for t in cells} == {"col", "row"}
        assert any(tag == "caption" for tag, _ in pages[-1].tags)

"""Static tokens: which text counts, for whom, how long, and that no secret is kept anywhere."""

from __future__ import annotations

import base64
import hashlib
import logging
import re
import sys
import traceback
from collections.abc import Iterator
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from tests.exams import stage
from tests.web.site import READS, on_the_web
from tests.web.test_oauth import called
from tests.world import World, Worlds

from cordboard import journal
from cordboard.clock import stamp
from cordboard.errors import InvalidArguments, NotAllowed, StoreUnavailable
from cordboard.identity import SCOPES, Identity
from cordboard.stores.sqlite import SqliteStore
from cordboard.tokens import Tokens

pytestmark = pytest.mark.anyio
DAY = 86400


def tokens_of(world: World) -> Tokens:
    return Tokens(world.app.store, world.clock)


async def a_token(world: World, name: str = "ci", **other: Any) -> str:
    told: dict[str, Any] = {"scopes": READS, "subject": "alice", "by": "operator"} | other
    account = told.pop("account", "default")
    return await tokens_of(world).create(account, name, **told)


# --- what counts ------------------------------------------------------------------------------


async def test_a_token_stands_for_its_subject_in_its_account_with_its_scopes(world: World) -> None:
    text = await a_token(world, account="acme", scopes=("admin", "numbers:read", "admin"))

    assert await tokens_of(world).verify(text) == Identity(
        "acme", "alice", frozenset({"admin", "numbers:read"}), "ci"
    )


async def test_a_token_says_what_it_is_and_two_are_never_alike(world: World) -> None:
    one, two = await a_token(world, "one"), await a_token(world, "two")

    assert re.fullmatch(r"cb\.default\.[0-9a-f]{24}\.[A-Za-z0-9_-]{43}", one)
    assert not set(one.split(".")[2:]) & set(two.split(".")[2:])


async def test_what_is_not_the_token_to_the_letter_is_nobody_s(world: World) -> None:
    text = await a_token(world)
    head, account, token_id, secret = text.split(".")
    other = "A" if secret[0] != "A" else "B"
    # The last letter of 32 bytes in base64 has two bits to spare: the same bytes, another text.
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    twin = secret[:-1] + letters[letters.index(secret[-1]) ^ 1]
    assert base64.urlsafe_b64decode(twin + "=") == base64.urlsafe_b64decode(secret + "=")
    wrong = [
        "", "cb", "cb...", text.upper(), f" {text}", f"{text} ", f"{text}\n", f"{text}.", f"{text}=",
        text[:-1], f"{text}A", text.replace("cb.", "CB."), text.replace("cb.", ""),
        f"{head}.acme.{token_id}.{secret}", f"{head}..{token_id}.{secret}",
        f"{head}.{account}.{token_id}.{other}{secret[1:]}", f"{head}.{account}.{token_id}.",
        f"{head}.{account}.{token_id}.{'A' * 43}", f"{head}.{account}.{'0' * 24}.{secret}",
        f"{head}.{account}.{token_id.upper()}.{secret}" if token_id.upper() != token_id else "x",
        f"{head}.{account}.{token_id}.{twin}", f"{head}.{account}.{token_id}.{secret[:-1]}é",
        f"{head}.DEFAULT.{token_id}.{secret}", f"{head}.default\x00.{token_id}.{secret}",
        hashlib.sha256(secret.encode()).hexdigest(), "x" * 100_000,
    ]  # fmt: skip

    assert [w for w in wrong if await tokens_of(world).verify(w) is not None] == []
    assert await tokens_of(world).verify(text) is not None


async def test_a_hash_read_from_the_store_is_no_token(world: World) -> None:
    text = await a_token(world)
    [row] = stage.query(world.database, "SELECT * FROM token")

    for secret in (row["hash"], row["hash"][:43], base64.urlsafe_b64encode(
        bytes.fromhex(row["hash"])).rstrip(b"=").decode()):  # fmt: skip
        forged = f"cb.default.{row['token_id']}.{secret}"
        assert await tokens_of(world).verify(forged) is None
    assert await tokens_of(world).verify(text) is not None


async def test_a_token_expires_to_the_moment(world: World) -> None:
    text = await a_token(world, days=1)

    world.clock.advance(DAY - 0.001)
    assert await tokens_of(world).verify(text) is not None
    world.clock.advance(0.001)
    assert await tokens_of(world).verify(text) is None


async def test_a_token_lasts_90_days_where_nothing_else_is_said(world: World) -> None:
    text = await a_token(world)

    world.clock.advance(90 * DAY - 1)
    assert await tokens_of(world).verify(text) is not None
    world.clock.advance(1)
    assert await tokens_of(world).verify(text) is None


async def test_a_token_without_an_end_has_none(world: World) -> None:
    text = await a_token(world, days=0)

    world.clock.advance(36500 * DAY)
    assert await tokens_of(world).verify(text) is not None


async def test_a_scope_that_is_known_no_more_is_left_out(world: World) -> None:
    text = await a_token(world)
    stage.execute(world.database, """UPDATE token SET scopes = '["numbers:read", "root"]'""")

    found = await tokens_of(world).verify(text)
    assert found is not None and found.scopes == frozenset({"numbers:read"})


# --- revoking ---------------------------------------------------------------------------------


async def test_a_revoked_token_counts_no_more_and_only_that_one(world: World) -> None:
    one, two = await a_token(world, "one"), await a_token(world, "two")
    elsewhere = await a_token(world, "one", account="acme")

    await tokens_of(world).revoke("default", "one", "operator")

    known = [await tokens_of(world).verify(t) is not None for t in (one, two, elsewhere)]
    assert known == [False, True, True]


async def test_what_another_process_revokes_counts_no_more_at_once(world: World) -> None:
    text, here = await a_token(world), tokens_of(world)
    script = (
        "import anyio, sys\n"
        "from pathlib import Path\n"
        "from cordboard.clock import system_clock\n"
        "from cordboard.stores.sqlite import SqliteStore\n"
        "from cordboard.tokens import Tokens\n"
        "tokens = Tokens(SqliteStore(Path(sys.argv[1])), system_clock)\n"
        "anyio.run(tokens.revoke, 'default', 'ci', 'operator')\n"
    )
    for _ in range(3):
        assert await here.verify(text) is not None

    await anyio.run_process([sys.executable, "-c", script, str(world.database)])

    assert await here.verify(text) is None


async def test_what_another_process_made_counts_at_once(world: World) -> None:
    here, there = tokens_of(world), SqliteStore(world.database)
    assert await here.verify("cb.default.0123456789abcdef01234567." + "A" * 43) is None

    text = await Tokens(there, world.clock).create(
        "default", "ci", scopes=READS, subject="alice", by="operator"
    )
    await there.close()

    assert await here.verify(text) is not None


@pytest.mark.parametrize("name", ["nobody", "", "ci; DROP TABLE token", "c%"])
async def test_revoking_what_is_not_there_is_refused(world: World, name: str) -> None:
    text = await a_token(world)

    with pytest.raises(InvalidArguments, match="no token named"):
        await tokens_of(world).revoke("default", name, "operator")
    assert await tokens_of(world).verify(text) is not None


async def test_revoking_twice_says_so(world: World) -> None:
    await a_token(world)
    await tokens_of(world).revoke("default", "ci", "operator")
    seq = await world.seq()

    with pytest.raises(InvalidArguments, match="revoked already"):
        await tokens_of(world).revoke("default", "ci", "operator")
    assert await world.seq() == seq


# --- making -----------------------------------------------------------------------------------


async def test_two_live_tokens_have_two_names(world: World) -> None:
    tokens = tokens_of(world)
    first = await a_token(world, days=1)
    with pytest.raises(InvalidArguments, match="is there already"):
        await a_token(world)
    assert await a_token(world, account="acme") and await a_token(world, "CI")

    await tokens.revoke("default", "ci", "operator")
    world.clock.advance(1)
    second = await a_token(world, days=1)
    world.clock.advance(DAY)
    third = await a_token(world)

    assert [await tokens.verify(t) is not None for t in (first, second, third)] == [
        False, False, True
    ]  # fmt: skip
    now = stamp(world.clock())
    assert [t.state(now) for t in await tokens.everyone("default") if t.name == "ci"] == [
        "revoked", "expired", "live"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"name": ""}, "name is"),
        ({"name": "a b"}, "name is"),
        ({"name": "-x"}, "name is"),
        ({"name": "x" * 65}, "name is"),
        ({"name": "naïve"}, "name is"),
        ({"name": "x\n"}, "name is"),
        ({"account": "../x"}, "account's name"),
        ({"account": ""}, "account's name"),
        ({"subject": ""}, "subject is"),
        ({"subject": " "}, "subject is"),
        ({"subject": "a\x1b[2J"}, "subject is"),
        ({"subject": "\udc80"}, "subject is"),
        ({"subject": "a" * 201}, "subject is"),
        ({"scopes": ()}, "without a scope"),
        ({"scopes": ("numbers:read", "numbers:READ")}, 'no scope "numbers:READ"'),
        ({"scopes": ("*",)}, "no scope"),
        ({"scopes": ("numbers:read numbers:write",)}, "no scope"),
        ({"days": -1}, "1 to 3650 days"),
        ({"days": 3651}, "1 to 3650 days"),
    ],
    ids=str,
)
async def test_what_makes_no_token_is_refused_and_nothing_is_written(
    world: World, wrong: dict[str, Any], says: str
) -> None:
    seq = await world.seq()
    given = {"name": "ci"} | wrong

    with pytest.raises(InvalidArguments, match=says):
        await a_token(world, given.pop("name"), **given)
    assert await world.seq() == seq and not stage.query(world.database, "SELECT * FROM token")


async def test_the_journal_tells_who_made_and_who_revoked_and_no_secret(world: World) -> None:
    text = await a_token(world, days=1, scopes=("numbers:write", "numbers:read"))
    await tokens_of(world).revoke("default", "ci", "bob")

    made, gone = stage.query(world.database, "SELECT * FROM journal ORDER BY seq")
    assert (made["event"], made["principal"]) == ("token_added", "operator")
    assert (gone["event"], gone["principal"]) == ("token_revoked", "bob")
    secret = text.split(".")[3]
    assert secret not in str(made) and hashlib.sha256(secret.encode()).hexdigest() not in str(made)
    assert '"scopes":["numbers:read","numbers:write"]' in made["data"]
    assert '"expires_at":"2026-02-01T09:30:00.000Z"' in made["data"]
    assert not (await stage.verified(world)).fault


async def test_an_account_s_tokens_stand_in_its_own_journal(world: World) -> None:
    seq = await world.seq()
    await a_token(world, account="acme")

    assert await world.seq() == seq
    report = await world.app.store.read(lambda tx: journal.verify(tx, "acme"))
    assert (report.head.seq, report.fault) == (1, "")


# --- tokens that may approve ------------------------------------------------------------------


@pytest.fixture
def staffed() -> Iterator[World]:
    """A world with an approver."""
    with stage.stage() as made:
        yield made


STRONG = ["changes:approve", "admin"]


@pytest.mark.parametrize("scope", STRONG)
async def test_with_nobody_enrolled_a_token_that_may_approve_is_free(
    world: World, scope: str
) -> None:
    assert not await tokens_of(world).needs_approver("default", "ci", scopes=[scope], subject="a")
    assert await a_token(world, scopes=(scope,))


@pytest.mark.parametrize("scope", STRONG)
async def test_with_an_approver_enrolled_they_must_agree_to_a_token_that_may_approve(
    staffed: World, scope: str
) -> None:
    tokens = tokens_of(staffed)
    assert await tokens.needs_approver("default", "ci", scopes=[scope], subject="a")
    with pytest.raises(NotAllowed, match="as good as an approver"):
        await a_token(staffed, scopes=("numbers:read", scope))
    assert not stage.query(staffed.database, "SELECT * FROM token")

    ada = await stage.approver(staffed.server)
    assert await a_token(staffed, scopes=(scope,), approver=ada)

    [made] = stage.query(staffed.database, "SELECT * FROM journal WHERE event = 'token_added'")
    assert made["principal"] == "ada"


async def test_weaker_tokens_need_nobody(staffed: World) -> None:
    weak = tuple(scope for scope in SCOPES if scope not in STRONG)
    assert not await tokens_of(staffed).needs_approver("default", "ci", scopes=weak, subject="a")
    assert await a_token(staffed, scopes=weak)


async def test_an_approver_agrees_for_their_own_account_only(staffed: World) -> None:
    ada = await stage.approver(staffed.server)
    await staffed.app.service_of("acme").approvals.approvers.enrol(
        "ada", "another passphrase", "ada-the-user", None
    )

    with pytest.raises(NotAllowed, match="as good as an approver"):
        await a_token(staffed, account="acme", scopes=("admin",), approver=ada)


async def test_an_approver_who_was_removed_agrees_to_nothing(staffed: World) -> None:
    approvers = staffed.app.service.approvals.approvers
    ada = await stage.approver(staffed.server)
    await approvers.enrol("bob", "another passphrase", "bob-the-user", ada)
    await approvers.remove("ada", ada)

    with pytest.raises(NotAllowed, match="as good as an approver"):
        await a_token(staffed, scopes=("admin",), approver=ada)


# --- no secret anywhere -----------------------------------------------------------------------


async def test_no_file_beside_or_in_the_store_holds_a_token(world: World) -> None:
    texts = [await a_token(world, f"ci-{number}") for number in range(20)]
    await tokens_of(world).revoke("default", "ci-3", "operator")
    for text in texts:
        await tokens_of(world).verify(text)

    kept = b"".join(
        file.read_bytes() for file in world.database.parent.rglob("*") if file.is_file()
    )
    secrets = [text.split(".")[3] for text in texts]
    raw = [base64.urlsafe_b64decode(s + "=") for s in secrets]
    assert b"token_added" in kept
    assert not [s for s in secrets if s.encode() in kept or s[:20].encode() in kept]
    assert not [r for r in raw if r in kept or r.hex().encode() in kept]


async def test_no_log_and_no_error_shows_a_token(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    text = await a_token(world)
    tokens = tokens_of(world)
    assert await tokens.verify(text) and await tokens.verify(f"{text}x") is None
    await tokens.revoke("default", "ci", "operator")
    assert await tokens.verify(text) is None
    await anyio.lowlevel.checkpoint()  # what is asked in one turn of the loop is told of one moment
    world.database.rename(world.database.with_name("gone.db"))

    with pytest.raises(StoreUnavailable) as caught:
        await tokens.verify(text)

    said = caplog.text + "".join(traceback.format_exception(caught.value))
    assert text.split(".")[3] not in said and text.split(".")[3][:12] not in said


async def test_looking_a_token_up_writes_nothing(world: World) -> None:
    text = await a_token(world)
    before = world.database.read_bytes()

    for _ in range(50):
        assert await tokens_of(world).verify(text) is not None
        assert await tokens_of(world).verify(f"cb.default.{'0' * 24}.{'A' * 43}") is None

    assert world.database.read_bytes() == before


# --- through the whole server -----------------------------------------------------------------


async def test_a_request_with_a_revoked_expired_or_wrong_token_is_a_401(
    make_world: Worlds,
) -> None:
    world = make_world()
    async with on_the_web(world) as web:
        text = await web.token("ci", "numbers:read")
        assert await called(web.http, text) == 200
        assert await called(web.http, text[:-1]) == 401
        await web.tokens.revoke("default", "ci", "operator")
        assert await called(web.http, text) == 401
        again = await web.token("ci", "numbers:read")
        assert await called(web.http, again) == 200
        world.clock.advance(90 * DAY)
        assert await called(web.http, again) == 401


async def test_a_token_in_the_address_or_without_its_scheme_is_a_401(make_world: Worlds) -> None:
    async with on_the_web(make_world()) as web:
        text = await web.token("ci", "numbers:read")
        for headers, params in (
            ({}, {}),
            ({}, {"access_token": text}),
            ({"authorization": text}, {}),
            ({"authorization": f"Basic {text}"}, {}),
            ({"authorization": "Bearer"}, {}),
            ({"authorization": f"Bearer {text}, Bearer {text}"}, {}),
            ({"cookie": f"token={text}"}, {}),
        ):
            answer = await web.http.post("/mcp", headers=headers, params=params)
            assert answer.status_code == 401, (headers, params)
            challenge = answer.headers["www-authenticate"]
            assert challenge.startswith("Bearer") and "resource_metadata" not in challenge
            assert text not in answer.text

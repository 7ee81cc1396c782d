"""`GET /v1/routes/{number}`: what a voice stack of one's own is told at every call."""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import pytest
from tests.web.site import READS, WebWorld, on_the_web
from tests.world import (
    EMERGENCY,
    NOT_OWNED,
    POOL_ONE,
    PROTECTED,
    SEEDS,
    SUPPORT_LINE,
    TEST_ONE,
    TEST_THREE,
    TEST_TWO,
    SeedPathway,
    World,
    Worlds,
)

pytestmark = pytest.mark.anyio

HELD = SEEDS.bound("local:support", SUPPORT_LINE).bound("local:sales", TEST_ONE)
CHANGES = Path(__file__).parents[1] / "bench" / "changes.py"
TO_NIGHT: dict[str, Any] = {
    "from_agent": "local:support",
    "to_agent": "local:night",
    "numbers": [SUPPORT_LINE],
}
NOBODY = {
    "agent": "",
    "name": "",
    "pathway_id": "",
    "pathway_version": 0,
    "resolved_version": 0,
    "start_node_id": "",
}


@dataclass(frozen=True)
class VoiceStack:
    """Somebody's own voice stack: it asks with its token, and nothing else."""

    web: WebWorld
    headers: dict[str, str]

    async def ask(self, number: str, **headers: str) -> httpx.Response:
        """One look-up; `headers` with underscores for hyphens."""
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = await self.web.http.get(f"/v1/routes/{number}", headers=self.headers | more)
        await anyio.lowlevel.checkpoint()  # as after every request that comes over a socket
        return answer

    async def told(self, number: str) -> dict[str, Any]:
        """The whole answer for a number that is ours."""
        answer = await self.ask(number)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        assert found.pop("number") == number
        return found

    async def answers(self, number: str) -> str:
        """Who answers a number."""
        agent = (await self.told(number))["agent"]
        assert isinstance(agent, str)
        return agent


@asynccontextmanager
async def voice_stack(world: World, account: str = "default") -> AsyncIterator[VoiceStack]:
    async with on_the_web(world) as web:
        token = await web.bearer("voice", "routes:read", account=account)
        yield VoiceStack(web, token)


# --- what is told -----------------------------------------------------------------------------


async def test_it_tells_who_answers_and_on_which_pathway(make_world: Worlds) -> None:
    pinned: dict[str, Any] = {"pathway_version": 1, "start_node_id": "node_start"}
    seed = SEEDS.bound("local:sales", TEST_ONE, pathway_id="pathway_abc123", **pinned)
    async with voice_stack(make_world(seed)) as voice:
        answer = await voice.ask(TEST_ONE)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["content-length"] == str(len(answer.content))
    assert answer.json() == {
        "number": TEST_ONE,
        "agent": "local:sales",
        "name": "Sales Agent",
        "pathway_id": "pathway_abc123",
        "pathway_version": 1,
        "resolved_version": 1,
        "start_node_id": "node_start",
        "version": 1,
    }


async def test_where_the_number_has_no_pathway_of_its_own_the_agent_s_is_told(
    make_world: Worlds,
) -> None:
    async with voice_stack(make_world(HELD)) as voice:
        own = await voice.told(TEST_ONE)
        none = await voice.told(SUPPORT_LINE)
    assert (own["pathway_id"], own["pathway_version"], own["start_node_id"]) == (
        "pathway_sales",
        0,
        "",
    )
    assert none == NOBODY | {"agent": "local:support", "name": "Support Agent", "version": 1}


async def test_a_pathway_that_is_not_pinned_resolves_to_the_newest_version_there_is(
    make_world: Worlds,
) -> None:
    world = make_world(SEEDS.bound("local:support", TEST_ONE, pathway_id="pathway_abc123"))
    async with voice_stack(world) as voice:
        before = await voice.told(TEST_ONE)
        key = {"pathway_id": "pathway_abc123", "version": 3, "nodes": '["node_start"]'}
        await world.put("pathway_version_put", **key)
        after = await voice.told(TEST_ONE)
    assert (before["pathway_version"], before["resolved_version"]) == (0, 2)
    assert (after["pathway_version"], after["resolved_version"]) == (0, 3)


async def test_a_pathway_that_is_not_recorded_here_resolves_to_no_version(
    make_world: Worlds,
) -> None:
    seed = SEEDS.but(pathways=(SeedPathway("pathway_empty", "Empty"),))
    for pathway_id in ("pathway_elsewhere", "pathway_empty"):
        world = make_world(seed.bound("local:support", TEST_ONE, pathway_id=pathway_id))
        async with voice_stack(world) as voice:
            told = await voice.told(TEST_ONE)
        assert (told["pathway_id"], told["resolved_version"]) == (pathway_id, 0)


async def test_a_number_of_ours_that_nobody_answers_is_told_as_that(make_world: Worlds) -> None:
    calling = SEEDS.bound("local:campaign", POOL_ONE, direction="outbound")
    async with voice_stack(make_world(calling)) as voice:
        assert await voice.told(TEST_ONE) == NOBODY | {"version": 0}
        assert await voice.told(POOL_ONE) == NOBODY | {"version": 0}


async def test_a_number_that_is_not_ours_is_not_found(world: World) -> None:
    async with voice_stack(world) as voice:
        answer = await voice.ask(NOT_OWNED)
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "NUMBER_NOT_FOUND"
    assert "etag" not in answer.headers


async def test_protected_and_emergency_numbers_are_looked_up_like_any_other(
    make_world: Worlds,
) -> None:
    async with voice_stack(make_world(SEEDS.bound("local:night", PROTECTED, EMERGENCY))) as voice:
        assert await voice.answers(PROTECTED) == await voice.answers(EMERGENCY) == "local:night"


async def test_a_name_from_outside_is_told_harmless(make_world: Worlds) -> None:
    world = make_world(HELD)
    row = {"agent": "local:support", "direction": "inbound", "pathway_id": "", "user_id": "u"}
    await world.put("agent_put", **row, name="Ring\x1b[2J \u202eme", at="2026-01-31T09:00:00.000Z")
    async with voice_stack(world) as voice:
        name = (await voice.told(SUPPORT_LINE))["name"]
    assert "\x1b" not in name
    assert "\u202e" not in name


# --- how it is asked --------------------------------------------------------------------------


async def test_the_plus_may_be_percent_encoded(make_world: Worlds) -> None:
    async with voice_stack(make_world(HELD)) as voice:
        encoded = await voice.ask(SUPPORT_LINE.replace("+", "%2B"))
        assert encoded.content == (await voice.ask(SUPPORT_LINE)).content


@pytest.mark.parametrize(
    ("written", "meant"),
    [("14155551234", SUPPORT_LINE), ("+1 415 555 1234", SUPPORT_LINE), ("00", ""), ("%F0%9F%93%9E", "")],
)  # fmt: skip
async def test_what_is_no_number_is_refused_with_the_form_that_may_be_meant(
    world: World, written: str, meant: str
) -> None:
    async with voice_stack(world) as voice:
        answer = await voice.ask(written)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (400, "INVALID_NUMBER_FORMAT")
    assert ("Did you mean" in error["what"]) == bool(meant)
    assert meant in error["what"]


async def test_without_a_token_that_counts_nothing_is_told(world: World) -> None:
    async with on_the_web(world) as web:
        for headers in ({}, {"authorization": "Bearer cb.x"}, {"authorization": "Basic eDp5"}):
            answer = await web.http.get(f"/v1/routes/{SUPPORT_LINE}", headers=headers)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"].startswith("Bearer")
            assert answer.json()["error"]["code"] == "UNAUTHENTICATED"


async def test_a_token_without_the_scope_is_refused_and_told_which_it_needs(world: World) -> None:
    async with on_the_web(world) as web:
        scopes = (*READS, "numbers:write", "changes:approve", "admin")
        headers = await web.bearer("alice", *scopes)
        for number in (SUPPORT_LINE, NOT_OWNED, "nonsense"):
            answer = await web.http.get(f"/v1/routes/{number}", headers=headers)
            assert answer.status_code == 403
            assert "routes:read" in answer.json()["error"]["what"]


async def test_the_numbers_of_one_account_are_not_there_for_another(make_world: Worlds) -> None:
    world = make_world(HELD)
    async with voice_stack(world) as ours, voice_stack(world, "acme") as theirs:
        assert await ours.answers(SUPPORT_LINE) == "local:support"
        assert (await theirs.ask(SUPPORT_LINE)).status_code == 404


async def test_it_is_for_looking_only(world: World) -> None:
    async with voice_stack(world) as voice:
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            path = f"/v1/routes/{SUPPORT_LINE}"
            answer = await voice.web.http.request(method, path, headers=voice.headers)
            assert answer.status_code == 405
            assert answer.json()["error"]["code"] == "METHOD_NOT_ALLOWED"


# --- asking again -----------------------------------------------------------------------------


async def test_a_caller_that_has_the_answer_is_told_just_that(make_world: Worlds) -> None:
    async with voice_stack(make_world(HELD)) as voice:
        whole = await voice.ask(SUPPORT_LINE)
        tag = whole.headers["etag"]
        assert tag.startswith('"') and tag.endswith('"')
        for known in (tag, f"W/{tag}", f'"other", {tag}', f'W/"other",{tag}', "*"):
            again = await voice.ask(SUPPORT_LINE, if_none_match=known)
            assert (again.status_code, again.content) == (304, b""), known
            assert again.headers["etag"] == tag
            assert again.headers["cache-control"] == "private, no-cache"
            assert "content-type" not in again.headers
        for unknown in ('"other"', tag.strip('"'), f"{tag[:-1]}x", "", ","):
            again = await voice.ask(SUPPORT_LINE, if_none_match=unknown)
            assert (again.status_code, again.content) == (200, whole.content), unknown


async def test_no_copy_may_be_used_unasked_or_by_others(make_world: Worlds) -> None:
    async with voice_stack(make_world(HELD)) as voice:
        headers = (await voice.ask(SUPPORT_LINE)).headers
        refused = (await voice.ask(NOT_OWNED)).headers
    assert headers["cache-control"] == "private, no-cache"
    assert headers["vary"] == "authorization"
    assert refused["cache-control"] == "no-store"


async def test_head_tells_the_same_headers(make_world: Worlds) -> None:
    async with voice_stack(make_world(HELD)) as voice:
        whole = await voice.ask(SUPPORT_LINE)
        path = f"/v1/routes/{SUPPORT_LINE}"
        head = await voice.web.http.head(path, headers=voice.headers)
    assert head.status_code == 200
    assert head.headers == whole.headers


async def test_the_etag_changes_exactly_when_the_answer_does(make_world: Worlds) -> None:
    world = make_world(HELD, policy="relaxed")
    async with voice_stack(world) as voice:

        async def tag() -> str:
            return str((await voice.ask(TEST_ONE)).headers["etag"])

        first = await tag()
        planned = await world.call(
            "move_numbers", from_agent="local:sales", to_agent="local:night", numbers=[TEST_ONE]
        )
        await world.done("attach_numbers", agent="local:support", numbers=[TEST_TWO])
        assert await tag() == first, "neither a plan nor another number's change is in the answer"

        await world.call("apply_plan", plan_id=planned.plan_id)
        moved = await tag()
        assert moved != first
        told = await voice.told(TEST_ONE)
        assert (told["agent"], told["version"]) == ("local:night", 2)

        row = {"agent": "local:night", "direction": "inbound", "pathway_id": "", "user_id": "u"}
        await world.put("agent_put", **row, name="Owl", at="2026-01-31T09:31:00.000Z")
        assert await tag() not in (first, moved)


# --- never stale ------------------------------------------------------------------------------


async def test_what_another_process_changes_is_told_by_the_next_answer(make_world: Worlds) -> None:
    world = make_world(HELD)
    async with voice_stack(world) as voice:
        assert await voice.answers(SUPPORT_LINE) == "local:support"
        for taker, giver in [
            ("local:night", "local:support"),
            ("local:support", "local:night"),
        ] * 5:
            await world.done(
                "move_numbers", from_agent=giver, to_agent=taker, numbers=[SUPPORT_LINE]
            )
            assert await voice.answers(SUPPORT_LINE) == taker


async def test_under_a_stream_of_changes_no_answer_is_older_than_a_change_that_was_told_before(
    make_world: Worlds,
) -> None:
    """Another process moves three numbers, one after another, and tells each move once it is
    applied; meanwhile they are looked up without end."""
    numbers = [TEST_ONE, TEST_TWO, TEST_THREE]
    world = make_world(SEEDS.bound("local:support", *numbers))
    told, looked = dict.fromkeys(numbers, 1), 0
    environ = dict(os.environ) | {
        "CORDBOARD_DATABASE": str(world.database),
        "CORDBOARD_POLICY": "relaxed",
    }
    command = [sys.executable, str(CHANGES), "0.002", "local:support", "local:night", *numbers]
    async with voice_stack(world) as voice:
        process = await anyio.open_process(command, env=environ, stderr=None)
        assert process.stdin is not None and process.stdout is not None
        with anyio.fail_after(120):
            async with process, anyio.create_task_group() as group:

                async def listen() -> None:
                    rest = b""
                    async for text in process.stdout:  # type: ignore[union-attr]
                        *lines, rest = (rest + text).split(b"\n")
                        for line in lines:
                            number, _, version = line.decode().split()
                            told[number] = int(version)

                group.start_soon(listen)
                while sum(told.values()) < 60:
                    assert process.returncode is None
                    number = numbers[looked % len(numbers)]
                    before = told[number]
                    answer = await voice.told(number)
                    assert answer["version"] >= before
                    assert (
                        answer["agent"] == ("local:night", "local:support")[answer["version"] % 2]
                    )
                    looked += 1
                    await anyio.lowlevel.checkpoint()
                await process.stdin.aclose()
    assert looked > 100


async def test_a_revoked_token_counts_no_more_at_once_wherever_it_was_revoked(
    make_world: Worlds,
) -> None:
    world = make_world(HELD)
    async with voice_stack(world) as voice:
        for _ in range(3):
            assert (await voice.ask(SUPPORT_LINE)).status_code == 200
        await voice.web.tokens.revoke("default", "voice", "operator")
        assert (await voice.ask(SUPPORT_LINE)).status_code == 401


async def test_a_token_that_expires_counts_no_more_though_nothing_was_committed(
    make_world: Worlds,
) -> None:
    world = make_world(HELD)
    async with voice_stack(world) as voice:
        assert (await voice.ask(SUPPORT_LINE)).status_code == 200
        world.clock.advance(91 * 86400)
        assert (await voice.ask(SUPPORT_LINE)).status_code == 401


# --- while somebody commits -------------------------------------------------------------------


def is_shut(database: Path) -> bool:
    """Whether a commit keeps readers out of the store just now."""
    with closing(sqlite3.connect(database, timeout=0)) as reader:
        try:
            reader.execute("SELECT seq FROM account").fetchone()
        except sqlite3.OperationalError:
            return True
    return False


@asynccontextmanager
async def commit_held_up(other: World, plan_id: str) -> AsyncIterator[None]:
    """Within, another process is in the middle of the commit that applies a plan: a reader of the
    test's own keeps it from its end."""
    with closing(sqlite3.connect(other.database, isolation_level=None)) as slow:
        slow.execute("BEGIN")
        slow.execute("SELECT seq FROM account").fetchone()
        async with anyio.create_task_group() as group:

            async def apply() -> None:
                assert (await other.call("apply_plan", plan_id=plan_id)).status == "applied"

            group.start_soon(apply)
            while not is_shut(other.database):
                await anyio.lowlevel.checkpoint()
            yield
            assert is_shut(other.database)
            slow.execute("ROLLBACK")


async def test_while_a_commit_keeps_readers_out_what_is_still_in_force_is_told_at_once(
    make_world: Worlds,
) -> None:
    world = make_world(HELD)
    other = world.another("relaxed")
    async with voice_stack(world) as voice:
        planned = await other.call("move_numbers", **TO_NIGHT)
        assert await voice.answers(SUPPORT_LINE) == "local:support"
        with anyio.fail_after(30):
            async with commit_held_up(other, planned.plan_id):
                for _ in range(20):
                    assert await voice.answers(SUPPORT_LINE) == "local:support"
        assert await voice.answers(SUPPORT_LINE) == "local:night"


async def test_while_a_commit_keeps_readers_out_nothing_older_is_told_and_nothing_unseen(
    make_world: Worlds,
) -> None:
    world = make_world(HELD)
    other = world.another("relaxed")
    async with voice_stack(world) as voice:
        assert await voice.answers(SUPPORT_LINE) == "local:support"
        await world.done("move_numbers", **TO_NIGHT)
        planned = await other.call("attach_numbers", agent="local:sales", numbers=[TEST_TWO])
        assert await voice.answers(TEST_TWO) == ""
        heard: dict[str, str] = {}

        async def ask(number: str) -> None:
            heard[number] = await voice.answers(number)

        with anyio.fail_after(30):
            async with (
                anyio.create_task_group() as group,
                commit_held_up(other, planned.plan_id),
            ):
                group.start_soon(ask, SUPPORT_LINE)  # told before, of a state that is over
                group.start_soon(ask, TEST_ONE)  # never asked before
                for _ in range(20):
                    assert await voice.answers(TEST_TWO) == ""
                assert heard == {}
        assert heard == {SUPPORT_LINE: "local:night", TEST_ONE: "local:sales"}
        assert await voice.answers(TEST_TWO) == "local:sales"


async def test_a_store_that_is_gone_is_told_as_that(make_world: Worlds) -> None:
    world = make_world(HELD)
    async with voice_stack(world) as voice:
        assert (await voice.ask(SUPPORT_LINE)).status_code == 200
        world.database.rename(world.database.with_suffix(".away"))
        answer = await voice.ask(SUPPORT_LINE)
        assert answer.status_code == 503
        assert answer.json()["error"]["code"] == "STORE_UNAVAILABLE"
        world.database.with_suffix(".away").rename(world.database)
        assert (await voice.ask(SUPPORT_LINE)).status_code == 200

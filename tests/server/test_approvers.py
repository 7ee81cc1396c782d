"""Who may approve: only somebody whose passphrase was checked just now, and who is still enrolled."""

from __future__ import annotations

import json

import anyio
import pytest
from tests.exams import stage
from tests.world import World, Worlds

from cordboard.approvers import Approver, Approvers, VerifiedApprover
from cordboard.errors import InvalidArguments, NotAllowed
from cordboard.stores.plans import PlanRecord

pytestmark = pytest.mark.anyio
TEST_NUMBER = "+12025551234"


async def planned(world: World) -> PlanRecord:
    """A plan that an approver must approve."""
    plan = await world.call("attach_numbers", agent="local:support", numbers=[TEST_NUMBER])
    return await world.app.service.approvals.find(plan.plan_id)


async def test_a_name_without_a_checked_passphrase_is_no_verified_approver() -> None:
    with pytest.raises(TypeError):
        VerifiedApprover(Approver("mallory", "mallory", "", ""), seal=object())


async def test_an_approver_removed_after_giving_the_passphrase_approves_nothing() -> None:
    with stage.stage(policy="strict") as world:
        desk = world.app.service.approvals
        record, who = await planned(world), await stage.approver(world.server)
        await desk.approvers.remove(who.name, who)
        with pytest.raises(NotAllowed, match="no longer enrolled"):
            await desk.approve(record, who)
        assert not stage.bindings(world.database)


async def test_many_wrong_passphrases_at_once_have_to_wait_as_well() -> None:
    with stage.stage() as world:
        approvers = world.app.service.approvals.approvers
        refused: list[int] = []

        async def guess(number: int) -> None:
            refused.append(await wait_after(approvers, stage.APPROVER, f"guess {number}"))

        async with anyio.create_task_group() as guessers:
            for number in range(20):
                guessers.start_soon(guess, number)
        assert sorted(refused) == [0] * 3 + [30] * 17
        assert await wait_after(approvers, stage.APPROVER, stage.PASSPHRASE) == 30


async def test_the_wait_doubles_with_each_further_wrong_one_up_to_a_quarter_of_an_hour() -> None:
    with stage.stage() as world:
        approvers = world.app.service.approvals.approvers
        for _ in range(3):
            assert await wait_after(approvers, stage.APPROVER, "wrong") == 0
        for wait in (30, 60, 120, 240, 480, 900, 900, 900):
            assert await wait_after(approvers, stage.APPROVER, stage.PASSPHRASE) == wait
            world.clock.advance(wait - 0.5)
            assert await wait_after(approvers, stage.APPROVER, stage.PASSPHRASE) == 1
            world.clock.advance(0.5)
            assert await wait_after(approvers, stage.APPROVER, "wrong") == 0
        world.clock.advance(900)
        assert (await approvers.verify(stage.APPROVER, stage.PASSPHRASE)).name == stage.APPROVER
        assert await wait_after(approvers, stage.APPROVER, "wrong") == 0


async def test_the_refusal_says_how_many_seconds() -> None:
    with stage.stage() as world:
        approvers = world.app.service.approvals.approvers
        for _ in range(3):
            await wait_after(approvers, stage.APPROVER, "wrong")
        world.clock.advance(12.3)
        with pytest.raises(NotAllowed, match="Too many wrong") as caught:
            await approvers.verify(stage.APPROVER, stage.PASSPHRASE)
        assert "Wait 18 seconds, then try again." in str(caught.value)


async def test_every_try_is_journaled_and_one_that_has_to_wait_is_none() -> None:
    with stage.stage() as world:
        approvers = world.app.service.approvals.approvers
        await stage.approver(world.server)
        for _ in range(6):
            await wait_after(approvers, stage.APPROVER, "wrong")
        for number in range(6):
            await wait_after(approvers, f"nobody-{number}", stage.PASSPHRASE)
        assert await tries(world) == [
            ("ada", 1),
            ("ada", 1),
            ("ada", 2),
            ("ada", 3),
            ("(unknown name)", 1),
            ("(unknown name)", 2),
            ("(unknown name)", 3),
        ]
        assert not (await stage.verified(world)).fault


async def test_what_was_typed_as_a_name_is_written_nowhere() -> None:
    with stage.stage() as world:
        approvers = world.app.service.approvals.approvers
        await wait_after(approvers, stage.PASSPHRASE, "ada")
        kept = [file.read_bytes() for file in world.home.rglob("*") if file.is_file()]
        assert stage.PASSPHRASE.encode() not in b"".join(kept)


async def test_guessing_names_is_slowed_and_keeps_nobody_out_who_is_enrolled() -> None:
    with stage.stage() as world:
        approvers = world.app.service.approvals.approvers
        waits = [await wait_after(approvers, f"name-{n}", "wrong") for n in range(10)]
        assert waits == [0] * 3 + [30] * 7
        assert (await approvers.verify(stage.APPROVER, stage.PASSPHRASE)).name == stage.APPROVER
        world.clock.advance(30)
        assert await wait_after(approvers, "name-11", "wrong") == 0
        assert await wait_after(approvers, "name-12", "wrong") == 60
        world.clock.advance(3601)
        assert [await wait_after(approvers, "x", "wrong") for _ in range(4)] == [0, 0, 0, 30]


async def test_a_name_that_is_none_is_told_what_an_unknown_one_is() -> None:
    with stage.stage() as world:
        approvers = world.app.service.approvals.approvers
        for _ in range(3):
            await wait_after(approvers, "nobody", "wrong")
        for name in ("nobody", "nobody-else", "not a name", "", "\udc80", "x" * 999):
            assert await wait_after(approvers, name, "wrong") == 30


async def test_what_strangers_try_at_the_page_shuts_out_nobody_at_another_door() -> None:
    with stage.stage() as world:
        approvers = world.app.service.approvals.approvers
        for _ in range(3):
            with pytest.raises(NotAllowed):
                await approvers.verify(stage.APPROVER, "wrong", "sign-in")
        with pytest.raises(NotAllowed, match="Too many wrong"):
            await approvers.verify(stage.APPROVER, stage.PASSPHRASE, "sign-in")
        for door in ("session", "terminal"):
            found = await approvers.verify(stage.APPROVER, stage.PASSPHRASE, door)
            assert found.name == stage.APPROVER


async def test_strangers_have_one_short_queue_and_none_of_the_approvers_places() -> None:
    with stage.stage() as world:
        approvers = world.app.service.approvals.approvers
        told: list[str] = []

        async def guess(number: int) -> None:
            with pytest.raises(NotAllowed) as caught:
                await approvers.verify(f"nobody-{number}", "wrong", "sign-in")
            told.append(caught.value.what)

        async with anyio.create_task_group() as group:
            for number in range(30):
                group.start_soon(guess, number)
            await anyio.wait_all_tasks_blocked()
            assert (await approvers.verify(stage.APPROVER, stage.PASSPHRASE)).name == stage.APPROVER
        assert told.count("Too many people sign in at this moment.") == 22


async def test_a_passphrase_that_is_no_text_is_just_wrong() -> None:
    with stage.stage() as world:
        approvers = world.app.service.approvals.approvers
        assert await wait_after(approvers, stage.APPROVER, "\udc80") == 0
        assert await wait_after(approvers, stage.APPROVER, "x" * 1_000_000) == 0


async def test_a_clock_that_was_set_back_makes_nobody_wait_for_it() -> None:
    with stage.stage() as world:
        approvers = world.app.service.approvals.approvers
        for _ in range(3):
            await wait_after(approvers, stage.APPROVER, "wrong")
        world.clock.advance(-86400)
        assert (await approvers.verify(stage.APPROVER, stage.PASSPHRASE)).name == stage.APPROVER


async def test_two_servers_whose_clocks_differ_are_no_way_around_the_wait() -> None:
    with stage.stage() as world:
        approvers = world.app.service.approvals.approvers
        for _ in range(3):
            assert await wait_after(approvers, stage.APPROVER, "wrong") == 0
        for minutes in (1, 10, 15):
            world.clock.advance(-60 * minutes)
            assert await wait_after(approvers, stage.APPROVER, "wrong") == 60 * minutes + 30
            world.clock.advance(60 * minutes)
        world.clock.advance(-60)
        assert await wait_after(approvers, stage.APPROVER, stage.PASSPHRASE) == 90
        world.clock.advance(90)
        assert (await approvers.verify(stage.APPROVER, stage.PASSPHRASE)).name == stage.APPROVER


async def test_wrong_ones_at_another_account_are_counted_there() -> None:
    with stage.stage() as world:
        for _ in range(3):
            await wait_after(world.app.service.approvals.approvers, stage.APPROVER, "wrong")
        there = world.app.service_of("acme").approvals.approvers
        assert await wait_after(there, stage.APPROVER, "wrong") == 0


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_an_account_nobody_ever_used_is_not_begun_by_a_stranger_s_try(
    kind: str, request: pytest.FixtureRequest
) -> None:
    on = request.getfixturevalue("postgres") if kind == "postgres" else None
    with stage.stage(on=on) as world:
        there = world.app.service_of("any-name").approvals.approvers
        assert [await wait_after(there, "ada", "wrong") for _ in range(5)] == [0] * 5
        for table in ("account", "journal", "passphrase_try"):
            found = stage.query(stage.place(world), f"SELECT account FROM {table}")  # noqa: S608 - ours
            assert {row["account"] for row in found} <= {"default"}


async def test_the_right_passphrase_starts_the_count_anew() -> None:
    with stage.stage() as world:
        approvers = world.app.service.approvals.approvers
        for _ in range(3):
            for _ in range(2):
                assert await wait_after(approvers, stage.APPROVER, "not it, surely") == 0
            assert (await approvers.verify(stage.APPROVER, stage.PASSPHRASE)).name == stage.APPROVER


async def test_an_approver_goes_by_every_name_they_sign_in_with(make_world: Worlds) -> None:
    approvers = make_world().app.service.approvals.approvers
    subjects = ("Alice@Example.com", "00u1a2b3", "Alice@Example.com")
    alice = await approvers.enrol("Alice", stage.PASSPHRASE, "ALICE-the-user", None, subjects)

    again = await approvers.verify("Alice", stage.PASSPHRASE)
    [kept] = await approvers.everyone()
    assert kept.subjects == ("Alice@Example.com", "00u1a2b3")
    assert (
        alice.people == again.people == {"alice", "alice-the-user", "alice@example.com", "00u1a2b3"}
    )
    assert again.account == "default"


@pytest.mark.parametrize(
    "subjects", [("",), ("a\x1b",), ("a" * 201,), tuple(f"s{n}" for n in range(21))], ids=str
)
async def test_a_subject_that_names_nobody_enrols_nobody(
    world: World, subjects: tuple[str, ...]
) -> None:
    approvers = world.app.service.approvals.approvers
    with pytest.raises(InvalidArguments, match="ubject"):
        await approvers.enrol("alice", stage.PASSPHRASE, "alice-the-user", None, subjects)
    assert await approvers.everyone() == []


async def wait_after(approvers: Approvers, name: str, passphrase: str) -> int:
    """How many seconds a refused try has to wait; 0 where it was just wrong."""
    with pytest.raises(NotAllowed) as caught:
        await approvers.verify(name, passphrase)
    return caught.value.retry_after


async def tries(world: World) -> list[tuple[str, int]]:
    """Who was tried, and the how manieth in a row it was."""
    rows = await world.app.store.read(
        lambda tx: tx.all("journal_page", account="default", after=0, limit=1000)
    )
    told = [r for r in rows if r["event"] == "passphrase_tried"]
    return [(r["principal"], json.loads(r["data"])["in_a_row"]) for r in told]

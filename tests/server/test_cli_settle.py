"""`cordboard plans settle`: what became of a change whose answer was lost, by reading or by a word."""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.platforms.vendors import (
    B_FREE,
    B_HELD,
    SALES,
    SUPPORT,
    U_AGENT,
    U_FREE,
    U_FREE_TOO,
    Vendors,
    vendors,
)
from tests.platforms.wire import Fault
from tests.server.test_cli_approvals import NAME, PASSPHRASE, PROGRAM, SECRET, Terminal
from tests.world import EMPTY, Clock, Person, World, Worlds

from cordboard.approvers import VerifiedApprover
from cordboard.errors import (
    InvalidArguments,
    NotAllowed,
    NotSupported,
    NumberHeld,
    PlatformUnreachable,
)
from cordboard.stores import operations
from cordboard.stores.plans import PlanRecord

# A test process has threads; pty.fork says so from Python 3.12 on.
pytestmark = [
    pytest.mark.anyio,
    pytest.mark.filterwarnings("ignore:This process .*multi-threaded:DeprecationWarning"),
]

AT_SUPPORT, AT_SALES, AT_U = f"bland:{SUPPORT}", f"bland:{SALES}", f"unleashx:{U_AGENT}"
UNKNOWN_PLAN = "plan_0123456789abcdef01234567"


@dataclass
class Scene:
    """Accounts at vendors, a Cordboard for them, and two approvers."""

    at: Vendors
    world: World
    alice: VerifiedApprover
    bob: VerifiedApprover

    async def ask(self, tool: str, **arguments: Any) -> PlanRecord:
        """A change asked for; alice approves it where a yes in the client is not enough."""
        reply = await self.world.call(tool, person=Person("yes"), **arguments)
        record = await self.record(reply.plan_id)
        if record.state != "open":
            return record
        await self.world.app.service.approvals.approve(record, self.alice)
        return await self.record(reply.plan_id)

    async def record(self, plan_id: str) -> PlanRecord:
        return await self.world.app.service.approvals.find(plan_id)

    async def settle(self, record: PlanRecord, **said: Any) -> PlanRecord:
        return await self.world.app.engine.settle(record, said.get("said", {}), said.get("by"))

    def blind(self) -> None:
        """From now on Bland cannot be reached for reading."""
        self.at.wires["bland"].faults.append(Fault("refuse", on="read", times=100_000))

    def see(self) -> None:
        """Bland can be reached again."""
        self.at.wires["bland"].faults.clear()

    async def let_go(self, fault: Fault, tool: str, **arguments: Any) -> PlanRecord:
        """A change at Bland whose answer is lost, and that could not be read until it was let go."""
        self.at.wires["bland"].faults.append(fault)
        record = await self.ask(tool, **arguments)
        assert record.state == "unknown"
        self.blind()
        for _ in range(40):
            if await self.operation(record) is None:
                break
            self.at.clock.advance(50)
            await self.world.app.engine.caught_up(record)
        assert await self.operation(record) is None, "it is still held"
        self.see()
        return await self.record(record.plan_id)

    async def operation(self, record: PlanRecord) -> operations.Operation | None:
        return await self.world.app.store.read(
            lambda tx: operations.find(tx, "default", record.plan_id)
        )

    async def at_unleashx(self, *numbers: str) -> PlanRecord:
        """An attach at UnleashX whose answers are all lost, let go after the quiet period."""
        wire = self.at.wires["unleashx"]
        wire.faults.append(Fault("reset_after", times=len(numbers)))
        record = await self.ask(
            "attach_numbers", agent=AT_U, numbers=list(numbers), provider="exotel"
        )
        assert record.state == "unknown"
        self.at.clock.advance(120)
        await self.world.app.engine.caught_up(record)
        assert await self.operation(record) is None
        return await self.record(record.plan_id)

    async def journal(self, record: PlanRecord) -> list[tuple[str, str, Any]]:
        """The events of a plan: name, by whom, and the number and outcome it is about."""
        rows = await self.world.app.store.read(
            lambda tx: tx.all("journal_page", account="default", after=0, limit=1000)
        )
        mine = [row for row in rows if row["plan_id"] == record.plan_id]
        told = [json.loads(row["data"]) for row in mine]
        return [
            (row["event"], row["principal"], (data.get("number"), data.get("outcome")))
            for row, data in zip(mine, told, strict=True)
        ]

    def environ(self, **more: str) -> dict[str, str]:
        """What the real program is started with on this store."""
        clean = {n: v for n, v in os.environ.items() if not n.startswith("CORDBOARD_")}
        ours = {"TERM": "dumb", "CORDBOARD_DATABASE": str(self.world.database)}
        return {**clean, **ours, "UNLEASHX_TOKEN": self.at.unleashx.key, **more}

    def piped(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """`cordboard plans settle …` by a program: no terminal anywhere."""
        return subprocess.run(
            [*PROGRAM, "plans", "settle", *arguments],
            env=self.environ(**environ),
            input=f"alice\n{PASSPHRASE}\n",
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def at_terminal(self, *arguments: str) -> Terminal:
        return Terminal([*PROGRAM, "plans", "settle", *arguments], self.environ())


async def scene_of(make_world: Worlds, clock: Clock) -> Scene:
    at = vendors(clock)
    world = make_world(EMPTY, clock=clock, outside=at.outside, **at.environ)
    approvers = world.app.service.approvals.approvers
    alice = await approvers.enrol("alice", PASSPHRASE, "somebody", None)
    bob = await approvers.enrol("bob", PASSPHRASE, "somebody else", alice)
    return Scene(at, world, alice, bob)


@pytest.fixture
async def scene(make_world: Worlds) -> Scene:
    return await scene_of(make_world, Clock())


async def attach(scene: Scene, fault: Fault) -> PlanRecord:
    return await scene.let_go(fault, "attach_numbers", agent=AT_SUPPORT, numbers=[B_FREE])


# --- by reading ---------------------------------------------------------------------------------


async def test_reading_again_finds_that_it_was_done(scene: Scene) -> None:
    record = await attach(scene, Fault("reset_after"))
    writes = len(scene.at.bland.writes)
    settled = await scene.settle(record)
    assert settled.state == "applied" and settled.closed_at
    user = scene.world.settings.principal
    assert (await scene.journal(record))[-2:] == [
        ("settled", user, (B_FREE, "applied")),
        ("applied", user, (None, None)),
    ]
    assert len(scene.at.bland.writes) == writes
    assert await scene.operation(record) is None
    undone = await scene.ask("undo_plan", plan_id=record.plan_id)
    assert undone.state == "applied", "what was found to be applied can be undone"


async def test_reading_again_finds_that_it_was_not_done(scene: Scene) -> None:
    record = await attach(scene, Fault("reset_before"))
    settled = await scene.settle(record)
    assert settled.state == "failed"
    assert "it was not done" in settled.closed_why
    assert scene.at.bland.state.numbers[B_FREE].persona is None


async def test_reading_again_finds_somebody_elses_number(scene: Scene) -> None:
    record = await scene.let_go(
        Fault("reset_before"),
        "move_numbers",
        from_agent=AT_SUPPORT,
        to_agent=AT_SALES,
        numbers=[B_HELD],
    )
    scene.at.bland.state.numbers[B_HELD].persona = SALES
    scene.at.bland.state.numbers[B_HELD].settings = {"pathway_id": "pathway_abc123"}
    settled = await scene.settle(record)
    assert settled.state == "failed"
    assert settled.closed_why.startswith(f"conflict: {AT_SALES} on pathway")


async def test_a_move_found_halfway_is_told_and_not_gone_on_with(scene: Scene) -> None:
    record = await scene.let_go(
        Fault("reset_before", skip=1),
        "move_numbers",
        from_agent=AT_SUPPORT,
        to_agent=AT_SALES,
        numbers=[B_HELD],
    )
    writes = len(scene.at.bland.writes)
    settled = await scene.settle(record)
    assert settled.state == "partly_applied"
    assert settled.steps[0].state == "not_applied"
    assert settled.steps[0].detail.startswith("only partly: nobody holds it now")
    scene.at.clock.advance(3600)
    await scene.world.app.engine.recover("default")
    assert len(scene.at.bland.writes) == writes
    assert scene.at.bland.state.numbers[B_HELD].persona is None


async def test_a_move_that_somebody_put_back_meanwhile_is_not_told_as_nothing(
    scene: Scene,
) -> None:
    record = await scene.let_go(
        Fault("reset_before", skip=1),
        "move_numbers",
        from_agent=AT_SUPPORT,
        to_agent=AT_SALES,
        numbers=[B_HELD],
    )
    scene.at.bland.state.numbers[B_HELD].persona = SUPPORT
    assert (await scene.settle(record)).state == "failed"
    told = await scene.world.call("get_plan", plan_id=record.plan_id)
    assert "Nothing was changed" not in told.message, "nobody answered it for a while"


async def test_how_long_nobody_answered_is_not_told_when_it_is_not_known(scene: Scene) -> None:
    record = await scene.let_go(
        Fault("reset_after", skip=1),
        "move_numbers",
        from_agent=AT_SUPPORT,
        to_agent=AT_SALES,
        numbers=[B_HELD],
    )
    settled = await scene.settle(record)
    assert settled.state == "applied"
    assert "unrouted" not in settled.steps[0].detail


async def test_a_platform_that_still_does_not_answer_changes_nothing_and_holds_nothing(
    scene: Scene,
) -> None:
    record = await attach(scene, Fault("reset_after"))
    before = await scene.world.seq()
    scene.blind()
    with pytest.raises(PlatformUnreachable):
        await scene.settle(record)
    assert await scene.world.seq() == before
    assert await scene.operation(record) is None
    scene.see()
    assert (await scene.settle(record)).state == "applied"


async def test_while_it_is_held_nothing_is_read_and_it_is_told_until_when(scene: Scene) -> None:
    scene.at.wires["bland"].faults.append(Fault("reset_after"))
    record = await scene.ask("attach_numbers", agent=AT_SUPPORT, numbers=[B_FREE])
    found = await scene.operation(record)
    assert found is not None
    before, asked = await scene.world.seq(), len(scene.at.wires["bland"].requests)
    with pytest.raises(NumberHeld, match=f"held until {found.due_at}"):
        await scene.settle(record, said={B_FREE: "applied"}, by=scene.bob)
    assert await scene.world.seq() == before
    assert len(scene.at.wires["bland"].requests) == asked


async def test_once_the_quiet_period_is_over_it_is_read_and_settled(scene: Scene) -> None:
    scene.at.wires["bland"].faults.append(Fault("reset_after"))
    record = await scene.ask("attach_numbers", agent=AT_SUPPORT, numbers=[B_FREE])
    assert record.state == "unknown"
    scene.at.clock.advance(60)
    assert (await scene.settle(record)).state == "applied"


async def test_a_number_that_another_plan_changed_since_is_not_told_by_reading(
    scene: Scene,
) -> None:
    record = await attach(scene, Fault("reset_after"))
    await scene.ask("move_numbers", from_agent=AT_SUPPORT, to_agent=AT_SALES, numbers=[B_FREE])
    assert scene.at.bland.state.numbers[B_FREE].persona == SALES
    assert (await scene.settle(record)).state == "unknown"
    settled = await scene.settle(record, said={B_FREE: "applied"}, by=scene.bob)
    assert settled.state == "applied"


async def test_what_changed_since_is_told_by_the_journals_order_and_not_by_clocks(
    scene: Scene,
) -> None:
    """The other plan may be another machine's, whose clock is behind."""
    record = await attach(scene, Fault("reset_after"))
    scene.at.clock.advance(-3 * 3600)
    scene.at.bland.forget_the_past()
    await scene.ask("move_numbers", from_agent=AT_SUPPORT, to_agent=AT_SALES, numbers=[B_FREE])
    assert scene.at.bland.state.numbers[B_FREE].persona == SALES
    assert (await scene.settle(record)).state == "unknown"


async def test_a_plan_that_was_made_earlier_may_have_changed_a_number_since(scene: Scene) -> None:
    """It was applied when this one was let go, and its own answer was lost too."""
    asked = await scene.world.call("attach_numbers", agent=AT_SALES, numbers=[B_FREE])
    earlier = await scene.record(asked.plan_id)
    record = await attach(scene, Fault("reset_before"))
    scene.at.wires["bland"].faults.append(Fault("reset_after"))
    await scene.world.app.service.approvals.approve(earlier, scene.alice)
    scene.blind()
    for _ in range(40):
        scene.at.clock.advance(50)
        await scene.world.app.engine.recover("default")
    scene.see()
    assert (await scene.record(earlier.plan_id)).state == "unknown"
    assert scene.at.bland.state.numbers[B_FREE].persona == SALES
    assert (await scene.settle(record)).state == "unknown"


async def test_a_number_that_another_plan_is_changing_now_is_not_read(scene: Scene) -> None:
    record = await attach(scene, Fault("reset_before"))
    scene.at.wires["bland"].faults.append(Fault("reset_after"))
    other = await scene.ask("attach_numbers", agent=AT_SUPPORT, numbers=[B_FREE])
    assert other.state == "unknown"
    with pytest.raises(NumberHeld, match=other.plan_id):
        await scene.settle(record)


async def test_of_two_plans_that_are_unknown_the_newer_is_told_by_reading(scene: Scene) -> None:
    older = await attach(scene, Fault("reset_before"))
    newer = await attach(scene, Fault("reset_after"))
    assert (await scene.settle(older)).state == "unknown"
    assert (await scene.settle(newer)).state == "applied"


async def test_a_process_without_the_platforms_key_says_so(scene: Scene) -> None:
    record = await attach(scene, Fault("reset_after"))
    bare = scene.world.another("relaxed")
    with pytest.raises(NotSupported, match="bland is not configured here"):
        await bare.app.engine.settle(record, {B_FREE: "applied"}, scene.bob)


# --- by a person's word -------------------------------------------------------------------------


async def test_what_cannot_be_read_stays_unknown_until_somebody_says_it(scene: Scene) -> None:
    record = await scene.at_unleashx(U_FREE)
    before = await scene.world.seq()
    assert (await scene.settle(record)).state == "unknown"
    assert await scene.world.seq() == before


@pytest.mark.parametrize(("said", "state"), [("applied", "applied"), ("not_applied", "failed")])
async def test_a_word_ends_the_plan_and_stands_in_the_journal(
    scene: Scene, said: str, state: str
) -> None:
    record = await scene.at_unleashx(U_FREE)
    asked = len(scene.at.wires["unleashx"].requests)
    settled = await scene.settle(record, said={U_FREE: said}, by=scene.bob)
    assert settled.state == state
    assert (settled.used, settled.closed_by) == ("person", "alice")
    assert "found so at unleashx by bob" in settled.steps[0].detail
    assert (await scene.journal(record))[-2:] == [
        ("settled", "bob", (U_FREE, said)),
        (state, "alice", (None, None)),
    ]
    assert len(scene.at.wires["unleashx"].requests) == asked


async def test_each_number_can_have_a_word_of_its_own(scene: Scene) -> None:
    record = await scene.at_unleashx(U_FREE, U_FREE_TOO)
    halfway = await scene.settle(record, said={U_FREE: "applied"}, by=scene.bob)
    assert halfway.state == "unknown"
    settled = await scene.settle(halfway, said={U_FREE_TOO: "not_applied"}, by=scene.bob)
    assert settled.state == "partly_applied"
    assert [step.state for step in settled.steps] == ["applied", "not_applied"]
    again = await scene.settle(settled, said={U_FREE: "not_applied"}, by=scene.bob)
    assert again == settled, "what is final stays so"


async def test_where_reading_tells_it_no_word_counts(scene: Scene) -> None:
    record = await attach(scene, Fault("reset_after"))
    settled = await scene.settle(record, said={B_FREE: "not_applied"}, by=scene.bob)
    assert settled.state == "applied"
    assert "bob" not in [by for _, by, _ in await scene.journal(record)]


async def test_where_reading_fails_a_word_counts(scene: Scene) -> None:
    record = await attach(scene, Fault("reset_after"))
    scene.blind()
    settled = await scene.settle(record, said={B_FREE: "applied"}, by=scene.bob)
    assert settled.state == "applied"
    assert ("settled", "bob", (B_FREE, "applied")) in await scene.journal(record)


async def test_of_a_move_begun_a_no_is_no_failure_without_a_trace(scene: Scene) -> None:
    record = await scene.let_go(
        Fault("reset_before", skip=1),
        "move_numbers",
        from_agent=AT_SUPPORT,
        to_agent=AT_SALES,
        numbers=[B_HELD],
    )
    scene.blind()
    settled = await scene.settle(record, said={B_HELD: "not_applied"}, by=scene.bob)
    assert settled.state == "partly_applied", "the detach is known to be in effect"


async def test_a_word_needs_an_approver_who_is_enrolled(scene: Scene) -> None:
    record = await scene.at_unleashx(U_FREE)
    with pytest.raises(NotAllowed):
        await scene.settle(record, said={U_FREE: "applied"})
    await scene.world.app.service.approvals.approvers.remove("bob", scene.alice)
    with pytest.raises(NotAllowed, match="bob is no longer enrolled"):
        await scene.settle(record, said={U_FREE: "applied"}, by=scene.bob)
    assert (await scene.record(record.plan_id)).state == "unknown"


async def test_a_word_about_a_number_that_is_not_in_question_is_refused(scene: Scene) -> None:
    record = await scene.at_unleashx(U_FREE)
    with pytest.raises(InvalidArguments, match=re.escape(U_FREE_TOO)):
        await scene.settle(record, said={U_FREE: "applied", U_FREE_TOO: "applied"}, by=scene.bob)
    assert (await scene.record(record.plan_id)).state == "unknown"


# --- the command --------------------------------------------------------------------------------


async def test_the_command_says_until_when_the_numbers_are_held(make_world: Worlds) -> None:
    clock = Clock()
    clock.now = datetime.now(UTC) + timedelta(seconds=90)  # a little ahead of the program's own
    until = f"until {(clock.now + timedelta(seconds=45)).isoformat()[:16]}"
    scene = await scene_of(make_world, clock)
    scene.at.wires["unleashx"].faults.append(Fault("reset_after"))
    record = await scene.ask("attach_numbers", agent=AT_U, numbers=[U_FREE], provider="exotel")
    before = await scene.world.seq()
    for arguments in ([], ["--as", "applied"], ["--json"]):
        done = scene.piped(record.plan_id, *arguments)
        assert done.returncode == 1
        assert done.stderr.startswith("NUMBER_HELD: ") and until in done.stderr
    assert json.loads(done.stdout)["error"]["code"] == "NUMBER_HELD"
    assert await scene.world.seq() == before


async def test_the_command_says_how_to_tell_it_what_cannot_be_read(scene: Scene) -> None:
    record = await scene.at_unleashx(U_FREE)
    before = await scene.world.seq()
    done = scene.piped(record.plan_id)
    assert done.returncode == 1
    assert f"cordboard plans settle {record.plan_id} --as applied" in done.stdout
    assert json.loads(scene.piped(record.plan_id, "--json").stdout)["status"] == "unknown"
    assert await scene.world.seq() == before


async def test_the_command_takes_an_approvers_word_at_a_terminal(scene: Scene) -> None:
    record = await scene.at_unleashx(U_FREE)
    terminal = scene.at_terminal(record.plan_id, "--as", "applied")
    said = terminal.answers((NAME, "bob"), (SECRET, PASSPHRASE)).ends(0)
    assert said.index(U_FREE) < said.index(NAME), "it shows what it asks about"
    assert (await scene.record(record.plan_id)).state == "applied"
    assert ("settled", "bob", (U_FREE, "applied")) in await scene.journal(record)
    before = await scene.world.seq()
    again = scene.piped(record.plan_id, "--as", "not_applied")
    assert again.returncode == 0, again.stderr
    assert "--as not_applied was not needed" in again.stdout
    assert await scene.world.seq() == before


async def test_the_command_takes_a_word_for_one_number_of_several(scene: Scene) -> None:
    record = await scene.at_unleashx(U_FREE, U_FREE_TOO)
    one = ("--number", U_FREE_TOO)
    terminal = scene.at_terminal(record.plan_id, "--as", "not_applied", *one)
    said = terminal.answers((NAME, "bob"), (SECRET, PASSPHRASE)).ends(1)
    assert "--number names one number of several" in said
    steps = (await scene.record(record.plan_id)).steps
    assert [step.state for step in steps] == ["unknown", "not_applied"]


async def test_a_wrong_passphrase_settles_nothing(scene: Scene) -> None:
    record = await scene.at_unleashx(U_FREE)
    terminal = scene.at_terminal(record.plan_id, "--as", "applied")
    said = terminal.answers(*[(NAME, "bob"), (SECRET, "not the passphrase")] * 3).ends(1)
    assert said.count("NOT_ALLOWED: Unknown name or wrong passphrase.") == 3
    assert (await scene.record(record.plan_id)).state == "unknown"


async def test_no_word_is_taken_without_a_terminal(scene: Scene) -> None:
    record = await scene.at_unleashx(U_FREE)
    done = scene.piped(record.plan_id, "--as", "applied")
    assert (done.returncode, done.stderr.partition(":")[0]) == (1, "APPROVAL_REQUIRED")
    assert (await scene.record(record.plan_id)).state == "unknown"


async def test_with_nobody_enrolled_the_command_says_who_may(scene: Scene) -> None:
    record = await scene.at_unleashx(U_FREE)
    approvers = scene.world.app.service.approvals.approvers
    await approvers.remove("alice", scene.bob)
    await approvers.remove("bob", scene.bob)
    said = scene.at_terminal(record.plan_id, "--as", "applied").ends(1)
    assert "cordboard approvers add NAME" in said and NAME not in said


async def test_where_reading_fails_the_command_says_so_and_still_takes_a_word(
    scene: Scene,
) -> None:
    record = await attach(scene, Fault("reset_after"))
    unreachable = {"BLAND_API_KEY": "key-1f9e", "BLAND_BASE_URL": "http://127.0.0.1:9"}
    config = scene.world.home / "quick.toml"
    config.write_text("request_seconds = 0.01\n", "utf-8")
    unreachable["CORDBOARD_CONFIG"] = str(config)
    alone = scene.piped(record.plan_id, **unreachable)
    assert (alone.returncode, alone.stderr.partition(":")[0]) == (1, "PLATFORM_UNREACHABLE")
    assert "--as" in alone.stderr
    command = [*PROGRAM, "plans", "settle", record.plan_id, "--as", "applied"]
    terminal = Terminal(command, scene.environ(**unreachable))
    said = terminal.answers((NAME, "bob"), (SECRET, PASSPHRASE)).ends(0)
    assert "It cannot be read now. PLATFORM_UNREACHABLE" in said
    assert (await scene.record(record.plan_id)).state == "applied"


async def test_a_plan_that_is_not_unknown_prints_its_result(scene: Scene) -> None:
    record = await scene.ask("attach_numbers", agent=AT_SUPPORT, numbers=[B_FREE])
    done = scene.piped(record.plan_id)
    assert done.returncode == 0, done.stderr
    assert "Done and read back: attach 1 number" in done.stdout
    assert json.loads(scene.piped(record.plan_id, "--json").stdout)["status"] == "applied"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ([UNKNOWN_PLAN], "PLAN_NOT_FOUND"),
        ([UNKNOWN_PLAN, "--as", "applied"], "PLAN_NOT_FOUND"),
        ([UNKNOWN_PLAN, "--number", U_FREE], "INVALID_ARGUMENTS"),
    ],
)
async def test_what_makes_no_sense_is_refused(
    scene: Scene, arguments: list[str], code: str
) -> None:
    done = scene.piped(*arguments)
    assert (done.returncode, done.stderr.partition(":")[0]) == (1, code)


async def test_a_number_that_is_not_in_question_is_refused_before_anybody_is_asked(
    scene: Scene,
) -> None:
    record = await scene.at_unleashx(U_FREE)
    terminal = scene.at_terminal(record.plan_id, "--as", "applied", "--number", U_FREE_TOO)
    said = terminal.ends(1)
    assert "INVALID_ARGUMENTS: " in said and NAME not in said


async def test_a_read_only_process_settles_nothing(scene: Scene) -> None:
    record = await scene.at_unleashx(U_FREE)
    done = scene.piped(record.plan_id, CORDBOARD_READ_ONLY="1")
    assert (done.returncode, done.stderr.partition(":")[0]) == (1, "READ_ONLY")

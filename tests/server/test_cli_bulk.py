"""`cordboard attach`: many numbers, one plan, one approval, with the real program at a real terminal."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from tests.platforms.vendors import B_FREE, B_FREE_TOO, U_FREE, U_FREE_TOO
from tests.platforms.wire import Fault
from tests.server.test_cli_approvals import (
    NAME,
    PASSPHRASE,
    PROGRAM,
    SECRET,
    Machine,
    Terminal,
)
from tests.server.test_cli_settle import AT_SUPPORT, AT_U, Scene, scene_of
from tests.world import (
    EMERGENCY,
    INDIA,
    NOT_OWNED,
    PROTECTED,
    SEEDS,
    SUPPORT_LINE,
    TEST_ONE,
    TEST_TWO,
    UNKNOWN_PURPOSE,
    Clock,
    SeedNumber,
    Worlds,
    fill,
    many,
    names,
)

from cordboard.answers import ChangeResult
from cordboard.cli.bulk.planning import Wanted, planned
from cordboard.clock import stamp
from cordboard.stores import Transaction, operations, plans
from cordboard.stores.sqlite import SqliteStore

# A test process has threads; pty.fork says so from Python 3.12 on.
pytestmark = pytest.mark.filterwarnings("ignore:This process .*multi-threaded:DeprecationWarning")

LINES = 2_000
POOL = many(LINES, label="Berlin Desk", tags=("pool",))
DESK = (
    *POOL,
    SeedNumber("+442071234567", "vonage", "berlin Front", tags=("Pool", "front")),
    SeedNumber("+442071234568", "vonage", "=2+3 Bern", tags=("pool",)),
)
SIGNED = ((NAME, "alice"), (SECRET, PASSPHRASE))
TO_SUPPORT = ("attach", "--agent", "local:support")
PLAN = re.compile(r"plan_[0-9a-f]{24}")


@pytest.fixture(scope="session")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """A machine with 2,000 numbers more than the seeds', INDIA at sales, and alice an approver."""
    machine = Machine(tmp_path_factory.mktemp("stocked"))
    seed = SEEDS.but(numbers=SEEDS.numbers + DESK).bound("local:sales", INDIA)

    async def work() -> None:
        store = SqliteStore(machine.database)
        await store.write(lambda tx: fill(tx, seed))
        await store.close()

    anyio.run(work)
    machine.enrol()
    return machine


@pytest.fixture
def desk(stocked: Machine, tmp_path: Path) -> Machine:
    """A copy of it."""
    return stocked.copied(tmp_path)


def listed(machine: Machine, *numbers: str) -> str:
    """A file of these numbers, as a spreadsheet writes it."""
    path = machine.home / "numbers.csv"
    path.write_text("".join(f"{line}\r\n" for line in ("number", *numbers)), "utf-8")
    return str(path)


def as_json(machine: Machine, *arguments: str) -> dict[str, Any]:
    done = machine.piped(*TO_SUPPORT, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def refused(machine: Machine, *arguments: str, typed: str = "") -> str:
    """What it says on standard error, when nothing at all was planned."""
    before = machine.events()
    done = machine.piped(*TO_SUPPORT, *arguments, typed=typed)
    assert done.returncode == 1 and done.stdout == "", done.stdout
    assert machine.events() == before
    return done.stderr


def events(machine: Machine) -> list[str]:
    """What became of plans."""
    return [event["event"] for event in machine.events() if event["plan_id"]]


def at_support(machine: Machine) -> int:
    """How many numbers the agent has."""
    done = machine.piped("agents", "--json")
    return int(
        {a["agent"]: a["numbers"] for a in json.loads(done.stdout)["agents"]}["local:support"]
    )


# --- one plan, one approval -------------------------------------------------------------------


def test_a_file_of_numbers_is_one_plan_with_one_approval(desk: Machine) -> None:
    path = listed(desk, *names(POOL))

    said = desk.at_terminal(*TO_SUPPORT, "--from", path).answers(*SIGNED).ends(0)

    assert "attach 2,000 numbers to local:support" in said
    assert "Carrier: 2,000 telnyx." in said and "Purpose: 2,000 TEST." in said
    assert said.count("Passphrase: ") == 1
    assert "Done and read back: attach 2,000 numbers to local:support." in said
    assert events(desk) == ["planned", "approved", "applied"]
    assert at_support(desk) == LINES
    assert desk.piped("journal", "verify").returncode == 0


def test_there_is_no_way_around_the_approval(desk: Machine) -> None:
    path = listed(desk, *names(POOL))
    assert desk.piped(*TO_SUPPORT, "--from", path, "--yes").returncode == 2

    said = refused(desk, "--from", path)

    assert said.startswith("APPROVAL_REQUIRED: Only a person at a terminal can do this")
    assert "--plan-only" in said


def test_few_test_numbers_wait_for_an_approver_too_whatever_the_policy_says(desk: Machine) -> None:
    relaxed = desk.with_(CORDBOARD_POLICY="relaxed")

    told = as_json(relaxed, "--match", "label:Test Tor")
    tried = relaxed.call("apply_plan", plan_id=told["plan_id"])

    assert told["counts"]["planned"] == 1 and told["guard"]["required"] == "person"
    assert told["approve"]["command"].endswith(f"cordboard approve {told['plan_id']}")
    assert tried.status == "awaiting_approval" and at_support(desk) == 0


def test_whoever_approves_many_numbers_is_told_how_many_of_which_kind(desk: Machine) -> None:
    path = listed(desk, *names(POOL[:40]), PROTECTED, EMERGENCY, UNKNOWN_PURPOSE)

    said = desk.at_terminal(*TO_SUPPORT, "--from", path).answers(*SIGNED).ends(0)
    told = as_json(desk, "--agent", "local:campaign", "--from", path)
    question = desk.call("get_plan", plan_id=told["plan_id"])

    assert "Carrier: 40 telnyx, 1 vonage, 1 plivo, 1 bandwidth." in said
    assert "Purpose: 2 PRODUCTION, 1 not known, 40 TEST." in said
    assert "Held now by: 43 nobody." in said
    assert "Tagged protected or emergency_callback: 1 protected, 1 emergency_callback." in said
    assert told["by_guarded_tag"] == {"protected": 1, "emergency_callback": 1}
    assert told["by_purpose"] == {"PRODUCTION": 2, "": 1, "TEST": 40}
    assert question["counts"]["planned"] == 43


def test_a_plan_can_be_made_here_and_approved_elsewhere(desk: Machine) -> None:
    path = listed(desk, *names(POOL))

    done = desk.piped(*TO_SUPPORT, "--from", path, "--plan-only", "--reason", "Move to Berlin")

    [plan_id] = set(PLAN.findall(done.stdout))
    why = "2,000 numbers in one plan, more than numbers_per_plan = 25"
    assert f"Level person: {why}." in done.stdout
    assert f"cordboard approve {plan_id}" in done.stdout
    assert done.stdout.count("nobody -> local:support") == 10 and "and 1,990 more" in done.stdout
    assert at_support(desk) == 0
    said = desk.at_terminal("approve", plan_id).answers(*SIGNED).ends(0)
    assert '"Move to Berlin"' in said
    assert at_support(desk) == LINES


def test_the_hourly_budget_counts_these_numbers_too(desk: Machine) -> None:
    few, one = listed(desk, *names(POOL[:25])), names(POOL[25:26])[0]
    desk.at_terminal(*TO_SUPPORT, "--from", few).answers(*SIGNED).ends(0)

    told = as_json(desk, "--from", listed(desk, one))

    assert told["guard"]["required"] == "person"
    assert told["guard"]["why"] == (
        "25 numbers changed in the last hour and 1 now, more than numbers_per_hour = 25"
    )


def test_a_plan_that_policy_freezes_is_not_made(desk: Machine) -> None:
    desk.piped("freeze", "--reason", "incident")

    assert refused(desk, "--match", "tag:pool", "--plan-only").startswith("FROZEN")
    read_only = desk.with_(CORDBOARD_READ_ONLY="1")
    assert refused(read_only, "--match", "tag:pool", "--plan-only").startswith("READ_ONLY")


# --- which numbers ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "count"),
    [
        (["label:Berlin"], LINES + 1),
        (["label:BERLIN F"], 1),
        (["tag:pool"], LINES + 2),
        (["tag:pool", "tag:front"], 1),
        (["tag:pool", "provider:Vonage"], 2),
        (["provider:exotel", "state:attached"], 0),
        (["state:FREE"], LINES + 2 + len(SEEDS.numbers) - 1),
    ],
)
def test_numbers_match_by_all_that_is_asked(desk: Machine, words: list[str], count: int) -> None:
    options = [option for word in words for option in ("--match", word)]
    if not count:
        assert "NUMBER_ATTACHED_ELSEWHERE" in refused(desk, *options, "--plan-only")
        return

    told = as_json(desk, *options)

    assert told["counts"]["planned"] == count == sum(told["by_provider"].values())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "Numbers come from --from FILE, from --match, or from both."),
        (("--match", "berlin"), '--match "berlin" is none of its forms. Write label:PREFIX,'),
        (("--match", "provider:att"), "Known are san, ozonetell,"),
        (("--match", "state:free", "--match", "state:any"), "--match state: stands twice."),
        (("--match", "label:A", "--match", "label:B"), "--match label: stands twice. Give it once"),
        (("--match", "tag:nobody-has-it"), "No number at local matches tag:nobody-has-it."),
        (("--from", "-"), "With --from - nobody can answer"),
        (("--match", "tag:pool", "--reason", "x" * 501), "--reason takes at most 500"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_what_to_write(
    desk: Machine, options: tuple[str, ...], said: str
) -> None:
    plan_only = () if "-" in options else ("--plan-only",)
    told = refused(desk, *options, *plan_only)
    assert told.startswith("INVALID_ARGUMENTS: ") and said in told


def test_an_agent_without_its_platform_is_refused_with_what_to_write(desk: Machine) -> None:
    done = desk.piped("attach", "--agent", "support", "--match", "tag:pool", "--plan-only")
    assert done.returncode == 1 and "Write local:support; `cordboard agents`" in done.stderr


def test_for_an_outbound_agent_free_is_who_calls_from_no_number(desk: Machine) -> None:
    free = ("--agent", "local:campaign", "--match", "state:free", "--match", "label:Test")
    first = listed(desk, TEST_ONE)
    desk.at_terminal("attach", "--agent", "local:campaign", "--from", first).answers(*SIGNED).ends(
        0
    )
    desk.at_terminal(*TO_SUPPORT, "--from", listed(desk, TEST_TWO)).answers(*SIGNED).ends(0)

    told = as_json(desk, *free)

    assert TEST_ONE not in [change["number"] for change in told["changes"]]
    assert TEST_TWO in [change["number"] for change in told["changes"]]


def test_bad_rows_are_named_by_line_the_first_five_and_how_many(desk: Machine) -> None:
    wrong = ["0049 30 1234", "+1", TEST_ONE, "+14155550132x", "", "call me", "+49 30 12"]
    path = listed(desk, TEST_ONE, *wrong)

    said = refused(desk, "--from", path, "--plan-only")

    assert said.startswith("INVALID_ARGUMENTS: numbers.csv: 6 bad rows, so nothing is planned:\n")
    assert f"\n- line 5: {TEST_ONE} stands twice, first at line 2\n" in said
    assert "\n- line 3: " in said and "\n- line 4: " in said
    assert "\n- … and 1 more\n" in said and said.count("\n- line") == 5


def test_standard_input_is_a_list_of_numbers(desk: Machine) -> None:
    done = desk.piped(*TO_SUPPORT, "--from", "-", "--json", typed=f"number\n{TEST_ONE}\n")
    assert json.loads(done.stdout)["counts"]["planned"] == 1

    bare = desk.piped(*TO_SUPPORT, "--from", "-", "--plan-only", typed=f"{TEST_ONE}\n")
    assert bare.returncode == 1 and "there is no column number" in bare.stderr


def test_numbers_of_another_agent_are_refused_as_counts_with_the_first_lines(desk: Machine) -> None:
    path = listed(desk, *names(POOL[:500]), INDIA, NOT_OWNED)

    said = refused(desk, "--from", path, "--plan-only")

    assert said.startswith("NUMBER_NOT_FOUND: 2 numbers are refused of 502, and so all of them:")
    assert "NUMBER_ATTACHED_ELSEWHERE, 1:\n  line 502: " in said
    assert f"{INDIA} is attached to local:sales" in said
    assert f"NUMBER_NOT_FOUND, 1:\n  line 503: {NOT_OWNED} does not belong" in said
    assert SUPPORT_LINE in said, "the nearest owned number"
    assert "--match state:free" in said


def test_more_than_100_000_numbers_are_several_plans(desk: Machine) -> None:
    path = listed(desk, *(f"+1212{2_000_000 + index}" for index in range(100_001)))

    assert "LIMIT_EXCEEDED: One plan takes 100,000 numbers" in refused(
        desk, "--from", path, "--plan-only"
    )


def test_what_is_there_already_is_left_alone(desk: Machine) -> None:
    path = listed(desk, *names(POOL[:40]))
    desk.at_terminal(*TO_SUPPORT, "--from", path).answers(*SIGNED).ends(0)

    more = as_json(desk, "--from", listed(desk, *names(POOL[:50])))
    again = desk.piped(*TO_SUPPORT, "--from", listed(desk, *names(POOL[:40])), "--plan-only")

    assert (more["counts"]["planned"], more["counts"]["unchanged"]) == (10, 40)
    assert again.returncode == 0
    assert again.stdout.startswith("Nothing to do: all of it is so already.")


def test_the_same_command_says_that_all_that_was_free_is_there_already(desk: Machine) -> None:
    command = (*TO_SUPPORT, "--match", "label:Berlin", "--match", "state:free")
    desk.at_terminal(*command).answers(*SIGNED).ends(0)

    again = desk.piped(*command, "--plan-only")

    assert again.returncode == 0, again.stderr
    assert again.stdout.startswith("Nothing to do: all of it is so already.")
    assert f"{LINES + 1:,} numbers" in again.stdout


# --- the exact list ---------------------------------------------------------------------------


def test_the_exact_list_is_written_and_shown(desk: Machine) -> None:
    path = desk.home / "list.csv"

    told = as_json(desk, "--match", "tag:pool", "--list", str(path))

    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["number"] for row in rows} == {n.number for n in DESK}
    assert {row["label"] for row in rows} == {"Berlin Desk", "berlin Front", "'=2+3 Bern"}
    assert rows[0] == {
        "number": POOL[0].number,
        "label": "Berlin Desk",
        "provider": "telnyx",
        "purpose": "TEST",
        "tags": "pool",
        "before": "nobody",
        "after": "local:support",
        "outcome": "planned",
        "detail": "",
    }
    shown = desk.piped("plans", "show", told["plan_id"])
    assert shown.stdout.count("nobody -> local:support") == len(DESK)


def test_a_list_that_cannot_be_written_says_so_and_the_plan_stands(desk: Machine) -> None:
    done = desk.piped(*TO_SUPPORT, "--match", "tag:pool", "--list", "no/such/x.csv", "--plan-only")

    assert (
        done.returncode == 1
        and "--list: no/such/x.csv cannot be written: No such file or directory." in done.stderr
    )
    [plan_id] = PLAN.findall(done.stderr)
    assert desk.status(plan_id) == "awaiting_approval"


def test_an_assistant_is_shown_25_of_the_changes_and_the_counts(desk: Machine) -> None:
    plan_id = as_json(desk, "--match", "tag:pool")["plan_id"]

    plan = desk.call("get_plan", plan_id=plan_id)
    history = desk.call("list_changes", limit=20)

    assert len(plan["changes"]) == 25 and plan["counts"]["planned"] == len(DESK)
    assert len(plan.text) < 20_000
    assert [row["plan_id"] for row in history["changes"]] == [plan_id] * 20
    assert history["next_cursor"]


def test_undo_brings_all_of_them_back(desk: Machine) -> None:
    path = listed(desk, *names(POOL))
    said = desk.at_terminal(*TO_SUPPORT, "--from", path).answers(*SIGNED).ends(0)

    undone = desk.call("undo_plan", plan_id=PLAN.findall(said)[0])
    assert undone.status == "awaiting_approval", undone.text
    desk.at_terminal("approve", undone.plan_id).answers(*SIGNED).ends(0)

    assert at_support(desk) == 0


def test_a_terminal_says_how_to_undo_it_and_does(desk: Machine) -> None:
    path = listed(desk, *names(POOL[:3]))
    said = desk.at_terminal(*TO_SUPPORT, "--from", path).answers(*SIGNED).ends(0)
    plan_id = PLAN.findall(said)[0]
    assert f"`cordboard undo {plan_id}` reverses it." in said and "undo_plan" not in said

    nobody = desk.piped("undo", plan_id)
    assert nobody.returncode == 1 and nobody.stderr.startswith("APPROVAL_REQUIRED")
    undone = desk.at_terminal("undo", plan_id).answers(*SIGNED).ends(0)
    again = desk.at_terminal("undo", plan_id).ends(1)

    assert f"undo {plan_id}: change 3 numbers back" in undone
    assert at_support(desk) == 0 and "already undone by" in again


def test_a_reader_who_has_read_enough_is_no_failure(desk: Machine) -> None:
    plan_id = as_json(desk, "--match", "tag:pool")["plan_id"]
    show = f"{' '.join(PROGRAM)} plans show {plan_id} | head -1; exit ${{PIPESTATUS[0]}}"

    done = subprocess.run(
        ["bash", "-c", show], env=desk.environ, capture_output=True, timeout=60, check=False
    )

    assert done.returncode == 0 and done.stderr == b""


# --- going on ---------------------------------------------------------------------------------


def killed(terminal: Terminal) -> None:
    terminal.child.kill(signal.SIGKILL)
    terminal.child.wait()
    terminal.child.close()


def wait_for_write(machine: Machine, terminal: Terminal, which: int) -> None:
    """Until that many writes of the store were begun: SQLite then has a journal with a head."""
    journal, writing = machine.home / "cordboard.db-journal", False
    while which and terminal.child.isalive():
        with journal.open("rb") as file:
            now = file.read(4) != bytes(4)
        which -= now and not writing
        writing = now


def test_killed_before_the_approval_the_same_command_finds_the_same_plan(desk: Machine) -> None:
    path = listed(desk, *names(POOL))
    terminal = desk.at_terminal(*TO_SUPPORT, "--from", path)
    terminal.child.expect_exact(NAME)
    killed(terminal)

    said = desk.at_terminal(*TO_SUPPORT, "--from", path).answers(*SIGNED).ends(0)

    assert set(PLAN.findall(terminal.said)) == set(PLAN.findall(said))
    assert events(desk) == ["planned", "approved", "applied"]


def test_stopped_by_the_person_nothing_is_changed_and_the_plan_waits(desk: Machine) -> None:
    terminal = desk.at_terminal(*TO_SUPPORT, "--match", "tag:pool")
    terminal.child.expect_exact(NAME)
    terminal.child.sendintr()

    assert "Stopped. Nothing was changed." in terminal.ends(128 + signal.SIGINT)
    assert events(desk) == ["planned"]


def test_killed_while_applying_it_is_whole_or_not_at_all_and_the_same_command_goes_on(
    desk: Machine, tmp_path: Path
) -> None:
    path = listed(desk, *names(POOL))
    seen = set[int]()
    for turn in range(int(os.environ.get("CORDBOARD_EXAMPLES", "6"))):
        home = tmp_path / str(turn)
        home.mkdir()
        again = desk.copied(home)
        terminal = again.at_terminal(*TO_SUPPORT, "--from", path).answers(*SIGNED)
        wait_for_write(again, terminal, 1 + turn % 3)
        killed(terminal)

        done = at_support(again)
        assert done in (0, LINES)
        seen.add(done)
        rerun = again.at_terminal(*TO_SUPPORT, "--from", path)
        if done:
            assert "Nothing to do: all of it is so already." in rerun.ends(0)
        else:
            said = rerun.answers(*SIGNED).ends(0)
            assert PLAN.findall(said)[0] in terminal.said, "the plan that was open still"
        assert at_support(again) == LINES
        assert again.piped("journal", "verify").returncode == 0
    assert 0 in seen


def again_at_unleashx(scene: Scene, *numbers: str) -> subprocess.CompletedProcess[str]:
    """The real program, asked to attach these numbers there."""
    return subprocess.run(
        [*PROGRAM, "attach", "--agent", AT_U, "--provider", "exotel", "--from", "-", "--plan-only"],
        env=scene.environ(),
        input="\n".join(("number", *numbers)),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.anyio
async def test_at_a_vendor_the_same_command_goes_on_with_what_is_under_way(
    make_world: Worlds,
) -> None:
    scene = await scene_of(make_world, Clock())
    scene.at.wires["unleashx"].faults.append(Fault("reset_after", times=2))
    asked = {"agent": AT_U, "numbers": [U_FREE, U_FREE_TOO], "provider": "exotel"}
    begun = await scene.ask("attach_numbers", **asked)
    assert begun.state == "unknown"

    done = again_at_unleashx(scene, U_FREE_TOO, U_FREE)

    assert done.returncode == 1, "what became of it is not known"
    assert done.stdout.startswith(f"{begun.plan_id}: attach 2 numbers to {AT_U}")
    assert "Not known yet" in done.stdout
    assert len(await scene.world.app.service.approvals.newest()) == 1


async def left_under_way(scene: Scene, *numbers: str) -> str:
    """A plan of these numbers at UnleashX, begun by a process that ended before its first write."""
    asked = await scene.world.call(
        "attach_numbers", agent=AT_U, numbers=list(numbers), provider="exotel"
    )
    moment = stamp(scene.world.clock())

    def leave(tx: Transaction) -> None:
        record = plans.find(tx, "default", asked.plan_id)
        assert record is not None
        mine = operations.add(tx, "default", asked.plan_id, "unleashx", moment, moment)
        operations.hold(tx, mine, list(numbers))
        plans.begin(tx, record, moment, "alice", "person", [])

    await scene.world.app.store.write(leave)
    return asked.plan_id


@pytest.mark.anyio
async def test_a_machine_without_the_vendors_key_does_not_wait_for_what_is_under_way_there(
    make_world: Worlds, tmp_path: Path
) -> None:
    scene = await scene_of(make_world, Clock())
    plan_id = await left_under_way(scene, U_FREE, U_FREE_TOO)
    path = tmp_path / "numbers.csv"
    path.write_text(f"number\n{U_FREE}\n{U_FREE_TOO}\n", "utf-8")
    asked = ("attach", "--agent", AT_U, "--provider", "exotel", "--from", str(path))
    elsewhere = {n: v for n, v in scene.environ().items() if n != "UNLEASHX_TOKEN"}

    said = await anyio.to_thread.run_sync(Terminal([*PROGRAM, *asked], elsewhere).ends, 1)

    assert f"{plan_id}: attach 2 numbers to {AT_U}" in said and "Under way" in said


async def asked_again(scene: Scene, agent: str, *words: str) -> ChangeResult:
    """What `cordboard attach --match` comes to, in this process, which alone reaches the vendor."""
    wanted = Wanted.of(agent, "", list(words), "", "")
    result, _ = await planned(wanted, scene.world.app)
    return result


@pytest.mark.anyio
@pytest.mark.parametrize("fault", ["reset_after", "reset_before"])
async def test_at_a_vendor_what_was_free_is_found_again_whether_it_is_done_or_not(
    make_world: Worlds, fault: str
) -> None:
    scene = await scene_of(make_world, Clock())
    scene.at.wires["bland"].faults.append(Fault(fault))
    both = [B_FREE, B_FREE_TOO]
    begun = await scene.ask("attach_numbers", agent=AT_SUPPORT, numbers=both)
    assert begun.state == "unknown"

    found = await asked_again(scene, AT_SUPPORT, "state:free")

    assert (found.plan_id, found.status) == (begun.plan_id, "unknown")


@pytest.mark.anyio
async def test_what_holds_nothing_any_more_does_not_stop_the_same_command(
    make_world: Worlds,
) -> None:
    scene = await scene_of(make_world, Clock())
    left = await scene.let_go(
        Fault("reset_before"), "attach_numbers", agent=AT_SUPPORT, numbers=[B_FREE]
    )
    assert left.state == "unknown"

    found = await asked_again(scene, AT_SUPPORT, "label:Spare")

    assert found.plan_id != left.plan_id and found.status == "awaiting_approval"

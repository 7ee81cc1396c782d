"""Approving, rejecting, enrolling and freezing at a real terminal, with the real program."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from io import StringIO
from pathlib import Path
from typing import Any

import anyio
import pexpect
import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from tests.world import (
    INDIA,
    SECOND_LINE,
    SEEDS,
    SUPPORT_LINE,
    TEST_ONE,
    Person,
    Reply,
    SeedNumber,
    fill,
    many,
    names,
    read,
)

from cordboard import journal
from cordboard.app import build_server
from cordboard.config import Settings, load
from cordboard.stores.sqlite import SqliteStore

# A test process has threads; pty.fork says so from Python 3.12 on.
pytestmark = pytest.mark.filterwarnings("ignore:This process .*multi-threaded:DeprecationWarning")

PROGRAM = [sys.executable, "-m", "cordboard"]
PASSPHRASE = "correct horse battery"  # noqa: S105 - of people who exist in this file only
OTHER_PASSPHRASE = "staple of another kind"  # noqa: S105
NAME, SECRET = "Approver name: ", "Passphrase: "
NEW, REPEAT = "New passphrase: ", "Repeat passphrase: "
UNKNOWN_PLAN = "plan_0123456789abcdef01234567"


class Terminal:
    """One run of a command at a pseudo-terminal."""

    def __init__(self, command: list[str], environ: dict[str, str]) -> None:
        self._seen = StringIO()
        self.child: pexpect.spawn[str] = pexpect.spawn(
            command[0],
            command[1:],
            env=environ,
            encoding="utf-8",
            timeout=60,
            dimensions=(60, 250),
        )
        self.child.delaybeforesend = None  # every prompt comes after the echo is off
        self.child.logfile_read = self._seen

    def answers(self, *dialogue: tuple[str, str]) -> Terminal:
        """Wait for each prompt in turn, and type the line that belongs to it."""
        for prompt, line in dialogue:
            self.child.expect_exact(prompt)
            self.child.sendline(line)
        return self

    def ends(self, code: int) -> str:
        """Everything it said, once it has ended with this exit code."""
        self.child.expect(pexpect.EOF)
        self.child.close()
        said = self.said
        assert self.child.exitstatus == code, said
        return said

    @property
    def said(self) -> str:
        return self._seen.getvalue().replace("\r\n", "\n")


@dataclass
class Machine:
    """A machine with Cordboard on it: one store, the environment, and terminals."""

    home: Path
    more: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def environ(self) -> dict[str, str]:
        ours = {"TERM": "dumb", "CORDBOARD_DATABASE": str(self.database)}
        clean = {n: v for n, v in os.environ.items() if not n.startswith("CORDBOARD_")}
        return {**clean, **ours, **self.more}

    @property
    def database(self) -> Path:
        return self.home / "cordboard.db"

    @property
    def settings(self) -> Settings:
        return load({name: v for name, v in self.environ.items() if name.startswith("CORDBOARD_")})

    @property
    def user(self) -> str:
        return self.settings.principal

    def with_(self, **environ: str) -> Machine:
        """The same machine, with more in the environment."""
        return replace(self, more={**self.more, **environ})

    def copied(self, home: Path) -> Machine:
        """A copy of its store in another folder."""
        shutil.copy(self.database, home)
        return Machine(home)

    def at_terminal(self, *arguments: str) -> Terminal:
        return Terminal([*PROGRAM, *arguments], self.environ)

    def piped(self, *arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        """A command run by a program: no terminal anywhere."""
        return subprocess.run(
            [*PROGRAM, *arguments],
            env=self.environ,
            input=typed,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def call(self, tool: str, *, person: Person | None = None, **arguments: Any) -> Reply:
        """One call by a client of a server on this machine."""
        return self._call(self.settings, tool, person, arguments)

    def called_by(self, principal: str, tool: str, **arguments: Any) -> Reply:
        """One call by another user of the same store."""
        return self._call(replace(self.settings, principal=principal), tool, None, arguments)

    def _call(
        self, settings: Settings, tool: str, person: Person | None, arguments: dict[str, Any]
    ) -> Reply:
        async def work() -> Reply:
            server = build_server(settings)
            try:
                async with Client(server, elicitation_callback=person) as client:
                    return read(await client.call_tool(tool, arguments))
            finally:
                await server.app.store.close()

        return anyio.run(work)

    def plan(self, agent: str = "local:support", numbers: tuple[str, ...] = (SUPPORT_LINE,)) -> str:
        """A plan that waits for an approver, because the client cannot ask anybody."""
        reply = self.call("attach_numbers", agent=agent, numbers=list(numbers))
        assert reply.status == "awaiting_approval", reply.text
        return reply.plan_id

    def status(self, plan_id: str) -> str:
        return self.call("get_plan", plan_id=plan_id).status

    def holders(self, number: str = SUPPORT_LINE) -> list[str]:
        return [r["agent"] for r in self.call("get_number_route", number=number)["inbound"]]

    def events(self) -> list[dict[str, Any]]:
        """The journal, oldest first."""

        async def work() -> list[dict[str, Any]]:
            store = SqliteStore(self.database)
            try:
                return await store.read(lambda tx: [dict(r) for r in journal.rows(tx, "default")])
            finally:
                await store.close()

        return anyio.run(work)

    def enrol(self, name: str = "alice", passphrase: str = PASSPHRASE) -> None:
        """Enrol the first approver, at a terminal."""
        terminal = self.at_terminal("approvers", "add", name)
        terminal.answers((NEW, passphrase), (REPEAT, passphrase)).ends(0)


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """A machine whose store holds the seeds' numbers and agents; tests work on copies of it."""
    return _machine(tmp_path_factory.mktemp("filled"))


@pytest.fixture(scope="session")
def enrolled(filled: Machine, tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """The same where alice is an approver; her terminal is the one of that machine."""
    copy = filled.copied(tmp_path_factory.mktemp("enrolled"))
    copy.enrol()
    return copy


@pytest.fixture
def machine(filled: Machine, tmp_path: Path) -> Machine:
    """A machine with the seeds' numbers and agents, and nobody enrolled."""
    return filled.copied(tmp_path)


@pytest.fixture
def staffed(enrolled: Machine, tmp_path: Path) -> Machine:
    """A machine with the seeds' numbers and agents, and alice enrolled as an approver."""
    return enrolled.copied(tmp_path)


def _machine(home: Path, numbers: tuple[SeedNumber, ...] = ()) -> Machine:
    machine = Machine(home)
    seed = SEEDS.but(numbers=SEEDS.numbers + numbers)

    async def work() -> None:
        store = SqliteStore(machine.database)
        await store.write(lambda tx: fill(tx, seed))
        await store.close()

    anyio.run(work)
    return machine


# --- approving --------------------------------------------------------------------------------


def test_an_approval_at_a_terminal_reaches_a_server_that_is_running(staffed: Machine) -> None:
    program = StdioServerParameters(
        command=PROGRAM[0], args=PROGRAM[1:], env=staffed.environ, cwd=staffed.home
    )

    async def work() -> None:
        async with Client(program) as client:
            asked = {"agent": "local:support", "numbers": [SUPPORT_LINE, SECOND_LINE]}
            planned = read(await client.call_tool("attach_numbers", asked))
            assert planned.status == "awaiting_approval"
            assert planned["approve"]["how"] == "terminal"

            terminal = staffed.at_terminal("approve", planned.plan_id)
            said = terminal.answers((NAME, "alice"), (SECRET, PASSPHRASE)).ends(0)
            assert "Done and read back: attach 2 numbers to local:support." in said

            seen = read(await client.call_tool("get_plan", {"plan_id": planned.plan_id}))
            assert seen.status == "applied"
            assert seen["guard"] == {
                "required": "person",
                "used": "person",
                "by": "alice",
                "why": planned["guard"]["why"],
            }
            route = read(await client.call_tool("get_number_route", {"number": SECOND_LINE}))
            assert [binding["agent"] for binding in route["inbound"]] == ["local:support"]

    anyio.run(work)


def test_the_command_an_answer_names_enrols_the_first_approver_and_applies_at_once(
    machine: Machine,
) -> None:
    reply = machine.call("attach_numbers", agent="local:support", numbers=[SUPPORT_LINE])
    environ = {n: v for n, v in machine.environ.items() if n != "CORDBOARD_DATABASE"}
    environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environ.get('PATH', '')}"

    terminal = Terminal(["sh", "-c", reply["approve"]["command"]], environ)
    terminal.answers((NAME, "alice"), (NEW, PASSPHRASE), (REPEAT, PASSPHRASE))
    said = terminal.ends(0)

    assert said.index("Nobody is enrolled") < said.index(NAME), "it says so before it asks"
    assert said.count("assphrase: ") == 2, "the new passphrase is not asked for again"
    assert machine.holders() == ["local:support"]
    assert [e["event"] for e in machine.events()] == [
        "planned",
        "approver_added",
        "approved",
        "applied",
    ]


def test_the_terminal_shows_the_same_facts_as_the_clients_question(staffed: Machine) -> None:
    person = Person("cancel")
    reply = staffed.call(
        "attach_numbers",
        person=person,
        agent="local:support",
        numbers=[SUPPORT_LINE, INDIA],
        reason="Opening [bold]hours[/bold] :warning:",
    )
    plan_id = re.findall(r"plan_[0-9a-f]{24}", reply.message + person.asked[0])[0]

    terminal = staffed.at_terminal("approve", plan_id)
    said = terminal.answers((NAME, "alice"), (SECRET, PASSPHRASE)).ends(0)

    assert person.asked[0] in said
    assert staffed.status(plan_id) == "applied"


def test_an_approval_is_used_once_and_a_second_approve_shows_the_recorded_result(
    staffed: Machine,
) -> None:
    plan_id = staffed.plan()
    first = staffed.at_terminal("approve", plan_id)
    said = first.answers((NAME, "alice"), (SECRET, PASSPHRASE)).ends(0)
    before = staffed.events()

    again = staffed.at_terminal("approve", plan_id).ends(0)

    assert NAME not in again and SECRET not in again
    assert "Done and read back: attach 1 number to local:support." in again
    assert again.strip() == said[said.index("Done and read back") :].strip()
    assert staffed.events() == before


def test_a_wrong_passphrase_three_times_applies_nothing(staffed: Machine) -> None:
    plan_id = staffed.plan()

    terminal = staffed.at_terminal("approve", plan_id)
    said = terminal.answers(*[(NAME, "alice"), (SECRET, "not the passphrase")] * 3).ends(1)

    assert said.count("NOT_ALLOWED: Unknown name or wrong passphrase.") == 3
    assert staffed.status(plan_id) == "awaiting_approval"
    assert staffed.holders() == []


def test_a_name_nobody_has_is_told_nothing_more_than_a_wrong_passphrase(staffed: Machine) -> None:
    wrong = [(NAME, "mallory"), (SECRET, PASSPHRASE)]

    said = staffed.at_terminal("approve", staffed.plan()).answers(*wrong * 3).ends(1)

    assert said.count("NOT_ALLOWED: Unknown name or wrong passphrase.") == 3


def test_the_right_passphrase_after_a_wrong_one_approves(staffed: Machine) -> None:
    plan_id = staffed.plan()

    staffed.at_terminal("approve", plan_id).answers(
        (NAME, "alice"), (SECRET, "not the passphrase"), (NAME, "alice"), (SECRET, PASSPHRASE)
    ).ends(0)

    assert staffed.status(plan_id) == "applied"


def test_after_three_wrong_passphrases_the_next_try_has_to_wait(staffed: Machine) -> None:
    plan_id = staffed.plan()
    wrong = [(NAME, "alice"), (SECRET, "not the passphrase")]
    staffed.at_terminal("approve", plan_id).answers(*wrong * 3).ends(1)

    terminal = staffed.at_terminal("approve", plan_id)
    said = terminal.answers((NAME, "alice"), (SECRET, PASSPHRASE)).ends(1)

    assert "NOT_ALLOWED: Too many wrong names or passphrases in a row. Wait " in said
    assert said.count(NAME) == 1
    assert staffed.status(plan_id) == "awaiting_approval"
    tried = [e["principal"] for e in staffed.events() if e["event"] == "passphrase_tried"]
    assert tried == ["alice"] * 3


@pytest.mark.parametrize("last", ["", "\x04"], ids=["an empty line", "Ctrl-D"])
def test_no_name_approves_nothing(staffed: Machine, last: str) -> None:
    plan_id = staffed.plan()
    terminal = staffed.at_terminal("approve", plan_id)
    terminal.child.expect_exact(NAME)
    terminal.child.send(last or "\r")

    assert "No answer. Nothing was changed." in terminal.ends(1)
    assert staffed.status(plan_id) == "awaiting_approval"


@pytest.mark.parametrize("asked", [NAME, SECRET], ids=["the name", "the passphrase"])
def test_ctrl_c_at_a_question_approves_nothing(staffed: Machine, asked: str) -> None:
    plan_id = staffed.plan()
    terminal = staffed.at_terminal("approve", plan_id)
    if asked == SECRET:
        terminal.answers((NAME, "alice"))
    terminal.child.expect_exact(asked)
    terminal.child.sendintr()

    assert "Stopped. Nothing was changed." in terminal.ends(128 + signal.SIGINT)
    assert staffed.status(plan_id) == "awaiting_approval"


def test_the_first_approver_is_asked_again_where_the_new_passphrase_is_short_or_not_repeated(
    machine: Machine,
) -> None:
    plan_id = machine.plan()

    said = (
        machine.at_terminal("approve", plan_id)
        .answers((NAME, "alice"), (NEW, "short"), (NEW, PASSPHRASE), (REPEAT, OTHER_PASSPHRASE))
        .answers((NEW, PASSPHRASE), (REPEAT, PASSPHRASE))
        .ends(0)
    )

    assert "A passphrase has at least 8 characters." in said
    assert "The two are not the same." in said
    assert machine.status(plan_id) == "applied"


def test_a_first_approver_with_an_impossible_name_is_not_enrolled_and_nothing_is_applied(
    machine: Machine,
) -> None:
    plan_id = machine.plan()

    said = machine.at_terminal("approve", plan_id).answers((NAME, "Alice Smith")).ends(1)

    assert "INVALID_ARGUMENTS: An approver's name is" in said
    assert machine.status(plan_id) == "awaiting_approval"


# --- no terminal ------------------------------------------------------------------------------


def test_without_a_terminal_nothing_is_approved_and_a_piped_passphrase_is_not_read(
    staffed: Machine,
) -> None:
    plan_id = staffed.plan()

    done = staffed.piped("approve", plan_id, typed=f"alice\n{PASSPHRASE}\n")

    assert done.returncode == 1
    assert done.stderr.startswith("APPROVAL_REQUIRED: ")
    assert done.stdout == ""
    assert staffed.status(plan_id) == "awaiting_approval"


@pytest.mark.parametrize(
    "shell",
    ["printf 'alice\\n{secret}\\n' | {run}", "{run} | cat; exit ${{PIPESTATUS[0]}}"],
    ids=["its input is a pipe", "its output is a pipe"],
)
def test_half_a_terminal_is_none(staffed: Machine, shell: str) -> None:
    plan_id = staffed.plan()
    run = f"{' '.join(PROGRAM)} approve {plan_id}"
    script = shell.format(run=run, secret=PASSPHRASE)

    said = Terminal(["bash", "-c", script], staffed.environ).ends(1)

    assert "APPROVAL_REQUIRED: " in said
    assert staffed.status(plan_id) == "awaiting_approval"


def test_a_process_that_has_no_terminal_of_its_own_is_refused_although_its_streams_are_one(
    staffed: Machine,
) -> None:
    plan_id = staffed.plan()
    detached = "import os, sys; os.fork() and sys.exit(os.waitstatus_to_exitcode(os.wait()[1])); "
    detached += "os.setsid(); os.execv(sys.argv[1], sys.argv[1:])"

    command = [sys.executable, "-c", detached, *PROGRAM, "approve", plan_id]
    said = Terminal(command, staffed.environ).ends(1)

    assert "APPROVAL_REQUIRED: " in said
    assert staffed.status(plan_id) == "awaiting_approval"


@pytest.mark.parametrize(
    "command",
    ["approvers add bob", "approvers remove alice", "unfreeze"],
    ids=["enrolling", "removing", "unfreezing"],
)
def test_no_passphrase_is_taken_without_a_terminal(staffed: Machine, command: str) -> None:
    staffed.call("freeze_changes", reason="storm")

    done = staffed.piped(*command.split(), typed=f"alice\n{PASSPHRASE}\n{PASSPHRASE}\n")

    assert (done.returncode, done.stderr.partition(":")[0]) == (1, "APPROVAL_REQUIRED")


# --- nobody approves in vain ------------------------------------------------------------------


def _declined(machine: Machine) -> str:
    plan_id = machine.plan()
    assert machine.piped("reject", plan_id).returncode == 0
    return plan_id


def _discarded(machine: Machine) -> str:
    plan_id = machine.plan()
    assert machine.call("discard_plan", plan_id=plan_id).status == "discarded"
    return plan_id


def _stale(machine: Machine) -> str:
    plan_id = machine.plan()
    yes = Person("yes")
    other = machine.call("attach_numbers", person=yes, agent="local:sales", numbers=[SUPPORT_LINE])
    assert other.status == "applied"
    return plan_id


def _expired(machine: Machine) -> str:
    brief = machine.home / "brief.toml"
    brief.write_text("approval_seconds = 0.001\n", "utf-8")
    brisk = machine.with_(CORDBOARD_CONFIG=str(brief))
    return brisk.call("attach_numbers", agent="local:support", numbers=[SUPPORT_LINE]).plan_id


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (_declined, "was declined"),
        (_discarded, "is discarded"),
        (_stale, "the routing moved meanwhile"),
        (_expired, "expired at"),
        (lambda machine: UNKNOWN_PLAN, "PLAN_NOT_FOUND: There is no plan"),
    ],
    ids=["declined", "discarded", "stale", "expired", "unknown"],
)
def test_a_plan_that_cannot_be_approved_is_refused_before_anybody_is_asked(
    staffed: Machine, made: Any, why: str
) -> None:
    plan_id = made(staffed)

    said = staffed.at_terminal("approve", plan_id).ends(1)

    assert why in said
    assert NAME not in said
    assert "local:support" not in staffed.holders()


def test_while_frozen_nobody_is_asked_and_after_unfreezing_the_plan_still_stands(
    staffed: Machine,
) -> None:
    plan_id = staffed.plan()
    frozen = staffed.piped("freeze", "--reason", "storm [bold]warning[/bold]")
    assert frozen.returncode == 0
    assert "frozen since" in frozen.stdout

    said = staffed.at_terminal("approve", plan_id).ends(1)
    assert "FROZEN: Changes are frozen since " in said
    assert '("storm [bold]warning[/bold]")' in said
    assert NAME not in said

    wrong = [(NAME, "alice"), (SECRET, "not the passphrase")] * 2
    wrong += [(NAME, "alyce"), (SECRET, PASSPHRASE)]
    assert "NOT_ALLOWED" in staffed.at_terminal("unfreeze").answers(*wrong).ends(1)
    assert staffed.call("attach_numbers", agent="local:sales", numbers=[INDIA]).code == "FROZEN"

    staffed.at_terminal("unfreeze").answers((NAME, "alice"), (SECRET, PASSPHRASE)).ends(0)
    staffed.at_terminal("approve", plan_id).answers((NAME, "alice"), (SECRET, PASSPHRASE)).ends(0)
    assert staffed.holders() == ["local:support"]
    assert [e["principal"] for e in staffed.events() if e["event"] == "unfrozen"] == ["alice"]


def test_only_an_enrolled_approver_lifts_a_freeze_and_only_where_there_is_one(
    machine: Machine,
) -> None:
    assert "INVALID_ARGUMENTS: Nothing is frozen." in machine.at_terminal("unfreeze").ends(1)

    machine.piped("freeze", "--reason", "storm")
    said = machine.at_terminal("unfreeze").ends(1)

    assert said.startswith("NOT_ALLOWED: Nobody is enrolled")
    assert machine.call("attach_numbers", agent="local:sales", numbers=[INDIA]).code == "FROZEN"


@pytest.mark.parametrize("reason", ["", "x" * 501], ids=["empty", "too long"])
def test_a_freeze_needs_a_reason_that_fits(machine: Machine, reason: str) -> None:
    done = machine.piped("freeze", "--reason", reason)

    assert (done.returncode, done.stderr.partition(":")[0]) == (1, "INVALID_ARGUMENTS")
    assert machine.events() == []


@pytest.mark.parametrize(
    "command",
    [
        "approve {plan}",
        "reject {plan}",
        "undo {plan}",
        "freeze --reason x",
        "unfreeze",
        "approvers add bob",
        "approvers remove alice",
    ],
)
def test_read_only_refuses_every_command_that_writes(staffed: Machine, command: str) -> None:
    plan_id = staffed.plan()
    before = staffed.events()
    reader = staffed.with_(CORDBOARD_READ_ONLY="1")
    arguments = command.format(plan=plan_id).split()

    done = reader.piped(*arguments)

    assert (done.returncode, done.stderr.partition(":")[0]) == (1, "READ_ONLY")
    assert staffed.events() == before


def test_a_terminal_does_not_help_while_read_only(staffed: Machine) -> None:
    plan_id = staffed.plan()

    said = staffed.with_(CORDBOARD_READ_ONLY="1").at_terminal("approve", plan_id).ends(1)

    assert said.startswith("READ_ONLY: ")
    assert staffed.status(plan_id) == "awaiting_approval"


def test_four_eyes_lets_nobody_approve_what_their_own_user_asked_for(machine: Machine) -> None:
    policy = machine.home / "policy.toml"
    policy.write_text("extends = 'standard'\nfour_eyes = true\n", "utf-8")
    careful = machine.with_(CORDBOARD_POLICY=str(policy))
    careful.enrol()
    own = careful.plan()
    asked = {"agent": "local:sales", "numbers": [INDIA]}
    others = careful.called_by("assistant", "attach_numbers", **asked).plan_id
    answers = (NAME, "alice"), (SECRET, PASSPHRASE)

    said = careful.at_terminal("approve", own).answers(*answers).ends(1)

    assert "NOT_ALLOWED: The policy wants a second pair of eyes" in said
    assert careful.status(own) == "awaiting_approval"
    careful.at_terminal("approve", others).answers(*answers).ends(0)
    assert careful.holders(INDIA) == ["local:sales"]


def test_a_process_whose_policy_demands_more_asks_nobody(staffed: Machine) -> None:
    plan_id = staffed.plan()
    policy = staffed.home / "policy.toml"
    policy.write_text("[[rules]]\nlevel = 'frozen'\n", "utf-8")

    said = staffed.with_(CORDBOARD_POLICY=str(policy)).at_terminal("approve", plan_id).ends(1)

    assert said.startswith("NOT_ALLOWED: This process's policy demands frozen")
    assert NAME not in said
    assert staffed.status(plan_id) == "awaiting_approval"


# --- secrets ----------------------------------------------------------------------------------


def test_a_passphrase_stands_nowhere_but_in_its_owners_head(machine: Machine) -> None:
    plan_id = machine.plan()
    terminal = machine.at_terminal("approve", plan_id)
    terminal.answers((NAME, "alice"), (NEW, PASSPHRASE))
    terminal.child.expect_exact(REPEAT)
    process = Path(f"/proc/{terminal.child.pid}")
    if process.exists():  # where there is a /proc
        for told in ("cmdline", "environ"):
            assert PASSPHRASE.encode() not in (process / told).read_bytes()
    terminal.child.sendline(PASSPHRASE)
    said = terminal.ends(0)

    assert PASSPHRASE not in said, "it is not shown"
    assert PASSPHRASE not in json.dumps(machine.events())
    for file in machine.home.rglob("*"):
        if file.is_file():
            assert PASSPHRASE.encode() not in file.read_bytes(), file.name
    assert b"$argon2id$" in machine.database.read_bytes()


# --- rejecting --------------------------------------------------------------------------------


def test_rejecting_needs_no_passphrase_is_journaled_and_may_be_repeated(machine: Machine) -> None:
    plan_id = machine.plan()

    first = machine.piped("reject", plan_id, "--why", "not today")
    again = machine.piped("reject", plan_id)

    assert (first.returncode, again.returncode) == (0, 0)
    assert f"was declined by {machine.user}" in first.stdout
    assert again.stdout == first.stdout
    declined = [e for e in machine.events() if e["event"] == "declined"]
    assert [(e["principal"], e["plan_id"]) for e in declined] == [(machine.user, plan_id)]
    assert json.loads(declined[0]["data"])["why"] == "not today"
    assert machine.status(plan_id) == "plan_rejected"


def test_an_applied_plan_cannot_be_rejected_any_more(machine: Machine) -> None:
    asked = {"agent": "local:support", "numbers": [SUPPORT_LINE]}
    plan_id = machine.call("attach_numbers", person=Person("yes"), **asked).plan_id

    done = machine.piped("reject", plan_id)

    assert done.returncode == 1
    assert "Too late to reject: the plan was applied." in done.stderr
    assert machine.status(plan_id) == "applied"


def test_a_plan_nobody_made_cannot_be_rejected(machine: Machine) -> None:
    done = machine.piped("reject", "plan_[red]\u202e\x1b[31m")

    assert done.returncode == 1
    assert done.stderr.startswith('PLAN_NOT_FOUND: There is no plan "plan_[red][31m"')


# --- approvers --------------------------------------------------------------------------------


def test_a_second_approver_needs_the_firsts_passphrase(staffed: Machine) -> None:
    wrong = [(NAME, "alice"), (SECRET, "not the passphrase")] * 2
    wrong += [(NAME, "alyce"), (SECRET, PASSPHRASE)]
    refused = staffed.at_terminal("approvers", "add", "bob").answers(*wrong).ends(1)
    assert "NOT_ALLOWED" in refused
    assert NEW not in refused

    staffed.at_terminal("approvers", "add", "bob").answers(
        (NAME, "alice"), (SECRET, PASSPHRASE), (NEW, OTHER_PASSPHRASE), (REPEAT, OTHER_PASSPHRASE)
    ).ends(0)

    plan_id = staffed.plan()
    bob = (NAME, "bob"), (SECRET, OTHER_PASSPHRASE)
    said = staffed.at_terminal("approve", plan_id).answers(*bob).ends(0)
    assert "Approved by bob." in said
    listed = json.loads(staffed.piped("approvers", "--json").stdout)["approvers"]
    assert [(a["name"], a["principal"], a["added_by"]) for a in listed] == [
        ("alice", staffed.user, staffed.user),
        ("bob", staffed.user, "alice"),
    ]


def test_an_approver_s_subjects_are_kept_listed_and_journaled(machine: Machine) -> None:
    subjects = ("--subject", "alice@example.com", "--subject", "00u1a2b3")
    terminal = machine.at_terminal("approvers", "add", "alice", *subjects)
    terminal.answers((NEW, PASSPHRASE), (REPEAT, PASSPHRASE)).ends(0)

    assert (
        "signs in as alice@example.com, signs in as 00u1a2b3" in machine.piped("approvers").stdout
    )
    listed = json.loads(machine.piped("approvers", "--json").stdout)["approvers"]
    assert listed[0]["subjects"] == ["alice@example.com", "00u1a2b3"]
    assert '"subjects":["alice@example.com","00u1a2b3"]' in machine.events()[0]["data"]


def test_a_subject_that_names_nobody_is_refused_before_anybody_is_asked(machine: Machine) -> None:
    said = machine.at_terminal("approvers", "add", "alice", "--subject", " ").ends(1)

    assert "INVALID_ARGUMENTS: A subject is" in said and NEW not in said
    assert machine.events() == []


def test_the_same_name_is_not_enrolled_twice(staffed: Machine) -> None:

    said = staffed.at_terminal("approvers", "add", "alice").ends(1)

    assert said.startswith('INVALID_ARGUMENTS: An approver named "alice" is enrolled already.')


def test_removing_an_approver_needs_a_passphrase_and_ends_their_approvals(
    staffed: Machine,
) -> None:
    alice = (NAME, "alice"), (SECRET, PASSPHRASE)
    secrets = (NEW, OTHER_PASSPHRASE), (REPEAT, OTHER_PASSPHRASE)
    staffed.at_terminal("approvers", "add", "bob").answers(*alice, *secrets).ends(0)
    said = staffed.at_terminal("approvers", "remove", "carol").ends(1)
    assert 'INVALID_ARGUMENTS: No approver is named "carol".' in said

    staffed.at_terminal("approvers", "remove", "bob").answers(*alice).ends(0)

    bob = [(NAME, "bob"), (SECRET, OTHER_PASSPHRASE)]
    said = staffed.at_terminal("approve", staffed.plan()).answers(*bob * 3).ends(1)
    assert "NOT_ALLOWED: Unknown name or wrong passphrase." in said
    assert staffed.piped("approvers").stdout.startswith("alice  enrolled ")


def test_an_account_without_approvers_says_how_to_enrol_the_first(machine: Machine) -> None:
    assert "`cordboard approvers add NAME`" in machine.piped("approvers").stdout


# --- plans ------------------------------------------------------------------------------------


def test_plans_lists_what_is_open_and_with_all_what_is_settled_too(machine: Machine) -> None:
    none = machine.piped("plans")
    assert (none.returncode, none.stdout[:22]) == (0, "There is no open plan.")
    waits, declined = machine.plan(), machine.plan("local:sales", (INDIA,))
    machine.piped("reject", declined)

    said = machine.piped("plans").stdout
    assert waits in said
    assert declined not in said
    assert f"{waits}  awaiting_approval  attach 1 number to local:support" in said

    newest = json.loads(machine.piped("plans", "--all", "--json").stdout)["plans"]
    assert [(p["plan_id"], p["status"]) for p in newest] == [
        (declined, "plan_rejected"),
        (waits, "awaiting_approval"),
    ]
    waiting = json.loads(machine.piped("plans", "--json").stdout)["plans"]
    assert [p["plan_id"] for p in waiting] == [waits]


def test_plans_show_lists_every_change_of_a_large_plan(tmp_path: Path) -> None:
    numbers = many(40)
    machine = _machine(tmp_path, numbers)
    plan_id = machine.plan("local:night", tuple(names(numbers)))

    said = machine.piped("plans", "show", plan_id).stdout
    told = json.loads(machine.piped("plans", "show", plan_id, "--json").stdout)

    for number in names(numbers):
        assert f"  planned: {number} (TEST): nobody -> local:night" in said
    assert [c["number"] for c in told["changes"]] == names(numbers)
    assert told["counts"]["planned"] == 40
    assert (told["plan_id"], told["status"]) == (plan_id, "awaiting_approval")


def test_approving_a_large_plan_names_the_command_that_lists_the_rest(tmp_path: Path) -> None:
    numbers = many(40)
    machine = _machine(tmp_path, numbers)
    machine.enrol()
    plan_id = machine.plan("local:night", tuple(names(numbers)))

    terminal = machine.at_terminal("approve", plan_id)
    said = terminal.answers((NAME, "alice"), (SECRET, PASSPHRASE)).ends(0)

    assert said.count(f"`cordboard plans show {plan_id}` lists them all") == 2
    assert "… and 15 more" in said


def test_words_from_outside_are_shown_as_they_are_and_without_what_steers_a_terminal(
    tmp_path: Path,
) -> None:
    label = "[red]Desk[/red] :warning: \x1b[31m\u202eevil https://evil.example"
    machine = _machine(tmp_path, (SeedNumber("+12025550188", label=label),))
    reply = machine.call(
        "attach_numbers", agent="local:support", numbers=["+12025550188"], reason=label
    )
    shown = '"[red]Desk[/red] :warning: [31mevil [link removed]"'

    for arguments in (["plans"], ["plans", "show", reply.plan_id], ["plans", "--all"]):
        said = machine.piped(*arguments).stdout
        assert shown in said
        assert "\x1b" not in said and "\u202e" not in said and "evil.example" not in said


def test_a_plan_at_level_plan_may_be_approved_by_an_approver_too(staffed: Machine) -> None:
    planned = staffed.call("attach_numbers", agent="local:support", numbers=[TEST_ONE])
    assert planned.status == "confirmation_required"

    terminal = staffed.at_terminal("approve", planned.plan_id)
    terminal.answers((NAME, "alice"), (SECRET, PASSPHRASE)).ends(0)

    assert staffed.holders(TEST_ONE) == ["local:support"]

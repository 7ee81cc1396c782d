"""`cordboard tokens`: made, shown once, listed and revoked, with the real program."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import anyio
import pytest
from tests.server.test_cli_approvals import NAME, NEW, PASSPHRASE, REPEAT, SECRET, Machine

from cordboard.clock import system_clock
from cordboard.identity import Identity
from cordboard.stores.sqlite import SqliteStore
from cordboard.tokens import Tokens

# A test process has threads; pty.fork says so from Python 3.12 on.
pytestmark = pytest.mark.filterwarnings("ignore:This process .*multi-threaded:DeprecationWarning")

READ = ("--scope", "numbers:read")
APPROVE = ("--scope", "changes:approve")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine with an empty store, and nobody enrolled."""
    return Machine(tmp_path)


@pytest.fixture(scope="module")
def with_alice(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    made = Machine(tmp_path_factory.mktemp("with-alice"))
    made.enrol()
    return made


@pytest.fixture
def staffed(with_alice: Machine, tmp_path: Path) -> Machine:
    """A machine where alice is an approver."""
    return with_alice.copied(tmp_path)


def stands_for(machine: Machine, token: str) -> Identity | None:
    """Whom a server on this machine takes the token for."""

    async def work() -> Identity | None:
        store = SqliteStore(machine.database)
        try:
            return await Tokens(store, system_clock).verify(token)
        finally:
            await store.close()

    return anyio.run(work)


def made(machine: Machine, *arguments: str) -> str:
    """The token that a command made."""
    done = machine.piped("tokens", "create", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout.removesuffix("\n")


# --- making -----------------------------------------------------------------------------------


def test_a_new_token_stands_alone_on_standard_output(machine: Machine) -> None:
    done = machine.piped("tokens", "create", "ci", *READ, "--scope", "routes:read")

    assert done.returncode == 0 and done.stdout.count("\n") == 1
    found = stands_for(machine, done.stdout.strip())
    assert found == Identity("default", "ci", frozenset({"numbers:read", "routes:read"}), "ci")
    assert "shown this once" in done.stderr and "numbers:read routes:read" in done.stderr
    assert done.stdout.strip().split(".")[3] not in done.stderr


def test_a_token_s_person_and_account_are_what_was_said(machine: Machine) -> None:
    token = made(machine, "ci", *READ, "--subject", "alice@example.com", "--account", "acme")

    assert stands_for(machine, token) == Identity(
        "acme", "alice@example.com", frozenset({"numbers:read"}), "ci"
    )


def test_a_token_belongs_to_the_account_of_the_process(machine: Machine) -> None:
    token = made(machine.with_(CORDBOARD_ACCOUNT="acme"), "ci", *READ)

    found = stands_for(machine, token)
    assert found is not None and found.account == "acme"
    assert json.loads(machine.piped("tokens", "--json").stdout) == {"tokens": []}


def test_as_json_the_token_and_all_that_is_known_of_it_is_one_document(machine: Machine) -> None:
    done = machine.piped("tokens", "create", "ci", *READ, "--expires-days", "0", "--json")

    told = json.loads(done.stdout)
    assert stands_for(machine, told["token"]) is not None
    assert told["token"].split(".")[2] == told["token_id"]
    assert (told["name"], told["subject"], told["account"]) == ("ci", "ci", "default")
    assert (told["scopes"], told["expires_at"]) == (["numbers:read"], "")
    assert told["created_by"] == machine.user and done.stderr == ""


def test_a_token_lasts_90_days_or_as_long_as_was_said(machine: Machine) -> None:
    made(machine, "usual", *READ)
    made(machine, "short", *READ, "--expires-days", "1")

    short, usual = json.loads(machine.piped("tokens", "--json").stdout)["tokens"]
    for row, days in ((short, 1), (usual, 90)):
        begin, end = (_day(row[name]) for name in ("created_at", "expires_at"))
        assert end - begin == days


def _day(moment: str) -> int:
    from datetime import datetime

    return datetime.fromisoformat(moment).toordinal()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("ci",), "A token without a scope may do nothing. Scopes are numbers:read"),
        (("ci", "--scope", "numbers"), 'There is no scope "numbers". Scopes are numbers:read'),
        (("ci", "--scope", "numbers:read,admin"), 'There is no scope "numbers:read,admin".'),
        (("a b", *READ), "A token's name is 1 to 64 letters"),
        (("ci", *READ, "--subject", "\t"), "A subject is 1 to 200 printable characters"),
        (("ci", *READ, "--account", "a/b"), "An account's name is"),
        (("ci", *READ, "--expires-days", "-1"), "A token counts for 1 to 3650 days, or 0"),
        (("ci", *READ, "--expires-days", "99999999999999"), "A token counts for 1 to 3650 days"),
    ],
    ids=str,
)
def test_what_makes_no_token_is_refused_clearly(
    machine: Machine, arguments: tuple[str, ...], says: str
) -> None:
    done = machine.piped("tokens", "create", *arguments)

    assert done.returncode == 1 and done.stdout == ""
    assert says in done.stderr and "Nothing was changed." in done.stderr
    assert machine.piped("tokens").stdout.startswith("There is no token")


def test_a_name_that_is_taken_is_refused_until_it_is_revoked(machine: Machine) -> None:
    first = made(machine, "ci", *READ)

    done = machine.piped("tokens", "create", "ci", *READ, "--json")
    assert done.returncode == 1 and "`cordboard tokens revoke ci`" in done.stderr
    assert json.loads(done.stdout)["error"]["code"] == "INVALID_ARGUMENTS"

    machine.piped("tokens", "revoke", "ci")
    assert stands_for(machine, made(machine, "ci", *READ)) is not None
    assert stands_for(machine, first) is None


def test_a_store_that_is_read_only_makes_and_revokes_no_token(machine: Machine) -> None:
    token = made(machine, "ci", *READ)
    sealed = machine.with_(CORDBOARD_READ_ONLY="1")

    for arguments in (("create", "cd", *READ), ("create", "cd", *APPROVE), ("revoke", "ci")):
        done = sealed.piped("tokens", *arguments)
        assert done.returncode == 1 and done.stderr.startswith("READ_ONLY:")
    assert stands_for(machine, token) is not None
    assert "ci" in sealed.piped("tokens").stdout


def test_without_a_place_to_show_it_no_token_is_made(machine: Machine) -> None:
    machine.piped("tokens")
    done = subprocess.run(
        ["/bin/sh", "-c", f"exec {sys.executable} -m cordboard tokens create ci --scope admin >&-"],
        env=machine.environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 1 and "cannot be written" in done.stderr
    assert machine.events() == []


# --- listing and revoking ---------------------------------------------------------------------


def test_tokens_are_listed_with_what_became_of_them_and_without_their_secrets(
    machine: Machine,
) -> None:
    tokens = [
        made(machine, "ci", *READ, "--subject", "alice@example.com"),
        made(machine, "eternal", "--scope", "admin", "--expires-days", "0"),
        made(machine, "old", *READ),
    ]
    machine.piped("tokens", "revoke", "old")

    said = machine.piped("tokens").stdout
    assert "for alice@example.com: numbers:read" in said
    assert "ci  valid until " in said and "eternal  never expires" in said
    assert "old  revoked at " in said
    told = json.loads(machine.piped("tokens", "--json").stdout)["tokens"]
    assert [(row["name"], row["state"]) for row in told] == [
        ("ci", "live"),
        ("eternal", "live"),
        ("old", "revoked"),
    ]
    assert not [t for t in tokens if t.split(".")[3] in said + json.dumps(told)]
    assert "hash" not in told[0]


def test_revoking_says_so_and_of_an_unknown_name_that_there_is_none(machine: Machine) -> None:
    token = made(machine, "ci", *READ)

    done = machine.piped("tokens", "revoke", "ci")
    assert done.returncode == 0 and "ci counts no more" in done.stdout
    assert stands_for(machine, token) is None
    for name in ("ci", "nobody"):
        again = machine.piped("tokens", "revoke", name)
        assert again.returncode == 1 and "`cordboard tokens` lists them" in again.stderr


# --- tokens that may approve ------------------------------------------------------------------


@pytest.mark.parametrize("scope", ["changes:approve", "admin"])
def test_with_nobody_enrolled_a_token_that_may_approve_asks_for_nobody(
    machine: Machine, scope: str
) -> None:
    assert stands_for(machine, made(machine, "ci", "--scope", scope)) is not None


@pytest.mark.parametrize("scope", ["changes:approve", "admin"])
def test_with_an_approver_such_a_token_is_not_made_by_a_program(
    staffed: Machine, scope: str
) -> None:
    arguments = ("tokens", "create", "ci", *READ, "--scope", scope)
    done = staffed.piped(*arguments, typed=f"alice\n{PASSPHRASE}\n")

    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith("APPROVAL_REQUIRED: Only a person at a terminal")
    assert "There is no token" in staffed.piped("tokens").stdout
    assert stands_for(staffed, made(staffed, "reader", *READ)) is not None


def test_an_approver_agrees_with_their_passphrase_at_a_terminal(staffed: Machine) -> None:
    terminal = staffed.at_terminal("tokens", "create", "ci", *APPROVE)
    said = terminal.answers((NAME, "alice"), (SECRET, PASSPHRASE)).ends(0)

    found = stands_for(staffed, said.splitlines()[-1])
    assert found is not None and found.scopes == frozenset({"changes:approve"})
    assert (staffed.events()[-1]["event"], staffed.events()[-1]["principal"]) == (
        "token_added",
        "alice",
    )


def test_a_wrong_passphrase_makes_no_token(staffed: Machine) -> None:
    terminal = staffed.at_terminal("tokens", "create", "ci", *APPROVE)
    terminal.answers(*[(NAME, "alice"), (SECRET, "not the passphrase")] * 3).ends(1)

    assert "There is no token" in staffed.piped("tokens").stdout


def test_what_would_be_refused_anyway_asks_for_no_passphrase(staffed: Machine) -> None:
    made(staffed, "ci", *READ)

    for arguments in (("ci", *APPROVE), ("a b", *APPROVE), ("cd", *APPROVE, "--scope", "x")):
        said = staffed.at_terminal("tokens", "create", *arguments).ends(1)
        assert "INVALID_ARGUMENTS" in said and NAME not in said


def test_the_approver_of_one_account_does_not_speak_for_another(staffed: Machine) -> None:
    other = staffed.with_(CORDBOARD_ACCOUNT="acme")
    terminal = other.at_terminal("approvers", "add", "bob")
    terminal.answers((NEW, "another passphrase"), (REPEAT, "another passphrase")).ends(0)
    command = ("tokens", "create", "ci", *APPROVE, "--account", "acme")

    alice = [(NAME, "alice"), (SECRET, PASSPHRASE)]
    said = staffed.at_terminal(*command).answers(*alice * 3).ends(1)
    assert said.count("Unknown name or wrong passphrase") == 3

    bob = [(NAME, "bob"), (SECRET, "another passphrase")]
    said = staffed.at_terminal(*command).answers(*bob).ends(0)
    found = stands_for(staffed, said.splitlines()[-1])
    assert found is not None and found.account == "acme"

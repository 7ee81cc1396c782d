"""`cordboard doctor`: on a store and platforms that are well, and on every kind that is not."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from tests.platforms.vendors import Vendors, vendors
from tests.platforms.wire import Fault
from tests.world import Clock

from cordboard.cli.commands import run
from cordboard.cli.doctor.finding import Finding
from cordboard.cli.doctor.platforms import about_platforms
from cordboard.config.platforms import gather

Said = pytest.CaptureFixture[str]
README = Path(__file__).parents[2] / "README.md"
VENDORS = ("bland", "synthflow", "unleashx")
KEYS = {"bland": "BLAND_API_KEY", "synthflow": "SYNTHFLOW_API_KEY", "unleashx": "UNLEASHX_TOKEN"}
DECLARED: dict[str, Any] = {
    "unleashx": {"agents": [{"id": "desk"}], "numbers": [{"number": "+14155551234"}]}
}
GLOBAL = {"unleashx": {"contract": "global"}}


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the store will be."""
    for name in list(os.environ):
        if name.startswith(("CORDBOARD_", "XDG_", "BLAND_", "SYNTHFLOW_", "UNLEASHX_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CORDBOARD_DATABASE", str(tmp_path / "data" / "store.db"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "data" / "store.db"


@pytest.fixture
def filled(store: Path) -> Path:
    """A store with an agent and a number."""
    agent = {"id": "support", "name": "Support", "direction": "inbound"}
    data = {"providers": ["san"], "agents": [agent], "numbers": [{"number": "+14155551234"}]}
    Path("inventory.json").write_text(json.dumps(data))
    assert run(["import", "inventory.json"]) == 0
    return store


def examine(capsys: Said) -> tuple[int, dict[str, Any]]:
    """The exit code, and what was found by name."""
    capsys.readouterr()
    code = run(["doctor", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert told["ok"] is (code == 0)
    for check in told["checks"]:
        assert check["ok"] or check["remedy"], f"no remedy: {check}"
    return code, {check["name"]: check for check in told["checks"]}


def change(store: Path, statement: str) -> None:
    connection = sqlite3.connect(store)
    try:
        connection.execute(statement)
        connection.commit()
    finally:
        connection.close()


def test_a_store_that_is_well_is_told_with_all_its_facts(filled: Path, capsys: Said) -> None:
    code, found = examine(capsys)
    assert code == 0
    assert found["cordboard"]["value"] == version("cordboard")
    assert found["Python"]["value"].startswith(".".join(map(str, sys.version_info[:3])))
    assert found["store"]["value"] == str(filled)
    assert found["integrity"]["value"] == "ok"
    assert found["writable"]["value"] == "yes"
    assert found["platforms"]["value"] == "local"
    assert found["journal"]["value"] == "verified, events: 1"
    assert found["frozen"]["value"] == "no"
    assert found["inventory"]["value"] == "1 numbers, 1 agents, 0 pathways"
    assert found["policy"]["value"].startswith("standard")


def test_the_journal_mode_is_told_and_why_it_is_no_wal(filled: Path, capsys: Said) -> None:
    said = examine(capsys)[1]["journal mode"]["value"]
    assert "persist" in said and "3.51.3" in said and "WAL" in said


def test_nobody_enrolled_is_told_with_the_command_that_enrols(filled: Path, capsys: Said) -> None:
    found = examine(capsys)[1]["approvers"]
    assert found["ok"] and "cordboard approvers add NAME" in found["remedy"]


def test_examining_changes_nothing(filled: Path, capsys: Said) -> None:
    before = filled.read_bytes()
    examine(capsys)
    assert filled.read_bytes() == before


def test_a_store_that_is_not_there_is_told_and_not_made(store: Path, capsys: Said) -> None:
    code, found = examine(capsys)
    assert code == 1
    assert "cordboard import FILE" in found["store"]["remedy"]
    assert not store.parent.exists()


def test_an_empty_store_is_well_and_says_how_to_fill_it(store: Path, capsys: Said) -> None:
    run(["numbers"])
    code, found = examine(capsys)
    assert code == 0
    assert "cordboard import FILE" in found["inventory"]["remedy"]


def test_a_file_that_is_no_database_is_told(store: Path, capsys: Said) -> None:
    store.parent.mkdir()
    store.write_text("Dear diary, " * 500)
    code, found = examine(capsys)
    assert code == 1
    assert "not a Cordboard store" in found["store"]["value"]
    assert "CORDBOARD_DATABASE" in found["store"]["remedy"]


def test_a_folder_in_the_stores_place_is_told(store: Path, capsys: Said) -> None:
    store.mkdir(parents=True)
    code, found = examine(capsys)
    assert code == 1
    assert not found["store"]["ok"]


def test_a_store_of_a_newer_schema_is_told(filled: Path, capsys: Said) -> None:
    change(filled, "UPDATE schema_version SET version = 99")
    code, found = examine(capsys)
    assert code == 1
    assert "schema 99" in found["store"]["value"] and "Update" in found["store"]["remedy"]


def test_a_damaged_store_is_told(filled: Path, capsys: Said) -> None:
    data = bytearray(filled.read_bytes())
    for page in range(2, len(data) // 4096):
        data[page * 4096 : page * 4096 + 200] = b"\xff" * 200
    filled.write_bytes(data)
    code, found = examine(capsys)
    assert code == 1
    assert any(not found[name]["ok"] for name in ("store", "integrity") if name in found)


def test_a_store_that_cannot_be_written_is_told_and_still_read(filled: Path, capsys: Said) -> None:
    # A folder in the lock's place stops every user, root too.
    lock = filled.with_name(filled.name + ".lock")
    lock.unlink(missing_ok=True)
    lock.mkdir()
    code, found = examine(capsys)
    assert code == 1
    assert not found["writable"]["ok"]
    assert found["inventory"]["value"].startswith("1 numbers")


def test_a_read_only_setting_is_told_and_no_write_is_tried(
    filled: Path, capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CORDBOARD_READ_ONLY", "yes")
    filled.with_name(filled.name + ".key").unlink()
    code, found = examine(capsys)
    assert code == 0
    assert found["read-only"]["value"].startswith("yes")
    assert "writable" not in found


def test_a_key_that_others_can_read_is_told(filled: Path, capsys: Said) -> None:
    key = filled.with_name(filled.name + ".key")
    key.chmod(0o644)
    code, found = examine(capsys)
    assert code == 1
    assert found["key"]["remedy"] == f"chmod 600 '{key}'"


def test_a_journal_somebody_changed_is_told(filled: Path, capsys: Said) -> None:
    change(filled, "UPDATE journal SET principal = 'somebody'")
    code, found = examine(capsys)
    assert code == 1
    assert found["journal"]["value"] == "row 1 was edited"


def test_a_freeze_is_told_with_its_reason_as_data(filled: Path, capsys: Said) -> None:
    change(
        filled,
        "UPDATE account SET frozen_at = '2026-01-01', frozen_by = 'ann', "
        "frozen_reason = '[red]x' || char(27) || ' see https://evil.example/y'",
    )
    code, found = examine(capsys)
    assert code == 0
    assert found["frozen"]["value"] == (
        'since 2026-01-01 by ann, reason given: "[red]x see [link removed]"'
    )
    assert "unfreeze" in found["frozen"]["remedy"]
    assert run(["doctor"]) == 0
    assert "[red]x" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CORDBOARD_POLICY", "lenient"),
        ("CORDBOARD_POLICY", "nowhere.toml"),
        ("CORDBOARD_CONFIG", "nowhere.toml"),
        ("CORDBOARD_READ_ONLY", "perhaps"),
        ("CORDBOARD_DATABASE", "postgresql://host"),
    ],
)
def test_a_wrong_setting_is_told_with_its_remedy(
    filled: Path, name: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: Said
) -> None:
    monkeypatch.setenv(name, value)
    code, found = examine(capsys)
    assert code == 1
    assert not found["settings"]["ok"]
    assert "cordboard" in found


def test_the_real_program_says_it_in_words_and_by_its_exit_code(filled: Path) -> None:
    well = _program()
    assert well.returncode == 0, well.stderr
    assert well.stdout.endswith("All is well.\n") and well.stderr == ""
    change(filled, "UPDATE schema_version SET version = 99")
    ill = _program()
    assert ill.returncode == 1
    assert "!!  store: " in ill.stdout and "1 to put right." in ill.stdout
    assert "Traceback" not in ill.stderr


def _program() -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cordboard", "doctor"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


# --- platforms ----------------------------------------------------------------------------------


@pytest.fixture
def at() -> Vendors:
    return vendors(Clock())


def look(
    at: Vendors, environ: dict[str, str] | None = None, transports: Any = None, **file: Any
) -> dict[str, Finding]:
    """What is found of the platforms, by name, where these stand in place of the network."""
    told = gather(at.environ if environ is None else environ, file)
    wires = at.wires if transports is None else transports
    found = anyio.run(about_platforms, told, wires, at.outside["sleep"])
    for finding in found:
        assert finding.ok or finding.remedy, f"no remedy: {finding}"
    return {finding.name: finding for finding in found}


def test_platforms_that_are_not_configured_are_no_error_and_say_what_switches_them_on(
    filled: Path, capsys: Said
) -> None:
    code, found = examine(capsys)
    assert code == 0
    for name in VENDORS:
        assert found[name]["value"] == "not configured"
        assert KEYS[name] in found[name]["remedy"]
    assert all(f"SYNTHFLOW_{n}" in found["synthflow"]["remedy"] for n in ("REGION", "WORKSPACE"))


def test_platforms_that_answer_are_told_with_what_they_can_and_what_the_key_may(
    at: Vendors,
) -> None:
    found = look(at, **GLOBAL)
    assert found["platforms"].value == "local, bland, synthflow, unleashx"
    assert all(found[name].ok for name in VENDORS)
    assert "takes the key" in found["bland"].value and "takes the key" in found["unleashx"].value
    assert found["bland abilities"].value == (
        "can: list agents, list numbers, list pathways, attach inbound, detach, move, set pathways, "
        "undo, read back; cannot: attach outbound, move without a gap, tell the carrier"
    )
    assert "cannot: list numbers, list pathways, detach, move" in found["unleashx abilities"].value
    assert "admin, owner, operator or prompter" in found["bland may write"].value
    assert found["synthflow may write"].value.startswith("not known")


def test_looking_at_platforms_only_reads(at: Vendors) -> None:
    look(at, **GLOBAL)
    for name, wire in at.wires.items():
        assert wire.requests, f"{name} was not asked"
        assert {request.method for request in wire.requests} == {"GET"}
        assert at.fake(name).writes == []


def test_a_remedy_is_told_also_where_all_is_well(at: Vendors) -> None:
    at.synthflow.state.numbers.clear()
    at.synthflow.state.agents.clear()
    found = look(at)["synthflow"]
    assert found.ok and "SYNTHFLOW_WORKSPACE" in found.remedy


def test_a_key_that_is_refused_is_told_with_the_variable_to_check(at: Vendors) -> None:
    wrong = at.environ | dict.fromkeys(KEYS.values(), "wrong-7c2a")
    found = look(at, wrong, **GLOBAL)
    for name in VENDORS:
        assert not found[name].ok
        assert "refused" in found[name].value and KEYS[name] in found[name].remedy
        assert "doctor" not in found[name].remedy, "the reader is there already"
        assert found[f"{name} abilities"].value.startswith("can: ")


def test_a_platform_that_cannot_be_reached_is_told_and_the_others_too(at: Vendors) -> None:
    at.wires["bland"].faults.append(Fault("refuse", on="read", times=100))
    found = look(at)
    assert not found["bland"].ok and "cannot be reached" in found["bland"].value
    assert "network" in found["bland"].remedy and "doctor" not in found["bland"].remedy
    assert found["synthflow"].ok and found["unleashx"].ok


def test_a_platform_that_talks_nonsense_is_told(at: Vendors) -> None:
    for wire in at.wires.values():
        wire.faults.append(Fault("wrong_json", on="read", times=100))
    found = look(at, **GLOBAL)
    assert not any(found[name].ok for name in VENDORS)


def test_a_key_is_never_shown_whatever_the_platform_says(at: Vendors) -> None:
    keys = {variable: f"secret-{name}-5d1c" for name, variable in KEYS.items()}

    def parrot(request: httpx.Request) -> httpx.Response:
        said = " ".join(f"{name}={value}" for name, value in request.headers.items())
        return httpx.Response(401, json={"message": said, "detail": said, "error": True})

    echoing = {name: httpx.MockTransport(parrot) for name in VENDORS}
    for transports in (at.wires, echoing):
        found = look(at, at.environ | keys, transports, **GLOBAL)
        told = " ".join(f"{one.value} {one.remedy}" for one in found.values())
        assert not any(key in told for key in keys.values())
        assert not found["bland"].ok


def test_all_platforms_are_asked_at_once(at: Vendors) -> None:
    here = {"bland", "synthflow", "unleashx"}
    everybody = anyio.Event()

    class Patient(httpx.AsyncBaseTransport):
        """Answers nobody before every platform was asked."""

        def __init__(self, name: str) -> None:
            self.name = name

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            here.discard(self.name)
            if not here:
                everybody.set()
            with anyio.fail_after(10):
                await everybody.wait()
            return await at.wires[self.name].handle_async_request(request)

    found = look(at, transports={name: Patient(name) for name in VENDORS})
    assert all(found[name].ok for name in VENDORS)


@pytest.mark.parametrize(
    ("environ", "name", "what"),
    [
        ({"SYNTHFLOW_API_KEY": "key-1f9e"}, "synthflow", "SYNTHFLOW_REGION is not set"),
        (
            {"SYNTHFLOW_API_KEY": "key-1f9e", "SYNTHFLOW_REGION": "us"},
            "synthflow",
            "SYNTHFLOW_WORKSPACE is not set",
        ),
        (
            {"BLAND_API_KEY": "key-1f9e", "BLAND_BASE_URL": "http://u:key-1f9e@evil.example"},
            "bland",
            "base_url must begin with https://",
        ),
        ({"UNLEASHX_TOKEN": "key-\u20ac-1f9e"}, "unleashx", "cannot be sent"),
    ],
)
def test_a_platform_that_lacks_something_is_told_with_what_is_missing(
    filled: Path,
    environ: dict[str, str],
    name: str,
    what: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Said,
) -> None:
    for variable, value in environ.items():
        monkeypatch.setenv(variable, value)
    code, found = examine(capsys)
    assert code == 1
    assert not found[name]["ok"] and what in found[name]["value"]
    assert "1f9e" not in json.dumps(found)
    assert found["inventory"]["value"].startswith("1 numbers"), "the store is told all the same"


def test_platforms_are_told_where_there_is_no_store_yet(
    store: Path, monkeypatch: pytest.MonkeyPatch, capsys: Said
) -> None:
    Path("quick.toml").write_text("request_seconds = 0.01\n")
    monkeypatch.setenv("CORDBOARD_CONFIG", "quick.toml")
    monkeypatch.setenv("BLAND_API_KEY", "key-1f9e")
    monkeypatch.setenv("BLAND_BASE_URL", "http://127.0.0.1:9")  # nobody listens there
    code, found = examine(capsys)
    assert code == 1
    assert found["platforms"]["value"] == "local, bland"
    assert "cannot be reached" in found["bland"]["value"]
    assert found["synthflow"]["value"] == "not configured"
    assert not found["store"]["ok"] and not store.parent.exists()


def test_the_readme_says_of_each_platform_what_the_doctor_says(at: Vendors) -> None:
    found = look(at, **DECLARED)
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in README.read_text("utf-8").splitlines()
        if line.startswith("| ")
    ]
    [head] = [row for row in rows if row[1:2] == ["`local`"]]
    assert head[2:] == ["Bland", "Synthflow", "UnleashX"]
    for column, name in enumerate(VENDORS, start=2):
        can, _, cannot = found[f"{name} abilities"].value.partition("; cannot: ")
        able = dict.fromkeys(can.removeprefix("can: ").split(", "), "yes")
        able |= dict.fromkeys(cannot.split(", "), "no")
        for what, answer in able.items():
            [row] = [row for row in rows if row[0] == what]
            assert row[column].startswith(answer), f"{name}: {what}: {row[column]}"

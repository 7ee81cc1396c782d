"""`cordboard doctor`: on a store that is well, and on every kind that is not."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from cordboard.cli.commands import run

Said = pytest.CaptureFixture[str]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the store will be."""
    for name in list(os.environ):
        if name.startswith(("CORDBOARD_", "XDG_")):
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
        ("CORDBOARD_DATABASE", "postgresql://host/db"),
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

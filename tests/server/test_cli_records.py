"""`cordboard journal` and `policy show`: the record, what becomes of it in wrong hands, and rules."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from cordboard.cli.commands import run

NUMBERS = ["+14155551234", "+12025551234", "+442012345678", "+61212345678"]
Said = pytest.CaptureFixture[str]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store with four events."""
    for name in list(os.environ):
        if name.startswith(("CORDBOARD_", "XDG_")):
            monkeypatch.delenv(name)
    path = tmp_path / "store.db"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CORDBOARD_DATABASE", str(path))
    monkeypatch.chdir(tmp_path)
    for number in NUMBERS:
        Path("n.csv").write_text(f"number\n{number}\n")
        assert run(["import", "n.csv"]) == 0
    return path


def change(store: Path, *statements: str) -> None:
    """What somebody with the file in their hands does to it."""
    connection = sqlite3.connect(store)
    try:
        for statement in statements:
            connection.execute(statement)
        connection.commit()
    finally:
        connection.close()


def verify(capsys: Said, *arguments: str) -> tuple[int, str]:
    capsys.readouterr()
    code = run(["journal", "verify", *arguments])
    said = capsys.readouterr()
    return code, said.err if code else said.out


def test_a_journal_as_it_was_written_verifies(store: Path, capsys: Said) -> None:
    assert verify(capsys)[0] == 0
    assert "4 rows" in verify(capsys)[1]


TAMPERED = {
    "an edited event": (["UPDATE journal SET event = 'applied' WHERE seq = 2"], "row 2 was edited"),
    "an edited time": (["UPDATE journal SET at = '2020' WHERE seq = 3"], "row 3 was edited"),
    "another principal": (["UPDATE journal SET principal = 'x' WHERE seq = 1"], "row 1 was edited"),
    "edited data": (["UPDATE journal SET data = '{}' WHERE seq = 4"], "row 4 was edited"),
    "binary data": (["UPDATE journal SET data = x'00ff' WHERE seq = 2"], "row 2 was edited"),
    "a gap": (["DELETE FROM journal WHERE seq = 2"], "row 2 is missing"),
    "a lost beginning": (["DELETE FROM journal WHERE seq = 1"], "row 1 is missing"),
    "a cut tail": (["DELETE FROM journal WHERE seq = 4"], "rows are missing"),
    "nothing left": (["DELETE FROM journal"], "rows are missing"),
    "two rows exchanged": (
        [
            "UPDATE journal SET seq = 99 WHERE seq = 2",
            "UPDATE journal SET seq = 2 WHERE seq = 3",
            "UPDATE journal SET seq = 3 WHERE seq = 99",
        ],
        "row 2 does not follow row 1",
    ),
    "a row put in": (
        [
            """INSERT INTO journal SELECT account, 5, at, event, plan_id, principal, plan_hash, data,
            prev, hash FROM journal WHERE seq = 4"""
        ],
        "row 5 does not follow row 4",
    ),
}


@pytest.mark.parametrize("case", TAMPERED)
def test_tampering_is_found_and_the_first_fault_named(store: Path, case: str, capsys: Said) -> None:
    statements, fault = TAMPERED[case]
    change(store, *statements)
    code, said = verify(capsys)
    assert code == 1
    assert fault in said


def cut_cleanly(store: Path) -> None:
    """The newest row goes, and the head with it: inside the store nothing tells."""
    change(
        store,
        "DELETE FROM journal WHERE seq = 4",
        "UPDATE account SET seq = 3, head = (SELECT hash FROM journal WHERE seq = 3)",
    )


def test_a_tail_cut_cleanly_shows_against_an_exported_head(store: Path, capsys: Said) -> None:
    assert run(["journal", "export", "--head", "head.json"]) == 0
    assert verify(capsys, "--head", "head.json")[0] == 0
    cut_cleanly(store)
    assert verify(capsys)[0] == 0
    code, said = verify(capsys, "--head", "head.json")
    assert code == 1
    assert "before the exported head 4" in said


def test_a_chain_that_grew_still_holds_the_exported_head(store: Path, capsys: Said) -> None:
    run(["journal", "export", "--head", "head.json"])
    Path("n.csv").write_text("number\n+14165551234\n")
    run(["import", "n.csv"])
    assert verify(capsys, "--head", "head.json")[0] == 0


def test_a_chain_rewritten_whole_shows_against_an_exported_head(store: Path, capsys: Said) -> None:
    run(["journal", "export", "--head", "head.json"])
    change(store, "DELETE FROM journal", "DELETE FROM account", "DELETE FROM number")
    for number in NUMBERS:
        Path("n.csv").write_text(f"number\n{number}\n")
        run(["import", "n.csv"])
    assert verify(capsys)[0] == 0
    code, said = verify(capsys, "--head", "head.json")
    assert code == 1
    assert "row 4 is not the one whose head was exported" in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "No such file"),
        ("", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "no head"),
        ('{"account": "default", "seq": "4", "hash": "x"}', "no head"),
        ('{"account": "default", "seq": true, "hash": "x"}', "no head"),
        ('{"account": "other", "seq": 4, "hash": "x"}', "of account"),
    ],
)
def test_a_head_file_that_is_none_is_a_clear_error(
    store: Path, text: str | None, said: str, capsys: Said
) -> None:
    if text is not None:
        Path("head.json").write_text(text)
    code, told = verify(capsys, "--head", "head.json")
    assert code == 2
    assert "head.json" in told and said in told


def test_the_export_is_json_lines_from_which_the_chain_can_be_followed(
    store: Path, capsys: Said
) -> None:
    capsys.readouterr()
    assert run(["journal", "export"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["seq"] for row in rows] == [1, 2, 3, 4]
    assert all(later["prev"] == row["hash"] for row, later in pairwise(rows))
    assert json.loads(rows[0]["data"])["counts"]["numbers"]["added"] == 1
    assert run(["journal", "export", "--head"]) == 0
    head = json.loads(capsys.readouterr().out)
    assert head == {"account": "default", "seq": 4, "hash": rows[-1]["hash"]}


def test_an_export_to_a_file_is_whole_private_and_replaces_the_old_one(
    store: Path, capsys: Said
) -> None:
    out = Path("journal.jsonl")
    out.write_text("old")
    capsys.readouterr()
    assert run(["journal", "export", str(out)]) == 0
    assert len(out.read_text().splitlines()) == 4
    assert out.stat().st_mode & 0o777 == 0o600
    assert capsys.readouterr().out == ""
    assert not [path for path in Path().iterdir() if path.name.startswith(".journal")]


@pytest.mark.parametrize("place", ["no/such/folder", "."])
def test_an_export_that_cannot_be_written_says_so(store: Path, place: str, capsys: Said) -> None:
    assert run(["journal", "export", place]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_an_export_that_nobody_reads_on_is_no_error(store: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "cordboard", "journal", "export"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        said = process.stderr.read()
    assert said == b""


def test_events_are_shown_newest_first_and_as_many_as_asked_for(store: Path, capsys: Said) -> None:
    capsys.readouterr()
    assert run(["journal", "show", "--number-of-rows", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["4", "3"]
    assert "imported by" in lines[0]
    assert run(["journal", "show", "-n", "3", "--json"]) == 0
    events = json.loads(capsys.readouterr().out)["events"]
    assert [event["seq"] for event in events] == [4, 3, 2]
    assert events[0]["data"]["counts"]["numbers"]["added"] == 1


def test_events_of_one_plan_are_shown_alone(store: Path, capsys: Said) -> None:
    plan = "plan_0123456789abcdef01234567"
    change(store, f"UPDATE journal SET plan_id = '{plan}' WHERE seq = 2")  # noqa: S608
    capsys.readouterr()
    assert run(["journal", "show", "--plan", plan, "--json"]) == 0
    assert [event["seq"] for event in json.loads(capsys.readouterr().out)["events"]] == [2]
    assert run(["journal", "show", "--plan", "plan_none"]) == 0
    assert "no such plan" in capsys.readouterr().out


def test_hostile_words_in_an_edited_journal_are_shown_harmless(store: Path, capsys: Said) -> None:
    nasty = "[bold]\x1b[31m"
    edit = f"UPDATE journal SET event = '{nasty}', principal = '{nasty}', data = 'no json'"  # noqa: S608
    change(store, f"{edit} WHERE seq = 4")
    capsys.readouterr()
    assert run(["journal", "show"]) == 0
    said = capsys.readouterr().out
    assert "[bold]" in said and "\x1b" not in said
    assert run(["journal", "show", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["events"][0]["data"] == "no json"


def test_an_empty_store_has_an_empty_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Said
) -> None:
    monkeypatch.setenv("CORDBOARD_DATABASE", str(tmp_path / "new.db"))
    assert run(["journal", "show"]) == 0
    assert "empty" in capsys.readouterr().out
    assert verify(capsys)[0] == 0
    assert run(["journal", "export", "--head"]) == 0
    assert json.loads(capsys.readouterr().out)["seq"] == 0


@pytest.mark.parametrize(
    ("preset", "said"),
    [
        ("relaxed", ["anything else: plan"]),
        ("standard", ["purpose PRODUCTION", "tag protected or emergency_callback", "25 numbers"]),
        ("strict", ["every change: person"]),
    ],
)
def test_a_policy_is_told_in_words(
    store: Path, preset: str, said: list[str], monkeypatch: pytest.MonkeyPatch, capsys: Said
) -> None:
    monkeypatch.setenv("CORDBOARD_POLICY", preset)
    capsys.readouterr()
    assert run(["policy", "show"]) == 0
    told = capsys.readouterr().out
    assert f"Policy {preset}" in told
    assert all(part in told for part in said)


def test_an_operators_policy_is_shown_with_hash_budgets_and_four_eyes(
    store: Path, monkeypatch: pytest.MonkeyPatch, capsys: Said
) -> None:
    file = Path("rules.toml")
    file.write_text(
        'extends = "relaxed"\nfour_eyes = true\n'
        '[[rules]]\nlevel = "frozen"\nnumber_prefix = "+44"\naction = ["move"]\nsize = 3\n'
        "[budgets]\nnumbers_per_plan = 7\nnumbers_per_hour = 0\n"
    )
    monkeypatch.setenv("CORDBOARD_POLICY", str(file))
    capsys.readouterr()
    assert run(["policy", "show", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["rules"] == [
        {"level": "frozen", "action": ["move"], "number_prefix": ["+44"], "size": 3}
    ]
    assert shown["budgets"] == {"numbers_per_plan": 7, "numbers_per_hour": 0}
    assert shown["four_eyes"] is True
    assert len(shown["hash"]) == 64
    assert run(["policy", "show"]) == 0
    told = capsys.readouterr().out
    assert "action move, numbers that begin with +44, 3 numbers or more: frozen (nobody)" in told
    assert "more than 7 numbers in one plan" in told
    assert "four eyes" in told and shown["hash"] in told


@pytest.mark.parametrize("group", ["journal", "policy"])
def test_a_group_without_a_command_says_which_there_are(
    store: Path, group: str, capsys: Said
) -> None:
    capsys.readouterr()
    assert run([group]) in (0, 2)
    said = capsys.readouterr()
    assert "show" in said.out + said.err


def test_a_path_where_no_store_is_does_not_verify_and_none_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Said
) -> None:
    mistyped = tmp_path / "mistyped.db"
    monkeypatch.setenv("CORDBOARD_DATABASE", str(mistyped))
    code, said = verify(capsys)
    assert code == 1 and "There is no store at" in said and str(mistyped) in said.replace("\n", "")
    assert not mistyped.exists()

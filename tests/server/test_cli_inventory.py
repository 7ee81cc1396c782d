"""`cordboard import`, `agents`, `numbers`, `install` and bad command lines, as a person types them."""

from __future__ import annotations

import errno
import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cordboard.cli.commands import run

ONE, TWO = "+14155551234", "+12025551234"
FILE = {
    "providers": ["twilio"],
    "agents": [
        {"id": "support", "name": "[bold]Support[/bold]", "direction": "inbound"},
        {"id": "sales", "name": "Sales", "direction": "outbound"},
    ],
    "numbers": [
        {"number": ONE, "provider": "twilio", "label": "Main [red]line", "tags": ["vip"]},
        {"number": TWO, "purpose": "TEST", "label": "\x1b[31m https://evil.example/x"},
    ],
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place of one's own: nothing of this machine is read or written."""
    for name in list(os.environ):
        if name.startswith(("CORDBOARD_", "XDG_", "CLAUDE_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CORDBOARD_DATABASE", str(tmp_path / "store.db"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def file(home: Path) -> Path:
    path = home / "inventory.json"
    path.write_text(json.dumps(FILE))
    return path


def program(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """The real program, in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "cordboard", *arguments],
        env={**os.environ, **environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_real_program_imports_and_lists(file: Path) -> None:
    done = program("import", str(file))
    assert done.returncode == 0, done.stderr
    assert "numbers: 2 added, 0 changed, 0 unchanged" in done.stdout
    again = program("import", str(file))
    assert again.returncode == 0
    assert "nothing was changed" in again.stdout
    listed = program("numbers")
    assert listed.returncode == 0
    assert ONE in listed.stdout and "Main [red]line" in listed.stdout
    assert "evil.example" not in listed.stdout and "\x1b" not in listed.stdout


def test_a_bad_file_is_named_row_by_row_and_exits_not_0(home: Path) -> None:
    bad = home / "bad.csv"
    bad.write_text("number,purpose\n911,TEST\n+14155551234,live\n")
    done = program("import", str(bad))
    assert done.returncode == 2
    assert done.stdout == ""
    assert 'line 2, "number"' in done.stderr and 'line 3, "purpose"' in done.stderr
    assert "Traceback" not in done.stderr
    assert "empty" in program("numbers").stdout


@pytest.mark.parametrize("name", ["nowhere.json", ".", "in/side/x.json"])
def test_a_file_that_is_not_there_is_a_clear_error(
    home: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["import", name]) == 2
    said = capsys.readouterr()
    assert "INVALID_CONFIGURATION" in said.err and "Nothing was changed." in said.err
    assert said.out == ""


@pytest.mark.parametrize("command", ["agents", "numbers"])
def test_an_empty_store_says_how_to_fill_it(
    home: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([command]) == 0
    assert "`cordboard import FILE`" in capsys.readouterr().out


def test_import_is_refused_where_nothing_may_be_changed(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CORDBOARD_READ_ONLY", "1")
    assert run(["import", str(file)]) == 1
    assert capsys.readouterr().err.startswith("READ_ONLY: ")
    assert run(["numbers"]) == 0
    assert "empty" in capsys.readouterr().out


def test_json_is_one_document_and_nothing_else(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["import", str(file), "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert done["counts"]["numbers"] == {"added": 2, "changed": 0, "unchanged": 0}
    assert len(done["sha256"]) == 64
    assert run(["numbers", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [row["number"] for row in listed["numbers"]] == [TWO, ONE]
    assert listed["numbers"][0]["label"] == "[31m [link removed]"
    assert run(["agents", "--json"]) == 0
    agents = json.loads(capsys.readouterr().out)["agents"]
    assert [(row["agent"], row["direction"]) for row in agents] == [
        ("local:sales", "outbound"),
        ("local:support", "inbound"),
    ]


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["--provider", "twilio"], [ONE]),
        (["--query", "main"], [ONE]),
        (["--query", "120255"], [TWO]),
        (["--state", "attached"], []),
        (["--state", "free", "--limit", "1"], [TWO]),
        (["--agent", "local:support"], []),
        (["--platform", "local"], [TWO, ONE]),
        (["--platform", "bland"], []),
    ],
)
def test_numbers_are_narrowed_by_filters(
    file: Path, arguments: list[str], shown: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    run(["import", str(file)])
    capsys.readouterr()
    assert run(["numbers", "--json", *arguments]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [row["number"] for row in listed["numbers"]] == shown


def test_long_listings_are_gathered_over_pages_and_can_be_gone_on_with(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    numbers = [f"+1415{5550000 + n}" for n in range(450)]
    (home / "n.csv").write_text("number\n" + "\n".join(numbers) + "\n")
    run(["import", "n.csv"])
    capsys.readouterr()
    assert run(["numbers", "--limit", "430", "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert run(["numbers", "--limit", "430", "--json", "--cursor", first["next_cursor"]]) == 0
    rest = json.loads(capsys.readouterr().out)
    assert [row["number"] for row in first["numbers"] + rest["numbers"]] == numbers
    assert rest["next_cursor"] == ""
    assert run(["numbers"]) == 0
    assert "There are more" in capsys.readouterr().err


def test_names_and_labels_cannot_style_the_table(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(["import", str(file)])
    capsys.readouterr()
    assert run(["agents"]) == 0
    assert "[bold]Support[/bold]" in capsys.readouterr().out
    assert run(["numbers"]) == 0
    said = capsys.readouterr().out
    assert "Main [red]line" in said and "vip" in said and "\x1b" not in said


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["nonsense"], 2, "nonsense"),
        (["numbers", "--colour"], 2, "--colour"),
        (["numbers", "--state", "busy"], 2, "busy"),
        (["numbers", "--limit", "0"], 2, "--limit"),
        (["numbers", "--limit", "many"], 2, "--limit"),
        (["numbers", "--provider", "acme"], 2, "acme"),
        (["import"], 2, "FILE"),
        (["numbers", "--agent", "local:nobody"], 1, "AGENT_NOT_FOUND"),
        (["numbers", "--agent", "[bold]x"], 1, "[bold]x"),
        (["numbers", "--cursor", "forged"], 1, "INVALID_ARGUMENTS"),
        (["numbers", "--query", "\udcff"], 2, "UTF-8"),
    ],
)
def test_a_bad_command_line_is_told_without_a_traceback(
    home: Path, arguments: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == code
    told = capsys.readouterr()
    assert said in told.err
    assert told.out == ""


def test_help_names_every_command(home: Path) -> None:
    told = program("--help")
    assert told.returncode == 0
    for command in ("import", "agents", "numbers", "doctor", "install", "journal", "policy"):
        assert f" {command} " in told.stdout


def test_a_wrong_setting_is_one_line_and_exit_code_2(home: Path) -> None:
    done = program("numbers", CORDBOARD_POLICY="lenient")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "CORDBOARD_POLICY" in done.stderr


def test_output_that_nobody_reads_on_is_no_error(file: Path) -> None:
    run(["import", str(file)])
    with subprocess.Popen(
        [sys.executable, "-m", "cordboard", "numbers", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()


def test_what_a_terminal_cannot_show_is_written_otherwise(home: Path) -> None:
    (home / "n.csv").write_text("number,label\n+14155551234,Zürich 東京\n", encoding="utf-8")
    program("import", "n.csv")
    for arguments in (["numbers"], ["numbers", "--json"]):
        done = program(*arguments, PYTHONIOENCODING="ascii")
        assert done.returncode == 0, done.stderr
        assert ONE in done.stdout


def test_a_long_import_at_a_terminal_shows_a_bar_and_ctrl_c_leaves_nothing(home: Path) -> None:
    rows = "".join(f"+1415{2000000 + n},Line {n}\n" for n in range(60_000))
    (home / "long.csv").write_text("number,label\n" + rows)
    controller, terminal = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "cordboard", "import", "long.csv"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=terminal,
        env={**os.environ, "TERM": "xterm"},
    ) as process:
        os.close(terminal)
        seen = b""
        deadline = time.monotonic() + 60
        while b"checking numbers" not in seen and time.monotonic() < deadline:
            seen += os.read(controller, 4096)
        process.send_signal(signal.SIGINT)
        seen += _rest(controller)
        assert process.wait(timeout=60) == 130
    os.close(controller)
    assert b"checking numbers" in seen and b"Traceback" not in seen
    assert "empty" in program("numbers").stdout


def _rest(terminal: int) -> bytes:
    found = b""
    while True:
        try:
            part = os.read(terminal, 4096)
        except OSError as exc:  # how Linux tells that nobody holds the other end any more
            if exc.errno == errno.EIO:
                return found
            raise
        if not part:
            return found
        found += part


def test_install_writes_what_is_set_and_not_the_default(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CORDBOARD_READ_ONLY", "1")
    monkeypatch.setenv("CORDBOARD_POLICY", "standard")
    assert run(["install", "cursor", "--yes"]) == 0
    written = json.loads((home / ".cursor" / "mcp.json").read_text())
    assert written["mcpServers"]["cordboard"]["env"] == {
        "CORDBOARD_DATABASE": str(home / "store.db"),
        "CORDBOARD_READ_ONLY": "1",
    }
    assert "Written" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["[red]emacs"], "[red]emacs"),
        (["cursor"], "terminal"),
        (["cursor", "--scope", "galaxy"], "galaxy"),
    ],
)
def test_install_that_cannot_be_done_says_why_and_writes_nothing(
    home: Path,
    arguments: list[str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["install", *arguments]) == 2
    assert said in capsys.readouterr().err
    assert not (home / ".cursor").exists()

"""`cordboard demo`: the story is told by the real program, and it checks itself."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest

# A test process has threads; pty.fork says so from Python 3.12 on.
pytestmark = pytest.mark.filterwarnings("ignore:This process .*multi-threaded:DeprecationWarning")

DEMO = [sys.executable, "-m", "cordboard", "demo"]
# The real program, with one agent fewer than the story needs.
SHORT_OF_AN_AGENT = """
import sys
from cordboard.cli import demo_data
demo_data.SEEDS["agents"] = [a for a in demo_data.SEEDS["agents"] if a["id"] != "sales"]
from cordboard.cli.commands import run
sys.exit(run(["demo", "--keep"]))
"""


def _environ(home: Path, **more: str) -> dict[str, str]:
    """An environment whose temporary files lie in `home`."""
    clean = {n: v for n, v in os.environ.items() if not n.startswith("CORDBOARD_")}
    return clean | {"TMPDIR": str(home), "COLUMNS": "200"} | more


def _run(command: list[str], environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, env=environ, capture_output=True, text=True, timeout=120, check=False
    )


def test_the_demo_tells_every_point_of_its_story_as_plain_text_and_leaves_nothing(
    tmp_path: Path,
) -> None:
    done = _run(DEMO, _environ(tmp_path))

    said = " ".join(done.stdout.split())
    assert (done.returncode, done.stderr) == (0, "")
    for point in (
        "numbers: 11 added",
        "asks to attach 2 numbers to local:support.",
        '+14155551234 ("Support Line", PRODUCTION): nobody -> local:support',
        "+14155555678 (PRODUCTION): nobody -> local:support",
        'Reason given, in the requester\'s words: "spring opening"',
        "Apply this change: yes",
        "applied: Done and read back: attach 2 numbers to local:support.",
        'local:support on pathway "pathway_abc123" version 2 from node "node_xyz"',
        "local:support answers +14155551234 now.",
        "NUMBER_ATTACHED_ELSEWHERE: +14155551234 is attached to local:support",
        "applied: Done and read back: move 1 number from local:support to local:sales.",
        "number_slugs 16286666348, 1231242151",
        "It serves outbound calls of local:campaign, local:follow-up.",
        "now: local:support · pathway_abc123 · 2 · node_xyz",
        "sends the person's old yes to the move once more",
        "+14155551234 is still answered by local:support.",
        "cordboard journal verify",
    ):
        assert point in said, point
    assert re.search(r"All 11 steps did what they say, in \d+\.\d s\.", said)
    assert "\x1b" not in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_keeping_names_the_folder_and_its_store_can_be_read(tmp_path: Path) -> None:
    done = _run([*DEMO, "--keep"], _environ(tmp_path))

    [folder] = tmp_path.iterdir()
    assert done.returncode == 0
    assert f"Its store is kept in {folder}" in done.stdout
    environ = _environ(tmp_path, CORDBOARD_DATABASE=str(folder / "cordboard.db"))
    plans = _run([*DEMO[:-1], "plans", "--all"], environ).stdout
    assert plans.count("  applied  ") == 6, plans


def test_the_demo_touches_no_store_and_heeds_no_policy_of_yours(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    environ = _environ(
        tmp_path,
        CORDBOARD_DATABASE=str(mine / "cordboard.db"),
        CORDBOARD_POLICY="strict",
        CORDBOARD_READ_ONLY="1",
    )

    assert _run(DEMO, environ).returncode == 0
    assert list(mine.iterdir()) == []


def test_a_step_that_does_not_do_what_it_says_fails_the_demo_and_is_named(tmp_path: Path) -> None:
    done = _run([sys.executable, "-c", SHORT_OF_AN_AGENT], _environ(tmp_path))

    assert done.returncode == 1
    assert "Step 6, A takeover is refused, and names the holder, failed: " in done.stderr
    assert "AGENT_NOT_FOUND" in done.stderr
    assert "Traceback" not in done.stderr
    assert "All " not in done.stdout


def test_a_reader_who_hangs_up_ends_the_demo_without_a_trace(tmp_path: Path) -> None:
    done = _run(["bash", "-c", f"{' '.join(DEMO)} | head -3"], _environ(tmp_path))

    assert done.stdout.startswith("Cordboard: ")
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_ends_the_demo_and_removes_its_folder(tmp_path: Path) -> None:
    environ = _environ(tmp_path, TERM="dumb")
    child: pexpect.spawn[str] = pexpect.spawn(
        DEMO[0], DEMO[1:], env=environ, encoding="utf-8", timeout=60, dimensions=(60, 200)
    )
    child.expect_exact("3. Attach two numbers")
    child.sendintr()
    said = child.read()
    child.close()

    assert child.exitstatus == 130, said
    assert "Traceback" not in said
    assert list(tmp_path.iterdir()) == []

"""The README tells the truth: its tool table is the tools, and every example in it is run."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from cordboard import config, policy
from cordboard.config.files import ConfigFile
from cordboard.mcp_server.schema import input_schema
from cordboard_tools import TOOLS

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
_FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_TABLE = re.compile(r"(<!-- tools -->\n).*?(<!-- /tools -->)", re.DOTALL)
TWO_COMMANDS = ("pip install uv && uv run cordboard demo", "pip install uv && uv run pytest")


def examples() -> Iterator[tuple[str, str]]:
    """Every fenced block as (kind, text)."""
    for kind, text in _FENCE.findall(README.read_text("utf-8")):
        yield kind.strip(), text


def table() -> str:
    """The tool table as the README must show it."""
    rows = ["| tool | what it does | arguments |", "|---|---|---|"]
    for tool in TOOLS:
        schema = input_schema(tool.input)
        required = schema.get("required", [])
        names = [f"**{n}**" if n in required else n for n in schema["properties"]]
        kind = "reads" if tool.hints.read_only else "changes"
        kind = "changes, destructive" if tool.hints.destructive else kind
        rows.append(f"| `{tool.name}` | {tool.description} *({kind})* | {', '.join(names)} |")
    return "\n".join(rows) + "\n\nArguments in bold are required.\n"


def of_kind(kind: str) -> str:
    """The one example of a kind."""
    (text,) = [text for found, text in examples() if found == kind]
    return text


def run(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run `cordboard` as a person would, on a store of its own in `folder`."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("CORDBOARD_")}
    env |= {"CORDBOARD_DATABASE": str(folder / "store.db"), "HOME": str(folder)}
    return subprocess.run(
        [sys.executable, "-m", "cordboard", *arguments],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_tool_table_is_generated_from_the_tools() -> None:
    text = README.read_text("utf-8")
    current = _TABLE.sub(lambda m: m[1] + table() + m[2], text)
    if os.environ.get("UPDATE_SNAPSHOTS"):
        README.write_text(current, "utf-8")
    assert _TABLE.search(text), "the README has lost the markers of its tool table"
    assert text == current, "run `UPDATE_SNAPSHOTS=1 uv run pytest tests/test_readme.py`"


def test_every_example_is_of_a_kind_that_a_test_here_runs() -> None:
    known = {
        "sh",
        "sh run",
        "sh terminal",
        "sh serve",
        "sql rights",  # by tests/server/test_postgres_operated.py
        "json client",
        "json import",
        "toml policy",
        "toml config",
    }
    assert {kind for kind, _ in examples()} <= known


def test_the_two_commands_stand_first_and_word_for_word() -> None:
    blocks = [text.strip() for kind, text in examples() if kind == "sh"]
    assert tuple(blocks[:2]) == TWO_COMMANDS


def test_the_client_entry_starts_this_program() -> None:
    entry = json.loads(of_kind("json client"))["mcpServers"]["cordboard"]
    assert entry == {"command": "cordboard", "args": []}
    scripts = (ROOT / "pyproject.toml").read_text("utf-8")
    assert 'cordboard = "cordboard.cli:main"' in scripts


def test_the_commands_of_first_steps_run_as_written(tmp_path: Path) -> None:
    (tmp_path / "inventory.json").write_text(of_kind("json import"), "utf-8")
    lines = [line for kind, text in examples() if kind == "sh run" for line in text.splitlines()]
    assert len(lines) >= 8
    for line in lines:
        program, *arguments = shlex.split(line)
        assert program == "cordboard"
        done = run(arguments, tmp_path)
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("line", of_kind("sh terminal").strip().splitlines())
def test_the_commands_that_need_a_terminal_say_so_without_one(line: str, tmp_path: Path) -> None:
    done = run(shlex.split(line)[1:], tmp_path)
    assert done.returncode == 1
    assert "terminal" in done.stderr or "PLAN_NOT_FOUND" in done.stderr


def test_the_install_command_names_clients_that_exist(tmp_path: Path) -> None:
    text = README.read_text("utf-8")
    clients = set(re.findall(r"cordboard install ([a-z-]+)", text))
    assert clients == {"claude-code", "claude-desktop", "cursor", "vscode", "codex"}
    for client in clients:
        done = run(["install", client], tmp_path)
        assert "cordboard" in done.stdout + done.stderr
        assert "Traceback" not in done.stderr


def test_the_commands_of_the_network_run_as_written(tmp_path: Path) -> None:
    create, serve = of_kind("sh serve").strip().splitlines()
    made = run(shlex.split(create)[1:], tmp_path)
    assert made.returncode == 0, made.stderr
    assert made.stdout.startswith("cb.default.")
    assert serve == "cordboard serve --http"
    refused = run([*shlex.split(serve)[1:], "--host", "0.0.0.0"], tmp_path)  # noqa: S104
    assert refused.returncode == 2
    assert "--public-url" in refused.stderr


def test_the_policy_example_is_a_policy(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(of_kind("toml policy"), "utf-8")
    settings = config.load(
        {"CORDBOARD_POLICY": str(path), "CORDBOARD_DATABASE": str(tmp_path / "x")}
    )
    assert settings.policy.four_eyes
    assert settings.policy.budgets.numbers_per_plan == 10
    assert {r.level for r in settings.policy.rules} == {"client", "person", "frozen"}


def test_the_policies_named_are_the_presets_there_are() -> None:
    text = README.read_text("utf-8")
    assert all(f"| `{name}`" in text for name in policy.PRESETS)


def test_the_configuration_example_is_one_and_shows_every_setting(tmp_path: Path) -> None:
    path = tmp_path / "cordboard.toml"
    path.write_text(of_kind("toml config"), "utf-8")
    settings = config.load(
        {"CORDBOARD_CONFIG": str(path), "CORDBOARD_DATABASE": str(tmp_path / "x")}
    )
    assert settings.ask_seconds == 50
    served = config.load({"CORDBOARD_CONFIG": str(path)}, serving={})
    assert served.http is not None
    assert served.http.oauth is not None
    shown = set(tomllib.loads(of_kind("toml config"))) | {"database"}
    assert shown == set(ConfigFile.model_fields)

"""What is shipped: the wheel built, looked into, installed in a fresh environment and driven."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = {
    "cordboard": ROOT / "server/cordboard",
    "cordboard_tools": ROOT / "tools/cordboard_tools",
}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
DIST_INFO = f"cordboard-{PROJECT['version']}.dist-info"

TOOLS = {
    "apply_plan",
    "approve_in_app",
    "attach_numbers",
    "clear_number_pathway",
    "detach_numbers",
    "discard_plan",
    "freeze_changes",
    "get_number_route",
    "get_plan",
    "list_agents",
    "list_changes",
    "list_numbers",
    "list_pathways",
    "move_numbers",
    "set_number_pathway",
    "undo_plan",
}

# Run by the fresh environment's own Python: the SDK's client against the installed command.
DRIVER = """
import json, sys
from pathlib import Path
import anyio, cordboard, cordboard_tools
from mcp import Client, StdioServerParameters

async def drive(command, database):
    server = StdioServerParameters(command=command, env={"CORDBOARD_DATABASE": database})
    with anyio.fail_after(60):
        async with Client(server) as client:
            listed = await client.list_tools()
            called = await client.call_tool("list_numbers", {})
    return {
        "packages": [str(Path(p.__file__).parent) for p in (cordboard, cordboard_tools)],
        "tools": [tool.name for tool in listed.tools],
        "is_error": called.is_error,
        "answer": called.structured_content,
        "text": "".join(block.text for block in called.content),
    }

print(json.dumps(anyio.run(drive, *sys.argv[1:])))
"""


@dataclass(frozen=True)
class Environment:
    """A virtual environment that holds the installed wheel and what it requires."""

    folder: Path

    def program(self, name: str) -> str:
        """The path of a program in this environment."""
        return str(self.folder / ("Scripts" if os.name == "nt" else "bin") / name)

    def run(self, name: str, *arguments: str, home: Path) -> str:
        """What a program of this environment prints, run far from the source, in an empty home."""
        ran = subprocess.run(
            [self.program(name), *arguments],
            cwd=home,
            env={"HOME": str(home), "PATH": os.environ["PATH"]},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert ran.returncode == 0, f"{name} failed:\n{ran.stdout}\n{ran.stderr}"
        return ran.stdout


def uv(*arguments: str, **extra_environment: str) -> None:
    """Run uv: first from what is cached alone, then with the network."""
    command = os.environ.get("UV") or shutil.which("uv")
    assert command, "uv is not on the PATH: pip install uv"
    environment = {k: v for k, v in os.environ.items() if k != "VIRTUAL_ENV"} | extra_environment
    for offline in (["--offline"], []):
        ran = subprocess.run(
            [command, *offline, *arguments],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        if ran.returncode == 0:
            return
    pytest.fail(f"uv {' '.join(arguments)} failed:\n{ran.stderr}")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from this tree."""
    folder = tmp_path_factory.mktemp("wheel")
    uv("build", "--wheel", "--out-dir", str(folder))
    [built] = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """A fresh environment: the wheel, and what it requires in the versions of the lock."""
    environment = Environment(tmp_path_factory.mktemp("installed") / "venv")
    python = environment.program("python")
    uv("venv", "--python", sys.executable, str(environment.folder))
    uv(
        "sync",
        "--frozen",
        "--no-dev",
        "--no-install-project",
        UV_PROJECT_ENVIRONMENT=str(environment.folder),
    )
    uv("pip", "install", "--python", python, "--no-deps", str(wheel))
    uv("pip", "check", "--python", python)  # the wheel's own requirements are met
    return environment


def shipped_files(package: str) -> dict[str, bytes]:
    """Every file of a package in this tree, by its name in the wheel."""
    folder = PACKAGES[package]
    return {
        f"{package}/{file.relative_to(folder).as_posix()}": file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }


def test_the_wheel_holds_the_two_packages_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.split("/")[0] for name in archive.namelist()}
    assert tops == {"cordboard", "cordboard_tools", DIST_INFO}


def test_the_wheel_holds_every_file_of_both_packages(wheel: Path) -> None:
    expected = shipped_files("cordboard") | shipped_files("cordboard_tools")
    with zipfile.ZipFile(wheel) as archive:
        held = {n: archive.read(n) for n in archive.namelist() if not n.startswith(DIST_INFO)}
    assert sorted(held) == sorted(expected)
    assert held == expected


def test_the_wheel_says_it_is_typed_and_carries_its_sql(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {"cordboard/py.typed", "cordboard_tools/py.typed"} <= names
    assert {"cordboard/stores/schema/1.sql", "cordboard/stores/queries.sql"} <= names


def test_the_wheel_carries_its_licence_and_its_readme(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        metadata = archive.read(f"{DIST_INFO}/METADATA").decode()
        licence = archive.read(f"{DIST_INFO}/licenses/LICENSE")
    assert "License-Expression: Apache-2.0" in metadata
    assert licence == (ROOT / "LICENSE").read_bytes()
    _, _, description = metadata.partition("\n\n")
    assert description.strip() == (ROOT / "README.md").read_text("utf-8").strip()


def test_the_source_archive_carries_the_tests(tmp_path: Path) -> None:
    uv("build", "--sdist", "--out-dir", str(tmp_path))
    [built] = tmp_path.glob("*.tar.gz")
    with tarfile.open(built) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"tests/test_packaging.py", "server/cordboard/py.typed", "uv.lock", "LICENSE"} <= names
    assert not {name for name in names if "__pycache__" in name or name.startswith(".venv")}


def test_the_installed_command_tells_its_version(installed: Environment, tmp_path: Path) -> None:
    assert PROJECT["version"] in installed.run("cordboard", "--version", home=tmp_path)


def test_the_installed_server_lists_its_tools_and_says_how_to_fill_an_empty_store(
    installed: Environment, tmp_path: Path
) -> None:
    told = drive(installed, tmp_path)
    assert all(Path(p).is_relative_to(installed.folder) for p in told["packages"]), told["packages"]
    assert len(told["tools"]) == 16
    assert set(told["tools"]) == TOOLS
    assert not told["is_error"], told["text"]
    assert told["answer"]["numbers"] == []
    assert "cordboard import" in told["answer"]["message"]


def drive(installed: Environment, home: Path) -> dict[str, Any]:
    """Start the installed command over stdio, on an empty store, and ask it two things."""
    (home / "drive.py").write_text(DRIVER, "utf-8")
    printed = installed.run(
        "python",
        "-I",
        "drive.py",
        installed.program("cordboard"),
        str(home / "cordboard.db"),
        home=home,
    )
    told: dict[str, Any] = json.loads(printed)
    return told

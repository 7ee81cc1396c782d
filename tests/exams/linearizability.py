"""Whether one order of a number's operations explains what everybody was answered.

Linearizable: every operation can be given one moment between its call and its answer, so that the
operations, each carried out at its moment, give those answers. A number is a register that holds an
agent, "" for nobody, and its history is checked by itself: linearizability is a local property.

Two judge, and must agree. `fault_found_by_library` asks simloom's checker, the one on the package
index that judges a recorded history (Wing & Gong). `fault` is our own search, in Lowe's "just in
time" form; it alone knows that nobody is refused a number for his own sake.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock
from platformdirs import user_cache_path

_LIBRARY = "simloom"
_LOCK = Path(__file__).parents[2] / "uv.lock"
_TRIES = 3
Kind = Literal["take", "leave", "refused", "read"]


@dataclass(frozen=True, slots=True)
class Operation:
    """What somebody did with one number, and between which moments, in seconds.

    take: it held nobody, and holds `agent` since; leave: the reverse; refused: it held somebody
    else than `agent`; read: it held `agent`.
    """

    called: float
    answered: float
    kind: Kind
    agent: str

    def after(self, holder: str) -> str | None:
        """Who holds it afterwards where `holder` does before; None: not the answer it was given."""
        match self.kind:
            case "take":
                return self.agent if holder == "" else None
            case "leave":
                return "" if holder == self.agent else None
            case "refused":
                return holder if holder not in ("", self.agent) else None
            case "read":
                return holder if holder == self.agent else None


def fault(first: str, history: Sequence[Operation]) -> str:
    """The first answer that no order explains, if `first` held the number at the start; "": none."""
    possible = {(first, frozenset[int]())}  # who may hold it, and what of the open is done by then
    open_ones: set[int] = set()
    for is_answer, at in _moments(history):
        if not is_answer:
            open_ones.add(at)
            continue
        possible = {
            (holder, done - {at}) for holder, done in _until_done(at, possible, open_ones, history)
        }
        if not possible:
            return f"{history[at]} is explained by no order of {len(history)} operations"
        open_ones.remove(at)
    return ""


Possible = tuple[str, frozenset[int]]


def _until_done(
    wanted: int, possible: set[Possible], open_ones: set[int], history: Sequence[Operation]
) -> Iterator[Possible]:
    """From what may be the case to all that may be once the wanted operation is carried out.

    What changes nothing is carried out as soon as it can be: later would never be better, and of a
    hundred that overlap every choice would be gone through.
    """
    seen, ahead = set[Possible](), list(possible)
    while ahead:
        holder, done = ahead.pop()
        done |= {at for at in open_ones - done if history[at].after(holder) == holder}
        if (holder, done) in seen:
            continue
        seen.add((holder, done))
        if wanted in done:
            yield holder, done
            continue
        for at in open_ones - done:
            after = history[at].after(holder)
            if after is not None:
                ahead.append((after, done | {at}))


def _moments(history: Sequence[Operation]) -> Iterable[tuple[bool, int]]:
    """Calls and answers in their order; of the same moment the calls first, so that they overlap."""
    calls = [(op.called, False, at) for at, op in enumerate(history)]
    answers = [(op.answered, True, at) for at, op in enumerate(history)]
    return [(is_answer, at) for _, is_answer, at in sorted(calls + answers)]


def fault_found_by_library(first: str, history: Sequence[Operation]) -> str:
    """As `fault`, by simloom's checker: a register with read and compare-and-set."""
    simloom = _library()
    recorded = simloom.RegisterHistory()
    begun: dict[int, Any] = {}
    for is_answer, at in _moments(history):
        name, arguments, result = _in_its_words(history[at])
        if is_answer:
            begun[at].complete(result)
        else:
            begun[at] = recorded.invoke("number", name, *arguments, process=at)
    found = simloom.check_linearizable(recorded, initial=first)
    return "" if found else str(found.message)


def _in_its_words(op: Operation) -> tuple[str, tuple[str, ...], object]:
    match op.kind:
        case "take":
            return "cas", ("", op.agent), True
        case "leave":
            return "cas", (op.agent, ""), True
        case "refused":
            return "cas", ("", op.agent), False
        case "read":
            return "read", (), op.agent


@functools.cache
def _library() -> Any:
    """simloom, or its checker alone: the library says that it needs Python 3.12, and other parts of
    it do; that module, unchanged, does not."""
    if sys.version_info >= (3, 12):
        return importlib.import_module(_LIBRARY)
    path = _installed() / _LIBRARY / "_linearizability.py"
    spec = importlib.util.spec_from_file_location("simloom_checker", path)
    assert spec and spec.loader
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _installed() -> Path:
    """Where the library is, in the version and with the hashes of uv.lock; in the user's cache, once.

    Raises: RuntimeError with uv's own words where it cannot be installed.
    """
    [locked] = [
        p for p in tomllib.loads(_LOCK.read_text("utf-8"))["package"] if p["name"] == _LIBRARY
    ]
    home = user_cache_path("cordboard-exams") / f"{_LIBRARY}-{locked['version']}"
    home.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{home}.lock"):
        if not (home / "complete").exists():
            hashes = " ".join(f"--hash={wheel['hash']}" for wheel in locked["wheels"])
            _install(f"{_LIBRARY}=={locked['version']} {hashes}", home)
            (home / "complete").touch()
    return home


def _install(requirement: str, home: Path) -> None:
    command = [
        os.environ.get("UV", "uv"), "pip", "install", "--quiet", "--no-deps", "--require-hashes",
        "--only-binary", ":all:", "--python", sys.executable, "--python-version", "3.12",
        "--target", str(home), "-r", "-",
    ]  # fmt: skip
    for attempt in range(1, _TRIES + 1):
        done = subprocess.run(
            command, input=requirement, capture_output=True, text=True, check=False
        )
        if done.returncode == 0:
            return
        if attempt < _TRIES:
            time.sleep(5 * attempt)  # an index that is busy is often not busy soon after
    raise RuntimeError(f"{requirement} could not be installed:\n{done.stdout}{done.stderr}")

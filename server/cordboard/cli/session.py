"""What every command shares: a wired app for its duration, errors as one line, two ways to print.

A person gets rich text, a program `--json`: one document on standard output, nothing else there.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import secrets
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn, TextIO, TypeVar

import anyio
from rich import console as rich_console
from rich.table import Table

from cordboard import logs
from cordboard.app import App, build
from cordboard.config import load
from cordboard.display import shown
from cordboard.errors import ConfigError, CordboardError

T = TypeVar("T")

_PIPED_WIDTH = 160


class Console(rich_console.Console):
    """Rich's, for which a reader who has read enough is no failure: `cordboard … | head`."""

    def on_broken_pipe(self) -> NoReturn:
        _drop_output()
        raise SystemExit(0)


console = Console(highlight=False, soft_wrap=True, emoji=False)
errors = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)


def with_app(work: Callable[[App], Awaitable[T]]) -> T:
    """Run `work` on an app wired from this process's settings.

    Raises: CordboardError; `guarded` turns it into a line and an exit code.
    """
    logs.configure(logging.ERROR)  # what it would warn of, the command tells
    app = build(load())

    async def run() -> T:
        async with app.running():
            return await work(app)

    return anyio.run(run)


_AT_A_TERMINAL = {
    "list_agents": "`cordboard agents`",
    "list_numbers": "`cordboard numbers`",
    "list_changes": "`cordboard plans --all`",
    "get_plan": "`cordboard plans show`",
    "apply_plan": "`cordboard approve`",
    "undo_plan": "`cordboard undo`",
}
"""What is called by the tool's name, as a person at a terminal calls it."""


def at_terminal(said: str) -> str:
    """A text of ours with commands in place of the names of tools."""
    for tool, here in _AT_A_TERMINAL.items():
        said = re.sub(rf"\b{tool} with plan_id (plan_\w+)", rf"{here[:-1]} \1`", said)
        said = said.replace(tool, here)
    return said


def guarded(command: Callable[[], int], *, as_json: bool = False) -> int:
    """The exit code of a command; a refusal is printed as it reads and is 1, a bad setting is 2."""
    try:
        code = command()
        if sys.stdout is not None:
            sys.stdout.flush()
    except CordboardError as exc:
        if as_json:
            print_json({"error": _as_json(exc)})
        errors.print(at_terminal(str(exc)), style="red", markup=False)
        return 2 if isinstance(exc, ConfigError) else 1
    except KeyboardInterrupt:
        errors.print("Stopped.", style="red")
        return 130
    except BrokenPipeError:  # `cordboard … | head`
        _drop_output()
        return 0
    except OSError as exc:
        _drop_output()
        errors.print(f"The output cannot be written: {exc.strerror or exc}.", style="red")
        return 1
    return code


def _as_json(exc: CordboardError) -> dict[str, Any]:
    """A refusal for a program; of numbers, each with why it is refused."""
    told: dict[str, Any] = {"code": exc.code, "what": exc.what, "remedy": exc.remedy}
    problems = getattr(exc, "problems", ())
    return told | ({"problems": [asdict(problem) for problem in problems]} if problems else {})


def _drop_output() -> None:
    """Let nothing be flushed at exit to where nobody reads."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def standard_output() -> TextIO:
    """Standard output. Raises: OSError where the process was started without one."""
    if sys.stdout is None:
        raise OSError(errno.EBADF, "standard output is closed")
    return sys.stdout


def print_json(data: Any) -> None:
    """One JSON document for a program to read."""
    standard_output().write(json.dumps(data, ensure_ascii=False, indent=2) + "\n")


def print_table(table: Table) -> None:
    """A table as wide as the terminal, or as it needs to be in a pipe."""
    wide = console if console.is_terminal else Console(width=_PIPED_WIDTH)
    wide.print(table, soft_wrap=False)


@contextmanager
def written(file: Path | None) -> Iterator[TextIO]:
    """Where to write: standard output, or a file written aside and put into place whole.

    Raises: ConfigError where it cannot be written; an older file is then as it was.
    """
    if file is None:
        yield standard_output()
        return
    try:
        if (
            file.exists() and not file.is_file()
        ):  # a device or a pipe: nothing is put into its place
            with file.open("w", encoding="utf-8", errors="backslashreplace", newline="") as out:
                yield out
            return
        draft = file.with_name(f".{file.name}.{secrets.token_hex(6)}")
        handle = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        try:
            with os.fdopen(
                handle, "w", encoding="utf-8", errors="backslashreplace", newline=""
            ) as out:
                yield out
                out.flush()
                os.fsync(out.fileno())
            draft.replace(file)
        finally:
            draft.unlink(missing_ok=True)
    except (OSError, ValueError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else exc
        raise ConfigError(
            f"{shown(str(file))} cannot be written: {why}.", "Check the path."
        ) from None

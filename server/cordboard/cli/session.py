"""What every command shares: a wired app for its duration, errors as one line, two ways to print.

A person gets rich text, a program `--json`: one document on standard output, nothing else there.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Any, TextIO, TypeVar

import anyio
from rich.console import Console

from cordboard import logs
from cordboard.app import App, build
from cordboard.config import load
from cordboard.errors import ConfigError, CordboardError

T = TypeVar("T")

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
}
"""What an error's remedy calls by the tool's name, as a person at a terminal calls it."""


def guarded(command: Callable[[], int], *, as_json: bool = False) -> int:
    """The exit code of a command; a refusal is printed as it reads and is 1, a bad setting is 2."""
    try:
        code = command()
        if sys.stdout is not None:
            sys.stdout.flush()
    except CordboardError as exc:
        if as_json:
            print_json({"error": {"code": exc.code, "what": exc.what, "remedy": exc.remedy}})
        said = str(exc)
        for tool, here in _AT_A_TERMINAL.items():
            said = said.replace(tool, here)
        errors.print(said, style="red", markup=False)
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

"""What every command shares: a wired app for its duration, errors as one line, two ways to print.

A person gets rich text, a program `--json`: one document on standard output, nothing else there.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

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
    """Run `work` on an app wired from this process's settings, and close its store.

    Raises: CordboardError; `guarded` turns it into a line and an exit code.
    """
    logs.configure()
    app = build(load())

    async def run() -> T:
        try:
            return await work(app)
        finally:
            await app.store.close()

    return anyio.run(run)


def guarded(command: Callable[[], int]) -> int:
    """The exit code of a command; a refusal is printed as it reads and is 1, a bad setting is 2."""
    try:
        return command()
    except ConfigError as exc:
        errors.print(str(exc), style="red", markup=False)
        return 2
    except CordboardError as exc:
        errors.print(str(exc), style="red", markup=False)
        return 1
    except KeyboardInterrupt:
        errors.print("Stopped.", style="red")
        return 130
    except BrokenPipeError:  # `cordboard … | head`
        sys.stderr.close()
        return 0


def print_json(data: Any) -> None:
    """One JSON document for a program to read."""
    sys.stdout.write(json.dumps(data, ensure_ascii=False, indent=2) + "\n")

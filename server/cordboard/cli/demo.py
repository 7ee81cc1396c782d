"""`cordboard demo`: the real server in a throw-away folder, and a story that checks itself."""

from __future__ import annotations

import shlex
import shutil
import tempfile
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import anyio
import typer
from rich.text import Text

from cordboard.cli.session import console, errors

_STYLES = {"Assistant": "cyan", "Cordboard": "green", "Person": "yellow", "Why": "dim"}
_WIDEST = 100


def register(app: typer.Typer) -> None:
    """Add this command to the command line."""
    app.command()(demo)


def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Keep the folder, and name it.")] = False,
) -> None:
    """Show in seconds what Cordboard does: a real server, a real store, nothing of yours touched."""
    started = time.monotonic()
    stage = Stage()
    console.print(Text("Cordboard: an assistant changes phone routing, a person decides.", "bold"))
    with _folder(keep) as folder:
        from cordboard.cli import demo_story  # not sooner: it imports the SDK, which takes its time

        try:
            anyio.run(demo_story.tell, stage, folder)
        except (Exception, BaseExceptionGroup) as exc:  # noqa: BLE001 - the step it broke in is told
            cause = _innermost(exc)
            if not isinstance(cause, Exception):  # the reader of our output hung up, or Ctrl-C
                raise cause from None
            _failed(stage, cause, folder)
            raise typer.Exit(1) from None
    seconds = time.monotonic() - started
    console.print(
        Text(
            f"\nAll {stage.steps} steps did what they say, in {seconds:.1f} s.", style="bold green"
        )
    )
    _next(folder if keep else None)


class Stage:
    """Where the story is told: numbered steps, each a title and lines of who says what."""

    def __init__(self) -> None:
        self.steps = 0
        self.title = "Starting"

    def step(self, title: str) -> None:
        """Begin the next step."""
        self.steps += 1
        self.title = title
        console.print(Text(f"\n{self.steps}. {title}", style="bold"))

    def says(self, who: str, what: str) -> None:
        """One or more lines of one of those on the stage; long ones wrap beside the name."""
        width = min(console.width, _WIDEST)
        indent = " " * 13
        name = f"   {who:<{len(indent) - 3}}"
        told = Text("\n".join(_wrapped(line, indent, width) for line in what.splitlines()))
        told = Text(name) + Text(told.plain[len(indent) :])
        told.stylize(_STYLES[who], 0, len(told) if who == "Why" else len(name))
        console.print(told)


def _wrapped(line: str, indent: str, width: int) -> str:
    return textwrap.fill(
        line,
        width,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


@contextmanager
def _folder(keep: bool) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="cordboard-demo-"))
    try:
        yield folder
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


def _innermost(exc: BaseException) -> BaseException:
    while isinstance(exc, BaseExceptionGroup):
        exc = exc.exceptions[0]
    return exc


def _failed(stage: Stage, exc: Exception, folder: Path) -> None:
    """Which step broke and why, and the last words of the server."""
    why = str(exc) or type(exc).__name__
    errors.print(Text(f"\nStep {stage.steps}, {stage.title}, failed: {why}", style="bold red"))
    log = folder / "server.log"
    if log.exists():
        for line in log.read_text("utf-8", "replace").splitlines()[-5:]:
            errors.print(Text(f"   server: {line}", style="red"))


def _next(kept: Path | None) -> None:
    if kept is not None:
        database = shlex.quote(str(kept / "cordboard.db"))
        command = f"CORDBOARD_DATABASE={database} cordboard plans --all"
        console.print(Text(f"Its store is kept in {kept}; look at it with\n   {command}"))
    console.print(
        Text(
            "Now yours: `cordboard import FILE` takes in your numbers and agents, and\n"
            "`cordboard install claude-code` (or claude-desktop, cursor, vscode, codex) your assistant."
        )
    )

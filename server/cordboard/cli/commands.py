"""Every command by name, put together from its groups."""

from __future__ import annotations

import io
import sys
from types import ModuleType

import typer

from cordboard.cli.session import errors, guarded


def _finish(code: object) -> None:
    """What a command returned is the exit code."""
    raise typer.Exit(code if isinstance(code, int) else 0)


def assemble() -> typer.Typer:
    """The command line."""
    app = typer.Typer(
        name="cordboard",
        help="Safe changes of which voice agent answers which phone number. Without a command: "
        "serve MCP on stdio.",
        no_args_is_help=False,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        result_callback=_finish,
    )
    for group in _groups():
        group.register(app)
    return app


def _groups() -> tuple[ModuleType, ...]:
    """Each group of commands is a file, imported no sooner than it is needed."""
    from cordboard.cli import (
        approvals,
        bulk,
        clients,
        database,
        demo,
        doctor,
        inventory,
        moving,
        records,
        serve_http,
        tokens,
    )

    return (
        demo,
        inventory,
        bulk,
        approvals,
        tokens,
        records,
        doctor,
        database,
        clients,
        serve_http,
        moving,
    )


def run(arguments: list[str]) -> int:
    """Run one command; its exit code. Unknown commands and bad options are typer's to tell, 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a label may hold what the terminal cannot show
            stream.reconfigure(errors="backslashreplace")
    if not all(argument.isascii() or _is_text(argument) for argument in arguments):
        errors.print("An argument is not UTF-8 text; nothing was done.", style="red")
        return 2

    def command() -> int:
        try:
            assemble()(arguments, prog_name="cordboard")
        except SystemExit as exc:
            return exc.code if isinstance(exc.code, int) else 0
        return 0

    return guarded(command, as_json="--json" in arguments)


def _is_text(argument: str) -> bool:
    try:
        argument.encode()
    except UnicodeEncodeError:
        return False
    return True

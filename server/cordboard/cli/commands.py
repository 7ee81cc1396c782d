"""Every command by name, put together from its groups."""

from __future__ import annotations

import sys

import click
import typer

from cordboard.cli.session import guarded

app = typer.Typer(
    name="cordboard",
    help="Safe changes of which voice agent answers which phone number. Without a command: "
    "serve MCP on stdio.",
    no_args_is_help=False,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def run(arguments: list[str]) -> int:
    """Run one command; its exit code."""

    def command() -> int:
        try:
            code = app(arguments, standalone_mode=False)
        except click.ClickException as exc:
            exc.show(sys.stderr)
            return exc.exit_code
        except click.exceptions.Abort:
            return 130
        return code if isinstance(code, int) else 0

    return guarded(command)

"""`cordboard install CLIENT`: the command around `install.py`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from cordboard.cli.install import ASKS, InstallError, Place, find_command, install_command
from cordboard.cli.session import console, errors
from cordboard.config import Settings, environment, load


def register(app: typer.Typer) -> None:
    """Add this command to the command line."""
    app.command()(install)


def install(
    client: Annotated[str, typer.Argument(metavar="CLIENT", help=", ".join(ASKS))],
    scope: Annotated[str, typer.Option(help="user or project, where the client knows both.")] = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Write without asking.")] = False,
) -> None:
    """Put Cordboard into an MCP client's configuration: show the change, ask, keep a copy."""
    settings = load()  # settings that are wrong would be wrong in the client too
    defaults = {"CORDBOARD_POLICY": "standard", "CORDBOARD_DATABASE": load({}).place}
    terminal = sys.stdin.isatty() and sys.stdout.isatty()
    try:
        _check_secrets(settings)
        place = Place(environment(), Path.home(), Path.cwd(), sys.platform)
        written = install_command(
            client,
            scope,
            yes,
            place,
            find_command(sys.argv[0], place),
            console,
            typer.confirm if terminal else None,
            defaults,
        )
    except (InstallError, OSError) as exc:
        errors.print(str(exc), style="red", markup=False)
        raise typer.Exit(2) from None
    if not written:
        raise typer.Exit(1)


def _check_secrets(settings: Settings) -> None:
    """Raises: InstallError where the URL of the database would bring a secret into the client's file."""
    named_here = "CORDBOARD_DATABASE" in environment()  # and not in the file of CORDBOARD_CONFIG
    if named_here and settings.postgres and settings.postgres != settings.place:
        raise InstallError(
            "Take the password out of CORDBOARD_DATABASE: it would stand in clear in the client's "
            "file; a ~/.pgpass file can hold it."
        )

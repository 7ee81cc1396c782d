"""`cordboard serve --http`: the command around `web/serving.py`."""

from __future__ import annotations

import shlex
import sys
from typing import Annotated

import typer

from cordboard import logs
from cordboard.cli.session import errors
from cordboard.config import Settings, load
from cordboard.config.http import HttpSettings


def register(app: typer.Typer) -> None:
    """Add this command to the command line."""
    app.command()(serve)


def serve(
    http: Annotated[bool, typer.Option("--http", help="Serve MCP and all else over HTTP.")] = False,
    host: Annotated[
        str | None, typer.Option(help="Where to listen. Others than loopback need TLS.")
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="8000 unless told; 0 takes a free one.")
    ] = None,
    public_url: Annotated[
        str | None, typer.Option(help="https://HOST by which clients reach a proxy before us.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, max=64, help="Processes; of several, none has sessions.")
    ] = None,
    tls_cert: Annotated[str | None, typer.Option(help="Certificate chain, a PEM file.")] = None,
    tls_key: Annotated[str | None, typer.Option(help="Its key, a PEM file.")] = None,
) -> int:
    """Serve over the network. (Without a command, `cordboard` serves MCP on stdio.)"""
    if not http:
        errors.print(
            "Say `cordboard serve --http` to serve over HTTP. Without a command, `cordboard` serves "
            "MCP on standard input and output.",
            style="red",
            markup=False,
        )
        return 2
    logs.configure()
    given = {"host": host, "port": port, "public_url": public_url, "workers": workers}
    settings = load(serving=given | {"tls_cert": tls_cert, "tls_key": tls_key})
    from cordboard.web import serving

    settings, listening = serving.bound(serving.sealed(settings))
    if settings.http is not None:
        sys.stderr.write(told(settings, settings.http))
        sys.stderr.flush()
    return serving.serve(settings, listening)


def told(settings: Settings, http: HttpSettings) -> str:
    """What an operator should know at the start, line by line."""
    many = "1 process" if http.workers == 1 else f"{http.workers} processes"
    only = ", read-only" if settings.read_only else ""
    where = "" if settings.default_database else f"CORDBOARD_DATABASE={_quoted(settings)} "
    lines = (
        f"Cordboard serves MCP at {http.url}/mcp ({many}, policy {settings.policy.name}{only}).",
        f"Plans are approved at {http.url}/approvals.",
        f"Clients need a token: `{where}cordboard tokens create NAME --scope SCOPE` makes one.",
    )
    return "".join(f"{line}\n" for line in lines)


def _quoted(settings: Settings) -> str:
    return shlex.quote(settings.place)

"""`cordboard doctor`: what is set up, what is wrong, and what to do about each."""

from __future__ import annotations

import logging
import sys
from dataclasses import asdict
from importlib.metadata import version

import anyio
import typer
from rich.text import Text

from cordboard import logs
from cordboard.cli.doctor.finding import Finding, line, wrong
from cordboard.cli.doctor.platforms import about_platforms
from cordboard.cli.doctor.store import about_store
from cordboard.cli.plans import AsJson
from cordboard.cli.session import console, print_json
from cordboard.config import Settings, load
from cordboard.display import shown
from cordboard.errors import CordboardError


def register(app: typer.Typer) -> None:
    """Add this command to the command line."""
    app.command()(doctor)


def doctor(as_json: AsJson = False) -> None:
    """Tell how Cordboard is set up here, and whether it is well. 1 when something is wrong."""
    logs.configure(logging.ERROR)  # what it could warn of is told here
    found = _about_program()
    try:
        settings = load()
    except CordboardError as exc:
        found.append(wrong("settings", exc))
    else:
        found += _about_settings(settings)
        found += anyio.run(about_platforms, settings.platforms)
        found += anyio.run(about_store, settings)
    well = all(finding.ok for finding in found)
    if as_json:
        print_json({"ok": well, "checks": [asdict(finding) for finding in found]})
    else:
        for finding in found:
            _print(finding)
        bad = sum(not finding.ok for finding in found)
        console.print("All is well." if well else f"{bad} to put right.", style="bold")
    raise typer.Exit(0 if well else 1)


def _print(finding: Finding) -> None:
    mark, style = ("ok", "green") if finding.ok else ("!!", "red")
    told = Text.assemble((f"{mark}  ", style), (f"{finding.name}: ", "bold"), finding.value)
    console.print(told)
    if finding.remedy:
        console.print(Text(f"      {finding.remedy}"))


def _about_program() -> list[Finding]:
    python = ".".join(map(str, sys.version_info[:3]))
    return [
        Finding("cordboard", version("cordboard")),
        Finding("Python", f"{python} ({sys.platform}, {line(sys.executable)})"),
    ]


def _about_settings(settings: Settings) -> list[Finding]:
    policy = settings.policy
    return [
        Finding("policy", f"{line(policy.name)}, hash {policy.digest}"),
        Finding("principal", shown(settings.principal)),
        Finding("read-only", "yes: nothing can be changed" if settings.read_only else "no"),
    ]

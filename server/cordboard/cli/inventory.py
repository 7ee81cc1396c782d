"""What there is: `import` puts it there; `agents` and `numbers` list it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.progress import MofNCompleteColumn
from rich.table import Table
from rich.text import Text

from cordboard.answers import AgentList, AgentShape, Listing, NumberList, NumberShape
from cordboard.app import App
from cordboard.cli.plans import AsJson
from cordboard.cli.session import console, errors, print_json, print_table, with_app
from cordboard.cli.working import bar_of
from cordboard.clock import stamp
from cordboard.display import shown
from cordboard.platforms import NumberFilter
from cordboard.platforms.local.checking import Progress as Tell
from cordboard.platforms.local.checking import quiet
from cordboard.platforms.local.importing import Imported, contents, import_file

_PAGE = 200
_LONG_FILE = 200_000
"""Bytes from which on a progress bar is worth its place."""

Platform = Annotated[
    Literal["local", "bland", "synthflow", "unleashx"] | None,
    typer.Option(help="Of this platform only."),
]
Provider = Annotated[
    Literal["san", "ozonetell", "twilio", "exotel", "telnyx", "vonage", "plivo", "bandwidth"]
    | None,
    typer.Option(help="Of this carrier only."),
]
Query = Annotated[str, typer.Option(help="Only what contains this text.")]
Limit = Annotated[int, typer.Option(min=1, max=100_000, help="At most so many.")]
Cursor = Annotated[str, typer.Option(help="Go on from `next_cursor` of an earlier listing.")]


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.command("import")(import_inventory)
    app.command()(agents)
    app.command()(numbers)


def import_inventory(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="JSON or TOML; CSV for numbers alone.")
    ],
    as_json: AsJson = False,
) -> None:
    """Add the providers, agents, numbers and pathways of a file, or change them.

    All or nothing. What the file does not name stays as it is; nothing is detached.
    """

    async def work(app: App) -> Imported:
        app.service.approvals.writable()
        data = contents(file)
        settings = app.settings
        with _progress(len(data)) as tell:
            return await import_file(
                app.store,
                settings.account,
                settings.principal,
                stamp(app.clock()),
                data,
                str(file),
                tell,
            )

    done = with_app(work)
    if as_json:
        print_json({"counts": done.counts, "sha256": done.sha256, "warnings": done.warnings})
        return
    for warning in done.warnings:
        errors.print(Text(f"Warning: {warning}", style="yellow"))
    for section, count in done.counts.items():
        if any(count.values()):
            said = ", ".join(f"{number} {what}" for what, number in count.items())
            console.print(Text(f"{section}: {said}"))
    console.print("Imported." if done.written else "Already so: nothing was changed.")


@contextmanager
def _progress(size: int) -> Iterator[Tell]:
    """A bar on standard error for a long file; Ctrl-C stops the import and leaves nothing of it."""
    if not (errors.is_terminal and size >= _LONG_FILE):
        with _stoppable(quiet) as tell:
            yield tell
        return
    with bar_of(MofNCompleteColumn()) as bar:
        task = bar.add_task("reading")

        def show(phase: str, done: int, total: int) -> None:
            bar.update(task, description=phase, completed=done, total=total)

        with _stoppable(show) as tell:
            yield tell


@contextmanager
def _stoppable(show: Tell) -> Iterator[Tell]:
    """The rows are written in another thread, which learns here that Ctrl-C was pressed."""
    stopped = threading.Event()

    def note(*_signal: object) -> None:
        stopped.set()

    def tell(phase: str, done: int, total: int) -> None:
        if stopped.is_set():
            raise KeyboardInterrupt
        show(phase, done, total)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield tell
    finally:
        signal.signal(signal.SIGINT, before)


def agents(
    query: Query = "",
    platform: Platform = None,
    limit: Limit = 50,
    cursor: Cursor = "",
    as_json: AsJson = False,
) -> None:
    """List agents, and how many numbers each holds."""

    async def work(app: App) -> AgentList:
        found: list[AgentShape] = []
        after = cursor
        while True:
            page = await app.service.lookups.list_agents(
                app.settings.account, platform or "", query, min(_PAGE, limit - len(found)), after
            )
            found += page.agents
            after = page.next_cursor
            if not after or len(found) >= limit:
                return page.model_copy(update={"agents": found})

    listed = with_app(work)
    if as_json:
        print_json(listed.model_dump())
        return
    table = Table("agent", "name", "direction", "numbers", "pathway", box=None, pad_edge=False)
    for agent in listed.agents:
        cells = (agent.agent, agent.name, agent.direction, str(agent.numbers), agent.pathway_id)
        table.add_row(*(Text(cell) for cell in cells))
    _print(table, listed)


def numbers(
    agent: Annotated[str, typer.Option(help="Only those bound to it, as local:support.")] = "",
    state: Annotated[
        Literal["any", "attached", "free"],
        typer.Option(help="Of inbound: held by an agent or not."),
    ] = "any",
    query: Query = "",
    provider: Provider = None,
    platform: Platform = None,
    limit: Limit = 50,
    cursor: Cursor = "",
    as_json: AsJson = False,
) -> None:
    """List numbers with what is bound to them."""
    only = NumberFilter(agent=agent, provider=provider or "", state=state, query=query)

    async def work(app: App) -> NumberList:
        found: list[NumberShape] = []
        after = cursor
        while True:
            page = await app.service.lookups.list_numbers(
                app.settings.account, only, platform or "", min(_PAGE, limit - len(found)), after
            )
            found += page.numbers
            after = page.next_cursor
            if not after or len(found) >= limit:
                return page.model_copy(update={"numbers": found})

    listed = with_app(work)
    if as_json:
        print_json(listed.model_dump())
        return
    heads = ("number", "agent", "pathway", "purpose", "provider", "label", "tags", "slug")
    table = Table(*heads, box=None, pad_edge=False)
    for row in listed.numbers:
        table.add_row(*(Text(cell) for cell in _cells(row)))
    _print(table, listed)


def _cells(row: NumberShape) -> tuple[str, ...]:
    held = [b.agent if b.direction == "inbound" else f"{b.agent} (outbound)" for b in row.bindings]
    pathways = [
        f"{b.pathway_id} v{b.pathway_version or ' newest'} {b.start_node_id}".strip()
        for b in row.bindings
        if b.pathway_id
    ]
    tags = ", ".join(row.tags)
    slug = "" if row.slug == row.number[1:] else row.slug
    lines = ("\n".join(held), "\n".join(pathways))
    return (row.number, *lines, row.purpose, row.provider, row.label, tags, slug)


def _print(table: Table, listed: Listing) -> None:
    """The table, then what there is to say."""
    table.columns[0].no_wrap = True
    if table.row_count:
        print_table(table)
    else:
        console.print(Text(listed.message))
    for part in listed.incomplete:
        errors.print(Text(f"{part.platform}: {shown(part.why)}", style="yellow"))
    if listed.next_cursor:
        errors.print("There are more: a higher --limit shows them.", style="dim")

"""`cordboard copy`: a whole store moved to another engine or place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.progress import MofNCompleteColumn
from rich.table import Table
from rich.text import Text

from cordboard.cli.plans import AsJson
from cordboard.cli.session import console, errors, print_json, print_table
from cordboard.cli.working import bar_of
from cordboard.config import Settings, load
from cordboard.errors import ConfigError, ReadOnly
from cordboard.stores.copying import Copied, copy
from cordboard.stores.copying.comparing import Compared, Measure, Tell
from cordboard.stores.copying.sides import Side
from cordboard.stores.sqlite.copying import SqliteSide
from cordboard.stores.sqlite.tables import schema_tables

_SCHEMES = ("sqlite", "postgresql", "postgres")
_DIGITS = 16
"""So much of a digest is shown; `--json` has all of it."""


def register(app: typer.Typer) -> None:
    """Add this command to the command line."""
    app.command("copy")(copy_store)


def copy_store(
    source: Annotated[
        str, typer.Option("--from", metavar="STORE", help="sqlite://PATH or postgresql://…")
    ],
    target: Annotated[
        str, typer.Option("--to", metavar="STORE", help="Empty, or not there; its tables are made.")
    ],
    as_json: AsJson = False,
) -> None:
    """Copy a whole store, its journal and its key included, and verify both sides.

    Stop the servers on both first. Stopped halfway, run it again: it goes on where it was. No
    program that starts uses the target before it is whole.
    """
    if load().read_only:
        raise ReadOnly("This process changes nothing.")
    told = _named(source, "--from"), _named(target, "--to")
    sides = _side(told[0]), _side(told[1])
    try:
        with _progress() as tell:
            copied = copy(*sides, schema_tables(), tell)
    except KeyboardInterrupt:
        errors.print("Stopped. Run the same command again: it goes on where it was.", style="red")
        raise typer.Exit(130) from None
    finally:
        for side in sides:
            side.close()
    if as_json:
        print_json(_as_json(copied, *told))
    else:
        _tell(copied, *told)
    if not copied.whole:
        raise typer.Exit(1)


def _named(named: str, option: str) -> Settings:
    """Where a store is, as CORDBOARD_DATABASE would name it. Raises: ConfigError naming the option."""
    scheme, colon, _ = named.partition("://")
    if not named or (colon and scheme not in _SCHEMES):
        what = (
            f"{option}: a store is named as sqlite://PATH, PATH or postgresql://USER@HOST/DATABASE."
        )
        raise ConfigError(what)
    try:
        return load({"CORDBOARD_DATABASE": named})
    except ConfigError as exc:
        what = exc.what.replace("CORDBOARD_DATABASE", option)
        raise ConfigError(what, exc.remedy) from None


def _side(settings: Settings) -> Side:
    """The store as a side of a copy; the driver is imported only where it is needed."""
    if not settings.postgres:
        return SqliteSide(settings.database)
    from cordboard.stores.postgres.copying import PostgresSide

    return PostgresSide(settings.postgres)


@contextmanager
def _progress() -> Iterator[Tell]:
    """A bar on standard error where that is a terminal."""
    if not errors.is_terminal:
        yield lambda *_: None
        return
    with bar_of(MofNCompleteColumn()) as bar:
        task = bar.add_task("looking")

        def show(phase: str, done: int, total: int) -> None:
            bar.update(task, description=phase, completed=done, total=total)

        yield show


def _tell(copied: Copied, source: Settings, target: Settings) -> None:
    _print_tables(copied)
    if copied.whole:
        events = sum(head.seq for head in copied.journals)
        of = "1 account" if len(copied.journals) == 1 else f"{len(copied.journals)} accounts"
        console.print(f"Journal of {of}: {events:,} events, verified on both sides.")
        console.print(
            "The key that seals open questions, cursors and sessions was carried too."
        ) if (copied.key) else None
        done = "Copied already" if copied.already else "Copied"
        console.print(Text(f"{done}. To use it: CORDBOARD_DATABASE={target.place}", style="green"))
        return
    if copied.changed:
        errors.print(Text(f"{source.place} was written to while it was copied.", style="red"))
    else:
        errors.print(Text("The two sides are not the same; nothing uses the target.", style="red"))
    errors.print(
        "Stop the servers on both and run the same command again: it goes on where it was."
    )


def _print_tables(copied: Copied) -> None:
    table = Table("table", "rows", "SHA-256 of the rows", "", box=None, pad_edge=False)
    empty = 0
    for one in copied.tables:
        if one.same and not one.source.rows:
            empty += 1
            continue
        style = "" if one.same else "red"
        sides = [one.source] if one.same else [one.source, one.target]
        rows = "\n".join(f"{side.rows:,}" for side in sides)
        digests = "\n".join(side.sha256[:_DIGITS] for side in sides)
        said = "same on both sides" if one.same else "in the source\nin the target"
        table.add_row(one.table, rows, digests, said, style=style)
    table.columns[1].justify = "right"
    print_table(table)
    if empty:
        console.print(f"{empty} tables are empty on both sides.")


def _as_json(copied: Copied, source: Settings, target: Settings) -> dict[str, Any]:
    return {
        "source": source.place,
        "target": target.place,
        "whole": copied.whole,
        "source_changed": copied.changed,
        "rows_written": copied.written,
        "key_carried": copied.key,
        "tables": [_table(one) for one in copied.tables],
        "journals": [
            {"account": head.account, "seq": head.seq, "hash": head.hash}
            for head in copied.journals
        ],
    }


def _table(one: Compared) -> dict[str, Any]:
    return {"table": one.table, "source": _measure(one.source), "target": _measure(one.target)}


def _measure(side: Measure) -> dict[str, Any]:
    return {"rows": side.rows, "sha256": side.sha256}

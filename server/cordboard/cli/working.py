"""A sign of life on standard error while something long is done; none where it could not be drawn."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Timer

from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeElapsedColumn

from cordboard import progress
from cordboard.cli.session import errors

_PATIENCE = 0.5
"""Seconds after which a person wonders whether anything is happening."""


def bar_of(told: ProgressColumn) -> Progress:
    """A bar on standard error: what is done, how far it is as `told` says, and for how long."""
    columns = (TextColumn("{task.description}"), BarColumn(), told, TimeElapsedColumn())
    return Progress(*columns, console=errors, transient=True)


@contextmanager
def working(what: str) -> Iterator[None]:
    """Within, a bar shows what is done and for how long; how much of it, where the work tells."""
    if not errors.is_interactive:
        yield
        return
    bar = bar_of(TextColumn("{task.fields[told]}"))
    task = bar.add_task(what, total=None, told="")

    async def hear(done: float, total: float, said: str) -> None:
        of_all = f" of {total:,.0f}" if total else ""
        bar.update(task, completed=done, total=total or None, told=f"{done:,.0f}{of_all} {said}")

    late = Timer(_PATIENCE, bar.start)
    late.daemon = True
    late.start()
    try:
        with progress.heard_by(hear):
            yield
    finally:
        late.cancel()
        late.join()
        if bar.live.is_started:
            bar.stop()

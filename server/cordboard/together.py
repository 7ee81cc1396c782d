"""Several reads at one time, but not too many."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import anyio

from cordboard import progress
from cordboard.errors import CordboardError

Item = TypeVar("Item")
Result = TypeVar("Result")

AT_ONCE = 4
"""Reads under way at one time. No vendor documents a limit for reads; this one is ours."""


async def together(
    read: Callable[[Item], Awaitable[Result]], items: Sequence[Item], what: str
) -> list[Result]:
    """What `read` gives for each item, in order; `what` tells whoever waits.

    Raises: the first error of any; what has not begun by then is left undone.
    """
    results: dict[int, Result] = {}
    errors: list[CordboardError] = []
    waiting = iter(list(enumerate(items)))

    async def work() -> None:
        for place, item in waiting:
            if errors:
                return
            try:
                results[place] = await read(item)
            except CordboardError as exc:
                errors.append(exc)
            await progress.tell(len(results), len(items), what)

    if len(items) == 1:
        await work()
    else:
        async with anyio.create_task_group() as group:
            for _ in range(min(AT_ONCE, len(items))):
                group.start_soon(work)
    if errors:
        raise errors[0]
    return [results[place] for place in range(len(items))]

"""Working on an operation while holding on to it, however slow the vendor or the store is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

import anyio

from cordboard.errors import StoreUnavailable
from cordboard.stores.operations import LostFence

T = TypeVar("T")


async def while_kept(
    work: Callable[[], Awaitable[T]], keep: Callable[[], Awaitable[None]], lease: float
) -> T:
    """What `work` gives; `keep` is called often enough for a lease of so many seconds.

    Raises: LostFence as soon as another process has it, and then `work` is broken off; whatever
    `work` raises, as itself.
    """
    given: list[T] = []
    failed: list[Exception] = []

    async def beat() -> None:
        while True:
            await anyio.sleep(lease / 3)
            try:
                with suppress(StoreUnavailable):  # whoever records next meets it too
                    await keep()
            except LostFence as exc:
                failed.append(exc)
                group.cancel_scope.cancel()
                return

    async with anyio.create_task_group() as group:
        group.start_soon(beat)
        try:
            given.append(await work())
        except Exception as exc:  # noqa: BLE001 - raised below; from here the group would wrap it
            failed.append(exc)
        group.cancel_scope.cancel()
    if failed:
        raise failed[0]
    return given[0]

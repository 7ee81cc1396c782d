"""Running changes to their end, whatever becomes of the call that started them."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Protocol

import anyio
from anyio.abc import TaskGroup

from cordboard.errors import CordboardError

logger = logging.getLogger("cordboard")


class Work(Protocol):
    """Something that must not be broken off halfway."""

    async def run(self) -> None: ...

    def stop(self, why: str) -> None:
        """Begin nothing more; what was sent is seen through."""
        ...

    def leave(self) -> None:
        """Begin nothing more, and let another process go on with the rest."""
        ...


class Workers:
    """The background of one process. Without one (`working` not entered) work is done inline."""

    def __init__(self) -> None:
        self._group: TaskGroup | None = None
        self._at_work: set[Work] = set()

    @asynccontextmanager
    async def working(self, watch: Callable[[], Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
        """Have a background, and `watch` in it until the end; then what was sent is seen through."""
        if self._group is not None:  # one background serves every connection
            yield
            return
        failed: Exception | None = None
        async with anyio.create_task_group() as group, anyio.create_task_group() as watching:
            self._group = group
            watching.start_soon(watch)
            try:
                yield
            except Exception as exc:  # noqa: BLE001 - raised below; in here the groups would wrap it
                failed = exc
            finally:
                self._group = None
                watching.cancel_scope.cancel()
                for work in self._at_work:
                    work.leave()
        if failed is not None:
            raise failed

    async def see_through(self, work: Work, seconds: float, *, own: bool) -> None:
        """Run `work`, and wait for it so long; it goes on afterwards.

        `own`: it is what the waiting call asked for; when that call is cancelled, what was not
        begun is not begun any more.
        Raises: CordboardError, from `work`.
        """
        if self._group is None:
            with anyio.CancelScope(shield=True):
                await work.run()
            return
        ended, failed = anyio.Event(), list[CordboardError]()
        self._at_work.add(work)
        self._group.start_soon(self._run, work, ended, failed)
        try:
            with anyio.move_on_after(seconds):
                await ended.wait()
        except anyio.get_cancelled_exc_class():
            if own:
                work.stop("the call that asked for it was cancelled")
            raise
        if failed:
            raise failed[0]

    async def _run(self, work: Work, ended: anyio.Event, failed: list[CordboardError]) -> None:
        try:
            await work.run()
        except CordboardError as exc:
            failed.append(exc)
        except Exception:  # a bug must not end the server; another turn settles what this one began
            logger.exception("a change broke off")
        finally:
            self._at_work.discard(work)
            ended.set()

"""One worker on one operation: re-read, record `sending`, write, read back, record.

For each number the order never changes: nothing is sent that was not recorded first, nothing
whose answer was lost is sent again before reading has shown that it is not in effect and cannot
come into effect any more, and reading decides, not the answer (DESIGN, "Apply").
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import anyio

from cordboard import progress
from cordboard.clock import Clock, steady
from cordboard.engine.book import Book
from cordboard.engine.deciding import FIRST_PAUSE, Decider
from cordboard.engine.keeping import while_kept
from cordboard.engine.pace import Pace, Sleep
from cordboard.engine.steps import Job, Path, bare, jobs, merged, path, told
from cordboard.engine.verdicts import STOPS, advanced, begun, further
from cordboard.errors import (
    AnswerLost,
    Frozen,
    PlatformError,
    PlatformUnreachable,
)
from cordboard.platforms import Accepted, Call, RemotePlatform
from cordboard.stores.operations import SETTLED, LostFence, Step

_LOST_MOST = 3
"""After so many lost answers in one run nothing more is begun."""
_TRIES = 3
"""How often a write halfway is tried again that certainly did not leave."""


class Run:
    """Carries an operation as far as it can go now. `why_not`: why no step may be begun any more."""

    def __init__(
        self,
        platform: RemotePlatform,
        book: Book,
        clock: Clock,
        pace: Pace,
        sleep: Sleep,
        why_not: str = "",
    ) -> None:
        self._platform, self._book = platform, book
        self._pace, self._sleep = pace, sleep
        self._decider = Decider(platform, book, clock, pace, sleep)
        self._plan, self._account = book.record.plan, book.record.plan.account
        self._why_stopped = why_not
        self._left, self._waiting = False, list[Step]()
        self._lost = self._done = 0

    def stop(self, why: str) -> None:
        self._why_stopped = self._why_stopped or why

    def leave(self) -> None:
        self._left = True

    async def run(self) -> None:
        """Work until nothing can be done now; ends quietly when another process took it over.

        Raises: StoreUnavailable; whatever was not recorded is then settled after the lease.
        """
        with suppress(LostFence):
            lease = self._pace.lease_of(self._platform.abilities)
            await while_kept(self._work, self._book.keep, lease)

    async def _work(self) -> None:
        steps = await self._book.steps()
        if not self._book.record.intact:  # somebody edited it: nothing of such a text is sent
            await self._book.let_go([s for s in steps if s.state not in SETTLED])
            await self._book.finish()
            return
        left = [s for s in steps if self._book.is_left(s)]
        if left:
            await self._book.taken_over(left)
        while not self._left:
            steps = await self._book.steps()
            due = [s for s in steps if self._book.is_due(s)]
            ready = [s for s in steps if s.state == "ready"]
            if not due and not ready:
                break
            self._waiting = [s for s in steps if s.state == "unknown"]
            if due:
                ways = [path(self._platform, self._plan, step) for step in due]
                await self._decider.settle(due, ways)
                continue  # what is halfway goes before what was not begun
            if ready and self._book.record.state == "unknown":
                await self._book.gone_on()
            await self._send(jobs(self._platform, self._plan, ready), len(steps))
        await self._book.finish()

    def _is_due(self) -> bool:
        """Whether something can be settled now: that comes before what was not begun."""
        return any(self._book.is_due(step) for step in self._waiting)

    async def _send(self, waiting: list[Job], total: int) -> None:
        queue = list(reversed(waiting))

        async def worker() -> None:
            while queue and not self._left and not self._is_due():
                job = queue.pop()
                await self._job(job)
                self._done += len(job.steps)
                await progress.tell(self._done, total, "numbers changed")

        await self._together(worker, min(self._platform.abilities.at_once, len(waiting)))

    @staticmethod
    async def _together(worker: Callable[[], Coroutine[Any, Any, None]], count: int) -> None:
        """Run so many of them; the first error ends all, as itself."""
        try:
            async with anyio.create_task_group() as group:
                for _ in range(count):
                    group.start_soon(worker)
        except BaseExceptionGroup as exc:
            lost, others = exc.split(LostFence)
            raise (others or lost or exc).exceptions[0] from None

    async def _job(self, job: Job) -> None:
        halfway = any(begun(step) for step in job.steps)
        if self._why_stopped and not halfway:
            await self._not_sent(job.steps, f"not sent: {self._why_stopped}")
            return
        ways = [path(self._platform, self._plan, s) for s in job.steps]
        try:
            job, ways = await self._still_so(job, ways)
        except PlatformError as exc:
            if halfway:  # what was begun is not left halfway: it is tried again
                await self._decider.hold(job.steps, ways, exc.what, sent=False)
            else:
                await self._not_sent(job.steps, f"not sent: {exc.code}: {exc.what}", exc)
            return
        if job.steps:
            await self._calls(list(job.steps), ways)

    async def _still_so(self, job: Job, ways: list[Path]) -> tuple[Job, list[Path]]:
        """Before the first write of a step: whether the numbers still are where they should be."""
        seen = await self._platform.read(self._account, [way.change for way in ways], others=True)
        kept: list[tuple[Step, Path]] = []
        for step, way, held in zip(job.steps, ways, seen, strict=True):
            at = step.done if held is None else way.place(held)
            if at == step.done:
                kept.append((step, way))
                continue
            so_already = at == way.end or (at is not None and at > step.done and begun(step))
            if so_already and held is not None:
                await self._decider.record([further(step, way, held, self._book.now())])
                continue
            if at is not None and at < step.done:  # an old state, or undone by somebody: look again
                await self._decider.hold([step], [way], "its state is not clear", sent=False)
                continue
            why = f"not sent: it changed meanwhile, {told(held or {}, way.change)} holds it now"
            await self._book.settled("refused", replace(step, state="not_applied", detail=why))
        return Job(tuple(s for s, _ in kept)), [w for _, w in kept]

    async def _calls(self, steps: list[Step], ways: list[Path]) -> None:
        """The writes of these steps in order, without reading between them: a gap stays short."""
        tries = 0
        while steps[0].done < ways[0].end:
            call = merged([way.calls[step.done] for step, way in zip(steps, ways, strict=True)])
            # Before the commit, from which the quiet period counts: a process that was stopped in
            # between must not send when it wakes after another one has settled the number.
            send_by = steady() + self._pace.window_of(self._platform.abilities)
            steps = [self._leaving(step, way) for step, way in zip(steps, ways, strict=True)]
            try:
                steps = await self._book.sending(steps, call)
            except Frozen as exc:
                self.stop(exc.what)
                await self._not_sent(steps, f"not sent: {exc.what}")
                return
            answer = await self._write(call, send_by)
            if isinstance(answer, AnswerLost):
                self._lost += 1
                if self._lost >= _LOST_MOST:
                    self.stop("too many answers were lost")
                await self._decider.hold(steps, ways, answer.what)
                return
            if tries < _TRIES and await self._left_nothing(answer, send_by, steps[0], tries):
                tries += 1
                continue
            if isinstance(answer, STOPS):
                self.stop(answer.what)
            elif isinstance(answer, PlatformError) and len(steps) > 1:
                await self._one_by_one(steps, ways)
                return
            if isinstance(answer, PlatformError) or ways[0].is_read_after(steps[0].done):
                await self._decider.decide(steps, ways, answer, call)
                return
            steps = [advanced(step) for step in steps]

    async def _left_nothing(self, answer: object, send_by: float, step: Step, tries: int) -> bool:
        """Whether a write that certainly did not leave is to be tried again: one that waited for
        its turn here too long, and one halfway, because nobody may be left without an answer."""
        if not isinstance(answer, PlatformUnreachable):
            return False
        if steady() >= send_by:
            return True
        if step.done:
            await self._sleep(FIRST_PAUSE * 2 ** (tries + 1))
        return bool(step.done)

    def _leaving(self, step: Step, way: Path) -> Step:
        """From the sending of a detach on, callers of a moved number may meet nobody."""
        leaves = bare(way.states[step.done + 1], way.change) and not step.bare_from
        return replace(step, bare_from=self._book.now()) if leaves else step

    async def _one_by_one(self, steps: list[Step], ways: list[Path]) -> None:
        """A call for several was refused, and it was not said for which of them."""
        for step, way in zip(steps, ways, strict=True):
            if self._why_stopped:
                await self._not_sent([step], f"not sent: {self._why_stopped}")
            elif self._left:  # somebody goes on with it
                await self._book.settled("refused", replace(step, state="ready", tries=0))
            else:
                await self._calls([step], [way])

    async def _write(self, call: Call, send_by: float) -> Accepted | PlatformError | AnswerLost:
        try:
            return await self._platform.write(self._account, call, send_by)
        except (PlatformError, AnswerLost) as exc:
            return exc

    async def _not_sent(
        self, steps: Sequence[Step], why: str, exc: PlatformError | None = None
    ) -> None:
        if isinstance(exc, STOPS):
            self.stop(exc.what)
        settled = [replace(s, state="not_applied", detail=why) for s in steps]
        await self._book.settled("refused", *settled)

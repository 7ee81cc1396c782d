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
from cordboard.clock import Clock, later, steady
from cordboard.engine.book import Book
from cordboard.engine.keeping import while_kept
from cordboard.engine.pace import Pace, Sleep
from cordboard.engine.steps import Held, Job, Path, jobs, merged, path, told
from cordboard.engine.verdicts import (
    STOPS,
    Verdict,
    advanced,
    after_answer,
    after_quiet,
    by_echo,
    released,
)
from cordboard.errors import (
    AnswerLost,
    Frozen,
    PlatformError,
    PlatformUnreachable,
)
from cordboard.platforms import Accepted, Call, RemotePlatform
from cordboard.stores.operations import LostFence, Step

_LOST_MOST = 3
"""After so many lost answers in one run nothing more is begun."""
_TRIES = 3
"""How often a write halfway is tried again that certainly did not leave."""
_FIRST_PAUSE = 0.25
"""Seconds before an accepted write that is not seen yet is looked for again; doubled each time."""


class Run:
    """Carries an operation as far as it can go now. `resume`: unsent steps may still be begun."""

    def __init__(
        self,
        platform: RemotePlatform,
        book: Book,
        clock: Clock,
        pace: Pace,
        sleep: Sleep,
        resume: bool = True,
    ) -> None:
        self._platform, self._book, self._clock = platform, book, clock
        self._pace, self._sleep = pace, sleep
        self._plan, self._account = book.record.plan, book.record.plan.account
        self._why_stopped = "" if resume else "it broke off too long ago"
        self._left = False
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
        sent = [s for s in steps if s.state == "sending"]  # by a process that is no more
        for step in sent:
            why = "the process that sent it ended before the answer"
            await self._book.settled("lost", replace(step, state="unknown", detail=why))
        while not self._left:
            steps = await self._book.steps()
            due = [
                s for s in steps if s.state == "unknown" and "" < s.settle_at <= self._book.now()
            ]
            ready = [s for s in steps if s.state == "ready"]
            if not due and not ready:
                break
            for step in due:
                await self._settle(step)
            await self._send(jobs(self._platform, self._plan, ready), len(steps))
        await self._book.finish()

    async def _send(self, waiting: list[Job], total: int) -> None:
        queue = list(reversed(waiting))

        async def worker() -> None:
            while queue and not self._left:
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
        begun = any(step.done or step.back for step in job.steps)
        if self._why_stopped and not begun:
            await self._not_sent(job.steps, f"not sent: {self._why_stopped}")
            return
        ways = [path(self._platform, self._plan, s) for s in job.steps]
        try:
            job, ways = await self._still_so(job, ways)
        except PlatformError as exc:
            if begun:  # what was begun is not left halfway: it is tried again
                await self._book.lost(job.steps, exc.what, sent=False)
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
            if held is None or way.place(held) == step.done:
                kept.append((step, way))
                continue
            why = f"not sent: it changed meanwhile, {told(held, way.change)} holds it now"
            await self._book.settled("refused", replace(step, state="not_applied", detail=why))
        return job.but([s for s, _ in kept]), [w for _, w in kept]

    async def _calls(self, steps: list[Step], ways: list[Path]) -> None:
        """The writes of these steps in order, without reading between them: a gap stays short."""
        tries = 0
        while steps[0].done < ways[0].end:
            call = merged([way.calls[step.done] for step, way in zip(steps, ways, strict=True)])
            # Before the commit, from which the quiet period counts: a process that was stopped in
            # between must not send when it wakes after another one has settled the number.
            send_by = steady() + self._pace.window_of(self._platform.abilities)
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
                await self._book.lost(steps, answer.what)
                return
            if isinstance(answer, PlatformUnreachable) and steps[0].done and tries < _TRIES:
                tries += 1  # nothing left, and halfway nobody may be left without an answer
                await self._sleep(_FIRST_PAUSE * 2**tries)
                continue
            if isinstance(answer, PlatformError) or ways[0].is_read_after(steps[0].done):
                await self._decide(steps, ways, answer, call)
                return
            now = self._book.now()
            steps = [advanced(step, way, now) for step, way in zip(steps, ways, strict=True)]

    async def _write(self, call: Call, send_by: float) -> Accepted | PlatformError | AnswerLost:
        try:
            return await self._platform.write(self._account, call, send_by)
        except (PlatformError, AnswerLost) as exc:
            return exc

    async def _decide(
        self, steps: list[Step], ways: list[Path], answer: Accepted | PlatformError, call: Call
    ) -> None:
        """Read until what was answered is seen, or patience ends."""
        if isinstance(answer, STOPS):
            self.stop(answer.what)
        elif isinstance(answer, PlatformError) and len(steps) > 1:
            for step, way in zip(steps, ways, strict=True):  # the vendor does not say which it was
                await self._calls([step], [way])
            return
        pairs = list(zip(steps, ways, strict=True))
        patience = self._patience(steps[0], answer, call)
        waited, pause = 0.0, _FIRST_PAUSE
        while True:
            final = waited >= patience
            seen = await self._seen([way for _, way in pairs], answer)
            known = [
                self._known(*pair, held, answer, final)
                for pair, held in zip(pairs, seen, strict=True)
            ]
            await self._record([verdict for verdict in known if verdict])
            pairs = [pair for pair, verdict in zip(pairs, known, strict=True) if not verdict]
            if not pairs or final:
                break
            await self._sleep(pause)
            waited, pause = waited + pause, pause * 2
        await self._undecided([step for step, _ in pairs], answer)

    def _known(
        self,
        step: Step,
        way: Path,
        held: Held | None,
        answer: Accepted | PlatformError,
        final: bool,
    ) -> Verdict | None:
        if isinstance(answer, Accepted) and not self._platform.abilities.read_back:
            return by_echo(step, way, answer)
        return after_answer(
            step, way, held, answer, self._book.now(), final=final, hopeful=not self._given_up
        )

    @property
    def _given_up(self) -> bool:
        """Whether it is too late to hope that the platform comes back."""
        long = self._pace.given_up_after(self._platform.abilities)
        return later(self._clock(), -long) > self._book.started_at

    def _patience(self, step: Step, answer: Accepted | PlatformError, call: Call) -> float:
        """How long an old state may be read. A refusal is final at once, unless something of ours
        may be in effect: writes before it, or a detach that was delivered twice."""
        final = isinstance(answer, STOPS) or call.kind != "detach"
        if isinstance(answer, PlatformError) and final and not step.done and not step.back:
            return 0.0
        if not self._platform.abilities.read_back:
            return 0.0
        return self._pace.patience_of(self._platform.abilities)

    async def _seen(
        self, ways: Sequence[Path], answer: Accepted | PlatformError
    ) -> list[Held | None]:
        """Read back; who else holds it was looked at a moment ago, and matters after a refusal."""
        changes = [way.change for way in ways]
        try:
            others = isinstance(answer, PlatformError)
            return await self._platform.read(self._account, changes, others=others)
        except PlatformError:
            return [None] * len(ways)

    async def _record(self, verdicts: Sequence[Verdict]) -> None:
        for event in dict.fromkeys(verdict.event for verdict in verdicts):
            await self._book.settled(event, *(v.step for v in verdicts if v.event == event))

    async def _undecided(self, steps: list[Step], answer: Accepted | PlatformError) -> None:
        if not steps:
            return
        if isinstance(answer, PlatformError):
            why = f"{answer.what} How it stands could not be read"
            await self._book.lost(steps, why, sent=any(step.done for step in steps))
            return
        why = answer.remark or "the platform accepted it, and reading does not show it"
        await self._book.lost(steps, why)

    async def _not_sent(
        self, steps: Sequence[Step], why: str, exc: PlatformError | None = None
    ) -> None:
        if isinstance(exc, STOPS):
            self.stop(exc.what)
        settled = [replace(s, state="not_applied", detail=why) for s in steps]
        await self._book.settled("refused", *settled)

    async def _settle(self, step: Step) -> None:
        """The quiet period is over: what is read now is what became of it."""
        way = path(self._platform, self._plan, step)
        try:
            [held] = await self._platform.read(self._account, [way.change], others=True)
        except PlatformError:
            await self._try_later(step)
            return
        await self._record([after_quiet(step, way, held, self._book.now())])

    async def _try_later(self, step: Step) -> None:
        """The platform cannot be read: the number stays held for a while longer, not for ever."""
        if self._given_up:
            await self._record([released(step)])
            return
        again = later(self._clock(), self._pace.quiet_of(self._platform.abilities))
        await self._book.settled("lost", replace(step, settle_at=again))

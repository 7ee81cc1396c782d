"""Reading decides: what an answered write came to, and a lost one after the quiet period."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from cordboard.clock import Clock, later
from cordboard.engine.book import Book
from cordboard.engine.holders import who_holds
from cordboard.engine.pace import Pace, Sleep
from cordboard.engine.steps import Held, Path
from cordboard.engine.verdicts import (
    STOPS,
    Verdict,
    after_answer,
    after_quiet,
    by_echo,
    pending,
    released,
)
from cordboard.errors import PlatformError
from cordboard.platforms import Accepted, Call, RemotePlatform
from cordboard.stores.operations import Step

_AGAIN_SECONDS = 10.0
_GAP_SECONDS = 90.0
FIRST_PAUSE = 0.25
"""Seconds before an accepted write that is not seen yet is looked for again; doubled each time."""


class Decider:
    """Reads the platform and writes down what that settles."""

    def __init__(
        self, platform: RemotePlatform, book: Book, clock: Clock, pace: Pace, sleep: Sleep
    ) -> None:
        self._platform, self._book, self._clock = platform, book, clock
        self._pace, self._sleep = pace, sleep
        self._account = book.record.plan.account

    async def decide(
        self,
        steps: Sequence[Step],
        ways: Sequence[Path],
        answer: Accepted | PlatformError,
        call: Call,
    ) -> None:
        """Read until what was answered is seen, or patience ends."""
        pairs = list(zip(steps, ways, strict=True))
        patience = self._patience(steps[0], answer, call)
        waited, pause = 0.0, FIRST_PAUSE
        while True:
            final = waited >= patience
            seen = await self._seen([way for _, way in pairs], answer)
            known = [
                self._known(*pair, held, answer, final)
                for pair, held in zip(pairs, seen, strict=True)
            ]
            await self.record([verdict for verdict in known if verdict])
            pairs = [pair for pair, verdict in zip(pairs, known, strict=True) if not verdict]
            if not pairs or final:
                break
            await self._sleep(pause)
            waited, pause = waited + pause, pause * 2
        if pairs:
            await self._undecided([s for s, _ in pairs], [w for _, w in pairs], answer)

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
            step, way, held, answer, self._book.now(), final=final, hopeful=not self._given_up(step)
        )

    def _given_up(self, step: Step | None = None) -> bool:
        """Whether it is too late to hope that the platform comes back. Where callers meet nobody
        it is soon too late to go forward; to put back there is time for twice as long."""
        now = self._clock()
        if step and step.bare_from and not step.back and later(now, -_GAP_SECONDS) > step.bare_from:
            return True
        long = self._pace.given_up_after(self._platform.abilities)
        return later(now, -long * (2 if step and step.back else 1)) > self._book.started_at

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

    async def record(self, verdicts: Sequence[Verdict]) -> None:
        for event in dict.fromkeys(verdict.event for verdict in verdicts):
            await self._book.settled(event, *(v.step for v in verdicts if v.event == event))

    async def _undecided(
        self, steps: Sequence[Step], ways: Sequence[Path], answer: Accepted | PlatformError
    ) -> None:
        if isinstance(answer, PlatformError):
            why = f"{answer.what} How it stands could not be read"
            await self.hold(steps, ways, why, sent=any(step.done for step in steps))
            return
        why = answer.remark or "the platform accepted it, and reading does not show it"
        await self.hold(steps, ways, why)

    async def hold(
        self, steps: Sequence[Step], ways: Sequence[Path], why: str, *, sent: bool = True
    ) -> None:
        """It is not known how these stand: they are held until reading decides."""
        told = [replace(s, detail=pending(s, w, why)) for s, w in zip(steps, ways, strict=True)]
        await self._book.lost(told, sent=sent)

    async def settle(self, steps: Sequence[Step], ways: Sequence[Path]) -> None:
        """The quiet period is over: what is read now is what became of them.

        The whole account is looked at, not source and target alone: somebody else may have it now.
        """
        try:
            found = await who_holds(self._platform, self._account, ways)
        except PlatformError:
            await self._try_later(steps)
            return
        now = self._book.now()
        verdicts = [
            after_quiet(step, way, held, now, hopeful=not self._given_up(step))
            for step, way, held in zip(steps, ways, found, strict=True)
        ]
        await self.record(verdicts)

    async def _try_later(self, steps: Sequence[Step]) -> None:
        """The platform cannot be read: the numbers stay held for a while longer, not for ever."""
        if self._given_up():
            await self.record([released(step) for step in steps])
            return
        pause = min(_AGAIN_SECONDS, self._pace.quiet_of(self._platform.abilities))
        again = later(self._clock(), pause)
        await self._book.settled("lost", *(replace(step, settle_at=again) for step in steps))

"""Pure: what is known of one number, from what the platform answered and from what was read.

Reading decides, not the answer. After an answer no request of ours is under way; after the quiet
period none can take effect any more. Only then is a number told to be applied or not applied.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from cordboard.clock import later
from cordboard.engine.steps import Held, Path, bare, told
from cordboard.errors import (
    PlatformAuth,
    PlatformError,
    PlatformRateLimited,
    PlatformUnreachable,
)
from cordboard.facts import describe_side
from cordboard.platforms import Accepted
from cordboard.stores.operations import Step

SOON_SECONDS = 5.0
_TRIES = 2
"""How often a write halfway is sent whose answers are lost, before the number is put back."""
_FINISHES = {
    "attach": "attach_numbers",
    "detach": "detach_numbers",
    "set_pathway": "set_number_pathway",
}
STOPS = (PlatformAuth, PlatformRateLimited, PlatformUnreachable)
"""Refusals that every further write would meet too."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A step as it is now, and the journal's name for what happened."""

    event: str
    step: Step


def after_answer(
    step: Step,
    way: Path,
    held: Held | None,
    answer: Accepted | PlatformError,
    now: str,
    *,
    final: bool,
    hopeful: bool,
) -> Verdict | None:
    """What an answered write came to; None where reading does not show it (yet).

    `final`: what is read now is not an old state any more. `hopeful`: it is early enough to try
    again later what the platform could not take now.
    """
    remark = answer.remark if isinstance(answer, Accepted) else ""
    if held is None:
        # A detach that was delivered twice is refused the second time.
        twice = way.calls[step.done].kind == "detach" and not isinstance(answer, STOPS)
        if isinstance(answer, Accepted) or step.done or step.back or twice:
            return None
        return _refused(step, way, way.states[0], answer)
    at = way.place(held)
    if at == way.end:
        return _in_effect(step, way, remark, now)
    if at is not None and at > step.done:
        return Verdict("settled", _from(step, way, at, now))
    # Fewer writes in effect than were accepted is how an old state reads.
    if isinstance(answer, Accepted) or not final or (at is not None and at < step.done):
        return None
    if isinstance(answer, STOPS) and at is not None and hopeful and _in_gap(way, step, at):
        return Verdict("waiting", _soon(step, way, answer, now))
    return _refused(step, way, held, answer)


def _in_gap(way: Path, step: Step, at: int) -> bool:
    """Whether nobody answers the number now, because of a move of ours."""
    return bare(way.states[at], way.change) and bool(at or step.back)


def _soon(step: Step, way: Path, answer: PlatformError, now: str) -> Step:
    """Nothing left, and nobody answers the number: to be looked at again before long."""
    again = later(datetime.fromisoformat(now), SOON_SECONDS)
    why = pending(step, way, answer.what)
    return replace(step, state="unknown", detail=why, settle_at=again, tries=0)


def by_echo(step: Step, way: Path, answer: Accepted) -> Verdict | None:
    """Where nothing can be read: the platform's own words about agent and number settle it."""
    if way.change.number not in answer.echoed:
        return None
    detail = _joined("not read back", answer.remark)
    there = replace(step, state="applied", done=way.end, detail=detail, ended="echo")
    return Verdict("confirmed", there)


def after_quiet(step: Step, way: Path, held: Held | None, now: str, *, hopeful: bool) -> Verdict:
    """What a lost answer came to, read when no request of ours can take effect any more.

    A write halfway is sent again, a few times; then the number is put back, or it is told that
    nobody answers it.
    """
    if held is None:
        return released(step)
    at = way.place(held)
    if at == way.end:
        return _in_effect(step, way, "", now)
    if at is None:
        why = f"conflict: {told(held, way.change)} holds it now ({_within(step.detail)})"
        return Verdict("settled", _conflict(step, why))
    if at == 0 and not step.back:
        why = f"it was not done; that was read after the quiet period ({_within(step.detail)})"
        none = replace(step, state="not_applied", done=0, detail=why, ended="undone")
        return Verdict("settled", none)
    if at == step.done and (step.tries >= _TRIES or not hopeful):
        why = f"In {step.tries} tries each answer was lost ({_within(step.detail)})."
        gap = _in_gap(way, step, at)
        if gap and not step.back:
            return _put_back(step, why)
        if not gap or not hopeful:
            detail = f"{_partly(step, way, at, held)} {why}"
            done = max(at, 1)
            return Verdict("settled", replace(step, state="not_applied", done=done, detail=detail))
    return Verdict("settled", _from(step, way, at, now))


def _from(step: Step, way: Path, at: int, now: str) -> Step:
    """Halfway: it goes on from there, so that nobody is left without an answer."""
    gap = step.bare_from or (now if bare(way.states[at], way.change) else "")
    tries = step.tries if at == step.done else 0
    return replace(step, state="ready", done=at, tries=tries, bare_from=gap, settle_at="")


def pending(step: Step, way: Path, why: str) -> str:
    """Why it is not known yet; and where callers may meet nobody meanwhile, that they do."""
    if not step.bare_from:
        return why
    goal = f"attaching it to {way.change.after.agent} is not done yet"
    return f"nobody may answer it since {step.bare_from}: {goal} ({_within(why)})"


def released(step: Step) -> Verdict:
    """Let go without knowing: `cordboard plans settle` is how a person tells."""
    return Verdict("released", replace(step, state="unknown", settle_at=""))


def advanced(step: Step) -> Step:
    """One write further, by the platform's word; the last one is read back for all."""
    return replace(step, done=step.done + 1, tries=0)


def begun(step: Step) -> bool:
    """Whether something of it may be in effect already."""
    return bool(step.done or step.back)


def further(step: Step, way: Path, held: Held, now: str) -> Verdict:
    """Before a write: the number is further on its way than we know of."""
    if not begun(step):
        said = "it was so already, not by this plan"
        return Verdict("confirmed", replace(step, state="applied", done=way.end, detail=said))
    return after_quiet(step, way, held, now, hopeful=True)


def _in_effect(step: Step, way: Path, remark: str, now: str) -> Verdict:
    gap = _gap(step, now)
    if step.back:
        detail = _joined(step.detail, "put back as it was", gap)
        return Verdict("put_back", replace(step, state="not_applied", done=0, detail=detail))
    detail = _joined(remark, gap)
    return Verdict("confirmed", replace(step, state="applied", done=way.end, detail=detail))


def _refused(step: Step, way: Path, held: Held, answer: PlatformError) -> Verdict:
    words = f"{answer.code}: {answer.what} {answer.remedy}"
    at = way.place(held)
    if at is None:
        why = f"conflict: {told(held, way.change)} holds it now. {words}"
        return Verdict("refused", _conflict(step, why))
    if _in_gap(way, step, at) and not step.back:
        return _put_back(step, words)
    if at or step.back:
        detail = f"{_partly(step, way, at, held)} {words}"
        return Verdict(
            "refused", replace(step, state="not_applied", done=max(at, 1), detail=detail)
        )
    none = replace(step, state="not_applied", done=at, detail=words, bare_from="")
    return Verdict("refused", none)


def _conflict(step: Step, why: str) -> Step:
    return replace(step, state="not_applied", detail=why, ended="conflict")


def _partly(step: Step, way: Path, at: int, held: Held) -> str:
    """Where a number was left, where it should be, and which tools bring it there."""
    so_far = "put back only partly" if step.back else "only partly"
    now, wanted = told(held, way.change), describe_side(way.change.after)
    tools = [_FINISHES[call.kind] for call in way.calls[at:]]
    finish = f"{' and then '.join(tools)} {'finishes' if len(tools) == 1 else 'finish'} it"
    return f"{so_far}: it is with {now}, and should be with {wanted}; {finish}."


def _put_back(step: Step, why: str) -> Verdict:
    """It cannot go forward: from where nobody answers, to how it was."""
    back = replace(step, state="ready", done=0, back=True, tries=0, detail=why, settle_at="")
    return Verdict("refused", back)


def _gap(step: Step, now: str) -> str:
    """For how long nobody answered the number, in words; "" where it had no gap."""
    if not step.bare_from:
        return ""
    gap = datetime.fromisoformat(now) - datetime.fromisoformat(step.bare_from)
    seconds = gap.total_seconds()
    return f"unrouted for up to {f'{seconds * 1000:.0f} ms' if seconds < 1 else f'{seconds:.1f} s'}"


def _within(sentence: str) -> str:
    """A sentence as a part of another."""
    return sentence.rstrip(".")


def _joined(*said: str) -> str:
    return "; ".join(part for part in said if part)

"""The protocol by which a number is changed at a vendor, as a model small enough to try every run.

`moves` lists what may happen next in a state; `explore` tries everything, shortest runs first.
There are two workers (processes): one is paused simply by making no move, and one that dies
forgets all and may start anew. Leases may lapse at any moment, so nothing rests on them. A fence
is modelled as whose it is: a worker that lost it cannot have it again before it starts anew. A
plan is one write. (One with several is not modelled: each write has a `sending` of its own, and
none begins before the last was answered.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

WORKERS = "PQ"
UNTOLD = -1


@dataclass(frozen=True)
class Design:
    """The protocol as it is (the defaults), or a weaker one. Times are ticks.

    `life`: how long a request can take effect after it was sent. `window`: from the commit of
    `sending` to its `send_by`. `late`: how long after its look at the clock a worker may still be
    sending. `early`: the vendor may say yes first and act later. `take_over`: whether others go on
    with what a process left.
    """

    recovery: Literal["wait", "read, send again", "send again"] = "wait"
    quiet: int = 2
    send_by: bool = True
    fence: bool = True
    take_over: bool = True
    life: int = 2
    window: int = 1
    late: int = 0
    early: bool = True
    third_party: bool = False


class Worker(NamedTuple):
    """One process: where it is in the work on a plan, and what it knows."""

    at: str = "idle"
    after: int = 0  # what its request sets
    left: int = 0  # until send_by, then until its request is over
    seen: int = 0
    old: bool = False  # its plan is an earlier one


class Request(NamedTuple):
    """A request that may still take effect, for so long."""

    sender: int
    sets: int
    left: int
    old: bool = False  # its plan is an earlier one


class State(NamedTuple):
    """The vendor, the store with the newest plan, the processes, and the requests under way."""

    value: int = 0  # what callers get: 0 or 1; 2 is set by a third party only
    told: int = 0  # what it was said that they get
    step: Literal["free", "ready", "sending", "unknown"] = "free"
    before: int = 0  # the plan turns it into 1 - before
    fence: int = -1  # the worker that has the newest
    settle: int = 0  # ticks until reading decides
    workers: tuple[Worker, ...] = (Worker(),) * len(WORKERS)
    requests: tuple[Request, ...] = ()
    effects: int = 0  # how often the plan's call took effect
    outcome: str = ""  # what was recorded of the plan


By = int | Literal["time", "other"]
"""Whose step it is: a worker's, the clock's, or anybody else's."""


class Move(NamedTuple):
    """A step that may be next."""

    by: By
    says: str
    to: State


Moves = Iterator[Move]


def moves(d: Design, s: State) -> Moves:
    """Everything that may happen next."""
    for me, w in enumerate(s.workers):
        for says, to in AT[w.at](d, s, me):
            yield Move(me, f"{WORKERS[me]} {says}", to)
    for request in s.requests:
        yield from _vendor(d, s, request)
    for me, w in enumerate(s.workers):
        if w.at != "idle":
            yield Move("other", f"{WORKERS[me]} dies", _now(s, me, Worker()))
    if d.third_party:
        for value in {0, 1, 2} - {s.value}:
            yield Move("other", f"a third party sets {value}", s._replace(value=value))
    later = _tick(d, s)
    if later != s:
        yield Move("time", "time passes", later)


def _tick(d: Design, s: State) -> State:
    """One tick later. A request whose life is over never takes effect."""
    past = -1 - d.late  # as late as can be told apart
    return s._replace(
        settle=max(0, s.settle - 1),
        workers=tuple(
            w._replace(left=max(past if w.at == "cleared" else 0, w.left - 1)) for w in s.workers
        ),
        requests=tuple(r._replace(left=r.left - 1) for r in s.requests if r.left > 1),
    )


def _vendor(d: Design, s: State, r: Request) -> Moves:
    """It takes effect once or is refused, and the answer goes out; or it is over one day (`_tick`)."""
    rest = list(s.requests)
    rest.remove(r)
    gone = s._replace(requests=tuple(rest))
    of = f"the request {'of the earlier plan ' if r.old else ''}to set {r.sets}"
    done = gone._replace(value=r.sets, effects=min(2, s.effects + (not r.old)))
    yield Move("other", f"{of} takes effect", _answer(done, r, "yes"))
    yield Move("other", f"{of} is refused", _answer(gone, r, "no"))
    if d.early and _answer(s, r, "yes") != s:
        yield Move("other", f"{of} is accepted", _answer(s, r, "yes"))


def _answer(s: State, r: Request, answer: str) -> State:
    w = s.workers[r.sender]
    waits = w.at == "waiting" and w.old == r.old
    return _now(s, r.sender, w._replace(at=answer)) if waits else s


# What a worker may do, by where it is. Every one of these is one step; anything may come between.

Steps = Iterator[tuple[str, State]]


def _idle(d: Design, s: State, me: int) -> Steps:
    """Take a free number for a new plan, or take over: a lease may have lapsed at any moment."""
    if s.step == "free":
        for before in (0, 1):  # planned at some time, so it may be stale
            says = f"takes the number for a plan, {before} -> {1 - before}"
            yield says, _now(_new_plan(s, before, me), me, Worker("holding"))
    elif not d.take_over:
        return
    elif s.step == "ready":
        yield "takes over, finds `ready`", _now(s._replace(fence=me), me, Worker("holding"))
    else:
        yield f"takes over, finds `{s.step}`", _recover(d, s._replace(fence=me), me)


def _new_plan(s: State, before: int, me: int) -> State:
    return s._replace(
        step="ready",
        before=before,
        fence=me,
        workers=tuple(w._replace(old=w.at != "idle") for w in s.workers),
        requests=tuple(r._replace(old=True) for r in s.requests),
        effects=0,
        outcome="",
    )


def _holding(d: Design, s: State, me: int) -> Steps:
    yield f"reads {s.value}", _go(s, me, "compared", seen=s.value)
    yield "is stopped", _go(s, me, "stopped")


def _compared(d: Design, s: State, me: int) -> Steps:
    if s.workers[me].seen == s.before:
        yield _commit(d, s, me, "commits `sending`", _sending(d, s, me))
    else:
        yield _release(d, s, me, "stale", s.workers[me].seen)


def _cleared(d: Design, s: State, me: int) -> Steps:
    """Send, if it is not past `send_by` (without one: whenever it wakes up), or be stopped."""
    w = s.workers[me]
    if w.left + d.late >= 0 or not d.send_by:
        request = Request(me, w.after, d.life, w.old)
        sent = s._replace(requests=tuple(sorted((*s.requests, request))))
        yield f"sends the request to set {w.after}", _go(sent, me, "waiting", left=d.quiet)
    yield "is stopped", _go(s, me, "stopped", left=0)


def _stopped(d: Design, s: State, me: int) -> Steps:
    yield _release(d, s, me, "not_applied", s.told)


def _waiting(d: Design, s: State, me: int) -> Steps:
    yield "has no answer: gives up", _go(s, me, "lost")


def _answered(d: Design, s: State, me: int) -> Steps:
    """Read back. Where that fails it is read later; after a refusal, soon: nothing is under way."""
    answer, left = s.workers[me].at, s.workers[me].left
    yield f"was told {answer}, reads {s.value}", _go(s, me, f"{answer}, read", seen=s.value)
    later = left if answer == "yes" else 0
    yield f"was told {answer}, cannot read", _go(s, me, "lost", left=later)


def _read_back(d: Design, s: State, me: int) -> Steps:
    w = s.workers[me]
    outcome = "applied" if w.at == "yes, read" else "not_applied"
    if w.seen == (w.after if outcome == "applied" else 1 - w.after):
        yield _release(d, s, me, outcome, w.seen)
    else:
        yield "sees what it did not expect", _go(s, me, "lost")


def _lost(d: Design, s: State, me: int) -> Steps:
    unknown = s._replace(step="unknown", settle=s.workers[me].left)
    yield _commit(d, s, me, "commits `unknown`", _recover(d, unknown, me))


def _settling(d: Design, s: State, me: int) -> Steps:
    if s.settle == 0:
        yield f"reads {s.value} to settle it", _go(s, me, "settled", seen=s.value)
        yield _release(d, s, me, "unknown", UNTOLD)  # it cannot be read: a person settles it


def _settled(d: Design, s: State, me: int) -> Steps:
    seen = s.workers[me].seen
    outcome = {s.before: "not_applied", 1 - s.before: "applied"}.get(seen, "conflict")
    yield _release(d, s, me, outcome, seen)


def _recovering(d: Design, s: State, me: int) -> Steps:
    """Weaker: read at once, and send again where nothing is seen."""
    yield f"reads {s.value}", _go(s, me, "recovered", seen=s.value)


def _recovered(d: Design, s: State, me: int) -> Steps:
    again = s.workers[me].seen == s.before
    yield from _compared(d, s, me) if again else _settled(d, s, me)


AT: dict[str, Callable[[Design, State, int], Steps]] = {
    "idle": _idle,
    "holding": _holding,
    "compared": _compared,
    "cleared": _cleared,
    "stopped": _stopped,
    "waiting": _waiting,
    "yes": _answered,
    "no": _answered,
    "yes, read": _read_back,
    "no, read": _read_back,
    "lost": _lost,
    "settling": _settling,
    "settled": _settled,
    "recovering": _recovering,
    "recovered": _recovered,
}


def _recover(d: Design, s: State, me: int) -> State:
    """What a worker does with a `sending` or `unknown` that is now its own."""
    if d.recovery == "send again":
        return _sending(d, s, me)
    at = "settling" if d.recovery == "wait" else "recovering"
    return _now(s, me, Worker(at))


def _sending(d: Design, s: State, me: int) -> State:
    sending = s._replace(step="sending", settle=d.window + d.quiet)
    return _now(sending, me, Worker("cleared", 1 - s.before, d.window))


def _release(d: Design, s: State, me: int, outcome: str, told: int) -> tuple[str, State]:
    told = UNTOLD if d.third_party else told  # it would not stay true
    free = s._replace(step="free", before=0, fence=-1, settle=0, told=told, outcome=outcome)
    return _commit(d, s, me, f"records `{outcome}`, lets go", _now(free, me, Worker()))


def _commit(d: Design, s: State, me: int, says: str, to: State) -> tuple[str, State]:
    """The store's answer to a worker that wants to record something: only with the newest fence."""
    newest = s.fence == me or (not d.fence and not s.workers[me].old and s.step != "free")
    return (says, to) if newest else ("may not commit: its fence is old", _now(s, me, Worker()))


def _go(s: State, me: int, at: str, **knows: Any) -> State:
    return _now(s, me, s.workers[me]._replace(at=at, **knows))


def _now(s: State, me: int, w: Worker) -> State:
    return s._replace(workers=(*s.workers[:me], w, *s.workers[me + 1 :]))


Claim = Callable[[State], bool]


@dataclass
class Runs:
    """Every state there is, soonest reached first; whose steps lead where; and whence each came."""

    states: list[State] = field(default_factory=list)
    steps: list[list[tuple[By, int]]] = field(default_factory=list)
    came: list[tuple[int, str]] = field(default_factory=list)

    def first_without(self, claim: Claim) -> int | None:
        """The first state in which it is not so, by its place in `states`."""
        return next((at for at, s in enumerate(self.states) if not claim(s)), None)

    def trace(self, at: int) -> str:
        """The shortest run that ends there, a line a step."""
        said: list[str] = []
        while at:
            at, says = self.came[at]
            said.append(says)
        return "\n".join(reversed(said))

    def stuck(self, me: int) -> int | None:
        """The first state from which `me`, with all others gone, may fail to let the number go.

        Worked out backwards from where it is free: a state is well once each step that `me` or
        the clock may make there leads to one that is well.
        """
        before: list[list[int]] = [[] for _ in self.states]
        open_steps: list[int] = []
        for at, steps in enumerate(self.steps):
            mine = [to for by, to in steps if by in (me, "time")]
            open_steps.append(len(mine))
            for to in mine:
                before[to].append(at)
        waiting = [at for at, s in enumerate(self.states) if s.step == "free"]
        well = set(waiting)
        while waiting:
            for at in before[waiting.pop()]:
                open_steps[at] -= 1
                if not open_steps[at] and at not in well:
                    well.add(at)
                    waiting.append(at)
        return next((at for at in range(len(self.states)) if at not in well), None)


def explore(d: Design, claim: Claim = lambda _: True) -> Runs:
    """All runs, shortest first; only up to the first state in which the claim is not so."""
    start = State()
    runs, places = Runs([start], came=[(0, "")]), {start: 0}
    for at, s in enumerate(runs.states):  # it grows
        if not claim(s):
            break
        steps: list[tuple[By, int]] = []
        for by, says, to in moves(d, s):
            place = places.setdefault(to, len(places))
            steps.append((by, place))
            if place == len(runs.states):
                runs.states.append(to)
                runs.came.append((at, says))
        runs.steps.append(steps)
    return runs

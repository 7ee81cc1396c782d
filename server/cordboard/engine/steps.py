"""Pure: what each write of a change should lead to, and where reading shows that it stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from cordboard.binding import NO_PATHWAY, Pathway, Side
from cordboard.facts import describe_side
from cordboard.plan import Change, Plan
from cordboard.platforms import Call, RemotePlatform
from cordboard.stores.operations import Step

Held = Mapping[str, Pathway]
"""Who holds a number in one direction: agent -> its pathway there."""


@dataclass(frozen=True, slots=True)
class Path:
    """The way of one number: its writes in order, and who holds it before, between and after them."""

    change: Change
    calls: tuple[Call, ...]
    states: tuple[Held, ...]

    def place(self, seen: Held) -> int | None:
        """How many of the writes are in effect by what was read; None: it is somewhere else.

        In an outbound pool others may come and go; of an inbound number every holder counts.
        """
        if self.change.direction == "outbound":
            ours = {self.change.before.agent, self.change.after.agent}
            seen = {agent: pathway for agent, pathway in seen.items() if agent in ours}
        return next(
            (k for k in range(len(self.states) - 1, -1, -1) if self.states[k] == seen), None
        )

    @property
    def end(self) -> int:
        return len(self.calls)

    def is_read_after(self, done: int) -> bool:
        """Whether the write after so many is read back before the next one. Not in the gap of a
        move, which must stay short, nor before a pathway is set, which is refused where nobody is."""
        if done + 1 == self.end:
            return True
        gap = bare(self.states[done + 1], self.change)
        return not gap and self.calls[done + 1].kind != "set_pathway"


def path(platform: RemotePlatform, plan: Plan, step: Step) -> Path:
    """The way a number has to go: forward to the plan's after, or back to its before."""
    change = plan.draft.changes[step.position]
    way = _back(change) if step.back else change
    named = plan.asked.provider
    calls = tuple(replace(c, provider=c.provider or named) for c in platform.calls(way))
    states: list[Held] = [_held(way.before)]
    for call in calls:
        states.append(_after(states[-1], call))
    return Path(way, calls, tuple(states))


def _back(change: Change) -> Change:
    """From where nobody answers, to how it was."""
    return replace(change, before=Side(change.direction), after=change.before)


def _held(side: Side) -> dict[str, Pathway]:
    return {side.agent: side.pathway} if side.agent else {}


def _after(held: Held, call: Call) -> Held:
    if call.kind == "detach":
        return {agent: pathway for agent, pathway in held.items() if agent != call.agent}
    if call.kind == "set_pathway":
        return {**held, call.agent: call.pathway}
    kept = held if call.direction == "outbound" else {}
    return {**kept, call.agent: NO_PATHWAY}


def bare(held: Held, change: Change) -> bool:
    """Whether this is the gap of an inbound move, in which nobody answers."""
    return change.direction == "inbound" and not held and bool(change.after.agent)


def told(held: Held, change: Change) -> str:
    """Who holds the number, for a reader."""
    sides = [Side(change.direction, agent, pathway) for agent, pathway in sorted(held.items())]
    return " and ".join(describe_side(side) for side in sides) or "nobody"


@dataclass(frozen=True, slots=True)
class Job:
    """Changes that go together: one, or several that one attach call may carry."""

    steps: tuple[Step, ...]


def jobs(platform: RemotePlatform, plan: Plan, ready: Sequence[Step]) -> list[Job]:
    """Ready steps put together where one attach does for several numbers, in the plan's order."""
    found: list[Job] = []
    ready = sorted(ready, key=lambda step: not (step.done or step.back))  # a gap first
    together: dict[tuple[object, ...], list[Step]] = {}
    for step in ready:
        way = path(platform, plan, step)
        alone = step.done or step.back or len(way.calls) != 1 or way.calls[0].kind != "attach"
        if alone:
            found.append(Job((step,)))
            continue
        call = way.calls[0]
        key = (call.agent, call.provider, way.change.before.agent)
        row = together.setdefault(key, [])
        row.append(step)
        if len(row) == platform.abilities.attach_at_once:
            found.append(Job(tuple(together.pop(key))))
    return found + [Job(tuple(row)) for row in together.values()]


def merged(calls: Sequence[Call]) -> Call:
    """One call for the numbers of all; they differ in nothing else."""
    return replace(calls[0], numbers=tuple(n for call in calls for n in call.numbers))

"""When an operation that another process left may be taken over, also where no two clocks agree.

The store's moments are wall time. Processes of one machine share that, and it decides. Servers of
many machines share the database alone, and their clocks may be apart by seconds or by hours: there
an operation of another's is taken over only once this process has itself seen it stand still for as
long as it takes, by its own steady clock. Whoever works on one says so three times in a lease, so
one that stands still for a lease is left; one that only waits for a quiet period to end says
nothing meanwhile, so it must stand still for a whole one. The price: a process that starts after a
crash counts from its own start, however long ago that crash was.
"""

from __future__ import annotations

from collections.abc import Iterable

from cordboard.clock import Clock, later, stamp
from cordboard.engine.pace import Pace, Timer
from cordboard.platforms import Abilities
from cordboard.stores.operations import FREE, Operation, Step

_END_OF_TIME = "9999"
"""Above every stamp."""


class Watch:
    """What one process sees of the operations at one platform.

    `one_clock`: whether all who use the store go by this machine's clock.
    """

    def __init__(
        self, abilities: Abilities, clock: Clock, pace: Pace, timer: Timer, *, one_clock: bool
    ) -> None:
        self._abilities, self._clock, self._pace, self._timer = abilities, clock, pace, timer
        self._one_clock = one_clock
        self._since: dict[str, tuple[Operation, float]] = {}
        self._waiting: dict[str, Operation] = {}

    def bounds(self) -> tuple[str, str]:
        """Which operations to look at: due until the first of these moments, or after the second.
        Where clocks differ those that are not due too, so as to know for how long they stood still."""
        return stamp(self._clock()) if self._one_clock else _END_OF_TIME, self._never()

    def only(self, listed: Iterable[Operation]) -> None:
        """These are all there are: of the rest nothing need be known any more."""
        ids = {found.plan_id for found in listed}
        self._since = {k: v for k, v in self._since.items() if k in ids}
        self._waiting = {k: v for k, v in self._waiting.items() if k in ids}

    def is_due(self, found: Operation) -> bool:
        """Whether this process may take it over now; so too where the clock was set back since."""
        left = self.left(found)  # asked first: from its first sight on it counts
        return left <= 0 and self.is_overdue(found)

    def is_overdue(self, found: Operation) -> bool:
        """Whether its moment has come by the wall clock, or is one that cannot be."""
        return found.due_at <= stamp(self._clock()) or found.due_at > self._never()

    def left(self, found: Operation) -> float:
        """For how many seconds it must still be seen to stand still; 0 or less: no longer."""
        since = self._seen(found)
        if self._one_clock or found.due_at == FREE or self.is_own(found):
            return 0.0
        return since + self._still(found) - self._timer.steady()

    def is_own(self, found: Operation) -> bool:
        """Whether it was this process that left it, to wait for the end of a quiet period."""
        return self._timer.has(found.plan_id, found.due_at)

    @property
    def longest(self) -> float:
        """How many seconds it takes at most until what was left is settled."""
        if self._one_clock:
            return 0.0
        pace, abilities = self._pace, self._abilities
        lease = pace.lease_of(abilities)
        return lease + pace.window_of(abilities) + pace.quiet_of(abilities) + lease

    def since(self, found: Operation) -> float | None:
        """From when on nobody else sent anything of it, by the steady clock; None where the store's
        own moments tell that."""
        return None if self._one_clock else self._seen(found)

    def noted(self, found: Operation, steps: Iterable[Step]) -> None:
        """How far it is: it may be one that only waits, see `Book.finish`."""
        waiting = (step.settle_at for step in steps if step.state == "unknown")
        if found.due_at == min(filter(None, waiting), default=""):
            self._waiting[found.plan_id] = found

    def _seen(self, found: Operation) -> float:
        """Since when it stands like this: for as long as somebody works on it `due_at` changes."""
        before = self._since.get(found.plan_id)
        if before is None or before[0] != found:
            before = self._since[found.plan_id] = (found, self._timer.steady())
        return before[1]

    def _still(self, found: Operation) -> float:
        if self._waiting.get(found.plan_id) == found:
            return self._pace.quiet_of(self._abilities)
        return self._pace.lease_of(self._abilities)

    def _never(self) -> str:
        """A moment after which none in the store can lie, by this machine's clock."""
        return later(self._clock(), self._pace.longest_of(self._abilities))

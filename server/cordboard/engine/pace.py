"""How long the engine waits for what, in seconds; tests shrink it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from cordboard.platforms import Abilities

Sleep = Callable[[float], Awaitable[None]]
_ROUNDED = 0.001
"""Seconds by which a stamp may be early: it has milliseconds."""


@dataclass
class Timer:
    """What this process knows of its own requests, by a clock that nobody sets.

    The store's times are wall time; when that jumps ahead, a request sent a moment ago must not be
    taken for one of long ago.
    """

    steady: Callable[[], float]
    until: dict[str, dict[int, tuple[float, str]]] = field(
        default_factory=dict[str, dict[int, tuple[float, str]]]
    )

    def begin(self, plan_id: str, position: int, seconds: float, settle_at: str) -> None:
        """From now on it may take so long until nothing of a request is under way any more. The
        store keeps that moment as `settle_at`."""
        self.until.setdefault(plan_id, {})[position] = (self.steady() + seconds, settle_at)

    def over(self, plan_id: str, position: int) -> bool:
        """Whether that time has passed, or was never ours to know."""
        moment, _ = self._known(plan_id, position)
        return self.steady() >= moment - _ROUNDED

    def is_own(self, plan_id: str, position: int, settle_at: str) -> bool:
        """Whether it was this process that recorded this moment for it."""
        return self._known(plan_id, position)[1] == settle_at

    def has(self, plan_id: str, settle_at: str) -> bool:
        """Whether it was this process that recorded this moment for any part of the plan."""
        return any(own == settle_at for _, own in self.until.get(plan_id, {}).values())

    def forget(self, plan_id: str) -> None:
        """The plan is closed."""
        self.until.pop(plan_id, None)

    def _known(self, plan_id: str, position: int) -> tuple[float, str]:
        return self.until.get(plan_id, {}).get(position, (0.0, ""))


@dataclass(frozen=True, slots=True)
class Pace:
    """`request`: the longest of one request to a vendor. `quiet`: for how long after a lost answer
    a number is held before reading it decides; 0: as long as it must be. `answer`: so long a call
    waits for what is under way; with what comes before and after it is answered within 45 s. `resume`: for how long after its beginning a
    change that broke off is gone on with; later, what was not sent is not sent any more.
    """

    request: float = 15.0
    quiet: float = 0.0
    answer: float = 38.0
    resume: float = 600.0

    def quiet_of(self, abilities: Abilities) -> float:
        """The quiet period at a platform: no request of ours can take effect after it."""
        return self.quiet or max(abilities.request_life, 3 * self.request, 30.0)

    def lease_of(self, abilities: Abilities) -> float:
        """For how long an operation stays with a process that says nothing."""
        return min(10.0, self.quiet_of(abilities) / 2)

    def window_of(self, abilities: Abilities) -> float:
        """How soon after `sending` was recorded the socket must be opened, or not at all."""
        return min(5.0, self.quiet_of(abilities) / 2)

    def longest_of(self, abilities: Abilities) -> float:
        """Further ahead than this no moment in the store can lie: else the clock was set back."""
        return 2 * (self.quiet_of(abilities) + self.window_of(abilities) + self.request) + 60.0

    def patience_of(self, abilities: Abilities) -> float:
        """How long an accepted write may take to be seen by reading."""
        return min(7.0, self.quiet_of(abilities))

    def given_up_after(self, abilities: Abilities) -> float:
        """When a number that cannot be read is let go, after the operation began."""
        return max(600.0, 10 * self.quiet_of(abilities)) if not self.quiet else 20 * self.quiet

"""How long the engine waits for what, in seconds; tests shrink it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from cordboard.platforms import Abilities

Sleep = Callable[[float], Awaitable[None]]


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

    def patience_of(self, abilities: Abilities) -> float:
        """How long an accepted write may take to be seen by reading."""
        return min(7.0, self.quiet_of(abilities))

    def given_up_after(self, abilities: Abilities) -> float:
        """When a number that cannot be read is let go, after the operation began."""
        return max(600.0, 10 * self.quiet_of(abilities)) if not self.quiet else 20 * self.quiet

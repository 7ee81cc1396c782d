"""Time as the project keeps it: ISO 8601 UTC text with milliseconds, which sorts as it reads."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

Clock = Callable[[], datetime]
"""Gives the present moment in UTC; tests put their own in its place."""


def system_clock() -> datetime:
    """The machine's clock."""
    return datetime.now(UTC)


def stamp(moment: datetime) -> str:
    """`2026-01-31T09:30:00.000Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def later(moment: datetime, seconds: float) -> str:
    """The stamp of a moment so many seconds on (negative: before)."""
    return stamp(moment + timedelta(seconds=seconds))


def steady() -> float:
    """Seconds that only rise, also while the process is stopped or, on Linux, the machine asleep."""
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boot is None else time.clock_gettime(boot)

"""Times as a person reads them: the moment in UTC, and how far off it is."""

from __future__ import annotations

from datetime import UTC, datetime

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def moment(stamp: str) -> str:
    """`31 Jan 2026, 09:30 UTC`."""
    at = datetime.fromisoformat(stamp).astimezone(UTC)
    return f"{at.day} {_MONTHS[at.month - 1]} {at.year}, {at:%H:%M} UTC"


def ago(stamp: str, now: str) -> str:
    """`in 23 h 59 min`, `5 min ago`, `just now`."""
    seconds = (datetime.fromisoformat(stamp) - datetime.fromisoformat(now)).total_seconds()
    if abs(seconds) < 1:
        return "just now"
    return f"in {_length(int(seconds))}" if seconds > 0 else f"{_length(int(-seconds))} ago"


def _length(seconds: int) -> str:
    if seconds < _MINUTE:
        return f"{seconds} s"
    if seconds < _HOUR:
        return f"{seconds // _MINUTE} min"
    if seconds < _DAY:
        return _two(seconds // _HOUR, "h", seconds % _HOUR // _MINUTE, "min")
    return _two(seconds // _DAY, "d", seconds % _DAY // _HOUR, "h")


def _two(many: int, unit: str, rest: int, smaller: str) -> str:
    return f"{many} {unit} {rest} {smaller}" if rest else f"{many} {unit}"

"""One thing that `cordboard doctor` looked at."""

from __future__ import annotations

from dataclasses import dataclass

from cordboard.errors import CordboardError, StoreUnavailable


@dataclass(frozen=True, slots=True)
class Finding:
    """`ok` false: it is wrong, and `remedy` says what to do."""

    name: str
    value: str
    ok: bool = True
    remedy: str = ""


_REMEDIES = (
    ("not a Cordboard store", "Set CORDBOARD_DATABASE to your store; this file is something else."),
    ("damaged", "Stop every Cordboard on it, keep the file, and put a copy in its place."),
    ("locked", "Look which program holds it, end that, and try again."),
    ("full", "Make room on the disk."),
    ("decode", "Somebody edited it by hand: keep the file, and put a copy in its place."),
    ("", "Let this user read and write the file and its folder, or set CORDBOARD_DATABASE."),
)


def wrong(name: str, exc: CordboardError) -> Finding:
    """A refusal as a finding, with a remedy that does not send the reader to the doctor."""
    remedy = exc.remedy
    if remedy == StoreUnavailable.default_remedy:  # which is: ask the doctor
        remedy = next(remedy for sign, remedy in _REMEDIES if sign in exc.what)
    return Finding(name, line(exc.what), ok=False, remedy=line(remedy))


def line(text: str) -> str:
    """One line; a path in it may hold anything."""
    return "".join(c if c.isprintable() else " " for c in text)

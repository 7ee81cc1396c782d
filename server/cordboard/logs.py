"""Logging of a server: one line an event, to standard error; numbers masked, no tracebacks.

A traceback prints what was in play, and that is phone numbers; where it broke is enough to find it.
"""

from __future__ import annotations

import logging
import re
import traceback
from types import TracebackType

from cordboard.number import masked

_NUMBER = re.compile(r"(?:\+|%2[Bb])([1-9][0-9]{6,14})(?![0-9])")


class _OneLine(logging.Formatter):
    def formatException(  # noqa: N802 - the name is logging's
        self,
        ei: tuple[type[BaseException], BaseException, TracebackType | None]
        | tuple[None, None, None],
    ) -> str:
        """Type and place of the innermost frame."""
        kind, _, trace = ei
        frames = traceback.extract_tb(trace)
        place = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "?"
        return f"{kind.__name__ if kind else 'error'} at {place}"

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record).replace("\n", " | ")
        return _NUMBER.sub(lambda found: masked("+" + found[1]), line)


def configure(level: int = logging.WARNING) -> None:
    """Set the process's logging before the SDK sets its own, which would print tracebacks.

    The driver of PostgreSQL is not heard at all: it logs by itself, in the server's words, every try
    to connect. Whoever asks the store is told what is wrong with it, in ours.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(_OneLine("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level, handlers=[handler])
    logging.getLogger("psycopg").setLevel(logging.CRITICAL)

"""The one seam where SQLite's errors become ours: StoreUnavailable, with the cause in words."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cordboard.errors import StoreUnavailable

LOCK_SECONDS = 10.0
"""How long a writer waits for its turn."""


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Errors of the engine and of the file raised inside leave as StoreUnavailable."""
    try:
        yield
    except sqlite3.IntegrityError:
        raise  # a rule of the schema: a bug above if it gets this far
    except TimeoutError:
        raise StoreUnavailable(
            f"The store {path} is locked by another process since {LOCK_SECONDS:.0f} s.",
            "Try again; `cordboard doctor` shows the store.",
        ) from None
    except sqlite3.DatabaseError as exc:
        raise StoreUnavailable(f"The store {path} cannot be used: {_cause(exc)}.") from exc
    except OSError as exc:
        raise StoreUnavailable(
            f"The store {path} cannot be opened: {exc.strerror or exc}."
        ) from exc


def is_busy(exc: sqlite3.Error) -> bool:
    """Whether somebody else has the file locked just now, and nothing else is wrong."""
    code: int = getattr(exc, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    return code & 0xFF == sqlite3.SQLITE_BUSY


def _cause(exc: sqlite3.Error) -> str:
    """SQLite's words, with a hint for the ones that say little."""
    said = str(exc)
    for sign, words in (
        ("full", "the disk is full"),
        ("readonly", "the file or its folder is read-only"),
        ("locked", "another process keeps it locked"),
        ("unable to open", "the file or its folder cannot be opened"),
        ("malformed", "the file is damaged; restore a copy"),
        ("not a database", "the file is not a Cordboard store"),
    ):
        if sign in said:
            return f"{words} ({said})"
    return said

"""The secret beside the store: seals request state and cursors, and outlives restarts.

Not a credential: approvals are not made with it. Every process on one store reads the same file.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

from cordboard.errors import StoreUnavailable

KEY_BYTES = 32


def load_key(store: Path) -> bytes:
    """The 32-byte key in `STORE.key`, made at first use, readable by its owner only.

    Raises: StoreUnavailable.
    """
    path = store.with_name(store.name + ".key")
    try:
        return _read(path) if path.exists() else _make(path)
    except OSError as exc:
        raise StoreUnavailable(f"The key {path} cannot be used: {exc.strerror or exc}.") from exc


def _make(path: Path) -> bytes:
    """Write a new key aside and link it into place: of two processes at once, one wins whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    handle = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES).hex().encode())
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()
    return _read(path)


def _read(path: Path) -> bytes:
    try:
        key = bytes.fromhex(path.read_text("ascii").strip())
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise StoreUnavailable(
            f"The key {path} is damaged.",
            "Delete it: a new one is made, and questions and cursors still open become invalid.",
        )
    return key

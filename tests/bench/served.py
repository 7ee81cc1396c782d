"""The bare counterpart on a free port, for as long as it is needed."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio

ROOT = Path(__file__).parents[2]


@asynccontextmanager
async def bare() -> AsyncIterator[str]:
    """Where it is: `http://127.0.0.1:PORT`."""
    command = [sys.executable, "-m", "tests.bench.bare_web"]
    async with await anyio.open_process(command, cwd=ROOT, stderr=None) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{(await process.stdout.receive()).decode().strip()}"
        finally:
            process.terminate()

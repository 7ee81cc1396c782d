"""Serving MCP on stdio."""

from __future__ import annotations

import gc
import os
import signal
import sys

from cordboard import logs
from cordboard.config import load
from cordboard.errors import ConfigError


def serve_stdio() -> int:
    """Serve until the client hangs up; the exit code. Standard output belongs to the protocol."""
    logs.configure()
    try:
        settings = load()
    except ConfigError as exc:
        sys.stderr.write(f"{exc}\n")
        return 2
    from cordboard.app import build_server

    if sys.stdin is None or sys.stdout is None:
        sys.stderr.write("Without a command Cordboard speaks MCP on standard input and output.\n")
        return 2
    server = build_server(settings)
    # The thread that waits for input would hold up an orderly end; the store survives any end.
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    gc.freeze()  # what was made so far lives as long as the process: never look through it
    try:
        server.run("stdio")
    except ExceptionGroup as exc:
        if exc.split(OSError)[1] is not None:
            raise
        sys.stderr.write("The client no longer reads; stopped.\n")
        return 1
    return 0

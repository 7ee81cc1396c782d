"""Serving MCP on stdio."""

from __future__ import annotations

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

    server = build_server(settings)
    try:
        server.run("stdio")
    except KeyboardInterrupt:
        return 130
    return 0

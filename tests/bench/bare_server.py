"""The bare counterpart over stdio: an MCP server of one tool that does nothing."""

from __future__ import annotations

from mcp.server.mcpserver import MCPServer

server = MCPServer("bare")


@server.tool()
def no_op() -> str:
    """Do nothing."""
    return "ok"


def main() -> None:
    """Serve on stdio."""
    server.run("stdio")


if __name__ == "__main__":
    main()

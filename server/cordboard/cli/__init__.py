"""The command line. Without a command it serves MCP on stdio.

`main` looks at the arguments before anything heavy is imported: a server's start is measured,
and `--version` answers at once. Each group of commands is a file;
`commands.py` names them all.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point of the `cordboard` script."""
    arguments = sys.argv[1:]
    if arguments in (["--version"], ["-V"]):
        from importlib.metadata import version

        try:
            sys.stdout.write(f"cordboard {version('cordboard')}\n")
            sys.stdout.flush()
        except BrokenPipeError:  # nobody listens
            sys.exit(0)
        except (OSError, AttributeError):  # nobody can
            sys.exit(1)
    elif not arguments:
        from cordboard.cli.serve import serve_stdio

        sys.exit(serve_stdio())
    else:
        try:
            from cordboard.cli.commands import run

            sys.exit(run(arguments))
        except KeyboardInterrupt:  # before there was anything to stop
            sys.stderr.write("Stopped.\n")
            sys.exit(130)

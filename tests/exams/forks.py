"""The real program on stdio, started in milliseconds: a nursery imports it once and forks.

A start from nothing costs most of a second, which hundreds of kills cannot have. Run as a script
this file is the nursery: it takes descriptors and an environment over a socket and answers a pid.
It imports nothing of the tests, starts no thread, and opens nothing before it forks. It waits for
no child, so that a pid stays that child's own as long as the nursery is there.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import anyio
from anyio.abc import ByteReceiveStream, ByteSendStream, Process, SocketStream

PROGRAM = (
    "cordboard.app",
    "cordboard.cli.serve",
    "cordboard.mcp_server",
    "cordboard.stores.postgres",
    "cordboard.stores.sqlite",
    "cordboard.vendors",
    "cordboard_tools",
    "anyio._backends._asyncio",
)


class Nursery:
    """Where processes come from. `environ` is what they all have."""

    def __init__(self, link: socket.socket) -> None:
        self._link = link

    async def start(self, environ: Mapping[str, str], log: Path) -> Forked:
        """`cordboard` without a command; standard error goes to `log`."""
        ours, theirs = socket.socketpair()
        with log.open("wb") as stderr, theirs:
            given = json.dumps(dict(environ)).encode()
            socket.send_fds(self._link, [given], [theirs.fileno(), stderr.fileno()])
            pid = self._link.recv(32)
            if not pid:
                ours.close()
                raise RuntimeError("the nursery could not import the program")
        return Forked(int(pid), await SocketStream.from_socket(ours))


@contextmanager
def nursery() -> Iterator[Nursery]:
    """A nursery, and an end to it and all that it started."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    clean = {k: v for k, v in os.environ.items() if not k.startswith("CORDBOARD_")}
    with ours:
        with theirs:
            link = theirs.fileno()
            run = [sys.executable, __file__, str(link)]
            process = subprocess.Popen(run, pass_fds=[link], stdin=subprocess.DEVNULL, env=clean)
        with process:
            yield Nursery(ours)
            ours.close()


class _Input(ByteSendStream):
    """Closing it is the end of file, and leaves the other direction open."""

    def __init__(self, stream: SocketStream) -> None:
        self._stream = stream

    async def send(self, item: bytes) -> None:
        await self._stream.send(item)

    async def aclose(self) -> None:
        await self._stream.send_eof()


class Forked(Process):
    """A process of the nursery, as anyio shows one of its own. Its exit code is not known."""

    def __init__(self, pid: int, stream: SocketStream) -> None:
        self._pid, self._stream = pid, stream
        self._input = _Input(stream)

    async def aclose(self) -> None:
        self.kill()
        await self._stream.aclose()

    async def wait(self) -> int:
        """Until it is gone: whatever it still says is not read by anybody else any more."""
        try:
            while True:
                await self._stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            return -1

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def send_signal(self, signal: int) -> None:
        os.kill(self._pid, signal)

    @property
    def pid(self) -> int:
        return self._pid

    @property
    def returncode(self) -> int | None:
        return None

    @property
    def stdin(self) -> ByteSendStream:
        return self._input

    @property
    def stdout(self) -> ByteReceiveStream:
        return self._stream

    @property
    def stderr(self) -> None:
        return None


def serve(link: socket.socket) -> None:
    """Fork for every request until the other end is closed."""
    for name in PROGRAM:
        importlib.import_module(name)
    while True:
        given, fds, _, _ = socket.recv_fds(link, 65536, 2)
        if not given:
            return
        pid = os.fork()
        if pid == 0:
            link.close()
            _live(json.loads(given), fds)
        for fd in fds:
            os.close(fd)
        link.send(str(pid).encode())


def _live(environ: Mapping[str, str], fds: list[int]) -> NoReturn:
    """A child's whole life; it never returns to the code of its parent."""
    code = 70
    try:
        os.environ.update(environ)
        wire, log = fds
        for old, new in ((wire, 0), (wire, 1), (log, 2)):
            os.dup2(old, new)
        os.closerange(3, max(fds) + 1)
        from cordboard.cli.serve import serve_stdio

        code = serve_stdio()
    finally:
        os._exit(code)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))

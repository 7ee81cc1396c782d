"""A client that only sends and receives: so many connections, each asking again as soon as it is
answered. Run as a script, in a process of its own; it tells one line of JSON.

`python load.py PORT CONNECTIONS SECONDS TOKEN FIRST COUNT STEP`: the numbers asked for are FIRST,
FIRST + STEP, … , COUNT of them, over and over. `{"requests", "seconds", "p50", "p99", "longest",
"failed": {status: how many}}`; times in seconds.
"""

from __future__ import annotations

import json
import selectors
import socket
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle
from time import perf_counter

_CHUNK = 65536
_PATIENCE = 30.0
_LENGTH = b"\r\ncontent-length: "


@dataclass(slots=True)
class Line:
    """One connection, and what it is waiting for."""

    socket: socket.socket
    sent_at: float = 0.0
    received: bytes = b""

    def ask(self, request: bytes) -> None:
        """Send one request; it is short enough for one packet."""
        self.received = b""
        self.sent_at = perf_counter()
        self.socket.sendall(request)

    def answered(self) -> bytes:
        """What has come so far, once it is a whole answer; else nothing."""
        self.received += self.socket.recv(_CHUNK)
        assert self.received, "the server hung up"
        head, end, body = self.received.partition(b"\r\n\r\n")
        _, told, length = head.partition(_LENGTH)
        if not end or (told and len(body) < int(length.partition(b"\r\n")[0])):
            return b""
        return head


def requests(port: int, token: str, numbers: range) -> Iterator[bytes]:
    """The requests, each number in turn, over and over."""
    made = [
        f"GET /v1/routes/+{number} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n"
        f"authorization: Bearer {token}\r\naccept: application/json\r\n\r\n".encode()
        for number in numbers
    ]
    return cycle(made)


def load(port: int, connections: int, seconds: float, asked: Iterator[bytes]) -> dict[str, object]:
    """Ask for so long; what was answered, and how fast."""
    failed, spans = Counter[str](), list[float]()
    with selectors.DefaultSelector() as waiting:
        for _ in range(connections):
            line = Line(socket.create_connection(("127.0.0.1", port)))
            line.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            waiting.register(line.socket, selectors.EVENT_READ, line)
            line.ask(next(asked))
        begin, end = perf_counter(), perf_counter() + seconds
        while (now := perf_counter()) < end:
            for key, _ in waiting.select(_PATIENCE):
                line = key.data
                if head := line.answered():
                    spans.append(perf_counter() - line.sent_at)
                    if not head.startswith(b"HTTP/1.1 200"):
                        failed[head[9:12].decode()] += 1
                    line.ask(next(asked))
        for key in list(waiting.get_map().values()):
            key.data.socket.close()
    spans.sort()
    return {
        "requests": len(spans),
        "seconds": now - begin,
        "p50": spans[len(spans) // 2],
        "p99": spans[len(spans) * 99 // 100],
        "longest": spans[-1],
        "failed": failed,
    }


if __name__ == "__main__":
    port, connections, seconds, token, first, count, step = sys.argv[1:]
    numbers = range(int(first), int(first) + int(count) * int(step), int(step))
    told = load(int(port), int(connections), float(seconds), requests(int(port), token, numbers))
    sys.stdout.write(json.dumps(told))

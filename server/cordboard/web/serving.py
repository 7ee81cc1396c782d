"""The processes of `serve --http`: uvicorn, one socket, one or many workers, an orderly end.

One process serves by itself. Of several, the first binds and watches; each of the others serves,
is replaced when it dies, and ends when the first one does.
"""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import math
import multiprocessing
import os
import signal
import socket
import ssl
import sys
import threading
from contextlib import suppress
from dataclasses import replace
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING

import uvicorn
from sse_starlette.sse import AppStatus
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from cordboard import logs, telemetry
from cordboard.config import Settings
from cordboard.config.http import HttpSettings
from cordboard.errors import ConfigError, CordboardError, StoreUnavailable

if TYPE_CHECKING:
    from cordboard.web.edge import Edge

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_MOST_CONNECTIONS = 4096
_OTHER_FILES = 64
"""What a process keeps open beside its connections: store, vendors, log."""
_KEEP_ALIVE_SECONDS = 75
"""Longer than clients and proxies keep a connection: whoever closes it first must not be us, or a
request that is just on its way is lost."""
_WORKER_STARTS_SECONDS = 60


def bound(settings: Settings) -> tuple[Settings, socket.socket]:
    """Listen: the settings with the port that was got where 0 was asked for, and the socket.

    Raises: ConfigError for an address or TLS files that cannot be used, or a package that is
    missing.
    """
    http = _served(settings)
    _check_tls(http)
    if http.telemetry:
        telemetry.check()
    try:
        listening = _listening(http.host, http.port)
    except OSError as exc:
        at, why = f"{http.host} port {http.port}", exc.strerror or str(exc)
        raise ConfigError(
            f"Nothing can be served at {at}: {why}.",
            "Stop what uses it, or give another --host or --port.",
        ) from None
    port = listening.getsockname()[1]
    return replace(settings, http=replace(http, port=port)), listening


def sealed(settings: Settings) -> Settings:
    """The settings with the key that every process of this server seals with, read once: none of them
    is left with a key of its own because the store was away when it started.

    Raises: StoreUnavailable for a database, which several servers share. Without the key of a file,
    which is of this machine alone, it serves: whoever asks is told.
    """
    http = _served(settings)
    if http.state_keys:
        return settings
    from cordboard.app import seal_key

    try:
        key = seal_key(settings)
    except StoreUnavailable:
        if settings.postgres:
            raise
        return settings
    return replace(settings, http=replace(http, state_keys=(key,)))


def _served(settings: Settings) -> HttpSettings:
    if settings.http is None:
        raise TypeError("settings that were not loaded for HTTP")
    return settings.http


def _listening(host: str, port: int) -> socket.socket:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, *_, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    both = host == "::" and socket.has_dualstack_ipv6()
    return socket.create_server(address[:2], family=family, backlog=2048, dualstack_ipv6=both)


def _check_tls(http: HttpSettings) -> None:
    if http.tls_cert is None:
        return
    try:
        # A password would be asked for at the terminal, at every start.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(http.tls_cert, http.tls_key, lambda: "")
    except (OSError, ValueError) as exc:
        raise ConfigError(
            f"TLS: {http.tls_cert} and {http.tls_key} cannot be used: {exc}.",
            "Both are PEM files that belong together; the key has no password.",
        ) from None


def serve(settings: Settings, listening: socket.socket) -> int:
    """Serve until a signal ends it; the exit code. `settings`, `listening`: as `bound` gave them.

    The first SIGTERM or SIGINT ends it in order, the second at once.
    """
    for number in _SIGNALS:  # until uvicorn listens to them, and when it raises them behind its end
        signal.signal(number, _end)
    http = _served(settings)
    config = _config(settings)
    if http.workers == 1:
        try:
            uvicorn.Server(config).run([listening])
        except SystemExit:  # it could not start, and said why
            return 1
        return 0
    workers = _Workers(config, [listening])
    workers.run()
    return 1 if any(p.exitcode == STARTUP_FAILURE for p in workers.processes) else 0


def _end(number: int, frame: FrameType | None) -> None:
    del number, frame
    os._exit(0)  # nothing has begun yet, or all has ended


def _config(settings: Settings) -> uvicorn.Config:
    http = _served(settings)
    parsed = importlib.util.find_spec("httptools") is not None
    return uvicorn.Config(
        partial(_app, settings),
        factory=True,
        interface="asgi3",
        lifespan="on",
        http="cordboard.web.connection:Connection" if parsed else "h11",
        ws="none",
        workers=http.workers,
        log_config=None,
        access_log=False,  # addresses have numbers
        server_header=False,
        proxy_headers=bool(http.public_url),
        forwarded_allow_ips=["127.0.0.1", "::1"],
        limit_concurrency=_connections(),
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=math.ceil(http.grace_seconds),
        timeout_worker_healthcheck=_WORKER_STARTS_SECONDS,
        ssl_certfile=http.tls_cert,
        ssl_keyfile=http.tls_key,
    )


def _connections() -> int:
    """How many connections a process takes before it answers 503: as many as it can have files."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return _MOST_CONNECTIONS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_CONNECTIONS + _OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        return max(soft - _OTHER_FILES, 1)
    return _MOST_CONNECTIONS


def _app(settings: Settings) -> Edge:
    """The app of one process; uvicorn asks for it where its loop runs and its signals are set."""
    from cordboard.app import build_web

    if multiprocessing.parent_process() is not None:
        _become_worker()
    try:
        if _served(settings).telemetry:
            telemetry.start()
        edge: Edge = build_web(settings)
    except CordboardError as exc:
        sys.stderr.write(f"{exc}\n")
        sys.exit(STARTUP_FAILURE)
    # It would end every stream of events at the signal, answers that are under way among them.
    AppStatus.enable_automatic_graceful_drain = False
    _end_in_order(edge)
    gc.freeze()  # what was made so far lives as long as the process: never look through it
    return edge


def _become_worker() -> None:
    logs.configure()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C reaches all; the first process decides
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


def _end_in_order(edge: Edge) -> None:
    """Let the first signal end endless streams too, and the second everything."""
    loop, ending = asyncio.get_running_loop(), threading.Event()

    def heard(of_uvicorn: object, number: int, frame: FrameType | None) -> None:
        if ending.is_set():
            os._exit(128 + number)  # the store survives any end
        ending.set()
        loop.call_soon_threadsafe(edge.drain)
        if callable(of_uvicorn):
            of_uvicorn(number, frame)

    for number in _SIGNALS:
        before = signal.getsignal(number)
        if before is not signal.SIG_IGN:
            signal.signal(number, partial(heard, before))


class _Workers(Multiprocess):
    """uvicorn's supervisor, whom a second signal does not find waiting for the workers."""

    def terminate_all(self) -> None:
        for number in _SIGNALS:
            signal.signal(number, self._end_now)
        super().terminate_all()
        for listening in self.sockets:  # or whoever connects now would wait in vain
            listening.close()

    def _end_now(self, number: int, frame: FrameType | None) -> None:
        del frame
        for process in self.processes:
            process.process.kill()
        os._exit(128 + number)

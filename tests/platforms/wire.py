"""Vendors that tests can drive, and the wire between them and our client; no sockets, no sleeps.

A `Fake` is one vendor: an ASGI application over a state that a test can look at, and that reads
may see late. A `Wire` is the httpx transport in front of it, on which a test orders faults:

    fake = FakeBland(clock)
    wire = Wire(fake)
    wire.faults.append(Fault("reset_after"))          # the next write is done, its answer is lost
    http = bland.client("key", transport=wire)
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

KINDS = frozenset(
    {
        "refuse",  # ConnectError, nothing arrives
        "reset_before",  # ReadError, nothing was done
        "reset_after",  # ReadError, and it was done
        "error_before",  # 502, nothing was done
        "error_after",  # 502, and it was done
        "timeout_before",  # ReadTimeout, nothing was done
        "timeout_after",  # ReadTimeout, and it was done
        "half_body",  # it was done, and the answer breaks off
        "twice",  # delivered twice, as a proxy may; the second answer comes back
        "rate_limited",  # 429 with Retry-After: 1, nothing was done
        "wrong_json",  # it was done; 200 with a page of HTML
        "errors_in_200",  # nothing was done; the vendor's failure body with status 200
        "another_object",  # nothing was done; a success body about another agent or number
        "late",  # ReadTimeout now; it is done `seconds` later by the fake's clock
    }
)


@dataclass(frozen=True, slots=True)
class SeenRequest:
    """One request as it stood on the wire; `path` is still percent-encoded.

    `body` is the parsed JSON, None where there was none; `headers` have lower-case names.
    """

    at: float
    method: str
    path: str
    params: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any


@dataclass(frozen=True, slots=True)
class Write:
    """One write that took effect (`ok`) or that the vendor refused."""

    at: float
    kind: str
    agent: str
    numbers: tuple[str, ...]
    ok: bool


@dataclass(slots=True)
class Fault:
    """What goes wrong with the next `times` requests that match `on`, once `skip` of them have passed.

    `on`: "write" (anything but GET), "read" (GET), or a pattern searched in "METHOD path", the
    path percent-encoded.
    """

    kind: str
    on: str = "write"
    times: int = 1
    seconds: float = 2.0
    skip: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"no fault is called {self.kind}")

    def matches(self, request: SeenRequest) -> bool:
        if self.on in ("write", "read"):
            return (request.method == "GET") == (self.on == "read")
        return re.search(self.on, f"{request.method} {request.path}") is not None


class Refused(Exception):
    """Raised inside an endpoint, also inside `effect`: the vendor's error reply; nothing is changed."""

    def __init__(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{status}: {body}")
        self.status = status
        self.body = body
        self.headers = headers


async def _reply(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    if isinstance(error.body, str):
        return Response(error.body, error.status, error.headers)
    return JSONResponse(error.body, error.status, error.headers)


def application(routes: Sequence[BaseRoute]) -> Starlette:
    """The app of a fake: `Refused` becomes its reply. Endpoints are `async def` and wait for nothing."""
    return Starlette(routes=routes, exception_handlers={Refused: _reply})


class Fake:
    """A vendor's account. A subclass sets `app`, `key` and `state` and writes the endpoints.

    Endpoints read `self.seen` and change `self.state` inside `with self.effect(...)` only.
    """

    app: Starlette
    key: str = "key-of-the-fake"

    def __init__(self, now: Callable[[], float]) -> None:
        """`now`: seconds; tests drive it by a clock set by hand."""
        self.lag = 0.0  # seconds; reads answer the state as it was so long ago
        self._now = now
        self._landing: float | None = None
        self._state: Any = None
        self._past: list[tuple[float, Any]] = []  # (until when, the state it was)
        self._writes: list[Write] = []
        self._late: list[tuple[float, Callable[[], None]]] = []

    def now(self) -> float:
        """The fake's clock; while a late write lands, the moment at which it does."""
        return self._now() if self._landing is None else self._landing

    @property
    def state(self) -> Any:
        """The truth. Deep-copyable."""
        self.land()
        return self._state

    @state.setter
    def state(self, state: Any) -> None:
        self._state = state

    @property
    def seen(self) -> Any:
        """The state as reads see it now: the truth of `lag` seconds ago."""
        self.land()
        moment = self.now() - self.lag
        return next((was for until, was in self._past if until > moment), self._state)

    @property
    def writes(self) -> list[Write]:
        """Every write that took effect or was refused, in order."""
        self.land()
        return self._writes

    @contextmanager
    def effect(self, kind: str, agent: str, numbers: Sequence[str]) -> Iterator[None]:
        """Around a change of `state`; an exception inside (`Refused`) undoes it whole."""
        self.land()
        before = copy.deepcopy(self._state)
        ok = False
        try:
            yield
            ok = True
            self._past.append((self.now(), before))
        finally:
            if not ok:
                self._state = before
            self._writes.append(Write(self.now(), kind, agent, tuple(numbers), ok))

    def forget_the_past(self) -> None:
        """Reads see the truth, whatever the clock says: it was set back."""
        self._past.clear()

    def later(self, at: float, deliver: Callable[[], None]) -> None:
        """Have `deliver` done when the clock has reached `at`."""
        self._late.append((at, deliver))

    def land(self) -> None:
        """Let what is due by now take effect, in order; every touch of the fake does this."""
        while self._landing is None and self._late:
            due, deliver = entry = min(self._late, key=lambda late: late[0])
            if due > self._now():
                return
            self._late.remove(entry)
            self._landing = due
            try:
                deliver()
            finally:
                self._landing = None

    def errors_in_200(self, request: SeenRequest) -> Any:
        """The vendor's failure body as it comes with status 200."""
        raise NotImplementedError

    def another_object(self, request: SeenRequest) -> Any:
        """A success body that speaks of another agent or number."""
        raise NotImplementedError


class Wire(httpx.AsyncBaseTransport):
    """Stands between our client and the fake; keeps what it saw, and breaks what a test orders."""

    def __init__(self, fake: Fake) -> None:
        self.faults: list[Fault] = []
        self.requests: list[SeenRequest] = []
        self._fake = fake
        self._app = httpx.ASGITransport(fake.app)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        self._fake.land()
        seen = _seen(request, self._fake.now())
        self.requests.append(seen)
        fault = self._next_fault(seen)
        if fault is None:
            return await self._app.handle_async_request(request)
        return await self._broken(fault, request, seen)

    def _next_fault(self, seen: SeenRequest) -> Fault | None:
        for fault in self.faults:
            if fault.times > 0 and fault.matches(seen):
                if fault.skip > 0:
                    fault.skip -= 1
                    continue
                fault.times -= 1
                return fault
        return None

    async def _broken(
        self, fault: Fault, request: httpx.Request, seen: SeenRequest
    ) -> httpx.Response:
        match fault.kind:
            case "refuse":
                raise httpx.ConnectError("All connection attempts failed", request=request)
            case "rate_limited":
                slower = {"message": "Too Many Requests"}
                return httpx.Response(429, json=slower, headers={"Retry-After": "1"})
            case "errors_in_200":
                return httpx.Response(200, json=self._fake.errors_in_200(seen))
            case "another_object":
                return httpx.Response(200, json=self._fake.another_object(seen))
            case "late":
                self._fake.later(seen.at + fault.seconds, lambda: self.deliver(request))
                raise httpx.ReadTimeout("", request=request)
        answer = None
        if fault.kind in ("reset_after", "error_after", "timeout_after", "half_body", "wrong_json"):
            answer = await self._app.handle_async_request(request)
        if fault.kind == "twice":
            await self._app.handle_async_request(request)
            return await self._app.handle_async_request(request)
        return await _spoilt(fault.kind, request, answer)

    def deliver(self, request: httpx.Request) -> None:
        """Have a request carried out now whose sender waits for no answer any more."""
        _run(self._app.handle_async_request(request))


async def _spoilt(
    kind: str, request: httpx.Request, answer: httpx.Response | None
) -> httpx.Response:
    """What comes back in place of `answer`; it depends on `kind` alone, as on a real wire."""
    page = {"Content-Type": "text/html"}
    match kind:
        case "reset_before" | "reset_after":
            raise httpx.ReadError("Connection reset by peer", request=request)
        case "timeout_before" | "timeout_after":
            raise httpx.ReadTimeout("", request=request)
        case "error_before" | "error_after":
            return httpx.Response(502, text="<html>502 Bad Gateway</html>", headers=page)
        case "wrong_json":
            return httpx.Response(200, text="<html>Welcome</html>", headers=page)
        case _:
            assert answer is not None
            body = await answer.aread()
            stream = _HalfBody(body, request)
            return httpx.Response(answer.status_code, headers=answer.headers, stream=stream)


class _HalfBody(httpx.AsyncByteStream):
    def __init__(self, body: bytes, request: httpx.Request) -> None:
        self._body = body
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._body[: len(self._body) // 2]
        what = "peer closed connection without sending complete message body"
        raise httpx.RemoteProtocolError(what, request=self._request)


def _seen(request: httpx.Request, at: float) -> SeenRequest:
    path = request.url.raw_path.split(b"?")[0].decode("ascii")
    body = json.loads(request.content) if request.content else None
    return SeenRequest(
        at, request.method, path, dict(request.url.params), dict(request.headers), body
    )


def _run(work: Coroutine[Any, Any, object]) -> None:
    """Run a coroutine that waits for nothing to its end, also from plain code and inside a loop."""
    try:
        work.send(None)
    except StopIteration:
        return
    work.close()
    raise AssertionError(
        "an endpoint of a fake waited; make it `async def` and let it wait for nothing"
    )

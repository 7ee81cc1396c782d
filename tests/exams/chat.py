"""A chat with MCP Apps in a real browser, before a real server: `app_host/` shows the views under
the official bridge, and speaks MCP over HTTP to the whole app of `serve --http`.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from anyio.from_thread import BlockingPortal, start_blocking_portal
from asgi_lifespan import LifespanManager
from playwright.sync_api import FrameLocator, Page
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from tests.exams.node_tools import installed
from tests.web.site import WRITES
from tests.world import World, in_a_loop_of_its_own

from cordboard.app import build_web
from cordboard.config import load
from cordboard.tokens import Tokens

HOST = Path(__file__).with_name("app_host")


@dataclass
class Street:
    """One origin for a whole file of tests: the chat's page, and before it one world at a time."""

    port: int
    portal: BlockingPortal
    web: Any = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @contextlib.contextmanager
    def serves(self, world: World) -> Iterator[None]:
        """Put the world on the network, as `cordboard serve --http` does."""
        settings = load(dict(world.environ), serving={"port": self.port})
        self.web = build_web(settings, world.clock)
        with self.portal.wrap_async_context_manager(self._running()):
            yield

    @contextlib.asynccontextmanager
    async def _running(self) -> AsyncIterator[None]:
        async with LifespanManager(self.web, startup_timeout=30, shutdown_timeout=60):
            yield

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.web(scope, receive, send)


@contextlib.contextmanager
def street() -> Iterator[Street]:
    """A server whose world can be changed; the browser keeps the bridge's many files meanwhile."""
    with socket.socket() as listening, start_blocking_portal() as portal:
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)
        made = Street(listening.getsockname()[1], portal)
        rooms = [
            Mount("/host", StaticFiles(directory=HOST, html=True)),
            Mount("/modules", Kept(directory=installed(HOST))),
            Mount("/", made),
        ]
        app = Starlette(routes=rooms)
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
        ended = portal.start_task_soon(server.serve, [listening])
        try:
            yield made
        finally:
            server.should_exit = True
            ended.result()


class Kept(StaticFiles):
    """Files that never change while the tests run."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        """The file, for the browser to keep."""
        response = super().file_response(*args, **kwargs)
        response.headers["cache-control"] = "max-age=3600, immutable"
        return response


class Chat:
    """One person's chat: calls the model makes, and the view they lead to."""

    def __init__(self, page: Page, world: World, url: str) -> None:
        self.page, self.world = page, world
        page.goto(f"{url}/host/")
        page.wait_for_function("window.ready")

    @property
    def view(self) -> FrameLocator:
        """The view shown last."""
        return self.page.frame_locator("iframe").last

    def connect(self, era: str, user: str = "alice", **options: Any) -> Any:
        """Connect as somebody. `options`: what this host can do, and how it behaves (host.js)."""
        token = in_a_loop_of_its_own(self._token, user)
        return self._run("connect", {"token": token, "era": era, **options})

    async def _token(self, user: str) -> str:
        tokens = Tokens(self.world.app.store, self.world.clock)
        return await tokens.create("default", user, scopes=WRITES, subject=user, by="operator")

    def ask(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """The model calls a tool, and its view is shown. What the model sees of the answer."""
        seen: dict[str, Any] = self.page.evaluate(
            "([name, given]) => chat.ask(name, given)", [tool, arguments]
        )
        return seen

    def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """A call by whoever, without a view; the whole answer."""
        answer: dict[str, Any] = self.page.evaluate(
            "([name, given]) => chat.call(name, given)", [tool, arguments]
        )
        return answer

    def run(self, what: str, given: Any = None) -> Any:
        """Something else the host can do."""
        return self._run(what, given)

    def log(self, what: str, awaited: int = 0) -> list[Any]:
        """What passed so far: `sent` to the server, `contexts` for the model, `links`, `sizes`; not
        before there are so many as are `awaited`."""
        enough = "([what, awaited]) => chat.log[what].length >= awaited"
        self.page.wait_for_function(enough, arg=[what, awaited])
        found: list[Any] = self.page.evaluate("what => chat.log[what]", what)
        return found

    def sent(self, tool: str) -> list[dict[str, Any]]:
        """The arguments of every call of a tool that went to the server."""
        calls = [m["params"] for m in self.log("sent") if m.get("method") == "tools/call"]
        return [call["arguments"] for call in calls if call["name"] == tool]

    def _run(self, what: str, given: Any) -> Any:
        return self.page.evaluate("([what, given]) => chat[what](given)", [what, given])

"""The approvals pages as somebody with a browser meets them, without one: forms, links, text."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

import anyio
import httpx
from argon2 import PasswordHasher
from tests.web.site import URL, WebWorld, on_the_web
from tests.world import AT, World

from cordboard import journal
from cordboard.answers import ChangeResult
from cordboard.guard import NobodyToAsk
from cordboard.identity import operator
from cordboard.journal import Event
from cordboard.request import Asked
from cordboard.service import Caller
from cordboard.stores import Transaction

PASSPHRASE = "correct horse battery"  # noqa: S105 - of people who exist in tests only
OTHER_PASSPHRASE = "staple of another kind"  # noqa: S105
UNKNOWN_PLAN = "plan_0123456789abcdef01234567"
_VOID = frozenset({"input", "meta", "link", "img", "br", "hr"})


@dataclass
class Form:
    """A form of a page: where it goes, and what it carries already."""

    method: str
    action: str
    fields: dict[str, str] = field(default_factory=dict[str, str])
    asks: set[str] = field(default_factory=set[str])


class Page(HTMLParser):
    """An answer, read: the text a person sees, the forms, the links, the `refresh` (seconds)."""

    def __init__(self, answer: httpx.Response) -> None:
        super().__init__(convert_charrefs=True)
        self.answer, self.status, self.headers = answer, answer.status_code, answer.headers
        self.html = answer.text
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.forms: list[Form] = []
        self.links: dict[str, str] = {}
        self.ids: dict[str, str] = {}
        self.rows: list[list[str]] = []
        self.refresh = ""
        self._said: list[str] = []
        self._open: list[tuple[str, str]] = []
        self._link: str | None = None
        if "html" in answer.headers.get("content-type", ""):
            self.feed(self.html)
            self.close()

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        told = {name: value or "" for name, value in attrs}
        self.tags.append((tag, told))
        if tag == "form":
            self.forms.append(Form(told.get("method", "get"), told.get("action", "")))
        elif tag == "input" and self.forms:
            self._input(told)
        elif tag == "a":
            self._link = told.get("href", "")
        elif tag == "meta" and told.get("http-equiv") == "refresh":
            self.refresh = told["content"]
        elif tag == "tr":
            self.rows.append([])
        elif tag in ("th", "td"):
            self.rows[-1].append("")
        if tag not in _VOID:
            self._open.append((tag, told.get("id", "")))

    def _input(self, told: Mapping[str, str]) -> None:
        if told.get("type") == "hidden":
            self.forms[-1].fields[told["name"]] = told.get("value", "")
        else:
            self.forms[-1].asks.add(told["name"])

    def handle_endtag(self, tag: str) -> None:
        closed, _ = self._open.pop()
        assert closed == tag, f"<{closed}> is closed by </{tag}>"
        if tag == "a":
            self._link = None

    def handle_data(self, data: str) -> None:
        if any(tag in ("style", "script", "title") for tag, _ in self._open):
            return
        self._said.append(data)
        for _, name in self._open:
            if name:
                self.ids[name] = self.ids.get(name, "") + data
        if self._link is not None and data.strip():
            self.links[" ".join(data.split())] = self._link
        if self.rows and any(tag in ("th", "td") for tag, _ in self._open):
            self.rows[-1][-1] = _flat(f"{self.rows[-1][-1]} {data}")

    @property
    def text(self) -> str:
        """All that is said, in one line."""
        return _flat(" ".join(self._said))

    @property
    def numbers(self) -> list[str]:
        """The numbers of the table, as they stand in it."""
        return [row[0].split()[0] for row in self.rows[1:]]

    def form(self, ending: str) -> Form | None:
        """The form that goes to an address with this ending."""
        found = [f for f in self.forms if f.action.partition("?")[0].endswith(ending)]
        return found[0] if found else None


def _flat(text: str) -> str:
    return re.sub(r" (?=[,.:](?: |$))", "", " ".join(text.split()))


@dataclass
class Visitor:
    """A browser of its own, with its cookies, before one served world."""

    http: httpx.AsyncClient

    async def open(self, address: str, **more: Any) -> Page:
        """A page by its address; redirects are followed."""
        return Page(await self.http.get(address, follow_redirects=True, **more))

    async def send(self, form: Form | None, **typed: str) -> Page:
        """Fill a form in and send it; redirects are followed."""
        assert form is not None, "there is no such form on the page"
        data = {**form.fields, **typed}
        return Page(await self.http.post(form.action, data=data, follow_redirects=True))

    async def post(self, form: Form, **typed: str) -> httpx.Response:
        """The bare answer to a form."""
        return await self.http.post(form.action, data={**form.fields, **typed})

    async def sign_in(
        self, name: str = "ada", passphrase: str = PASSPHRASE, address: str = "/approvals"
    ) -> Page:
        """Ask for a page, and sign in on the way."""
        page = await self.open(address)
        return await self.send(page.form("/sign-in"), name=name, passphrase=passphrase)

    async def approve(self, plan_id: str, passphrase: str = PASSPHRASE) -> Page:
        """Open a plan and approve it."""
        page = await self.open(f"/approvals/{plan_id}")
        return await self.send(page.form("/approve"), passphrase=passphrase)

    async def decline(self, plan_id: str, remark: str = "") -> Page:
        """Open a plan and decline it."""
        page = await self.open(f"/approvals/{plan_id}")
        return await self.send(page.form("/decline"), remark=remark)


@dataclass
class Office:
    """A served world with an approver, `ada`, in it; `web`: None where it is served elsewhere."""

    world: World
    web: WebWorld | None

    @asynccontextmanager
    async def visitor(self) -> AsyncIterator[Visitor]:
        """Somebody with a browser, not signed in."""
        assert self.web is not None
        transport = httpx.ASGITransport(self.web.app)
        async with httpx.AsyncClient(transport=transport, base_url=URL) as http:
            yield Visitor(http)

    @asynccontextmanager
    async def approver(
        self, name: str = "ada", passphrase: str = PASSPHRASE
    ) -> AsyncIterator[Visitor]:
        """An approver, signed in."""
        async with self.visitor() as visitor:
            page = await visitor.sign_in(name, passphrase)
            assert page.status == 200 and "Sign out" in page.text, page.text
            yield visitor

    async def enrol_ada(self) -> None:
        """The first approver, if she is not there: her passphrase costs next to nothing to check."""
        if await self.world.app.service.approvals.approvers.everyone():
            return
        hashed = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSPHRASE)
        user = "ada-at-the-terminal"
        row = {"name": "ada", "principal": user, "passphrase": hashed, "by": user, "subjects": "[]"}

        def add(tx: Transaction) -> None:
            tx.run("approver_add", account="default", at=AT, **row)
            journal.append(tx, "default", AT, Event("approver_added", user, data={"name": "ada"}))

        await self.world.app.store.write(add)

    async def enrol(self, name: str, passphrase: str, *, account: str = "default") -> None:
        """One more approver, for whom `ada` speaks where she is there."""
        approvers = self.world.app.service_of(account).approvals.approvers
        by = await approvers.verify("ada", PASSPHRASE) if await approvers.everyone() else None
        await approvers.enrol(name, passphrase, f"{name}-at-the-terminal", by)

    async def asked(
        self,
        action: str,
        agent: str,
        *numbers: str,
        by: str = "bob",
        reason: str = "",
        account: str = "default",
        **more: Any,
    ) -> str:
        """The id of the plan for what somebody asks."""
        asked = Asked(action, agent, numbers, **more)  # type: ignore[arg-type]
        caller = Caller(operator(account, by), NobodyToAsk())
        result = await self.world.app.service_of(account).changes.change(caller, asked, reason)
        assert isinstance(result, ChangeResult)
        return result.plan_id

    async def state(self, plan_id: str) -> str:
        """How the store has a plan."""
        return (await self.world.app.service.approvals.find(plan_id)).state


class Gate(httpx.AsyncBaseTransport):
    """A vendor that takes its time over writes: they wait until the gate is open."""

    def __init__(self, wire: httpx.AsyncBaseTransport) -> None:
        self._wire = wire
        self.arrived, self.open = anyio.Event(), anyio.Event()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.method != "GET":
            self.arrived.set()
            await self.open.wait()
        return await self._wire.handle_async_request(request)


@asynccontextmanager
async def office(world: World, **serving: Any) -> AsyncIterator[Office]:
    """Serve a world, with `ada` enrolled as its first approver."""
    async with on_the_web(world, **serving) as web:
        made = Office(world, web)
        await made.enrol_ada()
        yield made

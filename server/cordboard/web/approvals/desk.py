"""What every page stands on: the site, its sessions, who looks, and where the pages are."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from cordboard.clock import stamp
from cordboard.config import DEFAULT_ACCOUNT
from cordboard.identity import check_account
from cordboard.service import Approvals
from cordboard.web.approvals.rendering import HEADERS
from cordboard.web.approvals.sessions import Session, Sessions
from cordboard.web.site import Site

ROOT = "/approvals"
_PLAN_ID = re.compile(r"plan_[0-9a-f]{24}", re.ASCII)
_PLACE = re.compile(rf"{ROOT}(/{_PLAN_ID.pattern})?", re.ASCII)
_LONGEST_WORDS = 100


class NotSignedIn(Exception):
    """Nobody is signed in for the account that is asked for."""


class BadToken(Exception):
    """A form came back that was not made for this session."""


@dataclass(frozen=True)
class Desk:
    """The approvals pages of one site."""

    site: Site

    @cached_property
    def sessions(self) -> Sessions:
        app = self.site.app
        return Sessions(app.keys, app.clock, secure=self.site.http.url.startswith("https://"))

    @property
    def now(self) -> str:
        return stamp(self.site.app.clock())

    def account(self, request: Request) -> str:
        """The account a page is asked for. Raises: InvalidArguments."""
        account = request.query_params.get("account", "") or DEFAULT_ACCOUNT
        check_account(account)
        return account

    def approvals(self, account: str) -> Approvals:
        """What can be asked about an account's plans."""
        return self.site.app.service_of(account).approvals

    async def session(self, request: Request) -> Session:
        """Who looks. Raises: NotSignedIn; InvalidArguments for a bad account."""
        account, found = self.account(request), self.sessions.of(request)
        if found is None or found.account != account:
            raise NotSignedIn
        enrolment = await self.approvals(account).enrolment(found.approver, found.nonce)
        if enrolment != found.enrolment:
            raise NotSignedIn
        return found

    def check(self, session: Session, token: str) -> None:
        """Raises: BadToken where a form was not made for this session."""
        if not self.sessions.is_token(session.nonce, token):
            raise BadToken


def account_shown(account: str) -> str:
    """An account as addresses and pages name it: the default one not at all."""
    return "" if account == DEFAULT_ACCOUNT else account


def url(path: str, account: str, **query: str | int) -> str:
    """The address of a page of ours, with what is empty left out."""
    named = {"account": account_shown(account)} | query
    text = urlencode({name: value for name, value in named.items() if value not in ("", 0)})
    return f"{ROOT}{path}" + (f"?{text}" if text else "")


def place(wanted: str, account: str) -> str:
    """The page of ours that a text names, for that account; the list for any other text."""
    path = wanted.partition("?")[0]
    return url(path.removeprefix(ROOT) if _PLACE.fullmatch(path) else "", account)


def words(request: Request) -> str:
    """What is searched for."""
    text = "".join(c if c.isprintable() else " " for c in request.query_params.get("q", ""))
    return " ".join(text.split())[:_LONGEST_WORDS]


def whole(request: Request, name: str, least: int) -> int:
    """A whole number in the address; `least` for anything else."""
    text = request.query_params.get(name, "")
    return max(least, int(text)) if text.isascii() and text.isdigit() and len(text) < 19 else least


def is_plan_id(text: str) -> bool:
    return _PLAN_ID.fullmatch(text) is not None


def see_other(where: str) -> Response:
    """Go there, by GET."""
    return RedirectResponse(where, 303, {**HEADERS, "Cache-Control": "no-store"})


def browser(desk: Desk, session: Session) -> dict[str, str]:
    """What every page for somebody signed in shows of that."""
    account = session.account
    return {
        "approver": session.approver,
        "account": account_shown(account),
        "token": desk.sessions.token(session.nonce),
        "sign_out": url("/sign-out", account),
        "home": url("", account),
    }

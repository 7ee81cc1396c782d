"""The seven calls of Synthflow's API that Cordboard makes, and no others.

Never called, by decision: `DELETE /numbers/{slug}` (it cancels the subscription of the number),
`PATCH /numbers/{slug}`, `POST /custom-numbers`, anything that places a call, and
`PUT /assistants/{model_id}`, which makes a new version of the agent.
"""

from __future__ import annotations

from typing import Any

from cordboard.errors import PlatformError
from cordboard.http_client import HttpClient, Reply, segment
from cordboard.platforms.synthflow.answers import (
    Assistant,
    Number,
    NumberRow,
    Rows,
    one_assistant,
    one_number,
    page_of_assistants,
    page_of_numbers,
)
from cordboard.platforms.synthflow.refusals import (
    failed,
    missing,
    refused,
    unexpected,
)

BASES = {
    "global": "https://api.synthflow.ai/v2",
    "us": "https://api.us.synthflow.ai/v2",
    "eu": "https://api.eu.synthflow.ai/v2",
}
"""Roots by region (docs.synthflow.ai, "servers" of every reference page)."""

_LEADING_ELSEWHERE = ("", ".", "..")
"""Slugs that would name another path, however they are encoded."""


class Api:
    """Synthflow's API over one key and workspace.

    `slugs`: the slugs seen that are not simply the digits of their number, as addresses to try
    first. An address decides nothing: what is found there must name the number itself.
    Reads raise: PlatformError and what is below it.
    """

    def __init__(self, http: HttpClient, workspace: str) -> None:
        self.slugs: dict[str, str] = {}
        self._http, self._workspace = http, workspace

    async def assistants(self, limit: int, offset: int) -> Rows[Assistant]:
        """A page of agents; the slash at the end of the path belongs there ("List agents")."""
        reply = await self._http.get("/assistants/", {"limit": limit, "offset": offset})
        return page_of_assistants(_good(reply, "list agents"))

    async def assistant(self, model_id: str) -> Assistant | None:
        """An agent with its numbers; None where there is no such agent."""
        reply = await self._http.get(f"/assistants/{segment(model_id)}")
        if missing(reply):
            return None
        found = one_assistant(_good(reply, "show an agent"), model_id)
        for number, slug in found.attached.items() if found else ():
            self._learn(number, slug)
        return found

    async def numbers(self, limit: int, offset: int, free: bool | None = None) -> Rows[NumberRow]:
        """A page of numbers, narrowed to those with or without an inbound agent."""
        params: dict[str, str | int] = {
            "workspace": self._workspace,
            "limit": limit,
            "offset": offset,
        }
        if free is not None:
            params["is_available"] = "true" if free else "false"
        reply = await self._http.get("/numbers", params)
        return page_of_numbers(_good(reply, "list numbers"))

    async def number_of(self, slug: str) -> Number | None:
        """The number of a slug; None where there is none."""
        if slug in _LEADING_ELSEWHERE:
            return None
        reply = await self._http.get(f"/numbers/{segment(slug)}", {"workspace": self._workspace})
        if missing(reply):
            return None
        found = one_number(_good(reply, "show a number"), slug)
        self._learn(found.number, found.slug)
        return found

    async def number(self, number: str) -> Number | None:
        """A number by itself: under the slug last seen for it, else under its digits.

        None: there is none under those; it may still have a slug that was never seen.
        """
        digits = number.removeprefix("+")
        for slug in dict.fromkeys((self.slug(number), digits)):
            found = await self.number_of(slug)
            if found is not None and found.number == number:
                return found
        return None

    def slug(self, number: str) -> str:
        """Its slug so far as was seen; by default its digits ("Get a phone number")."""
        return self.slugs.get(number, number.removeprefix("+"))

    async def attach(self, model_id: str, numbers: tuple[str, ...], send_by: float) -> Reply:
        """Add numbers to the agent's pool. By their numbers, always: the body may have
        slugs instead, never both, and a number has one name where its slug may change."""
        path = f"/assistants/{segment(model_id)}/phone_numbers"
        return await self._http.send("PUT", path, {"phone_numbers": list(numbers)}, send_by=send_by)

    async def detach(self, model_id: str, slug: str, send_by: float) -> Reply:
        """Take one number out of the agent's pool."""
        if slug in _LEADING_ELSEWHERE:
            raise PlatformError("Synthflow's slug of this number cannot be part of an address.")
        path = f"/assistants/{segment(model_id)}/phone_numbers/{segment(slug)}"
        return await self._http.send("DELETE", path, send_by=send_by)

    async def close(self) -> None:
        await self._http.close()

    def _learn(self, number: str, slug: str) -> None:
        if slug == number.removeprefix("+"):
            self.slugs.pop(number, None)
        else:
            self.slugs[number] = slug


def _good(reply: Reply, doing: str) -> Any:
    """The body of an answer to a read that is neither a refusal nor a page of something else."""
    if 200 <= reply.status < 300 and not reply.is_json:
        raise unexpected("it is no JSON")
    if not 200 <= reply.status < 300 or failed(reply.data):
        raise refused(reply, doing)
    return reply.data

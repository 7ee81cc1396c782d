"""Synthflow: agents with pools of numbers, over its Platform API (docs.synthflow.ai).

What its API is like, and what follows here:
- Attaching adds to the agent's pool, although it is a PUT ("Number pooling"), and answers
  `{"status": "ok"}` without a fact: only reading back tells what was done.
- A number serves one inbound agent and many outbound ones ("Phone numbers"), so a binding is per
  number and direction. What happens when a second inbound agent is given a number is not
  documented; the guard before the write is what prevents it.
- Whether attaching works for inbound agents at all is contradicted between its pages.
- There is no pathway of a number's own, no version of a binding, no idempotency key.
- A slug is the number's digits as a rule; the reference has an example where it is not.
- Seen at a real account by a third party (July 2026): a key of another region is answered 401,
  and imported numbers can be missing from the list of numbers while agents hold them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cordboard import number as numbers
from cordboard.binding import NO_PATHWAY, Agent, OwnedNumber, Pathway, PathwayInfo
from cordboard.display import quoted
from cordboard.errors import AnswerLost, CordboardError, NotSupported, PlatformError
from cordboard.http_client import HttpClient, Reply
from cordboard.plan import Change
from cordboard.platforms import Abilities, Accepted, AgentEntry, Call, Health, NumberFilter, Page
from cordboard.platforms.synthflow.answers import PREFIX, Assistant
from cordboard.platforms.synthflow.api import BASES, Api
from cordboard.platforms.synthflow.listing import agents_page, numbers_page
from cordboard.platforms.synthflow.observing import holders, observed
from cordboard.platforms.synthflow.refusals import failed, refused, said
from cordboard.platforms.synthflow.sight import Sight
from cordboard.request import Action, Look, Observed
from cordboard.together import AT_ONCE

NO_PATHWAYS = "Synthflow has no pathway of a number's own; give the number an agent of its own."


def client(key: str, region: str, base_url: str = "", **http: Any) -> HttpClient:
    """The HTTP client for a key of a region (`global`, `us`, `eu`); `http` goes to HttpClient.

    Raises: ValueError for a region there is not, and for a base URL that may not be used.
    """
    if region not in BASES:
        raise ValueError(f"region: {quoted(region, 40)} is none of {', '.join(BASES)}")
    headers = {"Authorization": f"Bearer {key}"}
    return HttpClient("Synthflow", base_url or BASES[region], headers, **http)


class SynthflowPlatform:
    """One workspace of Synthflow. Every read is fresh; `account` is not asked, the key has one."""

    name = "synthflow"
    abilities = Abilities(
        list_pathways=False, set_pathway=False, attach_at_once=25, at_once=AT_ONCE
    )

    def __init__(self, http: HttpClient, workspace: str) -> None:
        """`workspace`: without its id Synthflow lists and shows no numbers ("List phone numbers")."""
        self._api = Api(http, workspace)

    def unsupported(self, action: Action, agents: Sequence[str]) -> str:
        """Synthflow has no pathways; all else is possible."""
        del agents
        return NO_PATHWAYS if action in ("set_pathway", "clear_pathway") else ""

    async def agents(self, account: str, query: str, after: str, limit: int) -> Page[AgentEntry]:
        """Inbound and outbound agents; widgets have no telephone and are left out."""
        return await agents_page(self._api, query, after, limit)

    async def numbers(
        self, account: str, only: NumberFilter, after: str, limit: int
    ) -> Page[OwnedNumber]:
        """The workspace's numbers. Imported ones that Synthflow leaves out of its list are shown
        only where `only.agent` holds them."""
        return await numbers_page(self._api, only, after, limit)

    async def pathways(self, account: str, query: str, after: str, limit: int) -> Page[PathwayInfo]:
        """Raises: NotSupported, always."""
        raise NotSupported(NO_PATHWAYS)

    async def pathway(self, account: str, pathway_id: str) -> PathwayInfo | None:
        """Raises: NotSupported, always."""
        raise NotSupported(NO_PATHWAYS)

    async def agent(self, account: str, agent: str) -> Agent | None:
        found = await self._assistant(agent)
        return found.agent if found else None

    async def count(self, account: str, agent: str) -> int:
        """How many numbers are in the agent's pool; 0 where there is no such agent."""
        found = await self._assistant(agent)
        return len(found.attached) if found else 0

    async def number(self, account: str, number: str) -> OwnedNumber | None:
        if not numbers.is_canonical(number):
            return None
        held = await Sight(self._api).held([number])
        return held[number].owned if number in held else None

    async def nearest(self, account: str, number: str) -> list[str]:
        """Numbers of the workspace that look like this one; its first 500 are searched."""
        return numbers.nearest(number, await Sight(self._api).listed())

    async def observe(self, account: str, look: Look) -> Observed:
        """Everything a decision rests on, read now.

        Raises: PlatformError, also where an inbound agent would gain a number of which Synthflow
        does not show who has it.
        """
        return await observed(self._api, look)

    def calls(self, change: Change) -> tuple[Call, ...]:
        """Inbound: from the old agent, then to the new. Outbound: first to the new, so that the
        number is never without one. Pathways never come here: `unsupported` says so before."""
        before, after, way = change.before, change.after, change.direction
        if before == after:
            return ()
        number = (change.number,)
        setting = (
            (Call("set_pathway", after.agent, way, number, after.pathway),)
            if after.agent and (after.agent == before.agent or after.pathway != NO_PATHWAY)
            else ()
        )
        if before.agent == after.agent:
            return setting
        leave = (Call("detach", before.agent, way, number),) if before.agent else ()
        provider = change.image.provider
        join = (Call("attach", after.agent, way, number, provider=provider),) if after.agent else ()
        return (leave + join if way == "inbound" else join + leave) + setting

    async def read(
        self, account: str, changes: Sequence[Change], *, others: bool
    ) -> list[Mapping[str, Pathway] | None]:
        """Who holds each number: source and target by their own answers, and with `others`, where
        it is inbound, any other agent that the number names and that has it."""
        return list(await holders(self._api, changes, others))

    async def write(self, account: str, call: Call, send_by: float) -> Accepted:
        """Attach up to 25 numbers, or detach one. Its "ok" carries no fact, so nothing is echoed."""
        if call.kind == "attach":
            return _accepted(await self._api.attach(_model_id(call), call.numbers, send_by), call)
        if call.kind == "set_pathway":
            raise PlatformError(NO_PATHWAYS)
        if len(call.numbers) != 1:
            raise PlatformError("Synthflow detaches one number a call.", "Report this as a bug.")
        slug = self._api.slug(call.numbers[0])
        return _accepted(await self._api.detach(_model_id(call), slug, send_by), call)

    async def check(self) -> Health:
        """Ask for one agent and one number of the lists."""
        try:
            agents = await self._api.assistants(1, 0)
            owned = await self._api.numbers(1, 0)
        except CordboardError as exc:
            return Health(False, exc.what, exc.remedy)
        what = f"answers; agents: {agents.total}, numbers: {owned.total}"
        if owned.total:
            return Health(True, what)
        return Health(
            True,
            what,
            "If there should be numbers, check SYNTHFLOW_WORKSPACE: it lists those of one workspace.",
        )

    async def close(self) -> None:
        await self._api.close()

    async def _assistant(self, agent: str) -> Assistant | None:
        return await self._api.assistant(agent.removeprefix(PREFIX))


def _accepted(reply: Reply, call: Call) -> Accepted:
    """What a write's answer says. Raises: PlatformError for a refusal.

    AnswerLost for a failure with a status of success: Synthflow has no codes by which it could be
    known that nothing was done.
    """
    of = call.numbers[0] if len(call.numbers) == 1 else f"{len(call.numbers)} numbers"
    doing = f"{call.kind} {of} {'to' if call.kind == 'attach' else 'from'} {call.agent}"
    if not 200 <= reply.status < 300:
        raise refused(reply, doing)
    if failed(reply.data):
        what = f"Synthflow answered that it failed to {doing} ({reply.status}): {said(reply)}."
        raise AnswerLost(what, "It may or may not have been done: only reading the numbers tells.")
    told = reply.data if isinstance(reply.data, dict) else {}
    other = told.get("response")
    if isinstance(other, dict) and other.get("model_id", "") not in ("", _model_id(call)):
        return Accepted(remark="Synthflow's answer told of another agent; reading back decides.")
    if isinstance(told.get("status"), str):
        return Accepted()
    return Accepted(remark="Synthflow's answer could not be understood; reading back decides.")


def _model_id(call: Call) -> str:
    return call.agent.removeprefix(PREFIX)

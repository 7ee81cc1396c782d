"""The guard: a plan + a way to ask -> a Clearance, or what is missing.

It decides the level a plan needs, never a weaker one, and it alone makes a `Clearance`, the only
thing `engine.apply` takes. Who can pass a level:

    plan     the model, by a second call (`by_second_call`)
    client   a person through their MCP client, who answered `approve: true` (`by_answer`), or
             pressed Apply in our App (`by_ticket`)
    person   an enrolled approver, outside MCP, with their passphrase (`by_approver`)
    frozen   nobody
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal, Protocol

from cordboard import facts
from cordboard.approvers import VerifiedApprover
from cordboard.clock import Clock, later, stamp
from cordboard.errors import Frozen, NotAllowed
from cordboard.identity import Identity, person_key
from cordboard.plan import Draft, Level, Plan
from cordboard.policy import Policy, Required, at_least, required
from cordboard.request import Action
from cordboard.stores.plans import PlanRecord
from cordboard.tickets import Tickets

_SEAL = object()
_APPROVAL_SECONDS = 24 * 3600
Way = Literal["form", "url", ""]
"""How a question reaches a person: a form, a page they are sent to, or not at all."""


class Verdict(Enum):
    """What came back from a question to a person through their client."""

    APPROVED = "approved"
    DECLINED = "declined"
    CANCELLED = "cancelled"
    MALFORMED = "malformed"
    SILENT = "silent"
    OPENED = "opened"
    """They went to the page that was named, and have said nothing yet."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a person is asked about one plan, word for word.

    `url`: the page they are sent to, to decide there; "" where they answer in a form.
    """

    plan_id: str
    plan_hash: str
    text: str
    url: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """A verdict on the question about one plan, proven to be ours by the channel it came through."""

    plan_id: str
    plan_hash: str
    verdict: Verdict


class Asker(Protocol):
    """A way to a person through the caller's client."""

    @property
    def can_ask(self) -> bool:
        """Whether a person can say yes in this client: in a form, or in our App."""
        ...

    @property
    def shows_app(self) -> bool:
        """Whether this client shows our App, with its buttons."""
        ...

    def way(self, level: Level, page: str) -> Way:
        """How this client is asked about a plan of that level. `page`: where a person can decide in
        a browser, "" for nowhere."""
        ...

    async def ask(self, question: Question) -> Verdict | None:
        """The verdict; None where it will come with a later call (protocol 2026-07-28)."""
        ...


class NobodyToAsk:
    """The asker of callers that have no client: command line, recovery."""

    can_ask = shows_app = False

    def way(self, level: Level, page: str) -> Way:
        del level, page
        return ""

    async def ask(self, question: Question) -> Verdict | None:
        del question
        return Verdict.SILENT


class Clearance:
    """The guard's word that this very plan may be applied, once. Only the guard makes one.

    `token`: the token whose own right it is, where nobody was asked; "" for an approval.
    """

    __slots__ = ("account", "approval_id", "approver", "at", "expires_at", "level", "plan_hash",
                 "plan_id", "platform", "requester", "token")  # fmt: skip

    def __init__(
        self,
        *,
        seal: object,
        record: PlanRecord,
        approver: str,
        level: Level,
        at: str,
        expires_at: str,
        approval_id: str,
        token: str = "",
    ) -> None:
        if seal is not _SEAL:
            raise TypeError("only the guard makes a Clearance")
        self.account, self.platform = record.plan.account, record.plan.platform
        self.plan_id, self.plan_hash = record.plan_id, record.hash
        self.requester, self.approver, self.level = record.plan.principal, approver, level
        self.at, self.expires_at = at, expires_at
        self.approval_id, self.token = approval_id, token


class Guard:
    """Decides levels under one policy and turns answers into clearances."""

    def __init__(self, policy: Policy, clock: Clock, tickets: Tickets) -> None:
        self.policy = policy
        self._clock, self._tickets = clock, tickets

    def level(
        self, action: Action, platform: str, draft: Draft, hour: int, can_ask: bool, least: Required
    ) -> Required:
        """The level these changes need from this caller; `client` it cannot ask becomes `person`.
        `least`: what the caller wants at least, whatever the policy says."""
        need = required(self.policy, action, platform, draft, hour)
        if need.level == "client" and not can_ask:
            need = Required(
                "person", f"{need.why}; this client cannot ask a person, by form or App"
            )
        return need if at_least(need.level, least.level) else least

    def demand(self, plan: Plan, hour: int) -> Required:
        """What this process's own policy demands of a plan, whoever made it."""
        return required(self.policy, plan.action, plan.platform, plan.draft, hour)

    def question(self, record: PlanRecord, url: str = "") -> Question:
        """The question about a plan: facts, and the requester's words in quotes. `url`: the page
        where it is answered, if not in a form."""
        text = facts.question(record.plan, record.reason)
        if url:
            text += "\nAn approver decides on the page, with their passphrase."
        return Question(record.plan_id, record.hash, text, url)

    def ticket(self, record: PlanRecord) -> str:
        """What our App must show to apply this plan; "" where a button is not enough."""
        if not at_least("client", record.plan.level):
            return ""
        return self._tickets.issue(record.plan, record.hash)

    def by_second_call(self, record: PlanRecord, principal: str) -> Clearance:
        """Clearance at level `plan`: the one who asked called `apply_plan`."""
        self.same_requester(record, principal)
        return self._clear(record, principal, "plan")

    def by_answer(self, record: PlanRecord, answer: Answer, principal: str) -> Clearance:
        """Clearance at level `client`: a person answered `approve: true` to our question."""
        self.same_requester(record, principal)
        ours = answer.plan_id == record.plan_id and answer.plan_hash == record.hash
        if not ours or answer.verdict is not Verdict.APPROVED:
            raise NotAllowed("That answer is not a yes to this plan's question.")
        return self._clear(record, principal, "client")

    def by_ticket(self, record: PlanRecord, ticket: str, principal: str) -> Clearance:
        """Clearance at level `client`: a person pressed Apply in the App that was given the ticket.

        Raises: NotAllowed with the same words whatever is wrong with the ticket.
        """
        if record.plan.principal != principal or not self._tickets.fits(
            ticket, record.plan, record.hash
        ):
            raise not_from_the_app()
        return self._clear(record, principal, "client")

    def by_approver(self, record: PlanRecord, approver: VerifiedApprover) -> Clearance:
        """Clearance at level `person`: an approver whose passphrase was verified just now."""
        if approver.account != record.plan.account:
            raise NotAllowed(f"{approver.name} is an approver of another account.")
        self.other_eyes(record, approver.name, approver.people)
        return self._clear(record, approver.name, "person")

    def by_token(self, record: PlanRecord, identity: Identity) -> Clearance:
        """Clearance for a caller of REST, who sends one request and is asked nothing: their token
        itself carries the right. At `plan` that to write is enough, as a second call would be; above
        it the operator gave them the right to approve, to use without asking anybody.

        Never for MCP: there a token's rights approve nothing. Raises: NotAllowed, Frozen.
        """
        self.same_requester(record, identity.principal)
        level = record.plan.level
        if level == "plan":
            return self._clear(record, identity.principal, level)
        identity.require("changes:approve")
        self.other_eyes(record, identity.principal, frozenset({person_key(identity.principal)}))
        return self._clear(record, identity.principal, level, token=identity.client or "(no name)")

    def other_eyes(self, record: PlanRecord, approver: str, people: frozenset[str]) -> None:
        """Raises: NotAllowed where policy wants another person to approve than the one who asked.

        `people`: every name the approver goes by, as `person_key` has them.
        """
        plan = record.plan
        if (plan.four_eyes or self.policy.four_eyes) and person_key(plan.principal) in people:
            raise NotAllowed(
                f"The policy wants a second pair of eyes: {plan.principal} asked for this change, and "
                f"{approver} is the same person, or was enrolled by them.",
                "Have another approver approve it.",
            )

    def by_stored(self, record: PlanRecord, approval: Mapping[str, Any]) -> Clearance | None:
        """The clearance again that was given where it could not be used; None if it is not this
        plan's: its text, its requester and its level are checked anew, and it is used once."""
        same = (record.hash, record.plan.principal)
        if (approval["plan_hash"], approval["requester"]) != same:
            return None
        return Clearance(
            seal=_SEAL,
            record=record,
            approver=approval["approver"],
            level=approval["level"],
            at=approval["at"],
            expires_at=approval["expires_at"],
            approval_id=approval["approval_id"],
        )

    def _clear(
        self, record: PlanRecord, approver: str, level: Level, *, token: str = ""
    ) -> Clearance:
        needed = record.plan.level
        if needed == "frozen":
            raise Frozen(f"Policy freezes this change ({record.plan.why}).")
        if not at_least(level, needed):
            raise NotAllowed(f"This plan needs {needed}; {level} is not enough.")
        now = self._clock()
        return Clearance(
            seal=_SEAL,
            record=record,
            approver=approver,
            level=level,
            at=stamp(now),
            expires_at=later(now, _APPROVAL_SECONDS),
            approval_id=f"approval_{secrets.token_hex(12)}",
            token=token,
        )

    def same_requester(self, record: PlanRecord, principal: str) -> None:
        """Raises: NotAllowed for anybody but the one who asked for the plan."""
        if record.plan.principal != principal:
            raise NotAllowed(
                f"Plan {record.plan_id} was asked for by somebody else.",
                "Ask for the change yourself; that makes a plan of your own.",
            )


def not_from_the_app() -> NotAllowed:
    """The one refusal of a button's call that is not from our App, for this plan, by its requester."""
    return NotAllowed(
        "approve_in_app is for the buttons of Cordboard's view in the chat, not for a model.",
        "apply_plan says who can approve a plan, and how.",
    )

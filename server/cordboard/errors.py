"""Every way Cordboard says no, as one tree.

    CordboardError
    ├── RequestError                 the request cannot be done as it was asked
    │   ├── InvalidArguments         INVALID_ARGUMENTS
    │   ├── NumberRefused            the batch is refused whole; every bad number is listed
    │   │   ├── InvalidNumberFormat      INVALID_NUMBER_FORMAT
    │   │   ├── DuplicateNumber          DUPLICATE_NUMBER
    │   │   ├── NumberNotFound           NUMBER_NOT_FOUND
    │   │   ├── NumberAttachedElsewhere  NUMBER_ATTACHED_ELSEWHERE
    │   │   ├── NumberNotAttached        NUMBER_NOT_ATTACHED
    │   │   └── NumberHeld               NUMBER_HELD
    │   ├── AgentNotFound            AGENT_NOT_FOUND
    │   ├── PathwayNotFound          PATHWAY_NOT_FOUND
    │   ├── ProviderNotConfigured    PROVIDER_NOT_CONFIGURED
    │   ├── NotSupported             NOT_SUPPORTED
    │   └── PlanNotFound             PLAN_NOT_FOUND
    ├── GuardError                   the request is understood, and not permitted now
    │   ├── ApprovalRequired         APPROVAL_REQUIRED
    │   ├── NotAllowed               NOT_ALLOWED
    │   ├── Frozen                   FROZEN
    │   ├── LimitExceeded            LIMIT_EXCEEDED
    │   └── ReadOnly                 READ_ONLY
    ├── PlatformError                PLATFORM_ERROR
    │   ├── PlatformAuth             PLATFORM_AUTH
    │   ├── PlatformRateLimited      PLATFORM_RATE_LIMITED
    │   └── PlatformUnreachable      PLATFORM_UNREACHABLE
    ├── AnswerLost                   (a write was sent; never leaves the engine, which settles it)
    ├── StoreUnavailable             STORE_UNAVAILABLE
    └── ConfigError                  INVALID_CONFIGURATION (command line and start-up only)

The text of an error is `CODE: what is wrong. What to do next. Nothing was changed.`
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar


class CordboardError(Exception):
    """Base of every refusal: a stable `code`, what is wrong, and a `remedy`."""

    code: ClassVar[str] = "INTERNAL_ERROR"
    default_remedy: ClassVar[str] = "Report this as a bug."
    aftermath: str = "Nothing was changed."

    def __init__(self, what: str, remedy: str = "") -> None:
        self.what = what
        self.remedy = remedy or self.default_remedy
        super().__init__(self.what)

    def __str__(self) -> str:
        return f"{self.code}: {self.what} {self.remedy} {self.aftermath}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One number of a batch and why it is refused; `code` is that of a NumberRefused class."""

    number: str
    code: str
    why: str


class RequestError(CordboardError):
    """The request cannot be done as it was asked; asking differently can help. `problems`: number by
    number, where it is about some."""

    code = "INVALID_ARGUMENTS"
    default_remedy = "Correct the arguments and call again."

    def __init__(self, what: str, remedy: str = "", problems: Iterable[Problem] = ()) -> None:
        super().__init__(what, remedy)
        self.problems = tuple(problems)


class InvalidArguments(RequestError):
    """The arguments do not fit the tool's schema, or a file has rows that cannot be used."""


class NumberRefused(RequestError):
    """One or more numbers of a batch are refused, and so the whole batch."""

    code = "NUMBER_NOT_FOUND"


class InvalidNumberFormat(NumberRefused):
    """A number is not canonical E.164."""

    code = "INVALID_NUMBER_FORMAT"
    default_remedy = "Send each number as +, country code and number, digits only: +14155550123."


class DuplicateNumber(NumberRefused):
    """The same number stands twice in one call."""

    code = "DUPLICATE_NUMBER"
    default_remedy = "Name each number once."


class NumberNotFound(NumberRefused):
    """A number does not belong to this account, or not to the named provider."""

    code = "NUMBER_NOT_FOUND"
    default_remedy = "list_numbers shows the numbers of this account; ask the user which is meant."


class NumberAttachedElsewhere(NumberRefused):
    """Another agent holds the number; it is never taken over unannounced."""

    code = "NUMBER_ATTACHED_ELSEWHERE"
    default_remedy = "To take it over, ask the user, then use move_numbers with from_agent."


class NumberNotAttached(NumberRefused):
    """Nobody holds the number, or the named agent does not."""

    code = "NUMBER_NOT_ATTACHED"
    default_remedy = "get_number_route shows who answers it; attach_numbers attaches a free number."


class NumberHeld(NumberRefused):
    """An unfinished plan holds the number."""

    code = "NUMBER_HELD"
    default_remedy = "Wait until that plan is settled; get_plan shows it."


class AgentNotFound(RequestError):
    """No configured platform has this agent."""

    code = "AGENT_NOT_FOUND"
    default_remedy = "list_agents shows the agents there are."


class PathwayNotFound(RequestError):
    """The platform has no such pathway, version or node."""

    code = "PATHWAY_NOT_FOUND"
    default_remedy = "list_pathways shows pathways; with pathway_id, its versions and nodes."


class ProviderNotConfigured(RequestError):
    """The named carrier is not configured for this account."""

    code = "PROVIDER_NOT_CONFIGURED"
    default_remedy = (
        "Leave provider out, or have the operator add it to `providers` and import again."
    )


class NotSupported(RequestError):
    """This platform, or this kind of agent, cannot do that."""

    code = "NOT_SUPPORTED"
    default_remedy = "Ask the user how to go on."


class PlanNotFound(RequestError):
    """No such plan in this account."""

    code = "PLAN_NOT_FOUND"
    default_remedy = "list_changes shows recent plans."


class GuardError(CordboardError):
    """Understood, and not permitted now."""

    code = "NOT_ALLOWED"
    default_remedy = "Ask the user how to go on."


class ApprovalRequired(GuardError):
    """A person must approve first (REST, and a command line without a terminal).

    `plan_id`, `url`, `command`: which plan, and where they do; "" for none.
    """

    code = "APPROVAL_REQUIRED"
    default_remedy = "Run `cordboard approve` at a terminal."

    def __init__(
        self, what: str, remedy: str = "", *, plan_id: str = "", url: str = "", command: str = ""
    ) -> None:
        super().__init__(what, remedy)
        self.plan_id, self.url, self.command = plan_id, url, command


class NotAllowed(GuardError):
    """Policy, or a missing right, forbids it. `retry_after`: in so many seconds it may be tried
    again, for its reason is a wait; 0 where waiting does not help. `scopes`: one of these is missing."""

    def __init__(
        self,
        what: str,
        remedy: str = "",
        *,
        retry_after: int = 0,
        scopes: tuple[str, ...] = (),
    ) -> None:
        super().__init__(what, remedy)
        self.retry_after, self.scopes = retry_after, scopes


class Frozen(GuardError):
    """Changes are frozen; nobody may change routing until an approver lifts it."""

    code = "FROZEN"
    default_remedy = "An enrolled approver lifts it with `cordboard unfreeze` at a terminal."


class LimitExceeded(GuardError):
    """More than one call may carry."""

    code = "LIMIT_EXCEEDED"
    default_remedy = "Send at most 100 numbers a call, in several calls."


class ReadOnly(GuardError):
    """This process was started read-only."""

    code = "READ_ONLY"
    default_remedy = (
        "The operator must start Cordboard without CORDBOARD_READ_ONLY to change anything."
    )


class PlatformError(CordboardError):
    """A platform answered with an error, or with something it should not."""

    code = "PLATFORM_ERROR"
    default_remedy = "Try again later; if it stays so, tell the operator."


class PlatformAuth(PlatformError):
    """The platform refused our credentials."""

    code = "PLATFORM_AUTH"
    default_remedy = "The operator must check this platform's key; `cordboard doctor` tests it."


class PlatformRateLimited(PlatformError):
    """The platform asked us to slow down."""

    code = "PLATFORM_RATE_LIMITED"
    default_remedy = "Wait a minute, then call again."


class PlatformUnreachable(PlatformError):
    """No answer from the platform."""

    code = "PLATFORM_UNREACHABLE"
    default_remedy = "Try again later; `cordboard doctor` tests the connection."


class AnswerLost(CordboardError):
    """A write was sent and no usable answer came: whether it was done is not known.

    No PlatformError, so that nobody takes it for a refusal. The engine holds the number and settles it.
    """


class StoreUnavailable(CordboardError):
    """The store cannot be read or written now."""

    code = "STORE_UNAVAILABLE"
    default_remedy = "`cordboard doctor` tells what is wrong with the store."


class ConfigError(CordboardError):
    """A configuration, policy or import file, or an environment variable, is wrong."""

    code = "INVALID_CONFIGURATION"
    default_remedy = "Correct it and start again."


# A batch with several kinds of bad numbers leads with the first of these that applies.
_LEADING: tuple[type[NumberRefused], ...] = (
    InvalidNumberFormat,
    DuplicateNumber,
    NumberNotFound,
    NumberAttachedElsewhere,
    NumberNotAttached,
    NumberHeld,
)


def refusal(problems: list[Problem]) -> NumberRefused:
    """The one error for a batch with these `problems` (at least one); lists them all."""
    leading = next(kind for kind in _LEADING if any(p.code == kind.code for p in problems))
    ordered = sorted(problems, key=lambda p: [k.code for k in _LEADING].index(p.code))
    if len(ordered) == 1:
        return leading(ordered[0].why, problems=ordered)
    lines = [f"- {p.why}" if p.code == leading.code else f"- ({p.code}) {p.why}" for p in ordered]
    what = f"{len(ordered)} numbers are refused, and so the whole call:\n" + "\n".join(lines) + "\n"
    return leading(what, problems=ordered)

"""What people decide outside MCP: approve and reject, approvers, freeze and unfreeze.

The safe directions (reject, freeze) ask for no passphrase; every other one does, at a terminal.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated

import typer
from rich.text import Text

from cordboard.answers import ChangeResult
from cordboard.app import App
from cordboard.approvers import VerifiedApprover, check_subjects
from cordboard.cli import terminal
from cordboard.cli.plans import AsJson, PlanId, caller, find, plans_app, print_changes
from cordboard.cli.session import at_terminal, console, errors, print_json, with_app
from cordboard.cli.working import working
from cordboard.display import printable, quoted, shown
from cordboard.errors import Frozen, InvalidArguments, NotAllowed
from cordboard.guard import Question
from cordboard.policy import Required
from cordboard.service import Caller
from cordboard.stores.plans import PlanRecord

_WAITS = ("confirmation_required", "awaiting_approval", "approved")
_TOOK_EFFECT = ("applied", "partly_applied", "applying", "unknown")
_LONGEST_REASON = 500

_AT_LEAST = Required("person", "what is asked for on the command line, an approver approves")

approvers_app = typer.Typer(help="Who may approve, with a passphrase of their own.")


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.add_typer(plans_app, name="plans")
    app.add_typer(approvers_app, name="approvers")
    for command in (approve, reject, undo, freeze, unfreeze):
        app.command()(command)


def approve(plan_id: PlanId) -> None:
    """Read a plan, approve it with your passphrase, and apply it at once."""
    with working("reading how it stands"):
        before = with_app(lambda app: _before_approval(app, plan_id))
    if before.result.status not in _WAITS:
        print_outcome(before.record, before.result)
        raise typer.Exit(0 if before.result.status == "applied" else 1)
    console.print(Text(before.text))
    if before.nobody_enrolled:
        console.print(
            Text(
                "\nNobody is enrolled as an approver yet: you will be the first. Choose a name, and a "
                "passphrase that is asked at every approval. Both given, the plan above is applied."
            )
        )
        approver = terminal.enrol()
    else:
        approver = terminal.identify()
    result = _approve(before.record, approver)
    print_outcome(before.record, result)
    raise typer.Exit(0 if result.status in ("applied", "approved") else 1)


@dataclass(frozen=True)
class _Before:
    """What `approve` needs to know before it asks anybody anything."""

    record: PlanRecord
    result: ChangeResult
    text: str
    nobody_enrolled: bool


async def _before_approval(app: App, plan_id: str) -> _Before:
    approvals = app.service.approvals
    approvals.writable()
    terminal.require("cordboard approve PLAN")
    await find(app, plan_id)
    record = await approvals.still_open(plan_id)
    result = await app.service.changes.get(caller(app), plan_id)
    if result.status in _WAITS:
        since = await _frozen_since(app)
        if since:
            raise Frozen(f"Changes are frozen since {since}.")
    return _Before(record, result, approvals.text(record), not await approvals.approvers.everyone())


async def _seen_through(record: PlanRecord, approver: VerifiedApprover, app: App) -> ChangeResult:
    """Approve, and stay until it has ended: nobody else may be there to go on with it."""
    result = await app.service.approvals.approve(record, approver)
    if result.status == "applying":
        result = await app.service.approvals.ended(record.plan_id)
    return result


def _approve(record: PlanRecord, approver: VerifiedApprover) -> ChangeResult:
    count = len(record.plan.draft.changes)
    doing = "applying 1 change" if count == 1 else f"applying {count:,} changes"
    with stoppable(record.plan_id), working(doing):
        return with_app(partial(_seen_through, record, approver))


@contextmanager
def stoppable(plan_id: str) -> Iterator[None]:
    """Within, Ctrl-C names where to look: what was sent to a vendor is done all the same."""
    try:
        yield
    except KeyboardInterrupt:
        told = f"`cordboard plans show {plan_id}` tells what became of the plan."
        errors.print(Text(f"Stopped. {told}", style="red"))
        raise typer.Exit(130) from None


def reject(
    plan_id: PlanId,
    why: Annotated[str, typer.Option(help="For the record.")] = "",
) -> None:
    """Decline a plan for good. Asks for no passphrase."""
    short_enough("--why", why)

    async def work(app: App) -> tuple[PlanRecord, ChangeResult]:
        approvals = app.service.approvals
        approvals.writable()
        record = await find(app, plan_id)
        return record, await approvals.reject(record, app.settings.principal, why)

    record, result = with_app(work)
    if result.status in _TOOK_EFFECT:
        errors.print(Text("Too late to reject: the plan was applied.", style="red"))
        print_outcome(record, result)
        raise typer.Exit(1)
    console.print(Text(at_terminal(result.message)))


def undo(
    plan_id: PlanId,
    reason: Annotated[str, typer.Option(help="Shown to whoever approves.")] = "",
) -> None:
    """Plan the reverse of an applied plan, approve it with your passphrase, and apply it at once."""
    short_enough("--reason", reason)

    async def work(app: App) -> ChangeResult | Question:
        app.service.approvals.writable()
        terminal.require("cordboard undo PLAN")
        await find(app, plan_id)
        return await app.service.changes.undo(caller_of_a_person(app), plan_id, reason)

    with working("planning"):
        result = with_app(work)
    if isinstance(result, Question):
        raise TypeError("a caller who cannot be asked was asked")
    if result.status not in _WAITS:
        console.print(Text(at_terminal(result.message), style="red"))
        raise typer.Exit(1)
    approve(result.plan_id)


def caller_of_a_person(app: App) -> Caller:
    """Whoever runs this command; what they ask for waits for an approver, whatever policy says."""
    return replace(caller(app), least=_AT_LEAST)


@approvers_app.callback(invoke_without_command=True)
def approvers(context: typer.Context, as_json: AsJson = False) -> None:
    """List who may approve."""
    if context.invoked_subcommand is not None:
        return
    everyone = with_app(lambda app: app.service.approvals.approvers.everyone())
    if as_json:
        names = ("name", "principal", "added_at", "added_by", "subjects")
        print_json({"approvers": [{n: getattr(a, n) for n in names} for a in everyone]})
        return
    for approver in everyone:
        where = f"enrolled {approver.added_at} by {shown(approver.added_by)}"
        signs_in = "".join(f", signs in as {printable(subject)}" for subject in approver.subjects)
        user = f"system user {shown(approver.principal)}"
        console.print(Text(f"{approver.name}  {where}, {user}{signs_in}"))
    if not everyone:
        told = "Nobody is enrolled: `cordboard approvers add NAME` enrols the first approver."
        console.print(Text(told))


Name = Annotated[str, typer.Argument(metavar="NAME", help="letters, digits and . - _ @")]


Subjects = Annotated[
    list[str] | None,
    typer.Option(
        "--subject",
        metavar="SUBJECT",
        help="What this person signs in as over HTTP, so that four eyes are two people's; may be "
        "given again.",
    ),
]


@approvers_app.command("add")
def add_approver(name: Name, subject: Subjects = None) -> None:
    """Enrol an approver. All but the first need an enrolled approver's passphrase."""
    subjects = check_subjects(subject or ())
    enrolled = _enrolled("cordboard approvers add NAME")
    if name in enrolled:
        raise InvalidArguments(f"An approver named {quoted(name)} is enrolled already.")
    by = None
    if enrolled:
        console.print(Text("An approver who is enrolled already must agree."))
        by = terminal.identify()
        console.print(Text(f"Now {shown(name)}: choose a passphrase."))
    terminal.enrol(name, by, subjects)


@approvers_app.command("remove")
def remove_approver(name: Name) -> None:
    """Remove an approver. Needs an enrolled approver's passphrase."""
    if name not in _enrolled("cordboard approvers remove NAME"):
        raise InvalidArguments(f"No approver is named {quoted(name)}.", "Check the name.")
    by = terminal.identify()
    with_app(lambda app: app.service.approvals.approvers.remove(name, by))
    console.print(Text(f"{shown(name)} is no approver any more."))


def freeze(
    reason: Annotated[str, typer.Option(help="Why; callers of tools are told.")],
) -> None:
    """Stop all routing changes at once. Calls go on; asks for no passphrase."""
    if not reason.strip():
        raise InvalidArguments("--reason is empty.", "Say why: it is shown to whoever asks.")
    short_enough("--reason", reason)
    result = with_app(lambda app: app.service.changes.freeze(caller(app), reason))
    console.print(Text(at_terminal(result.message)))


def unfreeze() -> None:
    """Allow changes again. Needs an enrolled approver's passphrase."""

    enrolled = _enrolled("cordboard unfreeze")
    since = with_app(_frozen_since)
    if not since:
        raise InvalidArguments("Nothing is frozen.", "There is nothing to lift.")
    if not enrolled:
        raise NotAllowed(
            "Nobody is enrolled, and only an approver lifts a freeze.",
            "`cordboard approvers add NAME` enrols the first approver.",
        )
    console.print(Text(f"Changes are frozen since {since}."))
    approver = terminal.identify()
    with_app(lambda app: app.service.approvals.unfreeze(approver))
    console.print(Text("Changes are allowed again."))


def _enrolled(command: str) -> list[str]:
    """The names of all approvers, for a command that may write and has a person before it."""

    async def work(app: App) -> list[str]:
        app.service.approvals.writable()
        terminal.require(command)
        return [approver.name for approver in await app.service.approvals.approvers.everyone()]

    return with_app(work)


async def _frozen_since(app: App) -> str:
    """`<time> by <whom> ("<reason>")`, or "" where nothing is frozen."""
    account = app.settings.account
    state = await app.store.read(lambda tx: tx.one("account_get", account=account))
    if state is None or not state["frozen_at"]:
        return ""
    return f"{state['frozen_at']} by {shown(state['frozen_by'])} ({quoted(state['frozen_reason'])})"


def short_enough(option: str, text: str) -> None:
    """Raises: InvalidArguments for words that are too many to be shown to anybody."""
    if len(text) > _LONGEST_REASON:
        raise InvalidArguments(f"{option} takes at most {_LONGEST_REASON} characters.")


def print_outcome(record: PlanRecord, result: ChangeResult) -> None:
    """What became of a plan, with its first changes."""
    console.print(
        Text(at_terminal(result.message), style="green" if result.status == "applied" else "red")
    )
    print_changes(record, result)

"""`cordboard plans`: what waits for somebody, and what became of the rest."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer
from rich.text import Text

from cordboard import facts
from cordboard.answers import ChangeResult
from cordboard.app import App
from cordboard.approvers import VerifiedApprover
from cordboard.cli import terminal
from cordboard.cli.session import at_terminal, console, errors, print_json, with_app
from cordboard.clock import stamp
from cordboard.display import quoted, shown
from cordboard.engine.settling import Said
from cordboard.errors import InvalidArguments, NotAllowed, PlanNotFound, PlatformError
from cordboard.identity import operator
from cordboard.plan import Change
from cordboard.request import MOST_NUMBERS
from cordboard.results import status_of
from cordboard.service import Caller
from cordboard.stores.plans import PlanRecord

_LISTED = 50
_OPEN_LISTED = 100  # what `Approvals.waiting` gives

PlanId = Annotated[str, typer.Argument(metavar="PLAN", help="plan_ and 24 hex digits")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document, for a program.")]

plans_app = typer.Typer(help="Plans that wait for somebody, and what became of others.")


@plans_app.callback(invoke_without_command=True)
def plans(
    context: typer.Context,
    every: Annotated[bool, typer.Option("--all", help="Of every state, newest first.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the plans that are open; with --all the newest of every state."""
    if context.invoked_subcommand is None:
        _list_plans(every, as_json)


def _list_plans(every: bool, as_json: bool) -> None:
    async def work(app: App) -> tuple[list[PlanRecord], str]:
        approvals = app.service.approvals
        found = await (approvals.newest(_LISTED) if every else approvals.waiting())
        return found, stamp(app.clock())

    records, now = with_app(work)
    if as_json:
        print_json({"plans": [_as_row(record, now) for record in records]})
        return
    for record in records:
        row = _as_row(record, now)
        console.print(Text(f"{row['plan_id']}  {row['status']}  {row['what']}", style="bold"))
        by = f"asked by {row['by']} at {row['created_at']}, valid until {row['expires_at']}"
        reason = f", reason given: {quoted(record.reason)}" if record.reason else ""
        console.print(Text(f"    {by}, level {row['level']}{reason}"))
    if len(records) >= (_LISTED if every else _OPEN_LISTED):
        console.print(Text(f"The newest {len(records)} are shown."))
    if not records:
        hint = "" if every else " `cordboard plans --all` lists those that are settled."
        console.print(Text(f"There is no {'plan yet' if every else 'open plan'}.{hint}"))


def _as_row(record: PlanRecord, now: str) -> dict[str, Any]:
    plan = record.plan
    return {
        "plan_id": plan.plan_id,
        "status": status_of(record, now),
        "action": plan.action,
        "what": facts.headline(plan),
        "numbers": len(plan.draft.changes),
        "by": shown(plan.principal),
        "reason": shown(record.reason),
        "level": plan.level,
        "why": shown(plan.why),
        "created_at": plan.created_at,
        "expires_at": plan.expires_at,
    }


@plans_app.command("show")
def show_plan(plan_id: PlanId, as_json: AsJson = False) -> None:
    """Show one plan with all its changes, and what became of it."""

    async def work(app: App) -> tuple[PlanRecord, ChangeResult]:
        return await find(app, plan_id), await result_of(app, plan_id)

    record, result = with_app(work)
    if as_json:
        print_json(result.model_dump(mode="json"))
        return
    plan = record.plan
    console.print(Text(f"{plan.plan_id}  {result.status}", style="bold"))
    console.print(Text(f"{shown(plan.principal)} asked to {facts.headline(plan)}."))
    if record.reason:
        console.print(Text(f"Reason given, in the requester's words: {quoted(record.reason)}"))
    print_changes(record, result)
    for warning in result.warnings:
        console.print(Text(f"Warning: {shown(warning)}", style="yellow"))
    console.print(Text(f"Level {plan.level}: {shown(plan.why)}."))
    console.print(Text(at_terminal(result.message)))


Word = Annotated[
    Literal["applied", "not_applied"] | None,
    typer.Option("--as", help="What you found at the vendor, where reading does not tell."),
]
Numbers = Annotated[
    list[str] | None,
    typer.Option("--number", help="With --as: of this number only; may be given again."),
]


@plans_app.command("settle")
def settle_plan(
    plan_id: PlanId, word: Word = None, number: Numbers = None, as_json: AsJson = False
) -> None:
    """Settle a plan whose answer was lost: by reading it again, or by what you found. Sends nothing."""
    if number and word is None:
        raise InvalidArguments("--number needs --as.", "Say what you found of that number.")
    record, result = with_app(lambda app: _read_again(app, plan_id, word is not None))
    if result.status == "unknown" and word is not None:
        terminal.require(f"cordboard plans settle {plan_id} --as {word}")
        asked = _asked_of(record, number or [])
        with_app(_somebody_enrolled)
        _print_question(record, asked, word)
        approver = terminal.identify()
        said = dict.fromkeys(asked, word)
        record, result = with_app(lambda app: _settled(app, record, said, approver))
    elif word is not None and not as_json:
        console.print(Text(f"--as {word} was not needed, and is not recorded."))
    if as_json:
        print_json(result.model_dump(mode="json"))
    else:
        _print_settled(record, result)
    raise typer.Exit(1 if result.status == "unknown" else 0)


async def _read_again(app: App, plan_id: str, worded: bool) -> tuple[PlanRecord, ChangeResult]:
    """The plan, settled by reading where that is possible; `worded`: a person has more to say."""
    app.service.approvals.writable()
    record = await find(app, plan_id)
    try:
        return await _settled(app, record, {}, None)
    except PlatformError as exc:
        if not worded:
            exc.remedy += " If it stays so, --as tells what you found there yourself."
            raise
        errors.print(Text(f"It cannot be read now. {exc.code}: {exc.what}", style="red"))
        return await find(app, plan_id), await result_of(app, plan_id)


async def _settled(
    app: App, record: PlanRecord, said: dict[str, Said], by: VerifiedApprover | None
) -> tuple[PlanRecord, ChangeResult]:
    settled = await app.engine.settle(record, said, by)
    return settled, await result_of(app, settled.plan_id)


async def _somebody_enrolled(app: App) -> None:
    if not await app.service.approvals.approvers.everyone():
        raise NotAllowed(
            "Nobody is enrolled, and only an approver's word settles what cannot be read.",
            "`cordboard approvers add NAME` enrols the first approver.",
        )


def _open_changes(record: PlanRecord) -> list[Change]:
    changes = record.plan.draft.changes
    return [changes[step.position] for step in record.steps if step.state == "unknown"]


def _asked_of(record: PlanRecord, named: list[str]) -> list[str]:
    """The numbers that a word is for. Raises: InvalidArguments for one that is settled."""
    numbers = [change.number for change in _open_changes(record)]
    strange = [quoted(number) for number in named if number not in numbers]
    if strange:
        raise InvalidArguments(
            f"Not in question: {', '.join(strange)}.", f"In question: {', '.join(numbers)}."
        )
    return [number for number in numbers if number in named] if named else numbers


def _print_question(record: PlanRecord, asked: list[str], word: str) -> None:
    """What the person is about to put their name to."""
    meant = "it is so now" if word == "applied" else "it is not so"
    console.print(Text(f"You found at {record.plan.platform} that {meant} ({word}):"))
    for change in _open_changes(record):
        if change.number in asked:
            console.print(Text(f"  {facts.describe_change(change)}"))
    console.print(Text("It is recorded in your name. Nothing is sent."))


def _print_settled(record: PlanRecord, result: ChangeResult) -> None:
    style = "green" if result.status == "applied" else "red"
    console.print(Text(at_terminal(result.message), style=style))
    print_changes(record, result)
    if result.status == "unknown":
        command = f"cordboard plans settle {record.plan_id} --as"
        console.print(
            Text(
                f"Reading {record.plan.platform} does not tell. See there yourself which agent has each "
                f"number, then run `{command} applied` where it is as the plan says, `{command} "
                "not_applied` where it is not; --number names one number of several."
            )
        )


async def find(app: App, plan_id: str) -> PlanRecord:
    """The plan; the id stands quoted in the refusal. Raises: PlanNotFound."""
    try:
        return await app.service.approvals.find(plan_id)
    except PlanNotFound as exc:
        raise PlanNotFound(
            f"There is no plan {quoted(plan_id)} in this store.", exc.remedy
        ) from None


async def result_of(app: App, plan_id: str) -> ChangeResult:
    """What became of the plan, with every change."""
    return await app.service.changes.get(caller(app), plan_id, most=MOST_NUMBERS)


def caller(app: App) -> Caller:
    """Whoever runs this command: the operating-system user, who has no client to be asked by."""
    return Caller(operator(app.settings.account, app.settings.principal))


def print_changes(record: PlanRecord, result: ChangeResult) -> None:
    """A line for each change the result shows; how many more there are."""
    drafted = (*record.plan.draft.changes, *record.plan.draft.unchanged)
    told = {(c.number, c.direction): c for c in result.changes}
    for change in drafted:
        shape = told.get((change.number, change.direction))
        if shape is not None:
            detail = f" ({shown(shape.detail)})" if shape.detail else ""
            console.print(Text(f"  {shape.outcome}: {facts.describe_change(change)}{detail}"))
    if len(drafted) > len(told):
        more = f"`cordboard plans show {record.plan_id}` lists them all."
        console.print(Text(f"  … and {len(drafted) - len(told):,} more: {more}"))

"""`cordboard attach`: up to 100,000 numbers in one plan, shown as counts, with one approval.

It goes the way of every change: the same planner, guard, policy and journal. Run again it finds the
plan that is open still, or goes on with what is under way, or says that all of it is so already.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer
from rich.text import Text

from cordboard import facts
from cordboard.cli import approvals, terminal
from cordboard.cli.bulk.change_list import ChangeList
from cordboard.cli.bulk.choosing import in_short
from cordboard.cli.bulk.planning import Made, Wanted, found, planned
from cordboard.cli.plans import AsJson
from cordboard.cli.session import Console, at_terminal, console, errors, print_json, with_app
from cordboard.cli.working import working
from cordboard.display import shown
from cordboard.errors import ApprovalRequired, ConfigError, InvalidArguments, NumberRefused
from cordboard.stores.plans import UNDER_WAY, PlanRecord

_FIRST = 10
_NOT_AS_ASKED = ("unknown", "partly_applied", "plan_rejected")

Agent = Annotated[str, typer.Option(help="Who gets the numbers, as local:support.")]
Source = Annotated[
    str,
    typer.Option(
        "--from",
        metavar="FILE",
        help="CSV with a column `number`, or the JSON or TOML of an import; - for standard input.",
    ),
]
Words = Annotated[
    list[str] | None,
    typer.Option(
        "--match",
        metavar="WHAT",
        help="label:PREFIX, tag:TAG, provider:NAME or state:free|attached|any, the state in the "
        "agent's direction; given again, all of them must hold. With --from: of the file's numbers.",
    ),
]
Listed = Annotated[
    str,
    typer.Option(
        "--list",
        metavar="FILE",
        help="Write every change there, or every number that is refused, as CSV; - for standard "
        "output.",
    ),
]
PlanOnly = Annotated[
    bool,
    typer.Option("--plan-only", help="Make the plan, to be approved elsewhere; so does --json."),
]


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.command()(attach)


def attach(
    agent: Agent,
    source: Source = "",
    match: Words = None,
    provider: Annotated[str, typer.Option(help="The carrier all of them must be with.")] = "",
    reason: Annotated[str, typer.Option(help="Shown to whoever approves.")] = "",
    listed: Listed = "",
    plan_only: PlanOnly = False,
    as_json: AsJson = False,
) -> None:
    """Attach many numbers to an agent: one plan, and an approver's passphrase.

    Numbers of another agent are refused, as everywhere: taking them over is a move.
    """
    wanted = Wanted.of(agent, source, match or [], provider, reason)
    target = ChangeList.of(listed, source, apart=plan_only and not as_json)
    if not (plan_only or as_json):
        _somebody_here(source)
    made = _made(wanted, target)
    out = errors if listed == "-" else console
    if as_json:
        print_json(made.as_json())
    elif made.record is None:
        result = made.result
        out.print(Text(f"{result.message} {result.counts.unchanged:,} numbers."))
    elif plan_only:
        _tell(made, made.record, out)
    else:
        _decide(made.record)
    raise typer.Exit(1 if made.result.status in _NOT_AS_ASKED else 0)


def _somebody_here(source: str) -> None:
    """Raises: ApprovalRequired, InvalidArguments where nobody can approve once it is planned."""
    elsewhere = "Add --plan-only: the plan is then approved at a terminal or on the approvals page."
    if source == "-":
        what = "With --from - nobody can answer: standard input is the list of numbers."
        raise InvalidArguments(what, elsewhere)
    try:
        terminal.require("cordboard attach")
    except ApprovalRequired as exc:
        raise ApprovalRequired(exc.what, elsewhere) from None


def _made(wanted: Wanted, target: ChangeList) -> Made:
    """The plan, while a sign of life is shown. Ctrl-C leaves at most a plan that waits."""
    try:
        with working("planning"):
            result, chosen = with_app(partial(planned, wanted))
            # The store is opened anew: of what it wrote a good part would stay in memory.
            made = with_app(partial(found, result, chosen, wanted.asked.agent, target.wanted))
            _list(made, target)
    except (NumberRefused, InvalidArguments) as exc:
        try:
            if exc.problems:
                target.write_refused(exc.problems)
        except ConfigError as failed:  # why the numbers are refused is told all the same
            errors.print(Text(f"--list: {failed.what}", style="red"))
        raise
    except KeyboardInterrupt:
        told = (
            "Nothing was approved. The same command again finds the plan, if it was made already."
        )
        errors.print(Text(f"Stopped. {told}", style="red"))
        raise typer.Exit(130) from None
    for remark in made.remarks:
        errors.print(Text(remark, style="yellow"))
    return made


def _list(made: Made, target: ChangeList) -> None:
    """Raises: InvalidArguments where the list cannot be written."""
    try:
        target.write(made.changes)
    except ConfigError as exc:
        waits = f" Plan {made.record.plan_id} was made and waits." if made.record else ""
        remedy = "Name another file; the same command finds the plan."
        raise InvalidArguments(f"--list: {exc.what}{waits}", remedy) from None


def _tell(made: Made, record: PlanRecord, out: Console) -> None:
    """The counts, the first changes, the warnings, and who can approve it."""
    plan = record.plan
    out.print(Text(f"{plan.plan_id}: {facts.headline(plan)}", style="bold"))
    for line in facts.counted(plan):
        out.print(Text(f"  {line}"))
    if plan.draft.unchanged:
        out.print(Text(f"  already there, left alone: {len(plan.draft.unchanged):,}"))
    for change in plan.draft.changes[:_FIRST]:
        out.print(Text(f"  {facts.describe_change(change, blind=plan.draft.one_way)}"))
    if len(plan.draft.changes) > _FIRST:
        lists = f"`{made.command(f'plans show {plan.plan_id}')}` lists all"
        more = f"… and {len(plan.draft.changes) - _FIRST:,} more"
        out.print(Text(f"  {more}: {lists}, --list FILE writes them."))
    for warning in in_short([shown(told) for told in plan.draft.warnings]):
        out.print(Text(f"  Warning: {warning}", style="yellow"))
    out.print(Text(f"Level {plan.level}: {shown(plan.why)}."))
    if record.state == "open":
        url = made.result.approve.url
        how = f"`{made.command(f'approve {plan.plan_id}')}`{url and f' or {url}'}"
        until = f"approves it, until {plan.expires_at}."
        out.print(Text(f"Nothing has changed yet: {how} {until}"))
    else:
        out.print(Text(at_terminal(made.result.message)))


def _decide(record: PlanRecord) -> None:
    """The approval that every plan needs, or the end of what was approved and begun before."""
    if record.state not in UNDER_WAY:
        approvals.approve(record.plan_id)
        return
    console.print(Text(f"{record.plan_id}: {facts.headline(record.plan)}", style="bold"))
    with approvals.stoppable(record.plan_id), working("going on with it"):
        result = with_app(lambda app: app.service.approvals.ended(record.plan_id))
    approvals.print_outcome(record, result)
    raise typer.Exit(0 if result.status == "applied" else 1)

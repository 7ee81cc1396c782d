"""`cordboard attach`: up to 100,000 numbers in one plan, shown as counts, with one approval.

It goes the way of every change: the same planner, guard, policy and journal. Run again it finds the
plan that is open still, or goes on with what is under way, or says that all of it is so already.
"""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from cordboard import facts
from cordboard.answers import ChangeResult
from cordboard.app import App
from cordboard.cli import approvals, terminal
from cordboard.cli.choosing import Chosen, Match, from_file, in_short, matching
from cordboard.cli.plans import AsJson, caller, print_changes
from cordboard.cli.session import console, errors, print_json, with_app
from cordboard.cli.working import working
from cordboard.display import printable, shown
from cordboard.errors import ApprovalRequired, InvalidArguments, NumberRefused
from cordboard.guard import Question
from cordboard.plan import Change, Plan
from cordboard.request import Asked
from cordboard.stores.plans import UNDER_WAY, PlanRecord

_FIRST = 10
_COLUMNS = ("number", "label", "provider", "purpose", "tags", "before", "after", "outcome")
_LONGEST_REASON = 500
_FORMULA = ("=", "+", "-", "@", "\t")

Agent = Annotated[str, typer.Option(help="Who gets the numbers, as local:support.")]
Source = Annotated[
    str,
    typer.Option(
        "--from", metavar="FILE", help="A file with a column `number`; - for standard input."
    ),
]
Words = Annotated[
    list[str] | None,
    typer.Option(
        "--match",
        metavar="WHAT",
        help="label:PREFIX, tag:TAG, provider:NAME or state:free|attached|any; given again, all "
        "of them must hold.",
    ),
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
    listed: Annotated[
        Path | None,
        typer.Option("--list", metavar="FILE", help="Write every change there, as CSV."),
    ] = None,
    plan_only: Annotated[
        bool, typer.Option("--plan-only", help="Make the plan, to be approved elsewhere.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Attach many numbers to an agent: one plan, one approval.

    Numbers of another agent are refused, as everywhere: taking them over is a move.
    """
    if bool(source) == bool(match):
        raise InvalidArguments(
            "Numbers come from --from FILE or from --match.", "Give one of them."
        )
    if len(reason) > _LONGEST_REASON:
        raise InvalidArguments(f"--reason takes at most {_LONGEST_REASON} characters.")
    plan_only = plan_only or as_json
    if not plan_only:
        _somebody_here(source)
    wanted = Match.of(match or [])
    chosen = from_file(source) if source else None
    asked = Asked("attach", agent, provider=provider)
    made = _made(asked, chosen, wanted, reason)
    if listed is not None and made.record is not None:
        _write(listed, made.record)
    if as_json:
        print_json(made.as_json())
    else:
        made.show(_FIRST if plan_only else 0)
    if made.record is not None and not plan_only:
        _decide(made.record)


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


@dataclass(frozen=True)
class _Made:
    """What asking for it came to. `record`: None where all of it is so already; `command`: what to
    run next, at a terminal."""

    result: ChangeResult
    record: PlanRecord | None
    command: str

    def counts(self) -> dict[str, dict[str, int]]:
        """How many numbers there are of each carrier, and of each purpose."""
        changes = self.record.plan.draft.changes if self.record else ()
        providers = Counter(change.image.provider or "not known" for change in changes)
        purposes = Counter(change.image.purpose or "not known" for change in changes)
        return {"by_provider": dict(providers), "by_purpose": dict(purposes)}

    def as_json(self) -> dict[str, Any]:
        return self.result.model_dump(mode="json") | self.counts()

    def show(self, first: int) -> None:
        """The counts, and the first changes; without those it is what comes before an approval."""
        record, result = self.record, self.result
        if record is None:
            console.print(Text(f"{result.message} {result.counts.unchanged:,} numbers."))
            return
        plan = record.plan
        console.print(Text(f"{plan.plan_id}: {facts.headline(plan)}", style="bold"))
        for name, found in self.counts().items():
            said = ", ".join(f"{count:,} {shown(what)}" for what, count in found.items())
            console.print(Text(f"  {name.replace('_', ' ')}: {said}"))
        if plan.draft.unchanged:
            console.print(Text(f"  already there, left alone: {len(plan.draft.unchanged):,}"))
        if first:
            self._show_first(plan, first)
        console.print(Text(f"Level {plan.level}: {shown(plan.why)}.{_policy_key(plan.why)}"))
        if first and record.state == "open":
            page = f" or {result.approve.url}" if result.approve.url else ""
            how = f"`{self.command}`{page} approves it, until {plan.expires_at}."
            console.print(Text(f"Nothing has changed yet: {how}"))
        elif first:
            console.print(Text(result.message))

    def _show_first(self, plan: Plan, first: int) -> None:
        """The first changes, and the warnings."""
        for change in plan.draft.changes[:first]:
            console.print(Text(f"  {facts.describe_change(change)}"))
        if len(plan.draft.changes) > first:
            more = f"`cordboard plans show {plan.plan_id}` lists all, --list FILE writes them."
            console.print(Text(f"  … and {len(plan.draft.changes) - first:,} more: {more}"))
        for warning in in_short([shown(told) for told in plan.draft.warnings]):
            console.print(Text(f"  Warning: {warning}", style="yellow"))


def _policy_key(why: str) -> str:
    """Which key of the policy a budget is, where one decided the level."""
    for said, key in (
        ("in one plan", "numbers_per_plan"),
        ("in the last hour", "numbers_per_hour"),
    ):
        if said in why:
            return f" The policy's [budgets] {key} says so; `cordboard policy show` shows it."
    return ""


def _made(asked: Asked, chosen: Chosen | None, wanted: Match, reason: str) -> _Made:
    """The plan, while a sign of life is shown. Ctrl-C leaves at most a plan that waits."""
    try:
        with working("planning"):
            result = with_app(partial(_planned, asked, chosen, wanted, reason))
            # The store is opened anew: of what it wrote a good part would stay in memory.
            return with_app(partial(_found, result))
    except KeyboardInterrupt:
        told = "Nothing was changed. The same command again finds the plan, if it was made already."
        errors.print(Text(f"Stopped. {told}", style="red"))
        raise typer.Exit(130) from None


async def _planned(
    asked: Asked, chosen: Chosen | None, wanted: Match, reason: str, app: App
) -> ChangeResult:
    """One plan for all of the numbers, or the one for the same that is there already."""
    changes = app.service.changes
    app.service.approvals.writable()
    chosen = chosen or await matching(app, asked.agent, wanted)
    asked = replace(asked, numbers=chosen.numbers)
    begun = await _begun(app, asked)
    if begun is not None:
        return await changes.get(caller(app), begun.plan_id)
    try:
        result = await changes.change(caller(app), asked, reason)
    except NumberRefused as exc:
        raise chosen.refused(exc) from None
    if isinstance(result, Question):
        raise TypeError("a caller who cannot be asked was asked")
    return result


async def _found(result: ChangeResult, app: App) -> _Made:
    if not result.plan_id:
        return _Made(result, None, "")
    approvals = app.service.approvals
    record = await approvals.find(result.plan_id)
    return _Made(result, record, approvals.command(f"approve {result.plan_id}"))


async def _begun(app: App, asked: Asked) -> PlanRecord | None:
    """The plan for the same that is under way at a platform: it holds its numbers, so that no other
    could be made, and goes on by itself."""
    for record in await app.service.approvals.under_way():
        plan = record.plan.asked
        same = (plan.action, plan.agent, plan.provider) == ("attach", asked.agent, asked.provider)
        if same and set(plan.numbers) == set(asked.numbers):
            return record
    return None


def _decide(record: PlanRecord) -> None:
    """The approval that every plan needs, or the end of what was approved and begun before."""
    if record.state not in UNDER_WAY:
        approvals.approve(record.plan_id)
        return
    with working("going on with it"):
        result = with_app(lambda app: app.service.approvals.ended(record.plan_id))
    console.print(Text(result.message, style="green" if result.status == "applied" else "red"))
    print_changes(record, result)
    raise typer.Exit(0 if result.status == "applied" else 1)


def _write(path: Path, record: PlanRecord) -> None:
    """Every change of the plan as a row. Raises: InvalidArguments where it cannot be written."""
    draft = record.plan.draft
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            table = csv.writer(file)
            table.writerow(_COLUMNS)
            table.writerows(map(_row, (*draft.changes, *draft.unchanged)))
    except OSError as exc:
        what = (
            f"--list {path.name}: {exc.strerror or exc}. Plan {record.plan_id} was made and waits."
        )
        raise InvalidArguments(
            what, "Name another file; the same command finds the plan."
        ) from None


def _row(change: Change) -> tuple[str, ...]:
    image = change.image
    return (
        change.number,
        _cell(printable(image.label)),
        image.provider,
        image.purpose,
        _cell(";".join(image.tags)),
        facts.describe_side(change.before),
        facts.describe_side(change.after),
        change.outcome,
    )


def _cell(text: str) -> str:
    """A text of others', which a spreadsheet that opens the file must not take for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text

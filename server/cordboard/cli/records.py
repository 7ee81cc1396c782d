"""What was done and what is allowed: `journal show|verify|export`, `policy show`."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer
from rich.text import Text

from cordboard import journal
from cordboard.app import App
from cordboard.cli.plans import AsJson
from cordboard.cli.session import console, errors, print_json, with_app, written
from cordboard.config import load
from cordboard.display import quoted, shown
from cordboard.errors import ConfigError, StoreUnavailable
from cordboard.journal import Head
from cordboard.policy import Policy, Rule
from cordboard.stores import Row, Transaction

_PAGE = 500
_END = 1 << 62
_LINE = ("seq", "at", "event", "plan_id", "principal", "plan_hash", "data", "prev", "hash")

journal_app = typer.Typer(help="The record of everything that happened.", no_args_is_help=True)
policy_app = typer.Typer(help="Which changes need whom.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.add_typer(journal_app, name="journal")
    app.add_typer(policy_app, name="policy")


@journal_app.command("show")
def show_journal(
    plan: Annotated[str, typer.Option(metavar="PLAN", help="Of this plan only.")] = "",
    number_of_rows: Annotated[int, typer.Option("--number-of-rows", "-n", min=1)] = 20,
    as_json: AsJson = False,
) -> None:
    """Show the newest events, newest first."""

    async def work(app: App) -> list[Row]:
        account = app.settings.account
        return await app.store.read(lambda tx: _newest(tx, account, plan, number_of_rows))

    rows = with_app(work)
    if as_json:
        print_json({"events": [_line(row) | {"data": _data(row)} for row in rows]})
        return
    for row in rows:
        console.print(Text(_told(row)))
    if not rows:
        console.print("The journal has no such plan." if plan else "The journal is empty.")


def _newest(tx: Transaction, account: str, plan: str, most: int) -> list[Row]:
    found: list[Row] = []
    before = _END
    while page := tx.all("journal_newest", account=account, before=before, limit=_PAGE):
        found += [row for row in page if not plan or row["plan_id"] == plan]
        if len(found) >= most:
            break
        before = page[-1]["seq"]
    return found[:most]


def _line(row: Row) -> dict[str, Any]:
    return {name: row[name] for name in ("account", *_LINE)}


def _data(row: Row) -> Any:
    """What the event carries; of a row somebody has edited, the text as it stands."""
    try:
        return json.loads(row["data"])
    except (ValueError, TypeError, RecursionError):
        return str(row["data"])


def _told(row: Row) -> str:
    said = [
        f"{row['seq']:>6}  {row['at']}  {shown(str(row['event']))} by {shown(row['principal'])}"
    ]
    if row["plan_id"]:
        said.append(shown(str(row["plan_id"])))
    data = _data(row)
    if isinstance(data, dict):
        changes = data.get("changes")
        if isinstance(changes, list):
            said.append("1 number" if len(changes) == 1 else f"{len(changes)} numbers")
        plain = {k: v for k, v in data.items() if isinstance(v, str | int) and v != ""}
        said += [f"{shown(name)} {quoted(str(value))}" for name, value in plain.items()]
    return ", ".join(said)


@journal_app.command("verify")
def verify_journal(
    head: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A head exported earlier, kept elsewhere.")
    ] = None,
) -> None:
    """Check the whole chain: every edit, gap and reorder is found.

    A cut tail, or a chain rewritten whole, only against an exported head.
    """

    async def work(app: App) -> journal.Report:
        account = app.settings.account
        known = _read_head(head, account) if head else None
        there(app)
        return await journal.verify_in_pages(app.store, account, known)

    report = with_app(work)
    if report.fault:
        errors.print(Text(f"The journal is not as it was written: {report.fault}.", style="red"))
        errors.print(Text(f"Good before that: {_rows(report.checked)}."))
        raise typer.Exit(1)
    against = f", and the exported head {head} lies on it" if head else ""
    console.print(Text(f"Verified: {_rows(report.checked)}{shown(against)}."))
    if not head:
        console.print(
            "A cut tail shows only against a head kept elsewhere: `cordboard journal export --head`."
        )


def there(app: App) -> None:
    """Raises: StoreUnavailable where there is no store: a mistyped path must not verify.

    A database that is not there, or has no tables, is refused when it is read: nothing makes one.
    """
    if not app.settings.postgres and not app.settings.database.exists():
        raise StoreUnavailable(
            f"There is no store at {app.settings.database}.", "Check CORDBOARD_DATABASE."
        )


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count} rows"


def _read_head(file: Path, account: str) -> Head:
    name = f"Head file {shown(file.name)}"
    try:
        found = json.loads(file.read_text("utf-8-sig"))
    except OSError as exc:
        raise ConfigError(f"{name}: {exc.strerror or exc}.", "Check the path.") from None
    except (ValueError, RecursionError):
        raise ConfigError(f"{name}: it is not JSON.", "Give what `export --head` wrote.") from None
    fields = {"account": str, "seq": int, "hash": str}
    if not isinstance(found, dict) or any(
        type(found.get(key)) is not kind for key, kind in fields.items()
    ):
        raise ConfigError(
            f"{name}: it is no head.", 'Give what `export --head` wrote: "account", "seq", "hash".'
        )
    if found["account"] != account:
        raise ConfigError(f"{name}: it is of account {quoted(found['account'])}, not of this one.")
    return Head(found["account"], found["seq"], found["hash"])


@journal_app.command("export")
def export_journal(
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="Standard output if left out.")
    ] = None,
    head: Annotated[bool, typer.Option("--head", help="Only the end of the chain.")] = False,
) -> None:
    """Write the journal as JSON lines, or its head as one JSON object."""

    async def work(app: App) -> None:
        account = app.settings.account
        end = await app.store.read(lambda tx: journal.head(tx, account))
        with written(file) as out:
            if head:
                _write(out, {"account": end.account, "seq": end.seq, "hash": end.hash})
                return
            after = 0
            while after < end.seq and (
                page := await app.store.read(partial(journal.page, account=account, after=after))
            ):
                for row in page:
                    _write(out, _line(row))
                after = page[-1]["seq"]

    with_app(work)


def _shown_rule(rule: Rule) -> dict[str, Any]:
    """A rule as a program reads it: the level, and the conditions it has."""
    return {name: value for name, value in asdict(rule).items() if value}


def _write(out: TextIO, item: dict[str, Any]) -> None:
    out.write(json.dumps(item, ensure_ascii=False, default=str) + "\n")


@policy_app.command("show")
def show_policy(as_json: AsJson = False) -> None:
    """Show the policy of this process: rules, budgets, and its hash."""
    policy = load().policy
    budgets = policy.budgets
    if as_json:
        print_json(
            {
                "name": shown(policy.name),
                "hash": policy.digest,
                "rules": [_shown_rule(r) for r in policy.rules],
                "budgets": asdict(budgets),
                "four_eyes": policy.four_eyes,
            }
        )
        return
    console.print(Text(f"Policy {shown(policy.name)}", style="bold"))
    console.print(Text(f"hash {policy.digest}"))
    for line in _in_words(policy):
        console.print(Text(f"- {line}"))


def _in_words(policy: Policy) -> list[str]:
    budgets = policy.budgets
    said = [f"{_rule(rule)}: {_LEVELS[rule.level]}" for rule in policy.rules]
    said.append(f"one agent would serve TEST and PRODUCTION at once: {_LEVELS['client']}")
    for most, what in (
        (budgets.numbers_per_plan, "in one plan"),
        (budgets.numbers_per_hour, "in one hour by one principal"),
    ):
        if most:
            said.append(f"more than {most} numbers {what}: {_LEVELS['person']}")
    said.append(f"anything else: {_LEVELS['plan']}")
    said.append("the strictest of these that applies is required; nothing weaker ever passes")
    if policy.four_eyes:
        said.append("four eyes: whoever asked for a change may not approve it")
    return said


_LEVELS = {
    "plan": "plan (apply_plan, nobody is asked)",
    "client": "client (a person, through their MCP client; person where it cannot ask)",
    "person": "person (an enrolled approver with their passphrase)",
    "frozen": "frozen (nobody)",
}


def _rule(rule: Rule) -> str:
    """When a rule applies, in words."""
    conditions = (
        ("action", rule.action),
        ("purpose", rule.purpose),
        ("tag", rule.tag),
        ("carrier", rule.provider),
        ("numbers that begin with", rule.number_prefix),
        ("platform", rule.platform),
    )
    said = [f"{what} {' or '.join(map(shown, words))}" for what, words in conditions if words]
    if "PRODUCTION" in rule.purpose:
        said.append("purpose unknown counts as PRODUCTION")
    if rule.size:
        said.append(f"{rule.size} numbers or more")
    return ", ".join(said) or "every change"

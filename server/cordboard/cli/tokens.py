"""`cordboard tokens`: what programs sign in with over HTTP where there is no authorization server.

A new token stands on standard output alone, once; whatever else there is to say goes to standard
error, so that `TOKEN=$(cordboard tokens create …)` takes the token and nothing else.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

import typer
from rich.text import Text

from cordboard.app import App
from cordboard.approvers import VerifiedApprover
from cordboard.cli import terminal
from cordboard.cli.session import console, errors, print_json, standard_output, with_app
from cordboard.clock import stamp
from cordboard.display import printable, shown
from cordboard.identity import SCOPES
from cordboard.tokens import DAYS, LONGEST_DAYS, Token, Tokens

tokens_app = typer.Typer(help="Static tokens for clients over HTTP.")

Account = Annotated[
    str, typer.Option("--account", help="Whose numbers it is for; this process's own if left out.")
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document, for a program.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="letters, digits and . - _ @")]


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.add_typer(tokens_app, name="tokens")


@tokens_app.callback(invoke_without_command=True)
def tokens(context: typer.Context, account: Account = "", as_json: AsJson = False) -> None:
    """List the tokens there are and were, without their secrets."""
    if context.invoked_subcommand is not None:
        return

    async def work(app: App) -> list[dict[str, Any]]:
        whose, now = _account(app, account), stamp(app.clock())
        everyone = await _tokens(app).everyone(whose)
        return [_as_row(whose, token) | {"state": token.state(now)} for token in everyone]

    rows = with_app(work)
    if as_json:
        print_json({"tokens": rows})
        return
    for row in rows:
        style = "bold" if row["state"] == "live" else ""
        console.print(Text(f"{row['name']}  {_lasting(row)}", style=style))
        made = f"created {row['created_at']} by {shown(row['created_by'])}"
        stands_for = f"for {printable(row['subject'])}: {' '.join(row['scopes'])}"
        console.print(Text(f"    {stands_for}; {made}, id {row['token_id']}"))
    if not rows:
        console.print("There is no token: `cordboard tokens create NAME --scope SCOPE` makes one.")


@tokens_app.command("create")
def create_token(
    name: Name,
    scope: Annotated[
        list[str] | None,
        typer.Option("--scope", metavar="SCOPE", help=f"May be given again: {', '.join(SCOPES)}."),
    ] = None,
    subject: Annotated[
        str, typer.Option("--subject", help="The person it stands for; NAME if left out.")
    ] = "",
    account: Account = "",
    expires_days: Annotated[
        int, typer.Option("--expires-days", help=f"1 to {LONGEST_DAYS}; 0: never.")
    ] = DAYS,
    as_json: AsJson = False,
) -> None:
    """Make a token, and show it this once. With a scope that approves it needs an approver."""
    out = standard_output()
    wanted: dict[str, Any] = {
        "scopes": scope or (),
        "subject": subject or name,
        "days": expires_days,
    }

    async def before(app: App) -> bool:
        app.service.approvals.writable()
        return await _tokens(app).needs_approver(_account(app, account), name, **wanted)

    approver = None
    if with_app(before):
        terminal.require(f"cordboard tokens create {name}")
        console.print(Text("A token with such a scope can approve: an approver must agree."))
        approver = terminal.identify(account)
    token, row = with_app(partial(_create, account, name, wanted, approver))
    if as_json:
        print_json({"token": token} | row)
        return
    lasting = _lasting(row | {"state": "live"})
    told = f"{name}, {lasting}, for {printable(row['subject'])} in account {row['account']}"
    errors.print(Text(f"Token {told}: {' '.join(row['scopes'])}."))
    errors.print(Text("It is shown this once; only its hash is kept."))
    out.write(token + "\n")


async def _create(
    account: str, name: str, wanted: dict[str, Any], approver: VerifiedApprover | None, app: App
) -> tuple[str, dict[str, Any]]:
    whose, tokens = _account(app, account), _tokens(app)
    by = app.settings.principal
    text = await tokens.create(whose, name, **wanted, by=by, approver=approver)
    [new] = [
        t for t in await tokens.everyone(whose) if t.name == name and f".{t.token_id}." in text
    ]
    return text, _as_row(whose, new)


@tokens_app.command("revoke")
def revoke_token(name: Name, account: Account = "") -> None:
    """Let a token count no more, at once and in every process."""

    async def work(app: App) -> None:
        app.service.approvals.writable()
        await _tokens(app).revoke(_account(app, account), name, app.settings.principal)

    with_app(work)
    console.print(Text(f"The token {shown(name)} counts no more."))


def _tokens(app: App) -> Tokens:
    return Tokens(app.store, app.clock)


def _account(app: App, account: str) -> str:
    return account or app.settings.account


def _as_row(account: str, token: Token) -> dict[str, Any]:
    return {
        "account": account,
        "token_id": token.token_id,
        "name": token.name,
        "subject": token.subject,
        "scopes": list(token.scopes),
        "created_at": token.created_at,
        "created_by": token.created_by,
        "expires_at": token.expires_at,
        "revoked_at": token.revoked_at,
    }


def _lasting(row: dict[str, Any]) -> str:
    match row["state"]:
        case "revoked":
            return f"revoked at {row['revoked_at']}"
        case "expired":
            return f"expired at {row['expires_at']}"
        case _:
            return f"valid until {row['expires_at']}" if row["expires_at"] else "never expires"

"""Asking a person at a terminal: names, and passphrases that are not shown.

A passphrase is read from the terminal itself, never from an argument, the environment or a pipe.
Questions are asked outside the event loop: inside it, Ctrl-C would not end a question that waits.
"""

from __future__ import annotations

import getpass
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

import typer
from rich.text import Text

from cordboard.app import App
from cordboard.approvers import SHORTEST_PASSPHRASE, VerifiedApprover, check_name
from cordboard.cli.session import console, errors, with_app
from cordboard.errors import ApprovalRequired, InvalidArguments, NotAllowed

TRIES = 3


def require(command: str) -> None:
    """Raises: ApprovalRequired where no person sits at a terminal."""
    if not (_is_terminal(sys.stdin) and _is_terminal(sys.stdout) and _controls_terminal()):
        raise ApprovalRequired(
            "Only a person at a terminal can do this, and here is none.",
            f"Run `{command}` in a terminal window yourself, without a pipe.",
        )


def identify(account: str = "") -> VerifiedApprover:
    """An enrolled approver who gave their passphrase just now; of this process's own account, or
    of another. Three tries. Raises: NotAllowed."""
    for _ in range(TRIES - 1):
        try:
            return _verified(account)
        except NotAllowed as exc:
            if exc.retry_after:
                raise
            errors.print(Text(f"{exc.code}: {exc.what} {exc.remedy}", style="red"))
    return _verified(account)


def enrol(
    name: str = "", by: VerifiedApprover | None = None, subjects: Sequence[str] = ()
) -> VerifiedApprover:
    """Enrol an approver with a passphrase of their own; asks for the name where none is given.

    `subjects`: what they sign in as over HTTP.

    Raises: InvalidArguments, NotAllowed.
    """
    name = name or _line("Approver name: ")
    check_name(name)
    passphrase = _new_passphrase()

    async def work(app: App) -> VerifiedApprover:
        approvers = app.service.approvals.approvers
        return await approvers.enrol(name, passphrase, app.settings.principal, by, subjects)

    approver = with_app(work)
    console.print(Text(f"{approver.name} is enrolled as an approver.", style="green"))
    return approver


def _verified(account: str) -> VerifiedApprover:
    name, passphrase = _line("Approver name: "), _secret("Passphrase: ")

    async def work(app: App) -> VerifiedApprover:
        approvals = app.service_of(account or app.settings.account).approvals
        return await approvals.approvers.verify(name, passphrase)

    return with_app(work)


def _new_passphrase() -> str:
    for _ in range(TRIES):
        chosen = _secret("New passphrase: ")
        if len(chosen) < SHORTEST_PASSPHRASE:
            wrong = f"A passphrase has at least {SHORTEST_PASSPHRASE} characters."
        elif _secret("Repeat passphrase: ") == chosen:
            return chosen
        else:
            wrong = "The two are not the same."
        errors.print(Text(wrong, style="red"))
    raise InvalidArguments("No passphrase was chosen.", "Run the command again.")


def _line(prompt: str) -> str:
    """One line that is not empty; without one the command ends."""
    with _answering():
        return _given(input(prompt).strip())


def _secret(prompt: str) -> str:
    """A passphrase from the terminal, not shown; without one the command ends."""
    with _answering(), warnings.catch_warnings():
        warnings.simplefilter("error", getpass.GetPassWarning)
        try:
            return _given(getpass.getpass(prompt))
        except getpass.GetPassWarning:
            raise ApprovalRequired("This terminal would show the passphrase.") from None


def _given(text: str) -> str:
    if not text:
        raise EOFError
    text.encode()  # half a character comes as a surrogate, which no hash takes
    return text


@contextmanager
def _answering() -> Iterator[None]:
    """What ends a question unanswered ends the command: 1, or 130 for Ctrl-C."""
    try:
        yield
    except EOFError:
        errors.print(Text("No answer. Nothing was changed.", style="red"))
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        errors.print(Text("\nStopped. Nothing was changed.", style="red"))
        raise typer.Exit(130) from None
    except UnicodeError:
        raise InvalidArguments("That is not text in this terminal's encoding.") from None


def _is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # closed
        return False


def _controls_terminal() -> bool:
    """Whether this process has a terminal of its own, whatever its streams are."""
    if sys.platform == "win32":
        return True  # there a passphrase is read from the console in any case
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True

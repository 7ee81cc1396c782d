"""Who calls, for which account, and with which rights. A leaf: everybody may know it."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Literal, get_args

from cordboard.errors import InvalidArguments, NotAllowed

Scope = Literal["numbers:read", "numbers:write", "changes:approve", "routes:read", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
_ACCOUNT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", re.ASCII)
_LONGEST_SUBJECT = 200


@dataclass(frozen=True, slots=True)
class Identity:
    """A caller whose credential was checked just now.

    `principal` is the person, whichever of their programs calls: on stdio the operating-system
    user, over HTTP the token's subject. `client` is the program: the token's name or the OAuth
    client. No scope implies another.
    """

    account: str
    principal: str
    scopes: frozenset[str]
    client: str = ""

    def may(self, *any_of: Scope) -> bool:
        """Whether one of these scopes is there."""
        return not self.scopes.isdisjoint(any_of)

    def require(self, *any_of: Scope) -> None:
        """Raises: NotAllowed naming the scope that is missing."""
        if not self.may(*any_of):
            raise NotAllowed(
                f"This needs the scope {' or '.join(any_of)}, which the token does not have.",
                "Ask the operator for a token that has it.",
                scopes=any_of,
            )


def person_key(name: str) -> str:
    """Under which two spellings of a name are one person's."""
    return unicodedata.normalize("NFKC", name).casefold().strip()


def operator(account: str, principal: str) -> Identity:
    """Somebody at this machine, as the operating-system user of this process: every right."""
    return Identity(account, principal, frozenset(SCOPES))


def check_account(account: str) -> None:
    """Raises: InvalidArguments for what cannot name an account."""
    if not _ACCOUNT.fullmatch(account):
        raise InvalidArguments(
            "An account's name is 1 to 64 letters, digits, hyphens or underscores."
        )


def check_subject(subject: str) -> None:
    """Raises: InvalidArguments for what cannot name a person."""
    if (
        not subject.isprintable()
        or subject != subject.strip()
        or not 0 < len(subject) <= _LONGEST_SUBJECT
    ):
        raise InvalidArguments(
            f"A subject is 1 to {_LONGEST_SUBJECT} printable characters, with no space at its ends."
        )

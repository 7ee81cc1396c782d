"""Static bearer tokens, for who has no authorization server: shown once, kept as a hash.

`cb.ACCOUNT.TOKEN_ID.SECRET`: the first three say where to look, the last one proves it. What is
remembered of a token counts no longer than the store's `recall` tells it: revoked by any process, it
counts no more from the next request on, or once the bound of a store with one has passed.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from cordboard import journal
from cordboard.approvers import VerifiedApprover
from cordboard.clock import Clock, later, stamp
from cordboard.display import quoted
from cordboard.errors import InvalidArguments, NotAllowed
from cordboard.identity import SCOPES, Identity, check_account, check_subject
from cordboard.journal import Event
from cordboard.stores import Row, Store, Transaction

PREFIX = "cb."
DAYS = 90
"""How long a token counts unless it is said otherwise."""
LONGEST_DAYS = 3650
APPROVING = ("changes:approve", "admin")
"""Scopes that are as good as an approver's passphrase, or better."""

_TEXT = re.compile(
    r"cb\.([A-Za-z0-9][A-Za-z0-9_-]{0,63})\.([0-9a-f]{24})\.([A-Za-z0-9_-]{43})", re.ASCII
)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}", re.ASCII)
_Known = tuple[Identity, datetime | None]
"""Whom a token stands for, and until when."""


@dataclass(frozen=True, slots=True)
class Token:
    """What is known of a token: everything but its secret. `expires_at`: "" for never."""

    token_id: str
    name: str
    subject: str
    scopes: tuple[str, ...]
    created_at: str
    created_by: str
    expires_at: str
    revoked_at: str

    def state(self, now: str) -> Literal["live", "expired", "revoked"]:
        """Whether it counts at this moment."""
        if self.revoked_at:
            return "revoked"
        return "expired" if self.expires_at and self.expires_at <= now else "live"


class Tokens:
    """The static tokens of all accounts. A `Verifier`."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock

    async def verify(self, token: str) -> Identity | None:
        """Whom the text of a token stands for; None where it is none, expired or revoked.

        Raises: StoreUnavailable.
        """
        parts = _TEXT.fullmatch(token)
        if parts is None:
            return None
        account, token_id, secret = parts.groups()

        def look(tx: Transaction) -> _Known | None:
            row = tx.one("token_get", account=account, token_id=token_id)
            if row is None or row["revoked_at"]:
                return None
            if not hmac.compare_digest(row["hash"], _hash(secret)):
                return None
            scopes = frozenset(SCOPES).intersection(json.loads(row["scopes"]))
            until = row["expires_at"] and datetime.fromisoformat(row["expires_at"])
            return Identity(account, row["subject"], scopes, row["name"]), until or None

        return self._alive(await self._store.recall(_key(token), look))

    def kept(self, token: str, moment: bytes) -> Identity | None:
        """As `verify`, where the store need not be asked; None where it must be, too."""
        return self._alive(self._store.kept(_key(token), moment))

    def _alive(self, found: _Known | None) -> Identity | None:
        if found is None:
            return None
        identity, until = found
        return identity if until is None or self._clock() < until else None

    async def create(
        self,
        account: str,
        name: str,
        *,
        scopes: Sequence[str],
        subject: str,
        by: str,
        days: int = DAYS,
        approver: VerifiedApprover | None = None,
    ) -> str:
        """The text of a new token, which nobody can tell again. `days`: 0 for one that never expires.

        `approver`: where approvers are enrolled, one of them must agree to a token that may approve.
        Raises: InvalidArguments naming what is wrong; NotAllowed.
        """
        kept = _checked(account, name, scopes, subject, days)
        now = self._clock()
        token_id, secret = secrets.token_hex(12), secrets.token_urlsafe(32)
        row = {
            "account": account,
            "token_id": token_id,
            "name": name,
            "hash": _hash(secret),
            "subject": subject,
            "scopes": json.dumps(kept),
            "at": stamp(now),
            "by": approver.name if approver else by,
            "expires_at": later(now, days * 86400) if days else "",
        }

        def work(tx: Transaction) -> None:
            if _needs_approver(tx, account, kept):
                _agreed(tx, account, approver)
            _free(tx, account, name, row["at"])
            tx.send("token_add", **row)
            told = {key: row[key] for key in ("token_id", "name", "subject", "expires_at")}
            added = Event("token_added", str(row["by"]), data=told | {"scopes": kept})
            journal.append(tx, account, str(row["at"]), added)

        await self._store.write(work)
        return f"{PREFIX}{account}.{token_id}.{secret}"

    async def needs_approver(
        self, account: str, name: str, *, scopes: Sequence[str], subject: str, days: int = DAYS
    ) -> bool:
        """Whether `create` with these asks for an approver; refuses what it would refuse anyway.

        Raises: InvalidArguments.
        """
        kept = _checked(account, name, scopes, subject, days)
        now = stamp(self._clock())

        def work(tx: Transaction) -> bool:
            _free(tx, account, name, now)
            return _needs_approver(tx, account, kept)

        return await self._store.read(work)

    async def revoke(self, account: str, name: str, by: str) -> None:
        """Let the token of that name count no more, in every process (see above for how soon).

        Raises: InvalidArguments where no such token is left.
        """
        check_account(account)
        now = stamp(self._clock())

        def work(tx: Transaction) -> None:
            if not tx.run("token_revoke", account=account, name=name, at=now):
                raise InvalidArguments(
                    f"There is no token named {quoted(name)} that is not revoked already.",
                    "`cordboard tokens` lists them.",
                )
            journal.append(tx, account, now, Event("token_revoked", by, data={"name": name}))

        await self._store.write(work)

    async def everyone(self, account: str) -> list[Token]:
        """Every token of an account there ever was, by name, the oldest first."""
        check_account(account)
        rows = await self._store.read(lambda tx: tx.all("tokens", account=account))
        return [_token(row) for row in rows]


def _checked(account: str, name: str, scopes: Sequence[str], subject: str, days: int) -> list[str]:
    """The scopes, each once, in the order of `SCOPES`. Raises: InvalidArguments for any of these."""
    check_account(account)
    if not _NAME.fullmatch(name):
        raise InvalidArguments(
            "A token's name is 1 to 64 letters, digits, dots, hyphens, underscores or @."
        )
    check_subject(subject)
    if not 0 <= days <= LONGEST_DAYS:
        raise InvalidArguments(
            f"A token counts for 1 to {LONGEST_DAYS} days, or 0 for one that never expires."
        )
    allowed = f"Scopes are {', '.join(SCOPES)}; none implies another."
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown:
        raise InvalidArguments(f"There is no scope {quoted(unknown[0])}.", allowed)
    if not scopes:
        raise InvalidArguments("A token without a scope may do nothing.", allowed)
    return [scope for scope in SCOPES if scope in scopes]


def _free(tx: Transaction, account: str, name: str, now: str) -> None:
    if tx.one("token_live", account=account, name=name, now=now) is not None:
        raise InvalidArguments(
            f"A token named {name} is there already.",
            f"Choose another name, or revoke it: `cordboard tokens revoke {name}`.",
        )


def _needs_approver(tx: Transaction, account: str, scopes: Sequence[str]) -> bool:
    strong = any(scope in APPROVING for scope in scopes)
    return strong and bool(tx.all("approvers", account=account))


def _agreed(tx: Transaction, account: str, approver: VerifiedApprover | None) -> None:
    enrolled = (
        approver is not None
        and approver.account == account
        and tx.one("approver_get", account=account, name=approver.name) is not None
    )
    if not enrolled:
        raise NotAllowed(
            f"A token with {' or '.join(APPROVING)} is as good as an approver, and somebody is "
            "enrolled already: one of them must agree with their passphrase.",
            "Run `cordboard tokens create` at a terminal.",
        )


def _key(token: str) -> tuple[str, bytes]:
    """What a token is remembered under: its text stays nowhere."""
    return "token", hashlib.sha256(token.encode()).digest()


def _hash(secret: str) -> str:
    # No salt and no slow hash: 256 random bits cannot be guessed, and every request is checked.
    return hashlib.sha256(secret.encode()).hexdigest()


def _token(row: Row) -> Token:
    told = ("token_id", "name", "subject", "created_at", "created_by", "expires_at", "revoked_at")
    return Token(**{name: row[name] for name in told}, scopes=tuple(json.loads(row["scopes"])))

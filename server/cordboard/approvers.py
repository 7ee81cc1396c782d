"""Enrolled approvers: people with a passphrase of their own, asked at every approval.

A passphrase is kept as an Argon2id hash (argon2-cffi, RFC 9106 defaults). Five wrong ones in a
row lock a name for fifteen minutes: a program at the terminal may guess, slowly.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cordboard import journal
from cordboard.clock import Clock, later, stamp
from cordboard.errors import InvalidArguments, NotAllowed
from cordboard.journal import Event
from cordboard.stores import Store, Transaction

if TYPE_CHECKING:
    from argon2 import PasswordHasher

_SEAL = object()
SHORTEST_PASSPHRASE = 8
_TRIES = 5
_LOCKED_SECONDS = 900
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Approver:
    """Who may approve. `principal` is the operating-system user at whose terminal they enrolled."""

    name: str
    principal: str
    added_at: str
    added_by: str


class VerifiedApprover:
    """An approver who gave their passphrase just now. Only `Approvers` makes one."""

    __slots__ = ("name", "principal")

    def __init__(self, approver: Approver, *, seal: object) -> None:
        if seal is not _SEAL:
            raise TypeError("only a verified passphrase makes a VerifiedApprover")
        self.name, self.principal = approver.name, approver.principal


def check_name(name: str) -> None:
    """Raises: InvalidArguments for what cannot be an approver's name."""
    if not _NAME.fullmatch(name):
        raise InvalidArguments(
            "An approver's name is 1 to 64 letters, digits, dots, hyphens, underscores or @."
        )


class Approvers:
    """The approvers of one account."""

    def __init__(self, store: Store, account: str, clock: Clock) -> None:
        self._store, self._account, self._clock = store, account, clock

    async def everyone(self) -> list[Approver]:
        """All approvers by name."""

        def work(tx: Transaction) -> list[Approver]:
            rows = tx.all("approvers", account=self._account)
            return [Approver(r["name"], r["principal"], r["added_at"], r["added_by"]) for r in rows]

        return await self._store.read(work)

    async def enrol(
        self, name: str, passphrase: str, principal: str, by: VerifiedApprover | None
    ) -> VerifiedApprover:
        """Enrol an approver. The first enrols alone; every other needs `by`, one already enrolled.

        Raises: InvalidArguments for a bad name or a short passphrase; NotAllowed.
        """
        check_name(name)
        if len(passphrase) < SHORTEST_PASSPHRASE:
            raise InvalidArguments(f"A passphrase has at least {SHORTEST_PASSPHRASE} characters.")
        hashed = _hasher().hash(passphrase)

        def work(tx: Transaction) -> VerifiedApprover:
            now = stamp(self._clock())
            if by is None and tx.all("approvers", account=self._account):
                raise NotAllowed(
                    "Somebody is enrolled already; a further approver needs their passphrase."
                )
            if tx.one("approver_get", account=self._account, name=name) is not None:
                raise InvalidArguments(f"An approver named {name} is enrolled already.")
            added_by = by.name if by else principal
            tx.run(
                "approver_add",
                account=self._account,
                name=name,
                principal=principal,
                passphrase=hashed,
                at=now,
                by=added_by,
            )
            journal.append(
                tx, self._account, now, Event("approver_added", added_by, data={"name": name})
            )
            new = Approver(name, principal, now, added_by)
            return VerifiedApprover(new, seal=_SEAL)

        return await self._store.write(work)

    async def remove(self, name: str, by: VerifiedApprover) -> None:
        """Remove an approver; `by` is one who gave their passphrase just now."""

        def work(tx: Transaction) -> None:
            if not tx.run("approver_remove", account=self._account, name=name):
                raise InvalidArguments(f"No approver is named {name}.")
            now = stamp(self._clock())
            journal.append(
                tx, self._account, now, Event("approver_removed", by.name, data={"name": name})
            )

        await self._store.write(work)

    async def verify(self, name: str, passphrase: str) -> VerifiedApprover:
        """The approver of that name, if the passphrase is theirs.

        Raises: NotAllowed for a wrong name or passphrase (which of the two is not told), or
        while the name is locked.
        """
        # The try is counted before it is known to be wrong: many at once do not slip past the lock.
        found = await self._store.write(lambda tx: self._count_try(tx, name))
        right = _matches(found[1] if found else _decoy(), passphrase)
        if not found or not right:
            raise NotAllowed("Unknown name or wrong passphrase.", "Try again.")

        def work(tx: Transaction) -> None:
            tx.run("approver_failed", account=self._account, name=name, failures=0, at="")

        await self._store.write(work)
        return VerifiedApprover(found[0], seal=_SEAL)

    def _count_try(self, tx: Transaction, name: str) -> tuple[Approver, str] | None:
        row = tx.one("approver_get", account=self._account, name=name)
        if row is None:
            return None
        now, failures = self._clock(), row["failures"]
        if failures >= _TRIES and row["failed_at"] > later(now, -_LOCKED_SECONDS):
            raise NotAllowed(f"Too many wrong passphrases for {name}.", "Wait 15 minutes.")
        at = stamp(now)
        tx.run("approver_failed", account=self._account, name=name, failures=failures + 1, at=at)
        tried = Event("passphrase_tried", name, data={"in_a_row": failures + 1})
        journal.append(tx, self._account, at, tried)
        known = Approver(row["name"], row["principal"], row["added_at"], row["added_by"])
        return known, row["passphrase"]


def _hasher() -> PasswordHasher:
    from argon2 import PasswordHasher  # not at import: servers never need it

    return PasswordHasher()


def _decoy() -> str:
    """A hash nobody has the passphrase of: an unknown name takes as long as a known one."""
    import secrets

    return str(_hasher().hash(secrets.token_hex(16)))


def _matches(hashed: str, passphrase: str) -> bool:
    from argon2.exceptions import VerificationError

    try:
        return bool(_hasher().verify(hashed, passphrase))
    except VerificationError:
        return False

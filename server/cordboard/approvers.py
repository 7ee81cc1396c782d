"""Enrolled approvers: people with a passphrase of their own, asked at every approval.

Every try is counted and journaled before it is known to be wrong, at each door for itself. Names
that nobody has share one count: guessing names is as slow as guessing passphrases.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from cordboard import journal, passphrases
from cordboard.clock import Clock, stamp
from cordboard.errors import InvalidArguments, NotAllowed
from cordboard.identity import check_subject, person_key
from cordboard.journal import Event
from cordboard.stores import Row, Store, Transaction

_SEAL = object()
SHORTEST_PASSPHRASE = 8
Door = Literal["sign-in", "session", "terminal"]
"""Where a passphrase is tried: by anybody on the network, by who is signed in there already, or at
a terminal of this machine. Each counts for itself: strangers shut out nobody at the other two."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}", re.ASCII)
_MOST_SUBJECTS = 20
_UNKNOWN = "(unknown name)"
"""Stands in the journal for a name nobody has: what was typed there may be somebody's passphrase."""
_NOBODY = ""
"""Under which the tries of all names are counted that nobody has."""
_FORGOTTEN_SECONDS = 3600
"""Then the count of unknown names begins anew: nobody has a passphrase that would end it."""


@dataclass(frozen=True, slots=True)
class Approver:
    """Who may approve. `principal` is the operating-system user at whose terminal they enrolled;
    `subjects`: what they sign in as elsewhere, by OAuth or with a static token."""

    name: str
    principal: str
    added_at: str
    added_by: str
    subjects: tuple[str, ...] = ()

    @property
    def people(self) -> frozenset[str]:
        """Every name this person goes by, as `person_key` has them: what asked for a change must be none of them
        where policy wants a second pair of eyes."""
        return frozenset(map(person_key, (self.name, self.principal, *self.subjects)))


class VerifiedApprover:
    """An approver of one account who gave their passphrase just now. Only `Approvers` makes one."""

    __slots__ = ("account", "name", "people")

    def __init__(self, approver: Approver, account: str = "", *, seal: object) -> None:
        if seal is not _SEAL:
            raise TypeError("only a verified passphrase makes a VerifiedApprover")
        self.account, self.name, self.people = account, approver.name, approver.people


@dataclass(frozen=True, slots=True)
class _Try:
    """A passphrase that is about to be checked: the approver it lets in, and the hash it is
    compared with."""

    approver: Approver | None
    kept: str


def check_name(name: str) -> None:
    """Raises: InvalidArguments for what cannot be an approver's name."""
    if not _NAME.fullmatch(name):
        raise InvalidArguments(
            "An approver's name is 1 to 64 letters, digits, dots, hyphens, underscores or @."
        )


def check_subjects(subjects: Sequence[str]) -> tuple[str, ...]:
    """These subjects, each once. Raises: InvalidArguments."""
    for subject in subjects:
        check_subject(subject)
    if len(subjects) > _MOST_SUBJECTS:
        raise InvalidArguments(f"An approver signs in as at most {_MOST_SUBJECTS} subjects.")
    return tuple(dict.fromkeys(subjects))


def people_of(tx: Transaction, account: str, name: str) -> frozenset[str]:
    """Every name an enrolled approver goes by, case folded; none where nobody has that name."""
    row = tx.one("approver_get", account=account, name=name)
    return frozenset() if row is None else _approver(row).people


class Approvers:
    """The approvers of one account."""

    def __init__(self, store: Store, account: str, clock: Clock) -> None:
        self._store, self._account, self._clock = store, account, clock

    async def everyone(self) -> list[Approver]:
        """All approvers by name."""

        def work(tx: Transaction) -> list[Approver]:
            return [_approver(row) for row in tx.all("approvers", account=self._account)]

        return await self._store.read(work)

    async def enrol(
        self,
        name: str,
        passphrase: str,
        principal: str,
        by: VerifiedApprover | None,
        subjects: Sequence[str] = (),
    ) -> VerifiedApprover:
        """Enrol an approver. The first enrols alone; every other needs `by`, one already enrolled.

        Raises: InvalidArguments for a bad name or subject or a short passphrase; NotAllowed.
        """
        check_name(name)
        known_as = check_subjects(subjects)
        if len(passphrase) < SHORTEST_PASSPHRASE:
            raise InvalidArguments(f"A passphrase has at least {SHORTEST_PASSPHRASE} characters.")
        hashed = await passphrases.hashed(passphrase)

        def work(tx: Transaction) -> VerifiedApprover:
            now = stamp(self._clock())
            if by is None and tx.all("approvers", account=self._account):
                raise NotAllowed(
                    "Somebody is enrolled already; a further approver needs their passphrase."
                )
            if tx.one("approver_get", account=self._account, name=name) is not None:
                raise InvalidArguments(f"An approver named {name} is enrolled already.")
            new = Approver(name, principal, now, by.name if by else principal, known_as)
            self._add(tx, new, hashed)
            return VerifiedApprover(new, self._account, seal=_SEAL)

        return await self._store.write(work)

    def _add(self, tx: Transaction, new: Approver, hashed: str) -> None:
        tx.send(
            "approver_add",
            account=self._account,
            name=new.name,
            principal=new.principal,
            passphrase=hashed,
            at=new.added_at,
            by=new.added_by,
            subjects=json.dumps(new.subjects),
        )
        data = {"name": new.name} | ({"subjects": list(new.subjects)} if new.subjects else {})
        added = Event("approver_added", new.added_by, data=data)
        journal.append(tx, self._account, new.added_at, added)

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

    async def verify(self, name: str, passphrase: str, door: Door = "terminal") -> VerifiedApprover:
        """The approver of that name, if the passphrase is theirs.

        Raises: NotAllowed for a wrong name or passphrase (which of the two is not told), or while
        the next try at this `door` has to wait; `retry_after` says how long.
        """
        with passphrases.place(stranger=door == "sign-in"):
            # Nothing is written for an account that nobody ever used: strangers may name any.
            is_used = await self._store.read(lambda tx: self._is_used(tx, name, door))
            # Counted before it is known to be wrong: many at once do not slip past the wait.
            tried = (
                await self._store.write(lambda tx: self._count(tx, name, door))
                if is_used
                else _Try(None, "")
            )
            # Compared with somebody's hash where it can let nobody in: no quicker than a real one.
            right = await passphrases.matches(tried.kept, passphrase, stranger=door == "sign-in")
        if tried.approver is None or not right:
            raise NotAllowed("Unknown name or wrong passphrase.", "Try again.")
        key = {"account": self._account, "door": door, "name": name}
        await self._store.write(lambda tx: tx.send("tries_forget", **key))
        return VerifiedApprover(tried.approver, self._account, seal=_SEAL)

    def _is_used(self, tx: Transaction, name: str, door: Door) -> bool:
        """Whether anybody ever used this account. Raises: NotAllowed where a try has to wait."""
        row, _ = self._may_try(tx, name, door)
        return row is not None or journal.head(tx, self._account).seq > 0

    def _may_try(self, tx: Transaction, name: str, door: Door) -> tuple[Row | None, int]:
        """Who has that name, and how many wrong tries in a row there were. Raises: NotAllowed."""
        now, row = self._clock(), None
        if _NAME.fullmatch(name):  # anything else is nobody's, and may not even be text
            row = tx.one("approver_get", account=self._account, name=name)
        counted = name if row else _NOBODY
        tries = tx.one("tries_get", account=self._account, door=door, name=counted)
        if tries is None:
            return row, 0
        if not row and passphrases.seconds_since(tries["failed_at"], now) > _FORGOTTEN_SECONDS:
            return row, 0
        failures: int = tries["failures"]
        wait = passphrases.seconds_to_wait(failures, tries["failed_at"], now)
        if wait:
            what = "Too many wrong names or passphrases in a row."
            raise NotAllowed(what, f"Wait {wait} seconds, then try again.", retry_after=wait)
        return row, failures

    def _count(self, tx: Transaction, name: str, door: Door) -> _Try:
        """Count and journal a try. Raises: NotAllowed where it has to wait."""
        row, failures = self._may_try(tx, name, door)
        at, counted = stamp(self._clock()), name if row else _NOBODY
        data = {"in_a_row": failures + 1, "door": door}
        tried = Event("passphrase_tried", counted or _UNKNOWN, data=data)
        journal.append(tx, self._account, at, tried)
        key = {"account": self._account, "door": door, "name": counted}
        tx.send("tries_put", **key, failures=failures + 1, at=at)
        if row:
            return _Try(_approver(row), row["passphrase"])
        somebody = next(iter(tx.all("approvers", account=self._account)), None)
        return _Try(None, somebody["passphrase"] if somebody else "")


def _approver(row: Row) -> Approver:
    subjects = tuple(json.loads(row["subjects"]))
    return Approver(row["name"], row["principal"], row["added_at"], row["added_by"], subjects)

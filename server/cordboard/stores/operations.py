"""Operations as rows: plans being applied at a platform, the numbers they hold, and each step.

Every write of a worker passes `keep`: it fails once another process has taken the operation over
(a higher fence), so a process that was given up cannot record anything any more.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, cast

from cordboard.stores import Row, Transaction

StepState = Literal["ready", "sending", "unknown", "applied", "not_applied"]
SETTLED: tuple[StepState, ...] = ("applied", "not_applied")
Ended = Literal["", "echo", "word", "conflict", "undone"]
"""What a settled step rests on, where it is not what was read. Applied, by the platform's own
`echo` or an approver's `word`; not applied, because somebody else has it (`conflict`), or it was
sent and found `undone` after the quiet period."""


@dataclass(frozen=True, slots=True)
class Step:
    """How far one change of a plan is.

    `done`: how many of its writes are known to be in effect. `back`: the rest was refused, and it
    is being put back. `settle_at`: when reading decides. `tries`: how often the next write was
    sent already. `bare_from`: since when a number on the move is answered by nobody. `ended`: what
    its end rests on.
    """

    position: int
    state: StepState = "ready"
    done: int = 0
    back: bool = False
    detail: str = ""
    settle_at: str = ""
    tries: int = 0
    bare_from: str = ""
    ended: Ended = ""


@dataclass(frozen=True, slots=True)
class Operation:
    """A plan under way: whose turn it is (`fence`), and from when any process may take it over."""

    account: str
    plan_id: str
    platform: str
    fence: int
    due_at: str
    started_at: str


FREE = ""
"""In place of `due_at`: whoever had it let go of it, and anybody may go on with it at once."""


class LostFence(Exception):
    """Another process has taken the operation over; nothing may be recorded by this one."""


def find(tx: Transaction, account: str, plan_id: str) -> Operation | None:
    """The operation of a plan, or None when it has none (any more)."""
    row = tx.one("operation_get", account=account, plan_id=plan_id)
    return None if row is None else _operation(account, row)


def due(tx: Transaction, account: str, platform: str, now: str, never: str) -> list[Operation]:
    """Operations at a platform that are due by `now`, or dated after `never`, which can only be where
    a clock was set back, or is another machine's; those due first come first, 100 at most."""
    rows = tx.all("operations_due", account=account, platform=platform, now=now, never=never)
    return [_operation(account, row) for row in rows]


def add(
    tx: Transaction, account: str, plan_id: str, platform: str, now: str, due_at: str
) -> Operation:
    """A new operation, with its first fence."""
    made = Operation(account, plan_id, platform, 1, due_at, now)
    tx.send(
        "operation_add",
        account=account,
        plan_id=plan_id,
        platform=platform,
        fence=made.fence,
        due_at=due_at,
        at=now,
    )
    return made


def take_over(tx: Transaction, found: Operation, due_at: str) -> Operation:
    """The operation with a new fence. Raises: LostFence when somebody else was first, or whoever has
    it has said since that it lives."""
    key = {"account": found.account, "plan_id": found.plan_id, "fence": found.fence}
    if tx.run("operation_take", **key, seen=found.due_at, due_at=due_at) != 1:
        raise LostFence
    return Operation(
        found.account, found.plan_id, found.platform, found.fence + 1, due_at, found.started_at
    )


def keep(tx: Transaction, mine: Operation, due_at: str) -> None:
    """Hold on to it until `due_at`. Raises: LostFence."""
    key = {"account": mine.account, "plan_id": mine.plan_id, "fence": mine.fence}
    if tx.run("operation_keep", **key, due_at=due_at) != 1:
        raise LostFence


def end(tx: Transaction, mine: Operation) -> None:
    """Let go of the operation and all its numbers. Raises: LostFence."""
    key = {"account": mine.account, "plan_id": mine.plan_id}
    if tx.run("operation_end", **key, fence=mine.fence) != 1:
        raise LostFence
    tx.send("holds_release", **key)


def holders(tx: Transaction, account: str, platform: str, numbers: Iterable[str]) -> dict[str, str]:
    """Of these numbers those that are held, each with the plan that holds it."""
    found: dict[str, str] = {}
    for number in numbers:
        row = tx.one("hold_get", account=account, platform=platform, number=number)
        if row is not None:
            found[number] = row["plan_id"]
    return found


def hold(tx: Transaction, mine: Operation, numbers: Iterable[str]) -> None:
    """Hold these numbers, none of which is held."""
    key = {"account": mine.account, "platform": mine.platform, "plan_id": mine.plan_id}
    tx.many("hold_add", [key | {"number": number} for number in numbers])


def release(tx: Transaction, mine: Operation, number: str) -> None:
    """Let one number go: what was to be done to it is settled."""
    key = {"account": mine.account, "platform": mine.platform, "plan_id": mine.plan_id}
    tx.send("hold_release", **key, number=number)


def add_steps(tx: Transaction, account: str, plan_id: str, count: int) -> None:
    """A step for each change, all ready."""
    key = {"account": account, "plan_id": plan_id}
    tx.many("step_add", [key | {"position": position} for position in range(count)])


def steps(tx: Transaction, account: str, plan_id: str) -> list[Step]:
    """The steps of a plan, in the order of its changes."""
    return [_step(row) for row in tx.all("steps_of", account=account, plan_id=plan_id)]


def put(tx: Transaction, account: str, plan_id: str, *changed: Step) -> None:
    """Store steps as they are now."""
    rows = [
        {
            "account": account,
            "plan_id": plan_id,
            "position": step.position,
            "state": step.state,
            "done": step.done,
            "back": int(step.back),
            "detail": step.detail,
            "settle_at": step.settle_at,
            "tries": step.tries,
            "bare_from": step.bare_from,
            "ended": step.ended,
        }
        for step in changed
    ]
    tx.many("step_put", rows)


def _operation(account: str, row: Row) -> Operation:
    return Operation(
        account, row["plan_id"], row["platform"], row["fence"], row["due_at"], row["started_at"]
    )


def _step(row: Row) -> Step:
    return Step(
        position=row["position"],
        state=cast(StepState, row["state"]),
        done=row["done"],
        back=bool(row["back"]),
        detail=row["detail"],
        settle_at=row["settle_at"],
        tries=row["tries"],
        bare_from=row["bare_from"],
        ended=cast(Ended, row["ended"]),
    )

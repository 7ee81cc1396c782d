"""The bare counterpart of a big plan: the same reads, canonical JSON, hashes, rows and commits, by a
plain script on a bare driver, on the same schema. No types, no rules, no guard, no errors."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

from tests.bench.bare_drivers import Driver

ACCOUNT, USER = "default", "bench"
AT, EXPIRES = "2026-01-31T09:30:00.000Z", "2026-01-31T10:00:00.000Z"
GENESIS = "0" * 64
POLICY_HASH = hashlib.sha256(b"relaxed").hexdigest()


_CHANGE = (
    "account",
    "ordinal",
    "position",
    "plan_id",
    "number",
    "direction",
    "before_agent",
    "after_agent",
)


def canonical(value: Any) -> str:
    """Canonical JSON, by the fastest writer there is for it."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def plan_and_apply(db: Driver, plan_id: str, agent: str, numbers: list[str]) -> None:
    """Attach numbers to an agent as two durable transactions: the plan, and what it says."""
    frozen(db)
    changes = look(db, agent, numbers)
    plan(db, plan_id, agent, changes)
    db.execute(
        "SELECT * FROM plan WHERE account = ? AND plan_id = ?", (ACCOUNT, plan_id)
    ).fetchone()
    apply(db, plan_id, agent)


def frozen(db: Driver) -> None:
    found = db.execute("SELECT frozen_at FROM account WHERE account = ?", (ACCOUNT,)).fetchone()
    assert found is None or not found[0]


def look(db: Driver, agent: str, numbers: Sequence[str]) -> list[dict[str, Any]]:
    """The changes that attach these numbers: of each its row and its bindings are read."""
    found = db.execute(
        "SELECT direction FROM agent WHERE account = ? AND agent = ?", (ACCOUNT, agent)
    )
    assert found.fetchone() == ("inbound",)
    db.execute("SELECT provider FROM provider WHERE account = ?", (ACCOUNT,)).fetchall()
    return [change(agent, *row) for row in rows(db, numbers)]


def rows(db: Driver, numbers: Sequence[str]) -> Iterator[tuple[tuple[Any, ...], list[str]]]:
    """Of each of these numbers its row, and who holds it."""
    for part in parts(db, sorted(numbers)):
        held: dict[str, list[str]] = {}
        for number, agent, *_ in db.execute(
            "SELECT number, agent, direction, pathway_id, pathway_version, start_node_id FROM binding"
            " WHERE account = ? AND number AMONG ?"
            " ORDER BY number, direction, agent",
            (ACCOUNT, part),
        ).fetchall():
            held.setdefault(number, []).append(agent)
        for row in db.execute(
            "SELECT number, provider, label, purpose, tags, inbound_version FROM number"
            " WHERE account = ? AND number AMONG ? ORDER BY number",
            (ACCOUNT, part),
        ).fetchall():
            yield row, held.get(row[0], [])


def parts(db: Driver, numbers: Sequence[str]) -> Iterator[object]:
    """The numbers as sets, each as the driver takes it."""
    for start in range(0, len(numbers), db.most):
        yield db.texts(numbers[start : start + db.most])


def change(agent: str, row: tuple[Any, ...], held: list[str]) -> dict[str, Any]:
    number, provider, label, purpose, tags, version = row
    return {
        "number": number,
        "before": side(""),
        "after": side(agent),
        "image": {
            "version": version,
            "holders": held,
            "provider": provider,
            "purpose": purpose,
            "tags": json.loads(tags),
            "label": label,
        },
        "detail": "",
        "outcome": "planned",
    }


def side(agent: str) -> dict[str, Any]:
    return {
        "direction": "inbound",
        "agent": agent,
        "pathway_id": "",
        "pathway_version": 0,
        "start_node_id": "",
    }


def plan(db: Driver, plan_id: str, agent: str, changes: list[dict[str, Any]]) -> None:
    """Save a plan: its text and hash, the key of the request, a journal row, a row a number."""
    asked = {"action": "attach", "agent": agent, "from_agent": "", "provider": "", "undoes": ""}
    body = {
        "plan_id": plan_id,
        "account": ACCOUNT,
        "principal": USER,
        "asked": asked | {"numbers": [c["number"] for c in changes]},
        "draft": {"changes": changes, "unchanged": [], "warnings": [], "mixes": False},
        "level": "plan",
        "policy_hash": POLICY_HASH,
        "created_at": AT,
        "expires_at": EXPIRES,
    }
    text = canonical(body)
    hashed = digest(text)
    key = digest(canonical({"principal": USER, "asked": asked, "changes": changes}))
    db.begin(ACCOUNT)
    same = "SELECT * FROM plan WHERE account = ? AND request_key = ? AND state = 'open'"
    assert db.execute(same, (ACCOUNT, key)).fetchone() is None
    ordinal = journal(db, "planned", plan_id, hashed, {"changes": short(changes)})
    db.execute(
        "INSERT INTO plan (account, plan_id, ordinal, principal, request_key, state, body, hash,"
        " expires_at) VALUES (?, ?, ?, ?, ?, 'open', ?, ?, ?)",
        (ACCOUNT, plan_id, ordinal, USER, key, text, hashed, EXPIRES),
    )
    db.load(
        "plan_change",
        _CHANGE,
        [
            (ACCOUNT, ordinal, i, plan_id, c["number"], "inbound", "", agent)
            for i, c in enumerate(changes)
        ],
    )
    db.execute("COMMIT")


def short(changes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: c[name] for name in ("number", "before", "after")} for c in changes]


def journal(db: Driver, event: str, plan_id: str, plan_hash: str, data: dict[str, Any]) -> int:
    """Append one row to the chain; its seq."""
    db.execute(
        "INSERT INTO account (account, seq, head) VALUES (?, 0, ?) ON CONFLICT DO NOTHING",
        (ACCOUNT, GENESIS),
    )
    seq, prev = db.execute("SELECT seq, head FROM account WHERE account = ?", (ACCOUNT,)).fetchone()
    row = (ACCOUNT, seq + 1, AT, event, plan_id, USER, plan_hash, canonical(data), prev)
    head = digest(canonical(row))
    db.execute("INSERT INTO journal VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", (*row, head))
    db.execute("UPDATE account SET seq = ?, head = ? WHERE account = ?", (seq + 1, head, ACCOUNT))
    return int(seq) + 1


def apply(db: Driver, plan_id: str, agent: str) -> None:
    """Apply a saved plan: look again, use the approval, write, read back, journal, close."""
    db.begin(ACCOUNT)
    ordinal, text, hashed = db.execute(
        "SELECT ordinal, body, hash FROM plan WHERE account = ? AND plan_id = ?", (ACCOUNT, plan_id)
    ).fetchone()
    frozen(db)
    planned = json.loads(text)["draft"]["changes"]
    numbers = [c["number"] for c in planned]
    assert digest(text) == hashed and look(db, agent, numbers) == planned
    approve(db, plan_id, hashed)
    write(db, agent, numbers)
    journal(db, "approved", plan_id, hashed, {"level": "plan"})
    db.execute(
        "UPDATE plan SET state = 'applied', closed_at = ?, closed_by = ?, used = 'plan'"
        " WHERE account = ? AND plan_id = ? AND state = 'open'",
        (AT, USER, ACCOUNT, plan_id),
    )
    journal(db, "applied", plan_id, hashed, {"changes": short(planned)})
    db.execute(
        "UPDATE plan_change SET version = 1 WHERE account = ? AND ordinal = ?", (ACCOUNT, ordinal)
    )
    db.execute(
        "INSERT INTO spent VALUES (?, ?, ?, ?, ?)", (ACCOUNT, USER, AT, plan_id, len(numbers))
    )
    db.execute("COMMIT")


def approve(db: Driver, plan_id: str, hashed: str) -> None:
    """Keep an approval, and use it."""
    db.execute(
        "INSERT INTO approval VALUES (?, ?, ?, ?, ?, ?, 'plan', ?, ?, '')",
        (ACCOUNT, plan_id, plan_id, hashed, USER, USER, AT, EXPIRES),
    )
    db.execute(
        "UPDATE approval SET used_at = ? WHERE account = ? AND approval_id = ? AND used_at = ''",
        (AT, ACCOUNT, plan_id),
    )


def write(db: Driver, agent: str, numbers: list[str]) -> None:
    """Bind the numbers, raise their versions, and read every one of them back."""
    for part in parts(db, numbers):
        db.execute(
            "INSERT INTO binding (account, number, direction, agent, attached_at)"
            " SELECT account, number, 'inbound', ?, ? FROM number"
            " WHERE account = ? AND number AMONG ?",
            (agent, AT, ACCOUNT, part),
        )
        db.execute(
            "UPDATE number SET inbound_version = inbound_version + 1, updated_at = ?"
            " WHERE account = ? AND number AMONG ?",
            (AT, ACCOUNT, part),
        )
    db.execute(
        "UPDATE agent SET updated_at = ? WHERE account = ? AND agent = ?", (AT, ACCOUNT, agent)
    )
    assert all(held == [agent] for _, held in rows(db, numbers))

"""`cordboard import`: files good and bad put into a real store, whole or not at all."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.postgres import PostgresServer

from cordboard import journal
from cordboard.binding import PROVIDERS
from cordboard.errors import ConfigError, Frozen
from cordboard.platforms.local.importing import Imported, import_file
from cordboard.stores import Transaction
from cordboard.stores.sqlite import SqliteStore

FIRST, LATER = "2026-01-01T00:00:00.000Z", "2026-02-02T00:00:00.000Z"
TABLES = ("provider", "agent", "number", "pathway", "pathway_version", "binding", "journal")
# Every number that the vendors' pages give as an example.
SEEDS = [
    "+918062810341",
    "+12025551234",
    "+442012345678",
    "+61212345678",
    "+14165551234",
    "+6512345678",
    "+971501234567",
    "+14155551234",
    "+14155555678",
    "+16286666348",
    "+12131231214",
]
ONE, TWO, THREE = "+14155551234", "+12025551234", "+442012345678"
FILE: dict[str, Any] = {
    "providers": ["twilio"],
    "agents": [
        {"id": "support", "name": "Support", "direction": "inbound", "pathway_id": "main"},
        {"id": "local:sales", "name": "Sales", "direction": "outbound"},
    ],
    "numbers": [
        {"number": ONE, "provider": "twilio", "label": "Main", "purpose": "PRODUCTION"},
        {"number": TWO, "provider": "twilio", "label": "", "purpose": "TEST", "tags": ["a", "b"]},
        {"number": THREE, "slug": "london"},
    ],
    "pathways": [
        {"id": "main", "name": "Main flow", "versions": [{"version": 1, "nodes": ["in", "out"]}]}
    ],
}


class Desk:
    """A store, and imports into it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.store = SqliteStore(path)

    def take(self, data: Any, name: str = "inventory.json", at: str = FIRST) -> Imported:
        """Import bytes, text, or what is written as JSON."""
        if not isinstance(data, str | bytes):
            data = json.dumps(data)
        data = data.encode() if isinstance(data, str) else data
        return anyio.run(import_file, self.store, "default", "ann", at, data, name)

    def refused(self, data: Any, name: str = "inventory.json") -> str:
        """The error of a bad file, which wrote nothing."""
        before = self.everything()
        with pytest.raises(ConfigError) as caught:
            self.take(data, name)
        assert self.everything() == before
        return str(caught.value)

    def everything(self) -> dict[str, list[Any]]:
        """Every row an import could touch."""
        return {table: sorted(self.rows(f"SELECT * FROM {table}")) for table in TABLES}  # noqa: S608

    def rows(self, query: str) -> list[Any]:
        """What a query finds, by a connection of its own."""

        def nothing(tx: Transaction) -> None:
            del tx

        anyio.run(self.store.read, nothing)
        connection = sqlite3.connect(self.path)
        try:
            return connection.execute(query).fetchall()
        finally:
            connection.close()

    def bind(self, number: str, agent: str, direction: str) -> None:
        """Attach a number, beside the guard."""
        connection = sqlite3.connect(self.path)
        try:
            connection.execute(
                "INSERT INTO binding (account, number, direction, agent, attached_at) "
                "VALUES ('default', ?, ?, ?, ?)",
                (number, direction, agent, FIRST),
            )
            connection.commit()
        finally:
            connection.close()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path / "store.db")
    yield made
    anyio.run(made.store.close)


def test_a_file_is_imported_whole(desk: Desk) -> None:
    done = desk.take(FILE)
    assert done.counts == {
        "providers": {"added": 1, "changed": 0, "unchanged": 0},
        "agents": {"added": 2, "changed": 0, "unchanged": 0},
        "numbers": {"added": 3, "changed": 0, "unchanged": 0},
        "pathways": {"added": 1, "changed": 0, "unchanged": 0},
    }
    assert desk.rows(
        "SELECT agent, name, direction, pathway_id, user_id, created_at FROM agent ORDER BY 1"
    ) == [
        ("local:sales", "Sales", "outbound", "", "ann", FIRST),
        ("local:support", "Support", "inbound", "main", "ann", FIRST),
    ]
    numbers = desk.rows(
        "SELECT id, number, provider, label, purpose, tags, slug FROM number ORDER BY id"
    )
    assert numbers == [
        (1, ONE, "twilio", "Main", "PRODUCTION", "[]", "14155551234"),
        (2, TWO, "twilio", "", "TEST", '["a", "b"]', "12025551234"),
        (3, THREE, "", "", "", "[]", "london"),
    ]
    assert desk.rows("SELECT pathway_id, version, nodes FROM pathway_version") == [
        ("main", 1, '["in", "out"]')
    ]


def test_every_number_of_the_seeds_is_imported_and_those_outside_the_plan_are_told(
    desk: Desk,
) -> None:
    done = desk.take({"numbers": [{"number": number} for number in SEEDS]})
    assert done.counts["numbers"]["added"] == len(SEEDS)
    told = " ".join(done.warnings)
    assert len(done.warnings) == 2
    assert "+6512345678" in told and "+12131231214" in told


def test_importing_again_changes_nothing_at_all(desk: Desk) -> None:
    desk.take(FILE)
    before = desk.everything()
    again = desk.take(FILE, at=LATER)
    assert again.written == 0
    assert {c["unchanged"] for c in again.counts.values()} == {1, 2, 3}
    assert desk.everything() == before


def test_only_rows_that_really_change_are_written(desk: Desk) -> None:
    desk.take(FILE)
    changed = json.loads(json.dumps(FILE))
    changed["numbers"][0]["label"] = "Front desk"
    changed["agents"][0]["name"] = "Helpers"
    done = desk.take(changed, at=LATER)
    assert done.counts["numbers"] == {"added": 0, "changed": 1, "unchanged": 2}
    assert done.counts["agents"] == {"added": 0, "changed": 1, "unchanged": 1}
    stamps = desk.rows("SELECT number, id, updated_at FROM number ORDER BY id")
    assert stamps == [(ONE, 1, LATER), (TWO, 2, FIRST), (THREE, 3, FIRST)]
    assert desk.rows("SELECT created_at, updated_at FROM agent ORDER BY agent") == [
        (FIRST, FIRST),
        (FIRST, LATER),
    ]


def test_what_a_file_leaves_out_is_kept_and_ids_count_on(desk: Desk) -> None:
    desk.take(FILE)
    desk.bind(ONE, "local:support", "inbound")
    more = {"numbers": [{"number": TWO, "label": "Two"}, {"number": "+61212345678"}]}
    desk.take(more, at=LATER)
    rows = desk.rows("SELECT number, id, provider, label, purpose, tags FROM number ORDER BY id")
    assert rows[1] == (TWO, 2, "twilio", "Two", "TEST", '["a", "b"]')
    assert [row[:2] for row in rows] == [(ONE, 1), (TWO, 2), (THREE, 3), ("+61212345678", 4)]
    assert len(desk.rows("SELECT * FROM binding")) == 1
    assert len(desk.rows("SELECT * FROM agent")) == 2


def test_an_empty_value_clears_and_protection_is_not_lost_by_leaving_it_out(desk: Desk) -> None:
    desk.take({"numbers": [{"number": ONE, "label": "x", "tags": ["protected"]}]})
    desk.take("number,provider\n+14155551234,twilio\n", "numbers.csv")
    assert desk.rows("SELECT label, tags FROM number") == [("x", '["protected"]')]
    desk.take({"numbers": [{"number": ONE, "label": "", "tags": []}]})
    assert desk.rows("SELECT label, tags, provider FROM number") == [("", "[]", "twilio")]


def test_versions_of_a_pathway_are_added_and_replaced_and_the_others_kept(desk: Desk) -> None:
    desk.take(FILE)
    versions = [{"version": 2, "nodes": ["a"]}, {"version": 3, "nodes": []}]
    desk.take({"pathways": [{"id": "main", "versions": versions}]})
    done = desk.take({"pathways": [{"id": "main", "versions": [{"version": 3, "nodes": ["z"]}]}]})
    assert done.counts["pathways"] == {"added": 0, "changed": 1, "unchanged": 0}
    assert desk.rows("SELECT version, nodes FROM pathway_version") == [
        (1, '["in", "out"]'),
        (2, '["a"]'),
        (3, '["z"]'),
    ]
    assert desk.rows("SELECT name FROM pathway") == [("Main flow",)]


def test_the_journal_has_one_event_with_counts_and_the_files_hash(desk: Desk) -> None:
    data = json.dumps(FILE).encode()
    done = desk.take(data)
    desk.take(data)
    rows = desk.rows("SELECT event, principal, data FROM journal")
    assert [row[:2] for row in rows] == [("imported", "ann")]
    said = json.loads(rows[0][2])
    assert said["counts"] == done.counts
    assert said["sha256"] == done.sha256 == hashlib.sha256(data).hexdigest()

    def verify(tx: Transaction) -> str:
        return journal.verify(tx, "default").fault

    assert anyio.run(desk.store.read, verify) == ""


TOML = """
providers = ["twilio"]
[[agents]]
id = "support"
name = "Support"
direction = "inbound"
[[numbers]]
number = "+14155551234"
tags = ["vip"]
[[pathways]]
id = "main"
[[pathways.versions]]
version = 1
nodes = ["in"]
"""
CSV = (
    "number,provider,label,purpose,tags,slug\r\n"
    '+14155551234,twilio,"Main, front",PRODUCTION,vip; red,\r\n'
    "\r\n"
    "+12025551234,,,,,two\r\n"
)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("inventory.toml", TOML),
        ("inventory", TOML),
        ("numbers.csv", CSV),
        ("numbers.CSV", "\ufeff" + CSV),
        ("numbers", CSV),
        ("inventory.json", "\ufeff" + json.dumps(FILE)),
        ("inventory", json.dumps(FILE, indent=2)),
        ("inventory.txt", json.dumps(FILE)),
    ],
)
def test_the_ending_or_else_the_content_says_what_a_file_is(
    desk: Desk, name: str, data: str
) -> None:
    assert desk.take(data, name).counts["numbers"]["added"] > 0
    assert desk.take(data, name).written == 0


def test_a_csv_says_all_there_is_to_say_of_a_number(desk: Desk) -> None:
    desk.take(CSV, "numbers.csv")
    rows = desk.rows("SELECT number, provider, label, purpose, tags, slug FROM number ORDER BY id")
    assert rows == [
        (ONE, "twilio", "Main, front", "PRODUCTION", '["vip", "red"]', "14155551234"),
        (TWO, "", "", "", "[]", "two"),
    ]


def test_a_carrier_the_account_does_not_name_is_told(desk: Desk) -> None:
    done = desk.take({"numbers": [{"number": ONE, "provider": "exotel"}]})
    assert "exotel" in done.warnings[0] and '"providers"' in done.warnings[0]
    assert desk.take({"providers": list(PROVIDERS)}).warnings == []


def numbers(*rows: Any) -> dict[str, Any]:
    return {"numbers": list(rows)}


def agent(**given: Any) -> dict[str, Any]:
    return {"agents": [{"id": "a", "name": "A", "direction": "inbound"} | given]}


def versions(*rows: Any) -> dict[str, Any]:
    return {"pathways": [{"id": "p", "name": "P", "versions": list(rows)}]}


BAD: list[tuple[Any, tuple[str, ...]]] = [
    ([], ("the file", "a list", "object")),
    (None, ("null",)),
    ({"number": []}, ('"number"', "did you mean numbers?")),
    ({"numbers": {}}, ("numbers", "an object", "write a list")),
    ({"numbers": None}, ("null", "write a list")),
    (numbers("+14155551234"), ("numbers[0]", "text", "write an object")),
    (numbers({}), ("numbers[0]", '"number"', "missing")),
    (numbers({"number": 14155551234}), ('"number"', "a whole number", "write text")),
    (numbers({"number": "14155551234"}), ('no leading "+"', "did you mean +14155551234?")),
    (numbers({"number": "+91 8062 810341"}), ("spaces", "did you mean +918062810341?")),
    (numbers({"number": "+14155551234\n"}), ("numbers[0]",)),
    (numbers({"number": "+999155551234"}), ("calling code",)),
    (numbers({"number": "911"}), ("short code",)),
    (numbers({"number": ONE}, {"number": ONE}), ("numbers[1]", "twice", "numbers[0]")),
    (numbers({"number": ONE, "provider": "Twilio"}), ('"provider"', "twilio")),
    (numbers({"number": ONE, "provider": None}), ('"provider"', "null")),
    (numbers({"number": ONE, "purpose": "test"}), ('"purpose"', "TEST or PRODUCTION")),
    (numbers({"number": ONE, "label": "x" * 201}), ('"label"', "201", "200")),
    (numbers({"number": ONE, "label": 5}), ('"label"', "a whole number")),
    (numbers({"number": ONE, "label": "\ud800"}), ('"label"', "surrogate")),
    (numbers({"number": ONE, "tags": "vip"}), ('"tags"', "text", "a list")),
    (numbers({"number": ONE, "tags": ["ok", "not ok"]}), ('"tags"', "[1]", "not ok")),
    (numbers({"number": ONE, "tags": [1]}), ('"tags"', "[0]")),
    (numbers({"number": ONE, "tags": ["a", "a"]}), ('"tags"', "twice")),
    (numbers({"number": ONE, "slug": ""}), ('"slug"', "1 to 64")),
    (numbers({"number": ONE, "slug": "a/b"}), ('"slug"', "a/b")),
    (numbers({"number": ONE, "slug": "a"}, {"number": TWO, "slug": "a"}), ('"slug"', "taken")),
    (numbers({"number": ONE, "slug": TWO[1:]}, {"number": TWO}), ('"slug"', "taken")),
    (numbers({"number": ONE, "lable": "x"}), ('"lable"', "did you mean label?")),
    (agent(id="a b"), ('"id"', "a b")),
    (agent(id="bland:a"), ('"id"', "local:")),
    (agent(id="-a"), ('"id"',)),
    (agent(id="a" * 101), ('"id"',)),
    (agent(id=None), ('"id"', "null")),
    (agent(direction="both"), ('"direction"', "inbound or outbound")),
    ({"agents": [{"id": "a", "name": "A"}]}, ('"direction"', "missing")),
    (agent(pathway_id="a b"), ('"pathway_id"',)),
    (agent(prompt="x"), ('"prompt"', "unknown key")),
    ({"agents": [*agent()["agents"], *agent(id="local:a")["agents"]]}, ("agents[1]", "twice")),
    ({"providers": ["twillio"]}, ("providers[0]", "twillio")),
    ({"providers": ["san", "san"]}, ("providers[1]", "twice")),
    ({"providers": [{}]}, ("providers[0]", "an object")),
    ({"pathways": [{"id": "p"}, {"id": "p"}]}, ("pathways[1]", "twice")),
    ({"pathways": [{"id": "p", "versions": {}}]}, ('"versions"', "a list")),
    (versions({"version": 0, "nodes": []}), ("pathways[0].versions[0]", '"version"', "write 1")),
    (versions({"version": True, "nodes": []}), ('"version"', "true or false")),
    (versions({"version": "1", "nodes": []}), ('"version"', "text")),
    (versions({"version": 10**30, "nodes": []}), ('"version"',)),
    (versions({"version": 1}), ('"nodes"', "missing")),
    (versions({"version": 1, "nodes": [None]}), ('"nodes"', "[0]", "null")),
    (versions({"version": 1, "nodes": []}, {"version": 1, "nodes": []}), ("versions[1]", "twice")),
]


@pytest.mark.parametrize(("data", "told"), BAD)
def test_a_bad_row_is_named_with_its_field_and_nothing_is_written(
    desk: Desk, data: Any, told: tuple[str, ...]
) -> None:
    error = desk.refused(data)
    assert all(part in error for part in told), error
    assert error.startswith("INVALID_CONFIGURATION: inventory.json: ")
    assert error.endswith("Nothing was changed.")


UNREADABLE: list[tuple[str, bytes, tuple[str, ...]]] = [
    ("x.json", b"", ("empty",)),
    ("x.json", b" \n", ("empty",)),
    ("x.json", b"{", ("not valid JSON", "line 1")),
    ("x.json", b'{"numbers": [],\n "numbers": []}', ("numbers", "twice")),
    ("x.json", b'{"a": ' + b"9" * 10_000 + b"}", ("not valid JSON",)),
    ("x.json", b"[" * 200_000, ("too deep",)),
    ("x.json", b'{"numbers": ' + b'{"a":' * 100_000 + b"}" * 100_001, ("too deep",)),
    ("x.toml", b"numbers = [", ("not valid TOML",)),
    ("x.toml", b"a = " + b"[" * 100_000, ("too deep",)),
    ("x.toml", b"a = 1\na = 2", ("not valid TOML",)),
    ("x.json", '{"a": "é"}'.encode("latin-1"), ("line 1", "not UTF-8")),
    ("x.json", '{"a": 1}'.encode("utf-16"), ("not UTF-8",)),
    ("x.csv", b"number,lable\n", ("line 1", "lable", "did you mean label?")),
    ("x.csv", b"number;provider\n", ("line 1", "commas")),
    ("x.csv", b"provider\ntwilio\n", ("no column number",)),
    ("x.csv", b"number,number\n", ("twice",)),
    ("x.csv", b'number\n"+14155551234\n', ("not valid CSV",)),
    ("x.csv", b"number,label\n+14155551234," + b"x" * 200_000 + b"\n", ("not valid CSV",)),
    ("x.csv", b"number,label\n\n+14155551234\n", ("line 3", "1 cells", "2")),
    ("x.csv", b'number,label\n+14155551234,"a\nb"\n12,x\n', ("line 4", '"number"')),
    ("x.csv", b"number,tags\n+14155551234,a b;c\n", ("line 2", '"tags"')),
    ("x", b"number = 5", ('"number"', "numbers")),
    ("x.toml", b"numbers = [2026-01-01]", ("numbers[0]", "a date")),
]


@pytest.mark.parametrize(("name", "data", "told"), UNREADABLE)
def test_a_file_that_cannot_be_read_is_one_clear_error(
    desk: Desk, name: str, data: bytes, told: tuple[str, ...]
) -> None:
    error = desk.refused(data, name)
    assert all(part in error for part in told), error


def test_every_bad_row_stands_in_one_error_with_what_only_the_store_can_tell(desk: Desk) -> None:
    desk.take(FILE)
    desk.bind(ONE, "local:support", "inbound")
    bad = agent(id="support", direction="outbound") | {
        "numbers": [
            {"number": "12"},
            {"number": "+61212345678", "slug": "london"},
            {"number": "+14165551234", "label": "good"},
        ],
        "pathways": [{"id": "p q"}],
        "flows": [],
    }
    error = desk.refused(bad)
    assert "5 problems" in error
    assert all(
        part in error
        for part in (
            'agents[0], "direction": local:support is inbound and has numbers',
            'numbers[0], "number"',
            f'numbers[1], "slug": london is taken by {THREE}',
            'pathways[0], "id"',
            '"flows"',
        )
    ), error


AGAIN = """
CREATE SEQUENCE tried;
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF nextval('tried') < 3 THEN RAISE EXCEPTION USING ERRCODE = '40001'; END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER refuse BEFORE INSERT ON journal FOR EACH ROW EXECUTE FUNCTION refuse()
"""


def test_a_warning_is_told_once_however_often_the_database_takes_the_import_back(
    postgres: PostgresServer,
) -> None:
    from cordboard.stores.postgres import PostgresStore
    from cordboard.stores.postgres.operating import bring_up

    url = postgres.create()
    bring_up(url)
    with psycopg.connect(url, autocommit=True) as db:
        db.execute(AGAIN.encode())

    async def take() -> Imported:
        store = PostgresStore(url)
        data = json.dumps({"numbers": [{"number": ONE, "provider": "twilio"}]}).encode()
        try:
            return await import_file(store, "default", "ann", FIRST, data, "inventory.json")
        finally:
            await store.close()

    [warning] = anyio.run(take).warnings
    assert "provider twilio is not among the account's" in warning


def test_fifty_bad_rows_are_shown_and_the_others_counted(desk: Desk) -> None:
    error = desk.refused({"numbers": [{"number": f"+1{n}"} for n in range(60)]})
    assert error.count("\n- numbers[") == 50
    assert "60 problems" in error and "… and 10 more" in error


def test_the_direction_of_an_agent_without_numbers_may_change(desk: Desk) -> None:
    desk.take(FILE)
    desk.take(agent(id="support", name="Support", direction="outbound"))
    assert desk.rows("SELECT direction FROM agent WHERE agent = 'local:support'") == [("outbound",)]


def test_numbers_may_exchange_their_slugs_within_one_file(desk: Desk) -> None:
    first = [{"number": ONE, "slug": "a"}, {"number": TWO, "slug": "b"}, {"number": THREE}]
    desk.take({"numbers": first})
    turned = [
        {"number": ONE, "slug": "b"},
        {"number": TWO, "slug": THREE[1:]},
        {"number": THREE, "slug": "a"},
    ]
    done = desk.take({"numbers": turned})
    assert done.counts["numbers"]["changed"] == 3
    slugs = desk.rows("SELECT slug, id FROM number ORDER BY id")
    assert slugs == [("b", 1), (THREE[1:], 2), ("a", 3)]
    assert desk.take({"numbers": turned}).written == 0


def test_a_slug_that_a_number_of_the_store_keeps_is_taken(desk: Desk) -> None:
    desk.take({"numbers": [{"number": ONE, "slug": "front"}, {"number": TWO}]})
    error = desk.refused({"numbers": [{"number": THREE, "slug": TWO[1:]}]})
    assert f"taken by {TWO}" in error
    error = desk.refused({"numbers": [{"number": THREE, "slug": "front"}, {"number": ONE}]})
    assert "front is taken by numbers[" in error


def test_hostile_text_in_a_file_is_shown_harmless(desk: Desk) -> None:
    nasty = "\x1b[31m\u202e[bold]see https://evil.example/x\n- numbers[9]: fine"
    error = desk.refused({nasty: [], "numbers": [{"number": ONE, nasty: 1, "slug": nasty}]})
    assert "\x1b" not in error and "\u202e" not in error and "evil.example" not in error
    assert "\n- numbers[9]" not in error


def test_a_long_import_tells_how_far_it_is(desk: Desk) -> None:
    told: list[tuple[str, int, int]] = []

    def tell(phase: str, done: int, total: int) -> None:
        told.append((phase, done, total))

    rows = "".join(f"+1415{5550000 + n},Line {n}\n" for n in range(7000))
    data = ("number,label\n" + rows).encode()
    done = anyio.run(import_file, desk.store, "default", "ann", FIRST, data, "n.csv", tell)
    assert done.counts["numbers"]["added"] == 7000
    assert ("writing numbers", 5000, 7000) in told
    assert {phase for phase, _, _ in told} == {
        "reading numbers",
        "checking numbers",
        "comparing numbers",
        "writing numbers",
    }
    statistics = desk.rows("SELECT count(*) FROM sqlite_stat1 WHERE tbl = 'number'")
    assert statistics[0][0] > 0


def test_an_import_that_is_stopped_while_it_writes_leaves_nothing(desk: Desk) -> None:
    def stop(phase: str, done: int, total: int) -> None:
        if phase == "writing numbers" and done:
            raise KeyboardInterrupt

    before = desk.everything()
    data = json.dumps({"numbers": [{"number": f"+1415{5550000 + n}"} for n in range(6000)]})
    with pytest.raises(KeyboardInterrupt):
        anyio.run(import_file, desk.store, "default", "ann", FIRST, data.encode(), "n.json", stop)
    assert desk.everything() == before


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)


def mostly(*good: Any) -> st.SearchStrategy[Any]:
    """Mostly one of these, sometimes anything."""
    return st.one_of(*[st.sampled_from(good)] * 5, ANY_JSON)


def row(required: dict[str, Any], **others: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    fields = st.fixed_dictionaries(required, optional=others)
    return st.one_of(fields, fields, fields, ANY_JSON)


IDS = mostly("a", "b", "local:a", "p.q")
VERSIONS = row({"version": mostly(1, 2, 3), "nodes": mostly([], ["x"], ["x", "y"])})
SECTIONS = st.fixed_dictionaries(
    {},
    optional={
        "providers": st.lists(mostly("san", "twilio"), max_size=3) | ANY_JSON,
        "agents": st.lists(
            row({"id": IDS, "direction": mostly("inbound", "outbound")}, name=mostly("n")),
            max_size=3,
        ),
        "numbers": st.lists(
            row(
                {"number": mostly(*SEEDS)},
                provider=mostly("san", ""),
                label=mostly("l", ""),
                purpose=mostly("TEST", "PRODUCTION"),
                tags=mostly([], ["t"]),
                slug=mostly("s", "t", ONE[1:], TWO[1:]),
            ),
            max_size=4,
        ),
        "pathways": st.lists(row({"id": IDS}, versions=st.lists(VERSIONS, max_size=3)), max_size=3),
        "other": ANY_JSON,
    },
)


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=SECTIONS | ANY_JSON)
def test_whatever_the_json_it_is_imported_whole_or_refused_in_words(desk: Desk, data: Any) -> None:
    before = desk.everything()
    try:
        desk.take(data)
    except ConfigError:
        assert desk.everything() == before
    else:
        after = desk.everything()
        assert desk.take(data, at=LATER).written == 0
        assert desk.everything() == after


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.binary(max_size=60)
    | st.text(max_size=60).map(lambda text: text.encode("utf-8", "replace")),
    name=st.sampled_from(["x", "x.json", "x.toml", "x.csv"]),
)
def test_whatever_the_bytes_there_is_no_traceback(desk: Desk, data: bytes, name: str) -> None:
    before = desk.everything()
    head = b"number,label\n" if name == "x.csv" else b""
    try:
        desk.take(head + data, name)
    except ConfigError:
        assert desk.everything() == before


@pytest.mark.parametrize("data", ["{}", '{"numbers": [], "agents": []}'])
def test_a_file_with_nothing_in_it_changes_nothing(desk: Desk, data: str) -> None:
    assert desk.take(data).written == 0
    assert desk.rows("SELECT * FROM journal") == []


def test_nothing_is_imported_while_changes_are_frozen(desk: Desk) -> None:
    desk.take(FILE)
    freeze = {"at": FIRST, "by": "ann", "reason": "incident"}

    async def frozen() -> None:
        await desk.store.write(lambda tx: tx.run("account_freeze", account="default", **freeze))

    anyio.run(frozen)
    assert desk.take(FILE).written == 0  # nothing would change: nothing to refuse
    moved = {"agents": [{"id": "support", "direction": "inbound", "pathway_id": "other"}]}
    with pytest.raises(Frozen):
        desk.take(moved)

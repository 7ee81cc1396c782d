"""The files of `cordboard attach`: what spreadsheets make of numbers, and the list that is written."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.server.test_cli_approvals import Machine
from tests.world import INDIA, NOT_OWNED, SEEDS, SUPPORT_LINE, TEST_ONE, TEST_THREE, TEST_TWO, fill

from cordboard.stores.sqlite import SqliteStore

ATTACH = ("attach", "--agent", "local:support")


@pytest.fixture(scope="session")
def shelved(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """A machine with the seeds' numbers, INDIA at sales."""
    machine = Machine(tmp_path_factory.mktemp("shelved"))

    async def work() -> None:
        store = SqliteStore(machine.database)
        await store.write(lambda tx: fill(tx, SEEDS.bound("local:sales", INDIA)))
        await store.close()

    anyio.run(work)
    return machine


@pytest.fixture
def desk(shelved: Machine, tmp_path: Path) -> Machine:
    """A copy of it."""
    return shelved.copied(tmp_path)


Put = Callable[..., str]


@pytest.fixture
def put(desk: Machine) -> Put:
    """Writes a file beside the store, and gives its path."""

    def work(content: str | bytes, name: str = "numbers.csv") -> str:
        path = desk.home / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    return work


def planned(machine: Machine, *options: str) -> dict[str, Any]:
    """What `--json` tells of a plan that was made."""
    done = machine.piped(*ATTACH, *options, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


# --- what is read -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (f"number\n  {TEST_ONE} \n{TEST_TWO}\t\n", "numbers.csv"),
        (f"number;label\r\n{TEST_ONE};Hall\r\n{TEST_TWO};\r\n;\r\n", "numbers.csv"),
        (f"label\tNumber\nHall\t{TEST_ONE}\n\t{TEST_TWO}\n", "numbers.tsv"),
        (f"\n\nnumber,label\n\n , \n{TEST_ONE},\n,,,\n{TEST_TWO},x,\n", "numbers.txt"),
        (f'\ufeffnumber,"provider"\n"{TEST_ONE}",twilio\n{TEST_TWO},telnyx\n', "numbers"),
        (json.dumps({"numbers": [TEST_ONE, {"number": TEST_TWO}]}), "numbers.json"),
        (f'numbers = ["{TEST_ONE}", "{TEST_TWO}"]', "numbers.toml"),
    ],
)
def test_numbers_are_read_as_programs_write_them(
    desk: Machine, put: Put, content: str, name: str
) -> None:
    told = planned(desk, "--from", put(content, name))

    assert [change["number"] for change in told["changes"]] == [TEST_ONE, TEST_TWO]


@pytest.mark.parametrize(
    ("content", "name", "said"),
    [
        (
            "number\n1.41556E+10\n",
            "n.csv",
            'line 2: "1.41556E+10" was shortened by a spreadsheet; ',
        ),
        ("number;x\n1,41556E+10;\n", "n.csv", "format the column as text"),
        (b"PK\x03\x04rest", "numbers.xlsx", "it is a workbook. Save it as CSV"),
        (f"number\n{TEST_ONE}\n".encode("utf-16"), "n.csv", "not UTF-8 text. Save it as CSV UTF-8"),
        (f"number\n{TEST_ONE}\n".encode("utf-16-le"), "n.csv", "Save it as CSV UTF-8"),
        (f"number\n{TEST_ONE}\n\xff".encode("latin-1"), "n.csv", "line 3 is not UTF-8 text."),
        ("  \n", "n.csv", "the file is empty. Write `number` as the first line"),
        ("number\n\n", "n.csv", "n.csv names no number. Put one on each line."),
        (f"{TEST_ONE}\n", "n.csv", "there is no column number. Write `number` as the first line"),
        (f"numbers\n{TEST_ONE}\n", "n.csv", "there is no column number (did you mean number?)."),
        (f"number,Number\n{TEST_ONE},\n", "n.csv", "line 1: number stands twice."),
        (f'number\n"{TEST_ONE}\n', "n.csv", "not valid CSV: line 2"),
        (f"number\n{TEST_ONE},Hall\n", "n.csv", "line 2: 2 cells, the header has 1"),
        ("{", "n.json", "not valid JSON"),
        ('{"numbers": [14155550123]}', "n.json", "numbers[0]: it is a whole number; write it as"),
        ("number,label\n,Hall\n", "n.csv", "line 2: it has no number"),
    ],
)
def test_what_is_no_list_of_numbers_is_refused_with_what_to_do(
    desk: Machine, put: Put, content: str | bytes, name: str, said: str
) -> None:
    done = desk.piped(*ATTACH, "--from", put(content, name), "--plan-only")

    assert done.returncode == 1 and said in done.stderr, done.stderr
    assert done.stderr.startswith("INVALID_ARGUMENTS: ") and not done.stdout


def test_only_the_column_number_is_used_and_the_others_are_named(desk: Machine, put: Put) -> None:
    path = put(f"number,provider,notes\n{TEST_ONE},vonage,call first\n")

    done = desk.piped(*ATTACH, "--from", path, "--plan-only")

    assert done.returncode == 0
    assert "numbers.csv: only number is read, not provider, notes." in done.stderr


def test_a_file_that_never_ends_is_not_read_to_its_end(desk: Machine, put: Put) -> None:
    endless = desk.piped(*ATTACH, "--from", "/dev/zero", "--plan-only")
    huge = Path(put("number\n"))
    with huge.open("r+b") as file:
        file.truncate(65 * 1024 * 1024)
    large = desk.piped(*ATTACH, "--from", str(huge), "--json")

    for done in (endless, large):
        assert done.returncode == 1 and "it has more than 64 MB." in done.stderr


def test_a_file_is_read_no_further_than_one_plan_can_take(desk: Machine, put: Put) -> None:
    lines = "".join(f"+1212{2_000_000 + index}\n" for index in range(100_001))

    done = desk.piped(*ATTACH, "--from", put(f'number\n{lines}"not read'), "--plan-only")

    assert done.stderr.startswith("LIMIT_EXCEEDED: One plan takes 100,000 numbers at most.")


# --- what is refused --------------------------------------------------------------------------

BAD = ["+1", "call me", "0049 30 1234", "=1+1", "+12", "x", "y"]


def test_every_bad_row_is_told_to_a_program_and_in_the_list_in_the_order_of_the_file(
    desk: Machine, put: Put
) -> None:
    path = put("".join(f"{line}\n" for line in ("number", TEST_ONE, *BAD, TEST_ONE)))
    target = desk.home / "refused.csv"

    done = desk.piped(*ATTACH, "--from", path, "--list", str(target), "--json")

    problems = json.loads(done.stdout)["error"]["problems"]
    places = [f"line {line}" for line in range(3, 11)]
    assert done.returncode == 1 and [problem["place"] for problem in problems] == places
    assert problems[-1]["code"] == "DUPLICATE_NUMBER"
    assert "… and 3 more" in done.stderr and "--list FILE or --json tells all" in done.stderr
    listed = rows(target)
    assert [row["detail"].split(": ")[1] for row in listed] == places
    assert {row["outcome"] for row in listed} == {"refused"}
    assert listed[3]["number"] == "'=1+1"


def test_every_refused_number_is_told_with_its_line(desk: Machine, put: Put) -> None:
    path = put(f"number\n{NOT_OWNED}\n{TEST_ONE}\n{INDIA}\n")

    done = desk.piped(*ATTACH, "--from", path, "--json", "--list", str(desk.home / "x.csv"))

    told = [(p["place"], p["code"]) for p in json.loads(done.stdout)["error"]["problems"]]
    assert told == [("line 2", "NUMBER_NOT_FOUND"), ("line 4", "NUMBER_ATTACHED_ELSEWHERE")]
    assert [row["number"] for row in rows(desk.home / "x.csv")] == [NOT_OWNED, INDIA]


def test_the_numbers_of_a_file_are_narrowed_by_what_matches(desk: Machine, put: Put) -> None:
    path = put(f"number\n{INDIA}\n{TEST_ONE}\n{SUPPORT_LINE}\n{TEST_THREE}\n")

    free = planned(desk, "--from", path, "--match", "state:free")
    vonage = planned(desk, "--from", path, "--match", "provider:Vonage")
    none = desk.piped(*ATTACH, "--from", path, "--match", "label:nothing", "--plan-only")

    assert [c["number"] for c in free["changes"]] == [TEST_ONE, SUPPORT_LINE, TEST_THREE]
    assert free["remarks"] == ["Left out, because they do not match state:free: 1."]
    assert [c["number"] for c in vonage["changes"]] == [TEST_THREE]
    assert none.returncode == 1 and "No number of the file matches label:nothing." in none.stderr


def test_a_number_that_is_not_the_accounts_is_refused_whatever_matches(
    desk: Machine, put: Put
) -> None:
    path = put(f"number\n{NOT_OWNED}\n{TEST_ONE}\n")

    done = desk.piped(*ATTACH, "--from", path, "--match", "state:free", "--plan-only")

    assert done.returncode == 1 and f"{NOT_OWNED} does not belong" in done.stderr


def test_why_numbers_are_refused_is_told_also_where_the_list_cannot_be_written(
    desk: Machine, put: Put
) -> None:
    path = put("number\n+1\n")

    done = desk.piped(*ATTACH, "--from", path, "--plan-only", "--list", "no/such/x.csv")

    assert done.returncode == 1 and "--list: no/such/x.csv cannot be written" in done.stderr
    assert "INVALID_ARGUMENTS: numbers.csv: 1 bad row" in done.stderr


# --- the list that is written -----------------------------------------------------------------


def test_a_list_is_a_file_of_numbers_again(desk: Machine, put: Put) -> None:
    target = desk.home / "list.csv"
    first = planned(desk, "--match", "provider:telnyx", "--list", str(target))

    again = planned(desk, "--from", str(target))

    assert again["plan_id"] == first["plan_id"]


def test_the_file_that_is_read_is_never_written_over(desk: Machine, put: Put) -> None:
    path = put(f"number\n{TEST_ONE}\n")
    (desk.home / "link.csv").symlink_to(path)

    for same in (path, str(desk.home / "link.csv")):
        done = desk.piped(*ATTACH, "--from", path, "--list", same, "--plan-only")
        assert done.returncode == 1 and "name the same file" in done.stderr
    assert Path(path).read_text("utf-8") == f"number\n{TEST_ONE}\n"


def test_a_list_is_written_whole_or_not_at_all(desk: Machine) -> None:
    full = desk.piped(*ATTACH, "--match", "state:free", "--plan-only", "--list", "/dev/full")

    assert full.returncode == 1 and "No space left on device" in full.stderr
    assert "was made and waits" in full.stderr
    target = desk.home / "list.csv"
    target.write_text("an older one", "utf-8")
    planned(desk, "--match", "provider:telnyx", "--list", str(target))
    assert len(rows(target)) == 2
    assert {path.name for path in desk.home.iterdir() if "list" in path.name} == {"list.csv"}


def test_a_list_goes_to_standard_output_alone(desk: Machine) -> None:
    done = desk.piped(*ATTACH, "--match", "provider:telnyx", "--plan-only", "--list", "-")
    mixed = desk.piped(*ATTACH, "--match", "provider:telnyx", "--json", "--list", "-")

    found = [row["number"] for row in csv.DictReader(done.stdout.splitlines())]
    assert found == [TEST_ONE, TEST_TWO] and "Nothing has changed yet" in done.stderr
    assert mixed.returncode == 1 and "Add --plan-only, without --json" in mixed.stderr


def test_where_nothing_is_to_do_the_list_says_so_too(desk: Machine, put: Put) -> None:
    target = desk.home / "list.csv"
    target.write_text("an older one", "utf-8")

    options = ("--agent", "local:sales", "--from", put(f"number\n{INDIA}\n"), "--plan-only")
    done = desk.piped("attach", *options, "--list", str(target))

    assert done.returncode == 0 and done.stdout.startswith("Nothing to do")
    [row] = rows(target)
    assert (row["number"], row["outcome"], row["after"]) == (INDIA, "unchanged", "local:sales")

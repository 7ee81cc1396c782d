"""A file of numbers, as spreadsheets make them: its column `number` is read, and nothing else of it.

Read as far as one plan can take; every row that is no number is kept, with its line.
"""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

from cordboard import number as numbers
from cordboard.errors import ConfigError, DuplicateNumber, InvalidArguments, InvalidNumberFormat
from cordboard.errors import Problem as NumberProblem
from cordboard.platforms.local.checking import no_number
from cordboard.platforms.local.reading import Findings, Rows, kind_of, label_of, meant, read
from cordboard.request import few_enough

_MB = 64
_COLUMN = "number"
_DELIMITERS = (",", ";", "\t")
_HEAD = 65_536
"""The header lies in so many bytes."""
_SHORTENED = re.compile(r"\d([.,]\d+)?E\+?\d+", re.IGNORECASE)
_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_AS_TEXT = "Write `number` as the first line, and below it a number on each line, as +14155550123."


@dataclass(frozen=True, slots=True)
class Problem(NumberProblem):
    """A row that is refused. `place`: where it stands in the file; "" where no file was read."""

    place: str = ""

    def __str__(self) -> str:
        return f"{self.place}: {self.why}" if self.place else self.why


@dataclass
class NumberFile:
    """What a file holds: its numbers, each with its place, the rows that are none, and the names of
    columns that were not used."""

    label: str
    places: dict[str, str] = field(default_factory=dict[str, str])
    problems: list[Problem] = field(default_factory=list[Problem])
    unused: Sequence[str] = ()

    def take(self, value: object, place: str) -> None:
        """Take one more row. Raises: LimitExceeded for more than one plan takes."""
        text = value.strip() if isinstance(value, str) else ""
        if not isinstance(value, str):
            what = "no number" if value is None else kind_of(value)
            why = f"it is {what}; write it as text, as +14155550123"
            self.refuse(text, InvalidArguments.code, why, place)
        elif _SHORTENED.fullmatch(text):
            why = f'"{text}" was shortened by a spreadsheet; format the column as text, and fill it anew'
            self.refuse(text, InvalidNumberFormat.code, why, place)
        elif not numbers.is_canonical(text):
            why = no_number(numbers.check(text)) if text else "it has no number"
            self.refuse(text, InvalidNumberFormat.code, why, place)
        elif text in self.places:
            why = f"{text} stands twice, first at {self.places[text]}"
            self.refuse(text, DuplicateNumber.code, why, place)
        else:
            self.places[text] = place
        few_enough(len(self.places) + len(self.problems))

    def refuse(self, text: str, code: str, why: str, place: str) -> None:
        """Note a row that is no number."""
        self.problems.append(Problem(text[:200], code, why, place))


def read_numbers(path: str) -> NumberFile:
    """The numbers of a file, or of standard input (`-`), which is CSV; .json and .toml are read as
    `cordboard import` reads them, everything else as CSV.

    Raises: InvalidArguments for what cannot be read as a whole; LimitExceeded.
    """
    piped = path == "-"
    found = NumberFile("standard input" if piped else label_of(path))
    data = _contents(path, found.label)
    _must_be_text(data, found.label)
    if not piped and PurePath(path).suffix.lower() in (".json", ".toml"):
        _structured(data, path, found)
    else:
        _table(data, found)
    return found


def _contents(path: str, label: str) -> bytes:
    """Raises: InvalidArguments, without reading on, for more than any list of numbers is."""
    most = _MB * 1024 * 1024
    try:
        if path == "-":
            data = sys.stdin.buffer.read(most + 1)
        else:
            with Path(path).open("rb") as file:
                data = file.read(most + 1)
    except (OSError, ValueError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else str(exc)
        raise InvalidArguments(f"{label}: {why}.", "Check the path.") from None
    if len(data) > most:
        remedy = "Leave only the column number, or cut it into several files."
        raise InvalidArguments(f"{label}: it has more than {_MB} MB.", remedy)
    return data


def _must_be_text(data: bytes, label: str) -> None:
    if data.startswith(_WORKBOOKS):
        raise InvalidArguments(f"{label}: it is a workbook.", "Save it as CSV, and name that file.")
    if data.startswith(_UTF_16) or b"\0" in data[:_HEAD]:
        raise InvalidArguments(f"{label}: it is not UTF-8 text.", "Save it as CSV UTF-8.")
    if not data.removeprefix(b"\xef\xbb\xbf").strip():
        raise InvalidArguments(f"{label}: the file is empty.", _AS_TEXT)


def _structured(data: bytes, path: str, found: NumberFile) -> None:
    """JSON or TOML: a list of texts, or of objects, is the numbers."""
    bad = Findings()
    try:
        sections = read(data, path, bad)
    except ConfigError as exc:
        raise InvalidArguments(exc.what, exc.remedy) from None
    for line in bad.lines:
        found.refuse("", InvalidArguments.code, line, "")
    rows = sections.get("numbers") or Rows("{}", [], ())
    unused = dict.fromkeys(name for name in sections if name != "numbers")
    for index, row in enumerate(rows.rows):
        is_object = isinstance(row, dict)
        found.take(row.get(_COLUMN) if is_object else row, rows.place(index))
        unused |= dict.fromkeys(row.keys() - {_COLUMN}) if is_object else {}
    found.unused = list(unused)


def _table(data: bytes, found: NumberFile) -> None:
    """CSV. The separator is the one that makes a column `number` of the first line."""
    lines = io.TextIOWrapper(io.BytesIO(data), "utf-8-sig", newline="")
    with _readable(data, found.label) as at:
        reader = csv.reader(lines, delimiter=_delimiter(data), strict=True)
        header: list[str] = []
        for line, cells in _filled(reader, at):
            if not header:
                header = [cell.strip() for cell in cells]
                position = _position(header, line, found.label)
                found.unused = [name for name in header if name and name.lower() != _COLUMN]
            elif any(cell.strip() for cell in cells[len(header) :]):
                why = f"{len(cells)} cells, the header has {len(header)}"
                found.refuse("", InvalidArguments.code, why, f"line {line}")
            else:
                found.take(cells[position] if position < len(cells) else "", f"line {line}")


def _filled(reader: Any, at: list[int]) -> Iterator[tuple[int, list[str]]]:
    """The rows that have anything in them, with the line each begins at. `at`: the line last begun."""
    while True:
        at[0] = reader.line_num + 1
        cells = next(reader, None)
        if cells is None:
            return
        if any(map(str.strip, cells)):
            yield at[0], cells


@contextmanager
def _readable(data: bytes, label: str) -> Iterator[list[int]]:
    """Within, what cannot be read is told with its line. Gives where the line last begun is kept."""
    at = [1]
    try:
        yield at
    except csv.Error as exc:
        raise InvalidArguments(f"{label}: not valid CSV: line {at[0]}: {exc}.") from None
    except UnicodeDecodeError:
        line = at[0]
        try:
            data.decode("utf-8-sig")
        except UnicodeDecodeError as exc:
            line = data.count(b"\n", 0, exc.start) + 1
        what = f"{label}: line {line} is not UTF-8 text."
        raise InvalidArguments(what, "Save it as CSV UTF-8.") from None


def _delimiter(data: bytes) -> str:
    head = data[:_HEAD].decode("utf-8-sig", "replace").lstrip().splitlines()[0]
    for delimiter in _DELIMITERS:
        names = [name.strip(' "').lower() for name in head.split(delimiter)]
        if _COLUMN in names:
            return delimiter
    return _DELIMITERS[0]


def _position(header: Sequence[str], line: int, label: str) -> int:
    """Which column is the numbers'."""
    at = [index for index, name in enumerate(header) if name.lower() == _COLUMN]
    if len(at) == 1:
        return at[0]
    if at:
        raise InvalidArguments(f"{label}: line {line}: number stands twice.", "Leave one of them.")
    close = next((hint for name in header[:20] if (hint := meant(name, (_COLUMN,)))), "")
    raise InvalidArguments(f"{label}: line {line}: there is no column number{close}.", _AS_TEXT)

"""The formats of an inventory file: bytes to sections of rows, nothing in them judged yet."""

from __future__ import annotations

import csv
import difflib
import io
import json
import re
import sys
import tomllib
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from cordboard.display import quoted, shown
from cordboard.errors import ConfigError

SECTIONS = ("providers", "agents", "numbers", "pathways")
COLUMNS = ("number", "provider", "label", "purpose", "tags", "slug")
_MOST_SHOWN = 50


@dataclass
class Findings:
    """Sentences about rows: the first of them kept, all of them counted."""

    lines: list[str] = field(default_factory=list[str])
    count: int = 0

    def add(self, line: str) -> None:
        """Note one more."""
        self.count += 1
        if self.count <= _MOST_SHOWN:
            self.lines.append(line)

    def bad(self, place: str, name: str, why: str) -> None:
        """Note a bad row: where it stands, which field, what to do."""
        self.add(f"{place}, {quoted(name[:200], 60)}: {why}" if name else f"{place}: {why}")

    def listed(self) -> list[str]:
        """The lines kept, and how many more there are."""
        more = self.count - len(self.lines)
        return [*self.lines, f"… and {more} more"] if more else self.lines

    def refuse(self, label: str) -> None:
        """Raises: ConfigError with every bad row, if there is one."""
        if self.count:
            rows = "1 problem" if self.count == 1 else f"{self.count} problems"
            lines = "".join(f"\n- {line}" for line in self.listed())
            raise ConfigError(
                f"{label}: {rows}, so nothing of it is imported:{lines}\n",
                "Correct the file and import it again.",
            )


@dataclass(frozen=True)
class Rows:
    """Rows, and where in the file each stands: `numbers[3]`, or `line 5` of a CSV."""

    template: str
    rows: list[Any]
    at: Sequence[int]

    def place(self, index: int) -> str:
        """Where the row of that index stands."""
        return self.template.format(self.at[index])


def label_of(name: str) -> str:
    """A file's name as it is shown."""
    return shown(PurePath(name).name) or "the file"


def read(data: bytes, name: str, bad: Findings) -> dict[str, Rows]:
    """The sections of a file; its ending says what it is, or else its first line.

    Raises: ConfigError when the file as a whole cannot be read.
    """
    label = label_of(name)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = exc.object.count(b"\n", 0, exc.start) + 1
        raise ConfigError(f"{label}: line {line} is not UTF-8 text.", "Save it as UTF-8.") from None
    if not text.strip():
        raise ConfigError(f"{label}: the file is empty.", f"Write {', '.join(SECTIONS)} into it.")
    kind = PurePath(name).suffix.lower()
    kind = kind if kind in (".json", ".toml", ".csv") else _sniffed(text)
    try:
        if kind == ".csv":
            return {"numbers": _csv(text, label, bad)}
        data_found = _json(text) if kind == ".json" else tomllib.loads(text)
    except json.JSONDecodeError as exc:
        place = f"line {exc.lineno}, column {exc.colno}"
        raise ConfigError(f"{label}: not valid JSON: {place}: {exc.msg}.") from None
    except ValueError as exc:
        raise ConfigError(f"{label}: not valid {kind[1:].upper()}: {shown(str(exc))}.") from None
    except RecursionError:
        raise ConfigError(f"{label}: it is nested too deep.", "Flatten it.") from None
    return _sections(data_found, bad)


def _sniffed(text: str) -> str:
    first = text.lstrip().partition("\n")[0]
    if first.startswith("{"):
        return ".json"
    cells = re.split(r'[\s,;"]+', first)
    return ".csv" if "number" in cells and "=" not in cells else ".toml"


def _json(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_once)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; of a key given twice, Python would keep the last without a word."""
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{quoted(twice[:200], 60)} stands twice in one object")
    return found


def _sections(data: Any, bad: Findings) -> dict[str, Rows]:
    if not isinstance(data, dict):
        bad.bad("the file", "", f"it is {kind_of(data)}; write an object of {', '.join(SECTIONS)}")
        return {}
    found: dict[str, Rows] = {}
    for name, given in data.items():
        if name not in SECTIONS:
            why = f"unknown section{meant(name, SECTIONS)}; a file has {', '.join(SECTIONS)}"
            bad.bad("the file", name, why)
        elif not isinstance(given, list):
            bad.bad(name, "", f"it is {kind_of(given)}; write a list")
        else:
            found[name] = Rows(name + "[{}]", given, range(len(given)))
    return found


def _csv(text: str, label: str, bad: Findings) -> Rows:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    lines, rows = array("L"), list[Any]()
    try:
        header = [name.strip() for name in next(reader, [])]
        _check_header(header, label)
        while True:
            line = reader.line_num + 1
            cells = next(reader, None)
            if cells is None:
                return Rows("line {}", rows, lines)
            if cells and len(cells) != len(header):
                bad.bad(f"line {line}", "", f"{len(cells)} cells, the header has {len(header)}")
            elif cells:
                rows.append(_from_cells(dict(zip(header, cells, strict=True))))
                lines.append(line)
    except csv.Error as exc:
        raise ConfigError(f"{label}: not valid CSV: line {reader.line_num}: {exc}.") from None


def _from_cells(row: dict[str, Any]) -> dict[str, Any]:
    """A row as a JSON file would have it. An empty slug is one that is not given."""
    for name in ("provider", "purpose"):  # a few words a million times
        if name in row:
            row[name] = sys.intern(row[name])
    if "tags" in row:
        row["tags"] = [tag for tag in map(str.strip, row["tags"].split(";")) if tag]
    if row.get("slug") == "":
        del row["slug"]
    return row


def _check_header(header: list[str], label: str) -> None:
    wrong = [quoted(n[:200], 60) + meant(n, COLUMNS) for n in header if n not in COLUMNS]
    twice = sorted({name for name in header if name in COLUMNS and header.count(name) > 1})
    said = [f"unknown column {', '.join(wrong[:10])}"] if wrong else []
    said += [f"{', '.join(twice)} stands twice"] if twice else []
    said += ["there is no column number"] if "number" not in header else []
    if said:
        raise ConfigError(
            f"{label}: line 1: {'; '.join(said)}.",
            f"Write as the first line some of {','.join(COLUMNS)} with commas between.",
        )


def meant(name: str, known: Iterable[str]) -> str:
    """What may have been meant by a name nobody knows, as an aside; else nothing."""
    close = difflib.get_close_matches(name[:60].lower(), list(known), 1)
    return f" (did you mean {close[0]}?)" if close else ""


def kind_of(value: Any) -> str:
    """A value's type in words."""
    kinds = {
        "str": "text",
        "int": "a whole number",
        "float": "a fraction",
        "bool": "true or false",
        "NoneType": "null",
        "list": "a list",
        "dict": "an object",
    }
    return kinds.get(type(value).__name__, "a date or time")

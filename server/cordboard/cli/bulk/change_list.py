"""The exact list behind a plan of many numbers, as CSV: every change, or every number refused."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cordboard import facts
from cordboard.cli.bulk.number_file import Problem
from cordboard.cli.session import written
from cordboard.display import printable
from cordboard.errors import InvalidArguments
from cordboard.errors import Problem as NumberProblem
from cordboard.number import is_canonical
from cordboard.plan import Change

_COLUMNS = (
    "number", "label", "provider", "purpose", "tags", "before", "after", "outcome", "detail",
)  # fmt: skip
_FORMULA = ("=", "+", "-", "@", "\t")


@dataclass(frozen=True)
class ChangeList:
    """Where the list goes. `path` None: to standard output; not `wanted`: nowhere."""

    wanted: bool = False
    path: Path | None = None

    @classmethod
    def of(cls, named: str, source: str, *, apart: bool) -> ChangeList:
        """From `--list`: "" for none, "-" for standard output. `source`: the file of numbers, which
        is never written over; `apart`: whether nothing else goes to standard output.

        Raises: InvalidArguments.
        """
        if named == "-" and not apart:
            what = "--list - writes to standard output, where more stands than the list."
            raise InvalidArguments(what, "Add --plan-only, without --json; or name a file.")
        if named in ("", "-"):
            return cls(bool(named))
        path = Path(named)
        try:
            same = source not in ("", "-") and path.exists() and path.samefile(source)
        except (OSError, ValueError):
            same = False  # what is wrong with either is told where it is used
        if same:
            what = "--list and --from name the same file."
            raise InvalidArguments(what, "Name another for --list.")
        return cls(True, path)

    def write(self, changes: Iterable[Change]) -> None:
        """Every change as a row. Raises: ConfigError where it cannot be written."""
        self._write(map(_row, changes))

    def write_refused(self, problems: Iterable[NumberProblem]) -> None:
        """Every number that is refused, with its line and why. Raises: ConfigError."""
        self._write(map(_refused, problems))

    def _write(self, rows: Iterable[tuple[str, ...]]) -> None:
        if not self.wanted:
            return
        with written(self.path) as file:
            table = csv.writer(file)
            table.writerow(_COLUMNS)
            table.writerows(rows)


def _row(change: Change) -> tuple[str, ...]:
    image = change.image
    return (
        change.number,
        _cell(image.label),
        _cell(image.provider),
        image.purpose,
        _cell(";".join(image.tags)),
        _cell(facts.describe_side(change.before)),
        _cell(facts.describe_side(change.after)),
        change.outcome,
        _cell(change.detail),
    )


def _refused(problem: NumberProblem) -> tuple[str, ...]:
    number = problem.number if is_canonical(problem.number) else _cell(problem.number)
    said = str(problem) if isinstance(problem, Problem) else problem.why
    return (number, *[""] * 6, "refused", _cell(f"{problem.code}: {said}"))


def _cell(text: str) -> str:
    """A text of others', which a spreadsheet that opens the file must not take for a formula."""
    safe = printable(text)
    return f"'{safe}" if safe.startswith(_FORMULA) else safe

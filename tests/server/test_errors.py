"""The tree of refusals: drawn as it is, every code of the contract there, each with a remedy."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import combinations, permutations

import pytest
from tests.world import CODES

from cordboard import errors
from cordboard.errors import CordboardError, NumberRefused, Problem, refusal

ORDER = ("INVALID_NUMBER_FORMAT", "DUPLICATE_NUMBER", "NUMBER_NOT_FOUND",
         "NUMBER_ATTACHED_ELSEWHERE", "NUMBER_NOT_ATTACHED")  # fmt: skip


def tree(kind: type[CordboardError]) -> Iterator[type[CordboardError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from tree(below)


CLASSES = list(tree(CordboardError))
WITHOUT_CODE = {"CordboardError", "RequestError", "NumberRefused", "GuardError", "AnswerLost"}
"""Branches of the tree, and the one that no caller ever sees."""


def drawn() -> list[tuple[str, str, str]]:
    """The drawing in the module's docstring, read: (class, class above it, code or "")."""
    found: list[tuple[str, str, str]] = []
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"^    ([ │├└─]*)([A-Z][A-Za-z]+)(?:\s+([A-Z_]+)?.*)?$", line)
        if match is None:
            continue
        depth, name, code = len(match[1]) // 4, match[2], match[3] or ""
        del above[depth:]
        found.append((name, above[-1] if above else "", code))
        above.append(name)
    return found


def test_the_drawing_shows_every_class_under_the_one_it_is_of() -> None:
    real = [(c.__name__, c.__bases__[0].__name__) for c in CLASSES]
    told = [(name, above or "Exception") for name, above, _ in drawn()]
    assert sorted(told) == sorted(real)


def test_the_drawing_gives_every_class_its_code() -> None:
    codes = {c.__name__: c.code for c in CLASSES}
    with_code = {name: code for name, _, code in drawn() if len(code) > 1}
    assert set(with_code) == {c.__name__ for c in CLASSES} - WITHOUT_CODE
    assert {name: codes[name] for name in with_code} == with_code


def test_every_code_of_the_contract_has_one_class_and_there_are_no_others() -> None:
    leaves = [c for c in CLASSES if c.__name__ not in WITHOUT_CODE]
    codes = [c.code for c in leaves]
    assert len(codes) == len(set(codes))
    assert set(codes) == CODES | {"INVALID_CONFIGURATION"}


@pytest.mark.parametrize("kind", CLASSES, ids=lambda c: c.__name__)
def test_an_error_says_code_cause_remedy_and_that_nothing_changed(
    kind: type[CordboardError],
) -> None:
    plain, told = kind("It rains."), kind("It rains.", "Take an umbrella.")
    assert plain.remedy == kind.default_remedy
    assert re.fullmatch(r"[A-Z`a-z].*[.]", kind.default_remedy, re.DOTALL), "a sentence"
    assert str(plain) == f"{kind.code}: It rains. {kind.default_remedy} Nothing was changed."
    assert str(told) == f"{kind.code}: It rains. Take an umbrella. Nothing was changed."
    assert re.fullmatch(r"[A-Z_]+", kind.code)
    assert kind.__doc__


@pytest.mark.parametrize("codes", [c for n in (1, 2, 3, 5) for c in combinations(ORDER, n)])
def test_the_leading_code_of_a_batch_is_the_first_that_applies(codes: tuple[str, ...]) -> None:
    for order in list(permutations(codes))[:6]:
        problems = [
            Problem(f"+1415555010{i}", code, f"Number {i} is bad.") for i, code in enumerate(order)
        ]
        error = refusal(problems)
        assert isinstance(error, NumberRefused)
        assert error.code == min(codes, key=ORDER.index)
        assert str(error).startswith(f"{error.code}: ")
        for i in range(len(order)):
            assert f"Number {i} is bad." in str(error), "every bad number is listed"
        for code in set(codes) - {error.code}:
            assert f"({code})" in str(error)
        assert sorted(p.number for p in error.problems) == sorted(p.number for p in problems)

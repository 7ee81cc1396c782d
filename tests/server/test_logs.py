"""What a server logs: one line an event, without tracebacks, values or whole numbers."""

from __future__ import annotations

import logging

import pytest

from cordboard.logs import _OneLine


def line(message: str, *, broken: bool = False) -> str:
    """A message as it stands in the log."""
    info = None
    if broken:
        try:
            raise ValueError("+14155551234 was in play")
        except ValueError as exc:
            info = (type(exc), exc, exc.__traceback__)
    record = logging.LogRecord("cordboard", logging.ERROR, __file__, 1, message, (), info)
    return _OneLine("%(message)s").format(record)


@pytest.mark.parametrize("number", ["+14155551234", "%2B14155551234", "%2b14155551234"])
def test_a_number_is_masked_also_in_an_address(number: str) -> None:
    said = line(f"Resource 'cordboard://numbers/{number}' failed")
    assert "5555" not in said and "•" in said and "cordboard://numbers/" in said


def test_an_error_is_one_line_with_its_kind_and_place_and_nothing_it_said() -> None:
    said = line("it broke", broken=True)
    assert "\n" not in said and "ValueError at " in said and "was in play" not in said
    assert "Traceback" not in said

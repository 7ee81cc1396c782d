"""Canonical JSON is RFC 8785's for everything Cordboard keeps."""

from __future__ import annotations

import json
import string

import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from cordboard.canonical import canonical, digest

_TEXT = st.text()  # no lone surrogates by default
_KEYS = st.text(string.ascii_letters + string.digits + "_", max_size=12)
_SAFE_INTEGERS = st.integers(-(2**53) + 1, 2**53 - 1)
KEPT = st.recursive(
    st.booleans() | _SAFE_INTEGERS | _TEXT,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(_KEYS, inner, max_size=5),
    max_leaves=25,
)


@given(KEPT)
def test_it_is_the_text_of_rfc_8785(value: object) -> None:
    assert canonical(value).encode() == rfc8785.dumps(value)  # type: ignore[arg-type]


@given(KEPT)
def test_reading_it_back_and_writing_it_again_changes_nothing(value: object) -> None:
    text = canonical(value)
    assert canonical(json.loads(text)) == text


def test_the_order_of_keys_does_not_matter_and_every_value_does() -> None:
    assert digest(canonical({"b": 1, "a": 2})) == digest(canonical({"a": 2, "b": 1}))
    assert digest(canonical({"a": 1})) != digest(canonical({"a": True}))

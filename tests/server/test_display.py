"""Text from outside, shown: one line, nothing invisible, no links, never too long."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cordboard.display import SHOWN_CHARACTERS, printable, quoted, shown

URL = re.compile(r"(?i)[a-z][a-z0-9+.-]+://|www\.\S|(?:mailto|javascript|data):\S")
DOMAIN = re.compile(r"(?i)[a-z0-9-]+\.[a-z]{2,}/\S")
pieces = st.one_of(
    st.text(max_size=30),
    st.text(st.characters(categories=["Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"]), max_size=3),
    st.sampled_from(
        ["https://evil.example/x", "HTTP://", "www.evil.example", "javascript:alert(1)", "mailto:a@b",
         "evil.example/pay", "ht", "tps://", "://", "\u202e", "\u200b", "\x1b[31m", " ", "\n", '"', "'"]
    ),
)  # fmt: skip
hostile = st.lists(pieces, max_size=12).map("".join)


@given(hostile, st.integers(1, 300))
@example("ht\u200btps://evil.example", 200)
@example("31mhttps://evil.example", 200)
@example("hthttps://x tps://evil.example", 200)
@example("x" * 190 + " https://evil.example/a/b/c", 200)
@example("www.\u2028evil.example", 200)
@example("\u00b9evil.example/pay", 200)
@example("\u00e9evil.example/pay", 200)
def test_shown_text_is_one_clean_line_within_its_limit(text: str, limit: int) -> None:
    said = shown(text, limit)
    assert len(said) <= limit
    for character in said:
        kind = unicodedata.category(character)
        assert kind[0] != "C" and kind not in ("Zl", "Zp"), f"{character!r} is {kind}"
    assert said == " ".join(said.split(" ")) and said.strip(" ") == said
    assert not URL.search(said), said
    assert not DOMAIN.search(said), said


@given(hostile)
def test_showing_twice_changes_nothing_more(text: str) -> None:
    assert shown(shown(text)) == shown(text)


@given(hostile, st.integers(1, 300))
def test_a_quote_cannot_be_ended_from_inside(text: str, limit: int) -> None:
    said = quoted(text, limit)
    assert said[0] == said[-1] == '"'
    assert '"' not in said[1:-1]
    assert len(said) <= limit + 2


@given(st.text(st.characters(categories=["L", "N"]), max_size=SHOWN_CHARACTERS))
def test_plain_words_are_shown_as_they_are(text: str) -> None:
    assert shown(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Support\tLine\r\n2", "Support Line 2"),
        ("a\u202eb\u2066c\u200dd\ufefe", "abcd"),
        ("\x1b[31mred\x1b[0m\x07", "[31mred[0m"),
        ("see https://evil.example/a?b=c now", "see [link removed] now"),
        ("www.evil.example", "[link removed]"),
        ("pay at evil.example/pay now", "pay at [link removed] now"),
        ("Agent 007, v1.2 (beta)", "Agent 007, v1.2 (beta)"),
        ("24/7 desk a.b", "24/7 desk a.b"),
        ("", ""),
        ("   ", ""),
    ],
)
def test_some_labels(text: str, expected: str) -> None:
    assert shown(text) == expected


def test_too_long_text_ends_with_an_ellipsis() -> None:
    assert shown("x" * 200) == "x" * 200
    assert shown("x" * 201) == "x" * 199 + "…"


def test_an_id_from_outside_is_shown_as_it_stands_but_for_what_fools_a_reader() -> None:
    assert printable("pathway_abc.123") == "pathway_abc.123"
    assert printable("a.com/x") == "a.com/x"
    assert printable("a\x1b[31mb\u202ec\nd") == "a\ufffd[31mb\ufffdc\ufffdd"

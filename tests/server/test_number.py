"""What a Number is, checked against examples, a hostile corpus and phonenumbers itself."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import phonenumbers
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from cordboard.number import (
    PATTERN,
    Verdict,
    check,
    check_all,
    is_canonical,
    masked,
    nearest,
    neighbours,
)

US = "+14155551234"
INDIA = "+918062810341"
BRITAIN = "+442012345678"

# Every number that the vendors' documentation this project began with gives as an example.
DOCUMENTED = [
    INDIA,
    "+12025551234",
    "+14165551234",
    BRITAIN,
    "+61212345678",
    "+971501234567",
    "+6512345678",
    US,
    "+14155555678",
    "+16286666348",
    "+12131231214",
]
DOCUMENTED_OUTSIDE_THE_PLAN = ["+6512345678", "+12131231214"]
DOCUMENTED_AS_INVALID = {
    "918062810341": 'it has no leading "+"',
    "(918) 062-810341": 'it has no leading "+" and it contains spaces or punctuation',
    "+91 8062 810341": "it contains spaces or punctuation",
}

OTHER_DIGITS = {
    "full-width": 0xFF10,
    "Arabic-Indic": 0x0660,
    "Persian": 0x06F0,
    "Devanagari": 0x0966,
    "Bengali": 0x09E6,
    "Thai": 0x0E50,
    "mathematical bold": 0x1D7CE,
}
INVISIBLE = [
    "\u200b",  # zero-width space
    "\u200c",
    "\u200d",
    "\u2060",  # word joiner
    "\ufeff",  # byte order mark
    "\u200e",
    "\u202a",
    "\u202d",
    "\u202e",  # right-to-left override
    "\u2066",
    "\u2069",
    "\u00ad",  # soft hyphen
    "\x00",
    "\x07",
    "\x1b",
    "\x7f",
    "\x85",
    "\n",
    "\r",
    "\r\n",
    "\t",
    "\x0b",
    "\ud800",  # half of a surrogate pair
]
SPACING = [
    " ",
    "  ",
    "\u00a0",
    "\u2003",
    "\u2028",
    "\u3000",
    "-",
    ".",
    "/",
    "(",
    ")",
    "_",
    "\u2011",
]
EMERGENCY_AND_SHORT = (
    "911 112 999 108 000 100 101 110 113 118 119 122 190 933 988 1091 40404 116117"
)


def _in_digits_from(zero: int, number: str) -> str:
    return "".join(chr(zero + int(sign)) if sign.isdigit() else sign for sign in number)


def _inserted(what: str, number: str) -> list[str]:
    return [number[:at] + what + number[at:] for at in (0, 1, 2, 5, len(number))]


def _hostile() -> dict[str, list[str]]:
    """Families of texts that somebody could send as a number and that are none."""
    numbers = (US, INDIA, BRITAIN)
    bare = [number[1:] for number in numbers]
    local = ["2071234567", "4155551234", "08062810341", "02012345678", "5551234"]
    short = EMERGENCY_AND_SHORT.split()
    vanity = ["+1800FLOWERS", "+1-800-FLOWERS", "1800CALLNOW", "+44800CALLME", "+1415LILOOIO"]
    pairs = [",", ";", " ", "/", "+", "\n", " or ", "", ", ", "|", "&", "%2C"]
    tails = ["x12", "ext12", "#12", ";ext=12", ";isub=12", ";postd=pp22", ",,12#", "p12", "#"]
    trunk = ["+4402012345678", "+54111523456789", "+9108062810341", "+330123456789"]
    trunk += ["+44(0)2012345678", "+114155551234", "+49030123456"]
    wrong_length = ["+1415555123", "+141555512345", "+15551234", "+5215512345678", "+911234567"]
    wrong_length += ["+9715012345678901", "+651234567", "+8005551234", "+33123"]
    data = ["null", "None", "undefined", "NaN", "true", "[]", "{}", '"' + US + '"', f"'{US}'"]
    data += [f'["{US}"]', "1.4155551234e10", "0x14155551234", "../" + US, US + "'--", US + "%00"]
    data += ["%2B14155551234", "&#43;14155551234", "\\u002b14155551234", "*", "+*", "sip:a@b.c"]
    return {
        "nothing": ["", "+", "++", " ", "\n", "+ ", "-", "+-", "#", "\x00", "+\u200b"],
        "digits of other scripts": [
            _in_digits_from(zero, number) for zero in OTHER_DIGITS.values() for number in numbers
        ]
        + [number[:-1] + chr(z + 4) for z in OTHER_DIGITS.values() for number in numbers]
        + ["\uff0b" + one for one in bare]
        + ["+1415555123\u00b2", "+1415555123\u2463", "\u207a14155551234", "\ufe6214155551234"],
        "invisible characters": [
            text for what in INVISIBLE for number in (US, INDIA) for text in _inserted(what, number)
        ],
        "spaces and punctuation": [
            text for what in SPACING for number in (US, INDIA) for text in _inserted(what, number)
        ],
        "links": [start + one for start in ("tel:", "TEL:", "callto:", "sip:") for one in numbers]
        + ["tel:5551234;phone-context=+1415", f"<{US}>", f"https://wa.me/{bare[0]}"],
        "extensions": [number + tail for number in numbers for tail in tails]
        + [f"{number} {tail}" for number in numbers for tail in tails],
        "prefixes of one country": [p + one for p in ("00", "011", "0", "010") for one in bare]
        + [p + one for p in ("+0", "+00", "+011", "++", "+ +") for one in bare],
        "no calling code": bare + local + ["+" + one for one in local[2:]],
        "letters": [
            *vanity,
            *["+1415555l234", "+1415555123O", "+I4155551234", "+44207946o958", "+9l8062810341"],
            *["+1415555\u041e234", "+\u04624155551234", "abcdefgh", "+abcdefgh", US + "a"],
        ],
        "two numbers in one": [US + between + INDIA for between in pairs],
        "too long": [US + "0" * more for more in range(5, 12)]
        + ["+" + "1" * 16, "+4930123456789012", "+" + "9" * 1000, "9" * 100_000, " " * 5000],
        "trunk zeros and old prefixes": trunk,
        "wrong length": wrong_length,
        "unassigned calling codes": [f"+{code}12345678" for code in (210, 384, 699, 857, 999)],
        "emergency and short codes": short
        + ["+" + code for code in short]
        + ["+91" + code for code in short if len(code) < 4]
        + ["\uff19\uff11\uff11", "911 ", " 112", "+1 911", "911#", "+49116117"],
        "data": data,
    }


HOSTILE = [(family, text) for family, texts in _hostile().items() for text in texts]


def _distance(one: str, other: str) -> int:
    """How many edits lie between two texts: the textbook table, swaps of neighbours included."""
    rows = [[max(i, j) for j in range(len(other) + 1)] for i in range(len(one) + 1)]
    for i in range(1, len(one) + 1):
        for j in range(1, len(other) + 1):
            cost = one[i - 1] != other[j - 1]
            rows[i][j] = min(rows[i - 1][j] + 1, rows[i][j - 1] + 1, rows[i - 1][j - 1] + cost)
            if i > 1 and j > 1 and one[i - 2 : i] == other[j - 2 : j][::-1]:
                rows[i][j] = min(rows[i][j], rows[i - 2][j - 2] + 1)
    return rows[-1][-1]


def _example(region: str, kind: int = phonenumbers.PhoneNumberType.MOBILE) -> str:
    """An ordinary number of a country, or "" where there is none of that kind."""
    found = phonenumbers.example_number_for_type(region, kind)
    return phonenumbers.format_number(found, phonenumbers.PhoneNumberFormat.E164) if found else ""


def _assert_sound(text: str) -> Verdict:
    """All that must hold of a verdict, whatever was asked."""
    verdict = check(text)
    assert verdict.text == text
    if verdict.ok:
        assert re.fullmatch(r"\+[1-9][0-9]{6,14}", text, re.ASCII) and text.isascii()
        read = phonenumbers.parse(text, None)
        assert phonenumbers.format_number(read, phonenumbers.PhoneNumberFormat.E164) == text
        assert phonenumbers.is_possible_number(read)
        assert verdict.reason == verdict.did_you_mean == ""
        assert bool(verdict.warning) or phonenumbers.is_valid_number(read)
        assert not verdict.warning or verdict.warning.startswith(text + ": ")
    else:
        assert verdict.reason and verdict.warning == ""
        assert verdict.reason.isascii() and verdict.reason.isprintable()
        if verdict.did_you_mean:
            assert verdict.did_you_mean != text
            assert check(verdict.did_you_mean).ok
    return verdict


# A country's rules are loaded at its first number, which may take long on a busy machine.
unhurried = settings(deadline=None)

near_numbers = st.text("+0123456789", max_size=18)
shaped = st.from_regex(re.compile(r"\+[1-9][0-9]{6,14}", re.ASCII), fullmatch=True)
calling_codes = st.sampled_from(sorted(phonenumbers.COUNTRY_CODE_TO_REGION_CODE))
dialled = st.builds(
    lambda code, rest: f"+{code}{rest}",
    calling_codes,
    st.text("0123456789", min_size=4, max_size=12),
)
real = st.builds(
    lambda region, last: _example(region)[:-3] + last,
    st.sampled_from(sorted(phonenumbers.SUPPORTED_REGIONS)),
    st.text("0123456789", min_size=3, max_size=3),
).filter(lambda number: check(number).ok)
soiled = st.builds(
    lambda number, dirt, at: number[:at] + dirt + number[at:],
    dialled,
    st.sampled_from([*INVISIBLE, *SPACING, "x", "O", "+", "\u0661", "\uff11"]),
    st.integers(0, 16),
)


@pytest.mark.parametrize("number", DOCUMENTED)
def test_every_documented_example_is_accepted(number: str) -> None:
    assert _assert_sound(number).ok


@pytest.mark.parametrize("number", DOCUMENTED)
def test_only_documented_examples_outside_the_plan_get_a_warning(number: str) -> None:
    assert bool(check(number).warning) == (number in DOCUMENTED_OUTSIDE_THE_PLAN)


@pytest.mark.parametrize(("text", "reason"), DOCUMENTED_AS_INVALID.items())
def test_what_is_documented_as_invalid_is_refused_and_the_right_form_is_shown(
    text: str, reason: str
) -> None:
    assert check(text) == Verdict(text, False, reason, INDIA, "")


def test_the_warning_names_the_number_the_country_and_the_data_it_rests_on() -> None:
    assert check("+12131231214").warning == (
        "+12131231214: right length for US, but not in the numbering plan "
        f"(phonenumbers {phonenumbers.__version__}); check for a typo."
    )


def test_the_hostile_corpus_is_large_and_has_no_repeats() -> None:
    texts = [text for _, text in HOSTILE]
    assert len(texts) >= 300
    assert sorted({text for text in texts if texts.count(text) > 1}) == []


@pytest.mark.parametrize(
    ("family", "text"), HOSTILE, ids=[f"{family} {at}" for at, (family, _) in enumerate(HOSTILE)]
)
def test_nothing_in_the_hostile_corpus_is_accepted(family: str, text: str) -> None:
    assert not _assert_sound(text).ok, family


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "it is empty"),
        ("14155551234", 'it has no leading "+"'),
        ("+1 415 555 1234", "it contains spaces or punctuation"),
        ("+1415555123\u0664", "it contains characters that are not plain ASCII digits"),
        ("+1415555123\n", "it contains control or invisible characters"),
        ("\u202e+14155551234", "it contains control or invisible characters"),
        ("+1415555l234", "it contains letters"),
        ("tel:+14155551234", "it is written as a link"),
        ("+14155551234;ext=12", "it carries an extension"),
        ("+14155551234 x12", "it carries an extension"),
        ("0014155551234", "it begins with 00: write +"),
        ("01114155551234", "it begins with 011: write +"),
        ("+014155551234", "no calling code begins with 0"),
        ("++14155551234", 'it has more than one "+"'),
        ("+4930123456789012", "too long: E.164 allows 15 digits"),
        ("+" + "9" * 1000, "too long: E.164 allows 15 digits"),
        ("-" * 1000, "too long: E.164 allows 15 digits"),
        ("911", "it is an emergency or short code"),
        ("+112", "it is an emergency or short code"),
        ("+91108", "it is an emergency or short code"),
        ("+49116117", "it is an emergency or short code"),
        ("+99912345678", "no country has the calling code 999"),
        ("+1415555123", "US numbers have 10 digits, this has 9"),
        ("+15551234", "US numbers have 10 digits, this has 7"),
        ("+13101234", "US numbers have 10 digits, this has 7"),  # valid, but only within Canada
        ("+911234567", "IN numbers have 8 to 13 digits, this has 7"),
        ("+8005551234", "+800 numbers have 8 digits, this has 7"),
        ("+4402012345678", "it is not written the canonical way"),
    ],
)
def test_a_refusal_says_what_is_wrong(text: str, reason: str) -> None:
    assert reason in check(text).reason


def test_a_refusal_says_everything_that_is_wrong_at_once() -> None:
    assert check("tel:1 415 555 1234;ext=5").reason == (
        "it is written as a link and it carries an extension and "
        'it has no leading "+" and it contains spaces or punctuation'
    )


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("14155551234", US),
        ("tel:+14155551234", US),
        ("+14155551234 x12", US),
        ("+14155551234;isub=99", US),
        ("0014155551234", US),
        ("01114155551234", US),
        ("+14155551234\n", US),
        ("\ufeff+1415\u200b5551234", US),
        ("\uff0b\uff11\uff14\uff11\uff15\uff15\uff15\uff15\uff11\uff12\uff13\uff14", US),
        ("+44 (0)20 1234 5678", BRITAIN),
        ("+44 20 1234,5678", BRITAIN),
        ("+4402012345678", BRITAIN),
        ("+54111523456789", "+5491123456789"),
        ("+1-800-FLOWERS", "+18003569377"),
    ],
)
def test_what_was_probably_meant_is_shown(text: str, meant: str) -> None:
    assert check(text).did_you_mean == meant


@pytest.mark.parametrize(
    "text",
    [
        "+44207946o958",  # phonenumbers would drop the letter: another, shorter number
        "+4420794609l8",
        "+1415lIO1234",  # mistyped digits, not a word on the keys
        "+1415555B234",
        "+44207946\u041e\u041e\u041e8",
        f"{US},{INDIA}",
        f"{US} {INDIA}",
        "+4930/1234/4930/1234/99",
        "911",
        "+5215512345678",
        "+ 49 116117",
        "tel:5551234;phone-context=+1415",
        "9" * 5000,
    ],
)
def test_nothing_is_shown_where_it_would_be_somebody_elses_number(text: str) -> None:
    assert not check(text).ok
    assert check(text).did_you_mean == ""


@unhurried
@given(real, st.sampled_from([" ", "-", ".", "(", "\u200b", "\u00a0", "\n"]), st.integers(0, 16))
def test_what_is_shown_for_a_number_with_a_separator_in_it_is_that_number(
    number: str, separator: str, at: int
) -> None:
    verdict = check(number[:at] + separator + number[at:])
    assert (verdict.ok, verdict.did_you_mean) == (False, number)


@pytest.mark.parametrize("number", ["+91806281034", "+9180628103411"])
def test_an_indian_number_with_a_digit_too_few_or_too_many_gets_a_warning_that_says_so(
    number: str,
) -> None:
    said = f"Indian geographic and mobile numbers have 10 digits, this has {len(number) - 3}"
    assert check(number).ok
    assert said in check(number).warning


@pytest.mark.parametrize("number", ["+911800123456", "+9118001234567", "+911401234567"])
def test_indian_toll_free_and_promotional_numbers_are_not_held_to_ten_digits(number: str) -> None:
    assert check(number) == Verdict(number, True, "", "", "")


@pytest.mark.parametrize(
    ("number", "said"),
    [
        ("+80012345678", "calling code 800 is not tied to a country"),
        ("+80812345678", "calling code 808 is not tied to a country; a shared-cost number"),
        ("+870773111632", "calling code 870 is not tied to a country"),
        ("+878101234567890", "calling code 878 is not tied to a country"),
        ("+881612345678", "calling code 881 is not tied to a country"),
        ("+88213123456", "calling code 882 is not tied to a country; right length for +882, but"),
        ("+883510012345", "calling code 883 is not tied to a country"),
        ("+979123456789", "calling code 979 is not tied to a country; a premium-rate number"),
        ("+19005551234", "a premium-rate number"),
        ("+449012345678", "a premium-rate number"),
        ("+15005550006", "a personal number"),
        ("+447012345678", "a personal number"),
    ],
)
def test_unusual_kinds_of_number_are_accepted_with_a_warning(number: str, said: str) -> None:
    verdict = _assert_sound(number)
    assert verdict.ok
    assert said in verdict.warning


@pytest.mark.parametrize("region", sorted(phonenumbers.SUPPORTED_REGIONS))
def test_no_countrys_ordinary_number_is_refused(region: str) -> None:
    types = phonenumbers.PhoneNumberType
    kinds = (types.FIXED_LINE, types.MOBILE, types.TOLL_FREE, types.VOIP)
    numbers = {_example(region, kind) for kind in kinds} - {""}
    assert numbers
    for number in numbers:
        assert check(number) == Verdict(number, True, "", "", "")


@unhurried
@given(st.text())
@example("\ud800")
@example("+" + "\u0661" * 11)
def test_any_text_gets_a_sound_verdict(text: str) -> None:
    _assert_sound(text)


@unhurried
@given(near_numbers | shaped | dialled | soiled)
def test_any_text_close_to_a_number_gets_a_sound_verdict(text: str) -> None:
    _assert_sound(text)


@unhurried
@given(real | dialled)
def test_a_number_gets_a_plan_warning_exactly_when_phonenumbers_calls_it_not_valid(
    number: str,
) -> None:
    verdict = check(number)
    if verdict.ok:
        valid = phonenumbers.is_valid_number(phonenumbers.parse(number, None))
        assert ("not in the numbering plan" in verdict.warning) == (not valid)


@unhurried
@given(st.lists(near_numbers | dialled | st.text()))
def test_many_are_judged_as_each_alone_in_the_order_given(texts: list[str]) -> None:
    verdicts = check_all(texts)
    assert list(verdicts) == list(dict.fromkeys(texts))
    assert all(verdicts[text] == check(text) for text in texts)


@unhurried
@given(near_numbers | shaped | soiled | st.text())
def test_the_shape_is_what_the_schema_pattern_says(text: str) -> None:
    assert is_canonical(text) == bool(re.fullmatch(PATTERN, text))
    assert is_canonical(text) or not check(text).ok


def test_the_shape_leaves_no_room_for_a_final_newline() -> None:
    assert re.search(PATTERN, US + "\n")
    assert not is_canonical(US + "\n")


def test_a_masked_number_keeps_its_ends() -> None:
    assert masked(US) == "+1415•••1234"
    assert masked("+6741234") == "+67•••34"


@unhurried
@given(shaped)
def test_a_masked_number_never_shows_the_middle(number: str) -> None:
    head, dots, tail = masked(number).partition("•••")
    assert dots and number.startswith(head) and number.endswith(tail)
    assert len(number) - len(head) - len(tail) >= 3
    assert len(head) + len(tail) <= 9
    # With every middle digit changed the mask stays as it is, so it cannot tell any of them.
    middle = number[len(head) : len(number) - len(tail)]
    other = "".join(str(9 - int(digit)) for digit in middle)
    assert masked(head + other + tail) == masked(number)


@unhurried
@given(st.text() | soiled)
def test_what_is_not_a_number_is_masked_whole(text: str) -> None:
    assume(not is_canonical(text))
    assert masked(text) == "•••"


@unhurried
@given(shaped)
def test_neighbours_are_shaped_like_numbers_and_one_edit_away(number: str) -> None:
    found = neighbours(number)
    assert found == sorted(set(found))
    assert len(found) <= 320
    assert all(is_canonical(one) and _distance(number, one) == 1 for one in found)


@unhurried
@given(shaped, st.data())
def test_every_number_one_edit_away_is_a_neighbour(number: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(1, len(number) - 1))
    digit = data.draw(st.sampled_from("0123456789"))
    edits = [
        number[:at] + digit + number[at:],
        number[:at] + digit + number[at + 1 :],
        number[:at] + number[at + 1 :],
        number[:at] + number[at : at + 2][::-1] + number[at + 2 :],
    ]
    expected = {one for one in edits if is_canonical(one)} - {number}
    assert expected <= set(neighbours(number))


@unhurried
@given(st.text() | soiled)
def test_any_text_has_only_neighbours_one_edit_away(text: str) -> None:
    assert all(is_canonical(one) and _distance(text, one) == 1 for one in neighbours(text))


def test_a_number_without_its_plus_has_the_number_as_a_neighbour() -> None:
    assert neighbours("14155551234") == [US, "+4155551234"]


def test_the_nearest_owned_numbers_are_shown_wrong_digits_and_swaps_first() -> None:
    owned = ["+1415555123", "+14155551243", US, "+14155551235", INDIA, "+14155551235"]
    assert nearest(US, owned) == ["+14155551235", "+14155551243", "+1415555123"]


def test_no_more_are_shown_than_asked_for() -> None:
    owned = neighbours(US)
    assert [len(nearest(US, owned, limit)) for limit in (-1, 0, 1, 5)] == [0, 0, 1, 5]
    assert len(nearest(US, owned)) == 3


@unhurried
@given(shaped, st.lists(shaped))
def test_the_nearest_are_exactly_the_owned_ones_one_edit_away(
    number: str, others: list[str]
) -> None:
    owned = [*others, *neighbours(number)[::40], number]
    expected = {one for one in owned if _distance(number, one) == 1}
    assert set(nearest(number, iter(owned), limit=len(owned))) == expected


def test_looking_up_and_masking_do_not_load_phonenumbers() -> None:
    code = (
        "import sys, cordboard.number as number\n"
        f"number.is_canonical({US!r}), number.masked({US!r}), number.nearest({US!r}, [])\n"
        "sys.exit('phonenumbers' in sys.modules)"
    )
    path = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert (
        subprocess.run([sys.executable, "-c", code], env=path, timeout=60, check=False).returncode
        == 0
    )

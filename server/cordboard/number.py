"""A Number is one phone number, written as E.164, or it is nothing.

E.164 is the ITU's form: a plus, the calling code, the national number, at most 15 digits,
nothing else: +14155551234. What is given is judged as it stands. It is never trimmed or
repaired, because a repaired number is a guess, and a guess here moves somebody's calls.

The numbering plan cannot catch typos (eight of ten wrong digits still give a valid number);
only the account's own list of numbers can. So what the plan does not know is a warning.

The facts come from Google's numbering-plan data by way of `phonenumbers`. It is imported inside
the functions that need it: look-ups do without, and start-up time is measured.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

PATTERN: str = r"^\+[1-9][0-9]{6,14}$"
"""The shape, for JSON Schema. Some validators let a final newline pass; `check` does not."""

_SHAPE = re.compile(PATTERN, re.ASCII)
_INDIA = "Indian geographic and mobile numbers have 10 digits"
_MAX_DIGITS = 15
# No text meant as one number is longer; what is longer gets no closer look.
_MAX_TEXT = 64
_LINK = re.compile(r"\s*(?:tel|callto):", re.ASCII | re.IGNORECASE)
_EXTENSION = re.compile(
    r"(?:;(?:ext|isub)=.*|\s*(?:#|x|ext\.?|extension)\s*[0-9]{1,7}#?|#)\s*$",
    re.ASCII | re.IGNORECASE | re.DOTALL,
)
_INTERNATIONAL = re.compile(r"^(?:00|011)", re.ASCII)
_SHORT = re.compile(r"\+?[0-9]{2,6}", re.ASCII)
_LOOK_ALIKES = frozenset("lIiOo")  # of 1 and 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What `check` found.

    text          what was given, unchanged
    ok            it is a Number
    reason        what is wrong, a piece of a sentence ('it has no leading "+"'); "" when ok
    did_you_mean  the Number it may have been meant as, else "". To be shown, never to be used:
                  whoever asked must ask again with it. Always "" when ok.
    warning       a whole sentence about a Number that deserves a second look, else ""
    """

    text: str
    ok: bool
    reason: str
    did_you_mean: str
    warning: str


def is_canonical(text: str) -> bool:
    """True when `text` has the shape of a Number: enough to look one up, not to accept one.

    Does not load `phonenumbers`. Source of the shape: ITU-T E.164, and `PATTERN`.
    """
    return _SHAPE.fullmatch(text) is not None


def check(text: str) -> Verdict:
    """Judge `text` exactly as it stands, for any string; never raises.

    It is a Number when it has the shape, its calling code exists, its length can be dialled from
    abroad, and writing out what was read gives the same text again. The sources are E.164 and
    the numbering-plan data of the installed `phonenumbers`; that data changes with each release,
    so a number that has the right length but is not in the plan is accepted with a warning.
    """
    if is_canonical(text):
        return _judge(text)
    return Verdict(text, False, _what_is_wrong(text), _suggestion(text), "")


def check_all(texts: Sequence[str]) -> dict[str, Verdict]:
    """`check` for many: {text: its Verdict}, in the order given, each text once.

    They are checked in sorted order: numbers of one country then stand together, and
    `phonenumbers` need not compile that country's rules again (measured: 25 us each, not 160).
    """
    verdicts = {text: check(text) for text in sorted(set(texts))}
    return {text: verdicts[text] for text in texts}


def masked(number: str) -> str:
    """A Number for logs, its middle hidden: "+14155551234" becomes "+1415•••1234".

    Up to 10 digits, two are shown at each end; always three dots, so that the length is not told.
    What is not a Number is hidden whole: it could be anything, a secret or a line break.
    """
    if not is_canonical(number):
        return "•••"
    shown = 4 if len(number) > 11 else 2
    return f"{number[: 1 + shown]}•••{number[-shown:]}"


def neighbours(number: str) -> list[str]:
    """Every string shaped like a Number that is one edit away from `number`; sorted, at most 320.

    One edit: one character replaced, added or dropped, or two next to each other swapped. Made
    for looking owned numbers up by key. `number` may be any text, and is never in the answer.
    """
    if len(number) > _MAX_DIGITS + 2:
        return []
    signs = "+0123456789"
    cuts = [(number[:i], number[i:]) for i in range(len(number) + 1)]
    found = {head + sign + tail for head, tail in cuts for sign in signs}
    found |= {head + sign + tail[1:] for head, tail in cuts if tail for sign in signs}
    found |= {head + tail[1:] for head, tail in cuts if tail}
    found |= {head + tail[1] + tail[0] + tail[2:] for head, tail in cuts if len(tail) > 1}
    found.discard(number)
    return sorted(filter(is_canonical, found))


def nearest(number: str, owned: Iterable[str], limit: int = 3) -> list[str]:
    """Up to `limit` of the `owned` Numbers that are one edit away from `number`.

    A wrong digit or a swap comes before a missing or extra one, then by digits. To be shown to
    whoever asked, never to be used instead. With very many owned numbers in a database, look up
    `neighbours(number)` there and pass only what was found.
    """
    close = set(neighbours(number)).intersection(owned)
    return sorted(close, key=lambda one: (len(one) != len(number), one))[: max(limit, 0)]


class _Reading(NamedTuple):
    """What the numbering-plan data says of one number."""

    written: str  # as E.164
    code: int  # calling code
    region: str  # of the calling code (US for all of +1); "001" where it is no country's
    digits: int  # after the calling code
    lengths: list[int]  # how many digits numbers of this calling code may have
    full_length: bool
    in_plan: bool
    short_code: bool
    kind: str  # what there is to know about its price or its owner, else ""
    source: str  # whose data this is, with its version


def _read(text: str) -> _Reading | None:
    import phonenumbers as plan

    try:
        read = plan.parse(text, None)
    except plan.NumberParseException:
        return None
    code = read.country_code or 0
    region = plan.region_code_for_country_code(code)
    data = plan.PhoneMetadata.metadata_for_region_or_calling_code(code, region)
    general = data.general_desc if data else None
    types = plan.PhoneNumberType
    kinds = {
        types.PREMIUM_RATE: "a premium-rate number: callers pay extra",
        types.SHARED_COST: "a shared-cost number: callers pay a part",
        types.PERSONAL_NUMBER: "a personal number: it may be forwarded anywhere",
    }
    kind = plan.number_type(read)
    # The same as is_valid_number(), which would only find the type a second time.
    in_plan = kind != types.UNKNOWN
    # Not is_possible_number(): that also passes a local part without its area code (+15551234).
    length = plan.is_possible_number_with_reason(read)
    return _Reading(
        written=plan.format_number(read, plan.PhoneNumberFormat.E164),
        code=code,
        region=region,
        digits=len(plan.national_significant_number(read)),
        lengths=[n for n in (general.possible_length if general else ()) if n > 0],
        full_length=length == plan.ValidationResult.IS_POSSIBLE,
        in_plan=in_plan,
        # Some short codes are long enough for E.164 once a calling code stands before them
        # (+49116117). One that is also an ordinary number in the plan is an ordinary number.
        short_code=not in_plan and plan.is_valid_short_number(read),
        kind=kinds.get(kind, ""),
        source=f"phonenumbers {plan.__version__}",
    )


# Only texts of the right shape get here, so hostile long ones cannot fill the cache.
@lru_cache(maxsize=8192)
def _judge(text: str) -> Verdict:
    read = _read(text)
    if read is None:
        # Every calling code that is not assigned has three digits.
        return Verdict(text, False, f"no country has the calling code {text[1:4]}", "", "")
    reason = ""
    if not read.full_length:
        owner = f"+{read.code}" if read.region == "001" else read.region
        reason = f"{owner} numbers have {_listed(read.lengths)} digits, this has {read.digits}"
    elif read.written != text:
        reason = "it is not written the canonical way"
    elif read.short_code:
        reason = "it is an emergency or short code"
    if reason:
        return Verdict(text, False, reason, _suggestion(text), "")
    notes = "; ".join(_notes(read))
    return Verdict(text, True, "", "", f"{text}: {notes}" if notes else "")


def _listed(lengths: list[int]) -> str:
    if len(lengths) > 2 and lengths == list(range(lengths[0], lengths[-1] + 1)):
        return f"{lengths[0]} to {lengths[-1]}"
    return " or ".join(map(str, lengths))


def _notes(read: _Reading) -> list[str]:
    notes = [f"the calling code {read.code} is not tied to a country"] * (read.region == "001")
    if not read.in_plan:
        length = f"right length for {f'+{read.code}' if notes else read.region}, but"
        # India's plan allows 8 to 13 digits, so a lost or added digit still has a right length.
        if read.region == "IN" and read.digits != 10:
            length = f"{_INDIA}, this has {read.digits} and is"
        notes.append(f"{length} not in the numbering plan ({read.source}); check for a typo.")
    return [*notes, read.kind] if read.kind else notes


def _what_is_wrong(text: str) -> str:
    if not text:
        return "it is empty"
    too_long = f"too long: E.164 allows {_MAX_DIGITS} digits"
    if len(text) > _MAX_TEXT:
        return too_long
    too_short = "too short: E.164 numbers have at least 7 digits"
    body = _bare(text)
    count = len(_digits(body)) + sum(map(str.isalpha, body))
    if _SHORT.fullmatch(body):
        return f"it is an emergency or short code, or {too_short}"
    reasons = ["it is written as a link"] if _LINK.match(text) else []
    reasons += ["it carries an extension"] if _EXTENSION.search(text) else []
    reasons += _wrong_start(body)
    reasons += sorted({_wrong_character(sign) for sign in body} - {""})
    reasons += [too_long] if count > _MAX_DIGITS else []
    reasons += [too_short] if count < 7 else []
    return " and ".join(reasons)


def _wrong_start(body: str) -> list[str]:
    if body.count("+") > 1:
        return ['it has more than one "+"']
    if body.startswith("+0"):
        return ["no calling code begins with 0"]
    if prefix := _INTERNATIONAL.match(body):
        return [f"it begins with {prefix[0]}: write +"]
    return [] if body.startswith("+") else ['it has no leading "+"']


def _wrong_character(sign: str) -> str:
    if sign in "+0123456789":
        return ""
    category = unicodedata.category(sign)
    if category.startswith("C"):
        return "it contains control or invisible characters"
    if category.startswith("L"):
        return "it contains letters"
    if not sign.isascii():
        return "it contains characters that are not plain ASCII digits"
    return "it contains spaces or punctuation"


def _bare(text: str) -> str:
    return _EXTENSION.sub("", _LINK.sub("", text, count=1))


def _digits(text: str) -> str:
    """The digits of any script in `text`, in order, as ASCII."""
    values = (unicodedata.digit(sign, None) for sign in text)
    return "".join(str(value) for value in values if value is not None)


def _suggestion(text: str) -> str:
    """The Number that `text` may have been meant as, and that is not `text`; else ""."""
    if len(text) > _MAX_TEXT:
        return ""
    # All digits are kept, in order. phonenumbers alone would cut a text at the first thing it
    # does not know and drop look-alike letters, and so suggest somebody else's number.
    plain = "+" + _INTERNATIONAL.sub("", _digits(_spelled_out(_bare(text))))
    read = _read(plain) if is_canonical(plain) else None
    if read is None or read.written == text or not is_canonical(read.written):
        return ""
    again = _read(read.written)
    good = again and again.written == read.written and again.full_length and not again.short_code
    return read.written if good else ""


def _spelled_out(body: str) -> str:
    """Words as on a telephone's keys (1-800-FLOWERS); "" where letters may be mistyped digits."""
    letters = {sign for sign in body if sign.isalpha()}
    if not letters:
        return body
    if len(letters) < 3 or not body.isascii() or letters <= _LOOK_ALIKES:
        return ""
    import phonenumbers

    return phonenumbers.convert_alpha_characters_in_number(body)

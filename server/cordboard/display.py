"""Text from outside, made safe to show: names, labels, reasons are data, never instructions."""

from __future__ import annotations

import re
import unicodedata

SHOWN_CHARACTERS = 200
_LINK = re.compile(
    r"(?i)[\w+.-]*:[/\\]\S*"  # a scheme and what follows
    r"|(?:www\.|mailto:|javascript:|data:|file:|tel:|sms:)\S*"
    r"|(?:[\w-]+\.)+[^\W\d_]{2,}(?::\d+)?[/?#]\S*"  # a host with a path
    r"|(?:[\w-]+\.)+(?:com|net|org|io|ai|app|dev|co|info|biz|xyz|me|link|site|online|shop|top|page"
    r"|click|cloud|example|test|de|uk|eu|in|cn|ru|us|xn--[\w-]+)\b(?::\d+)?"  # a host that clients make a link of
    r"|(?:\d{1,3}\.){3}\d{1,3}\S*"
)
_PLAIN = re.compile(r"[A-Za-z0-9_+-]+(?: [A-Za-z0-9_+-]+)*")
"""Most texts: nothing invisible, and neither of the characters that every link has, `.` and `:`."""
_FILLERS = frozenset("\u115f\u1160\u2800\u3164\uffa0")
"""Characters that are letters or symbols by category, and show nothing."""


def shown(text: str, limit: int = SHOWN_CHARACTERS) -> str:
    """One line: control, bidi and other invisible characters and links taken out, cut at `limit`."""
    if len(text) <= limit and _PLAIN.fullmatch(text):
        return text
    visible = "".join(" " if c in "\n\r\t" else c for c in text if not _invisible(c))
    flat = " ".join(_LINK.sub("[link removed]", visible).replace("](", "] (").split())
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"


def _invisible(character: str) -> bool:
    if character in "\n\r\t":
        return False
    kind = unicodedata.category(character)
    return kind[0] == "C" or kind in ("Zl", "Zp") or character in _FILLERS


def quoted(text: str, limit: int = SHOWN_CHARACTERS) -> str:
    """`shown` text between quotation marks, with none inside that could end the quote early."""
    return '"' + shown(text, limit).replace('"', "'") + '"'


def printable(identifier: str) -> str:
    """An id from outside as it stands, but for characters that a terminal or a reader is fooled by."""
    return "".join(c if c.isprintable() and not _invisible(c) else "\ufffd" for c in identifier)

"""Text from outside, made safe to show: names, labels, reasons are data, never instructions."""

from __future__ import annotations

import re
import unicodedata

SHOWN_CHARACTERS = 200
_LINK = re.compile(
    r"(?i)[a-z0-9+.-]*://\S*"
    r"|(?:www\.|mailto:|javascript:|data:)\S*"
    r"|\b(?:[a-z0-9-]+\.)+[a-z]{2,}(?::[0-9]+)?/\S*"
)


def shown(text: str, limit: int = SHOWN_CHARACTERS) -> str:
    """One line: control, bidi and other invisible characters and links taken out, cut at `limit`."""
    visible = "".join(" " if c in "\n\r\t" else c for c in text if not _invisible(c))
    flat = " ".join(_LINK.sub("[link removed]", visible).split())
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"


def _invisible(character: str) -> bool:
    if character in "\n\r\t":
        return False
    return unicodedata.category(character)[0] == "C" or unicodedata.category(character) in (
        "Zl",
        "Zp",
    )


def quoted(text: str, limit: int = SHOWN_CHARACTERS) -> str:
    """`shown` text between quotation marks, with none inside that could end the quote early."""
    return '"' + shown(text, limit).replace('"', "'") + '"'

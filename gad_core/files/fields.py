"""The fields of data files: texts, names and times, spelt one way whoever wrote them."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable
from reprlib import Repr

from gad_core.errors import DataError

INVISIBLE = str.maketrans("", "", "\u200b\ufeff\u00ad")
"""Zero-width blank, byte order mark and soft hyphen: nobody sees them, and texts that differ in them look alike."""

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
CLOCK = re.compile(r"(?:(\d+):)?([0-5]?\d):([0-5]?\d(?:\.\d*)?)", re.ASCII)
LATEST = 1e9
"""No recording has a later time, in seconds or in frames; what is beyond is a slip, and would overflow."""

FASTEST = 1e6
"""No features have more frames a second."""

_SHORT = Repr()
_SHORT.maxstring = _SHORT.maxother = 60


def shown(value: object) -> str:
    """A value as a message shows it: never more than a line, however large."""
    return _SHORT.repr(value)


def composed(text: str) -> str:
    """A text in NFC, without what nobody sees and without blanks around it."""
    return unicodedata.normalize("NFC", text.translate(INVISIBLE)).strip()


def clean(text: str) -> str:
    """A text in the one spelling in which texts are compared: composed, with one blank for a run of any blanks."""
    return " ".join(composed(text).split())


def likeness(text: str) -> str:
    """What is left of a text without case, blanks and punctuation: labels that share it are likely one label."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(letter for letter in folded if letter.isalnum()) or folded


def text_field(
    value: object,
    what: str,
    where: str | None = None,
    *,
    numbers: bool = False,
    spelling: Callable[[str], str] = clean,
) -> str:
    """A text field in a `spelling`; nothing (None) is empty.

    With `numbers` whole numbers are taken too, as they are for names of recordings. Raises `DataError` for all else:
    the repr of a list or of a truth value is no label.
    """
    if numbers and isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise DataError(f"{what} {shown(value)} is no text", where=where, hint=f"write one {what}, as text")
    if any("\ud800" <= letter <= "\udfff" for letter in value):
        raise DataError(
            f"{what} {shown(value)} holds half a character (a lone surrogate)",
            where=where,
            hint="write it again: no file and no terminal can show it",
        )
    spelt = spelling(value)
    if any(unicodedata.category(letter) == "Cc" for letter in spelt):
        raise DataError(
            f"{what} {shown(value)} holds a control character", where=where, hint="write it again as plain text"
        )
    return spelt


def time_field(value: object, what: str, where: str | None = None, *, clock: bool = True) -> float:
    """A time: a plain number, from 0 on, or with `clock` also h:mm:ss.s and mm:ss. Raises `DataError`."""
    seconds = _number(value, clock)
    if seconds is None or math.isnan(seconds):
        raise DataError(
            f"{what} {shown(value)} is not a number",
            where=where,
            hint="times are plain numbers with a decimal point, in seconds unless `unit: frames`, or hh:mm:ss",
        )
    if not 0 <= seconds <= LATEST:
        raise DataError(f"{what} is {seconds:g}", where=where, hint="times are finite and count from 0")
    return seconds


def seconds_field(value: object, where: str | None = None) -> float:
    """A time that is a plain number of seconds, from 0 on. Raises `DataError`."""
    try:
        return time_field(value, "time", where, clock=False)
    except DataError:
        raise DataError(f"{shown(value)} is not a time", where=where, hint="give seconds, from 0 on") from None


def _number(value: object, clock: bool) -> float | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    if isinstance(value, str):
        value = value.strip()
        parts = CLOCK.fullmatch(value) if clock else None
        if parts:
            hours, minutes, seconds = parts.groups()
            return 3600 * float(hours or 0) + 60 * float(minutes) + float(seconds)
        return float(value) if NUMBER.fullmatch(value) else None
    try:
        return float(value)
    except OverflowError:
        return math.inf

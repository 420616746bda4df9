"""Values that software trips over."""

from __future__ import annotations

import tempfile
from pathlib import Path
from random import Random
from typing import Any

OUTSIDE = Path(tempfile.gettempdir()) / "gad-fuzz-outside"
"""An absolute place that nobody may write to, however often a file names it."""
ESCAPES = "\x1b]0;title\x07\x1b[2J"

WORDS = (
    *("", " ", "nan", "null", "true", "-", "--help", "~", "%s", "0", "-1", "1e400", "1_0", "0x10", "01:02:03", "٣"),
    *("background", "BACKGROUND", "a,b", "a;b", 'a"b', "a\tb", "a\nb", "[red]a[/red]", "[/]", "$x^{", "=1+1", "<b>"),
    *("../outside", "../../outside", f"{OUTSIDE}/a", "a/b", ".", "..", ".hidden", "é", "e\u0301", "\u202e", "\u2028"),
    *("\ufeff", ESCAPES, "a" * 300, "é" * 200, "\U0001f600", "x" * 100_000),
)
TEXTS = (*WORDS, "\0", "a\0b", "\ud800")
"""What a file may hold. A command line holds no NUL, surrogates only of the kind that stands for a byte, and it may
name any place to write to."""
ARGUMENTS = (*(word for word in WORDS[:-1] if "outside" not in word), "\udcff", "a\udcff")
NUMBERS = (-1, 0, 1, 2, 3, 7, 0.5, -0.0, 1.5, 1e-320, float("nan"), float("inf"), float("-inf"), True, False)
HUGE = (2**31, 2**53 + 1, 2**63 - 1, 2**63, 2**64, 1e308, 10**400)
OTHERS: tuple[Any, ...] = (None, [], {}, [None], [[]], {"a": 1}, [2, 3], ["a", "a"], {"": {}})


class Raw(str):
    """Text that stands in a document as it is, without quotes."""


RAW = tuple(
    map(Raw, ("9" * 5000, "1e400", "-0", "01", "0x10", "1_000", "NaN", "-Infinity", '"\\ud800"', '"\\u0000"', "'", "*"))
)
DEEP = (Raw("[" * 3000 + "]" * 3000), Raw('{"a":' * 3000 + "1" + "}" * 3000), Raw("[" * 100_000))


def odd(random: Random, *, huge: bool = True) -> Any:
    """A value of any type; without `huge`, none that asks for more work than is there."""
    kinds = [TEXTS, NUMBERS, OTHERS, RAW, *((HUGE, DEEP) if huge else ())]
    return random.choice(random.choice(kinds))


def written(value: Any) -> str:
    """A value as text; Python refuses to write numbers of thousands of digits."""
    return "1" + "0" * 400 if value == HUGE[-1] and isinstance(value, int) else str(value)

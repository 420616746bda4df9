"""Names of recordings: what annotations say, what features are called, and what a file may be called."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping

SHOWN = 20
LOOKED_AT = 200
"""Names that are compared in search of the pattern: it shows in the first ones."""
LONGEST = 255
"""Bytes of a file name."""
ROOM = len(".") + len(".01234567") + len(".npy")
"""What a file's name has more than its recording's, while it is being written."""


def absent(
    named: Mapping[str, str], missing: Iterable[str], held: Collection[str], holder: str, *, what: str = "recordings"
) -> tuple[str, str]:
    """What to say of recordings that are not held: the message, both spellings shown, and the hint.

    `named` maps every recording to its place in the annotations ("line 3", or nothing); `holder` is "feature store".
    """
    lacking = list(missing)
    listed = ", ".join(f"{name} ({named[name]})" if named[name] else name for name in lacking[:SHOWN])
    more = f" and {len(lacking) - SHOWN} more" if len(lacking) > SHOWN else ""
    message = f"{len(lacking)} of {len(named)} {what} are not in the {holder}: {listed}{more}"
    unused = sorted(set(held) - named.keys())
    if unused or not held:
        examples = ", ".join(unused[:3]) + (", …" if len(unused) > 3 else "")
        message += f"; the {holder} has {examples}" if held else f"; the {holder} is empty"
    pattern = likely_pattern(lacking, unused)
    hint = "pack their features, remove their rows, or set `missing: skip`"
    return message, f"{pattern}; {hint}" if pattern else hint


def likely_pattern(lacking: Iterable[str], unused: Collection[str]) -> str | None:
    """How the names that lack a partner differ from those that are left over, where one rule explains most."""
    names = list(lacking)[:LOOKED_AT]
    rules = Counter(rule for name in names if (rule := _rule(name, unused)) is not None)
    if not rules:
        return None
    rule, explained = rules.most_common(1)[0]
    return rule if 2 * explained >= len(names) else None


def _rule(name: str, unused: Collection[str]) -> str | None:
    """How one name differs from the left-over name that is most like it."""
    if any(other.casefold() == name.casefold() for other in unused):
        return "the names differ in upper and lower case"
    longer = [other for other in unused if name in other]
    shorter = [other for other in unused if other and other in name]
    if longer:
        other = min(longer, key=len)
        before, _, after = other.partition(name)
        return f"the features are called {before}<recording>{after}"
    if shorter:
        other = max(shorter, key=len)
        before, _, after = name.partition(other)
        return f"the annotations say {before}<recording>{after} where the features say <recording>"
    return None


def no_file_name(name: str) -> str | None:
    """Why a file cannot be called after a recording, or None where it can: a plain relative path is wanted."""
    if re.match(r"[A-Za-z]:|[/\\]", name):
        return "is absolute"
    if "\\" in name or any(ord(letter) < 32 or letter == "\x7f" for letter in name):
        return "holds a backslash or a control character"
    parts = name.split("/")
    if any(part.startswith(".") or not part.strip() for part in parts):
        return "has a part that is empty or begins with a dot"
    try:
        sizes = [len(part.encode()) for part in parts]
    except UnicodeEncodeError:
        return "holds half a character (a lone surrogate)"
    if max(*sizes, sizes[-1] + ROOM) > LONGEST:
        return f"has more than {LONGEST - ROOM} bytes"
    return None

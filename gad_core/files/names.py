"""Texts as names of files."""

from __future__ import annotations

import hashlib


def shortened(name: str, most: int) -> str:
    """A name of at most so many bytes in UTF-8. One that is cut ends in a hash of the whole, so that names which differ
    behind the cut stay apart."""
    if len(name.encode()) <= most:
        return name
    mark = "~" + hashlib.sha256(name.encode()).hexdigest()[:8]
    return name.encode()[: most - len(mark)].decode(errors="ignore") + mark


def file_stem(text: str, most: int = 60) -> str:
    """A text as a part of a file name: letters, digits, `-`, `_` and dots inside; anything else becomes `-`."""
    safe = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in text)
    return shortened(safe.strip("-."), most)

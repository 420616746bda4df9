"""Damage to bytes, to text and to trees of values; every function draws from the random state it is given alone."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from random import Random
from typing import Any

from .values import ESCAPES, TEXTS, odd, written

MAGIC = (
    *(
        b"\0",
        b"\xff",
        b"\n",
        b"\r",
        b'"',
        b"\xef\xbb\xbf",
        b"\xff\xfe",
        b"\xed\xa0\x80",
        b"\xc3",
        b"PK\x03\x04",
        b"#!\n",
    ),
    *(b"\x93NUMPY", b"\x80\x04", b"\x1f\x8b", ESCAPES.encode(), b"\0" * 64, b"{" * 64, b"9" * 400),
    *(number.to_bytes(8, "little", signed=True) for number in (0, -1, 2**31 - 1, 2**32, 2**62, 2**63 - 1)),
)
ENCODINGS = ("utf-16", "utf-16-le", "utf-32", "latin-1", "utf-8-sig", "cp037", "utf-7")


def span(random: Random, length: int) -> slice:
    """A piece of something, more often a short one."""
    start = random.randint(0, length)
    return slice(start, min(length, start + random.choice((1, 2, 4, 8, 32, 256, length))))


# --------------------------------------------------------------------------------------------------------------- bytes


def flip(data: bytearray, random: Random) -> bytes:
    for _ in range(random.choice((1, 1, 2, 8))):
        if data:
            data[random.randrange(len(data))] ^= 1 << random.randrange(8)
    return bytes(data)


def cut(data: bytearray, random: Random) -> bytes:
    return bytes(data[: random.randint(0, len(data))])


def remove(data: bytearray, random: Random) -> bytes:
    del data[span(random, len(data))]
    return bytes(data)


def repeat(data: bytearray, random: Random) -> bytes:
    piece = span(random, len(data))
    data[piece] = data[piece] * random.choice((2, 3, 100))
    return bytes(data[: 2**20])


def insert(data: bytearray, random: Random) -> bytes:
    place = random.randint(0, len(data))
    data[place:place] = random.choice(MAGIC)
    return bytes(data)


def overwrite(data: bytearray, random: Random) -> bytes:
    place, magic = random.randint(0, len(data)), random.choice(MAGIC)
    data[place : place + len(magic)] = magic
    return bytes(data)


def exchange(data: bytearray, random: Random) -> bytes:
    first, second = span(random, len(data)), span(random, len(data))
    data[first], data[second] = data[second], data[first]
    return bytes(data[: 2**20])


def blank(data: bytearray, random: Random) -> bytes:
    piece = span(random, len(data))
    data[piece] = bytes(len(data[piece]))
    return bytes(data)


BYTES: tuple[Callable[[bytearray, Random], bytes], ...] = (
    *(flip, flip, cut, remove, repeat, insert, overwrite, overwrite, exchange, blank),
)


def damaged_bytes(data: bytes, random: Random) -> bytes:
    """Bytes are flipped, cut, removed, repeated, written over or exchanged."""
    return random.choice(BYTES)(bytearray(data), random)


# ---------------------------------------------------------------------------------------------------------------- text


def damaged_text(data: bytes, random: Random, *, huge: bool = True) -> bytes:
    """Words, lines and separators are exchanged for others, or the encoding is."""
    text = data.decode("utf-8", "surrogateescape")
    if random.random() < 0.05:
        return text.encode(errors="replace").decode().encode(random.choice(ENCODINGS), "replace")
    exchanged = word(text, random, odd(random, huge=huge))
    changed = random.choice((exchanged, random.choice(TEXT)(text, random)))
    return changed.encode("utf-8", "surrogatepass" if "\ud800" in changed else "surrogateescape")


def pieces(text: str) -> list[str]:
    """What is between words, a word, what is between words, …"""
    return re.split(r"(\w[\w.-]*)", text)


def word(text: str, random: Random, value: Any) -> str:
    parts = pieces(text)
    if len(parts) > 1:
        parts[random.randrange(1, len(parts), 2)] = written(value)
    return "".join(parts)


def words(text: str, random: Random) -> str:
    parts = pieces(text)
    if len(parts) > 3:
        first, second = (random.randrange(1, len(parts), 2) for _ in range(2))
        parts[first], parts[second] = parts[second], parts[first]
    return "".join(parts)


def line(text: str, random: Random) -> str:
    lines = text.splitlines(keepends=True) or [""]
    place = random.randrange(len(lines))
    lines[place : place + 1] = random.choice(([], [lines[place]] * 2, [lines[place], lines[0]], [random.choice(TEXTS)]))
    return "".join(lines)


def lines(text: str, random: Random) -> str:
    found = text.splitlines(keepends=True)
    random.shuffle(found)
    return "".join(found)


def separator(text: str, random: Random) -> str:
    new = random.choice((";", "\t", "|", ",", "", "\0", "\u00a0", "\n", '"', "&a ", "*a", "!!a "))
    return text.replace(random.choice(",\t:{[ ]}\"'"), new, random.choice((1, -1)))


def ends(text: str, random: Random) -> str:
    return text.replace("\n", random.choice(("\r", "\r\n", "\u2028", "\n\n", "\x0b")))


TEXT: tuple[Callable[[str, Random], str], ...] = (words, line, lines, separator, ends)


# --------------------------------------------------------------------------------------------------------------- trees


def damaged_tree(tree: Any, random: Random, *, huge: bool = True) -> Any:
    """A copy of nested lists and mappings with a value exchanged, removed, repeated, renamed or put elsewhere."""
    tree = copy.deepcopy(tree)
    places = list(_places(tree))
    if not places:
        return odd(random, huge=huge)
    parent, key = random.choice(places)
    change = random.randrange(10)
    if change < 5:
        parent[key] = odd(random, huge=huge)
    elif change == 5:
        del parent[key]
    elif change == 6:
        other, its = random.choice(places)
        parent[key] = copy.deepcopy(other[its])
    elif change == 7:
        parent[key] = random.choice(([parent[key]], {"a": parent[key]}, str(parent[key]), [parent[key]] * 3))
    elif isinstance(parent, list):
        parent[key:key] = [copy.deepcopy(parent[key])] * random.choice((1, 2, 500))
    else:
        renamed = random.choice((*TEXTS, *map(str, parent)))
        changed = {(renamed if name == key else name): value for name, value in parent.items()}
        parent.clear()
        parent.update(changed)
    return tree


def _places(tree: Any) -> Any:
    for key in tree if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ():
        yield tree, key
        yield from _places(tree[key])

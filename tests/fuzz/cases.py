"""One damaged input: which file holds what instead, which command reads it; and how it is kept to be tried again."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import ceil
from pathlib import Path
from random import Random

from .attempt import Call
from .formats import damaged
from .options import ENTRIES, commands, good_words, odd_words
from .targets import TARGETS, Target
from .world import names

SPECIAL = ("absent", "folder", "pipe", "loop", "endless")
"""What may stand where a file should: nothing, a folder, a named pipe, a link to itself, a link to /dev/zero."""
OPTIONS = "command options"


@dataclass(frozen=True)
class Case:
    """`changes` says what stands in place of a file: other bytes, or one of `SPECIAL`. A `whole` case is undamaged and
    must be accepted."""

    kind: str
    name: str
    call: Call
    entries: tuple[str, ...]
    changes: Mapping[str, bytes | str]
    whole: bool = False

    def apply(self, folder: Path) -> None:
        """Puts the damage into a copy of the whole project."""
        for name, content in self.changes.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists() or path.is_symlink():
                path.unlink()
            if isinstance(content, bytes):
                path.write_bytes(content)
            else:
                _put_special(path, content)

    def text(self) -> str:
        """The case as a file."""
        changes = {
            name: content if isinstance(content, str) else {"base64": base64.b64encode(content).decode()}
            for name, content in self.changes.items()
        }
        told = {"kind": self.kind, "name": self.name, "program": self.call.program, "words": self.call.words}
        return json.dumps({**told, "entries": self.entries, "changes": changes, "whole": self.whole}, indent=1)

    @staticmethod
    def read(text: str) -> Case:
        """The case that a file holds."""
        told = json.loads(text)
        changes = {
            name: content if isinstance(content, str) else base64.b64decode(content["base64"])
            for name, content in told["changes"].items()
        }
        call = Call(told["program"], tuple(told["words"]))
        return Case(told["kind"], told["name"], call, tuple(told["entries"]), changes, told["whole"])


def _put_special(path: Path, what: str) -> None:
    if what == "folder":
        path.mkdir()
    elif what == "pipe":
        os.mkfifo(path)
    elif what == "loop":
        path.symlink_to(path.name)
    elif what == "endless":
        path.symlink_to("/dev/zero")


@dataclass(frozen=True)
class Order:
    """A number of a kind of input; the case follows from it, `seed` and the whole project. The first numbers of a kind
    are its commands on undamaged files."""

    seed: int
    target: int
    number: int

    def case(self, pristine: Path) -> Case:
        """Makes the input."""
        target = kinds()[self.target]
        random = Random(f"{self.seed} {target.kind} {target.name} {self.number}")
        if target.kind == OPTIONS:
            return _case_of_options(target, random, whole=self.number == 0)
        if self.number < len(target.commands):
            return _case(target, target.commands[self.number].split(), {}, whole=True)
        return _case_of_files(target, random, pristine)


def _case(target: Target, words: Sequence[str], changes: Mapping[str, bytes | str], *, whole: bool = False) -> Case:
    return Case(target.kind, target.name, Call(words[0], tuple(words[1:])), target.entries, changes, whole)


def _case_of_files(target: Target, random: Random, pristine: Path) -> Case:
    files = names(pristine, target.damaged)
    if not files:
        raise RuntimeError(f"there is nothing to damage for {target.kind}, {target.name}")
    changes: dict[str, bytes | str] = {}
    for name in random.sample(files, 1 if len(files) == 1 or random.random() < 0.9 else 2):
        special = random.random() < 0.04
        changes[name] = (
            random.choice(SPECIAL)
            if special
            else damaged(name, (pristine / name).read_bytes(), random, huge=target.huge)
        )
    return _case(target, random.choice(target.commands).split(), changes)


def _case_of_options(target: Target, random: Random, *, whole: bool) -> Case:
    command = next(one for one in commands() if one.name == target.name)
    words = good_words(command) if whole else odd_words(command, random)
    return _case(target, words, {"pipe": "pipe", "loop": "loop"}, whole=whole)


@lru_cache(maxsize=1)
def kinds() -> list[Target]:
    """All kinds of input, those that import no torch first."""
    options = [Target(OPTIONS, one.name, (), ENTRIES, (), _weight(one.name), torch=one.torch) for one in commands()]
    return sorted([*TARGETS, *options], key=lambda target: target.torch)


def _weight(name: str) -> float:
    return 0.3 if name == "gad bench" else 0.05 if name == "gad schema" else 1.0


def orders(inputs: int, seed: int, torch: float) -> Iterator[Order]:
    """So many inputs, spread over all kinds by their weight; a share `torch` of them over those that import torch."""
    every = kinds()
    for light, part in ((True, 1 - torch), (False, torch)):
        chosen = [number for number, target in enumerate(every) if target.torch != light]
        whole = sum(every[number].share for number in chosen)
        counts = {number: max(3, ceil(inputs * part * every[number].share / whole)) for number in chosen}
        for number in chosen:
            yield from (Order(seed, number, one) for one in range(counts[number]))

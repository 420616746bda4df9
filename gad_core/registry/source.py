"""YAML with places: every value knows its line and column, and nothing is read otherwise than it looks.

PyYAML's own loader reads `1e-4` as text, `off` as False, and lets the last of two equal keys win. Here scalars follow
the YAML 1.2 core schema, and equal keys are an error.
"""

from __future__ import annotations

import math
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from yaml.reader import ReaderError

from gad_core.errors import RegistryError

LARGEST = 2**20
"""Bytes of a registry file: what is larger was meant for something else, and would take minutes to read."""
MOST = 100_000
"""Values in a registry file, counted anew wherever an alias stands for them."""
DEEPEST = 50
"""Levels of mappings and lists."""

Path_ = tuple[str | int, ...]
"""Where a value stands in the file: keys and list positions from the top."""
Place = tuple[int, int]
"""Line and column, from 0."""

INTEGER = re.compile(r"[-+]?[0-9]+")
BASED = re.compile(r"0x[0-9a-fA-F]+|0o[0-7]+")
NUMBER = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
INFINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)")
WORDS: dict[str, Any] = {"": None, "~": None, "null": None, "Null": None, "NULL": None} | {
    word: value for value, words in ((True, "true True TRUE"), (False, "false False FALSE")) for word in words.split()
} | dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan)  # fmt: skip

UNWRITABLE = re.compile("[\x00\ud800-\udfff]")
"""Characters that no path and no file of text can hold; YAML's escapes can."""


@dataclass(frozen=True)
class Fault:
    """Something wrong at a path of the file, or at a place of its own; `at_key` points at the key, not the value."""

    path: Path_
    message: str
    hint: str = ""
    at_key: bool = False
    place: Place | None = None


@dataclass
class Source:
    """A registry file: its text, its values, and where each of them and its key stand."""

    file: str
    text: str
    values: Any = None
    places: dict[Path_, Place] = field(default_factory=dict)
    key_places: dict[Path_, Place] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    def message(self, fault: Fault) -> str:
        """A fault with its place, its source line and what to do, as it is printed."""
        line, column = self.place(fault)
        dotted = ".".join(map(str, fault.path))
        lines = self.text.splitlines()
        shown = _excerpt(lines[line].rstrip(), column) if line < len(lines) else ""
        text = f"{self.file}:{line + 1}:{column + 1}: {dotted + ': ' if dotted else ''}{fault.message}\n"
        text += f"{line + 1:>4} | {shown}".rstrip()
        return f"{text}\n     = {fault.hint}" if fault.hint else text

    def place(self, fault: Fault) -> Place:
        """The place of a fault, or of the nearest key around it."""
        if fault.place is not None:
            return fault.place
        first, second = (self.key_places, self.places) if fault.at_key else (self.places, self.key_places)
        exact = first.get(fault.path) or second.get(fault.path)
        around = (self.key_places.get(fault.path[:length]) for length in range(len(fault.path) - 1, 0, -1))
        return exact or next((place for place in around if place), self.places.get((), (0, 0)))

    def refuse(self, faults: list[Fault]) -> RegistryError:
        """The error that names all faults, each once, in the order of the file."""
        return RegistryError("\n".join(map(self.message, sorted(dict.fromkeys(faults), key=self.place))))


def _excerpt(line: str, column: int) -> str:
    """The part of a line around a column that fits a screen."""
    start = max(0, column - 60) if len(line) > 160 else 0
    return ("…" if start else "") + line[start : start + 160] + ("…" if len(line) > start + 160 else "")


# ------------------------------------------------------------------------------------------------------------- reading


def read(path: Path) -> Source:
    """Reads a registry file. Raises `RegistryError` when it cannot be read or is no YAML at all."""

    def refused(reason: str) -> RegistryError:
        return RegistryError(reason, where=str(path), hint="name a registry file, such as registry.yaml")

    try:
        found = path.stat()  # before it is opened: a pipe without a writer would wait for ever
        if not stat.S_ISREG(found.st_mode):
            raise refused("is a folder" if stat.S_ISDIR(found.st_mode) else "is a pipe or a device, not a file")
        if found.st_size > LARGEST:
            raise refused(f"has {found.st_size:,} bytes; a registry file has at most {LARGEST:,}")
        return parse(path.read_text(encoding="utf-8"), str(path))
    except FileNotFoundError as error:
        raise refused("there is no such file") from error
    except OSError as error:
        raise refused(error.strerror or str(error)) from error
    except UnicodeDecodeError as error:
        raise refused(f"is no UTF-8 text: {error}") from error


def parse(text: str, file: str = "registry.yaml") -> Source:
    """Reads the text of a registry file; repeated keys are noted among the faults of the result.

    Raises `RegistryError` when it is no YAML.
    """
    source = Source(file, text)
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        source.values = _Reader(source, loader).value(node, ()) if node is not None else {}
    except yaml.YAMLError as error:
        raise source.refuse([_not_yaml(error, text)]) from error
    return source


def value_of(text: str, where: str) -> Any:
    """The value of a piece of YAML, such as an option at the command line; raises `RegistryError` when it is none."""
    source = parse(text, where)
    if source.faults:
        raise source.refuse(source.faults)
    return source.values if text.strip() else None


def _not_yaml(error: yaml.YAMLError, text: str) -> Fault:
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        place = (mark.line, mark.column) if mark else (0, 0)
        if isinstance(error, _Refused):
            return Fault((), str(error.problem), error.note or "", place=place)
        return Fault(
            (), f"is not YAML: {error.problem or error.context}", "check quotes, colons and indentation", place=place
        )
    if isinstance(error, ReaderError):
        before = text[: error.position]
        place = (before.count("\n"), len(before) - before.rfind("\n") - 1)
        return Fault((), f"is not YAML: {error.reason}", "remove the character", place=place)
    return Fault((), f"is not YAML: {error}", place=(0, 0))


class _Refused(yaml.MarkedYAMLError):
    """YAML that stands for more than fits any memory, for something without an end, or for what cannot be written; the
    `note` says what to do."""


PLAINLY = "write it plainly, without `*`"


class _Loader(yaml.SafeLoader):
    """Composes nodes, and counts those that aliases repeat before anybody walks through them."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.count = self.depth = 0
        self.sizes: dict[int, int] = {}
        """How many values a finished node stands for, by its `id`."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event, before = self.peek_event(), self.count
        mark: Any = event.start_mark
        self.depth += 1
        if self.depth > DEEPEST:
            raise _Refused(problem=f"is nested more than {DEEPEST} levels deep", problem_mark=mark, note=PLAINLY)
        node = super().compose_node(parent, index)
        self.depth -= 1
        if not isinstance(event, yaml.AliasEvent):
            self.count += 1
            self.sizes[id(node)] = self.count - before
        elif id(node) in self.sizes:
            self.count += self.sizes[id(node)]
        else:
            raise _Refused(problem=f"{event.anchor!r} contains itself", problem_mark=mark, note=PLAINLY)
        if self.count > MOST:
            raise _Refused(problem=f"stands for more than {MOST:,} values", problem_mark=mark, note=PLAINLY)
        return node


@dataclass
class _Reader:
    """Turns YAML nodes into values, noting places and faults."""

    source: Source
    loader: yaml.SafeLoader

    def value(self, node: yaml.Node, path: Path_) -> Any:
        self.source.places[path] = _mark(node)
        self._check_tag(node, path)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        return self._mapping(node, path)

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        text = _text_of(node)
        if node.style is not None:
            return text
        try:
            return scalar(text)
        except OverflowError as error:
            note = "write a smaller one, or put a text in quotes"
            raise _Refused(problem=str(error), problem_mark=_start(node), note=note) from error

    def _mapping(self, node: yaml.Node, path: Path_) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            place = _mark(key_node)
            if not isinstance(key_node, yaml.ScalarNode) or (key_node.value == "<<" and key_node.style is None):
                note = Fault(path, "keys are plain words; merging with << is not supported", place=place)
                self.source.faults.append(note)
                continue
            key = _text_of(key_node)
            inner = (*path, key)
            if key not in values:
                self.source.key_places[inner] = place
                values[key] = self.value(value_node, inner)
                continue
            first = self.source.key_places[inner][0] + 1
            fault = Fault(inner, f"{key!r} stands here a second time", f"the first is in line {first}", place=place)
            self.source.faults.append(fault)
            again = self.value(value_node, inner)  # read on, so that what only stands here is not missed elsewhere
            if isinstance(again, dict) and isinstance(values[key], dict):
                values[key] = again | values[key]
        return values

    def _check_tag(self, node: yaml.Node, path: Path_) -> None:
        """Notes a tag that would change how a value is read, such as `!!str 2`."""
        plain = isinstance(node, yaml.ScalarNode) and node.style is None
        if node.tag != self.loader.resolve(type(node), node.value, (plain, not plain)):
            hint = "put text in quotes, and write everything else plainly"
            self.source.faults.append(Fault(path, f"the tag {node.tag!r} is not supported", hint))


def _text_of(node: yaml.ScalarNode) -> str:
    """The text of a scalar."""
    odd = UNWRITABLE.search(node.value)
    if odd:
        problem = f"holds the character {odd[0]!r}, which cannot be written"
        raise _Refused(problem=problem, problem_mark=_start(node), note="remove it")
    return node.value


def _start(node: yaml.Node) -> Any:
    """Where a node begins, for an error; the stubs of PyYAML know two kinds of marks."""
    return node.start_mark


def _mark(node: yaml.Node) -> Place:
    return node.start_mark.line, node.start_mark.column


def scalar(text: str) -> Any:
    """The value of a scalar without quotes, by the YAML 1.2 core schema; raises `OverflowError` for an integer that no
    machine counts with."""
    if text in WORDS:
        return WORDS[text]
    if INTEGER.fullmatch(text) or BASED.fullmatch(text):
        return _integer(text)
    if NUMBER.fullmatch(text):
        return float(text)
    if INFINITE.fullmatch(text):
        return -math.inf if text.startswith("-") else math.inf
    return text


def _integer(text: str) -> int:
    digits = len(text.lstrip("+-").lstrip("0"))
    value = int(text, 0 if BASED.fullmatch(text) else 10) if digits <= 70 else None
    if value is None or not -(2**63) <= value < 2**63:
        raise OverflowError(f"an integer of {digits} digits is beyond 64 bits")
    return value


# ------------------------------------------------------------------------------------------------------------- writing


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    try:
        plain = isinstance(scalar(text), str)
    except OverflowError:  # digits
        plain = False
    style = "'" if not plain else None if text.isprintable() else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def write(values: Any) -> str:
    """The text of plain values: `parse(write(values)).values == values`."""
    return yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)

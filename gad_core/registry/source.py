"""YAML with places: every value knows its line and column, and nothing is read otherwise than it looks.

PyYAML's own loader reads `1e-4` as text, `off` as False, and lets the last of two equal keys win. Here scalars follow
the YAML 1.2 core schema, and equal keys are an error.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from yaml.reader import ReaderError

from gad_core.errors import RegistryError

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
        shown = lines[line].rstrip() if line < len(lines) else ""
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
        """The error that tells all faults at once, in the order of the file."""
        messages = [self.message(fault) for fault in sorted(faults, key=self.place)]
        return RegistryError("\n".join(dict.fromkeys(messages)))


# ------------------------------------------------------------------------------------------------------------- reading


def read(path: Path) -> Source:
    """Reads a registry file. Raises `RegistryError` when it cannot be read or is no YAML at all."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = "there is no such file" if isinstance(error, FileNotFoundError) else str(error)
        raise RegistryError(reason, where=str(path), hint="name a registry file, such as registry.yaml") from error
    return parse(text, str(path))


def parse(text: str, file: str = "registry.yaml") -> Source:
    """Reads the text of a registry file; repeated keys are noted among the faults of the result.

    Raises `RegistryError` when it is no YAML.
    """
    source = Source(file, text)
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        source.values = _Reader(source, loader).value(node, ()) if node is not None else {}
    except (yaml.YAMLError, RecursionError) as error:
        raise source.refuse([_not_yaml(error, text)]) from error
    return source


def value_of(text: str, where: str) -> Any:
    """The value of a piece of YAML, such as an option at the command line; raises `RegistryError` when it is none."""
    source = parse(text, where)
    if source.faults:
        raise source.refuse(source.faults)
    return source.values if text.strip() else None


def _not_yaml(error: yaml.YAMLError | RecursionError, text: str) -> Fault:
    hint = "check quotes, colons and indentation"
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        place = (mark.line, mark.column) if mark else (0, 0)
        return Fault((), f"is not YAML: {error.problem or error.context}", hint, place=place)
    if isinstance(error, ReaderError):
        before = text[: error.position]
        place = (before.count("\n"), len(before) - before.rfind("\n") - 1)
        return Fault((), f"is not YAML: {error.reason}", "remove the character", place=place)
    return Fault((), "is nested too deeply, or an anchor contains itself", "write it out without `*`", place=(0, 0))


@dataclass
class _Reader:
    """Turns YAML nodes into values, noting places and faults."""

    source: Source
    loader: yaml.SafeLoader

    def value(self, node: yaml.Node, path: Path_) -> Any:
        self.source.places[path] = _mark(node)
        self._check_tag(node, path)
        if isinstance(node, yaml.ScalarNode):
            return node.value if node.style is not None else scalar(node.value)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        return self._mapping(node, path)

    def _mapping(self, node: yaml.Node, path: Path_) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            place = _mark(key_node)
            if not isinstance(key_node, yaml.ScalarNode) or (key_node.value == "<<" and key_node.style is None):
                note = Fault(path, "keys are plain words; merging with << is not supported", place=place)
                self.source.faults.append(note)
                continue
            key = key_node.value
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


def _mark(node: yaml.Node) -> Place:
    return node.start_mark.line, node.start_mark.column


def scalar(text: str) -> Any:
    """The value of a scalar without quotes, by the YAML 1.2 core schema."""
    if text in WORDS:
        return WORDS[text]
    if INTEGER.fullmatch(text):
        return int(text)
    if BASED.fullmatch(text):
        return int(text, 0)
    if NUMBER.fullmatch(text):
        return float(text)
    if INFINITE.fullmatch(text):
        return -math.inf if text.startswith("-") else math.inf
    return text


# ------------------------------------------------------------------------------------------------------------- writing


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "'" if not isinstance(scalar(text), str) else None if text.isprintable() else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def write(values: Any) -> str:
    """The text of plain values: `parse(write(values)).values == values`."""
    return yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)

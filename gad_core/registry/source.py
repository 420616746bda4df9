"""YAML with places: every value knows its line and column, and nothing is read otherwise than it looks.

PyYAML's own loader reads `1e-4` as text, `off` as False, and lets the last of two equal keys win. Here scalars follow
the YAML 1.2 core schema, and equal keys are an error.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from gad_core.errors import RegistryError

Path_ = tuple[str | int, ...]
"""Where a value stands in the file: keys and list positions from the top."""

INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9_]*)$|0x[0-9a-fA-F]+$")
NUMBER = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$")
WORDS: dict[str, Any] = {"": None, "~": None, "null": None, "Null": None, "NULL": None} | {
    word: value for value, words in ((True, "true True TRUE"), (False, "false False FALSE")) for word in words.split()
}


@dataclass(frozen=True)
class Fault:
    """Something wrong at a place of the file."""

    path: Path_
    message: str
    hint: str = ""
    at_key: bool = False


@dataclass
class Source:
    """A registry file: its text, its values, and where each of them stands (line and column from 0)."""

    file: str
    text: str
    values: Any = None
    places: dict[Path_, tuple[int, int]] = field(default_factory=dict)
    key_places: dict[Path_, tuple[int, int]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    def message(self, fault: Fault) -> str:
        """A fault with its place, its source line and what to do, as it is printed."""
        line, column = self.place(fault)
        dotted = ".".join(map(str, fault.path))
        lines = self.text.splitlines()
        shown = lines[line].rstrip() if line < len(lines) else ""
        text = f"{self.file}:{line + 1}:{column + 1}: {dotted + ': ' if dotted else ''}{fault.message}\n"
        text += f"{line + 1:>4} | {shown}"
        return f"{text}\n     = {fault.hint}" if fault.hint else text

    def place(self, fault: Fault) -> tuple[int, int]:
        """The place of a fault, or of the nearest value around it."""
        places = (self.key_places, self.places) if fault.at_key else (self.places, self.key_places)
        for known in places:
            if fault.path in known:
                return known[fault.path]
        for length in range(len(fault.path) - 1, -1, -1):
            if fault.path[:length] in self.key_places:
                return self.key_places[fault.path[:length]]
        return self.places.get((), (0, 0))

    def refuse(self, faults: list[Fault]) -> RegistryError:
        """The error that tells all faults at once, in the order of the file."""
        messages = [self.message(fault) for fault in sorted(faults, key=self.place)]
        return RegistryError("\n".join(dict.fromkeys(messages)))


def read(path: Path) -> Source:
    """Reads a registry file. Raises `RegistryError` when it cannot be read or is no YAML at all."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = "there is no such file" if isinstance(error, FileNotFoundError) else str(error)
        raise RegistryError(reason, where=str(path), hint="name a registry file, such as registry.yaml") from error
    return parse(text, str(path))


def parse(text: str, file: str = "registry.yaml") -> Source:
    """Reads the text of a registry file; repeated keys are noted among the faults of the result."""
    source = Source(file, text)
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = (mark.line, mark.column) if mark else (0, 0)
        source.places[()] = place
        fault = Fault((), f"is not YAML: {error.problem or error.context}", "check quotes, colons and indentation")
        raise source.refuse([fault]) from error
    except yaml.YAMLError as error:
        raise source.refuse([Fault((), f"is not YAML: {error}")]) from error
    source.values = _value(node, (), source) if node is not None else {}
    return source


def _value(node: yaml.Node, path: Path_, source: Source) -> Any:
    source.places[path] = (node.start_mark.line, node.start_mark.column)
    if isinstance(node, yaml.ScalarNode):
        return _scalar(node)
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, (*path, index), source) for index, item in enumerate(node.value)]
    assert isinstance(node, yaml.MappingNode)
    return dict(_entries(node, path, source))


def _entries(node: yaml.MappingNode, path: Path_, source: Source) -> Iterator[tuple[str, Any]]:
    seen: dict[str, int] = {}
    for key_node, value_node in node.value:
        mark = key_node.start_mark
        key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
        if key is None or key == "<<":
            source.places.setdefault((*path, "?"), (mark.line, mark.column))
            source.faults.append(Fault((*path, "?"), "keys are plain words; merging with << is not supported"))
            continue
        inner = (*path, key)
        if key in seen:
            source.key_places[(*inner, "")] = (mark.line, mark.column)
            source.faults.append(
                Fault((*inner, ""), f"{key!r} stands here a second time", f"the first is in line {seen[key] + 1}", True)
            )
            continue
        seen[key] = mark.line
        source.key_places[inner] = (mark.line, mark.column)
        yield key, _value(value_node, inner, source)


def _scalar(node: yaml.ScalarNode) -> Any:
    """A scalar by the YAML 1.2 core schema; what is quoted is text."""
    text = node.value
    if node.style is not None:
        return text
    if text in WORDS:
        return WORDS[text]
    if INTEGER.match(text):
        return int(text.replace("_", ""), 0)
    if NUMBER.match(text):
        return float(text)
    if text.lower() in (".inf", "+.inf", "-.inf"):
        return -math.inf if text.startswith("-") else math.inf
    return math.nan if text.lower() == ".nan" else text

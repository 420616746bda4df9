"""The registry reference, made from the code: `python -m gad_core.registry.reference` writes docs/registry.md."""

from __future__ import annotations

import inspect
import types
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from gad_core.discovery.plugins import DISTRIBUTION, Plugins, installed
from gad_core.files.writing import write_text
from gad_core.registry.schema import SECTIONS, Entry, ExperimentEntry, File, SweepEntry
from gad_core.registry.training_options import Phase, Training

OPENING = """# Registry reference

Made from the code by `make docs`; a test compares. `gad check FILE` checks a file against all of this in a moment.

A registry file names components in sections, and composes them in experiments:

```yaml
version: 1
backbones: {tiny: {use: llama-tiny}}
labels: {text: {use: text}}
heads: {gad: {use: gad, generation_weight: 1.0}}
datasets: {kitchen: {use: kitchen}}
training: {short: {epochs: 2}}
experiments:
  first: {dataset: kitchen, backbone: tiny, head: gad, labels: text, training: short, seeds: [0, 1]}
sweeps:
  weight: {base: first, vary: {head.generation_weight: [0.3, 1.0]}}
```

It is strict: unknown keys, repeated keys, values of another type and names that lead nowhere are errors, and all of
them are told at once. Numbers such as `1e-4` are numbers; `on`, `off`, `yes` and `no` are words; what stands in quotes
is text. Relative paths are taken from the folder of the file. `use: "distribution:name"` picks one of several plugins
that offer a name.

A registry file with `plugins:` runs the code of [the files it names](plugins.md#a-plugin-of-one-file), whatever command
reads it: look at those of somebody else before you check them.
"""
SWEEPS = """A key of `vary` is a slot (`head: [gad, discriminative]`) or an option of its component
(`head.generation_weight: [0.3, 1.0]`, `backbone.lora.rank: [8, 16]`); `null` empties `labels` or `auxiliary`, a list
in the list is a combination of auxiliary tasks. Of all combinations,

- what has no effect is taken away: label tokenizer and written auxiliary tasks of a head that never writes;
- equal ones run once;
- impossible ones are skipped, and `gad check` says why.

A point is an experiment called `<sweep>/<key>=<value>,…`.
"""


TYPES: dict[Any, str] = {
    Any: "any value",
    str: "text",
    int: "integer",
    float: "number",
    bool: "true | false",
    type(None): "null",
    Path: "path",
}
"""Python's types in the words of a registry file."""


def options(model: type[BaseModel], prefix: str = "") -> list[tuple[str, str, str, str]]:
    """The options of a model: (name, type, default, meaning); those of an option that has options follow it, dotted."""
    rows = []
    for name, entry in model.model_fields.items():
        if entry.is_required():
            default = "required"
        else:
            default = _value(entry.get_default(call_default_factory=True, validated_data={}))
        dotted = prefix + (entry.alias or name)
        rows.append((dotted, _type(entry.annotation) + _bounds(entry.metadata), default, entry.description or ""))
        union = get_origin(entry.annotation) in (Union, types.UnionType)
        for inner in get_args(entry.annotation) if union else (entry.annotation,):
            if inspect.isclass(inner) and issubclass(inner, BaseModel):
                rows += options(inner, f"{dotted}.")
    return rows


def _value(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, BaseModel):
        return "{" + ", ".join(f"{key}: {_value(inner)}" for key, inner in value) + "}"
    if isinstance(value, tuple | list):
        return "[" + ", ".join(map(_value, value)) + "]"
    if value == "":
        return '""'
    return str(value).lower() if isinstance(value, bool) else str(value)


def _bounds(metadata: Iterable[Any]) -> str:
    """The bounds of a number, from what annotates it."""
    signs = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}
    bounds = [f"{sign} {getattr(one, name)}" for one in metadata for name, sign in signs.items() if hasattr(one, name)]
    return f" {', '.join(bounds)}" if bounds else ""


def _type(annotation: Any) -> str:
    """A type in the words of a registry file."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(arguments[0]) + _bounds(arguments[1:])
    if origin is Literal:
        return " | ".join(map(str, arguments))
    if origin in (Union, types.UnionType):
        return " | ".join(dict.fromkeys(_type(argument) for argument in arguments))
    if origin in (tuple, list):
        return f"list of {_type(arguments[0])}"
    if origin is dict:
        return f"mapping of {_type(arguments[1])}"
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        inside = [entry.alias or name for name, entry in annotation.model_fields.items()]
        return "{" + ", ".join(inside[:3] + ["…"] * (len(inside) > 3 or annotation is Entry)) + "}"
    return TYPES.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _table(model: type[BaseModel]) -> str:
    rows = [" | ".join(cell.replace("|", "\\|") for cell in row) for row in options(model)]
    if not rows:
        return "No options.\n"
    return "| option | type | default | meaning |\n|---|---|---|---|\n" + "".join(f"| {row} |\n" for row in rows)


def reference(plugins: Plugins) -> str:
    """The whole page, for the components of our own distribution."""
    parts = [OPENING, "## The file\n", _table(File), "## An experiment\n", _table(ExperimentEntry)]
    parts += ["## A sweep\n", SWEEPS, _table(SweepEntry), "## `training`\n", _table(Training)]
    parts += ["### A phase\n", _table(Phase)]
    for slot, section in SECTIONS.items():
        parts.append(f"## `{section}`\n")
        for offer in plugins.of(slot):
            if offer.distribution == DISTRIBUTION:
                parts += [f"### `use: {offer.name}`\n", inspect.cleandoc(offer.component.__doc__ or "") + "\n"]
                parts.append(_table(offer.component))
    return "\n".join(parts)


def page() -> Path:
    """Where the page stands in a checkout."""
    return Path(__file__).resolve().parents[2] / "docs" / "registry.md"


if __name__ == "__main__":
    write_text(page(), reference(installed()))

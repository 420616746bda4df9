"""The registry reference, made from the code: `python -m gad_core.registry.reference` writes docs/registry.md."""

from __future__ import annotations

import inspect
import types
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from gad_core.files import write_text
from gad_core.plugins import Plugins, installed
from gad_core.registry.schema import SECTIONS, ExperimentEntry, File, SweepEntry
from gad_core.training_options import Phase, Training

OPENING = """# Registry reference

Made from the code by `make docs`; a test compares. A registry file is strict: unknown keys, repeated keys and names
that lead nowhere are errors, and all of them are told at once. Relative paths are taken from the folder of the file.
Numbers such as `1e-4` are numbers; `on`, `off`, `yes` and `no` are words.
"""


def options(model: type[BaseModel]) -> list[tuple[str, str, str, str]]:
    """The options of a model: (name, type, default, meaning)."""
    rows = []
    for name, entry in model.model_fields.items():
        if entry.is_required():
            default = "required"
        elif entry.default is PydanticUndefined:
            default = _value(entry.default_factory())  # type: ignore[misc, call-arg]
        else:
            default = _value(entry.default)
        rows.append((entry.alias or name, _type(entry.annotation), default, entry.description or ""))
    return rows


def _value(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, BaseModel):
        return "{" + ", ".join(f"{key}: {_value(inner)}" for key, inner in value) + "}"
    if isinstance(value, tuple | list):
        return "[" + ", ".join(map(_value, value)) + "]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _type(annotation: Any) -> str:
    """A type in the words of a registry file."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(arguments[0])
    if origin is Literal:
        return " | ".join(map(str, arguments))
    if origin in (Union, types.UnionType):
        return " | ".join(dict.fromkeys(_type(argument) for argument in arguments))
    if origin in (tuple, list):
        return f"list of {_type(arguments[0])}"
    if origin is dict:
        return f"mapping of {_type(arguments[1])}"
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        return "{" + ", ".join(entry.alias or name for name, entry in annotation.model_fields.items()) + "}"
    known = {str: "text", int: "integer", float: "number", bool: "true | false", type(None): "null", Path: "path"}
    return known.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _table(model: type[BaseModel]) -> str:
    rows = [" | ".join(cell.replace("|", "\\|") for cell in row) for row in options(model)]
    if not rows:
        return "No options.\n"
    return "| option | type | default | meaning |\n|---|---|---|---|\n" + "".join(f"| {row} |\n" for row in rows)


def reference(plugins: Plugins) -> str:
    """The whole page, for the components of our own distribution."""
    parts = [OPENING, "## The file\n", _table(File), "## An experiment\n", _table(ExperimentEntry)]
    parts += ["## A sweep\n", _table(SweepEntry), "## `training`\n", _table(Training)]
    parts += ["### A phase\n", _table(Phase)]
    for slot, section in SECTIONS.items():
        parts.append(f"## `{section}`\n")
        for offer in plugins.of(slot):
            if offer.distribution == "gad-framework":
                parts += [f"### `use: {offer.name}`\n", inspect.cleandoc(offer.component.__doc__ or "") + "\n"]
                parts.append(_table(offer.component))
    return "\n".join(parts)


def page() -> Path:
    """Where the page stands in a checkout."""
    return Path(__file__).resolve().parents[2] / "docs" / "registry.md"


if __name__ == "__main__":
    write_text(page(), reference(installed()))

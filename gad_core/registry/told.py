"""Strict validation, and pydantic's errors in the words and places of a registry file."""

from __future__ import annotations

import inspect
import itertools
import json
import re
import types
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from gad_core.files.suggestions import suggestion
from gad_core.registry.source import Fault, Path_

Model = TypeVar("Model", bound=BaseModel)

SHOULD_BE = {
    **dict.fromkeys(("dict_type", "model_type", "model_attributes_type"), "a mapping"),
    **dict.fromkeys(("tuple_type", "list_type", "set_type", "frozen_set_type"), "a list"),
    **dict.fromkeys(("int_type", "int_from_float"), "an integer"),
    "string_type": "text",
    "float_type": "a number",
    "bool_type": "true or false",
    "path_type": "a path",
}
"""Pydantic's kinds of type errors in the words of a registry file."""


def validated(model: type[Model], values: Any, root: Path | None = None) -> Model:
    """The model of plain values, where a text is no number and `off` no false; raises pydantic's `ValidationError`.

    JSON is what pydantic can read strictly and still take a list for a tuple and a text for a path.
    """
    return model.model_validate_json(json.dumps(values), strict=True, context={"root": root})


def faults_of(error: ValidationError, model: type[BaseModel], values: Any, subject: str | None = None) -> list[Fault]:
    """The faults of `values`, with paths from their top; those at one place are one.

    `subject` is who has the options: a component by its name, None for the file.
    """
    found: dict[Path_, list[Mapping[str, Any]]] = {}
    for one in error.errors(include_url=False):
        location = one["loc"][:-1] if one["type"] == "missing" else one["loc"]
        found.setdefault(_written(values, location), []).append(one)
    for path, errors in found.items():
        if any(other != path and other[: len(path)] == path for other in found):  # what lies deeper says why
            errors[:] = [one for one in errors if one["type"] == "missing"]
    return [fault for path, errors in found.items() for fault in _told(path, errors, model, subject)]


def _told(path: Path_, errors: list[Mapping[str, Any]], model: type[BaseModel], subject: str | None) -> Iterable[Fault]:
    kinds: dict[str, None] = {}
    for one in errors:
        at_key = "[key]" in one["loc"]
        if one["type"] == "extra_forbidden":
            key, known = str(path[-1]), sorted({name for owner in _models(model, path[:-1]) for name in names(owner)})
            message = f"{subject!r} has no option {key!r}" if subject else f"{key!r} is not known here"
            yield Fault(path, message, suggestion(key, known, f"known here: {', '.join(known) or 'nothing'}"), True)
        elif one["type"] == "missing":
            yield Fault(path, _missing(one["loc"][-1], subject), at_key=isinstance(one["loc"][-1], str))
        elif one["type"] in SHOULD_BE:
            kinds[SHOULD_BE[one["type"]]] = None
        elif one["type"] == "literal_error":
            known = re.findall(r"'([^']*)'", one["ctx"]["expected"])
            hint = suggestion(str(one["input"]), known, "")
            yield Fault(path, f"should be {one['ctx']['expected']}, not {shown(one['input'])}", hint, at_key)
        else:
            yield Fault(path, _message(one), at_key=at_key)
    if kinds:
        yield Fault(path, f"should be {' or '.join(kinds)}, not {shown(errors[0]['input'])}")


def _missing(name: str | int, subject: str | None) -> str:
    if isinstance(name, int):
        return "has too few items"
    return f"{subject!r} needs the option {name!r}" if subject else f"{name!r} is missing"


def _message(one: Mapping[str, Any]) -> str:
    """Any other error: a component's own words as they are, pydantic's a little plainer."""
    kind, text = one["type"], one["msg"]
    if kind in ("value_error", "assertion_error"):
        return text.partition(", ")[2]
    if kind in ("too_short", "too_long"):
        bound, number = ("at least", "min_length") if kind == "too_short" else ("at most", "max_length")
        return f"should have {bound} {one['ctx'][number]} item{'' if one['ctx'][number] == 1 else 's'}"
    text = text.removeprefix("Input ").replace("greater than or equal to", "at least")
    text = text.replace("less than or equal to", "at most")
    return f"{text[:1].lower()}{text[1:]}, not {shown(one['input'])}"


def shown(value: Any) -> str:
    """A value as it stands in a registry file."""
    if isinstance(value, dict | list | tuple):
        return "a mapping" if isinstance(value, dict) else "a list"
    text = repr(value) if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 120 else f"{text[:120]}…"


def names(model: type[BaseModel]) -> set[str]:
    """What the options of a model are called in the file."""
    return {entry.alias or name for name, entry in model.model_fields.items()}


def outside_lists(path: Path_) -> Path_:
    """A path up to the first list in it."""
    return tuple(itertools.takewhile(lambda part: isinstance(part, str), path))


def _written(values: Any, location: Path_) -> Path_:
    """Pydantic's location without the names of union members, which stand nowhere in the file."""
    found: Path_ = ()
    for part in location:
        inside = part in values if isinstance(values, dict) else isinstance(values, list) and isinstance(part, int)
        if inside:
            found, values = (*found, part), values[part]
    return found


def _models(annotation: Any, path: Path_) -> list[type[BaseModel]]:
    """The models that may stand at a path of a value of this type."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _models(arguments[0], path)
    if origin in (Union, types.UnionType):
        return [model for argument in arguments for model in _models(argument, path)]
    if not path:
        return [annotation] if inspect.isclass(annotation) and issubclass(annotation, BaseModel) else []
    if origin is not None:
        return [model for argument in arguments for model in _models(argument, path[1:])]
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        fields = [entry for name, entry in annotation.model_fields.items() if path[0] in (name, entry.alias)]
        return [model for entry in fields for model in _models(entry.annotation, path[1:])]
    return []

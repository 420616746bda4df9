"""The JSON Schema of a registry file: the sections, and in each the options of every installed component."""

from __future__ import annotations

import inspect
import json
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from gad_core.discovery.guard import guarded
from gad_core.discovery.plugins import Offer, Plugins
from gad_core.registry.schema import SECTIONS, File
from gad_core.registry.training_options import Training

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema(plugins: Plugins) -> dict[str, Any]:
    """The schema of registry files for what is installed.

    An editor can say from it that an option is misspelt or of another type; that names lead somewhere and that
    components fit together is for `gad check`.
    """
    file = File.model_json_schema()
    definitions = file.pop("$defs", {})
    for slot, section in SECTIONS.items():
        entries = {f"{section}: {plugins.use(offer.component)}": offer for offer in plugins.of(slot)}
        for name, offer in entries.items():
            definitions[name] = _entry(plugins, offer, definitions)
        uses = [plugins.use(offer.component) for offer in plugins.of(slot)]
        file["properties"][section]["additionalProperties"] = {
            "type": "object",
            "required": ["use"],
            "properties": {"use": {"enum": uses, "description": f"a component of `{section}`"}},
            "allOf": [
                {
                    "if": {"properties": {"use": {"const": plugins.use(offer.component)}}, "required": ["use"]},
                    "then": {"$ref": f"#/$defs/{_pointer(name)}"},
                }
                for name, offer in entries.items()
            ],
        }
    definitions["training"] = _model(Training, definitions)
    file["properties"]["training"]["additionalProperties"] = {"$ref": "#/$defs/training"}
    definitions.pop("Entry", None)
    return {**file, "$schema": DIALECT, "title": "gad registry", "$defs": definitions}


def _entry(plugins: Plugins, offer: Offer, definitions: dict[str, Any]) -> dict[str, Any]:
    """The options of a component beside `use`."""
    schema = _model(offer.component, definitions)
    use = {"const": plugins.use(offer.component), "description": schema.get("description", "")}
    return {**schema, "properties": {"use": use, **schema.get("properties", {})}}


def _model(model: type[BaseModel], definitions: dict[str, Any]) -> dict[str, Any]:
    """The schema of a model; the models inside it go to the definitions, under names of their own.

    Anything goes for a guest whose options JSON Schema has no word for, or whose own schema raises.
    """
    schema: dict[str, Any] = {"type": "object", "properties": {}}
    with guarded(f"the schema of {model.__qualname__}", lambda _: None):
        schema["description"] = str(inspect.cleandoc(model.__doc__ or ""))
        found = model.model_json_schema(ref_template=f"#/$defs/{model.__module__}.{{model}}")
        inside = {f"{model.__module__}.{name}": inner for name, inner in found.pop("$defs", {}).items()}
        whole = _as_lenient_as_its_validators(model, found)
        json.dumps([whole, inside])
        schema = whole
        definitions |= inside
    return schema


def _as_lenient_as_its_validators(model: type[BaseModel], schema: dict[str, Any]) -> dict[str, Any]:
    """A schema must not refuse what the model takes: an option that a validator sees before its type is checked may be
    of any type, and none is required where a validator sees all of them first."""
    decorators = model.__pydantic_decorators__
    for validator in decorators.field_validators.values():
        if validator.info.mode != "after" and validator.info.json_schema_input_type is PydanticUndefined:
            seen = model.model_fields if "*" in validator.info.fields else validator.info.fields
            for field in seen:
                name = model.model_fields[field].alias or field
                told = schema["properties"][name]
                schema["properties"][name] = {key: told[key] for key in ("title", "description") if key in told}
    if any(validator.info.mode == "before" for validator in decorators.model_validators.values()):
        schema.pop("required", None)
    return schema


def _pointer(name: str) -> str:
    """A name as a part of a JSON pointer in a URI."""
    return name.replace("~", "~0").replace("/", "~1").replace(" ", "%20").replace(":", "%3A")

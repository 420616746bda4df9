"""The JSON Schema: what is right validates, what is misspelt does not."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import jsonschema
import pytest
from click.testing import CliRunner
from hypothesis import given

from gad_core.cli import main
from gad_core.contracts.components import KINDS
from gad_core.discovery.plugins import installed
from gad_core.registry.json_schema import json_schema
from gad_core.registry.schema import SECTIONS
from gad_core.registry.source import parse, read
from gad_core.testing import registries

PROJECT = Path(__file__).resolve().parents[1]
FILES = [PROJECT / "registry.yaml", *sorted((PROJECT / "recipes").rglob("*.yaml"))]
SCHEMA = json_schema(installed())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def faults(values: Any) -> list[str]:
    """What is wrong, with places."""
    return [f"{error.json_path}: {error.message}" for error in VALIDATOR.iter_errors(values)]


def test_it_is_printed() -> None:
    printed = CliRunner().invoke(main, ["schema"])
    assert printed.exit_code == 0 and json.loads(printed.output) == SCHEMA
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PROJECT)))
def test_registry_files_validate(path: Path) -> None:
    assert not faults(read(path).values)


@given(text=registries())
def test_drawn_registry_files_validate(text: str) -> None:
    assert not faults(parse(text).values)


RIGHT = """\
version: 1
backbones: {tiny: {use: llama-tiny, lora: {rank: 4}}}
labels: {text: {use: text}}
heads: {gad: {use: gad, order: parallel}}
auxiliaries: {past: {use: past, k: 2}}
datasets: {k: {use: kitchen, asks: [current]}}
training: {short: {epochs: 1, phases: [{epochs: 1, train: [head]}]}}
experiments: {a: {dataset: k, backbone: tiny, head: gad, labels: text, auxiliary: past, training: short, seeds: [0]}}
sweeps: {s: {base: a, vary: {head: [gad]}}}
default: [a]
"""
WRONG = {
    "section": ("heads:", "haeds:"),
    "component": ("use: gad", "use: gda"),
    "component of another kind": ("{use: text}", "{use: gad}"),
    "no use": ("{use: text}", "{}"),
    "option": ("order: parallel", "ordre: parallel"),
    "choice": ("order: parallel", "order: paralel"),
    "option of an option": ("rank: 4", "rnak: 4"),
    "type": ("k: 2}}", "k: two}}"),
    "bound": ("k: 2}}", "k: 0}}"),
    "choice in a list": ("asks: [current]", "asks: [curent]"),
    "recipe": ("epochs: 1, phases", "epohcs: 1, phases"),
    "phase": ("train: [head]", "train: [haed]"),
    "experiment": ("seeds: [0]", "seed: [0]"),
    "sweep": ("base: a", "bass: a"),
    "version": ("version: 1", "version: 2"),
}


@pytest.mark.parametrize(("right", "wrong"), WRONG.values(), ids=WRONG)
def test_what_is_misspelt_does_not_validate(right: str, wrong: str) -> None:
    assert not faults(parse(RIGHT).values)
    assert RIGHT.count(right) == 1
    assert faults(parse(RIGHT.replace(right, wrong)).values)


def test_every_component_and_option_is_documented() -> None:
    """What an editor shows beside a word."""
    for kind in KINDS:
        for offer in installed().of(kind):
            entry = SCHEMA["$defs"][f"{SECTIONS[kind]}: {installed().use(offer.component)}"]
            assert all(option.get("description") for option in entry["properties"].values()), offer.name


def test_every_reference_leads_somewhere() -> None:
    references = set(re.findall(r'"\$ref": "#/\$defs/([^"]+)"', json.dumps(SCHEMA)))
    assert references and {unquote(reference) for reference in references} <= set(SCHEMA["$defs"])

"""The registry file: every mistake is told at its place, all at once; what is right becomes experiments."""

from __future__ import annotations

import itertools
import json
import math
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from gad_auxiliary.plugin import Goal
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from gad_core import registry
from gad_core.cli import main
from gad_core.discovery.plugins import Offer, Plugins, installed
from gad_core.errors import RegistryError, visible
from gad_core.registry import resolve
from gad_core.registry.reference import page, reference
from gad_core.registry.source import parse, scalar, value_of, write

PROJECT = Path(__file__).resolve().parents[1]
BOOK = """version: 1
default: [one]
backbones:
  tiny: {use: llama-tiny}
  big: {use: llama, checkpoint: some/model, lora: {rank: 8, alpha: 16}}
labels:
  text: {use: text}
heads:
  gad: {use: gad}
  dis: {use: discriminative}
  gen: {use: generative}
auxiliaries:
  goal: {use: goal}
  past: {use: past, k: 2}
datasets:
  kitchen: {use: kitchen}
training:
  demo: {epochs: 3, batch: 4}
experiments:
  one: {dataset: kitchen, backbone: tiny, head: gad, labels: text, auxiliary: goal, training: demo}
sweeps:
  heads:
    base: one
    vary: {head: [gen, dis, gad]}
"""
HERE = "⟦"
"""Stands in a faulty text in front of what the message must point at."""


def changed(old: str, new: str, text: str = BOOK) -> str:
    assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in the text"
    return text.replace(old, new)


def refusal(text: str, **options: Any) -> str:
    with pytest.raises(RegistryError) as caught:
        registry.loads(text, **options)
    return str(caught.value)


def told(marked: str, path: str, message: str, hint: str = "") -> str:
    """How a fault is printed that stands at the mark."""
    before, text = marked.split(HERE)[0], marked.replace(HERE, "")
    line, column = before.count("\n"), len(before) - before.rfind("\n") - 1
    shown = f"registry.yaml:{line + 1}:{column + 1}: {path + ': ' if path else ''}{message}\n"
    shown += visible(f"{line + 1:>4} | {text.splitlines()[line].rstrip()}")
    return f"{shown}\n     = {hint}" if hint else shown


def test_the_book_is_right() -> None:
    book = registry.loads(BOOK)
    assert [experiment.name for experiment in book.select([])] == ["one"]
    assert list(book.experiments) == ["one", "heads/head=gen", "heads/head=dis", "heads/head=gad"]
    assert book.experiments["one"].training.epochs == 3


# ---------------------------------------------------------------------------------------------------------- messages

LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{key}: &{key} [{'{}' if key == 'f' else ''}{','.join([f'*{before}'] * 10)}]\n"
    for before, key in itertools.pairwise("abcdefghi")
)
"""A few lines that stand for a billion values; the mark is at the first alias that is too much."""

TRAINING = "demo: {epochs: 3, batch: 4}"
ONE = "auxiliary: goal, training: demo}"
FAULTS: dict[str, tuple[str, str, str, str, str]] = {
    # what is misspelt, at every level
    "section": ("default:", "⟦defaults:", "defaults", "'defaults' is not known here", "did you mean 'default'?"),
    "component option": (
        "k: 2", "⟦kk: 2", "auxiliaries.past.kk", "'past' has no option 'kk'", "did you mean 'k'?"),
    "nested option": (
        "alpha: 16", "⟦alfa: 16", "backbones.big.lora.alfa", "'llama' has no option 'alfa'", "did you mean 'alpha'?"),
    "far from any option": (
        "use: goal", "use: goal, ⟦zzz: 1", "auxiliaries.goal.zzz", "'goal' has no option 'zzz'", "known here: form"),
    "training option": (
        "batch: 4", "⟦batsh: 4", "training.demo.batsh", "'training' has no option 'batsh'", "did you mean 'batch'?"),
    "option of a phase": (
        TRAINING, "demo: {phases: [{epochs: 1, ⟦trains: [head]}]}", "training.demo.phases.0.trains",
        "'training' has no option 'trains'", "did you mean 'train'?"),
    "experiment slot": (
        "auxiliary: goal", "⟦auxilliary: goal", "experiments.one.auxilliary", "'auxilliary' is not known here",
        "did you mean 'auxiliary'?"),
    "sweep key": (
        "vary: {head: [gen, dis, gad]}", "vary: {head: [gen]}\n    ⟦varies: 3", "sweeps.heads.varies",
        "'varies' is not known here", "did you mean 'vary'?"),
    "swept slot": (
        "vary: {head:", "vary: {⟦haed:", "sweeps.heads.vary.haed", "cannot vary 'haed'",
        "vary dataset, backbone, head, labels, auxiliary, training, or an option as slot.option"),
    "swept option": (
        "vary: {head: [gen, dis, gad]}", "vary: {⟦head.order_: [parallel, parallel]}", "sweeps.heads.vary.head.order_",
        "'gad' has no option 'order_'", "did you mean 'order'?"),
    "component": (
        "use: llama-tiny", "use: ⟦lama-tiny", "backbones.tiny.use", "there is no backbone 'lama-tiny'",
        "did you mean 'llama-tiny'?"),
    "unused component": (
        "{use: past, k: 2}", "{use: ⟦passed, k: 2}", "auxiliaries.past.use", "there is no auxiliary 'passed'",
        "did you mean 'past'?"),
    "choice": (
        "{use: gad}", "{use: gad, order: ⟦paralel}", "heads.gad.order", "should be 'discriminative-first', "
        "'generation-first' or 'parallel', not 'paralel'", "did you mean 'parallel'?"),
    # names that lead nowhere
    "dangling head": (
        "head: gad,", "head: ⟦gda,", "experiments.one.head", "no entry 'gda' in heads", "did you mean 'gad'?"),
    "dangling auxiliary": (
        "auxiliary: goal", "auxiliary: [goal, ⟦gaol]", "experiments.one.auxiliary.1", "no entry 'gaol' in auxiliaries",
        "did you mean 'goal'?"),
    "dangling recipe": (
        ONE, "training: ⟦x}", "experiments.one.training", "no entry 'x' in training", "known here: demo"),
    "dangling base": (
        "base: one", "base: ⟦on", "sweeps.heads.base", "no entry 'on' in experiments", "did you mean 'one'?"),
    "dangling default": (
        "default: [one]", "default: [one, ⟦head]", "default.1", "no entry 'head' in experiments or sweeps",
        "did you mean 'heads'?"),
    "dangling swept value": (
        "[gen, dis, gad]", "[gen, ⟦diss, gad]", "sweeps.heads.vary.head.1", "no entry 'diss' in heads",
        "did you mean 'dis'?"),
    # types
    "text for a number": ("k: 2", "k: ⟦two", "auxiliaries.past.k", "should be an integer, not 'two'", ""),
    "quoted number": ("k: 2", 'k: ⟦"2"', "auxiliaries.past.k", "should be an integer, not '2'", ""),
    "true for a number": ("k: 2", "k: ⟦true", "auxiliaries.past.k", "should be an integer, not true", ""),
    "fraction for an integer": ("k: 2", "k: ⟦2.5", "auxiliaries.past.k", "should be an integer, not 2.5", ""),
    "list for a number": ("k: 2", "k: ⟦[2]", "auxiliaries.past.k", "should be an integer, not a list", ""),
    "null for a number": ("batch: 4", "batch: ⟦null", "training.demo.batch", "should be an integer, not null", ""),
    "off is a word": (
        "batch: 4", "group_by_length: ⟦off", "training.demo.group_by_length", "should be true or false, not 'off'", ""),
    "yes is a word": (
        "batch: 4", "group_by_length: ⟦yes", "training.demo.group_by_length", "should be true or false, not 'yes'", ""),
    "number for options": (
        "{rank: 8, alpha: 16}", "⟦3", "backbones.big.lora", "should be a mapping, not 3", ""),
    "text for a list": (
        "{use: kitchen}", "{use: kitchen, asks: ⟦current}", "datasets.kitchen.asks", "should be a list, not 'current'",
        ""),
    "list or text": (
        "auxiliary: goal", "auxiliary: ⟦3", "experiments.one.auxiliary", "should be text or a list, not 3", ""),
    "one item of a list": (
        "auxiliary: goal", "auxiliary: [goal, ⟦3]", "experiments.one.auxiliary.1", "should be text, not 3", ""),
    "one of several types": (
        "{use: kitchen}", "{use: segments, features: a, annotations: b, labels: ⟦3}", "datasets.kitchen.labels",
        "should be a list or text, not 3", ""),
    "word for a section": (
        "labels:\n  text: {use: text}", "labels: ⟦text", "labels", "should be a mapping, not 'text'", ""),
    "empty section": ("training:\n  demo: {epochs: 3, batch: 4}", "training:⟦", "training",
                      "should be a mapping, not null", ""),
    "word for an entry": (
        "tiny: {use: llama-tiny}", "tiny: ⟦llama-tiny", "backbones.tiny", "should be a mapping, not 'llama-tiny'", ""),
    "empty recipe": (TRAINING, "demo:⟦", "training.demo", "should be a mapping, not null", ""),
    "value for a list of values": (
        "[gen, dis, gad]", "⟦gen", "sweeps.heads.vary.head", "should be a list, not 'gen'", ""),
    "number for a swept slot": (
        "[gen, dis, gad]", "[gen, ⟦3]", "sweeps.heads.vary.head.1", "head should be the name of an entry, not 3", ""),
    "null for a needed slot": (
        "[gen, dis, gad]", "[⟦null]", "sweeps.heads.vary.head.0", "head should be the name of an entry, not null", ""),
    # ranges
    "below": ("k: 2", "k: ⟦0", "auxiliaries.past.k", "should be at least 1, not 0", ""),
    "not above zero": ("rank: 8", "rank: ⟦-8", "backbones.big.lora.rank", "should be greater than 0, not -8", ""),
    "infinite": (
        "batch: 4", "learning_rate: ⟦.inf", "training.demo.learning_rate", "should be a finite number, not Infinity",
        ""),
    "too few": ("batch: 4", "betas: ⟦[0.9]", "training.demo.betas", "has too few items", ""),
    "too many": ("batch: 4", "betas: ⟦[0.9, 0.9, 1]", "training.demo.betas", "should have at most 2 items", ""),
    "no seeds": (
        ONE, f"{ONE[:-1]}, seeds: ⟦[]}}", "experiments.one.seeds", "should have at least 1 item", ""),
    "seed twice": (
        ONE, f"{ONE[:-1]}, seeds: ⟦[3, 3]}}", "experiments.one.seeds", "the same seed stands here twice", ""),
    "negative seed": (
        ONE, f"{ONE[:-1]}, seeds: [1, ⟦-1]}}", "experiments.one.seeds.1", "should be at least 0, not -1", ""),
    "together": (
        "{epochs: 3, batch: 4}", "⟦{batch: 4, micro_batch: 8}", "training.demo", "micro_batch 8 is larger than batch 4",
        ""),
    "swept out of range": (
        "vary: {head:", "vary: {head.generation_weight: [0.5, ⟦-1], labels: [text]}\n  other:\n    base: one\n"
        "    vary: {head:", "sweeps.heads.vary.head.generation_weight.1", "should be greater than 0, not -1", ""),
    # what is missing
    "missing option": (
        "checkpoint: some/model, ", "", "backbones.big", "'llama' needs the option 'checkpoint'", ""),
    "missing use": ("tiny: {use: llama-tiny}", "⟦tiny: {}", "backbones.tiny", "'use' is missing", ""),
    "missing slot": ("one: {dataset: kitchen,", "⟦one: {", "experiments.one", "'dataset' is missing", ""),
    # names of folders
    "a way out of the folder": (
        "sweeps:\n", "  ⟦../a: {dataset: kitchen, backbone: tiny, head: dis}\nsweeps:\n", "experiments.../a",
        "'../a' cannot name a run folder: no leading dots, empty "
        "parts, backslashes or line breaks", ""),
    "folder in a folder": (
        "sweeps:\n", "  ⟦one/0: {dataset: kitchen, backbone: tiny, head: dis}\nsweeps:\n", "experiments.one/0",
        "its run folder would lie in that of 'one'", "rename one"),
    "sweep named like an experiment": (
        "sweeps:\n  heads:", "sweeps:\n  ⟦one:", "sweeps.one", "an experiment has this name", "rename one"),
    # the version
    "version of tomorrow": (
        "version: 1", "version: ⟦2", "version", "this gad reads version 1, not 2", "write `version: 1`"),
    "version as text": (
        "version: 1", "version: ⟦'1'", "version", "this gad reads version 1, not '1'", "write `version: 1`"),
    "no version": ("version: 1\n", "⟦", "", "'version' is missing", "write `version: 1` at the top"),
    # YAML
    "repeated entry": (
        "  gen: {use: generative}", "  gen: {use: generative}\n  ⟦gad: {use: gad}", "heads.gad",
        "'gad' stands here a second time", "the first is in line 9"),
    "repeated option": (
        "k: 2", "k: 2, ⟦k: 3", "auxiliaries.past.k", "'k' stands here a second time", "the first is in line 14"),
    "repeated section": (
        "sweeps:\n", "⟦labels: {more: {use: text}}\nsweeps:\n", "labels", "'labels' stands here a second time",
        "the first is in line 6"),
    "merge": (
        "gad: {use: gad}\n  dis: {use: discriminative}", "gad: &x {use: gad}\n  dis: {⟦<<: *x, use: discriminative}",
        "heads.dis", "keys are plain words; merging with << is not supported", ""),
    "list as a key": (
        "  gen: {use: generative}", "  gen: {use: generative}\n  ? ⟦[a]\n  : {use: gad}", "heads",
        "keys are plain words; merging with << is not supported", ""),
    "tag": (
        "k: 2", "k: ⟦!!str 2", "auxiliaries.past.k", "the tag 'tag:yaml.org,2002:str' is not supported",
        "put text in quotes, and write everything else plainly"),
    "bracket left open": (
        "{use: llama-tiny}", "{use: llama-tiny\n  other⟦: {}", "", "is not YAML: expected ',' or '}', but got ':'",
        "check quotes, colons and indentation"),
    "tab": (
        "  tiny: {use: llama-tiny}", "⟦\ttiny: {use: llama-tiny}", "",
        "is not YAML: found character '\\t' that cannot start any token", "check quotes, colons and indentation"),
    "control character": (
        "k: 2", "k: ⟦\x01", "", "is not YAML: special characters are not allowed", "remove the character"),
    "anchor in itself": (
        "version: 1\n", "version: 1\nx: &x [⟦*x]\n", "", "'x' contains itself", "write it plainly, without `*`"),
    "infinite number": (
        "training: demo}", "training: demo, expected: {top1: ⟦1e999}}", "experiments.one.expected.top1",
        "should be a finite number, not Infinity", ""),
    "seed below zero": (
        "training: demo}", "training: demo, seeds: [⟦-1]}", "experiments.one.seeds.0",
        "should be at least 0, not -1", ""),
    "momentum of one": (
        "demo: {epochs: 3,", "demo: {betas: [⟦1, 0.9], epochs: 3,", "training.demo.betas.0",
        "should be less than 1, not 1", ""),
    "momentum below zero": (
        "demo: {epochs: 3,", "demo: {betas: [0, ⟦-0.1], epochs: 3,", "training.demo.betas.1",
        "should be at least 0, not -0.1", ""),
    "any number of workers": (
        "demo: {epochs: 3,", "demo: {workers: ⟦1000, epochs: 3,", "training.demo.workers",
        "should be at most 256, not 1000", ""),
    # components that do not fit together
    "labels needed": (
        "  one: {dataset: kitchen, backbone: tiny, head: gad, labels: text,",
        "  ⟦one: {dataset: kitchen, backbone: tiny, head: gad,", "experiments.one.labels",
        "head 'gad' writes the answer and needs a label tokenizer", "add `labels:`, for example {use: text}"),
    "labels in vain": (
        "head: gad, labels: text, auxiliary: goal", "head: dis, labels: ⟦text", "experiments.one.labels",
        "head 'discriminative' never writes: label tokenizer 'text' has no effect", "remove `labels:`"),
    "auxiliary in vain": (
        "head: gad, labels: text, auxiliary: goal", "head: dis, auxiliary: ⟦[goal]", "experiments.one.auxiliary",
        "head 'discriminative' never writes: auxiliary task 'goal' has no place",
        "remove `auxiliary:`, or give it `form: classified`"),
    "auxiliary twice": (
        "auxiliary: goal", "auxiliary: ⟦[goal, goal]", "experiments.one.auxiliary",
        "auxiliary task 'goal' is written twice", "name it once"),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new", "path", "message", "hint"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_told_at_its_place(old: str, new: str, path: str, message: str, hint: str) -> None:
    marked = changed(old, new)
    if HERE not in marked:
        marked = changed("  big: {", f"  {HERE}big: {{", marked)
    assert refusal(marked.replace(HERE, "")) == told(marked, path, message, hint)


UNREADABLE = {
    "aliases that stand for very much": (
        "version: 1\n", "version: 1\n" + LAUGHS.replace("*d", "⟦*d", 8).replace("⟦", "", 7),
        "stands for more than 100,000 values"),
    "aliases in mappings": (
        "version: 1\n", "version: 1\n" + LAUGHS.replace("[", "{x: {y: [").replace("]", "]}}")
        .replace("*d", "⟦*d", 6).replace("⟦", "", 5),
        "stands for more than 100,000 values"),
    "many values": ("version: 1\n", "x: [" + "1," * 99_999 + "⟦1,1]\n", "stands for more than 100,000 values"),
    "anchor around itself": ("version: 1\n", "x: &x {y: {z: [⟦*x]}}\n", "'x' contains itself"),
    "deep lists": ("version: 1\n", "x: " + "[" * 49 + "⟦" + "[" * 3000 + "\n", "is nested more than 50 levels deep"),
    "deep mappings": (
        "version: 1\n", "x: " + "{a: " * 48 + "{⟦a: " + "{a: " * 3000 + "\n", "is nested more than 50 levels deep"),
    "number of many digits": ("k: 2", "k: ⟦" + "9" * 5000, "an integer of 5000 digits is beyond 64 bits"),
    "negative number of many digits": ("k: 2", "k: ⟦-" + "9" * 5000, "an integer of 5000 digits is beyond 64 bits"),
    "number beyond 64 bits": ("k: 2", f"k: ⟦{2**63}", "an integer of 19 digits is beyond 64 bits"),
    "hexadecimal number": ("k: 2", "k: ⟦0x" + "f" * 400, "an integer of 401 digits is beyond 64 bits"),
    "lone surrogate": ("use: kitchen}", 'use: ⟦"\\ud800"}', "holds the character '\\ud800', which cannot be written"),
    "surrogate in a key": ("  text: {", '  ⟦"\\udfff": {', "holds the character '\\udfff', which cannot be written"),
    "zero byte": ("some/model", '⟦"some\\0model"', "holds the character '\\x00', which cannot be written"),
    "part of a name too long": (
        "  one: {", f"  ⟦{'ä' * 128}: {{", f"experiments.{'ä' * 128}: a name of 256 bytes cannot name a run folder"),
    "name too long": (
        "  one: {", f"  ⟦{'/'.join(['ä' * 49] * 11)}: {{", "ä: a name of 1088 bytes cannot name a run folder"),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new", "message"), UNREADABLE.values(), ids=UNREADABLE)
def test_what_no_machine_can_hold_is_refused_at_its_place(old: str, new: str, message: str) -> None:
    marked = changed(old, new)
    before = marked.split(HERE)[0]
    said = refusal(marked.replace(HERE, ""))
    place = f"registry.yaml:{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}: "
    assert any(line.startswith(place) and message in line for line in said.splitlines())
    assert max(map(len, said.splitlines())) < 1500


def test_the_example_of_the_design() -> None:
    """`registry.yaml:7:23: backbones.llama-1b.lora.alfa: …` with its source line and what was meant."""
    text = (
        "version: 1\nbackbones:\n  llama-1b:\n    use: llama\n    checkpoint: x/y\n\n    lora: {rank: 128, alfa: 256}\n"
    )
    assert refusal(text) == (
        "registry.yaml:7:23: backbones.llama-1b.lora.alfa: 'llama' has no option 'alfa'\n"
        "   7 |     lora: {rank: 128, alfa: 256}\n"
        "     = did you mean 'alpha'?"
    )


def test_all_faults_are_told_at_once_in_the_order_of_the_file() -> None:
    """Those of the sections, of the components, of the experiments and of the sweeps; none follows from another."""
    text = BOOK
    for old, new in {
        "version: 1": "version: 3",
        "  tiny: {use: llama-tiny}": "  tiny: {use: llama-tiny, hiden: 3}",
        "{use: text}": "{use: text, lead: 3}",
        "gen: {use: generative}": "gen: {use: generative}\n  gen: {use: generative}",
        "k: 2": "k: two, form: spoken",
        "epochs: 3": "epochs: 0",
        "auxiliary: goal": "auxilliary: goal",
        "sweeps:\n": "  two: {dataset: kitchen, backbone: tinny, head: dis, labels: text}\nsweeps:\n",
        "[gen, dis, gad]": "[gen, dis, gadd]",
    }.items():
        text = changed(old, new, text)
    lines = [line.split(": ", 1) for line in refusal(text).splitlines() if line.startswith("registry.yaml:")]
    numbers = [int(place.split(":")[1]) for place, _ in lines]
    assert numbers == sorted(numbers)
    assert [message.partition(": ")[0] for _, message in lines] == [
        "version",
        "backbones.tiny.hiden",
        "labels.text.lead",
        "heads.gen",
        "auxiliaries.past.k",
        "auxiliaries.past.form",
        "training.demo.epochs",
        "experiments.one.auxilliary",
        "experiments.two.backbone",
    ]


def test_the_sweep_of_a_sound_base_is_checked_beside_other_faults() -> None:
    text = changed("[gen, dis, gad]", "[gen, gadd]", changed("k: 2", "k: two"))
    assert [line.split(": ")[1] for line in refusal(text).splitlines() if line.startswith("registry.yaml:")] == [
        "auxiliaries.past.k",
        "sweeps.heads.vary.head.1",
    ]


def test_equal_options_are_validated_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many experiments and points of sweeps use an entry, and whatever its name is."""
    validated: list[tuple[str, str]] = []
    real = resolve.validated

    def counting(model: type[BaseModel], values: Any, root: Path | None = None) -> Any:
        validated.append((model.__name__, json.dumps(values)))
        return real(model, values, root)

    monkeypatch.setattr(resolve, "validated", counting)
    book = changed("  kitchen: {use: kitchen}", "  kitchen: {use: kitchen}\n  again: {use: kitchen}")
    registry.loads(changed("head: [gen, dis, gad]", "head: [gen, dis, gad], dataset.noise: [0.5, 1]", book))
    assert len(validated) == len(set(validated))
    assert validated.count(("Kitchen", "{}")) == 1
    assert len(validated) == 12  # ten different entries, and two changes of the dataset


def test_a_fault_that_many_lead_to_is_told_once() -> None:
    """Entries with equal options are at fault each at its own place."""
    book = changed("  past: {use: past, k: 2}", "  past: {use: past, k: 0}\n  more: {use: past, k: 0}")
    book += "    seeds: [0, 1]\n  again:\n    base: one\n    vary: {auxiliary: [past, more], head: [gen, gad, goad]}\n"
    refused = refusal(book)
    assert refused.count("registry.yaml:") == 3
    assert refused.count("auxiliaries.past.k: ") == 1 and refused.count("auxiliaries.more.k: ") == 1
    assert refused.count("'goad'") == 1


def test_what_a_plugin_raises_over_its_options_is_told_once() -> None:
    """Even where its words differ from time to time."""
    times = itertools.count()

    class Moody(Goal):
        name = "moody"

        def model_post_init(self, context: Any) -> None:
            raise RuntimeError(f"for the {next(times)}. time")

    offer = Offer("auxiliary", "moody", "gad-moody", "1.0", Moody)
    refused = refusal(changed("goal: {use: goal}", "goal: {use: moody}"), plugins=installed() + Plugins((offer,)))
    assert refused.count("auxiliary 'moody' of gad-moody 1.0 raised RuntimeError: for the 0. time") == 1
    assert next(times) == 1


def test_what_only_a_faulty_entry_offers_is_not_called_missing() -> None:
    """One mistake, one message: neither a misspelt section nor a faulty entry makes the names in it dangle."""
    assert refusal(changed("heads:\n  gad", "heds:\n  gad")).count("registry.yaml:") == 1
    assert refusal(changed("gad: {use: gad}", "gad: 3")).count("registry.yaml:") == 1
    assert refusal(changed("gad: {use: gad}", "gad: {used: gad}")).count("registry.yaml:") == 1
    assert refusal(changed("labels: text,", "lables: text,")).count("registry.yaml:") == 1, (
        "no label tokenizer is named"
    )


def test_a_repeated_section_is_read_on() -> None:
    """What stands in the second of two equal sections is not missed elsewhere."""
    text = changed("  gen: {use: generative}\n", "", BOOK) + "heads:\n  gen: {use: generative}\n"
    assert refusal(text).count("registry.yaml:") == 1


@pytest.mark.parametrize("text", ["- a\n", "word", "3", "[]"])
def test_a_file_that_is_no_mapping(text: str) -> None:
    assert "registry.yaml:1:1: a registry file is a mapping of sections, not " in refusal(text)


def test_an_empty_file_lacks_its_version() -> None:
    assert "registry.yaml:1:1: 'version' is missing" in refusal("")


def test_two_documents_are_no_registry() -> None:
    assert "is not YAML: but found another document" in refusal(BOOK + "---\nversion: 1\n")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="there is no such file"):
        registry.load(tmp_path / "none.yaml")
    with pytest.raises(RegistryError, match="is a folder"):
        registry.load(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero"):
        with pytest.raises(RegistryError, match="is a pipe or a device"):
            registry.load(path)
    (tmp_path / "large").write_bytes(b"#" * 2**21)
    with pytest.raises(RegistryError, match="has 2,097,152 bytes"):
        registry.load(tmp_path / "large")
    with pytest.raises(RegistryError, match="Not a directory"):
        registry.load(tmp_path / "large" / "x")
    with pytest.raises(RegistryError, match="too long"):
        registry.load(tmp_path / ("x" * 300))
    (tmp_path / "latin.yaml").write_bytes("version: 1 # é".encode("latin-1"))
    with pytest.raises(RegistryError, match="utf-8"):
        registry.load(tmp_path / "latin.yaml")


def test_the_command_line_prints_the_faults_and_exits_2(tmp_path: Path) -> None:
    path = tmp_path / "book.yaml"
    path.write_text(changed("alpha: 16", "alfa: 16"), encoding="utf-8")
    ended = CliRunner().invoke(main, ["check", str(path)])
    assert ended.exit_code == 2
    assert f"{path}:5:61: backbones.big.lora.alfa: 'llama' has no option 'alfa'" in ended.output
    assert "did you mean 'alpha'?" in ended.output and "Traceback" not in ended.output
    path.write_text(BOOK, encoding="utf-8")
    assert CliRunner().invoke(main, ["check", str(path)]).exit_code == 0


WORDS = ["gad", "use", "null", "1e-4", "-1", "off", "[", "]", "{", "}", ":", ", ", "\n", "\n  ", "&a ", "*a", "!!x ",
         "<<", "'", '"', "# ", "heads", "one", "seeds", ".inf", "? ", "- ", "..", "\x00", "🙂"]  # fmt: skip


@given(st.integers(0, len(BOOK)), st.integers(0, 12), st.lists(st.sampled_from(WORDS), max_size=5))
@settings(max_examples=300, deadline=None)
@example(10, 0, ["\n", "&a ", "[", "*a", "]"])
def test_no_text_is_a_traceback(start: int, removed: int, words: list[str]) -> None:
    text = BOOK[:start] + "".join(words) + BOOK[start + removed :]
    try:
        book = registry.loads(text)
    except RegistryError as error:
        message = str(error)
    else:
        message = "registry.yaml:"
        assert registry.loads(registry.dump(list(book.experiments.values()))).experiments == book.experiments
    assert message.startswith("registry.yaml:")


def test_runs_lie_beside_the_file_unless_it_says_otherwise(tmp_path: Path) -> None:
    assert registry.loads(BOOK, tmp_path).runs == tmp_path / "runs"
    assert registry.loads(BOOK + "runs: ../elsewhere\n", tmp_path).runs == tmp_path / ".." / "elsewhere"


def test_check_lists_what_would_run_and_what_is_not_there_yet(tmp_path: Path) -> None:
    own = "{use: segments, features: x.lmdb, annotations: x.csv}"
    text = changed("  kitchen: {use: kitchen}", f"  kitchen: {{use: kitchen}}\n  own: {own}")
    text = changed("sweeps:\n", "  mine[1]: {dataset: own, backbone: tiny, head: dis, seeds: [3, 4]}\nsweeps:\n", text)
    text += (
        "    description: heads and labels\n  all:\n    base: one\n    vary: {labels: [text, null], head: [dis, gad]}\n"
    )
    path = tmp_path / "registry.yaml"
    path.write_text(text, encoding="utf-8")
    (tmp_path / "x.csv").touch()
    shown = CliRunner().invoke(main, ["check", str(path)]).output  # no terminal: no line is broken
    assert "mine[1]" in shown and "segments · llama-tiny · discriminative" in shown and "3 4" in shown
    assert "needs x.lmdb, not there yet" in shown and "x.csv" not in shown
    assert "sweep heads: 3 points, 0 skipped" in shown and "sweep all: 2 points, 2 skipped" in shown
    assert "skipped labels=none,head=gad: head 'gad' writes the answer and needs a label tokenizer" in shown
    assert "is right. By default it runs one." in shown
    path.write_text("version: 1\n", encoding="utf-8")
    assert "is right. It holds no experiment yet." in CliRunner().invoke(main, ["check", str(path)]).output


# -------------------------------------------------------------------------------------------------------------- values


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4), ("1.0e-4", 1e-4), ("1E5", 1e5), (".5", 0.5), ("5.", 5.0), ("-2.5", -2.5), ("-.inf", -math.inf),
        ("7", 7), ("007", 7), ("+7", 7), ("0x1F", 31), ("0o17", 15), ("1_000", "1_000"), ("12:30", "12:30"),
        ("true", True), ("False", False), ("off", "off"), ("on", "on"), ("yes", "yes"), ("No", "No"), ("y", "y"),
        ("~", None), ("null", None), ("NULL", None), ("none", "none"), ("2026-01-01", "2026-01-01"), ("1.2.3", "1.2.3"),
        ("e5", "e5"), ("-", "-"), (".", "."),
    ],
)  # fmt: skip
def test_scalars_are_read_as_they_look(text: str, value: Any) -> None:
    assert scalar(text) == value and type(scalar(text)) is type(value)
    assert parse(f"'{text}'").values == text, "in quotes it is text"


def test_a_value_at_the_command_line_is_read_like_one_in_a_file() -> None:
    assert [value_of(text, "x") for text in ("1e-4", "off", "[a, 2]", "", " null")] == [
        1e-4,
        "off",
        ["a", 2],
        None,
        None,
    ]
    for text in ("[a", "{a: 1, a: 2}"):
        with pytest.raises(RegistryError, match=r"^head\.x:1:"):
            value_of(text, "head.x")


def test_a_learning_rate_without_a_dot_is_a_number() -> None:
    book = registry.loads(changed("batch: 4", "batch: 4, learning_rate: 1e-4"))
    assert book.experiments["one"].training.learning_rate == 1e-4


WRITABLE = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)
PLAIN = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | WRITABLE
PLAIN |= st.sampled_from(
    ["9" * 5000, "1e-4", "off", "null", "~", "0o17", "007", "<<", "- a", "a: b", "#", "!x", "&a", "*a", ".nan"]
)


@given(st.recursive(PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WRITABLE, inner)))
@settings(max_examples=300, deadline=None)
@example({"<<": {"~": ["1e-4", 1e16, "\x85\ufeff\u2028"]}, "k" * 200: "\n"})
def test_what_is_written_is_read_again(values: Any) -> None:
    source = parse(write(values))
    assert source.values == values and not source.faults


def test_every_value_knows_its_place() -> None:
    source = parse("a: {b: [1, x]}\nc:\n  - d: 2\n")
    assert source.places[("a", "b", 1)] == (0, 11)
    assert source.key_places[("c", 0, "d")] == (2, 4) and source.places[("c", 0, "d")] == (2, 7)


# --------------------------------------------------------------------------------------------------- right registries


def test_the_tour_is_right() -> None:
    book = registry.load(PROJECT / "registry.yaml")
    used = {task.name for one in book.experiments.values() for task in one.auxiliary}
    used |= {part.name for one in book.experiments.values() for part in (one.backbone, one.head, one.labels) if part}
    used |= {one.dataset.name for one in book.experiments.values()}
    kit = {"tiny", "memory"}
    assert used == {offer.name for offer in installed().offers} - kit, "the tour shows every component that is built in"
    assert book.select([]) and set(book.default) <= set(book.experiments) | set(book.sweeps)


def test_relative_paths_are_taken_from_the_folder_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = changed("{use: kitchen}", "{use: segments, features: data/x.lmdb, annotations: /there/x.csv}")
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "registry.yaml").write_text(changed("auxiliary: goal, ", "", text), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    dataset = registry.load(Path("book/registry.yaml")).experiments["one"].dataset
    assert tuple(dataset.files()) == (tmp_path / "book" / "data" / "x.lmdb", Path("/there/x.csv"))


def test_names_are_selected() -> None:
    book = registry.loads(BOOK)
    chosen = book.select(["heads", "one", "heads/head=dis"])
    assert [one.name for one in chosen] == ["heads/head=gen", "heads/head=dis", "heads/head=gad", "one"]
    with pytest.raises(RegistryError, match="has no experiment or sweep 'oen'") as caught:
        book.select(["oen"])
    assert caught.value.hint == "did you mean 'one'?"
    everything = registry.loads(changed("default: [one]\n", ""))
    assert everything.default == ("one", "heads")


def test_the_reference_is_made_from_the_code() -> None:
    assert page().read_text(encoding="utf-8") == reference(installed()), "run `make docs`"
    for offer in installed().offers:
        assert f"### `use: {offer.name}`" in page().read_text(encoding="utf-8")

"""Sweeps: inert slots are emptied, equal points run once, impossible ones are listed; and experiments written out in
full are read back as they were."""

from __future__ import annotations

import types
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from gad_core import registry
from gad_core.contracts.components import Component
from gad_core.discovery.plugins import installed
from gad_core.errors import GadError, PluginError, RegistryError
from gad_core.registry.experiment import Experiment
from gad_core.registry.resolve import problems_of
from gad_core.registry.told import validated
from gad_core.registry.training_options import Training

BOOK = """version: 1
backbones:
  tiny: {use: llama-tiny}
  adapted: {use: llama-tiny, lora: {rank: 8, alpha: 16}}
labels: {text: {use: text}, unique: {use: unique-token}}
heads:
  gad: {use: gad}
  gad-again: {use: gad}
  dis: {use: discriminative}
  gen: {use: generative}
auxiliaries:
  goal: {use: goal}
  past: {use: past}
  previous: {use: previous, form: classified}
datasets: {kitchen: {use: kitchen}}
training: {short: {epochs: 2, batch: 4}, long: {epochs: 9, batch: 4}}
experiments:
  one:
    {dataset: kitchen, backbone: tiny, head: gad, labels: text, auxiliary: goal, training: short, expected: {top1: 50}}
  bare: {dataset: kitchen, backbone: tiny, head: dis, description: nothing written}
sweeps:
"""


LINE = BOOK.count("\n") + 1
"""Where the sweep stands."""


def swept(vary: str, base: str = "one", more: str = "") -> tuple[registry.Sweep, dict[str, Experiment]]:
    """The sweep of some values, and its experiments by what stands behind its name."""
    book = registry.loads(f"{BOOK}  s: {{base: {base}, vary: {{{vary}}}{more}}}\n")
    sweep = book.sweeps["s"]
    return sweep, {name.removeprefix("s/"): book.experiments[name] for name in sweep.experiments}


def refusal(vary: str, base: str = "one", more: str = "") -> str:
    with pytest.raises(RegistryError) as caught:
        swept(vary, base, more)
    return str(caught.value)


def skipped(sweep: registry.Sweep) -> dict[str, str]:
    return {one.point: one.reason for one in sweep.skipped}


def test_every_combination_is_a_point() -> None:
    sweep, points = swept("head: [gen, gad], labels: [text, unique], training: [short, long]")
    assert len(points) == 8 and not sweep.skipped
    point = points["head=gen,labels=unique,training=long"]
    assert (point.head.name, point.labels and point.labels.name, point.training.epochs) == (
        "generative", "unique-token", 9)  # fmt: skip
    assert point.name == "s/head=gen,labels=unique,training=long" and point.expected == {}


def test_what_has_no_effect_is_emptied_and_equal_points_run_once() -> None:
    sweep, points = swept("head: [dis, gad], labels: [text, unique], auxiliary: [goal, null]")
    assert list(points) == [
        "head=dis,labels=text,auxiliary=goal",
        "head=gad,labels=text,auxiliary=goal",
        "head=gad,labels=text,auxiliary=none",
        "head=gad,labels=unique,auxiliary=goal",
        "head=gad,labels=unique,auxiliary=none",
    ]
    alone = points["head=dis,labels=text,auxiliary=goal"]
    assert alone.labels is None and alone.auxiliary == ()
    assert set(skipped(sweep).values()) == {"the same as head=dis,labels=text,auxiliary=goal"}
    assert len(sweep.skipped) == 3


def test_a_classified_task_has_effect_beside_an_inert_written_one() -> None:
    _, points = swept("head: [dis], auxiliary: [[goal, previous]]")
    (point,) = points.values()
    assert [task.name for task in point.auxiliary] == ["previous"]


@pytest.mark.parametrize(
    ("asks", "same"),
    [
        ("[current]", {"label": "none", "goal+label": "goal", "label+past": "past"}),
        ("[next]", {}),
        ("[goal]", {"goal": "none", "goal+label": "label"}),
        ("[current, goal]", {}),
    ],
)
def test_a_task_that_repeats_the_answer_has_no_effect(asks: str, same: dict[str, str]) -> None:
    values = ["null", "label", "past", "goal", "[goal, label]", "[label, past]"]
    text = BOOK.replace("  goal: {use: goal}\n", "  goal: {use: goal}\n  label: {use: label}\n")
    text = text.replace("{kitchen: {use: kitchen}}", f"{{kitchen: {{use: kitchen, asks: {asks}}}}}")
    book = registry.loads(f"{text}  s: {{base: one, vary: {{auxiliary: [{', '.join(values)}]}}}}\n")
    assert skipped(book.sweeps["s"]) == {
        f"auxiliary={one}": f"the same as auxiliary={other}" for one, other in same.items()
    }
    assert len(book.sweeps["s"].experiments) == len(values) - len(same)


def test_points_with_equal_components_under_two_names_are_equal() -> None:
    sweep, points = swept("head: [gad, gad-again]")
    assert list(points) == ["head=gad"] and skipped(sweep) == {"head=gad-again": "the same as head=gad"}


def test_impossible_points_are_skipped_with_the_reason() -> None:
    sweep, points = swept("head: [gen, gad], auxiliary: [goal, previous]")
    assert len(points) == 3
    assert skipped(sweep) == {
        "head=gen,auxiliary=previous":
            "head 'generative' has no class layers: auxiliary task 'previous' cannot be classified"
    }  # fmt: skip
    sweep, points = swept("labels: [null, text]")
    assert list(points) == ["labels=text"]
    assert skipped(sweep) == {"labels=none": "head 'gad' writes the answer and needs a label tokenizer"}


def test_several_tasks_in_order_and_none() -> None:
    _, points = swept("auxiliary: [null, goal, [goal, past], [past, goal]]")
    assert {label: [task.name for task in point.auxiliary] for label, point in points.items()} == {
        "auxiliary=none": [],
        "auxiliary=goal": ["goal"],
        "auxiliary=goal+past": ["goal", "past"],
        "auxiliary=past+goal": ["past", "goal"],
    }


def test_options_are_varied_by_their_dotted_names() -> None:
    _, points = swept("head.generation_weight: [0.5, 1e-1], backbone.lora.rank: [4, 2], training.epochs: [7]")
    assert {(p.head.generation_weight, p.backbone.lora.rank, p.training.epochs) for p in points.values()} == {  # type: ignore[attr-defined]
        (0.5, 4, 7), (0.5, 2, 7), (0.1, 4, 7), (0.1, 2, 7)}  # fmt: skip
    assert "head.generation_weight=0.1,backbone.lora.rank=2,training.epochs=7" in points
    _, points = swept("backbone: [tiny, adapted], backbone.lora.rank: [2]")
    lora = points["backbone=adapted,backbone.lora.rank=2"].backbone.lora  # type: ignore[attr-defined]
    assert (lora.rank, lora.alpha) == (2, 16), "the other options of the entry stay"


def test_options_of_an_experiment_without_a_recipe() -> None:
    _, points = swept("training.epochs: [1, 2]", base="bare")
    assert [point.training.epochs for point in points.values()] == [1, 2]


def test_an_option_that_only_some_components_have_leaves_the_others_out() -> None:
    sweep, points = swept("head: [dis, gad], head.generation_weight: [0.5, 1.0]")
    assert list(points) == ["head=gad,head.generation_weight=0.5", "head=gad,head.generation_weight=1.0"]
    assert skipped(sweep) == {
        f"head=dis,head.generation_weight={weight}": "head 'dis' has no option 'generation_weight'"
        for weight in (0.5, 1.0)
    }
    sweep, points = swept("auxiliary: [null, goal, past], auxiliary.k: [1, 3]")
    assert list(points) == [
        "auxiliary=none,auxiliary.k=1",
        "auxiliary=past,auxiliary.k=1",
        "auxiliary=past,auxiliary.k=3",
    ]
    assert len(sweep.skipped) == 3


def test_seeds_and_description() -> None:
    sweep, points = swept("head: [gen]", more=", seeds: [4, 5], description: which head")
    assert points["head=gen"].seeds == (4, 5) and sweep.description == "which head"


def test_names_of_points_are_names_of_folders_and_no_two_are_equal() -> None:
    _, points = swept("training.select: [a/b, a-b, ../.., null], training.clip: [1, 1.0, 2]")
    assert list(points) == [
        "training.select=a-b,training.clip=1",
        "training.select=a-b,training.clip=2",
        "training.select=a-b,training.clip=1~2",
        "training.select=a-b,training.clip=2~2",
        "training.select=..-..,training.clip=1",
        "training.select=..-..,training.clip=2",
        "training.select=none,training.clip=1",
        "training.select=none,training.clip=2",
    ]
    assert points["training.select=a-b,training.clip=1~2"].training.select == "a-b"
    _, points = swept("backbone.lora: [null, {rank: 8, targets: [q, v]}]")
    assert list(points) == ["backbone.lora=none", "backbone.lora=rank=8+targets=q+v"]


@pytest.mark.parametrize("letter", ["x", "ä", "한", "🙂"])
def test_a_long_name_is_cut(letter: str) -> None:
    """Bytes count, not characters; the hash of a name does not change with its neighbours."""
    values = [f'"{letter * 300}{number}"' for number in range(2)]
    _, points = swept(f"training.select: [{', '.join(values)}]")
    first, second = points
    assert first != second and max(len(point.encode()) for point in points) <= 255
    assert second in swept(f"training.select: [{values[1]}, x]")[1]


def test_a_sweep_of_too_many_points_is_refused_at_once() -> None:
    vary = ", ".join(
        f"training.{option}: [{', '.join(map(str, range(1, 21)))}]" for option in ("batch", "epochs", "max_steps")
    )
    with pytest.raises(RegistryError, match=r"s\.vary: has 8,000 points; 2,000 is the most"):
        swept(vary)


FAULTS = {
    "value of an option": (
        "head.generation_weight: [1, -1]", "s.vary.head.generation_weight.1: should be greater than 0, not -1"),
    "type of an option": ("training.batch: [big]", "s.vary.training.batch.0: should be an integer, not 'big'"),
    "option no point has": ("head.wait: [1, 2]", "s.vary.head.wait: 'gad' has no option 'wait'"),
    "option of nothing": (
        "auxiliary: [null], auxiliary.k: [1]", "s.vary.auxiliary.k: auxiliary is empty in every point: "
        "'auxiliary.k' has no effect"),
    "options together": (
        "training.micro_batch: [2, 8]", "s.vary.training.micro_batch.1: micro_batch 8 is larger than batch 4"),
    "through a list": (
        "training.phases.epochs: [1]", "s.vary.training.phases.epochs.0: should be a list, not a mapping"),
    "through a number": ("training.batch.x: [1]", "'batch.x' leads through something that has no options"),
    "nested option": ("backbone.lora.ranc: [1]", "s.vary.backbone.lora.ranc: 'llama-tiny' has no option 'ranc'"),
    "dangling task": ("auxiliary: [[goal, paste]]", "s.vary.auxiliary.0.1: no entry 'paste' in auxiliaries"),
    "no slot": ("colour: [red]", "s.vary.colour: cannot vary 'colour'"),
    "no option": ('"head.": [red]', "s.vary.head.: cannot vary 'head.'"),
    "no values": ("head: []", "s.vary.head: should have at least 1 item"),
    "nothing varied": ("", "s.vary: should have at least 1 item"),
    "two heads": ("head: [[gad, dis]]", "s.vary.head.0: head should be the name of an entry, not a list"),
}  # fmt: skip


@pytest.mark.parametrize(("vary", "message"), FAULTS.values(), ids=FAULTS)
def test_a_faulty_value_is_told_at_its_place_and_once(vary: str, message: str) -> None:
    text = refusal(vary)
    assert message in text and text.count(f"registry.yaml:{LINE}:") == 1 == text.count("registry.yaml:")


BLAMED = {
    "a range": ("training.clip", "[-1]", "clip.0: should be greater than 0, not -1"),
    "a type": ("training.batch", "[4, big]", "batch.1: should be an integer, not 'big'"),
    "an item of a list": ("training.betas", "[[0.9, 2.0]]", "betas.0: should be less than 1, not 2.0"),
    "a nested option": ("training.phases", "[[{epochs: 0}]]", "phases.0: should be greater than 0, not 0"),
    "what is not known inside": ("training.betas.first", "[1]", "betas.first.0: should be a list, not a mapping"),
    "together with the recipe": ("training.micro_batch", "[8]", "micro_batch.0: micro_batch 8 is larger than batch 4"),
    "an adapter": ("backbone.lora.rank", "[0]", "lora.rank.0: should be greater than 0, not 0"),
    "of an adapter unknown": ("backbone.lora.ranc", "[1]", "lora.ranc: 'llama-tiny' has no option 'ranc'"),
}
INNOCENT = {
    "training": {"training.learning_rate": "[0.1, 0.2]", "training.epochs": "[3]"},
    "backbone": {"backbone.lora.alpha": "[4]", "backbone.hidden": "[16, 32]"},
}


@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize(("key", "values", "message"), BLAMED.values(), ids=BLAMED)
def test_the_faulty_option_is_blamed_wherever_it_stands_among_others(
    key: str, values: str, message: str, place: int
) -> None:
    slot = key.partition(".")[0]
    varied = list(INNOCENT[slot].items())
    varied.insert(place, (key, values))
    base = BOOK.replace(
        "  one:\n    {dataset: kitchen, backbone: tiny", "  one:\n    {dataset: kitchen, backbone: adapted"
    )
    assert base != BOOK
    with pytest.raises(RegistryError) as caught:
        registry.loads(f"{base}  s: {{base: one, vary: {{{', '.join(': '.join(pair) for pair in varied)}}}}}\n")
    assert f"s.vary.{slot}.{message}" in str(caught.value)
    assert str(caught.value).count("registry.yaml:") == 1


# ------------------------------------------------------------------------------------------- written out and read back

TEXTS = st.sampled_from(
    ["x", "off", "1e-4", "null", "~", "ä b", "- a", "a: b", "#c", "0o7", "line\nbreak", "\x85", "007"]
)


def values_of(annotation: Any) -> st.SearchStrategy[Any]:
    """Plain values of a type, as a registry file could hold them; bounds are left to validation."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return values_of(arguments[0])
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin in (Union, types.UnionType):
        return st.one_of([values_of(argument) for argument in arguments])
    if origin in (tuple, list):
        return st.lists(values_of(arguments[0]), min_size=1, max_size=2)
    if origin is dict:
        return st.dictionaries(values_of(arguments[0]), values_of(arguments[1]), max_size=2)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return options_of(annotation)
    simple: dict[Any, st.SearchStrategy[Any]] = {
        int: st.sampled_from([0, 1, 2, 4, 30, 300]),
        float: st.sampled_from([0, 1e-05, 0.1, 0.5, 1, 2.5, 1e16]),
        bool: st.booleans(),
        str: TEXTS,
        Path: st.sampled_from(["data/x.lmdb", "/there/x.csv", "a b/ü.csv"]),
        type(None): st.none(),
    }
    return simple[annotation]


def options_of(model: type[BaseModel]) -> st.SearchStrategy[dict[str, Any]]:
    """Some options of a model; the required ones among them."""
    fields = {entry.alias or name: entry for name, entry in model.model_fields.items()}
    return st.fixed_dictionaries(
        {name: values_of(entry.annotation) for name, entry in fields.items() if entry.is_required()},
        optional={name: values_of(entry.annotation) for name, entry in fields.items() if not entry.is_required()},
    )


@st.composite
def sound(draw: st.DrawFn, model: type[Any]) -> Any:
    """A component, or a recipe, with some options set: those that validation refuses are left out again."""
    options = draw(options_of(model))
    while True:
        try:
            return validated(model, options, Path("/root"))
        except ValidationError as error:
            required = {entry.alias or name for name, entry in model.model_fields.items() if entry.is_required()}
            refused = {one["loc"][0] if one["loc"] else "" for one in error.errors()}
            refused = set(options) if "" in refused else refused
            assert refused - required, f"{model} refuses {options}"
            options = {name: value for name, value in options.items() if name in required or name not in refused}


def component(kind: str) -> st.SearchStrategy[Any]:
    return st.sampled_from([offer.component for offer in installed().of(kind)]).flatmap(sound)


@st.composite
def experiments(draw: st.DrawFn, name: str) -> Experiment:
    head = draw(component("head"))
    experiment = Experiment(
        name=name,
        dataset=draw(component("dataset")),
        backbone=draw(component("backbone")),
        head=head,
        labels=draw(component("labels")) if head.speaks else None,
        auxiliary=tuple(draw(st.lists(component("auxiliary"), max_size=2))),
        training=draw(sound(Training)),
        seeds=tuple(draw(st.lists(st.integers(0, 99), min_size=1, max_size=2, unique=True))),
        description=draw(TEXTS),
        expected=draw(st.dictionaries(TEXTS, st.floats(0, 100), max_size=1)),
    )
    return replace(experiment, auxiliary=()) if problems_of(experiment) else experiment


@given(experiments("one"), experiments("other/x=1.5,y=[]"))
@settings(max_examples=60, deadline=None)
def test_what_is_dumped_is_loaded_equal(one: Experiment, other: Experiment) -> None:
    book = registry.loads(registry.dump([one, other]), root=Path("/elsewhere"))
    assert book.experiments == {one.name: one, other.name: other}
    assert book.experiments["one"].options_key() == one.options_key()


@given(experiments("one"))
@settings(max_examples=60, deadline=None)
def test_what_is_resolved_is_rebuilt_equal(one: Experiment) -> None:
    rebuilt = registry.rebuild(one.resolved(), "one", root=Path("/elsewhere"))
    assert rebuilt.resolved() == one.resolved() and rebuilt.options_key() == one.options_key()
    assert (rebuilt.dataset, rebuilt.backbone, rebuilt.head) == (one.dataset, one.backbone, one.head)
    assert (rebuilt.labels, rebuilt.auxiliary, rebuilt.training) == (one.labels, one.auxiliary, one.training)


def test_equal_components_are_written_once() -> None:
    book = registry.loads(BOOK + "  s: {base: one, vary: {head: [gen, gad], labels: [text, unique]}}\n")
    points = [book.experiments[name] for name in book.sweeps["s"].experiments]
    text = registry.dump(points)
    assert text.count("use: gad\n") == 1 == text.count("use: llama-tiny") and text.count("recipe:") == 1
    again = registry.loads(text)
    assert [again.experiments[point.name] for point in points] == points


def test_what_no_longer_fits_its_plugin_is_told() -> None:
    resolved = registry.loads(BOOK + "  s: {base: one, vary: {head: [gen]}}\n").experiments["one"].resolved()
    with pytest.raises(RegistryError, match=r"^one: head 'gad': order: should be .*, not 'sideways'"):
        registry.rebuild({**resolved, "head": {"use": "gad", "order": "sideways"}}, "one")
    with pytest.raises(RegistryError, match=r"^one: training: 'training' has no option 'epoch'|training: epoch"):
        registry.rebuild({**resolved, "training": {"epoch": 3}}, "one")
    with pytest.raises(RegistryError, match="did you mean 'parallel'"):
        registry.rebuild({**resolved, "head": {"use": "gad", "order": "paralel"}}, "one")
    with pytest.raises(PluginError, match="there is no head 'gone'"):
        registry.rebuild({**resolved, "head": {"use": "gone"}}, "one")


def test_every_component_has_a_name_and_documented_options() -> None:
    for offer in installed().offers:
        assert issubclass(offer.component, Component) and offer.component.__doc__
        bare = [name for name, entry in offer.component.model_fields.items() if not entry.description]
        assert not bare, f"{offer.name}: {bare} say nothing"
    assert not [name for name, entry in Training.model_fields.items() if not entry.description]
    assert issubclass(RegistryError, GadError)

"""Hypothesis strategies: labels, codes, samples, layouts, and compositions of whatever is installed."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, get_args, get_origin

import annotated_types
from hypothesis import assume
from hypothesis import strategies as st
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from gad_core.contracts.components import AuxiliaryTask, Component, Dataset, Head
from gad_core.contracts.values import Clip, Codebook, LabelRef, LabelSpace, Layout, Query, Sample, Slot, Stage
from gad_core.discovery.plugins import DISTRIBUTION, Plugins, installed
from gad_core.registry import dump
from gad_core.registry.compatibility import compatibility
from gad_core.registry.experiment import Experiment
from gad_core.registry.training_options import Training
from gad_core.testing.corpus import Memory
from gad_core.testing.tiny import Tiny

WORDS = ("cut", "wash", "take", "tomato", "onion", "the", "sharp", "knife", "2", "über")
RELATIONS = ("current", "previous", "next", "past", "goal")


# -------------------------------------------------------------------------------------------------------------- values


@st.composite
def label_spaces(draw: st.DrawFn, name: str = "action", *, least: int = 2, most: int = 8) -> LabelSpace:
    """Label spaces of `least` to `most` labels of one to three words that they share; some have a background."""
    label = st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).map(" ".join)
    labels = tuple(draw(st.lists(label, min_size=least, max_size=most, unique=True)))
    background = draw(st.none() | st.integers(0, len(labels) - 1))
    return LabelSpace(name, labels, background=background)


@st.composite
def codebooks(draw: st.DrawFn, *, vocabulary: int = 40) -> Codebook:
    """Codebooks of one or two label spaces: different codes of one to four ids, some of them new rows."""
    token = st.integers(2, vocabulary + 3)
    codes = st.lists(st.lists(token, min_size=1, max_size=4).map(tuple), min_size=2, max_size=8, unique=True)
    spaces = draw(st.sampled_from([("action",), ("action", "goal")]))
    return Codebook({space: tuple(draw(codes)) for space in spaces}, vocabulary)


def layouts(stage: Stage | None = None) -> st.SearchStrategy[Layout]:
    """Layouts that a head may hang: none, one branch or two. In prediction no branch holds a label."""
    written: tuple[Slot, ...] = (Slot.CUE, Slot.ANSWER, Slot.AUXILIARY, Slot.EOS)
    predicted: list[Layout] = [(), ((Slot.CLS,),), ((Slot.CUE,),)]
    trained: list[Layout] = [((Slot.CLS, *written),), (written,), ((*written, Slot.CLS),), ((Slot.CLS,), written)]
    return st.sampled_from(predicted if stage is Stage.PREDICT else predicted[:2] + trained)


@st.composite
def queries(draw: st.DrawFn, spaces: Mapping[str, LabelSpace], *, at: int, asks: str | None = None) -> Query:
    """Queries at frame `at` in which any of the relations hold, `asks` for certain."""

    def refs(space: LabelSpace, most: int) -> st.SearchStrategy[tuple[LabelRef, ...]]:
        ref = st.integers(0, len(space) - 1).map(lambda index: LabelRef(space.name, index))
        return st.lists(ref, min_size=1, max_size=most, unique=True).map(tuple)

    held = {r: refs(space, 3 if r == "past" else 1) for r, space in spaces.items() if r == asks or draw(st.booleans())}
    weight, text = draw(st.sampled_from([1.0, 0.5])), draw(st.sampled_from([1.0, 1.0, 2.0, 0.0]))
    return Query(at, draw(st.fixed_dictionaries(held)), weight, text)


@st.composite
def samples(
    draw: st.DrawFn,
    spaces: Mapping[str, LabelSpace] | None = None,
    lengths: Mapping[str, int] | None = None,
    *,
    asks: Sequence[str] = ("current",),
) -> Sample:
    """Samples of any length about recordings of the given `lengths`, asked at any frames, with any labels of `spaces`
    (relation → label space). Those of `Memory` unless given."""
    if spaces is None or lengths is None:
        corpus = Memory().open()
        spaces, lengths = spaces or corpus.spaces, lengths or corpus.features.lengths
    recording, asked = draw(st.sampled_from(sorted(lengths))), draw(st.sampled_from(list(asks)))
    start = draw(st.integers(0, lengths[recording] - 1))
    length = draw(st.integers(1, min(6, lengths[recording] - start)))
    ats = draw(st.lists(st.integers(1, length), min_size=1, max_size=3))
    found = tuple(draw(queries(spaces, at=at, asks=asked)) for at in ats)
    return Sample(f"{recording}/{start}-{length}/{asked}", Clip(recording, range(start, start + length)), asked, found)


# ---------------------------------------------------------------------------------------------------------- components


def components(component: type[Component]) -> st.SearchStrategy[Any]:
    """Instances of a component: options that are choices, switches or small bounded numbers are drawn, the others keep
    their defaults. A component with a required option cannot be drawn: hand one in ready-made."""
    drawn = {
        entry.alias or name: values
        for name, entry in component.model_fields.items()
        if (values := option_values(entry)) is not None
    }
    required = {name: drawn.pop(name) for name in list(drawn) if _field(component, name).is_required()}
    made = st.fixed_dictionaries(required, optional=drawn).map(lambda options: _made(component, options))
    return made.filter(lambda instance: instance is not None)


def _made(component: type[Component], options: dict[str, Any]) -> Component | None:
    """The component of some options, or None where it refuses their combination."""
    try:
        return component.model_validate(options)
    except ValidationError:
        return None


def _field(component: type[Component], name: str) -> FieldInfo:
    return next(entry for own, entry in component.model_fields.items() if name in (entry.alias, own))


def option_values(entry: FieldInfo) -> st.SearchStrategy[Any] | None:
    """Values of an option, or None where its default is the only one we know to be sound."""
    kind = entry.annotation
    if any(isinstance(mark, annotated_types.MultipleOf) for mark in entry.metadata):
        return None
    while get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if get_origin(kind) is Literal:
        return st.sampled_from(get_args(kind))
    if kind is bool:
        return st.booleans()
    if kind in (int, float):
        low, high = _bounds(entry, 1 if kind is int else 0)
        if kind is int and low is not None:
            return st.integers(int(low), int(low) + 2 if high is None else int(min(high, low + 2)))
        if kind is float and low is not None and high is not None:
            return st.sampled_from([low + 0.1 * (high - low), low + 0.5 * (high - low)])
    return None


def _bounds(entry: FieldInfo, step: int) -> tuple[float | None, float | None]:
    """The least and the greatest value; one that a strict bound excludes is a `step` away from it."""
    low = high = None
    for mark in entry.metadata:
        if isinstance(mark, annotated_types.Ge | annotated_types.Gt):
            low = float(mark.ge) if isinstance(mark, annotated_types.Ge) else float(mark.gt) + step  # type: ignore[arg-type]
        if isinstance(mark, annotated_types.Le | annotated_types.Lt):
            high = float(mark.le) if isinstance(mark, annotated_types.Le) else float(mark.lt) - step  # type: ignore[arg-type]
    return low, high


def _drawable(component: type[Component]) -> bool:
    """Whether an instance can be made of drawn options and defaults."""
    return all(not one.is_required() or option_values(one) is not None for one in component.model_fields.values())


def of_kind(kind: str, ready: Mapping[str, Sequence[Component]], plugins: Plugins) -> st.SearchStrategy[Any]:
    """Any installed component of a kind. `ready` maps names to instances to use instead of drawn options; an empty
    sequence leaves the component out, and so is one left out that needs an option which cannot be drawn."""
    choices = [
        st.sampled_from(list(ready[offer.name])) if offer.name in ready else components(offer.component)
        for offer in plugins.of(kind)
        if (ready[offer.name] if offer.name in ready else _drawable(offer.component))
    ]
    return st.one_of(choices)


# --------------------------------------------------------------------------------------------------------- experiments


@st.composite
def experiments(
    draw: st.DrawFn,
    ready: Mapping[str, Sequence[Component]] = types.MappingProxyType({}),
    plugins: Plugins | None = None,
) -> Experiment:
    """Any composition of installed components, whether it makes sense or not."""
    plugins = plugins or installed()

    def one(kind: str) -> Any:
        return draw(of_kind(kind, ready, plugins))

    return Experiment(
        name="drawn",
        dataset=one("dataset"),
        backbone=one("backbone"),
        head=one("head"),
        labels=draw(st.none() | of_kind("labels", ready, plugins)),
        auxiliary=tuple(draw(st.lists(of_kind("auxiliary", ready, plugins), max_size=2))),
        training=Training(epochs=1, batch=4),
    )


@st.composite
def compositions(draw: st.DrawFn, **chosen: Any) -> Experiment:
    """Experiments without a problem around the `chosen` components, by kind (`head=Mine()`). The others are gad's own,
    whatever else is installed; a dataset in memory and a tiny backbone unless chosen."""
    own = Plugins(tuple(offer for offer in installed().offers if offer.distribution == DISTRIBUTION))
    task: AuxiliaryTask | None = chosen.get("auxiliary")
    dataset: Dataset = chosen.get("dataset") or draw(_memories())

    def one(kind: str, fits: Callable[[Any], bool] = lambda component: True) -> Any:
        return chosen[kind] if kind in chosen else draw(of_kind(kind, {}, own).filter(fits))

    def uses_all(head: Head) -> bool:
        return (head.speaks or "labels" not in chosen) and (task is None or _has_place(head, task))

    def supplied(task: AuxiliaryTask) -> bool:
        return _has_place(head, task) and task.needs() <= dataset.relations()

    head: Head = one("head", uses_all)
    tasks = st.lists(of_kind("auxiliary", {}, own).filter(supplied), max_size=2, unique_by=lambda one: one.name)
    experiment = Experiment(
        name="drawn",
        dataset=dataset,
        backbone=chosen.get("backbone") or Tiny(),
        head=head,
        labels=one("labels") if head.speaks else None,
        auxiliary=(task,) if task else tuple(draw(tasks)),
        training=Training(epochs=1, batch=4),
    )
    assume(not compatibility(experiment))
    return experiment


def _has_place(head: Head, task: AuxiliaryTask) -> bool:
    """Whether an auxiliary task can be learnt beside a head."""
    if task.form == "classified":
        return head.classifies and len(task.needs()) == 1
    return any(Slot.AUXILIARY in branch for branch in head.layout(Stage.TRAIN))


def _memories() -> st.SearchStrategy[Memory]:
    asked = st.lists(st.sampled_from(["current", "next", "goal"]), min_size=1, max_size=3, unique=True).map(tuple)
    return st.builds(Memory, asks=asked, dense=st.booleans(), tokens=st.integers(1, 2), width=st.just(4))


def registries(plugins: Plugins | None = None) -> st.SearchStrategy[str]:
    """Texts of registry files of one to three experiments, whether they make sense or not."""
    drawn = st.lists(experiments(plugins=plugins), min_size=1, max_size=3)
    return drawn.map(lambda found: dump([one.named(f"drawn-{number}") for number, one in enumerate(found)]))

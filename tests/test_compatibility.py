"""What keeps components from working together, by components that exist only here."""

from __future__ import annotations

from typing import ClassVar

import pytest

from gad_core.contracts.components import AuxiliaryTask, Corpus, Dataset, Head, InputPath
from gad_core.contracts.values import LabelRef, Layout, Query, Slot, Stage
from gad_core.discovery.plugins import installed
from gad_core.errors import DataError
from gad_core.registry.compatibility import Problem, compatibility, repeats_the_answer
from gad_core.registry.experiment import Experiment
from gad_core.registry.resolve import problems_of
from gad_core.registry.sweep import normalised

PARTS = {(offer.kind, offer.name): offer.component for offer in installed().offers}
WRITTEN = (Slot.CUE, Slot.ANSWER, Slot.AUXILIARY, Slot.EOS)


class Asking(Dataset):
    name: ClassVar[str] = "asking"
    asked: tuple[str, ...] = ("current",)
    supplied: tuple[str, ...] = ("current", "goal")

    def asks(self) -> frozenset[str]:
        return frozenset(self.asked)

    def relations(self) -> frozenset[str]:
        return frozenset(self.supplied)

    def open(self) -> Corpus:
        raise AssertionError


class Unreadable(Asking):
    annotations: InputPath

    def relations(self) -> frozenset[str]:
        raise DataError("has no header", where=str(self.annotations), hint="write one")


class Laid(Head):
    name: ClassVar[str] = "laid"
    trained: Layout = ()
    predicted: Layout = ()

    def layout(self, stage: Stage) -> Layout:
        return self.trained if stage is Stage.TRAIN else self.predicted

    def build(self, hidden_size: int, targets: object) -> object:  # type: ignore[override]
        raise AssertionError


class Both(AuxiliaryTask):
    name: ClassVar[str] = "both"

    def needs(self) -> frozenset[str]:
        return frozenset({"current", "goal"})

    def refs(self, query: Query) -> tuple[LabelRef, ...]:
        return ()


DISCRIMINATIVE = PARTS["head", "discriminative"]()
GENERATIVE = PARTS["head", "generative"]()
GAD = PARTS["head", "gad"]()
TEXT = PARTS["labels", "text"]()


def experiment(**parts: object) -> Experiment:
    fixed = {"name": "x", "dataset": Asking(), "backbone": PARTS["backbone", "llama-tiny"](), "head": DISCRIMINATIVE}
    return Experiment(**{**fixed, **parts})  # type: ignore[arg-type]


def task(name: str, **options: object) -> object:
    return PARTS["auxiliary", name](**options)


def test_what_fits_has_no_problems() -> None:
    assert compatibility(experiment()) == ()
    assert compatibility(experiment(head=GAD, labels=TEXT, auxiliary=(task("goal"), task("label")))) == ()
    assert compatibility(experiment(auxiliary=(task("goal", form="classified"),))) == ()
    both = (task("goal"), task("goal", form="classified"))
    assert compatibility(experiment(head=GAD, labels=TEXT, auxiliary=both)) == ()


CASES: dict[str, tuple[Experiment, str, str, bool]] = {
    "labels needed": (experiment(head=GENERATIVE), "labels", "needs a label tokenizer", False),
    "labels in vain": (experiment(labels=TEXT), "labels", "label tokenizer 'text' has no effect", True),
    "written in vain": (experiment(auxiliary=(task("goal"),)), "auxiliary", "'goal' has no place", True),
    "no room behind the answer": (
        experiment(head=Laid(trained=((Slot.CUE, Slot.ANSWER, Slot.EOS),), predicted=((Slot.CUE,),)), labels=TEXT,
                   auxiliary=(task("goal"),)), "auxiliary", "'goal' has no place", True),
    "no class layers": (
        experiment(head=GENERATIVE, labels=TEXT, auxiliary=(task("goal", form="classified"),)), "auxiliary",
        "head 'generative' has no class layers", False),
    "not supplied": (
        experiment(head=GAD, labels=TEXT, auxiliary=(task("past"),)), "auxiliary",
        "auxiliary task 'past' needs past, which dataset 'asking' does not supply", False),
    "two relations classified": (
        experiment(auxiliary=(Both(form="classified"),)), "auxiliary",
        "auxiliary task 'both' needs current, goal: only labels of one relation can be classified", False),
    "twice": (
        experiment(auxiliary=(task("goal", form="classified"),) * 2), "auxiliary",
        "auxiliary task 'goal' is classified twice", False),
    "asks nothing": (experiment(dataset=Asking(asked=())), "dataset", "asks nothing and supplies", False),
    "asks what it lacks": (experiment(dataset=Asking(asked=("next",))), "dataset", "asks next and supplies", False),
    "lays out the trunk": (
        experiment(head=Laid(trained=((Slot.FRAMES, Slot.CLS),), predicted=((Slot.CLS,),))), "head",
        "head 'laid' lays out FRAMES", False),
}  # fmt: skip


@pytest.mark.parametrize(("wrong", "slot", "message", "inert"), CASES.values(), ids=CASES)
def test_a_problem_names_its_slot(wrong: Experiment, slot: str, message: str, inert: bool) -> None:
    (problem,) = compatibility(wrong)
    assert (problem.slot, problem.inert) == (slot, inert)
    assert message in problem.message and problem.hint
    assert (compatibility(normalised(wrong)) == ()) is inert, "what is inert can be taken away, nothing else can"


class Guest(AuxiliaryTask):
    """Writes the first `count` labels of a relation, from the `skip`-th on."""

    name: ClassVar[str] = "guest"
    relation: str = "current"
    count: int = 1
    skip: int = 0

    def needs(self) -> frozenset[str]:
        return frozenset({self.relation})

    def refs(self, query: Query) -> tuple[LabelRef, ...]:
        return query.relations.get(self.relation, ())[self.skip : self.skip + self.count]


@pytest.mark.parametrize(
    ("guest", "asks", "repeats"),
    [
        (Guest(), {"current"}, True),
        (Guest(count=0), {"current"}, True),
        (Guest(relation="goal"), {"goal"}, True),
        (Guest(), {"goal"}, False),
        (Guest(), {"current", "goal"}, False),
        (Guest(count=2), {"current"}, False),  # a frame of several actions has more to write
        (Guest(skip=1), {"current"}, False),
        (Guest(form="classified"), {"current"}, False),  # a class layer of its own
        (Both(), {"current"}, False),
    ],
)
def test_a_task_repeats_the_answer_by_what_it_does(guest: AuxiliaryTask, asks: set[str], repeats: bool) -> None:
    assert repeats_the_answer(guest, asks) is repeats


def test_what_is_wrong_is_told_and_not_taken_away() -> None:
    twice = experiment(head=GAD, labels=TEXT, auxiliary=(task("label"), task("label")))
    assert normalised(twice) == twice and compatibility(twice)
    assert normalised(experiment(head=GAD, labels=TEXT, auxiliary=(task("label"),))).auxiliary == ()


def test_a_dataset_that_cannot_be_read_is_a_problem() -> None:
    wrong = experiment(dataset=Unreadable(annotations="x.csv"), auxiliary=(task("goal", form="classified"),))
    assert problems_of(wrong) == (Problem("dataset", "x.csv: has no header", "write one"),)

"""One pure function says whether an experiment makes sense; all that differs by head is derived from its layout."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from gad_core.contracts.components import AuxiliaryTask, Head
from gad_core.contracts.values import BRANCH_SLOTS, LabelRef, Query, Slot, Stage
from gad_core.registry.experiment import Experiment


@dataclass(frozen=True)
class Problem:
    """Why an experiment cannot run: which slot is at fault, what is wrong, what to do.

    `inert`: the slot has no effect here and may be emptied; a sweep does so, an explicit experiment is refused.
    """

    slot: str
    message: str
    hint: str = ""
    inert: bool = False


def compatibility(experiment: Experiment) -> tuple[Problem, ...]:
    """Everything that keeps the five components from working together; empty when they do."""
    return (*_of_layout(experiment), *_of_labels(experiment), *_of_auxiliary(experiment), *_of_dataset(experiment))


def _of_layout(experiment: Experiment) -> Iterator[Problem]:
    head = experiment.head
    for stage in Stage:
        strange = {slot for branch in head.layout(stage) for slot in branch} - BRANCH_SLOTS
        if strange:
            yield Problem(
                "head",
                f"head '{head.name}' lays out {', '.join(sorted(slot.name for slot in strange))}",
                "a head may lay out CLS, CUE, ANSWER, AUXILIARY and EOS",
            )


def _of_labels(experiment: Experiment) -> Iterator[Problem]:
    head, labels = experiment.head, experiment.labels
    if head.speaks and labels is None:
        yield Problem(
            "labels",
            f"head '{head.name}' writes the answer and needs a label tokenizer",
            "add `labels:`, for example {use: text}",
        )
    if not head.speaks and labels is not None:
        yield Problem(
            "labels",
            f"head '{head.name}' never writes: label tokenizer '{labels.name}' has no effect",
            "remove `labels:`",
            inert=True,
        )


def _of_auxiliary(experiment: Experiment) -> Iterator[Problem]:
    head, dataset = experiment.head, experiment.dataset
    room = any(Slot.AUXILIARY in branch for branch in head.layout(Stage.TRAIN))
    for task in experiment.auxiliary:
        if task.form == "written" and not room:
            yield Problem(
                "auxiliary",
                f"head '{head.name}' never writes: auxiliary task '{task.name}' has no place",
                "remove `auxiliary:`, or give it `form: classified`",
                inert=True,
            )
        if task.form == "classified":
            yield from _of_classified(head, task)
        missing = task.needs() - dataset.relations()
        if missing:
            yield Problem(
                "auxiliary",
                f"auxiliary task '{task.name}' needs {', '.join(sorted(missing))}, "
                f"which dataset '{dataset.name}' does not supply",
                f"it supplies {', '.join(sorted(dataset.relations()))}",
            )
    tasks = [(task.name, task.form) for task in experiment.auxiliary]
    for name, form in dict.fromkeys(task for task in tasks if tasks.count(task) > 1):
        yield Problem("auxiliary", f"auxiliary task '{name}' is {form} twice", "name it once")


def _of_classified(head: Head, task: AuxiliaryTask) -> Iterator[Problem]:
    if not head.classifies:
        yield Problem(
            "auxiliary",
            f"head '{head.name}' has no class layers: auxiliary task '{task.name}' cannot be classified",
            "give it `form: written`, or use a head that classifies",
        )
    if len(task.needs()) != 1:
        yield Problem(
            "auxiliary",
            f"auxiliary task '{task.name}' needs {', '.join(sorted(task.needs())) or 'no relation'}: only labels of "
            "one relation can be classified",
            "give it `form: written`",
        )


def repeats_the_answer(task: AuxiliaryTask, asks: Collection[str]) -> bool:
    """Whether all that a task writes is the answer itself, which is not written again: then it has no effect.

    A task reads the relations it needs and no others (its contract). Where the one it needs is the one that is asked,
    and of several labels it writes the first alone, which is the answer, it has nothing to add.
    """
    if task.form != "written" or len(asks) != 1 or set(asks) != task.needs():
        return False
    (asked,) = asks
    several = tuple(LabelRef(asked, index) for index in range(3))
    return set(task.refs(Query(1, {asked: several}))) <= {several[0]}


def _of_dataset(experiment: Experiment) -> Iterator[Problem]:
    dataset = experiment.dataset
    unknown = dataset.asks() - dataset.relations()
    if not dataset.asks() or unknown:
        yield Problem(
            "dataset",
            f"dataset '{dataset.name}' asks {', '.join(sorted(unknown)) or 'nothing'} and supplies "
            f"{', '.join(sorted(dataset.relations()))}",
            "ask relations that it supplies",
        )

"""One pure function says whether an experiment makes sense; all that differs by head is derived from its layout."""

from __future__ import annotations

from dataclasses import dataclass

from gad_core.experiment import Experiment
from gad_core.values import BRANCH_SLOTS, Slot, Stage


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
    problems: list[Problem] = []
    head, dataset = experiment.head, experiment.dataset
    for stage in Stage:
        strange = {slot for branch in head.layout(stage) for slot in branch} - BRANCH_SLOTS
        if strange:
            problems.append(
                Problem(
                    "head",
                    f"head '{head.name}' lays out {sorted(slot.name for slot in strange)}",
                    "a head may lay out CLS, CUE, ANSWER, AUXILIARY and EOS",
                )
            )
    if head.speaks and experiment.labels is None:
        problems.append(
            Problem(
                "labels",
                f"head '{head.name}' writes the answer and needs a label tokenizer",
                "add `labels:`, for example {use: text}",
            )
        )
    if not head.speaks and experiment.labels is not None:
        problems.append(
            Problem(
                "labels",
                f"head '{head.name}' never writes: label tokenizer '{experiment.labels.name}' has no effect",
                "remove `labels:`",
                inert=True,
            )
        )
    room = any(Slot.AUXILIARY in branch for branch in head.layout(Stage.TRAIN))
    for task in experiment.auxiliary:
        if task.form == "written" and not room:
            problems.append(
                Problem(
                    "auxiliary",
                    f"head '{head.name}' never writes: auxiliary task '{task.name}' has no place",
                    "remove `auxiliary:`, or give it `form: classified`",
                    inert=True,
                )
            )
        if task.form == "classified" and not head.classifies:
            problems.append(
                Problem(
                    "auxiliary",
                    f"head '{head.name}' has no class layers: auxiliary task '{task.name}' cannot be classified",
                    "give it `form: written`, or use a head that classifies",
                )
            )
        missing = task.needs() - dataset.relations()
        if missing:
            problems.append(
                Problem(
                    "auxiliary",
                    f"auxiliary task '{task.name}' needs {', '.join(sorted(missing))}, "
                    f"which dataset '{dataset.name}' does not supply",
                    f"it supplies {', '.join(sorted(dataset.relations()))}",
                )
            )
    unknown = dataset.asks() - dataset.relations()
    if not dataset.asks() or unknown:
        problems.append(
            Problem(
                "dataset",
                f"dataset '{dataset.name}' asks {sorted(unknown) or 'nothing'} and supplies "
                f"{sorted(dataset.relations())}",
                "ask relations that it supplies",
            )
        )
    return tuple(problems)

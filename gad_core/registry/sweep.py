"""Sweeps: every combination of some values, without what has no effect, what is equal, and what cannot be."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from gad_core.experiment import Experiment
from gad_core.registry.resolve import Resolver, problems_of
from gad_core.registry.schema import SECTIONS, ExperimentEntry, SweepEntry
from gad_core.registry.source import Fault, Path_

SLOTS = (*SECTIONS, "training")


@dataclass(frozen=True)
class Skipped:
    """A point of a sweep that is not run, and why."""

    point: str
    reason: str


@dataclass(frozen=True)
class Sweep:
    """The experiments of a sweep, by name, and the points that are not run."""

    name: str
    experiments: tuple[str, ...]
    skipped: tuple[Skipped, ...]
    description: str = ""


def resolve_sweep(resolver: Resolver, name: str, entry: SweepEntry) -> tuple[Sweep, dict[str, Experiment]]:
    """The points of a sweep: inert slots are emptied, equal points run once, impossible ones are listed."""
    at: Path_ = ("sweeps", name)
    experiments: dict[str, Experiment] = {}
    skipped: list[Skipped] = []
    if entry.base not in resolver.file.experiments:
        resolver._dangling("experiments", entry.base, resolver.file.experiments, (*at, "base"))
        return Sweep(name, (), ()), {}
    strange = [key for key in entry.vary if key.partition(".")[0] not in SLOTS]
    resolver.faults += [
        Fault((*at, "vary", key), f"cannot vary {key!r}", f"vary {', '.join(SLOTS)}, or an option as slot.option", True)
        for key in strange
    ]
    base = resolver.file.experiments[entry.base]
    equal: dict[str, str] = {}
    for values in itertools.product(*(enumerate(values) for values in entry.vary.values())) if not strange else ():
        point = dict(zip(entry.vary, values, strict=True))
        label = ",".join(f"{key}={_shown(value)}" for key, (_, value) in point.items())
        experiment = _point(resolver, f"{name}/{label}", base, entry, point, at)
        if experiment is None:
            continue
        experiment = normalised(experiment)
        problems = problems_of(experiment)
        if problems:
            skipped.append(Skipped(label, problems[0].message))
        elif experiment.identity() in equal:
            skipped.append(Skipped(label, f"the same as {equal[experiment.identity()]}"))
        else:
            equal[experiment.identity()] = label
            experiments[experiment.name] = experiment
    return Sweep(name, tuple(experiments), tuple(skipped), entry.description), experiments


def _point(
    resolver: Resolver,
    name: str,
    base: ExperimentEntry,
    entry: SweepEntry,
    point: Mapping[str, tuple[int, Any]],
    at: Path_,
) -> Experiment | None:
    """The experiment of one combination of values."""
    slots: dict[str, Any] = {}
    places: dict[str, Path_] = {slot: ("experiments", entry.base, slot) for slot in SLOTS}
    changes: dict[str, tuple[Any, Path_]] = {}
    for key, (number, value) in point.items():
        place = (*at, "vary", key, number)
        if "." in key:
            changes[key] = (value, place)
        elif _fits(key, value):
            slots[key], places[key] = tuple(value) if isinstance(value, list) else value, place
        else:
            resolver.faults.append(Fault(place, f"{key} should be the name of an entry, not {value!r}"))
            return None
    changed = base.model_copy(update={**slots, **({"seeds": entry.seeds} if entry.seeds else {}), "expected": {}})
    return resolver.experiment(name, changed, at, places, changes)


def _fits(slot: str, value: Any) -> bool:
    if value is None:
        return slot in ("labels", "auxiliary", "training")
    several = slot == "auxiliary" and isinstance(value, list) and all(isinstance(one, str) for one in value)
    return isinstance(value, str) or several


def normalised(experiment: Experiment) -> Experiment:
    """The experiment without what has no effect in it."""
    inert = {problem.slot for problem in problems_of(experiment) if problem.inert}
    if "labels" in inert:
        experiment = replace(experiment, labels=None)
    if "auxiliary" in inert:
        classified = tuple(task for task in experiment.auxiliary if task.form == "classified")
        experiment = replace(experiment, auxiliary=classified)
    return experiment


def _shown(value: Any) -> str:
    """A value as part of a name."""
    if value is None:
        return "none"
    return "+".join(map(_shown, value)) if isinstance(value, list) else str(value).replace("/", "-")

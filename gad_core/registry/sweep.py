"""Sweeps: every combination of some values, without what has no effect, what is equal, and what cannot be."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from gad_core.discovery.plugins import Plugins
from gad_core.files.names import shortened
from gad_core.registry.compatibility import repeats_the_answer
from gad_core.registry.experiment import Experiment
from gad_core.registry.resolve import NOBODY, Change, Resolver, problems_of
from gad_core.registry.schema import SLOTS, ExperimentEntry, SweepEntry
from gad_core.registry.source import Fault, Path_
from gad_core.registry.told import names, shown

LONGEST = 150
"""Bytes of a point's name, which is the name of a folder."""
MOST = 2000
"""Points of a sweep: more come of a mistake, and checking them would take minutes."""


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


@dataclass(frozen=True)
class Point:
    """One combination of values: the entry with its slots, and the options that change."""

    label: str
    entry: ExperimentEntry
    places: Mapping[str, Path_]
    changes: Mapping[str, Change]


def resolve_sweep(resolver: Resolver, name: str, entry: SweepEntry) -> tuple[Sweep, dict[str, Experiment]]:
    """The points of a sweep: inert slots are emptied, equal points run once, impossible ones are listed."""
    experiments: dict[str, Experiment] = {}
    skipped: list[Skipped] = []
    equal: dict[str, str] = {}
    points = list(_points(resolver, name, entry)) if _sound(resolver, name, entry) else []
    for point, absent in zip(points, _absent(resolver, name, entry, points), strict=True):
        if absent:
            skipped.append(Skipped(point.label, absent))
            continue
        unique = f"{name}/{_unique(point.label, experiments, name)}"
        experiment = resolver.experiment(unique, point.entry, ("sweeps", name), point.places, point.changes)
        if experiment is None:
            continue
        experiment = normalised(experiment, resolver.plugins)
        problems = problems_of(experiment, resolver.plugins)
        if problems:
            skipped.append(Skipped(point.label, problems[0].message))
        elif experiment.options_key() in equal:
            skipped.append(Skipped(point.label, f"the same as {equal[experiment.options_key()]}"))
        else:
            equal[experiment.options_key()] = point.label
            experiments[experiment.name] = experiment
    return Sweep(name, tuple(experiments), tuple(skipped), entry.description), experiments


def _sound(resolver: Resolver, name: str, entry: SweepEntry) -> bool:
    """Whether base and keys lead somewhere and the values may stand there; what does not is noted."""
    before = len(resolver.faults)
    at: Path_ = ("sweeps", name)
    points = math.prod(map(len, entry.vary.values()))
    if points > MOST:
        message = f"has {points:,} points; {MOST:,} is the most"
        resolver.faults.append(Fault((*at, "vary"), message, "vary less at once, in several sweeps", True))
    if entry.base not in resolver.file.experiments:
        resolver.dangling("experiments", entry.base, (*at, "base"))
    for key, values in entry.vary.items():
        slot, dot, option = key.partition(".")
        if slot not in SLOTS or (dot and not option):
            hint = f"vary {', '.join(SLOTS)}, or an option as slot.option"
            resolver.faults.append(Fault((*at, "vary", key), f"cannot vary {key!r}", hint, True))
            continue
        for number, value in enumerate(values):
            if not dot and not _fits(slot, value):
                message = f"{slot} should be the name of an entry, not {shown(value)}"
                resolver.faults.append(Fault((*at, "vary", key, number), message))
    return len(resolver.faults) == before and entry.base in resolver.file.experiments


def _fits(slot: str, value: Any) -> bool:
    if value is None:
        return slot in ("labels", "auxiliary", "training")
    several = slot == "auxiliary" and isinstance(value, list) and all(isinstance(one, str) for one in value)
    return isinstance(value, str) or several


def _points(resolver: Resolver, name: str, entry: SweepEntry) -> Iterator[Point]:
    """Every combination of the values; the last key varies fastest."""
    base = resolver.file.experiments[entry.base]
    for values in itertools.product(*(enumerate(values) for values in entry.vary.values())):
        places: dict[str, Path_] = {slot: ("experiments", entry.base, slot) for slot in SLOTS}
        slots: dict[str, Any] = {"expected": {}, **({"seeds": entry.seeds} if entry.seeds else {})}
        changes: dict[str, Change] = {}
        for key, (number, value) in zip(entry.vary, values, strict=True):
            place = ("sweeps", name, "vary", key, number)
            if "." in key:
                changes[key] = Change(value, place)
            else:
                slots[key], places[key] = tuple(value) if isinstance(value, list) else value, place
        label = ",".join(f"{key}={_label(value)}" for key, (_, value) in zip(entry.vary, values, strict=True))
        yield Point(label, base.model_copy(update=slots), places, changes)


def _absent(resolver: Resolver, name: str, entry: SweepEntry, points: list[Point]) -> list[str | None]:
    """Why a point cannot be since its components lack an option that others have; None where nothing is lacking.

    An option that no point has is a mistake in the file, and left to be told as one.
    """
    reasons: list[str | None] = [None] * len(points)
    for key in (key for key in entry.vary if "." in key):
        slot, option, *_ = key.split(".")
        lacking = [_lacking(resolver, slot, option, point.entry) for point in points]
        if points and all(found == "" for found in lacking):
            message = f"{slot} is empty in every point: {key!r} has no effect"
            resolver.faults.append(Fault(("sweeps", name, "vary", key), message, f"fill {slot} in the base", True))
        elif None in lacking:
            reasons = [reason or found for reason, found in zip(reasons, lacking, strict=True)]
    return [reason or None for reason in reasons]


def _lacking(resolver: Resolver, slot: str, option: str, entry: ExperimentEntry) -> str | None:
    """None where the components of a slot have an option, '' where there are none, else who lacks it."""
    chosen = entry.chosen(slot)
    if not chosen and slot != "training":
        return ""
    for one in chosen:
        model = resolver.model(slot, one) if one in resolver.entries(slot) else None
        if model is not None and option not in names(model):
            return f"{slot} {one!r} has no option {option!r}"
    return None


def normalised(experiment: Experiment, plugins: Plugins = NOBODY) -> Experiment:
    """The experiment without what has no effect in it."""
    problems = problems_of(experiment, plugins)
    inert = {problem.slot for problem in problems if problem.inert}
    if "labels" in inert:
        experiment = replace(experiment, labels=None)
    if "auxiliary" in inert:
        classified = tuple(task for task in experiment.auxiliary if task.form == "classified")
        experiment = replace(experiment, auxiliary=classified)
    if not all(problem.inert for problem in problems):
        return experiment  # it is not run: what is wrong with it shall be told
    asks = experiment.dataset.asks()
    telling = tuple(task for task in experiment.auxiliary if not repeats_the_answer(task, asks))
    return replace(experiment, auxiliary=telling)


def _unique(label: str, taken: Collection[str], name: str) -> str:
    """A label as the last part of a name that is short enough for a folder and nobody else's."""
    short = shortened(label, LONGEST)
    numbered = itertools.chain([short], (f"{short}~{number}" for number in itertools.count(2)))
    return next(one for one in numbered if f"{name}/{one}" not in taken)


def _label(value: Any) -> str:
    """A value as part of the name of a folder."""
    if isinstance(value, dict):
        return "+".join(f"{key}={_label(inner)}" for key, inner in value.items()) or "empty"
    if isinstance(value, list):
        return "+".join(map(_label, value)) or "empty"
    if value is None or isinstance(value, bool):
        return "none" if value is None else str(value).lower()
    return "".join(letter if letter.isprintable() and letter not in "/\\" else "-" for letter in str(value))

"""COIN's annotation file: videos with their steps, and every fault with the video it stands in."""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gad_core.plugin import DataError, Faults, composed, read_json, seconds_field, shown, text_field

SPLITS = {"training": "train", "train": "train", "testing": "test", "test": "test", "validation": "validation"}
"""What subsets are called in the file, and the split each is."""

CLEAN = {
    "process (crop, fold) paper": "crop and fold paper",
    "try to press gun head, spray residual old grease": "try to press gun head to spray residual old grease",
}
"""PAPER: label clean-up. Two texts hold commas or brackets."""

WORDS = re.compile(r"RJ45|NBA|SIM|SSD|TV|CD|CPR|PC|[A-Z]?[a-z]+(?:-[a-z]+)*|[A-Z](?![a-z])|\d+")
"""The words of a CamelCase task; abbreviations stay whole."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step, in seconds."""

    start: float
    end: float
    label: str


@dataclass(frozen=True, slots=True)
class Video:
    """One video: steps in temporal order; `span` is the annotated part, in seconds."""

    name: str
    split: str
    task: str
    span: tuple[float, float]
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Annotations:
    """What the file holds; `dropped` counts what a rule of docs/coin.md left out."""

    path: Path
    videos: tuple[Video, ...]
    ids: frozenset[str]
    dropped: Counter[str]


def step_text(label: str) -> str:
    """The lower-case text of a step, cleaned up. Blanks inside stay: the published classes differ in them."""
    lower = composed(label).lower()
    return CLEAN.get(lower, lower)


def task_text(name: str) -> str:
    """The words of a CamelCase task: "ReplaceCDDriveWithSSD" is "replace CD drive with SSD"."""
    words = WORDS.findall(name)
    return " ".join(word if len(word) > 1 and not word[1:].islower() else word.lower() for word in words) or name


def read_annotations(path: Path, faults: Faults) -> Annotations:
    """Reads the file and notes, with the video, whatever no rule of docs/coin.md covers. Raises `DataError` when it
    cannot be read at all."""
    document = read_json(
        path, hint="give COIN.json", object_pairs_hook=lambda pairs: _distinct(pairs, str(path), faults)
    )
    database = document.get("database", document) if isinstance(document, dict) else None
    if not isinstance(database, dict) or not database:
        raise DataError("holds no videos", where=str(path), hint='COIN.json is {"database": {"<video>": {…}}}')
    dropped: Counter[str] = Counter()
    ids: set[str] = set()
    videos = []
    for name, entry in database.items():
        with faults.gathered():
            video = _video(text_field(name, "video", str(path)), entry, f"{path}: {name}", dropped, ids, faults)
            if video.steps:
                videos.append(video)
            else:
                dropped["videos without steps"] += 1
    return Annotations(path, tuple(videos), frozenset(ids), dropped)


def _distinct(pairs: list[tuple[str, Any]], where: str, faults: Faults) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        for key, count in Counter(key for key, _ in pairs).items():
            if count > 1:
                faults.add(f"'{key}' stands there twice", where=where, hint="remove one: ids and keys are unique")
    return found


def _video(name: str, entry: Any, where: str, dropped: Counter[str], ids: set[str], faults: Faults) -> Video:
    missing = {"class", "subset", "annotation"} - (entry.keys() if isinstance(entry, dict) else set())
    if missing:
        raise DataError(f"lacks {', '.join(sorted(missing))}", where=where, hint="take the published COIN.json")
    split = SPLITS.get(text_field(entry["subset"], "subset", where).lower())
    if split is None:
        raise DataError(f"unknown subset {shown(entry['subset'])}", where=where, hint=f"known are {', '.join(SPLITS)}")
    if not isinstance(entry["annotation"], list):
        raise DataError("`annotation` is not a list of steps", where=where, hint="take the published COIN.json")
    task = text_field(entry["class"], "class", where)
    if not task:
        raise DataError("the class is empty", where=where, hint="name the task")
    duration = seconds_field(entry["duration"], where) if "duration" in entry else math.inf
    steps = []
    for number, found in enumerate(entry["annotation"]):
        with faults.gathered():
            step = _step(found, duration, f"{where}: step {number}", ids)
            if step.end > step.start:
                steps.append(step)
            else:
                dropped["steps without length"] += 1
    steps.sort(key=lambda step: (step.start, step.end))
    first = min((step.start for step in steps), default=0.0)
    last = max((step.end for step in steps), default=0.0)
    span = seconds_field(entry.get("start", first), where), seconds_field(entry.get("end", last), where)
    return Video(name, split, task_text(task), span, tuple(steps))


def _step(found: Any, duration: float, where: str, ids: set[str]) -> Step:
    missing = {"segment", "label"} - (found.keys() if isinstance(found, dict) else set())
    if missing:
        raise DataError(f"lacks {', '.join(sorted(missing))}", where=where, hint="a step has segment, label and id")
    segment = found["segment"]
    if not isinstance(segment, list) or len(segment) != 2:
        raise DataError(f"segment {shown(segment)} is not [start, end]", where=where, hint="give seconds")
    start, end = (seconds_field(time, where) for time in segment)
    if start < 0 or end < start or start >= duration or end > duration + 1:
        raise DataError(
            f"segment {start:g} to {end:g} s is outside the video of {duration:g} s",
            where=where,
            hint="correct the times; an end up to one second late is taken for the end of the video",
        )
    label = step_text(text_field(found["label"], "label", where, spelling=composed))
    if not label:
        raise DataError("the label is empty", where=where, hint="name the step")
    ids.add(shown(found.get("id", "")))
    return Step(start, end, label)

"""From annotated actions to per-frame targets, and the files that hold them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gad_core.plugin import (
    DataError,
    Rounding,
    absent,
    frames_between,
    in_frames,
    load_array,
    no_file_name,
    read_json,
    reading,
    shown,
    sweep,
    write_json,
    writing,
)

INFO = "data_info.json"
LARGEST = 1 << 31
"""Bytes of a recording's targets: more are times that are no seconds."""


@dataclass(frozen=True, slots=True)
class Action:
    """One annotated action, in seconds."""

    recording: str
    start: float
    end: float
    label: int


@dataclass(frozen=True)
class Annotations:
    """What the original annotations of a benchmark say; `durations` in seconds, of the recordings where known.

    `skipped` counts rows that were left out, by the reason.
    """

    classes: tuple[str, ...]
    actions: tuple[Action, ...]
    durations: Mapping[str, float] = field(default_factory=dict)
    skipped: Mapping[str, int] = field(default_factory=dict)

    @property
    def recordings(self) -> tuple[str, ...]:
        """Every annotated or measured recording, in order of appearance."""
        return tuple(dict.fromkeys([*(action.recording for action in self.actions), *self.durations]))


@dataclass(frozen=True)
class Conversion:
    """What a conversion wrote and what it could not use; `skipped` counts actions by the reason."""

    recordings: int
    frames: int
    actions: int
    skipped: Mapping[str, int]


@dataclass(frozen=True)
class Plan:
    """The targets to make of one recording; `path` is relative."""

    path: str
    length: int
    actions: tuple[Action, ...]


def rasterise(
    actions: Iterable[Action], length: int, classes: int, fps: float, rounding: Rounding = "centre"
) -> tuple[np.ndarray, dict[str, int]]:
    """Multi-hot targets (length, classes) uint8 of one recording, class 0 where nothing else is, and what was skipped.

    An action that reaches beyond the recording is cut, one that lies beyond it or does not last is left out.
    """
    targets = np.zeros((length, classes), dtype=np.uint8)
    counted = dict.fromkeys(("action without length", "action beyond the recording", "action cut at the end"), 0)
    for action in actions:
        frames = frames_between(action.start, action.end, fps, rounding)
        if action.end <= action.start:
            counted["action without length"] += 1
        elif frames.start >= length or frames.stop <= 0:
            counted["action beyond the recording"] += 1
        else:
            counted["action cut at the end"] += frames.stop > length
            targets[max(0, frames.start) : frames.stop, action.label] = 1
    targets[~targets.any(axis=1), 0] = 1
    return targets, counted


def convert(
    annotations: Annotations,
    folder: Path,
    *,
    fps: float,
    rounding: Rounding = "centre",
    lengths: Mapping[str, int] | None = None,
    sessions: Mapping[str, Iterable[str]] | None = None,
    force: bool = False,
) -> Conversion:
    """Writes `target_perframe/<recording>.npy` and `data_info.json` into `folder`.

    `lengths` are the frames of each recording, best those of the features: recordings without one are left out.
    Without `lengths` a recording has ceil(duration · fps) frames, and where the annotations tell no duration ends with
    its last action. `sessions` maps the keys of data_info.json (`train_session_set`, …) to recordings.

    Files that are there and hold the same are left alone, so that a killed conversion goes on. Raises `DataError`,
    before anything is written, when nothing is left to write, for a recording whose name is no file name, and for files
    that hold something else unless `force` replaces them.
    """
    plans, unused = _planned(annotations, fps, lengths)
    if not plans:
        raise DataError("no recording is left to convert", hint=_other_names(annotations, lengths))
    info: dict[str, Any] = {"class_names": list(annotations.classes), "fps": fps, "rounding": rounding}
    info |= {key: list(names) for key, names in (sessions or {}).items()}
    classes = len(annotations.classes)

    def targets(plan: Plan) -> tuple[np.ndarray, dict[str, int]]:
        return rasterise(plan.actions, plan.length, classes, fps, rounding)

    if not force:
        there = [plan for plan in plans if (folder / plan.path).exists()]
        others = [plan.path for plan in there if _holds_other(folder / plan.path, targets(plan)[0])]
        others += [INFO] if (folder / INFO).exists() and _says_other(folder / INFO, info) else []
        _refuse_others(folder, others)
    counted = Counter(annotations.skipped) + Counter({"recording without features": unused})
    for place in {folder, *((folder / plan.path).parent for plan in plans)}:
        sweep(place)
    for plan in plans:
        made, skipped = targets(plan)
        counted += Counter(skipped)
        if force or not (folder / plan.path).exists():
            with writing(folder / plan.path) as temporary:
                np.save(temporary, made)
    write_json(folder / INFO, info)
    return Conversion(len(plans), sum(p.length for p in plans), sum(len(p.actions) for p in plans), dict(counted))


def _planned(annotations: Annotations, fps: float, lengths: Mapping[str, int] | None) -> tuple[list[Plan], int]:
    """What to write, and how many recordings have no frames."""
    actions: dict[str, list[Action]] = {name: [] for name in annotations.recordings}
    for action in annotations.actions:
        actions[action.recording].append(action)
    plans = []
    for name, members in actions.items():
        fault = no_file_name(name)
        if fault:
            raise DataError(f"recording {shown(name)} {fault}: no file can be called so", hint="rename the recording")
        length = lengths.get(name) if lengths is not None else _length(annotations.durations.get(name), members, fps)
        if length and length * len(annotations.classes) > LARGEST:
            raise DataError(
                f"recording {name!r} would have {length} frames of {len(annotations.classes)} classes",
                hint="its times, or its duration, are not in seconds",
            )
        if length:
            plans.append(Plan(f"target_perframe/{name}.npy", length, tuple(members)))
    return plans, len(actions) - len(plans)


def _other_names(annotations: Annotations, lengths: Mapping[str, int] | None) -> str:
    """What to say when no annotated recording has features."""
    named = dict.fromkeys(annotations.recordings, "")
    return "; ".join(absent(named, named, lengths or {}, "feature store")) if named else "the annotations name none"


def _holds_other(path: Path, targets: np.ndarray) -> bool:
    """Whether a file holds anything but these targets."""
    try:
        with reading(path):
            there = load_array(path)
    except DataError:
        return True
    return there.dtype != targets.dtype or not np.array_equal(there, targets)


def _says_other(path: Path, info: Mapping[str, Any]) -> bool:
    try:
        return bool(read_json(path) != info)
    except DataError:
        return True


def _refuse_others(folder: Path, paths: Sequence[str]) -> None:
    if paths:
        listed = ", ".join(paths[:5]) + (f" and {len(paths) - 5} more" if len(paths) > 5 else "")
        raise DataError(
            f"{len(paths)} files are there already and hold something else: {listed}",
            where=str(folder),
            hint="write to another folder, or replace them with --force; nothing has been written",
        )


def _length(duration: float | None, actions: Iterable[Action], fps: float) -> int:
    seconds = max((action.end for action in actions), default=0.0) if duration is None else duration
    return math.ceil(in_frames(seconds, fps))

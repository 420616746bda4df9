"""From times to frames: the one step between annotations and per-frame targets, with its rounding rules."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from gad_core.errors import DataError
from gad_core.files import write_json, writing

Rounding = Literal["centre", "overlap", "floor", "nearest"]
DIGITS = 6
"""Decimals of a frame that count: 0.7 s at 5 fps is frame 3.5, whatever floating point makes of it."""


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


def frames_between(start: float, end: float, fps: float, rounding: Rounding = "centre") -> range:
    """The frames of an action from `start` to `end` seconds; frame i lasts from i/fps to (i+1)/fps. At least one.

    - `centre`: frames whose centre lies in [start, end);
    - `overlap`: frames that any part of it touches, floor(start·fps) to ceil(end·fps), exclusive;
    - `floor`: floor(start·fps) to floor(end·fps), exclusive;
    - `nearest`: both ends to the nearest frame, halves up; end exclusive.

    Where a rule finds none, it is the frame that the middle of the action stands in.
    """
    first, stop = round(start * fps, DIGITS), round(end * fps, DIGITS)
    bounds = {
        "centre": (math.ceil(first - 0.5), math.ceil(stop - 0.5)),
        "overlap": (math.floor(first), math.ceil(stop)),
        "floor": (math.floor(first), math.floor(stop)),
        "nearest": (math.floor(first + 0.5), math.floor(stop + 0.5)),
    }
    low, high = bounds[rounding]
    if high > low:
        return range(low, high)
    middle = math.floor((first + stop) / 2)
    return range(middle, middle + 1)


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
) -> Conversion:
    """Writes `target_perframe/<recording>.npy` and `data_info.json` into `folder`.

    `lengths` are the frames of each recording, best those of the features: recordings without one are left out.
    Without `lengths` a recording has ceil(duration · fps) frames, and where the annotations tell no duration ends with
    its last action. `sessions` maps the keys of data_info.json (`train_session_set`, …) to recordings. Raises
    `DataError` when nothing is left to write.
    """
    actions: dict[str, list[Action]] = {name: [] for name in annotations.recordings}
    for action in annotations.actions:
        actions[action.recording].append(action)
    counted = dict(annotations.skipped)
    frames = rows = written = 0
    for name, members in actions.items():
        length = lengths.get(name) if lengths is not None else _length(annotations.durations.get(name), members, fps)
        if not length:
            counted["recording without features"] = counted.get("recording without features", 0) + 1
            continue
        targets, skipped = rasterise(members, length, len(annotations.classes), fps, rounding)
        for reason, count in skipped.items():
            counted[reason] = counted.get(reason, 0) + count
        with writing(folder / "target_perframe" / f"{name}.npy") as temporary:
            np.save(temporary, targets)
        frames, rows, written = frames + length, rows + len(members), written + 1
    if not written:
        raise DataError("no recording is left to convert", hint="the features' recordings have other names")
    info = {"class_names": list(annotations.classes), "fps": fps, "rounding": rounding}
    write_json(folder / "data_info.json", info | {key: list(names) for key, names in (sessions or {}).items()})
    return Conversion(written, frames, rows, {reason: count for reason, count in counted.items() if count})


def _length(duration: float | None, actions: Iterable[Action], fps: float) -> int:
    seconds = max((action.end for action in actions), default=0.0) if duration is None else duration
    return math.ceil(round(seconds * fps, DIGITS))

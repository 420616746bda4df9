"""From seconds to frames: the one step between annotations and per-frame labels, with its rounding rules."""

from __future__ import annotations

import math
from typing import Literal

Rounding = Literal["centre", "overlap", "floor", "nearest"]
"""Which frames an action has whose ends lie inside frames; `frames_between` defines the four rules."""

DIGITS = 6
"""Decimals of a frame that count: 0.7 s at 5 fps is frame 3.5, whatever floating point makes of it."""


def in_frames(seconds: float, fps: float) -> float:
    """A time as a number of frames, rounded to 6 decimals, so that `ceil` and `floor` see no floating-point error."""
    return round(seconds * fps, DIGITS)


def frames_between(start: float, end: float, fps: float, rounding: Rounding = "centre") -> range:
    """The frames of an action from `start` to `end` seconds, at least one. Frame i lasts from i/fps to (i+1)/fps.

    - `centre`: the frames whose centre lies in [start, end);
    - `overlap`: every frame that the action touches, floor(start·fps) to ceil(end·fps), exclusive;
    - `floor`: floor(start·fps) to floor(end·fps), exclusive;
    - `nearest`: both ends rounded to the nearest frame, halves up; the end is exclusive.

    Where a rule finds no frame, the action has the one that its middle lies in.
    """
    first, stop = in_frames(start, fps), in_frames(end, fps)
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

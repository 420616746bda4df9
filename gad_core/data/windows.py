"""Which frames a sample sees and which it is asked about: pure functions, no frame later than the question.

PAPER: online action detection. A window shows up to `long` older frames and `short` recent ones. The last frame of a
window is its *end*; a plan gives each window of a recording its end and how many of its last frames are asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from pydantic import AfterValidator, BaseModel, Field, NonNegativeInt, PositiveInt, model_validator

from gad_core.contracts.seeds import stable_seed
from gad_core.contracts.values import Band

Plan = tuple[np.ndarray, np.ndarray]
"""Ends (N,) int64, ascending, and the number of frames asked up to each end (N,) int64, at least 1."""


def window(end: int, long: int, short: int) -> range:
    """The frames seen at frame `end`, itself included: `long` older and `short` recent ones, or all there are."""
    return range(max(0, end + 1 - short - long), end + 1)


def every_end(length: int) -> Plan:
    """The protocol `window`: one window a frame, asked about its last frame."""
    return np.arange(length), np.ones(length, dtype=np.int64)


def blocks(length: int, step: int, first: int | None = None) -> Plan:
    """The protocol `dense`: windows `step` frames apart, each asked about all frames since the one before it.

    The first ends at frame `first` (`step` - 1 unless given), the last one at the recording's last frame: every frame
    is asked exactly once.
    """
    ends = np.arange(step - 1 if first is None else first, length, step)
    if length and (not len(ends) or ends[-1] != length - 1):
        ends = np.append(ends, length - 1)
    return ends, np.diff(ends, prepend=-1)


def phase(length: int, stride: int, *, seed: int, epoch: int, recording: str) -> int:
    """The end of an epoch's first training window, uniform in [0, stride), below `length`.

    A function of (seed, epoch, recording) alone, so that every process and every resume draws the same.
    """
    draw = np.random.default_rng(stable_seed("windows", seed, epoch, recording))
    return int(draw.integers(min(stride, max(length, 1))))


def thinned(frames: range, most: int | None, *, truncated: bool = False) -> range | np.ndarray:
    """At most `most` of the frames, evenly spread, the first and the last among them.

    A place between two frames is the nearer one's, or with `truncated`, as in the paper's COIN code, the earlier one's.
    """
    if most is None or len(frames) <= most:
        return frames
    places = np.linspace(0, len(frames) - 1, most)
    return frames.start + (places if truncated else places.round()).astype(np.int64)


@dataclass(frozen=True)
class Windows:
    """The windows of a stream dataset; see `WindowOptions` for the meaning of the fields."""

    long: int
    short: int
    stride: int
    protocol: Literal["window", "dense", "stream"]
    queries: Literal["last", "dense", "banded"]
    stretch: int = 1
    texts: int = 1

    @property
    def band(self) -> Band:
        """What a frame of a cached stream sees: as much as a window shows."""
        return Band(self.long + self.short, self.short)

    def frames(self, end: int, asked: int = 1, *, banded: bool = False) -> range:
        """The frames of a window that ends at frame `end` and is asked about its last `asked` frames."""
        return window(end, self.long, self.short + (asked if banded else 0))

    def training(self, length: int, *, seed: int, epoch: int, recording: str) -> Plan:
        """An epoch's windows of one recording: `stride` apart, from a phase drawn anew every epoch."""
        step = self.stretch if self.queries == "banded" else self.stride
        first = phase(length, step, seed=seed, epoch=epoch, recording=recording)
        if self.queries != "last":
            return blocks(length, step, first)
        ends = np.arange(first, length, self.stride)
        return ends, np.ones(len(ends), dtype=np.int64)

    def evaluation(self, length: int) -> Plan:
        """The windows a recording is scored on: every frame is asked exactly once."""
        if self.protocol == "stream":
            return np.array([length - 1]), np.array([length])
        return every_end(length) if self.protocol == "window" else blocks(length, self.short)


class WindowOptions(BaseModel):
    """The options of a dataset that asks about windows of untrimmed recordings."""

    long: NonNegativeInt = Field(128, description="stream: older frames a window shows")
    short: PositiveInt = Field(32, description="stream: recent frames of a window, where `past` actions are looked for")
    stride: PositiveInt | None = Field(None, description="stream: frames between training windows; `short` if null")
    protocol: Literal["window", "dense", "stream"] = Field(
        "window",
        description="stream, scoring: a window for every frame; dense: one for every `short` frames, asked about each "
        "of them; stream: whole recordings, every frame seeing the latest `long` + `short`, as in a cached stream. "
        "They are different measurements",
    )
    queries: Literal["last", "dense", "banded"] = Field(
        "last",
        description="stream, training: ask about the last frame of a window; dense: about each of its last `stride`; "
        "banded: about each of `stretch` frames, every frame seeing the latest `long` + `short`, as in a cached stream",
    )
    stretch: PositiveInt | None = Field(
        None, description="stream, banded training: frames a sample asks about; `long` + `short` if null"
    )
    texts: PositiveInt = Field(
        1,
        description="stream, training with many queries a sample: a head that classifies writes its text at every "
        "so-many-th frame alone, weighted to make up for it; neighbouring frames have the same texts",
    )
    background_weight: float = Field(1.0, ge=0, description="stream: factor on the classification loss of background")

    @model_validator(mode="after")
    def _windows_hold_what_is_asked(self) -> WindowOptions:
        if self.queries == "dense" and (self.stride or 0) > self.long + self.short:
            raise ValueError(f"stride {self.stride} is longer than a window of {self.long} + {self.short} frames")
        return self

    @property
    def streams(self) -> bool:
        """Whether they are asked about at all: a dataset that may also be read as clips says so."""
        return True

    def windows(self) -> Windows:
        """The windows these options describe."""
        stretch = self.stretch or self.long + self.short
        return Windows(
            self.long, self.short, self.stride or self.short, self.protocol, self.queries, stretch, self.texts
        )  # fmt: skip


def _once_each(asked: tuple[Ask, ...]) -> tuple[Ask, ...]:
    if len(set(asked)) < len(asked):
        raise ValueError("the same relation is asked twice")
    return asked


Ask = Literal["current", "next", "goal"]
"""A relation that a clip can be asked about."""

Asks = Annotated[tuple[Ask, ...], Field(min_length=1), AfterValidator(_once_each)]
"""An option that lists what is asked: at least one relation, each once."""


class ClipOrStreamOptions(WindowOptions):
    """The options of a dataset that may be read as trimmed clips or as untrimmed streams."""

    mode: Literal["clips", "stream"] = Field("clips", description="one sample a segment, or untrimmed recordings")
    asked: Asks = Field(("current",), alias="asks", description="what is to be predicted; a stream asks current")

    @model_validator(mode="after")
    def _stream_asks_current(self) -> ClipOrStreamOptions:
        if self.mode == "stream" and self.asked != ("current",):
            raise ValueError("a stream asks [current]; use `mode: clips` to ask next or goal")
        return self

    @property
    def streams(self) -> bool:
        return self.mode == "stream"

    def asks(self) -> frozenset[str]:
        """The relations whose labels are to be predicted."""
        return frozenset(self.asked)

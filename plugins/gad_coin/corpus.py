"""COIN as a corpus of clips."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gad_coin.annotations import Annotations, read_annotations
from gad_core.plugin import (
    CLIP_QUESTIONS,
    ClipCorpus,
    DataError,
    Faults,
    Features,
    LabelSpace,
    Prompt,
    Relations,
    Sample,
    Segment,
    absent,
    in_frames,
)

if TYPE_CHECKING:
    from gad_coin.plugin import Coin

SYSTEM = (
    "A multimodal AI assistant is helping users with some activities. Below is their conversation, interleaved with "
    "the list of video frames received by the assistant."
)


class CoinCorpus(ClipCorpus):
    """Clips of steps; the clip of a task is its video's annotated span. `spans` holds its frames."""

    def __init__(
        self, *, spans: Mapping[str, range], separators: bool, supervised: bool, reference: bool, **rest: Any
    ) -> None:
        self._spans = spans
        super().__init__(**rest, truncated=reference)
        self.prompts = {
            ask: Prompt(
                before=f"{SYSTEM}\n\nUser: {CLIP_QUESTIONS[ask]}\n[",
                separator="," if separators else "",
                after="]\n",
                joiner="",
                supervise_frames=supervised,
                keep_lead=reference,
            )
            for ask in rest["asks"]
        }

    def _sample(self, uid: str, recording: str, frames: range, ask: str, relations: Relations) -> Sample:
        return super()._sample(uid, recording, self._spans[recording] if ask == "goal" else frames, ask, relations)


def sentences(name: str, labels: set[str]) -> LabelSpace:
    """A label space in alphabetical order, written as sentences (REFERENCE: `capitalize` lower-cases the rest)."""
    ordered = tuple(sorted(labels, key=str.lower))
    return LabelSpace(name, ordered, tuple(f"{label.capitalize()}." for label in ordered))


def frames_of(start: float, end: float, fps: float, length: int) -> range:
    """ceil(start·fps) to ceil(end·fps) + 1, exclusive, inside the recording (REFERENCE: COIN)."""
    first, last = (math.ceil(in_frames(time, fps)) for time in (start, end))
    return range(min(max(first, 0), length), min(last + 1, length))


def make_corpus(options: Coin, store: Features) -> CoinCorpus:
    """The corpus of the videos the store has; raises `DataError` for all that does not fit."""
    faults = Faults()
    found = read_annotations(options.annotations, faults)
    for what, count in found.dropped.items():
        logging.getLogger(__name__).warning("%s: %d %s left out", found.path, count, what)
    _note_absent(found, store, options.missing, faults)
    steps = sentences("step", {step.label for video in found.videos for step in video.steps})
    tasks = sentences("task", {video.task for video in found.videos})
    step_index = {label: index for index, label in enumerate(steps.labels)}
    task_index = {label: index for index, label in enumerate(tasks.labels)}
    segments: dict[str, list[Segment]] = {"train": [], "validation": [], "test": []}
    spans: dict[str, range] = {}
    for video in found.videos:
        length = store.lengths.get(video.name)
        if length is None:
            continue
        for step in video.steps:
            with faults.gathered():
                frames = _placed(found, video.name, (step.start, step.end), store.fps, length)
                segments[video.split].append(
                    Segment(video.name, frames, step_index[step.label], task_index[video.task])
                )
        with faults.gathered():
            spans[video.name] = _placed(found, video.name, video.span, store.fps, length)
    faults.raise_any()
    return CoinCorpus(
        spans=spans,
        separators=options.separators,
        supervised=options.supervise_separators,
        reference=options.variant == "reference",
        actions=steps,
        goals=tasks,
        features=store,
        segments=segments,
        asks=options.asked,
        max_frames=options.max_frames,
        usage={
            "recordings": f"{len(spans)} of {len(found.videos)}",
            **{what: f"{count} left out" for what, count in found.dropped.items()},
        },
    )


def _placed(found: Annotations, video: str, times: tuple[float, float], fps: float, length: int) -> range:
    frames = frames_of(*times, fps, length)
    if not frames:
        raise DataError(
            f"{times[0]:g} to {times[1]:g} s is beyond the features, which end at {length / fps:g} s",
            where=f"{found.path}: {video}",
            hint="check the fps that the features were packed with",
        )
    return frames


def _note_absent(found: Annotations, store: Features, missing: str, faults: Faults) -> None:
    named = {video.name: "" for video in found.videos}
    lacking = [name for name in named if name not in store.lengths]
    if lacking and (missing == "error" or len(lacking) == len(named)):
        message, hint = absent(named, lacking, store.lengths, "feature store", what="videos")
        faults.add(message, where=str(found.path), hint=hint)
        if len(lacking) == len(named):
            faults.raise_any()

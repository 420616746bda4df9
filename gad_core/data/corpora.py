"""The two kinds of corpus: clips of single actions, and windows of untrimmed streams.

A dataset plugin reads its own layout into `Segment`s or `FrameLabels`; everything behind that is the same.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, TypeVar, overload

import numpy as np

from gad_core.contracts.components import Corpus, Features
from gad_core.contracts.values import Clip, LabelRef, LabelSpace, Predictions, Prompt, Query, Sample
from gad_core.data.relations import ACTION_RELATIONS, Relations, StreamRelations, segment_relations
from gad_core.data.windows import Plan, Windows, thinned
from gad_core.errors import DataError

if TYPE_CHECKING:
    from gad_core.metrics import ClipScore, StreamScore

T = TypeVar("T")

CLIP_QUESTIONS: Mapping[str, str] = {
    "current": "What is the action in the video? Format your answer concisely. No extra text output.",
    "next": "What is the next action for the video? Format your answer concisely. No extra text output.",
    "goal": "What is the overall activity in the video? Format your answer concisely. No extra text output.",
}
"""PAPER: COIN. The question of each relation that can be asked about a clip."""

STREAM_QUESTION = "What is the action in the last frame?"
"""PAPER: online action detection."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One action of a recording: its frames and class; `goal` is the class of the recording's goal, if known."""

    recording: str
    frames: range
    label: int
    goal: int | None = None


@dataclass(frozen=True, slots=True)
class FrameLabels:
    """The class of every frame of a recording, (T,) int; `goal` is the class of the recording's goal, if known."""

    recording: str
    labels: np.ndarray
    goal: int | None = None


def action_spaces(actions: LabelSpace, goals: LabelSpace | None) -> dict[str, LabelSpace]:
    """The label space of every relation."""
    return dict.fromkeys(ACTION_RELATIONS, actions) | ({"goal": goals} if goals else {})


class ClipCorpus(Corpus):
    """Asks what a segment shows (`current`), what follows it (`next`), or what a whole recording is for (`goal`).

    `segments` maps each split to its segments; those of one recording stand together, in temporal order. A clip of
    `goal` reaches from a recording's first segment to its last. Scores carry the ask in front when there are several.
    Clips longer than `max_frames` are `thinned`, with `truncated` as the paper's code does.
    """

    protocol = "clips"

    def __init__(
        self,
        *,
        actions: LabelSpace,
        goals: LabelSpace | None,
        features: Features,
        segments: Mapping[str, Sequence[Segment]],
        asks: Sequence[str] = ("current",),
        questions: Mapping[str, str] | None = None,
        max_frames: int | None = None,
        truncated: bool = False,
        usage: Mapping[str, str] | None = None,
    ) -> None:
        self.spaces = action_spaces(actions, goals)
        texts = {**CLIP_QUESTIONS, **(questions or {})}
        self.prompts = {ask: Prompt(before=f"{texts[ask]}\n") for ask in asks}
        self.features = features
        if not hasattr(type(self), "headline"):
            self.headline = "top1" if len(asks) == 1 else f"{asks[0]}/top1"
        self.usage = usage or {}
        self._max_frames, self._truncated = max_frames, truncated
        self._samples = {split: self._asked(found) for split, found in segments.items() if found}
        self.splits = tuple(self._samples)
        _refuse_unasked(self._samples, asks)

    def samples(self, split: str, epoch: int = 0, seed: int = 0) -> Sequence[Sample]:
        return _of(self._samples, split)

    def score(self, predictions: Predictions) -> dict[str, float]:
        return {
            f"{prefix}{metric}": value
            for prefix, _, score in self._scored(predictions)
            for metric, value in score.metrics().items()
        }

    def resampled(self, predictions: Predictions, times: np.ndarray) -> Mapping[str, np.ndarray]:
        columns = {recording: column for column, recording in enumerate(dict.fromkeys(predictions.recordings))}
        return {
            f"{prefix}{metric}": values
            for prefix, recordings, score in self._scored(predictions)
            for metric, values in score.resampled(times[:, [columns[name] for name in recordings]]).items()
        }

    def _scored(self, predictions: Predictions) -> Iterator[tuple[str, list[str], ClipScore]]:
        """What stands before the metrics of each ask, the recordings it asks about, and their scores."""
        from gad_core.metrics import ClipScore

        for ask in self.prompts:
            rows, space = predictions.of(ask), self.spaces[ask]
            score, recordings = ClipScore(space), []
            for recording, found in rows.by_recording():
                score.add(found.truth, found.scores[:, : len(space)])
                recordings.append(recording)
            if recordings:
                yield f"{ask}/" if len(self.prompts) > 1 else "", recordings, score

    def _asked(self, segments: Sequence[Segment]) -> list[Sample]:
        samples: dict[str, list[Sample]] = {ask: [] for ask in self.prompts}
        for recording, members in groupby(segments, key=lambda segment: segment.recording):
            for ask, sample in self._of_recording(recording, list(members)):
                samples[ask].append(sample)
        return [sample for ask in self.prompts for sample in samples[ask]]

    def _of_recording(self, recording: str, segments: Sequence[Segment]) -> Iterator[tuple[str, Sample]]:
        goal = _goal(segments[0].goal, self.spaces)
        relations = segment_relations([segment.label for segment in segments], self.spaces["current"], goal)
        for number, (segment, found) in enumerate(zip(segments, relations, strict=True)):
            for ask in ("current", "next"):
                if ask in self.prompts and ask in found:
                    yield ask, self._sample(f"{ask}/{recording}/{number}", recording, segment.frames, ask, found)
        if "goal" in self.prompts and goal is not None:
            start = min(segment.frames.start for segment in segments)
            stop = max(segment.frames.stop for segment in segments)
            yield "goal", self._sample(f"goal/{recording}", recording, range(start, stop), "goal", {"goal": (goal,)})

    def _sample(self, uid: str, recording: str, frames: range, ask: str, relations: Relations) -> Sample:
        clip = Clip(recording, thinned(frames, self._max_frames, truncated=self._truncated))
        return Sample(uid, clip, ask, (Query(len(clip), relations),))


class StreamCorpus(Corpus):
    """Asks at every frame of an untrimmed recording for the current action, seeing the past alone.

    `recordings` maps each split to its recordings.
    """

    headline = "map"

    def __init__(
        self,
        *,
        actions: LabelSpace,
        goals: LabelSpace | None,
        features: Features,
        recordings: Mapping[str, Sequence[FrameLabels]],
        windows: Windows,
        background_weight: float = 1.0,
        question: str = STREAM_QUESTION,
        first_seen: bool = False,
        usage: Mapping[str, str] | None = None,
    ) -> None:
        self.spaces = action_spaces(actions, goals)
        self.prompts = {"current": Prompt(before=f"{question}\n")}
        self.features = features
        self.protocol = windows.protocol
        self.usage = usage or {}
        self.windows = windows
        self._weight = background_weight
        self._recordings = {split: tuple(found) for split, found in recordings.items() if found}
        self._relations = {
            found.recording: StreamRelations(
                found.labels, actions, windows.short, _goal(found.goal, self.spaces), first_seen=first_seen
            )
            for members in self._recordings.values()
            for found in members
        }
        self.splits = tuple(self._recordings)

    def frame_labels(self, split: str) -> Sequence[FrameLabels]:
        """The class of every frame of a split's recordings."""
        return _of(self._recordings, split)

    def samples(self, split: str, epoch: int = 0, seed: int = 0) -> Sequence[Sample]:
        plans: dict[str, Plan] = {}
        for found in _of(self._recordings, split):
            length = len(found.labels)
            plans[found.recording] = (
                self.windows.training(length, seed=seed, epoch=epoch, recording=found.recording)
                if split == "train"
                else self.windows.evaluation(length)
            )
        weights = {self.spaces["current"].background: self._weight}
        return WindowSamples(plans, self.windows, self._relations, weights, training=split == "train")

    def score(self, predictions: Predictions) -> dict[str, float]:
        return self._scored(predictions).metrics()

    def resampled(self, predictions: Predictions, times: np.ndarray) -> Mapping[str, np.ndarray]:
        return self._scored(predictions).resampled(times)

    def _scored(self, predictions: Predictions) -> StreamScore:
        """The recordings of some predictions, counted."""
        from gad_core.metrics import StreamScore, Track

        space = self.spaces["current"]
        score = StreamScore(
            labels=space.labels, fps=self.features.fps, background=space.background, ignored=space.ignored
        )
        for recording, rows in predictions.by_recording():
            score.add(recording, Track(rows.truth, rows.predicted, rows.scores[:, : len(space)]))
        return score


class WindowSamples(Sequence[Sample]):
    """The windows of some recordings as samples, each made when it is taken: a stream has as many as frames."""

    def __init__(
        self,
        plans: Mapping[str, Plan],
        windows: Windows,
        relations: Mapping[str, StreamRelations],
        weights: Mapping[int | None, float],
        *,
        training: bool,
    ) -> None:
        banded = windows.queries == "banded" if training else windows.protocol == "stream"
        self._band = windows.band if banded else None
        self._texts = windows.texts if training and windows.queries != "last" else 1
        self._plans = [(recording, *plan) for recording, plan in plans.items()]
        self._firsts = np.cumsum([0, *(len(ends) for _, ends, _ in self._plans)]).tolist()
        self._windows, self._relations, self._weights = windows, relations, weights

    def __len__(self) -> int:
        return int(self._firsts[-1])

    @overload
    def __getitem__(self, index: int) -> Sample: ...

    @overload
    def __getitem__(self, index: slice) -> list[Sample]: ...

    def __getitem__(self, index: int | slice) -> Sample | list[Sample]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        number = range(len(self))[index]
        place = bisect_right(self._firsts, number) - 1
        recording, ends, asked = self._plans[place]
        row = number - self._firsts[place]
        return self._sample(recording, int(ends[row]), int(asked[row]))

    def _sample(self, recording: str, end: int, asked: int) -> Sample:
        frames = self._windows.frames(end, asked, banded=self._band is not None)
        relations = self._relations[recording]
        queries = tuple(
            self._query(frame - frames.start + 1, relations.at(frame), end - frame)
            for frame in range(end + 1 - asked, end + 1)
        )
        return Sample(f"{recording}/{end}", Clip(recording, frames), "current", queries, self._band)

    def _query(self, at: int, relations: Relations, before_end: int) -> Query:
        text = 0.0 if before_end % self._texts else float(self._texts)
        return Query(at, relations, self._weights.get(relations["current"][0].index, 1.0), text)


def _goal(index: int | None, spaces: Mapping[str, LabelSpace]) -> LabelRef | None:
    return LabelRef(spaces["goal"].name, index) if index is not None and "goal" in spaces else None


def _of(splits: Mapping[str, T], split: str) -> T:
    try:
        return splits[split]
    except KeyError:
        raise DataError(
            f"there is no split '{split}', or nothing in it", hint=f"there are {', '.join(splits) or 'none'}"
        ) from None


def _refuse_unasked(samples: Mapping[str, Sequence[Sample]], asks: Sequence[str]) -> None:
    """Every ask needs samples in every split: a run would end without its score."""
    for split, found in samples.items():
        missing = set(asks) - {sample.asks for sample in found}
        if missing:
            raise DataError(
                f"split '{split}' has nothing to ask `{'`, `'.join(sorted(missing))}` about",
                hint="`next` needs recordings of two segments or more, `goal` needs a goal",
            )

"""Scores of untrimmed recordings that have a label at every frame: online action detection."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gad_core.errors import DataError
from gad_core.metrics.average_precision import AveragePrecision
from gad_core.metrics.calibration import BINS, CalibrationError
from gad_core.metrics.confusion import Confusion, error_diversity
from gad_core.metrics.edit import detection_delays, edit_score
from gad_core.metrics.frames import frame_metrics
from gad_core.metrics.points import DISTANCES_S, Anchor, PointScore
from gad_core.metrics.ranking import Ranking
from gad_core.metrics.rates import Variant
from gad_core.metrics.segments import OVERLAPS, SegmentScore, segments_of
from gad_core.metrics.tallies import Tallies, Totals

ANCHORS: tuple[Anchor, ...] = ("start", "middle")


@dataclass(frozen=True)
class Track:
    """One recording: what each of its T frames is, and what a system said.

    `truth` is (T,) class indices or (T, C) multi-hot, `predicted` (T,) class indices, `scores` (T, C) logits or
    probabilities if known. `active` (T, C) adds the further classes of frames whose main class is in `truth`. Segments,
    points and frames are scored on the main class, mAP and cAP on all of them. Raises `DataError` on other shapes.
    """

    truth: np.ndarray
    predicted: np.ndarray
    scores: np.ndarray | None = None
    active: np.ndarray | None = None

    def __post_init__(self) -> None:
        for name in ("truth", "predicted", "scores", "active"):
            value = getattr(self, name)
            object.__setattr__(self, name, None if value is None else np.asarray(value))
        if self.truth.ndim not in (1, 2) or self.predicted.ndim != 1:
            raise DataError(
                f"truth {self.truth.shape} and predicted {self.predicted.shape} are not one label a frame",
                hint="truth is (frames,) or multi-hot (frames, classes), predicted (frames,)",
            )
        for name, indices in (("truth", self.truth), ("predicted", self.predicted)):
            if len(indices) and indices.ndim == 1 and indices.dtype.kind not in "iu":
                raise DataError(f"holds {indices.dtype}, not label indices", where=name, hint="indices count from 0")
        for name in ("predicted", "scores", "active"):
            value = getattr(self, name)
            if value is not None and len(value) != len(self.truth):
                raise DataError(f"truth has {len(self.truth)} frames, {name} has {len(value)}")

    def __len__(self) -> int:
        return len(self.truth)

    def main(self, background: int | None, variant: Variant = "corrected") -> np.ndarray:
        """(T,) the main class: `truth`, or of a multi-hot row the lowest active class other than background.

        A row without any is background; `reference` takes the lowest active class whatever it is.
        """
        if self.truth.ndim == 1:
            return self.truth.astype(np.int64)
        actions = self.truth > 0
        lowest = actions.argmax(axis=1)
        if background is None:
            return lowest
        if variant == "corrected":
            actions = actions.copy()
            actions[:, background] = False
            lowest = actions.argmax(axis=1)
        return np.where(actions.any(axis=1), lowest, background)

    def active_classes(self) -> tuple[np.ndarray, np.ndarray]:
        """The frames and classes of everything that is active, pair by pair."""
        several = self.active if self.active is not None else self.truth if self.truth.ndim == 2 else None
        if several is not None:
            frames, classes = np.nonzero(several)
            return frames, classes
        return np.arange(len(self.truth)), self.truth.astype(np.int64)


def class_rules(labels: Sequence[str]) -> dict[int, int]:
    """The subclasses the field counts twice: THUMOS'14 scores every CliffDiving as Diving too (narrow → wide)."""
    places = {"".join(filter(str.isalpha, label)).lower(): index for index, label in enumerate(labels)}
    if "cliffdiving" in places and "diving" in places:
        return {places["cliffdiving"]: places["diving"]}
    return {}


class StreamScore:
    """Every score of `gad score`, accumulated: add recordings one at a time, then ask for the metrics.

    `background` and `ignored` classes form no segments and have no AP. Frames that are truly of an ignored class other
    than background are left out of frame scores, mAP, cAP and ECE, and (corrected only) predictions that lie on such
    frames for at least half of their length are not false alarms of the segment and point scores. `ambiguous` is one
    more ignored class. `subclasses` defaults to `class_rules(labels)`; `smoothed` runs THUMOS'14's
    five-frame maximum over the scores before AP. The scores are kept, for AP, and every recording's counts; all else
    is dropped.
    """

    def __init__(
        self,
        *,
        labels: Sequence[str],
        fps: float,
        background: int | None,
        ignored: Collection[int] = (),
        ambiguous: int | None = None,
        variant: Variant = "corrected",
        subclasses: Mapping[int, int] | None = None,
        smoothed: bool = False,
    ) -> None:
        self.classes = len(labels)
        self.fps = _checked_setup(self.classes, fps, background, ignored, ambiguous)
        self.background, self.variant = background, variant
        self.left_out = frozenset(ignored) | {place for place in (background, ambiguous) if place is not None}
        self.ambiguous = self.left_out - {background}
        self.tolerances = tuple(seconds * self.fps for seconds in DISTANCES_S)
        points: dict[str, tuple[int, ...]] = dict.fromkeys(ANCHORS, (3, len(DISTANCES_S)))
        segments = (3, len(OVERLAPS), self.classes)
        self.tallies = Tallies(self.classes, segments=segments, **points, calibration=(3, BINS), edit=(2,), delay=(2,))
        self.ranking = Ranking()
        self.precision = AveragePrecision(
            leave_out=self.left_out,
            ambiguous=self.ambiguous,
            subclasses=class_rules(labels) if subclasses is None else subclasses,
            smoothed=smoothed,
            variant=variant,
        )
        self._scored: bool | None = None

    def add(self, recording: str, track: Track) -> None:
        """Counts a recording; raises `DataError`, located at it, on labels or scores that do not fit the classes."""
        self._check(f"recording '{recording}'", track)
        truth, predicted = track.main(self.background, self.variant), track.predicted.astype(np.int64)
        vague = np.isin(truth, list(self.ambiguous))
        confusion, segments, calibration = Confusion(self.classes), SegmentScore(self.classes), CalibrationError()
        points = {anchor: PointScore(self.tolerances, self.variant) for anchor in ANCHORS}
        confusion.add(truth[~vague], predicted[~vague])
        true, said = segments_of(truth, self.left_out), segments_of(predicted, self.left_out)
        spared = said.mostly(vague) if self.variant == "corrected" and vague.any() else None
        segments.add(true, said, spared)
        for anchor, found in points.items():
            found.add(true, said, anchor, frames=len(truth), spared=spared)
        if track.scores is not None:
            calibration.add(truth[~vague], track.scores[~vague])
            self.ranking.add(track.scores)
            self.precision.add(*track.active_classes(), track.scores)
        delays = detection_delays(true, predicted)
        self.tallies.add(
            confusion,
            segments=segments.counts,
            **{anchor: found.counts for anchor, found in points.items()},
            calibration=calibration.counts,
            edit=np.array([edit_score(true, said), 1.0]),
            delay=np.array([delays.sum(), len(delays)]),
        )

    @property
    def confusion(self) -> Confusion:
        """Who was taken for whom, over all recordings."""
        return self.tallies.total().confusion

    @property
    def segments(self) -> SegmentScore:
        """The segments of all recordings."""
        return SegmentScore(self.classes, counts=self.tallies.total().counts["segments"])

    @property
    def points(self) -> dict[Anchor, PointScore]:
        """The points of all recordings."""
        counts = self.tallies.total().counts
        return {anchor: PointScore(self.tolerances, self.variant, counts[anchor]) for anchor in ANCHORS}

    def metrics(self) -> dict[str, float]:
        """The flat table of stable keys; percent, but seconds for the delay and nats for error diversity.

        `map`, `cap` and `ece` are there when scores were. NaN where nothing can be measured, and of those three where
        the scores rank no second label (`Ranking`).
        """
        ranked = self._scored and self.ranking.beyond_the_first
        return self._table(self.tallies.total(), self.precision.means() if ranked else (np.nan, np.nan))

    def resampled(self, times: np.ndarray) -> dict[str, np.ndarray]:
        """The same table of every draw of recordings, (B,) each; `times` (B, R) is how often a draw has each."""
        ranked = self._scored and self.ranking.beyond_the_first
        precisions = self.precision.resampled(times) if ranked else np.full((len(times), 2), np.nan)
        tables = [self._table(*one) for one in zip(self.tallies.totals(times), precisions, strict=True)]
        return {name: np.array([table[name] for table in tables]) for name in (tables[0] if tables else ())}

    def _table(self, totals: Totals, precisions: Sequence[float]) -> dict[str, float]:
        """The scores that follow from some counts, and from the mAP and cAP that belong to them."""
        table: dict[str, float] = {}
        counts, confusion = totals
        segments = SegmentScore(self.classes, counts=counts["segments"])
        pooled = segments.micro(self.variant)._asdict()
        by_class = segments.macro(len(self.left_out), self.variant)._asdict()
        for row, overlap in enumerate(OVERLAPS):
            for name in ("f1", "precision", "recall"):
                table[f"segment_{name}/{overlap:.2f}/micro"] = float(pooled[name][row])
                table[f"segment_{name}/{overlap:.2f}/macro"] = float(by_class[name][row])
        for anchor in ANCHORS:
            found = PointScore(self.tolerances, self.variant, counts[anchor]).rates()._asdict()
            for row, seconds in enumerate(DISTANCES_S):
                for name in ("f1", "precision", "recall"):
                    table[f"point_{name}/{anchor}/{seconds}s"] = float(found[name][row])
        table |= frame_metrics(confusion, background=self.background, variant=self.variant)
        if self._scored:
            table["map"], table["cap"] = map(float, precisions)
            ranked = self.ranking.beyond_the_first
            table["ece"] = CalibrationError(counts["calibration"]).value() if ranked else float("nan")
        (delay, found_at_all), (edit, recordings) = counts["delay"], counts["edit"]
        table["detection_delay_s"] = float(delay / found_at_all / self.fps) if found_at_all else float("nan")
        table["edit"] = float(edit / recordings) if recordings else float("nan")
        table["error_diversity"] = error_diversity(confusion, leave_out=self.left_out)
        return table

    def _check(self, where: str, track: Track) -> None:
        labelled = {"predicted": track.predicted} | ({"truth": track.truth} if track.truth.ndim == 1 else {})
        for name, values in labelled.items():
            outside = np.flatnonzero((values < 0) | (values >= self.classes))
            if len(outside):
                raise DataError(
                    f"label {values[outside[0]]} is not among the {self.classes} labels (0 to {self.classes - 1})",
                    where=f"{where}, {name}[{outside[0]}]",
                    hint="label indices count from 0 in the order of 'labels'",
                )
        wide = {"truth": track.truth if track.truth.ndim == 2 else None, "active": track.active, "scores": track.scores}
        for name, matrix in wide.items():
            if matrix is not None and (matrix.ndim != 2 or matrix.shape[1] != self.classes):
                raise DataError(f"{name} is {matrix.shape}, but there are {self.classes} labels", where=where)
        if self._scored is not None and self._scored != (track.scores is not None):
            raise DataError("some recordings have scores and some have none", where=where, hint="give all or none")
        self._scored = track.scores is not None
        if track.scores is not None:
            _check_scores(where, track.scores)


def stream_metrics(
    recordings: Mapping[str, Track],
    *,
    labels: Sequence[str],
    fps: float,
    background: int | None,
    ignored: Collection[int] = (),
    ambiguous: int | None = None,
    variant: Variant = "corrected",
    subclasses: Mapping[int, int] | None = None,
    smoothed: bool = False,
) -> dict[str, float]:
    """The flat table of all recordings at once; the options are `StreamScore`'s."""
    score = StreamScore(
        labels=labels,
        fps=fps,
        background=background,
        ignored=ignored,
        ambiguous=ambiguous,
        variant=variant,
        subclasses=subclasses,
        smoothed=smoothed,
    )
    for name, track in recordings.items():
        score.add(name, track)
    return score.metrics()


def _check_scores(where: str, scores: np.ndarray) -> None:
    """Scores may be -inf (a class that cannot be), but every frame needs a finite best one."""
    if len(scores):
        best = scores.max(axis=1)  # NaN wherever a score is NaN
        bad = np.flatnonzero(~np.isfinite(best))
        if len(bad):
            raise DataError(
                f"the scores hold NaN or infinity (greatest: {best[bad[0]]})",
                where=f"{where}, scores[{bad[0]}]",
                hint="every frame needs a number per label; -inf stands for a label that cannot be",
            )


def _checked_setup(
    classes: int, fps: float, background: int | None, ignored: Collection[int], ambiguous: int | None
) -> float:
    if not (np.isfinite(fps) and fps > 0):
        raise DataError(f"fps is {fps}", hint="give the frames per second of the labels, such as 4 or 29.97")
    for name, place in (("background", background), ("ambiguous", ambiguous), *(("ignored", i) for i in ignored)):
        if place is not None and not 0 <= place < classes:
            raise DataError(f"{name} is {place}, but there are {classes} labels (0 to {classes - 1})")
    return float(fps)

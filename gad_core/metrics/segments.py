"""Segment F1: runs of one label, matched one to one by their overlap (Lea et al. 2017; REFERENCE "Segments")."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from gad_core.metrics.rates import Rates, Variant, rates, smoothed_rates

OVERLAPS = (0.10, 0.25, 0.50)
"""The IoU thresholds the field reports."""

_BLOCK = 1 << 21
"""Pairs of segments compared at once, which bounds memory on over-segmented recordings."""


@dataclass(frozen=True)
class Segments:
    """Maximal runs of one label in temporal order: (S,) labels, first frames and exclusive last frames."""

    labels: np.ndarray
    starts: np.ndarray
    ends: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def mostly(self, frames: np.ndarray) -> np.ndarray:
        """(S,) whether at least half of each segment's frames are among `frames`, a (T,) mask."""
        inside = np.concatenate(([0], np.cumsum(frames)))
        return 2 * (inside[self.ends] - inside[self.starts]) >= self.ends - self.starts


def segments_of(labels: np.ndarray, leave_out: Collection[int] = ()) -> Segments:
    """The segments of (T,) frame labels, without those of the labels in `leave_out`."""
    labels = np.asarray(labels)
    edges = np.flatnonzero(labels[1:] != labels[:-1]) + 1
    starts = np.concatenate(([0], edges)) if len(labels) else edges
    ends = np.append(edges, len(labels)) if len(labels) else edges
    kept = ~np.isin(labels[starts], list(leave_out))
    return Segments(labels[starts][kept], starts[kept], ends[kept])


def best_overlaps(predicted: Segments, truth: Segments) -> tuple[np.ndarray, np.ndarray]:
    """For each predicted segment the greatest IoU with a true one of its label, and that one's place (the first)."""
    best, place = np.zeros(len(predicted)), np.zeros(len(predicted), np.int64)
    if not len(truth):
        return best, place
    step = max(1, _BLOCK // len(truth))
    for low in range(0, len(predicted), step):
        rows = slice(low, low + step)
        starts, ends = predicted.starts[rows, None], predicted.ends[rows, None]
        inner = np.minimum(ends, truth.ends) - np.maximum(starts, truth.starts)
        outer = np.maximum(ends, truth.ends) - np.minimum(starts, truth.starts)
        overlap = np.where(predicted.labels[rows, None] == truth.labels, inner / outer, 0.0)
        place[rows] = overlap.argmax(axis=1)
        best[rows] = overlap.max(axis=1)
    return best, place


def first_claims(places: np.ndarray, eligible: np.ndarray) -> np.ndarray:
    """(P,) which eligible predictions are the first, in temporal order, to claim the truth at their place."""
    claims = np.flatnonzero(eligible)
    _, first = np.unique(places[claims], return_index=True)
    won = np.zeros(len(places), bool)
    won[claims[first]] = True
    return won


class SegmentScore:
    """True positives, false alarms and misses per threshold and class, added recording by recording.

    Each prediction claims its single best-overlapping truth; it is right if the IoU reaches the threshold and no
    earlier prediction claimed that truth. There is no second choice: the field's rule, kept in both variants. `counts`
    (3, thresholds, C) go on from what was counted before.
    """

    def __init__(self, classes: int, overlaps: Sequence[float] = OVERLAPS, counts: np.ndarray | None = None) -> None:
        self.overlaps = tuple(overlaps)
        self.counts = np.zeros((3, len(self.overlaps), classes)) if counts is None else counts
        self.hits: np.ndarray
        self.false_alarms: np.ndarray
        self.misses: np.ndarray
        self.hits, self.false_alarms, self.misses = self.counts

    def add(self, truth: Segments, predicted: Segments, spared: np.ndarray | None = None) -> None:
        """Counts one recording; predictions marked in `spared` are not counted where they would be false alarms."""
        classes = self.hits.shape[1]
        best, place = best_overlaps(predicted, truth)
        for row, overlap in enumerate(self.overlaps):
            won = first_claims(place, best >= overlap) if len(truth) else np.zeros(len(predicted), bool)
            wrong = ~won if spared is None else ~won & ~spared
            found = np.bincount(predicted.labels[won], minlength=classes)
            self.hits[row] += found
            self.false_alarms[row] += np.bincount(predicted.labels[wrong], minlength=classes)
            self.misses[row] += np.bincount(truth.labels, minlength=classes) - found

    def micro(self, variant: Variant = "corrected") -> Rates:
        """Rates of the counts pooled over classes, (thresholds,) each."""
        return _rates(self.hits.sum(axis=1), self.false_alarms.sum(axis=1), self.misses.sum(axis=1), variant)

    def per_class(self, variant: Variant = "corrected") -> Rates:
        """Rates of every class, (thresholds, C) each."""
        return _rates(self.hits, self.false_alarms, self.misses, variant)

    def macro(self, left_out: int, variant: Variant = "corrected") -> Rates:
        """Mean of the class rates, (thresholds,) each.

        `reference` divides by C less the `left_out` classes, so that a class absent from the truth counts as 0;
        `corrected` averages over the classes present in the truth, as the balanced frame scores do.
        """
        values = self.per_class(variant)
        if variant == "reference":
            return Rates(*(value.sum(axis=1) / max(1, value.shape[1] - left_out) for value in values))
        present = (self.hits + self.misses)[0] > 0
        if not present.any():
            return Rates(*np.full((3, len(self.overlaps)), np.nan))
        return Rates(*(value[:, present].mean(axis=1) for value in values))


def _rates(hits: np.ndarray, false_alarms: np.ndarray, misses: np.ndarray, variant: Variant) -> Rates:
    if variant == "reference":
        return smoothed_rates(hits, false_alarms, misses, f1_epsilon=1e-16)
    return rates(hits, false_alarms, misses)

"""Point F1: is an action announced near its start, or near its middle? (Gao et al. 2021; REFERENCE "Point F1")."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from gad_core.metrics.rates import Rates, Variant, rates, smoothed_rates
from gad_core.metrics.segments import Segments, first_claims

DISTANCES_S = (1, 2)
"""The tolerances the field reports, in seconds."""

Anchor = Literal["start", "middle"]


def positions(segments: Segments, anchor: Anchor, *, frames: int, variant: Variant = "corrected") -> np.ndarray:
    """(S,) the frame each segment is judged at: its start, or (start + end) / 2 with an exclusive end.

    `reference`: the end of a segment that touches the last of the `frames` is that frame itself, half a frame early.
    """
    if anchor == "start":
        return segments.starts.astype(np.float64)
    ends = np.minimum(segments.ends, frames - 1) if variant == "reference" else segments.ends
    return (segments.starts + ends) / 2


def nearest_claims(
    predicted: np.ndarray, predicted_labels: np.ndarray, truth: np.ndarray, truth_labels: np.ndarray, tolerance: float
) -> np.ndarray:
    """(P,) the official matching: each prediction looks only at the nearest true position of any class (the first).

    It is right if that one is within the tolerance, of its class, and not yet claimed. Both are sorted by time.
    """
    if not len(truth):
        return np.zeros(len(predicted), bool)
    after = np.searchsorted(truth, predicted)
    left, right = np.maximum(after - 1, 0), np.minimum(after, len(truth) - 1)
    place = np.where(np.abs(truth[left] - predicted) <= np.abs(truth[right] - predicted), left, right)
    near = np.abs(truth[place] - predicted) <= tolerance
    return first_claims(place, near & (truth_labels[place] == predicted_labels))


def widest_claims(
    predicted: np.ndarray, predicted_labels: np.ndarray, truth: np.ndarray, truth_labels: np.ndarray, tolerance: float
) -> np.ndarray:
    """(P,) one-to-one matching within each class with as many pairs within the tolerance as there can be.

    With one tolerance on a line, pairing in temporal order is such a matching.
    """
    won = np.zeros(len(predicted), bool)
    for label in np.intersect1d(predicted_labels, truth_labels):
        ours, theirs = np.flatnonzero(predicted_labels == label), truth[truth_labels == label]
        i = j = 0
        while i < len(ours) and j < len(theirs):
            gap = theirs[j] - predicted[ours[i]]
            if abs(gap) <= tolerance:
                won[ours[i]] = True
            i += gap >= -tolerance
            j += gap <= tolerance
    return won


class PointScore:
    """True positives, false alarms and misses per tolerance (in frames), added recording by recording."""

    def __init__(
        self, tolerances: Sequence[float], variant: Variant = "corrected", counts: np.ndarray | None = None
    ) -> None:
        self.tolerances = tuple(tolerances)
        self.variant: Variant = variant
        self.counts = np.zeros((3, len(self.tolerances))) if counts is None else counts
        self.hits: np.ndarray
        self.false_alarms: np.ndarray
        self.misses: np.ndarray
        self.hits, self.false_alarms, self.misses = self.counts

    def add(
        self, truth: Segments, predicted: Segments, anchor: Anchor, *, frames: int, spared: np.ndarray | None = None
    ) -> None:
        """Counts one recording of `frames` frames; `spared` predictions are not counted where they would be wrong."""
        ours = positions(predicted, anchor, frames=frames, variant=self.variant)
        theirs = positions(truth, anchor, frames=frames, variant=self.variant)
        claims = nearest_claims if self.variant == "reference" else widest_claims
        for row, tolerance in enumerate(self.tolerances):
            won = claims(ours, predicted.labels, theirs, truth.labels, tolerance)
            self.hits[row] += won.sum()
            self.false_alarms[row] += (~won if spared is None else ~won & ~spared).sum()
            self.misses[row] += len(truth) - won.sum()

    def rates(self) -> Rates:
        """Precision, recall and F1, (tolerances,) each, unrounded in both variants."""
        if self.variant == "reference":
            return smoothed_rates(self.hits, self.false_alarms, self.misses, f1_epsilon=1e-8)
        return rates(self.hits, self.false_alarms, self.misses)

"""Who is taken for whom: the counts behind frame scores and error diversity, kept sparse for thousands of classes."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np


class Confusion:
    """Counts of (true, predicted) classes, added recording by recording; memory grows with the distinct pairs only."""

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self._counts: dict[int, int] = {}

    def add(self, truth: np.ndarray, predicted: np.ndarray) -> None:
        """Counts frames: `truth` and `predicted` are (T,) class indices."""
        pairs, counts = np.unique(truth.astype(np.int64) * self.classes + predicted, return_counts=True)
        for pair, count in zip(pairs.tolist(), counts.tolist(), strict=True):
            self._counts[pair] = self._counts.get(pair, 0) + count

    def pairs(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Every pair that occurred: true classes, predicted classes, counts, ordered by class."""
        keys = np.asarray(sorted(self._counts), dtype=np.int64)
        counts = np.asarray([self._counts[key] for key in keys.tolist()], dtype=np.int64)
        return keys // self.classes, keys % self.classes, counts

    def totals(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Per class, (C,) each: frames that are it, frames predicted as it, frames rightly predicted as it."""
        true, predicted, counts = self.pairs()
        right = true == predicted

        def total(classes: np.ndarray, weights: np.ndarray) -> np.ndarray:
            return np.bincount(classes, weights=weights, minlength=self.classes)

        return total(true, counts), total(predicted, counts), total(true[right], counts[right])


def error_diversity(confusion: Confusion, *, leave_out: Iterable[int] = ()) -> float:
    """Entropy (nats) of the wrong predictions a true class receives, averaged over the classes that receive any.

    PAPER, "Error diversity". Wrong predictions of every class count, background among them; true classes in
    `leave_out` (background, ignored) are not averaged over. 0 when no class is ever mistaken.
    """
    true, predicted, counts = confusion.pairs()
    wrong = (true != predicted) & ~np.isin(true, list(leave_out))
    if not wrong.any():
        return 0.0
    true, counts = true[wrong], counts[wrong].astype(np.float64)
    mistaken = np.bincount(true, weights=counts, minlength=confusion.classes)
    share = counts / mistaken[true]
    entropies = np.bincount(true, weights=-share * np.log(share), minlength=confusion.classes)
    return float(entropies[mistaken > 0].mean())

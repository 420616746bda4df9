"""Who is taken for whom: the counts behind frame scores and error diversity, kept sparse for thousands of classes."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np


class Confusion:
    """Counts of (true, predicted) classes, added recording by recording; memory grows with the distinct pairs only."""

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self._found: list[tuple[np.ndarray, np.ndarray]] = [(np.zeros(0, np.int64), np.zeros(0, np.int64))]

    @classmethod
    def of(cls, classes: int, keys: np.ndarray, counts: np.ndarray) -> Confusion:
        """Known counts of pairs: `keys` are ascending and true · classes + predicted; those counted 0 times are left
        out."""
        made, there = cls(classes), counts > 0
        made._found = [(keys[there], np.rint(counts[there]).astype(np.int64))]
        return made

    def add(self, truth: np.ndarray, predicted: np.ndarray) -> None:
        """Counts frames: `truth` and `predicted` are (T,) class indices."""
        self._found.append(np.unique(truth.astype(np.int64) * self.classes + predicted, return_counts=True))

    def keyed(self) -> tuple[np.ndarray, np.ndarray]:
        """Every pair that occurred as true · classes + predicted, ascending, and how often it did."""
        if len(self._found) > 1:
            keys, counts = (np.concatenate(parts) for parts in zip(*self._found, strict=True))
            known, place = np.unique(keys, return_inverse=True)
            self._found = [(known, np.bincount(place, weights=counts, minlength=len(known)).astype(np.int64))]
        return self._found[0]

    def pairs(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Every pair that occurred: true classes, predicted classes, counts, ordered by class."""
        keys, counts = self.keyed()
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

"""Expected calibration error: does a confidence of 80 % come true four times in five?"""

from __future__ import annotations

import numpy as np

BINS = 15


def log_total(logits: np.ndarray) -> np.ndarray:
    """(N,) log Σ exp of each row of (N, C); -inf is a class that cannot be. logits − it are log-probabilities."""
    greatest = logits.max(axis=1)
    return greatest + np.log(np.exp(logits - greatest[:, None]).sum(axis=1))


def probabilities(scores: np.ndarray) -> np.ndarray:
    """(N, C) probabilities: rows without negatives that sum to one (to 0.1 %) stay, the others get a softmax."""
    if not scores.size:
        return scores
    given = (scores.min(axis=1) >= 0) & (np.abs(scores.sum(axis=1) - 1.0) <= 1e-3)
    return scores if given.all() else np.where(given[:, None], scores, np.exp(scores - log_total(scores)[:, None]))


class CalibrationError:
    """ECE over 15 equal-width bins of the highest probability (Guo et al. 2017), added block by block."""

    def __init__(self, counts: np.ndarray | None = None) -> None:
        self.counts = np.zeros((3, BINS)) if counts is None else counts
        self.count: np.ndarray
        self.confidence: np.ndarray
        self.right: np.ndarray
        self.count, self.confidence, self.right = self.counts

    def add(self, truth: np.ndarray, scores: np.ndarray) -> None:
        """Counts frames: `truth` (N,) class indices, `scores` (N, C) logits or probabilities (see `probabilities`)."""
        if not len(truth):
            return
        chances = probabilities(scores)
        confidence = chances.max(axis=1).astype(np.float64)
        bins = len(self.count)
        # bins are open below and closed above, as in Guo et al.
        place = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
        self.count += np.bincount(place, minlength=bins)
        self.confidence += np.bincount(place, weights=confidence, minlength=bins)
        self.right += np.bincount(place, weights=chances.argmax(axis=1) == truth, minlength=bins)

    def value(self) -> float:
        """Σ_b |right_b − confidence_b| / N in percent; NaN without frames."""
        total = self.count.sum()
        return float(100.0 * np.abs(self.right - self.confidence).sum() / total) if total else float("nan")

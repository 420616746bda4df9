"""What a head's scores say about probability. No torch here."""

from __future__ import annotations

from typing import Literal

import numpy as np

Scoring = Literal["logits", "log-probabilities", "distances"]
"""What scores are: `logits` are probabilities up to a factor, e^score (log-likelihoods are such); `log-probabilities`
stand for themselves, and labels without one (-inf) may have any; `distances` have an order and say no probability."""


def probabilities(scores: np.ndarray, scoring: Scoring) -> np.ndarray:
    """The probability of each label, (N, C) scores → (N, C) float64; NaN where the scores say none.

    `logits` share 1 among the labels that have a score; those padded with -inf get 0.
    """
    scores = np.asarray(scores, dtype=np.float64)
    if scoring == "distances":
        return np.full(scores.shape, np.nan)
    if scoring == "log-probabilities":
        return np.where(np.isneginf(scores), np.nan, np.exp(scores))
    relative = np.exp(scores - scores.max(axis=1, keepdims=True))
    return relative / relative.sum(axis=1, keepdims=True)

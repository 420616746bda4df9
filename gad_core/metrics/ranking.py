"""How much of an order predictions hold: what only asks for the first answer ranks no second."""

from __future__ import annotations

import numpy as np


class Ranking:
    """The most labels that any answer tells apart, over blocks of scores.

    An answer ranks the labels above its lowest score, and the lowest too where one label alone has it; -inf is no
    score. A decoded answer is the one label with a score, all others are -inf, or tied: it ranks one. Scores that
    follow from the order or the size of further labels (top-k, mAP, cAP, ECE) would then be decided by the order of the
    classes, and are undefined.
    """

    def __init__(self) -> None:
        self.labels = 0

    def add(self, scores: np.ndarray) -> None:
        """Looks at answers, (N, C)."""
        if not scores.size or self.labels == scores.shape[1]:
            return
        known = np.isfinite(scores)
        lowest = np.where(known, scores, np.inf).min(axis=1)
        tied = (scores == lowest[:, None]).sum(axis=1)
        self.labels = max(self.labels, int((known.sum(axis=1) - np.where(tied > 1, tied, 0)).max()))

    @property
    def beyond_the_first(self) -> bool:
        """Whether any answer ranks a second label."""
        return self.labels > 1

"""Features on a common scale: zero mean and unit deviation over the recordings trained on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from gad_core.contracts import Features
from gad_core.errors import FeatureError

CHUNK = 4096
"""Frames read at a time."""


class Standardized:
    """Features as (x - mean) / deviation, float32, with one `mean` and `deviation` (D,) a dimension.

    A dimension that never changes is centred only.
    """

    def __init__(self, features: Features, mean: np.ndarray, deviation: np.ndarray) -> None:
        self._features = features
        self.tokens, self.width, self.fps = features.tokens, features.width, features.fps
        self.lengths: Mapping[str, int] = features.lengths
        self.mean = mean.astype(np.float32)
        self.deviation = np.where(deviation > 0, deviation, 1.0).astype(np.float32)

    @classmethod
    def over(cls, features: Features, recordings: Iterable[str]) -> Standardized:
        """Measures mean and deviation over all frames and tokens of some recordings.

        Read in chunks; merged as in Chan, Golub, LeVeque 1979, so that a large mean costs no digits. Raises
        `FeatureError` where a recording holds NaN or infinite values.
        """
        count, mean, squares = 0, np.zeros(features.width), np.zeros(features.width)
        for recording, chunk in _chunks(features, recordings):
            values = chunk.reshape(-1, features.width).astype(np.float64)
            if not np.isfinite(values).all():
                raise FeatureError(
                    f"recording '{recording}' holds NaN or infinite features",
                    hint="`gad features verify` finds the frames; repair or leave out the recording",
                )
            total, centre = count + len(values), values.mean(axis=0)
            squares += ((values - centre) ** 2).sum(axis=0) + (centre - mean) ** 2 * count * len(values) / total
            mean += (centre - mean) * len(values) / total
            count = total
        return cls(features, mean, np.sqrt(squares / max(count, 1)))

    def read(self, recording: str, frames: range | np.ndarray) -> np.ndarray:
        return (self._features.read(recording, frames).astype(np.float32) - self.mean) / self.deviation


def _chunks(features: Features, recordings: Iterable[str]) -> Iterable[tuple[str, np.ndarray]]:
    for recording in recordings:
        length = features.lengths[recording]
        for first in range(0, length, CHUNK):
            yield recording, features.read(recording, range(first, min(first + CHUNK, length)))

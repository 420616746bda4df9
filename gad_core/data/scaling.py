"""The scale of features: mean and deviation a dimension, measured over the recordings trained on."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from gad_core.contracts.components import Features
from gad_core.contracts.values import Scale
from gad_core.errors import FeatureError

CHUNK = 4096
"""Frames read at a time."""


def measure_scale(features: Features, recordings: Iterable[str]) -> Scale:
    """Mean and deviation over all frames and tokens of some recordings; a constant dimension has deviation 1.

    Read in chunks and merged as in Chan, Golub, LeVeque 1979, so that a large mean costs no digits. Raises
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
    deviation = np.sqrt(squares / max(count, 1))
    return Scale(mean.astype(np.float32), np.where(deviation > 0, deviation, 1.0).astype(np.float32))


def _chunks(features: Features, recordings: Iterable[str]) -> Iterable[tuple[str, np.ndarray]]:
    for recording in recordings:
        length = features.lengths[recording]
        for first in range(0, length, CHUNK):
            yield recording, features.read(recording, range(first, min(first + CHUNK, length)))

"""Counts of recordings, kept apart, so that scores can be computed of any draw of recordings."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from gad_core.metrics.confusion import Confusion

_AT_ONCE = 1 << 22
"""Counts of draws held at a time."""


class Totals(NamedTuple):
    """The counts of some recordings, added up."""

    counts: Mapping[str, np.ndarray]
    confusion: Confusion


class Tallies:
    """What each recording adds: arrays of the given shapes, and who was taken for whom.

    Scores that are functions of sums over recordings follow from the totals of any draw; the draws cost one matrix
    product.
    """

    def __init__(self, classes: int, **shapes: tuple[int, ...]) -> None:
        self.classes, self._shapes = classes, shapes
        self._rows: list[np.ndarray] = []
        self._pairs: list[tuple[np.ndarray, np.ndarray]] = []

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, confusion: Confusion, **counts: np.ndarray) -> None:
        """Adds a recording."""
        self._rows.append(np.concatenate([np.ravel(counts[name]) for name in self._shapes]).astype(np.float64))
        self._pairs.append(confusion.keyed())

    def total(self) -> Totals:
        """Every recording once."""
        return next(self.totals(np.ones((1, len(self)))))

    def totals(self, times: np.ndarray) -> Iterator[Totals]:
        """The totals of draws; `times` (B, R) is how often each one has each recording."""
        width = sum(map(math.prod, self._shapes.values()))
        rows = np.stack(self._rows) if self._rows else np.zeros((0, width))
        keys, pairs = self._dense_pairs()
        step = max(1, _AT_ONCE // max(1, len(keys) + width))
        for low in range(0, len(times), step):
            some = times[low : low + step].astype(np.float64)
            for counts, confused in zip(some @ rows, some @ pairs, strict=True):
                yield Totals(self._shaped(counts), Confusion.of(self.classes, keys, confused))

    def _shaped(self, counts: np.ndarray) -> dict[str, np.ndarray]:
        sizes = [math.prod(shape) for shape in self._shapes.values()]
        parts = np.split(counts, np.cumsum(sizes)[:-1])
        return {name: part.reshape(shape) for (name, shape), part in zip(self._shapes.items(), parts, strict=True)}

    def _dense_pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """The keys of all pairs that occur, (K,), and their counts in each recording, (R, K)."""
        keys = np.unique(np.concatenate([keys for keys, _ in self._pairs] or [np.zeros(0, np.int64)]))
        counts = np.zeros((len(self), len(keys)))
        for row, (known, found) in zip(counts, self._pairs, strict=True):
            row[np.searchsorted(keys, known)] = found
        return keys, counts

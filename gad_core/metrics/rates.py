"""Precision, recall and F1 from counts, in percent, in the two variants every score here comes in."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

Variant = Literal["corrected", "reference"]
"""`reference`: the formulae of the paper's official code, oddities included. `corrected`: ours (docs/metrics.md)."""


class Rates(NamedTuple):
    """Precision, recall and F1 in percent, all of one shape."""

    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray


def ratio(part: np.ndarray | float, whole: np.ndarray | float, *, empty: float) -> np.ndarray:
    """100 · part / whole, elementwise; `empty` where `whole` is zero."""
    part, whole = np.broadcast_arrays(np.asarray(part, np.float64), np.asarray(whole, np.float64))
    return np.where(whole > 0, 100.0 * part / np.where(whole > 0, whole, 1.0), empty)


def rates(hits: np.ndarray, false_alarms: np.ndarray, misses: np.ndarray) -> Rates:
    """P = TP/(TP+FP), R = TP/(TP+FN), F1 = 2TP/(2TP+FP+FN); 0/0 is 0, but NaN with nothing to find or judge."""
    hits, false_alarms, misses = (np.asarray(count, np.float64) for count in (hits, false_alarms, misses))
    nothing = hits + false_alarms + misses == 0
    empty = np.where(nothing, np.nan, 0.0)
    return Rates(
        np.where(nothing, empty, ratio(hits, hits + false_alarms, empty=0.0)),
        np.where(nothing, empty, ratio(hits, hits + misses, empty=0.0)),
        np.where(nothing, empty, ratio(2 * hits, 2 * hits + false_alarms + misses, empty=0.0)),
    )


def smoothed_rates(
    hits: np.ndarray, false_alarms: np.ndarray, misses: np.ndarray, *, f1_epsilon: float, epsilon: float = 1e-8
) -> Rates:
    """As the official code: `epsilon` under P and R, `f1_epsilon` under F1, so a perfect score is not quite 100."""
    precision = hits / (hits + false_alarms + epsilon)
    recall = hits / (hits + misses + epsilon)
    f1 = 2 * precision * recall / (precision + recall + f1_epsilon)
    return Rates(100.0 * precision, 100.0 * recall, 100.0 * f1)

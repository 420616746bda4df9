"""Frame scores: accuracy, background and foreground recall and precision, and their balance over classes."""

from __future__ import annotations

import numpy as np

from gad_core.metrics.confusion import Confusion
from gad_core.metrics.rates import Rates, Variant, rates, ratio, smoothed_rates


def frame_metrics(confusion: Confusion, *, background: int | None, variant: Variant = "corrected") -> dict[str, float]:
    """Percentages over the counted frames; NaN where there is no frame to judge.

    Foreground precision = rightly predicted foreground frames / frames predicted foreground, recall the same over
    frames that are foreground. Balanced = mean over the classes present in the truth. REFERENCE "Frames".
    """
    true, predicted, right = confusion.totals()
    foreground = np.arange(confusion.classes) != background
    behind, ahead = (_group(true, predicted, right, group, variant) for group in (~foreground, foreground))
    per_class = class_rates(confusion, variant=variant)
    present = true > 0
    metrics = {
        "frame_accuracy": float(ratio(right.sum(), true.sum(), empty=np.nan)),
        "frame_recall/background": float(behind.recall),
        "frame_recall/foreground": float(ahead.recall),
        "frame_precision/background": float(behind.precision),
        "frame_precision/foreground": float(ahead.precision),
        "frame_f1/foreground": float(ahead.f1),
    }
    for name, values in per_class._asdict().items():
        metrics[f"frame_{name}/balanced"] = _mean(values[present])
        metrics[f"frame_{name}/balanced_foreground"] = _mean(values[present & foreground])
    return metrics


def class_rates(confusion: Confusion, *, variant: Variant = "corrected") -> Rates:
    """Precision, recall and F1 of every class, (C,) each, in percent; `reference` adds the official epsilons."""
    true, predicted, right = confusion.totals()
    if variant == "reference":
        return smoothed_rates(right, predicted - right, true - right, f1_epsilon=1e-16)
    return rates(right, predicted - right, true - right)


def _group(true: np.ndarray, predicted: np.ndarray, right: np.ndarray, group: np.ndarray, variant: Variant) -> Rates:
    """The pooled rates of a group of classes; the official F1 is undefined with its precision, ours is then zero."""
    hits, said, there = right[group].sum(), predicted[group].sum(), true[group].sum()
    precision, recall = ratio(hits, said, empty=np.nan), ratio(hits, there, empty=np.nan)
    if variant == "corrected":
        return Rates(precision, recall, ratio(2 * hits, said + there, empty=np.nan))
    f1 = np.asarray(np.nan) if np.isnan(precision + recall) else ratio(2 * hits, said + there, empty=np.nan)
    return Rates(precision, recall, f1)


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")

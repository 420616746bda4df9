"""Scores of clips that have one label each: COIN's step, next and task."""

from __future__ import annotations

import numpy as np

from gad_core.errors import DataError
from gad_core.metrics.calibration import CalibrationError
from gad_core.metrics.confusion import Confusion, error_diversity
from gad_core.metrics.rates import ratio
from gad_core.values import LabelSpace


def clip_metrics(truth: np.ndarray, scores: np.ndarray, space: LabelSpace | int) -> dict[str, float]:
    """`top1`, `top5`, `mean_class_accuracy`, `ece` in percent and `error_diversity` in nats.

    `truth` is (N,) class indices; clips whose truth is unknown (-1) or an ignored class are not scored. `scores` is
    (N, C) logits or probabilities; columns beyond the space (padding) are not read. Top-k counts a clip when fewer than
    k classes rank above the true one, equal scores ranking by class index, so top-1 is the argmax. Mean class accuracy
    is the mean recall of the classes present. NaN when nothing is scored. Raises `DataError` on NaN scores and on
    shapes or labels that do not fit.
    """
    classes = space if isinstance(space, int) else len(space)
    ignored = () if isinstance(space, int) else space.ignored
    background = () if isinstance(space, int) or space.background is None else (space.background,)
    truth, scores = _checked(np.asarray(truth), np.asarray(scores), classes)
    kept = (truth >= 0) & ~np.isin(truth, ignored)
    truth, scores = truth[kept], scores[kept]
    confusion, calibration = Confusion(classes), CalibrationError()
    confusion.add(truth, scores.argmax(axis=1))
    calibration.add(truth, scores)
    true, _, right = confusion.totals()
    present = true > 0
    recalls = ratio(right[present], true[present], empty=np.nan)
    return {
        "top1": top_k(truth, scores, 1),
        "top5": top_k(truth, scores, 5),
        "mean_class_accuracy": float(recalls.mean()) if len(recalls) else float("nan"),
        "ece": calibration.value(),
        "error_diversity": error_diversity(confusion, leave_out=(*background, *ignored)),
    }


def top_k(truth: np.ndarray, scores: np.ndarray, k: int) -> float:
    """The percentage of rows with fewer than `k` classes above the true one; equal scores rank by class index."""
    if not len(truth):
        return float("nan")
    mine = scores[np.arange(len(truth)), truth][:, None]
    earlier = np.arange(scores.shape[1])[None, :] < truth[:, None]
    above = (scores > mine) | ((scores == mine) & earlier)
    return float(100.0 * (above.sum(axis=1) < k).mean())


def _checked(truth: np.ndarray, scores: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    if truth.ndim != 1 or scores.ndim != 2 or len(scores) != len(truth) or scores.shape[1] < classes:
        raise DataError(
            f"truth {truth.shape} and scores {scores.shape} do not fit {classes} classes",
            hint="truth is (N,) class indices, scores (N, classes), one row a clip",
        )
    if len(truth) and (truth.min() < -1 or truth.max() >= classes):
        raise DataError(f"truth holds {truth.min()} to {truth.max()}, but there are {classes} classes (-1 = unknown)")
    scores = scores[:, :classes]
    if np.isnan(scores).any():
        raise DataError(f"row {int(np.isnan(scores).any(axis=1).argmax())} of the scores is NaN")
    return truth, scores

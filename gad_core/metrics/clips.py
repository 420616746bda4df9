"""Scores of clips that have one label each: COIN's step, next and task."""

from __future__ import annotations

import numpy as np

from gad_core.contracts.values import LabelSpace
from gad_core.errors import DataError
from gad_core.metrics.calibration import BINS, CalibrationError
from gad_core.metrics.confusion import Confusion, error_diversity
from gad_core.metrics.ranking import Ranking
from gad_core.metrics.rates import ratio
from gad_core.metrics.tallies import Tallies, Totals

TOPS = (1, 5)


class ClipScore:
    """Every score of clips, accumulated: add the clips of a recording at a time, then ask for the metrics.

    Clips whose truth is unknown (-1) or an ignored class are not scored.
    """

    def __init__(self, space: LabelSpace | int) -> None:
        self.classes = space if isinstance(space, int) else len(space)
        self.ignored = () if isinstance(space, int) else space.ignored
        background = () if isinstance(space, int) or space.background is None else (space.background,)
        self.left_out = (*background, *self.ignored)
        self.tallies = Tallies(self.classes, clips=(1,), top=(len(TOPS),), calibration=(3, BINS))
        self.ranking = Ranking()

    def add(self, truth: np.ndarray, scores: np.ndarray) -> None:
        """Counts clips: `truth` (N,) class indices, `scores` (N, C) logits or probabilities; columns beyond the space
        (padding) are not read. Raises `DataError` on NaN scores and on shapes or labels that do not fit."""
        truth, scores = _checked(np.asarray(truth), np.asarray(scores), self.classes)
        kept = (truth >= 0) & ~np.isin(truth, self.ignored)
        truth, scores = truth[kept], scores[kept]
        confusion, calibration = Confusion(self.classes), CalibrationError()
        confusion.add(truth, scores.argmax(axis=1))
        calibration.add(truth, scores)
        self.ranking.add(scores)
        above = ranks(truth, scores)
        self.tallies.add(
            confusion,
            clips=np.array([len(truth)]),
            top=np.array([(above < k).sum() for k in TOPS]),
            calibration=calibration.counts,
        )

    def metrics(self) -> dict[str, float]:
        """`top1`, `top5`, `mean_class_accuracy`, `ece` in percent and `error_diversity` in nats.

        Top-k counts a clip when fewer than k classes rank above the true one, equal scores ranking by class index, so
        top-1 is the argmax. Mean class accuracy is the mean recall of the classes present. NaN when nothing is scored,
        top-k of k classes or fewer and of scores that rank fewer than k, and `ece` where they rank no second
        (`Ranking`).
        """
        return self._table(self.tallies.total())

    def resampled(self, times: np.ndarray) -> dict[str, np.ndarray]:
        """The same table of every draw of recordings, (B,) each; `times` (B, R) is how often a draw has each."""
        tables = [self._table(totals) for totals in self.tallies.totals(times)]
        return {name: np.array([table[name] for table in tables]) for name in (tables[0] if tables else ())}

    def _table(self, totals: Totals) -> dict[str, float]:
        counts, confusion = totals
        true, _, right = confusion.totals()
        present = true > 0
        recalls = ratio(right[present], true[present], empty=np.nan)
        clips = counts["clips"][0]
        tops = {
            f"top{k}": float(ratio(hits, clips, empty=np.nan)) if self._has_top(k) else float("nan")
            for k, hits in zip(TOPS, counts["top"], strict=True)
        }
        ranked = self.ranking.beyond_the_first
        return {
            **tops,
            "mean_class_accuracy": float(recalls.mean()) if len(recalls) else float("nan"),
            "ece": CalibrationError(counts["calibration"]).value() if ranked else float("nan"),
            "error_diversity": error_diversity(confusion, leave_out=self.left_out),
        }

    def _has_top(self, k: int) -> bool:
        """Whether k labels are fewer than all, and as many are ranked; the first is always known."""
        return k == 1 or (k < self.classes and k <= self.ranking.labels)


def clip_metrics(truth: np.ndarray, scores: np.ndarray, space: LabelSpace | int) -> dict[str, float]:
    """The scores of all clips at once; see `ClipScore`."""
    score = ClipScore(space)
    score.add(truth, scores)
    return score.metrics()


def ranks(truth: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """(N,) how many classes stand above the true one: those that score more, and of equal ones those of lower index.

    A true class without a score (-inf) stands below all.
    """
    mine = scores[np.arange(len(truth)), truth][:, None]
    earlier = np.arange(scores.shape[1])[None, :] < truth[:, None]
    above = ((scores > mine) | ((scores == mine) & earlier)).sum(axis=1)
    return np.where(np.isneginf(mine[:, 0]), scores.shape[1], above)


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

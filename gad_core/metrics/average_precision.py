"""Per-frame mean average precision (mAP) and its calibrated form (cAP), one pass of the scores per class."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import pairwise

import numpy as np

from gad_core.metrics.calibration import log_total
from gad_core.metrics.rates import Variant

_CLASSES_AT_ONCE = 64
LEVELS = 512
"""Scores a class is told apart by where recordings are drawn anew."""


def average_precision(positive: np.ndarray, scores: np.ndarray) -> tuple[float, float]:
    """AP and calibrated AP of one class: `positive` are the places of its frames in `scores` (T,).

    AP = mean over the positives of TP/(TP+FP) at their score, equal scores taken together (as scikit-learn's
    `average_precision_score`). cAP the same with w·TP/(w·TP+FP), w = negatives/positives (De Geest et al. 2016), so
    that a rare class is not punished for being rare.
    """
    thresholds, count = np.unique(scores[positive], return_counts=True)
    hits = np.cumsum(count[::-1])[::-1]
    reached = np.bincount(np.searchsorted(thresholds, scores, side="right"), minlength=len(thresholds) + 1)
    said = np.cumsum(reached[:0:-1])[::-1]
    false_alarms = said - hits
    weight = max(len(scores) - len(positive), 1) / len(positive)
    total = count.sum()
    precision = (count * hits / said).sum() / total
    calibrated = (count * weight * hits / (weight * hits + false_alarms)).sum() / total
    return float(precision), float(calibrated)


def drawn_precision(positive: np.ndarray, scores: np.ndarray, owner: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """(2, B) AP and calibrated AP of one class in draws of recordings, NaN where a draw has no positive frame.

    `owner` (T,) is the recording of each frame, `draws` (B, R) how often each recording counts.
    """
    ranked = np.sort(scores[positive])
    levels = np.unique(ranked[np.linspace(0, len(ranked) - 1, min(len(ranked), LEVELS)).astype(np.int64)])
    recordings, width = draws.shape[1], len(levels) + 1
    cell = owner * width + np.searchsorted(levels, scores, side="right")
    said, right = (
        draws @ np.bincount(cells, minlength=recordings * width).reshape(recordings, width)[:, 1:]
        for cells in (cell, cell[positive])
    )
    said, hits = (np.cumsum(counts[:, ::-1], axis=1)[:, ::-1] for counts in (said, right))
    total = hits[:, 0]
    weight = np.maximum(draws @ np.bincount(owner, minlength=recordings) - total, 1) / np.where(total > 0, total, 1)
    there = np.where(said > 0, said, 1)
    weighted = weight[:, None] * hits
    calibrated = weighted / np.where(said > 0, weighted + said - hits, 1)
    with np.errstate(invalid="ignore"):
        return np.stack([(right * hits / there).sum(axis=1) / total, (right * calibrated).sum(axis=1) / total])


def smooth(scores: np.ndarray, bounds: Collection[int]) -> np.ndarray:
    """Running maximum over five frames along the last axis, never across a bound (the first frames of recordings)."""
    edges = [0, *(bound for bound in bounds if 0 < bound < scores.shape[-1]), scores.shape[-1]]
    out = scores.copy()
    for low, high in pairwise(edges):
        for shift in (1, 2):
            if high - low <= shift:
                continue
            ahead, behind = slice(low, high - shift), slice(low + shift, high)
            np.maximum(out[..., ahead], scores[..., behind], out=out[..., ahead])
            np.maximum(out[..., behind], scores[..., ahead], out=out[..., behind])
    return out


class AveragePrecision:
    """The scores and active classes of all frames, added recording by recording; AP needs them all at once.

    `subclasses` maps a class to the wider one that includes it (THUMOS'14: CliffDiving → Diving): the wider class
    scores at least what the narrower does. Frames on which a class of `ambiguous` is truly active are dropped
    after smoothing. Scores outside [0, 1] are logits: all rows then get a softmax, as the field scores probabilities.
    """

    def __init__(
        self,
        *,
        leave_out: Collection[int],
        ambiguous: Collection[int] = (),
        subclasses: Mapping[int, int] | None = None,
        smoothed: bool = False,
        variant: Variant = "corrected",
    ) -> None:
        self.leave_out = frozenset(leave_out)
        self.ambiguous = frozenset(ambiguous)
        self.subclasses = dict(subclasses or {})
        self.smoothed = smoothed
        self.variant = variant
        self._scores: list[np.ndarray] = []
        self._bounds: list[int] = [0]
        self._active: list[tuple[np.ndarray, np.ndarray]] = []

    def add(self, frames: np.ndarray, classes: np.ndarray, scores: np.ndarray) -> None:
        """Adds a recording: `classes[k]` is active at its frame `frames[k]`; `scores` (T, C), kept as float32."""
        self._active.append((frames + self._bounds[-1], classes))
        self._scores.append(scores if scores.dtype == np.float64 else scores.astype(np.float32, copy=False))
        self._bounds.append(self._bounds[-1] + len(scores))

    def per_class(self) -> dict[int, tuple[float, float]]:
        """AP and cAP, in percent, of every class that has a positive frame and is not left out."""
        values: dict[int, tuple[float, float]] = {}
        for label, positive, column in self._classes(self._kept()):
            precision, calibrated = average_precision(positive, column)
            values[label] = (100.0 * precision, 100.0 * calibrated)
        return values

    def means(self) -> tuple[float, float]:
        """mAP and mcAP in percent; NaN when no class has a positive frame."""
        values = list(self.per_class().values())
        if not values:
            return float("nan"), float("nan")
        precision, calibrated = np.mean(values, axis=0)
        return float(precision), float(calibrated)

    def resampled(self, times: np.ndarray) -> np.ndarray:
        """(B, 2) mAP and mcAP of draws of recordings; `times` (B, R) is how often each draw has each.

        Scores are taken together in up to `LEVELS` levels a class, with equally many positives in each; what that
        changes of the undrawn scores is added to all draws.
        """
        draws = np.concatenate([np.ones((1, times.shape[1])), times])
        kept, total = self._kept(), np.zeros((2, len(draws)))
        owner = np.repeat(np.arange(times.shape[1]), np.diff(self._bounds))[kept]
        found = np.zeros(len(draws))
        for _, positive, column in self._classes(kept):
            values = drawn_precision(positive, column, owner, draws)
            found += np.isfinite(values[0])
            total += np.nan_to_num(values)
        with np.errstate(invalid="ignore"):
            means = (100.0 * total / found).T
        return means[1:] + (np.array(self.means()) - means[0])

    def _kept(self) -> np.ndarray:
        """(T,) the frames on which no ambiguous class is active."""
        kept = np.ones(self._bounds[-1], bool)
        for frames, classes in self._active:
            kept[frames[np.isin(classes, list(self.ambiguous))]] = False
        return kept

    def _classes(self, kept: np.ndarray) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """Every class that has a positive among the kept frames: its places there, and the scores (T',) of all."""
        if not len(kept):
            return
        log_totals = self._log_totals()
        frames, classes = (np.concatenate(parts) for parts in zip(*self._active, strict=True))
        place = np.cumsum(kept) - 1
        wanted = kept[frames] & ~np.isin(classes, list(self.leave_out))
        order = np.argsort(classes[wanted], kind="stable")
        frames, classes = place[frames[wanted][order]], classes[wanted][order]
        present, starts = np.unique(classes, return_index=True)
        groups = np.split(frames, starts[1:])
        for low in range(0, len(present), _CLASSES_AT_ONCE):
            some = present[low : low + _CLASSES_AT_ONCE]
            columns = self._columns(some, log_totals)[:, kept]
            for label, column, positive in zip(some, columns, groups[low:], strict=False):
                yield int(label), positive, column

    def _log_totals(self) -> np.ndarray | None:
        """(T,) what turns logits into probabilities, or None where the scores already are."""
        if all(not len(block) or (block.min() >= 0 and block.max() <= 1) for block in self._scores):
            return None
        return np.concatenate([log_total(block) for block in self._scores])

    def _columns(self, classes: np.ndarray, log_totals: np.ndarray | None) -> np.ndarray:
        """(n, T) the probabilities of `classes` over all frames, after the dataset's rules."""
        columns = np.concatenate([block[:, classes] for block in self._scores]).T.copy()
        if log_totals is not None:
            columns = np.exp(columns - log_totals)
        if self.smoothed:
            # the official filter runs over the concatenated recordings, from the end of one into the next
            columns = smooth(columns, () if self.variant == "reference" else self._bounds)
        for row, label in enumerate(classes):
            narrow = [source for source, target in self.subclasses.items() if target == label]
            if narrow:
                columns[row] = np.maximum(columns[row], self._columns(np.asarray(narrow), log_totals).max(axis=0))
        return columns

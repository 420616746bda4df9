"""How much labels share of their spelling, and whether labels that share more are confused more (PAPER, claim 2)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import numpy as np

from gad_core.metrics.confusion import Confusion


def label_overlap(labels: Sequence[str], encode: Callable[[str], Sequence[int]]) -> np.ndarray:
    """(C, C) float32: the share of subwords two labels have in common, |A ∩ B| / |A ∪ B| over their sets of token ids.

    `encode` writes a label as token ids, the way the model under study does; 1 on the diagonal.
    """
    codes = [sorted(set(encode(label))) for label in labels]
    lengths = np.asarray([len(code) for code in codes])
    _, columns = np.unique(np.concatenate([np.asarray(code, np.int64) for code in codes]), return_inverse=True)
    holds = np.zeros((len(labels), int(columns.max(initial=-1)) + 1), np.float32)
    holds[np.repeat(np.arange(len(labels)), lengths), columns] = 1
    shared = holds @ holds.T
    either = (lengths[:, None] + lengths[None, :]).astype(np.float32) - shared
    overlap = np.divide(shared, either, out=np.zeros_like(shared), where=either > 0)
    np.fill_diagonal(overlap, 1.0)
    return overlap


def overlap_index(overlap: np.ndarray) -> float:
    """The mean overlap of two different labels, 0 to 1: one number for a label set under a tokenizer."""
    classes = len(overlap)
    if classes < 2:
        return 0.0
    return float((overlap.sum(dtype=np.float64) - np.trace(overlap)) / (classes * (classes - 1)))


def overlap_confusion_correlation(
    overlap: np.ndarray, confusion: Confusion, *, leave_out: Collection[int] = ()
) -> float:
    """Spearman's rank correlation between the overlap of (true, other) labels and how often true is taken for other.

    Over all ordered pairs of different classes whose true class was ever seen, neither in `leave_out`; the confusion of
    a pair is its count over the frames of the true class. NaN when either side is constant.
    """
    true, predicted, counts = confusion.pairs()
    seen = np.bincount(true, weights=counts, minlength=confusion.classes)
    kept = np.setdiff1d(np.arange(confusion.classes), list(leave_out))
    rows = kept[seen[kept] > 0]
    taken = np.zeros((confusion.classes, confusion.classes), np.float32)
    taken[true, predicted] = counts / seen[true]
    others = rows[:, None] != kept[None, :]
    return _rank_correlation(overlap[np.ix_(rows, kept)][others], taken[np.ix_(rows, kept)][others])


def _rank_correlation(left: np.ndarray, right: np.ndarray) -> float:
    """Pearson's correlation of the average ranks."""
    if not len(left):
        return float("nan")
    ranks = []
    for values in (left, right):
        _, place, count = np.unique(values, return_inverse=True, return_counts=True)
        rank = (np.cumsum(count) - (count - 1) / 2)[place]
        ranks.append(rank - rank.mean())
    scale = np.sqrt((ranks[0] ** 2).sum() * (ranks[1] ** 2).sum())
    return float((ranks[0] * ranks[1]).sum() / scale) if scale else float("nan")

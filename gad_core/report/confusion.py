"""The confusion matrix of a run: what was true by row, what was answered by column."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from gad_core.report.style import INK, MUTED, bare, make_figure, save, shortened, titled
from gad_core.values import LabelSpace, Predictions

MOST = 25
"""Classes that fit on one picture with their names."""


def count_matrix(predictions: Predictions, classes: int) -> np.ndarray:
    """How often each class was answered for each true class, (C, C) int64, truth by row; unknown truth is left out."""
    known = predictions.truth >= 0
    pairs = predictions.truth[known] * classes + predictions.predicted[known]
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def most_confused(counts: np.ndarray, limit: int = MOST) -> np.ndarray:
    """The classes with the most errors, as truth or as answer, (≤ limit,) in class order."""
    wrong = counts - np.diag(np.diag(counts))
    errors = wrong.sum(axis=0) + wrong.sum(axis=1)
    return np.sort(np.argsort(-errors, kind="stable")[:limit])


def confusion(
    predictions: Predictions, space: LabelSpace, path: Path, *, title: str = "", most: int = MOST, note: str = ""
) -> Path:
    """Draws counts over shades of each row's share; of more than `most` classes the most confused ones alone.

    The shares are of all answers to a true class, those outside the picture included.
    """
    counts = count_matrix(predictions, len(space))
    present = np.flatnonzero(counts.sum(axis=0) + counts.sum(axis=1))
    shown = present if len(present) <= most else most_confused(counts, most)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = max(4.5, 0.36 * len(shown) + 2.6)
    figure = make_figure(side + 0.8, side)
    axes = figure.subplots()
    image = axes.imshow(shares[np.ix_(shown, shown)], cmap="Blues", vmin=0, vmax=1)
    _write_counts(axes, counts[np.ix_(shown, shown)], shares[np.ix_(shown, shown)])
    names = [shortened(space.labels[index], 28) for index in shown]
    _name_axes(axes, names)
    what = f"Confusion: {title or space.name}"
    correct = np.trace(counts) / max(counts.sum(), 1)
    which = f"the {len(shown)} most confused of {len(present)} classes" if len(shown) < len(present) else "all classes"
    titled(axes, what, f"{which}; {counts.sum():,} answers, {correct:.1%} correct")
    bar = figure.colorbar(image, ax=axes, shrink=0.6, aspect=28, pad=0.02, format=lambda share, _: f"{share:.0%}")
    bar.set_label("share of the true class", color=MUTED, fontsize=9)
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0, labelsize=8, labelcolor=INK)
    return save(figure, path, note)


def _write_counts(axes: Axes, counts: np.ndarray, shares: np.ndarray) -> None:
    """The counts that are not zero, light on dark cells."""
    for row, column in zip(*np.nonzero(counts), strict=True):
        colour = "white" if shares[row, column] > 0.55 else INK
        text = f"{counts[row, column]}" if counts[row, column] < 10_000 else f"{counts[row, column] / 1000:.0f}k"
        axes.text(column, row, text, ha="center", va="center", fontsize=7, color=colour)


def _name_axes(axes: Axes, names: list[str]) -> None:
    bare(axes, grid=None)
    axes.spines["bottom"].set_visible(False)
    ticks = range(len(names))
    axes.set_xticks(ticks, names, rotation=45, ha="right", rotation_mode="anchor", fontsize=8)
    axes.set_yticks(ticks, names, fontsize=8)
    axes.set_xticks(np.arange(len(names) + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(len(names) + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1)
    axes.tick_params(which="minor", length=0)
    axes.set_xlabel("answered", color=MUTED)
    axes.set_ylabel("true", color=MUTED)

"""The confusion matrix of a run: what was true by row, what was answered by column."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from gad_core.contracts.values import LabelSpace, Predictions
from gad_core.metrics.confusion import Confusion
from gad_core.report.style import INK, MUTED, bare, make_figure, save, shortened, titled

MOST = 25
"""Classes that fit on one picture with their names."""


def counted(predictions: Predictions, classes: int) -> Confusion:
    """How often each class was answered for each true class; unknown truth is left out."""
    known = predictions.truth >= 0
    counts = Confusion(classes)
    counts.add(predictions.truth[known], predictions.predicted[known])
    return counts


def shown_classes(counts: Confusion, most: int = MOST) -> np.ndarray:
    """The classes that were true or answered; of more than `most` those with the most errors, in class order."""
    true, answered, right = counts.totals()
    present = np.flatnonzero(true + answered)
    if len(present) <= most:
        return present
    return np.sort(np.argsort(2 * right - true - answered, kind="stable")[:most])


def matrix(counts: Confusion, shown: np.ndarray) -> np.ndarray:
    """The counts among some classes (ascending), (S, S) int64, truth by row: a picture of thousands of classes needs no
    square of them."""
    true, answered, count = counts.pairs()
    place = np.full(counts.classes, -1)
    place[shown] = np.arange(len(shown))
    rows, columns = place[true], place[answered]
    inside = (rows >= 0) & (columns >= 0)
    found = np.zeros((len(shown), len(shown)), dtype=np.int64)
    found[rows[inside], columns[inside]] = count[inside]
    return found


def confusion(
    predictions: Predictions, space: LabelSpace, path: Path, *, title: str = "", most: int = MOST, note: str = ""
) -> Path:
    """Draws counts over shades of each row's share; of more than `most` classes the most confused ones alone.

    The shares are of all answers to a true class, those outside the picture included.
    """
    found = counted(predictions, len(space))
    true, answered, right = found.totals()
    shown, present = shown_classes(found, most), np.count_nonzero(true + answered)
    counts = matrix(found, shown)
    shares = counts / np.maximum(true[shown], 1)[:, None]
    side = max(4.5, 0.36 * len(shown) + 2.6)
    figure = make_figure(side + 0.8, side)
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    _write_counts(axes, counts, shares)
    names = [shortened(space.labels[index], 28) for index in shown]
    _name_axes(axes, names)
    total = int(true.sum())
    which = f"the {len(shown)} most confused of {present} classes" if len(shown) < present else "all classes"
    below = f"{which}; {total:,} answers, {right.sum() / max(total, 1):.1%} correct"
    titled(axes, f"Confusion: {title or space.name}", below)
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

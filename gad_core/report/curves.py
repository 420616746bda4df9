"""Learning curves: training losses by update, and the evaluations between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from gad_core.report.style import INK, MUTED, PALETTE, bare, limits, make_figure, save, titled

Lines = Sequence[Mapping[str, Any]]


def curves(lines: Lines, path: Path, *, metric: str | None = None, note: str = "") -> Path:
    """Draws the lines of a log; `metric` is the one to show, the first of the evaluations unless given.

    Without an evaluation the losses stand alone.
    """
    trained = [line for line in lines if line["kind"] == "train"]
    evaluated = _scores([line for line in lines if line["kind"] == "evaluation"], metric)
    figure = make_figure(11 if evaluated else 7, 4.2)
    panels = figure.subplots(1, 2 if evaluated else 1, squeeze=False)[0]
    _losses(panels[0], trained)
    if evaluated:
        _evaluations(panels[1], *evaluated)
    return save(figure, path, note)


def smoothed(values: np.ndarray, width: int) -> np.ndarray:
    """A centred running mean over up to `width` values, narrower at the ends and without NaN; the same length."""
    known = np.isfinite(values)
    kernel = np.ones(min(width, len(values)) | 1)
    half = len(kernel) // 2
    total = np.convolve(np.where(known, values, 0.0), kernel)[half : half + len(values)]
    count = np.convolve(known.astype(float), kernel)[half : half + len(values)]
    return np.where(count > 0, total / np.maximum(count, 1.0), np.nan)


def _losses(axes: Axes, lines: Lines) -> None:
    """Every loss by update: what was measured faint, a running mean on top."""
    names = list(dict.fromkeys(name for line in lines for name in line["losses"]))
    steps = np.array([line["step"] for line in lines])
    for name, colour in zip(names, PALETTE * (1 + len(names) // len(PALETTE)), strict=False):
        raw = [line["losses"].get(name) for line in lines]
        values = np.array([np.nan if value is None else value for value in raw], dtype=float)
        axes.plot(steps, values, color=colour, alpha=0.22, linewidth=1)
        axes.plot(steps, smoothed(values, max(1, len(values) // 20)), color=colour, linewidth=2, label=name)
    bare(axes)
    titled(axes, "Training loss", f"by update; the strong line is a running mean over {max(1, len(lines) // 20) | 1}")
    axes.set_xlabel("update", color=MUTED)
    axes.set_ylim(bottom=0)
    axes.margins(x=0.01)
    if names:
        axes.legend(frameon=False, fontsize=9, labelcolor=INK)


def _scores(lines: Lines, metric: str | None) -> tuple[str, str, list[int], list[float]] | None:
    """Split, metric, epochs and values of the evaluations that have the metric; None when there are none."""
    if not lines:
        return None
    name = metric if metric in lines[-1]["metrics"] else next(iter(lines[-1]["metrics"]), None)
    points = [(line["epoch"], line["metrics"][name]) for line in lines if line["metrics"].get(name) is not None]
    if name is None or not points:
        return None
    return lines[-1]["split"], name, [epoch for epoch, _ in points], [value for _, value in points]


def _evaluations(axes: Axes, split: str, metric: str, epochs: list[int], values: list[float]) -> None:
    best = int(np.argmax(values))
    axes.plot(epochs, values, color=PALETTE[0], linewidth=2, marker="o", markersize=5)
    axes.plot(epochs[best], values[best], marker="o", markersize=11, color=PALETTE[4], fillstyle="none", mew=2)
    bare(axes)
    titled(axes, f"{metric} on {split}", f"best {values[best]:.2f} at epoch {epochs[best]}")
    axes.set_xlabel("epoch", color=MUTED)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylim(*limits(values, floor=0.0 if min(values) >= 0 else None))

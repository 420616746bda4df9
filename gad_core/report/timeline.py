"""Timelines: the true and the answered class at every moment of some recordings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from gad_core.contracts.values import LabelSpace, Predictions
from gad_core.report.style import BACKGROUND, INK, MUTED, bare, colours, make_figure, save, shortened

TRUTH, ANSWER = 1, 0


def timelines(
    predictions: Predictions, space: LabelSpace, fps: float, path: Path, *, limit: int = 6, note: str = ""
) -> Path:
    """Draws the first `limit` recordings, a pair of bars each; `fps` are feature frames a second."""
    recordings = list(islice(predictions.by_recording(), limit))
    seen = {int(index) for _, rows in recordings for index in (*rows.truth, *rows.predicted) if index >= 0}
    actions = sorted(seen - {space.background})
    paint: dict[int, Any] = dict(zip(actions, colours(len(actions)), strict=True))
    if space.background is not None and space.background in seen:
        paint[space.background] = BACKGROUND
    columns = 4
    legend_height = 0.24 * -(-len(paint) // columns) + 0.2
    figure = make_figure(11, 1.05 * len(recordings) + legend_height + 0.9)
    panels = figure.subplots(len(recordings), 1, squeeze=False)[:, 0]
    for axes, (recording, rows) in zip(panels, recordings, strict=True):
        _strip(axes, recording, rows, fps, paint)
    panels[-1].set_xlabel("seconds", color=MUTED)
    figure.suptitle("Truth and answer over time", x=0.01, ha="left", fontsize=12, fontweight="bold", color=INK)
    figure.legend(
        handles=[Patch(color=colour, label=shortened(space.labels[index], 34)) for index, colour in paint.items()],
        loc="outside lower center", ncols=columns, frameon=False, fontsize=9, labelcolor=INK, handlelength=1.1,
    )  # fmt: skip
    return save(figure, path, note)


def stretches(frames: np.ndarray, classes: np.ndarray) -> Iterator[tuple[int, int, int]]:
    """(first frame, frame after the last, class) of every stretch of one class; frames ascend.

    A stretch reaches to the next frame that was asked about, the last one over the usual step.
    """
    step = int(np.median(np.diff(frames))) if len(frames) > 1 else 1
    starts = np.flatnonzero(np.concatenate([[True], classes[1:] != classes[:-1]]))
    ends = np.append(frames[starts[1:]], frames[-1] + max(step, 1))
    for start, end in zip(starts, ends, strict=True):
        yield int(frames[start]), int(end), int(classes[start])


def _strip(axes: Axes, recording: str, rows: Predictions, fps: float, paint: Mapping[int, Any]) -> None:
    known = rows.truth >= 0
    for height, classes in ((TRUTH, rows.truth), (ANSWER, rows.predicted)):
        for start, end, index in stretches(rows.frames, classes):
            if index >= 0:
                axes.broken_barh([(start / fps, (end - start) / fps)], (height - 0.44, 0.88), color=paint[index], lw=0)
    bare(axes, grid=None)
    axes.set_yticks([TRUTH, ANSWER], ["truth", "answer"], fontsize=9)
    axes.set_ylim(-0.5, 1.5)
    axes.set_xlim(rows.frames[0] / fps, (rows.frames[-1] + 1) / fps)
    right = f"{(rows.predicted[known] == rows.truth[known]).mean():.0%} of frames right" if known.any() else ""
    axes.set_title(shortened(recording, 60), loc="left", fontsize=10, color=INK, pad=4)
    axes.set_title(right, loc="right", fontsize=9, color=MUTED, pad=4)

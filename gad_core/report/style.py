"""How our pictures look. No pyplot: a figure is an object of its own, and no global state outlives it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.text import Text

from gad_core.files.writing import writing

DPI = 150
INK, MUTED, GRID, BACKGROUND = "#22272e", "#667080", "#e4e7eb", "#dfe2e6"
SKY = "#56b4e9"
PALETTE = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", SKY, "#8c6d1f", "#5b4b9a")
"""Okabe and Ito's colours, told apart with every common colour blindness; their yellow and black are replaced."""


def make_figure(width: float, height: float) -> Figure:
    """A white figure of the given inches, drawn by Agg."""
    figure = Figure(
        figsize=(width, height), dpi=DPI, layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.1), facecolor="white"
    )
    FigureCanvasAgg(figure)
    return figure


def bare(axes: Axes, *, grid: str | None = "y") -> None:
    """Takes away the frame, leaves a faint grid."""
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(MUTED)
    axes.tick_params(colors=MUTED, labelcolor=INK, length=0, labelsize=9)
    axes.set_axisbelow(True)
    if grid:
        axes.grid(axis=grid, color=GRID, linewidth=0.8)  # type: ignore[arg-type]


def titled(axes: Axes, title: str, below: str = "") -> None:
    """A title at the left, and a quieter line under it."""
    axes.set_title(title, loc="left", fontsize=12, fontweight="bold", color=INK, pad=24 if below else 10)
    if below:
        axes.annotate(
            below, (0, 1), xytext=(0, 8), xycoords="axes fraction", textcoords="offset points", fontsize=9, color=MUTED
        )


def colours(count: int) -> list[Any]:
    """`count` colours; beyond the palette the same hues come again, lighter and then darker."""
    lighter = [_mixed(hue, 1.0) for hue in PALETTE[1:] if hue != SKY]  # a lighter blue is the sky blue again
    wheel = [*PALETTE, *lighter, *(_mixed(hue, 0.0) for hue in PALETTE)]
    if count <= len(wheel):
        return wheel[:count]
    return [matplotlib.colormaps["turbo"](position) for position in np.linspace(0.04, 0.96, count)]


def _mixed(hue: str, towards: float) -> tuple[float, ...]:
    """A hue half way to white (1) or to black (0)."""
    return tuple(0.5 * channel + 0.5 * towards for channel in matplotlib.colors.to_rgb(hue))


def shortened(text: str, limit: int) -> str:
    """Text of at most `limit` letters."""
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def limits(values: Sequence[float], *, floor: float | None = None) -> tuple[float, float]:
    """A range that shows the values with some air; `floor` bounds it below."""
    low, high = min(values), max(values)
    air = 0.08 * (high - low) or 0.1 * abs(high) or 1.0
    return (low - air if floor is None else max(floor, low - air)), high + air


def save(figure: Figure, path: Path, note: str = "") -> Path:
    """Writes the picture whole or not at all; `note` stands in its upper right corner.

    Texts are drawn as they stand: labels are the user's, and a dollar sign in one begins no formula.
    """
    figure.text(0.985, 1 - 0.12 / figure.get_figheight(), note, ha="right", va="top", fontsize=8, color=MUTED)
    for text in figure.findobj(Text):
        text.set_parse_math(False)
    with (
        writing(path) as temporary,
        matplotlib.rc_context({"text.parse_math": False}),
    ):  # ticks are made as they are drawn
        figure.savefig(temporary, format="png", facecolor="white")
    return path

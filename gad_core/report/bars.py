"""A comparison as bars: one panel a metric, one bar an experiment."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes

from gad_core.report.style import INK, MUTED, PALETTE, bare, make_figure, save, shortened
from gad_core.report.table import Comparison

PANELS = 3


def bars(comparison: Comparison, path: Path) -> Path:
    """Draws the first metrics that any experiment has; the whisker is the standard deviation over the seeds, the
    diamond the published number. Bars share a colour where the head is the same."""
    known = [name for name in comparison.metrics if any(name in line.metrics for line in comparison.lines)]
    metrics = known[:PANELS]
    count = len(comparison.lines)
    figure = make_figure(3.0 + 3.2 * max(len(metrics), 1), 1.5 + 0.42 * count)
    panels = figure.subplots(1, max(len(metrics), 1), squeeze=False, sharey=True)[0]
    for axes, metric in zip(panels, metrics, strict=False):
        _panel(axes, comparison, metric)
    panels[0].set_yticks(range(count), [shortened(line.experiment, 40) for line in comparison.lines])
    panels[0].set_ylim(count - 0.4, -0.6)
    seeds = max((len(line.seeds) for line in comparison.lines), default=1)
    what = f"mean and standard deviation of up to {seeds} seeds" if seeds > 1 else "one seed each"
    published = ["diamond: published"] if any(line.expected for line in comparison.lines) else []
    bold = (
        ["bold: better than every other"]
        if any(comparison.best(name) for name in metrics)
        else ["no bold: no difference told"]
    )
    scored = sorted({line.scored for line in comparison.lines if line.scored is not None})
    counts = [f"{' to '.join(map(str, dict.fromkeys((scored[0], scored[-1]))))} answers"] if scored else []
    figure.supxlabel(
        "; ".join([what, *counts, *bold, *published]) + "." + "".join(f"\n{note}" for note in comparison.warnings()),
        fontsize=8,
        color=MUTED,
        x=0.01,
        ha="left",
    )
    return save(figure, path)


def _panel(axes: Axes, comparison: Comparison, metric: str) -> None:
    heads = list(dict.fromkeys(line.head for line in comparison.lines))
    reach, best = 0.0, comparison.best(metric)
    for place, line in enumerate(comparison.lines):
        figure = line.metrics.get(metric)
        if figure is None:
            axes.text(0, place, " –", va="center", color=MUTED)
            continue
        spread = figure.deviation or 0.0
        colour = PALETTE[heads.index(line.head) % len(PALETTE)]
        axes.barh(place, figure.mean, height=0.62, color=colour)
        if spread:
            axes.errorbar(figure.mean, place, xerr=spread, color=INK, capsize=3, linewidth=1.2)
        published = line.expected.get(metric)
        if published is not None:
            axes.plot(published, place, marker="D", color="white", markeredgecolor=INK, markersize=6)
        end = max(figure.mean + spread, published or 0.0)
        weight = "bold" if line.experiment == best else "normal"
        axes.annotate(
            f"{figure.mean:.1f}", (end, place), xytext=(6, 0), textcoords="offset points", va="center", color=INK,
            fontsize=9, fontweight=weight,
        )  # fmt: skip
        reach = max(reach, end)
    bare(axes, grid="x")
    axes.set_xlim(0, reach * 1.18 or 1)
    axes.set_title(metric, loc="left", fontsize=11, fontweight="bold", color=INK)

"""Draws docs/images/dense-training.png from the runs listed in docs/dense-training.csv: `python docs/curves.py`."""

import csv
from collections import defaultdict
from pathlib import Path
from statistics import mean

from gad_core.report.style import MUTED, PALETTE, bare, make_figure, save, titled

HERE = Path(__file__).parent
NAMES = {
    "window": "queries: last",
    "dense, stride 20": "queries: dense, stride 20",
    "dense, stride 60": "queries: dense, stride 60",
}
METRICS = {"map": "mAP", "segment_f1": "Segment F1 at IoU 0.10, micro"}


def runs() -> dict[str, dict[str, list[dict[str, str]]]]:
    """Way of training → epochs → the runs of that length."""
    found: dict[str, dict[str, list[dict[str, str]]]] = defaultdict(lambda: defaultdict(list))
    with (HERE / "dense-training.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            found[row["training"]][row["epochs"]].append(row)
    return found


def main() -> None:
    """One panel a metric; a dot is the mean over the seeds, a bar their range."""
    found, figure = runs(), make_figure(9.5, 4)
    panels = figure.subplots(1, 2)
    for axes, (metric, title) in zip(panels, METRICS.items(), strict=True):
        for colour, (training, lengths) in zip(PALETTE, found.items(), strict=False):
            seconds = [mean(float(run["seconds"]) for run in some) for some in lengths.values()]
            values = [[float(run[metric]) for run in some] for some in lengths.values()]
            means = [mean(some) for some in values]
            axes.plot(seconds, means, color=colour, marker="o", markersize=4, linewidth=1.6, label=NAMES[training])
            axes.vlines(seconds, [min(some) for some in values], [max(some) for some in values], color=colour)
        axes.set_xscale("log")
        axes.set_xticks([25, 50, 100, 200, 500], ["25", "50", "100", "200", "500"])
        axes.minorticks_off()
        bare(axes)
        axes.set_xlabel("seconds of training, one thread", fontsize=9, color=MUTED)
        titled(axes, title)
    panels[0].legend(frameon=False, fontsize=8.5, loc="lower right")
    save(figure, HERE / "images" / "dense-training.png")


if __name__ == "__main__":
    main()

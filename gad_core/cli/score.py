"""`gad score`: the field's scores for the predictions of any system."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gad_core.cli.say import emit, say

if TYPE_CHECKING:
    from gad_core.metrics import Variant

UNITS = {"detection_delay_s": "s", "error_diversity": "nats"}


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one flat object; null where nothing can be measured.")
@click.option(
    "--variant",
    type=click.Choice(["corrected", "reference"]),
    default="corrected",
    show_default=True,
    help="Formulae: ours, or those of the paper's official code.",
)
@click.option("--smooth", is_flag=True, help="Five-frame maximum over the scores before map and cap (THUMOS'14).")
def score(file: Path, as_json: bool, variant: Variant, smooth: bool) -> None:
    """Score the frame-by-frame predictions in FILE against the truth beside them.

    FILE is JSON, or .npz of the same keys:

    \b
      {"fps": 4, "background": 0, "ignored": [0], "labels": ["background", "run"],
       "recordings": {"<id>": {"truth": [0, 1], "predicted": [0, 1], "scores": [[…]]}}}

    Labels are indices, one a frame; a frame of several classes lists them, the main one first. Scores (logits or
    probabilities, one a label) are optional; map, cap and ece need them, and need them to rank more than one label.
    "ambiguous" (one more ignored label) and "subclasses" (THUMOS'14: CliffDiving counts as Diving, found by name) are
    optional too. Frames that are truly of an ignored label, background apart, are left out. What cannot be measured is
    "–". Percent; delay in seconds, error diversity in nats.

    \b
    --variant reference differs from the default in this, and in nothing else:
      perfect scores    epsilons under each ratio, so 99.9999999 instead of 100; undefined segment and
                        point scores are 0 (default: null)
      segment macro     classes absent from the truth count as 0 (default: not averaged over)
      point matching    only the nearest true point of any class is looked at (default: as many one-to-one
                        pairs within a class as possible)
      point middle      half a frame early for a segment that touches the last frame (default: exact)
      ambiguous frames  predictions on them are false alarms of segments and points (default: spared if at
                        least half of the prediction lies on them)
      foreground f1     null when nothing is predicted foreground (default: 0)
      multi-hot truth   main class = the lowest active one, even background (default: lowest action)
      --smooth          runs from the end of one recording into the next (default: within each)
    The official code also rounds point rows to two decimals; neither variant does.

    \b
    Example:
      gad score predictions.json
      gad score predictions.npz --variant reference --json > scores.json
    """
    from gad_core.metrics.score import score_file

    metrics = score_file(file, variant=variant, smoothed=smooth)
    if as_json:
        emit(json.dumps({key: None if math.isnan(value) else value for key, value in metrics.items()}, indent=1))
        return
    say(f"{file.name}, {variant} formulae")
    for key, value in metrics.items():
        shown = "–" if math.isnan(value) else f"{value:.2f}"
        say(f"{key:<{max(map(len, metrics))}}  {shown:>7} {UNITS.get(key, '%')}")

"""`gad evaluate`: score a finished run again."""

from __future__ import annotations

from pathlib import Path

import click

from gad_core.cli.say import emit
from gad_core.cli.types import COUNT


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--split", default="test", show_default=True, help="The split to score.")
@click.option(
    "--set", "options", multiple=True, metavar="OPTION=VALUE", help="Another value of a dataset or head option."
)
@click.option("--batch", type=COUNT, default=32, show_default=True, help="Samples a forward pass.")
@click.option("--any-fps", is_flag=True, help="Go on where the features have another rate than in training.")
@click.option("--json", "as_json", is_flag=True, help="Print one flat JSON object.")
def evaluate(run: Path, split: str, options: tuple[str, ...], batch: int, any_fps: bool, as_json: bool) -> None:
    """Score the model of a finished RUN folder on a split of its dataset.

    `--set` changes what may differ from training, for example the protocol or the way answers are decoded.

    \b
    Example:
      gad evaluate runs/my-gad/0
      gad evaluate runs/my-gad/0 --set dataset.protocol=dense
      gad evaluate runs/my-generative/0 --set head.decoding=score-all --json
    """
    import json
    import math

    from rich.table import Table

    from gad_core.files.writing import plain
    from gad_core.report.console import make_console
    from gad_core.runs.loading import evaluate as score

    protocol, metrics = score(run, split, options, batch=batch, any_fps=any_fps)
    if as_json:
        emit(json.dumps(plain(metrics), indent=2))
        return
    table = Table("metric", "value", title=f"{run} on {split} ({protocol})")
    for name, value in metrics.items():
        table.add_row(name, "–" if math.isnan(value) else f"{value:.2f}")
    make_console().print(table)

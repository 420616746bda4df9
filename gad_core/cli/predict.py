"""`gad predict`: name the actions in features without annotations."""

from __future__ import annotations

from pathlib import Path

import click

from gad_core.cli.say import say
from gad_core.cli.types import COUNT, SECONDS


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("features", type=click.Path(path_type=Path))
@click.option("--recording", "recordings", multiple=True, help="Only these recordings; all unless given.")
@click.option("--asks", default=None, help="The relation to predict; the first the model was trained for.")
@click.option("--start", type=SECONDS, default=None, help="First second of the clip.")
@click.option("--end", type=SECONDS, default=None, help="Last second of the clip.")
@click.option("--stream", is_flag=True, help="Answer at every frame, from the frames before it.")
@click.option("--window", type=COUNT, default=160, show_default=True, help="With --stream: frames seen at most.")
@click.option("--top", type=COUNT, default=1, show_default=True, help="How many labels to name.")
@click.option("--out", type=click.Path(path_type=Path), default=None, help="Write a CSV file instead of printing.")
def predict(
    run: Path,
    features: Path,
    recordings: tuple[str, ...],
    asks: str | None,
    start: float | None,
    end: float | None,
    stream: bool,
    window: int,
    top: int,
    out: Path | None,
) -> None:
    """Name the actions in FEATURES (a feature store) with the model of a finished RUN folder.

    Prints CSV: recording, start and end in seconds, label, score.

    \b
    Example:
      gad predict runs/my-gad/0 new.lmdb
      gad predict runs/my-gad/0 new.lmdb --recording P01_11 --start 12 --end 15.5 --top 3
      gad predict runs/my-stream/0 new.lmdb --stream --out answers.csv
    """
    from gad_core.features import FeatureStore
    from gad_core.files import write_text
    from gad_core.loading import answers, clip_samples, load

    loaded, store = load(run), FeatureStore(features)
    clips = clip_samples(loaded, store, recordings, asks, start, end, window if stream else None)
    lines = answers(loaded, store, clips, top)
    if out is None:
        say("\n".join(lines))
    else:
        write_text(out, "".join(f"{line}\n" for line in lines))

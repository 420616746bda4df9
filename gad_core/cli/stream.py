"""`gad stream`: a trained model on recordings as if they were live."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gad_core.cli.say import emit, say
from gad_core.cli.types import COUNT, Device

if TYPE_CHECKING:
    from gad_core.model.streaming import Mode

PATH = click.Path(path_type=Path)


@click.command()
@click.argument("run", type=PATH)
@click.argument("features", type=PATH)
@click.argument("recordings", nargs=-1)
@click.option("--mode", type=click.Choice(["cached", "window"]), default="cached", show_default=True)
@click.option("--frames", type=COUNT, help="Frames an answer sees; those of the dataset's windows unless given.")
@click.option("--device", type=Device(), help="cpu, cuda, …")
@click.option("--any-fps", is_flag=True, help="Go on where the features have another rate than in training.")
@click.option("--compile", is_flag=True, help="Compile the step of mode cached: for long streams on a GPU.")
def stream(
    run: Path,
    features: Path,
    recordings: tuple[str, ...],
    mode: Mode,
    frames: int | None,
    device: str | None,
    any_fps: bool,
    compile: bool,
) -> None:
    """Answer at every frame of the RECORDINGS of a store of FEATURES (all if none is named) with a finished RUN.

    Prints CSV, a line as soon as a frame is answered, and at the end, on stderr, how long an answer took. Mode `window`
    looks at a window for every frame and gives the scores of the protocol `window`; mode `cached` keeps keys and values
    and gives those of the protocol `stream`. The model of a run on clips has no windows: give it --frames.

    \b
    Example:
      gad stream runs/my-gad/0 data/mine.lmdb kitchen_07
      gad stream runs/my-gad/0 data/mine.lmdb --mode window > answers.csv
    """
    import numpy as np

    from gad_core.data.features import FeatureStore
    from gad_core.runs.answering import stream_rows
    from gad_core.runs.loading import load

    loaded, store = load(run, device=device), FeatureStore(features)
    latencies: list[float] = []
    for line in stream_rows(loaded, store, recordings, mode, frames, latencies, compile=compile, any_fps=any_fps):
        emit(line)
    p50, p95, p99 = 1e3 * np.percentile(latencies, (50, 95, 99))
    rate = len(latencies) / sum(latencies)
    say(f"{rate:.0f} frames/s; an answer took {p50:.1f} ms (p50), {p95:.1f} ms (p95), {p99:.1f} ms (p99)", err=True)

"""`gad predict`: name the actions in features without annotations."""

from __future__ import annotations

from pathlib import Path

import click

from gad_core.cli.say import emit
from gad_core.cli.types import COUNT, SECONDS

PATH = click.Path(path_type=Path)


@click.command()
@click.argument("run", type=PATH)
@click.argument("features", type=PATH)
@click.option("--recording", "recordings", multiple=True, help="Only these recordings; all unless given.")
@click.option("--asks", default=None, help="The relation to predict; the first the model was trained for.")
@click.option("--start", type=SECONDS, default=None, help="First second that is answered about.")
@click.option("--end", type=SECONDS, default=None, help="Last second that is answered about.")
@click.option(
    "--stream/--clip",
    default=None,
    help="Answer at every frame from the frames before it, or once about the whole clip; as the model was trained "
    "unless given.",
)
@click.option(
    "--window",
    type=COUNT,
    default=None,
    help="With --stream: frames seen at most; those of the windows the model was trained on unless given.",
)
@click.option("--any-fps", is_flag=True, help="Go on where the features have another rate than in training.")
@click.option("--top", type=COUNT, default=1, show_default=True, help="How many labels to name.")
@click.option("--out", type=PATH, default=None, help="Write a CSV file instead of printing.")
def predict(
    run: Path,
    features: Path,
    recordings: tuple[str, ...],
    asks: str | None,
    start: float | None,
    end: float | None,
    stream: bool | None,
    window: int | None,
    any_fps: bool,
    top: int,
    out: Path | None,
) -> None:
    """Name the actions in FEATURES (a feature store) with the model of a finished RUN folder.

    Prints CSV: recording, start and end in seconds, label, probability. A model that was trained on clips takes each
    recording, or the part from --start to --end, for one clip. A model that was trained on a stream answers at every
    frame of it, from the latest frames before it, as many as its windows show (protocol `window`; for the protocol
    `stream` see `gad stream`). The probability is that among the labels; of a generative head it is the label's own
    under `trie`, where no other label is named, that among the labels under `score-all`, and empty under `free`.

    \b
    Example:
      gad predict runs/my-gad/0 new.lmdb
      gad predict runs/my-gad/0 new.lmdb --recording P01_11 --start 12 --end 15.5 --top 3
      gad predict runs/my-gad/0 new.lmdb --stream --window 64
      gad predict runs/my-stream/0 new.lmdb --out answers.csv
    """
    from gad_core.data.features import FeatureStore
    from gad_core.files.writing import write_text
    from gad_core.runs.answering import asked_of, clip_rows, frame_rows, spans
    from gad_core.runs.loading import load

    loaded, store = load(run), FeatureStore(features)
    chosen, asked = spans(store, recordings, start, end), asked_of(loaded, asks)
    streams = loaded.windows is not None if stream is None else stream
    if window is not None and not streams:
        raise click.UsageError("--window is for --stream: a clip is seen as a whole")
    if streams:
        seen = loaded.band(window).frames
        lines = frame_rows(loaded, store, chosen, asks=asked, top=top, seen=seen, any_fps=any_fps)
    else:
        lines = clip_rows(loaded, store, chosen, asks=asked, top=top, any_fps=any_fps)
    if out is None:
        emit("\n".join(lines))
    else:
        write_text(out, "".join(f"{line}\n" for line in lines))

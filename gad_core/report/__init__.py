"""What a person looks at: pictures of a run, and the table that compares runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from gad_core.contracts.components import Corpus
from gad_core.contracts.values import Predictions
from gad_core.errors import CheckpointError
from gad_core.files.names import file_stem
from gad_core.files.writing import sweep
from gad_core.metrics.bootstrap import STREAMS, Resampled, load_resampled
from gad_core.records.results import Results
from gad_core.records.run_folder import PREDICTIONS, RunPlace
from gad_core.report.table import Comparison, save_comparison, terminal


def compare(
    results: Sequence[Results], root: Path, *, title: str, console: Console, warn: Callable[[str], None]
) -> None:
    """Prints the table that compares runs and writes it, with a bar chart, as `root/<title>.md/.csv/.tex/.png`.

    One line an experiment, mean ± standard deviation over its seeds.
    """
    from gad_core.report.bars import bars

    comparison = Comparison.of(results, resampled=read_resampled(results, root))
    terminal(comparison, console)
    stem = comparison_stem(title)
    sweep(root)
    save_comparison(comparison, root, stem)
    drawn_or_warned(partial(bars, comparison), root / f"{stem}.png", warn)
    console.print(f"written: {root / stem}.md, .csv, .tex, .png", highlight=False, markup=False, soft_wrap=True)


def drawn_or_warned(draw: Callable[[Path], object], path: Path, warn: Callable[[str], None]) -> None:
    """Draws a picture to a path, or warns. Pictures are drawn when the figures are written: whatever a drawing library
    raises over an odd label or too little memory, the run is finished."""
    try:
        draw(path)
    except Exception as error:
        warn(f"{path} could not be drawn: {type(error).__name__}: {error}")


def read_resampled(results: Sequence[Results], root: Path) -> dict[tuple[str, int], Resampled]:
    """The scores of each run in other draws of its recordings, by experiment and seed; those that cannot be read are
    absent, and the notes of the comparison say so."""
    found = {}
    for run in results:
        with suppress(CheckpointError):
            path = RunPlace(root, run.experiment, run.seed).path / PREDICTIONS
            found[run.experiment, run.seed] = load_resampled(path)
    return found


def comparison_stem(title: str) -> str:
    """The file name of a comparison, without its suffix; long lists of experiments are cut short."""
    return f"comparison-{file_stem(title)}"


def pictures(
    predictions: Predictions, corpus: Corpus, lines: Sequence[Mapping[str, Any]]
) -> dict[str, Callable[[Path], object]]:
    """The pictures of a run by file name, each a function that draws it to a path: learning curves, a confusion matrix
    for every asked relation and, for streams, timelines."""
    from gad_core.report.confusion import confusion
    from gad_core.report.curves import curves
    from gad_core.report.timeline import timelines

    note = "synthetic data" if corpus.synthetic else ""
    found: dict[str, Callable[[Path], object]] = {}
    if lines:
        found["curves.png"] = partial(curves, lines, metric=corpus.headline, note=note)
    for relation in dict.fromkeys(predictions.asks):
        rows, space = predictions.of(relation), corpus.spaces[relation]
        if (rows.truth >= 0).any():
            found[f"confusion-{file_stem(relation)}.png"] = partial(confusion, rows, space, title=relation, note=note)
        if corpus.protocol in STREAMS:
            draw = partial(timelines, rows, space, corpus.features.fps, note=note)
            found[f"timeline-{file_stem(relation)}.png"] = draw
    return found

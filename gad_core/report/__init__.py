"""What a person looks at: pictures of a run, and the table that compares runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from rich.console import Console

from gad_core.bootstrap import STREAMS, Resampled, load_resampled
from gad_core.contracts import Corpus
from gad_core.errors import CheckpointError
from gad_core.report.table import Comparison, save_comparison, synthetic, terminal
from gad_core.results import PREDICTIONS, Results, RunFolder
from gad_core.values import Predictions


def compare(results: Sequence[Results], root: Path, *, title: str, console: Console) -> None:
    """Prints the table that compares runs and writes it, with a bar chart, as `root/<title>.md/.csv/.tex/.png`.

    One line an experiment, mean ± standard deviation over its seeds.
    """
    from gad_core.report.bars import bars

    comparison = Comparison.of(results, resampled=read_resampled(results, root))
    terminal(comparison, console)
    stem = comparison_stem(title)
    save_comparison(comparison, root, stem)
    bars(comparison, root / f"{stem}.png")
    console.print(f"written: {root / stem}.md, .csv, .tex, .png", highlight=False, markup=False, soft_wrap=True)


def read_resampled(results: Sequence[Results], root: Path) -> dict[tuple[str, int], Resampled]:
    """The scores of each run in other draws of its recordings, by experiment and seed; those that cannot be read are
    absent, and the notes of the comparison say so."""
    found = {}
    for run in results:
        with suppress(CheckpointError):
            path = RunFolder(root, run.experiment, run.seed).path / PREDICTIONS
            found[run.experiment, run.seed] = load_resampled(path)
    return found


def comparison_stem(title: str) -> str:
    """The file name of a comparison, without its suffix; long lists of experiments are cut short."""
    safe = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in title)
    return f"comparison-{safe[:60].strip('-.')}"


def pictures(predictions: Predictions, corpus: Corpus, lines: Sequence[Mapping[str, Any]], folder: Path) -> list[Path]:
    """Learning curves, a confusion matrix for every asked relation and, for streams, timelines; the files written."""
    from gad_core.report.confusion import confusion
    from gad_core.report.curves import curves
    from gad_core.report.timeline import timelines

    note = "synthetic data" if synthetic(corpus.usage) else ""
    written = [curves(lines, folder / "curves.png", metric=corpus.headline, note=note)] if lines else []
    for relation in dict.fromkeys(predictions.asks):
        rows, space = predictions.of(relation), corpus.spaces[relation]
        if (rows.truth >= 0).any():
            written.append(confusion(rows, space, folder / f"confusion-{relation}.png", title=relation, note=note))
        if corpus.protocol in STREAMS:
            path = folder / f"timeline-{relation}.png"
            written.append(timelines(rows, space, corpus.features.fps, path, note=note))
    return written

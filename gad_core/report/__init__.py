"""What a person looks at: pictures of a run, and the table that compares runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from gad_core.contracts import Corpus
from gad_core.names import file_stem
from gad_core.report.table import Comparison, save_comparison, synthetic, terminal
from gad_core.results import Results
from gad_core.values import Predictions

STREAMS = frozenset({"window", "dense", "stream"})
"""The protocols whose answers follow one another in time."""


def compare(results: Sequence[Results], root: Path, *, title: str, console: Console) -> None:
    """Prints the table that compares runs and writes it, with a bar chart, as `root/<title>.md/.csv/.tex/.png`.

    One line an experiment, mean ± standard deviation over its seeds.
    """
    from gad_core.report.bars import bars

    comparison = Comparison.of(results)
    terminal(comparison, console)
    stem = comparison_stem(title)
    save_comparison(comparison, root, stem)
    bars(comparison, root / f"{stem}.png")
    console.print(f"written: {root / stem}.md, .csv, .tex, .png", highlight=False, markup=False, soft_wrap=True)


def comparison_stem(title: str) -> str:
    """The file name of a comparison, without its suffix; long lists of experiments are cut short."""
    return f"comparison-{file_stem(title)}"


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
            written.append(
                confusion(rows, space, folder / f"confusion-{file_stem(relation)}.png", title=relation, note=note)
            )
        if corpus.protocol in STREAMS:
            path = folder / f"timeline-{file_stem(relation)}.png"
            written.append(timelines(rows, space, corpus.features.fps, path, note=note))
    return written

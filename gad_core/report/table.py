"""Results side by side: one line an experiment, mean ± sample standard deviation over its seeds."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from gad_core.errors import visible
from gad_core.files.writing import write_text
from gad_core.metrics.bootstrap import Resampled
from gad_core.records.results import Results
from gad_core.report.significance import ahead, told

WORDS = 4
"""The first columns name the experiment and its head, labels and auxiliary tasks."""
SHOWN = 5
"""Metrics in the printed tables, the headline first; the CSV has all."""
TELLING = ("segment_f1/0.10/macro", "point_f1/start/1s", "frame_accuracy", "frame_f1/balanced")
"""What the field prints of a stream, of the many metrics it has."""
NAMED_LAST = 3
"""The last columns say what was measured and on how much: the protocol, the answers that were scored, the seeds."""


@dataclass(frozen=True)
class Figure:
    """The mean of `count` values and their sample standard deviation, None for a single one."""

    mean: float
    deviation: float | None
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Figure | None:
        """None where there is no value at all."""
        if not values:
            return None
        return cls(fmean(values), stdev(values) if len(values) > 1 else None, len(values))

    def written(self, digits: int) -> str:
        """`71.2 ± 0.4`, `71.2 ± –` for one seed."""
        spread = "–" if self.deviation is None else f"{self.deviation:.{digits}f}"
        return f"{self.mean:.{digits}f} ± {spread}"


@dataclass(frozen=True)
class Line:
    """One experiment in a comparison; `metrics` lack what no seed defines, which `undefined` names. `drawn` are the
    scores of other draws of the recordings, one a seed, empty where those of a seed cannot be read."""

    experiment: str
    head: str
    labels: str
    auxiliary: str
    dataset: str
    protocol: str
    headline: str
    seeds: tuple[int, ...]
    metrics: Mapping[str, Figure]
    expected: Mapping[str, float]
    train_speed: Figure
    evaluation_speed: Figure
    trainable: int
    memory: float
    usage: Mapping[str, str]
    synthetic: bool
    undefined: frozenset[str] = frozenset()
    drawn: tuple[Resampled, ...] = ()

    @property
    def means(self) -> Mapping[str, float]:
        """The mean of each metric over the seeds."""
        return {name: figure.mean for name, figure in self.metrics.items()}

    @property
    def scored(self) -> int | None:
        """How many answers were scored, of the same number in every seed; None where it cannot be told."""
        return self.drawn[0].answers if self.drawn else None

    @classmethod
    def of(cls, runs: Sequence[Results], resampled: Mapping[tuple[str, int], Resampled] | None = None) -> Line:
        """The runs of one experiment that differ in the seed."""
        first = runs[0]
        names = dict.fromkeys(name for run in runs for name in run.metrics)
        figures = {
            name: Figure.of(
                [value for run in runs if (value := run.metrics.get(name)) is not None and not math.isnan(value)]
            )
            for name in names
        }
        drawn = [(resampled or {}).get((run.experiment, run.seed)) for run in runs]
        train = Figure.of([run.timing.train_samples_per_second for run in runs])
        evaluation = Figure.of([run.timing.evaluation_answers_per_second for run in runs])
        assert train is not None and evaluation is not None
        return cls(
            experiment=first.experiment, head=first.uses("head"), labels=first.uses("labels"),
            auxiliary=first.uses("auxiliary"), dataset=first.uses("dataset"), protocol=first.protocol,
            headline=first.headline, seeds=tuple(run.seed for run in runs),
            metrics={name: figure for name, figure in figures.items() if figure}, expected=first.expected,
            train_speed=train, evaluation_speed=evaluation, trainable=first.trainable_parameters,
            memory=max(run.peak_memory_mb for run in runs), usage=first.usage,
            synthetic=first.synthetic,
            undefined=frozenset(name for name, figure in figures.items() if figure is None),
            drawn=tuple(one for one in drawn if one is not None) if None not in drawn else (),
        )  # fmt: skip


@dataclass(frozen=True)
class Comparison:
    """Experiments side by side; `metrics` are the names of the metrics to show, the headline first."""

    lines: tuple[Line, ...]
    metrics: tuple[str, ...]

    @classmethod
    def of(
        cls,
        results: Sequence[Results],
        metrics: Sequence[str] = (),
        resampled: Mapping[tuple[str, int], Resampled] | None = None,
    ) -> Comparison:
        """Groups runs by experiment, in order of first appearance; `resampled` are their scores in other draws of the
        recordings, by experiment and seed.

        Without `metrics`, the headlines and the published metrics come first, then others up to `SHOWN`.
        """
        groups: dict[str, list[Results]] = {}
        for run in results:
            groups.setdefault(run.experiment, []).append(run)
        lines = tuple(Line.of(runs, resampled) for runs in groups.values())
        wanted = dict.fromkeys([line.headline for line in lines] + [name for line in lines for name in line.expected])
        others = dict.fromkeys([*TELLING, *(name for line in lines for name in line.metrics)])
        others = {name: None for name in others if any(name in line.metrics for line in lines)}
        chosen = [*wanted, *(name for name in others if name not in wanted)][: max(SHOWN, len(wanted))]
        return cls(lines, tuple(metrics or chosen))

    def best(self, metric: str) -> str | None:
        """The experiment that is better than every other by more than the draw of recordings and seeds explains."""
        return ahead(self.lines, metric)

    def header(self) -> list[str]:
        """The names of the columns."""
        ends = ["train samples/s", "answers/s", "trainable", "peak MB", "protocol", "scored", "seeds"]
        return ["experiment", "head", "labels", "auxiliary", *self.metrics, *ends]

    def rows(self, bold: Callable[[str], str], plain: Callable[[str], str] = str) -> list[list[str]]:
        """The cells as text; `bold` marks the best, `plain` escapes what is not a number of ours."""
        bests = [self.best(metric) for metric in self.metrics]
        return [self._row(line, bests, bold, plain) for line in self.lines]

    def _row(
        self, line: Line, bests: Sequence[str | None], bold: Callable[[str], str], plain: Callable[[str], str]
    ) -> list[str]:
        names = [line.experiment, line.head, line.labels or "–", line.auxiliary or "–"]
        cells = [self._score(line, metric, best, bold, plain) for metric, best in zip(self.metrics, bests, strict=True)]
        speeds = [significant(line.train_speed.mean), significant(line.evaluation_speed.mean)]
        sizes = [short_count(line.trainable), f"{line.memory:.0f}"]
        measured = [line.protocol, "–" if line.scored is None else str(line.scored), str(len(line.seeds))]
        return [*map(plain, names), *cells, *map(plain, [*speeds, *sizes, *measured])]

    def _score(
        self, line: Line, metric: str, best: str | None, bold: Callable[[str], str], plain: Callable[[str], str]
    ) -> str:
        figure = line.metrics.get(metric)
        text = plain(figure.written(2)) if figure else "–"
        if figure and line.experiment == best:
            text = bold(text)
        return text + plain(f" (published {line.expected[metric]:g})") if metric in line.expected else text

    def notes(self) -> list[str]:
        """What must be read with the numbers."""
        notes = self.warnings()
        if any(len(line.seeds) > 1 for line in self.lines):
            notes.append("Mean ± sample standard deviation over the seeds.")
        if any(metric in line.undefined for line in self.lines for metric in self.metrics):
            notes.append("–: undefined. Answers that rank one label have no top-k, mAP, cAP and ECE.")
        return [*notes, *told(self.lines), *self._counted(), *self._used()]

    def warnings(self) -> list[str]:
        """What forbids to take the numbers at their face."""
        made_up = [line.experiment for line in self.lines if line.synthetic]
        notes = []
        if made_up:
            which = "all experiments" if len(made_up) == len(self.lines) else ", ".join(made_up)
            notes.append(f"Synthetic data ({which}): the numbers say nothing about real video.")
        if len({line.protocol for line in self.lines}) > 1:
            notes.append("The protocols differ: their scores are different measurements.")
        return notes

    def _counted(self) -> list[str]:
        """How much was scored, by experiment where that differs."""
        counts: dict[str, list[str]] = {}
        for line in self.lines:
            if line.drawn:
                run = line.drawn[0]
                asked = ", ".join(f"{count} {ask}" for ask, count in run.asked.items()) if len(run.asked) > 1 else ""
                text = f"{run.answers} answers{asked and f' ({asked})'} of {run.recordings} recordings"
                counts.setdefault(text, []).append(line.experiment)
        return self._by_experiment("Scored", counts)

    def _used(self) -> list[str]:
        """How much of what the data name was used, by experiment where that differs."""
        users: dict[str, list[str]] = {}
        for line in self.lines:
            if line.usage and not line.synthetic:
                users.setdefault(", ".join(f"{what} {value}" for what, value in line.usage.items()), []).append(
                    line.experiment
                )
        return self._by_experiment("Used", users)

    def _by_experiment(self, what: str, found: Mapping[str, Sequence[str]]) -> list[str]:
        """One sentence for all experiments, or one for each group of them."""
        if len(found) == 1 and len(next(iter(found.values()))) == len(self.lines):
            return [f"{what}: {text}." for text in found]
        return [f"{what} ({', '.join(names)}): {text}." for text, names in found.items()]


def significant(value: float) -> str:
    """A speed with three significant digits, never in exponents."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def short_count(count: int) -> str:
    """`98.7M`, `12.3k`, `640`."""
    for unit, size in (("B", 10**9), ("M", 10**6), ("k", 10**3)):
        if count >= size:
            return f"{count / size:.1f}{unit}"
    return str(count)


# ----------------------------------------------------------------------------------------------------------- renderers


def terminal(comparison: Comparison, console: Console) -> None:
    """Prints one table where the terminal is wide enough, otherwise what was run, its scores and what they took."""
    header = comparison.header()
    rows = [
        [cell.replace(" ± ", "±").replace(" (published ", "\n(").replace(" ", "\N{NO-BREAK SPACE}") for cell in row]
        for row in comparison.rows(lambda text: f"[bold green]{text}[/bold green]", lambda text: escape(visible(text)))
    ]
    scores = range(WORDS, WORDS + len(comparison.metrics))
    costs = range(scores.stop, len(header) - NAMED_LAST)
    named = [*range(WORDS), *range(costs.stop, len(header))]
    whole = _printed(header, rows, range(len(header)))
    fits = console.measure(whole, options=console.options.update(width=1000)).maximum <= console.width
    tables = [whole] if fits else [_printed(header, rows, columns) for columns in (named, [0, *scores], [0, *costs])]
    for table in tables:
        console.print(table)
        console.print()
    published = ["In parentheses: the published number."] if any(line.expected for line in comparison.lines) else []
    for note in published + comparison.notes():
        console.print(note, style="dim", highlight=False, markup=False)


def _printed(header: Sequence[str], rows: Sequence[Sequence[str]], columns: Sequence[int]) -> Table:
    """Some columns as a table; those that are empty everywhere are left out to save width, titles break at words."""
    kept = [column for column in columns if any(row[column] != "–" for row in rows)]
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for column in kept:
        words = column < WORDS or header[column] == "protocol"
        title = header[column].replace("_", " ")
        title = title if title.endswith("/s") else title.replace("/", " / ")
        table.add_column(title, justify="left" if words else "right", overflow="fold")
    for row in rows:
        table.add_row(*(Text.from_markup(row[column]) for column in kept))
    return table


def markdown(comparison: Comparison) -> str:
    """A GitHub table with its notes."""
    header = comparison.header()
    lines = [
        "| " + " | ".join(map(markdown_escape, header)) + " |",
        "|" + " --- |" * WORDS + " ---: |" * (len(header) - WORDS),
    ]
    rows = comparison.rows(lambda text: f"**{text}**", markdown_escape)
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([*lines, *(f"\n{markdown_escape(note)}" for note in comparison.notes())]) + "\n"


def markdown_escape(text: str) -> str:
    """Text that Markdown shows as it stands: no markup, no HTML, no link, no further line or cell."""
    return re.sub(r"[\\`*\[\]<>|~&]|(?<![^\W_])_|_(?![^\W_])", r"\\\g<0>", _line(text))


def _line(text: str) -> str:
    """A text as one line without what nobody sees."""
    return visible(" ".join(text.splitlines()))


def as_csv(comparison: Comparison) -> str:
    """Every metric in full precision: mean, standard deviation, whether it is better than every other line's, and the
    published number in columns of their own."""
    metrics = list(dict.fromkeys(name for line in comparison.lines for name in [*line.metrics, *line.expected]))
    published = [name for name in metrics if any(name in line.expected for line in comparison.lines)]
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    names = ["experiment", "dataset", "head", "labels", "auxiliary", "protocol", "seeds", "answers scored"]
    names += ["recordings scored"]
    bests = {name: comparison.best(name) for name in metrics}
    scores = [column for name in metrics for column in (name, f"{name} std", f"{name} best")]
    sizes = ["train samples/s", "answers/s", "trainable parameters", "peak memory MB", "notes"]
    writer.writerow([*names, *scores, *(f"{name} published" for name in published), *sizes])
    for line in comparison.lines:
        values: list[object] = []
        for name in metrics:
            figure, best = line.metrics.get(name), "yes" if bests[name] == line.experiment else ""
            values += [figure.mean, figure.deviation, best] if figure else ["", "", ""]
        scored = (line.drawn[0].answers, line.drawn[0].recordings) if line.drawn else ("", "")
        seeds = " ".join(map(str, line.seeds))
        writer.writerow(map(_no_formula, [
            line.experiment, line.dataset, line.head, line.labels, line.auxiliary, line.protocol, seeds, *scored,
            *values,
            *(line.expected.get(name, "") for name in published), line.train_speed.mean, line.evaluation_speed.mean,
            line.trainable, line.memory, "; ".join(f"{key}: {value}" for key, value in line.usage.items()),
        ]))  # fmt: skip
    return file.getvalue()


def _no_formula(cell: object) -> object:
    """A cell that a spreadsheet does not take for a formula: a text that looks like one has a `'` in front."""
    if not isinstance(cell, str):
        return cell
    text = _line(cell)
    return f"'{text}" if text.lstrip(" ").startswith(("=", "+", "-", "@", "\t")) else text


def latex(comparison: Comparison) -> str:
    """A `tabular` for the booktabs package."""
    header = comparison.header()
    rows = comparison.rows(lambda text: f"\\textbf{{{text}}}", latex_escape)
    columns = "l" * WORDS + "r" * (len(header) - WORDS)
    lines = ["% needs \\usepackage{booktabs}", f"\\begin{{tabular}}{{{columns}}}", "\\toprule"]
    lines += [" & ".join(map(latex_escape, header)) + " \\\\", "\\midrule"]
    lines += [" & ".join(cell.replace("–", "--") for cell in row) + " \\\\" for row in rows]
    lines += ["\\bottomrule", "\\end{tabular}"]
    notes = [latex_escape(note).replace("–", "--") for note in comparison.notes()]
    return "\n".join(lines + [f"\\par\\smallskip{{\\footnotesize {note}}}" for note in notes]) + "\n"


def latex_escape(text: str) -> str:
    """Text that LaTeX prints as it stands; `±` and dashes become commands."""
    special = {character: f"\\{character}" for character in "&%$#_{}"}
    special |= {"\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "±": "$\\pm$"}
    special |= {"<": "\\textless{}", ">": "\\textgreater{}", "|": "\\textbar{}"}
    return "".join(special.get(character, character) for character in _line(text))


def save_comparison(comparison: Comparison, root: Path, stem: str) -> None:
    """Writes `<stem>.md`, `.csv` and `.tex` in the runs folder."""
    for suffix, text in ((".md", markdown(comparison)), (".csv", as_csv(comparison)), (".tex", latex(comparison))):
        write_text(root / f"{stem}{suffix}", text)

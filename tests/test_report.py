"""Tables that say what they compare, and pictures that show something."""

from __future__ import annotations

import csv
import io
import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from matplotlib.image import imread
from rich.console import Console

from gad_core.contracts.components import Corpus
from gad_core.contracts.values import LabelSpace, Predictions
from gad_core.metrics.bootstrap import Resampled
from gad_core.metrics.confusion import Confusion
from gad_core.records.results import Results, Timing
from gad_core.report import compare, comparison_stem, pictures
from gad_core.report.bars import bars
from gad_core.report.confusion import confusion, counted, matrix, shown_classes
from gad_core.report.console import PlainConsole
from gad_core.report.curves import curves, smoothed
from gad_core.report.style import colours
from gad_core.report.table import (
    Comparison,
    Figure,
    as_csv,
    latex,
    latex_escape,
    markdown,
    markdown_escape,
    short_count,
    terminal,
)
from gad_core.report.timeline import stretches, timelines

Drawn = dict[tuple[str, int], Resampled]


def result(experiment: str, seed: int, accuracy: float | None, **changes: Any) -> Results:
    fields: dict[str, Any] = {
        "experiment": experiment, "seed": seed, "identity": "i", "inputs": {}, "code": {},
        "protocol": "clips", "split": "test",
        "components": {
            "dataset": {"use": "segments"}, "head": {"use": experiment}, "labels": {"use": "text"}, "auxiliary": []
        },
        "headline": "accuracy", "metrics": {"map": 10.0 + seed, "accuracy": accuracy},
        "timing": Timing(
            train_seconds=2, train_samples_per_second=12.345, evaluation_seconds=1, evaluation_answers_per_second=800.4
        ),
        "trainable_parameters": 1_234_567, "total_parameters": 10**8, "peak_memory_mb": 512.4, "updates": 3,
    }  # fmt: skip
    return Results(**{**fields, **changes})


@pytest.fixture
def runs() -> list[Results]:
    gad = [result("gad_1", seed, value, expected={"accuracy": 73.0}) for seed, value in ((0, 70.0), (1, 72.0))]
    return [*gad, result("generative", 0, 60.0)]


def drawn(runs: list[Results], *, noise: float = 1.0, recordings: int = 60, test_set: str = "t") -> Drawn:
    """Scores of each run in 1,000 draws of the recordings: what a draw adds is the same for all but for `noise`."""
    shared = np.random.default_rng(0).normal(0, 5, 1000)
    return {
        (run.experiment, run.seed): Resampled(7 * recordings, recordings, test_set, {
            metric: value + shared + np.random.default_rng([run.seed, *run.experiment.encode()]).normal(0, noise, 1000)
            for metric, value in run.metrics.items() if value is not None
        })
        for run in runs
    }  # fmt: skip


@pytest.fixture
def three() -> list[Results]:
    """Three seeds each; `gad_1` is far ahead in accuracy and not in mAP, where it has the best mean."""
    return [
        result(name, seed, accuracy + seed, metrics={"accuracy": accuracy + seed, "map": score + seed, "ece": error})
        for name, accuracy, score, error in (("gad_1", 70.0, 10.2, 20.0), ("generative", 60.0, 10.0, 5.0))
        for seed in range(3)
    ]


GOLDEN = """\
| experiment | head | labels | auxiliary | accuracy | map | ece | train samples/s | answers/s | trainable | peak MB | protocol | scored | seeds |
| --- | --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
| gad_1 | gad_1 | text | – | **71.00 ± 1.00** | 11.20 ± 1.00 | 20.00 ± 0.00 | 12.3 | 800 | 1.2M | 512 | clips | 420 | 3 |
| generative | generative | text | – | 61.00 ± 1.00 | 11.00 ± 1.00 | **5.00 ± 0.00** | 12.3 | 800 | 1.2M | 512 | clips | 420 | 3 |

Mean ± sample standard deviation over the seeds.

Bold: better than every other line. The 95 % interval of each difference excludes zero, by a paired bootstrap over recordings and seeds (1000 draws).

Scored: 420 answers of 60 recordings.
"""  # noqa: E501


def test_markdown(three: list[Results]) -> None:
    assert markdown(Comparison.of(three, resampled=drawn(three))) == GOLDEN


def test_what_cannot_be_told_is_not_bold_and_says_why(three: list[Results], runs: list[Results]) -> None:
    def told(chosen: list[Results], found: Drawn) -> tuple[bool, str]:
        table = markdown(Comparison.of(chosen, resampled=found))
        return "**" in table, " ".join(line for line in table.splitlines() if line.startswith("Nothing is bold"))

    found = drawn(three)
    assert told(three, found) == (True, "")
    assert told(three[:3], found) == (False, "")  # one line
    assert told(three, {}) == (
        False, "Nothing is bold where no difference can be told: no predictions can be read of gad_1, generative "
        "(run it again with --force).")  # fmt: skip
    lacking = {key: one for key, one in found.items() if key != ("generative", 1)}
    bold, reason = told(three, lacking)
    assert not bold and "no predictions can be read of generative (" in reason
    bold, reason = told([three[0], *three[3:]], found)
    assert not bold and "there is one seed of gad_1" in reason
    bold, reason = told(three, drawn(three, recordings=5))
    assert not bold and "the test set has 5 recordings" in reason
    other = [one.model_copy(update={"experiment": "elsewhere"}) for one in three[3:]]
    bold, reason = told([*three, *other], found | drawn(other, test_set="u"))
    assert not bold and "not measured on the same test set" in reason
    dense = [one.model_copy(update={"protocol": "dense"}) for one in three[3:]]
    bold, reason = told([*three[:3], *dense], found)
    assert not bold and "under the same protocol" in reason


@pytest.mark.parametrize(("noise", "bold"), [(0.1, True), (3.0, True), (30.0, False)])
def test_bold_follows_the_difference_and_not_the_spread_of_the_recordings(
    three: list[Results], noise: float, bold: bool
) -> None:
    """Ten points apart; what a draw of recordings does to both (5 points) does not count, what it does to one does."""
    assert Comparison.of(three, resampled=drawn(three, noise=noise)).best("accuracy") == ("gad_1" if bold else None)


def test_equal_answers_are_never_better(three: list[Results]) -> None:
    twins = [one.model_copy(update={"experiment": "twin"}) for one in three[:3]]
    found = drawn(three[:3])
    found |= {("twin", seed): found["gad_1", seed] for seed in range(3)}
    assert Comparison.of([*three[:3], *twins], resampled=found).best("accuracy") is None


def test_seeds_that_disagree_tell_nothing(three: list[Results]) -> None:
    """Seed by seed 10 points up and 8 down: the recordings agree, the seeds do not."""
    up = [
        one.model_copy(update={"metrics": {"accuracy": 60.0 + by}})
        for one, by in zip(three[:3], (20, 2, -7), strict=True)
    ]
    found = drawn([*up, *three[3:]], noise=0.1)
    assert Comparison.of([*up, *three[3:]], resampled=found).best("accuracy") is None


def test_latex(runs: list[Results], three: list[Results]) -> None:
    assert r"\textbf{71.00 $\pm$ 1.00}" in latex(Comparison.of(three, resampled=drawn(three)))
    lines = latex(Comparison.of(runs)).splitlines()
    assert lines[1:3] == [r"\begin{tabular}{llllrrrrrrrrr}", r"\toprule"]
    assert lines[5].startswith(
        r"gad\_1 & gad\_1 & text & -- & 71.00 $\pm$ 1.41 (published 73) & 10.50 $\pm$ 0.71 & 12.3 &"
    )
    assert lines[6].startswith(r"generative & generative & text & -- & 60.00 $\pm$ -- &")
    assert lines[7:9] == [r"\bottomrule", r"\end{tabular}"]


def test_latex_escapes() -> None:
    assert latex_escape("a\nb<c>\x1b[2J") == r"a b\textless{}c\textgreater{}\textbackslash{}x1b[2J"
    assert latex_escape("a_b & 50% {x} \\ ~") == r"a\_b \& 50\% \{x\} \textbackslash{} \textasciitilde{}"


HOSTILE = {
    "html": ("<img src=x onerror=alert(1)>", r"\<img src=x onerror=alert(1)\>"),
    "link": ("[a](javascript:alert(1))", r"\[a\](javascript:alert(1))"),
    "emphasis": ("*a* _b_ __c__ `d` ~~e~~", r"\*a\* \_b\_ \_\_c\_\_ \`d\` \~\~e\~\~"),
    "words": ("mean_top_5", "mean_top_5"),
    "cell": ("a|b\\|c", r"a\|b\\\|c"),
    "lines": ("a\n\n# b\r\nc", "a  # b c"),
    "entity": ("&lt;", r"\&lt;"),
    "escape sequence": ("\x1b]0;TITLE\x07", r"\\x1b\]0;TITLE\\x07"),
}


@pytest.mark.parametrize(("name", "shown"), HOSTILE.values(), ids=HOSTILE)
def test_a_name_is_no_markup(name: str, shown: str) -> None:
    comparison = Comparison.of([result(name, 0, 50.0, usage={"data": name}), result("b", 0, 40.0)])
    table, *notes = markdown(comparison).split("\n\n")
    expected = markdown_escape(name)
    assert expected == shown
    assert len(table.splitlines()) == 4 and f"| {expected} |" in table
    assert any(expected in note for note in notes)
    console = PlainConsole(width=400, file=io.StringIO(), force_terminal=True, color_system=None)
    terminal(comparison, console)
    printed = cast(io.StringIO, console.file).getvalue()
    assert "\x1b]0" not in printed and "\x07" not in printed


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@x", "\tx", "\r=1", '=HYPERLINK("x","y")'])
def test_a_cell_is_no_formula(name: str) -> None:
    (row,) = csv.DictReader(io.StringIO(as_csv(Comparison.of([result(name, 0, -5.0)])), newline=""))
    assert row["experiment"] == f"'{name}".replace("\r", " ") and row["accuracy"] == "-5.0"


def test_names_of_comparisons_fit_a_file_system_and_differ() -> None:
    for letter in ("x", "ä", "한", "🙂"):
        one, other = (comparison_stem(letter * 300 + end) for end in "ab")
        assert one != other and max(len(f".{stem}.00000000.png".encode()) for stem in (one, other)) <= 255


def test_csv_has_every_metric_in_full(runs: list[Results]) -> None:
    more = {f"metric {number}": number / 3 for number in range(9)}
    rows = list(csv.DictReader(io.StringIO(as_csv(Comparison.of([*runs, result("x,y", 0, None, metrics=more)])))))
    assert rows[0]["accuracy std"] == str(2**0.5) and rows[0]["accuracy published"] == "73.0"
    assert (rows[0]["seeds"], rows[1]["accuracy std"], rows[2]["accuracy"]) == ("0 1", "", "")
    assert rows[2]["experiment"] == "x,y" and rows[2]["metric 8"] == str(8 / 3)


def test_csv_says_what_is_best_and_how_much_was_scored(three: list[Results]) -> None:
    rows = list(csv.DictReader(io.StringIO(as_csv(Comparison.of(three, resampled=drawn(three))))))
    assert [row["accuracy best"] for row in rows] == ["yes", ""] and [row["ece best"] for row in rows] == ["", "yes"]
    assert [row["map best"] for row in rows] == ["", ""]
    assert {(row["answers scored"], row["recordings scored"]) for row in rows} == {("420", "60")}


@pytest.mark.parametrize("width", [60, 100, 200])
def test_terminal_shows_every_number_whole(runs: list[Results], width: int) -> None:
    console = Console(width=width, file=io.StringIO())
    terminal(Comparison.of(runs), console)
    text = cast(io.StringIO, console.file).getvalue()
    assert all(word in text for word in ("71.00±1.41", "60.00±–", "12.3", "800", "1.2M", "512", "generative", "73)"))
    assert max(map(len, text.splitlines())) <= width
    assert ("auxiliary" in text) is False  # empty everywhere


def test_what_was_not_measured_alike_has_no_best(runs: list[Results]) -> None:
    other = Comparison.of([*runs, result("dense", 0, 90.0, protocol="dense")])
    assert other.best("accuracy") is None
    assert any("protocols differ" in note for note in other.notes())


def test_synthetic_data_is_named(runs: list[Results]) -> None:
    made = result("toy", 0, 99.0, usage={"data": "generated (kitchen)"}, synthetic=True)
    for write in (markdown, latex):
        assert "Synthetic data (toy)" in write(Comparison.of([*runs, made]))
        assert "Synthetic data (all experiments)" in write(Comparison.of([made]))


def test_undefined_metrics_are_dashes() -> None:
    table = markdown(Comparison.of([result("a", 0, None), result("a", 1, 50.0), result("b", 0, None)]))
    assert "| 50.00 ± – |" in table and "| b | b | text | – | – |" in table
    assert "–: undefined." in table
    assert "–: undefined." not in markdown(Comparison.of([result("a", 0, 1.0), result("b", 0, 1.0)]))


def test_figures() -> None:
    assert Figure.of([]) is None
    assert Figure.of([1.0, 2.0, 3.0]) == Figure(2.0, 1.0, 3)
    assert [short_count(count) for count in (640, 12_345, 98_700_000, 1_240_000_000)] == [
        "640", "12.3k", "98.7M", "1.2B",
    ]  # fmt: skip


def test_a_comparison_is_written_beside_the_runs(runs: list[Results], tmp_path: Path) -> None:
    compare(runs, tmp_path, title="a/b", console=Console(file=io.StringIO()), warn=pytest.fail)
    assert {path.name for path in tmp_path.iterdir()} == {
        f"comparison-a-b{end}" for end in (".md", ".csv", ".tex", ".png")
    }
    assert len(comparison_stem("experiment-" * 99)) < 80


# ------------------------------------------------------------------------------------------------------------ pictures


def looks_drawn(path: Path) -> None:
    """A picture of sane size in which something is drawn in several colours, and its border is empty."""
    image = imread(path)[..., :3]
    height, width = image.shape[:2]
    assert 250 <= height <= 4000 and 600 <= width <= 4000
    inked = (image < 0.97).any(axis=-1)
    assert 0.005 < inked.mean() < 0.9
    assert len(np.unique((image * 15).astype(int).reshape(-1, 3), axis=0)) > 12
    assert not inked[:2].any() and not inked[-2:].any() and not inked[:, :2].any() and not inked[:, -2:].any()


def stream(classes: int, frames: int, recordings: int, seed: int = 0) -> Predictions:
    draw = np.random.default_rng(seed)
    rows = frames * recordings
    truth = np.repeat(draw.integers(0, classes, -(-rows // 50)), 50)[:rows]
    scores = draw.normal(size=(rows, classes)).astype(np.float32)
    scores[np.arange(rows), truth] += 3
    names = tuple(f"rec{row // frames}" for row in range(rows))
    uids = tuple(map(str, range(rows)))
    return Predictions(uids, names, ("current",) * rows, np.arange(rows) % frames, truth, scores)


def space(classes: int) -> LabelSpace:
    return LabelSpace("action", tuple(f"take the {number}. cup" for number in range(classes)), background=0)


LOG: list[dict[str, Any]] = [
    *({"kind": "train", "step": step, "epoch": 1, "losses": {"a": 3 / step, "b": None}} for step in range(1, 40)),
    {"kind": "evaluation", "step": 20, "epoch": 1, "split": "validation", "metrics": {"map": 1.0, "accuracy": 50.0}},
    {"kind": "evaluation", "step": 39, "epoch": 2, "split": "validation", "metrics": {"map": 1.0, "accuracy": None}},
]


@pytest.mark.parametrize("lines", [LOG, LOG[:39], LOG[:1]], ids=["both", "losses", "one update"])
def test_curves(lines: list[dict[str, Any]], tmp_path: Path) -> None:
    looks_drawn(curves(lines, tmp_path / "curves.png", metric="accuracy"))


def test_smoothing_keeps_length_and_constants() -> None:
    values = np.array([2.0, np.nan, 2.0, 2.0])
    for width in (1, 2, 3, 9):
        result = smoothed(values, width)
        assert len(result) == 4 and np.allclose(result[np.isfinite(result)], 2.0)
    np.testing.assert_allclose(smoothed(np.array([0.0, 3.0, 6.0]), 3), [1.5, 3.0, 4.5])


def test_counts_are_truth_by_answer() -> None:
    scores = np.eye(3, dtype=np.float32)[[1, 1, 2, 0]]
    rows = Predictions(tuple("abcd"), tuple("rrrr"), ("x",) * 4, np.arange(4), np.array([0, 1, 2, -1]), scores)
    counts = counted(rows, 3)
    assert matrix(counts, np.arange(3)).tolist() == [[0, 1, 0], [0, 1, 0], [0, 0, 1]]
    assert matrix(counts, np.array([1, 2])).tolist() == [[1, 0], [0, 1]]


def test_the_most_confused_classes() -> None:
    counts = Confusion(5)
    truth, answered = np.divmod([0] * 9 + [6] * 9 + [12] * 9 + [18] * 9 + [8] * 4, 5)
    counts.add(truth, answered)
    assert shown_classes(counts, 2).tolist() == [1, 3]
    assert shown_classes(counts).tolist() == [0, 1, 2, 3]


def test_a_confusion_of_very_many_classes_takes_memory_for_its_answers_alone(tmp_path: Path) -> None:
    classes = 1_000_000  # a matrix of them would take 8 TB
    answered = np.random.default_rng(0).integers(classes, size=300)
    counts = Confusion(classes)
    counts.add(np.arange(300), answered)
    shown = shown_classes(counts)
    assert matrix(counts, shown).shape == (len(shown), len(shown)) == (25, 25)


@pytest.mark.parametrize("classes", [2, 13, 50])
def test_confusion(classes: int, tmp_path: Path) -> None:
    looks_drawn(confusion(stream(classes, 400, 2), space(classes), tmp_path / "confusion.png"))


def test_stretches_reach_the_next_one() -> None:
    assert list(stretches(np.array([0, 2, 4, 6]), np.array([5, 5, 1, 5]))) == [(0, 4, 5), (4, 6, 1), (6, 8, 5)]
    assert list(stretches(np.array([3]), np.array([0]))) == [(3, 4, 0)]


@pytest.mark.parametrize(("classes", "recordings"), [(13, 3), (40, 8), (2, 1)])
def test_timelines(classes: int, recordings: int, tmp_path: Path) -> None:
    looks_drawn(timelines(stream(classes, 300, recordings), space(classes), 10.0, tmp_path / "timeline.png"))


def test_bars(runs: list[Results], tmp_path: Path) -> None:
    looks_drawn(bars(Comparison.of(runs), tmp_path / "bars.png"))


def test_bars_with_bold_and_undefined_metrics(three: list[Results], tmp_path: Path) -> None:
    three[3:] = [one.model_copy(update={"metrics": {**one.metrics, "ece": None}}) for one in three[3:]]
    looks_drawn(bars(Comparison.of(three, resampled=drawn(three)), tmp_path / "bars.png"))


def test_colours_differ() -> None:
    for count in (1, 8, 22, 60):
        assert len(set(map(str, colours(count)))) == count


def test_the_pictures_of_a_run_follow_its_protocol(tmp_path: Path) -> None:
    features = SimpleNamespace(fps=10.0)
    for protocol, expected in (("clips", {"curves", "confusion-current"}), ("dense", {"timeline-current"})):
        corpus = SimpleNamespace(
            spaces={"current": space(5)},
            protocol=protocol,
            headline="map",
            features=features,
            synthetic=True,
        )
        found = pictures(stream(5, 60, 1), cast(Corpus, corpus), LOG)
        for name, draw in found.items():
            draw(tmp_path / protocol / name)
        assert {f"{name}.png" for name in expected} <= set(found) == set(os.listdir(tmp_path / protocol))
        assert ("timeline-current.png" in found) is (protocol == "dense")


LABELS = ("$x$", "take $1 # and $2", "a_{b", r"\frac{1}", "$\\undefined{$", "<b>&amp;%", "切る", "x" * 300)


@pytest.mark.parametrize("name", ["$", "$$", r"$\alpha$ [x]", "$\\bad{$"])
def test_texts_of_the_user_are_drawn_as_they_stand(name: str, tmp_path: Path) -> None:
    named = LabelSpace(name, LABELS)
    rows = replace(stream(len(LABELS), 40, 1), recordings=(name,) * 40)
    looks_drawn(confusion(rows, named, tmp_path / "confusion.png", title=name))
    looks_drawn(timelines(rows, named, 10.0, tmp_path / "timeline.png", note=name))

"""Tables that say what they compare, and pictures that show something."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from matplotlib.image import imread
from rich.console import Console

from gad_core.console import PlainConsole
from gad_core.contracts import Corpus
from gad_core.report import compare, comparison_stem, pictures
from gad_core.report.bars import bars
from gad_core.report.confusion import confusion, count_matrix, most_confused
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
from gad_core.results import Results, Timing
from gad_core.values import LabelSpace, Predictions


def result(experiment: str, seed: int, accuracy: float | None, **changes: Any) -> Results:
    fields: dict[str, Any] = {
        "experiment": experiment, "seed": seed, "identity": "i", "inputs": "j", "protocol": "clips", "split": "test",
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


GOLDEN = """\
| experiment | head | labels | auxiliary | accuracy | map | train samples/s | answers/s | trainable | peak MB | protocol | seeds |
| --- | --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
| gad_1 | gad_1 | text | – | **71.00 ± 1.41** (published 73) | **10.50 ± 0.71** | 12.3 | 800 | 1.2M | 512 | clips | 2 |
| generative | generative | text | – | 60.00 ± – | 10.00 ± – | 12.3 | 800 | 1.2M | 512 | clips | 1 |

Mean ± sample standard deviation over the seeds; the best of a column is bold.
"""  # noqa: E501


def test_markdown(runs: list[Results]) -> None:
    assert markdown(Comparison.of(runs)) == GOLDEN


def test_latex(runs: list[Results]) -> None:
    lines = latex(Comparison.of(runs)).splitlines()
    assert lines[1:3] == [r"\begin{tabular}{llllrrrrrrrr}", r"\toprule"]
    assert lines[5].startswith(
        r"gad\_1 & gad\_1 & text & -- & \textbf{71.00 $\pm$ 1.41} (published 73) & \textbf{10.50 $\pm$ 0.71} & 12.3 &"
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


@pytest.mark.parametrize("width", [60, 100, 200])
def test_terminal_shows_every_number_whole(runs: list[Results], width: int) -> None:
    console = Console(width=width, file=io.StringIO())
    terminal(Comparison.of(runs), console)
    text = cast(io.StringIO, console.file).getvalue()
    assert all(word in text for word in ("71.00±1.41", "60.00±–", "12.3", "800", "1.2M", "512", "generative", "73)"))
    assert max(map(len, text.splitlines())) <= width
    assert ("auxiliary" in text) is False  # empty everywhere


def test_what_was_not_measured_alike_has_no_best(runs: list[Results]) -> None:
    assert Comparison.of(runs).best("accuracy") == {"gad_1"}
    other = Comparison.of([*runs, result("dense", 0, 90.0, protocol="dense")])
    assert other.best("accuracy") == frozenset()
    assert any("protocols differ" in note for note in other.notes())
    assert Comparison.of([result("a", 0, 5.0), result("b", 0, 5.001)]).best("accuracy") == frozenset()


def test_synthetic_data_is_named(runs: list[Results]) -> None:
    made = result("toy", 0, 99.0, usage={"data": "synthetic, generated (kitchen)"})
    for write in (markdown, latex):
        assert "Synthetic data (toy)" in write(Comparison.of([*runs, made]))
        assert "Synthetic data (all experiments)" in write(Comparison.of([made]))


def test_undefined_metrics_are_dashes() -> None:
    table = markdown(Comparison.of([result("a", 0, None), result("a", 1, 50.0), result("b", 0, None)]))
    assert "| 50.00 ± – |" in table and "| b | b | text | – | – |" in table


def test_figures() -> None:
    assert Figure.of([]) is None
    assert Figure.of([1.0, 2.0, 3.0]) == Figure(2.0, 1.0, 3)
    assert [short_count(count) for count in (640, 12_345, 98_700_000, 1_240_000_000)] == [
        "640", "12.3k", "98.7M", "1.2B",
    ]  # fmt: skip


def test_a_comparison_is_written_beside_the_runs(runs: list[Results], tmp_path: Path) -> None:
    compare(runs, tmp_path, title="a/b", console=Console(file=io.StringIO()))
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
    assert count_matrix(rows, 3).tolist() == [[0, 1, 0], [0, 1, 0], [0, 0, 1]]


def test_the_most_confused_classes() -> None:
    counts = np.diag([9, 9, 9, 9])
    counts[1, 3] = 4
    assert most_confused(counts, 2).tolist() == [1, 3]


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
            usage={"data": "synthetic"},
        )
        written = pictures(stream(5, 60, 1), cast(Corpus, corpus), LOG, tmp_path / protocol)
        assert expected <= {path.stem for path in written} and all(path.exists() for path in written)
        assert ("timeline-current" in {path.stem for path in written}) is (protocol == "dense")

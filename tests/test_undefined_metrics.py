"""A metric that the answers cannot define is no number: not in scores or tables, not in the choice of a checkpoint."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_project import Project

from gad_core.metrics import Track, clip_metrics, stream_metrics
from gad_core.metrics.ranking import Ranking

CLASSES = 9
TRUTH = np.arange(40) % CLASSES
ANSWERS = np.random.default_rng(0).integers(0, CLASSES, 40)


def scores(others: float | None, *, named: int = 1, seed: int = 0) -> np.ndarray:
    """Scores of `named` labels an answer, the answer first; all others get `others`, or one of their own if None."""
    rng = np.random.default_rng(seed)
    table = rng.normal(-9, 1, (40, CLASSES)) if others is None else np.full((40, CLASSES), others)
    for row, answer in enumerate(ANSWERS):
        labels = (answer + np.arange(named)) % CLASSES
        table[row, labels] = 1.0 - 0.1 * np.arange(named) + (0 if others == 0 else rng.random())
    return table


ONE_LABEL = {
    "trie": scores(-np.inf),
    "free": np.where(np.isinf(scores(-np.inf)), -np.inf, -3.0),
    "tied": scores(-5.0),
    "hard labels": scores(0.0),
    "tied, some impossible": np.where(np.arange(CLASSES) == 8, -np.inf, scores(-5.0)) + 0.0,
}


@pytest.mark.parametrize("table", ONE_LABEL.values(), ids=ONE_LABEL)
def test_answers_that_rank_one_label_have_no_order(table: np.ndarray) -> None:
    found = clip_metrics(TRUTH, table, CLASSES)
    right = 100 * float((table.argmax(1) == TRUTH).mean())
    assert {name for name, value in found.items() if math.isnan(value)} == {"top5", "ece"}
    assert found["top1"] == pytest.approx(right)
    labels = [f"l{n}" for n in range(CLASSES)]
    tracks = {name: Track(TRUTH, table.argmax(1), table) for name in "ab"}
    found = stream_metrics(tracks, labels=labels, fps=1, background=0)
    assert {name for name in ("map", "cap", "ece") if math.isnan(found[name])} == {"map", "cap", "ece"}
    assert found["frame_accuracy"] == pytest.approx(right)


def test_answers_that_rank_all_labels_have_everything() -> None:
    table = scores(None)
    assert not any(map(math.isnan, clip_metrics(TRUTH, table, CLASSES).values()))
    labels = [f"l{n}" for n in range(CLASSES)]
    found = stream_metrics({"a": Track(TRUTH, ANSWERS, table)}, labels=labels, fps=1, background=0)
    assert not any(math.isnan(found[name]) for name in ("map", "cap", "ece"))


@pytest.mark.parametrize("others", [-np.inf, -5.0])
@pytest.mark.parametrize(("named", "ranked"), [(1, 1), (2, 2), (4, 4), (5, 5), (8, 9), (9, 9)])
def test_top_k_asks_for_k_ranked_labels(named: int, ranked: int, others: float) -> None:
    """A beam of three has no top-5, and what it never reached is not among the best by the order of the classes."""
    ranking = Ranking()
    ranking.add(scores(others, named=named))
    assert ranking.labels == (min(named, ranked) if others == -np.inf else ranked)
    found = clip_metrics(TRUTH, scores(others, named=named), CLASSES)
    assert math.isnan(found["top5"]) == (named < 5) and math.isnan(found["ece"]) == (named < 2)


@pytest.mark.parametrize(("classes", "defined"), [(2, False), (4, False), (5, False), (6, True), (7, True)])
def test_top_5_of_five_is_no_measurement(classes: int, defined: bool) -> None:
    table = np.random.default_rng(0).normal(size=(20, classes))
    found = clip_metrics(np.arange(20) % classes, table, classes)
    assert math.isnan(found["top5"]) is not defined
    assert not math.isnan(found["ece"]) and not math.isnan(found["top1"])


def test_what_has_no_score_is_not_among_the_best() -> None:
    """Six labels are ranked in the first row, one in the second: its truth, class 0, was never reached."""
    table = np.full((2, 8), -np.inf)
    table[0, :6], table[1, 7] = np.arange(6), 1.0
    assert clip_metrics(np.array([1, 0]), table, 8)["top5"] == 50


@given(st.integers(1, 30), st.integers(2, 9), st.integers(0, 99))
def test_rankings_add_up(rows: int, classes: int, seed: int) -> None:
    table = np.random.default_rng(seed).integers(0, 4, (rows, classes)).astype(float)
    whole, parts = Ranking(), Ranking()
    whole.add(table)
    for row in table:
        parts.add(row[None])
    assert whole.labels == parts.labels <= classes


# -------------------------------------------------------------------------------------------------------- whole runs


def results(project: Project, name: str) -> dict[str, float | None]:
    return dict(json.loads((project.root / f"runs/{name}/0/results.json").read_text())["metrics"])


STREAM = "mode: stream, long: 4, short: 2, protocol: dense, background: none"


@pytest.mark.parametrize("decoding", ["trie", "free"])
def test_tables_and_results_have_no_number(decoding: str, tmp_path: Path) -> None:
    project = Project(tmp_path).ready(dataset=STREAM)
    text = (tmp_path / "registry.yaml").read_text()
    (tmp_path / "registry.yaml").write_text(
        text.replace("{use: generative}", f"{{use: generative, decoding: {decoding}}}")
    )
    done = project.gad("run", "registry.yaml", "generative", "discriminative", "--runs", str(tmp_path / "runs"))
    assert done.exit_code == 0, done.output
    told, classified = results(project, "generative"), results(project, "discriminative")
    assert (told["map"], told["cap"], told["ece"]) == (None, None, None)
    assert classified["map"] is not None and told["frame_accuracy"] is not None
    table = (tmp_path / "runs/comparison-generative-discriminative.md").read_text()
    (row,) = (line for line in table.splitlines() if line.startswith("| generative"))
    assert row.split(" | ")[4] == "–" and "–: undefined." in table and "**" not in table
    shown = project.gad("evaluate", str(tmp_path / "runs/generative/0"))
    assert shown.exit_code == 0 and "nan" not in shown.output and "–" in shown.output
    shown = project.gad("evaluate", str(tmp_path / "runs/generative/0"), "--json")
    assert json.loads(shown.stdout)["map"] is None


@pytest.mark.parametrize(
    ("dataset", "training", "metric"),
    [
        (STREAM, "evaluate_every: 1, select: map", "map"),
        (STREAM, "evaluate_every: 1, keep: best", "map"),
        (STREAM, "evaluate_every: 1, patience: 2", "map"),
        ("mode: clips", "evaluate_every: 1, select: ece", "ece"),
        ("mode: clips", "evaluate_every: 1, select: top5", "top5"),
    ],
)
def test_no_checkpoint_is_chosen_by_an_undefined_metric(
    dataset: str, training: str, metric: str, tmp_path: Path
) -> None:
    project = Project(tmp_path).ready(dataset=dataset, training=training)
    failed = project.gad("run", "registry.yaml", "generative", "--runs", str(tmp_path / "runs"))
    assert failed.exit_code == 2 and f"'{metric}' is undefined on test" in failed.stderr
    assert "`select` one of " in failed.stderr and ("frame_accuracy" in failed.stderr) is (dataset == STREAM)


def test_an_undefined_headline_hinders_no_run_that_chooses_nothing(tmp_path: Path) -> None:
    project = Project(tmp_path).ready(dataset=STREAM, training="evaluate_every: 1")
    done = project.gad("run", "registry.yaml", "generative", "--runs", str(tmp_path / "runs"))
    assert done.exit_code == 0, done.output
    assert results(project, "generative")["map"] is None


def test_a_score_file_of_hard_labels(tmp_path: Path) -> None:
    recording = {"truth": [0, 1, 2, 2], "predicted": [0, 1, 1, 2], "scores": np.eye(3)[[0, 1, 1, 2]].tolist()}
    content = {"fps": 2, "background": 0, "labels": ["none", "run", "jump"], "recordings": {"a": recording}}
    (tmp_path / "scores.json").write_text(json.dumps(content))
    project = Project(tmp_path)
    found = json.loads(project.gad("score", str(tmp_path / "scores.json"), "--json").stdout)
    assert (found["map"], found["cap"], found["ece"]) == (None, None, None) and found["frame_accuracy"] == 75
    lines = dict(
        line.split(maxsplit=1) for line in project.gad("score", str(tmp_path / "scores.json")).stdout.splitlines()[1:]
    )
    assert lines["map"].startswith("–") and lines["frame_accuracy"].startswith("75.00")

"""The comparison of whole runs: what is bold, what cannot be told, how much was scored."""

from __future__ import annotations

import io
import json

import pytest
from click.testing import Result
from rich.console import Console
from small_project import LABELS, Project

from gad_core.metrics.bootstrap import DRAWS, load_resampled
from gad_core.records.results import load_predictions, load_results, save_predictions
from gad_core.report import compare

RUNS = ("discriminative", "gad")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Two finished experiments of two seeds each, on eight test recordings."""
    made = Project(tmp_path_factory.mktemp("compared"))
    for number in range(4, 12):
        made.write_features(f"r{number}", made.features(number))
        made.rows += [(f"r{number}", 3 * n, 3 * n + 3, label, "test") for n, label in enumerate(LABELS)]
    made.rows = [row for row in made.rows if row[0] not in ("r2", "r3")]
    made.ready()
    assert run(made).exit_code == 0
    return made


def run(project: Project) -> Result:
    return project.gad(
        "run", "registry.yaml", *RUNS, "--seed", "0", "--seed", "1", "--runs", str(project.root / "runs")
    )


def comparison(project: Project) -> str:
    return (project.root / "runs/comparison-discriminative-gad.md").read_text()


def test_a_run_keeps_its_draws(project: Project) -> None:
    path = project.root / "runs/gad/1/predictions.npz"
    kept = load_resampled(path)
    metrics = json.loads((path.parent / "results.json").read_text())["metrics"]
    assert (kept.answers, kept.recordings) == (24, 8)
    assert kept.metrics.keys() == {name for name, value in metrics.items() if value is not None}
    assert {len(values) for values in kept.metrics.values()} == {DRAWS}
    assert kept.test_set == load_resampled(project.root / "runs/discriminative/0/predictions.npz").test_set


def test_the_comparison_says_how_much_was_scored(project: Project) -> None:
    table = comparison(project)
    assert "Scored: 24 answers of 8 recordings." in table and "| clips | 24 | 2 |" in table
    assert "Bold: better than every other line." in table


@pytest.mark.parametrize("damage", ["cut", "missing", "without draws"])
def test_a_finished_run_whose_predictions_cannot_be_read_is_never_compared(project: Project, damage: str) -> None:
    root = project.root / "runs"
    runs = [load_results(root / name / seed) for name in RUNS for seed in "01"]
    path = root / "gad/1/predictions.npz"
    whole, predictions = path.read_bytes(), load_predictions(path)
    try:
        path.unlink()
        if damage == "cut":
            path.write_bytes(whole[: len(whole) // 2])
        if damage == "without draws":
            save_predictions(predictions, path)
        compare(runs, root, title="damaged", console=Console(file=io.StringIO()), warn=pytest.fail)
    finally:
        path.write_bytes(whole)
    for suffix in (".md", ".tex"):
        table = (root / f"comparison-damaged{suffix}").read_text()
        assert "**" not in table and "textbf" not in table and "no predictions can be read of gad (" in table

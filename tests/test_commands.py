"""The whole path of a user through the command line, on a small project."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from small_project import LABELS, Project

import gad_core
from gad_core.data.features import FeatureStore
from gad_core.metrics.score import score_file
from gad_core.records.results import load_predictions, load_results


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("project")).ready(training="evaluate_every: 1, keep: best")
    result = project.gad("run", "registry.yaml")
    assert result.exit_code == 0, result.output
    return project


def test_a_run_leaves_what_it_promises(project: Project) -> None:
    for name in ("generative", "discriminative", "gad"):
        folder = project.root / "runs" / name / "0"
        results = load_results(folder)
        assert results.experiment == name
        assert results.protocol == "clips"
        assert results.selected_on == "test top1"
        assert set(results.versions) >= {"gad", "torch", "transformers", "peft", "python"}
        assert results.components["dataset"]["use"] == "segments"
        assert results.trainable_parameters > 0
        assert len(load_predictions(folder / "predictions.npz")) == 6
        for file in (
            "registry.yaml",
            "log.jsonl",
            "curves.png",
            "confusion-current.png",
            "checkpoints/last",
            "checkpoints/best",
        ):
            assert (folder / file).exists(), file
        assert not list(folder.glob("resume-*"))
        again = project.gad("check", str(folder / "registry.yaml"))
        assert again.exit_code == 0, again.output
    written = {path.suffix for path in (project.root / "runs").glob("comparison-default.*")}
    assert written == {".md", ".csv", ".tex", ".png"}


def test_a_finished_run_is_kept_until_its_inputs_change(project: Project) -> None:
    results = project.root / "runs" / "discriminative" / "0" / "results.json"
    before = results.stat().st_mtime_ns
    assert "nothing has changed" in project.gad("run", "registry.yaml", "discriminative").output
    assert results.stat().st_mtime_ns == before
    project.rows.append(("r2", 9, 10, LABELS[0], "test"))
    project.write(training="evaluate_every: 1, keep: best")
    assert project.gad("run", "registry.yaml", "discriminative").exit_code == 0
    assert results.stat().st_mtime_ns != before
    assert len(load_predictions(results.parent / "predictions.npz")) == 7


def test_check_and_show(project: Project) -> None:
    checked = project.gad("check", "registry.yaml").output
    assert "gad" in checked
    assert "is right" in checked
    shown = project.gad("show", "registry.yaml", "gad").output
    for word in ("CLS CUE ANSWER AUXILIARY EOS", "[CLS]", "⟨eos⟩", "supervised", "connector", "PROMPT", "*"):
        assert word in shown, word


def test_verify_against_an_experiment(project: Project) -> None:
    sound = project.gad("features", "verify", "mine.lmdb", "registry.yaml", "gad")
    assert sound.exit_code == 0, sound.output
    assert "4 used of 4 named by gad" in sound.output


def test_evaluate_says_what_the_run_said(project: Project) -> None:
    result = project.gad("evaluate", "runs/gad/0", "--json")
    assert result.exit_code == 0, result.output
    scored = json.loads(result.output)
    known = load_results(project.root / "runs" / "gad" / "0").metrics
    assert set(scored) == set(known)
    every = project.gad("evaluate", "runs/generative/0", "--set", "head.decoding=score-all", "--json")
    assert json.loads(every.output)["top1"] >= 0
    assert project.gad("evaluate", "runs/gad/0", "--split", "train").exit_code == 0


def test_predict_clips_and_streams(project: Project) -> None:
    clip = project.gad(
        "predict", "runs/gad/0", "mine.lmdb", "--recording", "r2", "--start", "0", "--end", "3", "--top", "2"
    )
    assert clip.exit_code == 0, clip.output
    rows = list(csv.DictReader(io.StringIO(clip.output)))
    assert [(row["recording"], row["start"], row["end"]) for row in rows] == [("r2", "0.000", "3.000")] * 2
    assert {row["label"] for row in rows} <= set(LABELS)
    assert float(rows[0]["probability"]) >= float(rows[1]["probability"])
    out = project.root / "answers.csv"
    stream = project.gad("predict", "runs/gad/0", "mine.lmdb", "--stream", "--window", "4", "--out", str(out))
    assert stream.exit_code == 0, stream.output
    assert len(out.read_text().splitlines()) == 1 + 4 * 20


def test_a_run_loads_in_python(project: Project) -> None:
    loaded = gad_core.load(project.root / "runs" / "discriminative" / "0")
    store = FeatureStore(project.root / "mine.lmdb")
    stored = load_predictions(project.root / "runs" / "discriminative" / "0" / "predictions.npz")
    samples = loaded.experiment.dataset.open().samples("test")
    found = loaded.predict(samples, store)
    np.testing.assert_allclose(found.scores, stored.scores, rtol=1e-4, atol=1e-5)
    assert loaded.spaces["current"].labels == tuple(sorted(LABELS))
    states = loaded.readouts(samples, store, batch=2)
    (layer,) = loaded.model.head.layers.values()  # type: ignore[union-attr,operator]
    read = layer(torch.from_numpy(states)).detach().numpy()
    np.testing.assert_allclose(read, found.scores, rtol=1e-4, atol=1e-5)


def test_a_stream_from_end_to_end(tmp_path: Path) -> None:
    project = Project(tmp_path).ready(dataset="mode: stream, long: 4, short: 3, protocol: dense, standardize: true")
    result = project.gad("run", "registry.yaml", "gad", "discriminative")
    assert result.exit_code == 0, result.output
    results = load_results(tmp_path / "runs" / "gad" / "0")
    assert results.protocol == "dense"
    assert "segment_f1/0.10/macro" in results.metrics
    assert (tmp_path / "runs" / "gad" / "0" / "timeline-current.png").exists()
    window = project.gad("evaluate", "runs/gad/0", "--set", "dataset.protocol=window")
    assert window.exit_code == 0, window.output
    assert "(window)" in window.output.replace("\n", "")


def test_workers_and_resident_features_change_nothing_and_trackers_track(tmp_path: Path) -> None:
    found = []
    for name, training in (
        ("plain", "workers: 0"),
        ("helped", "workers: 2, trackers: [tensorboard], log_every: 1"),
        ("resident", "resident: true"),
    ):
        (tmp_path / name).mkdir()
        project = Project(tmp_path / name).ready(training=training)
        result = project.gad("run", "registry.yaml", "gad")
        assert result.exit_code == 0, result.output
        found.append(load_predictions(project.root / "runs" / "gad" / "0" / "predictions.npz").scores)
    assert all(np.array_equal(found[0], other) for other in found[1:])
    assert list((tmp_path / "helped" / "runs" / "trackers").rglob("events.out.tfevents*"))


def test_score_reads_predictions_of_any_system(tmp_path: Path) -> None:
    recording = {"truth": [0, 0, 1, 1, 0, 2], "predicted": [0, 0, 1, 1, 0, 2]}
    file = {
        "fps": 1,
        "background": 0,
        "ignored": [],
        "labels": ["background", "a", "b"],
        "recordings": {"x": recording},
    }
    path = tmp_path / "answers.json"
    path.write_text(json.dumps(file))
    result = Project(tmp_path).gad("score", str(path), "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.output)["segment_f1/0.10/micro"] == 100
    assert score_file(path)["frame_accuracy"] == 100


def test_a_stream_answers_as_the_protocols_do(tmp_path: Path) -> None:
    project = Project(tmp_path).ready(dataset="mode: stream, long: 4, short: 2")
    assert project.gad("run", "registry.yaml", "discriminative").exit_code == 0
    loaded = gad_core.load(tmp_path / "runs" / "discriminative" / "0")
    store = FeatureStore(tmp_path / "mine.lmdb")
    for mode, protocol in (("window", "window"), ("cached", "stream")):
        result = project.gad("stream", "runs/discriminative/0", "mine.lmdb", "--mode", mode)
        assert result.exit_code == 0 and "(p95)" in result.output
        rows = list(csv.DictReader(io.StringIO(result.stdout)))
        assert len([row for row in rows if row["recording"] in store.lengths]) == sum(store.lengths.values())
        dataset = loaded.experiment.dataset.model_copy(update={"protocol": protocol})
        corpus = dataset.open()  # type: ignore[attr-defined]
        assert corpus.protocol == protocol
        offline = loaded.predict(corpus.samples("test"), store)
        answered = {(row["recording"], row["time"]): row for row in rows}
        for recording, frame, scores in zip(offline.recordings, offline.frames, offline.scores, strict=True):
            row = answered[recording, f"{frame / store.fps:.3f}"]
            chances = loaded.probabilities(scores[None])[0]
            assert float(row["probability"]) == pytest.approx(float(chances.max()), abs=2e-4)
    message = project.refused("stream", "runs/discriminative/0", "mine.lmdb", "nobody")
    assert "no recording 'nobody'" in message

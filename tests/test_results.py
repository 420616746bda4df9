"""The run folder: files that are whole, logs that survive a kill, results that say when they no longer stand."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import yaml

from gad_core.errors import CheckpointError
from gad_core.experiment import Experiment
from gad_core.files import write_folder, write_json, write_text, writing
from gad_core.results import (
    SMALL,
    Log,
    Results,
    RunFolder,
    Timing,
    fingerprint,
    load_predictions,
    load_results,
    save_predictions,
)
from gad_core.values import Predictions


def results(**changes: Any) -> Results:
    fields: dict[str, Any] = {
        "experiment": "demo", "seed": 0, "identity": "abc", "inputs": "def", "protocol": "clips", "split": "test",
        "components": {"head": {"use": "gad"}, "labels": None, "auxiliary": [{"use": "next"}, {"use": "goal"}]},
        "headline": "accuracy", "metrics": {"accuracy": 71.5, "map": float("nan")},
        "timing": Timing(
            train_seconds=2, train_samples_per_second=10, evaluation_seconds=1, evaluation_answers_per_second=20
        ),
        "trainable_parameters": 10, "total_parameters": 100, "peak_memory_mb": 512.0, "updates": 3,
    }  # fmt: skip
    return Results(**{**fields, **changes})


def predictions() -> Predictions:
    scores = np.array([[0.5, -1.25, -np.inf], [1e-8, 3.0, 2.0]], dtype=np.float32)
    return Predictions(("a:1", "Ü|2"), ("rec", "rec"), ("current", "next"), np.array([1, 2]), np.array([-1, 2]), scores)


def experiment(learning_rate: float = 1e-4) -> Experiment:
    resolved = {
        "dataset": {"use": "segments", "features": "x.lmdb"}, "backbone": {"use": "llama-tiny"}, "head": {"use": "gad"},
        "labels": None, "auxiliary": [], "training": {"learning_rate": learning_rate},
    }  # fmt: skip
    fields = {"name": "demo", "description": "", "expected": {"accuracy": 70.0}, "seeds": (0, 1)}
    return cast(Experiment, SimpleNamespace(resolved=lambda: resolved, **fields))


# --------------------------------------------------------------------------------------------------------------- files


def interrupted(path: Path) -> None:
    path.write_text("half")
    raise KeyboardInterrupt


def test_a_failed_writing_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.txt"
    write_text(path, "old\r\n")
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "half \ud800")
    with pytest.raises(KeyboardInterrupt), writing(path) as temporary:
        interrupted(temporary)
    assert path.read_bytes() == b"old\r\n"
    assert os.listdir(path.parent) == ["file.txt"]


def test_a_failed_folder_leaves_the_old_one(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint"
    for text in ("first", "second"):
        with write_folder(folder) as new:
            (new / text).write_text(text)
    assert os.listdir(folder) == ["second"]
    with pytest.raises(KeyboardInterrupt), write_folder(folder) as new:
        interrupted(new / "third")
    assert (os.listdir(folder), os.listdir(tmp_path)) == (["second"], ["checkpoint"])


def test_json_has_no_nan_and_keeps_the_order(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    value = {"b": float("nan"), "a": [np.float32(0.5), float("inf")], "path": Path("x"), "array": np.arange(2)}
    write_json(path, value)
    read = json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(name))
    assert list(read.items()) == [("b", None), ("a", [0.5, None]), ("path", "x"), ("array", [0, 1])]


# ----------------------------------------------------------------------------------------------------------------- log


@pytest.fixture
def log(tmp_path: Path) -> Log:
    log = Log(tmp_path / "log.jsonl")
    for step in (1, 2, 3):
        log.train(step, 1, {"classification": 1 / step}, learning_rate=1e-4, gradient_norm=1.0, samples_per_second=9.0)
    log.evaluation(3, 1, "validation", {"accuracy": 50.0, "map": float("nan")})
    return log


def test_log_lines_come_back(log: Log) -> None:
    lines = log.lines()
    assert [line["step"] for line in lines] == [1, 2, 3, 3]
    assert lines[-1]["kind"] == "evaluation" and lines[-1]["metrics"] == {"accuracy": 50.0, "map": None}


def test_a_torn_last_line_is_left_out_and_cut_away(log: Log) -> None:
    whole = log.path.read_bytes()
    for torn in range(1, 60):
        log.path.write_bytes(whole + whole[:torn])
        assert len(log.lines()) == 4
    log.cut(2)
    log.evaluation(2, 1, "validation", {})
    assert [(line["kind"], line["step"]) for line in log.lines()] == [
        ("train", 1), ("train", 2), ("evaluation", 2),
    ]  # fmt: skip


def test_a_damaged_line_inside_is_an_error_at_its_number(log: Log) -> None:
    lines = log.path.read_text().splitlines(keepends=True)
    log.path.write_text("".join([lines[0], "{broken\n", *lines[1:]]))
    with pytest.raises(CheckpointError, match=r"log\.jsonl:2"):
        log.lines()


def test_other_processes_write_nothing(tmp_path: Path) -> None:
    log = Log(tmp_path / "log.jsonl", writes=False)
    log.evaluation(1, 1, "test", {"accuracy": 1.0})
    log.cut(0)
    assert not log.path.exists() and log.lines() == []


# ------------------------------------------------------------------------------------------------------------- results


def test_results_come_back(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, "demo", 0)
    folder.write_results(results())
    loaded = load_results(folder.path)
    assert loaded.metrics == {"accuracy": 71.5, "map": None}
    assert loaded.model_dump(exclude={"metrics"}) == results(finished=loaded.finished).model_dump(exclude={"metrics"})
    assert {"python", "numpy", "torch"} <= set(loaded.versions) and loaded.machine["cores"]
    assert (loaded.uses("head"), loaded.uses("labels"), loaded.uses("auxiliary")) == ("gad", "", "next + goal")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"experiment": "demo"}'])
def test_damaged_results_say_what_to_do(tmp_path: Path, text: str) -> None:
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"results\.json: is damaged(.|\n)*gad run --force"):
        load_results(tmp_path)


def test_missing_results_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no finished run"):
        load_results(tmp_path)


def test_a_finished_run_stands_until_options_or_inputs_change(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, "demo", 0)
    assert folder.finished("abc", "def") is None
    folder.write_results(results())
    assert folder.finished("abc", "def") is not None
    assert folder.finished("abX", "def") is None and folder.finished("abc", "deX") is None


@pytest.mark.parametrize(
    ("resume", "inputs", "fresh", "kept"),
    [(True, "def", False, True), (False, "def", False, False), (True, "new", False, False), (True, "def", True, False)],
)
def test_an_interrupted_run_goes_on_only_on_the_same_inputs(
    tmp_path: Path, resume: bool, inputs: str, fresh: bool, kept: bool
) -> None:
    folder = RunFolder(tmp_path, "demo", 0)
    folder.prepare(experiment(), "abc", "def")
    Log(folder.log).evaluation(1, 1, "test", {})
    if resume:
        (folder.path / "resume-00000001").mkdir()
    folder.prepare(experiment(), "abc", inputs, fresh=fresh)
    assert folder.log.exists() is kept


def test_a_finished_run_that_no_longer_stands_is_removed(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, "demo", 0)
    folder.prepare(experiment(), "abc", "def")
    folder.write_results(results())
    folder.prepare(experiment(), "abc", "def")
    assert folder.finished("abc", "def") is None and not folder.log.exists()


def test_the_resolved_registry_is_a_registry(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, "demo", 0)
    folder.prepare(experiment(learning_rate=1e-5), "abc", "def")
    text = (folder.path / "registry.yaml").read_text()
    book = yaml.safe_load(text)
    assert book["experiments"]["demo"] == {
        "dataset": "segments", "backbone": "llama-tiny", "head": "gad", "training": "recipe", "seeds": [0, 1],
        "expected": {"accuracy": 70.0},
    }  # fmt: skip
    assert book["training"]["recipe"]["learning_rate"] == 1e-5
    assert book["datasets"]["segments"]["features"] == "x.lmdb"


# ----------------------------------------------------------------------------------------- fingerprint and predictions


def test_a_fingerprint_changes_with_the_content_and_only_with_it(tmp_path: Path) -> None:
    small, store = tmp_path / "a.csv", tmp_path / "b.lmdb"
    small.write_text("one")
    store.mkdir()
    (store / "data.mdb").write_bytes(b"x")
    before = fingerprint([small, store])
    os.utime(small, ns=(0, 0))
    (store / "lock.mdb").write_bytes(b"y")
    assert fingerprint([store, small]) == before
    small.write_text("two")
    assert fingerprint([small, store]) != before
    small.write_text("one")
    (store / "data.mdb").write_bytes(b"z")
    assert fingerprint([small, store]) != before
    assert fingerprint([tmp_path / "missing"]) != fingerprint([])


def test_a_large_file_is_known_by_its_time(tmp_path: Path) -> None:
    large = tmp_path / "data.mdb"
    with large.open("wb") as file:
        file.truncate(SMALL + 1)
    before = fingerprint([large])
    assert fingerprint([large]) == before
    os.utime(large, ns=(0, 0))
    assert fingerprint([large]) != before


def test_predictions_come_back(tmp_path: Path) -> None:
    path, saved = tmp_path / "predictions.npz", predictions()
    save_predictions(saved, path)
    loaded = load_predictions(path)
    assert (loaded.uids, loaded.recordings, loaded.asks) == (saved.uids, saved.recordings, saved.asks)
    for key in ("frames", "truth", "scores"):
        np.testing.assert_array_equal(getattr(loaded, key), getattr(saved, key))
    assert loaded.scores.dtype == np.float32 and loaded.truth.dtype == np.int64


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 torn", None])
def test_damaged_predictions_are_an_error(tmp_path: Path, damage: bytes | None) -> None:
    path = tmp_path / "predictions.npz"
    if damage is not None:
        path.write_bytes(damage)
    with pytest.raises(CheckpointError, match=r"predictions\.npz: cannot be read"):
        load_predictions(path)


def test_a_torn_predictions_file_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "predictions.npz"
    save_predictions(predictions(), path)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(CheckpointError):
        load_predictions(path)

"""The run folder: files that are whole, logs that survive a kill, results that say when they no longer stand."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gad_core.contracts.values import Predictions
from gad_core.errors import CheckpointError
from gad_core.files.writing import sha256_of, sweep, write_folder, write_json, write_text, writing
from gad_core.records.results import (
    Log,
    Results,
    Timing,
    load_predictions,
    load_results,
    save_predictions,
    write_results,
)


def results(**changes: Any) -> Results:
    fields: dict[str, Any] = {
        "experiment": "demo", "seed": 0, "identity": "abc", "inputs": {}, "code": {},
        "protocol": "clips", "split": "test",
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
            (new / "weights").write_text(text)
    with pytest.raises(KeyboardInterrupt), write_folder(folder) as new:
        interrupted(new / "weights")
    assert (folder / "weights").read_text() == "second"
    assert (os.listdir(folder), os.listdir(tmp_path)) == (["weights"], ["checkpoint"])


def test_a_replaced_folder_keeps_what_somebody_else_put_there(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint"
    for text in ("first", "second"):
        with write_folder(folder) as new:
            (new / "weights").write_text(text)
        (folder / f"notes of the {text}").write_text("mine")
    assert sorted(os.listdir(folder)) == ["notes of the first", "notes of the second", "weights"]
    assert (folder / "weights").read_text() == "second"


def left_behind(folder: Path) -> Path:
    """What a process leaves that is killed while it writes."""
    child = os.fork()
    if not child:
        with writing(folder / "weights.safetensors") as temporary:
            temporary.write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    (path,) = folder.glob(".gad-*")
    return path


def test_what_a_killed_process_left_is_swept_away_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / ".gadget").write_text("mine")
    dead = left_behind(tmp_path)
    with writing(tmp_path / "weights.safetensors") as living:
        living.write_text("half")
        sweep(tmp_path)
        assert living.exists() and not dead.exists()
    assert sorted(os.listdir(tmp_path)) == [".gadget", "weights.safetensors"]


def test_what_another_machine_left_is_swept_away_after_a_day(tmp_path: Path) -> None:
    path = tmp_path / ".gad-00000000-1-0123abcd.json"
    path.write_text("half")
    sweep(tmp_path)
    assert path.exists()
    os.utime(path, (time.time() - 2 * 24 * 3600,) * 2)
    sweep(tmp_path)
    assert not path.exists()


def test_a_long_name_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / f"{'n' * 250}.json"
    write_text(path, "x")
    assert os.listdir(tmp_path) == [path.name]


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
    write_results(results(), tmp_path)
    loaded = load_results(tmp_path)
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


@pytest.mark.parametrize(
    ("old", "new"), [("71.5", "99.5"), ('"seed": 0', '"seed": 1'), ('"use": "gad"', '"use": "bad"'), ('"seal"', '"s"')]
)
def test_edited_results_are_damaged(tmp_path: Path, old: str, new: str) -> None:
    write_results(results(), tmp_path)
    path = tmp_path / "results.json"
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(CheckpointError, match="not as it was written"):
        load_results(tmp_path)


def test_results_vouch_for_their_files(tmp_path: Path) -> None:
    weights = tmp_path / "checkpoints" / "last" / "weights.safetensors"
    write_text(weights, "right")
    found = results(files={"checkpoints/last/weights.safetensors": sha256_of(weights)})
    found.require_files(tmp_path)
    assert found.require_checkpoint(tmp_path) == weights.parent
    weights.write_text("wrong")
    for require in (found.require_files, found.require_checkpoint):
        with pytest.raises(CheckpointError, match=r"weights\.safetensors: is not as it was written"):
            require(tmp_path)
    weights.unlink()
    found.require_files(tmp_path)  # removed to save room: the figures stand
    with pytest.raises(CheckpointError, match="not there any more"):
        found.require_checkpoint(tmp_path)


# --------------------------------------------------------------------------------------------------------- predictions


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

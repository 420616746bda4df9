"""`gad check --data`: everything that is wrong with broken layouts at once, with the tree that was expected."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from small_project import Project

from gad_core.cli import main

CLASSES = ["Background", "Diving", "Ambiguous"]
REGISTRY = """
version: 1
backbones: {{tiny: {{use: llama-tiny}}}}
heads: {{d: {{use: discriminative}}}}
datasets: {{it: {dataset}}}
experiments:
  one: {{dataset: it, backbone: tiny, head: d}}
  two: {{dataset: it, backbone: tiny, head: d, seeds: [1]}}
"""
OAD = "{use: oad, preset: thumos14, features: it.lmdb, data_info: data_info.json, targets: targets}"
COIN = "{use: coin, features: it.lmdb, annotations: COIN.json}"


def pack(root: Path, lengths: dict[str, int], fps: float) -> None:
    """A feature store of zeros."""
    (root / "raw").mkdir()
    for name, length in lengths.items():
        np.save(root / "raw" / f"{name}.npy", np.zeros((length, 4), np.float32))
    command = ["features", "pack", str(root / "raw"), str(root / "it.lmdb"), "--fps", str(fps)]
    assert CliRunner().invoke(main, command).exit_code == 0


def checked(root: Path, dataset: str, *, exit_code: int = 2) -> str:
    """What `gad check --data` says."""
    (root / "registry.yaml").write_text(REGISTRY.format(dataset=dataset))
    result = CliRunner().invoke(main, ["check", str(root / "registry.yaml"), "--data"])
    assert result.exit_code == exit_code, result.output
    assert "Traceback" not in result.output
    return result.output


def one_hot(length: int, classes: int = len(CLASSES)) -> np.ndarray:
    return np.eye(classes, dtype=np.uint8)[np.arange(length) % classes]


@pytest.fixture
def oad(tmp_path: Path) -> Path:
    """Four recordings in the field's layout, as they should be."""
    lengths = {"a": 12, "b": 9, "c": 11, "d": 10}
    pack(tmp_path, lengths, fps=4)
    (tmp_path / "targets").mkdir()
    for name, length in lengths.items():
        np.save(tmp_path / "targets" / f"{name}.npy", one_hot(length))
    info = {"class_names": CLASSES, "train_session_set": ["a", "b"], "test_session_set": ["c", "d"], "fps": 4}
    (tmp_path / "data_info.json").write_text(json.dumps(info))
    return tmp_path


def test_right_data_are_counted_once_for_all_that_use_them(oad: Path) -> None:
    told = checked(oad, OAD, exit_code=0)
    assert "dataset oad of one and 1 more" in told and told.count("features:") == 1
    assert "features: 4 recordings, 42 frames at 4 a second, 1 × 4 each" in told
    assert "recordings: 4 of 4" in told and "classes: 3 of action" in told and "are right" in told


def test_all_that_is_wrong_with_a_layout_is_listed(oad: Path) -> None:
    (oad / "targets/a.npy").unlink()
    np.save(oad / "targets/b.npy", one_hot(30))
    np.save(oad / "targets/c.npy", one_hot(11, 5))
    info = {"class_names": CLASSES, "train_session_set": ["a", "b", "e", "b"], "test_session_set": ["c", "d"], "fps": 5}
    (oad / "data_info.json").write_text(json.dumps(info))
    told = checked(oad, OAD)
    for fault in (
        "recording 'b' stands in train_session_set and again in train_session_set",
        "recording 'a' of train has no targets a.npy",
        "b.npy: 30 frames, but 9 in the features",
        "c.npy: the targets are uint8 (11, 5), but there are 3 classes",
        "recording 'e' of train has no targets e.npy",
        "5 things are wrong",
    ):
        assert fault in told, told
    for path in ("it.lmdb", "data_info.json", "targets"):
        assert f"    {oad / path}  " in told


def test_files_that_are_not_there_are_listed_with_the_tree(tmp_path: Path) -> None:
    told = checked(tmp_path, COIN)
    assert told.count("is not there") == 2 and "COIN.json: {" in told and "2 things are wrong" in told


def test_all_that_is_wrong_with_coin_is_listed(tmp_path: Path) -> None:
    pack(tmp_path, {"a": 20, "b": 20, "c": 20, "d": 20, "e": 20}, fps=2)

    def video(subset: str, *steps: tuple[float, float, str]) -> dict[str, object]:
        named = [{"id": str(number), "segment": [s, e], "label": label} for number, (s, e, label) in enumerate(steps)]
        return {"class": "MakeTea", "subset": subset, "duration": 10, "annotation": named}

    good = [(0.0, 2.0, "pour"), (3.0, 3.0, "stir"), (4.0, 6.0, "stir")]
    videos = {
        "a": video("training", *good),
        "b": video("trainings", *good),
        "c": video("testing", (8.0, 14.0, "pour"), (3.0, 2.0, "stir"), *good),
        "d": {"subset": "testing", "annotation": []},
        "e": video("testing", *good),
        "f": video("testing", *good),
    }
    entries = ", ".join(f'"{name}": {json.dumps(entry)}' for name, entry in [*videos.items(), ("e", videos["e"])])
    (tmp_path / "COIN.json").write_text(f'{{"database": {{{entries}}}}}')
    told = checked(tmp_path, COIN)
    for fault in (
        "'e' stands there twice",
        "b: unknown subset 'trainings'",
        "c: step 0: segment 8 to 14 s is outside the video of 10 s",
        "c: step 1: segment 3 to 2 s is outside",
        "d: lacks class",
        "1 of 4 videos are not in the feature store: f",
        "6 things are wrong with the data",
    ):
        assert fault in told, told
    (tmp_path / "COIN.json").write_text(json.dumps({"database": {name: videos[name] for name in "ae"}}))
    told = checked(tmp_path, COIN, exit_code=0)
    assert "steps without length: 2 left out" in told
    assert "train: 4 samples (2 current, 1 next, 1 goal)" in told


def test_all_that_is_wrong_with_segments_is_listed(tmp_path: Path) -> None:
    project = Project(tmp_path).ready()
    project.rows += [
        ("r0", 1, 2, "fly", "test"),
        ("gone", 0, 1, "cut onion", "test"),
        ("r1", 5, 90, "cut onion", "train"),
    ]
    project.rows += [("r2", 4, 3, "cut onion", "test")]
    project.write(dataset="mode: stream, labels: [background, cut tomato, cut onion, wash tomato]")
    told = project.refused("check", "registry.yaml", "--data")
    for fault in (
        "1 of 5 recordings are not in the feature store: gone (line 15)",
        "mine.csv:14: label 'fly' is not in `labels`",
        "mine.csv:14: recording 'r0' is in 'test' and, line 2, in 'train'",
        "mine.csv:16: 5 to 90 seconds reaches beyond recording 'r1'",
        "mine.csv:17: start 4 is not before end 3",
    ):
        assert fault in told, told

"""The dataset keeps what every dataset keeps, reads the layout as it is, and says what is wrong with it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from gad_frame_labels.__main__ import turn_and_pack
from gad_frame_labels.plugin import FrameLabels

from gad_core.plugin import DataError, FeatureError, FeatureStore, Packing
from gad_core.testing import DatasetContract

CLASSES = ["SIL", "pour_milk", "stir_milk", "take_cup"]
VIDEOS = {"P01_milk": "train", "P02_milk": "train", "P03_milk": "test", "P04_milk": "test"}
REGISTRY = """version: 1
datasets: {milk: {use: frame-labels, root: data, features: data/features.lmdb, long: 6, short: 4}}
backbones: {tiny: {use: tiny}}
heads: {gad: {use: gad}}
labels: {text: {use: text}}
auxiliaries: {past: {use: past}}
training: {short: {epochs: 1, batch: 8, evaluate_every: null}}
experiments: {first: {dataset: milk, backbone: tiny, head: gad, labels: text, auxiliary: past, training: short}}
"""


def make_files(root: Path, **options) -> FrameLabels:
    """The layout with four videos of 14 frames and features of 6 values."""
    for name in ("groundTruth", "splits", "features"):
        (root / name).mkdir(parents=True)
    (root / "mapping.txt").write_text("".join(f"{index} {label}\n" for index, label in enumerate(CLASSES)))
    labels = np.repeat([0, 3, 1, 2, 1, 0, 2], 2)
    for number, video in enumerate(VIDEOS):
        order = np.roll(labels, 2 * number)
        (root / "groundTruth" / f"{video}.txt").write_text("".join(f"{CLASSES[label]}\n" for label in order))
        array = np.eye(6)[:, order] + 0.1 * np.random.default_rng(number).normal(size=(6, 14))
        np.save(root / "features" / f"{video}.npy", array.astype(np.float32))
    for split in ("train", "test"):
        names = [f"{video}.txt\n" for video, own in VIDEOS.items() if own == split]
        (root / "splits" / f"{split}.split1.bundle").write_text("".join(names))
    turn_and_pack(root / "features", root / "features.lmdb", Packing(15.0))
    return FrameLabels(root=root, features=root / "features.lmdb", long=4, short=3, **options)


class TestWindows(DatasetContract):
    component = make_files


class TestDense(DatasetContract):
    @staticmethod
    def component(folder: Path) -> FrameLabels:
        return make_files(folder, protocol="dense", queries="dense", background_weight=0.5)


def test_an_experiment_runs(gad, tmp_path):
    make_files(tmp_path / "data")
    result = gad("run", REGISTRY)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "runs" / "first" / "0" / "results.json").is_file()


def test_the_layout_is_read_as_it_is(tmp_path):
    corpus = make_files(tmp_path).open()
    space = corpus.spaces["current"]
    assert space.labels == tuple(CLASSES) and space.written[1] == "pour milk" and space.background == 0
    first = corpus.samples("test")[0]
    assert first.clip.recording == "P03_milk"
    array = np.load(tmp_path / "features" / "P03_milk.npy")
    read = corpus.features.read("P03_milk", range(14))[:, 0]
    np.testing.assert_allclose(read, array.T, atol=1e-2)
    assert corpus.features.fps == 15.0


@pytest.mark.parametrize(
    ("place", "text", "told"),
    [
        ("mapping.txt", "0 SIL\n2 pour_milk\n", "indices are not 0, 1, 2"),
        ("mapping.txt", "0 SIL\npour_milk\n", r"mapping.txt:2: 'pour_milk' is no class"),
        ("groundTruth/P01_milk.txt", "SIL\nfly\n", r"P01_milk.txt:2: 'fly' is not in mapping.txt"),
        ("groundTruth/P01_milk.txt", "SIL\n" * 15, "15 labels for 14 frames"),
        ("splits/train.split1.bundle", "P09_milk.txt\n", "P09_milk.txt: cannot be read"),
        ("splits/test.split1.bundle", "P01_milk.txt\n", "'P01_milk' is in both splits"),
        ("splits/test.split1.bundle", "", "names no video"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, place, text, told):
    made = make_files(tmp_path)
    (tmp_path / place).write_text(text)
    with pytest.raises(DataError, match=told):
        made.open()


def test_a_surplus_of_labels_is_cut_on_request(tmp_path):
    made = make_files(tmp_path, tolerance=1)
    path = tmp_path / "groundTruth" / "P01_milk.txt"
    path.write_text(path.read_text() + "SIL\n")
    assert len(made.open().samples("test")) == 28


def test_another_background(tmp_path):
    made = make_files(tmp_path, background="stir_milk")
    assert made.open().spaces["current"].background == 2
    with pytest.raises(DataError, match="no class 'fly'"):
        FrameLabels.model_validate({**made.options(), "background": "fly"}).open()


def test_packing_from_the_command_line(tmp_path):
    make_files(tmp_path)
    command = [sys.executable, "-m", "gad_frame_labels", str(tmp_path / "features"), str(tmp_path / "again.lmdb")]
    subprocess.run([*command, "--fps", "30"], check=True)
    assert FeatureStore(tmp_path / "again.lmdb").header.fps == 30.0
    refused = subprocess.run([*command[:3], str(tmp_path / "splits"), *command[4:], "--fps", "30"], capture_output=True)
    assert refused.returncode == 2 and b"holds no .npy file" in refused.stderr
    np.save(tmp_path / "features" / "flat.npy", np.zeros(3))
    with pytest.raises(FeatureError, match="shape"):
        turn_and_pack(tmp_path / "features", tmp_path / "third.lmdb", Packing(15.0))

"""Whatever is wrong with the input is said where it is, with what to do, and exit code 2."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from small_project import REGISTRY, Project

from gad_core.contracts.values import LabelSpace
from gad_core.errors import DataError
from gad_core.model.action_model import ActionModel


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("use: discriminative}", "use: discriminative, droput: 0.1}", 6, "did you mean 'dropout'"),
        ("{use: gad}", "{use: gad, use: gad}", 7, "second time"),
        ("epochs: 1", "epochs: many", 11, "training.quick.epochs"),
        ("hidden: 16", "hidden: -4", 2, "backbones.tiny.hidden"),
        ("head: gad,", "head: gda,", 15, "did you mean 'gad'"),
        ("{use: text}", "{use: txet}", 3, "did you mean 'text'"),
        ("labels: text, auxiliary", "auxiliary", 15, "needs a label tokenizer"),
        ("discriminative, training", "discriminative, labels: text, training", 14, "has no effect"),
        ("version: 1", "version: 7", 1, "version"),
        ("experiments:", "experimnets:", 12, "did you mean 'experiments'"),
    ],
)
def test_a_wrong_registry(project: Project, old: str, new: str, line: int, said: str) -> None:
    project.write(registry=REGISTRY.replace(old, new, 1))
    message = project.refused("check", "registry.yaml")
    assert f"registry.yaml:{line}:" in message
    assert said in message


def test_missing_files_are_all_named_before_anything_runs(project: Project) -> None:
    project.write()
    message = project.refused("run", "registry.yaml", "gad")
    assert "mine.lmdb" in message
    assert "gad features pack" in message
    assert not (project.root / "runs").exists()
    assert "no such file" in project.refused("run", "absent.yaml")


def test_an_unknown_experiment(project: Project) -> None:
    project.ready()
    assert "did you mean 'gad'" in project.refused("run", "registry.yaml", "gadd")
    assert "did you mean 'generative'" in project.refused("show", "registry.yaml", "generativ")


def rows(change: Callable[[list[tuple[object, ...]]], object]) -> Callable[[Project], None]:
    """A change of the annotations."""

    def apply(project: Project) -> None:
        change(project.rows)

    return apply


@pytest.mark.parametrize(
    ("break_it", "dataset", "said"),
    [
        (rows(lambda r: r.append(("r9", 0, 1, "cut onion", "test"))), "mode: clips", ["mine.csv", "r9"]),
        (rows(lambda r: r.append(("r0", 8, 99, "cut onion", "train"))), "mode: clips", ["mine.csv:14", "r0"]),
        (rows(lambda r: r.append(("r0", 1, 2, "cut onion", "train"))), "mode: stream", ["mine.csv", "overlap"]),
        (rows(lambda r: r.append(("r0", 9, 9, "cut onion", "train"))), "mode: clips", ["mine.csv:14"]),
        (rows(lambda r: r.append(("r0", 9, "nan", "cut onion", "train"))), "mode: clips", ["mine.csv:14"]),
        (rows(lambda r: r.append(("r0", 9, 9.5, "peel", "train"))), "labels: [cut tomato, cut onion, wash tomato]",
         ["peel", "mine.csv:14"]),
        (rows(lambda r: r.__setitem__(slice(6, None), [])), "mode: clips", ["test"]),
        (rows(lambda r: r.__setitem__(slice(None), [(*x[:3], "cut onion", x[4]) for x in r])), "mode: clips",
         ["mine.csv", "1 label only"]),
        (lambda project: None, "fps: 3", ["3", "2"]),
        (lambda project: None, "mode: clips, labels: absent.txt", ["absent.txt"]),
    ],
    ids=["missing recording", "beyond the end", "overlap", "empty segment", "not a time", "unknown label",
         "empty split", "one class", "fps", "no label file"],
)  # fmt: skip
def test_wrong_annotations(
    project: Project, break_it: Callable[[Project], None], dataset: str, said: list[str]
) -> None:
    break_it(project)
    registry = REGISTRY.replace("fps: 2, ", "") if dataset.startswith("fps") else REGISTRY
    project.ready(dataset=dataset, registry=registry)
    message = project.refused("run", "registry.yaml", "discriminative")
    assert all(word in message for word in said), message
    assert not list(project.root.glob("runs/*/*/results.json"))


@pytest.mark.parametrize("resident", ["false", "true"])
def test_features_that_are_not_numbers(project: Project, resident: str) -> None:
    array = project.features(9)
    array[7, 2] = np.nan
    project.write_features("r1", array)
    result = project.pack()
    assert result.exit_code == 2
    assert "r1.npy" in result.output
    assert "frame 7" in result.output
    assert project.pack("--allow-nonfinite").exit_code == 0
    project.write(training=f"resident: {resident}")
    message = project.refused("run", "registry.yaml", "discriminative")
    assert "NaN" in message
    assert "r1" in message
    assert "r1" in project.refused("features", "verify", "mine.lmdb")


def test_features_of_different_widths(project: Project) -> None:
    project.write_features("r3", np.ones((20, 4), dtype=np.float32))
    result = project.pack()
    assert result.exit_code == 2
    assert "r3.npy" in result.output
    assert "width 4" in result.output


def test_labels_that_cannot_be_written_apart(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    from gad_core.huggingface.subwords import SubwordText

    plain = SubwordText.encode
    project.ready()
    monkeypatch.setattr(SubwordText, "encode", lambda self, text: plain(self, text.replace("onion", "tomato")))
    message = project.refused("run", "registry.yaml", "generative")
    assert "written alike" in message
    monkeypatch.setattr(SubwordText, "encode", lambda self, text: plain(self, text.replace(" cut onion", "")))
    message = project.refused("run", "registry.yaml", "generative")
    assert "no token at all" in message
    assert "unique-token" in message


def test_a_label_that_holds_what_separates_labels(project: Project) -> None:
    project.rows = [(*row[:3], str(row[3]).replace("cut onion", "cut, onion"), row[4]) for row in project.rows]
    generative = REGISTRY.splitlines()[-3]
    both = generative.replace("generative:", "both:").replace("training", "auxiliary: previous, training")
    project.ready(registry=f"{REGISTRY}{both}\n")
    assert "between two labels" in project.refused("run", "registry.yaml", "both")
    # Nothing is read back from what GAD writes, and alone the label ends where its text does.
    assert project.gad("run", "registry.yaml", "generative", "gad").exit_code == 0


def test_labels_must_differ() -> None:
    with pytest.raises(DataError, match="repeats 'cut'"):
        LabelSpace("action", ("cut", "wash", "cut"))
    with pytest.raises(DataError, match="no labels"):
        LabelSpace("action", ())


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with a finished run."""
    project = Project(tmp_path_factory.mktemp("trained")).ready()
    result = project.gad("run", "registry.yaml", "gad")
    assert result.exit_code == 0, result.output
    return project


def test_a_checkpoint_of_other_labels(trained: Project) -> None:
    kept = list(trained.rows)
    trained.rows = [(*row[:3], str(row[3]).replace("wash", "rinse"), row[4]) for row in kept]
    trained.write()
    message = trained.refused("evaluate", "runs/gad/0")
    assert "other labels" in message
    assert "rinse tomato" in message
    trained.rows = kept
    trained.write()
    assert trained.gad("evaluate", "runs/gad/0").exit_code == 0


def test_a_damaged_or_missing_checkpoint(trained: Project) -> None:
    assert "holds no finished run" in trained.refused("evaluate", "runs/other/0")
    weights = trained.root / "runs" / "gad" / "0" / "checkpoints" / "last" / "weights.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:100])
    assert "is not as it was written" in trained.refused("evaluate", "runs/gad/0")
    weights.write_bytes(whole)


def test_predicting_with_other_features(trained: Project) -> None:
    (trained.root / "other").mkdir()
    other = Project(trained.root / "other", width=7)
    assert other.pack().exit_code == 0
    message = trained.refused("predict", "runs/gad/0", "other/mine.lmdb")
    assert "width 7" in message
    assert "trained on 1 of width 5" in message
    assert "no recording 'r9'" in trained.refused("predict", "runs/gad/0", "mine.lmdb", "--recording", "r9")
    assert "no frame" in trained.refused("predict", "runs/gad/0", "mine.lmdb", "--start", "90", "--end", "91")
    assert "not trained to answer" in trained.refused("predict", "runs/gad/0", "mine.lmdb", "--asks", "goal")
    assert "cannot set" in trained.refused("evaluate", "runs/gad/0", "--set", "training.epochs=3")


def test_a_backbone_that_is_not_there(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = REGISTRY.split("{tiny: {")[1].split("}}")[0]
    registry = REGISTRY.replace(tiny, "use: llama, checkpoint: ./absent")
    project.ready(registry=registry)
    assert "absent" in project.refused("run", "registry.yaml", "discriminative")
    monkeypatch.setenv("GAD_CACHE", str(project.root))
    project.write(registry=registry.replace("use: llama, checkpoint: ./absent", "use: smollm2"))
    assert "python -m gad_smollm2 fetch" in project.refused("run", "registry.yaml", "discriminative")


@pytest.mark.parametrize(
    ("training", "said"),
    [
        ("select: top11", "no metric 'top11'"),
        ("validation: dev", "dev"),
        ("phases: [{epochs: 1, losses: [generation]}]", "generation"),
        ("phases: [{epochs: 1, train: [rows]}]", "does not have"),
    ],
)
def test_a_training_that_cannot_be(project: Project, training: str, said: str) -> None:
    project.ready(training=training)
    assert said in project.refused("run", "registry.yaml", "discriminative")


@pytest.mark.parametrize(
    ("method", "said"),
    [("forward", "in training"), ("predict", "in evaluating test: ")],
    ids=["training", "evaluation"],
)
def test_too_little_memory(project: Project, monkeypatch: pytest.MonkeyPatch, method: str, said: str) -> None:
    project.ready()
    monkeypatch.setattr(ActionModel, method, lambda self, batch: torch.empty(1 << 60))
    message = project.refused("run", "registry.yaml", "discriminative")
    assert f"out of memory {said}" in message
    assert ("`micro_batch` below 4" if method == "forward" else "`evaluation_batch` below 8") in message

"""`gad check --data` warns of leaks, repetitions and uneven classes, whatever the dataset."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from small_project import LABELS, Project

from gad_core.contracts.components import Corpus
from gad_core.contracts.values import Clip, LabelRef, LabelSpace, Predictions, Prompt, Query, Sample
from gad_core.data.corpora import FrameLabels, StreamCorpus
from gad_core.data.features import ArrayFeatures
from gad_core.data.warnings import stretches, tallies, told, warnings
from gad_core.data.windows import Windows

Rows = list[tuple[object, ...]]


def checked(root: Path, rows: Rows, **texts: str) -> str:
    """What `gad check --data` says of some rows, which are right."""
    project = Project(root)
    project.rows += rows
    project.ready(**texts)
    result = project.gad("check", "registry.yaml", "--data")
    assert result.exit_code == 0, result.output
    return result.output


def test_clips_and_seconds_of_every_class_are_counted(tmp_path: Path) -> None:
    said = checked(tmp_path, [("r0", 9, 10, "cut tomato", "train")])
    assert "train by class of current: cut tomato 3 (7 s), cut onion 2 (6 s), wash tomato 2 (6 s)" in said
    assert "test by class of current: cut onion 2 (6 s)" in said
    (tmp_path / "stream").mkdir()
    stream = checked(tmp_path / "stream", [], dataset="mode: stream, long: 4, short: 2")
    assert "train by class of current: background 2 (2 s), cut onion 2 (6 s)" in stream


def test_of_many_classes_the_extremes_are_told() -> None:
    space = LabelSpace("action", tuple(f"c{n:02d}" for n in range(40)))
    corpus = Guest(space, {"train": [("a", n, n + 1, n % 40) for n in range(50)], "test": [("b", 0, 1, 0)]})
    line = told(tallies(stretches(corpus, "train"))["current"], space, 2.0)
    assert line.startswith("40 of 40: c00 2 (1 s), c01 2") and line.endswith("c39 1 (0.5 s)") and len(line) < 300


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([("r0", 0, 3, "cut tomato", "test")], "1 of 7 rows of test are in train too: r0 0 to 3 s"),
        ([("r0", 0, 3, "cut onion", "test")], "1 of 7 rows of test are in train too"),
        ([("r0", 9, 10, "cut onion", "test")], "1 of 3 recordings of test are in train too: r0"),
        ([("r1", 9, 10, "cut onion", "validation")], "1 of 1 recordings of validation are in train too: r1"),
        ([("r0", 0, 3, "cut tomato", "train")], "1 of 6 rows of train are there more than once: r0 0 to 3 s"),
        ([("r2", 0, 3, "cut tomato", "test")] * 3, "1 of 6 rows of test are there more than once"),
        ([("r0", 0, 3, "cut onion", "train")], "2 of 7 rows of train give the same frames different labels: r0"),
        ([("r2", 9, 10, "peel", "test")], "1 of 4 classes of `current` in test are never shown in training: 'peel'"),
        ([("r0", 9, 10, "Cut-Tomato", "train")], "'Cut-Tomato' and 'cut tomato'"),
        ([("r0", 9, 10, "cuttomato", "train")], "classes of 'action' that differ in case, blanks or punctuation only"),
        ([], "3 of 3 classes of `current` have fewer than 5 training examples: 'cut onion' (2)"),
        ([("r0", 3 + n / 10, 4 + n / 10, "cut onion", "train") for n in range(20)],
         "uneven in training, 11 to 1 in examples: 'cut onion' 22, 'cut tomato' 2"),
    ],
)  # fmt: skip
def test_what_may_be_a_mistake_is_a_warning(tmp_path: Path, rows: Rows, said: str) -> None:
    warned = [line for line in checked(tmp_path, rows).splitlines() if line.startswith("  warning: ")]
    assert any(said in line for line in warned), warned


def test_what_is_right_gives_no_warning(tmp_path: Path) -> None:
    rows = [(f"r{n % 2}", n / 2, n / 2 + 0.5, label, "train") for n, label in enumerate(LABELS * 5)]
    said = checked(tmp_path, rows)
    assert "warning" not in said and "are right." in said


def test_the_same_features_under_another_name_are_a_leak(tmp_path: Path) -> None:
    project = Project(tmp_path)
    for copy in ("r2", "copied"):
        project.write_features(copy, project.features(0))
    project.rows += [("copied", 0, 3, "cut tomato", "train")]
    project.ready()
    said = project.gad("check", "registry.yaml", "--data").output
    assert "1 of 2 recordings of test have the very features of one in train: r2 is r0" in said


def test_a_recording_of_a_stream_in_two_splits() -> None:
    labels = np.array([0, 0, 1, 1, 0])
    corpus = StreamCorpus(
        actions=LabelSpace("action", ("background", "cut"), background=0),
        goals=None,
        features=ArrayFeatures({"a": np.ones((5, 2)), "b": np.ones((5, 2))}, 1.0),
        recordings={"train": [FrameLabels("a", labels)], "test": [FrameLabels("a", labels), FrameLabels("b", labels)]},
        windows=Windows(long=2, short=2, stride=2, protocol="window", queries="last"),
    )
    said = "\n".join(warnings(corpus, {split: stretches(corpus, split) for split in corpus.splits}))
    assert "3 of 6 rows of test are in train too: a 0 to 2 s" in said
    assert "1 of 2 recordings of test are in train too: a" in said
    assert "uneven" not in said


class Guest(Corpus):
    """A corpus of somebody's own: clips or windows of rows (recording, first, stop, class)."""

    def __init__(
        self, space: LabelSpace, rows: dict[str, list[tuple[str, int, int, int]]], protocol: str = "clips"
    ) -> None:
        self.spaces, self.prompts, self.protocol = {"current": space}, {"current": Prompt(before="?")}, protocol
        self.features = ArrayFeatures({name: np.ones((60, 2)) for name in "abc"}, 2.0)
        self.splits, self.headline, self._rows = tuple(rows), "top1", rows

    def samples(self, split: str, epoch: int = 0, seed: int = 0) -> Sequence[Sample]:
        return [
            Sample(f"{n}", Clip(name, range(first, stop)), "current",
                   (Query(stop - first, {"current": (LabelRef("action", label),)}),))
            for n, (name, first, stop, label) in enumerate(self._rows[split])
        ]  # fmt: skip

    def score(self, predictions: Predictions) -> dict[str, float]:
        return {}


def test_datasets_of_guests_are_looked_at_too() -> None:
    space = LabelSpace("action", ("cut", "stir"))
    rows = {"train": [("a", 0, 4, 0), ("a", 0, 4, 0), ("b", 0, 4, 0)], "test": [("a", 0, 4, 0), ("c", 0, 4, 1)]}
    for protocol in ("clips", "window"):
        corpus = Guest(space, rows, protocol)
        found = {split: stretches(corpus, split) for split in corpus.splits}
        assert found["test"][0].stop - found["test"][0].first == (4 if protocol == "clips" else 1)
        said = "\n".join(warnings(corpus, found))
        for part in (
            "1 of 2 rows of test are in train too",
            "1 of 2 rows of train are there more than once",
            "'stir' (1)",
        ):
            assert part in said

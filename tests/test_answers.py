"""What `gad predict` and `gad stream` say is what was asked, at the rate and in the windows of the training."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from small_project import REGISTRY, Project

import gad_core
from gad_core.contracts.probabilities import probabilities
from gad_core.data.features import FeatureStore
from gad_core.data.features.memory import ArrayFeatures
from gad_core.errors import FeatureError, RegistryError
from gad_core.runs.answering import csv_line
from gad_core.runs.loading import load
from gad_core.testing import write_store

STREAM = """\
  stream: {use: segments, features: mine.lmdb, annotations: mine.csv, mode: stream, long: 4, short: 3}
"""
TRAINING = "evaluate_every: null, max_steps: 2"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A finished run on clips, one on a stream and one that writes; the same recordings at another rate."""
    found = Project(tmp_path_factory.mktemp("answers"))
    registry = REGISTRY.replace("training:", STREAM + "training:", 1)
    registry += "  stream: {dataset: stream, backbone: tiny, head: discriminative, training: quick}\n"
    found.ready(registry=registry, training=TRAINING, dataset="mode: clips, max_frames: 12")
    assert found.gad("run", "registry.yaml", "discriminative", "generative", "stream", "--quiet").exit_code == 0
    every = {f"r{number}": found.features(number) for number in range(4)}
    write_store(found.root / "fast.lmdb", every, fps=29.97)
    write_store(found.root / "near.lmdb", every, fps=2.001)
    write_store(found.root / "slow.lmdb", every, fps=1)
    return found


def rows(project: Project, *words: str) -> list[dict[str, str]]:
    done = project.gad(*words)
    assert done.exit_code == 0, (done.output, done.exception)
    return list(csv.DictReader(io.StringIO(done.stdout)))


# ------------------------------------------------------------------------------------------- clips, or frame by frame


def test_a_model_of_clips_takes_a_recording_for_one_clip_thinned_as_in_training(project: Project) -> None:
    found = rows(project, "predict", "runs/discriminative/0", "mine.lmdb")
    assert [(row["recording"], row["start"], row["end"]) for row in found] == [
        (f"r{number}", "0.000", "10.000") for number in range(4)
    ]
    loaded = gad_core.load(project.root / "runs/discriminative/0")
    frames = np.linspace(0, 19, 12).round().astype(np.int64)
    scores = loaded.predict([loaded.clip("r0", frames)], FeatureStore(project.root / "mine.lmdb")).scores
    assert float(found[0]["probability"]) == pytest.approx(loaded.probabilities(scores).max(), abs=1e-4)


def test_a_model_of_a_stream_answers_at_every_frame_in_its_own_windows(project: Project) -> None:
    found = rows(project, "predict", "runs/stream/0", "mine.lmdb", "--recording", "r3")
    assert [(row["start"], row["end"]) for row in found] == [(f"{t / 2:.3f}", f"{(t + 1) / 2:.3f}") for t in range(20)]
    live = rows(project, "stream", "runs/stream/0", "mine.lmdb", "r3", "--mode", "window")
    assert [row["label"] for row in live[:20]] == [row["label"] for row in found]
    for one, other in zip(found, live, strict=False):
        assert float(one["probability"]) == pytest.approx(float(other["probability"]), abs=2e-4)


def test_start_and_end_bound_the_frames_of_a_stream_and_not_what_they_see(project: Project) -> None:
    whole = rows(project, "predict", "runs/stream/0", "mine.lmdb", "--recording", "r3")
    part = rows(project, "predict", "runs/stream/0", "mine.lmdb", "--recording", "r3", "--start", "5", "--end", "7")
    assert part == [row for row in whole if 5 <= float(row["start"]) < 7]


def test_either_kind_can_be_asked_the_other_way(project: Project) -> None:
    assert len(rows(project, "predict", "runs/stream/0", "mine.lmdb", "--clip")) == 4
    found = rows(project, "predict", "runs/discriminative/0", "mine.lmdb", "--stream", "--window", "3")
    assert len(found) == 4 * 20


@pytest.mark.parametrize(
    "words",
    [
        ("predict", "runs/discriminative/0", "mine.lmdb", "--stream"),
        ("stream", "runs/discriminative/0", "mine.lmdb"),
    ],
)
def test_a_model_of_clips_has_no_windows(project: Project, words: tuple[str, ...]) -> None:
    assert "was trained on clips" in project.refused(*words)
    with pytest.raises(RegistryError, match="trained on clips"):
        gad_core.load(project.root / "runs/discriminative/0").stream()


# ------------------------------------------------------------------------------------------------------ options


@pytest.mark.parametrize(
    "options",
    [
        "--start nan", "--end nan", "--start inf", "--end inf", "--start -1", "--start 4 --end 4", "--start 99",
        "--top 0", "--top -3", "--stream --window 0", "--stream --window -2", "--window 3", "--recording nobody",
        "--asks next",
    ],
)  # fmt: skip
def test_options_that_mean_nothing_are_refused(project: Project, options: str) -> None:
    project.refused("predict", "runs/discriminative/0", "mine.lmdb", *options.split())


@pytest.mark.parametrize("frames", ["0", "-1"])
def test_a_stream_sees_a_frame_at_least(project: Project, frames: str) -> None:
    project.refused("stream", "runs/stream/0", "mine.lmdb", "--frames", frames)


# --------------------------------------------------------------------------------------------------------- rates


@pytest.mark.parametrize("command", ["predict", "stream"])
def test_features_of_another_rate_are_refused_unless_they_are_wanted(project: Project, command: str) -> None:
    message = project.refused(command, "runs/stream/0", "fast.lmdb")
    assert "the model was trained on 2 frames a second, these are 29.97" in message
    assert "--any-fps" in message
    assert len(rows(project, command, "runs/stream/0", "fast.lmdb", "--any-fps")) >= 80
    assert len(rows(project, command, "runs/stream/0", "near.lmdb")) >= 80, "a rate that is nearly the same will do"


def test_python_refuses_other_rates_too(project: Project) -> None:
    loaded = gad_core.load(project.root / "runs/stream/0")
    fast = ArrayFeatures({"new": project.features(9)}, fps=5.0)
    samples = [loaded.clip("new", range(4))]
    for ask in (loaded.predict, loaded.readouts):
        with pytest.raises(FeatureError, match="2 frames a second, these are 5"):
            ask(samples, fast)
        assert len(ask(samples, fast, any_fps=True)) == 1
    with pytest.raises(FeatureError, match="2 frames a second, these are 5"):
        loaded.stream(fps=5.0)
    with loaded.stream(fps=2.0) as stream:
        assert stream.push(project.features(9)[0]).shape == (1, len(loaded.spaces["current"]))


def test_evaluation_refuses_a_store_of_another_rate(project: Project) -> None:
    other = ("evaluate", "runs/discriminative/0", "--set", f"dataset.features='{project.root}/slow.lmdb'")
    other = (*other, "--set", "dataset.fps=null")
    assert "trained on 2 frames a second, these are 1" in project.refused(*other)
    assert project.gad(*other, "--any-fps", "--json").exit_code == 0


# --------------------------------------------------------------------------------------------------- probabilities


@given(arrays(np.float32, (3, 4), elements=st.floats(-80, 80, width=32)))
def test_logits_share_one(scores: np.ndarray) -> None:
    padded = np.concatenate([scores, np.full((3, 1), -np.inf)], axis=1)
    found = probabilities(padded, "logits")
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert (found[:, 4] == 0).all()
    np.testing.assert_allclose(found, probabilities(padded + 7, "logits"), rtol=1e-5)
    for row, chances in zip(scores, found, strict=True):
        assert chances[int(row.argmax())] == chances.max()


def test_the_score_of_a_chosen_label_is_its_own_log_probability() -> None:
    found = probabilities(np.array([[np.log(0.25), -np.inf, -np.inf]]), "log-probabilities")
    assert found[0, 0] == pytest.approx(0.25)
    assert np.isnan(found[0, 1:]).all()


def test_distances_say_no_probability() -> None:
    assert np.isnan(probabilities(np.array([[-1.0, -2.0]]), "distances")).all()


@pytest.mark.parametrize("run", ["discriminative", "stream"])
def test_the_labels_of_an_answer_share_one(project: Project, run: str) -> None:
    found = rows(project, "predict", f"runs/{run}/0", "mine.lmdb", "--recording", "r1", "--clip", "--top", "9")
    space = gad_core.load(project.root / f"runs/{run}/0").spaces["current"]
    assert [row["label"] for row in found] != []
    assert {row["label"] for row in found} == set(space.labels)
    assert sum(float(row["probability"]) for row in found) == pytest.approx(1, abs=2e-3)


def test_what_a_generative_head_says_about_probability(project: Project) -> None:
    run = project.root / "runs/generative/0"
    store = FeatureStore(project.root / "mine.lmdb")
    found = {}
    for decoding in ("free", "trie", "score-all"):
        loaded = load(run, override=[f"head.decoding={decoding}"])
        found[decoding] = loaded.probabilities(loaded.predict([loaded.clip("r2", range(6))], store).scores)[0]
    assert np.isnan(found["free"]).all()
    assert np.isfinite(found["trie"]).sum() == 1
    assert 0 < np.nanmax(found["trie"]) <= 1
    assert found["score-all"].sum() == pytest.approx(1)
    (only,) = rows(project, "predict", str(run), "mine.lmdb", "--recording", "r2", "--end", "3", "--top", "3")
    assert float(only["probability"]) == pytest.approx(float(np.nanmax(found["trie"])), abs=1e-4)


@given(st.lists(st.text(), min_size=2, max_size=4))
def test_any_cell_can_be_read_back(cells: list[str]) -> None:
    line = csv_line(*cells)
    assert next(csv.reader(io.StringIO(line + "\n", newline=""))) == cells


def test_names_with_quotes_and_commas_can_be_read_back(project: Project, tmp_path: Path) -> None:
    names = ['a "b", c', "d' e", "f;g"]
    write_store(tmp_path / "odd.lmdb", {name: project.features(1) for name in names}, fps=2)
    out = tmp_path / "out.csv"
    done = project.gad("predict", "runs/discriminative/0", str(tmp_path / "odd.lmdb"), "--out", str(out))
    assert done.exit_code == 0, done.output
    with out.open(newline="") as file:
        assert sorted(row["recording"] for row in csv.DictReader(file)) == sorted(names)

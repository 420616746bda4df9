"""Drawing recordings anew: fast ways equal scoring each draw, and a difference counts only where it would stay."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gad_core.contracts.components import Corpus
from gad_core.contracts.values import LabelSpace, Predictions
from gad_core.data.corpora import ClipCorpus, FrameLabels, Segment, StreamCorpus
from gad_core.data.features import ArrayFeatures
from gad_core.data.windows import WindowOptions
from gad_core.errors import CheckpointError
from gad_core.metrics import StreamScore, Track, stream_metrics
from gad_core.metrics import average_precision as precisions
from gad_core.metrics.bootstrap import (
    DRAWS,
    FEWEST,
    OUTSIDE,
    Resampled,
    counted,
    drawn_means,
    draws,
    hashed,
    interval,
    load_resampled,
    resample,
    rescored,
)
from gad_core.metrics.clips import ClipScore, clip_metrics
from gad_core.records.results import save_predictions

LABELS = ("background", "run", "jump", "throw")


def track(seed: int, *, scored: bool = True) -> Track:
    rng = np.random.default_rng(seed)
    truth = np.repeat(rng.integers(0, 4, 6), rng.integers(1, 6, 6))
    scores = rng.normal(0, 2, (len(truth), 4))
    scores[np.arange(len(truth)), truth] += 1
    active = np.eye(4, dtype=bool)[truth] | (rng.random((len(truth), 4)) < 0.1)
    return Track(truth, scores.argmax(1), scores if scored else None, active)


@pytest.mark.parametrize("variant", ["corrected", "reference"])
@pytest.mark.parametrize("ignored", [(), (3,)])
def test_draws_of_streams_equal_their_scores(variant: Any, ignored: tuple[int, ...]) -> None:
    """A recording that is drawn twice scores as two; with so few frames every score is a level of its own."""
    options: dict[str, Any] = {"labels": LABELS, "fps": 2, "background": 0, "ignored": ignored, "variant": variant}
    score = StreamScore(**options)
    tracks = [track(seed) for seed in range(5)]
    for number, one in enumerate(tracks):
        score.add(str(number), one)
    times = np.concatenate([np.ones((1, 5), np.int64), draws(5, 12), [[0, 0, 5, 0, 0]]])
    found = score.resampled(times)
    assert {name: values[0] for name, values in found.items()} == pytest.approx(score.metrics(), nan_ok=True)
    for row, draw in enumerate(times):
        copies = {f"{n}-{copy}": tracks[n] for n in range(5) for copy in range(draw[n])}
        expected = stream_metrics(copies, **options)
        assert {name: values[row] for name, values in found.items()} == pytest.approx(expected, nan_ok=True, abs=1e-9)


def test_few_levels_change_the_mean_precision_little(monkeypatch: pytest.MonkeyPatch) -> None:
    score = StreamScore(labels=LABELS, fps=2, background=0)
    for seed in range(300):
        score.add(str(seed), track(seed))
    times = draws(300, 50)
    monkeypatch.setattr(precisions, "LEVELS", 10**6)
    exact = score.resampled(times)
    monkeypatch.setattr(precisions, "LEVELS", 256)  # of about a thousand scores
    rough = score.resampled(times)
    for name in ("map", "cap"):
        assert not np.array_equal(rough[name], exact[name])
        assert np.abs(rough[name] - exact[name]).max() < 0.1 * exact[name].std()


def test_draws_of_clips_equal_their_scores() -> None:
    rng = np.random.default_rng(0)
    parts = [(rng.integers(-1, 9, size), rng.normal(size=(size, 9))) for size in (3, 1, 4, 2)]
    score = ClipScore(LabelSpace("step", tuple("abcdefghi"), ignored=(8,)))
    for part in parts:
        score.add(*part)
    times = draws(4, 20)
    found = score.resampled(times)
    for row, draw in enumerate(times):
        chosen = [parts[n] for n in range(4) for _ in range(draw[n])]
        truth, scores = (np.concatenate(arrays) for arrays in zip(*chosen, strict=True))
        expected = clip_metrics(truth, scores, LabelSpace("step", tuple("abcdefghi"), ignored=(8,)))
        assert {name: values[row] for name, values in found.items()} == pytest.approx(expected, nan_ok=True)


# ---------------------------------------------------------------------------------------------------------- corpora

ACTIONS = LabelSpace("action", tuple("abcdefgh"))
GOALS = LabelSpace("goal", ("x", "y", "z"))


def clips(recordings: int = 8) -> ClipCorpus:
    rng = np.random.default_rng(1)
    names = [f"r{number}" for number in range(recordings)]
    segments = [Segment(name, range(2 * n, 2 * n + 2), int(rng.integers(8)), 1) for name in names for n in range(4)]
    return ClipCorpus(
        actions=ACTIONS, goals=GOALS, asks=("current", "next", "goal"), segments={"train": segments, "test": segments},
        features=ArrayFeatures({name: np.zeros((8, 1, 2), np.float32) for name in names}, fps=1.0),
    )  # fmt: skip


def stream() -> StreamCorpus:
    rng = np.random.default_rng(2)
    found = [FrameLabels(f"r{number}", np.repeat(rng.integers(0, 8, 5), 4)) for number in range(7)]
    return StreamCorpus(
        actions=LabelSpace("action", tuple("abcdefgh"), background=0), goals=None,
        recordings={"train": found, "test": found}, windows=WindowOptions(long=2, short=2, protocol="dense").windows(),
        features=ArrayFeatures({one.recording: np.zeros((20, 1, 2), np.float32) for one in found}, fps=1.0),
    )  # fmt: skip


def answers(corpus: Corpus, seed: int = 0, right: float = 1.5) -> Predictions:
    rows = [(sample, query) for sample in corpus.samples("test") for query in sample.queries]
    rng, truth = np.random.default_rng(seed), np.array([query.first(one.asks).index for one, query in rows])
    scores = rng.normal(size=(len(rows), 8)).astype(np.float32)
    for row, (one, _) in enumerate(rows):
        scores[row, len(corpus.spaces[one.asks]) :] = -np.inf
    scores[np.arange(len(rows)), truth] += right
    return Predictions(
        tuple(one.uid for one, _ in rows), tuple(one.clip.recording for one, _ in rows),
        tuple(one.asks for one, _ in rows), np.array([one.clip.frames[query.at - 1] for one, query in rows]),
        truth, scores,
    )  # fmt: skip


def test_clips_with_several_asks_are_drawn_by_recording() -> None:
    corpus = clips()
    found = answers(corpus)
    times = draws(8, 6)
    fast, slow = corpus.resampled(found, times), rescored(corpus, found, times)
    assert fast.keys() == slow.keys() == corpus.score(found).keys()
    for name, values in fast.items():
        np.testing.assert_allclose(values, slow[name], err_msg=name)


@pytest.mark.parametrize("corpus", [clips(), stream()], ids=["clips", "stream"])
def test_what_a_run_keeps_is_read_back(corpus: Corpus, tmp_path: Path) -> None:
    found = answers(corpus)
    kept = resample(corpus, found, corpus.score(found))
    score = {name: value for name, value in corpus.score(found).items() if not math.isnan(value)}
    assert kept.metrics.keys() == score.keys()
    assert {len(values) for values in kept.metrics.values()} == {DRAWS}
    save_predictions(found, tmp_path / "p.npz", kept.arrays())
    read = load_resampled(tmp_path / "p.npz")
    assert (read.answers, read.recordings, read.test_set) == (len(found), kept.recordings, hashed(found))
    assert read.asked == kept.asked == dict(Counter(found.asks))
    for name, values in kept.metrics.items():
        np.testing.assert_allclose(read.metrics[name], values, rtol=1e-6)
    again = resample(corpus, found, corpus.score(found))
    assert all(np.array_equal(again.metrics[name], values, equal_nan=True) for name, values in kept.metrics.items())


def test_what_scores_otherwise_is_left_out() -> None:
    """A corpus with a score of its own inherits draws that do not belong to it."""

    class Own(StreamCorpus):
        def score(self, predictions: Predictions) -> dict[str, float]:
            return super().score(predictions) | {"map": 1.25, "own": 3.0}

    corpus = stream()
    corpus.__class__ = Own
    kept = resample(corpus, answers(corpus), corpus.score(answers(corpus))).metrics
    assert "map" not in kept and "own" not in kept and "frame_accuracy" in kept


def test_a_guest_that_only_scores_is_drawn_by_its_score() -> None:
    guest = SimpleNamespace(
        protocol="clips", spaces={"current": ACTIONS, "next": ACTIONS, "goal": GOALS},
        score=lambda rows: {"share": 100.0 * float((rows.predicted == rows.truth).mean())},
    )  # fmt: skip
    guest.resampled = lambda rows, times: rescored(cast(Corpus, guest), rows, times)
    found = answers(clips())
    kept = resample(cast(Corpus, guest), found, guest.score(found)).metrics["share"]
    assert kept.mean() == pytest.approx(guest.score(found)["share"], abs=0.5)
    guest.protocol = "dense"  # recordings that stand twice beside one another would be one
    assert resample(cast(Corpus, guest), found, guest.score(found)).metrics == {}


def test_large_test_sets_of_guests_are_drawn_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gad_core.metrics.bootstrap.AFFORDED", 10)
    guest = SimpleNamespace(protocol="clips", score=lambda rows: {"n": float(len(rows))})
    found = answers(clips())
    assert len(rescored(cast(Corpus, guest), found, draws(8))["n"]) == 100
    assert np.array_equal(draws(8, 100), draws(8)[:100])


def test_unknown_and_ignored_truths_are_not_counted() -> None:
    space = LabelSpace("action", tuple("abc"), background=0, ignored=(0, 2))
    rows = Predictions(("a",) * 4, ("r",) * 4, ("x",) * 4, np.arange(4), np.array([0, 1, 2, -1]), np.zeros((4, 3)))
    assert counted(cast(Corpus, SimpleNamespace(spaces={"x": space})), rows).tolist() == [True, True, False, False]


@pytest.mark.parametrize("damage", ["missing", "cut", "older"])
def test_draws_that_cannot_be_read_are_told(damage: str, tmp_path: Path) -> None:
    found, path = answers(clips()), tmp_path / "p.npz"
    if damage != "missing":
        save_predictions(found, path)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(CheckpointError) as caught:
        load_resampled(path)
    assert str(path) in str(caught.value)


# ------------------------------------------------------------------------------------------------------ differences


@given(st.lists(st.floats(-100, 100), min_size=40, max_size=60))
def test_the_interval_leaves_out_a_twentieth(values: list[float]) -> None:
    low, high = interval(np.array(values))
    assert low <= np.median(values) <= high
    assert np.isnan(interval(np.array([*values[:20], *[np.nan] * 5]))).all()


def test_seeds_spread_the_mean_as_their_standard_error() -> None:
    values = [np.full(20_000, value) for value in (1.0, 2.0, 6.0)]
    drawn = drawn_means((0, 1, 2), values)
    assert drawn.mean() == pytest.approx(3, abs=0.05)
    assert drawn.std() == pytest.approx(np.std([1, 2, 6], ddof=1) / np.sqrt(3), rel=0.03)


def test_a_true_difference_of_nothing_is_seldom_found() -> None:
    """Two systems that are equally good, on 40 recordings: about one interval in twenty excludes zero."""
    times = draws(40, 400) / 40
    found = 0
    for trial in range(200):
        ours, theirs = np.random.default_rng(trial).normal(size=(2, 40))
        low, high = interval(times @ (ours - theirs))
        found += low > 0 or high < 0
    assert 4 <= found <= 20


def test_fewer_recordings_than_that_cannot_show_anything() -> None:
    """All agree by chance in 2 of 2^n cases: more than a twentieth of them below six."""
    assert 2 / 2**FEWEST < OUTSIDE < 2 / 2 ** (FEWEST - 1)


def test_a_corpus_without_draws_leaves_none(tmp_path: Path) -> None:
    save_predictions(answers(clips()), tmp_path / "p.npz", Resampled(3, 2, "x", {}).arrays())
    assert load_resampled(tmp_path / "p.npz") == Resampled(3, 2, "x", {})

"""Properties of the scores, and small cases worked by hand."""

from __future__ import annotations

import math
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import average_precision_score

from gad_core.contracts.values import LabelSpace
from gad_core.errors import DataError
from gad_core.metrics import (
    Confusion,
    StreamScore,
    Track,
    clip_metrics,
    error_diversity,
    label_overlap,
    overlap_confusion_correlation,
    overlap_index,
    stream_metrics,
)
from gad_core.metrics.average_precision import AveragePrecision, average_precision, smooth
from gad_core.metrics.calibration import CalibrationError, probabilities
from gad_core.metrics.points import widest_claims
from gad_core.metrics.segments import segments_of

LABELS = ("background", "run", "jump", "throw")
labels_of_frames = arrays(np.int64, st.integers(1, 60), elements=st.integers(0, len(LABELS) - 1))


def sure_of(truth: np.ndarray, classes: int) -> np.ndarray:
    """Logits that are sure of the truth and rank the other classes too."""
    return 100.0 * np.eye(classes)[truth] - np.arange(classes)


def scored(truth: Any, predicted: Any, scores: Any = None, **options: Any) -> dict[str, float]:
    track = Track(np.asarray(truth), np.asarray(predicted), scores)
    return stream_metrics({"a": track}, **{"labels": LABELS, "fps": 1, "background": 0, **options})


@given(st.lists(labels_of_frames, min_size=1, max_size=4))
def test_perfect_predictions_score_100(recordings: list[np.ndarray]) -> None:
    tracks = {str(i): Track(truth, truth, sure_of(truth, len(LABELS))) for i, truth in enumerate(recordings)}
    table = stream_metrics(tracks, labels=LABELS, fps=4, background=0, ignored=(0,))
    zero = {"ece", "error_diversity", "detection_delay_s"}
    for key, value in table.items():
        assert math.isnan(value) or value == pytest.approx(0 if key in zero else 100, abs=1e-9), key
    if any((truth > 0).any() for truth in recordings):
        assert table["segment_f1/0.50/macro"] == table["point_f1/middle/1s"] == 100
        assert table["map"] == table["cap"] == table["frame_f1/foreground"] == 100


@given(labels_of_frames, st.data())
def test_every_score_is_a_percentage(truth: np.ndarray, data: st.DataObject) -> None:
    predicted = data.draw(arrays(np.int64, len(truth), elements=st.integers(0, len(LABELS) - 1)))
    for variant in ("corrected", "reference"):
        table = scored(truth, predicted, variant=variant)
        for key, value in table.items():
            if key not in ("detection_delay_s", "error_diversity"):
                assert math.isnan(value) or 0 <= value <= 100.0000001, key


@given(st.lists(labels_of_frames, min_size=2, max_size=4), st.randoms())
def test_the_order_of_recordings_does_not_matter(recordings: list[np.ndarray], random: Any) -> None:
    tracks = {str(i): Track(truth, np.roll(truth, 1)) for i, truth in enumerate(recordings)}
    shuffled = dict(random.sample(sorted(tracks.items()), len(tracks)))
    options = {"labels": LABELS, "fps": 4, "background": 0}
    assert stream_metrics(tracks, **options) == pytest.approx(stream_metrics(shuffled, **options), nan_ok=True)


def test_keys_are_the_documented_ones() -> None:
    rates = ("f1", "precision", "recall")
    expected = {f"segment_{r}/{o}/{m}" for r in rates for o in ("0.10", "0.25", "0.50") for m in ("micro", "macro")}
    expected |= {f"point_{r}/{a}/{d}s" for r in rates for a in ("start", "middle") for d in (1, 2)}
    expected |= {f"frame_{r}/{g}" for r in rates for g in ("foreground", "balanced", "balanced_foreground")}
    expected |= {"frame_recall/background", "frame_precision/background", "frame_accuracy"}
    expected |= {"detection_delay_s", "edit", "error_diversity"}
    assert set(scored([0, 1], [0, 1])) == expected
    assert set(scored([0, 1], [0, 1], np.eye(4)[:2])) == expected | {"map", "cap", "ece"}


def test_point_match_is_of_its_own_class_unless_reference() -> None:
    truth, predicted = [0, 0, 2, 1, 1, 1, 0, 0], [0, 0, 0, 1, 1, 1, 0, 0]
    assert scored(truth, predicted)["point_recall/start/1s"] == pytest.approx(50)
    early = [0, 1, 1, 1, 1, 1, 0, 0]
    assert scored(truth, early)["point_f1/start/2s"] == pytest.approx(100 * 2 / 3)
    assert scored(truth, early, variant="reference")["point_f1/start/2s"] == 0


def test_point_middle_at_the_last_frame() -> None:
    truth, predicted = [0, 0, 1, 1, 1, 1], [0, 1, 1, 1, 0, 0]
    assert scored(truth, predicted)["point_f1/middle/1s"] == 0  # 4 against 2.5
    assert scored(truth, predicted, fps=1.5)["point_f1/middle/1s"] == 100
    assert scored(truth, predicted, variant="reference")["point_f1/middle/1s"] > 99  # 3.5 against 2.5


@given(
    st.lists(st.integers(0, 20), max_size=5, unique=True),
    st.lists(st.integers(0, 20), max_size=5, unique=True),
    st.integers(0, 4),
)
def test_point_matching_finds_as_many_pairs_as_there_can_be(ours: list[int], theirs: list[int], near: int) -> None:
    ours, theirs = sorted(ours), sorted(theirs)
    small, large = sorted((ours, theirs), key=len)
    most = max(
        sum(abs(a - b) <= near for a, b in zip(small, chosen, strict=True))
        for chosen in permutations(large, len(small))
    )
    one = np.ones(5, np.int64)
    won = widest_claims(np.asarray(ours), one[: len(ours)], np.asarray(theirs), one[: len(theirs)], near)
    assert won.sum() == most


def test_macro_counts_absent_classes_only_in_reference() -> None:
    truth = [0, 1, 1, 0]
    assert scored(truth, truth)["segment_f1/0.10/macro"] == 100
    assert scored(truth, truth, variant="reference")["segment_f1/0.10/macro"] == pytest.approx(100 / 3, abs=1e-4)


def test_segments_keep_one_claim_a_truth() -> None:
    table = scored([0, 1, 1, 1, 1, 1, 1, 0], [0, 1, 1, 0, 1, 1, 1, 0])
    assert table["segment_precision/0.25/micro"] == 50
    assert table["segment_recall/0.25/micro"] == 100
    assert table["segment_f1/0.50/micro"] == pytest.approx(100 * 2 / 3)  # here the second claims it


def test_ambiguous_frames_are_left_out() -> None:
    truth, predicted = [0, 1, 1, 3, 3, 3, 0, 0], [0, 1, 1, 2, 2, 1, 0, 1]
    table = scored(truth, predicted, ignored=(0, 3))
    assert table["frame_accuracy"] == 80
    assert table["segment_precision/0.50/micro"] == 50  # [3, 5) and [5, 6) are spared, [7, 8) is not
    assert table["point_precision/start/1s"] == 50
    assert scored(truth, predicted, ignored=(0,), ambiguous=3) == pytest.approx(table, nan_ok=True)
    reference = scored(truth, predicted, ignored=(0, 3), variant="reference")
    assert reference["frame_accuracy"] == 80
    assert reference["segment_precision/0.50/micro"] == pytest.approx(25, abs=1e-4)


def test_nothing_to_find_is_not_a_number() -> None:
    nothing = scored([0, 0], [0, 0], np.eye(4)[[0, 0]])
    assert nothing["frame_accuracy"] == nothing["edit"] == 100
    for key in ("segment_f1/0.10/micro", "segment_f1/0.10/macro", "point_f1/start/1s", "frame_f1/foreground", "map"):
        assert math.isnan(nothing[key]), key
    assert scored([0, 1], [0, 0])["frame_f1/foreground"] == 0
    assert math.isnan(scored([0, 1], [0, 0], variant="reference")["frame_f1/foreground"])
    assert scored([0, 0], [0, 1])["segment_f1/0.10/micro"] == 0


def test_edit_and_delay() -> None:
    table = scored([0, 1, 1, 1, 0, 2, 2, 0, 3], [0, 0, 1, 1, 0, 0, 2, 2, 0], fps=2)
    assert table["detection_delay_s"] == 0.5  # run and jump a frame late, throw never found
    assert table["edit"] == pytest.approx(100 * 2 / 3)
    assert math.isnan(scored([0, 1, 1, 0], [0, 0, 0, 1])["detection_delay_s"])  # too late


@given(
    arrays(np.int64, 50, elements=st.integers(0, 1)), arrays(np.float32, 50, elements=st.sampled_from([0, 0.25, 0.7]))
)
def test_average_precision_is_scikit_learns(truth: np.ndarray, scores: np.ndarray) -> None:
    if truth.any():
        ours, calibrated = average_precision(np.flatnonzero(truth), scores)
        assert ours == pytest.approx(average_precision_score(truth, scores), abs=1e-9)
        assert 0 < calibrated <= 1 + 1e-12


def test_calibrated_precision_does_not_punish_rarity() -> None:
    """Nine times the negatives, each at the old ones' scores: AP falls, cAP stays."""
    truth, scores = np.asarray([1, 0, 1, 0]), np.asarray([0.9, 0.8, 0.7, 0.1])
    many, much = np.concatenate([truth, *[[0, 0]] * 8]), np.concatenate([scores, *[[0.8, 0.1]] * 8])
    few_ap, few_cap = average_precision(np.flatnonzero(truth), scores)
    many_ap, many_cap = average_precision(np.flatnonzero(many), much)
    assert many_ap < few_ap
    assert many_cap == pytest.approx(few_cap) == pytest.approx((1 + 2 / 3) / 2)


def test_smoothing_stays_within_a_recording_unless_reference() -> None:
    scores = np.asarray([[0, 0, 0, 9.0, 0, 0, 0, 0]])
    assert smooth(scores, ()).tolist() == [[0, 9, 9, 9, 9, 9, 0, 0]]
    assert smooth(scores, (0, 4, 8)).tolist() == [[0, 9, 9, 9, 0, 0, 0, 0]]


def test_every_active_class_of_a_frame_counts_for_map() -> None:
    truth = np.asarray([[0, 1, 1, 0], [1, 0, 0, 0], [0, 0, 1, 0]])
    scores = np.asarray([[0, 0.6, 0.4, 0], [1, 0, 0, 0], [0.7, 0, 0.3, 0]])
    table = scored(truth, [1, 0, 2], scores)
    assert table["map"] == 100
    assert table["frame_accuracy"] == 100


def test_background_beside_an_action_gives_way_unless_reference() -> None:
    truth = np.asarray([[1, 1, 0, 0], [0, 0, 0, 0]])
    assert scored(truth, [1, 0])["frame_accuracy"] == 100
    assert scored(truth, [1, 0], variant="reference")["frame_accuracy"] == 50


def test_cliff_diving_counts_as_diving() -> None:
    names = ("background", "Cliff Diving", "Diving")
    scores = np.asarray([[0, 0.9, 0.1], [0.8, 0, 0.2], [0.1, 0.1, 0.8]])
    track = {"a": Track(np.asarray([[0, 1, 1], [1, 0, 0], [0, 0, 1]]), [1, 0, 2], scores)}
    assert stream_metrics(track, labels=names, fps=4, background=0)["map"] == 100
    assert stream_metrics(track, labels=names, fps=4, background=0, subclasses={})["map"] < 100


def test_logits_and_their_probabilities_score_alike() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (40, 4))
    truth, predicted = rng.integers(0, 4, 40), logits.argmax(axis=1)
    assert scored(truth, predicted, logits) == pytest.approx(scored(truth, predicted, probabilities(logits)))


def test_metrics_may_be_asked_for_on_the_way() -> None:
    rng = np.random.default_rng(0)
    asked, waited = (StreamScore(labels=LABELS, fps=1, background=0) for _ in range(2))
    for name in "abc":
        track = Track(rng.integers(0, 4, 30), rng.integers(0, 4, 30), rng.normal(0, 3, (30, 4)))
        asked.add(name, track)
        asked.metrics()
        waited.add(name, track)
    assert asked.metrics() == waited.metrics()


def test_without_a_background_every_class_is_an_action() -> None:
    table = scored([0, 0, 1, 1], [0, 0, 1, 0], background=None)
    assert table["frame_recall/foreground"] == table["frame_accuracy"] == 75
    assert math.isnan(table["frame_recall/background"])
    assert table["segment_recall/0.50/micro"] == 100


def test_calibration_error_by_hand() -> None:
    calibration = CalibrationError()
    calibration.add(np.asarray([0, 1, 1, 0]), np.asarray([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [0.4, 0.6]]))
    assert calibration.value() == pytest.approx(100 * (abs(1 - 1.8) + abs(1 - 1.2)) / 4)


def test_error_diversity_by_hand() -> None:
    confusion = Confusion(4)
    confusion.add(np.asarray([1, 1, 1, 2, 2, 0, 3]), np.asarray([0, 2, 1, 1, 1, 1, 3]))
    assert error_diversity(confusion) == pytest.approx(math.log(2) / 3)
    assert error_diversity(confusion, leave_out=(0,)) == pytest.approx(math.log(2) / 2)


def test_label_overlap_and_its_correlation_with_confusion() -> None:
    words = {"cut": 0, "onion": 1, "garlic": 2, "wash": 3, "pan": 4}
    labels = ("cut onion", "cut garlic", "wash pan")
    overlap = label_overlap(labels, lambda label: [words[word] for word in label.split()])
    assert overlap == pytest.approx(np.asarray([[1, 1 / 3, 0], [1 / 3, 1, 0], [0, 0, 1]]))
    assert overlap_index(overlap) == pytest.approx(1 / 9)
    confusion = Confusion(3)
    confusion.add(np.asarray([0, 0, 1, 1, 2]), np.asarray([0, 1, 1, 0, 2]))
    assert overlap_confusion_correlation(overlap, confusion) == pytest.approx(1)
    assert math.isnan(overlap_confusion_correlation(np.eye(3), confusion))


def test_clip_metrics_by_hand() -> None:
    space = LabelSpace("step", tuple("abcdefg"), ignored=(6,))
    scores = -np.abs(np.arange(7)[None, :] - np.asarray([0, 0, 5, 6, 3])[:, None]).astype(np.float32)
    table = clip_metrics(np.asarray([0, 1, 0, 6, -1]), scores, space)
    assert table["top1"] == pytest.approx(100 / 3)
    assert table["top5"] == pytest.approx(200 / 3)
    assert table["mean_class_accuracy"] == 25
    assert set(table) == {"top1", "top5", "mean_class_accuracy", "ece", "error_diversity"}
    padded = np.pad(scores, ((0, 0), (0, 3)), constant_values=-np.inf)
    assert clip_metrics(np.asarray([0, 1, 0, 6, -1]), padded, space) == table


@given(arrays(np.int64, st.integers(1, 30), elements=st.integers(0, 8)))
def test_perfect_clips_score_100(truth: np.ndarray) -> None:
    table = clip_metrics(truth, sure_of(truth, 9), 9)
    assert table == {"top1": 100, "top5": 100, "mean_class_accuracy": 100, "ece": 0, "error_diversity": 0}


def test_equal_scores_rank_by_class_like_argmax() -> None:
    assert clip_metrics(np.asarray([0, 1]), np.zeros((2, 3)), 3)["top1"] == 50


@pytest.mark.parametrize(
    ("truth", "scores"),
    [([0, 1], np.zeros((3, 4))), ([4], np.zeros((1, 4))), ([0], np.full((1, 4), np.nan)), ([0], np.zeros((1, 3)))],
)
def test_clips_that_do_not_fit_are_refused(truth: list[int], scores: np.ndarray) -> None:
    with pytest.raises(DataError):
        clip_metrics(np.asarray(truth), scores, 4)


@pytest.mark.parametrize(
    ("track", "says"),
    [
        ({"truth": [0, 4], "predicted": [0, 0]}, r"'a', truth\[1\]: label 4"),
        ({"truth": [0, 1], "predicted": [-1, 0]}, r"'a', predicted\[0\]: label -1"),
        ({"truth": [0, 1], "predicted": [0, 1], "scores": np.zeros((2, 3))}, r"scores is \(2, 3\)"),
        ({"truth": [0, 1], "predicted": [0, 1], "scores": np.full((2, 4), np.nan)}, r"scores\[0\].*NaN"),
        ({"truth": [0, 1], "predicted": [0, 0.5]}, "predicted: holds float64"),
        ({"truth": np.zeros((2, 3)), "predicted": [0, 1]}, r"truth is \(2, 3\)"),
    ],
)
def test_tracks_that_do_not_fit_are_refused(track: dict[str, Any], says: str) -> None:
    with pytest.raises(DataError, match=says):
        stream_metrics({"a": Track(**track)}, labels=LABELS, fps=1, background=0)


def test_scores_are_given_for_all_recordings_or_none() -> None:
    score = StreamScore(labels=LABELS, fps=1, background=0)
    score.add("a", Track([0], [0]))
    with pytest.raises(DataError, match="recording 'b': some recordings have scores"):
        score.add("b", Track([0], [0], np.eye(4)[:1]))


@pytest.mark.parametrize("options", [{"fps": 0}, {"fps": math.nan}, {"background": 4}, {"ignored": (9,)}])
def test_impossible_setups_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(DataError):
        StreamScore(**{"labels": LABELS, "fps": 1, "background": 0, **options})


def test_segments_of_no_frames() -> None:
    assert len(segments_of(np.zeros(0, np.int64))) == 0


def test_average_precision_of_nothing() -> None:
    assert all(math.isnan(value) for value in AveragePrecision(leave_out=()).means())

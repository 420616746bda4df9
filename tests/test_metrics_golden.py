"""Our `reference` variant against the outputs of the paper's official code."""

from __future__ import annotations

import gzip
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gad_core.metrics.average_precision import AveragePrecision
from gad_core.metrics.frames import class_rates
from gad_core.metrics.segments import segments_of
from gad_core.metrics.stream import StreamScore, Track

GOLDEN = Path(__file__).resolve().parents[1].parent / "shared" / "golden" / "metrics.json.gz"
CLIFF_DIVING, DIVING, AMBIGUOUS = 5, 8, 21
REPORT_FPS = {"crosstask": 1, "ek100": 4, "ego4dgoal": 1, "thumos": 4}


def _cases() -> list[dict[str, Any]]:
    if not GOLDEN.exists():
        return []
    return json.loads(gzip.decompress(GOLDEN.read_bytes()))["cases"]


CASES = _cases()
CASE_IDS = [f"{case['id']}-{case['kind']}" for case in CASES]
each_case = pytest.mark.parametrize("case", CASES, ids=CASE_IDS)


@pytest.fixture(autouse=True)
def _golden_present() -> None:
    if not CASES:
        pytest.skip(f"the reference vectors are not here: {GOLDEN}")


def scored(case: dict[str, Any], fps: float | None = None) -> StreamScore:
    score = StreamScore(
        labels=[f"label {index}" for index in range(case["num_classes"])],
        fps=fps or case["fps"],
        background=case["background"],
        ignored=case["ignored"],
        ambiguous=case["ambiguous"],
        variant="reference",
    )
    for place, (truth, predicted) in enumerate(zip(case["gt"], case["pred"], strict=True)):
        score.add(str(place), Track(np.asarray(truth), np.asarray(predicted)))
    return score


def same(ours: float, theirs: float | None, tolerance: float = 1e-9) -> bool:
    return math.isnan(ours) if theirs is None else math.isclose(ours, theirs, rel_tol=0, abs_tol=tolerance)


def expected_flat(out: dict[str, Any]) -> dict[str, float | None]:
    """The golden numbers that are neither rounded nor per class, under our keys."""
    flat: dict[str, float | None] = {}
    for overlap, micro in out["overlap_f1"].items():
        for name, value in zip(("precision", "recall", "f1"), micro, strict=True):
            flat[f"segment_{name}/{float(overlap):.2f}/micro"] = value
        macro = out["overlap_f1_macro"][overlap]
        for name, theirs in (("precision", "bal_P"), ("recall", "bal_R"), ("f1", "bal_F1")):
            flat[f"segment_{name}/{float(overlap):.2f}/macro"] = macro[theirs]
    frame, balanced = out["perframe"], out["perframe_balanced"]
    flat |= {
        "frame_accuracy": frame["accuracy"],
        "frame_recall/background": frame["bg_rec"],
        "frame_recall/foreground": frame["fg_rec"],
        "frame_precision/background": frame["bg_prec"],
        "frame_precision/foreground": frame["fg_prec"],
        "frame_f1/foreground": frame["fg_f1"],
    }
    for name, theirs in (("precision", "prec"), ("recall", "rec"), ("f1", "f1")):
        flat[f"frame_{name}/balanced"] = balanced[f"mean_{theirs}"]
        flat[f"frame_{name}/balanced_foreground"] = balanced[f"mean_{theirs}_fg"]
    return flat


def expected_points(out: dict[str, Any]) -> dict[str, float]:
    """The golden point rows, which their authors rounded to two decimals."""
    return {
        f"point_{name}/{anchor}/{seconds}s": value
        for theirs, anchor in (("Start", "start"), ("Mid", "middle"))
        for seconds, row in zip((1, 2), out["point_f1"][theirs][:2], strict=True)
        for name, value in zip(("f1", "precision", "recall"), row, strict=True)
    }


@each_case
def test_flat_table_agrees(case: dict[str, Any]) -> None:
    table = scored(case).metrics()
    wrong = {k: (table[k], v) for k, v in expected_flat(case["out"]).items() if not same(table[k], v)}
    wrong |= {k: (table[k], v) for k, v in expected_points(case["out"]).items() if round(table[k], 2) != v}
    assert not wrong


@each_case
def test_counts_classes_and_mean_rows_agree(case: dict[str, Any]) -> None:
    score, out = scored(case), case["out"]
    for row, (overlap, counts) in enumerate(out["overlap_counts"].items()):
        ours = score.segments.hits[row], score.segments.false_alarms[row], score.segments.misses[row]
        assert [count.sum() for count in ours] == counts
        per_class, theirs = score.segments.per_class("reference"), out["overlap_f1_macro"][overlap]
        for values, name in zip(per_class, ("P", "R", "F1"), strict=True):
            np.testing.assert_allclose(values[row], theirs[name], atol=1e-9)
    for anchor, name in (("start", "Start"), ("middle", "Mid")):
        points = score.points[anchor]
        assert np.stack([points.hits, points.false_alarms, points.misses], 1).tolist() == out["point_counts"][name]
        precision, recall, f1 = (np.round(values, 2) for values in points.rates())
        assert np.mean([f1, precision, recall], axis=1) == pytest.approx(out["point_f1"][name][2], abs=1e-9)
    for values, name in zip(class_rates(score.confusion, variant="reference"), ("prec", "rec", "f1"), strict=True):
        for label, value in out["perframe_balanced"][f"per_class_{name}"].items():
            assert same(values[int(label)], value)


@each_case
def test_printed_report_agrees(case: dict[str, Any]) -> None:
    for printer, row in case["out"]["report"].items():
        table = scored(case, REPORT_FPS[printer.split("_")[0]]).metrics()
        for theirs, ours in (
            ("[Frame]- Acc", "frame_accuracy"),
            ("bg_rec", "frame_recall/background"),
            ("fg_rec", "frame_recall/foreground"),
            ("ov_f1", "frame_f1/foreground"),
            ("bal_F1", "frame_f1/balanced"),
            ("bal_F1_fg", "frame_f1/balanced_foreground"),
        ):
            assert same(table[ours], row[theirs], 1e-6), (printer, theirs)
        for theirs, kind in (("ov-F1@10, 25, 50]", "micro"), ("bal-F1@10, 25, 50]", "macro")):
            ours = [table[f"segment_f1/{overlap}/{kind}"] for overlap in ("0.10", "0.25", "0.50")]
            assert ours == pytest.approx(row[theirs], abs=0.0501)
        for theirs, anchor, seconds in (
            ("[F1, prec, rec] Start_1s", "start", 1),
            ("s2s", "start", 2),
            ("[F1, prec, rec] Mid_1s", "middle", 1),
            ("Mid_1s", "middle", 1),
            ("m2s", "middle", 2),
        ):
            if theirs in row:
                ours = [table[f"point_{name}/{anchor}/{seconds}s"] for name in ("f1", "precision", "recall")]
                assert ours == pytest.approx(row[theirs], abs=0.0501)


@pytest.mark.parametrize("case", [c for c in CASES if "segments" in c["out"]], ids=lambda case: str(case["id"]))
def test_segments_agree(case: dict[str, Any]) -> None:
    for row in case["out"]["segments"]:
        for frames, theirs in ((case["gt"], row["gt_iou"]), (case["pred"], row["pred_iou"])):
            ours = segments_of(np.asarray(frames[row["video"]]), case["ignored"])
            assert [ours.labels.tolist(), ours.starts.tolist(), ours.ends.tolist()] == theirs


@pytest.mark.parametrize("case", [c for c in CASES if "map" in c], ids=lambda case: str(case["id"]))
def test_mean_average_precision_agrees(case: dict[str, Any]) -> None:
    golden = case["map"]
    frames, classes = zip(*((t, c) for t, row in enumerate(golden["gt_active"]) for c in row), strict=True)
    scores = np.asarray(golden["scores"]) / golden["score_div"]
    for rule, theirs in golden["mAP"].items():
        precision = AveragePrecision(
            leave_out=(case["background"], golden["ignore_index"]),
            ambiguous=[AMBIGUOUS] if "thumos" in rule else (),
            subclasses={CLIFF_DIVING: DIVING} if "switch" in rule else {},
            smoothed="smooth" in rule,
            variant="reference",
        )
        precision.add(np.asarray(frames), np.asarray(classes), scores)
        assert same(precision.means()[0], theirs), rule
        if rule == "none":
            per_class = {str(label): value[0] / 100 for label, value in precision.per_class().items()}
            assert per_class == pytest.approx(golden["per_class_AP_none"], abs=1e-9)

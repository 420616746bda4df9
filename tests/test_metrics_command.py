"""`gad score`: the official vectors through the command, the file format, and what it says about broken files."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from test_metrics_golden import CASES, each_case, expected_flat, expected_points

from gad_core.cli import main
from gad_core.errors import DataError
from gad_core.metrics.score import score_file

NAMES = ["background", "run", "jump"]


def content(**changes: Any) -> dict[str, Any]:
    recording = {"truth": [0, 1, 1, 2], "predicted": [0, 1, 2, 2]}
    header = {"fps": 4, "background": 0, "ignored": [0], "labels": NAMES, "recordings": {"P01/01": recording}}
    return header | changes


def recording(**members: Any) -> dict[str, Any]:
    return content(recordings={"P01/01": {"truth": [0, 1, 1, 2], "predicted": [0, 1, 2, 2], **members}})


def written(folder: Path, value: Any) -> Path:
    path = folder / "scores.json"
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return path


def printed(path: Path, *options: str) -> dict[str, float | None]:
    result = CliRunner().invoke(main, ["score", str(path), "--json", *options], catch_exceptions=False)
    assert result.exit_code == 0
    return json.loads(result.stdout)


@each_case
def test_official_vectors_through_the_command(case: dict[str, Any], tmp_path: Path) -> None:
    """The flat table of every case; mAP where the case has it and one rule says all."""
    recordings: dict[str, dict[str, Any]] = {
        str(place): {"truth": truth, "predicted": predicted}
        for place, (truth, predicted) in enumerate(zip(case["gt"], case["pred"], strict=True))
    }
    precision = case.get("map")
    rule = None
    if precision:
        rule = "thumos" if case["ambiguous"] is not None else "none"
        place = 0
        for members in recordings.values():
            rows = slice(place, place + len(members["truth"]))
            actives = precision["gt_active"][rows]
            # the main label first, as the format asks
            members["truth"] = [
                [main, *(label for label in active if label != main)]
                for main, active in zip(members["truth"], actives, strict=True)
            ]
            members["scores"] = (np.asarray(precision["scores"][rows]) / precision["score_div"]).tolist()
            place = rows.stop
    labels = [f"label {index}" for index in range(case["num_classes"])]
    keys = {"fps": case["fps"], "background": case["background"], "ignored": case["ignored"], "labels": labels}
    table = printed(written(tmp_path, {**keys, "recordings": recordings}), "--variant", "reference")
    for key, theirs in expected_flat(case["out"]).items():
        assert table[key] == (None if theirs is None else pytest.approx(theirs, abs=1e-6)), key
    for key, rounded in expected_points(case["out"]).items():
        assert round(table[key] or 0.0, 2) == rounded, key
    if precision and rule:
        theirs = precision["mAP"][rule]
        assert table["map"] == (None if theirs is None else pytest.approx(theirs, abs=1e-6))


def test_thumos_rules_through_the_command(tmp_path: Path) -> None:
    cases = [case for case in CASES if case["ambiguous"] == 21 and "map" in case and len(case["gt"]) == 1]
    if not cases:
        pytest.skip("the reference vectors are not here")
    for case in cases:
        golden = case["map"]
        labels = [f"label {index}" for index in range(case["num_classes"])]
        labels[5], labels[8] = "CliffDiving", "Diving"
        members = {
            "truth": [
                [main, *(a for a in active if a != main)]
                for main, active in zip(case["gt"][0], golden["gt_active"], strict=True)
            ],
            "predicted": case["pred"][0],
            "scores": (np.asarray(golden["scores"]) / golden["score_div"]).tolist(),
        }
        file = content(labels=labels, ignored=[0], ambiguous=21, recordings={"a": members})
        path = written(tmp_path, file)
        assert printed(path)["map"] == pytest.approx(golden["mAP"]["thumos_switch"], abs=1e-6)
        assert printed(path, "--smooth")["map"] == pytest.approx(golden["mAP"]["thumos_smooth_switch"], abs=1e-6)
        path = written(tmp_path, file | {"subclasses": {}})
        assert printed(path)["map"] == pytest.approx(golden["mAP"]["thumos"], abs=1e-6)


def test_npz_and_json_score_alike(tmp_path: Path) -> None:
    chances = np.eye(3)[[0, 1, 2, 2]] * 0.8 + 0.1
    from_json = score_file(written(tmp_path, recording(scores=chances.tolist())))
    arrays = {"truth": np.eye(3, dtype=bool)[[0, 1, 1, 2]], "predicted": np.asarray([0, 1, 2, 2]), "scores": chances}
    header = {"fps": 4, "background": 0, "ignored": np.asarray([0]), "labels": np.asarray(NAMES)}
    members = {f"recordings/P01/01/{name}": value for name, value in arrays.items()}
    np.savez_compressed(tmp_path / "scores.npz", **header, **members)
    assert score_file(tmp_path / "scores.npz") == pytest.approx(from_json, nan_ok=True)


def test_labels_may_be_named(tmp_path: Path) -> None:
    by_index = score_file(written(tmp_path, content()))
    named = score_file(written(tmp_path, content(background="background", ignored=["background"])))
    assert named == by_index


def test_table_for_people(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["score", str(written(tmp_path, content()))], catch_exceptions=False)
    assert "scores.json, corrected formulae" in result.output
    assert any(line.split() == ["frame_accuracy", "75.00", "%"] for line in result.output.splitlines())


BROKEN: dict[str, tuple[Any, str]] = {
    "not JSON": ('{"fps": 4,\n oops}', "line 2, column 2: not JSON"),
    "a list": ("[]", "holds a list, not a JSON object"),
    "missing key": ({"fps": 4, "labels": NAMES}, "no 'background', 'recordings'"),
    "slip": (content(ingored=[0]), "unknown key 'ingored'\n.*'ignored'"),
    "repeated id": ('{"recordings": {"a": 1, "a": 2}}', "the key 'a' is there twice"),
    "no recordings": (content(recordings={}), "holds no recordings"),
    "recordings list": (content(recordings=[]), "not an object of recordings"),
    "labels": (content(labels=[1, 2]), "labels: not a list of label names"),
    "repeated label": (content(labels=["a", "b", "a"]), "labels: 'a' is there twice"),
    "fps": (content(fps="4"), "fps: '4' is not a number"),
    "fps zero": (content(fps=0), "fps is 0"),
    "background": (content(background=3), "background: 3 is not a label"),
    "background name": (content(background="bg"), "background: 'bg' is not a label"),
    "ignored": (content(ignored=0.5), "ignored: 0.5 is not a list"),
    "no predicted": (content(recordings={"a": {"truth": [0]}}), "recording 'a': no 'predicted'"),
    "recording": (content(recordings={"a": [0]}), "recording 'a': not an object"),
    "length": (recording(predicted=[0, 1]), "recording 'P01/01': truth has 4 frames, predicted has 2"),
    "score length": (recording(scores=[[0, 0, 1]]), "recording 'P01/01': truth has 4 frames, scores has 1"),
    "empty": (recording(truth=[], predicted=[]), "recording 'P01/01': truth: no frames"),
    "range": (recording(predicted=[0, 1, 2, 3]), r"'P01/01', predicted\[3\]: label 3 is not among"),
    "fractions": (recording(truth=[0, 1, 1, 1.5]), "truth: holds float64, not label indices"),
    "names": (recording(truth=["run"] * 4), "truth: holds 'run' where a number belongs"),
    "null": (recording(predicted=[0, None, 1, 1]), "predicted: holds None where a number belongs"),
    "scalar": (recording(predicted=1), "predicted: holds 1 where"),
    "multi-hot": (recording(truth=[[0, 1, 0], [1], [1], [2]]), r"truth\[0\]: \[0, 1, 0\] does not list"),
    "several": (recording(truth=[[1, 7], 1, 1, 2]), r"truth\[0\]: 7 is not among"),
    "ragged": (recording(scores=[[0, 1], [0, 1, 1], [0], [0]]), "scores: rows of different lengths"),
    "width": (recording(scores=[[0, 1]] * 4), r"scores is \(4, 2\), but there are 3 labels"),
    "NaN": (recording(scores=[[0, 1, 0], [0, float("nan"), 0], [0, 1, 0], [0, 1, 0]]), r"scores\[1\]: .*NaN"),
    "subclasses": (content(subclasses=[1, 2]), "subclasses: not an object"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_are_located_errors(name: str, tmp_path: Path) -> None:
    value, says = BROKEN[name]
    path = written(tmp_path, value)
    with pytest.raises(DataError, match=says) as caught:
        score_file(path)
    assert str(caught.value).startswith(str(path))


def test_other_broken_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        score_file(tmp_path / "absent.json")
    np.save(tmp_path / "one.npy", np.zeros(300))
    with pytest.raises(DataError, match=r"neither \.npz nor UTF-8 JSON"):
        score_file(tmp_path / "one.npy")
    np.savez(tmp_path / "objects.npz", recordings=np.asarray([{}], dtype=object))
    with pytest.raises(DataError, match="recordings: cannot be read"):
        score_file(tmp_path / "objects.npz")


def test_help_names_every_difference() -> None:
    text = " ".join(CliRunner().invoke(main, ["score", "--help"]).output.split())
    for difference in (
        "perfect scores",
        "segment macro",
        "point matching",
        "point middle",
        "ambiguous frames",
        "round",
    ):
        assert difference in text


def test_scoring_never_imports_torch() -> None:
    code = "import sys, gad_core.metrics.score, gad_core.cli.score as s; sys.exit(bool({'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_command_line_exits_with_two(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-c", "from gad_core.cli import main; main()", "score", written(tmp_path, content(fps=0))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2, result.stderr
    assert "fps is 0" in result.stderr
    assert "Traceback" not in result.stderr

"""Original annotations to per-frame targets: rounding by known times, every format, the counts the field knows."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from gad_oad.__main__ import main
from gad_oad.layout import read_entry, read_targets
from gad_oad.originals import read_crosstask, read_epic_kitchens, read_goalstep, read_thumos14
from gad_oad.rasterise import Action, Annotations, convert, rasterise

from gad_core.errors import DataError

THUMOS = (
    "video,type,type_idx,start,end,startFrame,endFrame\none,Diving,26,0.2,1.1,6,33\none,Ambiguous,0,1.0,2.0,30,60\n"
)
TASKS = "7\nMake Tea\nhttp://tea\n2\nboil water,pour water\n\n9\nMake Soup\nhttp://soup\n2\npour water,stir\n\n"


def test_what_cannot_be_placed_is_counted() -> None:
    actions = [Action("a", 0, 1, 1), Action("a", 0.5, 9, 2), Action("a", 7, 8, 1), Action("a", 1, 1, 1)]
    targets, counted = rasterise(actions, 4, 3, fps=2.0)
    assert targets.tolist() == [[0, 1, 0], [0, 1, 1], [0, 0, 1], [0, 0, 1]]
    assert counted == {"action without length": 1, "action beyond the recording": 1, "action cut at the end": 1}


def test_a_conversion_follows_the_features(tmp_path: Path) -> None:
    annotations = Annotations(("Background", "x"), (Action("a", 0, 1, 1), Action("b", 0, 1, 1)))
    done = convert(annotations, tmp_path, fps=2.0, lengths={"a": 5}, sessions={"train_session_set": ["a"]})
    assert (done.recordings, done.frames, done.actions) == (1, 5, 1) and done.skipped == {
        "recording without features": 1
    }
    assert np.load(tmp_path / "target_perframe/a.npy")[:, 1].tolist() == [1, 1, 0, 0, 0]
    info = json.loads((tmp_path / "data_info.json").read_text())
    assert info["train_session_set"] == ["a"] and info["rounding"] == "centre" and info["fps"] == 2.0
    with pytest.raises(DataError, match="no recording"):
        convert(annotations, tmp_path, fps=2.0, lengths={"z": 5})


def test_thumos_as_table_and_as_texts(tmp_path: Path) -> None:
    (tmp_path / "val.csv").write_text(THUMOS)
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts/Diving_val.txt").write_text("one  0.2 1.1\n")
    (tmp_path / "texts/Ambiguous_val.txt").write_text("one  1.0 2.0\n\n")
    table, texts = read_thumos14([tmp_path / "val.csv"]), read_thumos14([tmp_path / "texts"])
    assert table.classes == texts.classes == ("Background", "Diving", "Ambiguous")
    assert set(table.actions) == set(texts.actions) == {Action("one", 0.2, 1.1, 1), Action("one", 1.0, 2.0, 2)}


@pytest.mark.parametrize(
    ("text", "message"),
    [(THUMOS.replace("0.2", "soon"), "val.csv:2: 'soon'"), ("video,start\n", "no column type, end"), ("", "no column")],
)
def test_faults_of_annotations_are_located(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "val.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        read_thumos14([tmp_path / "val.csv"])


def test_crosstask_as_folder_and_as_zip(tmp_path: Path) -> None:
    release = tmp_path / "crosstask_release"
    (release / "annotations").mkdir(parents=True)
    (release / "tasks_primary.txt").write_text(TASKS)
    (release / "annotations/9_a_b.csv").write_text("1,0.5,1.5\n2,2,3\n")
    with zipfile.ZipFile(tmp_path / "release.zip", "w") as archive:
        for file in release.rglob("*.*"):
            archive.write(file, file.relative_to(tmp_path))
    found = read_crosstask(release)
    assert found == read_crosstask(tmp_path / "release.zip")
    assert found.classes == ("Background", "boil water", "pour water", "stir")
    assert found.actions == (Action("a_b", 0.5, 1.5, 2), Action("a_b", 2, 3, 3))
    (release / "annotations/9_a_b.csv").write_text("3,0.5,1.5\n")
    with pytest.raises(DataError, match=r"9_a_b\.csv:1: '3,0\.5,1\.5' is no step"):
        read_crosstask(release)


def test_epic_by_the_fields_list_and_by_the_official_one(tmp_path: Path) -> None:
    (tmp_path / "actions.csv").write_text("id,verb,noun,action\n0,0,2,take plate\n1,3,5,open door\n")
    (tmp_path / "list.csv").write_text("x,P01_11,15,60,3,5,1\n")
    header = "narration_id,video_id,start_timestamp,stop_timestamp,verb_class,noun_class\n"
    (tmp_path / "official.csv").write_text(
        f"{header}x,P01_11,00:01:00.50,01:00:02.0,0,2\nx,P01_11,00:00:00,00:00:01,9,9\n"
    )
    found = read_epic_kitchens(tmp_path / "actions.csv", [tmp_path / "list.csv", tmp_path / "official.csv"])
    assert found.actions == (Action("P01_11", 0.5, 2.0, 2), Action("P01_11", 60.5, 3602.0, 1))
    assert found.skipped == {"action of an unlisted class": 1}
    (tmp_path / "list.csv").write_text("x,P01_11,15,60,3,5,2\n")
    with pytest.raises(DataError, match=r"list\.csv:1: action '2' is not among the 2"):
        read_epic_kitchens(tmp_path / "actions.csv", [tmp_path / "list.csv"])


def test_goalstep_has_steps_inside_steps(tmp_path: Path) -> None:
    inner = {"start_time": 1, "end_time": 2, "step_category": "Make tea: Stir"}
    outer = {"start_time": 0, "end_time": 4, "step_category": "Make tea: Boil water", "segments": [inner]}
    video = {
        "video_uid": "v",
        "start_time": 0,
        "end_time": 5,
        "segments": [outer, {**inner, "step_category": "Other: X"}],
    }
    (tmp_path / "val.json").write_text(json.dumps({"videos": [video]}))
    found = read_goalstep([tmp_path / "val.json"], ["background", "boil water", "stir"], ("steps", "substeps"))
    assert found.actions == (Action("v", 0, 4, 1), Action("v", 1, 2, 2)) and found.durations == {"v": 5}
    assert found.skipped == {"action of an unlisted class": 1}
    (tmp_path / "val.json").write_text("[]")
    with pytest.raises(DataError, match="GoalStep"):
        read_goalstep([tmp_path / "val.json"], ["background"], ("steps",))


def test_the_command_converts_and_says_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "val.csv").write_text(THUMOS)
    command = ["convert", "thumos14", str(tmp_path / "val.csv"), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(main, [*command, "--fps", "4"])
    assert done.exit_code == 0 and "2 actions, 1 recordings, 8 frames" in done.output
    targets = np.load(tmp_path / "out/target_perframe/one.npy")
    assert targets.argmax(axis=1).tolist() == [0, 1, 1, 1, 2, 2, 2, 2]
    refused = CliRunner().invoke(main, command)
    assert refused.exit_code == 2 and "--features" in refused.output


# ------------------------------------------------------------------------------------- what is written, and where

NO_FILES = [
    "../../../ESCAPED",
    "/tmp/ABS/v2",
    "a/../../b",
    "a\0b",
    "x" * 300,
    "C:a",
    "a\\b",
    "a//b",
    ".hidden",
    "",
    "a/",
]


def converted(folder: Path, *options: str, code: int = 0) -> str:
    command = [
        "convert",
        "thumos14",
        str(folder / "val.csv"),
        "--fps",
        "4",
        "--out",
        str(folder / "deep/out/x"),
        *options,
    ]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == code and (result.exception is None or isinstance(result.exception, SystemExit)), result
    return result.output


@pytest.mark.parametrize("name", NO_FILES)
def test_a_name_that_is_no_file_name_is_refused_with_its_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "val.csv").write_text(f"video,type,start,end\nfine,Run,0,3\n{name},Run,0,3\n")
    assert "val.csv:3: recording" in converted(tmp_path, code=2)
    assert [path.name for path in tmp_path.rglob("*")] == ["val.csv"]
    with pytest.raises(DataError, match="no file can be called so"):
        convert(Annotations(("b", "x"), (Action("a", 0, 1, 1), Action(name, 0, 1, 1))), tmp_path / "out", fps=2.0)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", NO_FILES[:6])
def test_names_are_checked_in_every_benchmark(tmp_path: Path, name: str) -> None:
    (tmp_path / "actions.csv").write_text("id,verb,noun,action\n0,0,2,take plate\n")
    (tmp_path / "list.csv").write_text(f"x,{name},15,60,0,2,0\n")
    with pytest.raises(DataError, match=r"list\.csv:1: recording"):
        read_epic_kitchens(tmp_path / "actions.csv", [tmp_path / "list.csv"])
    header = "narration_id,video_id,start_timestamp,stop_timestamp,verb_class,noun_class\n"
    (tmp_path / "list.csv").write_text(f"{header}x,{name},00:00:01,00:00:02,0,2\n")
    with pytest.raises(DataError, match=r"list\.csv:2: recording"):
        read_epic_kitchens(tmp_path / "actions.csv", [tmp_path / "list.csv"])
    (tmp_path / "val.json").write_text(json.dumps({"videos": [{"video_uid": name, "end_time": 5, "segments": []}]}))
    with pytest.raises(DataError, match=r"val\.json: .*recording"):
        read_goalstep([tmp_path / "val.json"], ["background"], ("steps",))


def test_files_of_others_are_not_replaced_silently(tmp_path: Path) -> None:
    (tmp_path / "val.csv").write_text(THUMOS)
    target = tmp_path / "deep/out/x/target_perframe/one.npy"
    target.parent.mkdir(parents=True)
    np.save(target, np.ones(3))
    before = target.read_bytes()
    said = converted(tmp_path, code=2)
    assert "1 files are there already and hold something else: target_perframe/one.npy" in said and "--force" in said
    assert target.read_bytes() == before and not (tmp_path / "deep/out/x/data_info.json").exists()
    converted(tmp_path, "--force")
    assert target.read_bytes() != before


def test_converting_again_goes_on_and_keeps_what_was_added_by_hand(tmp_path: Path) -> None:
    (tmp_path / "val.csv").write_text(THUMOS)
    converted(tmp_path)
    folder = tmp_path / "deep/out/x"
    files = {path: path.read_bytes() for path in folder.rglob("*.*")}
    (folder / "data_info.json").unlink()  # as a killed conversion leaves it
    converted(tmp_path)
    assert {path: path.read_bytes() for path in folder.rglob("*.*")} == files
    info = folder / "data_info.json"
    info.write_text(json.dumps(json.loads(info.read_text()) | {"train_session_set": ["one"]}))
    assert "data_info.json" in converted(tmp_path, code=2)
    assert "train_session_set" in info.read_text()
    assert "target_perframe/one.npy" in converted(tmp_path, "--rounding", "overlap", code=2)


# ---------------------------------------------------------------------------------------------- damaged annotations


@pytest.mark.parametrize(
    "text",
    ["video,type,start,end\na,Run,1_0,20\n", "video,type,start,end\na,Run,0,inf\n", "video,type,start,end\na,,0,1\n",
     "video,type,start,end\na,Run,0," + "9" * 5000, "video,type,start,end\na,Run,0,1e400", "video,type,start,end\na\n",
     "video,type,start,end\n" + "x" * 200_000 + ",Run,0,1\n"],
)  # fmt: skip
def test_damaged_rows_are_located(tmp_path: Path, text: str) -> None:
    (tmp_path / "val.csv").write_text(text)
    assert "val.csv" in converted(tmp_path, code=2)


def test_times_that_are_no_seconds_do_not_fill_the_disk(tmp_path: Path) -> None:
    (tmp_path / "val.csv").write_text("video,type,start,end\na,Run,0,999999999\nb,Swim,0,1\n")
    assert "not in seconds" in converted(tmp_path, code=2)


@pytest.mark.parametrize(
    "document",
    [[], {"videos": 3}, {"videos": [3]}, {"videos": [{}]},
     {"videos": [{"video_uid": None, "end_time": 1, "segments": []}]},
     {"videos": [{"video_uid": "a", "end_time": "x", "segments": []}]},
     {"videos": [{"video_uid": "a", "end_time": 10**400, "segments": []}]},
     {"videos": [{"video_uid": "a", "end_time": 1, "segments": {}}]},
     {"videos": [{"video_uid": "a", "end_time": 1, "segments": [{"step_category": ["x"] * 2}]}]},
     {"videos": [{"video_uid": "a", "end_time": 1, "segments": [{"step_category": "x", "start_time": [1]}]}]}],
)  # fmt: skip
def test_damaged_goalstep_is_located(tmp_path: Path, document: object) -> None:
    (tmp_path / "val.json").write_text(json.dumps(document))
    with pytest.raises(DataError, match=r"val\.json"):
        read_goalstep([tmp_path / "val.json"], ["background", "x"], ("steps", "substeps"))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04" + b"\0" * 50, b"\xff\xfe", b"[" * 10**5])
def test_damaged_files_of_every_benchmark_are_located(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "given"
    path.write_bytes(content)
    readers = [
        lambda: read_thumos14([path]),
        lambda: read_epic_kitchens(path, [path]),
        lambda: read_crosstask(path),
        lambda: read_goalstep([path], ["background"], ("steps",)),
        lambda: read_entry(path, None),
        lambda: read_targets(path, 2, 0),
    ]
    for read in readers:
        with pytest.raises(DataError, match="given"):
            read()


# ------------------------------------------------------------------------------- the published annotations


@pytest.fixture
def published(shared: Path) -> Path:
    return shared / "data" / "annotations"


def test_the_counts_of_thumos14(published: Path) -> None:
    classes = tuple(read_entry(published / "oad-data-info/data_info.json", "THUMOS")["class_names"])
    for name, videos, rows, vague in (("val", 200, 3096, 89), ("test", 213, 3457, None)):
        found = read_thumos14([published / "thumos14" / f"{name}_Annotation.csv"])
        assert (len(found.recordings), len(found.actions)) == (videos, rows) and found.classes == classes
        assert vague is None or sum(action.label == 21 for action in found.actions) == vague


def test_the_counts_of_crosstask(published: Path) -> None:
    entry = read_entry(published / "oad-data-info/data_info.json", "CrossTask")
    found = read_crosstask(published / "crosstask/crosstask_release.zip")
    assert (len(found.recordings), len(found.actions), len(found.classes)) == (2750, 20919, 106)
    assert list(found.classes[1:]) == entry["class_names"][1:]
    assert set(found.recordings) == {*entry["train_session_set"], *entry["test_session_set"]}


def test_the_counts_of_epic_kitchens(published: Path) -> None:
    folder = published / "epic-kitchens-100"
    actions = folder / "rulstm_actions.csv"
    found = read_epic_kitchens(actions, [folder / "rulstm_validation.csv"], folder / "EPIC_100_video_info.csv")
    assert (len(found.recordings), len(found.actions), len(found.classes)) == (138, 9668, 3807)
    assert len(read_epic_kitchens(actions, [folder / "rulstm_training.csv"]).actions) == 67217
    official = read_epic_kitchens(actions, [folder / "EPIC_100_validation.csv"])
    assert sorted(a.label for a in official.actions) == sorted(a.label for a in found.actions) and not official.skipped
    assert list(found.classes) == read_entry(published / "oad-data-info/data_info.json", "EK100")["class_names"]


def test_the_counts_of_goalstep(published: Path) -> None:
    folder = published / "ego4d-goalstep"
    classes = read_entry(folder / "ego4d-goal_info.json", None)["class_names"]
    steps, substeps = (
        read_goalstep([folder / "goalstep_valid.json"], classes, [level]) for level in ("steps", "substeps")
    )
    assert len(steps.recordings) == 134 and len(classes) == 512
    assert len(steps.actions) + steps.skipped["action of an unlisted class"] == 3349
    assert steps.skipped["action of an unlisted class"] == 4 and len(substeps.actions) == 4347 and not substeps.skipped

"""COIN: the published file becomes the paper's clips, labels and texts."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gad_auxiliary.plugin import Goal
from gad_coin.annotations import Annotations, read_annotations, task_text
from gad_coin.corpus import CoinCorpus, frames_of, make_corpus
from gad_coin.plugin import Coin
from gad_heads.plugin import Gad
from gad_labels.plugin import Text
from gad_llama.plugin import LlamaTiny

from gad_core.contracts.values import Stage
from gad_core.data.features import ArrayFeatures
from gad_core.errors import DataError, Faults
from gad_core.model.composition import compose
from gad_core.registry.experiment import Experiment

OPENING = (
    "A multimodal AI assistant is helping users with some activities. Below is their conversation, interleaved with "
    "the list of video frames received by the assistant.\n\nUser: What is the {} Format your answer concisely. "
    "No extra text output.\n["
)
STEPS = [("open  the case", 1.2, 2.2), ("process (crop, fold) paper", 3.0, 4.0), ("close", 5.0, 9.9)]


def video(subset: str, task: str = "ReplaceCDDriveWithSSD") -> dict[str, Any]:
    steps = [{"id": str(n), "segment": [s, e], "label": label} for n, (label, s, e) in enumerate(STEPS)]
    return {"recipe_type": 1, "class": task, "subset": subset, "duration": 10, "annotation": steps}


VIDEOS = {"a": video("training"), "b": video("training", "Sow"), "c": video("testing"), "d": video("testing", "Sow")}


EMPTY = object()
"""Stands for null, since None removes."""


def written(folder: Path, videos: object) -> Path:
    path = folder / "COIN.json"
    path.write_text(videos if isinstance(videos, str) else json.dumps({"database": videos}))
    return path


def annotations(path: Path) -> Annotations:
    """What the file holds; raises what is wrong with it."""
    faults = Faults()
    found = read_annotations(path, faults)
    faults.raise_any()
    return found


def corpus(folder: Path, recordings: str = "abcd", frames: int = 20, **options: Any) -> CoinCorpus:
    store = ArrayFeatures({name: np.ones((frames, 2, 4), np.float32) for name in recordings}, fps=2.0)
    return make_corpus(Coin(features=folder, annotations=written(folder, VIDEOS), **options), store)


def test_the_three_asks_and_their_frames(tmp_path: Path) -> None:
    found = corpus(tmp_path)
    train = found.samples("train")
    assert [sample.asks for sample in train] == ["current"] * 6 + ["next"] * 4 + ["goal"] * 2
    assert [sample.clip.frames for sample in train[:3]] == [range(3, 6), range(6, 9), range(10, 20)]
    assert train[10].clip.frames == range(3, 20)
    assert found.spaces["current"].labels == ("close", "crop and fold paper", "open  the case")
    assert found.spaces["goal"].labels == ("replace CD drive with SSD", "sow")
    assert found.spaces["goal"].written == ("Replace cd drive with ssd.", "Sow.")
    assert train[1].queries[0].first("previous") == train[0].queries[0].first("current")
    assert train[6].queries[0].first("next") == train[1].queries[0].first("current")


@pytest.mark.parametrize(("separators", "supervised"), [(True, True), (True, False), (False, True), (False, False)])
def test_texts_are_the_official_ones(tmp_path: Path, separators: bool, supervised: bool) -> None:
    found = corpus(tmp_path, separators=separators, supervise_separators=supervised)
    experiment = Experiment(
        name="x", dataset=Coin(features=tmp_path, annotations=tmp_path), backbone=LlamaTiny(), head=Gad(),
        labels=Text(), auxiliary=(Goal(),),
    )  # fmt: skip
    model = compose(experiment, spaces=found.spaces, prompts=found.prompts, width=4, seed=0)
    texts = {
        "current": ("action in the video?", "Open  the case. Replace cd drive with ssd."),
        "next": ("next action for the video?", "Crop and fold paper. Replace cd drive with ssd."),
        "goal": ("overall activity in the video?", "Replace cd drive with ssd."),
    }
    for ask, (question, answer) in texts.items():
        sample = next(sample for sample in found.samples("train") if sample.asks == ask)
        assert found.prompts[ask].before == OPENING.format(question)
        batch = model.assembler([sample], found.features, Stage.TRAIN)
        decoded = model.assembler.text.decode(batch.target.tolist())
        frames = len(sample.clip)
        behind = ("," * (frames - 1) if separators else "") + "]\n" if supervised else ""
        assert decoded.startswith(behind + "\nAssistant: " + answer), decoded


def test_long_clips_are_sampled_evenly(tmp_path: Path) -> None:
    clip = corpus(tmp_path, max_frames=5).samples("train")[10].clip
    assert list(clip.frames) == [3, 7, 11, 15, 19]


def test_frame_grid() -> None:
    assert frames_of(0.1, 0.9, 30.0, 100) == range(3, 28)
    assert frames_of(9.9, 12.0, 2.0, 21) == range(20, 21)


def test_tasks_are_words_and_abbreviations_stay() -> None:
    names = [
        "AttendNBASkillsChallenge",
        "MakeRJ45Cable",
        "ReplaceSIMCard",
        "ReplaceBatteryOnTVControl",
        "LubricateALock",
    ]
    assert [task_text(name) for name in names] == [
        "attend NBA skills challenge", "make RJ45 cable", "replace SIM card", "replace battery on TV control",
        "lubricate a lock",
    ]  # fmt: skip


def test_absent_recordings_are_an_error_or_counted(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="1 of 4 videos are not in the feature store: b"):
        corpus(tmp_path, "acd")
    assert corpus(tmp_path, "acd", missing="skip").usage["recordings"] == "3 of 4"
    with pytest.raises(DataError, match="beyond the features"):
        corpus(tmp_path, frames=8)


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("subset",), "dev", "a: unknown subset 'dev'"),
        (("class",), None, "a: lacks class"),
        (("annotation", 1, "segment"), [30, 40], "a: step 1: segment 30 to 40 s is outside the video"),
        (("annotation", 0, "segment"), [4, 3], "step 0: segment 4 to 3 s"),
        (("annotation", 0, "segment"), None, "step 0: lacks segment"),
        (("annotation", 0, "segment"), ["x", 3], "'x' is not a time"),
        (("annotation", 0, "segment"), [10**400, 3], "is not a time"),
        (("annotation", 0, "segment"), ["1_0", 20], "'1_0' is not a time"),
        (("annotation", 0, "segment"), {"a": 1}, "is not [start, end]"),
        (("annotation", 0, "label"), EMPTY, "the label is empty"),
        (("annotation", 0, "label"), ["a", "b"], "label ['a', 'b'] is no text"),
        (("annotation", 0, "label"), {"name": "a"}, "is no text"),
        (("annotation", 0, "label"), 3, "label 3 is no text"),
        (("annotation", 0, "label"), "\ud800", "lone surrogate"),
        (("class",), EMPTY, "the class is empty"),
        (("class",), True, "class True is no text"),
        (("subset",), EMPTY, "unknown subset None"),
        (("subset",), ["x", "y"], "subset ['x', 'y'] is no text"),
        (("duration",), EMPTY, "None is not a time"),
        (("annotation",), "abc", "is not a list"),
        (("annotation", 0), [1], "lacks label, segment"),
    ],
)
def test_broken_files_are_located(tmp_path: Path, place: tuple[Any, ...], value: object, message: str) -> None:
    videos: Any = copy.deepcopy(VIDEOS)
    inner = videos["a"]
    for key in place[:-1]:
        inner = inner[key]
    if value is None:
        del inner[place[-1]]
    else:
        inner[place[-1]] = None if value is EMPTY else value
    with pytest.raises(DataError, match=re.escape(message)):
        annotations(written(tmp_path, videos))


def test_no_video_in_the_store_is_told_with_both_spellings(tmp_path: Path) -> None:
    for missing in ("error", "skip"):
        with pytest.raises(DataError, match=r"4 of 4 videos .* a, b, c, d; the feature store has A, B, C, …"):
            corpus(tmp_path, "ABCD", missing=missing)


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 10**5, '{"database": {"a": ' + "9" * 5000 + "}}", '{"a": 3}'])
def test_damaged_files_are_located(tmp_path: Path, text: str) -> None:
    with pytest.raises(DataError, match=r"COIN\.json"):
        annotations(written(tmp_path, text))


def test_duplicate_ids_are_refused_and_empty_steps_counted(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'a' stands there twice"):
        annotations(written(tmp_path, '{"database": {"a": {}, "a": {}}}'))
    videos = copy.deepcopy(VIDEOS)
    videos["a"]["annotation"][0]["segment"] = [1.0, 1.0]
    assert annotations(written(tmp_path, videos)).dropped == {"steps without length": 1}


def test_the_real_file_has_the_known_counts(shared: Path, tmp_path: Path) -> None:
    path = shared / "data" / "annotations" / "coin" / "COIN.json"
    if not path.is_file():
        pytest.skip("no COIN annotations beside the project")
    found = annotations(path)
    splits = [video.split for video in found.videos]
    assert (splits.count("train"), splits.count("test")) == (8412, 2594)
    assert sum(len(video.steps) for video in found.videos) == 43004
    assert len({video.task for video in found.videos}) == 180
    assert len(found.ids) == 778
    assert len({step.label for video in found.videos for step in video.steps}) == 749


def test_the_reference_truncates_and_keeps_the_leading_blank(tmp_path: Path) -> None:
    ours, theirs = (corpus(tmp_path, max_frames=4, variant=variant) for variant in ("corrected", "reference"))
    # the whole of a video shows frames 3 to 19: thirds of 16 stand between two frames
    assert [list(one.samples("train")[10].clip.frames) for one in (ours, theirs)] == [[3, 8, 14, 19], [3, 8, 13, 19]]
    assert {prompt.keep_lead for prompt in ours.prompts.values()} == {False}
    assert {prompt.keep_lead for prompt in theirs.prompts.values()} == {True}
    short = [corpus(tmp_path, variant=variant).samples("test")[0].clip.frames for variant in ("corrected", "reference")]
    assert short[0] == short[1] == range(3, 6)

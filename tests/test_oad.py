"""Online action detection in the field's layout: names, targets, windows of the paper's code, located faults."""

from __future__ import annotations

import gzip
import json
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gad_oad.corpus import OadCorpus, ReferenceWindows, SeveralRelations, make_corpus, reference_plan
from gad_oad.layout import Targets, label_space, plain_name, read_targets
from gad_oad.plugin import OnlineActionDetection
from gad_oad.presets import PRESETS
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gad_core import registry
from gad_core.contracts.values import LabelRef, LabelSpace, Predictions
from gad_core.data.features import ArrayFeatures, ConcatenatedFeatures
from gad_core.data.relations import StreamRelations
from gad_core.errors import DataError, FeatureError

CLASSES = ["Background", "CliffDiving", "Diving", "HighJump", "Ambiguous"]
LENGTHS = {"a": 40, "b": 7, "c": 30}
RECIPES = Path(__file__).resolve().parents[1] / "recipes"


def rows(length: int) -> np.ndarray:
    """Background, then cliff diving, which is diving too, then a high jump, then nothing that is sure."""
    targets = np.zeros((length, len(CLASSES)), dtype=np.float32)
    targets[: length // 4, 0] = 1
    targets[length // 4 : length // 2, [1, 2]] = 1
    targets[length // 2 : length - 2, 3] = 1
    targets[length - 2 :, 4] = 1
    return targets


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    """A small layout of three recordings."""
    (tmp_path / "target_perframe").mkdir()
    for name, length in LENGTHS.items():
        np.save(tmp_path / "target_perframe" / f"{name}.npy", rows(length))
    info = {"class_names": CLASSES, "train_session_set": ["a", "b"], "test_session_set": ["c"], "fps": 4}
    (tmp_path / "data_info.json").write_text(json.dumps({"THUMOS": info}))
    return tmp_path


Open = Callable[..., OadCorpus]


@pytest.fixture
def opened(layout: Path) -> Open:
    def open_layout(*, lengths: dict[str, int] = LENGTHS, fps: float = 4.0, **options: Any) -> OadCorpus:
        arrays = {name: np.ones((length, 3), dtype=np.float32) for name, length in lengths.items()}
        given = {"preset": "thumos14", "features": "rgb.lmdb", "short": 8, "stride": 8, "long": 16} | options
        places = {"data_info": layout / "data_info.json", "targets": layout / "target_perframe"}
        return make_corpus(OnlineActionDetection(**places, **given), ArrayFeatures(arrays, fps))

    return open_layout


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_gives_what_is_not_given(preset: str) -> None:
    places = {"features": "f", "data_info": "d", "targets": "t"}
    options = OnlineActionDetection(preset=preset, **places)
    assert options.short == options.stride == PRESETS[preset]["short"] and options.long == 128
    other = OnlineActionDetection(preset=preset, short=5, fps=2.0, **places)
    assert (other.short, other.fps, other.stride) == (5, 2.0, options.stride)
    assert OnlineActionDetection(**other.options()) == other


def test_a_registry_file_may_list_streams_and_classes(layout: Path) -> None:
    (layout / "registry.yaml").write_text("""
version: 1
backbones: {tiny: {use: llama-tiny}}
heads: {d: {use: discriminative}}
datasets: {oad: {use: oad, preset: crosstask, features: [rgb.lmdb, flow.lmdb], data_info: data_info.json, targets: t,
                 ignored: [Ambiguous], discarded: [a]}}
experiments: {one: {dataset: oad, backbone: tiny, head: d}}
""")
    dataset = registry.load(layout / "registry.yaml").experiments["one"].dataset
    assert isinstance(dataset, OnlineActionDetection)
    assert dataset.features == (layout / "rgb.lmdb", layout / "flow.lmdb") and dataset.background_weight == 0.2
    assert (dataset.ignored, dataset.discarded) == (("Ambiguous",), ("a",))


def test_an_unknown_preset_and_a_missing_split_are_refused() -> None:
    places = {"features": "f", "data_info": "d", "targets": "t"}
    with pytest.raises(ValidationError, match="thumos14"):
        OnlineActionDetection(preset="thumos", **places)
    with pytest.raises(ValidationError, match="one for test"):
        OnlineActionDetection(splits={"train": "train_session_set"}, **places)


@pytest.mark.parametrize(
    ("name", "written"),
    [("CleanAndJerk", "clean and jerk"), ("take tap:hot", "take tap:hot"), ("Get in/out of car", "get in/out of car")],
)
def test_class_names_become_words(name: str, written: str) -> None:
    assert plain_name(name) == written


def test_background_is_one_word_however_it_is_spelt() -> None:
    space = label_space(("BackGround", "pour water"), "background", (), "here")
    assert space.written == ("background", "pour water") and space.background == 0
    with pytest.raises(DataError, match="no class is called 'ambiguous'"):
        label_space(("BackGround", "pour water"), "background", ("ambiguous",), "here")


def test_frames_keep_all_their_classes(opened: Open) -> None:
    corpus = opened()
    assert corpus.splits == ("train", "test") and corpus.spaces["current"].ignored == (4,)
    queries = {sample.uid: sample.queries[0] for sample in corpus.samples("test")}
    assert len(queries) == LENGTHS["c"]
    assert queries["c/10"].relations["current"] == (LabelRef("action", 1), LabelRef("action", 2))
    assert queries["c/15"].relations["past"] == (LabelRef("action", 1),)
    assert corpus.prompts["current"].before == "What is the action in the last frame?\n"
    assert not corpus.prompts["current"].close_background and corpus.prompts["current"].joiner == ","


def answers(corpus: OadCorpus, scores: np.ndarray) -> Predictions:
    queries = [sample.queries[0] for sample in corpus.samples("test")]
    count = len(queries)
    truth = np.array([query.relations["current"][0].index for query in queries])
    uids = tuple(f"c/{frame}" for frame in range(count))
    return Predictions(uids, ("c",) * count, ("current",) * count, np.arange(count), truth, scores)


def test_every_class_of_a_frame_counts_in_the_mean_precision(opened: Open, layout: Path) -> None:
    targets = rows(LENGTHS["c"])
    order = np.arange(len(CLASSES)) / 100  # mAP asks for one
    perfect = opened().score(answers(opened(), targets * 10.0 - order))
    assert perfect["map"] == pytest.approx(100) and perfect["frame_accuracy"] == pytest.approx(100)
    narrow = targets * 10.0 - order
    narrow[:, 2] = 0
    assert opened().score(answers(opened(), narrow))["map"] == pytest.approx(100)  # CliffDiving counts as Diving


def test_a_second_class_is_part_of_the_truth(opened: Open, layout: Path) -> None:
    targets = rows(LENGTHS["c"])
    targets[20:25, 2] = 1
    np.save(layout / "target_perframe/c.npy", targets)
    both, first = targets * 10.0, targets * 10.0
    first[20:25, 3] = -10
    assert opened().score(answers(opened(), both))["map"] == pytest.approx(100)
    assert opened().score(answers(opened(), first))["map"] < 99


@given(
    labels=st.lists(st.integers(0, 3), min_size=1, max_size=30),
    several=st.dictionaries(st.integers(0, 29), st.sampled_from([(1, 2), (3, 0), (2, 1, 3)]), max_size=4),
    short=st.integers(1, 9),
    calls=st.lists(st.integers(0, 29), max_size=20),
)
def test_what_holds_at_a_frame_depends_on_no_other_frame(
    labels: list[int], several: dict[int, tuple[int, ...]], short: int, calls: list[int]
) -> None:
    """A frame of several actions shares its run, and nothing else, with its neighbours."""
    space = LabelSpace("action", ("background", "a", "b", "c"), background=0)
    targets = Targets(np.array(labels), {frame: shown for frame, shown in several.items() if frame < len(labels)}, 0)
    asked = SeveralRelations(targets, space, short, first_seen=False)
    plain = StreamRelations(np.array(labels), space, short)
    for call in (*calls, *range(30)):
        frame = call % len(labels)
        current = targets.several.get(frame, (labels[frame],))
        found = asked.at(frame)
        assert tuple(ref.index for ref in found["current"]) == current
        assert {**found, "current": ()} == {**plain.at(frame), "current": ()}


def test_background_weighs_as_told(opened: Open) -> None:
    weights = {query.weight for sample in opened(background_weight=0.5).samples("test") for query in sample.queries}
    assert weights == {0.5, 1.0}


def test_dense_and_window_ask_every_frame_once(opened: Open) -> None:
    for protocol in ("window", "dense"):
        corpus = opened(protocol=protocol)
        asked = [sample.clip.frames[query.at - 1] for sample in corpus.samples("test") for query in sample.queries]
        assert corpus.protocol == protocol and asked == list(range(LENGTHS["c"]))


def test_the_reference_draws_below_short_and_never_asks_the_last_frame() -> None:
    windows = ReferenceWindows(long=16, short=8, stride=4, protocol="window", queries="last")
    firsts = {int(windows.training(99, seed=0, epoch=e, recording="a")[0][0]) for e in range(200)}
    assert firsts == set(range(7))
    assert all(windows.training(99, seed=0, epoch=e, recording="a")[0][-1] < 98 for e in range(50))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / "target_perframe/b.npy").unlink(), r"'b' of train has no targets b\.npy"),
        (lambda folder: np.save(folder / "target_perframe/b.npy", rows(9)), r"b\.npy: 9 frames, but 7"),
        (lambda folder: np.save(folder / "target_perframe/a.npy", rows(40)[:, :4]), r"a\.npy: .* there are 5 classes"),
        (lambda folder: np.save(folder / "target_perframe/a.npy", rows(40) * 0.5), "not 0 and 1"),
        (lambda folder: np.save(folder / "target_perframe/a.npy", np.full(40, 5)), "frame 0 is of class 5"),
        (lambda folder: (folder / "target_perframe/a.npy").write_bytes(b"nothing"), "cannot be read"),
    ],
)
def test_broken_recordings_are_located(
    opened: Open, layout: Path, change: Callable[[Path], object], message: str
) -> None:
    change(layout)
    with pytest.raises(DataError, match=message) as caught:
        opened()
    assert caught.value.where


def test_names_that_do_not_match_are_told_together(opened: Open, layout: Path) -> None:
    for missing in ("error", "skip"):
        with pytest.raises(DataError) as caught:
            opened(lengths={"a_rgb": 40, "b_rgb": 7, "c_rgb": 30}, missing=missing)
        said = str(caught.value)
        assert (
            "3 of 3 recordings are not in the feature store: a, b, c; the feature store has a_rgb, b_rgb, c_rgb" in said
        )
        assert "<recording>_rgb" in said and "data_info.json" in said
    for name in "abc":
        (layout / f"target_perframe/{name}.npy").rename(layout / f"target_perframe/v_{name}.npy")
    with pytest.raises(DataError, match=r"3 of 3 recordings are not in the targets .*has v_a, v_b, v_c"):
        opened()


def test_accents_of_recordings_match_in_either_spelling(opened: Open, layout: Path) -> None:
    for spelling in ("NFC", "NFD"):
        np.save(layout / "target_perframe" / f"{unicodedata.normalize(spelling, 'thé')}.npy", rows(9))
        for written in ("NFC", "NFD"):
            name = unicodedata.normalize(written, "thé")
            info = {"class_names": CLASSES, "train_session_set": ["a", name], "test_session_set": ["c"]}
            (layout / "data_info.json").write_text(json.dumps(info))
            assert opened(lengths={"a": 40, "thé": 9, "c": 30}).usage["recordings"] == "3 of 3"


@pytest.mark.parametrize("field", ["class_names", "train_session_set", "fps"])
@pytest.mark.parametrize("value", [None, 3, [], [1], ["\ud800"], {"a": 1}, [["a"]], True, 10**400, [" "]])
def test_odd_values_of_a_data_info_are_located(opened: Open, layout: Path, field: str, value: object) -> None:
    info = {"class_names": CLASSES, "train_session_set": ["a", "b"], "test_session_set": ["c"], "fps": 4, field: value}
    (layout / "data_info.json").write_text(json.dumps(info))
    if field == "fps" and value in (None, 3):
        assert opened(fps=4.0)
        return
    with pytest.raises(DataError, match="data_info"):
        opened()


def test_all_broken_recordings_are_told_at_once(opened: Open, layout: Path) -> None:
    np.save(layout / "target_perframe/a.npy", rows(90))
    with pytest.raises(DataError, match="2 things are wrong") as caught:
        opened(lengths={"a": 40, "b": 7})
    assert "a.npy: 90 frames" in str(caught.value) and "'c' of test has no features" in str(caught.value)


def test_what_is_left_out_by_rule_is_counted(opened: Open, layout: Path) -> None:
    targets = rows(9)
    targets[3] = 0
    np.save(layout / "target_perframe/b.npy", targets)
    corpus = opened(tolerance=2, missing="skip")
    assert corpus.usage["recordings cut to the shorter"] == "1" and corpus.usage["frames without a class"] == "1"
    corpus = opened(tolerance=2, missing="skip", lengths={"a": 40, "c": 30})
    assert corpus.usage["recordings"] == "2 of 3" and corpus.usage["train recordings"] == "1 of 2"
    assert opened(discarded=("b",)).usage["discarded recordings"] == "1"


@pytest.mark.parametrize(
    ("info", "message"),
    [
        ({"class_names": CLASSES, "train_session_set": ["a", "a"], "test_session_set": ["c"]}, "'a' stands in"),
        ({"class_names": CLASSES, "train_session_set": ["a", "c"], "test_session_set": ["c"]}, "'c' stands in"),
        ({"class_names": CLASSES, "train_session_set": ["a"]}, "test_session_set is no list"),
        ({"EK100": {}}, "no class_names and no section 'THUMOS'"),
        ({"class_names": CLASSES, "train_session_set": ["a"], "test_session_set": ["c"], "fps": "4"}, "fps is '4'"),
    ],
)
def test_a_broken_data_info_is_located(opened: Open, layout: Path, info: object, message: str) -> None:
    (layout / "data_info.json").write_text(json.dumps(info))
    with pytest.raises(DataError, match=message):
        opened()


def test_features_of_another_rate_are_refused(opened: Open) -> None:
    with pytest.raises(DataError, match="24 frames a second"):
        opened(fps=24.0)


def test_streams_stand_side_by_side(layout: Path) -> None:
    one, two = (ArrayFeatures({n: np.full((t, w), w) for n, t in LENGTHS.items()}, 4.0) for w in (2, 3))
    options = OnlineActionDetection(
        features=("rgb", "flow"),
        data_info=layout / "data_info.json",
        targets=layout / "target_perframe",
        section="THUMOS",
    )
    corpus = make_corpus(options, ConcatenatedFeatures([one, two]))
    assert corpus.features.read("a", range(2))[0, 0].tolist() == [2, 2, 3, 3, 3]
    with pytest.raises(FeatureError):
        ConcatenatedFeatures([one, ArrayFeatures({"a": np.ones((1, 1))}, 4.0)])


def test_indices_are_targets_too(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([0, 2, 1]))
    assert read_targets(tmp_path / "a.npy", 3, 0).main.tolist() == [0, 2, 1]


def test_background_beside_an_action_is_not_the_main_class(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([[1, 0, 1], [1, 1, 1], [0, 0, 0]]))
    found = read_targets(tmp_path / "a.npy", 3, 0)
    assert found.main.tolist() == [2, 1, 0] and found.several == {1: (1, 2)} and found.empty == 1
    assert read_targets(tmp_path / "a.npy", 3, 0, reference=True).main.tolist() == [0, 0, 0]


# ------------------------------------------------------------------------------------------- the paper's code

SECTIONS = {"thumos": "THUMOS", "crosstask": "CrossTask", "ek100": "EK100"}


def official_classes(shared: Path, dataset: str) -> tuple[str, ...]:
    folder = shared / "data" / "annotations"
    if dataset == "ego4dgoal":
        return tuple(json.loads((folder / "ego4d-goalstep/ego4d-goal_info.json").read_text())["class_names"])
    return tuple(json.loads((folder / "oad-data-info/data_info.json").read_text())[SECTIONS[dataset]]["class_names"])


def golden(shared: Path, name: str) -> dict[str, Any]:
    return json.loads(gzip.decompress((shared / "golden" / "models" / f"{name}.json.gz").read_bytes()))


@pytest.mark.parametrize("dataset", ["thumos", "crosstask", "ek100", "ego4dgoal"])
def test_windows_and_texts_are_those_of_the_papers_code(shared: Path, tmp_path: Path, dataset: str) -> None:
    classes = official_classes(shared, dataset)
    space = label_space(classes, "background", (), "here")
    frames = golden(shared, "oad_frame_labels")[dataset]
    windows = {key: found for key, found in golden(shared, "oad_windows").items() if key.split("/")[1] == dataset}
    assert len(windows) == 6
    for key, found in windows.items():
        spec = found["spec"]
        plan = ReferenceWindows(spec["long_len"], spec["short_len"], spec["stride"], "window", "last")
        ours, theirs = [], [(s["video"], s["last"], s["first"], s["n"], s["suffix"]) for s in found["samples"]]
        for video in dict.fromkeys(sample["video"] for sample in found["samples"]):
            targets = np.zeros((len(frames[video]), len(classes)))
            for frame, shown in enumerate(frames[video]):
                targets[frame, shown] = 1
            np.save(tmp_path / "one.npy", targets)
            read: Targets = read_targets(tmp_path / "one.npy", len(classes), 0, reference=True)
            relations = SeveralRelations(read, space, spec["short_len"], first_seen=True)
            for end in reference_plan(len(targets), spec["stride"], 0)[0].tolist():
                seen = plan.frames(end)
                suffix = _suffix(key, [space.written[ref.index] for ref in _told(key, relations.at(end))])
                ours.append((video, end, seen.start, len(seen), suffix))
        assert ours == theirs, key


def _told(key: str, relations: dict[str, tuple[LabelRef, ...]]) -> list[LabelRef]:
    with_past = key.startswith("gad/") and "thumos" not in key
    return [relations["current"][0], *(relations.get("past", ())[:1] if with_past else ())]


def _suffix(key: str, texts: list[str]) -> str:
    if key.startswith("disc/"):
        return ""
    lead = "<cls>" if key.startswith("gad/") else ""
    return f"{lead}\nAssistant: {', '.join(texts)}" + ("" if texts == ["background"] else "<|eot_id|>")


@pytest.mark.parametrize("recipe", ["thumos14", "crosstask", "epic-kitchens-100", "ego4d-goalstep"])
def test_a_recipe_is_right_and_holds_the_papers_numbers(recipe: str) -> None:
    book = registry.load(RECIPES / f"{recipe}.yaml")
    assert any(experiment.expected for experiment in book.experiments.values())
    assert {experiment.dataset.preset for experiment in book.experiments.values()} == {recipe}

"""The user's own data: frames of times, splits, labels, and a located message for everything that can be wrong."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from gad_segments.annotations import COLUMNS
from gad_segments.corpus import make_corpus
from gad_segments.plugin import Segments
from pydantic import ValidationError

from gad_core.contracts.components import Corpus
from gad_core.contracts.values import Predictions, Sample
from gad_core.data.scaling import measure_scale
from gad_core.errors import DataError, FeatureError

HEADER = "recording,start,end,label,split,goal\n"
ROWS = """\
one,0.0,1.0,wash cup,train,tea
one,2.0,3.0,fill cup,train,tea
two,0.5,1.5,fill cup,train,soup
two,1.5,4.0,wash cup,train,soup
three,1.0,2.0,wash cup,test,tea
three,3.0,3.6,fill cup,test,tea
four,0.0,3.0,fill cup,test,soup
four,3.0,4.0,"cut, then wash",test,soup
"""


class Store:
    """Features in memory: 4 frames a second, 20 frames each."""

    def __init__(self, *, recordings: str = "one two three four", fps: float = 4.0) -> None:
        self.tokens, self.width, self.fps = 2, 3, fps
        draw = np.random.default_rng(0)
        self.arrays = {name: draw.normal(5, 3, (20, 2, 3)).astype(np.float32) for name in recordings.split()}
        self.lengths = {name: len(array) for name, array in self.arrays.items()}

    def read(self, recording: str, frames: range | np.ndarray) -> np.ndarray:
        return self.arrays[recording][np.asarray(frames)]


Open = Callable[..., Corpus]


@pytest.fixture
def opened(tmp_path: Path) -> Open:
    """Opens a file of segments, given as text, with any options."""

    def open_text(
        text: str = HEADER + ROWS, *, store: Store | None = None, name: str = "mine.csv", **options
    ) -> Corpus:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return make_corpus(Segments(features=tmp_path, annotations=path, **options), store or Store())

    return open_text


def labels(corpus: Corpus, samples: list[Sample], ask: str = "current") -> list[str]:
    return [corpus.spaces[ask].labels[sample.queries[-1].relations[ask][0].index] for sample in samples]


def perfect(corpus: Corpus, split: str) -> Predictions:
    """Predictions that put all weight on the truth."""
    rows = [(sample, query) for sample in corpus.samples(split) for query in sample.queries]
    truth = np.array([query.relations[sample.asks][0].index for sample, query in rows])
    scores = np.full((len(rows), max(map(len, corpus.spaces.values()))), -np.inf, dtype=np.float32)
    for row, (sample, _) in enumerate(rows):
        size = len(corpus.spaces[sample.asks])
        scores[row, :size] = -np.arange(size) / size  # the others are ranked: mAP asks for an order
    scores[np.arange(len(rows)), truth] = 9
    return Predictions(
        uids=tuple(sample.uid for sample, _ in rows),
        recordings=tuple(sample.clip.recording for sample, _ in rows),
        asks=tuple(sample.asks for sample, _ in rows),
        frames=np.array([sample.clip.frames[query.at - 1] for sample, query in rows]),
        truth=truth,
        scores=scores,
    )


# ------------------------------------------------------------------------------------------------------- corpora


def test_clips_are_the_segments(opened: Open) -> None:
    corpus = opened()
    train = list(corpus.samples("train"))
    assert [sample.clip.frames for sample in train] == [range(4), range(8, 12), range(2, 6), range(6, 16)]
    assert labels(corpus, train) == ["wash cup", "fill cup", "fill cup", "wash cup"]
    assert corpus.spaces["current"].labels == ("cut, then wash", "fill cup", "wash cup")
    assert corpus.splits == ("train", "test")
    assert corpus.usage == {"recordings": "4 of 4", "segments": "8 of 8"}
    assert corpus.protocol == "clips"
    assert labels(corpus, train, "goal") == ["tea", "tea", "soup", "soup"]


def test_three_questions_are_asked_together(opened: Open) -> None:
    corpus = opened(asks=["current", "next", "goal"])
    train = list(corpus.samples("train"))
    assert [sample.asks for sample in train] == ["current"] * 4 + ["next"] * 2 + ["goal"] * 2
    assert labels(corpus, train[4:6], "next") == ["fill cup", "wash cup"]
    assert [sample.clip.frames for sample in train[6:]] == [range(12), range(2, 16)]
    assert len({sample.uid for sample in train}) == 8
    scores = corpus.score(perfect(corpus, "test"))
    assert scores["current/top1"] == scores["next/top1"] == scores["goal/top1"] == 100
    assert corpus.headline == "current/top1"


def test_long_clips_are_thinned(opened: Open) -> None:
    corpus = opened(max_frames=5)
    assert max(len(sample.clip) for sample in corpus.samples("train")) == 5
    assert list(corpus.samples("train")[3].clip.frames) == [6, 8, 10, 13, 15]


def test_a_stream_labels_every_frame(opened: Open) -> None:
    corpus = opened(mode="stream", long=6, short=3, background_weight=0.5)
    assert corpus.spaces["current"].labels == ("background", "cut, then wash", "fill cup", "wash cup")
    assert corpus.spaces["current"].background == 0
    samples = list(corpus.samples("test"))
    assert len(samples) == 40
    three = labels(corpus, samples[:20])
    assert three == ["background"] * 4 + ["wash cup"] * 4 + ["background"] * 4 + ["fill cup"] * 2 + ["background"] * 6
    assert samples[10].clip.frames == range(2, 11)
    assert [sample.queries[0].weight for sample in samples[3:5]] == [0.5, 1.0]
    scores = corpus.score(perfect(corpus, "test"))
    assert scores["map"] == scores["frame_accuracy"] == 100


def test_dense_asks_the_same_frames_as_windows(opened: Open) -> None:
    answers = {}
    for protocol in ("window", "dense"):
        corpus = opened(mode="stream", long=6, short=3, protocol=protocol)
        assert corpus.protocol == protocol
        found = perfect(corpus, "test")
        answers[protocol] = list(zip(found.recordings, found.frames.tolist(), found.truth.tolist(), strict=True))
    assert answers["window"] == answers["dense"]


def test_only_training_changes_with_the_epoch(opened: Open) -> None:
    corpus = opened(mode="stream", long=6, short=5)
    epochs = [[sample.uid for sample in corpus.samples("train", epoch, seed=1)] for epoch in range(6)]
    assert len(set(map(tuple, epochs))) > 1
    assert [sample.uid for sample in corpus.samples("train", 3, seed=1)] == epochs[3]
    assert list(corpus.samples("test", 0)) == list(corpus.samples("test", 5, seed=9))


def test_samples_are_a_sequence(opened: Open) -> None:
    samples = opened(mode="stream").samples("test")
    assert samples[-1] == samples[len(samples) - 1]
    assert samples[:2] == [samples[0], samples[1]]
    with pytest.raises(IndexError):
        samples[len(samples)]


def test_json_frames_aliases_and_a_third_split(opened: Open) -> None:
    rows = [
        {"Video": "one", "Start Frame": 0, "end-frame": 4, "action": "a", "subset": "train"},
        {"Video": "two", "Start Frame": 2, "end-frame": 6, "action": "b", "subset": "train"},
        {"Video": "three", "Start Frame": 2, "end-frame": 6, "action": "b", "subset": "validation"},
        {"Video": "four", "Start Frame": 2, "end-frame": 6, "action": "b", "subset": "test"},
    ]
    corpus = opened(json.dumps(rows, indent=1), name="mine.json", unit="frames")
    assert corpus.splits == ("train", "test", "validation")
    assert [sample.clip.frames for sample in corpus.samples("train")] == [range(4), range(2, 6)]
    assert "goal" not in corpus.spaces


def test_labels_keep_the_order_given(opened: Open, tmp_path: Path) -> None:
    order = ["wash cup", "fill cup", "cut, then wash", "never seen"]
    assert opened(labels=order).spaces["current"].labels == tuple(order)
    (tmp_path / "labels.txt").write_text("\n".join(order) + "\n")
    assert opened(labels=str(tmp_path / "labels.txt")).spaces["current"].labels == tuple(order)
    (tmp_path / "labels.json").write_text(json.dumps(order))
    assert opened(labels=str(tmp_path / "labels.json")).spaces["current"].labels == tuple(order)


def test_a_goal_is_supplied_only_where_one_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(HEADER + ROWS)
    options = Segments(features=tmp_path, annotations=path)
    assert "goal" in options.relations()
    path.write_text(HEADER + "one,0,1,a,train,\n")
    assert "goal" not in options.relations()
    assert "goal" not in Segments(features=tmp_path, annotations=tmp_path / "none.csv").relations()
    assert "goal" in Segments(features=tmp_path, annotations=path, asks=["goal"]).relations()


def test_the_last_segment_has_the_frames_it_shares(opened: Open) -> None:
    corpus = opened(HEADER + ROWS + "three,1.5,2.5,fill cup,test,tea\n", mode="stream", overlap="last")
    three = labels(corpus, list(corpus.samples("test"))[:12])
    assert three == ["background"] * 4 + ["wash cup"] * 2 + ["fill cup"] * 4 + ["background"] * 2


def test_missing_recordings_can_be_skipped_and_are_counted(opened: Open) -> None:
    corpus = opened(store=Store(recordings="one two four"), missing="skip")
    assert corpus.usage == {"recordings": "3 of 4", "segments": "6 of 8"}


def test_the_scale_is_measured_over_the_training_recordings(opened: Open) -> None:
    corpus = opened(standardize=True)
    train = np.concatenate([corpus.features.read(name, range(20)) for name in ("one", "two")]).reshape(-1, 3)
    assert corpus.scale is not None
    assert np.allclose(corpus.scale.mean, train.mean(axis=0), atol=1e-5)
    assert np.allclose(corpus.scale.deviation, train.std(axis=0), atol=1e-5)
    assert opened().scale is None


def test_measuring_the_scale_names_the_recording_with_nan_and_keeps_constants() -> None:
    store = Store()
    store.arrays["one"][:, :, 1] = 7
    scale = measure_scale(store, ["one"])
    assert (scale.mean[1], scale.deviation[1]) == (7, 1)
    store.arrays["two"][3, 0, 0] = np.nan
    with pytest.raises(FeatureError, match="'two'"):
        measure_scale(store, ["one", "two"])


# -------------------------------------------------------------------------------------------------------- faults


def swapped(old: str, new: str) -> str:
    assert old in HEADER + ROWS
    return (HEADER + ROWS).replace(old, new)


FAULTS = {
    "no start": (swapped("start,", "starting,"), {}, "mine.csv:1", "there is no start"),
    "two starts": (swapped("goal", "begin"), {}, "mine.csv:1", "may both be the start"),
    "empty file": ("", {}, "mine.csv:1", "there is no recording"),
    "header alone": (HEADER, {}, "mine.csv", "no segments"),
    "too many fields": (swapped('"cut, then wash"', "cut, then wash"), {}, "mine.csv:9", "7 fields"),
    "no label": (swapped("1.5,fill cup", "1.5, "), {}, "mine.csv:4", "no label"),
    "no number": (swapped("0.5,1.5", "0-05,1.5"), {}, "mine.csv:4", "start '0-05' is not a number"),
    "NaN": (swapped("0.5,1.5", "nan,1.5"), {}, "mine.csv:4", "start 'nan' is not a number"),
    "negative": (swapped("0.5,1.5", "-0.5,1.5"), {}, "mine.csv:4", "start is -0.5"),
    "start is end": (swapped("0.5,1.5", "1.5,1.5"), {}, "mine.csv:4", "start 1.5 is not before end 1.5"),
    "unclosed quote": (swapped('"cut, then wash"', '"cut'), {}, "mine.csv", "no CSV"),
    "beyond the end": (swapped("1.5,4.0", "1.5,5.3"), {}, "mine.csv:5", "reaches beyond recording 'two'"),
    "outside": (swapped("3.0,4.0", "5.0,5.1"), {}, "mine.csv:9", "reaches beyond recording 'four'"),
    "half frames": (HEADER + ROWS, {"unit": "frames"}, "mine.csv:4", "are not whole"),
    "two goals": (swapped("3.0,fill cup,train,tea", "3.0,fill cup,train,soup"), {}, "mine.csv:3", "has goal 'tea'"),
    "no test": (swapped(",test,", ",testing,"), {}, "mine.csv", "split 'test' is empty"),
    "one label": (swapped("fill cup,train", "wash cup,train"), {}, "mine.csv", "1 label only"),
    "one goal": (swapped("train,soup", "train,tea"), {"asks": ["goal"]}, "mine.csv", "1 goal only"),
    "no goals": (swapped("goal", "remark"), {"asks": ["goal"]}, "mine.csv", "no row names a goal"),
    "fps": (HEADER + ROWS, {"fps": 5}, "", "have 4 frames a second, the dataset says 5"),
    "other labels": (HEADER + ROWS, {"labels": ["wash cup", "fill cup"]}, "mine.csv:9", "'cut, then wash' is not in"),
    "no background": (HEADER + ROWS, {"labels": ["a"], "mode": "stream"}, "`labels`", "lack the background"),
    "overlap": (swapped("1.5,4.0", "1.2,4.0"), {"mode": "stream"}, "mine.csv:5", "overlaps 'fill cup' of line 4"),
    "two splits": (
        swapped("cup,train,soup\nthree", "cup,test,soup\nthree"),
        {"mode": "stream"},
        "mine.csv:5",
        "line 4",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_located(opened: Open, fault: str) -> None:
    text, options, where, message = FAULTS[fault]
    with pytest.raises(DataError) as caught:
        opened(text, **options)
    assert message in str(caught.value)
    assert caught.value.where is not None
    assert caught.value.where.endswith(where)
    assert caught.value.hint is not None or fault in {"start is end", "no label", "unclosed quote"}


def test_an_end_a_frame_beyond_the_recording_is_its_end(opened: Open) -> None:
    corpus = opened(swapped("3.0,4.0", "3.0,5.2"))
    assert corpus.samples("test")[-1].clip.frames == range(12, 20)


def test_all_bad_rows_are_told_at_once(opened: Open) -> None:
    with pytest.raises(DataError) as caught:
        opened(swapped("0.5,1.5", "1.5,0.5").replace("3.0,3.6", "nan,3.6"))
    assert "2 things are wrong" in str(caught.value)
    assert "mine.csv:4" in str(caught.value)
    assert "mine.csv:7" in str(caught.value)


def test_every_segment_inside_a_longer_one_is_told(opened: Open) -> None:
    text = swapped("1.5,4.0", "2.0,2.2").replace("0.5,1.5", "0.5,5.0") + "two,3.0,4.0,wash cup,train,soup\n"
    with pytest.raises(DataError) as caught:
        opened(text, mode="stream")
    assert "mine.csv:5" in str(caught.value)
    assert "mine.csv:10" in str(caught.value)


def test_all_unknown_recordings_are_told_at_once(opened: Open) -> None:
    with pytest.raises(DataError, match=r"2 of 4 recordings .* three \(line 6\), four \(line 8\)"):
        opened(store=Store(recordings="one two"))


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("{}", 1, "not a JSON list"),
        ('[\n{"recording": "one"}\n]', 2, "there is no start"),
        ('[\n{"recording": }\n]', 2, "not JSON"),
        ("[\n3\n]", 2, "no segment"),
        ('[\n{"recording":"one","start":0,"end":NaN,"label":"a","split":"train"}\n]', 2, "end nan is not a number"),
        ('[\n{"recording":"one","start":0,"end":true,"label":"a","split":"train"}\n]', 2, "end True is not a number"),
        ('[\n{"recording":"one","start":0,"end":1,"label":"a","split":"train"}', 2, "comma or ]"),
        ('[\n{"recording":"one","start":0,"end":1,"label":"a","split":"train"}\n]\nx', 3, "behind the list"),
    ],
)
def test_faults_of_json_are_located(opened: Open, text: str, line: int, message: str) -> None:
    with pytest.raises(DataError) as caught:
        opened(text, name="mine.json")
    assert message in str(caught.value)
    assert str(caught.value.where).endswith(f"mine.json:{line}")


def test_a_missing_file_and_bytes_that_are_no_text(opened: Open, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        make_corpus(Segments(features=tmp_path, annotations=tmp_path / "none.csv"), Store())
    (tmp_path / "bytes.csv").write_bytes(b"recording,\xff\xfe")
    with pytest.raises(DataError, match="not UTF-8"):
        make_corpus(Segments(features=tmp_path, annotations=tmp_path / "bytes.csv"), Store())
    with pytest.raises(DataError, match=r"none\.txt: no such file"):
        opened(labels=str(tmp_path / "none.txt"))


def test_next_needs_a_recording_with_two_segments(opened: Open) -> None:
    text = HEADER + "one,0,1,a,train,\none,1,2,b,train,\nthree,0,1,a,test,\n"
    with pytest.raises(DataError, match="split 'test' has nothing to ask `next` about"):
        opened(text, asks=["next"])


def test_an_unknown_split_is_refused(opened: Open) -> None:
    with pytest.raises(DataError, match="there is no split 'validation'"):
        opened().samples("validation")


@pytest.mark.parametrize(
    "options",
    [
        {"mode": "stream", "asks": ["next"]},
        {"asks": ["current", "current"]},
        {"asks": []},
        {"queries": "dense", "stride": 99, "long": 8, "short": 4},
        {"fps": 0},
        {"short": 0},
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict, tmp_path: Path) -> None:
    with pytest.raises(ValidationError):
        Segments(features=tmp_path, annotations=tmp_path, **options)


# ----------------------------------------------------------------------------------------------------- real data


def test_a_real_stream_comes_back_frame_by_frame(shared: Path, tmp_path: Path) -> None:
    folder = shared / "data" / "hapt"
    index = json.loads((folder / "labels.json").read_text())
    names, store = index["labels"], Store(recordings="", fps=5.0)
    rows, truth = ["recording,start,end,label,split"], {}
    for entry in index["recordings"]:
        truth[entry["id"]] = classes = np.load(folder / f"{entry['id']}.npz")["y"]
        store.lengths[entry["id"]] = len(classes)
        cuts = [0, *(np.flatnonzero(np.diff(classes)) + 1).tolist(), len(classes)]
        rows += [
            f"{entry['id']},{first / 5},{stop / 5},{names[classes[first]]},{entry['split']}"
            for first, stop in itertools.pairwise(cuts)
            if classes[first]
        ]
    path = tmp_path / "hapt.csv"
    path.write_text("\n".join(rows))
    corpus = make_corpus(Segments(features=tmp_path, annotations=path, mode="stream", labels=names), store)
    assert corpus.usage["recordings"] == "61 of 61"
    found: dict[str, list[int]] = {}
    for sample in corpus.samples("test"):
        found.setdefault(sample.clip.recording, []).append(sample.queries[0].relations["current"][0].index)
    assert len(found) == 19
    assert all(np.array_equal(found[recording], truth[recording]) for recording in found)


# ----------------------------------------------------------------------------------------------------- documentation


def test_the_page_on_own_data_is_right() -> None:
    page = (Path(__file__).resolve().parents[1] / "docs" / "own-data.md").read_text()
    blocks = dict(re.findall(r"```(\w+)\n(.*?)```", page, re.DOTALL))
    datasets = yaml.safe_load(blocks["yaml"])["datasets"]
    for options in datasets.values():
        assert options.pop("use") == Segments.name
        Segments(**options)
    header, *rows = blocks["csv"].splitlines()
    assert header.split(",") == list(COLUMNS)
    assert len(rows) == 3
    for column, names in COLUMNS.items():
        line = next(line for line in page.splitlines() if line.startswith(f"| `{column}` |"))
        assert all(f"`{name}`" in line for name in names)

"""What stands in data files: one spelling of texts, plain times, and a located message for all that is neither."""

from __future__ import annotations

import json
import os
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from gad_segments.corpus import make_corpus
from gad_segments.plugin import Segments
from hypothesis import given, settings
from hypothesis import strategies as st

from gad_core.contracts.components import Corpus
from gad_core.contracts.values import LabelSpace
from gad_core.data.features import ArrayFeatures
from gad_core.errors import DataError, GadError
from gad_core.files.fields import clean, likeness, shown, text_field, time_field
from gad_core.files.matching import absent, no_file_name
from gad_core.files.reading import read_json, read_text

HEADER = "recording,start,end,label,split\n"
ROWS = [("r0", 0, 1, "cut", "train"), ("r1", 1, 2, "stir", "train"), ("r2", 0, 1, "cut", "test")]

Open = Callable[..., Corpus]


@pytest.fixture
def opened(tmp_path: Path) -> Open:
    """Opens rows as a CSV, or a text as a file of any name."""

    def made(rows: object = ROWS, *, name: str = "mine.csv", names: str = "r0 r1 r2", **options: object) -> Corpus:
        path = tmp_path / name
        if isinstance(rows, bytes):
            path.write_bytes(rows)
        else:
            lines = rows if isinstance(rows, str) else HEADER + "".join(",".join(map(str, row)) + "\n" for row in rows)
            path.write_text(lines, encoding="utf-8")
        store = ArrayFeatures({name: np.zeros((20, 3)) for name in names.split()}, 4.0)
        return make_corpus(Segments(features=tmp_path, annotations=path, **options), store)  # type: ignore[arg-type]

    return made


def as_json(**changes: object) -> str:
    """The rows as JSON, the second with some fields changed; it stands on line 3."""
    rows = [dict(zip(HEADER.strip().split(","), row, strict=True)) for row in ROWS]
    rows[1] |= changes
    return "[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]"


# -------------------------------------------------------------------------------------------------------- texts


SPELLINGS = ["purée", unicodedata.normalize("NFD", "purée"), " purée ", "pur\u00ade\u0301e", "purée\u200b"]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_spellings_that_look_alike_are_one_label(opened: Open, spelling: str) -> None:
    rows = [*ROWS, ("r0", 2, 3, "purée", "train"), ("r2", 2, 3, spelling, "test")]
    for labels in (None, ["cut", "stir", spelling]):
        assert sorted(opened(rows, labels=labels).spaces["current"].labels) == ["cut", "purée", "stir"]


@pytest.mark.parametrize("blanks", ["  ", "\u00a0", "\u2003", " \u00a0\t", "\u3000"])
def test_blanks_are_one_blank(opened: Open, blanks: str) -> None:
    rows = [*ROWS, ("r0", 2, 3, f"stir{blanks}it", f"train{blanks}"), ("r2", 2, 3, "stir it", "test")]
    assert opened(rows).spaces["current"].labels == ("cut", "stir", "stir it")


def test_names_match_whatever_the_composition(opened: Open) -> None:
    spelt = unicodedata.normalize("NFD", "thé")
    assert opened([*ROWS, (spelt, 0, 1, "cut", "test")], names="r0 r1 r2 thé").usage["recordings"] == "4 of 4"


@pytest.mark.parametrize("spelling", ["Background", "BACKGROUND", "backGround", " background "])
def test_background_is_background_in_any_case(opened: Open, spelling: str) -> None:
    rows = [*ROWS, ("r0", 2, 3, spelling, "train")]
    for options in ({}, {"labels": ["cut", spelling, "stir"]}, {"background": spelling.strip().upper()}):
        space = opened(rows, mode="stream", **options).spaces["current"]
        assert len(space) == 3 and space.background is not None
        assert space.labels[space.background].casefold() == "background"


@given(st.text())
def test_cleaning_is_done_once(given: str) -> None:
    once = clean(given)
    assert clean(once) == once and once == once.strip() and "  " not in once
    assert likeness(once) == likeness(once.upper().lower()) or not given.isascii()


@pytest.mark.parametrize(
    "value", [["cut"], ["cut", "wash"], {"name": "cut"}, True, 3, 1.5, [], [["cut"]], [None], [3], "\ud800"]
)
@pytest.mark.parametrize("field", ["label", "split", "recording"])
def test_what_is_no_text_is_refused_with_its_line(opened: Open, field: str, value: object) -> None:
    if (field, value) == ("recording", 3):
        return
    with pytest.raises(DataError, match=field) as caught:
        opened(as_json(**{field: value}), name="mine.json")
    assert "mine.json:3: " + field in str(caught.value)


def test_a_whole_number_is_taken_as_the_name_of_a_recording(opened: Open) -> None:
    corpus = opened(as_json(recording=7), name="mine.json", names="r0 7 r2")
    assert corpus.spaces["current"].labels == ("cut", "stir") and corpus.usage["recordings"] == "3 of 3"


@pytest.mark.parametrize(
    "labels", [["cut", ""], ["cut", "cut"], ["pur\u00e9e", "pure\u0301e"], ["cut", "\ud800"], ["cut", " "]]
)
def test_a_label_space_holds_different_texts(labels: list[str]) -> None:
    with pytest.raises(DataError):
        LabelSpace("action", tuple(labels))


# -------------------------------------------------------------------------------------------------------- times


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("1", 1), (" 1.5 ", 1.5), (".5", 0.5), ("2.", 2), ("+1e1", 10), ("0:05", 5), ("01:02:03.5", 3723.5),
     ("100:00:00", 360000), ("2:30", 150), (7, 7.0), (0.25, 0.25)],
)  # fmt: skip
def test_plain_times_are_read(written: object, seconds: float) -> None:
    assert time_field(written, "start") == seconds


@pytest.mark.parametrize(
    "written",
    ["1_0", "١", "0x10", "inf", "nan", "Infinity", "", "1,5", "1 2", "0:75", "1:2:3:4", "--1", "1e", "-0:05", None,
     True, [1], float("nan"), float("inf"), "1e308", 10**400, "9" * 5000, -1, "-1"],
)  # fmt: skip
def test_what_is_no_time_is_refused(written: object) -> None:
    with pytest.raises(DataError) as caught:
        time_field(written, "start", "here")
    assert caught.value.where == "here" and len(str(caught.value)) < 400


def test_a_clock_is_no_frame(opened: Open) -> None:
    rows = [*ROWS, ("r0", "0:02", "0:03", "cut", "train")]
    assert opened(rows).samples("train")[1].clip.frames == range(8, 12)
    with pytest.raises(DataError, match="'0:02' is not a number"):
        opened(rows, unit="frames")


# ------------------------------------------------------------------------------------------------- damaged files


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('"end": 2', '"end": 1e308'), "end is 1e"),
        (('"end": 2', '"end": 1' + "0" * 400), "end is"),
        (('"end": 2', '"end": ' + "9" * 5000), "cannot be read"),
        (('"stir"', "[" * 100_000 + "]" * 100_000), "nested too deeply"),
        (('"stir"', '"\\ud800"'), "lone surrogate"),
        (('"stir"', "null"), "no label"),
        (('"stir"', "NaN"), "is no text"),
        (('"start": 1,', '"start": 1, "start": 0,'), "'start' is there twice"),
        (('"start": 1,', '"start": 1, "x": {"y": 1, "y": 2},'), "'y' is there twice"),
        (('"r1"', "NaN"), "recording nan is no text"),
    ],
)
def test_what_json_may_hold_is_located(opened: Open, change: tuple[str, str], said: str) -> None:
    whole = as_json()
    assert change[0] in whole
    with pytest.raises(DataError, match=said) as caught:
        opened(whole.replace(*change, 1), name="mine.json")
    assert "mine.json:3" in str(caught.value)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".json"])
def test_only_regular_files_are_read(tmp_path: Path, suffix: str) -> None:
    pipe = tmp_path / f"pipe{suffix}"
    os.mkfifo(pipe)
    (tmp_path / f"folder{suffix}").mkdir()
    (tmp_path / f"loop{suffix}").symlink_to(tmp_path / f"loop{suffix}")
    names = [pipe, tmp_path / f"folder{suffix}", Path("/dev/zero"), tmp_path / f"loop{suffix}", tmp_path / ("x" * 300)]
    for path in names:
        for read in (read_text, read_json):
            with pytest.raises(GadError) as caught:
                read(path)
            assert str(path) in str(caught.value)


# ------------------------------------------------------------------------------------------------- other formats


ACTIVITYNET = json.dumps({"version": "1.3", "database": {"a": {"annotations": [{"segment": [0, 1], "label": "cut"}]}}})
LABEL_STUDIO = json.dumps([{"id": 1, "annotations": [{"result": []}], "data": {"video": "a.mp4"}}])
LINE = '{"recording": "r0", "start": 0, "end": 1, "label": "cut", "split": "train"}\n'


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", "recording;start;end;label;split\nr0;0;1;cut;train\n", "separated by semicolons"),
        ("a.csv", "recording\tstart\tend\tlabel\tsplit\nr0\t0\t1\tcut\ttrain\n", "separated by tabs"),
        ("a.tsv", "recording,start,end,label,split\n", "separated by commas"),
        ("a.csv", "sep=;\nrecording;start;end;label;split\n", "note for Excel"),
        ("a.csv", "sep=,\nrecording,start,end,label,split\n", "note for Excel"),
        ("a.json", 2 * LINE, "JSON lines"),
        ("a.jsonl", 2 * LINE, "JSON lines"),
        ("a.csv", 2 * LINE, "JSON"),
        ("a.json", ACTIVITYNET, "ActivityNet"),
        ("a.json", json.dumps(json.loads(ACTIVITYNET), indent=2), "ActivityNet"),
        ("a.json", LABEL_STUDIO, "Label Studio"),
        ("a.xlsx", b"PK\x03\x04\x14\x00", "spreadsheet"),
        ("a.csv", b"PK\x03\x04\x14\x00", "spreadsheet"),
        ("a.xls", b"\xd0\xcf\x11\xe0\xa1\xb1", "Excel"),
        ("a.eaf", '<?xml version="1.0"?>\n<ANNOTATION_DOCUMENT>', "ELAN"),
        ("a.csv", b"\xff\xfer\x00e\x00c\x00", "UTF-16"),
        ("a.csv", b"recording,st\xe4rt", "not UTF-8"),
    ],
)
def test_other_formats_are_called_by_their_name(opened: Open, name: str, content: str | bytes, said: str) -> None:
    with pytest.raises(DataError, match=said) as caught:
        opened(content, name=name)
    assert caught.value.hint and name in str(caught.value.where)


# ------------------------------------------------------------------------------------------------- names that match


@pytest.mark.parametrize(
    ("names", "pattern"),
    [
        ("r0_rgb r1_rgb r2_rgb", "the features are called <recording>_rgb"),
        ("v_r0 v_r1 v_r2", "the features are called v_<recording>"),
        ("sub/r0.mp4 sub/r1.mp4 sub/r2.mp4", "the features are called sub/<recording>.mp4"),
        ("R0 R1 R2", "upper and lower case"),
    ],
)
@pytest.mark.parametrize(
    "options", [{}, {"labels": ["cut", "stir", "background"]}, {"mode": "stream"}, {"missing": "skip"}]
)
def test_names_that_do_not_match_are_told_with_their_pattern(
    opened: Open, names: str, pattern: str, options: dict[str, object]
) -> None:
    with pytest.raises(DataError) as caught:
        opened(names=names, **options)
    said = str(caught.value)
    assert "3 of 3 recordings are not in the feature store: r0 (line 2), r1 (line 3), r2 (line 4)" in said
    assert f"the feature store has {names.split()[0]}" in said and pattern in said


def test_an_ending_in_the_annotations_is_seen() -> None:
    message, hint = absent({"r0.mp4": "line 2", "r1.mp4": ""}, ["r0.mp4", "r1.mp4"], {"r0", "r1"}, "store")
    assert message.startswith("2 of 2 recordings are not in the store: r0.mp4 (line 2), r1.mp4; the store has r0, r1")
    assert "<recording>.mp4" in hint
    message, hint = absent({"a": "", "b": ""}, ["b"], {"a"}, "store")
    assert message == "1 of 2 recordings are not in the store: b" and "<recording>" not in hint
    assert "the store is empty" in absent({"a": ""}, ["a"], {}, "store")[0]


@pytest.mark.parametrize("name", ["a", "P01/P01_11", "Make tea [a1]", "purée", "x" * 240, "-x", "a.b"])
def test_plain_names_of_files(name: str) -> None:
    assert no_file_name(name) is None


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../a", "a/../b", "/a", "a//b", "a/", "a\0b", "a\nb", "C:a", "c:\\a", "a\\b", ".a", "a/.b",
     "x" * 242, "é" * 130, "x" * 300 + "/a", "\ud800", "~/\x1b"],
)  # fmt: skip
def test_names_that_are_no_plain_file_names(name: str) -> None:
    assert no_file_name(name)


def test_messages_are_short() -> None:
    for value in ("x" * 10**6, list(range(10**5)), {str(n): n for n in range(999)}, 10**4000):
        assert len(shown(value)) < 300
    with pytest.raises(DataError) as caught:
        text_field(["x" * 10**5] * 9, "label")
    assert len(str(caught.value)) < 900


# ------------------------------------------------------------------------------------------------- anything at all


JUNK = [
    b"\x00",
    b"\xff",
    b'"',
    b"\n",
    b"\r",
    b",",
    b";",
    b"[",
    b"{",
    b"}",
    b"9" * 20,
    b"1e999",
    b"NaN",
    b"\\ud800",
    b"null",
    b"\xe2\x80\xae",
]


@given(
    kind=st.sampled_from(["mine.csv", "mine.tsv", "mine.json"]),
    changes=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 9), st.sampled_from(JUNK)), min_size=1, max_size=4),
    mode=st.sampled_from(["clips", "stream"]),
)
@settings(max_examples=300, deadline=None)
def test_any_damage_is_read_or_located(
    tmp_path_factory: pytest.TempPathFactory, kind: str, changes: list[tuple[int, int, bytes]], mode: str
) -> None:
    lines = HEADER + "".join(",".join(map(str, row)) + "\n" for row in ROWS)
    content = (
        as_json() if kind.endswith("json") else lines.replace(",", "\t" if kind.endswith("tsv") else ",")
    ).encode()
    for place, length, junk in changes:
        content = content[:place] + junk + content[place + length :]
    path = tmp_path_factory.mktemp("any") / kind
    path.write_bytes(content)
    store = ArrayFeatures({name: np.zeros((20, 3)) for name in ("r0", "r1", "r2")}, 4.0)
    options = Segments(features=path, annotations=path, mode=mode)  # type: ignore[arg-type]
    options.relations()
    try:
        found = make_corpus(options, store).splits
    except GadError as error:
        found = str(error)
    assert found == ("train", "test") or set(found) > {"train", "test"} or kind in found


@given(
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ),
    field=st.sampled_from(["recording", "start", "end", "label", "split", "goal"]),
)
@settings(max_examples=200, deadline=None)
def test_any_value_of_a_row_is_read_or_located(
    tmp_path_factory: pytest.TempPathFactory, value: object, field: str
) -> None:
    path = tmp_path_factory.mktemp("value") / "mine.json"
    path.write_text(as_json(**{field: value}))
    store = ArrayFeatures({name: np.zeros((20, 3)) for name in ("r0", "r1", "r2")}, 4.0)
    try:
        found = str(make_corpus(Segments(features=path, annotations=path), store).usage)
    except GadError as error:
        found = str(error)
    assert "mine.json" in found or "recordings" in found

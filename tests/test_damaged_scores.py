"""Score files that are damaged in any way are located, and nothing is ever a traceback."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from gad_core.cli import main

GOOD: dict[str, Any] = {
    "fps": 4, "background": 0, "ignored": [0], "labels": ["background", "run", "jump"], "subclasses": {"run": "jump"},
    "recordings": {"a": {"truth": [0, 1, 2, 1], "predicted": [0, 1, 2, 2], "scores": [[0.1, 0.2, 0.3]] * 4}},
}  # fmt: skip


def scored(path: Path) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["score", str(path)])
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    assert result.exit_code in (0, 2)
    return result.exit_code, result.output


DAMAGED: dict[str, tuple[str, bytes]] = {
    "thousands of digits": ("s.json", b'{"fps": ' + b"9" * 5000 + b"}"),
    "deep": ("s.json", b"[" * 10**5),
    "no text": ("s.json", b"\xff\xfe{"),
    "empty": ("s.json", b""),
    "a script before a zip": ("s.npz", b"#!\n"),
    "half a zip": ("s.npz", b"PK\x03\x04" + b"\0" * 40),
    "huge fps": ("s.json", json.dumps(GOOD | {"fps": 10**400}).encode()),
    "huge label": ("s.json", json.dumps(GOOD | {"background": "9" * 5000}).encode()),
    "no scores": ("s.json", json.dumps(GOOD | {"recordings": {"a": GOOD["recordings"]["a"] | {"scores": 0}}}).encode()),
    "huge truth": (
        "s.json", json.dumps(GOOD | {"recordings": {"a": GOOD["recordings"]["a"] | {"truth": [10**30] * 4}}}).encode()
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", DAMAGED)
def test_a_damaged_score_file_is_located(tmp_path: Path, fault: str) -> None:
    name, content = DAMAGED[fault]
    path = tmp_path / name
    path.write_bytes(content)
    code, told = scored(path)
    assert code == 2 and str(path) in told and len(told) < 2000


def test_arrays_of_another_kind_are_located(tmp_path: Path) -> None:
    header = {"fps": 4, "background": 0, "labels": GOOD["labels"]}
    good = {"recordings/a/truth": np.array([0, 1]), "recordings/a/predicted": np.array([0, 1])}
    for wrong in (
        {"fps": np.array([None], dtype=object)},
        {"fps": np.array("x")},
        {"subclasses": np.ones((2, 2, 2))},
        {"subclasses": np.ones(3)},
        {"labels": np.ones((2, 2))},
        {"recordings/a/truth": np.array([["x", "y"], ["z", "u"]])},
        {"recordings/a/truth": np.array([0, 1], dtype=complex)},
        {"recordings/a/predicted": np.zeros((2, 2))},
        {"recordings/a/scores": np.array([["x"] * 3] * 2)},
        {"background": np.ones(3)},
    ):
        np.savez(tmp_path / "s.npz", **{**header, **good, **wrong})
        code, told = scored(tmp_path / "s.npz")
        assert code == 2 and "s.npz" in told


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "s.json")
    assert "pipe or a device" in scored(tmp_path / "s.json")[1]
    assert "is a folder" in scored(tmp_path)[1]


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, member in inner for place in places(member, (*path, key)))]


ODD = st.sampled_from([None, True, -1, 0, 7, 1.5, 10**20, 10**400, float("nan"), float("inf"), "", "x", "\ud800", [],
                       [[]], {}, {"a": 1}, [None], [[0, 1], [0]], "9" * 400, {"": {}}])  # fmt: skip


@given(place=st.sampled_from(places(GOOD)[1:]), value=ODD)
@settings(max_examples=300, deadline=None)
def test_any_value_anywhere_is_scored_or_located(
    tmp_path_factory: pytest.TempPathFactory, place: tuple[Any, ...], value: Any
) -> None:
    content = copy.deepcopy(GOOD)
    inner: Any = content
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    path = tmp_path_factory.mktemp("odd") / "s.json"
    path.write_text(json.dumps(content))
    scored(path)

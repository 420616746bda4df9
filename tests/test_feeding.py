"""Batches on their way to the device: read as they are needed, or rows of a table that lies there, bit for bit."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gad_core.bench.workload import Sizes, builtin
from gad_core.contracts.batch import Batch
from gad_core.contracts.components import Features
from gad_core.contracts.values import Stage
from gad_core.data.features import ArrayFeatures, ConcatenatedFeatures, FeatureStore
from gad_core.errors import FeatureError
from gad_core.runs.feeding import AT_ONCE, Feed, all_finite, make_feed, table_bytes
from gad_core.testing.features import write_store

CPU = torch.device("cpu")


def arrays(dtype: str = "float16", tokens: int = 2) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(0)
    return {name: draw.normal(size=(length, tokens, 5)).astype(dtype) for name, length in {"a": 30, "b": 7}.items()}


def equal(one: Batch, other: Batch) -> bool:
    """Whether two batches are the same, bit for bit."""
    pairs = [(getattr(one, entry.name), getattr(other, entry.name)) for entry in fields(Batch)]
    return all(
        torch.equal(a, b) and a.dtype == b.dtype if isinstance(a, torch.Tensor) else str(a) == str(b) for a, b in pairs
    )


@pytest.mark.parametrize("stage", Stage)
@pytest.mark.parametrize("kind", ["oad", "coin"])
@pytest.mark.parametrize("workers", [0, 2])
def test_resident_features_make_the_same_batches(kind: str, stage: Stage, workers: int) -> None:
    workload = builtin(kind, "small", Sizes(layers=1))  # type: ignore[arg-type]
    corpus, model = workload.corpus, workload.model("discriminative")
    samples = corpus.samples("train" if stage is Stage.TRAIN else "test")
    plan = [[1, 2, 3], [200, 5], [7]]
    read, resident = (
        list(make_feed(corpus.features, CPU, resident=held).batches(plan, samples, model.assembler, stage, workers))
        for held in (False, True)
    )
    assert len(read) == len(plan) and all(map(equal, read, resident))


@given(st.sampled_from(["float16", "float32"]), st.integers(1, 3), st.data())
def test_a_clip_is_the_same_from_the_table(dtype: str, tokens: int, data: st.DataObject) -> None:
    features = ArrayFeatures(arrays(dtype, tokens), fps=4.0)
    feeds = [make_feed(features, CPU, resident=resident) for resident in (False, True)]
    name = data.draw(st.sampled_from(["a", "b"]))
    frames = np.array(data.draw(st.lists(st.integers(0, features.lengths[name] - 1), min_size=1, max_size=9)))
    read, held = (feed.clip(name, frames) for feed in feeds)
    assert read.dtype == held.dtype and torch.equal(read, held) and read.shape == (len(frames), tokens, 5)
    assert torch.equal(read, torch.from_numpy(arrays(dtype, tokens)[name][frames]))


def test_a_table_is_as_large_as_the_store(tmp_path: Path) -> None:
    long = np.random.default_rng(1).normal(size=(2 * AT_ONCE + 3, 1, 5)).astype(np.float32)
    store = FeatureStore(write_store(tmp_path / "f.lmdb", {"long": long, "short": long[:9]}, fps=4.0))
    feed = make_feed(store, CPU, resident=True)
    assert feed.table is not None and feed.table.nbytes == table_bytes(store) == 4 * 5 * (2 * AT_ONCE + 3 + 9)
    assert torch.equal(feed.clip("long", range(len(long))), torch.from_numpy(long))
    assert torch.equal(feed.clip("short", range(9)), torch.from_numpy(long[:9]))


def test_streams_side_by_side_share_a_table() -> None:
    both = ConcatenatedFeatures([ArrayFeatures(arrays(), 4.0), ArrayFeatures(arrays(), 4.0)])
    assert torch.equal(make_feed(both, CPU, resident=True).clip("b", range(7)), Feed(both, CPU).clip("b", range(7)))


def test_auto_reads_as_needed_where_there_is_no_gpu() -> None:
    assert make_feed(ArrayFeatures(arrays(), 4.0), CPU, resident="auto").table is None


@pytest.mark.parametrize(("free", "resident"), [(10_000, True), (1_000, False)])
def test_auto_keeps_what_a_quarter_of_the_gpu_holds(free: int, resident: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """37 frames of 2 × 5 halves are 740 bytes; the table itself is made where there is a GPU only."""
    made: list[Features] = []
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 2 * free))
    monkeypatch.setattr("gad_core.runs.feeding._resident", lambda features, device: made.append(features))
    make_feed(ArrayFeatures(arrays(), 4.0), torch.device("cuda"), resident="auto")
    assert bool(made) is resident


@pytest.mark.parametrize("resident", [False, True])
def test_frames_that_are_not_there_are_refused(resident: bool) -> None:
    feed = make_feed(ArrayFeatures(arrays(), 4.0), CPU, resident=resident)
    with pytest.raises(FeatureError, match="frame 30 of recording 'a'"):
        feed.clip("a", range(28, 31))
    with pytest.raises(FeatureError, match="has no recording 'c'"):
        feed.clip("c", range(1))


@given(st.lists(st.floats(width=16), min_size=1, max_size=9), st.sampled_from([torch.float16, torch.float32]))
def test_what_is_finite(values: list[float], dtype: torch.dtype) -> None:
    given = torch.tensor(values, dtype=dtype)
    assert all_finite(given) is bool(given.isfinite().all())

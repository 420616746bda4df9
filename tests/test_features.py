"""The feature store: what is read is what was packed, and a packing is whole or goes on."""

from __future__ import annotations

import multiprocessing
import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from gad_core.cli import main
from gad_core.data.features import ArrayFeatures, ConcatenatedFeatures, FeatureStore
from gad_core.data.features.pack import Packing, pack
from gad_core.data.features.sources import Source, find_sources
from gad_core.data.features.verify import faults
from gad_core.errors import FeatureError


def arrays(count: int = 4, width: int = 6) -> dict[str, np.ndarray]:
    return {f"r{n}": np.random.default_rng(n).normal(size=(5 + n, 2, width)).astype(np.float32) for n in range(count)}


def folder(path: Path, made: dict[str, np.ndarray]) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    for name, array in made.items():
        np.save(path / f"{name}.npy", array)
    return path


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    path = tmp_path_factory.mktemp("store")
    pack(find_sources([folder(path / "raw", arrays())], None), path / "s.lmdb", Packing(4.0, "float32"))
    return FeatureStore(path / "s.lmdb")


@given(data=st.data())
def test_what_is_read_is_what_was_packed(store: FeatureStore, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(store.lengths)))
    original, memory = arrays()[name], ArrayFeatures(arrays(), 4.0)
    length = store.lengths[name]
    start = data.draw(st.integers(0, length))
    window = range(start, data.draw(st.integers(start, length)))
    index = np.array(data.draw(st.lists(st.integers(0, length - 1), max_size=9)), dtype=np.int64)
    for frames in (window, index, range(0, length, 2)):
        for source in (store, memory):
            assert np.array_equal(source.read(name, frames), original[np.asarray(frames, dtype=np.int64)])
    assert (store.tokens, store.width, store.fps) == (2, 6, 4.0)


def test_a_window_is_a_view_of_the_map(store: FeatureStore) -> None:
    window = store.read("r3", range(2, 6))
    assert not window.flags.owndata
    assert not window.flags.writeable


def test_frames_and_recordings_that_are_not_there(store: FeatureStore) -> None:
    for frames in (range(0, 6), range(-1, 3), np.array([1, 5])):
        with pytest.raises(FeatureError, match="frame"):
            store.read("r0", frames)
    with pytest.raises(FeatureError, match="no recording 'r9'"):
        store.read("r9", range(1))
    assert store.missing(["r0", "x", "r1"]) == ["x"]
    assert store.surplus(["r0"]) == ["r1", "r2", "r3"]


def _mean(store: FeatureStore, answers: multiprocessing.Queue) -> None:  # type: ignore[type-arg]
    answers.put(float(store.read("r1", range(3)).mean()))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_other_processes_read_it(store: FeatureStore, method: str) -> None:
    context = multiprocessing.get_context(method)
    answers = context.Queue()
    process = context.Process(target=_mean, args=(store, answers))
    process.start()
    assert answers.get(timeout=60) == pytest.approx(float(arrays()["r1"][:3].mean()))
    process.join()
    assert np.array_equal(pickle.loads(pickle.dumps(store)).read("r0", range(5)), arrays()["r0"])


def test_every_kind_of_file(tmp_path: Path) -> None:
    array = arrays()["r0"]
    np.save(tmp_path / "a.npy", array)
    np.savez(tmp_path / "b.npz", x=array, y=np.arange(5))
    torch.save(torch.from_numpy(array).bfloat16(), tmp_path / "c.pt")
    torch.save({"feats": torch.from_numpy(array)}, tmp_path / "d.pt")
    with h5py.File(tmp_path / "e.h5", "w") as file:
        file["whatever"] = array
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["one"], file["two/features"] = array, array
    (tmp_path / "inner").mkdir()
    np.save(tmp_path / "inner" / "g.npy", array)
    pack(find_sources([tmp_path], None), tmp_path / "s.lmdb", Packing(1.0))
    packed = FeatureStore(tmp_path / "s.lmdb")
    assert sorted(packed.lengths) == ["a", "b", "c", "d", "e", "inner/g", "one", "two/features"]
    for name in packed.lengths:
        np.testing.assert_allclose(packed.read(name, range(5)), array, atol=2e-2)


def test_pickled_objects_are_not_read(tmp_path: Path) -> None:
    torch.save({"features": Path("/")}, tmp_path / "a.pt")
    with pytest.raises(FeatureError, match=r"a\.pt"):
        find_sources([tmp_path], None)[0].read()
    np.save(tmp_path / "b.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(FeatureError, match=r"b\.npy"):
        find_sources([tmp_path / "b.npy"], None)[0].read()


def test_tokens_split_the_width(tmp_path: Path) -> None:
    flat = folder(tmp_path / "raw", {"a": np.arange(24, dtype=np.float32).reshape(2, 12)})
    pack(find_sources([flat], None), tmp_path / "s.lmdb", Packing(1.0, tokens=3))
    assert FeatureStore(tmp_path / "s.lmdb").read("a", range(2)).shape == (2, 3, 4)
    with pytest.raises(FeatureError, match="no multiple of 5"):
        pack(find_sources([flat], None), tmp_path / "t.lmdb", Packing(1.0, tokens=5))


def test_an_interrupted_packing_goes_on(tmp_path: Path) -> None:
    sources = find_sources([folder(tmp_path / "raw", arrays())], None)
    reads: list[str] = []

    def watched(source: Source, fail: bool) -> Source:
        def read() -> np.ndarray:
            if fail:
                raise KeyboardInterrupt
            reads.append(source.recording)
            return source.read()

        return Source(source.recording, source.path, source.stamp, read)

    out = tmp_path / "s.lmdb"
    with pytest.raises(KeyboardInterrupt):
        pack([watched(source, source.recording == "r2") for source in sources], out, Packing(4.0))
    assert not out.exists()
    assert reads == ["r0", "r1"]
    assert pack([watched(source, False) for source in sources], out, Packing(4.0))
    assert reads == ["r0", "r1", "r2", "r3"]
    assert not faults(FeatureStore(out))
    assert not pack([watched(source, False) for source in sources], out, Packing(4.0))
    assert len(reads) == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["raw", "s.lmdb"]


def test_changed_sources_are_packed_again(tmp_path: Path) -> None:
    raw = folder(tmp_path / "raw", arrays())
    out = tmp_path / "s.lmdb"
    pack(find_sources([raw], None), out, Packing(4.0))
    np.save(raw / "r0.npy", np.ones((3, 2, 6)))
    (raw / "r1.npy").unlink()
    assert pack(find_sources([raw], None), out, Packing(4.0))
    assert FeatureStore(out).lengths == {"r0": 3, "r2": 7, "r3": 8}


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ({"a": np.ones((3, 4)), "b": np.ones((3, 5))}, "width 5"),
        ({"a": np.array([[1.0], [np.nan]])}, "first at frame 1"),
        ({"a": np.full((2, 2), 1e9)}, "too large"),
        ({"a": np.ones(3)}, "shape"),
        ({"a": np.ones((0, 3))}, "shape"),
        ({"a": np.array([["x"]])}, "not numbers"),
    ],
)
def test_what_cannot_be_packed(tmp_path: Path, made: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(FeatureError, match=message) as caught:
        pack(find_sources([folder(tmp_path / "raw", made)], None), tmp_path / "s.lmdb", Packing(1.0))
    assert ".npy" in str(caught.value)
    assert not (tmp_path / "s.lmdb").exists()


def test_what_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "text.lmdb").write_text("no store " * 2000)
    for name in ("absent.lmdb", "text.lmdb", "."):
        with pytest.raises(FeatureError, match="feature store"):
            FeatureStore(tmp_path / name)


def test_a_store_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "s.lmdb"
    pack(find_sources([folder(tmp_path / "raw", arrays())], None), out, Packing(4.0))
    (tmp_path / "cut.lmdb").write_bytes(out.read_bytes()[: out.stat().st_size // 2])
    with pytest.raises(FeatureError, match="cut short"):
        FeatureStore(tmp_path / "cut.lmdb")


def test_other_options_pack_again(tmp_path: Path) -> None:
    raw, out = folder(tmp_path / "raw", {"a": np.ones((2, 6))}), tmp_path / "s.lmdb"
    for options in (Packing(4.0), Packing(4.0, tokens=3), Packing(4.0, allow_nonfinite=True), Packing(2.0)):
        assert pack(find_sources([raw], None), out, options)
        assert not pack(find_sources([raw], None), out, options)


def test_a_damaged_beginning_is_begun_anew(tmp_path: Path) -> None:
    raw, out = folder(tmp_path / "raw", arrays()), tmp_path / "s.lmdb"
    out.with_name("s.lmdb.partial").write_bytes(b"damaged" * 5000)
    assert pack(find_sources([raw], None), out, Packing(4.0))
    assert not faults(FeatureStore(out))


@pytest.mark.parametrize("fps", [0.0, -1.0, float("nan"), float("inf")])
def test_a_rate_is_a_positive_number(fps: float) -> None:
    with pytest.raises(FeatureError, match="no rate"):
        Packing(fps)


def test_damage_is_found(tmp_path: Path) -> None:
    out = tmp_path / "s.lmdb"
    pack(find_sources([folder(tmp_path / "raw", arrays())], None), out, Packing(4.0, "float32"))
    needle = arrays()["r2"].tobytes()[:16]
    data = out.read_bytes()
    assert needle in data
    out.write_bytes(data.replace(needle, b"\x00" * 16))
    assert [fault.recording for fault in faults(FeatureStore(out))] == ["r2"]
    result = CliRunner().invoke(main, ["features", "verify", str(out)])
    assert result.exit_code == 2
    assert "3 of 4 recordings sound" in result.output


def test_streams_side_by_side() -> None:
    rgb, flow = ArrayFeatures(arrays(), 4.0), ArrayFeatures(arrays(3, 3), 4.0)
    both = ConcatenatedFeatures([rgb, flow])
    assert both.width == 9
    assert sorted(both.lengths) == ["r0", "r1", "r2"]
    assert np.array_equal(both.read("r1", range(2))[..., 6:], arrays(3, 3)["r1"][:2])
    with pytest.raises(FeatureError, match="fps"):
        ConcatenatedFeatures([rgb, ArrayFeatures(arrays(), 2.0)])
    with pytest.raises(FeatureError, match="frames in the streams"):
        ConcatenatedFeatures([rgb, ArrayFeatures({"r0": np.ones((9, 2, 1))}, 4.0)])


def test_the_commands(tmp_path: Path) -> None:
    raw, out = folder(tmp_path / "raw", arrays()), tmp_path / "s.lmdb"
    arguments = ["features", "pack", str(raw), str(out), "--fps", "4", "--extractor", "by hand"]
    first = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert first.exit_code == 0
    assert "4 recordings" in first.output
    assert "nothing has changed" in CliRunner().invoke(main, arguments).output
    shown = CliRunner().invoke(main, ["features", "info", str(out)]).output
    assert "2 × 6 float16" in shown
    assert "by hand" in shown
    assert CliRunner().invoke(main, ["features", "verify", str(out)]).exit_code == 0
    half = CliRunner().invoke(main, ["features", "verify", str(out), "registry.yaml"])
    assert half.exit_code == 2
    assert "name both" in half.output

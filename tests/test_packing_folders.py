"""Folders as people have them: links, endings in capitals, hidden files, transposed arrays, damaged files."""

from __future__ import annotations

import io
import json
import os
import unicodedata
import zipfile
from pathlib import Path

import lmdb
import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from gad_core.cli import main
from gad_core.data.features import FeatureStore
from gad_core.data.features.pack import Packing, pack
from gad_core.data.features.sources import Source, find_files, find_sources
from gad_core.data.features.store import HEADER, Header
from gad_core.data.features.verify import faults
from gad_core.errors import FeatureError, GadError


def save(path: Path, shape: tuple[int, ...] = (6, 3)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        np.save(file, np.random.default_rng(0).normal(size=shape))


def packed(root: Path, *options: str, code: int = 0) -> Result:
    result = CliRunner().invoke(
        main, ["features", "pack", str(root), str(root.parent / "s.lmdb"), "--fps", "4", *options]
    )
    assert result.exit_code == code and "Traceback" not in result.output, result.output
    return result


def names(root: Path) -> list[str]:
    return list(FeatureStore(root.parent / "s.lmdb").lengths)


# ------------------------------------------------------------------------------------------------------- what is found


def test_links_are_followed_and_loops_are_not(tmp_path: Path) -> None:
    root, disk = tmp_path / "features", tmp_path / "disk"
    save(root / "a.npy")
    save(disk / "inner" / "b.npy")
    (root / "linked").symlink_to(disk)
    (root / "single.npy").symlink_to(disk / "inner" / "b.npy")
    (disk / "round").symlink_to(root)
    (disk / "inner" / "up").symlink_to(disk)
    (root / "again").symlink_to(root / "real")
    save(root / "real" / "c.npy")
    (root / "gone.npy").symlink_to(tmp_path / "nowhere.npy")
    told = packed(root).output
    assert names(root) == ["a", "linked/inner/b", "real/c", "single"]
    assert "left out: 1 × broken link, 3 × second link to a folder" in told


def test_endings_in_any_case(tmp_path: Path) -> None:
    root = tmp_path / "features"
    for name in ("a.npy", "b.NPY", "c.Npy"):
        save(root / name)
    np.savez(root / "d.npz", x=np.ones((2, 3)))
    (root / "d.npz").rename(root / "d.NPZ")
    torch.save(torch.ones(2, 3), root / "e.PT")
    packed(root)
    assert names(root) == list("abcde")


def test_what_is_hidden_is_left_out_and_counted(tmp_path: Path) -> None:
    root = tmp_path / "features"
    for name in (
        "a.npy",
        ".b.npy",
        "._a.npy",
        ".ipynb_checkpoints/a-checkpoint.npy",
        "__MACOSX/._a.npy",
        "a-checkpoint.npy",
    ):
        save(root / name)
    for name in ("a.mp4", "b.MP4", "notes.txt", "LICENSE"):
        (root / name).write_bytes(b"x")
    told = packed(root).output
    assert names(root) == ["a"]
    assert (
        "left out: 2 × .mp4, 1 × .txt, 1 × copy of a notebook (-checkpoint), 4 × hidden, 1 × without a suffix" in told
    )
    (root / "a.npy").unlink()
    assert "file found (2 × .mp4" in packed(root, code=2).output


def test_a_root_may_be_hidden_and_a_file(tmp_path: Path) -> None:
    save(tmp_path / ".cache" / "a.npy")
    assert [source.recording for source in find_sources([tmp_path / ".cache"], None)] == ["a"]
    assert [source.recording for source in find_sources([tmp_path / ".cache" / "a.npy"], None)] == ["a"]


@pytest.mark.parametrize(
    ("pattern", "files", "expected"),
    [
        ("{recording}_rgb.npy", ["r0_rgb.npy", "r1_rgb.npy", "r0_flow.npy"], ["r0", "r1"]),
        ("{recording}_rgb", ["r0_rgb.npy", "r1_rgb.NPY"], ["r0", "r1"]),
        ("v_{recording}.npy", ["v_r0.npy", "r1.npy"], ["r0"]),
        ("{recording}/features.npy", ["r0/features.npy", "r1/features.npy", "r1/other.npy"], ["r0", "r1"]),
        ("{recording}", ["a.npy", "b/c.npy"], ["a", "b/c"]),
        ("{recording}[x]+.npy", ["a[x]+.npy", "ax.npy"], ["a"]),
    ],
)
def test_recordings_are_called_as_the_pattern_says(
    tmp_path: Path, pattern: str, files: list[str], expected: list[str]
) -> None:
    root = tmp_path / "features"
    for name in files:
        save(root / name)
    told = packed(root, "--name", pattern).output
    assert names(root) == expected
    assert ("not called as --name says" in told) == (len(files) > len(expected))


@pytest.mark.parametrize("pattern", ["rgb.npy", "{recording}{recording}", ""])
def test_a_pattern_holds_the_recording_once(tmp_path: Path, pattern: str) -> None:
    save(tmp_path / "features" / "a.npy")
    assert "does not hold {recording} once" in packed(tmp_path / "features", "--name", pattern, code=2).output


def test_names_are_composed_in_one_way_in_old_stores_too(tmp_path: Path) -> None:
    root, decomposed = tmp_path / "features", unicodedata.normalize("NFD", "thé")
    save(root / f"{decomposed}.npy")
    packed(root)
    assert names(root) == ["thé"]
    store = tmp_path / "old.lmdb"
    store.write_bytes((tmp_path / "s.lmdb").read_bytes())
    environment = lmdb.open(str(store), subdir=False)
    with environment.begin(write=True) as transaction:
        header = json.loads(bytes(transaction.get(HEADER)))
        header["recordings"] = {decomposed: header["recordings"]["thé"]}
        transaction.put(HEADER, json.dumps(header).encode())
        transaction.put(decomposed.encode(), transaction.pop("thé".encode()))
    environment.close()
    old = FeatureStore(store)
    assert list(old.lengths) == ["thé"] and old.read("thé", range(6)).shape == (6, 1, 3) and old.intact("thé")


def test_brackets_are_no_markup(tmp_path: Path) -> None:
    root = tmp_path / "features"
    for name in ("Make tea [a1b20]", "[bold]x[", "[red]y"):
        save(root / f"{name}.npy")
    packed(root, "--extractor", "[i3d]")
    told = CliRunner().invoke(main, ["features", "info", str(tmp_path / "s.lmdb")])
    assert told.exit_code == 0
    assert all(name in told.output for name in ("Make tea [a1b20]", "[bold]x[", "[red]y", "[i3d]"))


# -------------------------------------------------------------------------------------------------------- transposed


@pytest.mark.parametrize("lengths", [(25, 26, 27), (40, 25), (9, 100)])
def test_files_of_width_and_frames_are_noticed(tmp_path: Path, lengths: tuple[int, ...]) -> None:
    root = tmp_path / "features"
    for number, length in enumerate(lengths):
        save(root / f"r{number}.npy", (32, length))
    told = packed(root, code=2).output
    assert "looks like [width, frames]" in told and "--transpose" in told
    assert "--transpose" not in packed(root, "--transpose").output
    store = FeatureStore(tmp_path / "s.lmdb")
    assert (store.width, *store.lengths.values()) == (32, *lengths)
    assert store.header.made_with["transpose"] is True
    assert "nothing has changed" in packed(root, "--transpose").output


@pytest.mark.parametrize(
    ("shape", "said"), [((32, 25), True), ((2048, 300), True), ((512, 900), True), ((16, 768), False)]
)
def test_files_of_one_length_are_doubted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, shape: tuple[int, int], said: bool
) -> None:
    root = tmp_path / "features"
    for number in range(3):
        save(root / f"r{number}.npy", shape)
    for _ in ("first", "again"):
        packed(root)
        assert ("--transpose" in caplog.text) == said
        caplog.clear()
    packed(root, "--transpose")
    assert not caplog.text


def test_different_extractors_are_no_transposition(tmp_path: Path) -> None:
    root = tmp_path / "features"
    save(root / "a.npy", (7, 3))
    save(root / "b.npy", (9, 4))
    assert "different extractors" in packed(root, code=2).output
    save(root / "c.npy", (5, 2, 3))
    with pytest.raises(FeatureError, match="--transpose is for"):
        pack(find_sources([root / "c.npy"], None), tmp_path / "t.lmdb", Packing(1.0, transpose=True))


def test_a_store_of_an_older_gad_is_not_packed_again(tmp_path: Path) -> None:
    root, store = tmp_path / "features", tmp_path / "s.lmdb"
    save(root / "a.npy")
    packed(root)
    environment = lmdb.open(str(store), subdir=False)
    with environment.begin(write=True) as transaction:
        header = json.loads(bytes(transaction.get(HEADER)))
        assert header["made_with"].pop("transpose") is False
        transaction.put(HEADER, json.dumps(header).encode())
    environment.close()
    assert "nothing has changed" in packed(root).output


# ------------------------------------------------------------------------------------------------------ damaged files


def npy(shape: str, descr: str = "<f4", data: bytes = b"\0" * 40) -> bytes:
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00v\x00" + header.encode() + data


def whole_npy() -> bytes:
    file = io.BytesIO()
    np.save(file, np.ones((3, 5), np.float32))
    return file.getvalue()


def zipped(content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", content)
    return file.getvalue()


def saved(value: object) -> bytes:
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


DAMAGED: dict[str, tuple[str, bytes]] = {
    "terabytes": ("a.npy", npy("(1000000000000, 5)")),
    "beyond 64 bits": ("a.npy", npy("(1000000000000000000000000, 5)")),
    "negative": ("a.npy", npy("(-1, 5)")),
    "a huge element": ("a.npy", npy("(2,)", "<U1000000000")),
    "objects": ("a.npy", npy("(2, 5)", "|O")),
    "no tuple": ("a.npy", npy("((((((1")),
    "cut": ("a.npy", whole_npy()[:-8]),
    "cut header": ("a.npy", whole_npy()[:20]),
    "empty": ("a.npy", b""),
    "a zip": ("a.npy", zipped(whole_npy())),
    "text": ("a.npy", b"hello"),
    "a script before": ("a.npz", b"#!\n" + zipped(npy("(2, 5)", "|O"))),
    "objects inside": ("a.npz", zipped(npy("(2, 5)", "|O"))),
    "terabytes inside": ("a.npz", zipped(npy("(1000000000000, 5)"))),
    "flipped inside": ("a.npz", zipped(bytes(range(256)) * 9).replace(b"\x05", b"\xff")),
    "no zip": ("a.npz", b"PK\x03\x04" + b"\0" * 99),
    "no tensor": ("a.pt", saved({"x": [1, 2]})),
    "a number": ("a.pt", saved(3)),
    "sparse": ("a.pt", saved(torch.eye(4).to_sparse())),
    "sparse rows": ("a.pt", saved(torch.eye(4).to_sparse_csr())),
    "expanded": ("a.pt", saved(torch.ones(1).expand(1 << 40, 5))),
    "cut tensor": ("a.pt", saved(torch.eye(4))[:-100]),
    "complex": ("a.pt", saved(torch.ones(2, 2, dtype=torch.complex64))),
    "no HDF5": ("a.h5", b"\x89HDF\r\n\x1a\n" + b"\0" * 99),
}  # fmt: skip


@pytest.mark.parametrize("fault", DAMAGED)
@pytest.mark.filterwarnings("ignore:Sparse")
def test_a_damaged_file_is_located(tmp_path: Path, fault: str) -> None:
    name, content = DAMAGED[fault]
    (tmp_path / "features").mkdir()
    (tmp_path / "features" / name).write_bytes(content)
    assert name in packed(tmp_path / "features", code=2).output
    assert not (tmp_path / "s.lmdb").exists()


def test_a_tensor_with_a_gradient_is_read(tmp_path: Path) -> None:
    torch.save(torch.ones(2, 3, requires_grad=True), tmp_path / "a.pt")
    assert find_sources([tmp_path], None)[0].read().shape == (2, 3)


@given(place=st.integers(0, 200), byte=st.integers(0, 255), kind=st.sampled_from(["a.npy", "a.npz", "a.pt"]))
@settings(max_examples=150, deadline=None)
def test_any_changed_byte_is_read_or_located(
    tmp_path_factory: pytest.TempPathFactory, place: int, byte: int, kind: str
) -> None:
    whole = {"a.npy": whole_npy(), "a.npz": zipped(whole_npy()), "a.pt": saved(torch.ones(3, 5))}[kind]
    path = tmp_path_factory.mktemp("flipped") / kind
    path.write_bytes(whole[:place] + bytes([byte]) + whole[place + 1 :])
    try:
        found = find_sources([path], None)[0].read()
    except GadError as error:
        found = str(error)
    assert isinstance(found, np.ndarray) or kind in found


@pytest.mark.parametrize("name", ["a.npy", "a.pt", "a.h5", "a.npz"])
def test_a_pipe_is_refused_and_never_waited_for(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    for root in (tmp_path, tmp_path / name):
        with pytest.raises(FeatureError, match="pipe or a device"):
            find_files([root])


HEADERS: dict[str, object] = {
    "recordings": [], "dtype": "object", "tokens": "1", "width": 0, "fps": -1, "extractor": None, "made_with": 3,
    "format": "1",
}  # fmt: skip


@pytest.mark.parametrize("key", HEADERS)
def test_every_field_of_a_header_has_its_type(key: str) -> None:
    fields = json.loads(Header("float16", 1, 4, 2.0, "", {}).encoded())
    for wrong in (HEADERS[key], None, [[]], {"a": 1}, True, 10**400, float("nan")):
        if key == "made_with" and isinstance(wrong, dict):
            continue
        with pytest.raises(FeatureError) as caught:
            Header.decoded(json.dumps(fields | {key: wrong}).encode(), "s.lmdb")
        assert caught.value.where == "s.lmdb"


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b"3", b"\xff", b"[" * 10**5, b'{"format": ' + b"9" * 5000 + b"}", b'{"format": 9}',
     b'{"recordings": {"a": {}}}', b'{"recordings": {"\\ud800": {"frames": 1, "checksum": 1, "source": ""}}}'],
)  # fmt: skip
def test_a_header_that_is_none_is_located(data: bytes) -> None:
    with pytest.raises(FeatureError, match=r"^s\.lmdb"):
        Header.decoded(data, "s.lmdb")


def test_a_store_that_is_a_pipe_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "features"
    save(root / "a.npy")
    os.mkfifo(tmp_path / "s.lmdb")
    assert "pipe or a device" in packed(root, code=2).output
    with pytest.raises(FeatureError, match="pipe or a device"):
        FeatureStore(tmp_path / "s.lmdb")
    (tmp_path / "s.lmdb").rename(tmp_path / "s.lmdb.partial")
    assert "pipe or a device" in packed(root, code=2).output
    assert (tmp_path / "s.lmdb.partial").is_fifo()


@pytest.mark.parametrize("damage", ["a flipped byte", "cut to a half", "cut to nothing", "overwritten", "none"])
def test_a_damaged_beginning_is_never_carried_on(tmp_path: Path, damage: str) -> None:
    for name in ("a", "b", "c"):
        save(tmp_path / "features" / f"{name}.npy", (400, 8))
    sources = find_sources([tmp_path / "features"], None)

    def stop() -> np.ndarray:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pack([*sources[:2], Source("c", sources[2].path, sources[2].stamp, stop)], tmp_path / "s.lmdb", Packing(4.0))
    partial = tmp_path / "s.lmdb.partial"
    content = partial.read_bytes()
    needle = np.load(tmp_path / "features" / "a.npy")[:4].astype(np.float16).tobytes()
    assert needle in content
    partial.write_bytes(
        {"a flipped byte": content.replace(needle, bytes([needle[0] ^ 1]) + needle[1:], 1),
         "cut to a half": content[: len(content) // 2], "cut to nothing": b"", "overwritten": b"x" * len(content),
         "none": content}[damage]
    )  # fmt: skip
    assert pack(sources, tmp_path / "s.lmdb", Packing(4.0))
    assert not faults(FeatureStore(tmp_path / "s.lmdb"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["features", "s.lmdb"]

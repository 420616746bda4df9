"""Arrays and tensors of kinds that are no features, in the formats that hold features."""

from __future__ import annotations

import io
import tempfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import h5py
import numpy as np

PLAIN = np.arange(60, dtype=np.float32).reshape(12, 5)
ARRAYS: tuple[Any, ...] = (
    *(PLAIN[:0], PLAIN[:, :0], PLAIN[:1], PLAIN[0], PLAIN[0, 0], PLAIN[None, None], PLAIN.T, np.asfortranarray(PLAIN)),
    *(PLAIN.astype(kind) for kind in ("i8", "u1", "?", "c8", "f2", ">f8", "g", "U5", "S5", "O", "M8[s]", "V4")),
    *(
        np.full((12, 5), np.nan),
        np.full((12, 5), np.inf),
        np.full((12, 5), 1e38),
        np.full((12, 5), 1e300),
        np.array([{}, []], object),
    ),
    *(
        np.zeros(12, [("a", "f4"), ("b", "i4")]),
        np.array("a"),
        np.array([None]),
        np.array([], "f4"),
        np.zeros((3, 0, 5)),
    ),
)


def odd_array(random: Random) -> bytes:
    """An .npy file."""
    file = io.BytesIO()
    np.save(file, random.choice(ARRAYS), allow_pickle=True)
    return file.getvalue()


def odd_tensors(random: Random) -> bytes:
    """A .pt file."""
    import torch

    one = torch.arange(60.0).reshape(12, 5)
    makers: tuple[Callable[[], Any], ...] = (
        *(
            lambda: [one],
            lambda: {"a": {"b": one}},
            lambda: one.to_sparse(),
            lambda: one.bfloat16(),
            lambda: one.bool(),
        ),
        *(lambda: one.to(torch.complex64), lambda: one.to(torch.float8_e4m3fn), lambda: torch.nn.Parameter(one)),
        *(lambda: one.to("meta"), lambda: one[0, 0], lambda: torch.zeros(1).expand(10**12), lambda: {}, lambda: "a"),
        *(lambda: torch.zeros(1).expand(10**6, 10**6), lambda: {1: one}, lambda: {None: one, "b": one}, lambda: None),
        *(lambda: OrderedDict(features=one), lambda: {"features": [1.0]}, lambda: one[:0], lambda: (one, one)),
        *(lambda: torch.quantize_per_tensor(one, 0.1, 0, torch.qint8), lambda: one.to_sparse_csr(), lambda: {"a": 1}),
        *(lambda: np.ones((12, 5), "f4"), lambda: {"features": np.ones(3)}, lambda: Random(0), lambda: one.conj()),
        *(lambda: torch.nested.nested_tensor([one, one[:3]]), lambda: one.T, lambda: torch.complex(one, one).conj()),
        *(lambda: {"optimizer": {}, "scheduler": {}}, lambda: {"optimizer": {"state": {}, "param_groups": []}}),
    )
    file = io.BytesIO()
    torch.save(random.choice(makers)(), file, _use_new_zipfile_serialization=random.random() < 0.7)
    return file.getvalue()


def odd_h5(random: Random) -> bytes:
    """An .h5 file: odd arrays, texts, references, datasets without values, links that lead nowhere or in a circle."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.h5"
        with h5py.File(path, "w") as file:
            for name in random.sample(("a", "b", "group/c", "é", "a b", "../outside", "x" * 300), random.randint(0, 2)):
                _h5_member(file, name, random)
        return path.read_bytes()


def _h5_member(file: h5py.File, name: str, random: Random) -> None:
    change = random.randrange(9)
    if change == 0:
        file[name] = ["text", "text"]
    elif change == 1:
        file[name] = h5py.Empty("f4")
    elif change == 2:
        file.create_dataset(name, shape=(10**6, 10**6), dtype="f4", chunks=(100, 100))
    elif change == 3:
        file[name] = h5py.ExternalLink("absent.h5", "/a")
    elif change == 4:
        file[name] = h5py.SoftLink(f"/{name}")
    elif change == 5:
        file.create_dataset(name, (3,), h5py.ref_dtype)
    elif change == 6:
        file.create_dataset(name, (3,), h5py.vlen_dtype(np.float32))
    else:
        array = random.choice([array for array in ARRAYS if np.asarray(array).dtype.kind in "iufbc"])
        file[name] = array

"""Datasets and a checkpoint of a few files each: what tests of components that need files are given."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import torch
from gad_coin.plugin import Coin
from gad_llama.plugin import LlamaTiny
from gad_oad.plugin import OnlineActionDetection
from gad_segments.plugin import Segments

from gad_core.data.features.pack import Packing, pack
from gad_core.data.features.sources import find_sources


def make_segments(folder: Path, mode: str) -> Segments:
    """The user's own data in two recordings a split."""
    raw, rows = folder / f"raw-{mode}", []
    raw.mkdir()
    for number in range(4):
        name, split = f"{mode}{number}", "train" if number < 2 else "test"
        np.save(raw / f"{name}.npy", np.random.default_rng(number).normal(size=(12, 5)).astype(np.float32))
        goal = "make salad" if number % 2 else "make soup"
        spans = ((0, 3, "cut tomato"), (3, 6, "cut onion"), (8, 12, "wash tomato"))
        rows += [(name, *span, split, goal) for span in spans]
    pack(find_sources([raw], None), folder / f"{mode}.lmdb", Packing(1.0))
    with (folder / f"{mode}.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("recording", "start", "end", "label", "split", "goal"), *rows])
    windows = {"long": 3, "short": 2} if mode == "stream" else {}
    return Segments(features=folder / f"{mode}.lmdb", annotations=folder / f"{mode}.csv", mode=mode, **windows)  # type: ignore[arg-type]


def make_store(folder: Path, name: str, lengths: dict[str, int], tokens: int, fps: float) -> Path:
    """A feature store of random features."""
    raw = folder / f"raw-{name}"
    raw.mkdir()
    for number, (recording, length) in enumerate(lengths.items()):
        array = np.random.default_rng(number).normal(size=(length, tokens, 4)).astype(np.float32)
        np.save(raw / f"{recording}.npy", array)
    pack(find_sources([raw], None), folder / f"{name}.lmdb", Packing(fps))
    return folder / f"{name}.lmdb"


def make_coin(folder: Path) -> Coin:
    """COIN's layout in four videos."""
    steps = [
        {"id": str(n), "segment": [2 * n, 2 * n + 2], "label": text} for n, text in enumerate(("open", "cut", "close"))
    ]
    videos = {
        name: {"recipe_type": 1, "class": task, "subset": subset, "duration": 6, "annotation": steps}
        for name, task, subset in (("a", "Sow", "training"), ("b", "Weld", "training"), ("c", "Sow", "testing"))
    }
    (folder / "COIN.json").write_text(json.dumps({"database": videos}))
    store = make_store(folder, "coin", dict.fromkeys(videos, 12), tokens=2, fps=2.0)
    return Coin(features=store, annotations=folder / "COIN.json")


def make_oad(folder: Path, protocol: str) -> OnlineActionDetection:
    """The field's layout of per-frame targets in two recordings."""
    place, names = folder / f"oad-{protocol}", ["Background", "CleanAndJerk", "Diving"]
    (place / "target_perframe").mkdir(parents=True)
    for recording in ("a", "b"):
        np.save(place / "target_perframe" / f"{recording}.npy", np.eye(3)[[0, 1, 1, 2, 2, 0, 1, 2, 0, 0]])
    info = {"class_names": names, "train_session_set": ["a"], "test_session_set": ["b"], "fps": 4}
    (place / "data_info.json").write_text(json.dumps(info))
    return OnlineActionDetection(
        features=make_store(folder, f"oad-{protocol}", {"a": 10, "b": 10}, tokens=1, fps=4.0),
        data_info=place / "data_info.json", targets=place / "target_perframe", long=4, short=3, protocol=protocol,
    )  # type: ignore[arg-type]  # fmt: skip


def make_checkpoint(folder: Path) -> Path:
    """A random Llama in the hub's format, with tied weights as in Llama-3.2-1B and a tokenizer of letters and words."""
    text = LlamaTiny(vocabulary=600).text(["cut tomato", "wash onion", "What is the action in the video?"])
    path = folder / "llama"
    from transformers import LlamaConfig, LlamaForCausalLM  # seconds, and most of those that import this need none

    config = LlamaConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=1,
        vocab_size=text.vocabulary, tie_word_embeddings=True, bos_token_id=text.bos, eos_token_id=text.eos,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        LlamaForCausalLM(config).save_pretrained(path)
    save_tokenizer(text, path)
    return path


def save_tokenizer(text: object, path: Path) -> None:
    from transformers import PreTrainedTokenizerFast

    own = text._tokenizer  # type: ignore[attr-defined]
    fast = PreTrainedTokenizerFast(tokenizer_object=own, bos_token="<|begin_of_text|>", eos_token="<|eot_id|>")
    fast.save_pretrained(path)

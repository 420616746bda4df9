"""Component swapping: every combination of what is installed has a stated problem, or trains a step and predicts."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from gad_coin.plugin import Coin
from gad_kitchen.plugin import Kitchen
from gad_llama.plugin import Llama, LlamaTiny
from gad_oad.plugin import OnlineActionDetection
from gad_segments.plugin import Segments
from hypothesis import given, note
from hypothesis import strategies as st
from transformers import LlamaConfig, LlamaForCausalLM

from gad_core.compatibility import compatibility
from gad_core.composition import compose
from gad_core.contracts import Component
from gad_core.errors import CodebookError, RegistryError
from gad_core.experiment import Experiment
from gad_core.features.pack import Packing, pack
from gad_core.features.sources import find_sources
from gad_core.lora_options import Lora
from gad_core.plugins import installed
from gad_core.registry import dump, loads
from gad_core.testing.strategies import experiments
from gad_core.values import Stage

COVERED: Counter[str] = Counter()
"""What the test below has tried; printed at the end of the run (tests/conftest.py)."""


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Component]]:
    """Small instances of the components that need files or would be slow."""
    folder = tmp_path_factory.mktemp("product")
    small = {"train": 3, "test": 2, "width": 4}
    return {
        "kitchen": [
            Kitchen(**small, asks=("current", "next", "goal"), tokens=2),
            Kitchen(**small, mode="stream", long=4, short=3, queries="dense", protocol="dense"),
            Kitchen(**small, mode="stream", long=4, short=3),
        ],
        "segments": [make_segments(folder, "clips"), make_segments(folder, "stream")],
        "llama-tiny": [
            LlamaTiny(hidden=16, layers=1, heads=2, kv_heads=1, mlp=16, vocabulary=600),
            LlamaTiny(hidden=16, layers=1, heads=2, kv_heads=1, mlp=16, vocabulary=600, lora=Lora(rank=2, alpha=4)),
        ],
        "llama": [Llama(checkpoint=str(make_checkpoint(folder)), lora=Lora(rank=2, alpha=4), dtype="fp32")],
        "smollm2": [],  # 135 M parameters: tests/test_backbones.py tries it once
        "coin": [make_coin(folder)],
        "oad": [make_oad(folder, protocol) for protocol in ("window", "dense")],
    }


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


@given(data=st.data())
def test_every_combination_has_a_problem_or_works(ready: dict[str, list[Component]], data: st.DataObject) -> None:
    experiment = data.draw(experiments(ready))
    note(f"reproduce with `gad run` on this file:\n{dump([experiment])}")
    problems = compatibility(experiment)
    if problems:
        COVERED["with a stated problem"] += 1
        assert all(problem.message and problem.slot in experiment.resolved() for problem in problems)
        with pytest.raises(RegistryError, match=r"."):
            loads(dump([experiment]))
        return
    (again,) = loads(dump([experiment])).select([])
    assert again.resolved() == experiment.resolved()
    corpus = experiment.dataset.open()
    space_and_prompts = {"spaces": corpus.spaces, "prompts": corpus.prompts, "width": corpus.features.width}
    try:
        model = compose(experiment, seed=0, **space_and_prompts)
    except CodebookError as error:
        COVERED["with labels the vocabulary cannot write"] += 1
        note(f"refused: {error}")
        return
    works(experiment, model, corpus)
    COVERED["trained a step and predicted"] += 1


def works(experiment: Experiment, model, corpus) -> None:
    """One update of every trainable parameter, then finite scores for every label of every query."""
    chosen = list(corpus.samples("train"))
    step = max(1, len(chosen) // 6)
    batch = model.assembler(chosen[::step][:6], corpus.features, Stage.TRAIN)
    losses = model(batch)
    assert set(losses) <= {"classification", "generation", "auxiliary"}
    total = torch.stack(list(losses.values())).sum()
    assert torch.isfinite(total)
    total.backward()
    idle = [n for n in model.trainable if model.get_parameter(n).grad is None]
    unasked = {f"head.layers.{name}" for name in getattr(model.head, "layers", {}) if name not in batch.targets}
    assert all(name.rpartition(".")[0] in unasked for name in idle), idle
    torch.optim.AdamW([model.get_parameter(name) for name in model.trainable], lr=1e-3).step()
    model.eval()
    test = list(corpus.samples("test"))[:3]
    scores = model.predict(model.assembler(test, corpus.features, Stage.PREDICT))
    asked = [corpus.spaces[sample.asks] for sample in test for _ in sample.queries]
    assert len(scores) == len(asked)
    for row, space in zip(scores, asked, strict=True):
        assert torch.isinf(row[len(space) :]).all()
        assert not torch.isnan(row).any()
        assert int(row.argmax()) < len(space)
        assert torch.isfinite(row[: len(space)]).any()


def test_nothing_installed_is_left_out(ready: dict[str, list[Component]]) -> None:
    left_out = {name for name, instances in ready.items() if not instances}
    assert left_out <= {"smollm2"}
    assert {offer.name for offer in installed().offers if offer.distribution == "gad-framework"} >= set(
        ready
    ) - left_out

"""The benchmark measures what it says: the naive scheme gives our answers, and every row has its keys."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from gad_heads.plugin import Generative
from small_project import Project

from gad_core.bench import naive, workload
from gad_core.bench.measure import in_turns, matmul_rate
from gad_core.bench.workload import RandomLlama, Sizes, builtin, with_windows
from gad_core.cli import main
from gad_core.contracts.values import Stage
from gad_core.model.decoding import nearest
from gad_core.model.language import LanguageModel

KEYS = {
    "workload", "head", "protocol", "implementation", "rate", "unit", "p50_ms", "p95_ms", "p99_ms", "peak_memory_mb",
    "ratio_to_naive", "fraction_of_matmul",
}  # fmt: skip
CPU = torch.device("cpu")


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A language model that a test can wait for."""
    shape = RandomLlama(hidden=16, layers=1, heads=2, kv_heads=1, mlp=16, vocabulary=300)
    monkeypatch.setattr(workload, "SHAPES", {"small": shape})


@pytest.mark.parametrize("kind", ["oad", "coin"])
@pytest.mark.parametrize("head", ["discriminative", "gad"])
def test_the_naive_scheme_gives_our_scores_and_losses(narrow: None, kind: str, head: str) -> None:
    measured = builtin(kind, "small", Sizes(lora=2))  # type: ignore[arg-type]
    model, corpus = measured.model(head), measured.corpus
    samples = list(corpus.samples("test")[300:303])
    official = torch.cat(list(naive.answers(model, samples, naive.InMemory(corpus.features), CPU)))
    with model.transformer.merged():
        ours = model.predict(model.assembler(samples, corpus.features, Stage.PREDICT))
    torch.testing.assert_close(ours, official, rtol=1e-4, atol=1e-5)
    batch = model.assembler(list(corpus.samples("train")[:3]), corpus.features, Stage.TRAIN)
    with torch.no_grad():
        total = torch.stack(list(model(batch).values())).sum()
        naively = naive.loss(model, corpus.samples("train")[:3], naive.InMemory(corpus.features), CPU)
    torch.testing.assert_close(total, naively, rtol=1e-5, atol=1e-6)


def test_free_decoding_writes_what_the_naive_scheme_decodes(narrow: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workload, "_component", lambda kind, name, own=workload._component: (
        Generative(decoding="free") if name == "generative" else own(kind, name)
    ))  # fmt: skip
    measured = builtin("oad", "small")
    model, corpus = measured.model("generative"), measured.corpus
    with torch.no_grad():  # it learns to write some label
        for parameter in model.parameters():
            parameter.mul_(3)
    samples = list(corpus.samples("test")[300:320])
    official = [row[0].tolist() for row in naive.answers(model, samples, naive.InMemory(corpus.features), CPU)]
    scores = model.predict(model.assembler(samples, corpus.features, Stage.PREDICT))
    batch = model.assembler(samples[:1], corpus.features, Stage.PREDICT)
    space, eos = corpus.spaces["current"], model.assembler.text.eos
    longest = max(len(code) for code in LanguageModel(model, batch).codebook.codes[space.name])
    lm = LanguageModel(model, batch)
    compared = 0
    for ids, row in zip(official, scores, strict=True):
        if eos in ids or len(ids) > longest:  # the official code stops at 8 tokens, ours behind the longest label
            answer = ids[: ids.index(eos)] if eos in ids else ids[: longest + 1]
            label, distance = nearest(lm, tuple(answer), space)
            assert (int(row.argmax()), float(row.max())) == (label, -distance)
            compared += 1
    assert compared


def test_dense_windows_ask_the_frames_that_windows_ask() -> None:
    corpus = builtin("oad", "small").corpus
    asked = [
        sorted((s.clip.recording, s.clip.frames[q.at - 1]) for s in one.samples("test") for q in s.queries)
        for one in (corpus, with_windows(corpus, protocol="dense"))
    ]
    assert asked[0] == asked[1]


def test_steps_are_timed_in_turns() -> None:
    order: list[str] = []

    def step(name: str) -> int:
        order.append(name)
        torch.ones(64, 64) @ torch.ones(64, 64)
        return 2

    first, second = in_turns([lambda: step("a"), lambda: step("b")], 0.01)
    assert order[:4] == ["a", "a", "b", "b"] and order[4:8] == ["a", "b", "a", "b"]
    assert first.rate > 0 and first.flops == second.flops == 2 * 64**3 / 2
    assert first.percentile(50) <= first.percentile(99)
    assert matmul_rate(CPU, torch.float32) > 1e8


@pytest.mark.parametrize("kind", ["evaluation", "stream", "training"])
def test_the_command_prints_rows(narrow: None, kind: str) -> None:
    command = ["bench", "--workload", "oad", "--head", "gad", "--kind", kind, "--seconds", "0.01", "--json"]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)
    assert all(row.keys() == KEYS for row in rows)
    protocols = {
        "evaluation": ["window", "window", "dense"],
        "stream": ["window", "window stream × 1", "cached stream × 1", "cached stream × 16"],
        "training": ["training", "training", "dense training", "dense training, text at every 8th"],
    }
    assert [row["protocol"] for row in rows] == protocols[kind]
    assert [row["implementation"] for row in rows] == ["naive"] + ["gad"] * (len(rows) - 1)
    assert rows[0]["ratio_to_naive"] == 1 and all(row["rate"] > 0 and row["peak_memory_mb"] > 10 for row in rows)


def test_an_experiment_and_a_store_are_measured(tmp_path: Path) -> None:
    project = Project(tmp_path).ready(dataset="mode: stream, long: 4, short: 2")
    project.write_features("long", np.zeros((200, 5), np.float32))
    assert project.pack().exit_code == 0
    command = ("bench", "registry.yaml", "gad", "--seconds", "0.01", "--store", str(tmp_path / "mine.lmdb"))
    result = project.gad(*command)
    assert result.exit_code == 0, result.output
    for told in ("reading: ", "gad cached stream × 16 gad: ", "gad dense training gad: ", "matrix multiply"):
        assert told in result.output
    assert "no experiment" in project.refused("bench", "registry.yaml", "gadd")

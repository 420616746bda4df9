"""Streams: a window stream is the offline windows, a cached stream is the banded forward pass over the recording."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from gad_heads.plugin import Discriminative, Gad, Generative
from gad_labels.plugin import Text
from hypothesis import given
from hypothesis import strategies as st

from gad_core.bench.workload import Prepared, RandomLlama
from gad_core.contracts.components import Head
from gad_core.contracts.values import Band, Clip, LabelSpace, Prompt, Query, Sample, Stage
from gad_core.data.corpora import FrameLabels, StreamCorpus
from gad_core.data.features import ArrayFeatures
from gad_core.data.windows import Windows
from gad_core.errors import BackboneError, FeatureError, RegistryError
from gad_core.huggingface.lora_options import Lora
from gad_core.model.action_model import ActionModel
from gad_core.model.composition import compose
from gad_core.model.streaming import CachedStream, open_stream
from gad_core.registry.experiment import Experiment
from gad_core.runs.evaluation import predict_samples
from gad_core.runs.feeding import make_feed
from gad_core.testing.tiny import Tiny

ACTIONS = LabelSpace("action", ("background", "cut tomato", "cut onion", "wash tomato"), background=0)
SMALL = RandomLlama(hidden=32, layers=3, heads=4, kv_heads=2, mlp=48, vocabulary=150, lora=Lora(rank=2, alpha=4))
PROMPTS = {
    "online": Prompt(before="What is it?\n"),
    "dialogue": Prompt(before="User: what is it?\n[", separator=", ", after="]\n"),
}


def corpus(prompt: str = "online", tokens: int = 1, frames: int = 40) -> StreamCorpus:
    """Two recordings of random frames."""
    draw = np.random.default_rng(0)
    arrays = {name: draw.normal(size=(frames, tokens, 6)).astype(np.float32) for name in "ab"}
    labels = [FrameLabels(name, draw.integers(0, 4, frames)) for name in arrays]
    windows = Windows(long=5, short=3, stride=3, protocol="window", queries="last")
    found = StreamCorpus(
        actions=ACTIONS, goals=None, features=ArrayFeatures(arrays, 2.0), windows=windows,
        recordings={"train": labels, "test": labels},
    )  # fmt: skip
    found.prompts = {"current": PROMPTS[prompt]}
    return found


def built(head: Head, found: StreamCorpus, backbone: RandomLlama | Tiny = SMALL) -> ActionModel:
    """A model whose every weight, adapters included, is random."""
    experiment = Experiment("x", Prepared.of(found), backbone, head, Text() if head.speaks else None)
    model = compose(experiment, spaces=found.spaces, prompts=found.prompts, width=6, seed=0)
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(1)
        for name in model.trainable:
            parameter = model.get_parameter(name)
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model.eval()


def banded(model: ActionModel, found: StreamCorpus, recording: str, first: int, stop: int, band: Band) -> torch.Tensor:
    """Scores (frames, C) of a stretch of a recording in one banded forward pass."""
    queries = tuple(Query(at, {}) for at in range(1, stop - first + 1))
    sample = Sample("", Clip(recording, range(first, stop)), "current", queries, band)
    with torch.no_grad():
        return model.predict(model.assembler([sample], found.features, Stage.PREDICT))


@pytest.mark.parametrize("head", [Discriminative(), Discriminative(readout="last-frame"), Gad(), Generative()], ids=str)
@pytest.mark.parametrize("prompt", PROMPTS)
def test_a_window_stream_is_the_window_protocol(head: Head, prompt: str) -> None:
    found = corpus(prompt, tokens=2, frames=14)
    model = built(head, found)
    samples = [found.samples("test")[index] for index in range(14)]
    with model.transformer.merged(), torch.no_grad():
        offline = torch.cat([model.predict(model.assembler([s], found.features, Stage.PREDICT)) for s in samples])
    with open_stream(model, "window", Band(8, 3), tokens=2) as stream:
        online = torch.cat([stream.push(found.features.read("a", range(t, t + 1))) for t in range(14)])
    torch.testing.assert_close(online, offline, rtol=1e-4, atol=1e-5)


@given(
    frames=st.integers(1, 9), step=st.integers(1, 6), tokens=st.integers(1, 2), length=st.integers(1, 30),
    prompt=st.sampled_from(sorted(PROMPTS)),
    head=st.sampled_from([Discriminative(), Discriminative(readout="last-frame"), Gad()]),
)  # fmt: skip
def test_a_cached_stream_is_the_banded_forward(
    frames: int, step: int, tokens: int, length: int, prompt: str, head: Head
) -> None:
    found, band = corpus(prompt, tokens), Band(frames, step)
    model = built(head, found)
    with open_stream(model, "cached", band, tokens=tokens) as stream:
        online = torch.cat([stream.push(found.features.read("a", range(t, t + 1))) for t in range(length)])
        offline = banded(model, found, "a", 0, length, band)
    torch.testing.assert_close(online, offline, rtol=1e-4, atol=2e-5)


def test_a_compiled_step_is_one_graph_and_answers_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    found, band, compiled, real = corpus(), Band(6, 4), 0, torch.compile

    def traced(function: Callable[..., torch.Tensor], *, mode: str, dynamic: bool) -> Callable[..., torch.Tensor]:
        """Without a C++ compiler, and with an error where the graph would break: what a CUDA graph could not hold."""
        nonlocal compiled
        compiled += 1
        return real(function, backend="eager", fullgraph=True, dynamic=dynamic)

    monkeypatch.setattr(torch, "compile", traced)
    model = built(Discriminative(), found)
    answers = []
    for compile in (False, True):
        with open_stream(model, "cached", band, tokens=1, streams=2, compile=compile) as stream:
            pushed = []
            for t in range(20):
                if t == 9:
                    stream.restart([1])
                if t == 15:
                    stream.restart()
                pushed.append(stream.push(np.stack([found.features.read(name, range(t, t + 1))[0] for name in "ab"])))
        answers.append(torch.stack(pushed))
    assert compiled == 1
    torch.testing.assert_close(*answers)
    with pytest.raises(RegistryError, match="no step to compile"):
        open_stream(model, "window", band, tokens=1, compile=True)


@pytest.mark.parametrize("mode", ["window", "cached"])
def test_a_frame_that_is_not_finite_is_refused(mode: str) -> None:
    found = corpus()
    with open_stream(built(Discriminative(), found), mode, Band(6, 4), tokens=1) as stream:  # type: ignore[arg-type]
        stream.push(np.zeros(6))
        with pytest.raises(FeatureError, match="NaN"):
            stream.push(np.full(6, np.nan))
        assert stream.seen.tolist() == [1]


@pytest.mark.parametrize("mode", ["window", "cached"])
def test_streams_in_step_are_alone_and_may_begin_anew(mode: str) -> None:
    found, band = corpus(), Band(6, 4)
    model = built(Discriminative(), found)

    def pushed(recording: str, frames: range) -> torch.Tensor:
        with open_stream(model, mode, band, tokens=1) as alone:  # type: ignore[arg-type]
            return torch.cat([alone.push(found.features.read(recording, range(t, t + 1))) for t in frames])

    with open_stream(model, mode, band, tokens=1, streams=3) as stream:  # type: ignore[arg-type]
        both = []
        for t in range(30):
            if t == 7:
                stream.restart([1])
            if t == 9:
                stream.restart([0, 2])
            both.append(stream.push(np.stack([found.features.read(name, range(t, t + 1))[0] for name in "aba"])))
    online = torch.stack(both, dim=1)
    expected = {0: (("a", 0, 9), ("a", 9, 30)), 1: (("b", 0, 7), ("b", 7, 30)), 2: (("a", 0, 9), ("a", 9, 30))}
    for row, parts in expected.items():
        alone = torch.cat([pushed(name, range(first, stop)) for name, first, stop in parts])
        torch.testing.assert_close(online[row], alone, rtol=1e-4, atol=2e-5)


def test_a_stream_goes_on_beyond_the_last_position() -> None:
    """Where the model knows no further position the latest frames are read again, as if they were the first."""
    found, band = corpus(), Band(6, 4)
    model = built(Discriminative(), found)
    model.transformer.positions = 30
    with open_stream(model, "cached", band, tokens=1) as stream:
        assert isinstance(stream, CachedStream)
        known = 30 - stream._prompt - 1  # frames that have a position, and their branch
        online = torch.cat([stream.push(found.features.read("a", range(t, t + 1))) for t in range(known + 3)])
        before = banded(model, found, "a", 0, known, band)
        after = banded(model, found, "a", known - 6, known + 3, band)
    torch.testing.assert_close(online[:known], before, rtol=1e-4, atol=2e-5)
    torch.testing.assert_close(online[known:], after[6:], rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("age", range(9))
def test_a_stream_of_any_age_goes_on_beyond_the_last_position(age: int, prompt: str) -> None:
    """One that began `age` frames before the others ran out of positions loses none of them, nor do the others."""
    found, band = corpus(prompt), Band(6, 4)
    model = built(Discriminative(), found)
    model.transformer.positions = 60 if prompt == "dialogue" else 30
    with open_stream(model, "cached", band, tokens=1, streams=2) as stream:
        assert isinstance(stream, CachedStream)
        known = (model.transformer.positions - stream._prompt - stream._branch) // stream._unit
        assert known > 9
        pushed = []
        for t in range(known + 4):
            if t == known - age:
                stream.restart([1])
            pushed.append(stream.push(np.stack([found.features.read(name, range(t, t + 1))[0] for name in "ab"])))
        online = torch.stack(pushed)[known:]
        for row, seen in enumerate((known, age)):
            kept = min(seen, band.frames)
            offline = banded(model, found, "ab"[row], known - kept, known + 4, band)[kept:]
            torch.testing.assert_close(online[:, row], offline, rtol=1e-4, atol=2e-5)


def test_a_band_as_wide_as_the_clip_is_no_band() -> None:
    found = corpus(frames=12)
    model = built(Gad(), found)
    sample = replace(found.samples("test")[6], queries=(Query(3, {}), Query(7, {})))
    with torch.no_grad():
        plain, wide = (
            model.predict(model.assembler([replace(sample, band=band)], found.features, Stage.PREDICT))
            for band in (None, Band(12, 5))
        )
    torch.testing.assert_close(plain, wide, rtol=1e-4, atol=1e-5)


def test_a_banded_sample_trains_like_any_other() -> None:
    found = corpus()
    model = built(Gad(), found)
    queries = found.samples("test")[20].queries
    sample = Sample(
        "", Clip("a", range(20)), "current", (replace(queries[0], at=12), replace(queries[0], at=20)), Band(6, 4)
    )
    losses = model(model.assembler([sample], found.features, Stage.TRAIN))
    sum(losses.values()).backward()  # type: ignore[union-attr]
    assert all(model.get_parameter(name).grad is not None for name in model.trainable)


def test_what_cannot_be_cached_says_so() -> None:
    found = corpus()
    with pytest.raises(RegistryError, match="writes its answer"):
        open_stream(built(Generative(), found), "cached", Band(6, 4), tokens=1)
    with pytest.raises(BackboneError, match="no ring"):
        open_stream(built(Discriminative(), found, Tiny()), "cached", Band(6, 4), tokens=1)


def test_merging_drifts_by_rounding_alone() -> None:
    found = corpus()
    model = built(Discriminative(), found)
    batch = model.assembler([found.samples("test")[30]], found.features, Stage.PREDICT)
    with torch.no_grad():
        before = model.predict(batch)
        with model.transformer.merged():
            merged = model.predict(batch)
        assert torch.equal(model.predict(batch), before)
    assert not torch.equal(merged, before)  # the adapters are not zero
    torch.testing.assert_close(merged, before, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("head", [Discriminative(), Generative(decoding="score-all")], ids=lambda head: head.name)
@pytest.mark.parametrize("resident", [False, True], ids=["read", "resident"])
def test_the_protocol_stream_asks_every_frame_once(head: Head, resident: bool) -> None:
    """Through the ring where the head can be cached, in one banded forward pass where it writes: the same question."""
    found = corpus(frames=25)
    found.windows = replace(found.windows, protocol="stream")
    model = built(head, found)
    feed = make_feed(found.features, torch.device("cpu"), resident=resident)
    evaluation = predict_samples(model, found.samples("test"), feed, accelerator=Accelerator(cpu=True), batch=2)
    assert evaluation.predictions.frames.tolist() == [*range(25), *range(25)]
    for place, name in enumerate("ab"):
        expected = banded(model, found, name, 0, 25, Band(8, 3)).numpy()
        np.testing.assert_allclose(evaluation.predictions.scores[25 * place :][:25], expected, rtol=1e-4, atol=2e-5)


def test_banded_training_asks_stretches_that_see_what_a_stream_sees() -> None:
    found = corpus(frames=60)
    found.windows = replace(found.windows, queries="banded", stretch=10)
    samples = [sample for sample in found.samples("train", epoch=3) if sample.clip.recording == "a"]
    asked = [sample.clip.frames[query.at - 1] for sample in samples for query in sample.queries]
    assert asked == list(range(60)) and all(sample.band == Band(8, 3) for sample in samples)
    whole = [sample for sample in samples if sample.clip.frames[0] > 0]
    assert whole and all(sample.queries[0].at >= 8 for sample in whole)


def test_texts_are_thinned_and_weighted_where_the_head_classifies() -> None:
    found = corpus(frames=60)
    found.windows = replace(found.windows, queries="dense", stride=6, texts=3)
    sample = found.samples("train")[3]
    assert [query.text for query in sample.queries] == [0, 0, 3, 0, 0, 3]
    thinned = built(Gad(), found)
    batch = thinned.assembler([sample], found.features, Stage.TRAIN)
    assert set(batch.owner.tolist()) == {2, 5}
    both = [
        thinned.assembler([replace(sample, queries=(sample.queries[n],))], found.features, Stage.TRAIN) for n in (2, 5)
    ]
    alone = [thinned(one) for one in both]
    generation = sum(float(losses["generation"].detach()) for losses in alone) / 6
    torch.testing.assert_close(float(thinned(batch)["generation"].detach()), generation, rtol=1e-4, atol=1e-5)
    writer = built(Generative(), found)
    batch = writer.assembler([sample], found.features, Stage.TRAIN)
    assert set(batch.owner.tolist()) == set(range(6)) and batch.texts.tolist() == [1] * 6

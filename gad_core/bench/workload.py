"""What is measured: the paper's shapes with random weights and generated features, or an experiment of a registry."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal, cast

import numpy as np
from pydantic import Field, PositiveInt, PrivateAttr

from gad_core.contracts.components import (
    AuxiliaryTask,
    Backbone,
    Component,
    Corpus,
    Dataset,
    Head,
    LabelTokenizer,
    TextTokenizer,
)
from gad_core.contracts.values import LabelSpace
from gad_core.data.corpora import ClipCorpus, FrameLabels, Segment, StreamCorpus
from gad_core.data.windows import Windows
from gad_core.discovery.plugins import installed
from gad_core.huggingface.lora_options import Lora
from gad_core.registry.experiment import Experiment
from gad_core.testing.features import GeneratedFeatures

if TYPE_CHECKING:
    from gad_core.contracts.modules import Transformer
    from gad_core.model.action_model import ActionModel

VERBS = ("cut", "wash", "open", "take", "put")
NOUNS = ("tomato", "onion", "knife", "door", "pan")


class RandomLlama(Backbone):
    """A Llama of any shape with random weights and a word for a token: for measuring speed, and nothing else."""

    name: ClassVar[str] = "random-llama"

    hidden: PositiveInt = Field(256, description="width of the hidden states")
    layers: PositiveInt = Field(4, description="blocks")
    heads: PositiveInt = Field(8, description="attention heads")
    kv_heads: PositiveInt = Field(4, description="heads of keys and values")
    mlp: PositiveInt = Field(1024, description="width inside the MLP")
    vocabulary: PositiveInt = Field(32_000, description="rows of the embedding matrix")
    dtype: Literal["bf16", "fp32"] = Field("fp32", description="of the weights")
    lora: Lora | None = Field(None, description="low-rank adapters; null trains all weights")

    def text(self, texts: Sequence[str]) -> TextTokenizer:
        from gad_core.testing.tiny import WordTokenizer

        used = WordTokenizer(texts, spare=0).vocabulary
        return WordTokenizer(texts, spare=max(0, self.vocabulary - used))

    def build(self, text: TextTokenizer, seed: int) -> Transformer:
        import torch
        from transformers import LlamaConfig, LlamaForCausalLM

        from gad_core.huggingface.causal_lm import DTYPES, CausalTransformer

        config = LlamaConfig(
            hidden_size=self.hidden, num_hidden_layers=self.layers, num_attention_heads=self.heads,
            num_key_value_heads=self.kv_heads, intermediate_size=self.mlp, vocab_size=text.vocabulary,
            tie_word_embeddings=True, max_position_embeddings=131_072, bos_token_id=text.bos, eos_token_id=text.eos,
        )  # fmt: skip
        default = torch.get_default_dtype()
        torch.set_default_dtype(DTYPES[self.dtype])
        try:
            return CausalTransformer(LlamaForCausalLM(config), lora=self.lora)
        finally:
            torch.set_default_dtype(default)


SHAPES: Mapping[str, RandomLlama] = {
    "small": RandomLlama(),
    "llama-1b": RandomLlama(hidden=2048, layers=16, heads=32, kv_heads=8, mlp=8192, vocabulary=128_256, dtype="bf16"),
}
"""Language models by name: `small` is the reference's, `llama-1b` has the shape of Llama-3.2-1B."""


@dataclass(frozen=True)
class Workload:
    """A corpus at fixed shapes and the model that answers it; `model(head)` builds one for a head by its name.

    `training` is the corpus to train on, where its windows are others.
    """

    name: str
    corpus: Corpus
    heads: tuple[str, ...]
    model: Callable[[str], ActionModel]
    training: Corpus | None = None


@dataclass(frozen=True)
class Sizes:
    """What of the built-in shapes can be changed; None leaves a size as the paper has it."""

    classes: int = 22
    frames: int | None = None
    tokens: int | None = None
    layers: int | None = None
    lora: int | None = None


def builtin(kind: Literal["oad", "coin"], shape: str, sizes: Sizes = Sizes()) -> Workload:
    """The paper's shapes: `oad` has 128 + 20 frames of width 1536 (128 + 32 in training), `coin` 60 frames of 10 tokens
    of width 1024."""
    changes: dict[str, object] = {"layers": sizes.layers} if sizes.layers else {}
    if sizes.lora:
        changes["lora"] = Lora(rank=sizes.lora, alpha=2 * sizes.lora)
    backbone = SHAPES[shape].model_copy(update=changes)
    corpus = _stream(sizes) if kind == "oad" else _clips(sizes)
    training = with_windows(corpus, short=32, stride=32) if kind == "oad" else None

    def model(head: str) -> ActionModel:
        return _composed(head, backbone, corpus)

    return Workload(kind, corpus, ("discriminative", "gad", "generative"), model, training)


def of_experiment(experiment: Experiment) -> Workload:
    """An experiment of a registry, with its first seed's initial weights."""
    from gad_core.runs.run import make_model

    corpus = experiment.dataset.open()
    return Workload(
        experiment.name, corpus, (experiment.head.name,), lambda _: make_model(experiment, corpus, experiment.seeds[0])
    )


def labels(classes: int) -> LabelSpace:
    """Background and verb-noun pairs, numbered where there are more classes than pairs."""
    pairs = [f"{verb} {noun}" for verb in VERBS for noun in NOUNS]
    names = [pairs[n % len(pairs)] + (f" {n // len(pairs)}" if n >= len(pairs) else "") for n in range(classes - 1)]
    return LabelSpace("action", ("background", *names), background=0)


def _stream(sizes: Sizes) -> StreamCorpus:
    lengths = {"train-0": 3600, "train-1": 3600, "test-0": 3600}
    draw = np.random.default_rng(0)
    frames = {name: draw.integers(0, sizes.classes, length // 12).repeat(12) for name, length in lengths.items()}
    recordings = {
        split: [FrameLabels(name, found) for name, found in frames.items() if name.startswith(split)]
        for split in ("train", "test")
    }
    features = GeneratedFeatures(lengths, tokens=sizes.tokens or 1, width=1536, fps=4.0)
    windows = Windows(long=(sizes.frames or 148) - 20, short=20, stride=20, protocol="window", queries="last")
    return StreamCorpus(
        actions=labels(sizes.classes), goals=None, features=features, recordings=recordings, windows=windows
    )


def with_windows(corpus: Corpus, **changes: str | int) -> Corpus:
    """The same stream with another protocol or other training queries."""
    import copy

    assert isinstance(corpus, StreamCorpus)
    other = copy.copy(corpus)
    other.windows = replace(corpus.windows, **changes)  # type: ignore[arg-type]
    other.protocol = other.windows.protocol
    return other


def _clips(sizes: Sizes) -> ClipCorpus:
    draw, frames = np.random.default_rng(0), sizes.frames or 60
    lengths = {f"{split}-{number}": 10 * frames for split in ("train", "test") for number in range(40)}
    segments = {
        split: [
            Segment(name, range(frames * n, frames * (n + 1)), int(draw.integers(1, sizes.classes)))
            for name in lengths if name.startswith(split) for n in range(10)
        ]
        for split in ("train", "test")
    }  # fmt: skip
    features = GeneratedFeatures(lengths, tokens=sizes.tokens or 10, width=1024, fps=2.0)
    return ClipCorpus(actions=labels(sizes.classes), goals=None, features=features, segments=segments)


class Prepared(Dataset):
    """A corpus that is there already, as the dataset of an experiment."""

    name: ClassVar[str] = "prepared"
    _corpus: Corpus = PrivateAttr()

    @classmethod
    def of(cls, corpus: Corpus) -> Prepared:
        """The dataset that opens to `corpus`."""
        dataset = cls()
        dataset._corpus = corpus
        return dataset

    def asks(self) -> frozenset[str]:
        return frozenset(self._corpus.prompts)

    def relations(self) -> frozenset[str]:
        return frozenset(self._corpus.spaces)

    def open(self) -> Corpus:
        return self._corpus


def _composed(head: str, backbone: Backbone, corpus: Corpus) -> ActionModel:
    from gad_core.model.composition import compose

    speaks = head != "discriminative"
    experiment = Experiment(
        name="bench",
        dataset=Prepared.of(corpus),
        backbone=backbone,
        head=cast(Head, _component("head", head)),
        labels=cast(LabelTokenizer, _component("labels", "text")) if speaks else None,
        auxiliary=(cast(AuxiliaryTask, _component("auxiliary", "previous")),) if head == "gad" else (),
    )
    model = compose(experiment, spaces=corpus.spaces, prompts=corpus.prompts, width=corpus.features.width, seed=0)
    return model.eval()


def _component(kind: str, name: str) -> Component:
    return installed().find(kind, name).component()

"""The scheme of the official code, to measure against: it is kept here and used nowhere else.

One window a step, in training sixteen of a stream or one clip; the connector over every frame of every window; adapters
beside the weights, not in them; logits over the whole vocabulary at every position, most of them thrown away; decoding
token by token, one window at a time (REFERENCE: forward, losses, texts, speed). Features are in memory, as in its
figures.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from gad_core.contracts.components import Corpus, Features
from gad_core.contracts.values import Sample, Slot, Stage
from gad_core.model.action_model import ActionModel
from gad_core.model.language import LanguageModel

DECODED_AT_MOST = 8
"""Tokens the official code decodes at most."""


class InMemory:
    """Whole recordings as fp32 arrays, each read once."""

    def __init__(self, features: Features) -> None:
        self._features, self._arrays = features, dict[str, np.ndarray]()
        self.tokens, self.width, self.fps, self.lengths = (
            features.tokens, features.width, features.fps, features.lengths,
        )  # fmt: skip

    def read(self, recording: str, frames: range | np.ndarray) -> np.ndarray:
        """Some frames of a recording, (T, K, D)."""
        if recording not in self._arrays:
            whole = self._features.read(recording, range(self.lengths[recording]))
            self._arrays[recording] = whole.astype(np.float32)
        return self._arrays[recording][np.asarray(frames)]


def full_logits(model: ActionModel, states: Tensor) -> Tensor:
    """Logits over the vocabulary at every position, (B, L, V)."""
    return model.transformer.logits(states.flatten(0, 1)).unflatten(0, states.shape[:2])


@torch.no_grad()
def answers(
    model: ActionModel, samples: Sequence[Sample], features: Features, device: torch.device
) -> Iterator[Tensor]:
    """The scores (1, C) of each sample, or the ids that are decoded (1, n) where the head writes."""
    writes = any(Slot.CUE in branch for branch in model.assembler.layouts[Stage.PREDICT])
    for sample in samples:
        batch = model.assembler([sample], features, Stage.PREDICT).to(device)
        cache = model.transformer.make_cache() if writes else None
        states = model.states(batch, cache)
        logits = full_logits(model, states)
        if writes:
            yield _decoded(model, logits[:, -1], int(batch.positions[0, -1]), cache)
        else:
            yield model.head.predict(states, batch, LanguageModel(model, batch))


def _decoded(model: ActionModel, logits: Tensor, position: int, cache: object) -> Tensor:
    """Greedy decoding, a step a token; background is one token and ends it (REFERENCE: texts)."""
    assert model.assembler.writing is not None
    (space,) = {space.name: space for space in model.assembler.spaces.values() if space.background is not None}.values()
    assert space.background is not None
    background = model.assembler.writing.codebook.codes[space.name][space.background]
    ids = [int(logits.argmax())]
    while ids[-1] != model.assembler.text.eos and tuple(ids) != background and len(ids) < DECODED_AT_MOST:
        position += 1
        token = torch.tensor([[ids[-1]]], device=logits.device)
        states = model.transformer(model.embed(token), None, torch.full_like(token, position), cache)
        ids.append(int(full_logits(model, states)[0, -1].argmax()))
    return torch.tensor([ids])


def trained_at_once(corpus: Corpus) -> int:
    """Samples of a training step: one clip, or sixteen windows of streams."""
    return 1 if corpus.protocol == "clips" else 16


def loss(model: ActionModel, samples: Sequence[Sample], features: Features, device: torch.device) -> Tensor:
    """The loss of a training batch with logits at every position."""
    batch = model.assembler(samples, features, Stage.TRAIN).to(device)
    states = model.states(batch)
    losses = dict(model.head.loss(states, batch, _Full(model, batch, full_logits(model, states))))
    return torch.stack(list(losses.values())).sum()


class _Full(LanguageModel):
    """Takes the logits of supervised tokens out of those of all positions."""

    def __init__(self, model: ActionModel, batch: object, logits: Tensor) -> None:
        super().__init__(model, batch)  # type: ignore[arg-type]
        self.full = logits

    def generation_loss(self, states: Tensor, *, weighted: bool) -> Tensor:
        batch = self.batch
        wanted = torch.full(self.full.shape[:2], -100, dtype=torch.int64, device=states.device)
        wanted.view(-1)[batch.source] = batch.target
        shifted = self.full[:, :-1].float().contiguous().flatten(0, 1)  # a copy of all logits, as transformers made it
        losses = torch.nn.functional.cross_entropy(
            shifted, wanted[:, :-1].flatten(), reduction="none", ignore_index=-100
        )
        row, column = batch.source // self.full.shape[1], batch.source % self.full.shape[1]
        losses = losses[row * (self.full.shape[1] - 1) + column]
        sums = losses.new_zeros(batch.queries).index_add(0, batch.owner, losses)
        means = sums / torch.bincount(batch.owner, minlength=batch.queries).clamp(min=1) * batch.texts
        return (means * batch.weights if weighted else means).mean()

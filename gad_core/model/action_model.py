"""The model of an experiment: a connector, a causal transformer, and a head reading its states."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from gad_core.contracts.batch import Batch
from gad_core.contracts.modules import HeadModule, Transformer
from gad_core.contracts.values import Slot, Stage
from gad_core.model.language import LanguageModel
from gad_core.model.sequence import Assembler
from gad_core.model.trie import Trie
from gad_core.registry.training_options import Part


class Connector(nn.Module):
    """Frame features, scaled, to the language model's width: Linear → GELU (exact) → Linear.

    `mean` and `deviation` (D,) are 0 and 1 unless the dataset measures them; they are kept in checkpoints.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, width: int, hidden_size: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("deviation", torch.ones(width))
        self.inward = nn.Linear(width, hidden_size)
        self.outward = nn.Linear(hidden_size, hidden_size)

    def forward(self, features: Tensor) -> Tensor:  # (N, D) -> (N, H)
        scaled = (features.to(self.mean.dtype) - self.mean) / self.deviation
        return self.outward(nn.functional.gelu(self.inward(scaled)))


class ActionModel(nn.Module):
    """Sequences in, losses or scores out. Everything trainable but the head's own layers and the adapters lives here.

    `rows` are the embeddings, in and out, of label codes beyond the vocabulary; `cls` is the [CLS] vector.
    """

    def __init__(
        self,
        *,
        transformer: Transformer,
        connector: Connector,
        head: HeadModule,
        assembler: Assembler,
        new_rows: int = 0,
    ) -> None:
        super().__init__()
        self.transformer, self.connector, self.head, self.assembler = transformer, connector, head, assembler
        self.tries: dict[str, Trie] = {}
        hidden = transformer.hidden_size
        scale = 0.02
        hangs_cls = any(Slot.CLS in branch for layout in assembler.layouts.values() for branch in layout)
        self.cls = nn.Parameter(torch.randn(hidden) * scale) if hangs_cls else None
        self.rows = nn.Parameter(torch.randn(new_rows, hidden) * scale) if new_rows else None
        self.trainable = tuple(name for name, parameter in self.named_parameters() if parameter.requires_grad)

    def embed(self, tokens: Tensor) -> Tensor:
        """Embeddings of ids, new label rows included: (…,) → (…, H)."""
        if self.rows is None:
            return self.transformer.embed(tokens)
        beyond = tokens >= self.transformer.vocabulary
        known = self.transformer.embed(tokens.masked_fill(beyond, 0))
        new = nn.functional.embedding((tokens - self.transformer.vocabulary).clamp(min=0), self.rows)
        return torch.where(beyond[..., None], new.to(known.dtype), known)

    def embeddings(self, batch: Batch, frames: Tensor | None = None) -> Tensor:
        """The input of the transformer: text rows, frames through the connector, the [CLS] vector, (B, L, H).

        `frames` (N, H) are what the connector makes of the batch's frame tokens, where that is known already.
        """
        inputs = self.text_embeddings(batch.tokens, batch.slots)
        if frames is None:
            frames = self.connector(batch.features)
            frames = frames if batch.shown is None else frames[batch.shown]
        return inputs.masked_scatter((batch.slots == Slot.FRAMES)[..., None], frames.to(inputs.dtype))

    def text_embeddings(self, tokens: Tensor, slots: Tensor) -> Tensor:
        """Text rows and the [CLS] vector, (B, L, H); whatever row 0 holds where frames belong."""
        inputs = self.embed(tokens)
        if self.cls is not None:
            inputs = torch.where((slots == Slot.CLS)[..., None], self.cls.to(inputs.dtype), inputs)
        return inputs

    def states(
        self, batch: Batch, cache: Any = None, frames: Tensor | None = None, read: Tensor | None = None
    ) -> Tensor:
        """Hidden states after the final norm, (B, L, H); with `read` (B, R) at these columns of each row alone."""
        return self.transformer(self.embeddings(batch, frames), batch.mask(), batch.positions, cache, read)

    def _read(self, batch: Batch) -> Tensor | None:
        """The columns whose states the head reads, None where it may read any."""
        return None if self.head.reads_everywhere else batch.read

    def forward(self, batch: Batch) -> Mapping[str, Tensor]:
        """The named losses of a training batch, each a mean over its queries."""
        return self.head.loss(self.states(batch, read=self._read(batch)), batch, LanguageModel(self, batch))

    @torch.no_grad()
    def predict(self, batch: Batch, frames: Tensor | None = None) -> Tensor:
        """Scores (Q, C) of a prediction batch, float32, -inf beyond a query's own labels."""
        opens_cue = any(Slot.CUE in branch for branch in self.assembler.layouts[Stage.PREDICT])
        cache = self.transformer.make_cache() if opens_cue else None
        states = self.states(batch, cache, frames, self._read(batch))
        return self.head.predict(states, batch, LanguageModel(self, batch, cache)).float()

    def part(self, name: Part) -> Iterator[tuple[str, nn.Parameter]]:
        """The parameters of one part, with their full names."""
        prefixes = {
            "backbone": "transformer.",
            "connector": "connector.",
            "cls": "cls",
            "rows": "rows",
            "head": "head.",
        }
        for full, parameter in self.named_parameters():
            if full.startswith(prefixes[name]):
                yield full, parameter

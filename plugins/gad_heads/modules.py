"""The trainable parts of the heads."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from gad_core.nn import Batch, Decoding, HeadModule, LanguageModel, cls_behind_text, label_scores
from gad_core.plugin import LabelSpace


class GenerativeModule(HeadModule):
    """Learns to write the answer; has no weights of its own."""

    reads_everywhere = False

    def __init__(self, decoding: Decoding) -> None:
        super().__init__()
        self.decoding = decoding

    def loss(self, states: Tensor, batch: Batch, lm: LanguageModel) -> Mapping[str, Tensor]:
        return {"generation": lm.generation_loss(states, weighted=True)}

    def predict(self, states: Tensor, batch: Batch, lm: LanguageModel) -> Tensor:
        return label_scores(lm, states, self.decoding)


class ClassifierModule(HeadModule):
    """Linear layers with bias on the read-out state, one a target."""

    reads_everywhere = False

    def __init__(self, hidden_size: int, targets: Mapping[str, LabelSpace], *, dropout: float = 0.0) -> None:
        super().__init__()
        self.layers = nn.ModuleDict({name: nn.Linear(hidden_size, len(space)) for name, space in targets.items()})
        self.sizes = {name: len(space) for name, space in targets.items()}
        self.dropout = nn.Dropout(dropout)

    def read(self, states: Tensor, batch: Batch) -> Tensor:
        """The state each query is read at, (Q, H) in the layers' precision."""
        return states.flatten(0, 1)[batch.places].float()

    def losses(self, readout: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Cross-entropy of every layer, weighted by query, averaged over all Q queries of the batch."""
        readout = self.dropout(readout)
        losses = {"classification": readout.new_zeros(())}
        for name, (queries, classes) in batch.targets.items():
            entropy = nn.functional.cross_entropy(self.layers[name](readout[queries]), classes, reduction="none")
            auxiliary = name.startswith("auxiliary/")
            weights = torch.ones_like(entropy) if auxiliary else batch.weights[queries]
            kind = "auxiliary" if auxiliary else "classification"
            losses[kind] = losses.get(kind, 0.0) + (weights * entropy).sum() / batch.queries
        return losses

    def scores(self, readout: Tensor, batch: Batch) -> Tensor:
        """Logits (Q, C) of each query's own layer, -inf beyond it."""
        widest = max(self.sizes[name] for name in batch.targets)
        scores = readout.new_full((batch.queries, widest), -torch.inf)
        for name, (queries, _) in batch.targets.items():
            scores[queries, : self.sizes[name]] = self.layers[name](readout[queries]).to(scores.dtype)
        return scores

    def loss(self, states: Tensor, batch: Batch, lm: LanguageModel) -> Mapping[str, Tensor]:
        return self.losses(self.read(states, batch), batch)

    def predict(self, states: Tensor, batch: Batch, lm: LanguageModel) -> Tensor:
        return self.scores(self.read(states, batch), batch)


class GadModule(ClassifierModule):
    """A classifier that also learns to write; `writes_first` reads [CLS] behind the text it wrote."""

    def __init__(
        self,
        hidden_size: int,
        targets: Mapping[str, LabelSpace],
        *,
        generation_weight: float,
        dropout: float,
        writes_first: bool,
    ) -> None:
        super().__init__(hidden_size, targets, dropout=dropout)
        self.generation_weight, self.writes_first = generation_weight, writes_first

    def loss(self, states: Tensor, batch: Batch, lm: LanguageModel) -> Mapping[str, Tensor]:
        generation = self.generation_weight * lm.generation_loss(states, weighted=False)
        return {**self.losses(self.read(states, batch), batch), "generation": generation}

    def predict(self, states: Tensor, batch: Batch, lm: LanguageModel) -> Tensor:
        if not self.writes_first:
            return self.scores(self.read(states, batch), batch)
        return self.scores(cls_behind_text(lm, states).float(), batch)

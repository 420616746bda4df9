"""The trainable part of the head `label-embedding`: a projection of the read-out, and how sure a cosine makes."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from gad_core.nn import Batch, HeadModule, LanguageModel
from gad_core.plugin import LabelSpace

FIRST_SCALE = 10.0


class LabelEmbeddingModule(HeadModule):
    """score = scale · cos(W state, encoding - mean encoding of the label space)."""

    reads_everywhere = False

    def __init__(
        self, hidden_size: int, targets: Mapping[str, LabelSpace], *, unseen: frozenset[str], tuned: bool
    ) -> None:
        super().__init__()
        self.targets, self.unseen, self.tuned = dict(targets), unseen, tuned
        self.project = nn.Linear(hidden_size, hidden_size)
        self.log_scale = nn.Parameter(torch.tensor(math.log(FIRST_SCALE)))

    def encodings(self, name: str, lm: LanguageModel) -> Tensor:
        """The classes of a target as unit vectors, (C, H)."""
        with torch.set_grad_enabled(self.tuned and torch.is_grad_enabled()):
            states = lm.encode([f" {label}" for label in self.targets[name].written]).float()
        return nn.functional.normalize(states - states.mean(dim=0), dim=-1)

    def logits(self, name: str, readout: Tensor, lm: LanguageModel) -> Tensor:
        """Scaled cosines of states (n, H) with the classes of a target, (n, C)."""
        query = nn.functional.normalize(self.project(readout), dim=-1).float()
        return self.log_scale.exp() * query @ self.encodings(name, lm).T

    def loss(self, states: Tensor, batch: Batch, lm: LanguageModel) -> Mapping[str, Tensor]:
        """Cross-entropy over the seen labels of each target, averaged over all queries of the batch."""
        readout = states.flatten(0, 1)[batch.places].float()
        losses = {"classification": readout.new_zeros(())}
        for name, (queries, classes) in batch.targets.items():
            logits = self.logits(name, readout[queries], lm)
            absent = torch.tensor([label in self.unseen for label in self.targets[name].labels], device=logits.device)
            absent = absent & (torch.arange(len(absent), device=logits.device) != classes[:, None])
            logits = logits.masked_fill(absent, -torch.inf)
            entropy = nn.functional.cross_entropy(logits, classes, reduction="none")
            if name.startswith("auxiliary/"):
                losses["auxiliary"] = losses.get("auxiliary", 0.0) + entropy.sum() / batch.queries
            else:
                weighted = (batch.weights[queries] * entropy).sum() / batch.queries
                losses["classification"] = losses["classification"] + weighted
        return losses

    def predict(self, states: Tensor, batch: Batch, lm: LanguageModel) -> Tensor:
        """Scores (Q, C), -inf beyond a query's own label space."""
        readout = states.flatten(0, 1)[batch.places].float()
        widest = max(len(self.targets[name]) for name in batch.targets)
        scores = readout.new_full((batch.queries, widest), -torch.inf)
        for name, (queries, _) in batch.targets.items():
            found = self.logits(name, readout[queries], lm)
            scores[queries, : found.shape[1]] = found.to(scores.dtype)
        return scores

"""A drawn experiment put together: its corpus, its model, and whether they work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gad_core.contracts.components import Corpus
from gad_core.contracts.values import Sample, Stage
from gad_core.model.action_model import ActionModel
from gad_core.model.composition import compose
from gad_core.registry.experiment import Experiment


@dataclass(frozen=True)
class Composition:
    """An experiment with its opened dataset and its untrained model."""

    experiment: Experiment
    corpus: Corpus
    model: ActionModel

    def losses(self, samples: Sequence[Sample]) -> dict[str, Tensor]:
        """The named losses of some samples."""
        return dict(self.model(self.model.assembler(samples, self.corpus.features, Stage.TRAIN)))

    def scores(self, samples: Sequence[Sample]) -> Tensor:
        """The scores (Q, C) of some samples' queries."""
        return self.model.predict(self.model.assembler(samples, self.corpus.features, Stage.PREDICT))

    def some(self, split: str, count: int) -> list[Sample]:
        """At most `count` samples of a split, spread over it and over all that is asked."""
        found = list(self.corpus.samples(split))
        return found[:: max(1, -(-len(found) // count))]


def composed(experiment: Experiment, seed: int = 0) -> Composition:
    """The model of an experiment in training mode. Raises `CodebookError` where labels cannot be written."""
    corpus = experiment.dataset.open()
    model = compose(experiment, spaces=corpus.spaces, prompts=corpus.prompts, width=corpus.features.width, seed=seed)
    return Composition(experiment, corpus, model)


def check_works(composition: Composition) -> None:
    """One update of every trainable parameter, then a sound score for every label of every query."""
    model, corpus = composition.model, composition.corpus
    batch = model.assembler(composition.some("train", 6), corpus.features, Stage.TRAIN)
    losses = model(batch)
    total = torch.stack(list(losses.values())).sum()
    assert set(losses) and torch.isfinite(total), losses
    total.backward()
    idle = [name for name in model.trainable if model.get_parameter(name).grad is None]
    unasked = {f"head.layers.{name}" for name in getattr(model.head, "layers", {}) if name not in batch.targets}
    assert all(name.rpartition(".")[0] in unasked for name in idle), f"no gradient reaches {idle}"
    torch.optim.AdamW([model.get_parameter(name) for name in model.trainable], lr=1e-3).step()
    model.eval()
    check_scores(composition, composition.some("test", 3))


def check_scores(composition: Composition, samples: Sequence[Sample]) -> None:
    """Scores are (queries, classes): a number for labels of a query's own space, -inf for all else, never NaN."""
    scores = composition.scores(samples)
    asked = [composition.corpus.spaces[sample.asks] for sample in samples for _ in sample.queries]
    assert scores.ndim == 2 and len(scores) == len(asked), f"scores {tuple(scores.shape)} of {len(asked)} queries"
    assert scores.shape[1] >= max(map(len, asked))
    assert not torch.isnan(scores).any() and not (scores == torch.inf).any()
    for row, space in zip(scores, asked, strict=True):
        assert torch.isinf(row[len(space) :]).all(), "a score beyond the query's own label space"
        assert torch.isfinite(row[: len(space)]).any(), "no label of the query has a score"

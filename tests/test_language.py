"""What a head may ask of the language model: states of texts."""

from __future__ import annotations

import torch
from gad_heads.plugin import Discriminative

from gad_core.contracts.values import Stage
from gad_core.model.language import LanguageModel
from gad_core.registry.experiment import Experiment
from gad_core.testing import Memory, Tiny
from gad_core.testing.composition import composed

TEXTS = [" cut tomato", " wash", " take sharp knife"]


def make_language() -> LanguageModel:
    composition = composed(Experiment("test", Memory(), Tiny(), Discriminative()))
    batch = composition.model.assembler(composition.some("train", 2), composition.corpus.features, Stage.TRAIN)
    return LanguageModel(composition.model, batch)


def test_a_text_is_read_on_its_own() -> None:
    """Each as alone, behind the beginning of a text, whatever stands beside it."""
    lm = make_language()
    together = lm.encode(TEXTS)
    assert together.shape == (3, lm.model.transformer.hidden_size)
    for text, state in zip(TEXTS, together, strict=True):
        tokens = torch.tensor([[0, *lm.model.assembler.text.encode(text)]])
        alone = lm.model.transformer(lm.model.embed(tokens), None, torch.arange(tokens.shape[1])[None])
        torch.testing.assert_close(state, alone[0, -1])


def test_gradients_flow_into_what_read_it() -> None:
    lm = make_language()
    lm.encode(TEXTS).sum().backward()
    assert lm.model.transformer.embedding.weight.grad.any()
    assert lm.model.transformer.mix.weight.grad.any()

"""The last block runs where states are read: equal to running it everywhere, and no more work than that."""

from __future__ import annotations

import pytest
import torch
from gad_auxiliary.plugin import Previous
from gad_heads.plugin import Discriminative, Gad, Generative
from gad_labels.plugin import Text
from gad_llama.plugin import LlamaTiny
from torch import Tensor

from gad_core.bench.workload import Prepared, Sizes, builtin, with_windows
from gad_core.contracts.components import Head
from gad_core.contracts.values import Stage
from gad_core.huggingface.lora_options import Lora
from gad_core.registry.experiment import Experiment
from gad_core.testing.composition import Composition, composed

HEADS: dict[str, Head] = {
    "discriminative": Discriminative(),
    "last-frame": Discriminative(readout="last-frame"),
    "gad": Gad(),
    "generation-first": Gad(order="generation-first"),
    "parallel": Gad(order="parallel"),
    "generative": Generative(decoding="score-all"),
}
BACKBONES = {
    "whole": LlamaTiny(layers=3),
    "one block": LlamaTiny(layers=1),
    "adapters": LlamaTiny(layers=3, lora=Lora(rank=4, alpha=8, dropout=0.0)),
    "eager, checkpointed": LlamaTiny(layers=3, attention="eager", gradient_checkpointing=True),
}
STREAM = with_windows(builtin("oad", "small", Sizes(frames=30)).corpus, queries="dense", protocol="dense")
DATA = {"clips": builtin("coin", "small", Sizes(frames=4, tokens=3)).corpus, "dense": STREAM}


def made(head: str, backbone: str = "whole", data: str = "dense") -> Composition:
    speaks = HEADS[head].speaks
    return composed(
        Experiment(
            name="last-block",
            dataset=Prepared.of(DATA[data]),
            backbone=BACKBONES[backbone],
            head=HEADS[head],
            labels=Text() if speaks else None,
            auxiliary=(Previous(),) if speaks else (),
        )
    )


def trained(composition: Composition) -> tuple[dict[str, Tensor], dict[str, Tensor | None]]:
    """Losses of a batch, and the gradient of every weight."""
    model = composition.model.train()
    model.zero_grad()
    losses = composition.losses(composition.some("train", 5))
    torch.stack(list(losses.values())).sum().backward()
    return losses, {name: model.get_parameter(name).grad for name in model.trainable}


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("head", HEADS)
def test_it_is_the_whole_model(head: str, backbone: str, data: str) -> None:
    """Losses, gradients and scores are those of a model that makes every state."""
    composition = made(head, backbone, data)
    assert not composition.model.head.reads_everywhere
    losses, gradients = trained(composition)
    asked = composition.some("test", 5)
    composition.model.eval()
    scores = composition.scores(asked)
    composition.model.head.reads_everywhere = True
    for found, expected in zip((losses, gradients), trained(composition), strict=True):
        assert found.keys() == expected.keys()
        torch.testing.assert_close(list(found.values()), list(expected.values()), rtol=2e-4, atol=2e-6)
    composition.model.eval()
    torch.testing.assert_close(scores, composition.scores(asked), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("head", HEADS)
def test_it_runs_where_states_are_read(head: str) -> None:
    """Its network sees, in each row, as many tokens as the row that reads most; those before it see all."""
    composition = made(head)
    tokens: list[int] = []
    for block in composition.model.transformer.causal.model.layers:
        block.mlp.register_forward_hook(lambda _, inputs, __: tokens.append(inputs[0].shape[1]))
    batch = composition.model.assembler(composition.some("train", 5), composition.corpus.features, Stage.TRAIN)
    composition.model(batch)
    width = batch.tokens.shape[1]
    wanted = torch.cat([batch.places, batch.source]).unique()
    assert tokens == [width, width, int(torch.bincount(wanted // width).max())]
    assert tokens[-1] < width


def test_a_head_may_read_any_state() -> None:
    composition = made("discriminative")
    composition.model.head.reads_everywhere = True
    batch = composition.model.assembler(composition.some("train", 5), composition.corpus.features, Stage.TRAIN)
    seen: list[Tensor] = []
    loss = composition.model.head.loss
    composition.model.head.loss = lambda states, *rest: seen.append(states) or loss(states, *rest)
    composition.model(batch)
    assert seen[0].abs().sum(dim=-1).all()

"""What an update is made of: a clipped gradient, the rate of every part, the draws of its epoch; and what a training
that was interrupted remembers of the evaluations before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from math import inf, nan
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from test_training import Watch, experiment, train
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_pre_hook

from gad_core.contracts.batch import Batch
from gad_core.contracts.values import Sample, Stage
from gad_core.model.sequence import Assembler
from gad_core.registry.training_options import Phase, Training
from gad_core.runs.feeding import Feed
from gad_core.runs.resume import Place
from gad_core.runs.run import make_model
from gad_core.runs.training import Trainer
from gad_core.testing.corpus import Memory, MemoryCorpus


class Notes(Watch):
    """An observer that remembers more: the norms, where the best were, and the place at the end."""

    def __init__(self, stop_after: int | None = None, values: list[float] | None = None) -> None:
        super().__init__(stop_after, values)
        self.norms: list[float] = []
        self.improved_at: list[int] = []
        self.place = Place()

    def resumed(self, place: Place, damaged: object) -> None:
        self.place = place
        super().resumed(place, damaged)

    def updated(self, place: Place, epoch: int, losses: Mapping[str, float], rate: float, norm: float) -> None:
        self.place = place
        self.norms.append(norm)
        super().updated(place, epoch, losses, rate, norm)

    def improved(self, place: Place) -> None:
        self.improved_at.append(place.step)


# ------------------------------------------------------------------------------------------------ gradients and rates


@dataclass(frozen=True)
class Step:
    """What the optimiser is given for an update: the rate of every parameter, by its `id`, and a whole gradient."""

    rates: Mapping[int, float]
    norm: float


@pytest.fixture
def steps() -> Iterator[list[Step]]:
    """Every step that any optimiser takes."""
    taken: list[Step] = []

    def note(optimizer: Optimizer, *_: object) -> None:
        pairs = [(group["lr"], parameter) for group in optimizer.param_groups for parameter in group["params"]]
        norms = torch.stack([parameter.grad.norm() for _, parameter in pairs])
        taken.append(Step({id(parameter): float(rate) for rate, parameter in pairs}, float(norms.norm())))

    handle = register_optimizer_step_pre_hook(note)
    yield taken
    handle.remove()


@pytest.mark.parametrize("micro_batch", [None, 2])
@pytest.mark.parametrize(("clip", "shortens"), [(None, False), (1e-3, True), (0.1, True), (1e6, False)])
def test_no_update_follows_a_longer_gradient_than_clip(
    tmp_path: Path, steps: list[Step], clip: float | None, shortens: bool, micro_batch: int | None
) -> None:
    """What is told is the norm before; a gradient that is short enough stays as it is."""
    notes = Notes()
    train(experiment(epochs=1, batch=4, micro_batch=micro_batch, clip=clip), tmp_path, watch=notes)
    assert len(steps) == len(notes.norms) == 6
    assert [step.norm for step in steps] == pytest.approx([min(norm, clip or inf) for norm in notes.norms], rel=1e-3)
    assert all(norm > (clip or inf) for norm in notes.norms) is shortens


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant"])
@pytest.mark.parametrize("head_rate", [None, 1e-2, 1e-3, 1e-7])
def test_the_backbone_and_all_else_have_their_own_rates(
    tmp_path: Path, steps: list[Step], head_rate: float | None, schedule: str
) -> None:
    """At every update both are the same share of their peaks."""
    given = experiment(
        epochs=1, batch=4, learning_rate=1e-3, head_learning_rate=head_rate, warmup=0.4, schedule=schedule
    )
    model, _ = train(given, tmp_path)
    backbone = {id(parameter) for parameter in model.transformer.parameters()}
    trained = {id(model.get_parameter(name)) for name in model.trainable}
    assert trained & backbone and trained - backbone
    peaks = {one: 1e-3 if one in backbone else head_rate or 1e-3 for one in trained}
    shares = [{one: rate / peaks[one] for one, rate in step.rates.items()} for step in steps]
    assert len(steps) == 6 and all(share.keys() == trained for share in shares)
    assert all(max(share.values()) == pytest.approx(min(share.values())) for share in shares)
    assert max(max(share.values()) for share in shares) == pytest.approx(1)


# -------------------------------------------------------------------------------------------- what a resume remembers


@pytest.mark.parametrize(
    ("patience", "values", "improved"),
    [
        (None, [2.0, 3.0, 1.0, 2.5, 3.5], [3, 6, 15]),
        (1, [2.0, 3.0, 1.0, 2.5, 3.5], [3, 6]),
        (2, [2.0, 3.0, 1.0, 2.5, 3.5], [3, 6]),
        (3, [2.0, 3.0, 1.0, 2.5, 3.5], [3, 6, 15]),
        (2, [1.0, nan, 0.5, 4.0, 5.0], [3]),
        (None, [-1.0, -2.0, -1.0, -3.0, -0.5], [3, 15]),
    ],
)
def test_a_training_interrupted_in_every_epoch_remembers_what_was_best_and_for_how_long(
    tmp_path: Path, patience: int | None, values: list[float], improved: list[int]
) -> None:
    given = experiment(epochs=5, batch=8, patience=patience)
    whole = Notes(values=values)
    train(given, tmp_path / "whole", watch=whole)
    found: list[int] = []
    for stop_after in (4, 8, 10, 13, None):
        notes = Notes(stop_after, values)
        with suppress(KeyboardInterrupt):
            train(given, tmp_path / "cut", watch=notes)
        found += notes.improved_at
    assert found == whole.improved_at == improved
    assert asdict(replace(notes.place, seconds=0.0)) == asdict(replace(whole.place, seconds=0.0))


# --------------------------------------------------------------------------------------------------- what is drawn


class Redrawn(MemoryCorpus):
    """Samples that say for which epoch and seed they were asked."""

    def samples(self, split: str, epoch: int = 0, seed: int = 0) -> Sequence[Sample]:
        return [replace(one, uid=f"{epoch}/{seed}/{one.uid}") for one in super().samples(split, epoch, seed)]


class Noted(Feed):
    """A feed that remembers the samples of every epoch, micro-batch by micro-batch."""

    epochs: list[list[list[str]]]

    def batches(
        self, plan: Sequence[Sequence[int]], samples: Sequence[Sample], assembler: Assembler, stage: Stage, workers: int
    ) -> Iterator[Batch]:
        self.epochs.append([[samples[number].uid for number in part] for part in plan])
        return super().batches(plan, samples, assembler, stage, workers)


class Seeded(Trainer):
    """A trainer that remembers the seeds of dropout."""

    seeds: list[int]

    def _dropout_seed(self, number: int) -> int:
        self.seeds.append(super()._dropout_seed(number))
        return self.seeds[-1]


def drawn(training: Training, folder: Path, stop_after: int | None = None) -> tuple[list[list[list[str]]], list[int]]:
    """What a training drew until it ended or was stopped: the samples of its epochs, and the seeds of dropout."""
    corpus, given = Redrawn(Memory()), experiment()
    feed = Noted(corpus.features, torch.device("cpu"))
    model = make_model(given, corpus, 0)
    accelerator = Accelerator(cpu=True)
    trainer = Seeded(
        model, corpus, feed, training, seed=0, folder=folder, accelerator=accelerator, observer=Watch(stop_after)
    )
    feed.epochs, trainer.seeds = [], []
    if stop_after is None:
        trainer.run()
    else:
        with pytest.raises(KeyboardInterrupt):
            trainer.run()
    return feed.epochs, trainer.seeds


@pytest.mark.parametrize("phases", [(1, 1, 1), (2, 1), (1, 2)])
def test_phases_draw_what_one_training_of_as_many_epochs_draws(tmp_path: Path, phases: tuple[int, ...]) -> None:
    """A later phase does not begin again with the first epoch, not where it is resumed either."""
    epochs, seeds = drawn(Training(epochs=3, batch=8, micro_batch=4), tmp_path / "whole")
    assert [epoch[0][0].partition("/")[0] for epoch in epochs] == ["0", "1", "2"]
    assert len({str([sorted(part) for part in epoch]) for epoch in epochs}) == 3
    assert len(set(seeds)) == len(seeds) == 18
    parted = Training(phases=tuple(Phase(epochs=count) for count in phases), batch=8, micro_batch=4)
    assert drawn(parted, tmp_path / "parted") == (epochs, seeds)
    drawn(parted, tmp_path / "cut", stop_after=4)
    assert drawn(parted, tmp_path / "cut") == (epochs[1:], seeds[6:])

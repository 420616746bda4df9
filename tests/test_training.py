"""The loop: seeds decide everything, accumulation and resuming change nothing, phases train what they say."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
import torch._dynamo
from accelerate import Accelerator
from gad_auxiliary.plugin import Goal
from gad_heads.plugin import Gad
from gad_labels.plugin import Text, UniqueToken
from small_project import Project

from gad_core.contracts.values import Scale
from gad_core.errors import CheckpointError, TrainingError
from gad_core.model.action_model import ActionModel
from gad_core.registry.experiment import Experiment
from gad_core.registry.training_options import Phase, Training
from gad_core.runs.batching import evaluation_batches, training_batches
from gad_core.runs.checkpoint import load_weights, save_checkpoint
from gad_core.runs.feeding import make_feed
from gad_core.runs.resume import Place
from gad_core.runs.run import make_model
from gad_core.runs.training import Trainer
from gad_core.testing.corpus import Memory
from gad_core.testing.tiny import Tiny


class Watch:
    """An observer that remembers, and stops the training where it is told to."""

    def __init__(self, stop_after: int | None = None, values: list[float] | None = None) -> None:
        self.losses: list[dict[str, float]] = []
        self.stop_after, self.values, self.improvements = stop_after, values or [], 0

    def resumed(self, place: Place, damaged: object) -> None:
        self.resumed_at = place.step

    def updated(self, place: Place, epoch: int, losses: Mapping[str, float], rate: float, norm: float) -> None:
        self.losses.append(dict(losses))
        if self.stop_after is not None and place.step >= self.stop_after:
            raise KeyboardInterrupt

    def evaluated(self, place: Place, epoch: int) -> float | None:
        return self.values[epoch - 1] if epoch <= len(self.values) else None

    def improved(self, place: Place) -> None:
        self.improvements += 1


def experiment(**options: object) -> Experiment:
    return Experiment("test", Memory(), Tiny(), Gad(dropout=0.2), UniqueToken(), (Goal(),), Training(**options))  # type: ignore[arg-type]


def train(given: Experiment, folder: Path, *, seed: int = 0, watch: Watch | None = None) -> tuple[ActionModel, Watch]:
    corpus = given.dataset.open()
    model = make_model(given, corpus, seed)
    watch = watch or Watch()
    accelerator = Accelerator(cpu=True)
    feed = make_feed(corpus.features, accelerator.device, given.training.resident)
    Trainer(
        model, corpus, feed, given.training, seed=seed, folder=folder, accelerator=accelerator, observer=watch
    ).run()
    return model, watch


def weights(model: ActionModel) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def equal(a: ActionModel, b: ActionModel) -> bool:
    return all(torch.equal(value, weights(b)[name]) for name, value in weights(a).items())


def test_equal_seeds_equal_everything(tmp_path: Path) -> None:
    first, seen = train(experiment(epochs=2, batch=4), tmp_path / "a")
    again, seen_again = train(experiment(epochs=2, batch=4), tmp_path / "b")
    other, _ = train(experiment(epochs=2, batch=4), tmp_path / "c", seed=1)
    assert seen.losses == seen_again.losses
    assert equal(first, again)
    assert not equal(first, other)


def test_every_trained_parameter_moves(tmp_path: Path) -> None:
    given = experiment(epochs=2, batch=4, weight_decay=0.0)
    before = weights(make_model(given, given.dataset.open(), 0))
    model, _ = train(given, tmp_path)
    after = weights(model)
    still = [name for name in model.trainable if torch.equal(before[name], after[name])]
    assert not still


@pytest.mark.parametrize("stop_after", [1, 5, 6, 9, 11])
@pytest.mark.parametrize("save_every", [None, 1, 2])
def test_an_interrupted_training_resumes_bit_equal(tmp_path: Path, stop_after: int, save_every: int | None) -> None:
    given = experiment(epochs=2, batch=4, save_every=save_every)
    whole, seen = train(given, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(given, tmp_path / "cut", watch=Watch(stop_after))
    resumed, rest = train(given, tmp_path / "cut")
    assert equal(whole, resumed)
    assert rest.losses == seen.losses[len(seen.losses) - len(rest.losses) :]
    if save_every == 1 and stop_after > 1:
        assert len(rest.losses) < len(seen.losses)


@pytest.mark.parametrize("micro_batch", [1, 3])
def test_accumulation_does_not_change_the_update(tmp_path: Path, micro_batch: int) -> None:
    def composed(**options: object) -> Experiment:
        training = Training(epochs=1, batch=5, **options)  # type: ignore[arg-type]
        return Experiment("test", Memory(dense=True), Tiny(), Gad(), Text(), (Goal(),), training)

    given, divided = composed(), composed(micro_batch=micro_batch)
    whole, seen = train(given, tmp_path / "a")
    parts, seen_parts = train(divided, tmp_path / "b")
    for name, value in weights(whole).items():
        torch.testing.assert_close(weights(parts)[name], value, rtol=1e-3, atol=1e-5)
    for one, other in zip(seen.losses, seen_parts.losses, strict=True):
        assert one == pytest.approx(other, rel=1e-4)


def test_phases_train_what_they_name(tmp_path: Path) -> None:
    generation = Phase(epochs=1, losses=("generation",), train=("backbone", "connector", "rows", "cls"))
    classification = Phase(epochs=1, losses=("classification",), train=("head",))
    given = experiment(phases=(generation, classification), batch=4)
    start = weights(make_model(given, given.dataset.open(), 0))
    model, watch = train(given, tmp_path)
    after = weights(model)
    only_first, _ = train(experiment(phases=(generation,), batch=4), tmp_path / "first")
    for name, value in weights(only_first).items():
        assert name.startswith("head.") or torch.equal(after[name], value), name
        assert not name.startswith("head.") or torch.equal(start[name], value), name
    assert not torch.equal(after["head.layers.action.weight"], start["head.layers.action.weight"])
    assert len(watch.losses) == 12


def test_a_phase_that_trains_nothing_is_refused(tmp_path: Path) -> None:
    given = Experiment("t", Memory(), Tiny(), Gad(), Text(), (), Training(phases=(Phase(epochs=1, train=("rows",)),)))
    with pytest.raises(TrainingError, match="does not have"):
        train(given, tmp_path)
    given = experiment(phases=(Phase(epochs=1, losses=("generatoin",)),))
    with pytest.raises(TrainingError, match="generatoin"):
        train(given, tmp_path)


def test_patience_and_the_best(tmp_path: Path) -> None:
    watch = Watch(values=[1.0, 3.0, 2.0, 2.5, 9.0])
    train(experiment(epochs=5, batch=8, patience=2), tmp_path, watch=watch)
    assert watch.improvements == 2
    assert len(watch.losses) == 4 * 3


def test_a_loss_that_is_not_a_number_stops_the_training(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="update"):
        train(experiment(epochs=3, batch=4, learning_rate=1e30, warmup=0.0, clip=None), tmp_path)


def test_checkpoint_round_trip_and_refusals(tmp_path: Path) -> None:
    given = experiment(epochs=1, batch=8)
    model, _ = train(given, tmp_path / "run")
    save_checkpoint(model, {}, tmp_path / "checkpoint")
    fresh = make_model(given, given.dataset.open(), 0)
    load_weights(fresh, tmp_path / "checkpoint")
    assert equal(model, fresh)
    other = Experiment("t", Memory(), Tiny(), Gad(), Text(), (), Training())
    with pytest.raises(CheckpointError, match="other parameters"):
        load_weights(make_model(other, other.dataset.open(), 0), tmp_path / "checkpoint")
    (tmp_path / "checkpoint" / "weights.safetensors").write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_weights(fresh, tmp_path / "checkpoint")


def test_the_scale_of_the_features_is_kept_with_the_weights(tmp_path: Path) -> None:
    given = experiment(epochs=1, batch=8)
    corpus = given.dataset.open()
    corpus.scale = Scale(np.full(8, 3.0, dtype=np.float32), np.full(8, 2.0, dtype=np.float32))
    model = make_model(given, corpus, 0)
    features = torch.randn(5, 8)
    plain = make_model(given, given.dataset.open(), 0)
    torch.testing.assert_close(model.connector(features * 2 + 3), plain.connector(features))
    save_checkpoint(model, {}, tmp_path)
    load_weights(plain, tmp_path)
    torch.testing.assert_close(model.connector(features), plain.connector(features))


def test_batches_hold_every_sample_once_and_group_by_length() -> None:
    lengths = [(7 * index) % 50 for index in range(101)]
    for group in (True, False):
        plan = training_batches(lengths, 8, seed=1, epoch=2, group=group)
        assert sorted(index for batch in plan for index in batch) == list(range(101))
        assert plan == training_batches(lengths, 8, seed=1, epoch=2, group=group)
        assert plan != training_batches(lengths, 8, seed=1, epoch=3, group=group)
    spread = [max(lengths[i] for i in batch) - min(lengths[i] for i in batch) for batch in plan]
    grouped = training_batches(lengths, 8, seed=1, epoch=2, group=True)
    spread_grouped = [max(lengths[i] for i in batch) - min(lengths[i] for i in batch) for batch in grouped]
    assert sum(spread_grouped) < sum(spread) / 2
    assert sorted(index for batch in evaluation_batches(lengths, 8) for index in batch) == list(range(101))


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_compiling_changes_rounding_alone(tmp_path: Path) -> None:
    found = []
    for compile in ("false", "true"):
        folder = tmp_path / compile
        folder.mkdir()
        project = Project(folder).ready(training=f"evaluate_every: null, max_steps: 3, compile: {compile}")
        done = project.gad("run", "registry.yaml", "gad", "--quiet")
        assert done.exit_code == 0, done.output
        with np.load(folder / "runs" / "gad" / "0" / "predictions.npz", allow_pickle=False) as saved:
            found.append(saved["scores"])
    assert np.allclose(*found, rtol=1e-3, atol=1e-4)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"], "nothing was compiled"

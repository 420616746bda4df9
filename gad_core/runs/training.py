"""The training loop, on accelerate.

Every draw is a function of (seed, place): batches of (seed, epoch), dropout of (seed, update, micro-batch). A training
that is killed and resumed is therefore bit-equal to one that was not, and evaluating in between changes nothing. An
update is cut into micro-batches before they are dealt to the processes: as long as these are no more than there are
micro-batches, their number changes nothing but the order of sums.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor
from transformers import get_scheduler

from gad_core.contracts.batch import Batch
from gad_core.contracts.components import Corpus
from gad_core.contracts.seeds import stable_seed
from gad_core.contracts.values import Sample, Stage
from gad_core.errors import GadError, TrainingError
from gad_core.model.action_model import ActionModel
from gad_core.registry.training_options import Phase, Training
from gad_core.runs.batching import micro_batches, micro_size, training_batches
from gad_core.runs.checkpoint import load_weights
from gad_core.runs.feeding import Feed
from gad_core.runs.resume import Place, ResumePoint, latest_sound, save_resume_point


class Observer(Protocol):
    """What a training reports to: a log, a progress bar, the evaluation."""

    def resumed(self, place: Place, damaged: Sequence[GadError]) -> None:
        """The training goes on at `place`; `damaged` is what was wrong with later points."""

    def updated(self, place: Place, epoch: int, losses: Mapping[str, float], rate: float, norm: float) -> None: ...

    def evaluated(self, place: Place, epoch: int) -> float | None:
        """Evaluates and returns the metric that selects, or None when this is not the time."""

    def improved(self, place: Place) -> None: ...


class Trainer:
    """Trains one model through the phases of a recipe; `place` is how far it has come."""

    def __init__(
        self,
        model: ActionModel,
        corpus: Corpus,
        feed: Feed,
        options: Training,
        *,
        seed: int,
        folder: Path,
        accelerator: Accelerator,
        observer: Observer,
    ) -> None:
        self.model, self.corpus, self.feed, self.options, self.seed = model, corpus, feed, options, seed
        self.folder, self.accelerator, self.observer = folder, accelerator, observer
        self.place = Place()
        self._length = lambda sample: model.assembler.length(sample, feed.tokens)

    def run(self) -> Place:
        """Trains to the end, from the latest sound resume point if there is one."""
        point, damaged = latest_sound(self.folder)
        if point is not None:
            self.place = point.place
            load_weights(self.model, point.path)
            self.observer.resumed(self.place, damaged)
        started = time.perf_counter() - self.place.seconds
        plan = self.options.plan()
        while self.place.phase < len(plan) and not self.place.stopped:
            self._phase(plan[self.place.phase], point, started)
            point = None
            self.place = replace(self.place, phase=self.place.phase + 1, epoch=0, update=0)
        return self.place

    def updates(self) -> int:
        """How many updates the whole training takes; windows redrawn every epoch may move it by a few."""
        epochs = sum(phase.epochs for phase in self.options.plan())
        updates = math.ceil(len(self._samples(0)) / self.options.batch) * epochs
        return min(updates, self.options.max_steps or updates)

    # ---------------------------------------------------------------------------------------------------- one phase

    def _phase(self, phase: Phase, point: ResumePoint | None, started: float) -> None:
        self._choose_trained(phase)
        earlier = sum(done.epochs for done in self.options.plan()[: self.place.phase])
        updates = math.ceil(len(self._samples(earlier)) / self.options.batch) * phase.epochs
        optimizer = self._optimizer()
        scheduler = self._scheduler(optimizer, min(updates, self.options.max_steps or updates))
        if point is not None:
            point.load_optimizer(optimizer, scheduler)
        while self.place.epoch < phase.epochs and not self.place.stopped:
            self._epoch(phase, earlier + self.place.epoch, optimizer, scheduler, started)
            self.place.epoch, self.place.update = self.place.epoch + 1, 0
            self.place.seconds = time.perf_counter() - started
            self._judge(earlier + self.place.epoch)
            self._save(optimizer, scheduler)

    def _choose_trained(self, phase: Phase) -> None:
        chosen = (
            set(self.model.trainable)
            if phase.train is None
            else {name for part in phase.train for name, _ in self.model.part(part)} & set(self.model.trainable)
        )
        if not chosen:
            raise TrainingError(
                f"phase {self.place.phase + 1} trains {list(phase.train or ())}, which this model does not have",
                hint="name parts among backbone, connector, cls, rows, head",
            )
        for name in self.model.trainable:
            self.model.get_parameter(name).requires_grad_(name in chosen)

    def _optimizer(self) -> torch.optim.Optimizer:
        options = self.options
        head_rate = options.head_learning_rate or options.learning_rate
        groups: dict[float, list[Tensor]] = {}
        for name, parameter in self.model.named_parameters():
            if parameter.requires_grad:
                rate = options.learning_rate if name.startswith("transformer.") else head_rate
                groups.setdefault(rate, []).append(parameter)
        return torch.optim.AdamW(
            [{"params": parameters, "lr": rate} for rate, parameters in groups.items()],
            lr=options.learning_rate,
            betas=options.betas,
            weight_decay=options.weight_decay,
            fused=True,
        )

    def _scheduler(self, optimizer: torch.optim.Optimizer, updates: int) -> Any:
        name = "constant_with_warmup" if self.options.schedule == "constant" else self.options.schedule
        warmup = math.ceil(self.options.warmup * updates)
        return get_scheduler(name, optimizer, num_warmup_steps=warmup, num_training_steps=updates)

    # ---------------------------------------------------------------------------------------------------- one epoch

    def _samples(self, epoch: int) -> Sequence[Sample]:
        return self.corpus.samples("train", epoch=epoch, seed=self.seed)

    def _epoch(
        self, phase: Phase, epoch: int, optimizer: torch.optim.Optimizer, scheduler: Any, started: float
    ) -> None:
        options, rank, world = self.options, self.accelerator.process_index, self.accelerator.num_processes
        samples = self._samples(epoch)
        batches = training_batches(
            [self._length(sample) for sample in samples],
            options.batch,
            seed=self.seed,
            epoch=epoch,
            group=options.group_by_length,
        )[self.place.update :]
        size = micro_size(options.batch, options.micro_batch, world)
        shares = [micro_batches(batch, size)[rank::world] for batch in batches]
        plan = [micro for parts in shares for micro in parts]
        stream = self.feed.batches(plan, samples, self.model.assembler, Stage.TRAIN, options.workers)
        self.model.train()
        for batch, parts in zip(batches, shares, strict=True):
            queries = sum(len(samples[index].queries) for index in batch)
            losses, norm = self._update(phase, islice(stream, len(parts)), queries, optimizer, scheduler)
            self.place.update += 1
            self.place.step += 1
            self.place.samples += len(batch)
            self.place.seconds = time.perf_counter() - started
            self.observer.updated(self.place, epoch, losses, scheduler.get_last_lr()[0], norm)
            if options.max_steps is not None and self.place.step >= options.max_steps:
                self.place.stopped = True
                return
            if options.save_every and self.place.step % options.save_every == 0 and self.place.update < len(batches):
                self._save(optimizer, scheduler)

    def _update(
        self,
        phase: Phase,
        share: Iterator[Batch],
        queries: int,
        optimizer: torch.optim.Optimizer,
        scheduler: Any,
    ) -> tuple[dict[str, float], float]:
        """One step of the optimiser on this process's `share` of the micro-batches of an update.

        Losses are means over all `queries` of the update, however it is divided.
        """
        optimizer.zero_grad(set_to_none=True)
        totals: dict[str, float] = {}
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        for number, batch in enumerate(share):
            torch.manual_seed(self._dropout_seed(rank + number * world))
            with self.accelerator.autocast():
                losses = self.model(batch)
            chosen = {name: loss for name, loss in losses.items() if phase.losses is None or name in phase.losses}
            if not chosen:
                raise TrainingError(
                    f"the phase minimises {list(phase.losses or ())}, the head has {sorted(losses)}",
                    hint="name losses that the head has",
                )
            part = batch.queries / queries
            self.accelerator.backward(torch.stack([loss.float() for loss in chosen.values()]).sum() * part)
            for name, loss in losses.items():
                totals[name] = totals.get(name, 0.0) + float(loss.detach()) * part
        self._complete_gradients()
        if self.accelerator.num_processes > 1:
            totals = self._reduce(totals)
        if not all(math.isfinite(value) for value in totals.values()):
            raise TrainingError(
                f"the loss is {totals} at update {self.place.step + 1}",
                hint="lower the learning rate, clip the gradient, or check the features with `gad features verify`",
            )
        norm = torch.nn.utils.clip_grad_norm_(self._trained(), self.options.clip or math.inf)
        optimizer.step()
        scheduler.step()
        return totals, float(norm)

    def _dropout_seed(self, number: int) -> int:
        """The seed of micro-batch `number` of this update."""
        return stable_seed("dropout", self.seed, self.place.step, number, 0)  # 0: the draws of runs that are published

    def _trained(self) -> list[torch.nn.Parameter]:
        return [parameter for parameter in self.model.parameters() if parameter.requires_grad]

    def _complete_gradients(self) -> None:
        """What no sample of this update used gets a zero gradient, so that one process steps as many do."""
        for parameter in self._trained():
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)

    def _reduce(self, losses: Mapping[str, float]) -> dict[str, float]:
        """Sums gradients and losses over the processes. A process without samples in this update adds zeros."""
        gradients = [parameter.grad for parameter in self._trained() if parameter.grad is not None]
        flat = torch.cat([gradient.float().flatten() for gradient in gradients])
        sums = self.accelerator.reduce(flat, reduction="sum").split([gradient.numel() for gradient in gradients])
        for gradient, total in zip(gradients, sums, strict=True):
            gradient.copy_(total.view_as(gradient))
        totals: dict[str, float] = {}
        for part in gather_object([dict(losses)]):
            for name, value in part.items():
                totals[name] = totals.get(name, 0.0) + value
        return totals

    # ------------------------------------------------------------------------------------------- judging and saving

    def _judge(self, epoch: int) -> None:
        """Evaluates after an epoch, notes the best, and stops when patience runs out."""
        value = self.observer.evaluated(self.place, epoch)
        if value is None:
            return
        if not math.isnan(value) and (self.place.best is None or value > self.place.best):
            self.place.best, self.place.stale = value, 0
            self.observer.improved(self.place)
        else:
            self.place.stale += 1
            if self.options.patience is not None and self.place.stale >= self.options.patience:
                self.place.stopped = True

    def _save(self, optimizer: torch.optim.Optimizer, scheduler: Any) -> None:
        if self.accelerator.is_main_process:
            save_resume_point(self.folder, self.model, optimizer, scheduler, self.place)
        self.accelerator.wait_for_everyone()

"""One run of an experiment: open, compose, train, evaluate, write down."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from accelerate import Accelerator

from gad_core.action_model import ActionModel
from gad_core.checkpoint import (
    Place,
    labels_record,
    load_weights,
    remove_resume_points,
    save_checkpoint,
)
from gad_core.composition import compose
from gad_core.contracts import Corpus
from gad_core.errors import TrainingError
from gad_core.evaluation import Evaluation, predict_samples
from gad_core.experiment import Experiment
from gad_core.feeding import make_feed
from gad_core.machine import device_name, memory_told, peak_memory_mb, reset_peak_memory
from gad_core.progress import Reporter
from gad_core.report import pictures
from gad_core.results import Log, Results, RunFolder, Timing, fingerprint
from gad_core.trackers import tracking
from gad_core.training import Trainer

TRAIN, TEST, VALIDATION = "train", "test", "validation"


def run(
    experiment: Experiment, seed: int, root: Path, *, accelerator: Accelerator, reporter: Reporter, force: bool = False
) -> Results:
    """Trains and evaluates an experiment with one seed, in `root/<experiment>/<seed>/`.

    A finished run whose inputs are unchanged is returned as it stands; an interrupted one goes on where it was.
    """
    folder = RunFolder(root, experiment.name, seed)
    inputs = fingerprint(experiment.dataset.files())
    identity = experiment.identity()
    finished = None if force else folder.finished(identity, inputs)
    if finished is not None:
        reporter.note(f"{experiment.name} seed {seed}: finished before and nothing has changed")
        return finished
    with tracking(accelerator, experiment, seed):
        accelerator.wait_for_everyone()  # nobody looks for a finished run in a folder that is being prepared
        if accelerator.is_main_process:
            folder.prepare(experiment, identity, inputs, fresh=force)
        accelerator.wait_for_everyone()
        corpus = experiment.dataset.open()
        model = make_model(experiment, corpus, seed).to(accelerator.device)
        if experiment.training.liger:
            model.transformer.use_liger()
        if experiment.training.compile:
            model.transformer.compile(dynamic=True)
        reset_peak_memory()
        current = RunInProgress(experiment, seed, folder, model, corpus, accelerator, reporter)
        place = current.train()
        test = current.evaluate_kept(place)
        results = current.results(place, test, identity, inputs)
        if accelerator.is_main_process:
            current.write(results, test)
        accelerator.wait_for_everyone()
        return results


def make_model(experiment: Experiment, corpus: Corpus, seed: int) -> ActionModel:
    """The model of an experiment for an opened dataset."""
    model = compose(experiment, spaces=corpus.spaces, prompts=corpus.prompts, width=corpus.features.width, seed=seed)
    if corpus.scale is not None:
        model.connector.mean.copy_(torch.from_numpy(corpus.scale.mean))
        model.connector.deviation.copy_(torch.from_numpy(corpus.scale.deviation))
    return model


class RunInProgress:
    """A run under way; what the training reports to."""

    def __init__(
        self,
        experiment: Experiment,
        seed: int,
        folder: RunFolder,
        model: ActionModel,
        corpus: Corpus,
        accelerator: Accelerator,
        reporter: Reporter,
    ) -> None:
        self.experiment, self.seed, self.folder = experiment, seed, folder
        self.model, self.corpus = model, corpus
        self.accelerator, self.reporter = accelerator, reporter
        self.options = experiment.training
        with memory_told("in reading the features", "set `resident: false`"):
            self.feed = make_feed(corpus.features, accelerator.device, self.options.resident)
        self.log = Log(folder.log, writes=accelerator.is_main_process)
        self.metric = self.options.select or corpus.headline
        self.validation = self.options.validation or (VALIDATION if VALIDATION in corpus.splits else TEST)

    # ------------------------------------------------------------------------------------------------------ training

    def train(self) -> Place:
        """Trains, or goes on training, and leaves the last checkpoint."""
        trainer = Trainer(
            self.model, self.corpus, self.feed, self.options,
            seed=self.seed, folder=self.folder.path, accelerator=self.accelerator, observer=self,
        )  # fmt: skip
        updates = trainer.updates()
        name = f"{self.experiment.name} seed {self.seed}"
        self.reporter.note(f"{name}: {updates} updates of {self.options.batch} samples on {self.accelerator.device}")
        smaller = f"set `micro_batch` below {self.options.micro_batch or self.options.batch} (it changes no update)"
        with (
            memory_told(f"in training {name}", f"{smaller}, or `gradient_checkpointing: true` of the backbone"),
            self.reporter.bar(name, updates),
        ):
            place = trainer.run()
        self._save("last")
        return place

    def resumed(self, place: Place) -> None:
        self.log.cut(place.step)
        self.reporter.note(f"  goes on after update {place.step}")

    def updated(self, place: Place, epoch: int, losses: Mapping[str, float], rate: float, norm: float) -> None:
        self.reporter.advance(place.step, losses)
        if place.step % self.options.log_every == 0 or place.step == 1:
            speed = place.samples / max(place.seconds, 1e-9)
            self.log.train(place.step, epoch, losses, learning_rate=rate, gradient_norm=norm, samples_per_second=speed)
            scalars = {f"loss/{name}": value for name, value in losses.items()}
            self.accelerator.log({**scalars, "learning_rate": rate, "gradient_norm": norm}, step=place.step)

    def evaluated(self, place: Place, epoch: int) -> float | None:
        every = self.options.evaluate_every
        if every is None or epoch % every:
            return None
        metrics = self.corpus.score(self._predict(self.validation).predictions)
        self.log.evaluation(place.step, epoch, self.validation, metrics)
        self.accelerator.log({f"{self.validation}/{name}": value for name, value in metrics.items()}, step=place.step)
        if self.metric not in metrics:
            raise TrainingError(
                f"the dataset has no metric {self.metric!r}", hint=f"`select` one of {', '.join(sorted(metrics))}"
            )
        self.reporter.note(f"  epoch {epoch}: {self.validation} {self.metric} {metrics[self.metric]:.2f}")
        return metrics[self.metric]

    def improved(self, place: Place) -> None:
        self._save("best")

    def _save(self, which: str) -> None:
        if self.accelerator.is_main_process:
            features = self.corpus.features
            labels = labels_record(self.model, width=features.width, tokens=features.tokens, fps=features.fps)
            save_checkpoint(self.model, labels, self.folder.checkpoint(which))
        self.accelerator.wait_for_everyone()

    # ---------------------------------------------------------------------------------------------------- evaluation

    def _predict(self, split: str, progress: Callable[[int, int], None] | None = None) -> Evaluation:
        options = self.options
        batch = options.evaluation_batch or 2 * (options.micro_batch or options.batch)
        with memory_told(f"in evaluating {split}", f"set `evaluation_batch` below {batch}"):
            return predict_samples(
                self.model, self.corpus.samples(split), self.feed, accelerator=self.accelerator,
                batch=batch, workers=options.workers, progress=progress,
            )  # fmt: skip

    def evaluate_kept(self, place: Place) -> Evaluation:
        """The test predictions of the checkpoint that the recipe keeps."""
        if self.kept(place) == "best":
            load_weights(self.model, self.folder.checkpoint("best"))
        samples = len(self.corpus.samples(TEST))
        self.reporter.note(f"{self.experiment.name} seed {self.seed}: evaluating {samples} samples of {TEST}")
        with self.reporter.bar("evaluating", samples):
            return self._predict(TEST, lambda done, total: self.reporter.advance(samples * done // total))

    def kept(self, place: Place) -> str:
        """The checkpoint that is the result; the last one where nothing was evaluated during training."""
        return "best" if self.options.keep == "best" and place.best is not None else "last"

    # ------------------------------------------------------------------------------------------------------- results

    def results(self, place: Place, test: Evaluation, identity: str, inputs: str) -> Results:
        """The figures of the run."""
        parameters = dict(self.model.named_parameters())
        return Results(
            experiment=self.experiment.name,
            seed=self.seed,
            identity=identity,
            inputs=inputs,
            components=self.experiment.resolved(),
            description=self.experiment.description,
            protocol=self.corpus.protocol,
            split=TEST,
            selected_on=f"{self.validation} {self.metric}" if self.kept(place) == "best" else None,
            headline=self.corpus.headline,
            metrics=dict(self.corpus.score(test.predictions)),
            expected=dict(self.experiment.expected),
            usage=dict(self.corpus.usage),
            timing=Timing(
                train_seconds=place.seconds,
                train_samples_per_second=place.samples / max(place.seconds, 1e-9),
                evaluation_seconds=test.seconds,
                evaluation_answers_per_second=test.answers_per_second,
            ),
            trainable_parameters=sum(parameters[name].numel() for name in self.model.trainable),
            total_parameters=sum(parameter.numel() for parameter in parameters.values()),
            peak_memory_mb=peak_memory_mb(),
            updates=place.step,
            processes=self.accelerator.num_processes,
            device=device_name(),
        )

    def write(self, results: Results, test: Evaluation) -> None:
        """Predictions and pictures first; `results.json` last, since its presence says that the run is finished."""
        self.folder.write_predictions(test.predictions)
        pictures(test.predictions, self.corpus, self.log.lines(), self.folder.path)
        self.folder.write_results(results)
        remove_resume_points(self.folder.path)

"""One run of an experiment: open, compose, train, evaluate, write down."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator

from gad_core.contracts.components import Corpus
from gad_core.errors import GadError, TrainingError
from gad_core.files.writing import sha256_of
from gad_core.metrics.bootstrap import resample
from gad_core.model.action_model import ActionModel
from gad_core.model.composition import compose
from gad_core.records.identity import Identity
from gad_core.records.results import Log, Results, Timing, load_predictions
from gad_core.records.run_folder import PREDICTIONS, RunFolder, RunPlace
from gad_core.registry import dump
from gad_core.registry.experiment import Experiment
from gad_core.report import drawn_or_warned, pictures
from gad_core.runs.checkpoint import labels_record, load_weights, save_checkpoint
from gad_core.runs.evaluation import Evaluation, predict_samples
from gad_core.runs.feeding import make_feed
from gad_core.runs.machine import device_name, memory_told, peak_memory_mb, reset_peak_memory
from gad_core.runs.processes import agreed
from gad_core.runs.progress import Reporter
from gad_core.runs.resume import Place, remove_resume_point, resume_points
from gad_core.runs.trackers import tracking
from gad_core.runs.training import Trainer

TRAIN, TEST, VALIDATION = "train", "test", "validation"


def run(
    experiment: Experiment, seed: int, root: Path, *, accelerator: Accelerator, reporter: Reporter, force: bool = False
) -> Results:
    """Trains and evaluates an experiment with one seed, in `root/<experiment>/<seed>/`.

    A finished run whose inputs are unchanged is returned as it stands; an interrupted one goes on where it was. One
    that can do neither is left alone until the new one has ended well (`records.run_folder`). Data and model are opened
    before anything is written. Raises `GadError` when that fails, or when another process runs the same.
    """
    place = RunPlace(root, experiment.name, seed)
    with ExitStack() as stack:

        def look() -> tuple[Identity, Results | None]:
            stack.enter_context(place.held())
            identity = Identity.of(experiment)
            return identity, None if force else place.finished(identity)

        identity, finished = agreed(accelerator, look)
        if finished is not None:
            reporter.note(f"{experiment.name} seed {seed}: finished before and nothing has changed")
            if accelerator.is_main_process and resume_points(place.path):  # killed behind the results
                _close(place.standing, finished, experiment.dataset.open, reporter)
            return finished
        return _trained(experiment, seed, place, identity, accelerator, reporter, force)


def _trained(
    experiment: Experiment,
    seed: int,
    place: RunPlace,
    identity: Identity,
    accelerator: Accelerator,
    reporter: Reporter,
    force: bool,
) -> Results:
    """The results of a run that is not finished, written down."""
    corpus = experiment.dataset.open()
    _require_validation(experiment, corpus)
    model = make_model(experiment, corpus, seed).to(accelerator.device)
    if experiment.training.liger:
        model.transformer.use_fused_kernels()
    if experiment.training.compile:
        model.transformer.compile(dynamic=True)
    reset_peak_memory()
    with tracking(accelerator, experiment, seed):
        folder = agreed(accelerator, lambda: _started(experiment, seed, place, identity, reporter, force))
        current = RunInProgress(experiment, seed, folder, model, corpus, accelerator, reporter)
        trained = current.train()
        test = current.evaluate_kept(trained)
        results = current.results(trained, test, identity)
        if accelerator.is_main_process:
            current.write(results, test)
            place.take_over()
        accelerator.wait_for_everyone()
        return results


def _started(
    experiment: Experiment, seed: int, place: RunPlace, identity: Identity, reporter: Reporter, force: bool
) -> RunFolder:
    """The folder in which a run starts or goes on; says what has changed where an older run stays aside."""
    folder = place.folder_for(identity, fresh=force)
    if folder is place.next and not folder.interrupted:
        earlier = place.standing.identity()
        what = "finished" if place.standing.finished else "interrupted"
        reporter.note(f"{experiment.name} seed {seed}: the {what} run in {place.path} stays until this one is finished")
        changes = identity.changes(earlier) if earlier else ()
        for change in changes or ("--force" if force else "what it was started with cannot be told",):
            reporter.note(f"  changed: {change}" if changes else f"  because: {change}")
    folder.start(identity, dump([experiment], experiment.path_seen_from(place.path)))
    return folder


def _require_validation(experiment: Experiment, corpus: Corpus) -> None:
    wanted = experiment.training.validation
    if wanted is not None and wanted not in corpus.splits:
        hint = f"`validation` names one of {', '.join(corpus.splits)}"
        raise TrainingError(f"the dataset has no split {wanted!r}", where=experiment.name, hint=hint)


def _close(folder: RunFolder, results: Results, opened: Callable[[], Corpus], reporter: Reporter) -> None:
    """What follows the results: the pictures, which cannot undo a run, and the end of the resume points."""
    try:
        found = pictures(load_predictions(folder.path / PREDICTIONS), opened(), Log(folder.log).lines())
    except GadError as error:
        reporter.warn(f"{results.experiment} seed {results.seed} is finished without pictures: {error}")
        found = {}
    for name, draw in found.items():
        if not (folder.path / name).exists():
            drawn_or_warned(draw, folder.path / name, reporter.warn)
    for point in resume_points(folder.path):
        remove_resume_point(point)


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

    def resumed(self, place: Place, damaged: Sequence[GadError]) -> None:
        for fault in damaged if self.accelerator.is_main_process else ():
            self.reporter.warn(f"{fault.where}: {fault.message}; an earlier point is taken")
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
        value = metrics[self.metric]
        if math.isnan(value):
            self._refuse_to_select(metrics)
        self.reporter.note(
            f"  epoch {epoch}: {self.validation} {self.metric} {'–' if math.isnan(value) else f'{value:.2f}'}"
        )
        return None if math.isnan(value) else value

    def _refuse_to_select(self, metrics: Mapping[str, float]) -> None:
        """Raises `TrainingError` where a checkpoint is to be chosen by a metric that these answers leave undefined."""
        options = self.options
        if options.select or options.keep == "best" or options.patience is not None:
            defined = ", ".join(sorted(name for name, value in metrics.items() if not math.isnan(value)))
            raise TrainingError(
                f"{self.metric!r} is undefined on {self.validation}: no checkpoint can be chosen by it",
                hint=f"`select` one of {defined}; answers that rank one label have no top-k, mAP, cAP and ECE",
            )

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

    def results(self, place: Place, test: Evaluation, identity: Identity) -> Results:
        """The figures of the run; the hashes of its files come when they are written."""
        parameters = dict(self.model.named_parameters())
        return Results(
            experiment=self.experiment.name,
            seed=self.seed,
            identity=identity.key,
            inputs=identity.inputs,
            code=identity.code,
            components=self.experiment.resolved(self.experiment.path_seen_from(self.folder.home)),
            description=self.experiment.description,
            protocol=self.corpus.protocol,
            split=TEST,
            selected_on=f"{self.validation} {self.metric}" if self.kept(place) == "best" else None,
            headline=self.corpus.headline,
            metrics=dict(self.corpus.score(test.predictions)),
            expected=dict(self.experiment.expected),
            usage=dict(self.corpus.usage),
            synthetic=self.corpus.synthetic,
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

    def _resampled(self, test: Evaluation, score: Mapping[str, float | None]) -> dict[str, np.ndarray]:
        """The scores of other draws of the recordings, for comparisons; a dataset that fails at them loses no run."""
        try:
            return resample(self.corpus, test.predictions, score).arrays()
        except Exception as error:
            self.reporter.note(
                f"  no difference to this run can be told: drawing its recordings anew failed: {error!r}"
            )
            return {}

    def write(self, results: Results, test: Evaluation) -> None:
        """Predictions, then the results, whose presence says that the run is finished, then the pictures."""
        self.folder.write_predictions(test.predictions, self._resampled(test, results.metrics))
        names = tuple(pictures(test.predictions, self.corpus, self.log.lines()))
        hashes = {name: sha256_of(self.folder.path / name) for name in self.folder.kept_files()}
        results = results.model_copy(update={"files": hashes, "pictures": names})
        self.folder.write_results(results)
        _close(self.folder, results, lambda: self.corpus, self.reporter)

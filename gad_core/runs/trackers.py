"""Where else a run logs to: what must be installed, and opening it before anything is replaced."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from gad_core.errors import TrainingError
from gad_core.registry.experiment import Experiment

if TYPE_CHECKING:
    from accelerate import Accelerator

DISTRIBUTIONS = {"tensorboard": ("tensorboard", "tensorboardX"), "wandb": ("wandb",), "trackio": ("trackio",)}
"""What accelerate needs for each tracker, any one of them: it leaves out in silence what it does not find."""


def missing_trackers(experiments: Sequence[Experiment]) -> dict[str, list[str]]:
    """The trackers that are not installed, with the experiments that log to them."""
    missing: dict[str, list[str]] = {}
    for experiment in experiments:
        for tracker in experiment.training.trackers:
            if not any(_installed(name) for name in DISTRIBUTIONS[tracker]):
                missing.setdefault(tracker, []).append(experiment.name)
    return missing


def require_trackers(experiments: Sequence[Experiment]) -> None:
    """Raises `TrainingError` that names the trackers of some experiments that are not installed."""
    missing = missing_trackers(experiments)
    if missing:
        raise TrainingError(
            f"cannot log to {', '.join(missing)}: not installed",
            where=next(iter(missing.values()))[0],
            hint=f"pip install {' '.join(missing)}, or remove it from `trackers`",
        )


def _installed(distribution: str) -> bool:
    """Whether a distribution is there; a folder of its name, which wandb leaves behind, is none."""
    try:
        return bool(version(distribution))
    except PackageNotFoundError:
        return False


@contextmanager
def tracking(accelerator: Accelerator, experiment: Experiment, seed: int) -> Iterator[None]:
    """The trackers of a run, open while inside. Raises `TrainingError` when one cannot be opened."""
    try:
        if experiment.training.trackers:
            accelerator.init_trackers(f"{experiment.name}-{seed}".replace("/", "-"))
    except Exception as error:  # whatever another project's library raises: no login, no network
        accelerator.trackers.clear()
        what = str(error).partition("\n")[0] or type(error).__name__
        raise TrainingError(
            f"cannot log to {', '.join(experiment.training.trackers)}: {what}",
            where=experiment.name,
            hint="log in, or have it log offline, or remove `trackers`",
        ) from error
    try:
        yield
    finally:  # not `end_training`, which parts the processes for good
        for tracker in accelerator.trackers:
            tracker.finish()
        accelerator.trackers.clear()

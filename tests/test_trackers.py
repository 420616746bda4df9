"""A tracker logs, or the run does not start; either is known before anything is replaced."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
from accelerate.tracking import TensorBoardTracker
from small_project import Project

from gad_core.records.results import load_results
from gad_core.runs import trackers

TRAINING = "evaluate_every: null, max_steps: 2, log_every: 1"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project with a finished run, whose next one is to be tracked."""
    found = Project(tmp_path).ready(training=TRAINING)
    assert found.gad("run", "registry.yaml", "discriminative", "--quiet").exit_code == 0
    return found


def without(*missing: str) -> object:
    """`importlib.metadata.version` on a machine that lacks some distributions."""

    def found(name: str) -> str:
        if name in missing:
            raise PackageNotFoundError(name)
        return version("pytest")

    return found


@pytest.mark.parametrize(
    ("tracker", "missing"),
    [("wandb", ["wandb"]), ("trackio", ["trackio"]), ("tensorboard", ["tensorboard", "tensorboardX"])],
)
def test_a_tracker_that_is_not_installed_is_refused_and_nothing_is_touched(
    project: Project, tracker: str, missing: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trackers, "version", without(*missing))
    project.write(training=f"{TRAINING}, trackers: [{tracker}]")
    before = {path: path.stat().st_mtime_ns for path in (project.root / "runs").rglob("*")}
    message = project.refused("run", "registry.yaml", "discriminative", "--force")
    assert f"cannot log to {tracker}: not installed" in message
    assert f"pip install {tracker}" in message
    assert {path: path.stat().st_mtime_ns for path in (project.root / "runs").rglob("*")} == before
    checked = project.gad("check", "registry.yaml")
    assert checked.exit_code == 0
    assert f"3 experiments log to {tracker}, which is not installed" in checked.stderr


def test_either_distribution_of_tensorboard_will_do(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trackers, "version", without("tensorboard"))
    project.write(training=f"{TRAINING}, trackers: [tensorboard]")
    assert "not installed" not in project.gad("check", "registry.yaml").stderr


def test_all_missing_trackers_are_told_at_once(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trackers, "version", without("wandb", "trackio"))
    project.write(training=f"{TRAINING}, trackers: [wandb, trackio]")
    assert "pip install wandb trackio" in project.refused("run", "registry.yaml", "gad")


@pytest.mark.parametrize("error", [RuntimeError("no login\nhere"), OSError("no network"), ValueError()])
def test_a_tracker_that_cannot_be_opened_is_told_and_nothing_is_lost(
    project: Project, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(_: TensorBoardTracker) -> None:
        raise error

    monkeypatch.setattr(TensorBoardTracker, "start", start)
    project.write(training=f"{TRAINING}, trackers: [tensorboard]")
    message = project.refused("run", "registry.yaml", "discriminative", "--force")
    assert "discriminative: cannot log to tensorboard" in message
    assert load_results(project.root / "runs/discriminative/0").experiment == "discriminative"
    assert (project.root / "runs/discriminative/0/predictions.npz").exists()


def test_every_seed_has_a_tracker_of_its_own(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    finished = []
    finish = TensorBoardTracker.finish
    monkeypatch.setattr(TensorBoardTracker, "finish", lambda self: (finished.append(self.run_name), finish(self)))
    project.write(training=f"{TRAINING}, trackers: [tensorboard]")
    done = project.gad("run", "registry.yaml", "discriminative", "--seed", "0", "--seed", "1", "--quiet", "--force")
    assert done.exit_code == 0, done.output
    assert finished == ["discriminative-0", "discriminative-1"]
    for name in finished:
        assert list((project.root / "runs/trackers" / name).rglob("events.out.tfevents*"))

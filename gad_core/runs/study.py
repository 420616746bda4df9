"""Many runs and their comparison: what `gad run` does with a registry."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from gad_core.errors import GadError
from gad_core.records.results import Results
from gad_core.registry import Registry
from gad_core.registry.experiment import Experiment
from gad_core.report import compare
from gad_core.runs.processes import make_accelerator
from gad_core.runs.progress import Reporter
from gad_core.runs.run import run
from gad_core.runs.trackers import require_trackers


def run_all(
    registry: Registry,
    names: Sequence[str],
    root: Path,
    *,
    seeds: Sequence[int] = (),
    force: bool = False,
    quiet: bool = False,
) -> list[Results]:
    """Runs experiments one after the other and prints the table that compares them.

    What is missing for any of them is said before the first one starts. Raises `GadError` when an experiment cannot
    run; the finished ones are kept.
    """
    logging.getLogger("transformers").setLevel(logging.ERROR)
    experiments = registry.select(names)
    require_trackers(experiments)
    require_files(experiments)
    results: list[Results] = []
    reporter = Reporter(quiet=quiet)
    for experiment in experiments:
        accelerator = make_accelerator(experiment, root)
        reporter.quiet = quiet or not accelerator.is_main_process
        for seed in seeds or experiment.seeds:
            results.append(run(experiment, seed, root, accelerator=accelerator, reporter=reporter, force=force))
    if not reporter.quiet or (quiet and accelerator.is_main_process):
        compare(results, root, title="-".join(names) or "default", console=reporter.console, warn=reporter.warn)
    return results


def require_files(experiments: Sequence[Experiment]) -> None:
    """Raises `GadError` that lists every file the experiments need and do not find, and what it should hold."""
    missing = {
        path: f"{path} ({content}; for {experiment.name})"
        for experiment in experiments
        for path, content in experiment.dataset.files().items()
        if not path.exists()
    }
    if missing:
        raise GadError(
            "\n  ".join(["these files are not there yet", *missing.values()]),
            where=experiments[0].name,
            hint="make a feature store with `gad features pack`, and put the annotations where the registry says",
        )

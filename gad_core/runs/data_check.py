"""What the data of some experiments hold, and everything that is wrong with them, before any training."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gad_core.contracts.components import Corpus, Dataset
from gad_core.data.warnings import Stretch, stretches, tallies, told, warnings
from gad_core.errors import GadError
from gad_core.registry.experiment import Experiment


@dataclass(frozen=True)
class DataReport:
    """One dataset, the experiments that use it, all its faults, and, if it has none, what it holds, by name, and what
    may be a mistake."""

    dataset: Dataset
    users: tuple[str, ...]
    faults: tuple[GadError, ...]
    holds: dict[str, str]
    warnings: tuple[str, ...] = ()


def check_data(experiments: Sequence[Experiment]) -> list[DataReport]:
    """Opens every dataset of some experiments, each once."""
    users: dict[str, list[Experiment]] = {}
    for experiment in experiments:
        users.setdefault(json.dumps(experiment.resolved()["dataset"], sort_keys=True), []).append(experiment)
    return [_report(same[0].dataset, tuple(experiment.name for experiment in same)) for same in users.values()]


def absent_files(dataset: Dataset) -> list[GadError]:
    """A fault for each file that a dataset needs and that is not there."""
    return [
        GadError("is not there", where=str(path), hint=f"put there: {content}")
        for path, content in dataset.files().items()
        if not path.exists()
    ]


def _report(dataset: Dataset, users: tuple[str, ...]) -> DataReport:
    faults = absent_files(dataset)
    if faults:
        return DataReport(dataset, users, tuple(faults), {})
    try:
        corpus = dataset.open()
    except GadError as error:
        return DataReport(dataset, users, error.parts or (error,), {})
    found = {split: stretches(corpus, split) for split in corpus.splits}
    return DataReport(dataset, users, (), _holds(corpus, found), tuple(warnings(corpus, found)))


def _holds(corpus: Corpus, found: Mapping[str, Sequence[Stretch]]) -> dict[str, str]:
    features = corpus.features
    holds = {
        "features": f"{len(features.lengths):,} recordings, {sum(features.lengths.values()):,} frames at "
        f"{features.fps:g} a second, {features.tokens} × {features.width} each"
    }
    for split in corpus.splits:
        samples = corpus.samples(split)
        asked = Counter(sample.asks for sample in samples) if corpus.protocol == "clips" else {"current": len(samples)}
        counts = ", ".join(f"{count:,} {ask}" for ask, count in asked.items())
        holds[split] = f"{len(samples):,} samples ({counts})" if len(asked) > 1 else f"{len(samples):,} samples"
    spaces = {space.name: space for space in corpus.spaces.values()}
    holds["classes"] = ", ".join(f"{len(space):,} of {name}" for name, space in spaces.items())
    for split, members in found.items():
        for asks, tally in tallies(members).items():
            holds[f"{split} by class of {asks}"] = told(tally, corpus.spaces[asks], features.fps)
    return holds | dict(corpus.usage)

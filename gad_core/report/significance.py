"""Which line of a comparison is better than every other one, and why that may not be told. docs/metrics.md, "Which
difference counts"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from gad_core.metrics.bootstrap import DRAWS, FEWEST, Resampled, drawn_means, interval

LOWER_IS_BETTER = frozenset({"ece", "error_diversity", "detection_delay_s"})
"""Metrics that measure something bad: the calibration error, the spread of the mistakes, the delay."""


class Compared(Protocol):
    """What is asked of a line: its runs, one a seed; `drawn` is empty where those of a seed cannot be read."""

    @property
    def experiment(self) -> str: ...
    @property
    def dataset(self) -> str: ...
    @property
    def protocol(self) -> str: ...
    @property
    def seeds(self) -> tuple[int, ...]: ...
    @property
    def drawn(self) -> tuple[Resampled, ...]: ...
    @property
    def means(self) -> Mapping[str, float]: ...


def obstacles(lines: Sequence[Compared]) -> list[str]:
    """Why no difference between these lines can be told; empty where it can."""
    unread = [line.experiment for line in lines if not line.drawn]
    single = [line.experiment for line in lines if len(line.seeds) < 2]
    test_sets = {run.test_set for line in lines for run in line.drawn}
    recordings = min((run.recordings for line in lines for run in line.drawn), default=FEWEST)
    reasons = []
    if unread:
        reasons.append(f"no predictions can be read of {', '.join(unread)} (run it again with --force)")
    if single:
        reasons.append(f"there is one seed of {', '.join(single)}")
    if len({(line.dataset, line.protocol) for line in lines}) > 1 or len(test_sets) > 1:
        reasons.append("the lines were not measured on the same test set under the same protocol")
    if recordings < FEWEST:
        reasons.append(f"the test set has {recordings} recordings, and fewer than {FEWEST} show nothing")
    return reasons


def ahead(lines: Sequence[Compared], metric: str) -> str | None:
    """The experiment that is better than every other that has the metric, None where none is.

    Better: the interval of the difference excludes zero, for each of the others.
    """
    measured = [line for line in lines if metric in line.means]
    if len(measured) < 2 or obstacles(measured):
        return None
    runs = [run.metrics.get(metric, ()) for line in measured for run in line.drawn]
    if not all(map(len, runs)) or len(set(map(len, runs))) > 1:
        return None  # not every run has it in every draw
    sign = -1 if metric.rpartition("/")[2] in LOWER_IS_BETTER else 1
    first = max(measured, key=lambda line: sign * line.means[metric])
    drawn = {line.experiment: drawn_means(line.seeds, [run.metrics[metric] for run in line.drawn]) for line in measured}
    gains = [sign * (drawn[first.experiment] - other) for name, other in drawn.items() if name != first.experiment]
    return first.experiment if all(interval(gain)[0] > 0 for gain in gains) else None


def told(lines: Sequence[Compared]) -> list[str]:
    """What a reader must know of the bold in a table of these lines."""
    if len(lines) < 2:
        return []
    reasons = obstacles(lines)
    if reasons:
        return [f"Nothing is bold where no difference can be told: {'; '.join(reasons)}."]
    draws = min((len(values) for line in lines for run in line.drawn for values in run.metrics.values()), default=DRAWS)
    return [
        "Bold: better than every other line. The 95 % interval of each difference excludes zero, by a paired bootstrap "
        f"over recordings and seeds ({draws} draws)."
    ]

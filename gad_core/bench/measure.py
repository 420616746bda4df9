"""Taking times: steps in turns, so that what disturbs the machine disturbs all of them alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from gad_core.machine import peak_memory_mb, reset_peak_memory

Step = Callable[[], int]
"""Does some work and says how many units it was."""


@dataclass
class Timing:
    """The steps of one implementation: units done, seconds of each step, floating-point operations a unit."""

    flops: float = 0.0
    memory_mb: float = 0.0
    units: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Units a second: the median over the rounds."""
        return float(np.median(np.asarray(self.units) / np.asarray(self.seconds)))

    @property
    def spread(self) -> tuple[float, float]:
        """The slowest and the fastest round, units a second."""
        rates = np.asarray(self.units) / np.asarray(self.seconds)
        return float(rates.min()), float(rates.max())

    def percentile(self, share: float) -> float:
        """Milliseconds of a step that `share` percent of the steps do not exceed."""
        return 1e3 * float(np.percentile(self.seconds, share))


def in_turns(steps: Mapping[str, Step], seconds: float) -> dict[str, Timing]:
    """Runs each step for about `seconds`, one after the other in rounds, after a first run that is not counted."""
    timings = {name: _warmed(step) for name, step in steps.items()}
    spent = dict.fromkeys(steps, 0.0)
    while any(time_spent < seconds for time_spent in spent.values()):
        for name, step in steps.items():
            if spent[name] < seconds:
                started = time.perf_counter()
                units = step()
                _finished()
                took = time.perf_counter() - started
                timings[name].units.append(units)
                timings[name].seconds.append(took)
                spent[name] += took
    return timings


def _warmed(step: Step) -> Timing:
    reset_peak_memory()
    with FlopCounterMode(display=False) as counter:
        units = step()
    _finished()
    step()
    _finished()
    return Timing(counter.get_total_flops() / units, peak_memory_mb())


def _finished() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def matmul_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Floating-point operations a second of a large square matrix multiply: the best of some."""
    size, times = (8192, 10) if device.type == "cuda" else (1024, 20)
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    best = float("inf")
    for _ in range(times):
        started = time.perf_counter()
        left @ right
        _finished()
        best = min(best, time.perf_counter() - started)
    return 2 * size**3 / best

"""Taking times: steps in turns, so that what disturbs the machine disturbs all of them alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from gad_core.runs.machine import peak_memory_mb, reset_peak_memory

PEAK_RESET, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")
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


def in_turns(steps: Sequence[Step], seconds: float) -> list[Timing]:
    """Runs each step for about `seconds`, in rounds, after two first runs that are not counted."""
    timings = [_warmed(step) for step in steps]
    while any(sum(timing.seconds) < seconds for timing in timings):
        for step, timing in zip(steps, timings, strict=True):
            if sum(timing.seconds) < seconds:
                started = time.perf_counter()
                timing.units.append(step())
                _finished()
                timing.seconds.append(time.perf_counter() - started)
    return timings


def _warmed(step: Step) -> Timing:
    reset_peak_memory()
    _forget_resident_peak()
    with FlopCounterMode(display=False) as counter:
        units = step()
    _finished()
    step()
    _finished()
    return Timing(counter.get_total_flops() / units, _resident_peak_mb() or peak_memory_mb())


def _forget_resident_peak() -> None:
    """Lets Linux count the peak of this process's memory anew."""
    if PEAK_RESET.exists() and not torch.cuda.is_available():
        PEAK_RESET.write_text("5")


def _resident_peak_mb() -> float | None:
    """The peak since it was reset, or None where the system does not tell."""
    if not STATUS.exists() or torch.cuda.is_available():
        return None
    (line,) = (line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 2**10


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

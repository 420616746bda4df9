"""What the machine is and what a run took of it."""

from __future__ import annotations

import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from gad_core.errors import TrainingError


def device_name() -> str | None:
    """The GPU's name, or None without one."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def reset_peak_memory() -> None:
    """Forgets the GPU's peak so far; a CPU process has one peak for its whole life."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def peak_memory_mb() -> float:
    """Peak memory in MB (2^20 bytes): the GPU's since the last reset, or the process's resident memory."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


@contextmanager
def memory_told(what: str, hint: str) -> Iterator[None]:
    """Raises `TrainingError` with a hint where torch finds too little memory, on a GPU or a CPU."""
    try:
        yield
    except RuntimeError as error:
        if not (isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error)):
            raise
        raise TrainingError(f"out of memory {what}: {str(error).splitlines()[0]}", hint=hint) from error

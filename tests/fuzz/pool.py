"""Many inputs in several processes, each with a lab of its own."""

from __future__ import annotations

import multiprocessing
import os
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from .cases import Order
from .lab import Lab, Tried

LABS: list[Lab] = []
"""The lab of this process."""


def every(wanted: list[Order], processes: int, folder: Path) -> Iterator[Tried]:
    """Tries inputs and yields what came of each, in their order."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, start, (folder,)) as pool:
        yield from pool.map(attempt, wanted, chunksize=8)


def start(folder: Path) -> None:
    warnings.simplefilter("ignore")  # of zipfile and torch about what is damaged on purpose
    LABS.append(Lab(folder / str(os.getpid())))


def attempt(order: Order) -> Tried:
    return LABS[0].order(order)

"""What a person sees of a run: a bar on a terminal, plain lines in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from gad_core.report.console import make_console


class Reporter:
    """Reports one run. Silent in all processes but the first."""

    def __init__(self, console: Console | None = None, *, quiet: bool = False) -> None:
        self.console = console or make_console()
        self.quiet = quiet
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._shown = 0.0

    def note(self, text: str) -> None:
        """A line that stays."""
        if not self.quiet:
            self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def warn(self, text: str) -> None:
        """A line on standard error, however quiet the rest is."""
        print(f"warning: {text}", file=sys.stderr)

    @contextmanager
    def bar(self, title: str, total: int, done: int = 0) -> Iterator[None]:
        """A progress bar while inside; plain lines every `EVERY` seconds where there is no terminal."""
        self._title, self._total, self._shown = title, total, time.perf_counter()
        if self.quiet or not self.console.is_terminal:
            yield
            return
        columns = (
            TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
            TextColumn("{task.fields[state]}", markup=False),
        )  # fmt: skip
        with Progress(*columns, console=self.console, transient=True) as self._bar:
            self._task = self._bar.add_task(title, total=total, completed=done, state="")
            yield
        self._bar = self._task = None

    def advance(self, done: int, state: Mapping[str, float] | None = None) -> None:
        """`done` of the total; `state` is shown beside it."""
        words = "  ".join(f"{name} {value:.3f}" for name, value in (state or {}).items())
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done, state=words)
        elif not self.quiet and (time.perf_counter() - self._shown > EVERY or done == self._total):
            self._shown = time.perf_counter()
            self.note(f"  {self._title} {done}/{self._total}  {words}".rstrip())


EVERY = 15.0
"""Seconds between two plain lines."""

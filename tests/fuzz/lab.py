"""Where inputs are tried: a whole project beside a folder of the same path for every input, and what is a finding."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from .attempt import MEMORY, Ending, run
from .cases import Case, Order, kinds
from .values import OUTSIDE
from .world import build, place

RAW = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
"""What a terminal obeys instead of showing it."""
DATA_ON_OUTPUT = ("predict", "stream")
"""Commands that print the user's own names as data."""
LIGHT = (
    *(
        "gad_core.registry",
        "gad_core.runs.data_check",
        "gad_core.metrics.score",
        "gad_core.data.features.pack",
        "gad_core.data.features.verify",
    ),
    *("gad_oad.__main__", "gad_oad.originals", "gad_segments.corpus", "gad_coin.corpus", "gad_oad.corpus", "h5py"),
    *(
        "rich.table",
        "rich.progress",
        "gad_core.metrics.stream",
        "gad_core.scaffold.package",
        "gad_core.registry.json_schema",
    ),
    *(f"gad_core.cli.{command}" for command in ("check", "score", "features", "plugins", "new", "schema")),
)
HEAVY = (
    *("torch", "transformers.models.llama.modeling_llama", "peft", "accelerate", "matplotlib.pyplot", "gad_llama.tiny"),
    *(
        "gad_heads.modules",
        "gad_core.runs.run",
        "gad_core.runs.study",
        "gad_core.runs.loading",
        "gad_core.cli.anatomy",
        "gad_core.model.streaming",
    ),
    *(
        "gad_core.bench.rows",
        *(f"gad_core.cli.{command}" for command in ("run", "show", "evaluate", "predict", "bench")),
    ),
)
"""What commands import when they are called, imported once before the forks."""


@dataclass(frozen=True)
class Finding:
    """Something that must not be: `what`, and the line of ours where it happened."""

    what: str
    at: str
    case: Case
    ending: Ending

    @property
    def key(self) -> tuple[str, str]:
        return self.what, self.at


@dataclass(frozen=True)
class Tried:
    """What came of one input."""

    order: Order | None
    kind: str
    name: str
    code: int | None
    seconds: float
    finding: Finding | None


class Lab:
    """A folder to try inputs in. `here` has the same path for every input, as a user's project has from day to day."""

    def __init__(self, folder: Path) -> None:
        self.pristine, self.scratch = folder / "pristine", folder / "scratch"
        self.here = folder / "in" / "here"
        self.scratch.mkdir(parents=True)
        self.torch: bool | None = None
        self.last: Ending | None = None

    def prepare(self, torch: bool) -> None:
        """Imports what the commands need and makes the whole project; with `torch`, runs too."""
        if self.torch is None or torch > self.torch:
            for module in HEAVY if torch else LIGHT:
                import_module(module)
            import_module("gad_core.discovery.plugins").installed()
            shutil.rmtree(self.pristine, ignore_errors=True)
            shutil.rmtree(self.here, ignore_errors=True)
            self.here.mkdir(parents=True)
            build(self.here, self.scratch, runs=torch)
            self.here.rename(self.pristine)
            self.torch = torch

    def order(self, order: Order) -> Tried:
        """Makes an input and tries it."""
        target = kinds()[order.target]
        self.prepare(target.torch)
        return self.attempt(order.case(self.pristine), order)

    def attempt(self, case: Case, order: Order | None = None) -> Tried:
        """Tries an input."""
        place(self.pristine, self.here, tuple(entry for entry in case.entries if (self.pristine / entry).exists()))
        case.apply(self.here)
        self.last = ending = run(case.call, self.here, self.scratch)
        wrong = self._wrong(case, ending)
        finding = Finding(*wrong, case, ending) if wrong else None
        return Tried(order, case.kind, case.name, ending.code, ending.seconds, finding)

    def _wrong(self, case: Case, ending: Ending) -> tuple[str, str] | None:
        strays = list(self._strays())
        shown = ending.error if set(case.call.words) & set(DATA_ON_OUTPUT) else ending.error + ending.output
        if ending.fault:
            return ending.fault, ending.at
        if ending.code not in (0, 2):
            return f"exit code {ending.code}", ""
        if ending.memory > MEMORY:
            return f"took {ending.memory / 2**30:.1f} GB", ""
        if "Traceback (most recent call last)" in ending.error + ending.output:
            return "Traceback in the output", ""
        if RAW.search(shown):
            return "prints control characters", f"{case.call.program} {case.call.words[0]}"
        if ending.code == 2 and not shown.strip():
            return "refused without a message", ""
        if case.whole and ending.code:
            return f"refused although nothing is damaged: {case.call.words}", ""
        if strays:
            return f"wrote outside its folder: {strays}", ""
        return None

    def _strays(self) -> Iterator[str]:
        """What lies where nothing was; removed again."""
        known = {self.pristine, self.scratch, self.here, self.here.parent}
        beside = [*self.here.parent.iterdir(), *self.here.parent.parent.iterdir()]
        for path in (*(path for path in beside if path not in known), OUTSIDE):
            if path.exists() or path.is_symlink():
                yield path.name
                shutil.rmtree(path) if path.is_dir() else path.unlink()

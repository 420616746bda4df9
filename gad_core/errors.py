"""One error family: every message says where, what, and what to do about it.

The command line prints a `GadError` and exits with code 2; a traceback is a bug of ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

SHOWN = 20
"""Faults that one message lists; `gad check --data` lists all."""

UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff\U000e0000-\U000e007f]"
)
"""Characters that steer a terminal or turn its lines around, and what no encoding can write."""


def visible(text: str) -> str:
    """A text with `\\x1b` and the like for what nobody sees: a label or a path must not clear the screen, retitle the
    window or pretend to be another. Line ends and tabs stay."""
    return UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


class GadError(Exception):
    """Something the user can mend.

    `where` names the place (`registry.yaml:7:23: heads.gad`, `data/train.csv:12`), `hint` says what to do. `parts` are
    the errors of which it is made, where it tells several at once (`Faults`).
    """

    def __init__(
        self, message: str, *, where: str | None = None, hint: str | None = None, parts: Sequence[GadError] = ()
    ) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.hint = hint
        self.parts = tuple(parts)

    def __str__(self) -> str:
        text = f"{self.where}: {self.message}" if self.where else self.message
        return visible(f"{text}\n     = {self.hint}" if self.hint else text)


class RegistryError(GadError):
    """The registry file, or an experiment in it, is wrong."""


class PluginError(GadError):
    """A plugin is missing, broken, outdated, or collides with another."""


class FeatureError(GadError):
    """A feature store or a feature file is missing, damaged or of the wrong shape."""


class DataError(GadError):
    """Annotations, labels or splits are missing or contradict the features."""


class BackboneError(GadError):
    """A language model or its tokenizer cannot be found, loaded or adapted."""


class CodebookError(GadError):
    """Labels cannot be written unambiguously in a vocabulary."""


class TrainingError(GadError):
    """Training cannot start or go on."""


class CheckpointError(GadError):
    """A run or checkpoint is missing, damaged, or belongs to other labels or options."""


class Faults:
    """What is wrong with some files, gathered so that all of it is said at once."""

    def __init__(self, error: type[GadError] = DataError) -> None:
        self.error = error
        self.found: list[GadError] = []

    def add(self, message: str, *, where: str | None = None, hint: str | None = None) -> None:
        """Notes a fault."""
        self.found.append(self.error(message, where=where, hint=hint))

    @contextmanager
    def gathered(self) -> Iterator[None]:
        """Notes what the block raises, instead of ending there."""
        try:
            yield
        except GadError as error:
            self.found += error.parts or [error]

    def raise_any(self) -> None:
        """Raises what was noted, if anything was: one fault as it is, several as one error with all of their hints."""
        if len(self.found) == 1:
            raise self.found[0]
        if self.found:
            lines = [f"{fault.where}: {fault.message}" if fault.where else fault.message for fault in self.found]
            left = [f"and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
            hints = dict.fromkeys(fault.hint for fault in self.found if fault.hint)
            raise self.error(
                "\n  ".join([f"{len(lines)} things are wrong", *lines[:SHOWN], *left]),
                where=self.found[0].where,
                hint="; ".join(hints) or None,
                parts=self.found,
            )

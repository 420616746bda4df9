"""One error family: every message says where, what, and what to do about it.

The command line prints a `GadError` and exits with code 2; a traceback is a bug of ours.
"""

from __future__ import annotations


class GadError(Exception):
    """Something the user can mend.

    `where` names the place (`registry.yaml:7:23: heads.gad`, `data/train.csv:12`), `hint` says what to do.
    """

    def __init__(self, message: str, *, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        text = f"{self.where}: {self.message}" if self.where else self.message
        return f"{text}\n     = {self.hint}" if self.hint else text


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

"""The hooks. A plugin module implements any of them and registers under the entry-point group `gad`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pluggy

from gad_core.contracts.components import AuxiliaryTask, Backbone, Dataset, Head, LabelTokenizer

GROUP = "gad"
hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)


@hookspec
def gad_backbones() -> Iterable[type[Backbone]]:
    """Causal language models: `return [Llama]`."""


@hookspec
def gad_label_tokenizers() -> Iterable[type[LabelTokenizer]]:
    """Ways to write a label: `return [Text, UniqueToken]`."""


@hookspec
def gad_heads() -> Iterable[type[Head]]:
    """Ways to read the answer: `return [Discriminative]`."""


@hookspec
def gad_auxiliary_tasks() -> Iterable[type[AuxiliaryTask]]:
    """Things to learn besides the answer: `return [Previous, Goal]`."""


@hookspec
def gad_datasets() -> Iterable[type[Dataset]]:
    """Sources of samples: `return [Segments]`."""


@hookspec
def gad_commands() -> Mapping[str, str]:
    """Subcommands by name, with where they are: `return {"hello": "gad_hello.cli:hello"}`.

    Each is a click command that is imported when it is called, and ends as ours do: what it raises as `GadError` is
    printed, with exit code 2.
    """


HOOKS: dict[str, str] = {
    "backbone": "gad_backbones",
    "labels": "gad_label_tokenizers",
    "head": "gad_heads",
    "auxiliary": "gad_auxiliary_tasks",
    "dataset": "gad_datasets",
}
"""The hook that supplies each kind of component."""
COMMANDS = "gad_commands"
"""The hook that supplies subcommands."""

"""The sections of a registry file, before their entries are known."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

Name = Annotated[str, StringConstraints(min_length=1)]


LONGEST_PART = 255
"""Bytes of the name of a file or folder, on all usual file systems."""
LONGEST_NAME = 1000
"""Bytes of a name of several parts, which leaves room for what lies around and inside: paths have 4,096 at most."""
LARGEST_SEED = 2**63 - 1
"""The generators take 64 bits, with a sign."""


def _names_a_folder(name: str) -> str:
    parts = name.split("/")
    if not all(part and not part.startswith(".") and part.isprintable() for part in parts) or "\\" in name:
        raise ValueError(f"{name!r} cannot name a run folder: no leading dots, empty parts, backslashes or line breaks")
    longest, whole = max(len(part.encode()) for part in parts), len(name.encode())
    if longest > LONGEST_PART or whole > LONGEST_NAME:
        most = f"{LONGEST_PART} a part, {LONGEST_NAME} in all"
        raise ValueError(f"a name of {whole} bytes cannot name a run folder: {most}")
    return name


def once_each(seeds: tuple[int, ...]) -> tuple[int, ...]:
    """The seeds; raises `ValueError` where one stands twice: its run would be counted as two."""
    if len(set(seeds)) < len(seeds):
        raise ValueError("the same seed stands here twice")
    return seeds


FolderName = Annotated[Name, AfterValidator(_names_a_folder)]
"""Names of experiments and sweeps are folders in `runs/`."""
Seed = Annotated[int, Field(ge=0, le=LARGEST_SEED)]
Seeds = Annotated[tuple[Seed, ...], Field(min_length=1), AfterValidator(once_each)]


class Entry(BaseModel):
    """A component: which one, and its options."""

    model_config = ConfigDict(extra="allow", frozen=True)

    use: Name = Field(description="name of an installed component, or `distribution:name`")


class ExperimentEntry(BaseModel):
    """Five components, by the names of their sections, and a recipe."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    dataset: Name = Field(description="entry of `datasets`")
    backbone: Name = Field(description="entry of `backbones`")
    head: Name = Field(description="entry of `heads`")
    labels: Name | None = Field(None, description="entry of `labels`; needed by heads that write")
    auxiliary: Name | tuple[Name, ...] | None = Field(
        None, description="entry of `auxiliaries`, or several in the order in which they are written"
    )
    training: Name | None = Field(None, description="entry of `training`; the defaults unless given")
    seeds: Seeds = Field((0,), description="one run a seed")
    description: str = Field("", description="what it is for; printed with the results")
    expected: dict[str, float] = Field(default_factory=dict, description="published numbers, by metric")

    def chosen(self, slot: str) -> tuple[str, ...]:
        """The entries that fill a slot; several only for `auxiliary`."""
        names = getattr(self, slot)
        return (names,) if isinstance(names, str) else tuple(names or ())


class SweepEntry(BaseModel):
    """An experiment and what of it to vary: every combination of the values."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base: Name = Field(description="entry of `experiments`")
    vary: dict[Name, Annotated[list[Any], Field(min_length=1)]] = Field(
        min_length=1, description="a slot, or an option as `slot.option`, and its values"
    )
    seeds: Seeds | None = Field(None, description="instead of the base's")
    description: str = Field("", description="what it asks")


class File(BaseModel):
    """A registry file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1] = Field(description="of this format")
    plugins: tuple[Name, ...] = Field((), description="plugin files, relative to this file; their code is run")
    backbones: dict[Name, Entry] = Field(default_factory=dict, description="language models")
    labels: dict[Name, Entry] = Field(default_factory=dict, description="label tokenizers")
    heads: dict[Name, Entry] = Field(default_factory=dict, description="ways to read the answer")
    auxiliaries: dict[Name, Entry] = Field(default_factory=dict, description="auxiliary tasks")
    datasets: dict[Name, Entry] = Field(default_factory=dict, description="sources of samples")
    training: dict[Name, dict[str, Any]] = Field(default_factory=dict, description="training recipes")
    experiments: dict[FolderName, ExperimentEntry] = Field(default_factory=dict, description="what to run")
    sweeps: dict[FolderName, SweepEntry] = Field(default_factory=dict, description="ablations")
    default: tuple[Name, ...] = Field((), description="what `gad run` runs when nothing is named; all unless given")
    runs: str = Field("runs", min_length=1, description="folder of the runs, relative to this file")


SECTIONS = {
    "dataset": "datasets",
    "backbone": "backbones",
    "head": "heads",
    "labels": "labels",
    "auxiliary": "auxiliaries",
}
"""The section that holds the entries of each kind of component."""
SLOTS = (*SECTIONS, "training")
"""What an experiment chooses."""


def section_of(slot: str) -> str:
    """The section that holds the entries of a slot."""
    return SECTIONS.get(slot, slot)

"""Auxiliary tasks: what else is learnt while the answer is.

A label that has been written already, the answer above all, is not written again.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from gad_core.plugin import AuxiliaryTask, LabelRef, Query, hookimpl


class Label(AuxiliaryTask):
    """The current action itself (the paper's "label joint")."""

    name: ClassVar[str] = "label"

    def needs(self) -> frozenset[str]:
        return frozenset({"current"})

    def refs(self, query: Query) -> tuple[LabelRef, ...]:
        return query.relations.get("current", ())[:1]


class Previous(AuxiliaryTask):
    """The action before the current one."""

    name: ClassVar[str] = "previous"

    def needs(self) -> frozenset[str]:
        return frozenset({"previous"})

    def refs(self, query: Query) -> tuple[LabelRef, ...]:
        return query.relations.get("previous", ())[:1]


class Next(AuxiliaryTask):
    """The action after the current one."""

    name: ClassVar[str] = "next"

    def needs(self) -> frozenset[str]:
        return frozenset({"next"})

    def refs(self, query: Query) -> tuple[LabelRef, ...]:
        return query.relations.get("next", ())[:1]


class Past(AuxiliaryTask):
    """The most recent distinct actions of the window, latest first."""

    name: ClassVar[str] = "past"
    k: int = Field(2, ge=1, description="how many actions at most")

    def needs(self) -> frozenset[str]:
        return frozenset({"past"})

    def refs(self, query: Query) -> tuple[LabelRef, ...]:
        return query.relations.get("past", ())[: self.k]


class Goal(AuxiliaryTask):
    """The goal or overall task the action serves."""

    name: ClassVar[str] = "goal"

    def needs(self) -> frozenset[str]:
        return frozenset({"goal"})

    def refs(self, query: Query) -> tuple[LabelRef, ...]:
        return query.relations.get("goal", ())[:1]


@hookimpl
def gad_auxiliary_tasks() -> list[type[AuxiliaryTask]]:
    return [Label, Previous, Next, Past, Goal]

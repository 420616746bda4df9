"""An auxiliary task that breaks one property on purpose, for the tests of the kit."""

from __future__ import annotations

from typing import ClassVar

from gad_core.contracts.components import AuxiliaryTask
from gad_core.contracts.values import LabelRef, Query


class Nosy(AuxiliaryTask):
    """Names the previous action, but only where the goal is known, of which it says nothing."""

    name: ClassVar[str] = "nosy"

    def needs(self) -> frozenset[str]:
        return frozenset({"previous"})

    def refs(self, query: Query) -> tuple[LabelRef, ...]:
        return query.relations.get("previous", ())[:1] if "goal" in query.relations else ()

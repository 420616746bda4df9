"""What every component keeps, and how the contracts of the five kinds are run."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, note, reject, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from gad_core.contracts.components import Component
from gad_core.discovery.visit import HEAVY, fault_of
from gad_core.errors import CodebookError
from gad_core.registry import dump
from gad_core.registry.experiment import Experiment
from gad_core.testing.composition import Composition, composed
from gad_core.testing.strategies import compositions

few = settings(
    max_examples=max(5, settings().max_examples // 6),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.differing_executors],
)
"""A sixth of the examples of the profile that is loaded: each one makes a model."""


class ComponentContract:
    """The properties of a component of any kind; subclass the contract of its kind.

    `component` is an instance, or a function that makes one out of an empty folder. `xfails` maps tests that are
    expected to fail to the reason: `{"test_no_later_frame_is_seen": "reads the whole clip on purpose"}`.
    """

    component: ClassVar[Component | Callable[[Path], Component]]
    xfails: ClassVar[Mapping[str, str]] = {}
    kind: ClassVar[str]

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name, reason in cls.xfails.items():
            if not name.startswith("test_") or not callable(getattr(cls, name, None)):
                raise TypeError(f"{cls.__name__}.xfails names {name!r}, which is no test of this contract")
            if not isinstance(reason, str) or not reason.strip():
                raise TypeError(f"{cls.__name__}.xfails gives no reason for {name!r}")

    @pytest.fixture(autouse=True)
    def _fails_with_a_reason(self, request: pytest.FixtureRequest) -> None:
        reason = self.xfails.get(request.function.__name__)
        if reason is not None:
            request.node.add_marker(pytest.mark.xfail(reason=reason, strict=True))

    @pytest.fixture(scope="class")
    @classmethod
    def folder(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """Where the files of the component are."""
        return tmp_path_factory.mktemp(cls.kind)

    @pytest.fixture(scope="class")
    @classmethod
    def made(cls, folder: Path) -> Component:
        """The component under test."""
        given = cls.component
        return given if isinstance(given, Component) else given(folder)

    def compose(self, data: st.DataObject, **chosen: Component) -> Composition:
        """A composition around the chosen components; how to run it is printed where the test fails."""
        experiment = data.draw(compositions(**chosen))
        note(reproduction(experiment))
        try:
            return composed(experiment)
        except CodebookError as error:  # the tiny vocabulary may be too small for the labels of a dataset
            note(str(error))
            reject()

    # ------------------------------------------------------------------------------------------------- properties

    def test_it_can_be_offered(self, made: Component) -> None:
        """Discovery accepts it, and everything a user reads of it is there."""
        assert fault_of(type(made), self.kind) is None
        assert inspect.cleandoc(type(made).__doc__ or ""), "the docstring is the documentation: it has none"
        silent = [name for name, entry in type(made).model_fields.items() if not entry.description]
        assert not silent, f"options without a description: {silent}"

    def test_options_are_plain_values(self, made: Component) -> None:
        """Options survive the registry file: written as JSON and read strictly, they make an equal component."""
        text = json.dumps(made.options(), allow_nan=False)
        assert type(made).model_validate_json(text, strict=True) == made
        with pytest.raises(ValidationError, match="frozen"):
            setattr(made, next(iter(type(made).model_fields), "any"), None)

    def test_listing_it_loads_nothing_heavy(self, made: Component) -> None:
        """`gad check` and `gad plugins` import the component, read its options and ask what it needs: no torch."""
        loaded = in_a_fresh_process(made, "type(component).model_json_schema(); " + LIGHT_CALLS[self.kind])
        assert not loaded, f"loaded {loaded}: import it inside build() or open()"


LIGHT_CALLS = {
    "backbone": "None",
    "labels": "None",
    "head": "[component.layout(stage) for stage in Stage]",
    "auxiliary": "component.needs()",
    "dataset": "component.asks(), component.relations(), component.files()",
}
"""What checking a registry file calls."""


def in_a_fresh_process(made: Component, program: str) -> list[str]:
    """Runs a line of Python about `component` in a process of its own; returns what heavy it has loaded."""
    text = (
        "import importlib, json, operator, sys\n"
        "from gad_core.contracts.values import Stage\n"
        "module, name, options = json.loads(sys.stdin.read())\n"
        "cls = operator.attrgetter(name)(importlib.import_module(module))\n"
        "component = cls.model_validate_json(json.dumps(options), strict=True)\n"
        f"{program}\n"
        f"print(json.dumps(sorted(set({HEAVY!r}) & set(sys.modules))))\n"
    )
    given = json.dumps([type(made).__module__, type(made).__qualname__, made.options()])
    ended = subprocess.run(
        [sys.executable, "-c", text],
        input=given, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout.splitlines()[-1])


def reproduction(experiment: Experiment) -> str:
    """A registry file of one experiment, and the command that runs it."""
    return f"to reproduce, write this to reproduce.yaml and run `gad run reproduce.yaml`:\n{dump([experiment])}"

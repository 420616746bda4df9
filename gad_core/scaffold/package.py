"""The package that `gad new` makes: a component that works, its contract test, and an experiment that uses it."""

from __future__ import annotations

import keyword
import re
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from importlib.util import find_spec
from pathlib import Path
from string import Template

from gad_core import __version__
from gad_core.contracts.components import KINDS, PLUGIN_API
from gad_core.discovery.plugins import Plugins
from gad_core.errors import PluginError
from gad_core.files.writing import write_folder
from gad_core.registry.schema import section_of

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
WHAT = {
    "backbone": "backbone",
    "labels": "label tokenizer",
    "head": "head",
    "auxiliary": "auxiliary task",
    "dataset": "dataset",
}
"""What a component of each kind is called."""
COMMON = {
    "pyproject.toml": "pyproject.toml",
    "README.md": "README.md",
    "gitignore": ".gitignore",
    "test.yml": ".github/workflows/test.yml",
    "init.py": "src/{module}/__init__.py",
    "registry.yaml": "registry.yaml",
}
"""Where the files that every package has are put."""
SURROUNDINGS = {"dataset": "memory", "backbone": "tiny", "head": "gad", "labels": "text", "auxiliary": "previous"}
"""What the example experiment takes beside the new component."""
NOTE = "\nThe registry file names `data/clips.lmdb` and `data/clips.json`; the test shows how both are made."


@dataclass(frozen=True)
class Package:
    """A package to be made for one new component."""

    kind: str
    name: str

    @property
    def distribution(self) -> str:
        """What `pip install` calls it."""
        return f"gad-{self.name}"

    @property
    def module(self) -> str:
        """What `import` calls it."""
        return self.distribution.replace("-", "_")

    @property
    def values(self) -> dict[str, str]:
        """What the templates are filled with."""
        what = WHAT[self.kind]
        return {
            "name": self.name,
            "distribution": self.distribution,
            "module": self.module,
            "cls": "".join(part.capitalize() for part in self.name.split("-")),
            "what": what,
            "article": "An" if what[0] in "aeiou" else "A",
            "version": __version__,
            "api": str(PLUGIN_API),
            **self._registry(),
            "note": NOTE if self.kind == "dataset" else "",
        }

    def _registry(self) -> dict[str, str]:
        uses = SURROUNDINGS | {self.kind: self.name}
        if self.kind == "head":  # the one that is made does not write
            del uses["labels"], uses["auxiliary"]
        options = {"dataset": ", features: data/clips.lmdb, clips: data/clips.json"} if self.kind == "dataset" else {}
        sections = [
            f"{section_of(slot)}: {{{use}: {{use: {use}{options.get(slot, '')}}}}}" for slot, use in uses.items()
        ]
        chosen = ", ".join(f"{slot}: {use}" for slot, use in uses.items())
        return {"sections": "\n".join(sections), "experiments": f"  first: {{{chosen}, training: short}}"}

    def files(self) -> dict[str, str]:
        """The text of every file, by its place in the package."""
        templates = files("gad_core.scaffold") / "templates"
        places = {templates / "common" / f"{name}.tmpl": place for name, place in COMMON.items()}
        for template in (templates / self.kind).iterdir():
            if template.name.endswith(".tmpl"):
                name = template.name.removesuffix(".tmpl")
                test = name == "test_contract.py"
                places[template] = "tests/test_{module}.py" if test else f"src/{{module}}/{name}"
        return {place.format(module=self.module): self._filled(template) for template, place in places.items()}

    def _filled(self, template: Traversable) -> str:
        text = template.read_text(encoding="utf-8")
        return Template(text).substitute(self.values).rstrip() + "\n"


def make_package(kind: str, name: str, into: Path, plugins: Plugins) -> Path:
    """Writes the package of a new component to a new folder in `into`: whole, or not at all.

    Raises `PluginError` for an unfit name, one that is taken, and a folder that is there already.
    """
    assert kind in KINDS
    if not NAME.fullmatch(name) or keyword.iskeyword(name):
        raise PluginError(f"{name!r} cannot name a component", hint="small letters, digits and single hyphens: my-head")
    taken = [offer for offer in plugins.of(kind) if offer.name == name]
    if taken:
        offer = taken[0]
        raise PluginError(
            f"{offer.distribution} {offer.version} offers the {kind} {name!r} already", hint="choose another name"
        )
    package = Package(kind, name)
    folder = into / package.distribution
    if find_spec(package.module) is not None:
        raise PluginError(f"a module '{package.module}' is installed already", hint="choose another name")
    if folder.exists():
        raise PluginError("is there already", where=str(folder), hint="choose another name, or another --into")
    with write_folder(folder) as new:
        for place, text in package.files().items():
            (new / place).parent.mkdir(parents=True, exist_ok=True)
            (new / place).write_text(text, encoding="utf-8", newline="")
    return folder

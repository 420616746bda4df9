"""Who may import whom, and what the light commands never load: read from the imports, and seen in a fresh process."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import gad_core

PROJECT = Path(__file__).resolve().parents[1]
CORE = PROJECT / "gad_core"
PLUGINS = sorted(folder.name for folder in (PROJECT / "plugins").glob("gad_*"))
DOORS = {"gad_core.plugin", "gad_core.nn", "gad_core.testing"}
"""What code outside the core may import of it."""
HEAVY = {"torch", "transformers", "peft", "accelerate", "matplotlib", "sklearn"}
LIGHT_CORE = [
    *("__init__.py", "plugin.py", "errors.py", "contracts/components.py", "contracts/hooks.py", "contracts/values.py"),
    *("data/times.py", "data/windows.py", "data/corpora.py", "data/relations.py", "data/features/__init__.py"),
    *("huggingface/lora_options.py", "records/results.py"),
    *(f"{folder}/*.py" for folder in ("files", "discovery", "registry", "cli", "metrics")),
]
LIGHT = sorted({path for pattern in LIGHT_CORE for path in CORE.glob(pattern)}) + sorted(
    (PROJECT / "plugins").glob("gad_*/plugin.py")
)


def sources(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def imports(path: Path, *, module_level: bool = False) -> Iterator[tuple[int, str]]:
    """(line, module) of the imports of a file; at `module_level` those that importing it carries out."""
    yield from imported(ast.parse(path.read_text(encoding="utf-8"), str(path)), module_level=module_level)


def imported(tree: ast.Module, *, module_level: bool = False) -> Iterator[tuple[int, str]]:
    """(line, module) of the imports of some code."""
    for node in _executed(tree) if module_level else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are absolute"
            yield node.lineno, node.module or ""


def _executed(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes that run when a module is imported: neither function bodies nor what is there for type checkers."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and ast.unparse(child.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            yield from (inner for other in child.orelse for inner in (other, *_executed(other)))
            continue
        yield child
        yield from _executed(child)


def top(module: str) -> str:
    return module.partition(".")[0]


def test_every_pattern_of_light_modules_names_some() -> None:
    assert not [pattern for pattern in LIGHT_CORE if not list(CORE.glob(pattern))]


def rooms() -> dict[str, set[str]]:
    """Each folder or module of the core's top level, and those that importing it carries out."""
    found: dict[str, set[str]] = {}
    for path in sources(CORE):
        room = path.relative_to(CORE).parts[0].removesuffix(".py")
        if room in ("__init__", "plugin", "nn", "pytest_plugin"):
            continue
        for _, module in imports(path, module_level=True):
            other = module.partition(".")[2].partition(".")[0]
            if top(module) == "gad_core" and other and other != room:
                found.setdefault(room, set()).add(other)
    return found


def test_rooms_have_no_circle() -> None:
    graph = rooms()
    assert {"contracts", "model", "runs", "cli"} <= set(graph)
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def test_rooms_stand_in_the_order_of_the_page() -> None:
    """docs/architecture.md lists them from the ground up."""
    page = (PROJECT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = page.partition("## Where things live")[2].partition("\n## ")[0]
    order = re.findall(r"^\| `(\w+)/?` \|", table, flags=re.M)
    graph = rooms()
    assert set(graph) <= set(order)
    assert not [
        (room, below) for room in order for below in graph.get(room, ()) if order.index(below) > order.index(room)
    ]


def test_the_core_never_imports_a_plugin() -> None:
    wrong = [
        f"{path}:{line}: {module}" for path in sources(CORE) for line, module in imports(path) if top(module) in PLUGINS
    ]
    assert PLUGINS and not wrong


@pytest.mark.parametrize("plugin", PLUGINS)
def test_a_plugin_imports_the_core_and_itself_alone(plugin: str) -> None:
    wrong = [
        f"{path}:{line}: {module}"
        for path in sources(PROJECT / "plugins" / plugin)
        for line, module in imports(path)
        if top(module).startswith("gad_") and top(module) not in ("gad_core", plugin)
    ]
    assert not wrong


@pytest.mark.parametrize("path", LIGHT, ids=lambda path: str(path.relative_to(PROJECT)))
def test_light_modules_import_nothing_heavy(path: Path) -> None:
    loaded = imports(path, module_level=True)
    assert not [f"{path}:{line}: {m}" for line, m in loaded if top(m) in HEAVY or m == "gad_core.nn"]


def outside() -> dict[str, str]:
    """The Python that others see or write: plugins, guests, what `gad new` makes, and the code blocks of the pages."""
    files = [*sources(PROJECT / "plugins"), *sources(PROJECT / "tests" / "guests")]
    found = {str(path.relative_to(PROJECT)): path.read_text(encoding="utf-8") for path in files}
    for path in sorted((CORE / "scaffold" / "templates").rglob("*.py.tmpl")):
        found[str(path.relative_to(PROJECT))] = re.sub(r"\$\{?\w+\}?", "name", path.read_text(encoding="utf-8"))
    for path in [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md"))]:
        blocks = re.findall(r"```python\n(.*?)```", path.read_text(encoding="utf-8"), flags=re.S)
        found |= {f"{path.relative_to(PROJECT)} ({number})": block for number, block in enumerate(blocks, start=1)}
    return found


OUTSIDE = outside()


@pytest.mark.parametrize("where", OUTSIDE)
def test_outside_the_core_everybody_comes_through_the_doors(where: str) -> None:
    """Inside functions too. Pages may also show `import gad_core`, as a notebook has it."""
    allowed = DOORS | ({"gad_core"} if ".md" in where else set())
    wrong = [
        f"{where}:{line}: {module}"
        for line, module in imported(ast.parse(OUTSIDE[where], where))
        if top(module) == "gad_core" and module not in allowed
    ]
    assert not wrong


def test_all_kinds_of_outside_code_are_looked_at() -> None:
    parts = ("plugins/", "tests/guests/", "gad_core/scaffold/templates/", "docs/write-head.md", "README.md")
    assert all(any(where.startswith(part) for where in OUTSIDE) for part in parts)


@pytest.mark.parametrize(
    "text",
    [
        "from gad_core import errors",
        "import gad_core.errors",
        "def f():\n    from gad_core.contracts.values import Clip",
    ],
)
def test_an_import_past_the_doors_is_seen(text: str) -> None:
    assert {module for _, module in imported(ast.parse(text))} - DOORS


def test_the_core_never_comes_through_the_doors() -> None:
    """Doors only hand on: a core module that imported one would import itself."""
    wrong = [
        f"{path}:{line}: {module}"
        for path in sources(CORE)
        for line, module in imports(path)
        if module in DOORS - {"gad_core.testing"}
    ]
    assert not wrong


@pytest.mark.parametrize("door", ["plugin", "nn"])
def test_a_door_hands_on_and_defines_nothing(door: str) -> None:
    tree = ast.parse((CORE / f"{door}.py").read_text(encoding="utf-8"))
    assert ast.get_docstring(tree)
    *handed, offered = tree.body[1:]
    assert all(isinstance(node, ast.ImportFrom) for node in handed) and isinstance(offered, ast.Assign)
    names = {alias.asname or alias.name for node in handed for alias in node.names if node.module != "__future__"}
    listed = ast.literal_eval(offered.value)
    assert names == set(listed) and len(listed) == len(names)


def test_a_name_is_behind_one_door() -> None:
    from gad_core import nn, plugin

    assert not set(plugin.__all__) & set(nn.__all__)


FRESH = {"the light door": "gad_core.plugin", "the package": "gad_core"}


@pytest.mark.parametrize("module", FRESH.values(), ids=FRESH)
def test_importing_it_loads_nothing_heavy(module: str) -> None:
    program = f"import sys, {module}; print(*sorted({HEAVY!r} & set(sys.modules)))"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == ""


def test_the_package_offers_what_a_notebook_needs() -> None:
    """In a fresh process, since what has been imported once stays; none of it loads torch before a run is opened."""
    program = (
        "import sys, gad_core\n"
        f"found = gad_core.load_registry({str(PROJECT / 'registry.yaml')!r})\n"
        "names = [getattr(gad_core, name).__name__ for name in dir(gad_core) if name in gad_core.HOMES]\n"
        "assert names == ['ArrayFeatures', 'FeatureStore', 'GadError']\n"
        "assert found.experiments and callable(gad_core.load)\n"
        f"print(*sorted({HEAVY!r} & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.strip() == ""
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        gad_core.lode  # noqa: B018


def test_imports_are_seen_where_they_run(tmp_path: Path) -> None:
    module = tmp_path / "sample.py"
    module.write_text(
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    import transformers\nelse:\n    import peft\n"
        "try:\n    import torch.nn\nexcept ImportError:\n    torch = None\n"
        "class A:\n    import sklearn\n    def b(self):\n        import matplotlib\n",
        encoding="utf-8",
    )
    assert {top(name) for _, name in imports(module, module_level=True)} == {"typing", "peft", "torch", "sklearn"}
    assert {top(name) for _, name in imports(module)} >= {"transformers", "matplotlib"}


COMMANDS = {
    "check": ["check", str(PROJECT / "registry.yaml")],
    "plugins": ["plugins"],
    "plugins NAME": ["plugins", "gad"],
    "help": ["--help"],
    "run --help": ["run", "--help"],
}


@pytest.mark.parametrize("arguments", COMMANDS.values(), ids=COMMANDS)
def test_a_light_command_loads_nothing_heavy(arguments: list[str]) -> None:
    """In a fresh process, whatever the imports look like: what has been loaded when the command is done."""
    program = (
        "import sys\n"
        "from gad_core.cli import main\n"
        "try:\n    main(sys.argv[1:])\n"
        "except SystemExit as ended:\n    code = ended.code\n"
        f"print('loaded:', *sorted({HEAVY!r} & set(sys.modules)), file=sys.stderr)\n"
        "sys.exit(code)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False, cwd=PROJECT
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.strip().splitlines()[-1] == "loaded:"
    assert ended.stdout

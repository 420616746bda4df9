"""Plugins of guests, right and wrong, in distributions of their own: each is listed, none stops another."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from click.testing import CliRunner
from plugin_api import SNAPSHOT, promises

from gad_core import registry
from gad_core.cli import main
from gad_core.contracts.components import KINDS, PLUGIN_API
from gad_core.contracts.hooks import HOOKS
from gad_core.discovery import guard, plugins, visit
from gad_core.discovery.plugins import Broken, Plugins, discover
from gad_core.errors import PluginError, RegistryError
from gad_core.registry import experiment
from gad_core.registry.json_schema import json_schema

HEAD = '''
from typing import ClassVar
from gad_core.plugin import Head, hookimpl

class Guest(Head):
    """A head from elsewhere."""
    name: ClassVar[str] = "{name}"
    def layout(self, stage):
        return ()
    def build(self, hidden_size, targets):
        raise AssertionError
'''
HOOK = """
@hookimpl
def gad_heads():
    return [Guest]
"""
GUEST = HEAD.format(name="guest") + HOOK
Install = Callable[..., Plugins]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Installs distributions (name → text of its plugin module) and finds what is offered, built-ins included."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(tmp_path))

    def installed(**modules: str) -> Plugins:
        for number, (name, text) in enumerate(modules.items()):
            module = f"guest_{tmp_path.name.replace('-', '_')}_{number}"
            (tmp_path / f"{module}.py").write_text(text, encoding="utf-8")
            folder = tmp_path / f"{name}-1.{number}.dist-info"
            folder.mkdir()
            (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.{number}\n")
            (folder / "entry_points.txt").write_text(f"[gad]\n{name} = {module}\n")
        found = discover(entry_points(group="gad"))
        for module in (plugins, registry, experiment):
            monkeypatch.setattr(module, "installed", lambda: found)
        return found

    yield installed
    for module in set(sys.modules) - before:
        if module.startswith("guest_"):
            del sys.modules[module]


def of_guests(found: Plugins) -> list[tuple[str, str, str, str]]:
    return [(o.kind, o.name, o.distribution, o.version) for o in found.offers if o.distribution != "gad-framework"]


BROKEN = {
    "import error": (
        "import no_such_module_anywhere",
        "ModuleNotFoundError: No module named 'no_such_module_anywhere'",
    ),
    "syntax error": ("def", "SyntaxError"),
    "several lines": ("raise ValueError('one\\n  two')", "ValueError: one two"),
    "exit at import": ("import sys\nsys.exit(3)", "SystemExit: 3"),
    "outdated": (GUEST + "\nPLUGIN_API = 0", "was written for plugin API 0, this gad has 1"),
    "wrong type": (GUEST.replace("[Guest]", "[Guest()]"), "not a subclass of Head"),
    "wrong kind": (GUEST.replace("gad_heads", "gad_datasets"), "not a subclass of Dataset"),
    "abstract class": (GUEST.replace("def build", "def built"), "it lacks build"),
    "no name": (GUEST.replace('name: ClassVar[str] = "guest"', "pass"), "it has no `name`"),
    "name with a colon": (GUEST.replace('"guest"', '"gue:st"'), "one with a colon"),
    "option called use": (GUEST.replace("    def layout", "    use: int = 3\n    def layout"), "cannot be an option"),
    "raising hook": (GUEST.replace("return [Guest]", "raise KeyError('oh')"), "hook gad_heads raised KeyError: 'oh'"),
    "raising generator": (GUEST.replace("return [Guest]", "yield Guest\n    1 / 0"), "raised ZeroDivisionError"),
    "hook without return": (GUEST.replace("return [Guest]", "[Guest]"), "hook gad_heads returned nothing"),
    "hook returning one": (GUEST.replace("return [Guest]", "return Guest"), "hook gad_heads raised TypeError"),
    "no hook": (HEAD.format(name="guest") + HOOK.replace("gad_heads", "heads"), "heads is no hook: did you mean"),
    "outdated in all it knows": (GUEST + "\nPLUGIN_API = {0, 2}", "was written for plugin API 0 or 2, this gad has 1"),
    "for no API": (GUEST + "\nPLUGIN_API = ()", "was written for plugin API none, this gad has 1"),
    "one API in words": (GUEST + "\nPLUGIN_API = [1, '2']", "its PLUGIN_API cannot be read: TypeError"),
    "unprintable error": (
        "class Odd(Exception):\n    def __str__(self): raise ValueError\nraise Odd()",
        "cannot be printed: ValueError",
    ),
    "unprintable component": (
        GUEST.replace("[Guest]", "[Odd()]") + "\nclass Odd:\n    def __repr__(self): raise ValueError",
        "yielded a Odd: not a subclass of Head",
    ),
    "raising class": (
        GUEST.replace("[Guest]", "[Odd]")
        + "\nclass Meta(type):\n    @property\n    def __mro__(cls): raise KeyError('no')\n"
        + "    def __subclasscheck__(cls, other): raise KeyError('no')\n"
        + "class Odd(metaclass=Meta):\n    @property\n    def __bases__(self): raise KeyError('no')",
        "hook gad_heads yielded Odd",
    ),
    "interrupt at import": ("raise KeyboardInterrupt", "cannot be imported: KeyboardInterrupt"),
    "generator exit at import": ("raise GeneratorExit('gone')", "cannot be imported: GeneratorExit: gone"),
    "stop at import": ("raise StopIteration(3)", "cannot be imported: StopIteration: 3"),
    "strange exception": ("class Odd(BaseException): pass\nraise Odd('oh')", "cannot be imported: Odd: oh"),
    "recursion": ("def f(): f()\nf()", "cannot be imported: RecursionError"),
    "leaves the process": ("import os\nos._exit(3)", "cannot be imported: RuntimeError: os._exit(3) was called"),
    "kills itself": ("import os, signal\nsignal.alarm(1)\nraise ValueError('alarm')", "ValueError: alarm"),
    "raising getattr": (
        GUEST + "\ndef __getattr__(name): raise RuntimeError(name)",
        "cannot be read: RuntimeError: PLUGIN_API",
    ),
    "raising dir": (GUEST + "\ndef __dir__(): raise RuntimeError('dir')", "RuntimeError: dir"),
    "API that cannot be compared": (
        GUEST + "\nclass Odd:\n    def __eq__(self, other): raise KeyError\n    __ne__ = __eq__\nPLUGIN_API = Odd()",
        "its PLUGIN_API cannot be read: TypeError",
    ),
    "API in words": (GUEST + "\nPLUGIN_API = '1'", "its PLUGIN_API cannot be read: TypeError"),
    "exit in a hook": (GUEST.replace("return [Guest]", "raise SystemExit(0)"), "hook gad_heads raised SystemExit: 0"),
    "interrupt in a hook": (GUEST.replace("return [Guest]", "raise KeyboardInterrupt"), "raised KeyboardInterrupt"),
    "endless hook": (
        GUEST.replace("return [Guest]", "\n    while True: yield Guest"),
        "hook gad_heads yielded more than 1000 components",
    ),
    "unhashable class": (
        GUEST.replace("[Guest]", "[Odd]")
        + "\nclass Meta(type(Guest)):\n    def __hash__(cls): raise RuntimeError('hash')\n"
        + "class Odd(Guest, metaclass=Meta):\n    name = 'odd'",
        "yielded Odd: looking at it raised RuntimeError: hash",
    ),
    "name that steers the terminal": (GUEST.replace('"guest"', r'"\x1b[31mred"'), "cannot be printed"),
    "name of two lines": (GUEST.replace('"guest"', r'"one\ntwo"'), "cannot be printed"),
    "wrong arguments": (GUEST.replace("gad_heads()", "gad_heads(colour)"), "colour"),
}


@pytest.mark.parametrize(("text", "reason"), BROKEN.values(), ids=BROKEN)
def test_a_broken_plugin_is_listed_and_stops_nobody(install: Install, text: str, reason: str) -> None:
    found = install(bad=text, good=HEAD.format(name="fine") + HOOK)
    (broken,) = found.broken
    assert (broken.entry_point, broken.distribution, broken.version) == ("bad", "bad", "1.0")
    assert reason in broken.reason and "\n" not in broken.reason
    assert of_guests(found) == [("head", "fine", "good", "1.1")]
    assert found.find("head", "gad").distribution == "gad-framework"

    listed = CliRunner().invoke(main, ["plugins"], env={"COLUMNS": "400"})
    assert listed.exit_code == 0
    (line,) = [line for line in listed.output.splitlines() if "broken" in line]
    assert "bad" in line and "1.0" in line and reason in line
    assert any("fine" in line and "ready" in line for line in listed.output.splitlines())


@pytest.mark.parametrize("ending", ["SystemExit", "SystemExit(0)", "SystemExit('bye')", "GeneratorExit('odd')"])
@pytest.mark.parametrize("does", ["raise {}", "yield Guest\n    raise {}", "return (thrown() for _ in [0])"])
def test_a_hook_that_wants_to_end_the_command_loses_its_own_components_alone(
    install: Install, does: str, ending: str
) -> None:
    """Any hook, when it is called or when what it returned is gone through."""
    hooks = [hook for hook in HOOKS.values() if hook != "gad_heads"]
    ends = "".join(f"@hookimpl\ndef {hook}():\n    {does.format(ending)}\n" for hook in hooks)
    found = install(bad=f"{GUEST}\ndef thrown():\n    raise {ending}\n{ends}")
    assert of_guests(found) == [("head", "guest", "bad", "1.0")]
    reasons = [broken.reason for broken in found.broken]
    assert len(reasons) == len(hooks) == 4
    assert all(
        reason.startswith(f"hook {hook} raised {ending.split('(')[0]}")
        for hook, reason in zip(hooks, reasons, strict=True)
    )


SLOW = {
    "sleeps": ("import time\ntime.sleep(0.05)\n" + GUEST, "takes 0.1 s to import"),
    "imports what is heavy": ("import wave\n" + GUEST, "imports wave ("),
}


@pytest.mark.parametrize(("text", "reason"), SLOW.values(), ids=SLOW)
def test_a_slow_plugin_works_and_is_listed(
    install: Install, text: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visit, "SLOW", 0.04)
    monkeypatch.setattr(visit, "HEAVY", ("wave",))
    monkeypatch.delitem(sys.modules, "wave", raising=False)
    found = install(sluggard=text)
    assert of_guests(found) == [("head", "guest", "sluggard", "1.0")] and not found.broken
    (slow,) = [slow for slow in found.slow if slow.distribution == "sluggard"]
    assert slow.reason.startswith(reason)
    listed = CliRunner().invoke(main, ["plugins"], env={"COLUMNS": "400"})
    assert any("sluggard" in line and f"slow: {reason}" in line for line in listed.output.splitlines())


def test_our_own_plugins_are_not_slow() -> None:
    assert not [slow for slow in plugins.installed().slow if slow.distribution == plugins.DISTRIBUTION]


def test_what_a_guest_prints_is_no_part_of_the_output(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    install(chatty="print('hello')\n" + GUEST)
    printed = capsys.readouterr()
    assert printed.out == "" and "hello" in printed.err


LOUD = """import ctypes, os, subprocess, sys
print("hello")
sys.__stdout__.write("hello")
os.write(1, b"hello")
subprocess.run(["echo", "hello"])
"""


@pytest.mark.parametrize(
    "text",
    [
        LOUD + GUEST,
        GUEST.replace(
            "    return [Guest]", "".join(f"    {line}\n" for line in LOUD.splitlines()) + "    return [Guest]"
        ),
    ],
    ids=["at import", "in a hook"],
)
def test_nothing_a_guest_prints_reaches_the_output(
    install: Install, capfd: pytest.CaptureFixture[str], text: str
) -> None:
    install(chatty=text)
    printed = capfd.readouterr()
    assert printed.out == "" and printed.err.count("hello") == 4


MEDDLING = """import builtins, logging, os, signal, sys
os.chdir("/")
builtins.open = None
sys.excepthook = sys.stdin = sys.stderr = None
logging.basicConfig(level=0, handlers=[logging.NullHandler()], force=True)
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
"""


def surroundings() -> list[object]:
    root = logging.getLogger()
    signals = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    return [
        os.getcwd(),
        open,
        os._exit,
        sys.excepthook,
        sys.stdin,
        sys.stderr,
        root.level,
        list(root.handlers),
        *signals,
    ]


def test_what_a_guest_turns_over_is_put_back(install: Install) -> None:
    before = surroundings()
    assert of_guests(install(meddler=MEDDLING + GUEST))
    assert surroundings() == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    "handling", ["", "except KeyboardInterrupt: pass", "except KeyboardInterrupt: raise ValueError"]
)
def test_an_interrupt_of_the_user_goes_through_a_guest(install: Install, number: signal.Signals, handling: str) -> None:
    text = f"import signal\ntry: signal.raise_signal({number.value})\n{handling or 'finally: pass'}\n"

    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt(number)

    before = signal.signal(number, stop)
    try:
        with pytest.raises(KeyboardInterrupt, match=str(number.value)):
            install(guest=text + GUEST)
        assert signal.getsignal(number) is stop
    finally:
        signal.signal(number, before)


@pytest.mark.parametrize("where", ["import", "hook"])
def test_who_keeps_everybody_waiting_is_named(
    install: Install, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.setattr(guard, "PATIENCE", 0.02)
    wait = "import time\ntime.sleep(0.3)\n"
    hook = GUEST.replace("    return [Guest]", "    import time\n    time.sleep(0.3)\n    return [Guest]")
    assert of_guests(install(snail=wait + GUEST if where == "import" else hook))
    assert "still busy with plugin snail of snail 1.0" in capfd.readouterr().err


def test_a_guest_that_keeps_a_thread_is_listed(install: Install) -> None:
    text = "import threading\nstop = threading.Event()\nthreading.Thread(target=stop.wait, name='mine').start()\n"
    found = install(knitter=text + GUEST)
    assert of_guests(found)
    (slow,) = [slow for slow in found.slow if slow.distribution == "knitter"]
    assert "starts mine at import" in slow.reason
    next(vars(module)["stop"] for name, module in sys.modules.items() if name.startswith("guest_")).set()


def test_damaged_metadata_stops_nobody(install: Install, tmp_path: Path) -> None:
    for name, metadata in (("unreadable", b"\xff\xfe Name"), ("nameless", b"Metadata-Version: 2.1\n")):
        folder = tmp_path / f"{name}-1.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_bytes(metadata)
        (folder / "entry_points.txt").write_text(f"[gad]\n{name} = {name}_nowhere\n")
    found = install(good=GUEST)
    assert {broken.entry_point for broken in found.broken} == {"unreadable", "nameless"}
    assert of_guests(found) == [("head", "guest", "good", "1.0")]


UNSOUND = {
    "validator": ("    @model_validator(mode='after')\n    def v(self): {raises}\n", "heads.h: "),
    "layout": ("    def layout(self, stage): {raises}\n", "experiments.one.head: "),
    "options": ("    def options(self, path=str): {raises}\n", "experiments.one.head: "),
}


@pytest.mark.parametrize(
    "raises", ["raise ZeroDivisionError('oh')", "raise SystemExit('oh')", "raise KeyboardInterrupt('oh')"]
)
@pytest.mark.parametrize(("method", "place"), UNSOUND.values(), ids=UNSOUND)
def test_a_component_that_raises_is_told_at_its_place(install: Install, method: str, place: str, raises: str) -> None:
    text = GUEST.replace("    def build", method.format(raises=raises) + "    def build")
    install(odd="from pydantic import model_validator\n" + text)
    with pytest.raises(RegistryError) as caught:
        registry.loads(REGISTRY.format(use="guest"))
    assert f"{place}head 'guest' of odd 1.0 raised {raises[6:].partition('(')[0]}: oh" in str(caught.value)
    assert registry.loads(REGISTRY.format(use="discriminative")).experiments


def test_a_point_of_a_sweep_that_raises_is_skipped_with_the_reason(install: Install) -> None:
    install(odd=GUEST.replace("return ()", "raise KeyError('oh')"))
    text = REGISTRY.format(use="discriminative").replace("heads: {", "heads: {g: {use: guest}, ")
    book = registry.loads(text + "sweeps: {s: {base: one, vary: {head: [h, g]}}}\n")
    (skipped,) = book.sweeps["s"].skipped
    assert skipped.point == "head=g" and "of odd 1.0 raised KeyError: 'oh'" in skipped.reason


BAD_SCHEMA = """    @classmethod
    def __get_pydantic_json_schema__(cls, *given): raise {raises}
    def layout"""


@pytest.mark.parametrize("raises", ["RuntimeError('schema')", "SystemExit(1)"])
def test_a_schema_that_raises_spoils_no_other(install: Install, raises: str) -> None:
    found = install(odd=GUEST.replace("    def layout", BAD_SCHEMA.format(raises=raises)))
    assert {"guest", "gad"} <= set(
        json_schema(found)["properties"]["heads"]["additionalProperties"]["properties"]["use"]["enum"]
    )


def test_options_that_cannot_be_told_are_a_message(install: Install) -> None:
    field = "    x: object = Field(default_factory=lambda: 1 / 0)\n    def layout"
    install(odd="from pydantic import Field\n" + GUEST.replace("    def layout", field))
    shown = CliRunner().invoke(main, ["plugins", "guest"])
    assert shown.exit_code == 2 and "odd 1.0: its options cannot be told: ZeroDivisionError" in shown.output
    assert CliRunner().invoke(main, ["schema"]).exit_code == 0


def test_a_guest_without_a_schema_does_not_spoil_it(install: Install) -> None:
    text = "from collections.abc import Callable\n" + GUEST.replace("    def layout", "    f: Callable\n    def layout")
    found = install(odd=text)
    assert of_guests(found)
    sections = json_schema(found)["properties"]["heads"]["additionalProperties"]
    assert {"guest", "gad"} <= set(sections["properties"]["use"]["enum"])


def test_a_faulty_hook_loses_its_own_components_alone(install: Install) -> None:
    found = install(
        half=GUEST + "\n@hookimpl\ndef gad_datasets():\n    return [Guest]\n@hookimpl\ndef gad_odd(): pass\n"
    )
    assert of_guests(found) == [("head", "guest", "half", "1.0")]
    assert len(found.broken) == 1 and len(found.warned) == 1


def test_a_hook_of_a_newer_gad_is_a_note(install: Install) -> None:
    """A plugin for several versions of gad offers each what it knows."""
    found = install(
        newer=GUEST + "\n@hookimpl\ndef gad_wonders(colour): return [1]\n@hookimpl\ndef gad_haeds(): 1 / 0\n"
    )
    assert of_guests(found) == [("head", "guest", "newer", "1.0")] and not found.broken
    assert {one.who for one in found.warned} == {"newer 1.0"}
    told = {one.reason for one in found.warned}
    assert "hook gad_haeds is not known to this gad and never called: did you mean 'gad_heads'?" in told
    assert any(reason.startswith("hook gad_wonders is not known to this gad") for reason in told)
    listed = CliRunner().invoke(main, ["plugins"], env={"COLUMNS": "400"})
    assert listed.exit_code == 0 and "note: hook gad_haeds is not known" in listed.output
    assert registry.loads(REGISTRY.format(use="guest")).experiments


@pytest.mark.parametrize("stated", ["1", "{1, 2}", "(0, 1)", "[1]", "frozenset({1, 7})", "True"])
def test_a_plugin_may_be_for_several_versions(install: Install, stated: str) -> None:
    found = install(several=GUEST + f"\nPLUGIN_API = {stated}\n")
    assert of_guests(found) == [("head", "guest", "several", "1.0")] and not found.broken


def test_one_faulty_component_loses_itself_alone(install: Install) -> None:
    found = install(half=GUEST.replace("[Guest]", "[Guest, int]"))
    assert of_guests(found) == [("head", "guest", "half", "1.0")]
    assert "int" in found.broken[0].reason


def test_a_component_offered_twice_by_one_distribution_is_one(install: Install) -> None:
    found = install(twice=GUEST.replace("[Guest]", "[Guest, Guest]"))
    assert len(of_guests(found)) == 1 and not found.broken


def test_every_kind_has_its_hook() -> None:
    assert list(HOOKS) == list(KINDS)


def test_the_doors_are_those_of_this_plugin_api() -> None:
    """What a guest of `PLUGIN_API` 1 may import, implement, read and call.

    After a change that the rule of docs/plugins.md allows, write the file anew and read its difference:
    `python tests/plugin_api.py`. Lines may be added; whoever takes one away or changes one raises `PLUGIN_API`.
    """
    assert PLUGIN_API == 1
    assert promises() == SNAPSHOT.read_text(encoding="utf-8").splitlines(), "run `python tests/plugin_api.py`"


REGISTRY = """version: 1
backbones: {{tiny: {{use: llama-tiny}}}}
datasets: {{kitchen: {{use: kitchen}}}}
heads: {{h: {{use: "{use}"}}}}
experiments:
  one: {{dataset: kitchen, backbone: tiny, head: h}}
"""


def test_a_guest_is_used_by_its_name(install: Install) -> None:
    install(guests=GUEST)
    one = registry.loads(REGISTRY.format(use="guest")).experiments["one"]
    assert one.resolved()["head"] == {"use": "guest"}


def test_a_name_collision_names_both_and_a_prefix_chooses(install: Install) -> None:
    found = install(guests=HEAD.format(name="discriminative") + HOOK)
    with pytest.raises(RegistryError) as caught:
        registry.loads(REGISTRY.format(use="discriminative"))
    assert "registry.yaml:4:18: heads.h.use: several plugins offer the head 'discriminative'" in str(caught.value)
    assert "gad-framework:discriminative" in str(caught.value) and "guests:discriminative" in str(caught.value)

    for distribution in ("guests", "gad-framework"):
        book = registry.loads(REGISTRY.format(use=f"{distribution}:discriminative"))
        head = book.experiments["one"].head
        assert type(head) is found.find("head", f"{distribution}:discriminative").component
        assert found.use(type(head)) == f"{distribution}:discriminative"
    listed = CliRunner().invoke(main, ["plugins"], env={"COLUMNS": "400"}).output
    assert "use: guests:discriminative" in listed and "use: gad-framework:discriminative" in listed
    assert registry.loads(REGISTRY.format(use="gad-framework:gad").replace("head: h}", "head: h, labels: t}") +
                          "labels: {t: {use: text}}\n")  # fmt: skip


def test_what_was_chosen_by_a_prefix_is_rebuilt(install: Install) -> None:
    """Two experiments that differ in nothing but the distribution of a head are two."""
    found = install(guests=HEAD.format(name="discriminative") + HOOK)
    one, other = (
        registry.loads(REGISTRY.format(use=f"{distribution}:discriminative")).experiments["one"]
        for distribution in ("guests", "gad-framework")
    )
    assert one.options_key() != other.options_key()
    assert registry.rebuild(one.resolved(), "one", found) == one
    assert registry.loads(registry.dump([other]), plugins=found).experiments["one"] == other


def test_the_same_name_in_two_kinds_is_no_collision(install: Install) -> None:
    found = install(guests=HEAD.format(name="kitchen") + HOOK)
    assert found.find("head", "kitchen").distribution == "guests"
    assert found.find("dataset", "kitchen").distribution == "gad-framework"
    assert found.use(found.find("dataset", "kitchen").component) == "kitchen"


def test_a_broken_plugin_stops_only_who_needs_what_it_might_offer(install: Install) -> None:
    install(bad="import no_such_module_anywhere")
    assert registry.loads(REGISTRY.format(use="discriminative")).experiments
    with pytest.raises(RegistryError) as caught:
        registry.loads(REGISTRY.format(use="splendid"))
    told = str(caught.value)
    assert "registry.yaml:4:18: heads.h.use: there is no head 'splendid'" in told
    assert "bad 1.0: cannot be imported: ModuleNotFoundError" in told


def test_a_missing_name_has_a_suggestion() -> None:
    with pytest.raises(PluginError, match="did you mean 'generative'"):
        plugins.installed().find("head", "genrative")
    with pytest.raises(PluginError, match="installed are discriminative, gad, generative"):
        plugins.installed().find("head", "zzz")
    with pytest.raises(PluginError, match="there is no head 'other:gad'"):
        plugins.installed().find("head", "other:gad")


def test_a_reason_is_printed_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Square brackets are markup to rich."""
    found = Plugins((), (Broken("odd", "odd", "1", "cannot be imported: [/red] [bold]x[/bold]"),))
    monkeypatch.setattr(plugins, "installed", lambda: found)
    listed = CliRunner().invoke(main, ["plugins"], env={"COLUMNS": "200"})
    assert listed.exit_code == 0 and "[/red] [bold]x[/bold]" in listed.output


def test_the_options_of_a_component_are_described() -> None:
    shown = CliRunner().invoke(main, ["plugins", "gad"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0
    assert "head gad (gad-framework" in shown.output and "generation_weight" in shown.output
    assert "discriminative-first | generation-first | parallel" in shown.output
    wrong = CliRunner().invoke(main, ["plugins", "gda"])
    assert wrong.exit_code == 2 and "did you mean 'gad'" in wrong.output and "Traceback" not in wrong.output

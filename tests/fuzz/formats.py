"""Damage that keeps a file readable as what it is, so that what lies behind the reader is reached too."""

from __future__ import annotations

import io
import json
import struct
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import lmdb
import yaml

from .arrays import odd_array, odd_h5, odd_tensors
from .mutations import MAGIC, damaged_bytes, damaged_text, damaged_tree
from .values import TEXTS, Raw, written

Damage = Callable[[bytes, Random, bool], bytes]
"""A file's bytes, the random state, whether huge values are allowed."""
LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 10)}]\n" for i in range(8)
)
"""Aliases of aliases: 10^9 nodes."""
YAML = (
    *(
        LAUGHS,
        "a: &a [*a]\n",
        "<<: *b\n",
        "<<: {a: 1}\n",
        "? [a]\n: 1\n",
        "!!python/object/apply:os.getcwd []\n",
        "---\n",
    ),
    *(
        "%YAML 3.0\n---\n",
        "a: !!binary x\n",
        "a: !!set {x}\n",
        "a: 2001-01-01\n",
        "a: !!float x\n",
        "\ta: 1\n",
        "a: |\n",
    ),
    *(
        "a: &a {b: *a}\n",
        "'a\n",
        "{",
        "- a\n",
        "version: 1\n",
        "a: " + "[" * 2000 + "]" * 2000 + "\n",
        "a: " + "9" * 5000 + "\n",
    ),
)
"""Lines that YAML gives a meaning of their own."""


def json_text(tree: Any, random: Random) -> str:
    """JSON in which `Raw` stands as it is, sometimes with a key that is there twice."""
    marked: list[str] = []

    def plain(value: Any) -> Any:
        if isinstance(value, Raw) or (isinstance(value, int) and abs(value) >= 10**400):
            marked.append(written(value))
            return f"\x1araw{len(marked) - 1}\x1a"
        if isinstance(value, dict):
            return {plain_key(key): plain(inner) for key, inner in value.items()}
        return [plain(inner) for inner in value] if isinstance(value, list) else value

    def plain_key(key: Any) -> str:
        return written(key)

    text = json.dumps(plain(tree), ensure_ascii=random.random() < 0.7)
    for number, raw in enumerate(marked):
        text = text.replace(f'"\\u001araw{number}\\u001a"', raw)
    if random.random() < 0.1 and (found := text.find('": ', random.randint(0, len(text)))) > 0:
        start = text.rfind('"', 0, found)
        text = f"{text[:start]}{text[start : found + 1]}: 0, {text[start:]}"
    return text


def json_file(data: bytes, random: Random, huge: bool) -> bytes:
    tree = damaged_tree(json.loads(data), random, huge=huge)
    return json_text(tree, random).encode(errors="surrogatepass")


def json_lines(data: bytes, random: Random, huge: bool) -> bytes:
    lines = data.splitlines(keepends=True)
    place = random.randrange(len(lines))
    lines[place] = json_file(lines[place], random, huge) + random.choice((b"\n", b"\n", b""))
    return b"".join(lines)


def yaml_file(data: bytes, random: Random, huge: bool) -> bytes:
    if huge and random.random() < 0.2:
        lines = data.decode().splitlines(keepends=True)
        lines.insert(random.randint(0, len(lines)), random.choice(YAML))
        return "".join(lines).encode()
    tree = damaged_tree(yaml.safe_load(data), random, huge=huge)
    if random.random() < 0.5:  # JSON is YAML, and holds what PyYAML does not write
        return json_text(tree, random).encode(errors="surrogatepass")
    try:
        text = yaml.dump(tree, Dumper=Dumper, allow_unicode=random.random() < 0.5, sort_keys=False)
    except ValueError:  # a number of thousands of digits
        return json_text(tree, random).encode(errors="surrogatepass")
    return text.encode(errors="surrogatepass")


class Dumper(yaml.SafeDumper):
    """Writes `Raw` without quotes."""


Dumper.add_representer(Raw, lambda dumper, value: dumper.represent_scalar("tag:yaml.org,2002:int", str(value)))


def text_file(data: bytes, random: Random, huge: bool) -> bytes:
    return damaged_text(data, random, huge=huge)


def npy_file(data: bytes, random: Random, huge: bool) -> bytes:
    """Another array, or another header before the same bytes."""
    if random.random() < 0.5:
        return odd_array(random)
    length = struct.unpack("<H", data[8:10])[0]
    header = data[10 : 10 + length].decode("latin-1").rstrip()
    shape, descr = header.split("'shape': ")[1].rstrip(", }"), header.split("'descr': ")[1].split(",")[0]
    shapes = ["(1000000000000, 5)", "(-1, 5)", "(5, 0)", "()", "(0, 5)", "(True, 5)", "(2.0, 5)", "(" * 900 + ")" * 900]
    shapes += ["(12, 5, " + "1, " * 64 + ")", "9" * 5000, "None", "(5, 12)", "(9223372036854775807, 2)", "'a'", "\\"]
    descrs = ["'O'", "'<f2'", "'>f8'", "'<U5'", "'V4'", "'M8[s]'", "[('a', '<f4')]", "''", "'<c8'", "'|b1'", "1", "'S'"]
    if random.random() < 0.6:
        header = header.replace(shape, random.choice(shapes))
    else:
        header = header.replace(descr, random.choice(descrs))
    if random.random() < 0.2:
        header = damaged_text(header.encode(), random, huge=huge).decode("latin-1")
    encoded = header.encode("latin-1")[:65000].ljust(118 - 1) + b"\n"
    return data[:8] + struct.pack("<H", len(encoded)) + encoded + data[10 + length :]


def zip_file(data: bytes, random: Random, huge: bool) -> bytes:
    """A member is damaged as what it is, left out, renamed, or there twice."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    place = random.randrange(len(members))
    name, content = members[place]
    change = random.randrange(8)
    if change < 5:
        members[place] = (name, damage(Path(name).suffix)(content, random, huge))
    else:
        renamed = random.choice([text for text in TEXTS if text and len(text) < 1000 and "\ud800" not in text])
        members[place : place + 1] = ([], [(renamed, content)], [members[place]] * 2)[change - 5]
    written_to = io.BytesIO()
    with zipfile.ZipFile(written_to, "w", random.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for one, content in members:
            archive.writestr(zipfile.ZipInfo(one), content)
    return written_to.getvalue()


def safetensors_file(data: bytes, random: Random, huge: bool) -> bytes:
    """Another header, or another length of it."""
    length = struct.unpack("<Q", data[:8])[0]
    header, rest = data[8 : 8 + length], data[8 + length :]
    if random.random() < 0.2:
        return random.choice(MAGIC)[:8].ljust(8, b"\0") + header + rest
    header = json_file(header, random, huge)
    return struct.pack("<Q", len(header)) + header + rest


def lmdb_file(data: bytes, random: Random, huge: bool) -> bytes:
    """A store with another header, or with other records."""
    with tempfile.TemporaryDirectory() as folder:
        (old := Path(folder) / "old").write_bytes(data)
        with lmdb.open(str(old), subdir=False, readonly=True, lock=False) as opened, opened.begin() as transaction:
            records = dict(transaction.cursor())
        key = random.choice(list(records))
        header = next(name for name in records if name.startswith(b"\0"))
        change = random.randrange(8)
        if change < 5:
            records[header] = json_file(records[header], random, huge)
        elif change == 5:
            del records[key]
        else:
            records[key] = damaged_bytes(records[key], random)
        new = lmdb.open(str(Path(folder) / "new"), subdir=False, map_size=2**26, sync=False, lock=False)
        with new, new.begin(write=True) as transaction:
            for name, value in records.items():
                transaction.put(name, value)
        return (Path(folder) / "new").read_bytes()


def pt_file(data: bytes, random: Random, huge: bool) -> bytes:
    return odd_tensors(random) if random.random() < 0.6 else zip_file(data, random, huge)


def h5_file(data: bytes, random: Random, huge: bool) -> bytes:
    return odd_h5(random)


def bytes_file(data: bytes, random: Random, huge: bool) -> bytes:
    return damaged_bytes(data, random)


BY_SUFFIX: dict[str, Damage] = {
    ".json": json_file, ".jsonl": json_lines, ".yaml": yaml_file,
    ".csv": text_file, ".tsv": text_file, ".txt": text_file,
    ".npy": npy_file, ".npz": zip_file, ".zip": zip_file, ".safetensors": safetensors_file, ".lmdb": lmdb_file,
    ".pt": pt_file, ".h5": h5_file,
}  # fmt: skip
TEXTUAL = (".json", ".jsonl", ".yaml", ".csv", ".tsv", ".txt")


def damage(suffix: str) -> Damage:
    """The damage that fits a file's ending; of bytes where none does."""
    return BY_SUFFIX.get(suffix, bytes_file)


def damaged(name: str, data: bytes, random: Random, *, huge: bool = True) -> bytes:
    """A file of that name, damaged: mostly as what it is, else as text or as bytes; sometimes its bytes once more."""
    suffix, level = Path(name).suffix, random.random()
    if level < 0.6:
        data = damage(suffix)(data, random, huge)
    elif level < 0.8 and suffix in TEXTUAL:
        data = damaged_text(data, random, huge=huge)
    else:
        data = damaged_bytes(data, random)
    return damaged_bytes(data, random) if random.random() < 0.2 else data

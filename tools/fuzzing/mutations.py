"""How an input is spoilt: its bytes, its words and numbers, its tree of keys and values, or its arrays."""

import io
import json
import re
import struct
import zipfile
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np

Mutate = Callable[[Random, bytes], bytes]

CODE = "__import__('os').system('touch fuzz-ran-code')"
"""Run by nothing: whoever runs it is caught."""

NUMBERS = (
    "0", "1", "-1", "2", "3", "7", "64", "65", "127", "128", "255", "256", "4095", "65536", "2147483647",
    "2147483648", "-2147483649", "4294967296", "9007199254740993", "9223372036854775807", "9223372036854775808",
    "-9223372036854775809", "18446744073709551616", "1e-320", "1e-9", "0.5", "1.5", "-0.0", "1e15", "1e308",
    "1e400", "-1e308", "nan", "inf", "-inf", "NaN", "Infinity", "0x10", "1_000", "007", "1.", ".5", "+1", "1e",
    "1,5", "½", "٣", "５", "true", "false", "null", "none"
)  # fmt: skip
WORDS = (
    *NUMBERS,
    "9" * 400,
    "9" * 5000,
    "1e" + "9" * 30,
    "",
    " ",
    "\0",
    "\n",
    "\u2028",
    "\x1b[31m",
    "\ud800",
    "\\ud800",
    "é水",
    "x" * 300,
    "x" * 70000,
    "../../../../etc/passwd",
    "/dev/zero",
    "/",
    "./fuzz-input.toml",
    "a.toml",
    "~",
    "%s%n{0}{x.__class__}",
    "'; drop table points; --",
    '"""',
    "'''",
    "[" * 3000,
    "{" * 3000,
    "(" * 300,
    "[[a]]",
    "{}",
    "[]",
    '""',
    "10 ns",
    "6400 Mbps",
    "1 GB",
    "-5 GHz",
    "1e300 pJ",
    "0 MB",
    "1979-05-27T07:32:00Z",
    "lp-spec",
    "llama2-7b",
    "vicuna-7b",
    "analytic",
    CODE,
)
VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 8, 2**31, 2**53 + 1, 2**63 - 1, 2**63, -(2**63) - 1, 10**30, 10**4000, 0.0, -0.0,
    0.5, 1e-320, 1e15, 1e308, float("nan"), float("inf"), float("-inf"), "", " ", "0", "1e400", "10 ns", "1 GB", "nan",
    "x" * 300, "\u2028", "\0", "\x1b[2J", "é水", CODE, "a.b", "/", "lp-spec", [], [[]], [None], [1, "a"], [0] * 200,
    {}, {"value": 1}, {"value": "1 ns", "source": ""}, {"from": 1, "to": 2, "steps": 10**9}, {"": {}},
)  # fmt: skip
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_WORD = re.compile(rb"[A-Za-z_][\w.-]*|\"[^\"\n]*\"|'[^'\n]*'")
_MOST_BYTES = 1 << 20


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def of_bytes(random: Random, data: bytes) -> bytes:
    """Some bytes changed, taken out, put in, doubled, moved or cut off."""
    for _ in range(random.choice((1, 1, 1, 2, 3, 8))):
        place, other = sorted((random.randrange(len(data) + 1), random.randrange(len(data) + 1)))
        other = min(other, place + random.choice((1, 4, 64, 1 << 20)))
        part = data[place:other]
        kind = random.randrange(8)
        if kind == 0:
            part = b""
        elif kind == 1:
            part = bytes(random.randrange(256) for _ in range(len(part[:64])))
        elif kind == 2:
            part = part * random.choice((2, 3, 50))
        elif kind == 3:
            part = _encoded(random.choice(WORDS))
        elif kind == 4:
            part = bytes([random.choice((0, 1, 127, 128, 255))]) * max(1, len(part[:8]))
        elif kind == 5:
            width = random.choice((1, 2, 4, 8))
            number = random.choice(
                (0, 1, 2, 3, 12, 127, 128, 255, 2**15, 2**16 - 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1)
            )
            part = struct.pack("<Q", number)[:width]
            other = place + width
        elif kind == 6:
            other, part = len(data), b""
        else:
            part = part[::-1]
        data = (data[:place] + part + data[other:])[:_MOST_BYTES]
    return data


def of_text(random: Random, data: bytes) -> bytes:
    """A number, word or line changed for another."""
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        kind = random.randrange(6)
        found = list((_NUMBER if kind < 2 else _WORD).finditer(data)) if kind < 4 else []
        if found:
            match = random.choice(found)
            new = _encoded(random.choice(NUMBERS if kind == 0 else WORDS))
            if kind == 3:
                new = random.choice(found).group()
            data = data[: match.start()] + new + data[match.end() :]
            continue
        lines = data.split(b"\n")
        place, other = random.randrange(len(lines)), random.randrange(len(lines))
        if kind == 4:
            lines.insert(place, lines[other])
        elif random.random() < 0.5:
            del lines[place]
        else:
            lines[place], lines[other] = lines[other], lines[place]
        data = b"\n".join(lines)
    return of_bytes(random, data) if random.random() < 0.2 else data[:_MOST_BYTES]


def changed_tree(random: Random, tree: Any) -> Any:
    """A tree of plain data with one place changed: its value, its key, its place, or what is beside it."""
    path: list[tuple[Any, Any]] = []
    here = tree
    while isinstance(here, dict | list) and here and (not path or random.random() < 0.85):
        key = random.choice(list(here)) if isinstance(here, dict) else random.randrange(len(here))
        path.append((here, key))
        here = here[key]
    if not path:
        return random.choice(VALUES)
    holder, key = path[-1]
    kind = random.randrange(7)
    if kind == 0:
        del holder[key]
    elif kind == 1 and isinstance(holder, dict):
        holder[random.choice((str(key) + "x", str(key).upper(), "", "\0", "a.b", CODE, "x" * 300))] = holder.pop(key)
    elif kind == 2:
        holder[key] = random.choice(([holder[key]], {str(key): holder[key]}, str(holder[key])))
    elif kind == 3 and isinstance(holder[key], int | float):
        holder[key] = random.choice(
            (-holder[key], holder[key] * 2, holder[key] * 10**9, holder[key] // 3, holder[key] + 1)
        )
    elif kind == 4 and isinstance(holder, list):
        holder.extend(holder[:64] * random.choice((1, 3)))
    elif kind == 5 and isinstance(holder[key], str):
        holder[key] = of_text(random, _encoded(holder[key])).decode("utf-8", "replace")
    else:
        holder[key] = json.loads(json.dumps(random.choice(VALUES)))
    return tree


def of_json(random: Random, data: bytes) -> bytes:
    """One place or several of a JSON text changed; now and then its letters instead."""
    if random.random() < 0.3:
        return of_text(random, data)
    tree = json.loads(data)
    for _ in range(random.choice((1, 1, 2, 4))):
        tree = changed_tree(random, tree)
    text = json.dumps(tree, ensure_ascii=random.random() < 0.5)
    return text.encode("utf-8", "surrogatepass")[:_MOST_BYTES]


def of_toml(random: Random, data: bytes) -> bytes:
    """The same of TOML."""
    if random.random() < 0.4:
        return of_text(random, data)
    import tomllib

    tree: Any = tomllib.loads(data.decode())
    for _ in range(random.choice((1, 1, 2, 4))):
        tree = changed_tree(random, tree)
    if not isinstance(tree, dict):
        return _encoded(str(tree))
    return _encoded("".join(f"{json.dumps(key)} = {_toml(value)}\n" for key, value in tree.items()))


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {_toml(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, float):
        return repr(value)  # nan and inf are spelt as in TOML
    return '"none"' if value is None else json.dumps(value)


def of_json_lines(random: Random, data: bytes) -> bytes:
    """One line of JSON changed; now and then lines as such."""
    if random.random() < 0.3:
        return of_text(random, data)
    lines = data.rstrip(b"\n").split(b"\n")
    place = random.randrange(len(lines))
    lines[place] = of_json(random, lines[place])
    return b"\n".join(lines) + b"\n"


def of_arrays(random: Random, data: bytes) -> bytes:
    """An .npz file with an array of another type, shape or content, with its text changed, or with spoilt bytes."""
    if random.random() < 0.4:
        return of_bytes(random, data)
    if random.random() < 0.3:
        return _repacked(random, data)
    with np.load(io.BytesIO(data)) as loaded:
        arrays = {name: loaded[name] for name in loaded.files}
    name = random.choice(list(arrays))
    array = arrays[name]
    kind = random.randrange(6)
    if array.dtype.kind == "U" and kind < 4:
        text = of_json(random, str(array).encode()).decode("utf-8", "replace").replace("\0", "")
        arrays[name] = np.array(text)
    elif kind == 0:
        arrays[name] = array.astype(random.choice(("f8", "i8", "u1", "?", "c16", "S3", "U2", "f2", ">i4", "i1")))
    elif kind == 1:
        arrays[name] = array.reshape(-1)[: random.choice((0, 1, 2))]
    elif kind == 2:
        arrays[name] = array[None] if random.random() < 0.5 else array.reshape(-1)
    elif kind == 3:
        arrays[name] = array.copy()
        arrays[name].reshape(-1)[: random.choice((1, 5, 1 << 30))] = random.choice((0, -1, 1, 100, 127))
    elif kind == 4:
        del arrays[name]
    else:
        arrays[random.choice(("more", "", "a/b", "../x"))] = array
    buffer = io.BytesIO()
    try:
        np.savez(buffer, **arrays)
    except ValueError:  # numpy itself refuses the name
        return data[: len(data) // 2]
    return buffer.getvalue()


def _repacked(random: Random, data: bytes) -> bytes:
    """The same archive, one of its members spoilt, so that no checksum tells."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as new:
        names = old.namelist()
        spoilt = random.choice(names)
        for name in names:
            content = old.read(name)
            new.writestr(name, of_text(random, content) if name == spoilt else content)
    return buffer.getvalue()


def of_safetensors(random: Random, data: bytes) -> bytes:
    """The header's JSON changed, its length right or wrong, or bytes of the file."""
    if random.random() < 0.3:
        return of_bytes(random, data)
    length = struct.unpack("<Q", data[:8])[0]
    header = of_json(random, data[8 : 8 + length])
    said = len(header) if random.random() < 0.8 else random.choice((0, 1, len(header) + 1, 2**40, 2**64 - 1))
    return struct.pack("<Q", said) + header + data[8 + length :]

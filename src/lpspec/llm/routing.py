"""Measured routing: which experts a model's routers chose for the tokens of a text, and what passes need of it.

A pass over so many tokens is a window of neighbours in the text, at every place where one begins; behind its last token
the text begins again. A file is JSON lines, one for each token, ``{"experts": [[5, 9], [0, 3]]}`` with the experts of
every layer that has some; or CSV with the columns ``token``, ``layer`` and ``expert``, a row for each choice.
"""

import csv
import hashlib
import io
import json
from functools import lru_cache
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, PositiveInt

from lpspec.arrays import FloatArray, IntArray
from lpspec.errors import InputError, shown
from lpspec.llm.counts import Count
from lpspec.text_files import each_key_once, split_lines, text_of

MOST_EXPERTS = 2**16
"""Of one layer: ids are kept in 16 bits."""

_MOST_WINDOWS = 256
"""Windows of a size that are counted, spread evenly. Assumed enough: each counts the experts of every layer."""

_MOST_CHOICES = 2**27  # of a file: 60 layers and 8 experts of 280,000 tokens
_COLUMNS = ("token", "layer", "expert")


class Routing(BaseModel):
    """Experts that were chosen, token by token and layer by layer."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    source: str
    """The file."""
    tokens: PositiveInt
    """Tokens of the text."""
    layers: PositiveInt
    """Layers with experts."""
    top_k: PositiveInt
    """Experts that a token is sent to in each."""
    digest: str
    """SHA-256 of the choices."""
    choices: bytes = Field(exclude=True, repr=False)
    """Ids as little-endian uint16 [tokens, layers, top_k]."""

    @property
    def ids(self) -> IntArray:
        """Expert ids int64 [tokens, layers, top_k]."""
        flat = np.frombuffer(self.choices, "<u2").astype(np.int64)
        return flat.reshape(self.tokens, self.layers, self.top_k)

    def chance(self, experts: int, tokens: Count, load: Count) -> Any:
        """How often an expert of ``experts`` is sent ``load`` of a pass's tokens; both broadcast."""
        sizes, loads = np.broadcast_arrays(np.asarray(tokens), np.asarray(load))
        found = np.zeros(sizes.shape)
        for size in np.unique(sizes).tolist():
            here = (sizes == size) & (loads <= size)
            found[here] = _load_shares(self, experts, int(size))[loads[here]]
        return found

    def distinct(self, experts: int, tokens: Count) -> Any:
        """Experts of one layer that at least one of the tokens is sent to, on average: a float or float64 array."""
        return experts * (1.0 - self.chance(experts, tokens, 0))


@lru_cache(maxsize=2048)
def _load_shares(routing: Routing, experts: int, tokens: int) -> FloatArray:
    """How often an expert is sent 0, 1, ... ``tokens`` tokens of a pass, over windows and layers: [tokens + 1]."""
    text, ids = routing.tokens, routing.ids
    rounds, rest = divmod(tokens, text)
    starts = np.unique(np.linspace(0, text - 1, min(text, _MOST_WINDOWS)).round().astype(np.int64))
    places = np.arange(text)[:, None]
    found = np.zeros(tokens + 1)
    for layer in range(routing.layers):
        sent = np.zeros((2 * text + 1, experts), np.int32)  # up to each token, of the text and its repetition
        chosen = np.zeros((text, experts), np.int32)
        chosen[places, ids[:, layer]] = 1
        np.cumsum(np.concatenate([chosen, chosen]), axis=0, out=sent[1:])
        loads = sent[starts + rest] - sent[starts] + rounds * sent[text]
        found += np.bincount(loads.ravel(), minlength=tokens + 1)
    return np.asarray(found / (len(starts) * routing.layers * experts))


def read_routing(path: str) -> Routing:
    """Read a file of choices.

    Raises:
        InputError: It cannot be read, or tokens, layers and choices don't make a table; the line is named.
    """
    where = f"routing '{shown(path, 60)}'"
    if not path.endswith((".csv", ".jsonl")):
        raise InputError(f"{where}: allowed are .jsonl and .csv files")
    text = text_of(path, where)
    try:
        ids = _of_rows(text) if path.endswith(".csv") else _of_lines(text)
    except ValueError as error:
        raise InputError(f"{where}: {error}") from None
    choices = ids.astype("<u2").tobytes()
    tokens, layers, top_k = ids.shape
    digest = hashlib.sha256(choices).hexdigest()
    return Routing(source=path, tokens=tokens, layers=layers, top_k=top_k, digest=digest, choices=choices)


def _of_lines(text: str) -> IntArray:
    found: list[Any] = []
    for number, line in enumerate(split_lines(text), 1):
        if not line.strip():
            continue
        try:
            said = json.loads(line, object_pairs_hook=each_key_once)
        except (json.JSONDecodeError, RecursionError):
            raise ValueError(f"line {number} is not JSON") from None
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
        experts = said.get("experts") if isinstance(said, dict) else None
        if not isinstance(experts, list) or not all(isinstance(layer, list) for layer in experts):
            raise ValueError(f'line {number}: needed is {{"experts": [[5, 9], [0, 3]]}}, a list for each layer')
        if found and [len(layer) for layer in experts] != [len(found[0][0])] * len(found[0]):
            raise ValueError(f"line {number}: experts are not {len(found[0])} layers of {len(found[0][0])} each")
        if not experts or not experts[0] or len({len(layer) for layer in experts}) > 1:
            raise ValueError(f"line {number}: experts must be lists of the same length, one for each layer")
        for layer in experts:
            _check_choice(layer, f"line {number}: experts")
        found.append(experts)
    return _table(found)


def _of_rows(text: str) -> IntArray:
    rows = csv.reader(io.StringIO(text, newline=""))
    head = next(rows, None)
    if head is None or sorted(head) != sorted(_COLUMNS):
        raise ValueError(f"its first line must name the columns {', '.join(_COLUMNS)}")
    places = [head.index(name) for name in _COLUMNS]
    chosen: dict[int, dict[int, list[int]]] = {}
    for number, row in enumerate(rows, 2):
        try:
            token, layer, expert = (int(row[place]) for place in places)
        except (ValueError, IndexError):
            raise ValueError(f"line {number} is not three whole numbers") from None
        chosen.setdefault(token, {}).setdefault(layer, []).append(expert)
    layers = sorted({layer for of_token in chosen.values() for layer in of_token})
    found = []
    for token in sorted(chosen):
        if sorted(chosen[token]) != layers:
            raise ValueError(f"token {token} has not all {len(layers)} layers that are named")
        for layer in layers:
            _check_choice(chosen[token][layer], f"token {token}, layer {layer}: expert")
        found.append([chosen[token][layer] for layer in layers])
    if len({len(layer) for of_token in found for layer in of_token}) > 1:
        raise ValueError("tokens are sent to different numbers of experts: not known how to count them")
    return _table(found)


def _check_choice(choice: list[Any], what: str) -> None:
    if any(type(expert) is not int or not 0 <= expert < MOST_EXPERTS for expert in choice):
        raise ValueError(f"{what} must be whole numbers from 0 to {MOST_EXPERTS - 1}")
    if len(set(choice)) != len(choice):
        raise ValueError(f"{what} names one twice")


def _table(found: list[Any]) -> IntArray:
    if not found:
        raise ValueError("it holds no tokens")
    if len(found) * len(found[0]) * len(found[0][0]) > _MOST_CHOICES:
        raise ValueError(f"it holds more than {_MOST_CHOICES} choices")
    return np.array(found, np.int64)

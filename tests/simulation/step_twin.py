"""A verify pass on the NPU, on LP-Spec's hybrid package and on a GPU, written a second time from the descriptions.

Nothing of lpspec is used: machines and prices are the files' numbers read as text, LPDDR5-6400's timings are written
out, and numbers are floats of one step. INT8, LP-Spec's Table II, every die in refresh and standby.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from math import ceil, gcd
from pathlib import Path
from typing import Any

HARDWARE = Path(__file__).parents[2] / "src" / "lpspec" / "machine"

# LPDDR5-6400, 8 Gb, x16: CK 1.25 ns, a burst of 32 B in 2 CK.
CK, BURST, REFI = 1.25, 2.5, 3906.25
RCD, RPPB, RPAB, RTP, WR, CL, CWL, RTRS, RFC, TWO_ACTS = (n * CK for n in (15, 15, 17, 8, 28, 17, 9, 2, 168, 2))
CCD_L = 5.0
CHANNELS, RANKS, DRAM_RANKS, LANES, MPUS, ALUS, ROW = 4, 3, 1, 32, 8, 4, 64
MAC, SWITCH, SWITCHES = 5.0, 100.0, 3
OPEN = 20.0 + 15.0 + RCD  # eight banks, four within 20 ns, 5 ns apart; then the last may be read
BUS = 51.2 * (1 - (RTP + RPAB + RFC + TWO_ACTS + RCD) / REFI)  # GB/s
PIM_SHARE = 1 - (RPAB + RFC) / REFI
CORES, ARRAY, VECTOR_OPS = 16, 32, 16 * 256 * 2.0  # per ns
SCRATCHPAD, LOCAL, SUM_BITS = 8 << 20, 256 << 10, 32


class Events(dict[str, float]):
    """Counts by kind of event; what is not named did not happen."""

    def __missing__(self, name: str) -> float:
        return 0.0

    def __add__(self, other: "Events") -> "Events":
        return Events({name: self[name] + other[name] for name in {**self, **other}})


def number(text: str | float) -> float:
    """What stands before the unit."""
    found = re.match(r"\s*([-+.\deE]+)", str(text))
    assert found is not None
    return float(found[1])


@cache
def prices(profile: str) -> dict[str, float]:
    """Energy of every event, pJ; a profile without refresh or standby prices none."""
    given = tomllib.loads((HARDWARE / "energy_profiles" / f"{profile}.toml").read_text())
    tables = {key: entry for key, entry in given.items() if isinstance(entry, dict)}
    value = {key: number(entry["value"]) for key, entry in tables.items() if "value" in entry}
    value |= memory_prices(given["currents"]) if "currents" in given else {}
    write_io = value.get("write_io", value["io"])
    return {
        "activated": value["activate"],
        "column": value["column"],
        "io": value["io"],
        "bus": value["io"],
        "bus_in": write_io,
        "written": value["activate"] + value["column"] + write_io,
        "scratchpad": value["scratchpad"],
        "local": value["local_buffer"],
        "register": value["core_register"],
        "pim_register": value["pim_register"],
        "mac8": value["mac_int8"],
        "mac16": value["mac_fp16"],
        "refresh": value.get("refreshing", 0.0) * RFC,
        "idle": value.get("idle", 0.0),
        "active": value.get("active", 0.0),
    }


def memory_prices(currents: dict[str, Any]) -> dict[str, float]:
    """pJ per bit, and mW, which are pJ per ns, of a die by its currents: volts times milliamperes, supply by supply."""
    rate, pins, row, t_ras, t_rp, share = (
        number(currents[name]["value"]) for name in ("data_rate", "data_pins", "row_bytes", "tRAS", "tRP", "in_bank")
    )
    mw: dict[str, float] = {}
    for rail in (currents[name] for name in currents if name.startswith("VDD")):
        volts = number(rail["voltage"]["value"])
        i = {name: number(entry["value"]) for name, entry in rail.items()}
        still, open_row = i.get("IDD2N", 0.0), i.get("IDD3N", 0.0)
        for name, above in (("IDD4R", open_row), ("IDD4W", open_row), ("IDD5", still), ("IDD2N", 0.0), ("IDD3N", 0.0)):
            mw[name] = mw.get(name, 0.0) + volts * (i[name] - above if name in i else 0.0)
        cycle = i["IDD0"] * (t_ras + t_rp) - open_row * t_ras - still * t_rp if "IDD0" in i else 0.0
        mw["row"] = mw.get("row", 0.0) + volts * cycle
    gbit_per_s = rate * pins / 1e3
    read, write = mw["IDD4R"] / gbit_per_s, mw["IDD4W"] / gbit_per_s
    column = read * share / 100
    found = {"activate": mw["row"] / (8 * row), "column": column, "io": read - column, "write_io": write - column}
    return found | {"refreshing": mw["IDD5"], "idle": mw["IDD2N"], "active": mw["IDD3N"]}


@dataclass(frozen=True)
class Decoder:
    """Dimensions of a Llama-like decoder."""

    layers: int
    hidden: int
    inner: int
    heads: int
    kv: int
    dim: int
    vocab: int
    qkv_bias: bool

    @property
    def value(self) -> int:
        return self.dim

    @property
    def latent(self) -> bool:
        return False

    @property
    def products(self) -> list[tuple[int, int, int]]:
        """Copies, k and n of every product."""
        qkv = (self.heads + 2 * self.kv) * self.dim
        return [
            (self.layers, self.hidden, qkv),
            (self.layers, self.heads * self.dim, self.hidden),
            (self.layers, self.hidden, 2 * self.inner),
            (self.layers, self.inner, self.hidden),
            (1, self.hidden, self.vocab),
        ]

    def vector_work(self, tokens: int, keys: int) -> list[tuple[int, float, float]]:
        """Copies, operations and bytes read of every step of vector work."""
        width, qkv = tokens * self.hidden, (self.heads + 2 * self.kv) * self.dim
        each_layer = [
            (4 * width, self.hidden),  # norm
            (tokens * qkv, qkv) if self.qkv_bias else (0, 0),
            (3 * tokens * (self.heads + self.kv) * self.dim, 0),  # rotary embedding
            (5 * self.heads * tokens * keys, 0),  # softmax
            (width, 0),
            (4 * width, self.hidden),
            (4 * tokens * self.inner, 0),  # gated SiLU
            (width, 0),
        ]
        once = [(width, width), (4 * width, self.hidden), (tokens * self.vocab, 0)]
        works = [(self.layers, work) for work in each_layer] + [(1, work) for work in once]
        return [(copies, float(operations), float(nbytes)) for copies, (operations, nbytes) in works]


@dataclass(frozen=True)
class Kind:
    """Heads of one kind of layers; a latent is key and value at once."""

    heads: int
    kv: int
    dim: int
    value: int
    latent: bool


def cached(model: "Decoder | Kind") -> int:
    """Numbers that a token adds to the cache of one layer."""
    return model.kv * (model.dim + (0 if model.latent else model.value))


def read(nbytes: float) -> Events:
    """Bytes read off the chip, which scratchpad and local buffer write and read."""
    bits = 8 * nbytes
    return Events(activated=bits, column=bits, io=bits, scratchpad=2 * bits, local=2 * bits)


def passing(inputs: float, outputs: float, tiles: int, input_reads: float, sums: float, cores: int) -> Events:
    """Inputs fetched from the scratchpad, once a core if they fit its buffer; sums written and read at 32 bits."""
    fetches = min(cores, tiles) if inputs <= LOCAL else tiles
    on_chip = 8 * inputs * fetches
    return Events(scratchpad=on_chip + 8 * outputs, local=on_chip + 8 * input_reads + 2 * SUM_BITS * sums)


def scaled(events: Events, factor: float) -> Events:
    return Events({name: count * factor for name, count in events.items()})


# --- the NPU


def npu_product(tokens: int, k: int, n: int) -> tuple[float, float, Events]:
    """Time of the arrays, bytes over the bus, events without those of the read."""
    if n == 0:
        return 0.0, 0.0, Events()
    across, down = ceil(n / ARRAY), ceil(k / ARRAY)
    array_ns = max(ceil(across * k / CORES), ceil(across * down / CORES) * tokens)
    spilled = max(0, tokens * (k + n) - SCRATCHPAD)
    events = passing(tokens * k, tokens * n, across, tokens * k * across, tokens * n * down, CORES)
    return array_ns, k * n + spilled, events + Events(mac8=tokens * k * n)


def npu_head(model: "Decoder | Kind", tokens: int, keys: int) -> tuple[tuple[float, Events], tuple[float, Events]]:
    """Time of all arrays, and events, of scores and of values of one key-value head."""
    queries = tokens * model.heads // model.kv
    halves = []
    for k, n in ((model.dim, keys), (keys, model.value)):
        across, down = ceil(n / ARRAY), ceil(k / ARRAY)
        array_ns = max(across * k, queries * across * down) / CORES
        events = passing(queries * k, queries * n, across, queries * k * across, queries * n * down, 1)
        halves.append((array_ns, events + Events(mac8=queries * k * n)))
    return halves[0], halves[1]


def npu_pass(model: Decoder, tokens: int, context: int, _split: object = None) -> tuple[float, Events]:
    """Everything on the NPU: each operator takes the longer of arithmetic and bus."""
    keys, total_ns, events = context + tokens, 0.0, Events()
    for copies, k, n in model.products:
        array_ns, nbytes, on_chip = npu_product(tokens, k, n)
        total_ns += copies * max(array_ns, nbytes / BUS)
        events += scaled(on_chip + read(nbytes), copies)
    for copies, operations, nbytes in model.vector_work(tokens, keys):
        total_ns += copies * max(operations / VECTOR_OPS, nbytes / BUS)
        events += scaled(read(nbytes) + Events(mac8=operations / 2), copies)
    row = 2 * model.kv * model.dim
    (scores_ns, scores), (values_ns, values) = npu_head(model, tokens, keys)
    total_ns += model.layers * max(model.kv * (scores_ns + values_ns), (keys + tokens) * row / BUS)
    attention = scaled(scores + values, model.kv) + read(keys * row) + Events(written=8 * tokens * row)
    return standing_by(total_ns, events + scaled(attention, model.layers))


def standing_by(total_ns: float, events: Events) -> tuple[float, Events]:
    """All sixteen dies refresh and wait; reading keeps a row open on each channel."""
    dies = CHANNELS * (RANKS + DRAM_RANKS)
    active_ns = events["active"] + events["io"] / 8 / BUS * CHANNELS
    rest = Events(refresh=total_ns * dies / REFI, idle=total_ns * dies - active_ns)
    return total_ns, events + rest + Events(active=active_ns - events["active"])


# --- PIM beside it


@dataclass
class Program:
    """What the channel with the most to do runs: passes one after the other, and sums over dies."""

    passes: float = 0.0
    macs: float = 0.0
    rows: float = 0.0
    die_passes: float = 0.0
    die_macs: float = 0.0
    die_rows: float = 0.0
    token_macs: float = 0.0
    sets: float = 0.0
    bursts_in: float = 0.0
    bursts_out: float = 0.0
    share: float = 1.0

    def together_ns(self, npu_bytes: float) -> float:
        """PIM beside the bus, which carries its inputs and results and the NPU's reads."""
        if not self.passes:
            return npu_bytes / BUS
        busy = (
            SWITCHES * SWITCH + self.passes * (OPEN + CL) + self.macs * MAC + self.bursts_out * BURST
        )  # rows are hidden
        turns = self.sets * (CL + RTRS - CWL) if npu_bytes else 0.0
        bus = (npu_bytes + CHANNELS * 32 * (self.bursts_in + self.bursts_out)) / BUS + turns
        return max(busy / PIM_SHARE, bus)

    @property
    def events(self) -> Events:
        """Those of all channels."""
        columns = self.die_macs * MPUS * 256.0
        rows = (self.die_rows + self.die_macs * MAC / (2 * REFI)) * MPUS * 256.0 * ROW
        bus_in, bus = self.bursts_in * 256.0, self.bursts_out * 256.0
        of_one = Events(
            activated=rows,
            column=columns,
            pim_register=columns + bus_in + bus,
            mac8=self.token_macs * MPUS * LANES,
            bus=bus,
            bus_in=bus_in,
            active=self.die_macs * MAC + self.die_passes * OPEN,
        )
        return scaled(of_one, CHANNELS * self.share)


def bursts(tokens: int, k: int) -> int:
    """Bursts of k inputs of each token, up to four tokens at a time, 64 inputs a set."""
    sent = 0
    for served in [ALUS] * (tokens // ALUS) + [tokens % ALUS]:
        sent += k // 64 * ceil(64 * served / 32) + served * ceil(k % 64 / 32)
    return sent


def pim_product(tokens: int, k: int, columns: int) -> Program:
    """Blocks of 32 columns dealt to channels; eight of them are a die's, three dies a tile."""
    blocks = ceil(ceil(columns / LANES) / CHANNELS)
    units, passes, rows = ceil(blocks / MPUS), ceil(tokens / ALUS), ceil(k / ROW)
    tiles = ceil(units / RANKS)
    return Program(
        tiles * passes,
        tiles * passes * k,
        tiles * passes * rows,
        units * passes,
        units * passes * k,
        units * passes * rows,
        units * tokens * k,
        tiles * passes * rows,
        tiles * bursts(tokens, k),
        tokens * blocks * 4,
    )


def dealt(positions: int, parts: int) -> int:
    """Positions of the fullest of some parts that take rows of 64 in turn."""
    return sum(min(ROW, positions - start) for start in range(0, positions, ROW * parts))


def pim_heads(model: "Decoder | Kind", tokens: int, keys: int, on_pim: int) -> tuple[Program, Program]:
    """Scores and values of some heads of a layer; a head whose channel's dies it leaves idle is dealt to several."""
    quantum = gcd(model.kv, CHANNELS)
    on_channel = model.kv // quantum
    parts = 1 if on_channel >= 2 * RANKS else RANKS // gcd(on_channel, RANKS)
    matrices = ceil(on_pim / quantum) * parts
    part = dealt(dealt(keys, CHANNELS // quantum), parts)
    queries = tokens * model.heads // model.kv
    scores, values = Program(), Program()
    if on_pim:
        slots, passes = ceil(part / (MPUS * LANES)), ceil(queries / ALUS)
        tiles, units, rows = ceil(matrices / RANKS) * slots, matrices * slots, ceil(model.dim / ROW)
        scores = Program(
            tiles * passes,
            tiles * passes * model.dim,
            tiles * passes * rows,
            units * passes,
            units * passes * model.dim,
            units * passes * rows,
            units * queries * model.dim,
            units * passes * rows,
            units * bursts(queries, model.dim),
            matrices * queries * (part // LANES * 4 + ceil(part % LANES / 8)),
        )
        blocks = ceil(model.value / LANES)
        together = max(1, min(MPUS // blocks, on_channel * parts))
        slots = ceil(blocks / (MPUS // together))
        rows = ceil(part / ROW)
        left = matrices
        while left:  # a tile: heads to dies in turn, whose tokens add up
            here = min(left, RANKS * together)
            left -= here
            dies = [here // RANKS + (die < here % RANKS) for die in range(RANKS)]
            longest = ceil(queries * max(dies) / ALUS) * slots
            of_dies = sum(ceil(queries * heads / ALUS) for heads in dies) * slots
            values.passes += longest
            values.macs += longest * part
            values.rows += longest * rows
            values.die_passes += of_dies
            values.die_macs += of_dies * part
            values.die_rows += of_dies * rows
            values.sets += of_dies * rows
            values.bursts_in += sum(bursts(queries * heads, part) for heads in dies) * slots
        values.token_macs = matrices * queries * part * slots
        values.bursts_out = matrices * queries * 4 * blocks
        scores.share = values.share = on_pim / (ceil(on_pim / quantum) * quantum)
    return scores, values


def appended(model: "Decoder | Kind", tokens: int, context: int) -> tuple[float, Events]:
    """New keys, a byte in each of dim columns, and values, side by side, go to PIM ranks; both go to the DRAM rank."""
    quantum = gcd(model.kv, CHANNELS)
    heads, channels = model.kv // quantum, float(quantum)
    parts = 1 if heads >= 2 * RANKS else RANKS // gcd(heads, RANKS)
    blocks = (context + tokens - 1) // LANES - context // LANES + 1
    keys, values = heads * blocks * model.dim, heads * tokens * ceil(model.value / LANES)
    in_group = blocks // MPUS * 2 + min(blocks % MPUS, 2)  # blocks in the two MPUs of a bank group
    once = max(heads * in_group * model.dim * CCD_L, keys * BURST) + values * BURST
    once += 2 * (RCD + CWL + BURST + WR + RPPB)
    pim_ns = once / (BUS / 51.2)
    bits = (keys + values) * 256.0 * channels
    pim_ns = max(pim_ns, bits / 8 / BUS)
    rows = blocks * ceil(model.dim / ROW) + ceil(model.value / LANES) * ceil(tokens / ROW)
    row_bits = rows * heads * 256.0 * ROW * channels
    dies = min(heads, max(1, RANKS // parts)) * channels
    row = 1.0 * cached(model) * tokens
    dram_ns = row / BUS
    events = Events(written=bits + 8 * row, activated=row_bits - bits, active=pim_ns * dies + dram_ns * CHANNELS)
    return pim_ns + dram_ns, events


HEADS = (0, 0)
Shares = Mapping[tuple[int, int], list[tuple[int, int]]]
"""What PIM takes: of the products K x N, copies and columns of each; under ``HEADS`` layers and heads."""


@cache
def split_product(tokens: int, k: int, n: int, columns: int) -> tuple[float, Events]:
    """A product of which PIM computes some columns and the NPU the others."""
    array_ns, nbytes, on_chip = npu_product(tokens, k, n - columns)
    program = pim_product(tokens, k, columns)
    return max(array_ns, program.together_ns(nbytes)), on_chip + read(nbytes) + program.events


@cache
def split_heads(model: "Decoder | Kind", tokens: int, keys: int, on_pim: int) -> tuple[float, Events]:
    """Attention over so many keys, some heads on PIM, in equal work for all channels."""
    alone = model.kv - on_pim
    of_keys, of_values = alone * keys * model.dim, 0 if model.latent else alone * keys * model.value
    took, events, halves = 0.0, read(of_keys + of_values), npu_head(model, tokens, keys)
    programs = pim_heads(model, tokens, keys, on_pim)
    for (array_ns, on_chip), program, nbytes in zip(halves, programs, (of_keys, of_values), strict=True):
        took += max(alone * array_ns, program.together_ns(nbytes))
        events = events + scaled(on_chip, alone) + program.events
    return took, events


def hybrid_pass(model: Decoder, tokens: int, context: int, on_pim: Shares) -> tuple[float, Events]:
    """Products and heads split, vector work on the NPU, new keys and values written to both sides.

    How they are split is given: tests of allocators hold that against all ways.
    """
    total_ns, events = 0.0, Events()
    for copies, k, n in model.products:
        assert sum(alike for alike, _ in on_pim[k, n]) == copies
        for alike, columns in on_pim[k, n]:
            took, doing = split_product(tokens, k, n, columns)
            total_ns += alike * took
            events += scaled(doing, alike)
    for copies, operations, nbytes in model.vector_work(tokens, context + tokens):
        total_ns += copies * max(operations / VECTOR_OPS, nbytes / BUS)
        events += scaled(read(nbytes) + Events(mac8=operations / 2), copies)
    keys = ceil((context + tokens) / LANES) * LANES
    took, doing = split_heads(model, tokens, keys, on_pim[HEADS][0][1])
    written_ns, written = appended(model, tokens, context)
    total_ns += model.layers * (took + written_ns)
    return standing_by(total_ns, events + scaled(doing + written, model.layers))


# --- a GPU


def gpu_product(gpu: dict[str, float], m: int, k: int, n: int, bits: int) -> tuple[float, float, Events]:
    """Time of arithmetic and of memory, and events: blocks of 128 x 128 outputs in L1, 16 x 16 in registers."""
    macs, weights = m * k * n, bits / 8 * k * n
    fetched = bits * (k * n * (ceil(m / 128) - 1) + m * k * ceil(n / 128))
    reads = bits * (k * n * (ceil(m / 16) - 1) + m * k * ceil(n / 16))
    events = Events(scratchpad=fetched + bits * m * n, local=fetched + reads, register=3 * bits * macs)
    events += read(weights) + Events({"mac8" if bits == 8 else "mac16": macs})
    return 2 * macs / (gpu[f"int{bits}" if bits == 8 else "fp16"] * 1e3), weights / gpu["bus"], events


def gpu_pass(model: Decoder, tokens: int, context: int, _split: object = None, bits: int = 16) -> tuple[float, Events]:
    """Rooflines of an RTX 3090; scores and values are one kernel, and new keys and values are written besides."""
    gpu = {"fp16": 142.0, "int8": 284.0, "bus": 936 * 0.85}
    keys, total_ns, events = context + tokens, 0.0, Events()
    for copies, k, n in model.products:
        compute_ns, memory_ns, one = gpu_product(gpu, tokens, k, n, bits)
        total_ns += copies * max(compute_ns, memory_ns)
        events += scaled(one, copies)
    for copies, operations, nbytes in model.vector_work(tokens, keys):
        total_ns += copies * max(operations / 35.6e3, bits / 8 * nbytes / gpu["bus"])
        events += scaled(read(bits / 8 * nbytes) + Events(mac16=operations / 2), copies)
    queries = tokens * model.heads // model.kv
    halves = [gpu_product(gpu, queries, k, n, bits) for k, n in ((model.dim, keys), (keys, model.dim))]
    attention_ns = model.kv * max(sum(half[0] for half in halves), sum(half[1] for half in halves))
    written = 2.0 * model.kv * model.dim * tokens * bits / 8
    total_ns += model.layers * (attention_ns + written / gpu["bus"])
    attention = scaled(halves[0][2] + halves[1][2], model.kv) + Events(written=8 * written)
    return total_ns, events + scaled(attention, model.layers)


GDDR6X = {"activated": 0.11, "column": 0.44, "io": 6.7, "bus": 6.7, "bus_in": 6.7, "written": 7.25}
"""pJ per bit, whatever the profile says of DRAM."""


def energy_pj(events: Events, profile: str, memory: dict[str, float] | None = None) -> float:
    """Energy of all events, with other prices of memory if given."""
    price = prices(profile) | (memory or {})
    return sum(count * price[name] for name, count in events.items())

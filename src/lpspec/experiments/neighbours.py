"""What LP-Spec's neighbours published beside what their machines give here, mostly one token at a time.

A number that a constant was fitted to says so, and is no test of the model; the others are. Where a paper leaves a
condition open, the row's note says what was taken.
"""

from collections.abc import Iterator
from functools import cache

from lpspec.allocation.allocator import make_allocator
from lpspec.experiments.ahasd import ahasd_rows
from lpspec.experiments.cosine import cosine_rows
from lpspec.experiments.peer_row import Neighbour, PeerRow
from lpspec.experiments.token_stack import token_stack_rows
from lpspec.llm.loading import load_model
from lpspec.llm.operators import verify_operators
from lpspec.machine.loading import load_platform

TERAFLY = Neighbour(
    "TeraFly (TCAD 2025; zjnyly/TeraFly @5e670912), OPT-1.3B W8A8 without LM head, one Alveo U50lv, measured", "terafly"
)
TERAFLY_MS, TERAFLY_POSITION = 8.29, 639
"""Mean of 1,024 kernel calls, 8.25 to 8.35 ms, and the position of each."""

LOOP_LYNX = Neighbour(
    "LoopLynx (DATE 2025, arXiv 2504.09561), GPT-2 345M W8A8, Alveo U50lv, against an A100", "loop-lynx"
)
LOOP_LYNX_SCALING = 1.51
"""Four nodes over two: 2.52 / 1.67."""
LOOP_LYNX_SPEED_UP = {2: 1.67, 4: 2.52}
"""Over an A100, by nodes."""
LOOP_LYNX_ENERGY = {2: (2.3, 2.3), 4: (1 / 0.481, 2.7)}
"""Token/J over an A100: of two nodes; of four, 48.1 % of the energy in the abstract and 2.7 times in the body."""
LOOP_LYNX_CONTEXT = 128
NODE_CARDS = {2: 1, 4: 2}
A100_LAUNCH = "14.2 us"
"""Fitted: 5.60 ms a token of GPT-2 345M in FP16, of which both of LoopLynx's speed-ups follow."""

EXPOSED_FITTED = "exposed_per_width 45 ns, to what weights and cache leave of 1.51x and of 8.29 ms"
LAUNCH_FITTED = f"gpu.launch {A100_LAUNCH}, to the 5.6 ms of an A100 that 1.67x and 2.52x imply"

LEAP = Neighbour("LEAP (ICCAD 2025, arXiv 2509.14781), Llama, abstract alone, against an A100", "leap")
LEAP_SPEED_UP, LEAP_ENERGY = 2.55, 71.94
"""Times the token/s and the token/J of an A100, a mean over its models."""
LEAP_MODELS = {"llama3-8b": "Llama 8B", "llama3.2-1b": "Llama 1B", "llama2-13b": "Llama 13B"}
LEAP_CONTEXT = 256
LEAP_FITTED = "tile_time 224 ns and board_power 14.18 W, once, to 2.55x and 71.94x on Llama 8B"

CD_PIM = Neighbour("CD-PIM (arXiv 2601.12298), single batch, mean over its models and lengths", "cd-pim")
CD_PIM_SPEED_UPS = {"mobile-npu": 11.42, "lpddr5-pim": 4.25}
"""Over its GPU alone, and over earlier PIM; here the NPU alone and LP-Spec's GEMV-only PIM."""
CD_PIM_CONTEXT = 256


def neighbour_rows() -> tuple[PeerRow, ...]:
    """Every row of the neighbours that have machines of their own."""
    return tuple(
        row
        for rows in (_terafly, _loop_lynx, _leap, _cd_pim, token_stack_rows, cosine_rows, ahasd_rows)
        for row in rows()
    )


@cache
def token_ms(platform: str, model: str, context: int, bits: int = 8, **how: str | bool) -> float:
    """Time of one decoded token at the analytic level.

    Args:
        platform: Its name.
        model: A preset's.
        context: Tokens before.
        bits: Of weights, activations and cache.
        how: Changes of the platform's constants, with ``__`` for a dot; ``head=False`` to leave out the LM head.
    """
    changes = {key.replace("__", "."): str(value) for key, value in how.items() if key != "head"}
    machine, spec = load_platform(platform, changes), load_model(model).with_bits(bits, bits, bits)
    last = () if how.get("head", True) else ("lm_head", "argmax")
    operators = tuple(op for op in verify_operators(spec, 1, context) if op.name not in last)
    return float(make_allocator(machine, spec, 1, context + 1).decode_cost(operators).latency_ns) / 1e6


def _board_w(platform: str) -> float:
    board_power = load_platform(platform).board_power
    assert board_power is not None
    return board_power.watts


def _terafly() -> Iterator[PeerRow]:
    found = token_ms("terafly", "opt-1.3b", TERAFLY_POSITION, head=False)
    note = "the constant is one for LoopLynx and TeraFly, so neither is met exactly"
    what = f"time of a token behind {TERAFLY_POSITION}"
    yield TERAFLY.row("terafly_token", what, TERAFLY_MS, found, unit="ms", note=note, fitted=EXPOSED_FITTED)


def _loop_lynx() -> Iterator[PeerRow]:
    """Both counts of nodes, against each other and against the A100."""
    ours = {n: _loop_lynx_ms(n) for n in LOOP_LYNX_SPEED_UP}
    note = f"context open, {LOOP_LYNX_CONTEXT} tokens taken; without the LM head, as in TeraFly's kernels"
    what, scaling = "speed of 4 nodes over 2", ours[2] / ours[4]
    yield LOOP_LYNX.row("loop_lynx_scaling", what, LOOP_LYNX_SCALING, scaling, note=note, fitted=EXPOSED_FITTED)
    gpu_ms = token_ms("a100", "gpt2-345m", LOOP_LYNX_CONTEXT, 16, gpu__launch=A100_LAUNCH)
    speed = {"fitted": f"{LAUNCH_FITTED}; {EXPOSED_FITTED}"}
    speed["note"] = "the A100's time follows from the same ratios: the two are one independent number"
    energy = speed | {"note": "board powers of data sheets, 75 W a card and 400 W; LoopLynx measured a GPU that waits"}
    for nodes, speed_up in LOOP_LYNX_SPEED_UP.items():
        found, key, who = gpu_ms / ours[nodes], f"loop_lynx_{nodes}", f"{nodes} nodes over A100 FP16"
        yield LOOP_LYNX.row(f"{key}_speed", f"{who}: speed", speed_up, found, **speed)
        per_j = found * _board_w("a100") / (NODE_CARDS[nodes] * _board_w("terafly"))
        yield LOOP_LYNX.row(f"{key}_energy", f"{who}: token/J", LOOP_LYNX_ENERGY[nodes], per_j, **energy)


def _loop_lynx_ms(nodes: int) -> float:
    return token_ms("loop-lynx", "gpt2-345m", LOOP_LYNX_CONTEXT, head=False, dataflow__nodes=str(nodes))


def _leap() -> Iterator[PeerRow]:
    """Fitted on one model; of the others the direction alone says something."""
    note = f"INT8 on both, behind {LEAP_CONTEXT} tokens: precision, context and A100 of the paper are open"
    for model, name in LEAP_MODELS.items():
        speed_up = token_ms("a100", model, LEAP_CONTEXT) / token_ms("leap", model, LEAP_CONTEXT)
        per_j = speed_up * _board_w("a100") / _board_w("leap")
        said = {"note": note, "fitted": LEAP_FITTED + ("" if model == "llama3-8b" else "; direction only")}
        yield LEAP.row(f"leap_{model}_speed", f"{name} over A100: token/s", LEAP_SPEED_UP, speed_up, **said)
        what = f"{name} over A100: token/J, board power"
        yield LEAP.row(f"leap_{model}_energy", what, LEAP_ENERGY, per_j, **said)


def _cd_pim() -> Iterator[PeerRow]:
    """Decoding in the middle of a request."""
    ours = token_ms("cd-pim", "llama2-7b", CD_PIM_CONTEXT)
    note = (
        f"Llama2-7B INT8 behind {CD_PIM_CONTEXT} tokens, decoding alone, an NPU at 51.2 GB/s in the place of a "
        "Jetson's GPU; its mean has prompts and other models in it, and its earlier PIM is another"
    )
    for other, published in CD_PIM_SPEED_UPS.items():
        found = token_ms(other, "llama2-7b", CD_PIM_CONTEXT) / ours
        yield CD_PIM.row(f"cd_pim_{other}", f"speed over {other}", published, found, note=note)

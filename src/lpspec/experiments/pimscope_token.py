"""One token of Llama2-7B on one channel with one PIM rank, every command issued, beside PIMScope's count of cycles.

PIMScope (TtitiO/PIMScope @6d105b04; LPDDR5-6400, INT8, behind 1,024 tokens, without refresh, MACs every 8 CK) has 231.8
million CK with a bank per block, and 346.8 with two.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from lpspec.dram.pim.cache import KvPlacement
from lpspec.dram.pim.products import PimProgram, compile_gemm, compile_scores, compile_values
from lpspec.dram.pim.weights import PimChannel, place_weights
from lpspec.dram.run.controller import Controller
from lpspec.dram.run.simulate import run_channel
from lpspec.llm.loading import load_model
from lpspec.llm.operators import Attention, Gemm, verify_operators
from lpspec.machine.loading import load_die

PUBLISHED_MILLION_CK: dict[Literal[1, 2], float] = {1: 231.8, 2: 346.8}
"""By banks per block."""
MAC_CK, PAST = 8, 1024


@dataclass(frozen=True, slots=True)
class TokenCycles:
    """What one token takes.

    Attributes:
        ck: All of it.
        macs: All-bank MACs, each of a column from half or all of the banks, for one token.
        columns: Columns of all banks of the die, 512 B, that this is.
    """

    ck: int
    macs: int
    columns: float


def token_cycles(banks_per_mpu: Literal[1, 2], activate: Literal["faw", "at_once"]) -> TokenCycles:
    """All products with weights and all attention of one token, one program after the other.

    Args:
        banks_per_mpu: Banks that share an MPU.
        activate: Whether an all-bank activation obeys nRRD and nFAW, or all banks open at once.
    """
    units = {"banks_per_mpu": f"{banks_per_mpu}", "activate": activate, "mac_interval": f"{MAC_CK} CK", "alus": "1"}
    device = load_die("lpddr5-6400-16gb", {f"pim.{key}": value for key, value in units.items()})
    channel, total = PimChannel(device, (0,)), Counter[str]()
    for program, count in _programs(channel):
        run = run_channel([], program.lines, device, Controller(ranks=1, refresh="none"))
        total.update(ck=count * run.total_ck, macs=count * run.command_counts["PIM_MAC"])
    return TokenCycles(total["ck"], total["macs"], total["macs"] / banks_per_mpu)


def _programs(channel: PimChannel) -> Iterator[tuple[PimProgram, int]]:
    """The programs of a token, and how often each runs."""
    for op in verify_operators(load_model("llama2-7b"), 1, PAST):
        if isinstance(op, Gemm):
            yield compile_gemm(place_weights(channel, op.k, op.n), 1), op.count
        elif isinstance(op, Attention):
            placed = KvPlacement(channel, op.kv_heads, op.head_dim, PAST + 1)
            for compiled in (compile_scores, compile_values):
                yield compiled(placed, PAST + 1, 1), op.count

"""A 4096-wide GEMV inside the memory against reading its weights, command by command, beside published speed-ups.

LP5X-PIM Sim (Samsung, arXiv 2606.00636; LPDDR5X-9600, one PIM block per bank, 4 channels) reports 6.0-6.2x, with 16-bit
activations 5.7-5.8x, and above 5.0x with a 150 ns fence. PIMScope finds one bank per block 1.17-1.80x faster than two.
``python -m lpspec.experiments.pim_gemv`` prints both beside what the exact engine gives, and where the time goes.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from lpspec.dram.pim.products import compile_gemm
from lpspec.dram.pim.weights import PimChannel, place_weights, share_of_channel
from lpspec.dram.run.controller import Controller, Refresh, all_bank_activate_ck
from lpspec.dram.run.simulate import ChannelRun, run_channel, run_requests
from lpspec.machine.die import DieSpec
from lpspec.machine.loading import load_die
from lpspec.machine.pim_format import INT8, PimFormat

DIE, WIDTH, CHANNELS = "lp5x-pim", 4096, 4
PUBLISHED_SPEED_UP = (6.0, 6.2)
PUBLISHED_WIDE_SPEED_UP = (5.7, 5.8)
WIDE_FORMATS = PimFormat(8, 16), PimFormat(4, 16)
"""With activations of 16 bits, and weights of 8 or 4."""
PUBLISHED_SPEED_UP_WITH_FENCE = 5.0
PUBLISHED_TWO_BANKS = (1.17, 1.80)


@dataclass(frozen=True, slots=True)
class GemvCase:
    """One way to build the die and to drive it.

    Attributes:
        banks_per_mpu: Banks that share an MPU.
        activate: Whether an all-bank activation obeys nRRD and nFAW (``faw``) or all banks open at once.
        fence_ns: Wait of the host before each tile's readback.
        refresh: As the controller takes it, for both the product and the reads.
        form: Bits of weights and activations.
    """

    banks_per_mpu: Literal[1, 2] = 1
    activate: Literal["faw", "at_once"] = "faw"
    fence_ns: float = 0.0
    refresh: Refresh = "all-bank"
    form: PimFormat = INT8


@dataclass(frozen=True, slots=True)
class GemvResult:
    """Times in CK of one channel, and the parts of the product's.

    Attributes:
        case: What was run.
        pim_ck: The product, from entering PIM mode to the last result.
        read_ck: Reading the channel's share of the weights, bank groups interleaved.
        mac_ck: MACs alone: their number times nMAC.
        row_ck: Row changes that nothing hides, where an MPU has no other bank: their number times the shortest way
            from the last MAC of a row to the first of the next.
        refresh_ck: What the product takes longer than without refresh.
        counts: Commands of the product.
    """

    case: GemvCase
    pim_ck: int
    read_ck: int
    mac_ck: int
    row_ck: int
    refresh_ck: int
    counts: dict[str, int]

    @property
    def speed_up(self) -> float:
        """Time of reading over time of the product."""
        return self.read_ck / self.pim_ck

    @property
    def other_ck(self) -> int:
        """First rows and inputs of each tile, readback, mode switches, fences."""
        return self.pim_ck - self.mac_ck - self.row_ck - self.refresh_ck


def run_gemv(case: GemvCase) -> GemvResult:
    """Run one token's product with a square matrix on one of the channels, one rank computing."""
    device = load_die(DIE, {"pim.banks_per_mpu": str(case.banks_per_mpu), "pim.activate": case.activate})
    outputs = share_of_channel(WIDTH, CHANNELS, 0)[1]
    placement = place_weights(PimChannel(device, (0,), form=case.form), WIDTH, outputs)
    program = compile_gemm(placement, 1, round(case.fence_ns / device.ck_ns))

    def product(refresh: Refresh) -> ChannelRun:
        return run_channel([], program.lines, device, Controller(ranks=1, refresh=refresh))

    done = product(case.refresh)
    calm = product("none")
    return GemvResult(
        case,
        done.total_ck,
        reading_ck(device, WIDTH * outputs * case.form.weight_bits // 8, case.refresh),
        done.command_counts["PIM_MAC"] * device.mac_ck,
        _exposed_row_ck(device) * (calm.command_counts["PIM_ACT"] - len(placement.tiles())),
        done.total_ck - calm.total_ck,
        done.command_counts,
    )


def reading_ck(device: DieSpec, read_bytes: int, refresh: Refresh) -> int:
    """CK to read so much from one rank, as fast as its banks allow: whole rows, bank groups interleaved."""
    burst, columns = device.organisation.burst_bytes.n, device.organisation.columns
    i = np.arange(-(-read_bytes // burst))
    bank = i % 4 * 4 + i // (4 * columns) % 4
    requests = np.stack([0 * i, 0 * i, bank, i // (16 * columns), i // 4 % columns * 16], 1)
    return run_requests(requests, device, Controller(ranks=1, refresh=refresh)).total_ck


def _exposed_row_ck(device: DieSpec) -> int:
    """CK lost to each further row of a tile where an MPU has one bank: close, open, beyond one MAC interval."""
    if device.pim.banks_per_mpu.n > 1:
        return 0
    t = device.timing
    opened_ck, _ = all_bank_activate_ck(device)
    return t.nRTP.n + t.nRPab.n + opened_ck + t.nRCD.n - device.mac_ck


def all_cases() -> list[GemvResult]:
    """One and two banks per MPU, both kinds of activation, with refresh and without, and the fence."""
    plain = [GemvCase(banks, activate) for banks in (1, 2) for activate in ("faw", "at_once")]
    calm = [replace(case, refresh="none") for case in plain]
    fenced = [replace(case, fence_ns=150.0) for case in plain[:2]]
    return [run_gemv(case) for case in [*plain, *calm, *fenced]]


def lines_of(results: list[GemvResult]) -> list[str]:
    """What was found, one line a case, then the comparisons."""
    lines = ["banks/MPU  activate  fence   refresh    speed-up |  of all CK:  MACs  rows  refresh  other"]
    for r in results:
        c = r.case
        shares = "".join(f"{ck / r.pim_ck:8.1%}" for ck in (r.mac_ck, r.row_ck, r.refresh_ck, r.other_ck))
        lines.append(
            f"{c.banks_per_mpu:9}  {c.activate:8}  {c.fence_ns:3.0f} ns  {c.refresh:9}  {r.speed_up:7.2f}x | {shares}"
        )
    one = {r.case: r for r in results}
    low, high = PUBLISHED_SPEED_UP
    lines.append(f"published: {low}-{high}x; above {PUBLISHED_SPEED_UP_WITH_FENCE}x with a 150 ns fence")
    for activate in ("faw", "at_once"):
        ratio = one[GemvCase(2, activate)].pim_ck / one[GemvCase(1, activate)].pim_ck
        low, high = PUBLISHED_TWO_BANKS
        lines.append(f"two banks per MPU against one, {activate}: {ratio:.2f}x longer (PIMScope: {low}-{high}x)")
    return lines


if __name__ == "__main__":
    print("\n".join(lines_of(all_cases())))

"""Ten million random commands, and the independent checker finds no fault in one of them."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lpspec.dram.check.checker import CheckOptions, CheckReport, CommandChecker
from lpspec.dram.check.table import command_table
from lpspec.dram.pim.products import compile_gemm
from lpspec.dram.pim.weights import PimChannel, place_weights
from lpspec.dram.run.checking import check_options
from lpspec.dram.run.controller import Controller
from lpspec.dram.run.session import NO_PROGRAM
from lpspec.dram.run.simulate import run_channel
from lpspec.machine.die import DieSpec
from lpspec.machine.loading import load_die

ENOUGH = 10_000_000
COMMANDS = 125_000  # of a case, about
NAMES = ("lpddr5-6400-8gb", "lpddr6-10667-16gb", "lpddr5-6400-16gb", "lp5x-pim")
DEVICES = [load_die(name) for name in (*NAMES, "lpddr5x-8533", "lpddr5x-9600", "lpddr5x-10667")]
"""Seven, so that each meets every refresh, WCK and number of ranks, which take turns by 24."""


def any_controller(rng: np.random.Generator, case: int) -> Controller:
    """Refresh, WCK and ranks in turn, so that each meets each; the rest by chance."""
    high = int(rng.integers(1, 33))
    choice: dict[str, Any] = {
        "refresh": ("all-bank", "per-bank", "none")[case % 3],
        "wck": ("on-demand", "always-on")[case // 3 % 2],
        "ranks": (1, 4, 2, 8)[case // 6 % 4],
        "page": rng.choice(["open", "open", "closed"]),
        "fairness": rng.choice(["pim-first", "npu-first", "round-robin"]),
    }
    choice |= {"postpone": int(rng.integers(0, 9)), "patience": int(rng.choice([16, 256]))}
    choice |= {"pim_wait": int(rng.choice([50, 4096])), "quantum": int(rng.choice([1, 16]))}
    return Controller(**choice, drain_high=high, drain_low=int(rng.integers(0, high)))


def any_requests(rng: np.random.Generator, device: DieSpec, ranks: int, n: int) -> NDArray[np.int64]:
    """From one bank to all, from one row to all, from reads alone to writes alone, from a burst to a trickle."""
    banks = rng.permutation(16 * ranks)[: int(rng.choice([1, 4, 16, 16 * ranks]))]
    rows = int(rng.choice([2, 8, 300, device.organisation.rows.n]))
    arrival = np.cumsum(rng.integers(0, int(rng.choice([1, 4, 30])), n))
    is_write = rng.random(n) < rng.choice([0, 0.1, 0.3, 0.5, 1])
    places = [rng.choice(banks, n), rng.integers(0, rows, n), rng.integers(0, 64, n) * 16]
    return np.stack([arrival, is_write, *places], 1).astype(np.int64)


def checked(case: int) -> tuple[CheckReport, CheckOptions]:
    """Run one case and check its commands as they come; in half of those with several ranks some compute beside."""
    rng = np.random.default_rng([7, case])
    device, controller = DEVICES[case % len(DEVICES)], any_controller(rng, case)
    pim: tuple[int, ...] = ()
    program = NO_PROGRAM
    if controller.ranks > 1 and case // 24 % 2:
        pim = tuple(range(int(rng.integers(1, min(controller.ranks, 4)))))
        placement = place_weights(
            PimChannel(device, pim, len(pim), controller.ranks), *rng.integers(100, 3000, 2).tolist()
        )
        program = compile_gemm(placement, int(rng.integers(1, 9))).lines
    options = check_options(
        device, controller.ranks, pim, controller.wck, controller.refresh, concurrent=max(len(pim), 1)
    )
    checker = CommandChecker(options)

    def take(table: NDArray[Any]) -> None:
        fields: list[Any] = [table[name] for name in table.dtype.names or ()]
        checker.feed(command_table(*fields))

    requests = any_requests(rng, device, controller.ranks, COMMANDS // 3)
    run = run_channel(requests, program, device, controller, take=take)
    return checker.finish(run.end_ck), options


@pytest.mark.slow
def test_ten_million_random_commands_break_no_rule() -> None:
    commands, case = 0, 0
    seen: set[tuple[str, str, int, bool]] = set()
    while commands < ENOUGH:
        report, options = checked(case)
        assert report.counts == {}, (case, options, report.violations[:3])
        commands += report.commands
        seen.add((options.refresh, options.wck, options.ranks, bool(options.pim_ranks)))
        case += 1
    assert len(seen) == 3 * 2 * (4 + 3)  # PIM beside requests takes more than one rank

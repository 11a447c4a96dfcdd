"""Short ways to make PIM dies, to run programs on data, and to check them on the exact engine."""

from typing import Any

import numpy as np
from engine_help import DIE
from numpy.typing import NDArray

from lpspec.dram.check.checker import check_commands
from lpspec.dram.check.table import command_table
from lpspec.dram.engine import state
from lpspec.dram.pim.cache import KvPlacement
from lpspec.dram.pim.functional import unroll
from lpspec.dram.pim.products import PimProgram
from lpspec.dram.run.checking import check_options
from lpspec.dram.run.controller import Controller
from lpspec.dram.run.simulate import ChannelRun, run_channel
from lpspec.machine.die import DieSpec

Int8 = NDArray[np.int8]
NO_REQUESTS = np.empty((0, 5), np.int64)


def die(device: DieSpec = DIE, activate: str = "faw", reach: str = "die", **counts: float) -> DieSpec:
    """A die with other PIM parameters, such as ``alus=1``; ``nMAC`` is its MAC interval in CK."""
    if "nMAC" in counts:
        counts["mac_interval"] = counts.pop("nMAC") * device.ck_ns
    fields: dict[str, Any] = {
        name: getattr(device.pim, name).model_copy(update={"value": n}) for name, n in counts.items()
    }
    return device.model_copy(
        update={"pim_side": device.pim.model_copy(update={**fields, "activate": activate, "input_reach": reach})}
    )


def random_int8(rng: np.random.Generator, *shape: int) -> Int8:
    return rng.integers(-128, 128, shape).astype(np.int8)


def count(program: PimProgram) -> dict[str, int]:
    """Commands of a program by name, from its lines alone; a command for several ranks counts once."""
    names = {
        state.PIM_ACT: "PIM_ACT",
        state.PIM_PRE: "PIM_PRE",
        state.PIM_IN: "PIM_IN",
        state.PIM_MAC: "PIM_MAC",
        state.PIM_OUT: "PIM_OUT",
    }
    counts = dict.fromkeys(names.values(), 0)
    for line in unroll(program.lines):
        if (name := names.get(line[state.I_OP])) is not None:
            counts[name] += max(1, line[state.I_COUNT])
    return counts


def run(program: PimProgram, requests: Any = NO_REQUESTS, **policies: Any) -> ChannelRun:
    """Run a program on the exact engine, keeping its commands."""
    controller = Controller(**{"ranks": program.channel.ranks, **policies})
    return run_channel(requests, program.lines, program.channel.device, controller, keep_commands=True)


def violations(done: ChannelRun, program: PimProgram, refresh: Any = "all-bank") -> list[str]:
    """What the independent checker finds in a run."""
    channel = program.channel
    ranks, most = channel.ranks, channel.concurrent
    options = check_options(channel.device, ranks, channel.pim_ranks, refresh=refresh, concurrent=most)
    options = options.taking(channel.form.input_bytes)
    t = done.commands
    assert t is not None
    stream = command_table(t["ck"], t["command"], t["rank"], t["bank_group"], t["bank"], t["row"], t["column"])
    report = check_commands(stream, options)
    return [str(violation) for violation in report.violations]


def fill_cache(kv: KvPlacement, keys: Int8, values: Int8, cells: Int8) -> None:
    """Write a cache token by token, int8 [heads, positions, head_dim]."""
    for position in range(keys.shape[1]):
        kv.write(cells, position, keys[:, position : position + 1], values[:, position : position + 1])

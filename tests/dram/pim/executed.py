"""What a run's very commands compute, and what attention over the parts of a cache takes and gives."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lpspec.dram.engine import state
from lpspec.dram.pim.cache import KvPlacement
from lpspec.dram.pim.functional import PimDies, _Output, unroll
from lpspec.dram.pim.products import Inputs, PimProgram, Results
from lpspec.dram.pim.program import Reach, reach_of
from lpspec.dram.pim.weights import Cells


def execute_commands(program: PimProgram, commands: NDArray[Any], cells: Cells, inputs: Inputs) -> Results:
    """Execute the commands of a run in the order and at the times in which the channel carried them.

    Input data takes effect when its burst has landed, so a MAC that comes too early, or a burst that overwrites what
    is still needed, gives wrong numbers. What a command doesn't carry (which burst of data it is) comes from the
    program, whose inputs and readbacks each keep their order.

    Args:
        program: The program that ran.
        commands: Command table, as ``run_channel`` keeps it; commands of other ranks are passed over.
        cells: Banks as a layout has written them.
        inputs: [matrices, tokens, k], as the program takes them.
    """
    dies = PimDies(program.channel, cells)
    image, output = program.input_image(inputs), _Output(program.output_bursts)
    marks = _marks(program)
    timing = program.channel.device.timing
    landing: list[tuple[int, int, int, tuple[int, Reach]]] = []  # CK, mask, slot, burst and where it goes
    for ck, name, rank, group, bank, row, column in commands.tolist():
        while landing and landing[0][0] <= ck:
            _, mask, slot, (place, reach) = landing.pop(0)
            dies.load(mask, slot, image[place], reach)
        if name == "PIM_IN":
            landing.append((ck + timing.nCWL.n + timing.nBL_min.n, rank, column, next(marks["PIM_IN"])))
        elif name == "PIM_MAC":
            dies.mac(rank, bank, group, column // state.BEATS)
        elif name == "PIM_OUT":
            output.put(next(marks["PIM_OUT"])[0], dies.read(rank, (group << state.GROUP_BITS) + bank, column))
        elif name == "PIM_ACT":
            dies.activate(rank, bank, row)
        elif name == "PIM_PRE":
            dies.precharge(rank, bank)
        elif name == "PIM_ENTER":
            dies.enter(rank)
        elif name == "PIM_EXIT":
            dies.leave(rank)
    return program.collect(output.whole())


def _marks(program: PimProgram) -> dict[str, Iterator[tuple[int, Reach]]]:
    """For each kind of command with data, the bursts that its program lines name, in order, and their MPUs."""

    def of(op: int) -> Iterator[tuple[int, Reach]]:
        for line in unroll(program.lines):
            if line[state.I_OP] == op:
                for burst in range(line[state.I_DATA], line[state.I_DATA] + line[state.I_COUNT]):
                    yield burst, reach_of(line)

    return {"PIM_IN": of(state.PIM_IN), "PIM_OUT": of(state.PIM_OUT)}


def spread_queries(kv: KvPlacement, queries: NDArray[Any]) -> NDArray[Any]:
    """Inputs of QK^T for every part, from [heads, queries, head_dim]."""
    return np.repeat(queries, kv.parts, axis=0)


def spread_probabilities(kv: KvPlacement, probabilities: NDArray[Any]) -> NDArray[Any]:
    """Inputs of PV for every part, from [heads, queries, keys]; zero for positions that a part lacks."""
    heads, queries, keys = probabilities.shape
    parts, places = kv._dealt(np.arange(keys))
    spread = np.zeros((heads, kv.parts, kv.part_keys(keys), queries), probabilities.dtype)
    spread[:, parts, places] = probabilities.swapaxes(1, 2)
    return spread.reshape(kv.matrices, -1, queries).swapaxes(1, 2)


def join_scores(kv: KvPlacement, scores: Results, keys: int) -> Results:
    """Scores [heads, queries, keys] from those of all parts."""
    parts, places = kv._dealt(np.arange(keys))
    by_part = scores.reshape(kv.heads, kv.parts, *scores.shape[1:])
    return by_part[:, parts, :, places].transpose(1, 2, 0)


def join_values(kv: KvPlacement, results: Results) -> Results:
    """Results [heads, queries, head_dim]: the sums of all parts, which the NPU adds."""
    return np.asarray(results.reshape(kv.heads, kv.parts, *results.shape[1:]).sum(axis=1))

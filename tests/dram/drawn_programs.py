"""PIM programs as hypothesis draws them: any lines that may follow each other, on dies with drawn timings."""

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray
from pim_help import die

from lpspec.dram.pim.cache import KvPlacement
from lpspec.dram.pim.products import compile_gemm, compile_scores, compile_values
from lpspec.dram.pim.program import ProgramBuilder
from lpspec.dram.pim.weights import PimChannel, place_weights
from lpspec.machine.die import DieSpec
from lpspec.machine.loading import load_die

Program = NDArray[np.int64]


@st.composite
def devices(draw: st.DrawFn) -> DieSpec:
    """A die with other timings, most of all other refresh intervals, which no period of a program fits."""
    device = load_die(draw(st.sampled_from(["lpddr5-6400-8gb", "lpddr5x-9600"])))
    timing = device.timing
    changed = {"nREFI": timing.nREFI.model_copy(update={"value": draw(st.integers(900, 4000))})}
    for name in draw(st.sets(st.sampled_from(["nRFCab", "nRCD", "nRTP", "nRPab", "nRAS", "nFAW", "nCL", "nCWL"]))):
        spec = getattr(timing, name)
        changed[name] = spec.model_copy(update={"value": draw(st.integers(spec.n * 2 // 3, spec.n * 3 // 2))})
    row = [changed.get(name, getattr(timing, name)).n for name in ("nRAS", "nRPpb")]
    changed["nRC"] = timing.nRC.model_copy(update={"value": max(timing.nRC.n, sum(row))})  # as every die must have it
    device = device.model_copy(update={"timing": timing.model_copy(update=changed)})
    return die(
        device,
        draw(st.sampled_from(["faw", "at_once"])),
        nMAC=draw(st.sampled_from([2, 3, 4, 8])),
        alus=draw(st.sampled_from([1, 4])),
    )


def write_lines(draw: st.DrawFn, build: ProgramBuilder, device: DieSpec, mask: int, depth: int) -> None:
    """Lines as they may follow each other, in loops within loops; no row stays open."""
    slots, ranks = device.slots_per_set, [r for r in range(4) if mask >> r & 1]
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(["loop", "row", "row", "refresh", "read back", "wait", "leave", "close"]))
        if kind == "loop" and depth < 4:
            with build.loop(draw(st.sampled_from([1, 2, 5, 17, 40, 75] if depth < 2 else [1, 2, 4]))):
                write_lines(draw, build, device, mask, depth + 1)
        elif kind == "row":
            parity, inputs = draw(st.integers(0, device.pim.banks_per_mpu.n - 1)), draw(st.integers(0, 1))
            masks = [1 << r for r in ranks] if draw(st.booleans()) else [mask]
            for m in masks:
                if draw(st.booleans()):
                    build.load_inputs(m, inputs * slots, draw(st.integers(1, slots)))
                steps = [draw(st.integers(0, 2)) for _ in range(depth)] if draw(st.booleans()) else [1] * depth
                build.activate(m, parity, draw(st.sampled_from([0, 0, 3])), steps)
            if draw(st.booleans()):
                build.refresh_point(mask)
            for m in masks:
                build.mac(m, parity, inputs, 0, draw(st.integers(1, 64)))
                build.precharge(m, parity)
        elif kind == "refresh":
            build.refresh_point(mask)
        elif kind == "read back":
            build.read_back(draw(st.sampled_from(ranks)), 0, draw(st.integers(1, 20)))
        elif kind == "wait":
            build.wait(draw(st.integers(0, 4000)))
        elif kind == "close":  # what is closed already
            build.precharge(mask, draw(st.integers(0, device.pim.banks_per_mpu.n - 1)))
        elif kind == "leave":
            build.leave(mask)
            if draw(st.booleans()):
                build.wait(draw(st.integers(0, 4000)))
            build.enter(mask)


def commands_in(program: Program) -> int:
    """Commands that a program stands for, about."""
    total, times = 0, [1]
    for line in program.tolist():
        if line[0] == 32:
            times.append(times[-1] * line[5])
        elif line[0] == 33:
            times.pop()
        else:
            total += times[-1] * (max(1, line[5]) if line[0] != 34 else 1)
    return total


@st.composite
def lines_for(draw: st.DrawFn, device: DieSpec) -> Program:
    """Any program of a die."""
    build, mask = ProgramBuilder(device, 4), draw(st.sampled_from([0b1, 0b110, 0b111, 0b1111]))
    build.enter(mask)
    write_lines(draw, build, device, mask, 0)
    build.leave(mask)
    return build.build()


@st.composite
def programs(draw: st.DrawFn) -> tuple[Program, DieSpec]:
    device = draw(devices())
    return draw(lines_for(device)), device


@st.composite
def products_for(draw: st.DrawFn, device: DieSpec) -> Program:
    """A compiled product, of weights or of attention; often one that begins as another does and ends elsewhere."""
    concurrent, row, tokens = (draw(st.sampled_from(some)) for some in ((1, 2, 3, 3), (0, 0, 50), (1, 1, 4, 6)))
    channel = PimChannel(device, draw(st.sampled_from([(0, 1, 2), (0, 1, 2), (2, 0, 1)])), concurrent, 4)
    kind = draw(st.sampled_from(["weights", "weights", "scores", "values"]))
    if kind == "weights":
        inputs, outputs = draw(st.sampled_from([64, 700, 2048, 4096])), draw(st.sampled_from([32, 768, 1024, 1700]))
        placement = place_weights(channel, inputs, outputs, row, draw(st.sampled_from(["auto", "never", "always"])))
        return compile_gemm(placement, tokens, draw(st.sampled_from([0, 0, 300]))).lines
    heads, parts, dies = (draw(st.sampled_from(some)) for some in ((1, 3, 8), (1, 1, 2), (1, 2)))
    kv = KvPlacement(channel, heads, draw(st.sampled_from([64, 128])), 2048, row, dies, parts)
    keys = draw(st.sampled_from([1, 63, 512, 513, 1300]))
    return (compile_scores if kind == "scores" else compile_values)(kv, keys, tokens).lines


@st.composite
def sequences(draw: st.DrawFn, device: DieSpec) -> list[Program]:
    """Programs that run one after the other, one of them twice."""
    one = st.one_of(products_for(device), products_for(device), lines_for(device))
    some = draw(st.lists(one.filter(lambda lines: commands_in(lines) < 20_000), min_size=1, max_size=4))
    return [*some, some[0]]

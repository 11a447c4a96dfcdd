"""A platform's attention in PIM as a line over the length, in the form that LLMServingSim takes.

LLMServingSim (casys-kaist/LLMServingSim @5daddb2, ``serving/core/pim_model.py``) has for each memory a slope and an
intercept: ns of one layer of Llama-3.1-8B's attention for one token if one channel computed it; it divides by the
channels that share a request and scales to other heads. The rest it reads from a file in DRAMsim3's INI form.
"""

from dataclasses import dataclass

import numpy as np

from lpspec.arrays import FloatArray, IntArray
from lpspec.devices.cost import Activity
from lpspec.devices.package_commands import PackageCommands
from lpspec.devices.pim import LpddrPim
from lpspec.errors import InputError
from lpspec.llm.loading import load_model
from lpspec.llm.model_spec import ModelSpec
from lpspec.llm.operators import Attention, verify_operators
from lpspec.machine.energy_profile import EnergyProfile
from lpspec.machine.platform_spec import PlatformSpec

MODEL = "llama3-8b"
"""Heads as LLMServingSim's baseline has them: 32 of 128, 8 for keys and values."""
LENGTHS = range(128, 4096 + 1, 128)
"""Positions attended to, as LLMServingSim prints its own line."""


@dataclass(frozen=True)
class AttentionLine:
    """Attention of one layer in PIM, and the line through it.

    Attributes:
        platform: Whose memory.
        channels: Channels that share it.
        lengths: int64 [n], positions attended to.
        measured_ns: float64 [n], every command issued, all channels together; softmax is the NPU's, and not in it.
        slope_ns: Of the least-squares line, ns a position on one channel.
        intercept_ns: Likewise, ns.
        idle_mw: Power of a channel that stands by.
        peak_mw: Power of a channel that computes, at the longest length.
    """

    platform: PlatformSpec
    channels: int
    lengths: IntArray
    measured_ns: FloatArray
    slope_ns: float
    intercept_ns: float
    idle_mw: float
    peak_mw: float

    @property
    def errors(self) -> FloatArray:
        """Of the line over what was measured, float64 [n], as shares of that."""
        line = (self.slope_ns * self.lengths + self.intercept_ns) / self.channels
        return np.asarray(line / self.measured_ns - 1)


def attention_line(platform: PlatformSpec, profile: EnergyProfile) -> AttentionLine:
    """Measure a platform's attention at every length, and fit a line.

    Args:
        platform: A machine with PIM ranks.
        profile: Energy constants, for the powers.

    Raises:
        InputError: It has no PIM ranks, or dies that the command level doesn't know.
    """
    if platform.pim is None:
        raise InputError(f"platform '{platform.name}' has no PIM ranks: allowed are platforms with [pim], as lp-spec")
    model = load_model(MODEL)
    memory, device = PackageCommands(platform), LpddrPim.of(platform)
    device.deal(_attention(model, LENGTHS[-1]))
    took_ns, done = [], Activity()
    for length in LENGTHS:
        parts = device.phase_parts(_attention(model, length)) or ()
        costs = [part.in_memory(memory, 0.0) for part in parts if part.in_memory is not None]
        took_ns.append(sum(cost.latency_ns for cost in costs))
        done = costs[0].activity + costs[1].activity
    profile = platform.priced_by(profile)
    standby = Activity(idle_die_ns=float(memory.ranks))
    peak = sum(float(pj) for pj in done.energy_pj(profile).values()) / took_ns[-1] / memory.channels
    idle = sum(float(pj) for pj in standby.energy_pj(profile).values())
    lengths, measured = np.array(LENGTHS), np.array(took_ns)
    slope, intercept = np.polyfit(lengths, measured * memory.channels, 1)
    return AttentionLine(
        platform, memory.channels, lengths, measured, float(slope), float(intercept), idle, float(peak)
    )


def serving_ini(line: AttentionLine) -> str:
    """The file that LLMServingSim reads beside the line: DRAMsim3's form, the twelve keys that it looks at."""
    memory = line.platform.memory
    assert memory is not None
    die = line.platform.die
    organisation = die.organisation
    ranks = memory.dram_ranks.n + memory.pim_ranks.n
    sections: dict[str, dict[str, str | float]] = {
        "dram_structure": {
            "protocol": "LPDDR4",
            "bankgroups": organisation.bank_groups.n,
            "banks_per_group": organisation.banks_per_group.n,
            "rows": organisation.rows.n,
            "columns": organisation.row_bytes.n * 8 // organisation.data_pins.n,
            "device_width": organisation.data_pins.n,
        },
        "timing": {"tCK": die.ck_ns, "CL": die.timing.nCL.n},
        "system": {"channel_size": ranks * organisation.die_bytes >> 20, "bus_width": organisation.data_pins.n},
        "other": {
            "data_rate": round(die.data_rate.mbps),
            "idle_power": round(line.idle_mw, 3),
            "peak_power": round(line.peak_mw, 3),
        },
    }
    lines = [
        f"# {line.platform.name} by lpspec; in pim_model.py:",
        f'#   "<name of this file>": {{"slope": {line.slope_ns:.4f}, "intercept": {line.intercept_ns:.4f}}},',
        f"# largest error {np.abs(line.errors).max():.2%} from {line.lengths[0]} to {line.lengths[-1]} positions",
    ]
    for name, keys in sections.items():
        lines += [f"[{name}]", *(f"{key} = {value}" for key, value in keys.items()), ""]
    return "\n".join(lines)


def _attention(model: ModelSpec, length: int) -> Attention:
    """One layer's attention of one token to so many positions, itself included."""
    return next(op for op in verify_operators(model, 1, length - 1) if isinstance(op, Attention))

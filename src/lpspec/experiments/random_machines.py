"""Machines, models and steps drawn at random within what could be built: a seed gives one, always the same.

A machine is a shipped platform with changes, so that ``--set`` texts repeat it. Models are small: whether a rule holds
does not hang on the number of layers, and commands of few layers are soon issued.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from lpspec.experiments.systems import make_system
from lpspec.llm.draft_work import with_heads
from lpspec.llm.model_spec import ModelSpec
from lpspec.machine.loading import profile_names
from lpspec.scenario import Scenario
from lpspec.simulation.workload import MAX_TREE_SIZE, System

PLATFORM_KINDS = {"lp-spec": 0.60, "pim-spec": 0.15, "npu-spec": 0.20, "attacc-spec": 0.03, "rtx3090-spec": 0.02}
"""Shipped systems that machines are derived from, with their shares."""

ALLOCATORS = ("replicated", "replicated", "replicated", "static", "dynamic", "least-energy", "least-edp")
CK_NS = {"6400 Mbps": 1.25, "8533 Mbps": 0.9375, "9600 Mbps": 5 / 6}
ROWS = {"6400 Mbps": ("32768", "65536"), "8533 Mbps": ("65536",), "9600 Mbps": ("65536",)}
"""Rows of a bank that dies are built with, by data rate: 8 and 16 Gb."""

FEWEST_CK_PER_MAC = 4
"""tCCD_L: a MAC command reads a column."""

MOST_KEYS = 4096
LONGEST_PASS = 4 * (MOST_KEYS + MAX_TREE_SIZE)


@dataclass(frozen=True)
class RandomStep:
    """One step of one model on one machine.

    Attributes:
        system: Shipped system that the machine is derived from.
        changes: Constants of its platform that are changed, as ``--set`` takes them.
        model: Dimensions that are drawn.
        heads: Medusa heads.
        profile: Energy profile.
        l_spec: Tokens verified, the root included.
        context: Tokens in the cache.
    """

    system: str
    changes: Mapping[str, str]
    model: Mapping[str, int | bool]
    heads: int
    profile: str
    l_spec: int
    context: int

    def __str__(self) -> str:
        """One line that repeats it."""
        machine = " ".join([self.system, *(f"--set '{key}={value}'" for key, value in self.changes.items())])
        model = ", ".join(f"{key} {value}" for key, value in self.model.items())
        step = f"L_spec {self.l_spec}, context {self.context}"
        return f"{machine}; {model}; {self.heads} draft heads; {self.profile}; {step}"

    def build(self) -> System:
        """The system that all this describes."""
        fixed: dict[str, object] = {"name": "random", "source": "drawn at random", "max_context": LONGEST_PASS}
        model = ModelSpec.model_validate({**fixed, **self.model})
        system = make_system(self.system, model, Scenario(energy_profile=self.profile, changes=self.changes))
        return replace(system, model=with_heads(system.model, self.heads))

    def with_change(self, key: str, value: object) -> "RandomStep":
        """The same on a machine with another constant."""
        return replace(self, changes={**self.changes, key: str(value)})

    def with_model(self, **changes: int) -> "RandomStep":
        """The same with another model."""
        return replace(self, model={**self.model, **changes})

    def against(self, other: "RandomStep") -> str:
        """What differs in another step, in words."""
        mine, others = (
            {**s.changes, **s.model, "draft heads": s.heads, "L_spec": s.l_spec, "context": s.context}
            for s in (self, other)
        )
        return ", ".join(f"{key} {mine[key]} -> {value}" for key, value in others.items() if mine[key] != value)


class Dice:
    """Draws plain values from a generator."""

    def __init__(self, seed: int, stream: int) -> None:
        """Begin one of the streams of a seed."""
        self._generator = np.random.default_rng([seed, stream])

    def one_of(self, *choices: str, shares: tuple[float, ...] | None = None) -> str:
        """One of some texts."""
        return choices[int(self._generator.choice(len(choices), p=shares))]

    def number(self, *choices: int) -> int:
        """One of some numbers."""
        return choices[int(self._generator.integers(len(choices)))]

    def between(self, low: int, high: int) -> int:
        """A whole number, both ends included."""
        return int(self._generator.integers(low, high + 1))

    def spread(self, low: int, high: int) -> int:
        """A whole number whose logarithm is even over a range, both ends included."""
        return int(np.exp(self._generator.uniform(np.log(low), np.log(high + 1))))

    def shuffled(self, texts: tuple[str, ...]) -> list[str]:
        """All texts, in any order."""
        return [texts[i] for i in self._generator.permutation(len(texts))]


def draw(seed: int) -> RandomStep:
    """The step of a seed."""
    dice = Dice(seed, 0)
    system = dice.one_of(*PLATFORM_KINDS, shares=tuple(PLATFORM_KINDS.values()))
    changes = {} if system in ("attacc-spec", "rtx3090-spec") else _machine(dice, system)
    model, heads = _model(dice), dice.between(1, 5)
    l_spec = dice.spread(1, MAX_TREE_SIZE)
    return RandomStep(system, changes, model, heads, dice.one_of(*profile_names()), l_spec, dice.spread(1, MOST_KEYS))


def mac_interval(ck: int, rate: str) -> str:
    """So many CK of a data rate as a text in ns."""
    return f"{ck * CK_NS[rate]:.10g} ns"


def _model(dice: Dice) -> dict[str, int | bool]:
    kv_heads, head_dim = dice.number(1, 2, 4, 8), dice.number(32, 64, 128)
    hidden = 128 * dice.spread(2, 12)
    return {
        "layers": dice.between(1, 4),
        "hidden_size": hidden,
        "intermediate_size": 64 * dice.between(hidden // 32, hidden // 16),
        "heads": kv_heads * max(1, round(hidden / head_dim / kv_heads)),
        "kv_heads": kv_heads,
        "head_dim": head_dim,
        "vocab_size": dice.spread(1000, 32768),
        "tied_embeddings": bool(dice.between(0, 1)),
        "qkv_bias": bool(dice.between(0, 1)),
    }


def _machine(dice: Dice, system: str) -> dict[str, str]:
    rate = dice.one_of(*CK_NS)
    changes: dict[str, object] = {
        "memory.channels": dice.number(1, 2, 4, 4, 8),
        "memory.dram_ranks": dice.between(1, 2),
        "memory.data_rate": rate,
        "memory.organisation.rows": dice.one_of(*ROWS[rate]),
        "npu.cores": dice.number(4, 8, 16, 16, 32),
        "npu.array_rows": dice.number(16, 32, 32, 64),
        "npu.array_columns": dice.number(16, 32, 32, 64),
        "npu.vector_lanes": dice.number(64, 128, 256, 512),
        "npu.clock": f"{dice.number(500, 800, 1000, 1000, 1500)} MHz",
        "npu.local_buffer": f"{dice.number(64, 128, 256, 512)} KiB",
        "npu.scratchpad": f"{dice.number(1, 4, 8, 16)} MiB",
    }
    if system != "npu-spec":
        ranks = dice.between(1, 3)
        changes |= {
            "memory.pim_ranks": ranks,
            "pim.concurrent_ranks": dice.between(1, ranks),
            "pim.alus": dice.number(1, 2, 3, 4, 4, 6, 8),
            "pim.mac_interval": mac_interval(dice.between(FEWEST_CK_PER_MAC, 10), rate),
            "pim.banks_per_mpu": dice.number(1, 2),
            "pim.mode_switch": f"{dice.number(60, 100, 180)} ns",
        }
    if system == "lp-spec":
        changes["allocator"] = dice.one_of(*ALLOCATORS)
    return {key: str(value) for key, value in changes.items()}

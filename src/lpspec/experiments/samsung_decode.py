"""Llama-3.1-8B in W4A8 on Samsung's LPDDR5X-PIM (arXiv 2606.00636), with and without it, and where the time goes.

Published: one PIM block per bank, 2.4 TOPS, 614 GB/s from the banks and 76.8 off the chip; 320 tokens at 27.0 token/s
on the host and 81.3 with PIM, end to end 12.3 and 5.4 s. The host is not described: here it is LP-Spec's NPU beside the
same memory.
"""

from dataclasses import dataclass

from lpspec.experiments.systems import make_system
from lpspec.llm.loading import load_model
from lpspec.llm.model_spec import ModelSpec
from lpspec.llm.operators import Gemm, verify_operators
from lpspec.scenario.scenario import DEFAULT
from lpspec.simulation.command_cost import command_costs
from lpspec.simulation.step_cost import allocator_of

HOST_TOKENS_PER_S, PIM_TOKENS_PER_S = 27.0, 81.3
END_TO_END_S = (12.3, 5.4)
TOKENS, CONTEXT = 320, 160
"""Tokens generated, and the mean context meanwhile, prompts unknown."""
INSIDE_GB_PER_S, OFF_CHIP_GB_PER_S = 614.4, 76.8
END_TO_END_NOTE = "with Samsung's own 0.4 and 1.5 s beside decoding 320 tokens; our host is slower, our PIM faster"
ACTIVATIONS = ("faw", "at_once")
"""How all banks open their rows, of which Samsung says nothing: the slower way first."""


@dataclass(frozen=True, slots=True)
class Decoding:
    """One way to decode a token.

    Attributes:
        products_ms: All products with weights.
        attention_ms: Attention with its appends.
        other_ms: Vector work.
    """

    products_ms: float
    attention_ms: float
    other_ms: float

    @property
    def tokens_per_s(self) -> float:
        """Throughput."""
        return 1e3 / (self.products_ms + self.attention_ms + self.other_ms)


@dataclass(frozen=True, slots=True)
class SamsungDecoding:
    """Both ways.

    Attributes:
        weight_gb: Weights that a token needs, GB.
        host: Weights read off the chip.
        pim: Weights read in the banks, rows opened the slower way, then the faster.
    """

    weight_gb: float
    host: Decoding
    pim: tuple[Decoding, Decoding]

    @property
    def end_to_end_speed_ups(self) -> tuple[float, float]:
        """Of all tokens with the time that Samsung's runs take beside decoding, rows opened either way."""
        host_s, pim_s = (
            whole - TOKENS / rate
            for whole, rate in zip(END_TO_END_S, (HOST_TOKENS_PER_S, PIM_TOKENS_PER_S), strict=True)
        )
        slow, fast = (
            (host_s + TOKENS / self.host.tokens_per_s) / (pim_s + TOKENS / one.tokens_per_s) for one in self.pim
        )
        return slow, fast

    @property
    def host_note(self) -> str:
        """What bytes and bandwidth allow the host."""
        asked = self.weight_gb * HOST_TOKENS_PER_S
        return (
            f"{HOST_TOKENS_PER_S} token/s of {self.weight_gb:.2f} GB of weights are {asked:.0f} GB/s, and "
            f"{OFF_CHIP_GB_PER_S} pass off the chip: Samsung's host reads less, or faster, than the memory described"
        )

    @property
    def pim_note(self) -> str:
        """Where our time and theirs goes."""
        whole, products = [1e3 / one.tokens_per_s for one in self.pim], [one.products_ms for one in self.pim]
        macs_ms = self.weight_gb / INSIDE_GB_PER_S * 1e3
        return (
            f"of our {whole[0]:.1f} to {whole[1]:.1f} ms products take {products[0]:.1f} to {products[1]:.1f}, "
            f"{macs_ms:.1f} of them MACs at {INSIDE_GB_PER_S} GB/s, as rows are opened; Samsung's "
            f"{1e3 / PIM_TOKENS_PER_S:.1f} ms hold a host and fences, which are not counted here"
        )


def samsung_decoding() -> SamsungDecoding:
    """Time one token at the mean context, every command issued."""
    model = load_model("llama3-8b", weights=4)
    slow, fast = (_decoding("lp5x-pim", model, {"pim.activate": way}) for way in ACTIVATIONS)
    host = _decoding("npu", model, {"memory.die": "lpddr5x-9600"})
    return SamsungDecoding(model.read_bytes(1) / 1e9, host, (slow, fast))


def _decoding(name: str, model: ModelSpec, changes: dict[str, str]) -> Decoding:
    system = make_system(name, model, DEFAULT.replace(changes=changes))
    costs = command_costs(system, CONTEXT, TOKENS, allocator_of(system, CONTEXT + TOKENS))
    assert costs is not None
    kinds = {op.name: "products" for op in verify_operators(model, 1, CONTEXT) if isinstance(op, Gemm)}
    kinds |= dict.fromkeys(("scores", "values", "kv_append"), "attention")
    parts = {"products": 0.0, "attention": 0.0, "other": 0.0}
    for phase in costs.step_phases(1, CONTEXT):
        parts[kinds.get(phase.name, "other")] += float(phase.latency_ns * phase.copies) / 1e6
    return Decoding(parts["products"], parts["attention"], parts["other"])

"""The analytic level against a derivation that shares no code: every preset's step in time and energy to 0.1 %."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest
from step_twin import GDDR6X, HEADS, Decoder, Events, Shares, energy_pj, gpu_pass, hybrid_pass, npu_pass

from lpspec.experiments.systems import make_system
from lpspec.llm.loading import load_model
from lpspec.llm.operators import Attention, Gemm, Operator, verify_operators
from lpspec.machine.loading import profile_names
from lpspec.scenario import Scenario
from lpspec.simulation.step_cost import step_costs

MODELS = ("llama2-7b", "llama3-8b", "llama3.2-1b", "llama3.2-3b", "qwen2.5-1.5b", "tinyllama")
CONTEXTS = (1, 140, 1000, 1983)
L_SPECS = (1, 3, 4, 5, 8, 16, 33, 64)
LONG_CONTEXTS = (4096, 32768)


def decoder(name: str) -> Decoder:
    m = load_model(name)
    sizes = (m.layers, m.hidden_size, m.intermediate_size, m.heads, m.kv_heads, m.head_dim, m.vocab_size)
    return Decoder(*sizes, m.qkv_bias)


Twin = Callable[[Decoder, int, int, Shares], tuple[float, Events]]


def decided(allocator: Any, operators: Iterable[Operator]) -> Shares:
    """What PIM takes by the allocator's choice."""
    found: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for op in operators:
        if isinstance(op, Attention | Gemm):
            key = HEADS if isinstance(op, Attention) else (op.k, op.n)
            shares = [(int(part.copies), int(part.shares[-1][1])) for part in allocator.divided(op)]
            found.setdefault(key, []).extend(shares)
    return found


def compare(system: str, name: str, twin: Twin, contexts: Sequence[int], sizes: Sequence[int]) -> None:
    """Every step under every profile, without draft heads: a GPU at FP16 with its own memory's prices."""
    model = load_model(name)
    on_gpu = twin is gpu_pass
    for context in contexts:
        for profile in profile_names():
            scenario = Scenario(energy_profile=profile, basis="published" if on_gpu else "equal")
            built = make_system(system, model, scenario)
            costs = step_costs(built, context, 1)
            for size in sizes:
                split = decided(costs.allocator, verify_operators(model, size, context)) if twin is hybrid_pass else {}
                total_ns, events = twin(decoder(name), size, context, split)
                where = f"{system}, {name}, {profile}, context {context}, L_spec {size}"
                found_ns, found_pj = costs.latency_ns[0, size - 1], costs.energy_pj[:, 0, size - 1].sum()
                total_pj = energy_pj(events, profile, GDDR6X if on_gpu else None)
                assert found_ns == pytest.approx(total_ns, rel=1e-3), f"time: {where}"
                assert found_pj == pytest.approx(total_pj, rel=1e-3), f"energy: {where}"


@pytest.mark.parametrize("name", MODELS)
def test_npu(name: str) -> None:
    compare("npu-spec", name, npu_pass, CONTEXTS, L_SPECS)


@pytest.mark.parametrize("name", MODELS)
def test_hybrid_package(name: str) -> None:
    compare("lp-spec", name, hybrid_pass, CONTEXTS, L_SPECS)


@pytest.mark.parametrize("name", MODELS)
def test_gpu(name: str) -> None:
    compare("rtx3090-spec", name, gpu_pass, CONTEXTS, L_SPECS)


@pytest.mark.parametrize("name", ["llama3.2-1b", "llama3.2-3b", "qwen2.5-1.5b"])
def test_long_contexts(name: str) -> None:
    compare("npu-spec", name, npu_pass, LONG_CONTEXTS, L_SPECS)
    compare("lp-spec", name, hybrid_pass, LONG_CONTEXTS, L_SPECS)

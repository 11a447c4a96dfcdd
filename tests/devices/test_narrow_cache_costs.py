"""What a cache of 4 bits costs on PIM: bytes with scales, commands as the closed form says, and refusals."""

from typing import Any

import pytest

from lpspec.allocation.allocator import make_allocator
from lpspec.allocation.hybrid import BalancedAllocator
from lpspec.allocation.key_blocks import in_whole_blocks
from lpspec.devices.package_commands import PackageCommands
from lpspec.errors import InputError
from lpspec.llm.loading import load_model
from lpspec.llm.operators import Attention, verify_operators
from lpspec.machine.loading import load_platform, load_profile
from lpspec.simulation.step_phases import PhasePlanner, cost_of

FORMATS = {"pim.formats": "w8a8 w4a8"}


def made(name: str, bits: int, **changes: str) -> tuple[BalancedAllocator, PackageCommands]:
    platform = load_platform("lp-spec", {**FORMATS, **changes})
    found = make_allocator(platform, load_model(name).with_bits(kv=bits), 8, 2000, load_profile("attacc"))
    assert isinstance(found, BalancedAllocator)
    return found, PackageCommands(platform)


def attention(name: str, tokens: Any, context: Any, bits: int) -> Attention:
    model = load_model(name).with_bits(kv=bits)
    return next(op for op in verify_operators(model, tokens, context) if isinstance(op, Attention))


def test_a_token_has_half_the_bytes_and_a_scale_for_each_key_and_value() -> None:
    """Llama3-8B: 32 layers of 8 heads of 128; FP16 scales, one for a key and one for a value."""
    model = load_model("llama3-8b")
    assert model.with_bits(kv=4).kv_bytes_per_token == 32 * 8 * 2 * (64 + 2)
    assert model.kv_bytes_per_token == 32 * 8 * 2 * 128
    op = attention("llama3-8b", 1, 100, 4)
    assert op.kv_bytes_per_token == model.with_bits(kv=4).kv_bytes_per_token
    assert model.with_bits(kv=4).cache_bytes(100) == 100 * op.kv_bytes_per_token


@pytest.mark.parametrize("reach", ["die", "mpus"])
@pytest.mark.parametrize(("name", "tokens"), [("llama3-8b", 4), ("llama2-7b", 1)])
def test_commands_cost_what_the_closed_form_says(name: str, tokens: int, reach: str) -> None:
    allocator, memory = made(name, 4, **{"pim.input_reach": reach})
    op = attention(name, tokens, 2000 - tokens, 4)
    whole = in_whole_blocks(op, 32)
    profile = load_profile("attacc")
    planner = PhasePlanner(load_model(name).with_bits(kv=4), memory, allocator)
    by_commands = cost_of(planner.chain((op,), 1), memory)
    closed = allocator.decode_cost((op,))
    assert by_commands.latency_ns == pytest.approx(float(closed.latency_ns), rel=0.08)
    energies = [sum(cost.activity.energy_pj(profile).values()) for cost in (by_commands, closed)]
    assert energies[0] == pytest.approx(float(energies[1]), rel=0.05)
    assert allocator.heads_on_pim(op) > 0
    assert float(allocator.pim.price(whole).latency_ns) > 0


def test_half_the_bytes_take_less_time_and_energy() -> None:
    narrow, wide = (made("llama3-8b", bits)[0].decode_cost((attention("llama3-8b", 4, 1900, bits),)) for bits in (4, 8))
    assert float(narrow.latency_ns) < 0.95 * float(wide.latency_ns)
    profile = load_profile("attacc")
    energies = [float(sum(cost.activity.energy_pj(profile).values())) for cost in (narrow, wide)]
    assert energies[0] < energies[1]


@pytest.mark.parametrize("bits", [4, 16])
def test_dies_without_the_format_refuse_it_and_name_the_way(bits: int) -> None:
    allocator = make_allocator(load_platform("lp-spec"), load_model("llama3-8b").with_bits(kv=bits), 8, 500)
    with pytest.raises(InputError, match=f"'attention' has {bits}-bit .* --kv 8"):
        allocator.decode_cost((attention("llama3-8b", 1, 100, bits),))

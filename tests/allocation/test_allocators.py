from collections.abc import Callable
from importlib.metadata import EntryPoint, EntryPoints

import pytest
from medusa_model import medusa_model

from lpspec import plugins
from lpspec.allocation.allocator import ALLOCATORS, Allocator, make_allocator
from lpspec.allocation.hybrid import BalancedAllocator
from lpspec.allocation.pim_only import PimOnlyAllocator
from lpspec.allocation.single import AttentionOnHbmPim, SingleDevice
from lpspec.devices.cost import Cost
from lpspec.devices.device import Device
from lpspec.devices.expert_loads import price_on
from lpspec.devices.gpu import Gpu
from lpspec.devices.hbm_pim import HbmPim
from lpspec.devices.kv_append import append_to_pim
from lpspec.devices.memory_timing import timing_of
from lpspec.devices.npu import Npu
from lpspec.devices.pim import LpddrPim
from lpspec.errors import InputError
from lpspec.llm import Attention, Gemm, ModelSpec, draft_operators, load_model, prefill_operators, verify_operators
from lpspec.llm.draft_work import drafted
from lpspec.machine.loading import load_platform, load_profile, platform_names

TINY = load_model("tinyllama")


def refused(action: Callable[[], object]) -> str:
    with pytest.raises(InputError) as caught:
        action()
    line = str(caught.value)
    assert "\n" not in line
    return line


@pytest.mark.parametrize(
    ("platform", "kind"),
    [
        ("mobile-npu", SingleDevice),
        ("rtx3090", SingleDevice),
        ("lp-spec", BalancedAllocator),
        ("lpddr5-pim", PimOnlyAllocator),
        ("attacc", AttentionOnHbmPim),
    ],
)
def test_platforms_name_their_allocators(platform: str, kind: type[Allocator]) -> None:
    assert type(make_allocator(load_platform(platform), TINY, 64, 1024)) is kind


def test_unknown_allocators_are_refused_with_the_nearest() -> None:
    platform = load_platform("lp-spec", {"allocator": "replicate"})
    line = refused(lambda: make_allocator(platform, TINY, 64, 1024))
    assert "unknown allocator 'replicate': did you mean 'replicated'?" in line
    for name in ("attention-on-hbm-pim", "replicated", "least-energy"):
        assert name in line


class ThirdParty(SingleDevice):
    """An allocator from another package."""


def test_installed_packages_can_offer_allocators(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("third-party", f"{__name__}:ThirdParty", ALLOCATORS.group)
    monkeypatch.setattr(plugins, "entry_points", lambda group: EntryPoints([point]).select(group=group))
    platform = load_platform("mobile-npu", {"allocator": "third-party"})
    assert type(make_allocator(platform, TINY, 64, 1024)).__name__ == "ThirdParty"
    near = load_platform("mobile-npu", {"allocator": "third-part"})
    assert "did you mean 'third-party'?" in refused(lambda: make_allocator(near, TINY, 64, 1024))


@pytest.mark.parametrize(
    ("platform", "allocator", "needed"),
    [
        ("mobile-npu", "replicated", "needs [npu], [memory] and [pim]"),
        ("mobile-npu", "pim-only", "needs [npu], [memory] and [pim]"),
        ("rtx3090", "replicated", "needs [npu], [memory] and [pim]"),
        ("rtx3090", "attention-on-hbm-pim", "needs [gpu] and [hbm_pim]"),
        ("lp-spec", "attention-on-hbm-pim", "needs [gpu] and [hbm_pim]"),
    ],
)
def test_allocators_say_which_devices_they_need(platform: str, allocator: str, needed: str) -> None:
    spec = load_platform(platform, {"allocator": allocator})
    line = refused(lambda: make_allocator(spec, TINY, 64, 1024))
    assert needed in line
    assert f"allocator {allocator}" in line


@pytest.mark.parametrize("name", platform_names())
def test_models_that_do_not_fit_are_refused_in_one_line(name: str) -> None:
    huge = TINY.model_copy(update={"layers": 100_000})
    line = refused(lambda: make_allocator(load_platform(name), huge, 64, 1024))
    assert f"does not fit {name}" in line
    assert "GiB" in line


# Precision on PIM


@pytest.mark.parametrize("platform", ["lp-spec", "lpddr5-pim"])
@pytest.mark.parametrize(
    ("model", "product"),
    [
        (TINY.with_bits(weight=4), "4-bit"),
        (TINY.with_bits(weight=16), "16-bit"),
        (TINY.with_bits(activation=16), "16-bit"),
        (TINY.with_bits(kv=4), "4-bit"),
        (TINY.with_bits(kv=16), "16-bit"),
    ],
)
def test_only_int8_runs_on_pim(platform: str, model: ModelSpec, product: str) -> None:
    def price() -> Cost:
        allocator = make_allocator(load_platform(platform), model, 64, 512)
        return allocator.decode_cost(verify_operators(model, 4, 100))

    line = refused(price)
    assert "PIM computes w8a8" in line
    assert product in line


# Sums over single devices


def device_costs(model: ModelSpec, device: Device) -> float:
    return sum(float(price_on(device, op).latency_ns) for op in verify_operators(model, 4, 300))


def test_a_single_device_does_everything() -> None:
    mobile, desktop = load_platform("mobile-npu"), load_platform("rtx3090")
    assert mobile.npu is not None
    assert mobile.memory is not None
    assert desktop.gpu is not None
    devices: list[tuple[str, Npu | Gpu]] = [
        ("mobile-npu", Npu(mobile.npu, mobile.memory)),
        ("rtx3090", Gpu(desktop.gpu)),
    ]
    for name, device in devices:
        allocator = make_allocator(load_platform(name), TINY, 64, 1024)
        passed = allocator.decode_cost(verify_operators(TINY, 4, 300))
        assert float(passed.latency_ns) == pytest.approx(device_costs(TINY, device), rel=1e-12)


def test_attacc_does_attention_in_memory_when_decoding_only() -> None:
    platform = load_platform("attacc")
    assert platform.gpu is not None
    assert platform.hbm_pim is not None
    gpu, units = Gpu(platform.gpu), HbmPim(platform.hbm_pim)
    allocator = make_allocator(platform, TINY, 64, 1024)
    for op in verify_operators(TINY, 4, 300):
        alone = allocator.decode_cost((op,))
        if isinstance(op, Attention):
            expected_ns = float(units.price(op).latency_ns) + float(gpu.kv_write(op).latency_ns)
            assert float(alone.latency_ns) == pytest.approx(expected_ns)
            assert alone.activity.column_bits == units.price(op).activity.column_bits
        else:
            assert alone.latency_ns == price_on(gpu, op).latency_ns
    for op in prefill_operators(TINY, 100):
        assert allocator.prefill_cost((op,)).latency_ns == price_on(gpu, op).latency_ns


@pytest.mark.parametrize("name", ["lp-spec", "lpddr5-pim", "mobile-npu"])
def test_every_mobile_system_prefills_on_the_npu(name: str) -> None:
    platform = load_platform(name)
    assert platform.npu is not None
    assert platform.memory is not None
    npu = Npu(platform.npu, platform.memory)
    allocator = make_allocator(platform, TINY, 64, 1024)
    for op in prefill_operators(TINY, 128):
        cost, timing = price_on(npu, op), timing_of(platform.memory)
        if isinstance(op, Attention) and platform.pim is not None:  # the cache lies on PIM ranks, too
            cost += append_to_pim(LpddrPim(platform.pim, platform.memory), op, 128 // 32) * float(op.count)
        assert allocator.prefill_cost((op,)) == timing.standing_by(cost)


@pytest.mark.parametrize("name", platform_names())
def test_an_empty_pass_costs_nothing(name: str) -> None:
    model = drafted(TINY, "eagle3") if name == "ahasd" else TINY  # which needs a network that drafts
    allocator = make_allocator(load_platform(name), model, 64, 1024, load_profile("attacc"))
    assert allocator.decode_cost(()) == Cost()


def test_weights_widen_as_tensors_do() -> None:
    """Sixteen bits double the time of a memory-bound product on the NPU's rival, which can compute them."""
    gpu = make_allocator(load_platform("rtx3090"), TINY, 64, 1024)
    times_ns = [
        sum(
            float(gpu.decode_cost((op,)).latency_ns)
            for op in verify_operators(TINY.with_bits(weight=bits), 1, 10)
            if isinstance(op, Gemm)
        )
        for bits in (4, 8, 16)
    ]
    assert times_ns[1] == pytest.approx(2 * times_ns[0])
    assert times_ns[2] == pytest.approx(4 * times_ns[0])


def test_a_product_that_was_not_placed_is_refused_and_not_free() -> None:
    without = make_allocator(load_platform("lp-spec"), TINY, 4, 256)
    with pytest.raises(InputError, match="product 'medusa_block' has no place in memory"):
        without.decode_cost(draft_operators(medusa_model("tinyllama")))

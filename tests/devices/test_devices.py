"""Every kind of device keeps one protocol, a new one as well: its table, its prices, its command level or none."""

from collections.abc import Iterator
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lpspec import plugins
from lpspec.devices.cost import Activity, Cost, off_chip_read
from lpspec.devices.device import Identity, PhasePart
from lpspec.devices.kinds import device_alone, devices_of
from lpspec.devices.memory_timing import timing_of
from lpspec.errors import InputError
from lpspec.experiments.compare import compare
from lpspec.llm.formats import WeightFormat
from lpspec.llm.operators import Attention, Elementwise, Gemm, PlainOperator, StateUpdate
from lpspec.machine.device_kinds import DEVICES
from lpspec.machine.loading import load_platform, platform_names
from lpspec.machine.platform_spec import PlatformSpec
from lpspec.machine.quantity import Count, Described
from lpspec.scenario.names import FIDELITIES
from lpspec.scenario.scenario import DEFAULT

GEMM = Gemm("out", count=2, tokens=3, k=256, n=512, stored=WeightFormat(8), activation_bits=8)


class SlowSpec(Described):
    width: Count


class Slow:
    """A device beside LPDDR that reads every weight over the bus and multiplies `width` a ns meanwhile."""

    Spec = SlowSpec
    stands_alone = True

    def __init__(self, width: int, bus_gb_per_s: float) -> None:
        self.width, self.bus_gb_per_s = width, bus_gb_per_s

    @classmethod
    def of(cls, platform: PlatformSpec) -> "Slow":
        assert platform.memory is not None
        return cls(platform.device(SlowSpec).width.n, timing_of(platform.memory).bus_gb_per_s)

    def price(self, op: PlainOperator) -> Cost:
        macs, read = self._work(op)
        latency_ns = np.maximum(macs / self.width, read / self.bus_gb_per_s)
        return Cost(latency_ns, off_chip_read(read * 1.0) + Activity(macs_int8=macs * 1.0))

    def phase_parts(self, op: PlainOperator, amount: int | None = None) -> tuple[PhasePart, ...]:
        macs, read = (float(work) / op.count for work in self._work(op))
        return (PhasePart(op.name, read, macs / self.width, activity=Activity(macs_int8=macs)),)

    def describe(self) -> Iterator[Identity]:
        yield Identity("slow", self.width, "GMAC/s", "all of it")

    def _work(self, op: PlainOperator) -> tuple[Any, Any]:
        if isinstance(op, Gemm):
            return op.macs, op.weight_bytes
        if isinstance(op, StateUpdate):
            return op.macs, op.stored_bytes
        return (op.macs, op.kv_read_bytes) if isinstance(op, Attention) else (op.vector_ops / 2, op.memory_bytes)


@pytest.fixture
def slow(tmp_path: Path) -> str:
    """A platform with such a device and the package of mobile-npu."""
    text = (Path(plugins.__file__).parent / "machine" / "platforms" / "mobile-npu.toml").read_text("utf-8")
    head, _, memory = text[text.index("name =") :].partition("[npu]")
    path = tmp_path / "slow.toml"
    own = '[slow]\nwidth = { value = 100000, source = "as wide as you like" }\n\n'
    path.write_text(head + own + memory[memory.index("[memory]") :], "utf-8")
    return str(path)


KINDS = ("npu", "pim", "gpu", "hbm_pim", "hbm_tiers", "dataflow", "pim_noc", "drafters")


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DEVICES, "slow", Slow)


@pytest.mark.parametrize("name", platform_names())
def test_shipped_devices_keep_the_protocol(name: str) -> None:
    platform = load_platform(name)
    devices = devices_of(platform)
    assert list(devices) == [table for table in KINDS if getattr(platform, table, None)]
    assert sum(device.stands_alone for device in devices.values()) == 1
    for table, device in devices.items():
        assert list(device.describe())
        parts = device.phase_parts(GEMM)
        assert (parts is None) == (table not in ("npu", "pim"))
        if parts is not None:
            assert [part.name for part in parts] == ["out"]
    assert float(device_alone(platform).price(GEMM).latency_ns) > 0


@pytest.mark.parametrize("name", ["lp-spec", "attacc"])
def test_a_device_that_cannot_compute_something_says_so(name: str) -> None:
    beside = devices_of(load_platform(name))["pim" if name == "lp-spec" else "hbm_pim"]
    with pytest.raises(InputError, match="'norm'"):
        beside.price(Elementwise("norm", count=1, elements=8, ops_per_element=1, memory_bytes=8))


@pytest.mark.usefixtures("known")
def test_a_new_kind_runs_at_command_level_where_it_has_one(slow: str) -> None:
    base = DEFAULT.replace(model="tinyllama", trace="vicuna-7b", systems=[slow], new_tokens=8)
    closed, found = (compare(base.replace(fidelity=fidelity)).runs[0] for fidelity in FIDELITIES)
    assert (closed.fidelity, found.fidelity) == ("analytic", "command")
    assert found.decode_ns == pytest.approx(closed.decode_ns, rel=0.03)  # bound by the bus, as the NPU is
    assert found.decode_ns != closed.decode_ns
    for component in ("array", "io", "mac"):
        assert found.energy_by_component_mj[component] == pytest.approx(
            closed.energy_by_component_mj[component], rel=0.1
        )


@pytest.mark.usefixtures("known")
def test_its_table_is_checked_changed_and_described_as_the_shipped_ones(slow: str) -> None:
    assert load_platform(slow).device(SlowSpec).width.n == 100_000
    assert load_platform(slow, {"slow.width": "7"}).device(SlowSpec).width.n == 7
    with pytest.raises(InputError, match=r"slow.width: .*whole number"):
        load_platform(slow, {"slow.width": "1.5"})
    platform = load_platform(slow)
    assert platform.device_tables == ("slow",)
    assert platform.capacity_bytes == 16 * 2**30
    assert [fact.key for device in devices_of(platform).values() for fact in device.describe()] == ["slow"]


def test_an_installed_package_can_offer_a_kind(monkeypatch: pytest.MonkeyPatch, slow: str) -> None:
    with pytest.raises(InputError, match="slow: is not a known key"):
        load_platform(slow)
    points = EntryPoints([EntryPoint("slow", f"{__name__}:Slow", DEVICES.group)])
    monkeypatch.setattr(plugins, "entry_points", lambda group: points.select(group=group))
    assert load_platform(slow).device_tables == ("slow",)


def test_a_kind_without_a_part_of_the_protocol_is_refused(monkeypatch: pytest.MonkeyPatch, slow: str) -> None:
    monkeypatch.setitem(DEVICES, "slow", SimpleNamespace(Spec=SlowSpec, of=Slow.of, price=Slow.price))
    with pytest.raises(InputError, match="device 'slow' is a SimpleNamespace without stands_alone, phase_parts, desc"):
        load_platform(slow)


def test_a_platform_needs_one_device_that_stands_alone(monkeypatch: pytest.MonkeyPatch, slow: str) -> None:
    monkeypatch.setitem(DEVICES, "slow", type("Beside", (Slow,), {"stands_alone": False}))
    with pytest.raises(InputError, match="one device that runs whole passes is needed, it has none"):
        device_alone(load_platform(slow))

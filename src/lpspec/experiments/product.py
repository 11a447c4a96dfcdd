"""One matrix product on every device of a system: time, and what is counted and costs energy, analytically."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from lpspec.devices.kinds import devices_of
from lpspec.errors import InputError
from lpspec.experiments.systems import platform_of
from lpspec.llm.formats import WeightFormat
from lpspec.llm.operators import Gemm
from lpspec.machine.energy_profile import EVENTS
from lpspec.machine.loading import load_profile
from lpspec.machine.platform_spec import PlatformSpec
from lpspec.scenario.checking import LARGEST
from lpspec.scenario.product import Product


@dataclass(frozen=True)
class DeviceCost:
    """A product on one device alone.

    Attributes:
        device: Its table in the platform file.
        latency_ns: Time, analytically.
        counts: Events by name, those that occur.
        energy_pj: Of these events, by the same names.
    """

    device: str
    latency_ns: float
    counts: dict[str, float]
    energy_pj: dict[str, float]

    @property
    def total_pj(self) -> float:
        """Energy of all events."""
        return sum(self.energy_pj.values())


@dataclass(frozen=True)
class ProductPrice:
    """What a product costs.

    Attributes:
        product: What was asked for.
        platform: The machine's name.
        macs: Multiply-accumulates.
        operand_bytes: Of inputs, weights and outputs, each once.
        devices: Every device that computes products.
        left_out: Devices that cannot, with the reason.
        notes: What has no effect, one line each.
    """

    product: Product
    platform: str
    macs: int
    operand_bytes: dict[str, int]
    devices: tuple[DeviceCost, ...]
    left_out: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]


def price_product(product: Product) -> ProductPrice:
    """Price a product on every device of a system, each alone.

    Raises:
        InputError: Unknown system or profile, a size that no product has, or no device that computes it.
    """
    if product.m * product.k * product.n > LARGEST**2:
        raise InputError(f"a product of {product.m} x {product.k} x {product.n} is larger than any: at most 10^18 MACs")
    op = Gemm("product", 1, product.m, product.k, product.n, WeightFormat(product.weights), product.activations)
    platform, found, left_out = _on_every_device(product, op)
    if not found:
        raise InputError(f"no device of '{product.system}' computes it: {'; '.join(why for _, why in left_out)}")
    outputs = product.m * product.n * product.activations // 8
    operands = {"inputs": int(op.input_bytes), "weights": op.weight_bytes, "outputs": outputs}
    notes = tuple(_notes(product, op, found))
    return ProductPrice(product, platform.name, int(op.macs), operands, tuple(found), tuple(left_out), notes)


def _on_every_device(product: Product, op: Gemm) -> tuple[PlatformSpec, list[DeviceCost], list[tuple[str, str]]]:
    """The machine, what each device takes, and why others cannot."""
    platform = platform_of(product.system, product.changes)
    profile = platform.priced_by(load_profile(product.energy_profile))
    found, left_out = [], []
    for name, device in devices_of(platform).items():
        try:
            cost = device.price(op)
        except InputError as error:
            left_out.append((name, str(error)))
            continue
        counts = {event: float(getattr(cost.activity, event)) for event in EVENTS if getattr(cost.activity, event)}
        energy_pj = {event: float(pj) for event, pj in cost.activity.by_event_pj(profile).items()}
        found.append(DeviceCost(name, float(cost.latency_ns), counts, energy_pj))
    return platform, found, left_out


def _notes(product: Product, op: Gemm, found: Sequence[DeviceCost]) -> Iterator[str]:
    """Changes without which every device takes the same."""
    for key in product.changes:
        others = {name: value for name, value in product.changes.items() if name != key}
        try:
            _, without, _ = _on_every_device(replace(product, changes=others), op)
        except InputError:
            continue
        if without == found:
            yield f"--set {key} has no effect on this product, priced analytically"

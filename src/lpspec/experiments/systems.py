"""The systems that the paper compares, by name, and the bases on which they can be compared."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from lpspec.errors import InputError, unknown_name
from lpspec.hardware.energy_profile import EnergyProfile
from lpspec.hardware.loading import load_platform
from lpspec.llm.model_spec import ModelSpec
from lpspec.simulation.workload import System

Basis = Literal["equal", "published"]
BASES: tuple[Basis, ...] = get_args(Basis)
"""``equal``: INT8 and the same dynamic energy accounting everywhere. ``published``: each system as its own
publication has it, that is FP16 on GPUs and board power for the RTX 3090."""

REFERENCE = "lp-spec"
"""The system that the others are compared with."""


@dataclass(frozen=True, slots=True)
class NamedSystem:
    """A platform, and whether it speculates."""

    platform: str
    speculates: bool
    summary: str


SYSTEMS: dict[str, NamedSystem] = {
    "npu": NamedSystem("mobile-npu", False, "mobile NPU, autoregressive"),
    "npu-spec": NamedSystem("mobile-npu", True, "mobile NPU with speculation"),
    "pim": NamedSystem("lpddr5-pim", False, "GEMV-only LPDDR5-PIM, autoregressive"),
    "pim-spec": NamedSystem("lpddr5-pim", True, "GEMV-only LPDDR5-PIM with speculation"),
    "lp-spec": NamedSystem("lp-spec", True, "LP-Spec: hybrid package, DTP and DAU"),
    "attacc": NamedSystem("attacc", False, "A100-class GPU with attention in HBM-PIM, autoregressive"),
    "attacc-spec": NamedSystem("attacc", True, "the same with speculation"),
    "rtx3090": NamedSystem("rtx3090", False, "RTX 3090, autoregressive"),
    "rtx3090-spec": NamedSystem("rtx3090", True, "RTX 3090 with speculation"),
}


def make_system(
    name: str,
    model: ModelSpec,
    profile: EnergyProfile,
    basis: Basis = "equal",
    changes: Mapping[str, str] | None = None,
) -> System:
    """Build a system by name, or from the TOML file of a platform (which then speculates).

    Args:
        name: One of ``SYSTEMS``, or the path of a platform file.
        model: The decoder at the precision of the mobile systems.
        profile: Energy profile that prices events.
        basis: Whose precision and energy accounting to use.
        changes: Constants of the platform to change; those that it does not have are left out.

    Raises:
        InputError: Unknown system, or a bad platform.
    """
    named = SYSTEMS.get(name)
    if named is None:
        if "/" not in name and not name.endswith(".toml"):
            raise unknown_name("system", name, SYSTEMS)
        named = NamedSystem(name, True, "")
    platform = load_platform(named.platform, _applicable(named.platform, changes or {}))
    if platform.gpu is not None and basis == "published":
        model = model.with_bits(weight=16, activation=16, kv=16)
    if basis == "equal":
        platform = platform.model_copy(update={"energy_basis": "model"})
    label = name if named.summary else platform.name
    return System(label, platform, model, profile, named.speculates)


def check_changes(names: list[str], changes: Mapping[str, str]) -> None:
    """Refuse a change that no platform of these systems can take, so that a typing error is not silent.

    Raises:
        InputError: With the reason that the first platform gives.
    """
    platforms = list(dict.fromkeys(SYSTEMS[n].platform if n in SYSTEMS else n for n in names))
    for key, value in changes.items():
        reasons = [_refusal(platform, key, value) for platform in platforms]
        if reasons and all(reasons):
            reference = SYSTEMS[REFERENCE].platform
            raise InputError(_refusal(reference, key, value) or reasons[0])


def _applicable(platform: str, changes: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in changes.items() if not _refusal(platform, key, value)}


def _refusal(platform: str, key: str, value: str) -> str:
    """Why a platform does not take a change; empty when it does."""
    try:
        load_platform(platform, {key: value})
    except InputError as error:
        return str(error)
    return ""

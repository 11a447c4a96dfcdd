"""The systems that the paper compares, by name, and the bases on which they can be compared."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from lpspec.allocation.allocator import any_allocator
from lpspec.errors import InputError, listed, unknown_name
from lpspec.llm.draft_work import drafted
from lpspec.llm.model_spec import ModelSpec
from lpspec.machine.description_files import is_path
from lpspec.machine.loading import constant_keys, load_platform, load_profile, unknown_constant
from lpspec.machine.platform_spec import PlatformSpec
from lpspec.scenario.names import Basis
from lpspec.scenario.scenario import DEFAULT, Scenario
from lpspec.simulation.command_cost import has_command_level
from lpspec.simulation.workload import System

ENERGY_BASES: dict[Basis, Literal["model", "board-power"]] = {"equal": "model", "board": "board-power"}

NO_DRAFTER = "none"
"""The drafter of a system that does not speculate."""

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
"""Those that the paper compares, which run where none is named."""

KNOWN_SYSTEMS = SYSTEMS | {
    "lp-spec-plus": NamedSystem("lp-spec-plus", True, "LP-Spec's machine under better policies"),
    "lp-spec-lpddr5x": NamedSystem("lp-spec-lpddr5x", True, "LP-Spec's package in LPDDR5X-10667"),
    "ahasd": NamedSystem("ahasd", True, "AHASD: drafts on PIM beside verification on the NPU; needs a draft network"),
    "a100": NamedSystem("a100", False, "A100 80 GB, autoregressive"),
    "a100-spec": NamedSystem("a100", True, "A100 80 GB with speculation"),
    "terafly": NamedSystem("terafly", False, "TeraFly: dataflow on one FPGA card, autoregressive"),
    "loop-lynx": NamedSystem("loop-lynx", False, "LoopLynx: dataflow on two FPGA cards, autoregressive"),
    "attacc-8": NamedSystem("attacc-8", False, "AttAcc on eight GPUs, autoregressive"),
    "token-stack": NamedSystem("token-stack", False, "TokenStack: two tiers of HBM on eight GPUs, autoregressive"),
    "cosine": NamedSystem("cosine", True, "CoSine: four A100 verify what networks draft on GPUs of their own"),
    "leap": NamedSystem("leap", False, "LEAP: PIM tiles on a mesh, fitted, autoregressive"),
    "cd-pim": NamedSystem("cd-pim", False, "CD-PIM: LPDDR5-PIM with pseudo-banks, autoregressive"),
    "lp5x-pim": NamedSystem("lp5x-pim", False, "Samsung's LPDDR5X-PIM, autoregressive"),
    "lp-spec-lpddr6": NamedSystem("lp-spec-lpddr6", True, "LP-Spec's package in LPDDR6-10667, PIM and energy assumed"),
}


def make_system(name: str, model: ModelSpec, scenario: Scenario = DEFAULT) -> System:
    """Build a system by name, or from the TOML file of a platform (which then speculates).

    Args:
        name: One of ``KNOWN_SYSTEMS``, or the path of a platform file.
        model: The decoder at the precision of the mobile systems.
        scenario: Its energy profile prices events, but for memory of a kind whose energies the platform has itself;
            its basis says whose precision to use and what energy counts; of its changes, the platform takes those of
            constants that it has; it says, too, whether the root is among the tokens that a pass is charged for.

    Raises:
        InputError: Unknown system, a bad platform, or one whose board power is not known on a basis that counts it.
    """
    named, basis, changes = _named(name), scenario.basis, scenario.changes
    if basis in ENERGY_BASES and "energy_basis" in changes:
        raise InputError(f"energy_basis follows from the basis '{basis}': for another, choose another basis")
    platform = load_platform(named.platform, _applicable(named.platform, changes))
    if platform.gpu is not None and basis == "published":
        model = model.with_bits(weight=16, activation=16, kv=16)
    speculates = named.speculates and scenario.drafter != NO_DRAFTER
    model = drafted(model, scenario.drafter if speculates else NO_DRAFTER)
    if basis in ENERGY_BASES:
        if basis == "board" and not platform.knows_board_power:
            raise InputError(f"platform '{platform.name}' has no rest_of_soc_power: basis 'board' needs it")
        platform = platform.model_copy(update={"energy_basis": ENERGY_BASES[basis]})
    label = name if named.summary else platform.name
    # A lone token is the root and always charged, so the assumption set must not tell two plain systems apart.
    prices = platform.priced_by(load_profile(scenario.energy_profile))
    root_counts = scenario.root_counts or not speculates
    return System(label, platform, model, prices, speculates, root_counts, exact=scenario.exact)


def check_command_level(scenario: Scenario, systems: Sequence[System]) -> None:
    """Refuse systems without a command level where that level is asked for by name.

    Raises:
        InputError: ``fidelity`` is ``command``, and one of the systems would be priced analytically.
    """
    if scenario.fidelity != "command":
        return
    without = [system.name for system in systems if not _has_commands(system)]
    if without:
        others = [system.name for system in systems if system.name not in without]
        named = f"{listed(others, 45)} alone" if others else "other systems"
        raise InputError(
            f"fidelity command: no command level for {listed(without, 45)}; leave fidelity out to price those "
            f"analytically, or name {named}"
        )


def _has_commands(system: System) -> bool:
    """Whether commands price it; of what does not fit its memory, too, which is said where it runs."""
    try:
        allocator = any_allocator(system.platform, system.model, system.profile)
    except InputError:
        return True
    return has_command_level(system, allocator)


def _named(name: str) -> NamedSystem:
    """A system by name, or one that speculates on the platform of a file."""
    if name in KNOWN_SYSTEMS:
        return KNOWN_SYSTEMS[name]
    if not is_path(name):
        raise unknown_name("system", name, KNOWN_SYSTEMS)
    return NamedSystem(name, True, "")


def check_changes(names: Iterable[str], changes: Mapping[str, str]) -> None:
    """Refuse a change that no platform of these systems can take, so that a typing error is not silent.

    Raises:
        InputError: Unknown system or constant, with the nearest one that exists.
    """
    known = {key for name in dict.fromkeys(names) for key in system_constants(name, changes.get("memory.die"))}
    for key in changes:
        if key not in known:
            raise unknown_constant(key, known)


def platform_of(name: str, changes: Mapping[str, str]) -> PlatformSpec:
    """The machine of a system by name, or of a platform file, with some constants changed.

    Raises:
        InputError: Unknown system or constant, or a value that is not possible.
    """
    check_changes([name], changes)
    return load_platform(_named(name).platform, changes)


def system_constants(name: str, die: str | None = None) -> list[str]:
    """Keys of the constants of a system's platform, with another die than it names if one is given.

    Raises:
        InputError: Unknown system, or a platform file that cannot be read.
    """
    return constant_keys(_named(name).platform, die)


def _applicable(platform: str, changes: Mapping[str, str]) -> dict[str, str]:
    """The changes that concern this platform: a GPU has no MAC interval to change."""
    if not changes:
        return {}
    keys = set(constant_keys(platform, changes.get("memory.die")))
    return {key: value for key, value in changes.items() if key in keys}

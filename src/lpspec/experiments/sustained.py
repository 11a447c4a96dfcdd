"""Sustained against peak: what a phone that warms up leaves of a machine's token/s.

A cold phone runs at the clocks that serve it best until its case is warm; from then on the mean power of the SoC may be
no more than what the case gives off. A governor then takes the data rate, NPU clock and number of PIM ranks with the
most token/s, and rests between tokens where even these draw too much. The analytic level chooses; commands
price what is chosen.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

from lpspec.errors import InputError
from lpspec.experiments.clocks import Clocked, waiting_w
from lpspec.experiments.compare import check_labels
from lpspec.experiments.notes import run_notes
from lpspec.experiments.provenance import provenance
from lpspec.experiments.setting import Setting, load_setting, system_names
from lpspec.experiments.systems import check_command_level
from lpspec.machine.loading import load_operating_points
from lpspec.machine.operating_points import Clocks, OperatingPoints, Thermal
from lpspec.scenario import Scenario
from lpspec.scenario.names import Fidelity
from lpspec.simulation.requests import refuse_served
from lpspec.simulation.run import Run, simulate
from lpspec.simulation.workload import System

SYSTEMS = ("npu", "npu-spec", "lp-spec", "lp-spec-plus")
BASE = Scenario(systems=SYSTEMS, energy_profile="micron-y52p")
"""What runs where nothing is said: the profile is the one that prices waiting."""

RANKS = "pim.concurrent_ranks"


@dataclass(frozen=True)
class Pace:
    """A machine at one data rate, NPU clock and number of PIM ranks at once.

    Attributes:
        clocks: Data rate and NPU clock, with their voltages.
        ranks: PIM ranks that compute at once; 0 without PIM.
        run: What it made of the requests.
        waiting_w: What the SoC draws while it rests.
    """

    clocks: Clocks
    ranks: int
    run: Run
    waiting_w: float

    @property
    def soc_w(self) -> float:
        """Power of the whole SoC with its memory while it decodes, W."""
        assert self.run.board is not None
        return self.run.board.power_w

    @property
    def package_w(self) -> float:
        """Power of memory and MACs while it decodes, W."""
        return self.run.memory_and_macs.power_w

    def busy_share(self, watts: float) -> float:
        """Share of the time in which it may decode where so much may flow in the mean; 0 where resting costs more."""
        if self.soc_w <= watts:
            return 1.0
        return max(0.0, (watts - self.waiting_w) / (self.soc_w - self.waiting_w))

    def tokens_per_s_under(self, watts: float) -> float:
        """Throughput where so much may flow in the mean, rests included."""
        return self.run.tokens_per_s * self.busy_share(watts)


@dataclass(frozen=True)
class Endurance:
    """What a machine does cold and warm.

    Attributes:
        system: The machine.
        paces: All of them, analytically.
        peak: The one with the most token/s that the package allows.
        cold_s: How long a cold phone holds it; inf for ever.
        warm: The one with the most token/s under the power that a warm phone sustains.
        range_tokens_per_s: Of the best at the ends of what phones sustain: least, most.
        confirmed: Peak and warm by commands; None where that was not asked for.
    """

    system: System
    paces: tuple[Pace, ...]
    peak: Pace
    cold_s: float
    warm: Pace
    range_tokens_per_s: tuple[float, float]
    confirmed: tuple[Pace, Pace] | None

    def best(self, watts: float, package_w: float) -> Pace:
        """The pace with the most token/s where so much may flow in the mean."""
        return fastest(self.paces, watts, package_w)

    def mean_tokens_per_s(self, seconds: float, watts: float) -> float:
        """Throughput of a session that a cold phone begins: the peak until it is warm, then what it sustains."""
        fast_s = min(seconds, self.cold_s)
        tokens = self.peak.run.tokens_per_s * fast_s + self.warm.tokens_per_s_under(watts) * (seconds - fast_s)
        return tokens / seconds


@dataclass(frozen=True)
class SustainedStudy:
    """Everything that ``lpspec sustained`` reports.

    Attributes:
        scenario: What was asked for.
        operating_points: Clocks and voltages.
        thermal: What the case gives off.
        machines: One per system.
        provenance: What the result was made from.
        notes: What has no effect, one line each.
    """

    scenario: Scenario
    operating_points: OperatingPoints
    thermal: Thermal
    machines: tuple[Endurance, ...]
    provenance: dict[str, Any]
    notes: tuple[str, ...]


def sustained_study(
    scenario: Scenario = BASE,
    operating_points: str = "phone",
    advance: Callable[[str], None] = lambda _: None,
) -> SustainedStudy:
    """Find what machines do cold and warm.

    Args:
        scenario: Of systems with an NPU and LPDDR whose platforms say what the rest of the SoC draws; its fidelity says
            whether commands price what is chosen.
        operating_points: A shipped name, or the path of a TOML file.
        advance: Told what is done next.

    Raises:
        InputError: A name or value that cannot be used, or a system whose SoC power is not known.
    """
    refuse_served(scenario.workload)
    setting, points = load_setting(scenario), load_operating_points(operating_points)
    thermal = points.thermal
    if thermal is None:
        raise InputError(f"operating points '{points.name}' have no [thermal]: what lasts depends on it")
    check_labels(system_names(scenario), setting.systems)
    check_command_level(scenario, setting.systems)
    machines = tuple(_endurance(setting, which, (points, thermal), advance) for which in range(len(setting.systems)))
    origin = provenance(scenario, setting.systems, setting.trace, setting.policy, basis=scenario.basis)
    runs = [(machine.confirmed or (machine.peak,))[0].run for machine in machines]
    notes = tuple(run_notes(runs, scenario, setting.trace, setting.policy))
    return SustainedStudy(scenario, points, thermal, machines, origin, notes)


def fastest(paces: tuple[Pace, ...], watts: float, package_w: float) -> Pace:
    """The pace with the most token/s where so much may flow in the mean; of equals the one that draws least.

    Raises:
        InputError: The package allows none.
    """
    allowed = [pace for pace in paces if pace.package_w <= package_w]
    if not allowed:
        name, least = paces[0].run.system.name, min(pace.package_w for pace in paces)
        raise InputError(f"memory and MACs of {name} draw {least:.6g} W at least: package_power allows {package_w:g} W")
    return max(allowed, key=lambda pace: (pace.tokens_per_s_under(watts), -pace.soc_w))


def _endurance(
    setting: Setting, which: int, limits: tuple[OperatingPoints, Thermal], advance: Callable[[str], None]
) -> Endurance:
    points, thermal = limits
    clocked = Clocked.of(setting, which, points)
    if clocked.own.platform.rest_of_soc_power is None:
        raise InputError(
            f"'{clocked.own.name}' does not say what the rest of its SoC draws: rest_of_soc_power is needed"
        )

    def run(clocks: Clocks, ranks: int, fidelity: Fidelity) -> Pace:
        advance(f"{clocked.name}: {clocks.data_rate_mbps:,.0f} Mb/s, NPU at {clocks.npu_ghz:g} GHz, {fidelity}")
        pim = clocked.own.platform.pim
        others = {} if pim is None or pim.concurrent_ranks.n == ranks else {RANKS: str(ranks)}
        system = clocked.at(clocks, points.shares, others)
        ran = simulate(system, setting.trace, setting.scenario.workload, setting.policy, fidelity)
        rest = system.platform.rest_of_soc_power
        counted = system.platform.energy_basis == "board-power" or rest is None
        waits = waiting_w(system, points.shares) + (
            0 if counted or rest is None else rest.watts * points.shares.waiting_soc
        )
        return Pace(clocks, ranks, ran, waits)

    paces = tuple(run(clocks, ranks, "analytic") for clocks, ranks in _choices(clocked, points))
    limit, package_w = thermal.sustained_power.watts, thermal.package_power.watts
    peak, warm = fastest(paces, float("inf"), package_w), fastest(paces, limit, package_w)
    ends = [power.watts for power in (thermal.least_power, thermal.most_power)]
    least, most = (fastest(paces, watts, package_w).tokens_per_s_under(watts) for watts in ends)
    confirmed = None
    if setting.scenario.level == "command":
        confirmed = run(peak.clocks, peak.ranks, "command"), run(warm.clocks, warm.ranks, "command")
    return Endurance(clocked.own, paces, peak, thermal.cold_seconds(peak.soc_w), warm, (least, most), confirmed)


def _choices(clocked: Clocked, points: OperatingPoints) -> list[tuple[Clocks, int]]:
    """Pairs of clocks, of NPU clocks that one voltage allows the fastest, with every number of PIM ranks at once."""
    nominal, pim = clocked.nominal, clocked.own.platform.pim
    pairs = points.up_to(nominal.data_rate_mbps, nominal.npu_ghz)
    best: dict[tuple[float, float], Clocks] = {(c.data_rate_mbps, c.npu_volts): c for c in pairs}  # ascending: the last
    ranks = [0] if pim is None else list(range(1, pim.concurrent_ranks.n + 1))
    return list(product(best.values(), ranks))

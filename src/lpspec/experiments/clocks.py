"""Clocks as a policy: with which data rate and NPU clock a demanded token/s takes the least energy.

A machine that is faster than the demand waits until the next token is wanted, its dies in standby or power-down, its
NPU off. Every pair of clocks is priced analytically, the pruner planning anew at each; what is chosen for a demand
is then priced by commands, and the next cheapest is taken where commands are too slow for it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from lpspec.devices.cost import Cost
from lpspec.devices.memory_timing import timing_of
from lpspec.errors import InputError, exactly
from lpspec.experiments.notes import run_notes
from lpspec.experiments.provenance import provenance
from lpspec.experiments.setting import Setting, load_setting, system_names
from lpspec.experiments.systems import check_command_level, make_system
from lpspec.machine.loading import load_operating_points
from lpspec.machine.operating_points import LEAST_SAVED, MOST_SAVED, Clocks, OperatingPoints, Shares, priced_at
from lpspec.scenario import Scenario
from lpspec.scenario.names import Fidelity
from lpspec.scenario.scenario import DEFAULT
from lpspec.simulation.energy_basis import waiting_watts
from lpspec.simulation.run import Run, simulate
from lpspec.simulation.workload import System

BASE = Scenario(systems=("lp-spec",), energy_profile="micron-y52p", objective="energy")
"""What runs where nothing is said: the profile is the one that prices waiting."""

DEMANDS = (5.0, 10.0, 20.0, 40.0, 60.0, 80.0)


@dataclass(frozen=True)
class PointRun:
    """A machine at one pair of clocks.

    Attributes:
        clocks: The pair.
        run: What it made of the requests.
        waiting_w: What it draws while nothing is computed.
    """

    clocks: Clocks
    run: Run
    waiting_w: float

    def mj_at(self, tokens_per_s: float) -> float:
        """Energy of a token where one is wanted every so often, waiting included, mJ."""
        waited_s = 1 / tokens_per_s - 1 / self.run.tokens_per_s
        return self.run.mj_per_token + self.waiting_w * max(waited_s, 0.0) * 1e3

    def rank_at(self, tokens_per_s: float) -> tuple[float, float]:
        """What points are sorted by, the best first: that energy but for rounding, then time of a token, s.

        NPU clocks that one voltage allows cost the same, so that the fastest of them serves best.
        """
        return float(f"{self.mj_at(tokens_per_s):.9g}"), 1 / self.run.tokens_per_s

    def reaches(self, tokens_per_s: float) -> bool:
        """Whether it is fast enough."""
        return self.run.tokens_per_s >= tokens_per_s


@dataclass(frozen=True)
class Demand:
    """A class of requests, by the tokens that it wants in a second.

    Attributes:
        tokens_per_s: The demand.
        nominal: The machine at its own clocks, analytically; it may be too slow.
        chosen: The cheapest clocks that are fast enough, analytically; None where none is.
        range_mj: Energy of a token with them at the ends of what is assumed, mJ: least, most.
        confirmed: The same clocks by commands; None where that was not asked for.
        too_slow: Cheaper clocks that the analytic level held for fast enough, and commands did not.
    """

    tokens_per_s: float
    nominal: PointRun
    chosen: PointRun | None
    range_mj: tuple[float, float] = (0.0, 0.0)
    confirmed: PointRun | None = None
    too_slow: tuple[Clocks, ...] = ()

    @property
    def saved(self) -> float:
        """Share of the energy at the machine's own clocks, analytically."""
        if self.chosen is None:
            return 0.0
        return 1 - self.chosen.mj_at(self.tokens_per_s) / self.nominal.mj_at(self.tokens_per_s)


@dataclass(frozen=True)
class ClocksStudy:
    """Everything that ``lpspec clocks`` reports.

    Attributes:
        system: The machine.
        operating_points: Its clocks and voltages.
        points: Every pair analytically.
        demands: In ascending order.
        first_token_ms: The longest time to the first token that is allowed; None for any.
        provenance: What the result was made from.
        notes: What has no effect, one line each.
    """

    system: System
    operating_points: OperatingPoints
    points: tuple[PointRun, ...]
    demands: tuple[Demand, ...]
    first_token_ms: float | None
    provenance: dict[str, Any]
    notes: tuple[str, ...]


def clocks_study(
    scenario: Scenario = BASE,
    tokens_per_s: Sequence[float] = DEMANDS,
    operating_points: str = "phone",
    first_token_ms: float | None = None,
    advance: Callable[[str], None] = lambda _: None,
) -> ClocksStudy:
    """Find the clocks of a machine for each demand.

    Args:
        scenario: Of one system with an NPU and an LPDDR package; its fidelity says whether commands confirm.
        tokens_per_s: Demands, above 0.
        operating_points: A shipped name, or the path of a TOML file.
        first_token_ms: The longest time to the first token that is allowed.
        advance: Told what is done next.

    Raises:
        InputError: A name or value that cannot be used, or a machine whose clocks are not to be changed.
    """
    for demand in tokens_per_s:
        if not 0 < demand <= 1e6:
            raise InputError(f"a demand of {exactly(demand)} token/s is not possible: allowed is above 0 to 1000000")
    if first_token_ms is not None and not first_token_ms > 0:
        raise InputError(f"a first token after {first_token_ms:g} ms is not possible: allowed is above 0")
    if scenario.systems is None or len(scenario.systems) != 1:
        raise InputError("clocks are chosen for one system: name one, such as --systems lp-spec")
    setting, points = load_setting(scenario), load_operating_points(operating_points)
    check_command_level(scenario, setting.systems)
    found = _Study(setting, points, first_token_ms, advance)
    demands = tuple(found.demand(wanted) for wanted in sorted(dict.fromkeys(tokens_per_s)))
    (system,) = setting.systems
    chosen = [demand.confirmed for demand in demands if demand.confirmed is not None][:1] or found.points[:1]
    origin = provenance(scenario, [system], setting.trace, setting.policy, basis=scenario.basis)
    notes = (
        *run_notes([best.run for best in chosen], _as_said(scenario), setting.trace, setting.policy),
        *_price_notes(system, found.points),
    )
    return ClocksStudy(system, points, tuple(found.points), demands, first_token_ms, origin, notes)


def _as_said(scenario: Scenario) -> Scenario:
    """The scenario with the usual objective where it has this study's own, which nobody asked for."""
    return scenario.replace(objective=DEFAULT.objective) if scenario.objective == BASE.objective else scenario


def _price_notes(system: System, points: Sequence[PointRun]) -> list[str]:
    profile, notes = system.profile, []
    if profile.currents is None:
        notes.append(f"energy profile '{profile.name}' has no currents: its memory costs the same at every data rate")
    if not any(point.waiting_w for point in points):
        notes.append(f"energy profile '{profile.name}' prices no waiting: a token costs the same however late it comes")
    return notes


@dataclass(frozen=True)
class Clocked:
    """A machine whose clocks may change.

    Attributes:
        setting: What runs on it.
        name: As the scenario calls it.
        own: The machine at its own clocks.
        nominal: These.
    """

    setting: Setting
    name: str
    own: System
    nominal: Clocks

    @classmethod
    def of(cls, setting: Setting, which: int, points: OperatingPoints) -> "Clocked":
        """One of the machines of a setting.

        Raises:
            InputError: It has no NPU with LPDDR, or clocks above all that are listed.
        """
        own = setting.systems[which]
        npu, memory = own.platform.npu, own.platform.memory
        if npu is None or memory is None:
            raise InputError(f"clocks of an NPU and of LPDDR are chosen: '{own.name}' has neither")
        nominal = points.clocks(memory.data_rate.mbps, npu.clock.ghz)
        return cls(setting, system_names(setting.scenario)[which], own, nominal)

    def at(self, clocks: Clocks, shares: Shares, changes: Mapping[str, str] | None = None) -> System:
        """The machine at other clocks.

        Args:
            clocks: With their voltages.
            shares: What is assumed of these.
            changes: Of further constants.
        """
        scenario, further = self.setting.scenario, dict(changes or {})
        if clocks == self.nominal and not further:
            made = self.own
        else:
            further |= {
                "memory.data_rate": f"{clocks.data_rate_mbps:.9g} Mbps",
                "npu.clock": f"{clocks.npu_ghz:.9g} GHz",
            }
            made = make_system(self.name, self.setting.model, scenario.replace(changes={**scenario.changes, **further}))
        return replace(made, profile=priced_at(self.own.profile, clocks, self.nominal, shares))


class _Study:
    """Runs of one machine at all its clocks."""

    def __init__(
        self, setting: Setting, points: OperatingPoints, first_token_ms: float | None, advance: Callable[[str], None]
    ) -> None:
        self.setting, self.operating_points, self.first_token_ms = setting, points, first_token_ms
        self.advance = advance
        self.clocked = Clocked.of(setting, 0, points)
        self.nominal = self.clocked.nominal
        self._confirmed: dict[Clocks, PointRun] = {}

    @cached_property
    def points(self) -> list[PointRun]:
        """Every pair of clocks analytically."""
        pairs = self.operating_points.up_to(self.nominal.data_rate_mbps, self.nominal.npu_ghz)
        return [self._at(clocks, self.operating_points.shares, "analytic") for clocks in pairs]

    def demand(self, tokens_per_s: float) -> Demand:
        """The cheapest clocks for a demand."""
        own = next(point for point in self.points if point.clocks == self.nominal)
        fast = [point for point in self.points if point.reaches(tokens_per_s) and self._is_prompt(point)]
        too_slow: list[Clocks] = []
        for point in sorted(fast, key=lambda point: point.rank_at(tokens_per_s)):
            confirmed = self._by_commands(point.clocks) if self.setting.scenario.level == "command" else None
            if confirmed is None or (confirmed.reaches(tokens_per_s) and self._is_prompt(confirmed)):
                ends = (self._at(point.clocks, shares, "analytic") for shares in (MOST_SAVED, LEAST_SAVED))
                least, most = sorted(end.mj_at(tokens_per_s) for end in ends)
                return Demand(tokens_per_s, own, point, (least, most), confirmed, tuple(too_slow))
            too_slow.append(point.clocks)
        return Demand(tokens_per_s, own, None, too_slow=tuple(too_slow))

    def _is_prompt(self, point: PointRun) -> bool:
        return self.first_token_ms is None or point.run.time_to_first_token_ms <= self.first_token_ms

    def _by_commands(self, clocks: Clocks) -> PointRun:
        if clocks not in self._confirmed:
            self._confirmed[clocks] = self._at(clocks, self.operating_points.shares, "command")
        return self._confirmed[clocks]

    def _at(self, clocks: Clocks, shares: Shares, fidelity: Fidelity) -> PointRun:
        """The machine at a pair of clocks."""
        self.advance(f"{clocks.data_rate_mbps:,.0f} Mb/s, NPU at {clocks.npu_ghz:g} GHz, {fidelity}")
        system = self.clocked.at(clocks, shares)
        run = simulate(system, self.setting.trace, self.setting.scenario.workload, self.setting.policy, fidelity)
        return PointRun(clocks, run, waiting_w(system, shares))


def waiting_w(system: System, shares: Shares) -> float:
    """What a machine draws while nothing is computed, W: dies refresh and wait, and a part of the SoC stays on."""
    assert system.platform.memory is not None
    a_second = timing_of(system.platform.memory).standing_by(Cost(1e9))
    dies_w = float(sum(a_second.activity.energy_pj(system.profile).values())) / 1e12
    return dies_w + waiting_watts(system.platform, shares.waiting_soc)

"""Rules that hold on every machine: what a change of a scenario must not do to time and energy.

A better machine is never slower. More work never costs less of what the allocator saves, which is time but for two
allocators; on machines without a choice of device it costs no less of either.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from lpspec.experiments.random_machines import CK_NS, FEWEST_CK_PER_MAC, ROWS, Dice, RandomStep, mac_interval
from lpspec.simulation.workload import MAX_TREE_SIZE

LANES = 32
"""Positions of a block: one for each lane of an MPU, on every machine here."""

Change = Callable[[RandomStep, Dice], RandomStep | None]
"""Another scenario, or None where it cannot be changed so."""


@dataclass(frozen=True)
class Rule:
    """A change, and what may come of it.

    Attributes:
        change: What is changed.
        kind: ``machine`` for a better one; ``tree``, ``context`` or ``model`` for a larger one.
    """

    change: Change
    kind: str


def _times(key: str, factor: float, least: float = 0.0) -> Change:
    """Scale a constant, unless that takes it below the least that can be."""

    def change(scenario: RandomStep, dice: Dice) -> RandomStep | None:
        if key not in scenario.changes:
            return None
        number, _, unit = scenario.changes[key].partition(" ")
        scaled = float(number) * factor
        return scenario.with_change(key, f"{scaled:.10g} {unit}".strip()) if scaled >= least else None

    return change


def _one_more(key: str, but_at_most: str | None = None) -> Change:
    """Add one to a constant, unless another one limits it."""

    def change(scenario: RandomStep, dice: Dice) -> RandomStep | None:
        if key not in scenario.changes:
            return None
        more = int(scenario.changes[key]) + 1
        if but_at_most is not None and more > int(scenario.changes[but_at_most]):
            return None
        return scenario.with_change(key, more)

    return change


def _quicker_macs(scenario: RandomStep, dice: Dice) -> RandomStep | None:
    """One CK less from MAC to MAC."""
    if "pim.mac_interval" not in scenario.changes:
        return None
    ck = _macs_ck(scenario) - 1
    rate = scenario.changes["memory.data_rate"]
    return scenario.with_change("pim.mac_interval", mac_interval(ck, rate)) if ck >= FEWEST_CK_PER_MAC else None


def _macs_ck(scenario: RandomStep) -> int:
    return round(float(scenario.changes["pim.mac_interval"].split()[0]) / CK_NS[scenario.changes["memory.data_rate"]])


def _higher_rate(scenario: RandomStep, dice: Dice) -> RandomStep | None:
    """The next grade of the same capacity; MACs keep their CK."""
    rate, rows = (scenario.changes.get(f"memory.{key}", "") for key in ("data_rate", "organisation.rows"))
    rates = list(CK_NS)
    if rate not in rates[:-1]:
        return None
    higher = rates[rates.index(rate) + 1]
    if rows not in ROWS[higher]:
        return None
    changed = scenario.with_change("memory.data_rate", higher)
    if "pim.mac_interval" in scenario.changes:
        changed = changed.with_change("pim.mac_interval", mac_interval(_macs_ck(scenario), higher))
    return changed


def _larger_tree(scenario: RandomStep, dice: Dice) -> RandomStep | None:
    most = min(MAX_TREE_SIZE, 2 * scenario.l_spec + 1)
    if scenario.l_spec == most:
        return None
    return replace(scenario, l_spec=dice.between(scenario.l_spec + 1, most))


def _longer_context(scenario: RandomStep, dice: Dice) -> RandomStep | None:
    """By whole blocks of positions: at other places of a block the tokens may lie in fewer, and cost less to write."""
    return replace(scenario, context=scenario.context + LANES * dice.spread(1, scenario.context // LANES + 2))


def _larger(key: str, step: int, most_steps: int) -> Change:
    """Add some steps to a dimension of the model."""
    return lambda scenario, dice: scenario.with_model(
        **{key: int(scenario.model[key]) + step * dice.between(1, most_steps)}
    )


RULES: dict[str, Rule] = {
    "twice the channels": Rule(_times("memory.channels", 2), "machine"),
    "a higher data rate": Rule(_higher_rate, "machine"),
    "one more DRAM rank": Rule(_one_more("memory.dram_ranks"), "machine"),
    "one more PIM rank": Rule(_one_more("memory.pim_ranks"), "machine"),
    "one more rank that computes": Rule(_one_more("pim.concurrent_ranks", "memory.pim_ranks"), "machine"),
    "one more ALU": Rule(_one_more("pim.alus"), "machine"),
    "twice the ALUs": Rule(_times("pim.alus", 2), "machine"),
    "a shorter MAC interval": Rule(_quicker_macs, "machine"),
    "a shorter mode switch": Rule(_times("pim.mode_switch", 0.5), "machine"),
    "twice the cores": Rule(_times("npu.cores", 2), "machine"),
    "a faster NPU clock": Rule(_times("npu.clock", 1.5), "machine"),
    "twice the vector lanes": Rule(_times("npu.vector_lanes", 2), "machine"),
    "twice the scratchpad": Rule(_times("npu.scratchpad", 2), "machine"),
    "twice the local buffer": Rule(_times("npu.local_buffer", 2), "machine"),
    "a larger tree": Rule(_larger_tree, "tree"),
    "a longer context": Rule(_longer_context, "context"),
    "one more layer": Rule(_larger("layers", 1, 1), "model"),
    "a wider model": Rule(_larger("hidden_size", 128, 4), "model"),
    "a wider feed-forward layer": Rule(_larger("intermediate_size", 64, 32), "model"),
    "a larger vocabulary": Rule(_larger("vocab_size", 500, 16), "model"),
    "one more draft head": Rule(lambda old, _: replace(old, heads=old.heads + 1), "model"),
    "twice the heads": Rule(  # of both kinds: as many queries for each key-value head as before
        lambda old, _: old.with_model(**{key: 2 * int(old.model[key]) for key in ("heads", "kv_heads")}), "model"
    ),
}
"""Every rule by its name. The array's rows and columns are not among them: a taller array loads its tiles longer."""

SAVES = {"least-energy": "energy", "least-edp": "EDP"}
"""What allocators save that do not save time."""

WITHOUT_CHOICE = ("npu-spec", "attacc-spec", "rtx3090-spec")
"""Systems on which every operator has its device."""


def must_not_fall(rule: Rule, scenario: RandomStep) -> tuple[str, ...]:
    """Which of time, energy and EDP must not be better after a change to more work, or worse on a better machine.

    An allocator that saves time may give a wider product to another device, where it takes more time but less energy,
    but a larger tree costs no less of either; one that saves energy may give it more time to take on a better machine.
    """
    saved = SAVES.get(scenario.changes.get("allocator", ""), "time")
    if rule.kind == "machine":
        return ("time",) if saved == "time" else ()
    if scenario.system in WITHOUT_CHOICE or (rule.kind == "tree" and saved == "time"):
        return ("time", "energy")
    return (saved,)

"""Whatever a platform may say changes a step at both levels, or is refused, or is listed here with the reason.

The schema is walked, so a field that is added to it joins by itself.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args, get_origin

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import BaseModel

from lpspec.allocation.allocator import ALLOCATORS
from lpspec.errors import InputError
from lpspec.llm import load_model
from lpspec.llm.model_spec import ModelSpec
from lpspec.machine.loading import load_platform, load_profile
from lpspec.machine.platform_spec import PlatformSpec
from lpspec.machine.quantity import Quantity
from lpspec.simulation.command_cost import command_costs
from lpspec.simulation.energy_basis import board_pj
from lpspec.simulation.price_grid import priced
from lpspec.simulation.step_cost import step_costs
from lpspec.simulation.workload import System

Results = NDArray[np.float64]

PLATFORMS = ("lp-spec", "mobile-npu", "rtx3090", "attacc")
"""Each kind of device once."""

FACTORS = (2.0, 0.5, 4.0, 0.25, 1 / 64, 1 / 512)
"""Tried one after the other: some values only count where they are small."""

NOT_IN_A_STEP = {
    "name": "what tables call it",
    "summary": "what tables say about it",
    "not_simulated": "what notes say about it",
    "memory_energy.technology": "likewise",
    "gpu.memory": "decides whether a model fits, and nothing else",
    "command_level": "takes the command level away, which tests/experiments/test_neighbours.py looks at",
    "step_order": "moves what a network drafts, and heads draft here; tests/simulation/test_step_order.py looks at it",
    "energy_basis": "says which of two energies counts, and both are looked at here",
    "gpu.matrix_int8": "the model here has INT8 weights on one kind of platform only; tested below",
    "gpu.matrix_fp16": "likewise",
    "npu.wide_turns": "counts with activations of 16 bits, where tests/devices/test_npu_cost.py looks at it",
    "memory.timing.nRFCpb": "per-bank refresh, which `lpspec dram run --refresh per-bank` does and no step here",
    "memory.timing.nPBR2PBR": "likewise",
    "memory.timing.nPBR2ACT": "likewise",
    "memory.controller.drain_high": "no phase reads beside what it writes; beside a CPU it counts, as "
    "tests/simulation/test_controller_of_platform.py looks at",
    "memory.controller.drain_low": "likewise",
    "memory.controller.age_cap": "likewise",
    "memory.controller.patience": "counts where what was just written is read: tests/dram/engine/test_by_hand.py",
    "pim.input_reach": "counts at long contexts, where tests/dram/pim/test_scores_in_turn.py looks at it",
    "pim.scores_order": "likewise",
}
"""Fields that change no step here, and why."""


TIMED_BY_COMMANDS_ONLY = {
    "memory.dram_ranks": "reads go round the ranks, and a stream over more of them is a little shorter or longer",
    "memory.pim_ranks": "likewise, since PIM ranks are read too while none computes",
}
"""Fields that change energy at both levels, and time by less than 1 % where every command is timed."""


OTHER_TEXTS = {"memory.controller.address_mapping": ("ra-bg-ro-ba-co-ch",)}
"""Fields that are a text in a form of their own, with other texts."""


BY_COMMANDS_ALONE = {
    "memory.controller.address_mapping": "the analytic level knows no addresses",
    "memory.command_buses": "the analytic level has no command slots, which one bus seldom runs out of",
    "memory.controller.page": "the analytic level knows no single rows",
    "memory.controller.postpone": "the analytic level takes a refresh's time whenever it comes",
}
"""Fields that change nothing at all analytically, and why."""

TIMINGS = "memory.timing."
"""Timings of the die may count by commands alone: analytic costs hold what streams and programs wait for; most rules
bind only beside others. They count on lp-spec; a stream of reads alone, as on mobile-npu, never meets some of them."""


@pytest.fixture(scope="module")
def model() -> ModelSpec:
    """Wide enough for several tiles, and shallow, so that commands are few."""
    return load_model("tinyllama").model_copy(update={"layers": 2, "vocab_size": 8000})


def fields(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted name and annotation of everything that a platform file may say."""
    for name, field in model.model_fields.items():
        kinds = [kind for kind in (field.annotation, *get_args(field.annotation)) if isinstance(kind, type)]
        sections = [kind for kind in kinds if issubclass(kind, BaseModel) and not issubclass(kind, Quantity)]
        if sections:
            yield from fields(sections[0], f"{prefix}{name}.")
        else:
            yield prefix + name, field.annotation


def value_at(platform: PlatformSpec, dotted: str) -> Any:
    found: Any = platform
    for name in dotted.split("."):
        found = None if found is None else getattr(found, name, None)
    return found


def written(dotted: str, value: Any, annotation: Any) -> Iterator[str]:
    """Other values, as a file writes them; none for a choice of one."""
    if dotted in OTHER_TEXTS:
        yield from (f'"{text}"' for text in OTHER_TEXTS[dotted])
    elif isinstance(value, Quantity):
        for factor in FACTORS if value.value else ():
            other = value.value * factor
            number = f"{round(other)}" if type(value).__name__.startswith("C") and not value.UNIT else f"{other!r}"
            yield f'{{ value = "{number} {value.UNIT}", source = "another value" }}'
        if value.value == 0:
            yield f'{{ value = "1 {value.UNIT}", source = "another value" }}'
    elif get_origin(annotation) is Literal:
        yield from (f'"{choice}"' for choice in get_args(annotation) if choice != value)
    elif isinstance(value, str):
        yield from (f'"{name}"' for name in ALLOCATORS if name != value)


def changed(folder: Path, base: str, dotted: str, text: str) -> PlatformSpec:
    *sections, name = dotted.split(".")
    header = f"[{'.'.join(sections)}]\n" if sections else ""
    file = folder / "changed.toml"
    file.write_text(f'extends = "{base}"\n{header}{name} = {text}\n', "utf-8")
    return load_platform(str(file))


class Level(NamedTuple):
    """Time, and energy of memory and MACs and of the board, of prompt, steps, heads and moved drafts."""

    ns: Results
    pj: Results

    def unlike(self, other: "Level") -> tuple[bool, bool]:
        """Whether time differs, and whether energy does."""
        return not np.array_equal(self.ns, other.ns), not np.array_equal(self.pj, other.pj)


def level(platform: PlatformSpec, ns: Results, pj: Results) -> Level:
    return Level(ns, np.concatenate([pj, board_pj(platform, pj, ns) if platform.knows_board_power else []]))


def results(platform: PlatformSpec, model: ModelSpec) -> list[Level]:
    """Analytically, then by commands where there are any."""
    profile = platform.priced_by(load_profile("micron-y52p"))  # with refresh and standby
    # phase by phase: what is combined from a few depends within its bound on what else is priced
    system = System("one", platform, model, profile, speculates=True, exact=True)
    costs = step_costs(system, 700, 2)
    ns = np.concatenate([costs.latency_ns.ravel(), costs.draft_ns, costs.compaction_ns[1:], [costs.prefill_ns]])
    parts = [costs.energy_pj.reshape(len(costs.energy_pj), -1), costs.draft_pj, costs.compaction_pj[:, 1:]]
    pj = np.concatenate([*parts, costs.prefill_pj[:, None]], axis=1).sum(axis=0)
    closed = level(platform, ns, pj)
    commands = command_costs(system, 700, 2)
    if commands is None:
        return [closed]
    found = []
    for size in (1, 4, 9, 34, 64):  # at 34 the split of tiles goes by energy, too
        step = (np.array([value]) for value in (0, size, 1 if size > 1 else 0, 0, 4 if size > 1 else 0))
        found.append(priced(system, commands.decode(*step), (1, 1)))
    found.append(priced(system, commands.prefill(commands.first_context), (1, 1)))
    ns, pj = (np.array([one[part].sum() for one in found]) for part in (0, 1))
    return [closed, level(platform, ns, pj)]


@pytest.mark.slow
@pytest.mark.parametrize("base", PLATFORMS)
def test_no_level_takes_what_the_other_ignores(base: str, model: ModelSpec, tmp_path: Path) -> None:
    platform = load_platform(base)
    before = results(platform, model)
    ignored, one_sided, tried = [], [], 0
    for dotted, annotation in fields(PlatformSpec):
        value = value_at(platform, dotted)
        if value is None or dotted in NOT_IN_A_STEP:
            continue
        tried += 1
        counts, accepted = False, 0
        for text in written(dotted, value, annotation):
            try:
                after = results(changed(tmp_path, base, dotted, text), model)
            except InputError:
                continue
            accepted += 1
            unlike = [one.unlike(other) for one, other in zip(before, after, strict=True)]
            if dotted in TIMED_BY_COMMANDS_ONLY:
                assert after[1].ns == pytest.approx(before[1].ns, rel=0.01), dotted
                unlike = [(False, energy) for _, energy in unlike]
            if dotted in BY_COMMANDS_ALONE:
                assert not any(unlike[0]), dotted
                unlike = unlike[1:]
            is_timing = dotted.startswith(TIMINGS)
            if len(set(unlike)) > 1 and not (is_timing and any(unlike[1])):
                one_sided.append((dotted, text, unlike))
            if counts := any(unlike[-1] if is_timing else unlike[0]):
                break
        if accepted and not counts and not (dotted.startswith(TIMINGS) and base != "lp-spec"):
            ignored.append(dotted)
    assert tried > 5
    assert (ignored, one_sided) == ([], [])


def test_every_reason_is_for_a_field_that_exists() -> None:
    assert {*NOT_IN_A_STEP, *TIMED_BY_COMMANDS_ONLY} <= {dotted for dotted, _ in fields(PlatformSpec)}


@pytest.mark.parametrize(("key", "bits"), [("gpu.matrix_int8", 8), ("gpu.matrix_fp16", 16)])
def test_a_gpus_matrix_units_count_at_their_precision(key: str, bits: int, model: ModelSpec, tmp_path: Path) -> None:
    spec = model.with_bits(bits, bits, bits)
    slow = changed(tmp_path, "rtx3090", key, '{ value = "0.5 TOPS", source = "another value" }')
    times = [
        step_costs(System("one", platform, spec, load_profile("attacc"), True), 700, 1).prefill_ns
        for platform in (load_platform("rtx3090"), slow)
    ]
    assert times[1] > times[0]

"""``lpspec traffic``: decoding while a CPU reads and writes beside it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from cyclopts import Parameter

from lpspec.cli.asked import with_command
from lpspec.cli.compiled import announce_compiling
from lpspec.cli.console import progress
from lpspec.cli.deliver import deliver
from lpspec.cli.options import FigureFile, JsonFile, ScenarioFile, flattened, given_options, read_scenario, split_names
from lpspec.cli.outputs import plan_outputs
from lpspec.errors import InputError
from lpspec.scenario import Scenario
from lpspec.scenario.description import Description
from lpspec.scenario.option import option
from lpspec.scenario.scenario import DEFAULT


@dataclass(frozen=True)
class Sharing(Description):
    """A CPU beside decoding, and who yields to whom."""

    KIND = "traffic"

    gb_per_s: str = option("1,2,5,10", "Rates that the CPU asks for, GB/s on all channels, 0.1 to 1000, with commas.")
    pattern: str = option("stream,random", "stream (lines one after the other), random (lines anywhere), or both.")
    write_share: float = option(0.33, "Part of the lines that is written, 0 to 1.")
    fairness: str = option(
        "pim-first",
        "Who gets a slot that both could use: pim-first, npu-first (NPU and CPU before PIM) or round-robin; several "
        "with commas.",
    )
    quantum: int | None = option(None, "Bursts after which round-robin hands the data bus over; by default 16.")
    pim_wait_ck: int | None = option(None, "CK that npu-first keeps a PIM burst waiting at most; by default 4096.")


if TYPE_CHECKING:
    Options: TypeAlias = Any
    SharingOptions: TypeAlias = Any
else:
    Options = flattened(
        Scenario,
        *(
            "model",
            "weights",
            "kv",
            "routing",
            "trace",
            "systems",
            "prompt_tokens",
            "new_tokens",
            "changes",
            "energy_profile",
        ),
    )
    SharingOptions = flattened(Sharing)


def traffic(
    *,
    scenario: ScenarioFile = None,
    options: Annotated[Options, Parameter(name="*")] = Options(),  # noqa: B008
    sharing: Annotated[SharingOptions, Parameter(name="*")] = SharingOptions(),  # noqa: B008
    json: JsonFile = None,
    figure: FigureFile = None,
) -> None:
    """Decode on LP-Spec while a CPU reads and writes beside it, every command of a step issued."""
    outputs = plan_outputs(json, figure)
    asked = read_scenario(scenario, options, DEFAULT.replace(systems=("lp-spec",)))
    shared = Sharing(**given_options(Sharing, sharing))
    policies = split_names("--fairness", [shared.fairness]) or []
    _refuse_without_effect(shared, policies)
    rates = [_rate(text) for text in split_names("--gb-per-s", [shared.gb_per_s]) or []]
    patterns = split_names("--pattern", [shared.pattern]) or []
    announce_compiling()
    from lpspec.dram.run.traffic import Traffic
    from lpspec.experiments.traffic import Policy, shared_decoding
    from lpspec.report.traffic_figure import traffic_figure
    from lpspec.report.traffic_table import traffic_blocks, traffic_document

    kinds = [Traffic(rate, each, shared.write_share) for each in patterns for rate in rates]
    given = {"quantum": shared.quantum, "pim_wait_ck": shared.pim_wait_ck}
    said = {name: value for name, value in given.items() if value is not None}
    with progress("decoding beside a CPU"):
        found = shared_decoding(asked, kinds, [Policy(name, **said) for name in policies])
    deliver(outputs, with_command(traffic_document(found)), traffic_blocks(found), lambda: traffic_figure(found))


def _refuse_without_effect(shared: Sharing, policies: Sequence[str]) -> None:
    for flag, value, needed in (
        ("quantum", shared.quantum, "round-robin"),
        ("pim-wait-ck", shared.pim_wait_ck, "npu-first"),
    ):
        if value is not None and needed not in policies:
            raise InputError(f"--{flag} says nothing without --fairness {needed}")


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0.1 <= rate <= 1000:
        raise InputError(f"--gb-per-s {text}: allowed are numbers from 0.1 to 1000, with commas between them")
    return rate

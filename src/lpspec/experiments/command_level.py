"""The reproduction at command level: the steps of chosen readings, priced by the commands of the memory.

Steps are those that the pruner took on its closed forms, so both levels price the same work. GPUs have no command
level and keep their closed forms. A reading's bus efficiency is not used: commands have their own.
"""

from dataclasses import dataclass

from lpspec.experiments.published import HIGHEST_RATIO, LOWEST_RATIO, PUBLISHED, Published
from lpspec.experiments.readings import Reading
from lpspec.simulation.command_cost import command_costs
from lpspec.simulation.run import Run, price_by_commands


@dataclass(frozen=True)
class CommandLevel:
    """What one reading gives when the memory's commands are timed.

    Attributes:
        reading: The reading.
        simulated: Every published quantity on the published basis, by id.
        equal: The same on the equal basis.
        runs: The runs behind them: published basis, then equal basis.
    """

    reading: Reading
    simulated: dict[str, float]
    equal: dict[str, float]
    runs: tuple[Run, ...]

    @property
    def worst(self) -> tuple[str, float]:
        """The quantity on the published basis that is furthest off, and its ratio of simulated to published."""
        ratios = {p.id: self.simulated[p.id] / p.value for p in PUBLISHED}
        name = max(ratios, key=lambda key: max(ratios[key], 1 / ratios[key]))
        return name, ratios[name]

    def why(self, published: Published, closed_npu: Run) -> str:
        """What explains a ratio outside 0.8 to 1.25; empty inside.

        Args:
            published: The quantity.
            closed_npu: The autoregressive NPU, which reads all the time, under the same reading by closed forms.
        """
        if LOWEST_RATIO <= self.simulated[published.id] / published.value <= HIGHEST_RATIO:
            return ""
        if published.rival == "npu":
            share = self.reading.bus_efficiency
            sustained = share * self._npu.tokens_per_s / closed_npu.tokens_per_s
            return (
                f"commands let the NPU read at {sustained:.2f} of its peak bandwidth, refresh included; closed forms "
                f"take {share:g}, fitted to its published token/s"
            )
        return "the reading was chosen by closed forms; commands add refresh, rows and the cache's layout to LP-Spec"

    @property
    def _npu(self) -> Run:
        return next(run for run in self.runs if run.system.name == "npu")


def priced_by_commands(run: Run, prompt_tokens: int) -> Run:
    """The same steps priced by commands; the run itself where its system has no command level."""
    costs = command_costs(run.system, prompt_tokens, int(run.steps.position.max()) + 1)
    return run if costs is None else price_by_commands(run.system, costs, run.steps)

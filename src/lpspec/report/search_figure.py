"""The best points of a search over its two goals, at both levels."""

from matplotlib.figure import Figure

from lpspec.errors import InputError
from lpspec.explore.search import SearchResult
from lpspec.report.figures import GREY, SINGLE_COLUMN_IN, SKY, VERMILION, bare_axes, in_style
from lpspec.report.results_table import HEADERS


def search_figure(result: SearchResult) -> Figure:
    """A line from each point analytically to the same by commands; the front by commands stands out.

    Raises:
        InputError: There are not two goals.
    """
    if len(result.goals) != 2:
        raise InputError(f"a figure has two axes: name two goals, not {len(result.goals)}")
    across, up = (goal.name for goal in result.goals)
    with in_style():
        figure = Figure(figsize=(SINGLE_COLUMN_IN, 2.6), layout="constrained")
        axes = figure.subplots()
        ran = [(found, found.command) for found in result.found if found.command is not None]
        for found, command in ran:
            axes.plot([found.analytic[across], command[across]], [found.analytic[up], command[up]], color=GREY, lw=0.5)
        tried = [found.analytic for found in result.found]
        axes.scatter([each[across] for each in tried], [each[up] for each in tried], s=9, color=SKY, label="analytic")
        for confirmed, colour, label in (
            (False, GREY, "command level, beaten"),
            (True, VERMILION, "command level, the front"),
        ):
            shown = [command for found, command in ran if found.confirmed is confirmed]
            axes.scatter([each[across] for each in shown], [each[up] for each in shown], s=9, color=colour, label=label)
        words = [f"{HEADERS.get(g.name, g.name)} ({g.better} is better)".replace("\n", " ") for g in result.goals]
        axes.set_xlabel(words[0])
        axes.set_ylabel(words[1])
        axes.legend(frameon=False)
        bare_axes(axes)
    return figure

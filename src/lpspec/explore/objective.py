"""What a search looks for: figures of a point, or arithmetic over them, and which way is better."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lpspec.errors import InputError, listed, shown
from lpspec.explore.evaluate import METRICS, Better
from lpspec.explore.expression import Expression
from lpspec.explore.study_file import plain_number

WAYS: dict[str, Better] = {"min": "lower", "max": "higher"}


@dataclass(frozen=True)
class Goal:
    """One figure to optimise.

    Attributes:
        name: As it was asked for.
        expression: Over figures, axes and derived names.
        better: Which way is better.
    """

    name: str
    expression: Expression
    better: Better

    def value(self, values: Mapping[str, Any], metrics: Mapping[str, Any]) -> float:
        """Of a point with these figures.

        Raises:
            InputError: A name that nothing gives, or no finite number.
        """
        numbers = {name: plain_number(value) for name, value in {**values, **metrics}.items() if value is not None}
        found = self.expression.value(numbers)
        if isinstance(found, str):
            raise InputError(f"'{shown(self.name, 60)}' is the text '{shown(found, 30)}', and no number")
        return float(found)

    def loss(self, values: Mapping[str, Any], metrics: Mapping[str, Any]) -> float:
        """The same, so that lower is better."""
        value = self.value(values, metrics)
        return -value if self.better == "higher" else value


def read_goals(text: str) -> tuple[Goal, ...]:
    """Goals from names of figures and from arithmetic such as ``min:mj_per_token * pim.alus``, with ; or , between.

    Raises:
        InputError: A name that is no figure with a better way, or text that is no arithmetic.
    """
    separator = ";" if ";" in text else ","
    goals = tuple(_goal(part.strip()) for part in text.split(separator))
    names = [goal.name for goal in goals]
    if len(set(names)) < len(names):
        raise InputError(f"--goals {shown(text, 60)} names one goal twice")
    return goals


def _goal(text: str) -> Goal:
    way, colon, arithmetic = text.partition(":")
    if colon:
        if way not in WAYS:
            raise InputError(f"goal '{shown(text, 40)}' must begin with min: or max:")
        return Goal(text, Expression(arithmetic), WAYS[way])
    metric = METRICS.get(text)
    if metric is None or metric.better is None:
        known = [name for name, each in METRICS.items() if each.better]
        raise InputError(f"goal '{shown(text, 30)}' is none of {listed(known, 90)}, and no min: or max: of arithmetic")
    return Goal(text, Expression(text), metric.better)

"""One description of a run, spoken by everything above: text in, text out."""

from lpspec.scenario.request import Request
from lpspec.scenario.scenario import Scenario, Workload

__all__ = ["Request", "Scenario", "Workload"]

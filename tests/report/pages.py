"""Results and stores for tests of pages."""

import json
import random
from pathlib import Path
from typing import Any

from lpspec.experiments.compare import compare
from lpspec.experiments.serving import serve_requests
from lpspec.explore.evaluate import METRICS
from lpspec.explore.points import points
from lpspec.explore.store import Outcome, Store
from lpspec.explore.study_file import parse_study
from lpspec.report.documents import comparison_document
from lpspec.report.serving_table import serving_document
from lpspec.scenario.scenario import DEFAULT

HOSTILE = "</script><script>document.title='run'</script><img src=x onerror=\"document.title='run'\">$\\frac{a}'\"&<b>"
"""A name that would run a script if it were not escaped, and that is no mathematics."""


def small_comparison() -> dict[str, Any]:
    """What ``compare --json`` writes of three systems and a few tokens."""
    asked = DEFAULT.replace(systems=["npu", "pim-spec", "lp-spec"], new_tokens=4, fidelity="analytic")
    document: dict[str, Any] = json.loads(json.dumps(comparison_document(compare(asked))))
    return document


def small_serving() -> dict[str, Any]:
    """What ``compare --json`` writes of three requests, two at a time."""
    asked = DEFAULT.replace(model="tinyllama", systems=["npu", "lp-spec"], new_tokens=4, fidelity="analytic", batch=2)
    served = serve_requests(asked.replace(requests="poisson:5/s:3"))
    document: dict[str, Any] = json.loads(json.dumps(serving_document(served)))
    return document


def fill_store(folder: Path, axes: dict[str, Any], ties: bool = False) -> None:
    """A store of drawn figures: whole numbers, so that many agree, if ``ties``."""
    draw = random.Random(3)
    study = parse_study({"scenario": {"fidelity": "analytic"}, "axes": axes})
    with Store(folder, create=True) as store, store._transaction():
        for point in points(study):
            figures = {name: draw.uniform(1, 100) for name in METRICS}
            if ties:
                figures = {name: float(round(value / 10) + 1) for name, value in figures.items()}
            store._insert(point, Outcome(figures, "analytic", None, 0.1))


def keep_failure(folder: Path, why: str) -> None:
    """One more point, which cannot be run."""
    (point,) = points(parse_study({"axes": {"workload.prompt_tokens": [7]}}))
    with Store(folder, create=True) as store:
        store.keep(point, Outcome(None, None, why, 0.1))

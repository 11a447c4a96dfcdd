"""Trees fill the ALUs of PIM without being told to, alone and several in a pass: every size has its price."""

from typing import Any

import numpy as np
import pytest

import lpspec

ALUS = 4


@pytest.mark.parametrize("batch", [4, 16])
@pytest.mark.parametrize("model", ["llama2-7b", "llama3-8b"])
def test_passes_that_serve_several_requests_fill_all_alus(model: str, batch: int) -> None:
    found = lpspec.compare(model=model, systems=["lp-spec"], new_tokens=12, fidelity="analytic", batch=batch)
    steps: Any = found.runs[0].steps
    tokens = np.bincount(steps.verify_pass, steps.l_spec)
    slots = -(-tokens // ALUS) * ALUS
    assert tokens.sum() / slots.sum() > 0.99


@pytest.mark.parametrize("model", ["llama2-7b", "llama3-8b", "llama3.2-1b"])
def test_trees_of_whole_passes_alone_would_serve_no_better(model: str) -> None:
    """Against the best of one token, one pass and two, known beforehand; the pruner has to learn."""
    edp = [
        lpspec.compare(model=model, systems=["lp-spec"], new_tokens=24, fidelity="analytic", tree=tree).to_rows()[0]
        for tree in ("dtp", "1", str(ALUS), str(2 * ALUS))
    ]
    pruned, *whole = (float(row["edp_s_mj"]) for row in edp)
    assert pruned <= 1.01 * min(whole)

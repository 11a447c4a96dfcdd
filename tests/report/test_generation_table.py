"""What ``lpspec generate`` prints of given steps, word for word."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from syrupy.assertion import SnapshotAssertion

from lpspec.decoding.drafter import NoDrafter
from lpspec.decoding.generate import Step
from lpspec.devices.cost import COMPONENTS
from lpspec.experiments.acceptance import count_acceptance
from lpspec.experiments.generation import Generated, Written
from lpspec.experiments.step_pricing import live_costs, price_texts
from lpspec.experiments.systems import make_system
from lpspec.llm.loading import load_model
from lpspec.report.generation_document import generation_document
from lpspec.report.generation_table import generation_blocks
from lpspec.scenario import Request
from lpspec.simulation.workload import TreePolicy
from lpspec.speculation.token_tree import TokenTree

TREE = TokenTree.from_paths([(0,), (1,), (0, 0)])
ROOT = TREE.prefix(1)
STEPS = (
    Step(20, TREE, (0, 1, 3), 2, (5, 6, 7), 2, 1_000_000, 3_000_000, 50_000),
    Step(23, TREE, (0, 2), 1, (8, 9), 2, 1_000_000, 3_000_000, 50_000),
    Step(25, ROOT, (0,), 0, (3,), 0, 0, 2_000_000, 50_000),
)
MACHINE = {"processor": "some processor", "threads": 2, "backend": "torch", "dtype": "float32"}


@pytest.fixture
def generated() -> Generated:
    model = load_model("llama2-7b")
    systems = [make_system(name, model) for name in ("lp-spec", "npu")]
    runs = [price_texts(system, live_costs(system, NoDrafter(), 20, 8), [STEPS], TreePolicy()) for system in systems]
    runs = [
        replace(run, decode_ns=4e7, decode_pj=np.full(len(COMPONENTS), 1.2e10 / len(COMPONENTS)), prefill_ns=1e8)
        for run in runs
    ]
    written = Written("Once", 20, " upon a time", (4, 5, 6, 7, 8, 9, 3), STEPS, 9_000_000)
    request = Request(("Once",), systems=("lp-spec", "npu"), new_tokens=7)
    origin: dict[str, Any] = {"fidelity": "analytic", "machine": MACHINE}
    return Generated(request, (written,), tuple(runs), count_acceptance([STEPS]), model.name, origin)


def test_the_table_says_it_all(generated: Generated, snapshot: SnapshotAssertion, tmp_path: Path) -> None:
    with (tmp_path / "said").open("w", encoding="utf-8") as file:
        console = Console(file=file, width=120, markup=False, emoji=False)
        for block in generation_blocks(generated):
            console.print(block)
    said = (tmp_path / "said").read_text("utf-8")
    assert "\n".join(line.rstrip() for line in said.splitlines()) == snapshot


def test_the_document_says_the_same(generated: Generated, snapshot: SnapshotAssertion) -> None:
    document = generation_document(generated)
    document["systems"] = [
        {"system": s["system"], "steps": s["steps"], "tokens": s["tokens"]} for s in document["systems"]
    ]
    assert document == snapshot

"""The closed lists of names that a run is described in; whoever needs one takes it from here."""

from typing import Literal, get_args

Objective = Literal["throughput", "energy", "edp"]
OBJECTIVES: tuple[Objective, ...] = get_args(Objective)
"""What the pruner optimises."""

LearningRule = Literal["full-feedback", "chain-feedback", "verified-nodes"]
LEARNING_RULES: tuple[LearningRule, ...] = get_args(LearningRule)
"""How the pruner learns accuracies: from every committed token; of a head only where the heads before it were right;
or from verified nodes, the paper's rule."""

HeadUse = Literal["by-depth", "all"]
HEAD_USES: tuple[HeadUse, ...] = get_args(HeadUse)
"""Draft heads that a step runs: as many as its tree is deep, or all wherever there is a tree, as in Medusa."""

Basis = Literal["equal", "board", "published"]
BASES: tuple[Basis, ...] = get_args(Basis)
"""``equal``: INT8 everywhere, and the energy of memory and MACs. ``board``: INT8 everywhere, and board or SoC power.
``published``: each system as its own publication has it, that is FP16 on GPUs and board power for the RTX 3090."""

Fidelity = Literal["analytic", "command"]
FIDELITIES: tuple[Fidelity, ...] = get_args(Fidelity)
"""Closed forms, or every memory command of the steps that were taken."""

MACHINE = "machine"
"""The objective of real speed here, by calibrated prices."""

Acceptance = Literal["exact", "typical"]
ACCEPTANCES: tuple[Acceptance, ...] = get_args(Acceptance)
"""How drafts are accepted when sampling: by the model's own distribution, or more of them."""

Dtype = Literal["float32", "bfloat16", "int8"]
DTYPES: tuple[Dtype, ...] = get_args(Dtype)
"""Precision of a real model on this machine; int8 is W8A8: weights and activations in 8 bits, what lies between in
float32."""

BackendName = Literal["compiled", "torch"]
BACKENDS: tuple[BackendName, ...] = get_args(BackendName)
"""What multiplies on this machine: compiled loops where tokens are few, or torch alone; up to rounding the same."""

"""What is run: a system, and how it sizes its token tree."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import wraps
from typing import TypeAlias

import numpy as np

from lpspec.arrays import FloatArray, IntArray
from lpspec.errors import InputError, unknown_name
from lpspec.llm.model_spec import ModelSpec
from lpspec.machine.energy_profile import EnergyProfile
from lpspec.machine.platform_spec import PlatformSpec
from lpspec.plugins import Registry, made
from lpspec.scenario import Scenario
from lpspec.scenario.names import HeadUse, LearningRule, Objective
from lpspec.speculation.checked_pruner import CheckedPruner
from lpspec.speculation.medusa_trees import named_tree, tree_names
from lpspec.speculation.optimism import standard_errors
from lpspec.speculation.pruner import DEFAULT_MEMORY, Pruner
from lpspec.speculation.rank_trace import RankTrace
from lpspec.speculation.token_tree import TokenTree

PrunerFactory: TypeAlias = Callable[[FloatArray], Pruner]
"""Makes a pruner from the prior accuracies, float64 [heads, top_k]."""

PRUNERS: Registry[PrunerFactory] = Registry(
    "pruner", "lpspec.pruners", {"dtp": "lpspec.speculation.pruner:DraftTokenPruner"}
)
"""Pruners by name; a script may add its own (``examples/custom_pruner.py``)."""

MAX_TREE_SIZE = 64
"""Largest tree that the pruner considers, root included: Medusa's published trees have 64 tokens."""


@dataclass(frozen=True, slots=True)
class System:
    """A model on a machine, decoding with or without speculation.

    Attributes:
        name: What tables call it.
        platform: The machine.
        model: The decoder at the precision that this system runs.
        profile: Prices of the events that devices count.
        speculates: Whether draft heads propose trees; otherwise one token per pass.
        root_counts: Whether the root is among the tokens that a pass is charged for (physically it is).
        tree_size: Tokens that every pass verifies, the root included, where that never changes.
        exact: Whether command level runs every phase by itself, or combines those that are alike from a few.
    """

    name: str
    platform: PlatformSpec
    model: ModelSpec
    profile: EnergyProfile
    speculates: bool
    root_counts: bool = True
    tree_size: int | None = None
    exact: bool = False

    def charged(self, tokens: IntArray) -> IntArray:
        """Tokens that passes are charged for, of those that they verify."""
        return tokens if self.root_counts else np.maximum(tokens - 1, 1)

    def under(self, policy: "TreePolicy") -> "System":
        """The same system, which knows beforehand whether all trees will have one size."""
        return replace(self, tree_size=policy.constant_size)


@dataclass(frozen=True, slots=True)
class TreePolicy:
    """How the tree of a step is found.

    Attributes:
        fixed: This very tree at every step; None to grow one.
        size: Grow to this many tokens, root included; None to let the pruner choose.
        depth: Grow at most this deep, since heads beyond are not used; None for as deep as there are heads.
        heads: Draft heads that run.
        pruner: Makes a user-defined pruner; None for the DTP.
        objective: What the pruner optimises when it chooses.
        rule: How it learns accuracies.
        memory: Observations that it remembers.
    """

    fixed: TokenTree | None = None
    size: int | None = None
    depth: int | None = None
    heads: HeadUse = "by-depth"
    pruner: PrunerFactory | None = None
    objective: Objective = "throughput"
    rule: LearningRule = "full-feedback"
    memory: float = DEFAULT_MEMORY

    @property
    def constant_size(self) -> int | None:
        """Tokens of every tree, the root included; None where sizes change."""
        return self.size if self.fixed is None else self.fixed.size

    @property
    def standard_errors(self) -> float:
        """Standard errors by which the odds of heads are raised that ran in fewer steps than others."""
        return standard_errors(self.rule)


def tree_policy(scenario: Scenario) -> TreePolicy:
    """How a scenario wants trees found.

    Its tree is ``dtp``, a size, size x depth, the name of a published tree, or that of a user-defined one.

    Raises:
        InputError: Unknown name, or a size or depth that no tree has.
    """
    text = scenario.tree
    grown = TreePolicy(objective=scenario.objective, rule=scenario.learning, heads=scenario.heads)
    if text == "dtp":
        return grown
    if shape := re.fullmatch(r"([+-]?[0-9]{1,18})(?:x([+-]?[0-9]{1,18}))?", text):
        size = int(shape[1])
        if not 1 <= size <= MAX_TREE_SIZE:
            raise InputError(f"tree size {size} is not possible: allowed is 1 to {MAX_TREE_SIZE}, the root included")
        depth = None if shape[2] is None else int(shape[2])
        if depth is not None and not min(1, size - 1) <= depth < size:
            raise InputError(
                f"tree depth {depth} is not possible: a tree of {size} tokens is {min(1, size - 1)} to {size - 1} deep"
            )
        return replace(grown, size=size, depth=depth)
    if text in tree_names():
        return replace(grown, fixed=named_tree(text))
    return replace(grown, pruner=_added_pruner(text))


def _added_pruner(name: str) -> PrunerFactory:
    """A pruner that a script or an installed package adds, its trees checked."""
    if name not in PRUNERS:
        sizes = f"a size from 1 to {MAX_TREE_SIZE}", "size x depth as in 8x2"
        raise unknown_name("tree", name, [*sizes, *tree_names(), *PRUNERS])
    make = PRUNERS.load(name)

    @wraps(make)
    def checked(accuracy: FloatArray) -> Pruner:
        return CheckedPruner(name, made(PRUNERS.kind, name, make, accuracy), *accuracy.shape)

    return checked


def usable_drafts(model: ModelSpec, traces: Iterable[RankTrace], policy: TreePolicy) -> int:
    """Draft heads, or levels, that trees may use: those that the model and every trace have.

    Raises:
        InputError: They cannot fill the tree that a policy asks for.
    """
    traces = tuple(traces)
    heads = min(model.most_drafts, *(trace.heads for trace in traces))
    top_k = min(trace.top_k for trace in traces)
    who = f"{model.name} with trace {', '.join(repr(trace.name) for trace in traces)}"
    if policy.fixed is not None:
        check_shape(TreePolicy(depth=policy.fixed.max_depth), heads, top_k, who)
    elif policy.pruner is None:
        check_shape(policy, heads, top_k, who)
    return heads


def check_shape(policy: TreePolicy, heads: int, top_k: int, who: str) -> None:
    """Refuse a size or depth that no tree has, rather than verify another tree.

    Args:
        policy: What is asked for.
        heads: Draft heads that there are.
        top_k: Length of their lists.
        who: Whose heads they are.

    Raises:
        InputError: There is no such tree.
    """
    have = f"{who} has {heads} draft head{'s' * (heads != 1)} with lists of {top_k}"
    if policy.depth is not None and policy.depth > heads:
        raise InputError(f"a tree {policy.depth} deep is not possible: {have}")
    most = sum(top_k**depth for depth in range((heads if policy.depth is None else policy.depth) + 1))
    if policy.size is not None and policy.size > most:
        deep = "" if policy.depth is None else f" in a depth of {policy.depth}"
        raise InputError(f"a tree of {policy.size} tokens is not possible: {have}, which fill at most {most}{deep}")

"""What is run, in words: one description that the command line, the Python API, files and results share."""

from collections.abc import Mapping
from dataclasses import dataclass

from lpspec.errors import InputError
from lpspec.scenario.changes import Changes
from lpspec.scenario.description import Description
from lpspec.scenario.names import (
    BASES,
    FIDELITIES,
    HEAD_USES,
    LEARNING_RULES,
    OBJECTIVES,
    Basis,
    Fidelity,
    HeadUse,
    LearningRule,
    Objective,
)
from lpspec.scenario.option import option

MOST_BATCH = 64
"""Requests of one pass at most. Assumed: a phone serves few, and the largest tree has as many tokens."""


@dataclass(frozen=True)
class Workload(Description):
    """Requests: every turn of a trace, after a prompt, one at a time or several in a pass."""

    KIND = "workload"

    prompt_tokens: int = option(128, "Tokens of each prompt.", least=1)
    new_tokens: int | None = option(None, "Tokens to generate per turn at most; whole turns if left out.", least=1)
    requests: str | None = option(
        None,
        "Requests that arrive one by one: a .jsonl or .csv file with arrival_s and, where they differ, prompt_tokens, "
        "new_tokens, turn and trace; or poisson:RATE/s:COUNT as in poisson:2.5/s:1000. Left out: all turns at once.",
        is_path=True,
    )
    batch: int = option(
        1,
        f"Requests that a pass may serve, 1 to {MOST_BATCH}; twice as many are there at once on systems that draft for "
        "some while others are verified (cosine, ahasd).",
        least=1,
    )

    def __post_init__(self) -> None:
        """Refuse a batch that no pass serves."""
        super().__post_init__()
        if self.batch > MOST_BATCH:
            raise InputError(f"workload.batch: must be at most {MOST_BATCH}, not {self.batch}")


@dataclass(frozen=True)
class Scenario(Description):
    """A run: which model on which systems, whose acceptance, how trees are found, and what is priced how."""

    KIND = "scenario"

    model: str = option(
        "llama2-7b",
        "Preset (llama2-7b, vicuna-13b, llama3-8b, ...: see `lpspec inspect`), a GGUF file, or a Hugging Face "
        "config.json or folder.",
        is_path=True,
    )
    weights: int | str | None = option(
        None,
        "How weights are stored: bits (4, 8, 16), a format (4g128, q4_k, mxfp4, ...), or formats by class of tensors "
        "as in attention_in=8,expert=4, or a TOML file with a line for each such class. Left out: what a model's files "
        "or its quantization_config say, and 8 for all others.",
        is_path=True,
    )
    routing: str | None = option(
        None,
        "Which experts a model chose for a text, as measured: a .jsonl or .csv file. Left out: "
        "every expert is as likely as any other.",
        is_path=True,
    )
    trace: str | None = option(
        None,
        "Whose acceptance is replayed: Medusa's with vicuna-7b, vicuna-13b, vicuna-33b (MT-bench) or "
        "vicuna-7b-spec-bench (harder); EAGLE-3's with llama3.1-8b-eagle3, qwen3-8b-eagle3 (MT-bench), "
        "llama3.1-8b-eagle3-gsm8k, llama3.1-8b-eagle3-sharegpt, llama3.1-8b-eagle3-instructcoder or "
        "llama3.1-8b-eagle3-cnn; or an .npz file (lpspec acceptance, lpspec record). The model's own if left out.",
        is_path=True,
    )
    acceptance: str | None = option(
        None,
        "In place of a trace, drafts that are right by one number: 3.24@7 (mean tokens per pass with chains of seven "
        "drafts, the model's own token included) or 0.72 (chance of a draft).",
    )
    drafter: str = option(
        "medusa",
        "What drafts, and is paid for: medusa (heads), eagle, eagle3, mtp (a layer, one pass per level), "
        "draft-model:NAME (another model, preset or config.json), prompt-lookup (costs nothing) or none. Whose drafts "
        "are right is said by --trace or --acceptance.",
    )
    systems: tuple[str, ...] | None = option(
        None,
        "npu, npu-spec, pim, pim-spec, lp-spec, attacc, attacc-spec, rtx3090, rtx3090-spec (all of these if left out), "
        "lp-spec-plus, lp-spec-lpddr5x, lp-spec-lpddr6, a neighbour (a100, a100-spec, ahasd, attacc-8, cd-pim, cosine, "
        "leap, loop-lynx, lp5x-pim, terafly, token-stack), or platform files; commas between them on the command line.",
        is_path=True,
    )
    objective: Objective = option("edp", "What the pruner optimises: throughput, energy or edp.", choices=OBJECTIVES)
    tree: str = option(
        "dtp",
        "dtp (the pruner decides), a published tree such as mc_sim_7b_63, a size from 1 to 64, or size x depth as in "
        "8x2.",
    )
    workload: Workload = Workload()
    basis: Basis = option(
        "equal",
        "equal (INT8 everywhere, energy of memory and MACs), board (INT8 everywhere, board or SoC power) or published "
        "(FP16 on GPUs, board power for the RTX 3090).",
        choices=BASES,
    )
    energy_profile: str = option("attacc", "attacc, specpim, micron-y52p or a TOML file.", is_path=True)
    changes: Mapping[str, str] = option(
        Changes,
        'Constants of the platforms to change, KEY=VALUE on the command line: --set pim.mac_interval="10 ns". May be '
        "repeated.",
        flag="set",
    )
    learning: LearningRule = option(
        "full-feedback",
        "How the pruner learns: full-feedback (from every committed token), chain-feedback (of a head only where the "
        "heads before it were right), or verified-nodes (the paper's rule).",
        choices=LEARNING_RULES,
    )
    root_counts: bool = option(
        True, "Whether a pass is charged for the root of its tree too; the paper leaves it open."
    )
    fidelity: Fidelity | None = option(
        None,
        "command (every memory command of the steps taken is timed) or analytic (closed forms). Left out: command for "
        "all systems that have a command level; GPUs have none.",
        choices=FIDELITIES,
    )
    exact: bool = option(
        False,
        "Run every phase of a step by itself at command level. Left out: phases that are alike are combined from a "
        "few, which is many times faster on a new machine, and within the error bound that is printed.",
    )
    heads: HeadUse = option(
        "by-depth",
        "Draft heads that a step runs: by-depth (as its tree is deep) or all (wherever there is a tree).",
        choices=HEAD_USES,
    )
    activations: int | None = option(None, "Bits of an activation: 8 if left out.", least=4)
    kv: int | None = option(
        None, "Bits of a number of the KV cache: what a quantization_config says, or 8, if left out."
    )

    def __post_init__(self) -> None:
        """Name each system once, read a format that is a number as one, and refuse what has no effect."""
        super().__post_init__()
        if isinstance(self.weights, str) and self.weights.isascii() and self.weights.isdecimal():
            object.__setattr__(self, "weights", int(self.weights[:9]))
        if self.exact and self.fidelity == "analytic":
            raise InputError("exact is how commands are timed: it has no effect with fidelity analytic")
        if self.trace is not None and self.acceptance is not None:
            raise InputError("trace and acceptance both say whose drafts are right: give one of them")
        if self.systems is not None:
            object.__setattr__(self, "systems", tuple(dict.fromkeys(self.systems)))

    @property
    def level(self) -> Fidelity:
        """What prices steps, where a system has it."""
        return self.fidelity or "command"


DEFAULT = Scenario()
"""What is run where nothing is said."""

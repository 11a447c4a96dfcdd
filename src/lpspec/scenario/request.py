"""What a real model is to continue, in words: how it decodes here, and what its steps are priced on."""

from collections.abc import Mapping
from dataclasses import dataclass

from lpspec.scenario.description import Description
from lpspec.scenario.names import (
    ACCEPTANCES,
    BACKENDS,
    DTYPES,
    MACHINE,
    OBJECTIVES,
    Acceptance,
    BackendName,
    Basis,
    Dtype,
    Fidelity,
)
from lpspec.scenario.option import option, same_option
from lpspec.scenario.scenario import Scenario


@dataclass(frozen=True)
class Request(Description):
    """What to generate, and on what to price it: trees are sized for the first system, all are charged for steps."""

    KIND = "request"

    prompts: tuple[str, ...] = option((), "Texts to continue.")
    model: str = option(
        "demo",
        "demo, a folder with a checkpoint of a family that decodes, or a Hugging Face hub id, which is fetched.",
        is_path=True,
    )
    chat: bool = option(False, "Write each prompt as the user's turn of a chat, by the model's own template.")
    drafter: str = option("medusa", "medusa, eagle, eagle3, mtp, draft-model, prompt-lookup or none.")
    heads: str | None = option(
        None,
        "Weights of the drafter (file, folder or hub id); those in the model's folder if left out.",
        is_path=True,
    )
    systems: tuple[str, ...] = option(("lp-spec",), "Platforms; names as for `lpspec compare`.", is_path=True)
    tree: str = same_option(
        Scenario,
        "tree",
        help="dtp (the pruner decides), a size from 1 to 64, or a published tree such as mc_sim_7b_63.",
    )
    objective: str = same_option(
        Scenario,
        "objective",
        help="What the pruner optimises: throughput, energy or edp on the platform, or machine: real speed here.",
        choices=(*OBJECTIVES, MACHINE),
    )
    new_tokens: int = option(128, "Tokens to generate per prompt, the first of which is prefill's.", least=2)
    temperature: float = option(0.0, "0 is greedy decoding; more samples from the model's distribution.")
    top_p: float = option(1.0, "When sampling, keep the likeliest tokens that add up to this probability.")
    seed: int = option(
        0, "Of sampling; every prompt of a file draws from its own stream, by its place in the file.", least=0
    )
    accept: Acceptance = option(
        "exact",
        "When sampling: exact (the model's own distribution) or typical, which accepts more but is lossy.",
        choices=ACCEPTANCES,
    )
    priced_as: str | None = option(
        None,
        "Price the steps on a model of these dimensions (preset or config.json), such as llama2-7b.",
        flag="as",
        is_path=True,
    )
    fidelity: Fidelity | None = same_option(Scenario, "fidelity")
    exact: bool = same_option(Scenario, "exact")
    basis: Basis = same_option(Scenario, "basis")
    energy_profile: str = same_option(Scenario, "energy_profile")
    changes: Mapping[str, str] = same_option(Scenario, "changes")
    dtype: Dtype = option("float32", "Precision on this machine: float32, bfloat16 or int8 (W8A8).", choices=DTYPES)
    backend: BackendName | None = option(
        None,
        "What multiplies: compiled (loops for few tokens on a CPU) or torch; the one that is faster here if left out.",
        choices=BACKENDS,
    )
    strict: bool = option(
        False, "Compute every row by the same kernels whatever the tree: slower, and rounding differs less."
    )

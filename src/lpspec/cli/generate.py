"""``lpspec generate``: real text from a real model, and what platforms would have taken for its very steps."""

import sys
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from lpspec.cli.compiled import announce_compiling
from lpspec.cli.console import counted
from lpspec.cli.deliver import deliver
from lpspec.cli.options import Changes, JsonFile, Names, WholeNumber, parse_changes, split_names
from lpspec.cli.outputs import plan_outputs
from lpspec.cli.prompts import read_prompts
from lpspec.errors import InputError

if TYPE_CHECKING:
    from lpspec.decoding.machine_prices import MachinePrices
    from lpspec.experiments.decoder import Decoder


def generate(
    *,
    model: str = "demo",
    prompt: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    prompts: str | None = None,
    drafter: str = "medusa",
    heads: str | None = None,
    system: str = "lp-spec",
    compare: Names = (),
    tree: str = "dtp",
    objective: str = "edp",
    prices: str | None = None,
    new_tokens: WholeNumber = 128,
    temperature: float = 0.0,
    top_p: float = 1.0,
    seed: WholeNumber = 0,
    accept: str = "exact",
    priced_as: Annotated[str | None, Parameter(name="--as")] = None,
    fidelity: str = "command",
    basis: str = "equal",
    energy_profile: str = "attacc",
    changes: Changes = (),
    dtype: str = "float32",
    strict: Annotated[bool, Parameter(negative=())] = False,
    json: JsonFile = None,
) -> None:
    """Continue a text with a real model and token trees, and price the steps on a platform.

    Parameters
    ----------
    model
        demo, a folder with a Llama, Mistral or Qwen2 checkpoint, or a Hugging Face hub id, which is fetched.
    prompt
        The text to continue; - reads it from standard input.
    prompts
        A JSONL file of prompts, one a line: {"prompt": "..."} or {"turns": ["...", ...]}, whose first is taken.
    drafter
        medusa, eagle, eagle3, draft-model, prompt-lookup or none.
    heads
        Weights of the drafter (file, folder or hub id); those in the model's folder if left out.
    system
        Platform that trees are sized for and steps are priced on; names as for `lpspec compare`.
    compare
        Further systems, comma-separated, to price the same steps on.
    tree
        dtp (the pruner decides), a size from 1 to 64, or a published tree such as mc_sim_7b_63.
    objective
        What the pruner optimises: throughput, energy or edp on the platform, or machine: real speed here.
    prices
        For the objective machine: prices that `lpspec calibrate --json` wrote; measured first if left out.
    new_tokens
        Tokens to generate per prompt.
    temperature
        0 is greedy decoding; more samples from the model's distribution.
    top_p
        When sampling, keep the likeliest tokens that add up to this probability.
    seed
        Of sampling; every prompt of a file draws from its own stream, by its place in the file.
    accept
        When sampling: exact (the model's own distribution) or typical, which accepts more but is lossy.
    priced_as
        Price the steps on a model of these dimensions (preset or config.json), such as llama2-7b.
    fidelity
        command (every memory command is timed; GPUs keep closed forms) or analytic (closed forms).
    basis
        equal (INT8 everywhere, energy of memory and MACs), board or published, as for `lpspec compare`.
    energy_profile
        attacc, specpim, pimscope or a TOML file.
    changes
        Change a constant of the platforms, as KEY=VALUE. May be repeated.
    dtype
        Precision on this machine: float32, bfloat16 or int8 (W8A8).
    strict
        Compute every row by the same kernels whatever the tree: slower, and rounding differs less.
    json
        Write the result as JSON to this file; - prints it instead of the text.
    """
    outputs = plan_outputs(json)
    texts = read_prompts(prompt, prompts)
    systems = dict.fromkeys([system, *(split_names("--compare", compare) or [])])
    constants = parse_changes(changes)
    if prices is not None and objective != "machine":
        raise InputError(f"--prices needs --objective machine, not {objective}")
    need_models()
    announce_compiling()
    from lpspec.experiments.generation import Request
    from lpspec.experiments.generation import generate as run_generation
    from lpspec.report.generation_document import generation_document
    from lpspec.report.generation_table import generation_blocks

    request = Request(
        prompts=tuple(texts),
        model=model,
        drafter=drafter,
        heads=heads,
        systems=tuple(systems),
        tree=tree,
        objective=objective,
        new_tokens=new_tokens,
        temperature=temperature,
        top_p=top_p,
        seed=seed,
        accept=accept,
        priced_as=priced_as,
        basis=basis,
        energy_profile=energy_profile,
        changes=constants,
        dtype=dtype,
        strict=strict,
        fidelity=fidelity,
    )

    def find_prices(decoder: "Decoder", longest: int) -> "MachinePrices":
        from lpspec.experiments.machine import machine_prices

        with counted("timing verify passes on this machine") as say:
            return machine_prices(decoder, longest, prices, say)

    streams = len(texts) == 1 and not outputs.json_to_stdout
    with counted(f"decoding {len(texts)} prompts", shown=len(texts) > 1) as say:
        result = run_generation(
            request, find_prices, print_piece if streams else None, lambda done: say(done / len(texts))
        )
    if streams:
        print()
    deliver(outputs, generation_document(result), generation_blocks(result))


def need_models() -> None:
    """Say how to install what real models need, if it is missing.

    Raises:
        InputError: torch, safetensors or tokenizers is missing.
    """
    from lpspec.decoding import need_models_extra

    need_models_extra()


def print_piece(text: str) -> None:
    """Print a piece of text at once."""
    sys.stdout.write(text)
    sys.stdout.flush()

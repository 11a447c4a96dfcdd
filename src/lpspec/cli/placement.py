"""``lpspec placement``: what it is worth to keep weights on both sides, or to move them."""

from lpspec.cli.compiled import announce_compiling
from lpspec.cli.console import progress
from lpspec.cli.deliver import deliver
from lpspec.cli.options import JsonFile, WholeNumber
from lpspec.cli.outputs import plan_outputs


def placement(
    *,
    model: str = "llama2-7b",
    trace: str | None = None,
    prompt_tokens: WholeNumber = 128,
    new_tokens: WholeNumber | None = None,
    fidelity: str = "command",
    json: JsonFile = None,
) -> None:
    """Compare static, dynamic and replicated placement of weights on LP-Spec.

    Parameters
    ----------
    model
        Preset (llama2-7b, vicuna-13b, llama3-8b, ...: see `lpspec inspect`) or a Hugging Face config.json.
    trace
        Whose acceptance is replayed: vicuna-7b, vicuna-13b, vicuna-33b or an .npz file; the model's own if left out.
    prompt_tokens
        Tokens of each prompt.
    new_tokens
        Tokens to generate per turn at most; whole turns if left out.
    fidelity
        What prices the steps: analytic (closed forms) or command (every memory command timed).
    json
        Write the result as JSON to this file; - prints it instead of the table.
    """
    outputs = plan_outputs(json)
    announce_compiling()
    from lpspec.experiments.placement import placement_study
    from lpspec.report.placement_table import placement_blocks, placement_document

    with progress("decoding under three placements"):
        result = placement_study(model, trace, prompt_tokens, new_tokens, fidelity)
    deliver(outputs, placement_document(result), placement_blocks(result))

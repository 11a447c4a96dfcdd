"""``lpspec record``: what a real model's drafter guessed at every token, to be replayed on any platform."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from lpspec.cli.compiled import announce_compiling
from lpspec.cli.console import counted
from lpspec.cli.deliver import deliver
from lpspec.cli.generate import need_models
from lpspec.cli.options import JsonFile, WholeNumber
from lpspec.cli.outputs import plan_file, plan_outputs
from lpspec.cli.prompts import read_prompts
from lpspec.errors import InputError


def record(
    *,
    to: str,
    model: str = "demo",
    prompt: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    prompts: str | None = None,
    drafter: str = "medusa",
    heads: str | None = None,
    new_tokens: WholeNumber = 128,
    nodes: WholeNumber = 63,
    dtype: str = "float32",
    json: JsonFile = None,
) -> None:
    """Decode greedily and record what the drafter guessed at every token.

    A trace of Medusa heads is replayed by `lpspec compare --trace FILE`, under any tree and on any platform.

    Parameters
    ----------
    to
        The trace to write, an .npz file.
    model
        demo, a model folder, or a Hugging Face hub id, which is fetched.
    prompt
        The text to continue; - reads it from standard input.
    prompts
        A JSONL file of prompts, as for `lpspec generate`; each becomes a turn of the trace.
    drafter
        medusa (ranks in the heads' lists), or eagle, eagle3, draft-model or prompt-lookup (whole draft trees).
    heads
        Weights of the drafter; those in the model's folder if left out.
    new_tokens
        Tokens to generate per prompt, at least 2.
    nodes
        Drafts per recorded tree at most; Medusa's lists need no such bound.
    dtype
        Precision: float32, bfloat16 or int8 (W8A8).
    json
        Write a summary as JSON to this file; - prints it instead of the table.
    """
    outputs = plan_outputs(json)
    target = plan_file("--to", to, outputs.paths)
    assert target is not None
    texts = read_prompts(prompt, prompts)
    if not to.endswith(".npz"):
        raise InputError(f"--to {to} must end in .npz")
    need_models()
    announce_compiling()
    from lpspec.experiments.notes import recording_notes
    from lpspec.experiments.recordings import record as run_recording
    from lpspec.report.recording_table import recording_blocks, recording_document

    with counted(f"recording {len(texts)} prompts") as say:
        recording = run_recording(
            texts, Path(to).stem, model, drafter, heads, new_tokens, nodes, dtype, lambda done: say(done / len(texts))
        )
    others = [(target, recording.file_content)]
    document = recording_document(recording) | {"notes": list(recording_notes(drafter, heads, nodes))}
    deliver(outputs, document, recording_blocks(recording), others=others)

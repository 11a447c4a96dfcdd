"""``lpspec record``: what a real model's drafter guessed at every token, to be replayed on any platform."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from cyclopts import Parameter

from lpspec.cli.compiled import announce_compiling
from lpspec.cli.console import counted
from lpspec.cli.deliver import deliver
from lpspec.cli.options import WholeNumber, flattened, given_options
from lpspec.cli.outputs import plan_file, plan_outputs
from lpspec.cli.prompts import NO_PROMPTS, Prompts, read_prompts
from lpspec.decoding import need_models_extra
from lpspec.errors import InputError
from lpspec.scenario import Request

if TYPE_CHECKING:
    Options: TypeAlias = Any
else:
    Options = flattened(Request, "model", "chat", "drafter", "heads", "new_tokens", "dtype")


def record(
    *,
    to: str,
    texts: Annotated[Prompts, Parameter(name="*")] = NO_PROMPTS,
    options: Annotated[Options, Parameter(name="*")] = Options(),  # noqa: B008
    nodes: WholeNumber = 63,
    json: str | None = None,
) -> None:
    """Decode greedily and record what the drafter guessed at every token; each prompt becomes a turn.

    Of Medusa the ranks in the heads' lists are recorded, of other drafters whole draft trees. A trace of Medusa heads
    is replayed by `lpspec compare --trace FILE`, under any tree and on any platform. The compiled loops multiply (see
    --backend of `lpspec generate`): they sum in one order on every processor.

    Parameters
    ----------
    to
        The trace to write, an .npz file.
    nodes
        Drafts per recorded tree at most; Medusa's lists need no such bound.
    json
        Write a summary as JSON to this file; - prints it instead of the table.
    """
    outputs = plan_outputs(json)
    target = plan_file("--to", to, outputs.paths)
    assert target is not None
    request = Request(prompts=tuple(read_prompts(texts)), **given_options(Request, options))
    if not to.endswith(".npz"):
        raise InputError(f"--to {to} must end in .npz")
    need_models_extra()
    announce_compiling()
    from lpspec.experiments.notes import recording_notes
    from lpspec.experiments.recordings import record as run_recording
    from lpspec.report.recording_table import recording_blocks, recording_document

    count = len(request.prompts)
    with counted(f"recording {count} prompts") as say:
        recording = run_recording(request, Path(to).stem, nodes, lambda done: say(done / count))
    others = [(target, recording.file_content)]
    notes = list(recording_notes(request.drafter, request.heads, nodes))
    document = recording_document(recording) | {"notes": notes}
    deliver(outputs, document, recording_blocks(recording), others=others)

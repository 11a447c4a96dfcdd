"""``lpspec acceptance``: how far drafts are right in a trace, and traces made of what others measured."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from cyclopts import Parameter

from lpspec.cli.deliver import deliver
from lpspec.cli.options import flattened, given_options
from lpspec.cli.outputs import plan_file, plan_outputs
from lpspec.errors import InputError
from lpspec.scenario.measurement import Measurement

if TYPE_CHECKING:
    Options: TypeAlias = Any
else:
    Options = flattened(Measurement)


def acceptance(
    source: str,
    /,
    *,
    to: str | None = None,
    options: Annotated[Options, Parameter(name="*")] = Options(),  # noqa: B008
    json: str | None = None,
) -> None:
    """Show how far drafts are right in a trace, or make a trace of what others measured.

    Tables: .csv with columns request,accepted (a verify pass a line; or tokens, which counts the root), position,rate,
    position,conditional or head,top1,top2,...; .jsonl with {"request": "a", "accepted": 2} or {"accepted": [2, 0, 3]}.
    Logs: vLLM (SpecDecoding metrics, its /metrics page, or what `vllm bench serve` prints or saves as .json), SGLang
    (accept len, with --depth) and llama.cpp (draft acceptance). A draft trace that `lpspec record` wrote becomes ranks,
    too.

    Parameters
    ----------
    source
        Name or .npz file of a trace, a number as for --acceptance of `lpspec compare` (3.24@7 or 0.72), or a file of
        measurements.
    to
        Write the trace to this .npz file, for --trace.
    json
        Write the statistics as JSON to this file; - prints them instead of the table.
    """
    outputs = plan_outputs(json)
    target = plan_file("--to", to, outputs.paths)
    if to is not None and not to.endswith(".npz"):
        raise InputError(f"--to {to} must end in .npz")
    measurement = Measurement(**given_options(Measurement, options))
    from lpspec.experiments.acceptance_sources import acceptance_trace
    from lpspec.report.acceptance_table import acceptance_blocks, acceptance_document
    from lpspec.speculation.chains import chain_statistics

    trace = acceptance_trace(source, measurement, Path(source if to is None else to).stem)
    others = [] if target is None else [(target, trace.file_content)]
    found = chain_statistics(trace)
    deliver(outputs, acceptance_document(trace, found), acceptance_blocks(trace, found), others=others)

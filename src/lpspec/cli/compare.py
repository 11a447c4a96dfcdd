"""``lpspec compare``: several systems on the same requests."""

from typing import TYPE_CHECKING

from lpspec.cli.compiled import announce_compiling
from lpspec.cli.console import progress
from lpspec.cli.deliver import deliver
from lpspec.cli.options import Changes, FigureFile, JsonFile, Names, WholeNumber, parse_changes, split_names
from lpspec.cli.outputs import plan_file, plan_outputs
from lpspec.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TIMELINE_SYSTEM = "lp-spec"
"""The system a step of which is drawn."""


def compare(
    *,
    model: str = "llama2-7b",
    weights: WholeNumber | None = None,
    trace: str | None = None,
    systems: Names = (),
    objective: str = "edp",
    tree: str = "dtp",
    prompt_tokens: WholeNumber = 128,
    new_tokens: WholeNumber | None = None,
    basis: str = "equal",
    energy_profile: str = "attacc",
    changes: Changes = (),
    learning: str = "full-feedback",
    root_counts: bool = True,
    fidelity: str = "command",
    heads: str = "by-depth",
    json: JsonFile = None,
    figure: FigureFile = None,
    timeline: str | None = None,
) -> None:
    """Compare LP-Spec with other systems on the same requests.

    Parameters
    ----------
    model
        Preset (llama2-7b, vicuna-13b, llama3-8b, ...: see `lpspec inspect`) or a Hugging Face config.json.
    weights
        Bits per weight: 4, 8 or 16. Left out: what a quantised config.json stores (AWQ, GPTQ, compressed-tensors), and
        8 for all others. PIM takes 8 only.
    trace
        Whose acceptance is replayed: vicuna-7b, vicuna-13b, vicuna-33b (MT-bench), vicuna-7b-spec-bench (harder) or an
        .npz file; the model's own if left out.
    systems
        Comma-separated: npu, npu-spec, pim, pim-spec, lp-spec, attacc, attacc-spec, rtx3090, rtx3090-spec, or
        platform files; all if left out.
    objective
        What the pruner optimises: throughput, energy or edp.
    tree
        dtp (the pruner decides), a published tree such as mc_sim_7b_63, a size from 1 to 64, or size x depth as in 8x2.
    prompt_tokens
        Tokens of each prompt.
    new_tokens
        Tokens to generate per turn at most; whole turns if left out.
    basis
        equal (INT8 everywhere, energy of memory and MACs), board (INT8 everywhere, board or SoC power) or published
        (FP16 on GPUs, board power for the RTX 3090).
    energy_profile
        attacc, specpim, pimscope or a TOML file.
    changes
        Change a constant of the platforms, as KEY=VALUE: --set pim.mac_interval="10 ns". May be repeated.
    learning
        How the pruner learns: full-feedback (from every committed token), chain-feedback (of a head only where the
        heads before it were right), or verified-nodes (the paper's rule).
    root_counts
        Whether a pass is charged for the root of its tree too; the paper leaves it open.
    fidelity
        command (every memory command of the steps taken is timed; GPUs stay closed forms) or analytic (closed forms).
    heads
        Draft heads that a step runs: by-depth (as many as its tree is deep) or all (wherever there is a tree).
    json
        Write the result as JSON to this file; - prints it instead of the table.
    figure
        Write a figure to this path, as .pdf and .png.
    timeline
        Write one representative step of lp-spec as a timeline for Perfetto to this file (gzipped JSON).
    """
    outputs = plan_outputs(json, figure)
    timeline_path = plan_file("--timeline", timeline, outputs.paths)
    if timeline_path is not None and fidelity == "analytic":
        raise InputError("--timeline shows memory commands: it needs --fidelity command")
    names, constants = split_names("--systems", systems), parse_changes(changes)
    if timeline_path is not None and names is not None and TIMELINE_SYSTEM not in names:
        raise InputError(f"--timeline shows a step of {TIMELINE_SYSTEM}: it is not among the systems compared")
    announce_compiling()
    from lpspec.experiments.compare import compare as run_comparison
    from lpspec.llm.loading import load_model
    from lpspec.report.compare_table import comparison_blocks
    from lpspec.report.documents import comparison_document

    with progress(f"decoding on {len(names) if names else 'all'} systems"):
        result = run_comparison(
            load_model(model, weights),
            trace,
            names,
            objective,
            tree,
            prompt_tokens,
            new_tokens,
            basis,
            energy_profile,
            constants,
            learning,
            root_counts,
            fidelity,
            heads,
        )

    def draw() -> "Figure":
        from lpspec.report.compare_figure import comparison_figure

        return comparison_figure(result)

    def step_bytes() -> bytes:
        from lpspec.experiments.step_timeline import representative_step
        from lpspec.report.step_timeline import timeline_bytes

        with progress("issuing every command of one step"):
            return timeline_bytes(representative_step(result.runs, result.workload, TIMELINE_SYSTEM))

    others = [] if timeline_path is None else [(timeline_path, step_bytes)]
    deliver(outputs, comparison_document(result), comparison_blocks(result), draw, others)

"""``lpspec dram``: the memory at command level: requests served, command streams checked, products computed."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from cyclopts import App, Parameter

from lpspec.cli.asked import with_command
from lpspec.cli.compiled import announce_compiling
from lpspec.cli.console import progress
from lpspec.cli.deliver import deliver, show_result, write_json
from lpspec.cli.dram_options import Checking, CommandFormat, Computing, Exporting, Moving, Serving, Tracing
from lpspec.cli.options import JsonFile, WholeNumber, flattened, given_options, rank_numbers
from lpspec.cli.outputs import FilesTogether, plan_file, plan_outputs
from lpspec.errors import InputError

if TYPE_CHECKING:
    from lpspec.machine.platform_spec import PlatformSpec

    ServingOptions: TypeAlias = Any
    TracingOptions: TypeAlias = Any
    CheckingOptions: TypeAlias = Any
    ComputingOptions: TypeAlias = Any
    ExportingOptions: TypeAlias = Any
    MovingOptions: TypeAlias = Any
else:
    ServingOptions = flattened(Serving)
    TracingOptions = flattened(Tracing)
    CheckingOptions = flattened(Checking)
    ComputingOptions = flattened(Computing)
    ExportingOptions = flattened(Exporting)
    MovingOptions = flattened(Moving)

ILLEGAL = DIFFERS = 1
"""Exit codes: a broken rule was found; a result differs from integer arithmetic."""

app = App(
    name="dram",
    help="LPDDR5 and its PIM, command by command: serve requests, check command streams, compute products.",
    version_flags=(),
)


@app.command
def run(
    requests: Path,
    /,
    *,
    options: Annotated[ServingOptions, Parameter(name="*")] = ServingOptions(),  # noqa: B008
    reading: Annotated[TracingOptions, Parameter(name="*")] = TracingOptions(),  # noqa: B008
    commands: str | None = None,
    commands_format: CommandFormat | None = None,
    json: JsonFile = None,
) -> None:
    """Serve a list of read and write requests, or the trace of another simulator, on one channel.

    Parameters
    ----------
    requests
        One object a line, in order of at (CK): {"at": 0, "op": "read", "rank": 0, "bank_group": 0, "bank": 0, "row": 0,
        "column": 0}; op is read or write, column 0 to 1008 in steps of 16 (of BL48 to 992 in steps of 32). Or a trace
        by addresses (--format).
    commands
        Write every command to this file, by default CSV: ck, command, rank, bank_group, bank, row, column.
    commands_format
        lpspec (what lpspec dram check reads), ramulator2 (its command trace), dramsim3 (its command trace) or drampower
        (what DRAMPower 6 reads; data are zeros).
    """
    outputs = plan_outputs(json)
    commands_path = plan_file("--commands", commands, outputs.paths)
    if commands_path is None and commands_format is not None:
        raise InputError("--commands-format says nothing without --commands FILE")
    given, how = given_options(Serving, options), Tracing(**given_options(Tracing, reading))
    announce_compiling()
    from lpspec.cli.dram_channel import served_channel
    from lpspec.dram.run.command_forms import COMMAND_FORMS
    from lpspec.dram.run.request_source import Reading, requests_from
    from lpspec.dram.run.request_stream import run_stream
    from lpspec.report.dram_documents import run_document
    from lpspec.report.dram_table import run_blocks

    device, controller, profile, lying = served_channel(given)
    source = requests_from(requests, device, controller.ranks, Reading(**asdict(how)), lying)
    with FilesTogether() as files, progress("serving requests") as say:
        writer = None
        if commands_path is not None:
            writer = COMMAND_FORMS[commands_format or "lpspec"](files.open(commands_path), device)

        def served(n: int, ck: int) -> None:
            say(f"{n:,}, CK {ck:,}")

        done = run_stream(source.pieces, device, controller, take=writer.take if writer else None, progress=served)
        if writer:
            writer.close(done.run.end_ck)
        document = with_command(run_document(done, device, controller, profile, source.trace))
        write_json(files, outputs, document)
    show_result(outputs, document, run_blocks(done, device, controller, profile, source.trace), [commands_path])


@app.command
def check(
    commands: Path,
    /,
    *,
    options: Annotated[CheckingOptions, Parameter(name="*")] = CheckingOptions(),  # noqa: B008
    json: str | None = None,
) -> int:
    """Check a stream of commands against every timing and state rule; exit code 1 if one is broken.

    Parameters
    ----------
    commands
        CSV with the columns ck, command, rank, bank_group, bank, row, column, as `lpspec dram run` writes it.
    json
        Write the result as JSON to this file; - prints it instead of the verdict.
    """
    outputs = plan_outputs(json)
    asked = Checking(**given_options(Checking, options))
    computing = rank_numbers("--pim-ranks", asked.pim_ranks)
    announce_compiling()
    from lpspec.dram.check.checker import check_csv
    from lpspec.dram.platform_channel import command_die_named
    from lpspec.dram.run.checking import check_options
    from lpspec.report.dram_documents import check_document
    from lpspec.report.dram_table import check_blocks

    rules = (
        check_options(
            command_die_named(asked.die, asked.changes),
            asked.ranks,
            computing,
            asked.wck,
            asked.refresh,
            asked.activation,
            asked.concurrent_ranks,
        )
        .serving(asked.tokens)
        .on_buses(asked.command_buses)
    )
    with progress("checking commands") as say:
        report = check_csv(commands, rules, progress=lambda n: say(f"{n:,}"))
    deliver(outputs, with_command(check_document(report)), check_blocks(report))
    return 0 if report.legal else ILLEGAL


@app.command
def gemm(
    *,
    m: WholeNumber,
    k: WholeNumber,
    n: WholeNumber,
    options: Annotated[ComputingOptions, Parameter(name="*")] = ComputingOptions(),  # noqa: B008
    trace: str | None = None,
    json: JsonFile = None,
) -> int:
    """Compute the product of M tokens with K x N INT8 weights in the PIM ranks of a platform.

    Counts and energy are those of all channels together, cycles those of the channel that ends last.

    Parameters
    ----------
    m
        Tokens.
    k
        Inputs of each token.
    n
        Outputs, dealt to the channels.
    trace
        Write the commands of the first channel as a timeline for Perfetto to this file (gzipped JSON).
    """
    outputs = plan_outputs(json)
    trace_path = plan_file("--trace", trace, outputs.paths)
    asked = Computing(**given_options(Computing, options))
    announce_compiling()
    from lpspec.dram.pim.package import package_of, run_gemm
    from lpspec.dram.pim.verify import count_wrong
    from lpspec.machine.loading import load_profile
    from lpspec.report.dram_documents import gemm_document
    from lpspec.report.dram_table import gemm_blocks
    from lpspec.report.dram_timeline import Timeline

    on = _platform(asked)
    package, profile = package_of(on), on.priced_by(load_profile(asked.energy_profile))
    with FilesTogether() as files, progress("computing") as say:
        timeline = None
        if trace_path is not None:
            title = f"{m} tokens x {k} x {n}, channel 0 of {package.channels}"
            timeline = Timeline(files.open(trace_path), package.channel.device, package.channel.ranks, title)
        take = timeline.take if timeline else None
        done = run_gemm(package, m, k, n, take=take, progress=lambda _, ck: say(f"CK {ck:,}"))
        if timeline:
            timeline.close()
        say("comparing with integer arithmetic")
        wrong = count_wrong(package.channel, package.channels, m, k, n) if asked.verify else None
        document = with_command(gemm_document(done, profile, wrong))
        write_json(files, outputs, document)
    show_result(outputs, document, gemm_blocks(done, profile, wrong), [trace_path])
    return DIFFERS if wrong else 0


def _platform(asked: Computing) -> "PlatformSpec":
    """The platform, with the die that was asked for."""
    from lpspec.machine.loading import load_platform

    constants = dict(asked.changes)
    if asked.die is not None:
        if "memory.die" in constants:
            raise InputError("--die and --set memory.die name the die twice")
        constants["memory.die"] = asked.die
    return load_platform(asked.platform, constants)


@app.command
def move(
    *,
    k: WholeNumber,
    n: WholeNumber,
    options: Annotated[MovingOptions, Parameter(name="*")] = MovingOptions(),  # noqa: B008
    commands: str | None = None,
    json: JsonFile = None,
) -> None:
    """Move K x N INT8 weights between the DRAM rank and the PIM ranks of a platform, while nothing else runs.

    Parameters
    ----------
    k
        Inputs.
    n
        Outputs, dealt to the channels.
    commands
        Write every command of the first channel to this CSV file, as `lpspec dram check` reads it.
    """
    outputs = plan_outputs(json)
    commands_path = plan_file("--commands", commands, outputs.paths)
    asked = Moving(**given_options(Moving, options))
    announce_compiling()
    from lpspec.dram.pim.moves import run_package_move
    from lpspec.dram.pim.package import package_of
    from lpspec.dram.run.command_forms import CommandWriter
    from lpspec.machine.loading import load_platform, load_profile
    from lpspec.report.dram_documents import move_document
    from lpspec.report.dram_table import move_blocks

    on = load_platform(asked.platform)
    package, profile = package_of(on), on.priced_by(load_profile(asked.energy_profile))
    with FilesTogether() as files, progress("moving weights"):
        writer = None if commands_path is None else CommandWriter(files.open(commands_path), package.channel.device)
        done = run_package_move(package, k, n, asked.to == "pim", take=writer.take if writer else None)
        document = with_command(move_document(done, profile))
        write_json(files, outputs, document)
    show_result(outputs, document, move_blocks(done, profile), [commands_path])


@app.command
def attention(
    *,
    options: Annotated[ExportingOptions, Parameter(name="*")] = ExportingOptions(),  # noqa: B008
    ini: str | None = None,
    json: JsonFile = None,
) -> None:
    """Export a platform's attention in PIM as slope and intercept over the length, as LLMServingSim takes it.

    One layer of Llama-3.1-8B's heads, one token, every command issued at 32 lengths from 128 to 4096; per channel.

    Parameters
    ----------
    ini
        Write the memory as LLMServingSim's configs/pim has it to this file; its stem is the name of the entry.
    """
    outputs = plan_outputs(json)
    ini_path = plan_file("--ini", ini, outputs.paths)
    asked = Exporting(**given_options(Exporting, options))
    announce_compiling()
    from lpspec.experiments.pim_attention import attention_line, serving_ini
    from lpspec.machine.loading import load_platform, load_profile
    from lpspec.report.attention_table import attention_blocks, attention_document

    platform = load_platform(asked.platform, dict(asked.changes))
    with progress("computing attention"):
        line = attention_line(platform, platform.priced_by(load_profile(asked.energy_profile)))
    others = [(ini_path, lambda: serving_ini(line).encode())] if ini_path else []
    deliver(outputs, attention_document(line, asked.energy_profile), attention_blocks(line), None, others)

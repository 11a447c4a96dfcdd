"""``lpspec dram``: the memory at command level: requests served, command streams checked, products computed."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, Literal

from cyclopts import App, Parameter

from lpspec.cli.compiled import announce_compiling
from lpspec.cli.console import progress
from lpspec.cli.deliver import deliver, show_result, write_json
from lpspec.cli.options import Changes, JsonFile, WholeNumber, one_of, parse_changes, rank_numbers
from lpspec.cli.outputs import FilesTogether, plan_file, plan_outputs
from lpspec.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

ILLEGAL = DIFFERS = 1
"""Exit codes: a broken rule was found; a result differs from integer arithmetic."""

REFRESH: tuple[Literal["none"], Literal["all-bank"], Literal["per-bank"]] = ("none", "all-bank", "per-bank")
WCK: tuple[Literal["on-demand"], Literal["always-on"]] = ("on-demand", "always-on")

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
    refresh: str = "all-bank",
    ranks: WholeNumber = 1,
    die: str = "lpddr5-6400-8gb",
    changes: Changes = (),
    wck: str = "on-demand",
    commands: str | None = None,
    energy_profile: str = "attacc",
    json: JsonFile = None,
) -> None:
    """Serve a list of read and write requests on one channel.

    Parameters
    ----------
    requests
        One object a line, in order of at (CK): {"at": 0, "op": "read", "rank": 0, "bank_group": 0, "bank": 0, "row": 0,
        "column": 0}; op is read or write, column 0 to 1008 in steps of 16.
    refresh
        none, all-bank or per-bank.
    ranks
        Ranks of the channel, 1 to 8.
    die
        lpddr5-6400-8gb, lpddr5-6400-16gb, lpddr5x-8533, lpddr5x-9600, lp5x-pim or a TOML file.
    changes
        Change a constant of the die, as KEY=VALUE: --set memory.timing.nRCD=16. May be repeated.
    wck
        on-demand (a CAS starts WCK) or always-on.
    commands
        Write every command to this CSV file: ck, command, rank, bank_group, bank, row, column.
    energy_profile
        attacc, specpim, pimscope or a TOML file.
    json
        Write the result as JSON to this file; - prints it instead of the table.
    """
    outputs = plan_outputs(json)
    commands_path = plan_file("--commands", commands, outputs.paths)
    constants = parse_changes(changes)
    announce_compiling()
    from lpspec.dram.run.command_log import CSV_HEADER, csv_lines
    from lpspec.dram.run.controller import Controller
    from lpspec.dram.run.request_file import read_requests
    from lpspec.dram.run.request_stream import run_stream
    from lpspec.machine.loading import load_die, load_profile
    from lpspec.report.dram_documents import run_document
    from lpspec.report.dram_table import run_blocks

    device, profile = load_die(die, constants), load_profile(energy_profile)
    controller = Controller(ranks=ranks, refresh=one_of("--refresh", refresh, REFRESH), wck=one_of("--wck", wck, WCK))
    with FilesTogether() as files, progress("serving requests") as line:
        take = None
        if commands_path is not None:
            out = files.open(commands_path)
            out.write(CSV_HEADER)
            take = _csv_into(out, csv_lines)

        def served(n: int, ck: int) -> None:
            _say(line, f"serving requests: {n:,}, CK {ck:,}")

        pieces = read_requests(requests, device, ranks)
        done, latency = run_stream(pieces, device, controller, take=take, progress=served)
        document = run_document(done, device, controller, profile, latency)
        write_json(files, outputs, document)
    show_result(outputs, document, run_blocks(done, device, controller, profile, latency), [commands_path])


@app.command
def check(
    commands: Path,
    /,
    *,
    ranks: WholeNumber = 1,
    pim_ranks: str | None = None,
    die: str = "lpddr5-6400-8gb",
    changes: Changes = (),
    wck: str = "on-demand",
    refresh: str = "none",
    activation: str = "ACT2",
    concurrent_ranks: WholeNumber = 8,
    tokens: WholeNumber = 1,
    json: JsonFile = None,
) -> int:
    """Check a stream of commands against every timing and state rule; exit code 1 if one is broken.

    Parameters
    ----------
    commands
        CSV with the columns ck, command, rank, bank_group, bank, row, column, as `lpspec dram run` writes it.
    ranks
        Ranks of the channel, 1 to 8.
    pim_ranks
        Comma-separated ranks that can enter PIM mode; none if left out.
    die
        lpddr5-6400-8gb, lpddr5-6400-16gb, lpddr5x-8533, lpddr5x-9600, lp5x-pim or a TOML file.
    changes
        Change a constant of the die, as KEY=VALUE: --set memory.timing.nRCD=16. May be repeated.
    wck
        on-demand (an access needs a CAS once WCK has stopped) or always-on.
    refresh
        all-bank or per-bank expects every bank to be kept alive; none does not, yet refreshes must be legal.
    activation
        ACT2 or ACT1: the command that nRRD and nFAW count from.
    concurrent_ranks
        PIM ranks that may compute at once, as the power budget allows, 1 to 8.
    tokens
        Tokens that every MAC serves at least, 1 to the ALUs of an MPU: the inputs of all of them must have arrived.
    json
        Write the result as JSON to this file; - prints it instead of the verdict.
    """
    outputs = plan_outputs(json)
    computing = rank_numbers("--pim-ranks", pim_ranks)
    constants = parse_changes(changes)
    announce_compiling()
    from lpspec.dram.check.checker import check_csv
    from lpspec.dram.run.checking import check_options
    from lpspec.machine.loading import load_die
    from lpspec.report.dram_documents import check_document
    from lpspec.report.dram_table import check_blocks

    options = check_options(
        load_die(die, constants),
        ranks,
        computing,
        one_of("--wck", wck, WCK),
        one_of("--refresh", refresh, REFRESH),
        one_of("--activation", activation, ("ACT2", "ACT1")) == "ACT1",
        concurrent_ranks,
    ).serving(tokens)
    with progress("checking commands") as line:
        report = check_csv(commands, options, progress=lambda n: _say(line, f"checking commands: {n:,}"))
    deliver(outputs, check_document(report), check_blocks(report))
    return 0 if report.legal else ILLEGAL


@app.command
def gemm(
    *,
    m: WholeNumber,
    k: WholeNumber,
    n: WholeNumber,
    platform: str = "lp-spec",
    die: str | None = None,
    changes: Changes = (),
    verify: Annotated[bool, Parameter(negative=())] = False,
    energy_profile: str = "attacc",
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
    platform
        lp-spec, lpddr5-pim or a TOML file with PIM.
    die
        Another die than the platform names, such as lpddr5x-9600, lp5x-pim or a TOML file: short for --set memory.die.
    changes
        Change a constant of the platform or its die, as KEY=VALUE: --set memory.timing.nRCD=16. May be repeated.
    verify
        Compute on random INT8 data, too, and compare with integer arithmetic; exit code 1 if a result differs.
    energy_profile
        attacc, specpim, pimscope or a TOML file.
    trace
        Write the commands of the first channel as a timeline for Perfetto to this file (gzipped JSON).
    json
        Write the result as JSON to this file; - prints it instead of the table.
    """
    outputs = plan_outputs(json)
    trace_path = plan_file("--trace", trace, outputs.paths)
    constants = parse_changes(changes)
    if die is not None:
        if "memory.die" in constants:
            raise InputError("--die and --set memory.die name the die twice")
        constants["memory.die"] = die
    announce_compiling()
    from lpspec.dram.pim.package import package_of, run_gemm
    from lpspec.dram.pim.verify import count_wrong
    from lpspec.machine.loading import load_platform, load_profile
    from lpspec.report.dram_documents import gemm_document
    from lpspec.report.dram_table import gemm_blocks
    from lpspec.report.dram_timeline import Timeline

    package = package_of(load_platform(platform, constants))
    profile = load_profile(energy_profile)
    with FilesTogether() as files, progress("computing") as line:
        timeline = None
        if trace_path is not None:
            title = f"{m} tokens x {k} x {n}, channel 0 of {package.channels}"
            timeline = Timeline(files.open(trace_path), package.channel.device, package.channel.ranks, title)
        take = timeline.take if timeline else None
        done = run_gemm(
            package,
            m,
            k,
            n,
            take=take,
            progress=lambda _, ck: _say(line, f"computing: CK {ck:,}"),
        )
        if timeline:
            timeline.close()
        _say(line, "comparing with integer arithmetic")
        wrong = count_wrong(package.channel, package.channels, m, k, n) if verify else None
        document = gemm_document(done, profile, wrong)
        write_json(files, outputs, document)
    show_result(outputs, document, gemm_blocks(done, profile, wrong), [trace_path])
    return DIFFERS if wrong else 0


def _csv_into(out: BinaryIO, lines: "Callable[[NDArray[Any]], bytes]") -> "Callable[[NDArray[Any]], None]":
    """Whoever is given commands writes them down."""

    def take(table: "NDArray[Any]") -> None:
        out.write(lines(table))

    return take


def _say(line: Any, what: str) -> None:
    """Change the moving line, if there is one."""
    if line is not None:
        line.update(what)

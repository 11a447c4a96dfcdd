"""``lpspec generate``: real text from a real model, and what platforms would have taken for its very steps."""

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from cyclopts import Parameter

from lpspec.cli.compiled import announce_compiling
from lpspec.cli.console import counted
from lpspec.cli.deliver import deliver
from lpspec.cli.options import Names, flattened, given_options, split_names
from lpspec.cli.outputs import plan_outputs
from lpspec.cli.prompts import NO_PROMPTS, Prompts, read_prompts
from lpspec.decoding import need_models_extra
from lpspec.errors import InputError
from lpspec.scenario import Request
from lpspec.scenario.names import MACHINE
from lpspec.scenario.option import options_of

if TYPE_CHECKING:
    from lpspec.decoding.machine_prices import MachinePrices
    from lpspec.experiments.decoder import Decoder

    Options: TypeAlias = Any
else:
    ELSEWHERE = ("prompts", "systems")
    Options = flattened(Request, *(option.name for option in options_of(Request) if option.name not in ELSEWHERE))


def generate(
    *,
    texts: Annotated[Prompts, Parameter(name="*")] = NO_PROMPTS,
    options: Annotated[Options, Parameter(name="*")] = Options(),  # noqa: B008
    system: str = "lp-spec",
    compare: Names = (),
    prices: str | None = None,
    json: str | None = None,
) -> None:
    """Continue a text with a real model and token trees, and price the steps on a platform.

    Parameters
    ----------
    system
        Platform that trees are sized for and steps are priced on; names as for `lpspec compare`.
    compare
        Further systems, comma-separated, to price the same steps on.
    prices
        For the objective machine: prices that `lpspec calibrate --json` wrote; measured first if left out.
    json
        Write the result as JSON to this file; - prints it instead of the text.
    """
    outputs = plan_outputs(json)
    prompts = read_prompts(texts)
    systems = [system, *(split_names("--compare", compare) or [])]
    given = given_options(Request, options)
    request = Request(prompts=tuple(prompts), systems=tuple(dict.fromkeys(systems)), **given)
    if prices is not None and request.objective != MACHINE:
        raise InputError(f"--prices needs --objective machine, not {request.objective}")
    need_models_extra()
    announce_compiling()
    from lpspec.experiments.generation import generate as run_generation
    from lpspec.report.generation_document import generation_document
    from lpspec.report.generation_table import generation_blocks

    def find_prices(decoder: "Decoder", longest: int) -> "MachinePrices":
        from lpspec.experiments.machine import machine_prices

        with counted("timing verify passes on this machine") as say:
            return machine_prices(decoder, longest, prices, say)

    streams = len(prompts) == 1 and not outputs.json_to_stdout
    with counted(f"decoding {len(prompts)} prompts", shown=len(prompts) > 1) as say:
        result = run_generation(
            request,
            find_prices,
            partial(print, end="", flush=True) if streams else None,
            lambda done: say(done / len(prompts)),
        )
    if streams:
        print()
    deliver(outputs, generation_document(result), generation_blocks(result))

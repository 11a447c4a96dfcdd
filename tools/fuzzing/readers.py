"""Everything of the package that reads what a user wrote: each takes the path of an input, and gives what it says."""

import io
import json
from collections.abc import Callable
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

Read = Callable[[Path], object]


def description(kind: str) -> Read:
    """A scenario or a product, as a file says it."""

    def read(path: Path) -> object:
        from lpspec.scenario import Scenario
        from lpspec.scenario.product import Product

        return Product.load(path) if kind == "product" else Scenario.load(path)

    return read


def setting(path: Path) -> object:
    """All that a scenario names."""
    from lpspec.experiments.setting import load_setting
    from lpspec.scenario import Scenario

    return load_setting(Scenario.load(path))


def priced(path: Path) -> object:
    """Figures of a scenario, analytically and of few tokens."""
    from lpspec.explore.evaluate import evaluate
    from lpspec.scenario import Scenario

    scenario = Scenario.load(path)
    short = {"systems": ["lp-spec"], "fidelity": "analytic", "exact": False, "model": "tinyllama"}
    plain = scenario.replace(**short).to_dict()
    plain["workload"] |= {"requests": None, "new_tokens": 2, "batch": 1}
    return evaluate(plain)


def study(path: Path) -> object:
    """The first points of a study."""
    from lpspec.explore.points import point_count, points
    from lpspec.explore.study_file import load_study

    study = load_study(path)
    return point_count(study), list(islice(points(study), 3))


def expression(path: Path) -> object:
    """A value of an expression."""
    from lpspec.explore.expression import Expression

    values: dict[str, int | str | float] = {
        "pim.alus": 4,
        "memory.pim_dies": 3,
        "systems": "npu",
        "name": "a",
        "memory.data_rate": 6400.0,
    }
    return Expression(_text(path)).value(values)


def goals(path: Path) -> object:
    """Goals of a search."""
    from lpspec.explore.objective import read_goals

    return [goal.loss({"pim.alus": 4}, {"tokens_per_s": 9.0, "mj_per_token": 2.0}) for goal in read_goals(_text(path))]


def _text(path: Path) -> str:
    return path.read_bytes().decode("utf-8", "replace")


def _json(path: Path) -> Any:
    """Texts for a target that takes several; what is no JSON is one text."""
    try:
        return json.loads(_text(path))
    except (ValueError, RecursionError):
        return _text(path)


def loaded(name: str) -> Read:
    """A file of a machine: a platform, die, profile or table of operating points."""

    def read(path: Path) -> object:
        from lpspec.machine import loading

        return getattr(loading, f"load_{name}")(str(path))

    return read


def changed_platform(path: Path) -> object:
    """``--set``: a constant of a shipped platform, changed by two texts."""
    from lpspec.machine.loading import load_platform

    content = _json(path)
    texts = [str(each) for each in content] if isinstance(content, list) and len(content) == 3 else ["lp-spec", "", ""]
    return load_platform("lp-spec", {texts[1]: texts[2]})


@cache
def _known_trace() -> Any:
    from lpspec.speculation.rank_trace import load_trace

    return load_trace("vicuna-7b")


def requests(path: Path) -> object:
    """``--requests``."""
    from lpspec.scenario.scenario import Workload
    from lpspec.simulation.requests import load_requests

    return load_requests(Workload(requests=str(path)), _known_trace())


def accepted(path: Path) -> object:
    """What ``lpspec acceptance`` reads."""
    from lpspec.experiments.acceptance_sources import acceptance_trace
    from lpspec.scenario.measurement import Measurement

    return acceptance_trace(str(path), Measurement(depth=4 if path.suffix == ".txt" else None), "t")


def one_number(path: Path) -> object:
    """``--acceptance``."""
    from lpspec.speculation.geometric import geometric_trace

    return geometric_trace(_text(path))


def formats(path: Path) -> object:
    """``--weights``."""
    from lpspec.llm.loading import load_model

    return load_model("tinyllama", _text(path))


def weights_table(path: Path) -> object:
    """``--weights mix.toml``, and a model with experts stored like this."""
    from lpspec.llm.loading import load_model

    return load_model(str(path.parent / "config.json"), weights=str(path))


def routing(path: Path) -> object:
    """``--routing``, of a model of as many layers and experts as the seeds have, and what passes need of it."""
    from lpspec.llm.loading import load_model

    model = load_model(str(path.parent / "config.json"), routing=str(path))
    assert model.routing is not None
    return model.routing.distinct(4, 5)


def dimensions(path: Path) -> object:
    """``--set model.layers``: dimensions of a shipped model, changed by texts."""
    from lpspec.llm.dimensions import with_dimensions
    from lpspec.llm.loading import load_model

    content = _json(path)
    changes = content if isinstance(content, dict) else {str(content): ""}
    return with_dimensions(load_model("tinyllama"), {str(key): str(value) for key, value in changes.items()})


@cache
def _die() -> Any:
    from lpspec.machine.loading import load_die

    return load_die()


def dram(path: Path) -> object:
    """Requests to a channel."""
    from lpspec.dram.run.request_source import Reading, requests_from

    return sum(len(piece) for piece in requests_from(path, _die(), 4, Reading()).pieces)


def commands(path: Path) -> object:
    """Commands to check."""
    from lpspec.dram.check.csv_tables import read_csv_tables

    return sum(len(table.ck) for table in read_csv_tables(path))


def model(path: Path) -> object:
    """``--model``."""
    from lpspec.llm.loading import load_model

    return load_model(str(path))


def stored_tensors(path: Path) -> object:
    """Headers of weights."""
    from lpspec.llm.safetensors_header import read_safetensors

    return read_safetensors(path)


def opened_tensors(path: Path) -> object:
    """Weights to decode with."""
    from lpspec.decoding.checkpoint import load_tensors

    return load_tensors(path)


def gguf_tokenizer(path: Path) -> object:
    """The tokenizer of a GGUF file."""
    from lpspec.decoding.gguf_tokenizer import gguf_tokenizer

    return gguf_tokenizer(path)


def tokens(path: Path) -> object:
    """A tokenizer, there and back."""
    from lpspec.decoding.tokenizer import load_tokenizer

    tokenizer = load_tokenizer(path.parent)
    return tokenizer.decode(tokenizer.encode("ab c"))


def chat(path: Path) -> object:
    """A chat template."""
    from lpspec.decoding.chat import chat_template

    return chat_template(path.parent).render("Why?")


def ends(path: Path) -> object:
    """Tokens that end a text."""
    from lpspec.decoding.end_tokens import own_end_tokens

    return own_end_tokens(path.parent)


def prompts(path: Path) -> object:
    """``--prompts``."""
    from lpspec.cli.prompts import Prompts, read_prompts

    return read_prompts(Prompts(prompts=str(path)))


def prices(path: Path) -> object:
    """A machine's own prices."""
    from lpspec.decoding.machine_prices import load_prices

    return load_prices(path)


def trace(path: Path) -> object:
    """A rank trace."""
    from lpspec.speculation.rank_trace import load_trace

    return load_trace(path)


def draft_trace(path: Path) -> object:
    """A trace of trees that grew by confidence."""
    from lpspec.decoding.draft_trace import load_draft_trace

    return load_draft_trace(path)


def store(path: Path) -> object:
    """A store of results."""
    from lpspec.explore.results import Query, Results

    results = Results(path.parent)
    try:
        return list(results.rows(Query(order="tokens_per_s"))), results.engines
    finally:
        results.close()


def condition(path: Path) -> object:
    """``--where`` of a store beside it."""
    from lpspec.explore.results import Query, Results

    results = Results(path.parent / "store")
    try:
        return list(results.rows(Query(where=_text(path).replace("\0", ""))))
    finally:
        results.close()


def command_line(path: Path) -> object:
    """A whole command line, in this process; what it prints is looked at."""
    import contextlib

    from lpspec.cli.main import run
    from lpspec.errors import InputError

    content = _json(path)
    words = [str(word) for word in content] if isinstance(content, list) else [str(content)]
    words = [word.replace("\0", "")[:100_000] for word in words]
    if (
        not words
        or words[0] not in ("inspect", "acceptance", "price")
        or any("figure" in w or "to" in w for w in words)
    ):
        words = ["inspect", *words[1:2]]
    words = [word for word in words if not word.startswith("--json")]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), contextlib.suppress(SystemExit):
        code = run(words)
        if code == 2 and not err.getvalue().startswith("lpspec: "):
            raise AssertionError(f"refused without a line: {err.getvalue():.100}")
        if code not in (0, 2):
            raise AssertionError(f"exit code {code}")
        if code == 2:
            raise InputError(*(line.removeprefix("lpspec: ") for line in err.getvalue().splitlines()))
    return out


def results_page(path: Path) -> object:
    """A result to be shown as a page."""
    from lpspec.report.page.results import read_result

    return read_result(path.read_bytes().decode("utf-8", "replace"), "result")

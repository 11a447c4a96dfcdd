"""Everything of the package that reads what a user wrote, with inputs that it accepts."""

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

from fuzzing import mutations as m
from fuzzing import seeds
from fuzzing.mutations import Mutate
from fuzzing.served import body_of_a_request

SCENARIOS = (seeds.SCENARIO, seeds.ACCEPTANCE_SCENARIO)
Read = Callable[[Path], object]


@dataclass(frozen=True)
class Target:
    """One kind of input.

    Attributes:
        name: What it is.
        share: Of a million inputs, thousands.
        file: Name of the file that holds the input.
        mutate: How it is spoilt.
        read: What reads the file.
        seeds: Inputs to begin with.
        may_write: Whether its reader may write beside it, as SQLite does.
        beside: Other files of the folder.
    """

    name: str
    share: float
    file: str
    mutate: Mutate
    read: Read
    seeds: tuple[bytes, ...]
    may_write: bool = False
    beside: dict[str, bytes] = field(default_factory=dict)


def _load_description(kind: str) -> Read:
    def read(path: Path) -> object:
        from lpspec.scenario import Scenario
        from lpspec.scenario.product import Product

        return Product.load(path) if kind == "product" else Scenario.load(path)

    return read


def _setting(path: Path) -> object:
    from lpspec.experiments.setting import load_setting
    from lpspec.scenario import Scenario

    return load_setting(Scenario.load(path))


def _priced(path: Path) -> object:
    from lpspec.explore.evaluate import evaluate
    from lpspec.scenario import Scenario

    scenario = Scenario.load(path)
    short = {"systems": ["lp-spec"], "fidelity": "analytic", "exact": False, "model": "tinyllama"}
    plain = scenario.replace(**short).to_dict()
    plain["workload"] |= {"requests": None, "new_tokens": 2, "batch": 1}
    return evaluate(plain)


def _study(path: Path) -> object:
    from lpspec.explore.points import point_count, points
    from lpspec.explore.study_file import load_study

    study = load_study(path)
    return point_count(study), list(islice(points(study), 3))


def _expression(path: Path) -> object:
    from lpspec.explore.expression import Expression

    values: dict[str, int | str | float] = {
        "pim.alus": 4,
        "memory.pim_dies": 3,
        "systems": "npu",
        "name": "a",
        "memory.data_rate": 6400.0,
    }
    return Expression(_text(path)).value(values)


def _goals(path: Path) -> object:
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


def _loaded(name: str) -> Read:
    def read(path: Path) -> object:
        from lpspec.machine import loading

        return getattr(loading, f"load_{name}")(str(path))

    return read


def _changed_platform(path: Path) -> object:
    """``--set``: a constant of a shipped platform, changed by two texts."""
    from lpspec.machine.loading import load_platform

    content = _json(path)
    texts = [str(each) for each in content] if isinstance(content, list) and len(content) == 3 else ["lp-spec", "", ""]
    return load_platform("lp-spec", {texts[1]: texts[2]})


@cache
def _known_trace() -> Any:
    from lpspec.speculation.rank_trace import load_trace

    return load_trace("vicuna-7b")


def _requests(path: Path) -> object:
    from lpspec.scenario.scenario import Workload
    from lpspec.simulation.requests import load_requests

    return load_requests(Workload(requests=str(path)), _known_trace())


def _accepted(path: Path) -> object:
    from lpspec.experiments.acceptance_sources import acceptance_trace
    from lpspec.scenario.measuring import Measuring

    return acceptance_trace(str(path), Measuring(depth=4 if path.suffix == ".txt" else None), "t")


def _one_number(path: Path) -> object:
    from lpspec.speculation.geometric import geometric_trace

    return geometric_trace(_text(path))


def _formats(path: Path) -> object:
    from lpspec.llm.loading import load_model

    return load_model("tinyllama", _text(path))


def _weights_table(path: Path) -> object:
    """``--weights mix.toml``, and a model with experts stored like this."""
    from lpspec.llm.loading import load_model

    return load_model(str(path.parent / "config.json"), weights=str(path))


def _routing(path: Path) -> object:
    """``--routing``, of a model of as many layers and experts as the seeds have, and what passes need of it."""
    from lpspec.llm.loading import load_model

    model = load_model(str(path.parent / "config.json"), routing=str(path))
    assert model.routing is not None
    return model.routing.distinct(4, 5)


def _dimensions(path: Path) -> object:
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


def _dram(path: Path) -> object:
    from lpspec.dram.run.request_source import Reading, requests_from

    return sum(len(piece) for piece in requests_from(path, _die(), 4, Reading()).pieces)


def _commands(path: Path) -> object:
    from lpspec.dram.check.csv_tables import read_csv_tables

    return sum(len(table.ck) for table in read_csv_tables(path))


def _model(path: Path) -> object:
    from lpspec.llm.loading import load_model

    return load_model(str(path))


def _stored_tensors(path: Path) -> object:
    from lpspec.llm.safetensors_header import read_safetensors

    return read_safetensors(path)


def _opened_tensors(path: Path) -> object:
    from lpspec.decoding.checkpoint import load_tensors

    return load_tensors(path)


def _gguf_tokenizer(path: Path) -> object:
    from lpspec.decoding.gguf_tokenizer import gguf_tokenizer

    return gguf_tokenizer(path)


def _tokens(path: Path) -> object:
    from lpspec.decoding.tokenizer import load_tokenizer

    tokenizer = load_tokenizer(path.parent)
    return tokenizer.decode(tokenizer.encode("ab c"))


def _chat(path: Path) -> object:
    from lpspec.decoding.chat import chat_template

    return chat_template(path.parent).render("Why?")


def _ends(path: Path) -> object:
    from lpspec.decoding.end_tokens import own_end_tokens

    return own_end_tokens(path.parent)


def _prompts(path: Path) -> object:
    from lpspec.cli.prompts import Prompts, read_prompts

    return read_prompts(Prompts(prompts=str(path)))


def _prices(path: Path) -> object:
    from lpspec.decoding.machine_prices import load_prices

    return load_prices(path)


def _trace(path: Path) -> object:
    from lpspec.speculation.rank_trace import load_trace

    return load_trace(path)


def _draft_trace(path: Path) -> object:
    from lpspec.decoding.draft_trace import load_draft_trace

    return load_draft_trace(path)


def _store(path: Path) -> object:
    from lpspec.explore.results import Query, Results

    results = Results(path.parent)
    try:
        return list(results.rows(Query(order="tokens_per_s"))), results.engines
    finally:
        results.close()


def _condition(path: Path) -> object:
    """``--where`` of a store beside it."""
    from lpspec.explore.results import Query, Results

    results = Results(path.parent / "store")
    try:
        return list(results.rows(Query(where=_text(path).replace("\0", ""))))
    finally:
        results.close()


def _command_line(path: Path) -> object:
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


def _results_page(path: Path) -> object:
    from lpspec.report.page.results import read_result

    return read_result(path.read_bytes().decode("utf-8", "replace"), "result")


def targets(folder: Path) -> Iterator[Target]:
    """Every kind of input; ``folder`` is for what has to be made first."""
    yield from _scenarios()
    yield from _machines()
    yield from _traces()
    yield from _models()
    yield from _results(folder)


def _scenarios() -> Iterator[Target]:
    yield Target(
        "scenario, TOML",
        60,
        "fuzz-input.toml",
        m.of_toml,
        _load_description("scenario"),
        SCENARIOS,
    )
    json_scenario = json.dumps(
        {"model": "tinyllama", "systems": ["npu"], "changes": {"a": "b"}, "workload": {}}
    ).encode()
    yield Target("scenario, JSON", 100, "fuzz-input.json", m.of_json, _load_description("scenario"), (json_scenario,))
    yield Target(
        "product",
        60,
        "fuzz-input.toml",
        m.of_toml,
        _load_description("product"),
        (b"m = 1\nk = 64\nn = 64\nsystem = 'npu'\n",),
    )
    yield Target("setting of a scenario", 8, "fuzz-input.toml", m.of_toml, _setting, SCENARIOS)
    yield Target("figures of a scenario", 2, "fuzz-input.toml", m.of_toml, _priced, (seeds.SCENARIO,))
    yield Target("study", 25, "fuzz-input.toml", m.of_toml, _study, (seeds.STUDY,))
    yield Target("expression", 240, "fuzz-input", m.of_text, _expression, seeds.EXPRESSIONS)
    yield Target(
        "goals", 90, "fuzz-input", m.of_text, _goals, (b"tokens_per_s; min:mj_per_token * pim.alus", b"tokens_per_s")
    )


def _machines() -> Iterator[Target]:
    yield Target("platform", 8, "fuzz-input.toml", m.of_toml, _loaded("platform"), seeds.shipped("machine/platforms"))
    yield Target("die", 15, "fuzz-input.toml", m.of_toml, _loaded("die"), seeds.shipped("machine/dies"))
    yield Target(
        "energy profile", 12, "fuzz-input.toml", m.of_toml, _loaded("profile"), seeds.shipped("machine/energy_profiles")
    )
    yield Target(
        "operating points",
        10,
        "fuzz-input.toml",
        m.of_toml,
        _loaded("operating_points"),
        seeds.shipped("machine/operating_points"),
    )
    yield Target("--set", 12, "fuzz-input.json", m.of_json, _changed_platform, (seeds.SETTINGS,))
    yield Target("command line", 1.5, "fuzz-input.json", m.of_json, _command_line, seeds.COMMAND_LINES)


def _traces() -> Iterator[Target]:
    yield Target("requests, CSV", 50, "fuzz-input.csv", m.of_text, _requests, (seeds.REQUESTS_CSV,))
    yield Target("requests, JSONL", 50, "fuzz-input.jsonl", m.of_json_lines, _requests, (seeds.REQUESTS_JSONL,))
    yield Target("acceptance, log", 16, "fuzz-input.log", m.of_text, _accepted, seeds.LOGS)
    yield Target("acceptance, SGLang", 8, "fuzz-input.txt", m.of_text, _accepted, (seeds.SGLANG_LOG,))
    yield Target("acceptance, CSV", 50, "fuzz-input.csv", m.of_text, _accepted, seeds.ACCEPTED_CSV)
    yield Target("acceptance, JSONL", 40, "fuzz-input.jsonl", m.of_text, _accepted, seeds.ACCEPTED_JSONL)
    yield Target("acceptance, number", 10, "fuzz-input", m.of_text, _one_number, (b"3.24@7", b"0.72"))
    yield Target(
        "formats of weights", 20, "fuzz-input", m.of_text, _formats, (b"attention_in=8,ffn_up=4", b"4g128", b"q4_k")
    )
    yield Target("rank trace", 40, "fuzz-input.npz", m.of_arrays, _trace, seeds.traces())
    drafts = (seeds.PACKAGE / "decoding/traces").glob("demo-eagle2.npz")
    yield Target(
        "draft trace", 4, "fuzz-input.npz", m.of_arrays, _draft_trace, tuple(p.read_bytes() for p in sorted(drafts))
    )
    yield Target("DRAM requests", 60, "fuzz-input.jsonl", m.of_json_lines, _dram, (seeds.DRAM_JSONL,))
    yield Target("DRAM traces", 60, "fuzz-input.trace", m.of_text, _dram, seeds.DRAM_TRACES)
    yield Target("DRAM commands", 90, "fuzz-input.csv", m.of_text, _commands, (seeds.COMMANDS,))


def _models() -> Iterator[Target]:
    dimensions = (b'{"layers": "3", "kv_heads": "4"}', b'{"hidden_size": 640, "vocab_size": 77}')
    yield Target("dimensions of a model", 10, "fuzz-input.json", m.of_json, _dimensions, dimensions)
    tables = (b'expert = "mxfp4"\nattention_in = 8\n', b'attention_out = 16\nhead = "4g32"\n"embedding" = "8"\n')
    model = {"config.json": seeds.MIXED_CONFIG}
    yield Target("table of weights", 15, "fuzz-input.toml", m.of_toml, _weights_table, tables, beside=model)
    yield Target("routing, CSV", 8, "fuzz-input.csv", m.of_text, _routing, (seeds.ROUTING_CSV,), beside=model)
    yield Target("routing, JSONL", 8, "fuzz-input.jsonl", m.of_json_lines, _routing, (seeds.ROUTING,), beside=model)
    yield Target("config.json", 30, "config.json", m.of_json, _model, (seeds.CONFIG, seeds.MIXED_CONFIG))
    yield Target(
        "safetensors header", 90, "model.safetensors", m.of_safetensors, _stored_tensors, (seeds.safetensors(),)
    )
    yield Target("safetensors", 20, "model.safetensors", m.of_safetensors, _opened_tensors, (seeds.safetensors(),))
    yield Target("GGUF", 25, "fuzz-input.gguf", m.of_bytes, _model, (seeds.gguf(),))
    yield Target("GGUF tokenizer", 15, "fuzz-input.gguf", m.of_bytes, _gguf_tokenizer, (seeds.gguf(),))
    yield Target("tokenizer.json", 50, "tokenizer.json", m.of_json, _tokens, (seeds.tokenizer(),))
    yield Target("chat template", 15, "tokenizer_config.json", m.of_json, _chat, (seeds.CHAT,))
    yield Target(
        "end tokens",
        60,
        "generation_config.json",
        m.of_json,
        _ends,
        (b'{"eos_token_id": [1, 2]}', b'{"eos_token_id": 2}'),
    )
    yield Target("prompts", 160, "fuzz-input.jsonl", m.of_json_lines, _prompts, (seeds.PROMPTS,))


def _results(folder: Path) -> Iterator[Target]:
    yield Target("machine prices", 30, "fuzz-input.json", m.of_json, _prices, (seeds.PRICES,))
    scenario = json.dumps({"model": "tinyllama", "systems": ["npu"], "changes": {}, "workload": {"batch": 1}}).encode()
    asked = "request of the page", 1, "fuzz-input.json", m.of_json, body_of_a_request, (scenario, b"{}")
    yield Target(*asked, may_write=True)
    yield Target("result", 30, "fuzz-input.json", m.of_json, _results_page, seeds.results())
    made = seeds.small_store(folder)
    yield Target("store", 10, "study.sqlite", m.of_bytes, _store, (made,), may_write=True)
    conditions = (b"tokens_per_s > 1 and pim.alus = 4", b"system like 'lp%' or error is not null", b"length(key) > 3")
    yield Target(
        "condition in SQL", 10, "fuzz-input", m.of_text, _condition, conditions, True, {"store/study.sqlite": made}
    )

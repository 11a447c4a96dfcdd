"""Every kind of input of a user's, with some that are accepted, how they are spoilt, and who reads them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from fuzzing import mutations as m
from fuzzing import readers as r
from fuzzing import seeds
from fuzzing.mutations import Mutate
from fuzzing.readers import Read
from fuzzing.served import body_of_a_request

SCENARIOS = (seeds.SCENARIO, seeds.ACCEPTANCE_SCENARIO)


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
        r.description("scenario"),
        SCENARIOS,
    )
    json_scenario = json.dumps(
        {"model": "tinyllama", "systems": ["npu"], "changes": {"a": "b"}, "workload": {}}
    ).encode()
    yield Target("scenario, JSON", 100, "fuzz-input.json", m.of_json, r.description("scenario"), (json_scenario,))
    yield Target(
        "product",
        60,
        "fuzz-input.toml",
        m.of_toml,
        r.description("product"),
        (b"m = 1\nk = 64\nn = 64\nsystem = 'npu'\n",),
    )
    yield Target("setting of a scenario", 8, "fuzz-input.toml", m.of_toml, r.setting, SCENARIOS)
    yield Target("figures of a scenario", 2, "fuzz-input.toml", m.of_toml, r.priced, (seeds.SCENARIO,))
    yield Target("study", 25, "fuzz-input.toml", m.of_toml, r.study, (seeds.STUDY,))
    yield Target("expression", 240, "fuzz-input", m.of_text, r.expression, seeds.EXPRESSIONS)
    yield Target(
        "goals",
        90,
        "fuzz-input",
        m.of_text,
        r.goals,
        (b"tokens_per_s; min:mj_per_token * pim.alus", b"tokens_per_s"),
    )


def _machines() -> Iterator[Target]:
    yield Target("platform", 8, "fuzz-input.toml", m.of_toml, r.loaded("platform"), seeds.shipped("machine/platforms"))
    yield Target("die", 15, "fuzz-input.toml", m.of_toml, r.loaded("die"), seeds.shipped("machine/dies"))
    yield Target(
        "energy profile",
        12,
        "fuzz-input.toml",
        m.of_toml,
        r.loaded("profile"),
        seeds.shipped("machine/energy_profiles"),
    )
    yield Target(
        "operating points",
        10,
        "fuzz-input.toml",
        m.of_toml,
        r.loaded("operating_points"),
        seeds.shipped("machine/operating_points"),
    )
    yield Target("--set", 12, "fuzz-input.json", m.of_json, r.changed_platform, (seeds.SETTINGS,))
    yield Target("command line", 1.5, "fuzz-input.json", m.of_json, r.command_line, seeds.COMMAND_LINES)


def _traces() -> Iterator[Target]:
    yield Target("requests, CSV", 50, "fuzz-input.csv", m.of_text, r.requests, (seeds.REQUESTS_CSV,))
    yield Target("requests, JSONL", 50, "fuzz-input.jsonl", m.of_json_lines, r.requests, (seeds.REQUESTS_JSONL,))
    yield Target("acceptance, log", 16, "fuzz-input.log", m.of_text, r.accepted, seeds.LOGS)
    yield Target("acceptance, SGLang", 8, "fuzz-input.txt", m.of_text, r.accepted, (seeds.SGLANG_LOG,))
    yield Target("acceptance, CSV", 50, "fuzz-input.csv", m.of_text, r.accepted, seeds.ACCEPTED_CSV)
    yield Target("acceptance, JSONL", 40, "fuzz-input.jsonl", m.of_text, r.accepted, seeds.ACCEPTED_JSONL)
    yield Target("acceptance, number", 10, "fuzz-input", m.of_text, r.one_number, (b"3.24@7", b"0.72"))
    yield Target(
        "formats of weights",
        20,
        "fuzz-input",
        m.of_text,
        r.formats,
        (b"attention_in=8,ffn_up=4", b"4g128", b"q4_k"),
    )
    yield Target("rank trace", 40, "fuzz-input.npz", m.of_arrays, r.trace, seeds.traces())
    drafts = (seeds.PACKAGE / "decoding/traces").glob("demo-eagle2.npz")
    yield Target(
        "draft trace",
        4,
        "fuzz-input.npz",
        m.of_arrays,
        r.draft_trace,
        tuple(p.read_bytes() for p in sorted(drafts)),
    )
    yield Target("DRAM requests", 60, "fuzz-input.jsonl", m.of_json_lines, r.dram, (seeds.DRAM_JSONL,))
    yield Target("DRAM traces", 60, "fuzz-input.trace", m.of_text, r.dram, seeds.DRAM_TRACES)
    yield Target("DRAM commands", 90, "fuzz-input.csv", m.of_text, r.commands, (seeds.COMMANDS,))


def _models() -> Iterator[Target]:
    dimensions = (b'{"layers": "3", "kv_heads": "4"}', b'{"hidden_size": 640, "vocab_size": 77}')
    yield Target("dimensions of a model", 10, "fuzz-input.json", m.of_json, r.dimensions, dimensions)
    tables = (b'expert = "mxfp4"\nattention_in = 8\n', b'attention_out = 16\nhead = "4g32"\n"embedding" = "8"\n')
    model = {"config.json": seeds.MIXED_CONFIG}
    yield Target("table of weights", 15, "fuzz-input.toml", m.of_toml, r.weights_table, tables, beside=model)
    yield Target("routing, CSV", 8, "fuzz-input.csv", m.of_text, r.routing, (seeds.ROUTING_CSV,), beside=model)
    yield Target("routing, JSONL", 8, "fuzz-input.jsonl", m.of_json_lines, r.routing, (seeds.ROUTING,), beside=model)
    yield Target("config.json", 30, "config.json", m.of_json, r.model, (seeds.CONFIG, seeds.MIXED_CONFIG))
    yield Target(
        "safetensors header", 90, "model.safetensors", m.of_safetensors, r.stored_tensors, (seeds.safetensors(),)
    )
    yield Target("safetensors", 20, "model.safetensors", m.of_safetensors, r.opened_tensors, (seeds.safetensors(),))
    yield Target("GGUF", 25, "fuzz-input.gguf", m.of_bytes, r.model, (seeds.gguf(),))
    yield Target("GGUF tokenizer", 15, "fuzz-input.gguf", m.of_bytes, r.gguf_tokenizer, (seeds.gguf(),))
    yield Target("tokenizer.json", 50, "tokenizer.json", m.of_json, r.tokens, (seeds.tokenizer(),))
    yield Target("chat template", 15, "tokenizer_config.json", m.of_json, r.chat, (seeds.CHAT,))
    yield Target(
        "end tokens",
        60,
        "generation_config.json",
        m.of_json,
        r.ends,
        (b'{"eos_token_id": [1, 2]}', b'{"eos_token_id": 2}'),
    )
    yield Target("prompts", 160, "fuzz-input.jsonl", m.of_json_lines, r.prompts, (seeds.PROMPTS,))


def _results(folder: Path) -> Iterator[Target]:
    yield Target("machine prices", 30, "fuzz-input.json", m.of_json, r.prices, (seeds.PRICES,))
    scenario = json.dumps({"model": "tinyllama", "systems": ["npu"], "changes": {}, "workload": {"batch": 1}}).encode()
    asked = "request of the page", 1, "fuzz-input.json", m.of_json, body_of_a_request, (scenario, b"{}")
    yield Target(*asked, may_write=True)
    yield Target("result", 30, "fuzz-input.json", m.of_json, r.results_page, seeds.results())
    made = seeds.small_store(folder)
    yield Target("store", 10, "study.sqlite", m.of_bytes, r.store, (made,), may_write=True)
    conditions = (b"tokens_per_s > 1 and pim.alus = 4", b"system like 'lp%' or error is not null", b"length(key) > 3")
    yield Target(
        "condition in SQL",
        10,
        "fuzz-input",
        m.of_text,
        r.condition,
        conditions,
        True,
        {"store/study.sqlite": made},
    )

"""Inputs to begin with: each is accepted."""

import json
import struct
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

import lpspec

PACKAGE = Path(lpspec.__file__).parent


def shipped(folder: str) -> tuple[bytes, ...]:
    """Files of the package."""
    return tuple(path.read_bytes() for path in sorted((PACKAGE / folder).glob("*.toml")))


SCENARIO = b"""model = "tinyllama"
weights = "4g128"
trace = "vicuna-7b"
drafter = "eagle"
systems = ["lp-spec", "npu-spec"]
objective = "edp"
tree = "8x2"
basis = "equal"
energy_profile = "attacc"
fidelity = "analytic"
root_counts = true
kv = 8
[workload]
prompt_tokens = 16
new_tokens = 2
[changes]
"pim.mac_interval" = "10 ns"
pim.alus = "4"
memory.data_rate = "8533 Mbps"
"""
ACCEPTANCE_SCENARIO = (
    SCENARIO.replace(b'trace = "vicuna-7b"', b'acceptance = "3.24@7"')
    .replace(b'tree = "8x2"', b'tree = "dtp"')
    .replace(b'weights = "4g128"', b'weights = "attention_in=8,ffn_up=mxfp4"')
    .replace(b"[workload]", b'[workload]\nrequests = "poisson:2.5/s:10"\nbatch = 4')
)
STUDY = b"""constraints = ["pim.alus <= 6 or workload.prompt_tokens < 1000", "total_alus % 3 == 1"]
[scenario]
model = "tinyllama"
fidelity = "analytic"
workload.new_tokens = 2
[axes]
pim.alus = [2, 4, 6, 8]
"memory.data_rate" = { from = "6400 Mbps", to = "8533 Mbps", steps = 3 }
workload.prompt_tokens = { from = 128, to = 2048, steps = 3, scale = "log" }
systems = [["lp-spec"], "npu"]
[derived]
total_alus = "pim.alus * 12 + max(1, round(log2(memory.data_rate)))"
[sample]
method = "random"
points = 9
seed = 3
"""
EXPRESSIONS = (
    b"pim.alus * memory.pim_dies <= 24 and not (systems == 'npu')",
    b"min(abs(-pim.alus) ** 2, 2 ** 10, sqrt(16)) // 3 % 5 + round(1.5) - floor(2.2) / ceil(0.5) > log2(8)",
    b"1 < pim.alus <= 8 or name != 'a'",
)
REQUESTS_CSV = (
    b"arrival_s,prompt_tokens,new_tokens,turn,trace\n0,16,4,0,\n0.5,32,8,1,vicuna-7b\n2.25,8,2,2,vicuna-13b\n"
)
REQUESTS_JSONL = (
    b'{"arrival_s": 0, "prompt_tokens": 16, "new_tokens": 4, "turn": 1}\n{"arrival_s": 1.5, "trace": "vicuna-7b"}\n'
)
SGLANG_LOG = b"Decode batch. #running-req: 2, #token: 7352, accept len: 2.54, gen throughput (token/s): 39.33\n"
LOGS = (
    b"INFO [metrics.py:125] SpecDecoding metrics: Mean acceptance length: 2.85, Accepted: 256 tokens, Drafted: 308 "
    b"tokens, Per-position acceptance rate: 0.911, 0.762, Avg Draft acceptance rate: 83.1%\n",
    b'vllm:spec_decode_num_drafts_total{engine="0"} 60.0\nvllm:spec_decode_num_accepted_tokens_per_pos_total{'
    b'engine="0",position="0"} 50.0\nvllm:spec_decode_num_accepted_tokens_per_pos_total{engine="0",position="1"} 9.0\n',
    b"I slot print_timing: draft acceptance = 0.64479 ( 167 accepted / 259 generated), mean acceptance length = 2.92, "
    b"acceptance rate per position = (0.805, 0.632, 0.483)\n",
)
ACCEPTED_CSV = (b"request,accepted\na,2\nb,0\na,1\n", b"position,rate\n1,0.8\n2,0.6\n", b"Tokens, request\r\n3, a\r\n")
ACCEPTED_JSONL = (b'{"request": "a", "accepted": [2, 1]}\n\n{"request": "b", "accepted": 0}\n',)
DRAM_JSONL = b"".join(
    b'{"at": %d, "op": "%s", "rank": 0, "bank_group": %d, "bank": 1, "row": %d, "column": %d}\n'
    % (at * 10, b"read" if at % 3 else b"write", at % 4, at * 7, at % 4 * 16)
    for at in range(12)
)
DRAM_TRACES = (
    b"0x12340 READ 0\n0x12380 WRITE 10\n0x99000 READ 20\n",
    b"LD 0x12340\nST 0x12380\nLD 4096\n",
    b"R 0,0,1,2,3,4\nW 0,0,1,2,3,8\n",
    b"0x1000 R\n0x2000 W\n",
)
COMMANDS = (
    b"ck,command,rank,bank_group,bank,row,column\n0,ACT1,0,0,0,5,\n2,ACT2,0,0,0,5,\n20,RD,0,0,0,,0\n40,WR,0,0,0,,16\n90,PRE,0,0,0,,\n"
    b"200,REFAB,0,,,,\n"
)
CONFIG = json.dumps(
    {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64, "intermediate_size": 128,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "vocab_size": 320,
        "max_position_embeddings": 256, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": False,
        "torch_dtype": "float16", "bos_token_id": 1, "eos_token_id": [2], "hidden_act": "silu",
        "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                         "original_max_position_embeddings": 128},
        "quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": 32, "desc_act": False, "sym": True},
    }
).encode()  # fmt: skip
MIXED_CONFIG = json.dumps(
    {
        "architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe", "hidden_size": 64, "vocab_size": 320,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16,
        "intermediate_size": 128, "moe_intermediate_size": 32, "num_experts": 4, "num_experts_per_tok": 2,
        "decoder_sparse_step": 1, "mlp_only_layers": [], "norm_topk_prob": True, "max_position_embeddings": 256,
    }
).encode()  # fmt: skip
ROUTING = b'{"experts": [[0, 3], [1, 2]]}\n{"experts": [[1, 0], [3, 2]]}\n{"experts": [[2, 3], [0, 1]]}\n'
ROUTING_CSV = b"token,layer,expert\n0,0,0\n0,0,3\n0,1,1\n0,1,2\n1,0,1\n1,0,0\n1,1,3\n1,1,2\n"
PRICES = json.dumps(
    {
        "format": "lpspec-machine-prices", "version": 1, "model": "m", "drafter": "medusa", "contexts": [16, 64],
        "sizes": [1, 2, 8], "verify_ns": [[1e6, 1.5e6, 2e6], [2e6, 2.5e6, 3e6]], "overhead_ns": 1e4, "rounds": 3,
        "machine": {"processor": "p", "threads": 2},
    }
).encode()  # fmt: skip
TEMPLATE = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>' }}\n{{ m['content'] | trim }}{% if loop.last and 1 %}"
    "{{ eos_token }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ bos_token }}{% endif %}"
)
CHAT = json.dumps(
    {
        "chat_template": TEMPLATE, "bos_token": "<s>", "eos_token": {"content": "</s>"},
        "added_tokens_decoder": {"2": {"content": "</s>", "special": True}},
    }
).encode()  # fmt: skip
PROMPTS = b'{"prompt": "The cat sat"}\n"just a text"\n{"turns": ["Why?", "And then?"]}\n'
SETTINGS = b'["lp-spec", "pim.mac_interval", "10 ns"]'
COMMAND_LINES = (
    b'["inspect", "lp-spec", "--set", "pim.alus=4", "--set", "memory.data_rate=8533 Mbps"]',
    b'["inspect", "llama2-7b"]',
    b'["acceptance", "3.24@7"]',
    b'["price", "--m", "4", "--k", "512", "--n", "1024", "--system", "lp-spec", "--weights", "8"]',
)


@cache
def traces() -> tuple[bytes, ...]:
    """A small rank trace, as a file of the package shows how."""
    from lpspec.speculation.rank_trace import RankTrace

    ranks = np.array([[0, 1, -1], [2, 0, -1], [0, -1, -1], [-1, -1, -1], [3, -1, -1], [-1, -1, -1]], np.int8)
    trace = RankTrace(ranks, np.array([4, 2], np.int32), 10, ("a", "b"), "t", "m", "measured", "d", "s")
    return (trace.file_content(),)


def _gguf_text(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()


def gguf() -> bytes:
    """A small file as the format's description lays it out: keys, tensors, data."""
    keys: dict[str, Any] = {
        "general.architecture": "llama", "general.alignment": 32, "llama.block_count": 1, "llama.context_length": 128,
        "llama.embedding_length": 64, "llama.feed_forward_length": 96, "llama.attention.head_count": 4,
        "llama.attention.head_count_kv": 2, "llama.attention.layer_norm_rms_epsilon": 1e-5, "llama.vocab_size": 4,
        "llama.rope.freq_base": 10000.0, "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.bos_token_id": 3,
        "tokenizer.ggml.pre": "qwen2", "tokenizer.ggml.tokens": ["a", "b", "ab", "<s>"],
        "tokenizer.ggml.merges": ["a b"], "tokenizer.ggml.token_type": [1, 1, 1, 3],
        "tokenizer.chat_template": "{{ messages[0]['content'] }}",
    }  # fmt: skip
    shapes = {
        "token_embd.weight": (64, 4), "output_norm.weight": (64,), "output.weight": (64, 4),
        "blk.0.attn_norm.weight": (64,), "blk.0.attn_q.weight": (64, 64), "blk.0.attn_k.weight": (64, 32),
        "blk.0.attn_v.weight": (64, 32), "blk.0.attn_output.weight": (64, 64), "blk.0.ffn_norm.weight": (64,),
        "blk.0.ffn_gate.weight": (64, 96), "blk.0.ffn_up.weight": (64, 96), "blk.0.ffn_down.weight": (96, 64),
    }  # fmt: skip
    head = b"GGUF" + struct.pack("<IQQ", 3, len(shapes), len(keys))
    for key, value in keys.items():
        head += _gguf_text(key) + _gguf_value(value)
    end = 0
    for name, shape in shapes.items():
        head += _gguf_text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, 0, end)
        end += -(-4 * int(np.prod(shape)) // 32) * 32
    return head + bytes(-len(head) % 32) + bytes(end)


def _gguf_value(value: Any) -> bytes:
    if isinstance(value, str):
        return struct.pack("<I", 8) + _gguf_text(value)
    if isinstance(value, list):
        entries = [_gguf_value(each) for each in value]
        return (
            struct.pack("<I", 9) + entries[0][:4] + struct.pack("<Q", len(entries)) + b"".join(e[4:] for e in entries)
        )
    return struct.pack("<I", 4) + struct.pack("<I", value) if isinstance(value, int) else struct.pack("<If", 6, value)


def safetensors() -> bytes:
    """Three tensors of zeros."""
    header, end = {}, 0
    for name, shape in (("model.embed_tokens.weight", [8, 4]), ("lm_head.weight", [8, 4]), ("model.norm.weight", [4])):
        size = 4 * int(np.prod(shape))
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps({"__metadata__": {"format": "pt"}, **header}).encode()
    return struct.pack("<Q", len(text)) + text + bytes(end)


def tokenizer() -> bytes:
    """Two letters and what they make together."""
    return json.dumps(
        {
            "version": "1.0", "truncation": None, "padding": None, "normalizer": None, "post_processor": None,
            "added_tokens": [{"id": 0, "content": "<unk>", "single_word": False, "lstrip": False, "rstrip": False,
                              "normalized": False, "special": True}],
            "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
            "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
            "model": {"type": "BPE", "dropout": None, "unk_token": "<unk>", "fuse_unk": False, "byte_fallback": False,
                      "vocab": {"<unk>": 0, "a": 1, "b": 2, "ab": 3, "c": 4}, "merges": ["a b"]},
        }
    ).encode()  # fmt: skip


def results() -> tuple[bytes, ...]:
    """A comparison as --json writes it."""
    found = lpspec.compare(systems=["npu", "lp-spec"], model="tinyllama", new_tokens=2, fidelity="analytic")
    return (json.dumps(found.to_dict()).encode(),)


def small_store(folder: Path) -> bytes:
    """The file of a store with some points, as a sweep leaves it; they are made up."""
    from lpspec.explore.evaluate import METRICS
    from lpspec.explore.points import points
    from lpspec.explore.store import FILE, Outcome, Store
    from lpspec.explore.study_file import load_study

    study = folder / "study.toml"
    study.write_bytes(STUDY)
    with Store(folder / "store", create=True) as store:
        for place, point in enumerate(islice(points(load_study(study)), 4)):
            figures = dict.fromkeys(METRICS, 1.5 + place)
            store.keep(point, Outcome(figures, "analytic", None, 0.1) if place else Outcome(None, None, "no", 0.1))
    return (folder / "store" / FILE).read_bytes()

"""The forward pass in its parts: what one pass yields, several passes yield too."""

import torch

from lpspec.decoding.llama_weights import random_weights
from lpspec.decoding.model_config import ModelConfig
from lpspec.decoding.transformer import Transformer
from lpspec.llm.llama_spec import llama_spec

SPEC = llama_spec(
    name="tiny", source="test", layers=2, hidden_size=32, intermediate_size=48, heads=4, kv_heads=2, head_dim=8,
    vocab_size=64, tied_embeddings=False, qkv_bias=True, out_bias=True, max_context=64,
)  # fmt: skip
CONFIG = ModelConfig(spec=SPEC)


def test_passes_behind_a_cache_equal_one_pass() -> None:
    model = Transformer(CONFIG, random_weights(CONFIG, seed=0, scale=0.3))
    tokens = torch.arange(12) * 5 % 64
    with torch.inference_mode():
        whole = model.forward(tokens, taps=(0, 1))
        cache = model.new_cache(16)
        first = model.forward(tokens[:7], cache=cache)
        cache.compact(range(7))
        second = model.forward(tokens[7:], cache=cache, taps=(0, 1))
    torch.testing.assert_close(torch.cat((first.hidden, second.hidden)), whole.hidden, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(second.taps[1], whole.taps[1][7:], atol=1e-5, rtol=1e-5)

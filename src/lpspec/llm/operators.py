"""The operators of a pass through a decoder, in the order of execution; what they are is in ``work.py``."""

from dataclasses import replace

from lpspec.llm.counts import Count
from lpspec.llm.model_spec import ModelSpec
from lpspec.llm.work import Attention, Elementwise, ExpertGemm, Gemm, Operator, PlainOperator, StateUpdate

# Vector operations per element.
MOVE_OPS = 1  # embedding lookup: each element is copied
ADD_OPS = 1  # a residual or a bias
COMPARE_OPS = 1  # argmax, and a top-k whose k is far smaller than the vocabulary
ROPE_OPS = 3  # multiply by the cosine, multiply the rotated partner by the sine, add
RMS_NORM_OPS = 4  # square, accumulate, scale by 1/rms, multiply by the weight
SILU_OPS = 3  # exponential, add one, divide
GATED_SILU_OPS = SILU_OPS + 1  # and multiply by the other branch
SOFTMAX_OPS = 5  # maximum (a masked score is skipped here), subtract, exponential, accumulate, divide


__all__ = [
    "SHARED_HEAD",
    "Attention",
    "Elementwise",
    "ExpertGemm",
    "Gemm",
    "Operator",
    "PlainOperator",
    "StateUpdate",
    "draft_operators",
    "eagle_operators",
    "prefill_operators",
    "verify_operators",
]

SHARED_HEAD = "lm_head"
"""The product that verifying and EAGLE's drafting have in common: its weights lie in memory once."""


def verify_operators(model: ModelSpec, tokens: Count, context: Count) -> tuple[Operator, ...]:
    """One verify pass over a token tree, in the order of execution; one token is plain decoding.

    Attention is dense over ``tokens * (context + tokens)`` pairs: the tree mask hides most of the
    ``tokens`` x ``tokens`` corner, but it is irregular and changes with the tree, so matrix units compute the
    corner and then mask it. The LM head runs for every token, since each node's successor must be known.

    Args:
        model: The decoder.
        tokens: Tokens verified in the pass, the root included.
        context: Committed tokens already in the key-value cache.
    """
    pairs = tokens * (context + tokens)
    body = _decoder_operators(model, tokens, _attention(model, tokens, context, pairs))
    return body + _lm_head_operators(model, tokens)


def prefill_operators(model: ModelSpec, prompt_tokens: Count) -> tuple[Operator, ...]:
    """The pass over the prompt, in the order of execution.

    Attention is causal, ``prompt_tokens * (prompt_tokens + 1) / 2`` pairs: the mask is always the same
    triangle, so what lies above it is skipped. The LM head runs for the last token only.

    Args:
        model: The decoder.
        prompt_tokens: Tokens of the prompt.
    """
    pairs = prompt_tokens * (prompt_tokens + 1) // 2
    body = _decoder_operators(model, prompt_tokens, _attention(model, prompt_tokens, 0, pairs))
    return body + _lm_head_operators(model, 1)


def draft_operators(model: ModelSpec, heads: int | None = None) -> tuple[Operator, ...]:
    """The Medusa heads on the one hidden state of the last accepted token; empty where none run.

    Args:
        model: The decoder.
        heads: How many run, the first ones; all if left out.
    """
    heads = model.medusa_heads if heads is None else heads
    if heads == 0:
        return ()
    blocks, hidden = heads * model.medusa_layers, model.hidden_size
    bias_bytes = blocks * _vector_bytes(model, hidden)
    block_ops = ADD_OPS + SILU_OPS + ADD_OPS  # bias, activation, residual
    return (
        _gemm(model, "medusa_block", blocks, 1, hidden, hidden),
        Elementwise("medusa_silu", blocks, hidden, block_ops, bias_bytes),
        _gemm(model, "medusa_lm_head", heads, 1, hidden, model.vocab_size),
        Elementwise("top_k", heads, model.vocab_size, COMPARE_OPS, 0),
    )


def eagle_operators(model: ModelSpec, tokens: Count, context: Count, guessing: Count) -> tuple[Operator, ...]:
    """One pass through the EAGLE layer, which drafts a level of the tree; empty without the layer.

    An embedding and a hidden state, side by side, are mixed to one; a decoder layer without a norm before its attention
    follows, and the model's own LM head without the final norm. Confidence is a probability, hence the softmax.

    Args:
        model: The decoder.
        tokens: What the pass reads: newly committed tokens for the first level, nodes to look beyond for the others.
        context: Tokens and nodes already in the layer's cache.
        guessing: Of the tokens, those whose successors are guessed.
    """
    if not model.eagle:
        return ()
    hidden, vocab = model.hidden_size, model.vocab_size
    one_layer = model.model_copy(update={"layers": 1})
    attention = _attention(one_layer, tokens, context, tokens * (context + tokens))
    layer = [op for op in _decoder_operators(one_layer, tokens, attention) if op.name != "attention_norm"]
    embedding, *rest = [replace(op, name=f"eagle_{op.name}") for op in layer]
    return (
        embedding,
        _gemm(model, "eagle_mix", 1, tokens, 2 * hidden, hidden),
        *rest,
        _lm_head(model, guessing),
        Elementwise("eagle_confidence", 1, guessing * vocab, SOFTMAX_OPS, 0),
        Elementwise("eagle_top_k", 1, guessing * vocab, COMPARE_OPS, 0),
    )


def _decoder_operators(model: ModelSpec, tokens: Count, attention: Attention) -> tuple[Operator, ...]:
    """Embedding and all layers. Products with the same input are one: Q, K and V; gate and up."""
    layers, hidden, inner = model.layers, model.hidden_size, model.intermediate_size
    width = tokens * hidden
    row_bytes = _vector_bytes(model, hidden)  # one embedding row or norm
    rotated = tokens * (model.query_width + model.kv_width)
    return (
        Elementwise("embedding", 1, width, MOVE_OPS, tokens * row_bytes),
        Elementwise("attention_norm", layers, width, RMS_NORM_OPS, layers * row_bytes),
        _gemm(model, "qkv", layers, tokens, hidden, model.qkv_width),
        *_bias(model, "qkv_bias", model.qkv_bias, tokens, model.qkv_width),
        Elementwise("rope", layers, rotated, ROPE_OPS, 0),
        attention,
        Elementwise("softmax", layers, model.heads * attention.pairs, SOFTMAX_OPS, 0),
        _gemm(model, "out", layers, tokens, model.query_width, hidden),
        *_bias(model, "out_bias", model.out_bias, tokens, hidden),
        Elementwise("attention_residual", layers, width, ADD_OPS, 0),
        Elementwise("mlp_norm", layers, width, RMS_NORM_OPS, layers * row_bytes),
        _gemm(model, "gate_up", layers, tokens, hidden, 2 * inner),
        Elementwise("gated_silu", layers, tokens * inner, GATED_SILU_OPS, 0),
        _gemm(model, "down", layers, tokens, inner, hidden),
        Elementwise("mlp_residual", layers, width, ADD_OPS, 0),
    )


def _lm_head_operators(model: ModelSpec, tokens: Count) -> tuple[Operator, ...]:
    hidden, vocab = model.hidden_size, model.vocab_size
    return (
        Elementwise("final_norm", 1, tokens * hidden, RMS_NORM_OPS, _vector_bytes(model, hidden)),
        _lm_head(model, tokens),
        Elementwise("argmax", 1, tokens * vocab, COMPARE_OPS, 0),
    )


def _gemm(model: ModelSpec, name: str, count: int, tokens: Count, k: int, n: int) -> Gemm:
    stored = model.linear_format
    return Gemm(name, count, tokens, k, n, stored.bits, model.activation_bits, stored.group_size, stored.group_bits)


def _lm_head(model: ModelSpec, tokens: Count) -> Gemm:
    bits = model.other_format.bits
    return Gemm(SHARED_HEAD, 1, tokens, model.hidden_size, model.vocab_size, bits, model.activation_bits)


def _vector_bytes(model: ModelSpec, width: int) -> int:
    """Bytes of one embedding row, norm or bias."""
    return int(model.other_format.size_bytes(1, width))


def _bias(model: ModelSpec, name: str, present: bool, tokens: Count, width: int) -> tuple[Elementwise, ...]:
    if not present:
        return ()
    bias_bytes = model.layers * _vector_bytes(model, width)
    return (Elementwise(name, model.layers, tokens * width, ADD_OPS, bias_bytes),)


def _attention(model: ModelSpec, tokens: Count, context: Count, pairs: Count) -> Attention:
    return Attention(
        "attention",
        model.layers,
        tokens,
        context,
        pairs,
        model.heads,
        model.kv_heads,
        model.head_dim,
        model.kv_bits,
        model.activation_bits,
    )

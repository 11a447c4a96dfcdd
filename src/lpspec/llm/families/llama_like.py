"""Families whose layers are Llama's with few differences."""

from lpspec.llm.config_keys import words
from lpspec.llm.families.dense import (
    apertus,
    arcee,
    bitnet,
    cohere,
    cohere2,
    ernie,
    exaone4,
    glm,
    glm4,
    granite,
    helium,
    hrm_text,
    hunyuan,
    llama,
    minicpm,
    ministral,
    mistral,
    nemotron,
    olmo,
    olmo2,
    olmo3,
    phi,
    phi3,
    qwen2,
    qwen3,
    seed_oss,
    smollm3,
    stablelm,
    starcoder2,
)
from lpspec.llm.families.family import COMMON, FACTORS, Family

_SLIDING = {"sliding_window": None, "layer_types": None}
_BIAS = {"attention_bias": False}
_LLAMA = COMMON | _BIAS | {"head_dim": None, "mlp_bias": False}

FAMILIES: dict[str, Family] = {
    "llama": Family(
        llama,
        _LLAMA | {"eos_token_id": 2, "layer_types": None},
        ("LlamaForCausalLM", "LLaMAForCausalLM"),
        words("max_window_layers"),
    ),
    "mistral": Family(
        mistral,
        COMMON
        | {"intermediate_size": 14_336, "num_key_value_heads": 8, "head_dim": None, "eos_token_id": 2}
        | {"max_position_embeddings": 131_072, "sliding_window": 4096, "layer_types": None},
        ("MistralForCausalLM",),
        words("max_window_layers"),
    ),
    "ministral": Family(
        ministral,
        COMMON
        | {"intermediate_size": 14_336, "num_key_value_heads": 8, "head_dim": None, "eos_token_id": 2}
        | {"max_position_embeddings": 131_072, "sliding_window": 4096, "layer_types": None},
        ("MinistralForCausalLM",),
    ),
    "ministral3": Family(
        mistral,
        COMMON
        | {"vocab_size": 131_072, "intermediate_size": 14_336, "num_hidden_layers": 34, "num_key_value_heads": 8}
        | {"head_dim": 128, "max_position_embeddings": 262_144, "rms_norm_eps": 1e-5, "eos_token_id": 2}
        | _SLIDING,
        ("Ministral3ForCausalLM",),
    ),
    "qwen2": Family(
        qwen2,
        COMMON
        | {"vocab_size": 151_936, "intermediate_size": 22_016, "num_key_value_heads": 32, "layer_types": None}
        | {"max_position_embeddings": 32_768, "use_sliding_window": False, "sliding_window": 4096}
        | {"max_window_layers": 28},
        ("Qwen2ForCausalLM",),
        words("attention_bias qkv_bias"),  # the family has these biases whatever is said
    ),
    "qwen3": Family(
        qwen3,
        COMMON
        | _BIAS
        | {"vocab_size": 151_936, "intermediate_size": 22_016, "num_key_value_heads": 32, "head_dim": 128}
        | {"max_position_embeddings": 32_768, "use_sliding_window": False, "sliding_window": 4096}
        | {"max_window_layers": 28, "layer_types": None},
        ("Qwen3ForCausalLM",),
    ),
    "smollm3": Family(
        smollm3,
        _LLAMA
        | {"vocab_size": 128_256, "hidden_size": 2048, "num_hidden_layers": 36, "num_attention_heads": 16}
        | {"num_key_value_heads": 4, "max_position_embeddings": 32_768, "tie_word_embeddings": True}
        | {"use_sliding_window": False, "no_rope_layers": None, "no_rope_layer_interval": 4}
        | _SLIDING,
        ("SmolLM3ForCausalLM",),
        words("max_window_layers"),
    ),
    "phi": Family(
        phi,
        COMMON
        | {"vocab_size": 51_200, "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 24}
        | {"hidden_act": "gelu_new", "layer_norm_eps": 1e-5, "qk_layernorm": False, "partial_rotary_factor": 0.5},
        ("PhiForCausalLM",),
        modules=("phi",),
    ),
    "phi3": Family(
        phi3,
        COMMON
        | {"vocab_size": 32_064, "hidden_size": 3072, "intermediate_size": 8192, "max_position_embeddings": 4096}
        | {"sliding_window": None, "original_max_position_embeddings": 4096},
        ("Phi3ForCausalLM",),
        words("full_attn_mod interpolate_factor"),
        modules=("phi3",),
        turns_part=True,
    ),
    "olmo": Family(olmo, COMMON | _BIAS | {"vocab_size": 50_304, "clip_qkv": None}, ("OlmoForCausalLM",)),
    "olmo2": Family(olmo2, COMMON | _BIAS | {"vocab_size": 50_304}, ("Olmo2ForCausalLM",)),
    "olmo3": Family(
        olmo3,
        COMMON | _BIAS | {"vocab_size": 50_304, "sliding_window": 4096, "layer_types": None},
        ("Olmo3ForCausalLM",),
    ),
    "granite": Family(granite, COMMON | _BIAS | {"mlp_bias": False} | FACTORS, ("GraniteForCausalLM",)),
    "glm": Family(
        glm,
        COMMON
        | {"vocab_size": 151_552, "intermediate_size": 13_696, "num_hidden_layers": 40, "num_key_value_heads": 2}
        | {"head_dim": 128, "max_position_embeddings": 131_072, "attention_bias": True, "partial_rotary_factor": 0.5},
        ("GlmForCausalLM",),
    ),
    "glm4": Family(
        glm4,
        COMMON
        | {"vocab_size": 151_552, "intermediate_size": 13_696, "num_hidden_layers": 40, "num_key_value_heads": 2}
        | {"head_dim": 128, "max_position_embeddings": 131_072, "attention_bias": True, "partial_rotary_factor": 0.5},
        ("Glm4ForCausalLM",),
    ),
    "cohere": Family(
        cohere,
        COMMON
        | _BIAS
        | {"vocab_size": 256_000, "hidden_size": 8192, "intermediate_size": 22_528, "num_hidden_layers": 40}
        | {"num_attention_heads": 64, "max_position_embeddings": 8192, "tie_word_embeddings": True}
        | {"logit_scale": 0.0625, "use_qk_norm": False, "layer_norm_eps": 1e-5},
        ("CohereForCausalLM",),
    ),
    "cohere2": Family(
        cohere2,
        COMMON
        | _BIAS
        | {"vocab_size": 256_000, "hidden_size": 8192, "intermediate_size": 22_528, "num_hidden_layers": 40}
        | {"num_attention_heads": 64, "max_position_embeddings": 8192, "tie_word_embeddings": True}
        | {"logit_scale": 0.0625, "layer_norm_eps": 1e-5, "sliding_window": 4096, "layer_types": None}
        | {"sliding_window_pattern": 4},
        ("Cohere2ForCausalLM",),
        words(
            "layer_switch order_of_interleaved_layers position_embedding_type rotary_pct use_embedding_sharing"
            " use_gated_activation use_parallel_block use_parallel_embedding"
        ),
    ),
    "starcoder2": Family(
        starcoder2,
        COMMON
        | {"vocab_size": 49_152, "hidden_size": 3072, "intermediate_size": 12_288, "num_hidden_layers": 30}
        | {"num_attention_heads": 24, "num_key_value_heads": 2, "hidden_act": "gelu_pytorch_tanh"}
        | {"max_position_embeddings": 4096, "sliding_window": None, "use_bias": True, "tie_word_embeddings": True}
        | {"norm_epsilon": 1e-5},
        ("Starcoder2ForCausalLM",),
        words("mlp_type norm_type activation_function layer_norm_epsilon attention_softmax_in_fp32")
        | words("scale_attention_softmax_in_fp32 scale_attn_weights"),
    ),
    "stablelm": Family(
        stablelm,
        {key: value for key, value in COMMON.items() if key != "head_dim"}
        | {"vocab_size": 50_304, "hidden_size": 2560, "intermediate_size": 6912, "num_key_value_heads": 32}
        | {"max_position_embeddings": 4096, "use_qkv_bias": False, "qk_layernorm": False, "layer_norm_eps": 1e-5}
        | {"use_parallel_residual": False, "partial_rotary_factor": 0.25},
        ("StableLmForCausalLM", "StableLMEpochForCausalLM"),
        words("rotary_scaling_factor norm_eps num_heads rope_pct"),
        modules=("stablelm", "stablelm_epoch"),
    ),
    "minicpm": Family(
        minicpm,
        COMMON | _BIAS | {"tie_word_embeddings": True, "scale_emb": 1, "dim_model_base": 1, "scale_depth": 1},
        ("MiniCPMForCausalLM",),
        words("mup_denominator"),
        modules=("minicpm",),
        types={"scale_emb": float | int, "dim_model_base": float | int, "scale_depth": float | int},
    ),
    "ernie4_5": Family(
        ernie,
        COMMON
        | {"vocab_size": 103_424, "hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 18}
        | {"num_attention_heads": 16, "num_key_value_heads": 2, "max_position_embeddings": 131_072, "head_dim": 128}
        | {"tie_word_embeddings": True, "use_bias": False},
        ("Ernie4_5ForCausalLM", "Ernie4_5_ForCausalLM"),
        words("use_rmsnorm compression_ratio"),
        modules=("ernie4_5",),
    ),
    "hunyuan_v1_dense": Family(
        hunyuan,
        COMMON | _BIAS | {"vocab_size": 290_943, "head_dim": None, "num_experts": 1},
        ("HunYuanDenseV1ForCausalLM",),
        words(
            """
            use_qk_norm qk_norm use_rotary_pos_emb norm_type pool_type attention_head_dim enable_lm_head_fp32
            eod_token_id im_start_id im_end_id im_newline_id text_start_id text_end_id image_token_id
            org_vocab_size num_media_embeds class_num mask_init_id vit_path anyres_pooling_size
            cla_share_factor sep_id add_classification_head dense_list
            """
        ),
        modules=("hunyuan",),
    ),
    "bitnet": Family(
        bitnet,
        COMMON
        | _BIAS
        | {"vocab_size": 128_256, "hidden_size": 2560, "intermediate_size": 6912, "num_hidden_layers": 30}
        | {"num_attention_heads": 20, "num_key_value_heads": 5, "hidden_act": "relu2"},
        ("BitNetForCausalLM", "BitnetForCausalLM"),
        modules=("bitnet",),
    ),
    "apertus": Family(
        apertus,
        COMMON
        | _BIAS
        | {"vocab_size": 131_072, "intermediate_size": 14_336, "hidden_act": "xielu"}
        | {"max_position_embeddings": 65_536},
        ("ApertusForCausalLM",),
        words("qk_norm post_norm mlp_bias"),
    ),
    "arcee": Family(
        arcee,
        _LLAMA
        | {"hidden_size": 2560, "intermediate_size": 18_432, "hidden_act": "relu2", "max_position_embeddings": 4096},
        ("ArceeForCausalLM",),
    ),
    "nemotron": Family(
        nemotron,
        _LLAMA
        | {"vocab_size": 256_000, "hidden_size": 6144, "intermediate_size": 24_576, "num_attention_heads": 48}
        | {"hidden_act": "relu2", "max_position_embeddings": 4096, "norm_eps": 1e-5, "partial_rotary_factor": 0.5},
        ("NemotronForCausalLM",),
        words("kv_channels rope_percent"),
    ),
    "helium": Family(
        helium,
        _LLAMA
        | {"vocab_size": 48_000, "hidden_size": 2560, "intermediate_size": 7040, "num_hidden_layers": 24}
        | {"num_attention_heads": 20, "num_key_value_heads": 20, "head_dim": 128, "max_position_embeddings": 4096},
        ("HeliumForCausalLM",),
    ),
    "seed_oss": Family(
        seed_oss,
        COMMON
        | {"vocab_size": 155_136, "intermediate_size": 27_648, "num_hidden_layers": 64, "num_attention_heads": 80}
        | {"num_key_value_heads": 8, "head_dim": 128, "max_position_embeddings": 524_288, "attention_bias": True}
        | {"attention_out_bias": False, "mlp_bias": False},
        ("SeedOssForCausalLM",),
    ),
    "exaone4": Family(
        exaone4,
        COMMON
        | {"vocab_size": 102_400, "intermediate_size": 16_384, "num_key_value_heads": 32, "head_dim": None}
        | {"sliding_window": 4096, "sliding_window_pattern": 4, "layer_types": None},
        ("Exaone4ForCausalLM",),
        types={"sliding_window_pattern": int | str | None},
    ),
    "hrm_text": Family(
        hrm_text,
        COMMON
        | _BIAS
        | {"vocab_size": 151_808, "hidden_size": 1536, "intermediate_size": 4096, "num_hidden_layers": 16}
        | {"num_attention_heads": 12, "head_dim": 128, "mlp_bias": False, "H_cycles": 2, "L_cycles": 3}
        | {"num_layers_per_stack": None, "embedding_scale": None},
        ("HrmTextForCausalLM",),
        words("L_bp_cycles prefix_lm"),
    ),
}

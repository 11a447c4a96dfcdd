"""What the ``quantization_config`` of a ``config.json`` says of how weights are stored."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, PositiveInt, ValidationError, model_validator

from lpspec.decoding.packed_weights import Packing
from lpspec.decoding.stored_weights import Storage
from lpspec.errors import LONGEST, InputError, shown
from lpspec.llm.config_keys import words
from lpspec.llm.model_spec import one_line


class _Numbers(BaseModel):
    """How compressed-tensors stores weights: what is not named here is refused."""

    model_config = ConfigDict(extra="ignore")

    num_bits: Literal[2, 4, 8]
    type: Literal["int", "float"]
    symmetric: bool = True
    strategy: Literal["tensor", "channel", "block", "group", "tensor_group"] = "tensor"
    group_size: PositiveInt | None = None
    block_structure: tuple[PositiveInt, PositiveInt] | None = None
    actorder: Literal[False, "group", "weight", "static", "dynamic"] | None = None

    def check_whole(self) -> None:
        """Refuse what only packed weights may be.

        Raises:
            ValueError: It says such.
        """
        allowed = {
            "num_bits": (8,),
            "symmetric": (True,),
            "strategy": ("tensor", "channel", "block"),
            "actorder": (None, False),
        }
        for key, values in allowed.items():
            if (value := getattr(self, key)) not in values:
                raise ValueError(f"weights.{key} = {value} is not read in this format, allowed is {values[0]}")

    def of_four_bits(self, layout: str) -> Packing:
        """The same of weights in E2M1.

        Raises:
            ValueError: They are in another format.
        """
        kind: Literal["mxfp4", "nvfp4"] = "mxfp4" if layout.startswith("mxfp4") else "nvfp4"
        strategy, size = {"mxfp4": ("group", 32), "nvfp4": ("tensor_group", 16)}[kind]
        if (self.num_bits, self.type, self.strategy, self.group_size) != (4, "float", strategy, size):
            said = f"{self.num_bits} bits of type {self.type} by {self.strategy} of {self.group_size}"
            raise ValueError(f"weights of {layout} are {said}: read are 4 of type float by {strategy} of {size}")
        return Packing(kind=kind, bits=4, group_size=size)

    def packing(self) -> Packing:
        """The same of packed weights.

        Raises:
            ValueError: They are packed otherwise than is read.
        """
        if self.type != "int" or self.strategy not in ("group", "channel"):
            raise ValueError(f"packed weights of type {self.type} by {self.strategy} are not read")
        if (self.strategy == "group") != (self.group_size is not None):
            raise ValueError(f"weights.group_size = {self.group_size} does not fit strategy {self.strategy}")
        return Packing(
            kind="pack-quantized",
            bits=self.num_bits,
            group_size=self.group_size,
            symmetric=self.symmetric,
            ordered=self.actorder in ("group", "dynamic"),
        )


class _Activations(BaseModel):
    """How it rounds what is multiplied: as it comes, which needs no tensor, and INT8 token by token."""

    model_config = ConfigDict(extra="ignore")

    num_bits: Literal[8]
    type: Literal["int", "float"]
    symmetric: Literal[True] = True
    strategy: Literal["token", "tensor", "group"] = "token"
    dynamic: Literal[True]

    @model_validator(mode="after")
    def _rounds_int8_by_token(self) -> Self:
        if self.type == "int" and self.strategy != "token":
            raise ValueError(f"strategy = {self.strategy} of INT8 activations is not computed, allowed is token")
        return self


class _Group(BaseModel):
    model_config = ConfigDict(extra="ignore")

    weights: _Numbers
    input_activations: _Activations | None = None
    output_activations: None = None


class _Plain(BaseModel):
    """A part of compressed-tensors' settings that must be empty."""

    model_config = ConfigDict(extra="ignore")

    format: Literal["dense"] = "dense"


class _CompressedTensors(BaseModel):
    """W8A8 and float8; https://github.com/vllm-project/compressed-tensors, as of 0.20."""

    model_config = ConfigDict(extra="ignore")

    format: (
        Literal[
            "int-quantized",
            "float-quantized",
            "naive-quantized",
            "pack-quantized",
            "mxfp4-pack-quantized",
            "nvfp4-pack-quantized",
            "dense",
        ]
        | None
    ) = None
    config_groups: dict[str, _Group] = Field(min_length=1)
    kv_cache_scheme: None = None
    sparsity_config: _Plain | None = None
    transform_config: None = None

    def storage(self) -> Storage:
        """What it comes to.

        Raises:
            ValueError: Something that is not read.
        """
        groups = list(self.config_groups.values())
        if self.format is not None and self.format.endswith("pack-quantized"):
            return self._packed(self.format, groups)
        for group in groups:
            group.weights.check_whole()
        blocks = {group.weights.block_structure for group in groups} - {None}
        rounded = {
            group.input_activations is not None and group.input_activations.type == "int"
            for group in groups
            if group.weights.type == "int"
        }
        if len(blocks) > 1 or len(rounded) > 1:
            raise ValueError("config_groups that differ in blocks or activations are not read")
        return Storage(
            block=next(iter(blocks), None) or (128, 128),
            int8_activations=next(iter(rounded), None),
            method=None if self.format == "dense" else "compressed-tensors",
        )

    @staticmethod
    def _packed(layout: str, groups: list[_Group]) -> Storage:
        whole = layout == "pack-quantized"
        found = {group.weights.packing() if whole else group.weights.of_four_bits(layout) for group in groups}
        if len(found) > 1:
            raise ValueError("config_groups that are packed in several ways are not read")
        if any(group.input_activations for group in groups):
            raise ValueError("input_activations beside packed weights are not computed")
        return Storage(packing=found.pop(), method="compressed-tensors")


class _Float8(BaseModel):
    """transformers' fine-grained float8 and its predecessors, which round activations as they come."""

    model_config = ConfigDict(extra="ignore")

    weight_block_size: tuple[PositiveInt, PositiveInt] | None = (128, 128)
    activation_scheme: Literal["dynamic"] = "dynamic"

    def storage(self) -> Storage:
        return Storage(block=self.weight_block_size or (128, 128), method="fp8")


class _BitsAndBytes(BaseModel):
    """LLM.int8, whose outliers stay in floating point, so nothing of it is rounded here; and NF4 or FP4."""

    model_config = ConfigDict(extra="ignore")

    load_in_8bit: bool = False
    load_in_4bit: bool = False

    def storage(self) -> Storage:
        """What it comes to.

        Raises:
            ValueError: Neither or both are said.
        """
        if self.load_in_8bit is self.load_in_4bit:
            raise ValueError("one of load_in_8bit and load_in_4bit must be true")
        if self.load_in_4bit:
            return Storage(packing=Packing(kind="bitsandbytes", bits=4, group_size=None), method="bitsandbytes")
        return Storage(int8_activations=False, method="bitsandbytes")


class _Gptq(BaseModel):
    """AutoGPTQ and GPTQModel."""

    model_config = ConfigDict(extra="forbid")

    bits: Literal[2, 3, 4, 8]
    group_size: int = Field(128, ge=-1)
    desc_act: bool = False
    checkpoint_format: Literal["gptq", "gptq_v2"] = "gptq"
    format: Literal["gptq", "gptq_v2"] | None = None
    pack_dtype: Literal["int32"] = "int32"
    is_marlin_format: Literal[False] = False
    dynamic: None = None

    def storage(self) -> Storage:
        """What it comes to."""
        kept = (self.format or self.checkpoint_format) == "gptq_v2"
        size = self.group_size if self.group_size > 0 else None
        packing = Packing(kind="gptq", bits=self.bits, group_size=size, zeros_less_one=not kept, ordered=self.desc_act)
        return Storage(packing=packing, method="gptq")


class _Awq(BaseModel):
    """AutoAWQ."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    bits: Literal[4] = Field(4, validation_alias=AliasChoices("bits", "w_bit"))
    group_size: int = Field(128, ge=-1, validation_alias=AliasChoices("group_size", "q_group_size"))
    zero_point: Literal[True] = True
    version: Literal["gemm", "GEMM"] = "gemm"

    def storage(self) -> Storage:
        """What it comes to."""
        size = self.group_size if self.group_size > 0 else None
        return Storage(packing=Packing(kind="awq", bits=4, group_size=size), method="awq")


_HARMLESS = words(
    """
    quant_method backend meta tokenizer dataset modules_to_not_convert modules_in_block_to_quantize lm_head sym
    true_sequential static_groups damp_percent damp_auto_increment model_name_or_path model_file_base_name model_seqlen
    use_cuda_fp16 block_name_to_quantize module_name_preceding_first_block batch_size pad_token_id use_exllama
    disable_exllama max_input_length exllama_config cache_block_outputs quantizer mse hyb_act do_fuse fuse_max_seq_len
    modules_to_fuse quant_lm_head
    """
)
"""Keys of GPTQ and AWQ of how scales were found and who computes with them; which layers are packed, tensors tell."""

_METHODS: dict[str, type[_CompressedTensors | _Float8 | _BitsAndBytes | _Gptq | _Awq]] = {
    "gptq": _Gptq,
    "awq": _Awq,
    "compressed-tensors": _CompressedTensors,
    "fp8": _Float8,
    "bitsandbytes": _BitsAndBytes,
}


def read_storage(said: object, where: str) -> Storage:
    """What the ``quantization_config`` of a ``config.json`` says; None where there is none.

    Raises:
        InputError: It names a layout that is not read.
    """
    if said is None:
        return Storage()
    if not isinstance(said, dict):
        raise InputError(f"{where}: quantization_config must be an object")
    method = said.get("quant_method")
    if not isinstance(method, str) or method not in _METHODS:
        allowed = ", ".join(_METHODS)
        raise InputError(
            f"{where}: quantization_config.quant_method = {shown(repr(method), 30)} is not read, allowed are {allowed}"
        )
    try:
        reader = _METHODS[method]
        known = {key: value for key, value in said.items() if key not in _HARMLESS and value is not None}
        return reader.model_validate(known).storage()
    except ValidationError as error:
        start = f"{where}: quantization_config."
        raise InputError((start + one_line(error, LONGEST - len(start)))[:LONGEST]) from None
    except ValueError as error:
        raise InputError(f"{where}: quantization_config: {error}") from None

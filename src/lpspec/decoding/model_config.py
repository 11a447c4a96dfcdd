"""What a Hugging Face ``config.json`` fixes of a Llama-like model beyond the dimensions: norm, rotation, end tokens."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveFloat, ValidationError

from lpspec.decoding.architecture import PLAIN, Architecture, Shape, shape_of
from lpspec.decoding.config_reader import architecture, dimensions, one_line_error, read_keys, rotations
from lpspec.decoding.end_tokens import own_end_tokens
from lpspec.decoding.rope import LongRope, RopeSpec
from lpspec.errors import LONGEST, InputError, shown
from lpspec.llm.hugging_face import parse_config
from lpspec.llm.loading import config_spec
from lpspec.llm.model_spec import ModelSpec, one_line, validated_spec
from lpspec.text_files import read_json_object


class ModelConfig(BaseModel):
    """A Llama-like model that can be run."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    spec: ModelSpec
    """What its steps are priced as."""
    shape: Shape = Field(default_factory=lambda found: shape_of(found["spec"]))
    """Its dimensions; those of ``spec`` where they are left out, whose layers must be Llama's."""
    rms_norm_eps: PositiveFloat = 1e-6
    """What RMSNorm adds to the mean square."""
    rope: RopeSpec = RopeSpec()
    """Rotation of positions."""
    local_rope: RopeSpec | None = None
    """That of layers whose rotation is local."""
    architecture: Architecture = PLAIN
    """How its layers differ from Llama's."""
    end_tokens: tuple[NonNegativeInt, ...] = ()
    """Token ids that end a text."""

    def with_shape(self, **changes: object) -> ModelConfig:
        """The same with other dimensions."""
        return self.model_copy(update={"shape": self.shape.model_copy(update=changes)})


def load_config(folder: str | Path) -> ModelConfig:
    """Read the ``config.json`` of a model folder.

    Raises:
        InputError: There is none, it is no model of a family that decodes, or it has a feature that is not computed.
    """
    file = Path(folder) / "config.json"
    where = f"model config '{shown(str(file))}'"
    return as_decoded(read_json_object(file, where), file, where)


def draft_layer_config(content: Mapping[str, Any], file: Path) -> ModelConfig:
    """The same of a draft head's layer, from the part of its file that describes it; other keys are for its drafter.

    Raises:
        InputError: The layer is none of such a model, or has a feature that is not computed.
    """
    return as_decoded(content, file, f"draft layer config '{shown(str(file), 60)}'", draft_layer=True)


def as_decoded(content: Mapping[str, Any], file: Path, where: str, draft_layer: bool = False) -> ModelConfig:
    """What a configuration says of a decoder, or of a draft layer.

    Args:
        content: The JSON object.
        file: Where it was read from; it, or the folder of a config.json, names the model.
        where: Begins what is said of any fault.
        draft_layer: As for ``read_keys``.

    Raises:
        InputError: It is of another kind, or has a feature that is not computed.
    """
    try:
        keys = read_keys(content, draft_layer)
        turned, turned_locally = rotations(keys)
        how, sizes = architecture(keys), dimensions(keys)
    except ValueError as error:
        raise one_line_error(error, where) from None
    name = file.absolute().parent.name if file.name == "config.json" else file.stem
    spec = validated_spec({"name": name, "source": str(file), **sizes}, where) if draft_layer else None
    return ModelConfig(
        spec=spec or _priced(content, file, where),
        shape=Shape.model_validate({"name": name, **sizes}),
        rms_norm_eps=keys.rms_norm_eps,
        rope=_rope(turned, keys.width, where),
        local_rope=turned_locally and _rope(turned_locally, keys.width, where),
        architecture=how,
        end_tokens=own_end_tokens(file.parent) or keys.end_tokens(),
    )


def _priced(content: Mapping[str, Any], file: Path, where: str) -> ModelSpec:
    """What the steps of a model are priced as, code that it names being known; MiMo without its further layers."""
    said: dict[str, Any] = {key: value for key, value in content.items() if key != "auto_map"}
    if said.get("model_type") == "mimo":
        said |= {"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"], "num_nextn_predict_layers": 0}
    return config_spec(parse_config(said, where), file, as_stored=False)


def _rope(turned: dict[str, Any], head_dim: int, where: str) -> RopeSpec:
    try:
        rope = RopeSpec.model_validate(turned)
    except ValidationError as error:
        start = f"{where}: rope."
        raise InputError(start + one_line(error, LONGEST - len(start))) from None
    if isinstance(rope.scaling, LongRope) and 2 * len(rope.scaling.short_factor) != rope.turned(head_dim):
        raise InputError(f"{where}: rope short_factor must be {rope.turned(head_dim) // 2} numbers")
    return rope

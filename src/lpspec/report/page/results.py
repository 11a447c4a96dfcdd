"""What a page reads of a result's JSON; everything else in it is passed over."""

import json
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lpspec.errors import InputError, shown

Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Read(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Totals(_Read):
    """What a system made of its requests, however these came."""

    system: str
    platform: str
    fidelity: str
    error_bound: Amount | None = None
    tokens_per_s: Positive
    tokens_per_j: Positive
    edp_s_mj: Positive
    average_power_w: Positive
    mj_per_token: Positive
    energy_by_component_mj: dict[str, Amount]
    energy_counts: str
    tokens_per_j_memory_and_macs: Positive | None
    edp_memory_and_macs_s_mj: Positive | None
    power_memory_and_macs_w: Positive | None
    tokens_per_j_board: Positive | None
    edp_board_s_mj: Positive | None
    power_board_w: Positive | None
    mean_acceptance_length: Positive
    mean_l_spec: Positive


class SystemResult(_Totals):
    """One system's totals, named as in the JSON of a run."""

    speculates: bool
    time_to_first_token_ms: Amount
    steps: Annotated[int, Field(gt=0)]
    migrations: Annotated[int, Field(ge=0)]
    migration_ms: Amount
    prefill_energy_mj: Amount
    l_spec_histogram: dict[Annotated[int, Field(gt=0, le=4096)], Annotated[int, Field(ge=0)]]
    l_spec_over_run: tuple[Positive, ...] = ()  # none in results of earlier versions

    @property
    def pass_ms(self) -> float:
        """Time of a verify pass with its drafts and moves, ms."""
        return self.mean_acceptance_length / self.tokens_per_s * 1e3


Systems = Annotated[tuple[SystemResult, ...], Field(min_length=1)]


class Waits(_Read):
    """How long requests or tokens waited, ms."""

    mean: Amount
    p50: Amount
    p90: Amount
    p99: Amount


class ServedSystem(_Totals):
    """What one system made of requests that arrive one by one, named as in the JSON."""

    requests: Annotated[int, Field(gt=0)]
    batch: Annotated[int, Field(gt=0)]
    served_tokens_per_s: Positive
    mean_batch: Positive
    idle_share: Amount
    peak_bytes: Positive
    waits_for_room: bool
    queueing_ms: Waits
    first_token_ms: Waits
    between_tokens_ms: Waits


class LeftOut(_Read):
    """A system that did not run."""

    system: str
    why: str


class Provenance(_Read):
    """What a result was made from."""

    lpspec: str
    fidelity: str
    scenario: dict[str, Any]
    trace: str
    trace_kind: str
    trace_description: str
    trace_source: str
    trace_sha256: str
    config_sha256: str
    config: dict[str, Any]


class _Compared(_Read):
    """What is said of systems that ran on the same requests."""

    left_out: tuple[LeftOut, ...]
    model: str
    trace: str
    tree: str
    objective: str
    basis: Literal["equal", "board", "published"]
    notes: tuple[str, ...]
    provenance: Provenance


class ComparisonResult(_Compared):
    """What ``lpspec compare --json`` writes."""

    systems: Systems
    workload: dict[str, int | None]


class ServedResult(_Compared):
    """What ``lpspec compare --json`` writes of requests that are served."""

    systems: Annotated[tuple[ServedSystem, ...], Field(min_length=1)]
    workload: dict[str, int | str | None]


class PublishedRow(_Read):
    """A published number and the simulated one."""

    id: str
    quantity: str
    published: Positive
    simulated: Positive
    low: Amount
    high: Amount
    ratio: Positive
    unit: str
    on: str
    basis: str
    source: str
    why: str | None
    command: Positive | None
    command_ratio: Positive | None


class ChosenSet(_Read):
    """The assumption set that fits best."""

    concurrent_ranks: int
    mac_interval_ns: Positive
    objective: str
    changes: dict[str, str]
    worst_id: str
    worst_ratio: Positive


class ReproductionResult(_Read):
    """What ``lpspec reproduce --json`` writes."""

    rows: Annotated[tuple[PublishedRow, ...], Field(min_length=1)]
    assumption_set: ChosenSet
    fair_systems: dict[str, dict[str, Systems]]
    command_levels: tuple[dict[str, Any], ...]
    provenance: Provenance


AnyResult = ComparisonResult | ServedResult | ReproductionResult
_R = TypeVar("_R", ComparisonResult, ServedResult, ReproductionResult)


def read_result(text: str, where: str) -> AnyResult:
    """A result from its JSON text.

    Args:
        text: The text.
        where: Begins what is said of any fault.

    Raises:
        InputError: It is no JSON, or no result of ``compare`` or ``reproduce``.
    """
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where} is no JSON: {shown(str(error), 80)}") from None
    if isinstance(content, dict) and "assumption_sets" in content:
        return _validated(ReproductionResult, content, where)
    if isinstance(content, dict) and isinstance(work := content.get("workload"), dict) and "served" in work:
        return _validated(ServedResult, content, where)
    if isinstance(content, dict) and {"left_out", "trace"} <= content.keys():
        return _validated(ComparisonResult, content, where)
    raise InputError(f"{where} is no result that a page can show: give what compare --json or reproduce --json wrote")


def _validated(kind: type[_R], content: dict[str, Any], where: str) -> _R:
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        key = ".".join(map(str, first["loc"]))
        raise InputError(f"{where}: {shown(key, 60)}: {first['msg'].lower()}") from None

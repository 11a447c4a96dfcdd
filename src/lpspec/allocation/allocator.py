"""What an allocator is, and the ones that the package knows: policies that put operators on devices."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from lpspec.allocation.division import Division
from lpspec.allocation.ranks import soonest
from lpspec.allocation.sharing import ONE_REQUEST, Sharing
from lpspec.devices.cost import Cost
from lpspec.devices.kv_share import KvShare
from lpspec.errors import InputError
from lpspec.llm.model_spec import ModelSpec
from lpspec.llm.operators import Attention, Operator
from lpspec.machine.energy_profile import EnergyProfile
from lpspec.machine.platform_spec import PlatformSpec
from lpspec.plugins import Registry, made, signature_of


class WeightMove(NamedTuple):
    """Columns of one copy of a product that get a home on the other side."""

    column_bytes: int
    columns: int
    to_pim: bool


class Allocator(Protocol):
    """Puts the operators of a pass on the devices of one platform and says what the pass costs.

    It is made once per run, for the largest tree and context that the run will see, so that everything that can
    be decided then is a table afterwards. By name it also gets what it has a parameter for: ``profile``, an
    EnergyProfile, to weigh energy; ``passes``, a ``Sharing``, which says what is known of their tokens.
    """

    def __init__(self, platform: PlatformSpec, model: ModelSpec, max_tokens: int, max_context: int) -> None:
        """Decide where weights lie. Raises InputError when the model does not fit the platform."""

    def decode_cost(self, operators: tuple[Operator, ...]) -> Cost:
        """Cost of a verify or draft pass; counts may be arrays over a grid."""
        ...

    def prefill_cost(self, operators: tuple[Operator, ...]) -> Cost:
        """Cost of the pass over the prompt."""
        ...


class Layout(Protocol):
    """One placement of the weights, and who computes what under it."""

    def pim_cache(self, op: Attention) -> KvShare | None:
        """How new keys and values are dealt to the PIM ranks; None where they are not written there."""
        ...

    @property
    def kv_on_dram(self) -> bool:
        """Whether they are written to plain DRAM."""
        ...

    def decode_cost(self, operators: tuple[Operator, ...]) -> Cost:
        """Cost of a verify or draft pass under this placement, as ``Allocator.decode_cost``."""
        ...

    def divided(self, op: Operator, prompt: bool = False) -> Iterable[Division]:
        """Who computes what of an operator; ``prompt`` for the pass over the prompt.

        Counts are numbers; a layout with a true ``lays_out_arrays`` is given arrays over the kinds of a step, too.
        """
        ...


class Commanded(Protocol):
    """What an allocator with a command level has besides, whatever its base class is."""

    @property
    def layouts(self) -> Sequence[Layout]:
        """Its placements of the weights, the one that runs start in first; a single one where weights never move."""
        ...

    def compaction_cost(self, op: Attention) -> Cost:
        """Cost of moving keys and values of all layers up to the root's: read and written again."""
        ...

    def append_cost(self, op: Attention) -> Cost:
        """Cost of writing keys and values of accepted tokens of all layers, which waited in the scratchpad."""
        ...

    def migration(self, start: int, goal: int) -> Cost:
        """Cost of moving the weights from one layout to another, by number, analytically; where there are several."""
        ...

    def moves(self, start: int, goal: int) -> Mapping[WeightMove, int]:
        """What moves between them, and how many copies of a product do so; for whoever prices it at command level."""
        ...


ALLOCATORS: Registry[Callable[..., Allocator]] = Registry(
    "allocator",
    "lpspec.allocators",
    {
        "single": "lpspec.allocation.single:SingleDevice",
        "static": "lpspec.allocation.exclusive:StaticAllocator",
        "dynamic": "lpspec.allocation.exclusive:DynamicAllocator",
        "replicated": "lpspec.allocation.hybrid:BalancedAllocator",
        "pim-only": "lpspec.allocation.pim_only:PimOnlyAllocator",
        "attention-on-hbm-pim": "lpspec.allocation.single:AttentionOnHbmPim",
        "drafts-on-pim": "lpspec.allocation.drafts_on_pim:DraftsOnPim",
        "drafts-apart": "lpspec.allocation.drafts_apart:DraftsApart",
        "kv-tiers": "lpspec.allocation.kv_tiers:KvTiers",
        "least-energy": "lpspec.allocation.weighed:least_energy",
        "least-edp": "lpspec.allocation.weighed:least_edp",
        "least-ed2p": "lpspec.allocation.weighed:least_ed2p",
    },
)
"""Allocators by the name that a platform file gives; a script may add its own (``examples/custom_allocator.py``)."""


def make_allocator(
    platform: PlatformSpec,
    model: ModelSpec,
    max_tokens: int,
    max_context: int,
    profile: EnergyProfile | None = None,
    passes: Sharing = ONE_REQUEST,
) -> Allocator:
    """Make the allocator that the platform names.

    Args:
        platform: The machine.
        model: The decoder.
        max_tokens: Most tokens that one pass verifies.
        max_context: Longest context of the run.
        profile: Energy constants, for allocators that weigh energy, and so that no tree costs more than a larger one.
        passes: What is known of their tokens.

    Raises:
        InputError: Unknown allocator, or a model that does not fit.
    """
    needed = model.weight_bytes + model.draft_weight_bytes
    needed += model.cache_bytes(max_context + max_tokens)
    if needed > platform.capacity_bytes:
        raise InputError(
            f"{model.name} does not fit {platform.name}: weights, draft heads and the cache of "
            f"{max_context + max_tokens} tokens need {needed / 2**30:.2f} GiB, it holds "
            f"{platform.capacity_bytes / 2**30:.2f} GiB"
        )
    main_tokens = passes.tree_size or min(max_tokens, platform.pim.alus.n if platform.pim is not None else 1)

    def make(on: PlatformSpec) -> Allocator:
        return _made(on, model, max_tokens, max_context, profile=profile, passes=passes)

    return soonest(make, platform, main_tokens)


def any_allocator(platform: PlatformSpec, model: ModelSpec, profile: EnergyProfile) -> Allocator:
    """One for single tokens in the shortest context: its devices are those of every other, and it is soon made.

    Raises:
        InputError: As ``make_allocator``.
    """
    return _made(platform, model, 1, 1, profile=profile)


def _made(platform: PlatformSpec, model: ModelSpec, max_tokens: int, max_context: int, **known: object) -> Allocator:
    """The allocator that a platform names, given what it has a parameter for; all ranks compute at once that may."""
    make = ALLOCATORS.load(platform.allocator)
    wanted = signature_of(make).parameters if callable(make) else {}
    by_name: dict[str, Any] = {k: v for k, v in known.items() if k in wanted}
    given = platform, model, max_tokens, max_context
    allocator = made(ALLOCATORS.kind, platform.allocator, make, *given, **by_name)
    if not all(callable(getattr(allocator, method, None)) for method in ("decode_cost", "prefill_cost")):
        raise InputError(
            f"allocator '{platform.allocator}' is a {type(allocator).__name__}: methods decode_cost and prefill_cost "
            "are needed"
        )
    return allocator

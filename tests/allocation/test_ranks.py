"""How many PIM ranks compute at once: the number whose step ends soonest, and what is not worth trying."""

from dataclasses import dataclass

import pytest
from medusa_model import medusa_model

from lpspec.allocation.hybrid import BalancedAllocator
from lpspec.allocation.pim_only import PimOnlyAllocator
from lpspec.allocation.ranks import soonest
from lpspec.allocation.weighed import WeighedAllocator, least_energy
from lpspec.errors import InputError
from lpspec.machine.loading import load_platform, load_profile
from lpspec.machine.platform_spec import PlatformSpec

LP_SPEC = load_platform("lp-spec")
TOKENS = 4


@dataclass
class Given:
    """An allocator whose times are given, by ranks."""

    ranks: int
    took_ns: dict[int, float]
    at_least_ns: dict[int, float]
    saves_time: bool = True

    def step_ns(self, tokens: int) -> float:
        assert tokens == TOKENS
        return self.took_ns[self.ranks]

    def least_step_ns(self, tokens: int, platform: PlatformSpec, enough_ns: float) -> float:
        assert tokens == TOKENS
        return self.at_least_ns[ranks_of(platform)]


def ranks_of(platform: PlatformSpec) -> int:
    assert platform.pim is not None
    return platform.pim.concurrent_ranks.n


@pytest.mark.parametrize(
    ("took_ns", "ranks"),
    [
        ({3: 9.0, 2: 9.0, 1: 9.0}, 3),
        ({3: 9.0, 2: 8.0, 1: 8.0}, 2),
        ({3: 9.0, 2: 8.0, 1: 7.0}, 1),
        ({3: 9.0, 2: 10.0, 1: 8.0}, 1),
        ({3: 9.0, 1: 8.0}, 1),  # two ranks have no room
        ({3: 9.0, 2: 8.0}, 2),
    ],
)
def test_the_soonest_is_taken_and_the_most_ranks_of_equals(took_ns: dict[int, float], ranks: int) -> None:
    def make(platform: PlatformSpec) -> Given:
        if ranks_of(platform) not in took_ns:
            raise InputError("no room")
        return Given(ranks_of(platform), took_ns, {1: 0.0, 2: 0.0})

    assert soonest(make, LP_SPEC, TOKENS).ranks == ranks


def test_what_cannot_be_sooner_is_not_made() -> None:
    made: list[int] = []

    def make(platform: PlatformSpec) -> Given:
        made.append(ranks_of(platform))
        return Given(made[-1], {3: 9.0, 1: 8.0}, {2: 9.0, 1: 7.0})

    assert soonest(make, LP_SPEC, TOKENS).ranks == 1
    assert made == [3, 1]
    made.clear()
    assert soonest(lambda on: Given(ranks_of(on), {}, {}, saves_time=False), LP_SPEC, TOKENS).ranks == 3


def test_a_model_that_does_not_fit_is_refused() -> None:
    def make(platform: PlatformSpec) -> Given:
        raise InputError("no room")

    with pytest.raises(InputError, match="no room"):
        soonest(make, LP_SPEC, TOKENS)


@pytest.mark.parametrize("kind", [BalancedAllocator, PimOnlyAllocator])
@pytest.mark.parametrize("tokens", [1, 4, 16])
def test_no_placement_beats_the_bound_and_shipped_models_want_all_ranks(
    kind: type[BalancedAllocator], tokens: int
) -> None:
    model, found = medusa_model("llama3.2-1b"), {}

    def make(platform: PlatformSpec) -> BalancedAllocator:
        found[ranks_of(platform)] = kind(platform, model, 16, 300)
        return found[ranks_of(platform)]

    assert soonest(make, LP_SPEC, tokens).pim.spec.concurrent_ranks.n == 3
    for ranks in (1, 2, 3):
        assert LP_SPEC.pim is not None
        at_once = LP_SPEC.pim.concurrent_ranks.model_copy(update={"value": ranks})
        platform = LP_SPEC.model_copy(update={"pim": LP_SPEC.pim.model_copy(update={"concurrent_ranks": at_once})})
        took_ns = make(platform).step_ns(tokens)
        least_ns = found[3].least_step_ns(tokens, platform)
        assert 0.2 * took_ns < least_ns <= took_ns * (1 + 1e-12)
        for enough_ns in (0.1 * least_ns, 0.99 * least_ns, 2 * least_ns):
            some_ns = found[3].least_step_ns(tokens, platform, enough_ns)
            assert some_ns == least_ns or enough_ns <= some_ns < least_ns


def test_allocators_that_save_energy_have_all_ranks() -> None:
    made = soonest(
        lambda on: least_energy(on, medusa_model("tinyllama"), 4, 100, load_profile("specpim")), LP_SPEC, TOKENS
    )
    assert isinstance(made, WeighedAllocator)
    assert not made.saves_time

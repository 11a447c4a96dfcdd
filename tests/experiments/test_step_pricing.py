"""Real steps on a price list: each is charged once, at its own context and size, what drafting takes included."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from lpspec.decoding.drafter import NoDrafter
from lpspec.decoding.drafters import load_drafter
from lpspec.decoding.drafters.confidence import ConfidenceDrafter
from lpspec.decoding.drafters.mtp_levels import MtpLevels
from lpspec.decoding.generate import Step
from lpspec.decoding.model_files import demo_folder
from lpspec.decoding.transformer import load_transformer
from lpspec.experiments.acceptance import count_acceptance
from lpspec.experiments.step_pricing import live_costs, price_texts, with_real_heads
from lpspec.experiments.systems import make_system
from lpspec.llm.draft_work import heads_of
from lpspec.llm.loading import load_model
from lpspec.scenario.names import FIDELITIES, Fidelity
from lpspec.simulation.step_cost import step_costs
from lpspec.simulation.workload import System, TreePolicy
from lpspec.speculation.token_tree import TokenTree

TREE = TokenTree.from_paths([(0,), (1,), (0, 0), (0, 1), (1, 0)])  # nodes 1 to 5


def step(context: int, path: tuple[int, ...], tested: int) -> Step:
    return Step(context, TREE, path, tested, tuple(range(len(path))), 0, 1, 1, 1)


TEXTS = [
    [step(20, (0, 1, 4), 2), step(23, (0,), 1)],
    [step(30, (0, 2), 2), step(32, (0, 1, 3), 2), step(35, (0, 1), 2)],
]


def system(name: str, drafter: Any) -> System:
    return with_real_heads(make_system(name, load_model("llama2-7b")), drafter)


def test_every_step_is_charged_at_its_context_and_size() -> None:
    on = system("lp-spec", NoDrafter())
    costs = live_costs(on, NoDrafter(), 20, 40)
    run = price_texts(on, costs, TEXTS, TreePolicy())
    contexts = [20, 23, 30, 32, 35]
    verify_ns = sum(costs.latency_ns[context - 20, TREE.size - 1] for context in contexts)
    assert run.steps.moved.tolist() == [1, 0, 1, 1, 0]  # nodes 4, 2 and 3 belong at places 2, 1 and 2
    assert run.decode_ns == pytest.approx(verify_ns + 3 * costs.compaction_ns[1])
    assert run.tokens == 3 + 1 + 2 + 3 + 2
    assert run.mean_l_spec == TREE.size


def test_a_system_that_does_not_speculate_takes_a_step_for_every_token() -> None:
    on = system("npu", NoDrafter())
    costs = live_costs(on, NoDrafter(), 20, 40)
    run = price_texts(on, costs, TEXTS, TreePolicy())
    contexts = [20, 21, 22, 23, 30, 31, 32, 33, 34, 35, 36]
    assert run.decode_ns == pytest.approx(sum(costs.latency_ns[context - 20, 0] for context in contexts))
    assert run.tokens == len(contexts) == len(run.steps.committed)


@pytest.mark.parametrize("name", ["none", "medusa", "eagle"])
def test_commands_charge_the_same_steps_within_a_tenth(name: str) -> None:
    """Drafting included: EAGLE's levels are most of what its trees of six levels add."""
    drafter = load_drafter(name, load_transformer(demo_folder()), demo_folder() / name)
    on = system("lp-spec", drafter)
    costs = live_costs(on, drafter, 20, 40)
    texts = [[replace(step, heads=2 if name == "medusa" else 0) for step in text] for text in TEXTS]
    closed, commands = (price_texts(on, costs, texts, TreePolicy(), drafter, fidelity) for fidelity in FIDELITIES)
    assert (closed.fidelity, commands.fidelity) == ("analytic", "command")
    assert commands.decode_ns == pytest.approx(closed.decode_ns, rel=0.12)
    assert commands.decode_pj.sum() == pytest.approx(closed.decode_pj.sum(), rel=0.12)
    assert commands.tokens == closed.tokens


@pytest.mark.parametrize("fidelity", FIDELITIES)
def test_medusa_is_charged_for_the_heads_that_ran(fidelity: Fidelity) -> None:
    drafter = load_drafter("medusa", load_transformer(demo_folder()), demo_folder() / "medusa")
    on = system("lp-spec", drafter)
    costs = live_costs(on, drafter, 20, 40)

    def total_ns(*heads: int) -> float:
        text = [replace(step, heads=ran) for step, ran in zip(TEXTS[0], heads, strict=True)]
        return price_texts(on, costs, [text], TreePolicy(), drafter, fidelity).decode_ns

    assert total_ns(4, 4) > total_ns(2, 4) > total_ns(2, 2) > total_ns(0, 1) > total_ns(0, 0)
    if fidelity == "analytic":
        assert total_ns(2, 4) - total_ns(0, 0) == pytest.approx(costs.draft_ns[2] + costs.draft_ns[4])


def test_gpus_stay_analytic() -> None:
    on = system("rtx3090-spec", NoDrafter())
    costs = live_costs(on, NoDrafter(), 20, 40)
    run = price_texts(on, costs, TEXTS, TreePolicy(), NoDrafter(), "command")
    assert (run.decode_ns, run.fidelity) == (price_texts(on, costs, TEXTS, TreePolicy()).decode_ns, "analytic")


def test_only_what_drafts_is_charged_for_drafting() -> None:
    model = load_transformer(demo_folder())
    price = {}
    for name in ("none", "prompt-lookup", "medusa", "eagle"):
        drafter = load_drafter(name, model, demo_folder() / name)
        costs = live_costs(system("lp-spec", drafter), drafter, 20, 4)
        price[name] = costs.prices("throughput", [0, len(costs.draft_ns) - 1])[0]
    np.testing.assert_array_equal(price["prompt-lookup"], price["none"])
    for name in ("medusa", "eagle"):
        alone, wanted = price[name][:, 0, 0], price["none"][:, 0, 0]  # the root alone needs no draft
        np.testing.assert_allclose(alone, wanted, rtol=1e-14)
        assert (price[name][:, 1, 1:] > price["none"][:, 1, 1:]).all()


def test_medusa_is_priced_as_the_simulator_prices_it() -> None:
    drafter = load_drafter("medusa", load_transformer(demo_folder()), demo_folder() / "medusa")
    on = system("lp-spec", drafter)
    assert heads_of(on.model) == drafter.depth == 4
    live, simulated = live_costs(on, drafter, 20, 4), step_costs(on, 20, 4)
    np.testing.assert_array_equal(live.prices("edp"), simulated.prices("edp"))


def test_eagle_is_charged_for_one_layer_at_every_level() -> None:
    drafter: Any = load_drafter("eagle", load_transformer(demo_folder()), demo_folder() / "eagle")
    on = system("npu-spec", drafter)
    one = make_system("npu-spec", on.model.model_copy(update={"layers": 1}))
    plain, layer = step_costs(on, 20, 4).latency_ns, step_costs(one, 20, 4).latency_ns
    levels = (drafter.depth - 1) * layer[:, drafter.width - 1] + layer[:, 0]
    np.testing.assert_allclose(live_costs(on, drafter, 20, 4).latency_ns[:, 7], plain[:, 7] + levels)


def test_acceptance_counts_over_the_steps_that_reached_a_place() -> None:
    first, second = count_acceptance(TEXTS)
    assert (first.position, first.reached, first.accepted, first.by_rank) == (1, 5, 4, (3, 1))
    assert (second.reached, second.accepted, second.by_rank) == (4, 2, (1, 1))
    assert second.rate == 0.5


def test_no_step_has_no_acceptance() -> None:
    assert count_acceptance([[]]) == ()
    nobody = cast(Any, SimpleNamespace(tested=0, accepted=0))
    assert count_acceptance([[nobody]]) == ()


@pytest.mark.parametrize("fidelity", FIDELITIES)
def test_layers_of_their_own_levels_are_charged_for_all_that_they_may_read(fidelity: Fidelity) -> None:
    """Two levels behind the first, each over 4 committed tokens and 2 x 2 nodes above: as 8 of one layer."""
    layer = load_drafter("eagle", load_transformer(demo_folder()), demo_folder() / "eagle")
    assert isinstance(layer, ConfidenceDrafter)
    layer.depth, layer.width = 3, 8
    several = MtpLevels([layer, layer, layer], width=2)
    assert several.most_read == layer.width == 8
    ns = []
    for drafter in (layer, several):
        on = system("lp-spec", drafter)
        run = price_texts(on, live_costs(on, drafter, 20, 40), TEXTS, TreePolicy(), drafter, fidelity)
        ns.append(run.decode_ns)
    assert ns[0] == ns[1]

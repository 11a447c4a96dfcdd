"""Live decoding knows how many tokens it may generate, as the replay does that is told."""

import pytest

pytest.importorskip("torch")

from lpspec.decoding.machine_prices import MachinePrices
from lpspec.experiments.decoder import load_decoder
from lpspec.experiments.generation import generate
from lpspec.experiments.recordings import record
from lpspec.experiments.step_pricing import with_real_heads
from lpspec.experiments.systems import make_system
from lpspec.scenario import Workload
from lpspec.scenario.request import Request
from lpspec.scenario.scenario import DEFAULT
from lpspec.simulation.run import decode_steps
from lpspec.simulation.step_cost import step_costs
from lpspec.simulation.workload import tree_policy
from lpspec.speculation.rank_trace import RankTrace

NEW_TOKENS = 25  # whose last step has room for its root alone


def never(*_: object) -> MachinePrices:
    raise AssertionError("nobody asked for real speed")


@pytest.mark.parametrize("words", [("The cat sat",), ("The cat sat", "The cat sat")])
def test_a_text_takes_the_steps_and_heads_of_its_replay_up_to_the_end(words: tuple[str, ...]) -> None:
    """The first token comes from prefill, so a turn has one root fewer than tokens."""
    request = Request(prompts=words, new_tokens=NEW_TOKENS)
    texts = generate(request, never).written
    found = [
        (step.context - text.prompt_tokens, step.tree.size, len(step.tokens), step.heads, step.moved)
        for text in texts
        for step in text.steps
    ]
    trace = record(request, "recorded")
    assert isinstance(trace, RankTrace)
    decoder = load_decoder("demo", "medusa")
    system = with_real_heads(make_system("lp-spec", decoder.model.config.spec), decoder.drafter)
    workload = Workload(texts[0].prompt_tokens, NEW_TOKENS - 1)
    policy = tree_policy(DEFAULT)
    costs = step_costs(system.under(policy), workload.prompt_tokens, NEW_TOKENS - 1)
    steps = decode_steps(system.under(policy), trace, workload, policy, costs)
    columns = steps.position, steps.l_spec, steps.committed, steps.heads, steps.moved
    assert found == list(zip(*(column.tolist() for column in columns), strict=True))
    assert found[-1] == (NEW_TOKENS - 2, 1, 1, 0, 0)

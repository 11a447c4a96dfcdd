"""CoSine (arXiv 2503.10325) over sequential speculation: several drafters for a request, and steps that are pipelined.

Phase times are ours: the verifier is four A100, each draft comes from a GPU of its own over a network. The texts are
drawn: a drafter tuned on a text's domain has the acceptance that CoSine measured by domain, any other a share of its
chance, which platform ``cosine`` assumes, as it does how drafters cooperate. Nothing is fitted. ``lpspec compare`` runs
the same policies on any model and trace.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
from numpy.typing import NDArray

from lpspec.allocation.single import SingleDevice
from lpspec.devices.drafters import DraftersSpec
from lpspec.experiments.peer_row import Neighbour, PeerRow
from lpspec.llm.llama_spec import llama_spec
from lpspec.llm.model_spec import ModelSpec
from lpspec.llm.operators import verify_operators
from lpspec.machine.loading import load_platform
from lpspec.simulation.cooperating import cooperation_of
from lpspec.simulation.step_order import pipelined_ns
from lpspec.speculation.cooperation import Cooperation, Router, fused
from lpspec.speculation.geometric import rate_of_mean
from lpspec.speculation.token_tree import TokenTree, accepted_lengths

COSINE = Neighbour(
    "CoSine (arXiv 2503.10325), R1-Distill-Llama-70B on 4 A100 with drafters of 68M, FP16, batch 16", "cosine"
)
MORE_THROUGHPUT, LESS_LATENCY = 32.5, -23.2
"""Over its baselines at equal cost, %, at most."""
WITHOUT_COOPERATION, WITHOUT_FUSION = (-33.0, -29.0), (-34.0, -17.0)
"""Throughput without either, against all of it, %."""
BY_DOMAIN = tuple(np.linspace(1.69, 3.20, 5).tolist())
"""Tokens per pass of the five domains: least and most are CoSine's, between them evenly spread (assumed)."""
DRAFTS = 4
"""Drafts of a pass, assumed, 3 to 8."""
BATCH, PROMPT, NEW_TOKENS, REQUESTS = 16, 256, 128, 200
NOTE = (
    f"batch {BATCH}, chains of {DRAFTS} drafts, {{}} drafters a request; fusion by the best rank of any, an upper "
    "bound; a step takes the longer of drafting and verification, as between two halves of a batch; what decides is "
    "assumed: drafters that guess alike at 80 or 0.1 % of positions, in place of 50, give +26 or +69 %, and four of "
    "them +71 %"
)

_70B = {"layers": 80, "hidden_size": 8192, "intermediate_size": 28672, "heads": 64, "kv_heads": 8, "head_dim": 128}
_68M = {"layers": 2, "hidden_size": 768, "intermediate_size": 3072, "heads": 12, "kv_heads": 12, "head_dim": 64}


@dataclass(frozen=True, slots=True)
class Phases:
    """Times of a step of a whole batch, ms."""

    draft_ms: float
    verify_ms: float

    @property
    def one_after_the_other_ms(self) -> float:
        """As a request meets them, and as a sequential engine runs them."""
        return self.draft_ms + self.verify_ms

    @property
    def pipelined_ms(self) -> float:
        """While some requests are verified, others are drafted for."""
        return float(pipelined_ns(self.draft_ms, self.verify_ms, 0.0))


def cosine_rows() -> Iterator[PeerRow]:
    """The two headline numbers, and what is left without either part of the cooperation."""
    phases, tokens = phase_times(), tokens_per_pass()
    single, together, unfused = (tokens[how] for how in ("one drafter", "routed and fused", "routed"))
    latency = (together / phases.one_after_the_other_ms) / (single / phases.one_after_the_other_ms)
    throughput = (together / phases.pipelined_ms) / (single / phases.one_after_the_other_ms)
    said = {"unit": "%", "note": NOTE.format(_assumed().cooperating)}
    found = 100 * (throughput - 1)
    yield COSINE.row("cosine_throughput", "throughput over sequential speculation", MORE_THROUGHPUT, found, **said)
    found = 100 * (1 / latency - 1)
    yield COSINE.row("cosine_latency", "latency over sequential speculation", LESS_LATENCY, found, **said)
    for key, published, left in (
        ("cooperation", WITHOUT_COOPERATION, single),
        ("fusion", WITHOUT_FUSION, unfused),
    ):
        what = f"throughput without {key}"
        yield COSINE.row(f"cosine_without_{key}", what, published, 100 * (left / together - 1), **said)


@cache
def _assumed() -> Cooperation:
    return cooperation_of(load_platform("cosine").device(DraftersSpec))


@cache
def phase_times() -> Phases:
    """Both phases of a step, analytically in the middle of a request."""
    context = PROMPT + NEW_TOKENS // 2
    draft_ms = DRAFTS * _pass_ms("rtx3090", _model("llama-68m", _68M, 32_000), 1, context)
    verify_ms = _pass_ms("cosine", _model("llama-70b", _70B, 128_256), BATCH * (DRAFTS + 1), context)
    link_ms = load_platform("cosine").device(DraftersSpec).link.ns / 1e6
    return Phases(draft_ms + 2 * link_ms, verify_ms)


def _model(name: str, shape: dict[str, int], vocabulary: int) -> ModelSpec:
    rest = {"vocab_size": vocabulary, "tied_embeddings": False, "qkv_bias": False, "max_context": 4096}
    model = llama_spec(name=name, source="config.json on Hugging Face", **shape, **rest)
    return model.with_bits(16, 16, 16)


def _pass_ms(platform: str, model: ModelSpec, tokens: int, context: int) -> float:
    """Tokens of all requests read the cache of one: the caches of others add less than 2 % to the weights."""
    machine = SingleDevice(load_platform(platform), model, tokens, context)
    return float(machine.decode_cost(verify_operators(model, tokens, context)).latency_ns) / 1e6


@cache
def tokens_per_pass() -> dict[str, float]:
    """Mean tokens per pass with one drafter for all, with routing alone, and with routing and fusion."""
    generator, found = np.random.default_rng(7), dict.fromkeys(("one drafter", "routed", "routed and fused"), 0)
    how = _assumed()
    router = partial(Router, how.drafters, memory=how.kept, exploration=how.exploration, generator=generator)
    for request in range(REQUESTS):
        drafts = _drawn(request % len(BY_DOMAIN), generator)
        found["one drafter"] += _passes(drafts[:1], Router(1, 1, how.kept, 0.0, generator))
        found["routed"] += _passes(drafts, router(cooperating=1))
        found["routed and fused"] += _passes(drafts, router(cooperating=how.cooperating))
    return {how: REQUESTS * NEW_TOKENS / passes for how, passes in found.items()}


def _drawn(domain: int, generator: np.random.Generator) -> list[NDArray[np.int8]]:
    """Rank traces of all drafters over a text of one domain: int8 [positions, drafts] each."""
    inside = rate_of_mean(BY_DOMAIN[domain], DRAFTS)
    tokens, how = NEW_TOKENS + DRAFTS, _assumed()
    shared, is_shared = generator.random(tokens), generator.random(tokens) < how.common
    found = []
    for drafter in range(len(BY_DOMAIN)):
        chance = inside if drafter == domain else inside * how.elsewhere
        right = np.where(is_shared, shared, generator.random(tokens)) < chance
        ranks = np.stack([right[depth : depth + NEW_TOKENS] for depth in range(1, DRAFTS + 1)], axis=1)
        found.append(np.where(ranks, 0, -1).astype(np.int8))
    return found


def _passes(drafts: list[NDArray[np.int8]], router: Router) -> int:
    """Verify passes of a request; what was accepted of each drafter is known of those that drafted."""
    chain = TokenTree.from_paths([(0,) * depth for depth in range(1, DRAFTS + 1)])

    @cache
    def accepted(chosen: frozenset[int]) -> list[int]:
        lengths: list[int] = accepted_lengths(chain, fused([drafts[one] for one in chosen])).tolist()
        return lengths

    position = passes = 0
    while position < NEW_TOKENS:
        chosen = router.choose()
        for one in chosen:
            router.observe(one, accepted(frozenset([one]))[position])
        position += accepted(frozenset(chosen))[position] + 1
        passes += 1
    return passes

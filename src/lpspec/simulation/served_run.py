"""What a system made of requests that arrive one by one: every pass, every request, and their totals."""

from dataclasses import dataclass

import numpy as np

from lpspec.arrays import FloatArray, IntArray
from lpspec.devices.cost import COMPONENTS
from lpspec.scenario.names import Fidelity
from lpspec.simulation.energy_basis import Efficiency, board_efficiency, counted_parts_pj, counted_pj
from lpspec.simulation.requests import Requests
from lpspec.simulation.workload import System

PERCENTILES = (50, 90, 99)


ROUNDING = 1e-9
"""Part of all time below which a difference of sums is rounding."""


@dataclass(frozen=True)
class Distribution:
    """A quantity over requests or tokens.

    Attributes:
        mean: Its mean.
        p50: Its median: the least value that so many percent do not exceed, as for the others.
        p90: Likewise.
        p99: Likewise.
    """

    mean: float
    p50: float
    p90: float
    p99: float

    @classmethod
    def of(cls, values: FloatArray, counts: FloatArray | None = None) -> "Distribution":
        """Of values that occur so often each: float64 [values]; once if left out."""
        weights = np.ones(len(values)) if counts is None else counts
        order = np.argsort(values, kind="stable")
        upto = np.cumsum(weights[order])
        places = [np.searchsorted(upto, p / 100 * upto[-1] * (1 - 1e-12)) for p in PERCENTILES]
        return cls(float(values @ weights / upto[-1]), *(float(values[order[place]]) for place in places))


@dataclass(frozen=True)
class ServedSteps:
    """What every request did in every verify pass that it took part in: int64 [steps] each, pass after pass.

    Attributes:
        request: Which, in the order of arrival.
        verify_pass: The pass.
        position: Its tokens committed before.
        l_spec: Tokens verified, the root included.
        committed: Tokens committed, the root included.
        heads: Draft heads that ran.
        moved: Accepted drafts out of place, whose keys and values move up.
    """

    request: IntArray
    verify_pass: IntArray
    position: IntArray
    l_spec: IntArray
    committed: IntArray
    heads: IntArray
    moved: IntArray


@dataclass(frozen=True)
class ServedRun:
    """A system's passes over requests. Energy is that of passes; a machine that waits for requests is not counted.

    Attributes:
        system: What ran.
        requests: What it served.
        batch: Requests of a pass at most.
        at_once: Requests that may be there beside each other: those of a pass, or twice as many where some are drafted
            for while others are verified.
        steps: Every request in every verify pass.
        joined_ns: float64 [requests], when each began to be prefilled.
        first_ns: float64 [requests], when its prefill was over, which gives its first token.
        done_ns: float64 [requests], when its last pass was.
        pass_begin_ns: float64 [passes], of verify passes.
        pass_end_ns: float64 [passes].
        decode_pj: float64 [components], energy of verify passes in memory and MACs, in the order of ``COMPONENTS``.
        prefill_pj: float64 [components], of all prompts.
        peak_bytes: Most memory in use at a time: weights, draft heads, activations, caches in whole blocks.
        is_short: Whether a full batch of the largest requests does not fit, so that some wait for room.
        fidelity: Which level priced it.
        error_bound: Largest relative error of its time against exact runs of every phase; None where all are exact.
        samples: float64 [samples, 3], tokens of each sample of requests, time of its passes, ns, and their energy in
            memory and MACs, pJ; None where no sample was asked for.
    """

    system: System
    requests: Requests
    batch: int
    steps: ServedSteps
    joined_ns: FloatArray
    first_ns: FloatArray
    done_ns: FloatArray
    pass_begin_ns: FloatArray
    pass_end_ns: FloatArray
    decode_pj: FloatArray
    prefill_pj: FloatArray
    peak_bytes: int
    is_short: bool
    at_once: int
    fidelity: Fidelity = "analytic"
    error_bound: float | None = None
    samples: FloatArray | None = None

    @property
    def tokens(self) -> int:
        """Tokens generated."""
        return int(self.steps.committed.sum())

    @property
    def passes(self) -> int:
        """Verify passes."""
        return len(self.pass_end_ns)

    @property
    def decode_ns(self) -> float:
        """Time of all verify passes."""
        return float((self.pass_end_ns - self.pass_begin_ns).sum())

    @property
    def prefill_ns(self) -> float:
        """Time of all prompts."""
        return float((self.first_ns - self.joined_ns).sum())

    @property
    def makespan_ns(self) -> float:
        """From the first arrival to the end of the last request."""
        return float(self.done_ns.max() - self.requests.arrival_ns[0])

    @property
    def idle_share(self) -> float:
        """Part of that time in which nobody was there to be served."""
        idle = 1 - (self.decode_ns + self.prefill_ns) / self.makespan_ns
        return idle if idle > ROUNDING else 0.0

    @property
    def served_tokens_per_s(self) -> float:
        """Tokens of all requests over all time, prompts and waiting for requests included, tokens per second."""
        return self.tokens / (self.makespan_ns / 1e9)

    @property
    def counted(self) -> Efficiency[float]:
        """What a token took in verify passes, on the energy basis of the platform."""
        total_pj = counted_pj(self.system.platform, float(self.decode_pj.sum()), self.decode_ns)
        return Efficiency(self.tokens / (self.decode_ns / 1e9), total_pj / 1e9 / self.tokens)

    @property
    def memory_and_macs(self) -> Efficiency[float]:
        """What a token took in verify passes, in memory and MACs alone."""
        return Efficiency(self.tokens / (self.decode_ns / 1e9), float(self.decode_pj.sum()) / 1e9 / self.tokens)

    @property
    def board(self) -> Efficiency[float] | None:
        """What a token took in verify passes on the whole board or SoC; None for a platform that does not say."""
        return board_efficiency(self.system.platform, self.tokens, float(self.decode_pj.sum()), self.decode_ns)

    @property
    def prefill_mj(self) -> float:
        """Energy of all prompts on the energy basis of the platform, mJ."""
        return counted_pj(self.system.platform, float(self.prefill_pj.sum()), self.prefill_ns) / 1e9

    @property
    def energy_by_component_mj(self) -> dict[str, float]:
        """Energy of verify passes per token by component, on the energy basis of the platform, mJ."""
        parts = counted_parts_pj(self.system.platform, self.decode_pj, self.decode_ns)
        return {name: float(pj) / 1e9 / self.tokens for name, pj in zip(COMPONENTS, parts, strict=True)}

    @property
    def queueing_ms(self) -> Distribution:
        """How long requests waited for their prefill, ms."""
        return Distribution.of((self.joined_ns - self.requests.arrival_ns) / 1e6)

    @property
    def first_token_ms(self) -> Distribution:
        """From arrival to the first token, ms."""
        return Distribution.of((self.first_ns - self.requests.arrival_ns) / 1e6)

    @property
    def between_tokens_ms(self) -> Distribution:
        """Time between tokens, ms: what passed since the request's last pass or prefill, over the tokens committed."""
        request, steps = self.steps.request, self.steps
        order = np.argsort(request, kind="stable")
        end = self.pass_end_ns[steps.verify_pass[order]]
        before = np.concatenate([[0.0], end[:-1]])
        is_first = steps.position[order] == 0
        before[is_first] = self.first_ns[request[order][is_first]]
        committed = steps.committed[order].astype(np.float64)
        return Distribution.of((end - before) / 1e6 / committed, committed)

    @property
    def mean_batch(self) -> float:
        """Requests that took part in a verify pass."""
        return len(self.steps.request) / self.passes

    @property
    def mean_acceptance_length(self) -> float:
        """Tokens that a request committed in a pass that it took part in, the root included."""
        return float(self.steps.committed.mean())

    @property
    def mean_l_spec(self) -> float:
        """Tokens verified per request and pass, the root included."""
        return float(self.steps.l_spec.mean())

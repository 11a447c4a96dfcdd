"""Logs and metrics of serving engines, as they print them: acceptance over all requests served.

    vLLM        SpecDecoding metrics: Mean acceptance length: 2.85, ... Accepted: 256 tokens, Drafted: 308 tokens,
                Per-position acceptance rate: 0.911, 0.762, ... (one line per interval), or its /metrics page:
                vllm:spec_decode_num_drafts_total, vllm:spec_decode_num_accepted_tokens_per_pos_total{position="0"};
                or what `vllm bench serve` prints at its end, Drafts: 14319, Position 0: 10.01 (percent of drafts), and
                what its --save-result writes: spec_decode_per_position_acceptance_rates
    SGLang      Decode batch. #running-req: 2, ... accept len: 2.54, ... (one line per interval)
    llama.cpp   draft acceptance = 0.64479 ( 167 accepted / 259 generated), mean acceptance length = 2.92,
                acceptance rate per position = (0.805, 0.632, 0.483) (one line per request)

Intervals are weighed by their passes; SGLang does not print these, so its by the requests that run. What an interval
hides, such as how requests differ, no trace of it has.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from lpspec.arrays import FloatArray
from lpspec.errors import InputError, exactly, listed, shown
from lpspec.speculation.finding_tables import read_object, read_share, survival_of
from lpspec.speculation.findings import Finding, Survival
from lpspec.speculation.geometric import MOST_DRAFTS, Geometric, rate_of_mean
from lpspec.text_files import split_lines

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_VLLM = (
    re.compile(  # each form takes the first of what it looks for (?>...), so that a long line takes no longer each time
        r"(?>.*?SpecDecoding metrics: )(?>.*?Drafted: )(?P<drafted>[^ ]++) tokens(?>.*?Per-position acceptance rate: )"
        r"(?P<rates>.+?)(?:, Avg Draft acceptance rate.*)?$"
    )
)
_LLAMA_CPP = re.compile(
    r"(?>.*?draft acceptance = )(?>.*?/ *+)(?P<drafted>[^ ]++) generated\)"
    r"(?>.*?acceptance rate per position = \()(?P<rates>[^)]*+)\)"
)
_OLDER = re.compile(r"(\bSpec\w++ metrics: Draft acceptance rate|draft acceptance rate =|Acceptance length:)")
_BENCH_DRAFTS = re.compile(r"\s*+Drafts:\s++(?P<drafts>\S++)\s*+$")
_BENCH_RATE = re.compile(r"\s*+Position (?P<position>[0-9]{1,9}):\s++(?P<percent>\S++)\s*+$")
_SAVED_RATES = "spec_decode_per_position_acceptance_rates"
_SGLANG = re.compile(
    r"(?>.*?Decode batch\b)(?>.*?#running-req: )(?P<running>[^ ,]++)(?>.*?accept len: )(?P<length>[^ ,]++)"
)
_DRAFTS = re.compile(r"vllm:spec_decode_num_drafts(?:_total)?(?P<labels>\{[^}]*+\})? (?P<value>\S+)")
_MODEL = re.compile(r"model_name=\"([^\"]*)\"")
_ACCEPTED = re.compile(
    r"vllm:spec_decode_num_accepted_tokens_per_pos(?:_total)?"
    r"(?P<labels>(?>\{(?=[^}]*+\})[^}]*position=\"(?P<position>[0-9]++)\"[^}]*+\})) (?P<value>\S+)"
)


class _Interval(NamedTuple):
    """Rates by position over some passes."""

    where: str
    passes: float
    rates: FloatArray


def read_log(text: str, where: str, drafts: int | None = None) -> Finding:
    """Read what an engine printed; lines of other kinds are passed over.

    Args:
        text: Of the file.
        where: The file, for messages.
        drafts: Drafts of a pass, which SGLang does not print; None for all others.

    Raises:
        InputError: No line is of a known kind, or one says what cannot be, with its number.
    """
    lines = [(f"{where}, line {number}", line) for number, line in enumerate(split_lines(_COLOURS.sub("", text)), 1)]
    by_position = list(_intervals(lines))
    bench = _bench_runs(lines)
    lengths = list(_lengths(lines))
    counters = _counters(lines, where)
    if sum(map(bool, (by_position, bench, lengths, counters))) > 1:
        raise InputError(f"{where}: holds logs of several engines, or a log and a /metrics page: keep one kind")
    if lengths:
        return _of_mean(lengths, where, drafts)
    if drafts is not None and (counters is not None or by_position or bench):
        raise _told_twice(where)
    if counters is not None:
        return counters
    if by_position or bench:
        return _weighed(by_position or bench, where)
    if older := next((at for at, line in lines if _OLDER.search(line)), None):
        raise InputError(
            f"{older}: one rate for all drafts, as older vLLM and llama.cpp print it, does not tell how deep they are "
            "right: give the mean tokens of a pass as --acceptance 2.39@3"
        )
    raise InputError(
        f"{where}: no line of vLLM ('SpecDecoding metrics', vllm:spec_decode_..., 'Position 0:'), SGLang ('accept "
        "len') or llama.cpp ('draft acceptance'); tables end in .csv or .jsonl"
    )


def read_saved(text: str, where: str, drafts: int | None = None) -> Survival:
    """Read what ``vllm bench serve --save-result`` wrote: one object, or one a line where runs were appended.

    Arguments and errors are as for ``read_log``.
    """
    if drafts is not None:
        raise _told_twice(where)
    runs = []
    for number, run in enumerate(_objects(text, where), 1):
        at = f"{where}, run {number}"
        rates, passes = run.get(_SAVED_RATES), run.get("spec_decode_num_drafts")
        if not isinstance(rates, list) or not rates or passes is None:
            raise InputError(
                f"{at}: has no rates '{_SAVED_RATES}' with their 'spec_decode_num_drafts', which `vllm bench serve "
                "--save-result` writes for a server that speculates"
            )
        shares = [read_share(str(rate), f"{at}: rate") for rate in rates]
        runs.append(_Interval(at, _number(str(passes), f"{at}: spec_decode_num_drafts"), np.array(shares)))
    return _weighed(runs, where)


def _objects(text: str, where: str) -> list[dict[str, Any]]:
    try:
        return [read_object(text, where)]
    except InputError:
        lines = [(number, line) for number, line in enumerate(split_lines(text), 1) if line.strip()]
        if len(lines) < 2:
            raise
    return [read_object(line, f"{where}, line {number}") for number, line in lines]


def _told_twice(where: str) -> InputError:
    return InputError(f"{where}: a log with rates by position says how many drafts there are, and --depth is given too")


def _bench_runs(lines: list[tuple[str, str]]) -> list[_Interval]:
    """Runs of ``vllm bench serve``: the drafts of each, then a line for each position in percent of them."""
    runs: list[tuple[str, float, list[float]]] = []
    for where, line in lines:
        if found := _BENCH_DRAFTS.match(line):
            runs.append((where, _number(found["drafts"], f"{where}: drafts"), []))
        elif found := _BENCH_RATE.match(line):
            if not runs or int(found["position"]) != len(runs[-1][2]):
                raise InputError(f"{where}: positions of `vllm bench serve` must be 0, 1, 2, ... behind 'Drafts:'")
            runs[-1][2].append(read_share(f"{found['percent']}%", f"{where}: rate"))
    return [_Interval(where, drafts, np.array(rates)) for where, drafts, rates in runs if rates]


def _intervals(lines: list[tuple[str, str]]) -> Iterator[_Interval]:
    for where, line in lines:
        if found := _VLLM.match(line) or _LLAMA_CPP.match(line):
            drafted = _number(found["drafted"], f"{where}: drafted tokens")
            said = found["rates"].split(",")
            at = f"{where}: rate"
            rates = [read_share(rate.strip(), at) if drafted else 0.0 for rate in said]  # nan where nothing was drafted
            yield _Interval(where, drafted / len(rates), np.array(rates))


def _weighed(intervals: list[_Interval], where: str) -> Survival:
    first = intervals[0]
    for each in intervals:
        if len(each.rates) != len(first.rates):
            raise InputError(
                f"{each.where}: has {len(each.rates)} positions, but {len(first.rates)} stand in the first such line"
            )
    passes = np.array([each.passes for each in intervals])
    if not passes.sum():
        raise InputError(f"{where}: nothing was drafted")
    return survival_of(np.average([each.rates for each in intervals], axis=0, weights=passes), where)


def _lengths(lines: list[tuple[str, str]]) -> Iterator[tuple[str, float, float]]:
    """Where it stands, requests that ran, and tokens per pass."""
    for where, line in lines:
        if found := _SGLANG.match(line):
            yield (
                where,
                _number(found["running"], f"{where}: #running-req"),
                _number(found["length"], f"{where}: accept len"),
            )


def _of_mean(lengths: list[tuple[str, float, float]], where: str, drafts: int | None) -> Finding:
    if drafts is None:
        raise InputError(f"{where}: SGLang prints mean lengths alone: give the drafts of a pass (its steps) by --depth")
    for at, _, length in lengths:
        if not 1 <= length <= drafts + 1:
            raise InputError(f"{at}: accept len {exactly(length)}; with {drafts} drafts it is 1 to {drafts + 1}")
    _, running, means = zip(*lengths, strict=True)
    if not sum(running):
        raise InputError(f"{where}: no request ran")
    mean = float(np.average(means, weights=running))
    return Survival(Geometric(rate_of_mean(mean, drafts), drafts).survival)


def _counters(lines: list[tuple[str, str]], where: str) -> Survival | None:
    """What a /metrics page of vLLM has counted, all engines together; None where there is none."""
    named = {found[1] for _, line in lines if _DRAFTS.match(line) and (found := _MODEL.search(line))}
    if len(named) > 1:
        raise InputError(f"{where}: counts drafts of {len(named)} models ({listed(sorted(named), 60)}): keep one")
    drafts = _summed(lines, _DRAFTS, lambda found: 0)
    accepted = _summed(lines, _ACCEPTED, lambda found: int(found["position"][:9]))
    if not drafts and not accepted:
        return None
    if not drafts.get(0) or sorted(accepted) != list(range(len(accepted))) or not 0 < len(accepted) <= MOST_DRAFTS:
        raise InputError(
            f"{where}: needs vllm:spec_decode_num_drafts above 0, and accepted tokens of positions 0, 1, 2, ..."
        )
    shares = np.array([accepted[position] for position in range(len(accepted))]) / drafts[0]
    if shares[0] > 1:
        raise InputError(f"{where}: more tokens were accepted at position 0 than drafts made: not of one page")
    return survival_of(shares, where)


def _summed(
    lines: list[tuple[str, str]], form: re.Pattern[str], key: Callable[[re.Match[str]], int]
) -> dict[int, float]:
    sums: dict[int, float] = {}
    seen: set[str] = set()
    for where, line in lines:
        if found := form.match(line):
            if (found["labels"] or "") in seen:
                raise InputError(f"{where}: says again what a line before it says: keep one /metrics page")
            seen.add(found["labels"] or "")
            value = _number(found["value"], f"{where}: value")
            sums[key(found)] = sums.get(key(found), 0.0) + value
    return sums


def _number(text: str, at: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if number and not 1e-9 <= number <= 1e15:
        raise InputError(f"{at} is '{shown(text, 30)}': allowed are 0 and numbers from 1e-9 to 1e15")
    return number

"""Record the two traces of the demo model that come with the package.

    python tools/make_demo_traces.py path/to/gsm8k_heldout.txt [folder]

The demo model continues the first twelve held-out problems greedily, 128 tokens each. Its EAGLE layer drafts a whole
tree of 59 nodes, six levels deep, at every token, and its Medusa heads their lists: both traces are of the same text.
EAGLE's probabilities are rounded to six significant binary digits, which makes the file small; none changes by more
than 1.6 %, and their order stays. It takes a minute on one free thread (OMP_NUM_THREADS=1), several on a busy machine.
Where floats round otherwise, nodes that are equally likely may change places: recorded again with other kernels, 3 of
1,524 trees differed, and no text. The text's origin and hash are in the demo model's card.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from lpspec.decoding.draft_trace import DraftTrace
from lpspec.experiments.recordings import record
from lpspec.scenario import Request
from lpspec.speculation.rank_trace import RankTrace

PROBLEMS, NEW_TOKENS = 12, 128
NODES = 59  # EAGLE-2 verifies 60 tokens, the root included
DIGITS = 6
SHIPPED = Path(__file__).parent.parent / "src/lpspec/decoding/traces"
ROUNDED = "; probabilities rounded to six significant binary digits"


def main() -> None:
    """Write both traces."""
    parser = argparse.ArgumentParser(description="Record the demo model's traces.")
    parser.add_argument("problems", type=Path, help="held-out text of the demo model, gsm8k_heldout.txt")
    parser.add_argument("folder", type=Path, nargs="?", default=SHIPPED, help="default: the package's own")
    arguments = parser.parse_args()
    prompts = first_prompts(arguments.problems.read_text(encoding="utf-8"))
    for name, drafter in (("demo-eagle2", "eagle"), ("demo-medusa", "medusa")):
        trace = record(Request(tuple(prompts), drafter=drafter, new_tokens=NEW_TOKENS), name, NODES)
        assert isinstance(trace, DraftTrace | RankTrace)
        (rounded(trace) if isinstance(trace, DraftTrace) else trace).save(arguments.folder / f"{name}.npz")
        print(f"{name}: {trace.positions} positions in {len(trace.turn_lengths)} turns")


def first_prompts(text: str) -> list[str]:
    """The first problems of a text of ``Q: ...`` and ``A: ...``, each up to where its answer begins."""
    return [problem.partition("\nA:")[0].strip() + "\nA:" for problem in text.split("\n\n")[:PROBLEMS]]


def rounded(trace: DraftTrace) -> DraftTrace:
    """The trace with probabilities of few digits."""
    mantissa, exponent = np.frexp(trace.probability)
    probability = np.ldexp(np.round(mantissa * 2**DIGITS) / 2**DIGITS, exponent)
    return replace(trace, probability=probability.astype(np.float32), source=trace.source + ROUNDED)


if __name__ == "__main__":
    main()

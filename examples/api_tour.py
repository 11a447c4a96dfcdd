"""A tour of the Python API: compare, look closer at one run, change one thing, keep it all in a file.

Run it: python examples/api_tour.py
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import lpspec

QUICK = lpspec.Scenario().replace(systems=["npu-spec", "lp-spec"], new_tokens=16, fidelity="analytic")


def main() -> None:
    """Ask a few questions of LP-Spec."""
    comparison = lpspec.compare(QUICK)
    for run in comparison.runs:
        print(f"{run.system.name}: {run.tokens_per_s:.1f} token/s, {run.edp_s_mj:.3f} s·mJ")

    lp_spec = comparison.runs[1]
    longest = max(lp_spec.to_rows(), key=lambda step: step["committed"])
    print(f"steps: {len(lp_spec.to_rows())}, the longest committed {longest['committed']} tokens")

    for ranks in (3, 2, 1):
        slower = lpspec.run("lp-spec", QUICK, changes={"pim.concurrent_ranks": str(ranks)})
        print(f"{ranks} ranks at once: {slower.tokens_per_s:.1f} token/s")

    with TemporaryDirectory() as folder:
        file = Path(folder) / "result.json"
        file.write_text(comparison.to_json(), encoding="utf-8")
        again = lpspec.compare(file)
    print(f"again from its own result: {'the same' if again.to_json() == comparison.to_json() else 'different'}")


if __name__ == "__main__":
    main()

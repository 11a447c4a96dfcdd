# %% [markdown]
# # What copies and migration of weights are worth
# The DAU can place weights once (`static`), move columns between ranks where a change of tree size pays for it
# (`dynamic`), or keep copies on both sides (`replicated`). Under the pruner, whose trees take one pass on PIM, all
# three cost the same; where a user-defined pruner sizes trees, it matters. Analytically, 32 tokens a turn; `lpspec
# placement` does it at command level.

# %%
import lpspec
from lpspec.experiments.placement import PLACEMENTS, placement_study
from lpspec.experiments.sweeps import rank_split

study = placement_study(lpspec.Scenario().replace(new_tokens=32, fidelity="analytic"))
print(f"{'token/s':42}", *(f"{name:>11}" for name in PLACEMENTS))
for row in study.rows:
    case = f"{row.case}, {row.objective}"
    print(f"{case:42}", *(f"{run.tokens_per_s:11.1f}" for run in row.runs))

# %% [markdown]
# And how many of the four ranks should compute?

# %%
scenario = lpspec.Scenario().replace(new_tokens=32, fidelity="analytic")
for split in rank_split(scenario, lpspec.load_model("llama2-7b"), lpspec.Trace.load("vicuna-7b")):
    run = split.run
    print(
        f"{split.pim_ranks} PIM ranks, {split.dram_ranks} of plain DRAM: {run.tokens_per_s:6.1f} token/s, "
        f"{run.tokens_per_j:5.2f} token/J, L_spec {run.mean_l_spec:.2f}"
    )

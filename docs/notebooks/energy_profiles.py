# %% [markdown]
# # Energy profiles, and how much they matter
# Three sources price the same events: the AttAcc simulator's constants, those of SpecPIM, and what the public supply
# currents of a Micron LPDDR5X die come to.

# %%
import lpspec
from lpspec.experiments.energy_profiles import side_by_side
from lpspec.machine.loading import load_profile
from lpspec.report.profile_figure import profiles_figure

profiles_figure(side_by_side(load_profile("attacc")))

# %% [markdown]
# What they make of LP-Spec and the mobile NPU: speed moves only where the pruner sizes trees for energy.

# %%
for profile in ("attacc", "specpim", "micron-y52p"):
    comparison = lpspec.compare(
        systems=["npu-spec", "lp-spec"], energy_profile=profile, new_tokens=32, fidelity="analytic"
    )
    npu, lp_spec = comparison.runs
    print(
        f"{profile:12} LP-Spec {lp_spec.tokens_per_s:6.1f} token/s {lp_spec.tokens_per_j:6.2f} token/J, "
        f"{lp_spec.tokens_per_j / npu.tokens_per_j:5.2f} times the NPU's"
    )

# %% [markdown]
# One choice at a time, of those that the paper leaves open, from Table II taken literally:

# %%
base = lpspec.Scenario().replace(systems=["lp-spec"], new_tokens=32, fidelity="analytic")
CHOICES = {
    "as the platform's file has it": {},
    "two ranks at once": {"pim.concurrent_ranks": "2"},
    "one rank at once": {"pim.concurrent_ranks": "1"},
    "a MAC command per 10 ns": {"pim.mac_interval": "10 ns"},
    "0.7 of the bus": {"memory.bus_efficiency": "0.7"},
    "both": {"pim.mac_interval": "10 ns", "memory.bus_efficiency": "0.7"},
}
for name, changes in CHOICES.items():
    run = lpspec.run("lp-spec", base, changes=changes)
    print(f"{name:32} {run.tokens_per_s:6.1f} token/s, {run.tokens_per_j:5.2f} token/J, L_spec {run.mean_l_spec:.2f}")

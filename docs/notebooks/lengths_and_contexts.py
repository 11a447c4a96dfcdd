# %% [markdown]
# # Speculation length and context
# What a verify pass of 1 to 16 tokens takes on GEMV-only PIM, a mobile NPU and LP-Spec, and how long contexts change
# what is gained. Analytically; `lpspec reproduce --study` repeats both at command level.

# %%
import lpspec
from lpspec.experiments.bench import PAPER
from lpspec.experiments.sweeps import context_lengths, speculation_lengths

scenario = PAPER.replace(fidelity="analytic", objective="edp")
model, trace = lpspec.load_model(scenario.model), lpspec.Trace.load("vicuna-7b")
points = speculation_lengths(scenario, model)
for point in points:
    if point.l_spec in (1, 2, 4, 5, 8, 9, 16):
        print(f"{point.system:9} L_spec {point.l_spec:2}: {point.latency_ms:7.2f} ms, {point.energy_mj:7.1f} mJ a pass")

# %% [markdown]
# PIM takes a further pass over the weights for every $N_\mathrm{ALU}$ tokens: one for GEMV PIM, four for LP-Spec. Its
# time is a staircase. The NPU reads the weights once for all of them.

# %%
from matplotlib.figure import Figure

SYSTEMS = {"pim-spec": "#d55e00", "npu-spec": "#888888", "lp-spec": "#0072b2"}
figure = Figure(figsize=(8, 3.2), layout="constrained")
for axes, key, label in zip(
    figure.subplots(1, 2), ("latency_ms", "energy_mj"), ("ms a pass", "mJ a pass"), strict=True
):
    for system, colour in SYSTEMS.items():
        own = [point for point in points if point.system == system]
        axes.step([p.l_spec for p in own], [getattr(p, key) for p in own], where="mid", color=colour, label=system)
    axes.set_xlabel("L_spec")
    axes.set_ylabel(label)
    axes.set_ylim(bottom=0)
figure.axes[0].legend(frameon=False)
figure

# %% [markdown]
# Answers of 64 tokens after prompts of 64 to 3,072:

# %%
contexts = context_lengths(scenario, model, trace)
for found in contexts:
    run = found.run
    print(f"{run.system.name:9} {found.context:5}: {run.tokens_per_s:6.1f} token/s, {run.tokens_per_j:5.2f} token/J")

# %% [markdown]
# # What each part of LP-Spec is worth
# LP-Spec against itself with one part taken away: the pruner, the GEMM ALUs, PIM, speculation, the DAU's split.
# Analytic; `lpspec reproduce --study` prints the same table at command level. Every pruner sizes trees for its own
# machine.

# %%
import lpspec
from lpspec.experiments.ablation import ablation
from lpspec.experiments.bench import PAPER

scenario = PAPER.replace(fidelity="analytic", objective="edp")
parts = ablation(scenario, lpspec.load_model(scenario.model), lpspec.Trace.load("vicuna-7b"))
whole = parts[0].run
for part in parts:
    run = part.run
    print(
        f"{part.name:42} {run.tokens_per_s:6.1f} token/s {run.tokens_per_j:6.2f} token/J "
        f"{run.edp_s_mj / whole.edp_s_mj:7.2f} x EDP of the whole"
    )

# %% [markdown]
# What each part should do, in words:

# %%
for part in parts[1:]:
    print(f"{part.name:42} {part.effect}")

# %%
from matplotlib.figure import Figure

figure = Figure(figsize=(8, 3.6), layout="constrained")
axes = figure.subplots()
names = [part.name for part in parts[1:]]
axes.barh(names, [part.run.edp_s_mj / whole.edp_s_mj for part in parts[1:]], color="#0072b2")
axes.invert_yaxis()
axes.set_xscale("log")
axes.axvline(1, color="black", linewidth=0.8)
axes.set_xlabel("EDP over that of LP-Spec, log")
figure

# %% [markdown]
# # The paper's main table
# Every published quantity of LP-Spec beside the simulated one, under the assumption set that fits best of the 108
# on what the paper leaves open. Here analytically, which takes half a minute; `lpspec reproduce` times
# every memory command. [What the numbers say](../../reproduction.md) has the reasons.

# %%
import lpspec

reproduction = lpspec.reproduce(fidelity="analytic")
reproduction

# %%
reproduction.plot()

# %% [markdown]
# How far is each from what was published? Ratios over 1 are better than published where more is better.

# %%
for row in reproduction.rows:
    if row.basis == "published":
        print(f"{row.published.quantity:60} {row.simulated / row.published.value:6.2f}")

# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # When does a posterior say something that REML does not?
#
# REML and the posterior are read off one function, the marginal likelihood of the variance
# parameters. REML takes its highest point; the posterior averages over all of it. So they
# can differ for two reasons only: the prior, and the shape of that function away from its
# top. We look at the same school twice, with all its classrooms and with three of them,
# and because the data are simulated we know what is true.

# %%
import pandas as pd

import bayeslmm as lmm

school = lmm.simulate_classrooms(seed=1)
pupils = school.data
formula = "score ~ edu + (edu | classroom)"
pupils.groupby("classroom", observed=True).size().describe()[["count", "min", "max"]]

# %% [markdown]
# ## Twelve classrooms
#
# `edu` is the parents' education in years, `score` a test score in points. Every classroom
# has its own intercept and its own slope, and the two are correlated.

# %%
model = lmm.Model(formula, pupils)
print(model.priors)

# %%
reml = model.fit_reml()
post = model.sample(seed=1)
table = lmm.compare(reml, post)
table.insert(1, "truth", pd.Series(school.truth))
columns = ["truth", "reml", "reml_lower", "reml_upper", "mean", "lower", "upper"]
table[columns].round(2)

# %%
for sentence in lmm.reading(reml, post):
    print("-", sentence)
print(post.diagnose())

# %% [markdown]
# Each arrow of the figure starts at what a classroom says on its own and ends where
# partial pooling puts it. Classrooms are pulled most in the direction in which they know
# least.

# %%
lmm.plot_shrinkage(reml, post)

# %% [markdown]
# ## Three classrooms
#
# The same school, had we visited three of its classrooms only.

# %%
first = list(pupils["classroom"].unique()[:3])
few = pupils[pupils["classroom"].isin(first)].copy()
few["classroom"] = few["classroom"].astype(str)
small = lmm.Model(formula, few)
small_reml = small.fit_reml()
small_post = small.sample(seed=1)
small_table = lmm.compare(small_reml, small_post)
small_table.insert(1, "truth", pd.Series(school.truth))
small_table[columns].round(2)

# %%
for sentence in lmm.reading(small_reml, small_post):
    print("-", sentence)
print(small_post.diagnose())

# %% [markdown]
# How much wider does the interval of each parameter become when nine classrooms go?

# %%
width = table["upper"] - table["lower"]
small_width = small_table["upper"] - small_table["lower"]
wider = (small_width / width).round(1)
wider

# %% [markdown]
# The prior has a voice where the data are silent. The same three classrooms under bambi's
# priors, which are wider: the likelihood is the same, so whatever changes is the prior.

# %%
wide = lmm.Model(formula, few, priors="bambi").sample(seed=1)
medians = pd.DataFrame(
    {
        "weak": small_post.summary()["median"],
        "bambi": wide.summary()["median"],
        "truth": pd.Series(school.truth),
    }
).loc[small_table.index]
medians.round(2)

# %% [markdown]
# ## What was learnt
#
# - With twelve classrooms REML and the posterior agree on the fixed effects to a small
#   part of a standard error: either would have led to the same paper.
# - With three, the point estimates of the fixed effects still agree, and their
#   uncertainty does not. REML's standard error of the slope takes the variances between
#   classrooms as known; the posterior averages over them, and its interval is twice as
#   wide and reaches 0. A quarter of the pupils doubled the interval of sigma, which is
#   learnt from pupils; the slope is learnt from classrooms, and its interval grew much
#   more.
# - A standard deviation of three classrooms is known from below only: its posterior leans
#   to the right, REML is its mode, and its upper end is the prior's. Wider priors moved
#   the medians of the standard deviations by a fifth, and the fixed effects by next to
#   nothing. That is why the priors are printed with every fit.

# %%
# What was said, held to the numbers above.
assert table["difference_in_se"][["Intercept", "edu"]].abs().max() < 0.1
assert small_table.loc["edu", "lower"] < 0 < small_table.loc["edu", "reml_lower"]
assert 1.5 < wider["sigma"] < 3 < wider["edu"]
moved = medians["bambi"] / medians["weak"]
assert 1.1 < moved["1|classroom_sigma"] < 1.3
assert abs(moved["edu"] - 1) < 0.05

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
# # How is a model fitted to data that lie on several machines?
#
# All that the likelihood needs of the rows are sums: cross-products by level. Sums of
# parts add up, so each machine reads its own files and sends back a few numbers for each
# level; no row travels. The first pass finds the levels, the second adds up. Needs
# `pip install bayeslmm[distributed]`; the cluster here is two processes on this machine,
# and `Client("scheduler:8786")` is any other.

# %%
import tempfile
from functools import partial, reduce
from operator import add
from pathlib import Path

import numpy as np
import pandas as pd
from dask.distributed import Client, LocalCluster

import bayeslmm as lmm


def write_parts(folder: Path, n_parts: int, n_rows: int) -> list[Path]:
    """Pupils of 500 schools in several files, as several machines would have them."""
    rng = np.random.default_rng(1)
    school_means = rng.normal(0.0, 2.0, 500)
    paths = []
    for part in range(n_parts):
        school, hours = rng.integers(0, 500, n_rows), rng.uniform(0.0, 10.0, n_rows)
        noise = rng.normal(0.0, 5.0, n_rows)
        score = 50.0 + 1.5 * hours + school_means[school] + noise
        data = pd.DataFrame({"school": school, "hours": hours, "score": score})
        paths.append(folder / f"part-{part}.parquet")
        data.to_parquet(paths[-1], write_page_checksum=True)
    return paths


# %% [markdown]
# `scan_rows` makes the first pass and gives a plan that can be sent anywhere.
# `sum_partition` is a pure function of that plan and a path: if a worker dies, Dask runs
# its parts again elsewhere, and the result is the same.


# %%
def fit_parts(folder: Path, paths: list[Path], client: Client) -> lmm.Model:
    """The two passes: levels here, sums on the workers."""
    scan = lmm.scan_rows("score ~ hours + (1 | school)", folder)
    tallies = client.map(partial(lmm.sum_partition, scan), paths)
    return lmm.Model.from_tally(scan, reduce(add, client.gather(tallies)))


# %%
if __name__ == "__main__":
    with (
        tempfile.TemporaryDirectory() as name,
        LocalCluster(n_workers=2, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        folder = Path(name)
        paths = write_parts(folder, n_parts=8, n_rows=50_000)
        apart = fit_parts(folder, paths, client)
        together = lmm.Model("score ~ hours + (1 | school)", folder)
        posterior = apart.sample(seed=1)
    print(apart.fit_reml().summary())
    print(posterior.summary())
    difference = apart.fit_reml().criterion - together.fit_reml().criterion
    print(f"REML criterion: {difference:.1e} from that of all files at once")

# %% [markdown]
# ## What was learnt
#
# The sums of eight files made in two processes give the fit of all rows, to rounding,
# and the posterior costs no more than that of a small data set: its likelihood no longer
# knows how many rows there were, or where they were.

"""How exact weighted points are: `python tests/benchmarks/exactness.py [--seeds 20]`.

Each of eight crossed and nested designs with correlations near -1, SDs near 0 and few
levels is fitted by weighted points from many seeds, and held against NUTS with 40,000
draws. Means, SDs and ends of 90% intervals of all variance parameters:

- bias: the mean over the seeds less NUTS's, the largest of all, in posterior SDs and in
  Monte Carlo errors of the difference;
- one fit: the root mean square error of a single fit, the largest in posterior SDs, and
  the mean of all in the Monte Carlo errors that the fit itself claims (1 is honest).
"""

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import argparse  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
import warnings  # noqa: E402
from pathlib import Path  # noqa: E402

import numpy as np  # noqa: E402

sys.path.insert(0, str(Path(__file__).parents[1]))

from exact_designs import (  # noqa: E402
    DESIGNS,
    REFERENCE,
    figures,
    model_of,
    variance_labels,
)

KINDS = ["mean", "sd", "5%", "95%"]
HEADING = (
    "| design | rounds | not accepted | ESS, least | CPU / CPU of NUTS, 4 x 1000 | "
    "bias, SDs | bias, errors | one fit, SDs | one fit, own errors |"
)


def row(design: str, seeds: int) -> str:
    """One line of the table."""
    model = model_of(design)
    labels = variance_labels(model)
    nuts = model.sample(draws=REFERENCE // 4, tune=1000, seed=1, method="nuts")
    reference = figures(nuts, labels)
    truth, known = reference[KINDS], reference[[f"{k} error" for k in KINDS]]
    posts, seconds = [], []
    for seed in range(1, seeds + 1):
        started = time.process_time()
        posts.append(model.sample(seed=seed, method="importance", progress=False))
        seconds.append(time.process_time() - started)
    started = time.process_time()
    model.sample(seed=1, method="nuts", progress=False)
    by_nuts = time.process_time() - started
    points = [post for post in posts if post.method == "importance"]
    found = np.array([figures(post, labels) for post in points])
    values, claimed = found[:, :, :4], found[:, :, 4:]
    off, sd = values - truth.to_numpy(), truth[["sd"]].to_numpy()
    scatter = values.var(axis=0, ddof=1) / len(points)
    error = np.sqrt(scatter + known.to_numpy() ** 2)
    bias = np.abs(off.mean(axis=0))
    single = np.sqrt((off**2).mean(axis=0))
    own = np.sqrt((off**2 / (claimed**2 + known.to_numpy() ** 2)).mean())
    rounds = np.mean([post.reason.count("1 round") for post in points])
    least = min(
        post.summary()[["ess_bulk", "ess_tail"]].to_numpy().min() for post in points
    )
    return (
        f"| {design} | {1 - rounds:.0%} more than 1 | {len(posts) - len(points)} | "
        f"{least:.0f} | {np.median(seconds) / by_nuts:.2f} | {(bias / sd).max():.3f} | "
        f"{(bias / error).max():.1f} | {(single / sd).max():.3f} | {own:.2f} |"
    )


def main() -> None:
    """Print the table, line by line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--designs", nargs="*", help="names that contain these")
    options = parser.parse_args()
    print(f"{HEADING}\n|{' --- |' * 9}")
    warnings.simplefilter("ignore")
    for design in DESIGNS:
        if not options.designs or any(part in design for part in options.designs):
            print(row(design, options.seeds), flush=True)


if __name__ == "__main__":
    main()

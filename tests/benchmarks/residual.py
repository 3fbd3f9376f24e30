"""AR(1) residuals against independent ones: a million rows, REML and posterior.

By hand: ``python tests/benchmarks/residual.py [rows]``; ratios within one run.
"""

import sys
import time

import numpy as np
import pandas as pd

from bayeslmm import Model


def series(n: int, length: int = 100) -> pd.DataFrame:
    """Rows of series of 100 days, an effect of each, an AR(1) of 0.5."""
    rng = np.random.default_rng(1)
    J = n // length
    e = rng.normal(size=(J, length))
    for t in range(1, length):
        e[:, t] = 0.5 * e[:, t - 1] + np.sqrt(0.75) * e[:, t]
    x = rng.normal(size=(J, length))
    y = 1.0 + 0.3 * x + rng.normal(size=(J, 1)) + e
    g, day = np.repeat(np.arange(J), length), np.tile(np.arange(length), J)
    return pd.DataFrame({"y": y.ravel(), "x": x.ravel(), "g": g, "day": day})


def timed(data: pd.DataFrame, residual: str | None) -> dict[str, float]:
    """Seconds of each stage."""
    times = [time.perf_counter()]
    model = Model("y ~ x + (1 | g)", data, residual=residual)
    times.append(time.perf_counter())
    fit = model.fit_reml()
    times.append(time.perf_counter())
    post = model.sample(seed=1, progress=False, keep="summary")
    times.append(time.perf_counter())
    stages = dict(zip(("model", "reml", "posterior"), np.diff(times), strict=True))
    print(residual, post.method, {k: round(v, 2) for k, v in stages.items()})
    print(fit.summary()["estimate"].round(3).to_dict())
    return {**stages, "all": times[-1] - times[0]}


def main() -> None:
    """Both, warm, and their ratios."""
    n = int(float(sys.argv[1])) if len(sys.argv) > 1 else 1_000_000
    small, data = series(2_000), series(n)
    for residual in (None, "ar1(day | g)"):
        timed(small, residual)  # loads kernels
    plain, ar1 = (timed(data, residual) for residual in (None, "ar1(day | g)"))
    for stage in plain:
        print(f"{stage}: {ar1[stage] / plain[stage]:.2f} times")


if __name__ == "__main__":
    main()

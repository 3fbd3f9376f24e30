"""Refits of simulated responses: `python tests/benchmarks/refit.py [--responses 200]`.

A new model of the data with the response, `Model.with_response` with a fit of its own,
`RemlFit.refit`, and `make_refitter`, in one run and thread, CPU time; ratios are to the
first. Nothing here asserts a time.
"""

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import argparse  # noqa: E402
import statistics  # noqa: E402
import time  # noqa: E402
import warnings  # noqa: E402
from collections.abc import Callable  # noqa: E402

import numpy as np  # noqa: E402

import bayeslmm as lmm  # noqa: E402
from bayeslmm.reml.refit import make_refitter  # noqa: E402

CASES = {
    "sleepstudy": "Reaction ~ Days + (Days | Subject)",
    "Dyestuff": "Yield ~ 1 + (1 | Batch)",
    "Penicillin": "diameter ~ 1 + (1 | plate) + (1 | sample)",
    "Machines": "score ~ Machine + (Machine | Worker)",
}


def milliseconds(call: Callable[[np.ndarray], object], responses: np.ndarray) -> float:
    """Median over the responses; the first, which may compile, apart."""
    call(responses[0])
    found = []
    for y in responses:
        started = time.thread_time()
        call(y)
        found.append(1e3 * (time.thread_time() - started))
    return statistics.median(found)


def row(name: str, formula: str, n: int) -> str:
    """One line of the table."""
    data = lmm.load_data(name)
    model = lmm.Model(formula, data)
    fit = model.fit_reml()
    responses = fit.simulate(n, seed=1)
    response, refitter = model.design.response, make_refitter(fit)
    times = [
        milliseconds(call, responses)
        for call in (
            lambda y: lmm.Model(formula, data.assign(**{response: y})).fit_reml(),
            lambda y: model.with_response(y).fit_reml(),
            fit.refit,
            refitter,
        )
    ]
    cells = [f"{one:.2f} ({times[0] / one:.1f}x)" for one in times]
    return f"| {name} | " + " | ".join(cells) + " |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--responses", type=int, default=200)
    options = parser.parse_args()
    warnings.simplefilter("ignore", lmm.FitWarning)
    print("| ms | new Model | with_response | refit | make_refitter |")
    print("|---|---|---|---|---|")
    for name, formula in CASES.items():
        print(row(name, formula, options.responses), flush=True)
    print(f"\nload {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()

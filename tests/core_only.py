"""The numeric rooms where nothing but numpy, scipy, numba and jaxtyping is installed.

Run as a script by `.ci/run`, in an environment without the other dependencies of the
package. Log density and conditional means against the dense oracle.
"""

import importlib.util
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from helpers import (
    LAYOUTS,
    dense_conditional,
    dense_log_density,
    random_design,
    random_factors,
)

from bayeslmm.covariance import (
    STRUCTURES,
    coordinates_to_factor,
    factor_to_coordinates,
)
from bayeslmm.marginal import (
    conditional_mean,
    cross_products,
    log_density,
)

EXACT = 1e-9  # same algebra by two routes
ABSENT = ("pandas", "narwhals", "pymc", "bambi", "arviz", "matplotlib", "typer")


def main() -> None:
    """Compare with the oracle; any difference is an AssertionError."""
    present = [name for name in ABSENT if importlib.util.find_spec(name)]
    assert not present, f"not the bare environment: {present} are installed"
    rng = np.random.default_rng(1)
    for layout in LAYOUTS:
        effects = (2,) if layout == "one" else (2, 1)
        design = random_design(rng, layout=layout, effects=effects, weights=True)
        factors = random_factors(rng, design)
        statistics = cross_products(design)
        expected = dense_log_density(design, factors, 0.8)
        np.testing.assert_allclose(
            log_density(statistics, factors, 0.8), expected, rtol=EXACT
        )
        law = dense_conditional(design, factors, 0.8)
        mean = conditional_mean(statistics, factors, 0.8)
        np.testing.assert_allclose(mean.beta, law.beta, rtol=EXACT, atol=EXACT)
        for ours, theirs in zip(mean.b, law.b, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=EXACT, atol=EXACT)
        x = factor_to_coordinates(STRUCTURES["us"], factors[0], np.array([1e-4]))
        back = coordinates_to_factor(STRUCTURES["us"], x, 2)
        np.testing.assert_allclose(back, factors[0], rtol=1e-6)
    print(f"{len(LAYOUTS)} layouts agree with the dense oracle")


if __name__ == "__main__":
    main()

"""What a report takes, without a facade."""

from dataclasses import dataclass

import bayeslmm as lmm


@dataclass(frozen=True)
class Fits:
    """A model and what was made of it."""

    model: lmm.Model
    reml: lmm.RemlFit | None = None
    posterior: lmm.Posterior | None = None

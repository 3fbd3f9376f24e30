"""The posterior of one SD on a grid, with what a page needs to turn its prior's scale.

Takes a `Posterior` and the label of an SD; gives its density with all other parameters
integrated out, and its prior in closed form where it is one of its own: another scale
of that prior is the same density times a ratio of priors.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from bayeslmm.priors.density import form_logp
from bayeslmm.priors.scale import ScaleForm, scale_form, scaled_form

if TYPE_CHECKING:
    from bayeslmm.posterior.fit import Posterior
    from bayeslmm.posterior.lines import WorkingDensity

POINTS = 400  # of the grid, even in the log of the SD
LEAST = 1e-8  # of the posterior beyond each end of the grid
FARTHEST = 12.0  # log units that the grid goes on beyond what was computed
UNSCALED = {"flat"}  # forms without a scale
SCALES = (0.125, 8.0)  # of the prior, times its own, that a page offers


@dataclass(frozen=True, slots=True)
class SdCurve:
    """Posterior density of an SD, and its prior.

    Attributes
    ----------
    log_sd, log_density : ndarray, shape (n,)
        Grid, and log of the posterior density of the SD (not of its log) there.
    prior : ScaleForm or None
        Its prior, None where that is not its own or no closed form.
    words : str
        The prior as text, or why it cannot be turned.
    """

    log_sd: Float[np.ndarray, " n"]
    log_density: Float[np.ndarray, " n"]
    prior: ScaleForm | None
    words: str

    @property
    def can_scale(self) -> bool:
        """Whether the prior has a scale to turn."""
        return self.prior is not None and self.prior.kind not in UNSCALED

    def quantiles(
        self, probabilities: Float[np.ndarray, " q"], scale: float = 1.0
    ) -> Float[np.ndarray, " q"]:
        """Quantiles of the SD under `scale` times the prior's own scale."""
        density = self.log_density + self.log_sd
        if scale != 1.0:
            assert self.prior is not None, "no prior to turn"
            sd = np.exp(self.log_sd)
            scaled = form_logp(scaled_form(self.prior, scale), sd)
            density = density + scaled - form_logp(self.prior, sd)
        mass = np.exp(density - density.max())
        below = np.concatenate([[0.0], np.cumsum(0.5 * (mass[1:] + mass[:-1]))])
        return np.exp(np.interp(probabilities, below / below[-1], self.log_sd))


def sd_curve(post: "Posterior", label: str) -> SdCurve:
    """The posterior of one SD of a model whose effects are integrated out."""
    from bayeslmm.posterior.components import make_component
    from bayeslmm.posterior.densities import component_curves
    from bayeslmm.posterior.weighted import weighted_points

    points = weighted_points(post)
    component = make_component(post.model.design, points.target, label, "zero")
    density = component_curves(component, points).posterior
    t = np.linspace(*_ends(density), POINTS)
    found = density.log_at(np.clip(t, *density.edges())) - t
    if component.place is None or component.parameter is None:
        return SdCurve(t, found, None, "mixed")
    prior = post.model.priors.of(component.parameter)
    return SdCurve(t, found, scale_form(prior), str(prior))


def _ends(density: "WorkingDensity") -> tuple[float, float]:
    """Logs of SDs that hold all of a posterior, in straight lines beyond its nodes."""
    low, high = float(density.nodes[0]), float(density.nodes[-1])
    ends = density.log_at(np.array([low, high]))
    below = density.log_at(np.array([low - 1.0]))
    above = density.log_at(np.array([high + 1.0]))
    rates = float((ends[:1] - below)[0]), float((ends[1:] - above)[0])
    reach = [
        (float(end) - np.log(LEAST * max(rate, 1e-3))) / max(rate, 1e-3)
        for end, rate in zip(ends, rates, strict=True)
    ]
    lower, upper = np.clip(reach, 0.0, FARTHEST).tolist()
    return low - lower, high + upper

"""The profiled criterion as a function of one flat vector.

Takes a design and gives `ProfiledProblem`: minus twice the profiled (restricted) log
likelihood and its exact gradient over theta, in the safe coordinates of a
`Conditioned`.

The criterion is even in each column of an unstructured or diagonal factor (a change of
sign leaves the covariance as it is). Such SDs need no bound: 0 is an ordinary
stationary point, a minimum if the boundary is the estimate, a saddle if it is not.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float

from bayeslmm.covariance import Structure
from bayeslmm.design.arrays import Design
from bayeslmm.design.space import ParameterSpace
from bayeslmm.marginal import (
    Direction,
    EffectsMean,
    Profile,
    Statistics,
    log_sigma_gradient,
    profiled_criterion,
    profiled_curvature,
    profiled_gradient,
)
from bayeslmm.marginal.conditioned import Conditioned
from bayeslmm.marginal.curvature import curvature_seconds, exact_curvature
from bayeslmm.marginal.layout import Layout
from bayeslmm.marginal.objective import Bounds
from bayeslmm.marginal.profile import profiles
from bayeslmm.marginal.slopes import (
    residual_log_sigma_slopes,
    structured_profile_gradient,
)
from bayeslmm.marginal.stack import Stack
from bayeslmm.reml.thetas import ThetaBlock, make_block

NOTHING = np.empty(0)


@dataclass(frozen=True, slots=True)
class ProfiledProblem:
    """A criterion to be minimised over a flat theta.

    Attributes
    ----------
    conditioned : Conditioned
        The design in safe coordinates.
    restricted : bool
        REML if true, ML if false.
    space : ParameterSpace
        Whose coordinates are where the entries of theta are; sigma has none.
    blocks : tuple of ThetaBlock
        One for each term.
    bounds : tuple of ndarray, shape (m,)
        Lower and upper bounds; infinite where the criterion is even.
    linear : ndarray, shape (m, blocks, k, k), or None
        Derivative of the relative factors of the blocks (`Layout.join`) by each theta;
        None under shared correlations, in which they are not linear, and where no
        compiled call gives the criterion.
    residual : slice
        Where the coordinates of the residuals' parameters are; empty without any.
    calls : Counter
        Number of evaluations so far, under ``"evaluations"``.
    """

    conditioned: Conditioned
    restricted: bool
    space: ParameterSpace
    blocks: tuple[ThetaBlock, ...]
    bounds: Bounds
    linear: Float[np.ndarray, "m b k k"] | None
    residual: slice = slice(0, 0)
    calls: Counter[str] = field(default_factory=Counter)

    @property
    def statistics(self) -> Statistics:
        """Cross-products in safe coordinates, as if residuals had no structure."""
        return self.conditioned.statistics

    @property
    def stack(self) -> Stack | None:
        """Cross-products by pattern, where the residuals have a structure."""
        return self.conditioned.stack

    def statistics_at(self, theta: Float[np.ndarray, " m"]) -> Statistics:
        """Cross-products under the residuals that theta says."""
        if self.stack is None:
            return self.statistics
        return self.stack.at(theta[self.residual])

    @property
    def m(self) -> int:
        """Number of variance parameters."""
        return self.space.size

    @property
    def dof(self) -> int:
        """Degrees of freedom of the residual variance."""
        return self.statistics.n - (self.statistics.p if self.restricted else 0)

    def factors(
        self, theta: Float[np.ndarray, " m"]
    ) -> tuple[Float[np.ndarray, "_k _k"], ...]:
        """Relative factors in safe coordinates."""
        return tuple(block.factor(theta[block.where]) for block in self.blocks)

    def data_factors(
        self, theta: Float[np.ndarray, " m"]
    ) -> tuple[Float[np.ndarray, "_k _k"], ...]:
        """Relative factors of the data's columns; a row that is rounding is 0."""
        return tuple(
            block.data_factor(theta[block.where], self.conditioned.spread(t))
            for t, block in enumerate(self.blocks)
        )

    def profile(self, theta: Float[np.ndarray, " m"]) -> Profile:
        """Criterion with the sigma and the fixed effects that are best there, safe."""
        factors = self.factors(theta)
        stats = self.statistics_at(theta)
        return profiled_criterion(stats, factors, restricted=self.restricted)

    def effects(self, theta: Float[np.ndarray, " m"]) -> EffectsMean:
        """Fixed effects and BLUPs with their covariances, units of the data."""
        sigma = self.profile(theta).sigma
        safe = tuple(sigma * factor for factor in self.factors(theta))
        return self.conditioned.at(theta[self.residual]).effects(safe, sigma)

    def __call__(
        self, theta: Float[np.ndarray, " m"]
    ) -> tuple[float, Float[np.ndarray, " m"]]:
        """Criterion with its gradient."""
        if self.linear is not None:
            values, gradients = self.at(theta[None])
            return float(values[0]), gradients[0]
        self.calls["evaluations"] += 1
        factors, last = self.factors(theta), NOTHING
        if self.stack is None:
            criterion, d_factors = profiled_gradient(
                self.statistics, factors, restricted=self.restricted
            )
        else:
            criterion, d_factors, last = structured_profile_gradient(
                *(self.stack, theta[self.residual], factors), restricted=self.restricted
            )
        return criterion, self._pulled(theta, d_factors, last)

    def at(
        self, thetas: Float[np.ndarray, "r m"]
    ) -> tuple[Float[np.ndarray, " r"], Float[np.ndarray, "r m"]]:
        """Criterion and gradient at several thetas, in one compiled call if it can."""
        linear = self.linear
        if linear is None:
            found = [self(theta) for theta in thetas]
            slopes = np.array([slope for _, slope in found]).reshape(thetas.shape)
            return np.array([value for value, _ in found]), slopes
        self.calls["evaluations"] += len(thetas)
        flat = linear.reshape(self.m, -1)
        points = (thetas @ flat).reshape(len(thetas), *linear.shape[1:])
        values, slopes = profiles(self.statistics, points, restricted=self.restricted)
        return values, slopes.reshape(len(thetas), flat.shape[1]) @ flat.T

    def with_curvature(
        self, theta: Float[np.ndarray, " m"]
    ) -> tuple[float, Float[np.ndarray, " m"], Float[np.ndarray, "m m"]]:
        """Criterion, gradient and average information, from one factorisation."""
        self.calls["evaluations"] += 1
        directions = [
            Direction(t, slope)
            for t, block in enumerate(self.blocks)
            for slope in block.slopes(theta[block.where])
        ]
        criterion, d_factors, curvature = profiled_curvature(
            self.statistics,
            self.factors(theta),
            directions,
            restricted=self.restricted,
        )
        return criterion, self._pulled(theta, d_factors), curvature

    @property
    def has_exact_curvature(self) -> bool:
        """Whether `hessian` costs less than differences of the gradient."""
        if self.linear is None:
            return False
        return curvature_seconds(self.statistics) < 2 * self.m * self.statistics.seconds

    def hessian(self, theta: Float[np.ndarray, " m"]) -> Float[np.ndarray, "m m"]:
        """Exact curvature of the criterion."""
        assert self.linear is not None, "the caller has asked"
        return exact_curvature(
            *(self.statistics, self.factors(theta), self.linear[:, 0]),
            restricted=self.restricted,
        )

    def log_sigma_slope(
        self, theta: Float[np.ndarray, " m"]
    ) -> Float[np.ndarray, " m"]:
        """Derivative of log sigma_hat, the profiled residual SD, by each theta."""
        factors, last = self.factors(theta), NOTHING
        d_factors = log_sigma_gradient(
            self.statistics_at(theta), factors, restricted=self.restricted
        )
        if self.stack is not None:
            last = residual_log_sigma_slopes(
                *(self.stack, theta[self.residual], factors), restricted=self.restricted
            )
        return self._pulled(theta, d_factors, last)

    def expectation_step(
        self, theta: Float[np.ndarray, " m"]
    ) -> Float[np.ndarray, " m"]:
        """One step of the EM algorithm: safe from afar, slow when near.

        ``Sigma + Sigma H Sigma / J``, with H of the module `likelihood`; terms whose
        structure shares parameters between effects stay as they are.
        """
        self.calls["evaluations"] += 1
        factors = self.factors(theta)
        _, d_factors = profiled_gradient(
            self.statistics, factors, restricted=self.restricted
        )
        moved = theta.copy()
        for block, factor, slope in zip(self.blocks, factors, d_factors, strict=True):
            inner = factor.T @ slope / (2 * block.n_levels)
            inner = np.eye(block.k) - 0.5 * (inner + inner.T)
            if block.structure.unstructured:
                grown = factor @ np.linalg.cholesky(inner)
                moved[block.where] = grown.T[np.triu_indices(block.k)]
            elif not (block.is_shared or block.structure.homogeneous):
                moved[block.where] *= np.sqrt(np.diag(inner))
        return moved

    def _pulled(
        self,
        theta: Float[np.ndarray, " m"],
        d_factors: tuple[Float[np.ndarray, "_k _k"], ...],
        d_residual: Float[np.ndarray, " r"] = NOTHING,
    ) -> Float[np.ndarray, " m"]:
        """Gradient with respect to theta from those with respect to the factors."""
        gradient = np.zeros(self.m)
        gradient[self.residual] = d_residual
        for block, d_factor in zip(self.blocks, d_factors, strict=True):
            gradient[block.where] = block.pullback(theta[block.where], d_factor)
        return gradient

    def _joined(
        self, parts: Sequence[Float[np.ndarray, " _m"] | float], otherwise: float
    ) -> Float[np.ndarray, " m"]:
        """What each block has for its part of theta, in its place."""
        found = np.full(self.m, otherwise)
        for block, own in zip(self.blocks, parts, strict=True):
            found[block.where] = own
        return found

    def correlations(self) -> Bool[np.ndarray, " m"]:
        """Which thetas are angles of correlations that pairs of effects share."""
        return np.isfinite(self.bounds[1])

    def at_bounds(self, theta: Float[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
        """Theta with angles that stopped at `bounds` moved to the very end."""
        lower, upper = self.bounds
        moved = np.where((theta <= lower) & np.isfinite(upper), 0.0, theta)
        return np.where(theta >= upper, np.pi, moved)

    def units(self, theta: Float[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
        """What counts as one step at theta: 1, or the largest entry of its term."""
        sizes = [max(1.0, np.abs(theta[b.where]).max()) for b in self.blocks]
        return np.where(self.correlations(), 1.0, self._joined(sizes, 1.0))

    def frame(
        self, theta: Float[np.ndarray, " m"], free: Bool[np.ndarray, " m"]
    ) -> Float[np.ndarray, "m f"]:
        """Directions of the free parameters that each count as one step at theta.

        `units` along the axes, but for terms with a shared correlation.
        """
        found = np.eye(self.m)
        for block in self.blocks:
            noise = block.n_levels / self.statistics.n  # error of an effect of a level
            own = block.where.start + np.flatnonzero(free[block.where])
            columns = block.frame(theta[block.where], free[block.where], noise)
            found[block.where, own] = columns
        return found[:, free]

    def steepness(self) -> Float[np.ndarray, " m"]:
        """Roughly how steep the criterion is in each theta, the steepest being 1."""
        levels = [b.n_levels for b in self.blocks]
        return self._joined([math.sqrt(n / max(levels)) for n in levels], 1.0)

    @property
    def start(self) -> Float[np.ndarray, " m"]:
        """Every effect as large as the noise, no correlation."""
        return self._joined([block.start() for block in self.blocks], 0.0)


def profiled_problem(
    design: Design, conditioned: Conditioned, *, restricted: bool
) -> ProfiledProblem:
    """The problem of a design, REML if restricted, else ML.

    Terms stand at the origin of the data, so that factors are lower triangular there.
    """
    structures = [term.covariance for term in design.groups]
    return safe_problem(
        design.space, structures, conditioned.unmoved(), restricted=restricted
    )


def safe_problem(
    space: ParameterSpace,
    structures: Sequence[Structure],
    conditioned: Conditioned,
    *,
    restricted: bool,
) -> ProfiledProblem:
    """The problem in given coordinates; structure of each term."""
    layout, space = conditioned.statistics.layout, space.profiled
    levels = {t: block.n_levels for block in layout.blocks for t in block.terms}
    pairs = enumerate(zip(structures, conditioned.bases, strict=True))
    blocks = tuple(
        make_block(structure, basis, levels[t], space.of_term(t))
        for t, (structure, basis) in pairs
    )
    lower, upper = np.full(space.size, -np.inf), np.full(space.size, np.inf)
    for block in blocks:
        lower[block.where], upper[block.where] = np.array(block.bounds()).T
        lower[even_sds(block)] = -np.inf
    quick = not conditioned.statistics.in_steps
    has_stack = conditioned.stack is not None
    linear = _linear(blocks, layout) if quick and not has_stack else None
    n = conditioned.stack.law.size if conditioned.stack is not None else 0
    return ProfiledProblem(
        *(conditioned, restricted, space, blocks, (lower, upper), linear),
        residual=slice(space.size - n, space.size),
    )


def _linear(
    blocks: Sequence[ThetaBlock], layout: Layout
) -> Float[np.ndarray, "m b k k"] | None:
    """Derivative of the factors of all blocks by each theta, where there is one."""
    m, found = blocks[-1].where.stop, []
    for block in blocks:
        own, whole = block.linear(), np.zeros((m, block.k, block.k))
        if own is None:
            return None
        whole[block.where] = own
        found.append(whole)
    return layout.join(found)


def sd_positions(block: ThetaBlock) -> list[int]:
    """Positions in the flat theta of the SDs of a term, or of its pivots."""
    k = block.k
    if block.structure.unstructured:
        steps = [j * k - j * (j - 1) // 2 for j in range(k)]  # diagonal, by columns
    else:
        steps = list(range(block.structure.n_sd(k)))
    return [block.where.start + step for step in steps]


def even_sds(block: ThetaBlock) -> list[int]:
    """Those `sd_positions` in which the criterion is even.

    Not so for several SDs under shared correlations: they keep their bound.
    """
    mixed = block.is_shared and not block.structure.homogeneous
    return [] if mixed else sd_positions(block)

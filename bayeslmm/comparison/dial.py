"""The dial of shrinkage: every estimate as the SD of a group's effects runs 0 to inf.

Takes a REML fit and one of its grouping factors; gives estimates with their intervals
at any value of an SD, all else held, by Henderson's equations: complete pooling at 0,
no pooling at infinity, ridge regression with penalty sigma^2 / SD^2 between them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.linalg import block_diag

from bayeslmm.comparison.blocks import Block, find_block, name_index, spread_of
from bayeslmm.comparison.products import check_one_factor
from bayeslmm.covariance import factor_to_sd_corr
from bayeslmm.errors import (
    ModelError,
    check_names,
    is_number,
    listed,
    shortened,
)
from bayeslmm.marginal.conditioned import Conditioned
from bayeslmm.marginal.henderson import Henderson, Penalty, henderson
from bayeslmm.reml.fit import RemlFit

NO_DIRECTION = 1e-6  # share of its reach that an effect has of an open direction


@dataclass(frozen=True, slots=True)
class Estimates:
    """Estimates at one SD, all else held; NaN or an SE of infinity where none is.

    Fixed effects ``beta`` (p,) with ``beta_se``, coefficients of the levels, fixed plus
    random, ``coef`` (j, k) with ``coef_se``; ``pooling`` (j, k): the share of an
    effect's variance that a level's rows leave.
    """

    beta: Float[np.ndarray, " p"]
    beta_se: Float[np.ndarray, " p"]
    coef: Float[np.ndarray, "j k"]
    coef_se: Float[np.ndarray, "j k"]
    pooling: Float[np.ndarray, "j k"]


@dataclass(frozen=True, slots=True)
class Dial:
    """What is turned, and the equations that answer.

    Attributes
    ----------
    reml : RemlFit
        All that is held.
    block : Block
        The grouping factor.
    turned : tuple of int
        Effects of the block whose SDs are turned.
    ratios : ndarray, shape (t,)
        Their SDs over that of the first.
    sds, corr : ndarray, shapes (k,), (k, k)
        Of the block's effects at the REML fit, or as they were asked to be.
    label : str
        The SD of the first turned effect.
    safe : Conditioned
        The model in safe coordinates.
    equations : Henderson
        Of the block.
    """

    reml: RemlFit
    block: Block
    turned: tuple[int, ...]
    ratios: Float[np.ndarray, " t"]
    sds: Float[np.ndarray, " k"]
    corr: Float[np.ndarray, "k k"]
    label: str
    safe: Conditioned
    equations: Henderson

    @property
    def back(self) -> Float[np.ndarray, "k k"]:
        """Safe effects from those of the data's columns, the unit of y apart."""
        return np.linalg.inv(spread_of(self.safe, self.block.terms))

    @property
    def halfway(self) -> float:
        """The SD at which a level with the usual rows is pooled by a half."""
        own = np.einsum("ae,jab,be->je", self.back, self.equations.A, self.back)
        own = own[:, self.turned[0]]
        return self.reml.sigma / float(np.sqrt(np.median(own[own > 0.0])))

    def penalty(self, sd: float) -> Penalty:
        """What holds the effects of a level where the first turned SD is `sd`.

        At infinity the turned effects are held by nothing, and all others as if those
        were known.
        """
        turned, k = list(self.turned), len(self.sds)
        sds, corr = self.sds.copy(), self.corr
        if np.isfinite(sd):
            sds[turned] = sd * self.ratios
            return Penalty(np.empty((k, 0)), self.back @ self._root(sds, corr))
        rest = np.setdiff1d(np.arange(k), turned)
        across, left = corr[np.ix_(rest, turned)], np.zeros((k, k))
        given = np.linalg.pinv(corr[np.ix_(turned, turned)], hermitian=True)
        left[np.ix_(rest, rest)] = corr[np.ix_(rest, rest)] - across @ given @ across.T
        sds[turned] = 0.0
        return Penalty(self.back[:, turned], self.back @ self._root(sds, left))

    def _root(
        self, sds: Float[np.ndarray, " k"], corr: Float[np.ndarray, "k k"]
    ) -> Float[np.ndarray, "k k"]:
        """Root of a covariance, which may be singular, over sigma."""
        values, turn = np.linalg.eigh(corr)
        root = turn * np.sqrt(np.maximum(values, 0.0))
        return sds[:, None] * root / self.reml.sigma

    def estimates(self, sd: float) -> Estimates:
        """All estimates at one SD, of the data's columns."""
        block, safe, p = self.block, self.safe, self.equations.p
        found = self.equations.solve(self.penalty(sd))
        turn, scale = safe.coefficient_turn(), self.reml.sigma / safe.unit
        fixed = np.hstack([turn, np.zeros((p, len(found.w) - p))])
        spread = safe.unit * spread_of(safe, block.terms)
        beta = safe.coefficients(found.w[:p])
        center, moves = block.carried @ fixed, spread @ found.slope
        given = np.einsum("ka,jab,kb->jk", spread, found.H, spread)
        var = np.einsum("jka,ab,jkb->jk", center - moves, found.cov, center - moves)
        coef = block.carried @ beta + found.b @ spread.T
        size = np.linalg.cholesky(np.linalg.inv(self.equations.S[:p, :p]))
        beta_open = _is_open(fixed, fixed, found.open, size)
        coef_open = _is_open(
            center - moves, np.abs(center) + np.abs(moves), found.open, size
        )
        coef_se = scale * np.sqrt(given + var)
        coef_se[coef_open] = np.inf
        beta_se = scale * np.sqrt(np.einsum("pa,ab,pb->p", fixed, found.cov, fixed))
        beta_se[beta_open] = np.inf
        if not self._has_limit(found.open.shape[1]):
            beta[beta_open], coef[coef_open] = np.nan, np.nan
        coef[~found.known], coef_se[~found.known] = np.nan, np.inf
        return Estimates(
            beta, beta_se, coef, coef_se, self._pooling(sd, given * scale**2)
        )

    def _pooling(
        self, sd: float, given: Float[np.ndarray, "j k"]
    ) -> Float[np.ndarray, "j k"]:
        """Variance of each effect given all else, over the one before the data."""
        sds, turned = self.sds.copy(), list(self.turned)
        sds[turned] = sd * self.ratios if np.isfinite(sd) else np.inf
        prior = np.broadcast_to(sds**2, given.shape)
        return np.divide(given, prior, out=np.ones_like(given), where=prior > 0.0)

    def _has_limit(self, n_open: int) -> bool:
        """Whether estimates of open directions converge as the SD grows.

        Effects of levels sum to 0 if all of them have a fixed one. Else those that are
        held pull at those that are not, in proportion to the SD of the latter, unless
        they are uncorrelated.
        """
        rest = np.setdiff1d(np.arange(len(self.sds)), self.turned)
        if not self.corr[np.ix_(rest, list(self.turned))].any():
            return True
        carried = np.linalg.matrix_rank(self.block.carried) == len(self.sds)
        return n_open == 0 or (carried and n_open == len(self.turned))


def _is_open(
    turn: Float[np.ndarray, "*j w"],
    parts: Float[np.ndarray, "*j w"],
    open_: Float[np.ndarray, "w n"],
    size: Float[np.ndarray, "p p"],
) -> np.ndarray:
    """Which estimates have a part in a direction that nothing identifies."""
    reach = np.linalg.norm(parts[..., : len(size)] @ size, axis=-1)
    return np.linalg.norm(turn @ open_, axis=-1) > NO_DIRECTION * reach


def find_dial(
    reml: RemlFit, term: object, effects: object, hold: Mapping[str, float] | None
) -> Dial:
    """The dial of some effects of a grouping factor.

    Raises
    ------
    ModelError
        If there is no such term or effect, an SD to be held is none, or the ratio of
        SDs that are turned together is not known.
    """
    if not reml.design.groups:
        raise ModelError(
            f"{reml.model.formula.text!r} has no bar term, so there is no SD to turn. "
            "Add one such as (1 | group)."
        )
    block = find_block(reml.model, term)  # pyright: ignore[reportArgumentType]
    names = (block.effects[0],) if effects is None else check_names(effects, "effects")
    turned = [
        name_index(block.effects, one, f"effects of {block.group}") for one in names
    ]
    turned = _with_equal_ones(reml, block, turned)
    sds, corr = factor_to_sd_corr(
        np.asarray(block_diag(*(reml.factors[t] for t in block.terms)))
    )
    corr = np.where(np.isfinite(corr), corr, 0.0)
    np.fill_diagonal(corr, 1.0)
    sds = _held(sds, block, hold)
    if len(turned) > 1 and not (sds[turned] > 0.0).all():
        raise ModelError(
            f"The SDs of {listed(block.effects[i] for i in turned)} are turned in the "
            f"ratio of the {reml.method} fit, where one of them is 0. Turn one effect, "
            "or give their ratio: hold={'Intercept': 2.0, 'x': 0.5}."
        )
    ratios = sds[turned] / sds[turned[0]] if len(turned) > 1 else np.ones(1)
    safe, label = reml.model.conditioned, _label(reml, block, turned[0])
    if safe.stack is not None:
        check_one_factor(reml)
        safe = safe.at(reml.theta[-1])
    stats = safe.statistics
    relative = [
        np.linalg.solve(safe.spread(t), factor) / reml.sigma
        for t, factor in enumerate(reml.factors)
    ]
    at = [own.terms for own in stats.layout.blocks].index(block.terms)
    equations = henderson(stats.sums, stats.layout, at, relative)
    return Dial(reml, block, tuple(turned), ratios, sds, corr, label, safe, equations)


def _with_equal_ones(reml: RemlFit, block: Block, turned: list[int]) -> list[int]:
    """The effects with those whose SD is the same parameter (cs, ar1)."""
    found, start, space = list(dict.fromkeys(turned)), 0, reml.model.space
    for t in block.terms:
        own = range(start, start + reml.design.groups[t].k)
        scales = space.scales_of(t)
        if scales.stop - scales.start == 1 and any(i in found for i in own):
            found += [i for i in own if i not in found]
        start += len(own)
    return found


def _held(
    sds: Float[np.ndarray, " k"], block: Block, hold: Mapping[str, float] | None
) -> Float[np.ndarray, " k"]:
    """The SDs with those that were asked for."""
    if hold is None:
        return sds
    if not isinstance(hold, Mapping):
        raise ModelError(
            f"hold must be SDs by effect, such as {{'Intercept': 2.0}}, not "
            f"{shortened(hold)}."
        )
    sds = sds.copy()
    for effect, sd in hold.items():
        at = name_index(block.effects, str(effect), f"effects of {block.group}")
        if not is_number(sd) or not 0.0 <= sd < np.inf:
            raise ModelError(
                f"hold[{effect!r}] must be an SD, a finite number from 0 on, not "
                f"{shortened(sd)}."
            )
        sds[at] = sd
    return sds


def _label(reml: RemlFit, block: Block, turned: int) -> str:
    """Label of the SD of an effect of a block, which may be that of all its term."""
    for t in block.terms:
        if turned < reml.design.groups[t].k:
            own = {one.index[0]: one.label for one in reml.model.space.sds(t)}
            return own[0 if reml.design.groups[t].covariance.homogeneous else turned]
        turned -= reml.design.groups[t].k
    raise AssertionError("an effect of the block")

"""A target as the compiled kernels take it.

Takes `Statistics`, the bar terms and the priors; gives a `CompiledTarget` (value and
gradient in one compiled call) where there is a kernel and the structures of all terms
are products of SDs and partial correlations; and nutpie's model over the C callback.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

import numpy as np
from jaxtyping import Float, Int

from bayeslmm import covariance
from bayeslmm.design.arrays import Design
from bayeslmm.marginal import BetaPrior, Statistics
from bayeslmm.marginal.conditioned import Conditioned
from bayeslmm.marginal.fixed import beta_arrays
from bayeslmm.marginal.kernels.packed import Packed
from bayeslmm.posterior.kernels import coordinates
from bayeslmm.priors import Priors, scale_form, scale_table
from bayeslmm.priors.prior import Prior
from bayeslmm.priors.scale import TABLE_STEP, Kind, ScaleTable

if TYPE_CHECKING:
    from nutpie.sample import CompiledModel

    from bayeslmm.posterior.mode import Laplace


@dataclass(frozen=True, slots=True)
class Plan:
    """Terms and priors of a target in numbers; see `kernels.coordinates`.

    Attributes
    ----------
    terms : ndarray of int, shape (t, 6)
        First coordinate, free SDs, whether correlated, block, start in it, effects.
    sigma : ndarray of int, shape (1,)
        Place of log sigma.
    forms : ndarray, shape (m, 4)
        Prior of each coordinate: kind, a, b, constant; see `kernels.coordinates`.
    tables : ndarray, shape (tables, 2, knots)
        Values and slopes of the priors without a closed form.
    start : ndarray, shape (m,)
        Centre of the coordinates that are possible.
    lift : ndarray, shape (blocks, k, k)
        Takes the padded factors of the blocks to safe columns, the unit of y included.
    unit : ndarray, shape (1,)
        Unit of y in safe coordinates.
    """

    terms: Int[np.ndarray, "t 6"]
    sigma: Int[np.ndarray, " 1"]
    forms: Float[np.ndarray, "m 4"]
    tables: Float[np.ndarray, "tables 2 knots"]
    start: Float[np.ndarray, " m"]
    lift: Float[np.ndarray, "blocks k k"]
    unit: Float[np.ndarray, " 1"]

    @property
    def arrays(self) -> tuple[np.ndarray, ...]:
        """As a kernel takes it."""
        return (
            *(self.terms, self.sigma, self.forms, self.tables, self.start),
            *(self.lift, self.unit),
        )


@dataclass(frozen=True, slots=True)
class CompiledTarget:
    """Log posterior density over coordinates x in one compiled call.

    ``arrays`` are those of the plan, of the Normal prior of beta (precision, mean,
    constants) and ``[X y]'W[X y]``, in the order of `kernels.targets`; ``statistics``
    the cross-products with their solver.
    """

    arrays: Packed
    statistics: Statistics

    def __call__(
        self, x: Float[np.ndarray, " m"]
    ) -> tuple[float, Float[np.ndarray, " m"]]:
        """Value and gradient; minus infinity and zeros where x is impossible."""
        gradient = np.empty(x.size)
        return self._evaluate(x, True, gradient), gradient

    def density(self, x: Float[np.ndarray, " m"]) -> float:
        """The value alone."""
        return self._evaluate(x, False, np.empty(x.size))

    def _evaluate(
        self, x: Float[np.ndarray, " m"], slope: bool, gradient: Float[np.ndarray, " m"]
    ) -> float:
        """One call of the kernel's target."""
        from bayeslmm.marginal.kernels.calls import address_of
        from bayeslmm.marginal.kernels.entries import entries_of
        from bayeslmm.posterior.kernels.targets import SIGNATURE, target

        address_of(target, SIGNATURE)  # before the gradient, which `ahead` compiles
        own = entries_of(self.statistics.solver).with_slopes
        given = (np.array(x, float), self.arrays.table, *own)
        return target(*given, slope, gradient)

    def packed(self, normal: "Laplace") -> Packed:
        """What a callback reads, in its order."""
        from bayeslmm.marginal.kernels.calls import address_of
        from bayeslmm.marginal.kernels.entries import entries_of
        from bayeslmm.posterior.kernels.targets import SIGNATURE, target

        gram, slopes, table, size = entries_of(self.statistics.solver).with_slopes
        functions = [address_of(target, SIGNATURE), gram, slopes, size]
        whitening = (normal.mode, normal.basis, np.array([normal.value]))
        return Packed((*whitening, self.arrays.table, table, np.array(functions)))


def make_plan(
    design: Design,
    conditioned: Conditioned,
    lifts: Sequence[Float[np.ndarray, "_k _k"]],
    priors: Priors,
    start: Float[np.ndarray, " m"],
) -> Plan | None:
    """Terms and priors in numbers; None if a structure needs more than products.

    `lifts` take the factor of each term to safe columns.
    """
    if any(term.covariance.is_shared(term.k) for term in design.groups):
        return None
    space, statistics = design.space, conditioned.statistics
    place = {
        t: (b, span.start)
        for b, block in enumerate(statistics.layout.blocks)
        for t, span in block.parts
    }
    terms, tables, forms = [], [], np.zeros((space.size, 4))
    for i in space.scales:
        forms[i] = _scale_row(priors.of(space.told(i)), tables)
    for t, group in enumerate(design.groups):
        own, where, sds = group.covariance, space.of_term(t), space.scales_of(t)
        n_sd, correlated = sds.stop - sds.start, int(where.stop > sds.stop)
        terms.append((where.start, n_sd, correlated, *place[t], group.k))
        if correlated:
            exponents = own.exponents(group.k, priors.corr_eta[t])
            forms[sds.stop : where.stop] = _partial_rows(exponents)
    knots = [table.knots for table in tables] or [np.zeros((2, 2))]
    return Plan(
        np.array(terms, np.int64).reshape(-1, 6),
        np.array([space.sigma]),
        forms,
        np.array(knots),
        start,
        statistics.layout.join(lifts),
        np.array([conditioned.unit]),
    )


def _scale_row(prior: Prior, tables: list[ScaleTable]) -> tuple[float, ...]:
    """Kind and numbers of the prior of an SD; a table is added where it needs one."""
    form = scale_form(prior)
    if form is not None:
        kind = float(get_args(Kind).index(form.kind))
        return kind, form.a, form.b, form.constant
    tables.append(scale_table(prior))
    return float(coordinates.TABLE), len(tables) - 1.0, tables[-1].low, TABLE_STEP


def _partial_rows(exponents: Sequence[float]) -> list[tuple[float, ...]]:
    """Priors of the partial correlations, by rows."""
    return [
        (float(coordinates.PARTIAL), b, 0.0, -covariance.log_beta_constant(b))
        for b in exponents
    ]


def compile_target(
    plan: Plan | None, conditioned: Conditioned, beta: BetaPrior | None
) -> CompiledTarget | None:
    """The target in one call, None if there is no kernel or plan for it."""
    statistics = conditioned.statistics
    if plan is None or statistics.in_steps or conditioned.stack is not None:
        return None
    precision, mean, constants = beta_arrays(statistics.sums, beta)
    constants[1] += conditioned.log_jacobian
    given = (*plan.arrays, precision, mean, constants, statistics.WW)
    return CompiledTarget(Packed(given), statistics)


def spread_factors(
    plan: Plan, statistics: Statistics, draws: Float[np.ndarray, "s m"]
) -> tuple[Float[np.ndarray, "s _k _k"], ...]:
    """Cholesky factors of every term at each of s points, shape (s, k, k)."""
    blocks = statistics.layout.blocks
    widest = max(block.k for block in blocks)
    factors = np.empty((len(draws), len(blocks), widest, widest))
    coordinates.spread_draws(np.ascontiguousarray(draws), plan.terms, factors)
    cut = statistics.layout.cut_square(np.moveaxis(factors, 1, 0))
    return tuple(map(np.ascontiguousarray, cut))


def callback_model(
    target: CompiledTarget,
    normal: "Laplace",
    start: Callable[[int], Float[np.ndarray, " m"]],
) -> "CompiledModel":
    """Nutpie's model of whitened coordinates z over a C callback.

    The class is the one that nutpie itself makes of a PyMC model compiled by numba; a
    test says so in plain words should its fields change. Against a function in Python
    (`nutpie.compiled_pyfunc`) the chains run at the same time, without the GIL.
    """
    from nutpie.compile_pymc import CompiledPyMCModel

    from bayeslmm.posterior.kernels.callbacks import expand_callback, logp_callback

    m, packed = normal.mode.size, target.packed(normal)
    kept = (*packed, *target.arrays, *target.statistics.solver.arrays)
    return CompiledPyMCModel(
        dims={},
        compiled_logp_func=logp_callback(),
        compiled_expand_func=expand_callback(),
        initial_point_func=start,
        shared_data={str(i): array for i, array in enumerate(kept)},  # kept alive
        shared_var_keys={},
        user_data=packed.table,
        n_expanded=m,
        shape_info=(["z"], [slice(0, m)], [(m,)]),
        logp_func=None,
        expand_func=None,
        _n_dim=m,
        _shapes={"z": (m,)},
        _coords={},
    )

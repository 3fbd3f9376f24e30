"""Random effects in PyTensor: SDs, correlations, Cholesky factors, effects.

Takes the bar terms and priors; adds the variables ``x|g_sigma``, ``g_corr`` and, for
the joint model, ``x|g`` to the PyMC model in context. Factors are lists of scalars,
unrolled because k is small and batched linear algebra compiles slowly.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from bayeslmm.covariance.structure import Rows as Factor
from bayeslmm.design.arrays import Design, EffectVariable, GroupTerm, rows_of
from bayeslmm.design.rows import Rows
from bayeslmm.graph.names import REFERENCE, Tensor, effect_dims, levels_dim, safe_name
from bayeslmm.priors import Prior, Priors

Reference = Float[np.ndarray, "k k"] | None
"""T of a term whose SDs and correlations have their priors at other effects c than the
user's, b = T c (those of centred columns); None where they are the same."""


def at_reference(rows: Rows, priors: Priors) -> Rows:
    """Rows with columns Z T, whose effects are those that the priors refer to."""
    pairs = zip(rows.Z, priors.reference, strict=True)
    return dataclasses.replace(
        rows, Z=tuple(Z if T is None else Z @ T for Z, T in pairs)
    )


def add_factors(design: Design, priors: Priors) -> list[Factor]:
    """Variables of the SDs and correlations of all terms; their Cholesky factors.

    Called inside a ``pymc.Model``. Factors are those of the effects that the priors
    refer to, to be used with the columns of `at_reference`; ``x|g_sigma`` and
    ``g_corr`` are those of the user's columns. ``us`` has an LKJ(eta) prior [1]_, as
    independent Betas on the canonical partial correlations; others a symmetric Beta on
    the range of each.

    References
    ----------
    .. [1] Lewandowski, Kurowicka and Joe (2009). J. Multivar. Anal. 100(9).
       https://doi.org/10.1016/j.jmva.2009.04.008
    """
    vectors = effect_dims(design)
    factors, correlations = [], {}
    for t, (term, T) in enumerate(zip(design.groups, priors.reference, strict=True)):
        moved = _moved(term, T)
        sd = _add_sds(term, priors.sd[t], vectors, moved)
        before = len(correlations.get(term.group, ()))
        corr = _add_corr_factor(term, priors.corr_eta[t], before)
        factors.append(
            [[_scaled(sd[i], entry) for entry in row] for i, row in enumerate(corr)]
        )
        if T is not None:
            corr = _add_moved_sds(term, _times(T, factors[-1]), vectors, moved)
        if term.covariance.n_corr(term.k):
            correlations.setdefault(term.group, []).append((term, corr))
    for group, blocks in correlations.items():
        _add_correlations(group, blocks)
    return factors


def add_effects(design: Design, priors: Priors, factors: Sequence[Factor]) -> Tensor:
    """Variables of the random effects, non-centred; their sum, shape (n,)."""
    vectors, total = effect_dims(design), 0.0
    rows = at_reference(rows_of(design, "random effects of all rows"), priors)
    terms = zip(design.groups, priors.reference, factors, strict=True)
    for t, (term, T, factor) in enumerate(terms):
        before = [other.group for other in design.groups[:t]].count(term.group)
        effects = _add_offsets(term, factor, before)
        _add_term_effects(term, effects if T is None else _times(T, effects), vectors)
        for column, effect in zip(rows.Z[t].T, effects, strict=True):
            total = total + column * effect[rows.codes[t]]
    return total


def variable(name: str, priors: Sequence[Prior], dims: str | None) -> Tensor:
    """A PyMC variable with one prior, or a vector with one prior for each entry."""
    import pymc as pm

    first = priors[0]
    # Arrays: PyTensor would hold a Python float such as 3.0 in single precision.
    args = {
        argument: np.array([prior.arguments[argument] for prior in priors], float)
        for argument, _ in first.args
    }
    if dims is None:
        args = {argument: values[0] for argument, values in args.items()}
    return getattr(pm, first.name)(name, dims=dims, **args)


def positive_prior(prior: Prior) -> Prior:
    """The prior of an SD, where flat means flat on the positive numbers."""
    return Prior("HalfFlat", (), prior.reason) if prior.is_flat else prior


def add_scale(name: str, prior: Prior) -> Tensor:
    """A positive variable such as sigma."""
    return variable(name, [positive_prior(prior)], None)


def _moved(term: GroupTerm, T: Reference) -> set[str]:
    """Effect variables whose SD the priors do not refer to as it is reported."""
    if T is None:
        return set()
    kept = (np.eye(term.k) == T).all(axis=1)
    return {v.name for v in term.variables if not kept[list(v.effects)].all()}


def _times(T: Float[np.ndarray, "k k"], rows: Sequence[Tensor]) -> list[Tensor]:
    """T times k rows; rows are vectors, or lists of entries as of a factor."""
    if not isinstance(rows[0], list):
        pairs = [zip(own, rows, strict=True) for own in T]
        return [sum(w * row for w, row in pair if w) for pair in pairs]
    padded = [[*row, *[0.0] * (len(rows) - len(row))] for row in rows]
    columns = list(zip(*padded, strict=True))
    return [
        [sum(w * e for w, e in zip(own, c, strict=True)) for c in columns] for own in T
    ]


def _add_moved_sds(
    term: GroupTerm, rows: list[Tensor], vectors: dict[str, str], moved: set[str]
) -> Factor:
    """SDs of the user's effects, of covariance rows rows'; root of the correlations."""
    import pymc as pm
    import pytensor.tensor as pt

    sd: list[Tensor] = [pt.sqrt(sum(entry**2 for entry in row)) for row in rows]
    for variable in term.variables:
        if variable.name not in moved:
            continue
        name, own = (
            f"{safe_name(variable.name)}_sigma",
            [sd[e] for e in variable.effects],
        )
        if variable.coords:
            dim = _add_coords(vectors[variable.name], variable.coords)
            pm.Deterministic(name, pt.stack(own), dims=dim)
        else:
            pm.Deterministic(name, own[0])
    return [[entry / s for entry in row] for row, s in zip(rows, sd, strict=True)]


def _add_sds(
    term: GroupTerm,
    priors: Sequence[Prior],
    vectors: dict[str, str],
    moved: set[str],
) -> list[Tensor]:
    """SD of each effect, a scalar; effects of a homogeneous term share one."""
    import pymc as pm

    names = [
        f"{safe_name(v.name)}_sigma{REFERENCE if v.name in moved else ''}"
        for v in term.variables
    ]
    if term.covariance.homogeneous:
        shared = add_scale(names[0], priors[0])
        for name in names[1:]:
            pm.Deterministic(name, shared)
        return [shared] * term.k
    sd: list[Tensor] = [None] * term.k
    for name, effect in zip(names, term.variables, strict=True):
        own = [positive_prior(priors[e]) for e in effect.effects]
        if effect.coords:
            dim = _add_coords(vectors[effect.name], effect.coords)
            found = variable(name, own, dim)
        else:
            found = [variable(name, own, None)]
        for i, e in enumerate(effect.effects):
            sd[e] = found[i]
    return sd


def _add_corr_factor(term: GroupTerm, eta: float, before: int) -> Factor:
    """Cholesky factor of the correlations, the group having `before` others."""
    import pymc as pm
    import pytensor.tensor as pt

    k, structure = term.k, term.covariance
    if not structure.n_corr(k):
        return [[float(i == j) for j in range(i + 1)] for i in range(k)]
    ending = f"_{before + 1}" if before else ""
    name = f"{safe_name(term.group)}_corr_partial{ending}"
    shape = np.array(structure.exponents(k, eta))
    unit: Tensor = pm.Beta(name, alpha=shape, beta=shape)
    # the cosine of an angle is 2 unit - 1; its half has these
    cos: list[Tensor] = [pt.sqrt(unit[c]) for c in range(len(shape))]
    sin: list[Tensor] = [pt.sqrt(1.0 - unit[c]) for c in range(len(shape))]
    return structure.correlations.rows(cos, sin, k)


def _add_correlations(group: str, blocks: list[tuple[GroupTerm, Factor]]) -> None:
    """The variable ``g_corr`` over named pairs, all terms of the group."""
    import pymc as pm
    import pytensor.tensor as pt

    names, values = [], []
    for term, factor in blocks:
        names += term.covariance.correlations.names(term.effects)
        for i, j in term.covariance.correlations.pairs(term.k):
            products = zip(factor[i], factor[j], strict=False)
            values.append(sum(a * b for a, b in products))
    name = safe_name(f"{group}_corr")
    dim = _add_coords(f"{name}_dim", names)
    pm.Deterministic(name, pt.stack(values), dims=dim)


def _add_offsets(term: GroupTerm, factor: Factor, before: int) -> list[Tensor]:
    """Standardised effects of one term; factor times them, k vectors over levels."""
    import pymc as pm

    name = f"{safe_name(term.group)}{f'_{before + 1}' if before else ''}_offset"
    z: Tensor = pm.Normal(name, shape=(term.k, term.n_levels))
    return [
        sum(entry * z[f] for f, entry in enumerate(row) if not _is_zero(entry))
        for row in factor
    ]


def _add_term_effects(
    term: GroupTerm, effects: list[Tensor], vectors: dict[str, str]
) -> None:
    """Variables of the effects of one term, under bambi's names."""
    levels = _add_coords(levels_dim(term.group), term.levels)
    for effect in term.variables:
        _add_effect_variable(effect, effects, levels, vectors)


def _add_effect_variable(
    effect: EffectVariable, effects: list[Tensor], levels: str, vectors: dict[str, str]
) -> None:
    """One variable ``x|g``, shape (J,) or (J, effects) as in bambi."""
    import pymc as pm
    import pytensor.tensor as pt

    name, own = safe_name(effect.name), [effects[e] for e in effect.effects]
    if not effect.coords:
        pm.Deterministic(name, own[0], dims=levels)
        return
    dim = _add_coords(vectors[effect.name], effect.coords)
    pm.Deterministic(name, pt.stack(own, axis=1), dims=(levels, dim))


def _scaled(sd: Tensor, entry: Tensor) -> Tensor:
    """An entry of the factor times the SD of its row; a constant 0 stays one."""
    return entry if _is_zero(entry) else sd * entry


def _is_zero(entry: Tensor) -> bool:
    """Whether an entry of a factor is the constant 0."""
    return isinstance(entry, float) and entry == 0.0


def _add_coords(dim: str, values: Sequence[str]) -> str:
    """Add a dimension with its labels to the model in context, once."""
    import pymc as pm

    model: Tensor = pm.modelcontext(None)
    if dim not in model.coords:
        model.add_coords({dim: list(values)})
    return dim

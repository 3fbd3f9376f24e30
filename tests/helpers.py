"""The oracle: textbook formulas, dense, with explicit inverses; and random designs.

Nothing here is fast or clever on purpose. Sizes: n rows, p fixed columns, J levels and
k effects for each bar term, q random effects in all.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bayeslmm.design.arrays import (
    Design,
    EffectVariable,
    FixedVariable,
    GroupTerm,
    RowAccount,
)
from bayeslmm.design.rows import Rows, linear_predictor
from bayeslmm.marginal.columns import data_columns
from bayeslmm.marginal.layout import Layout as Blocks
from bayeslmm.marginal.sums import Sums, sum_rows

Array = NDArray[np.float64]
Layout = Literal["one", "nested", "crossed"]
LAYOUTS: tuple[Layout, ...] = ("one", "nested", "crossed")


# --- the model, dense -----------------------------------------------------------------


def dense_Z(design: Design, t: int) -> Array:
    """Columns of term t, (n, J k), level by level."""
    term = design.groups[t]
    Z = np.zeros((design.n, term.n_levels, term.k))
    Z[np.arange(design.n), design.rows.codes[t]] = design.rows.Z[t]
    return Z.reshape(design.n, -1)


def dense_Sigma(design: Design, factors: Sequence[Array]) -> Array:
    """Covariance of all random effects, (q, q): one block for each level."""
    blocks = [
        np.kron(np.eye(term.n_levels), L @ L.T)
        for term, L in zip(design.groups, factors, strict=True)
    ]
    return _block_diagonal(blocks)


def dense_V(design: Design, factors: Sequence[Array], sigma: float) -> Array:
    """Covariance of y given beta: sigma^2 W^-1 + Z Sigma Z'."""
    weights = np.ones(design.n) if design.rows.weights is None else design.rows.weights
    Z = _all_Z(design)
    return sigma**2 * np.diag(1 / weights) + Z @ dense_Sigma(design, factors) @ Z.T


def response(design: Design) -> Array:
    """What is to be explained: y without the offset."""
    return design.rows.net


# --- the likelihood -------------------------------------------------------------------


def dense_log_density(
    design: Design,
    factors: Sequence[Array],
    sigma: float,
    beta_mean: Array | None = None,
    beta_precision: Array | None = None,
) -> float:
    """log p(y | Sigma, sigma) with beta ~ N(m0, P^-1) integrated out.

    ``beta_precision=None`` is the flat prior (the restricted likelihood); a singular P
    leaves some directions of beta flat, and only its proper part is normalised.
    """
    y, X = response(design), design.rows.X
    P, m0 = _beta_prior(design, beta_mean, beta_precision)
    Vinv = np.linalg.inv(dense_V(design, factors, sigma))
    C, b_hat = _fixed_effects(y, X, Vinv, P, m0)
    proper = np.linalg.eigvalsh(P)
    proper = proper[proper > 1e-10 * max(1.0, proper.max(initial=0.0))]
    n_normalised = design.n - design.p + len(proper)
    return float(
        -0.5
        * (
            n_normalised * np.log(2 * np.pi)
            - _log_det(Vinv)
            - _log_det(C)
            - np.log(proper).sum()
            + y @ Vinv @ y
            + m0 @ P @ m0
            - b_hat @ np.linalg.inv(C) @ b_hat
        )
    )


def dense_criterion(
    design: Design, relative_factors: Sequence[Array], *, restricted: bool
) -> tuple[float, float, Array]:
    """-2 log (restricted) likelihood, sigma and beta profiled out; they come along."""
    y, X = response(design), design.rows.X
    V0inv = np.linalg.inv(dense_V(design, relative_factors, 1.0))
    XtVX = X.T @ V0inv @ X
    beta = np.linalg.inv(XtVX) @ X.T @ V0inv @ y
    residual = y - X @ beta
    df = design.n - design.p if restricted else design.n
    sigma2 = residual @ V0inv @ residual / df
    criterion = df * (1 + np.log(2 * np.pi * sigma2)) - _log_det(V0inv)
    criterion += _log_det(XtVX) if restricted else 0.0
    return float(criterion), float(np.sqrt(sigma2)), beta


@dataclass(frozen=True)
class DenseConditional:
    """Law of (beta, b) given the variance parameters; b by term and level."""

    beta: Array  # (p,)
    beta_cov: Array  # (p, p)
    b: tuple[Array, ...]  # (J, k) for each term
    b_cov_given_beta: tuple[Array, ...]  # (J, k, k), lme4's condVar
    b_cov: tuple[Array, ...]  # (J, k, k), beta integrated out
    mean: Array  # (p + q,)
    cov: Array  # (p + q, p + q)


def dense_conditional(
    design: Design,
    factors: Sequence[Array],
    sigma: float,
    beta_mean: Array | None = None,
    beta_precision: Array | None = None,
) -> DenseConditional:
    """Mean and covariance of (beta, b) given y, by conditioning a normal on another."""
    y, X, Z = response(design), design.rows.X, _all_Z(design)
    P, m0 = _beta_prior(design, beta_mean, beta_precision)
    Vinv = np.linalg.inv(dense_V(design, factors, sigma))
    Sigma = dense_Sigma(design, factors)
    C, beta = _fixed_effects(y, X, Vinv, P, m0)
    gain = Sigma @ Z.T @ Vinv  # b | beta = gain (y - X beta)
    b = gain @ (y - X @ beta)
    given_beta = Sigma - gain @ Z @ Sigma
    b_cov = given_beta + gain @ X @ C @ X.T @ gain.T
    cross = -C @ X.T @ gain.T
    return DenseConditional(
        beta=beta,
        beta_cov=C,
        b=_by_level(design, b),
        b_cov_given_beta=_blocks_by_level(design, given_beta),
        b_cov=_blocks_by_level(design, b_cov),
        mean=np.concatenate([beta, b]),
        cov=np.block([[C, cross], [cross.T, b_cov]]),
    )


def finite_difference(
    function: Callable[[Array], float], x: Array, step: float = 1e-4
) -> Array:
    """Gradient by central differences of fourth order, error O(step^4)."""
    x = np.asarray(x, float)
    gradient = np.empty(x.size)
    for i, e in enumerate(np.eye(x.size)):
        h = step * max(1.0, abs(x.flat[i])) * e.reshape(x.shape)
        near = function(x + h) - function(x - h)
        far = function(x + 2 * h) - function(x - 2 * h)
        gradient[i] = (8 * near - far) / (12 * h.flat[i])
    return gradient.reshape(x.shape)


# --- random designs -------------------------------------------------------------------


def random_design(
    rng: np.random.Generator,
    *,
    layout: Layout = "one",
    effects: Sequence[int] = (1,),
    n: int = 40,
    n_levels: int = 5,
    p: int = 2,
    weights: bool = False,
    offset: bool = False,
) -> Design:
    """Design with random contents; an intercept and p - 1 normal columns in X.

    ``effects`` has k for each bar term: one for ``one``; two for ``nested`` (``g``,
    then its parts ``g:h``) and ``crossed`` (``g``, ``h``). Every level has a row; sizes
    are unequal.
    """
    codes = _random_codes(rng, layout, n, n_levels)[: len(effects)]
    labels = ("g", "g:h") if layout == "nested" else ("g", "h")
    return coded_design(
        rng, codes, effects, labels=labels, p=p, weights=weights, offset=offset
    )


def coded_design(
    rng: np.random.Generator,
    codes: Sequence[NDArray[np.int64]],
    effects: Sequence[int],
    *,
    labels: Sequence[str] = ("g", "h", "i"),
    p: int = 2,
    weights: bool = False,
    offset: bool = False,
) -> Design:
    """The same with the levels of every row given."""
    n = len(codes[0])
    X = np.column_stack([np.ones((n, min(p, 1))), rng.normal(size=(n, max(p - 1, 0)))])
    names = ["Intercept", *(f"x{c}" for c in range(1, p))][:p]
    shapes = list(zip(labels, codes, effects, strict=False))
    groups = tuple(_random_term(*shape) for shape in shapes)
    rows = Rows(
        Z=tuple(
            np.column_stack([np.ones(n), rng.normal(size=(n, k - 1))])
            for _, _, k in shapes
        ),
        y=rng.normal(size=n),
        X=X,
        codes=tuple(codes[: len(shapes)]),
        position=np.arange(n),
        weights=rng.uniform(0.3, 3.0, n) if weights else None,
        offset=rng.normal(size=n) if offset else None,
    )
    design = Design(
        fixed=tuple(FixedVariable(name, (c,)) for c, name in enumerate(names)),
        groups=groups,
        response="y",
        account=RowAccount(n, n),
        rows=rows,
        has_weights=weights,
    )
    b = [rng.normal(size=(t.n_levels, t.k)) for t in groups]
    return with_rows(design, y=rows.y + linear_predictor(rows, np.ones(X.shape[1]), b))


def with_rows(design: Design, **changes: object) -> Design:
    """The design with some arrays of its rows replaced."""
    rows = replace(design.rows, **changes)
    account = RowAccount(rows.n, rows.n)
    has_weights = rows.weights is not None
    return replace(design, rows=rows, account=account, has_weights=has_weights)


def take_rows(design: Design, at: Array) -> Design:
    """Some of the rows, under the levels of all."""
    rows = design.rows
    return with_rows(
        design,
        y=rows.y[at],
        X=rows.X[at],
        Z=tuple(Z[at] for Z in rows.Z),
        codes=tuple(codes[at] for codes in rows.codes),
        position=rows.position[at],
        weights=None if rows.weights is None else rows.weights[at],
        offset=None if rows.offset is None else rows.offset[at],
    )


def sums_of(design: Design, layout: Blocks, threads: int | None = None) -> Sums:
    """Sums over the rows of a design, of the columns as they are."""
    return sum_rows(design.rows, layout, data_columns(design), threads)


def random_factors(rng: np.random.Generator, design: Design) -> tuple[Array, ...]:
    """A Cholesky factor for each bar term; zero off-diagonal where uncorrelated."""
    factors = []
    for term in design.groups:
        L = np.tril(rng.normal(size=(term.k, term.k)), -1)
        L = L if term.structure == "us" else np.zeros_like(L)
        factors.append(L + np.diag(rng.uniform(0.2, 2.0, term.k)))
    return tuple(factors)


def random_precision(rng: np.random.Generator, p: int, rank: int) -> Array:
    """Precision of beta that is proper on `rank` of its p coefficients."""
    root = np.zeros((p, p))
    root[:rank, :rank] = np.tril(rng.normal(size=(rank, rank)), -1)
    root += np.diag([1.0] * rank + [0.0] * (p - rank))
    return root @ root.T


# --- parts ----------------------------------------------------------------------------


def _beta_prior(
    design: Design, mean: Array | None, precision: Array | None
) -> tuple[Array, Array]:
    """Precision and mean of beta; zero stands for flat."""
    P = np.zeros((design.p, design.p)) if precision is None else precision
    return P, np.zeros(design.p) if mean is None else mean


def _fixed_effects(
    y: Array, X: Array, Vinv: Array, P: Array, m0: Array
) -> tuple[Array, Array]:
    """Covariance and mean of beta given y."""
    C = np.linalg.inv(X.T @ Vinv @ X + P)
    return C, C @ (X.T @ Vinv @ y + P @ m0)


def _log_det(matrix: Array) -> float:
    """Log determinant; 0 for a matrix without rows."""
    return float(np.linalg.slogdet(matrix)[1])


def _all_Z(design: Design) -> Array:
    """Columns of all terms, (n, q)."""
    return np.hstack([dense_Z(design, t) for t in range(len(design.groups))])


def _block_diagonal(blocks: Sequence[Array]) -> Array:
    """Square blocks along the diagonal."""
    q = sum(len(block) for block in blocks)
    full, start = np.zeros((q, q)), 0
    for block in blocks:
        stop = start + len(block)
        full[start:stop, start:stop] = block
        start = stop
    return full


def _offsets(design: Design) -> list[tuple[int, GroupTerm]]:
    """Where the random effects of each term start."""
    sizes = [term.n_levels * term.k for term in design.groups]
    return list(zip(np.cumsum([0, *sizes[:-1]]).tolist(), design.groups, strict=True))


def _by_level(design: Design, b: Array) -> tuple[Array, ...]:
    """Random effects, (J, k) for each term."""
    return tuple(
        b[start : start + term.n_levels * term.k].reshape(term.n_levels, term.k)
        for start, term in _offsets(design)
    )


def _blocks_by_level(design: Design, cov: Array) -> tuple[Array, ...]:
    """Diagonal blocks of the covariance of all random effects, (J, k, k) each."""
    found = []
    for start, term in _offsets(design):
        at = start + np.arange(term.n_levels * term.k).reshape(term.n_levels, term.k)
        found.append(cov[at[:, :, None], at[:, None, :]])
    return tuple(found)


def _random_codes(
    rng: np.random.Generator, layout: Layout, n: int, n_levels: int
) -> list[NDArray[np.int64]]:
    """Level codes of one or two factors; every level occurs."""
    outer = _random_levels(rng, n, n_levels)
    if layout == "one":
        return [outer]
    if layout == "crossed":
        return [outer, _random_levels(rng, n, max(2, n_levels - 1))]
    cells = outer * 2 + rng.integers(0, 2, n)
    return [outer, np.unique(cells, return_inverse=True)[1]]


def _random_levels(
    rng: np.random.Generator, n: int, n_levels: int
) -> NDArray[np.int64]:
    """Codes 0 .. n_levels - 1 in random order, unequal sizes, none empty."""
    more = rng.choice(n_levels, n - n_levels, p=rng.dirichlet(np.full(n_levels, 3.0)))
    return rng.permutation(np.concatenate([np.arange(n_levels), more]))


def _random_term(group: str, codes: NDArray[np.int64], k: int) -> GroupTerm:
    """Bar term with an intercept and k - 1 other columns."""
    effects = ("Intercept", *(f"{group[-1]}{c}" for c in range(1, k)))
    names = ["1", *effects[1:]]
    return GroupTerm(
        label=f"({' + '.join(names)} | {group})",
        group=group,
        effects=effects,
        levels=tuple(f"{group}{j}" for j in range(codes.max() + 1)),
        structure="us",
        variables=tuple(
            EffectVariable(f"{name}|{group}", name, (c,))
            for c, name in enumerate(names)
        ),
    )

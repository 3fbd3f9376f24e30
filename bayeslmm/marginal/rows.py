"""The mean of single rows given the covariance parameters: best guess and its error.

Takes `Statistics`, relative factors and some rows, of the data or new; gives for each
row the best linear unbiased predictor of ``x'beta + z'b`` with the variance of its
error, relative to sigma**2. With ``M = Lambda'Z'WZ Lambda + I``, ``C0 = (X'V0^-1X)^-1``
and ``b = Lambda u`` it is

    t'M^-1 t + a'C0 a,    t = Lambda'z,    a = x - X'WZ Lambda M^-1 t,

the quadratic form of Henderson's equations in (x, z), as a sum of squares.

References
----------
.. [1] Henderson (1975). Biometrics 31(2). https://doi.org/10.2307/2529430
.. [2] Robinson (1991). Stat. Sci. 6(1). https://doi.org/10.1214/ss/1177011926
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from bayeslmm.marginal.elimination import Elimination, eliminate, projections
from bayeslmm.marginal.fixed import solve_beta
from bayeslmm.marginal.layout import Block, left_transposed
from bayeslmm.marginal.statistics import Factors, Statistics

# Numbers of one array that is held for a chunk of rows.
CHUNK = 2_000_000


class RowTerm(NamedTuple):
    """Rows of one bar term: columns Z, and the level of each row, -1 for none."""

    Z: Float[np.ndarray, "n k"]
    codes: Int[np.ndarray, " n"]


class RowMeans(NamedTuple):
    """Predictor of ``x'beta + z'b`` at each row, and variance of its error / sigma^2.

    Units of the response, and squares of units per sigma squared.
    """

    values: Float[np.ndarray, " n"]
    variances: Float[np.ndarray, " n"]


def row_means(
    stats: Statistics,
    relative: Factors,
    X: Float[np.ndarray, "n p"],
    terms: Sequence[RowTerm],
) -> RowMeans:
    """Means of rows given the covariance parameters, fixed effects being estimated.

    Parameters
    ----------
    stats : Statistics
        Cross-products of the rows that were fitted.
    relative : sequence of ndarray, shape (k_t, k_t)
        Relative factors Lambda_t of each bar term, unit-free.
    X : ndarray, shape (n, p)
        Fixed columns of the rows wanted.
    terms : sequence of RowTerm
        Their columns of each bar term; terms of one grouping factor have the same
        levels.

    Returns
    -------
    RowMeans
        Where a row has no level of a term, its effects are taken to be 0.
    """
    done = eliminate(stats, relative)
    fixed = solve_beta(done.G, 1.0, None)
    layout = stats.layout.blocks if terms else ()  # else the lead has no levels
    # d E[b] / d [X y] of each block, (J, k, w)
    responses = [
        factor @ factor.T @ Q
        for _, factor, (Q, _) in zip(
            layout, done.factors, projections(stats, done), strict=False
        )
    ]
    blocks = [_joined(block, terms, len(X)) for block in layout]
    values, variances = np.empty(len(X)), np.empty(len(X))
    for part in _chunks(stats, len(X)):
        own = [RowTerm(term.Z[part], term.codes[part]) for term in blocks]
        a, value = X[part].astype(float), np.zeros(len(X[part]))
        for term, response in zip(own, responses, strict=True):
            moved = np.einsum("nk,nkw->nw", term.Z, response[term.codes])
            a -= moved[:, :-1]
            value += moved[:, -1]
        values[part] = value + a @ fixed.beta
        spread = np.einsum("np,pq,nq->n", a, fixed.covariance, a)
        variances[part] = spread + (_given_beta(stats, done, own) if own else 0.0)
    return RowMeans(values, variances)


def _joined(block: Block, terms: Sequence[RowTerm], n: int) -> RowTerm:
    """The terms of a block side by side, 0 in rows without a level."""
    codes = terms[block.terms[0]].codes
    Z = np.empty((n, block.k))
    for t, span in block.parts:
        Z[:, span] = terms[t].Z
    return RowTerm(np.where((codes < 0)[:, None], 0.0, Z), np.maximum(codes, 0))


def _chunks(stats: Statistics, n: int) -> Iterator[slice]:
    """Slices of rows, each few enough to be held."""
    width = max(stats.m, stats.lead.k * len(stats.WW))
    size = max(1, CHUNK // width)
    return (slice(i, min(i + size, n)) for i in range(0, n, size))


def _given_beta(
    stats: Statistics, done: Elimination, terms: Sequence[RowTerm]
) -> Float[np.ndarray, " n"]:
    """``t'M^-1 t``, the lead first: squares of ``L^-1 t`` by blocks."""
    lead, factors = terms[0], done.factors[1:]
    n = len(lead.codes)
    t = lead.Z @ done.lead.factor
    half = np.linalg.solve(done.lead.lower[lead.codes], t[:, :, None])[:, :, 0]
    squares = np.square(half).sum(axis=1)
    if not stats.rest:
        return squares
    rest = np.zeros((stats.m, n))
    _subtract_couplings(stats, done, lead.codes, half, rest)
    row = np.arange(n)
    for block, own in zip(stats.rest, terms[1:], strict=True):
        first = block.offset + block.k * own.codes
        for i in range(block.k):
            rest[first + i, row] += own.Z[:, i]
    below = done.schur.solve(left_transposed(rest, stats.rest, factors))
    return squares + np.square(below).sum(axis=0)


def _subtract_couplings(
    stats: Statistics,
    done: Elimination,
    codes: Int[np.ndarray, " n"],
    half: Float[np.ndarray, "n k"],
    rest: Float[np.ndarray, "m n"],
) -> None:
    """Take ``V'half`` off the rest, V being the couplings of each row's level."""
    starts, counts = stats.indptr[codes], np.diff(stats.indptr)[codes]
    row = np.repeat(np.arange(len(codes)), counts)
    before = np.repeat(np.cumsum(counts) - counts, counts)
    entry = np.arange(len(row)) - before + np.repeat(starts, counts)
    # the couplings of a level have each their own column
    rest[stats.columns[entry], row] -= np.einsum(
        "ek,ek->e", done.lead.V[entry], half[row]
    )

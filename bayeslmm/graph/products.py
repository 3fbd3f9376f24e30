"""Cross-products as the graph of the integrated model takes them.

Takes a `Design` and its rows; gives `Products`, of numbers, or of tensors where the
residuals have a structure and so the products are weighted sums.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from bayeslmm.design.arrays import Design
from bayeslmm.design.rows import Rows
from bayeslmm.errors import ModelError
from bayeslmm.graph.names import Tensor
from bayeslmm.graph.residual import ResidualTensors, pattern_weights
from bayeslmm.marginal.layout import make_layout
from bayeslmm.marginal.patterns import Pattern, find_patterns

# Numbers in the dense cross-products: 20 million are 160 MB in each graph node.
MAX_ENTRIES = 2e7

Triple = tuple[list[list[np.ndarray]], list[np.ndarray], np.ndarray]
"""A, H and T of `Products`."""


@dataclass(frozen=True, slots=True)
class Products:
    """Weighted cross-products, term number ``main`` level by level, the rest dense.

    With [Z, X, y] the columns of the other terms, the fixed effects and the response:
    ``A[e][f]``, shape (J,), the main term with itself; ``H[e]``, shape (J, m), the main
    term with [Z, X, y]; ``T``, shape (m, m), those with themselves. Numbers or
    tensors.
    """

    main: int
    rest: tuple[int, ...]
    rest_levels: tuple[int, ...]
    A: list[list[Tensor]]
    H: list[Tensor]
    T: Tensor
    log_weights: Tensor
    shift: Float[np.ndarray, " p"]
    m: int

    @property
    def width(self) -> int:
        """Columns of the other terms."""
        return self.m - len(self.shift) - 1


def make_products(design: Design, rows: Rows) -> Products:
    """Cross-products of a design, y less its fit so that nothing cancels."""
    if not design.groups:
        return _without_terms(design, rows)
    main = make_layout(design).lead.terms[0]
    rest = tuple(t for t in range(len(design.groups)) if t != main)
    term = design.groups[main]
    width = sum(design.groups[t].n_levels * design.groups[t].k for t in rest)
    m = width + design.p + 1
    if term.n_levels * term.k * m + design.n * m + m * m > MAX_ENTRIES:
        raise ModelError(
            f"The PyMC graph of the integrated model holds cross-products of "
            f"{term.n_levels} levels of {term.group!r} with {m} other columns, too "
            "many for dense arrays. model.sample() needs no graph and no such arrays."
        )
    w = np.ones(rows.n) if rows.weights is None else rows.weights
    root = np.sqrt(w)[:, None]
    shift = np.linalg.lstsq(root * rows.X, root[:, 0] * rows.net, rcond=None)[0]
    levels = _Levels(rows.codes[main], term.n_levels)
    columns = root * _columns(design, rows, rest, shift)
    A, H, T = levels.products(root * rows.Z[main], columns)
    return Products(
        main=main,
        rest=rest,
        rest_levels=tuple(design.groups[t].n_levels for t in rest),
        A=A,
        H=H,
        T=T,
        log_weights=float(np.log(w).sum()),
        shift=shift,
        m=m,
    )


def _columns(
    design: Design, rows: Rows, rest: tuple[int, ...], shift: Float[np.ndarray, " p"]
) -> Float[np.ndarray, "n m"]:
    """[Z, X, y] of the other terms, y less its fit."""
    others = [
        _Levels(rows.codes[t], design.groups[t].n_levels).dense(rows.Z[t]) for t in rest
    ]
    return np.column_stack([*others, rows.X, rows.net - rows.X @ shift])


def _without_terms(design: Design, rows: Rows) -> Products:
    """Products of a model without bar terms."""
    w = np.ones(rows.n) if rows.weights is None else rows.weights
    root = np.sqrt(w)[:, None]
    shift = np.linalg.lstsq(root * rows.X, root[:, 0] * rows.net, rcond=None)[0]
    columns = root * _columns(design, rows, (), shift)
    total, T = float(np.log(w).sum()), columns.T @ columns
    return Products(-1, (), (), [], [], T, total, shift, len(T))


def weighted_products(
    design: Design, rows: Rows, plain: Products, tensors: ResidualTensors
) -> Products:
    """Products under structured residuals: those of patterns, each times its weight.

    The arrays of what is returned are tensors.
    """
    import pytensor.tensor as pt

    structure, own = design.residual, rows.residual
    assert structure is not None, "the caller has looked"
    assert own is not None, "a design with a structure has coded its rows"
    patterns = find_patterns(structure, own)
    found = _pattern_products(design, rows, plain, patterns)
    weights, log_det = pattern_weights(patterns, tensors)
    vector: Tensor = pt.stack(weights)

    def total(parts: Sequence[np.ndarray]) -> Tensor:
        """Sum over the patterns, each times its weight."""
        stacked = np.array(parts)
        shape = (len(parts), *[1] * (stacked.ndim - 1))
        return (vector.reshape(shape) * stacked).sum(axis=0)

    if own.stratum is not None:
        counts = np.bincount(own.stratum).astype(float)
        log_det = log_det + 2.0 * (counts * pt.log(tensors.ratios)).sum()
    entries = range(len(plain.A))
    return replace(
        plain,
        A=[
            [total([A[e][f] for A, _, _ in found]) for f in range(e + 1)]
            for e in entries
        ],
        H=[total([H[e] for _, H, _ in found]) for e in entries],
        T=total([T for *_, T in found]),
        log_weights=plain.log_weights - log_det,
    )


def _pattern_products(
    design: Design, rows: Rows, plain: Products, patterns: Sequence[Pattern]
) -> list[Triple]:
    """A, H and T of each pattern: those of its folded rows, with their signs."""
    root = np.ones(rows.n) if rows.weights is None else np.sqrt(rows.weights)
    columns = root[:, None] * _columns(design, rows, plain.rest, plain.shift)
    Z, codes, n_levels = np.zeros((rows.n, 0)), np.zeros(rows.n, np.int64), 1
    if plain.main >= 0:
        Z, codes = root[:, None] * rows.Z[plain.main], rows.codes[plain.main]
        n_levels = design.groups[plain.main].n_levels
    empty = _Levels(codes[:0], n_levels).products(Z[:0], columns[:0])
    found = []
    for pattern in patterns:
        total = empty
        for sign, fold in pattern.folds:
            levels = _Levels(codes[fold.first], n_levels)
            own = levels.products(fold.T @ Z, fold.T @ columns)
            total = _sum(total, own, sign)
        found.append(total)
    return found


def _sum(one: Triple, other: Triple, sign: float) -> Triple:
    """Products and, times a sign, others."""
    A = [
        [a + sign * b for a, b in zip(*rows, strict=True)]
        for rows in zip(one[0], other[0], strict=True)
    ]
    H = [a + sign * b for a, b in zip(one[1], other[1], strict=True)]
    return A, H, one[2] + sign * other[2]


class _Levels(NamedTuple):
    """The level of each row, of n."""

    codes: Int[np.ndarray, " n"]
    n: int

    def dense(self, Z: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n q"]:
        """Columns of a term, effect by effect, the levels fastest."""
        indicator = np.eye(self.n)[self.codes]
        return np.hstack([column[:, None] * indicator for column in Z.T])

    def products(
        self, Z: Float[np.ndarray, "n k"], columns: Float[np.ndarray, "n m"]
    ) -> Triple:
        """Those of Z with itself and with other columns by level; of these alone."""
        A = [[self.sums(a * b) for b in Z.T[: e + 1]] for e, a in enumerate(Z.T)]
        H = [self.row_sums(a[:, None] * columns) for a in Z.T]
        return A, H, columns.T @ columns

    def sums(self, values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " j"]:
        """Sums over the rows of each level."""
        return np.bincount(self.codes, values, minlength=self.n).astype(float)

    def row_sums(self, rows: Float[np.ndarray, "n m"]) -> Float[np.ndarray, "j m"]:
        """Sums of rows over each level."""
        sums = np.zeros((self.n, rows.shape[1]))
        np.add.at(sums, self.codes, rows)
        return sums

"""What a page needs to solve Henderson's equations by itself, at any SD of the dial.

Takes a `Dial` and the levels that are shown; gives their products, those of the rows of
each (to leave it out), those of a usual row (to add a level), and what all other levels
add to the equations as polynomials in the SD.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from bayeslmm.comparison.dial import Dial
from bayeslmm.errors import ModelError
from bayeslmm.marginal.henderson import Henderson
from bayeslmm.marginal.layout import Block
from bayeslmm.marginal.saferows import safe_rows

# Numbers that a page may hold: about 20 characters each, 500 kB in all.
MOST_NUMBERS = 15_000
# Chebyshev nodes of the sums over levels that are not shown: doubled until they are
# right to this share of the information of all rows.
FEWEST_NODES, MOST_NODES, CLOSE = 17, 257, 1e-10


@dataclass(frozen=True, slots=True)
class Left:
    """What levels that are not shown take off the equations, at Chebyshev nodes.

    Attributes
    ----------
    scale : float
        Of the variable in which they are polynomials, u = sd / (sd + scale).
    top : float
        The nodes are ``top / 2 (1 - cos(pi i / (m - 1)))``.
    S, s : ndarray, shapes (m, w, w), (m, w)
        Sums of F'HF and F'Hf at each node.
    """

    scale: float
    top: float
    S: Float[np.ndarray, "m w w"]
    s: Float[np.ndarray, "m w"]


@dataclass(frozen=True, slots=True)
class Gone:
    """Products of the rows of single levels with all but their own effects.

    ``S`` (j, w, w) and ``s`` (j, w) go with a level that is left out.
    """

    S: Float[np.ndarray, "j w w"]
    s: Float[np.ndarray, "j w"]


@dataclass(frozen=True, slots=True)
class LessonEquations:
    """The equations of the levels that are shown.

    Attributes
    ----------
    shown : Henderson
        Products of these levels, and of all rows.
    gone : Gone or None
        What goes with each of these levels; None where it is not known or too much.
    usual : Henderson
        Of one level with the usual row once: sums over all rows, by their number, in
        which other grouping factors have no part.
    left : Left or None
        Of the levels that are not shown.
    """

    shown: Henderson
    gone: Gone | None
    usual: Henderson
    left: Left | None


def lesson_equations(
    dial: Dial, shown: Int[np.ndarray, " s"], scale: float, largest: float
) -> LessonEquations:
    """Equations of some levels of a dial.

    Parameters
    ----------
    dial : Dial
        What is turned.
    shown : ndarray of int, shape (s,)
        Positions of the levels, rising.
    scale, largest : float
        Of the SD: about the middle of where it matters, and its largest value.

    Raises
    ------
    ModelError
        If other grouping factors have so many effects that the page would be too large.
    """
    full = dial.equations
    (J, k), w = full.f.shape, len(full.s)
    each, more = k * (k + 1 + w), w * (w + 3) // 2
    left_out = len(shown) < J
    own = len(shown) * each + more * (1 + (FEWEST_NODES * 4 if left_out else 0))
    if own > MOST_NUMBERS:
        raise ModelError(
            f"Beside {dial.block.group} the other grouping factors have "
            f"{w - full.p:,} effects: a page that solves for all of them would be too "
            "large. Choose with term= the factor with the most levels, or take the "
            "numbers from shrinkage_path."
        )
    part = Henderson(
        full.A[shown], full.F[shown], full.f[shown], full.S, full.s, full.p
    )
    gone = None
    if own + len(shown) * more <= MOST_NUMBERS:
        gone = rows_of_levels(dial, shown)
    rest = np.setdiff1d(np.arange(J), shown)
    left = _left(dial, rest, scale, largest) if left_out else None
    return LessonEquations(part, gone, _usual(dial), left)


def rows_of_levels(dial: Dial, levels: Int[np.ndarray, " s"]) -> Gone | None:
    """What goes with each of some levels.

    None without rows in memory, and under residuals with a structure.
    """
    design, conditioned = dial.reml.design, dial.reml.model.conditioned
    if design.rows is None or design.residual is not None:
        return None
    stay = [True] * len(design.groups)
    rows = safe_rows(design, conditioned, "rows of single levels", stay)
    layout, p = conditioned.statistics.layout, dial.equations.p
    columns, y = [rows.W[:, :p]], rows.W[:, p]
    relative = [
        np.linalg.solve(conditioned.spread(t), factor) / dial.reml.sigma
        for t, factor in enumerate(dial.reml.factors)
    ]
    own = None
    for b, block in enumerate(layout.blocks):
        if block.terms == dial.block.terms:
            own = rows.codes[b]
        else:
            Z = rows.Z[b] @ block.join(relative)
            columns.append(_spread_out(Z, rows.codes[b], block))
    assert own is not None, "a block of the layout"
    M = np.hstack(columns)
    S = np.empty((len(levels), M.shape[1], M.shape[1]))
    s = np.empty((len(levels), M.shape[1]))
    for i, level in enumerate(levels.tolist()):
        at = np.flatnonzero(own == level)
        weighted = M[at] * rows.weights[at, None]
        S[i], s[i] = weighted.T @ M[at], weighted.T @ y[at]
    return Gone(S, s)


def _spread_out(
    Z: Float[np.ndarray, "n k"], codes: Int[np.ndarray, " n"], block: Block
) -> Float[np.ndarray, "n q"]:
    """One column for each effect of each level."""
    found = np.zeros((len(Z), block.n_levels * block.k))
    at = codes[:, None] * block.k + np.arange(block.k)
    np.put_along_axis(found, at, Z, axis=1)
    return found


def _usual(dial: Dial) -> Henderson:
    """One level with one row that is the mean of all, as far as products go."""
    full, n = dial.equations, dial.reml.design.n
    p, w = full.p, len(full.s)
    F, S = np.zeros((1, full.A.shape[1], w)), np.zeros((w, w))
    F[0, :, :p] = full.F[:, :, :p].sum(axis=0) / n
    S[:p, :p] = full.S[:p, :p] / n
    nothing = np.zeros((1, full.A.shape[1])), S, np.zeros(w)
    return Henderson(full.A.sum(axis=0)[None] / n, F, *nothing, p)


def _left(
    dial: Dial, rest: Int[np.ndarray, " r"], scale: float, largest: float
) -> Left:
    """Sums over levels that are not shown, as many nodes as they need.

    They are rational in u, without a pole in [0, 1): polynomials converge fast.
    """
    top = largest / (largest + scale)
    m, found = FEWEST_NODES, _at_nodes(dial, rest, scale, top, FEWEST_NODES)
    size = np.sqrt(np.diag(dial.equations.S))
    while m < MOST_NODES:
        finer = _at_nodes(dial, rest, scale, top, 2 * m - 1)
        between = _interpolated(found.S, m)
        off = np.abs(between - finer.S[1::2]) / np.outer(size, size)
        m, found = 2 * m - 1, finer
        if off.max() < CLOSE:
            break
    return found


def _at_nodes(
    dial: Dial, rest: Int[np.ndarray, " r"], scale: float, top: float, m: int
) -> Left:
    """The sums at m nodes."""
    u = 0.5 * top * (1.0 - np.cos(np.pi * np.arange(m) / (m - 1)))
    sds, full = scale * u / (1.0 - u), dial.equations
    A, F, f = full.A[rest], full.F[rest], full.f[rest]
    S, s = np.empty((m, *full.S.shape)), np.empty((m, len(full.s)))
    for i, sd in enumerate(sds.tolist()):
        H, _ = dial.penalty(sd).spread(A)
        slope = H @ F
        S[i] = np.einsum("jka,jkb->ab", F, slope)
        s[i] = np.einsum("jka,jk->a", slope, f)
    return Left(scale, top, S, s)


def _interpolated(values: Float[np.ndarray, "m w w"], m: int) -> np.ndarray:
    """Values half-way (in angle) between Chebyshev nodes, by the barycentric formula.

    References
    ----------
    .. [1] Berrut and Trefethen (2004). SIAM Review 46(3).
       https://doi.org/10.1137/S0036144502417715
    """
    angle = np.pi * np.arange(m) / (m - 1)
    at = np.cos(angle[:-1] + 0.5 * np.pi / (m - 1))
    weights = np.where(np.arange(m) % 2 == 0, 1.0, -1.0)
    weights[[0, -1]] *= 0.5
    terms = weights / (at[:, None] - np.cos(angle))
    return np.einsum("im,mab->iab", terms, values) / terms.sum(axis=1)[:, None, None]

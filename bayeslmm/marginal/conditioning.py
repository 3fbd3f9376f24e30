"""The same model in coordinates in which arithmetic is safe, and the way back.

Takes a `Design` (or the `Sums` of its batches), gives a `Conditioned` model: X moved to
its means and turned to orthonormal columns, y without its regression on X and in units
of what is left, and the columns of each bar term likewise: orthogonalised where the
effects of a level may be correlated, else only rescaled. For an unstructured term with
an intercept they are moved to their means before; the meaning of the other structures
lies in the columns. The covariances of y are the same, so is the density up to a
constant. REML, the posterior and the effects are all computed from these
cross-products, and so depend neither on the origin nor on the unit of y and of any
predictor: a calendar year, whose squares lose ten digits in a cross-product, is as good
as a time since the start.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from scipy.linalg import solve_triangular

from bayeslmm.design.arrays import Design, rows_of
from bayeslmm.design.moments import ColumnMoments
from bayeslmm.design.rows import Rows
from bayeslmm.errors import DataError
from bayeslmm.marginal.columns import Columns, constant_of, mover
from bayeslmm.marginal.conditioned import Conditioned
from bayeslmm.marginal.layout import Layout, make_layout
from bayeslmm.marginal.roots import asks_rows, basis_of, root_of
from bayeslmm.marginal.routes import make_statistics
from bayeslmm.marginal.stack import make_stack
from bayeslmm.marginal.sums import Sums, fixed_products, sum_rows, turn_sums

EPS = float(np.finfo(float).eps)
# Steps between neighbouring doubles at the size of y that the SD beside the predictors
# must have: rounding of the data then is 1e-5 of its variance.
LEAST_STEPS = 100.0
# Sizes of y, of predictors, and of effects: ArviZ takes fourth powers of draws.
LARGEST = 1e70
# Less is rounding of numbers that the predictors reproduce.
NOTHING_LEFT = 2.0


def effect_centers(design: Design) -> tuple[Float[np.ndarray, " _k"], ...]:
    """Means over the rows that are taken off the columns of each bar term."""
    found = []
    for term, columns in zip(design.groups, design.moments.Z, strict=True):
        varies = ~columns.constant if term.is_closed else np.zeros(term.k, bool)
        found.append(np.where(varies, columns.mean, 0.0))
    return tuple(found)


def effect_movers(
    design: Design, centers: Sequence[Float[np.ndarray, " _k"]] | None = None
) -> tuple[Float[np.ndarray, "_k _k"], ...]:
    """T of each bar term: ``Z T`` are the moved columns.

    Those less their means, `effect_centers`, products being of centred variables.
    """
    found = []
    centers = effect_centers(design) if centers is None else centers
    for t, (term, center) in enumerate(zip(design.groups, centers, strict=True)):
        turn = design.effect_turn(t)
        own = mover(center, constant_of(term))
        found.append(own if turn is None else own @ turn)
    return tuple(found)


def effect_bases(
    design: Design, bases: Sequence[Float[np.ndarray, "_k _k"]]
) -> tuple[Float[np.ndarray, "_k _k"], ...]:
    """Safe columns of each bar term from the data's less their means."""
    turns = [design.effect_turn(t) for t in range(len(bases))]
    return tuple(
        basis if turn is None else turn @ basis
        for turn, basis in zip(turns, bases, strict=True)
    )


def moved_moments(
    design: Design, t: int, center: Float[np.ndarray, " k"] | None = None
) -> ColumnMoments:
    """Moments of the moved columns of bar term number t."""
    turn = design.effect_turn(t)
    center = effect_centers(design)[t] if center is None else center
    found = design.effect_moments(t)
    return replace(found, mean=found.mean - (center if turn is None else center @ turn))


# --- from rows or sums ----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Frame:
    """Where the columns are moved to, their roots, and the spread of all of y."""

    means: Float[np.ndarray, " p"]
    centers: tuple[Float[np.ndarray, " _k"], ...]
    level: float
    spread: float
    root: Float[np.ndarray, "p p"]
    movers: tuple[Float[np.ndarray, "_k _k"], ...]
    bases: tuple[Float[np.ndarray, "_k _k"], ...]

    def inverse(self) -> Float[np.ndarray, "w w"]:
        """Turns moved columns of X, and y, to orthonormal ones in units of its spread.

        Shape (p + 1, p + 1).
        """
        p = len(self.means)
        turn = np.eye(p + 1)
        turn[:p, :p] = solve_triangular(self.root, np.eye(p)) if p else self.root
        turn[p, p] = 1.0 / self.spread
        return turn


def condition(design: Design) -> Conditioned:
    """Put a design whose rows are in memory into safe coordinates.

    Parameters
    ----------
    design : Design
        Arrays of the model, X of full rank.

    Returns
    -------
    Conditioned
        Cross-products of the safe columns, and the way back.

    Raises
    ------
    DataError
        If doubles cannot tell the response from its mean.
    """
    frame, p = _make_frame(design), design.p
    turn = frame.inverse()
    bases = effect_bases(design, frame.bases)
    origin = np.append(frame.means, frame.level)
    columns = Columns(origin, turn, frame.centers, bases)
    rows = rows_of(design, "cross-products")
    along = _regression(fixed_products(rows, columns), p)
    last = turn.copy()
    last[:p, p] = -turn[:p, :p] @ along
    layout = make_layout(design)
    sums = sum_rows(rows, layout, replace(columns, turn=last))
    found = _finish(design, frame, layout, sums, along)
    last[:, p] *= frame.spread / found.unit
    stack = make_stack(design, layout, replace(columns, turn=last))
    return replace(found, stack=stack)


def condition_sums(
    design: Design, sums: Sums, layout: Layout, columns: Columns
) -> Conditioned:
    """The same from sums of rows that are no longer there.

    Parameters
    ----------
    design : Design
        A design with moments instead of rows.
    sums : Sums
        Sums of all rows.
    layout : Layout
        Blocks of the model.
    columns : Columns
        What was summed: columns moved by the means of the first rows, products of
        variables less theirs. These are among the rows, so that no more digits are lost
        than there are rows to each of them.

    Returns
    -------
    Conditioned
        The same up to rounding as from the rows in memory.

    Raises
    ------
    DataError
        If doubles cannot tell the response from its mean.
    """
    frame, p = _make_frame(design), design.p
    origin = np.append(frame.means, frame.level)
    turn = columns.undone(origin, design.intercept) @ frame.inverse()
    along = _regression(turn.T @ sums.WW @ turn, p)
    turn[:, p] -= turn[:, :p] @ along
    bases = [
        columns.undone_z(t, center, constant_of(term)) @ basis
        for t, (term, center, basis) in enumerate(
            zip(
                design.groups,
                frame.centers,
                effect_bases(design, frame.bases),
                strict=True,
            )
        )
    ]
    turned = turn_sums(sums, layout, turn, bases)
    return _finish(design, frame, layout, turned, along)


def _make_frame(design: Design) -> _Frame:
    """Means and roots of the columns."""
    moments, p, rows = design.moments, design.p, design.rows
    means, level = np.zeros(p), response_level(design)
    if design.intercept is not None:
        means = np.where(moments.X.constant, 0.0, moments.X.mean)
    root = np.zeros((0, 0))
    if p:
        own = replace(moments.X, mean=moments.X.mean - means)
        few = rows.X - means if rows is not None and asks_rows(own) else None
        root = root_of(own, few)
    centers, bases = effect_centers(design), []
    for t, term in enumerate(design.groups):
        own, few = moved_moments(design, t, centers[t]), None
        if rows is not None and asks_rows(own):
            few = _moved_rows(design, rows, t, centers[t])
        bases.append(basis_of(term.covariance, own, few))
    spread, movers = power_of_two(moments.net.sd(1)[0]), effect_movers(design, centers)
    return _Frame(means, centers, level, spread, root, movers, tuple(bases))


def response_level(design: Design) -> float:
    """Taken off y: its mean less the offset where an intercept takes it up, else 0."""
    return 0.0 if design.intercept is None else float(design.moments.net.mean[0])


def _moved_rows(
    design: Design, rows: Rows, t: int, center: Float[np.ndarray, " k"]
) -> Float[np.ndarray, "n k"]:
    """The moved columns of a bar term."""
    Z, turn = rows.Z[t] - center, design.effect_turn(t)
    return Z if turn is None else Z @ turn


def _regression(products: Float[np.ndarray, "w w"], p: int) -> Float[np.ndarray, " p"]:
    """Coefficients of y on safe columns; any will do that take most of it off."""
    if not p:
        return np.zeros(0)
    return np.linalg.lstsq(products[:p, :p], products[:p, p], rcond=None)[0]


def power_of_two(value: float) -> float:
    """The power of two next to a positive number, exact to multiply with; else 1."""
    if not (0.0 < value < math.inf):
        return 1.0
    return 2.0 ** round(math.log2(value))


def _finish(
    design: Design,
    frame: _Frame,
    layout: Layout,
    sums: Sums,
    along: Float[np.ndarray, " p"],
) -> Conditioned:
    """The unit of y set to what X leaves of it, and all in one object."""
    left = power_of_two(math.sqrt(max(float(sums.WW[-1, -1]), 0.0) / sums.n))
    turn = np.eye(design.p + 1)
    turn[-1, -1] = 1.0 / left
    whole = [np.eye(term.k) for term in design.groups]
    beta = frame.spread * (solve_triangular(frame.root, along) if design.p else along)
    if design.intercept is not None:
        beta[design.intercept] += frame.level
    found = Conditioned(
        statistics=make_statistics(turn_sums(sums, layout, turn, whole), layout),
        unit=frame.spread * left,
        means=frame.means,
        intercept=design.intercept,
        root=frame.root,
        beta=beta,
        movers=frame.movers,
        bases=frame.bases,
    )
    check_response(design, found)
    return found


def check_response(design: Design, conditioned: Conditioned) -> None:
    """Raise `DataError` if doubles cannot hold what X leaves of y, or its effects."""
    _check_digits(design, conditioned)
    _check_units(design, conditioned)


def reproduces(design: Design, conditioned: Conditioned) -> bool:
    """Whether X leaves nothing of y but the rounding of its doubles."""
    step = _step(design)
    if design.rows is None:  # sums have half the digits
        step = max(step, math.sqrt(EPS) * float(design.moments.net.sd()[0]))
    return not _plain_sd(design, conditioned) > NOTHING_LEFT * step


def _plain_sd(design: Design, conditioned: Conditioned) -> float:
    """What X leaves of y, without the mean weight: in the units of y."""
    weight = math.exp(0.5 * conditioned.statistics.log_weights / design.n)
    return conditioned.residual_sd / weight


def _check_units(design: Design, conditioned: Conditioned) -> None:
    """Raise if numbers of the size of the estimates have no fourth power in doubles."""
    columns = {design.response: conditioned.residual_sd}
    columns |= dict(
        zip(design.fixed_names, design.moments.X.rms().tolist(), strict=True)
    )
    for term, moments in zip(design.groups, design.moments.Z, strict=True):
        columns |= dict(zip(term.effects, moments.rms().tolist(), strict=True))
    for name, size in columns.items():
        effect = conditioned.residual_sd / size
        if size == 0.0 or all(1 / LARGEST < v < LARGEST for v in (size, effect)):
            continue
        raise DataError(
            f"{name!r} is of size {size:.1g} and what the fixed effects leave of "
            f"{design.response!r} of size {columns[design.response]:.1g}, in the units "
            f"given: the squares of such effects, and of their errors, are no numbers "
            f"in double precision. Count both in units in which they are nearer to 1."
        )


def _check_digits(design: Design, conditioned: Conditioned) -> None:
    """Raise if the doubles of y are too coarse for what X leaves of it."""
    y, sd = design.moments.y, _plain_sd(design, conditioned)
    step = _step(design)
    if reproduces(design, conditioned) or sd >= LEAST_STEPS * step:
        return
    raise DataError(
        f"The response {design.response!r} has values up to {y.size[0]:.3g}, where "
        f"neighbouring numbers of double precision are {step:.1g} apart, and an "
        f"SD of {sd:.3g} beside the fixed effects: its digits are lost before anything "
        f"is fitted. Subtract a constant from {design.response!r} where it is still "
        f"exact, before it is stored."
    )


def _step(design: Design) -> float:
    """What y is rounded to; whole numbers that fit are exact, and so their deviations.

    Without an intercept nothing is taken off them.
    """
    y = design.moments.y
    exact = design.response not in design.account.coarse and bool((y.far & y.whole)[0])
    if exact and design.intercept is not None:
        return EPS * float(y.high[0] - y.low[0])
    return float(y.step[0])

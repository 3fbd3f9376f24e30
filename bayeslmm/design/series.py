"""From rows to what is known of all of them: strata, series, steps.

Takes the factors of ``residual=`` with the codes of the rows; gives the
`ResidualStructure` and the `ResidualRows`, or says why the rows cannot have it.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, cast

import numpy as np
from jaxtyping import Float, Int

from bayeslmm.design.coder import find_groups
from bayeslmm.design.coding import Coding
from bayeslmm.design.evaluate import Column, NumericColumn, RawRows, evaluate_atom
from bayeslmm.design.residual import ResidualRows, ResidualStructure, Series, Strata
from bayeslmm.errors import DataError, listed
from bayeslmm.formula import Formula, ResidualTerm

# Gaps whose ratio is this near to a whole number are whole steps.
SAME_GAP = 1e-6
# Different gaps, or sizes of groups, up to which sums are kept for each.
MOST_PATTERNS = 100

Codes = Int[np.ndarray, " n"]


def learn_residual(
    coding: Coding,
    columns: Mapping[str, Column],
    rows: RawRows,
    bars: Sequence[Codes],
) -> tuple[ResidualStructure, ResidualRows] | None:
    """The structure of the residuals of all rows, and its codes.

    Parameters
    ----------
    coding : Coding
        Coding of the formula.
    columns : mapping
        Its atoms on these rows.
    rows : RawRows
        All rows used.
    bars : sequence of ndarray, shape (n,)
        Level of each row under every bar term.

    Returns
    -------
    tuple of ResidualStructure and ResidualRows, or None
        None if the formula says nothing of residuals.

    Raises
    ------
    DataError
        If the rows cannot have the structure: the message names levels and counts.
    """
    formula = coding.formula
    if not formula.residual:
        return None
    found = encode_residual(coding, columns, rows)
    strata, series = None, None
    for term in formula.residual:
        levels = coding.groups[term.group_label].levels
        if term.word == "varident":
            assert found.stratum is not None, "varident has strata"
            counts = np.bincount(found.stratum, minlength=len(levels))
            strata = Strata(term.group_label, levels, tuple(counts.tolist()))
            _check_strata(term, strata)
        else:
            series = _series(formula, term, levels, found, bars)
    label = " * ".join(term.label for term in formula.residual)
    return ResidualStructure(label, strata, series), found


def encode_residual(
    coding: Coding, columns: Mapping[str, Column], rows: RawRows
) -> ResidualRows:
    """Stratum, series and time of rows under the levels of all."""
    stratum = series = time = None
    for term in coding.formula.residual:
        codes = coding.groups[term.group_label].codes(rows)
        if term.word == "varident":
            stratum = codes
        else:
            series = codes
        if term.order is not None:
            time = order_values(term, columns[term.order.label])
    return ResidualRows(stratum, series, time)


def new_residual(coding: Coding, rows: RawRows) -> ResidualRows:
    """The same of new rows, whose series may be new; strata may not.

    Raises
    ------
    DataError
        If a stratum is new: it has no SD.
    """
    stratum = series = time = None
    for term in coding.formula.residual:
        codes, labels = find_groups(coding.groups[term.group_label], rows)
        if term.word == "varident":
            unseen = dict.fromkeys(labels[codes < 0])
            if unseen:
                raise DataError(
                    f"The new data have the level{'s' if len(unseen) > 1 else ''} "
                    f"{listed(unseen)} of {term.group_label!r}, which have no residual "
                    f"SD in {term.label}. Leave out those rows, or kind='response'."
                )
            stratum = codes
        else:
            _, series = np.unique(labels, return_inverse=True)
        if term.order is not None:
            time = order_values(term, evaluate_atom(term.order, rows))
    return ResidualRows(stratum, series, time)


def order_values(term: ResidualTerm, column: Column) -> Float[np.ndarray, " n"]:
    """When each row was, as numbers."""
    assert term.order is not None, "the caller has looked"
    if isinstance(column, NumericColumn):
        return column.values[:, 0]
    raise DataError(
        f"{term.order.label!r} orders the rows of {term.label} and is no column of "
        f"numbers, so how far rows are apart is not known. Make it numbers, such as "
        f"days since the first date."
    )


def _check_strata(term: ResidualTerm, strata: Strata) -> None:
    """Several strata, none of a single row."""
    counts = np.array(strata.counts)
    if len(counts) < 2:
        raise DataError(
            f"{term.label} gives each level of {strata.group!r} an SD of its own, and "
            f"there is 1 level ({strata.levels[0]!r}). Leave {term.label} out."
        )
    single = [strata.levels[i] for i in np.flatnonzero(counts < 2)]
    if single:
        raise DataError(
            f"{term.label} gives each level of {strata.group!r} a residual SD of its "
            f"own, and {listed(single)} {'has' if len(single) == 1 else 'have'} one "
            f"row: a single row says nothing of an SD. Join "
            f"{'it' if len(single) == 1 else 'them'} with other levels, or drop those "
            f"rows."
        )


def _series(
    formula: Formula,
    term: ResidualTerm,
    levels: tuple[str, ...],
    rows: ResidualRows,
    bars: Sequence[Codes],
) -> Series:
    """Series of cs or ar1, checked."""
    codes = rows.series
    assert codes is not None, "the caller has coded them"
    counts = np.bincount(codes, minlength=len(levels))
    if counts.max() < 2:
        raise DataError(
            f"{term.label}: each of the {len(levels)} levels of {term.group_label!r} "
            f"has one row, so no two rows can be correlated. Group by a coarser "
            f"column."
        )
    word = cast("Literal['cs', 'ar1']", term.word)
    within = _within(formula, term, codes, bars)
    if rows.time is None or term.order is None:
        if len(formula.residual) == 1:
            _check_told_apart(formula, term, codes, bars)
        sizes = np.unique(counts[counts > 1])
        _check_few(term, len(sizes), f"sizes of the levels of {term.group_label!r}")
        return Series(
            word, term.group_label, levels, largest=int(counts.max()), within=within
        )
    gaps = _gaps(term, levels, codes, rows.time)
    step, regular = _step(gaps)
    found = Series(
        *(word, term.group_label, levels, term.order.label, step, regular),
        *(int(counts.max()), within),
    )
    different = len(np.unique(found.steps(gaps)))
    _check_few(term, different, f"gaps between the values of {term.order.label!r}")
    return found


def _gaps(
    term: ResidualTerm,
    levels: tuple[str, ...],
    codes: Codes,
    time: Float[np.ndarray, " n"],
) -> Float[np.ndarray, " g"]:
    """Times between neighbouring rows of a series; none are at the same time."""
    order = np.lexsort((time, codes))
    same = np.diff(codes[order]) == 0
    gaps = np.diff(time[order])[same]
    twice = np.flatnonzero(same)[gaps == 0.0]
    if len(twice):
        assert term.order is not None, "ar1 has an order"
        at = order[twice[0]]
        n = len(np.unique(codes[order[twice]]))
        raise DataError(
            f"{term.label}: {levels[codes[at]]!r} has two rows at {term.order.label} = "
            f"{time[at]:g}"
            + (f", and so have {n - 1} more levels of {term.group_label!r}" * (n > 1))
            + ". Rows of a series are ordered by time, so no two can be at the same. "
            "If there are several series in one level, group by what tells them "
            f"apart, as in ar1({term.order.label} | {term.group_label}:b); else "
            "average such rows."
        )
    return gaps


def _step(gaps: Float[np.ndarray, " g"]) -> tuple[float, bool]:
    """The time that counts as one step, and whether every gap is whole steps.

    The smallest gap if all others are multiples of it (rows may be missing); else the
    typical gap, the median, so that rho does not depend on the unit of time.
    """
    step = float(gaps.min())
    ratio = gaps / step
    if (np.abs(ratio - np.round(ratio)) <= SAME_GAP * ratio).all():
        return step, True
    return float(np.median(gaps)), False


def _check_few(term: ResidualTerm, n: int, what: str) -> None:
    """Raise if sums for each kind would be as many as the rows."""
    if n > MOST_PATTERNS:
        raise DataError(
            f"{term.label}: there are {n:,} different {what}, and sums are kept for "
            f"each; {MOST_PATTERNS} are the most. Round them to a coarser grid, such "
            f"as days or weeks."
        )


def _within(
    formula: Formula, term: ResidualTerm, codes: Codes, bars: Sequence[Codes]
) -> tuple[str, ...]:
    """Grouping factors in whose levels each series lies; one is needed to start from.

    Rows of different levels of the factor that is eliminated first must not be
    correlated by their residuals.
    """
    n_series = len(np.unique(codes))
    found = []
    for bar, own in zip(formula.random, bars, strict=True):
        pairs = codes.astype(np.int64) * (int(own.max()) + 1) + own
        if len(np.unique(pairs)) == n_series:
            found.append(bar.group_label)
    if formula.random and not found:
        groups = listed(dict.fromkeys(bar.group_label for bar in formula.random))
        raise DataError(
            f"{term.label}: the levels of {term.group_label!r} are not nested in those "
            f"of {groups}: rows of one series belong to several levels. As in nlme, "
            f"each series must lie within one level of a grouping factor. Group the "
            f"series by that factor and what tells them apart, or add a random term "
            f"such as (1 | {term.group_label}).".replace("..", ".")
        )
    return tuple(dict.fromkeys(found))


def _check_told_apart(
    formula: Formula, term: ResidualTerm, codes: Codes, bars: Sequence[Codes]
) -> None:
    """Raise if cs(g) stands beside (1 | g): both are one correlation within a level."""
    n_series = len(np.unique(codes))
    for bar, own in zip(formula.random, bars, strict=True):
        same = bar.group_label in _within(formula, term, codes, bars)
        same = same and len(np.unique(own)) == n_series
        if same and bar.predictor.intercept:
            raise DataError(
                f"{term.label} and {bar.label} both give any two rows of a level of "
                f"{bar.group_label!r} the same covariance, so they cannot be told "
                f"apart. Leave one of them out: {term.label} alone allows a negative "
                f"correlation, {bar.label} gives the effects of levels."
            )

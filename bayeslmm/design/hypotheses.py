"""What it means that a term has no effect: rows over the fixed effects, by type.

Takes a recipe; gives for each term of the fixed part the combinations that are 0 under
its hypothesis, in the types that SAS named: **1** each term after those before it,
**2** after all terms that do not contain it, **3** averaged over the levels of the
factors that it interacts with, all cells alike. A term contains another if it has the
same numeric variables and all of its factors, and more.

References
----------
.. [1] Kuznetsova, Brockhoff and Christensen (2017). J. Stat. Softw. 82(13), section 3.
   https://doi.org/10.18637/jss.v082.i13
"""

from collections.abc import Mapping
from dataclasses import replace
from itertools import product

import numpy as np
from jaxtyping import Float, Int

from bayeslmm.design.evaluate import AnyNumeric, Column, Described, NumericColumn
from bayeslmm.design.frame import AnyFactor, FactorColumn
from bayeslmm.design.matrices import CodedTerm, model_matrix, n_columns
from bayeslmm.design.rank import dependent_columns, moments_tolerance, normalised
from bayeslmm.design.recipe import Recipe
from bayeslmm.formula import Term

# A weight below this share of the largest is rounding.
ROUNDING = 1e-9
# Random values of the numeric variables for each cell of the factors.
VALUES = 3
# Cells of all factors beyond which some are drawn.
MOST_CELLS = 20_000

Hypotheses = dict[str, Float[np.ndarray, "_l p"]]


def term_hypotheses(recipe: Recipe, kind: int) -> Hypotheses:
    """Rows over the fixed effects for each term, in the order of the formula.

    Parameters
    ----------
    recipe : Recipe
        Whose fixed part is tested.
    kind : {1, 2, 3}
        Type of the hypotheses.

    Returns
    -------
    dict of str to ndarray, shape (l, p)
        By the label of the term; l is its number of columns. Rows are scaled as
        lmerTest scales them: Satterthwaite's degrees of freedom of several rows
        depend on that, in the third digit.
    """
    if kind == 3:
        return _averaged(recipe)
    spans, found = _spans(recipe), {}
    root = recipe.design.moments.X.root()
    for coding, own in zip(recipe.coding.fixed, spans, strict=True):
        if not len(own):  # all of its columns were dropped
            continue
        later = _later(recipe, coding.term, own, kind)
        if kind == 2 and len(later) == len(own):  # adjusted for all others
            found[coding.term.label] = np.eye(recipe.design.p)[own]
            continue
        order = np.concatenate([np.setdiff1d(np.arange(recipe.design.p), later), later])
        upper = np.zeros((len(order), len(order)))
        upper[:, order] = np.linalg.qr(root[:, order], mode="r")
        rows = upper[np.flatnonzero(np.isin(order, own))]
        found[coding.term.label] = rows / rows[np.arange(len(own)), own][:, None]
    return found


def _later(
    recipe: Recipe, term: Term, own: Int[np.ndarray, " l"], kind: int
) -> Int[np.ndarray, " c"]:
    """Columns that a term is not adjusted for, its own first."""
    if kind == 1:
        return np.arange(own[0], recipe.design.p)
    others = [
        span
        for coding, span in zip(recipe.coding.fixed, _spans(recipe), strict=True)
        if _contains(coding.term, term, recipe.coding.variables)
    ]
    return np.concatenate([own, *others])


def _spans(recipe: Recipe) -> list[Int[np.ndarray, " l"]]:
    """Columns of X of each term; none of one whose columns were all dropped."""
    aliasing = recipe.coding.aliasing
    kept = np.arange(recipe.design.p) if aliasing is None else aliasing.kept
    return _places(recipe, kept)


def _places(recipe: Recipe, kept: Int[np.ndarray, " r"]) -> list[Int[np.ndarray, " l"]]:
    """Places of the columns of each term among those kept."""
    first, found = int(recipe.formula.fixed.intercept), []
    for coding in recipe.coding.fixed:
        width = n_columns(coding, recipe.coding.variables)
        own = (kept >= first) & (kept < first + width)
        found.append(np.flatnonzero(own))
        first += width
    return found


def _contains(one: Term, other: Term, columns: Mapping[str, Described]) -> bool:
    """Whether a term contains another: more factors, the same numeric variables."""
    of_one, of_other = (
        {
            is_factor: {
                atom.label
                for atom in term.atoms
                if isinstance(columns[atom.label], AnyFactor) is is_factor
            }
            for is_factor in (True, False)
        }
        for term in (one, other)
    )
    return of_one[False] == of_other[False] and of_one[True] > of_other[True]


# --- type 3 ---------------------------------------------------------------------------


def _averaged(recipe: Recipe) -> Hypotheses:
    """Type 3, from the general form of estimable functions (Goodnight, as SAS).

    It does not depend on how factors are coded: rows are those of treatment coding,
    turned to the columns that there are.
    """
    codings = recipe.coding.fixed
    estimable, own_rows, kept, turn = _estimable(recipe)
    spans = _places(recipe, kept)
    order = sorted(range(len(codings)), key=lambda i: -len(codings[i].term.atoms))
    for i in order:
        above = [
            spans[j]
            for j, coding in enumerate(codings)
            if _contains(coding.term, codings[i].term, recipe.coding.variables)
        ]
        if above and len(spans[i]):
            basis = estimable[:, np.concatenate(above)]
            target = estimable[:, spans[i]]
            fitted = basis @ np.linalg.lstsq(basis, target, rcond=None)[0]
            estimable[:, spans[i]] = target - fitted
    found = {}
    for coding, span in zip(codings, spans, strict=True):
        if not len(span):
            continue
        rows = estimable[own_rows][:, span].T
        size = np.abs(rows).max(axis=1, keepdims=True)
        rows = np.where(np.abs(rows) > ROUNDING * np.maximum(size, 1.0), rows, 0.0)
        found[coding.term.label] = rows[np.abs(rows).max(axis=1) > ROUNDING] @ turn
    return found


def _estimable(
    recipe: Recipe,
) -> tuple[
    Float[np.ndarray, "a r"],
    Int[np.ndarray, " r"],
    Int[np.ndarray, " r"],
    Float[np.ndarray, "r r"],
]:
    """Columns of all levels as combinations of treatment columns, and which those are.

    Which treatment columns the data keep, and their coefficients from those of X. The
    relation between the codings is that of any rows in which all cells occur, so the
    numeric variables are drawn, and nothing depends on their values.
    """
    columns, n = _cells(recipe)
    fixed = recipe.formula.fixed
    treated = tuple(replace(coding, plain=True) for coding in recipe.coding.fixed)
    X = model_matrix(fixed, treated, columns, n)
    all_levels = tuple(_all_levels(coding, columns) for coding in recipe.coding.fixed)
    whole = model_matrix(fixed, all_levels, columns, n)
    own = model_matrix(fixed, recipe.coding.fixed, columns, n)
    to_whole = np.linalg.lstsq(X, whole, rcond=None)[0]
    to_own = _rounded(np.linalg.lstsq(own, X, rcond=None)[0])
    kept, aliasing = np.arange(X.shape[1]), recipe.coding.aliasing
    if aliasing is not None:
        to_own = aliasing.relation @ to_own
        root, _ = normalised(recipe.design.moments.X.root() @ to_own)
        gone = dependent_columns(root, moments_tolerance(X.shape[1]))
        kept = np.setdiff1d(kept, [j for j, _ in gone])
    turn = np.linalg.inv(to_own[:, kept])
    at = [np.arange(int(fixed.intercept))]
    first = int(fixed.intercept)
    for coding, full in zip(recipe.coding.fixed, all_levels, strict=True):
        at.append(first + _held_levels(coding, columns))
        first += n_columns(full, columns)
    own_rows = np.concatenate(at).astype(np.int64)[kept]
    relation = _rounded(turn @ to_own @ to_whole)
    return np.ascontiguousarray(relation.T), own_rows, kept, _rounded(turn)


def _rounded(matrix: Float[np.ndarray, "r c"]) -> Float[np.ndarray, "r c"]:
    """What is rounding made 0."""
    return np.where(np.abs(matrix) > ROUNDING, matrix, 0.0)


def _all_levels(coding: CodedTerm, columns: Mapping[str, Described]) -> CodedTerm:
    """The term with an indicator for every level."""
    full = tuple(
        isinstance(columns[atom.label], AnyFactor) for atom in coding.term.atoms
    )
    return replace(coding, full=full)


def _held_levels(
    coding: CodedTerm, columns: Mapping[str, Described]
) -> Int[np.ndarray, " l"]:
    """Which columns of all levels a coding has, the first atom varying fastest."""
    sizes, kept = [], []
    for atom, full in zip(coding.term.atoms, coding.full, strict=True):
        column = columns[atom.label]
        if isinstance(column, AnyNumeric):
            sizes.append(len(column.names))
            kept.append(range(len(column.names)))
        else:
            sizes.append(len(column.levels))
            kept.append(range(0 if full else 1, len(column.levels)))
    steps = np.cumprod([1, *sizes[:-1]])
    return np.array([steps @ cell[::-1] for cell in product(*reversed(kept))])


def _cells(recipe: Recipe) -> tuple[dict[str, Column], int]:
    """Rows with every cell of the factors of the fixed part, numbers drawn."""
    rng = np.random.default_rng(0)
    labels = list(
        dict.fromkeys(a.label for c in recipe.coding.fixed for a in c.term.atoms)
    )
    known = {label: recipe.coding.variables[label] for label in labels}
    factors = {k: v for k, v in known.items() if isinstance(v, AnyFactor)}
    sizes = [len(factor.levels) for factor in factors.values()]
    total = int(np.prod(sizes, dtype=float)) if sizes else 1
    if total <= MOST_CELLS:
        flat = np.repeat(np.arange(total), VALUES)
        codes = np.unravel_index(flat, sizes) if sizes else ()
    else:
        codes = tuple(rng.integers(0, size, VALUES * MOST_CELLS) for size in sizes)
    n = len(np.atleast_2d(codes)[0]) if sizes else 4 * (recipe.design.p + 1)
    if len(labels) > len(factors):  # more numbers than cells may have rows
        times = -(-4 * (recipe.design.p + 1) // n)
        codes, n = tuple(np.tile(c, times) for c in codes), n * times
    columns: dict[str, Column] = {}
    for place, (label, factor) in enumerate(factors.items()):
        own = codes[place].astype(np.int64)
        columns[label] = FactorColumn(own, factor.levels, factor.kind)
    for label, column in known.items():
        if isinstance(column, AnyNumeric):
            values = rng.standard_normal((n, len(column.names)))
            columns[label] = NumericColumn(values, column.names)
    return columns, n

"""What a design must satisfy before anything is fitted to it.

Takes the arrays and gives nothing, or a `DataError` that names the columns and says
what to do. The limits on levels and effects are those of lme4's ``lmerControl``.
"""

from collections.abc import Mapping

from bayeslmm.data.numbers import is_whole
from bayeslmm.design.advice import advise
from bayeslmm.design.aliasing import Aliasing
from bayeslmm.design.arrays import Design, GroupTerm
from bayeslmm.design.coder import AtomCoder
from bayeslmm.design.digits import Given, account_digits, check_sums
from bayeslmm.design.rank import (
    MOST_NAMED,
    Dependence,
    dependence_of_moments,
    dependence_of_rows,
    surely_independent,
)
from bayeslmm.design.response import check_varies
from bayeslmm.design.span import FixedPart
from bayeslmm.errors import DataError, FormulaError, listed
from bayeslmm.formula import Formula, Name

# --- before the matrices are built ----------------------------------------------------


def check_not_swapped(
    formula: Formula, factors: Mapping[str, AtomCoder], n: int
) -> None:
    """Raise for ``(g | x)``: a text column that varies by a measurement.

    Grouping by a number is fine for codes. It is taken for a slip if the number is not
    whole, is different in each of the n rows, or is itself a slope of the fixed part
    while the left-hand side is not.
    """
    fixed = {atom.label for term in formula.fixed.terms for atom in term.atoms}
    for bar in formula.random:
        atoms = [atom for term in bar.predictor.terms for atom in term.atoms]
        pair = [factors.get(atom.label) for atom in (*atoms, *bar.group)]
        alone = len(bar.group) == len(atoms) == 1
        if not alone or [_kind(coder) for coder in pair] != ["text", "number"]:
            continue
        (left, right), by = (atoms[0].label, bar.group[0].label), pair[1]
        assert by is not None, "it holds numbers"
        assert by.numbers is not None, "it holds numbers"
        values = by.numbers.values
        slope = right in fixed and left not in fixed
        if not is_whole(values) or slope or len(values) == n:
            raise FormulaError(
                f"({left} | {right}) lets the effects of {left!r}, a factor, vary by "
                f"{right!r}, a number with {len(values)} different values. "
                f"The grouping factor stands on the right of the bar: did you mean "
                f"({right} | {left})? If {right!r} is a code, "
                f"make it text in the data: data[{right!r}].astype(str).",
                formula.text,
                bar.position,
            )


def _kind(coder: AtomCoder | None) -> str | None:
    """Kind of a column that stands as it is; None for an expression."""
    if coder is None or not isinstance(coder.atom.node, Name):
        return None
    return coder.kind


# --- the design -----------------------------------------------------------------------


def checked_design(
    design: Design,
    part: FixedPart,
    given: Mapping[str, Given],
    integers: frozenset[str],
    *,
    gaussian: bool,
) -> tuple[Design, Aliasing | None]:
    """The design with an account of lost digits, if a model can be made of it.

    And which columns of its fixed part others determine, None if there are none.

    Parameters
    ----------
    design : Design
        The design; where its rows are not in memory this is the first look at its
        response.
    part : FixedPart
        The fixed part as the formula has it, for advice on what to write instead.
    given : mapping
        What `given_numbers` found of all rows.
    integers : frozenset of str
        Columns that are integers in the data.
    gaussian : bool
        Whether there is a residual variance.

    Raises
    ------
    DataError
        Unless some coefficients and the variances can be told apart.
    """
    design = account_digits(design, given, integers)
    if design.rows is None:
        y = design.moments.y
        check_varies(design.response, float(y.low[0]), float(y.high[0]), design.n)
    for term in design.groups:
        _check_levels(design, term, gaussian=gaussian)
    _check_labels(design)
    found = _dependence(design)
    rank = design.p if found is None else len(found.kept)
    _check_n_rows(design, part, rank, gaussian=gaussian)
    if design.rows is None:
        check_sums(design)
    return design, None if found is None else _drop(design, part, found)


def _dropped(design: Design) -> str:
    """What an error says of rows that are not there for their missing values."""
    account = design.account
    if not account.n_dropped:
        return ""
    missing = ", ".join(f"{name!r} ({n:,})" for name, n in account.missing.items())
    return (
        f" {account.n_dropped:,} of {account.n_rows:,} rows were left out for missing "
        f"values, in {missing}: fill them in if they are merged cells or repeat the "
        f"value above (pandas: x.ffill())."
    )


def _check_levels(design: Design, term: GroupTerm, *, gaussian: bool) -> None:
    """Levels and effects of one term against the number of rows."""
    n, j, q = design.n, term.n_levels, term.n_levels * term.k
    if j < 2:
        raise DataError(
            f"The grouping factor {term.group!r} has 1 level ({term.levels[0]!r}) in "
            f"the {n} rows used. A grouping factor must have at least 2, as one level "
            f"says nothing of how levels differ. Drop {term.label}."
        )
    if gaussian and j >= n:
        raise DataError(
            f"The grouping factor {term.group!r} has {j} levels for {n} rows: the "
            f"number of levels must be < number of observations, else its variance and "
            f"the residual variance cannot be told apart. Drop {term.label} or group "
            f"by a coarser column.{_dropped(design)}"
        )
    if gaussian and q >= n:
        raise DataError(
            f"{term.label} has {q} random effects ({term.k} for each of {j} levels) "
            f"for {n} rows: the number of random effects must be < number of "
            f"observations, else their variances and the residual variance cannot be "
            f"told apart. Let fewer effects vary, for example (1 | {term.group})."
        )


def _check_labels(design: Design) -> None:
    """Raise if two parameters would have one name, as a and a column called a[q]."""
    labels = design.space.labels
    for label in labels:
        if labels.count(label) > 1:
            raise DataError(
                f"Two parameters of the model would both be called {label!r}. Rename "
                f"a column."
            )


def _check_n_rows(
    design: Design, part: FixedPart, rank: int, *, gaussian: bool
) -> None:
    """Rows against fixed-effect coefficients that can be told apart."""
    if design.n < rank + gaussian:
        raise DataError(
            f"There are {design.n} rows for {design.p} fixed-effect coefficients "
            f"({', '.join(design.fixed_names[:6])}"
            f"{', ...' if design.p > 6 else ''}), which leaves nothing to estimate the "
            f"residual variance from. Get more rows or drop some of them. "
            f"{advise(design, part)}"
        )


def _dependence(design: Design) -> Dependence | None:
    """Which fixed-effect columns repeat others, None if they have full rank."""
    names, intercept, turn = design.fixed_names, design.intercept, design.fixed_turn
    if design.rows is not None:
        if names and turn is None and surely_independent(design.moments.X, intercept):
            return None
        return dependence_of_rows(design.rows.X, names, intercept, turn)
    return dependence_of_moments(design.moments.X, names, intercept, turn)


def _drop(design: Design, part: FixedPart, found: Dependence) -> Aliasing:
    """What is left without columns that repeat others, with formulas that would do."""
    if not len(found.kept):
        raise DataError(f"{found} Nothing can be estimated. {advise(design, part)}")
    names = design.fixed_names
    gone = [name for i, name in enumerate(names) if i not in set(found.kept.tolist())]
    is_one = len(gone) == 1
    sentence = (
        f"{found} As lme4 does, {listed(gone, MOST_NAMED)} "
        f"{'was' if is_one else 'were'} dropped, and the effects of the other columns "
        f"are those of a model without {'it' if is_one else 'them'}."
    )
    advice = advise(design, part)
    return Aliasing(names, found.kept, found.relation, sentence, advice)

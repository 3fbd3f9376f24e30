"""What a column says and how the formula reads it, where these may not agree.

Takes the formula and its variables; gives sentences: codes that are used as a slope,
dates and numbers that are text and so factors, levels that differ in their case only,
numbers such as -99 that stand for a missing value.
What is harmless is not said: a code with two values is the same model either way, and a
count, a wave or a year is an amount.
"""

import re
from collections.abc import Iterable, Mapping

import numpy as np
from jaxtyping import Float

from bayeslmm.data.options import option
from bayeslmm.design.coding import Coding
from bayeslmm.design.evaluate import Described, NumericColumn
from bayeslmm.design.frame import AnyFactor
from bayeslmm.design.textual import textual_sentences
from bayeslmm.formula import Formula, Name
from bayeslmm.formula.nodes import names_in

# Words in the name of a column whose whole numbers stand for something else.
_CODES = """
treatment treat trt arm group grp condition cond region site country nation type
kind category code id sex gender race ethnicity religion occupation party sector
industry department dept state province county district zip zipcode postcode city town
village hospital clinic ward school classroom teacher doctor nurse subject subj
participant patient person rater judge family household litter pen plot farm herd
tank batch plate strain genotype variety cultivar species breed brand product
machine operator lab laboratory center centre colour color diagnosis
"""
CODES = frozenset(_CODES.split())
# Words that make an amount of such a name: group_size, n_sites, days_on_treatment.
_AMOUNTS = """
n nr num number no count size mean avg median sum total rate ratio share percent pct
prop age time year years month months week weeks day days hour hours dose score
level rank order wave length width height weight distance cost price income log sqrt
sd var per duration index
"""
AMOUNTS = frozenset(_AMOUNTS.split())
WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
# Numbers that stand for a missing value where all others are 0 or more, and those
# that do only far from the others.
MISSING = (-99, -98, -97, -88, -77, -999, -998, -997, -888, -777, -9999, -99999)
MAYBE_MISSING = (-9, -8, -7, 99, 999, 9999, 99999, 999999)
SUSPECT = frozenset(map(float, (*MISSING, *MAYBE_MISSING)))
FAR = 2.0  # ranges of the other values
# Levels of a grouping factor that are compared with each other.
MOST_COMPARED = 200_000


def find_traps(coding: Coding) -> tuple[str, ...]:
    """Sentences on columns that may be read otherwise than they are meant.

    Parameters
    ----------
    coding : Coding
        Variables and grouping factors of a formula; of rows in batches the levels only,
        so that codes are not looked for there.

    Returns
    -------
    tuple of str
        One sentence each, without a full stop; none for most data.
    """
    formula, variables = coding.formula, coding.variables
    found, texts = [], text_traps(formula, variables)
    for name in _plain_predictors(formula):
        column = variables.get(name)
        if isinstance(column, AnyFactor) and column.kind == "text":
            found += alike_levels(name, column.levels)
            found += [texts[name]] if name in texts else []
        elif isinstance(column, NumericColumn) and not _is_used_otherwise(
            name, formula
        ):
            found += _codes(name, column)
        found += missing_codes(name, column)
    response = formula.response.label
    found += missing_codes(response, variables.get(response))
    for name, coder in coding.groups.items():
        if len(coder.parts) == 1 and name not in variables:
            found += alike_levels(name, coder.levels[:MOST_COMPARED])
    return tuple(found)


def text_traps(formula: Formula, variables: Mapping[str, Described]) -> dict[str, str]:
    """Of these the sentences on dates and numbers that are text, by column."""
    found = {}
    for name in _plain_predictors(formula):
        column = variables.get(name)
        if isinstance(column, AnyFactor) and column.kind == "text":
            for sentence in textual_sentences(name, column.levels):
                found[name] = sentence
    return found


def alike_levels(name: str, levels: Iterable[str]) -> tuple[str, ...]:
    """Sentence on levels that differ in case or spaces only, if there are any."""
    seen: dict[str, str] = {}
    pairs = []
    for level in levels:
        other = seen.setdefault(" ".join(level.split()).casefold(), level)
        if other != level:
            pairs.append((other, level))
    if not pairs:
        return ()
    first, second = pairs[0]
    n = len(pairs) - 1
    more = f" (and {n} more such pair{'s' * (n > 1)})" if n else ""
    return (
        f"{name!r} has the levels {first!r} and {second!r}{more}, which differ in case "
        f"or spaces only: if they are one, write them alike",
    )


def _plain_predictors(formula: Formula) -> list[str]:
    """Columns that enter as they are, in the order of the formula."""
    atoms = formula.predictor_atoms
    return [atom.label for atom in atoms if isinstance(atom.node, Name)]


def _is_used_otherwise(name: str, formula: Formula) -> bool:
    """Whether a column is also computed with, so that it is known to be a number."""
    return any(
        use.name == name
        for atom in formula.predictor_atoms
        if not isinstance(atom.node, Name)
        for use in names_in(atom.node)
    )


def _codes(name: str, column: NumericColumn) -> list[str]:
    """Sentence on whole numbers that are codes by their name, and enter as a slope."""
    words = {word.lower() for word in WORD.findall(name)}
    is_code = bool(words & CODES) and not words & AMOUNTS
    if not is_code:
        return []
    values = column.values
    if values.shape[1] != 1 or (values % 1 != 0).any():
        return []
    distinct = np.unique(values)
    if len(distinct) < 3:
        return []
    shown = ", ".join(f"{value:.0f}" for value in distinct[:3])
    more = ", ..." if len(distinct) > 3 else ""
    return [
        f"{name!r} holds {len(distinct)} whole numbers ({shown}{more}) and enters as a "
        f"slope, as if they were amounts: if they are codes, write factor({name})"
    ]


def missing_codes(name: str, column: Described | None) -> list[str]:
    """Sentence on a number such as -99 that seems to stand for a missing value."""
    if not isinstance(column, NumericColumn):
        return []
    if column.values.shape[1] != 1:
        return []
    values = column.values[:, 0]
    if not {float(values.min()), float(values.max())} & SUSPECT:
        return []  # a code is the least or the largest: no need to sort the others
    code = _missing_code(np.unique(values))
    if code is None:
        return []
    others = values[values != code]
    n, text = int((values == code).sum()), f"{code:.0f}"
    return [
        f"{name!r} is {text} in {n:,} of {len(values):,} rows, and {others.min():g} to "
        f"{others.max():g} in the others: if that stands for a missing value, use "
        f"{option('na', text)}"
    ]


def _missing_code(distinct: Float[np.ndarray, " d"]) -> float | None:
    """The number among different ones, ascending, that is likely none; or None."""
    rest = distinct[~np.isin(distinct, MISSING)]
    if 1 < len(rest) < len(distinct) and rest[0] >= 0.0:
        return float(distinct[0])
    for end, rest in ((distinct[0], distinct[1:]), (distinct[-1], distinct[:-1])):
        if len(rest) > 1 and end in MAYBE_MISSING and rest[0] >= 0.0:
            gap = np.abs(rest - end).min()
            if gap > FAR * (rest[-1] - rest[0]):
                return float(end)
    return None

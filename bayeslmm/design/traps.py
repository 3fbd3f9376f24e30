"""What a column says and how the formula reads it, where these may not agree.

Takes the formula and its variables; gives sentences: codes that are used as a slope,
dates and numbers that are text and so factors, levels that differ in their case only.
What is harmless is not said: a code with two values is the same model either way, and a
count, a wave or a year is an amount.
"""

import re
from collections.abc import Iterable, Mapping

import numpy as np

from bayeslmm.data.numbers import number_in
from bayeslmm.design.absent import AbsentRows
from bayeslmm.design.evaluate import Column, NumericColumn
from bayeslmm.design.frame import FactorColumn
from bayeslmm.errors import listed
from bayeslmm.formula import Atom, Formula, Name
from bayeslmm.formula.nodes import names_in

# Words in the name of a column whose whole numbers stand for something else.
CODES = """
treatment treat trt arm group grp condition cond region site country nation type
kind category code id sex gender race ethnicity religion occupation party sector
industry department state province county district zip zipcode postcode city town
village hospital clinic ward school classroom teacher doctor nurse subject subj
participant patient person rater judge family household litter pen plot farm herd
tank batch plate strain genotype variety cultivar species breed brand product
machine operator lab laboratory center centre colour color diagnosis
"""
# Words that make an amount of such a name: group_size, n_sites, days_on_treatment.
AMOUNTS = """
n nr num number no count size mean avg median sum total rate ratio share percent pct
prop age time year years month months week weeks day days hour hours dose score
level rank order wave length width height weight distance cost price income log sqrt
sd var per duration index
"""
WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
DATE = re.compile(r"\d{4}-\d{1,2}-\d{1,2}([T ].*)?|\d{1,2}([./-])\d{1,2}\2(\d{4}|\d\d)")
# A number with a decimal comma, thousands, a unit of money or a per cent sign.
DRESSED = re.compile(r"[$€£]?\s*[+-]?\d{1,3}([ ,.']?\d{3})*([.,]\d+)?\s*[%$€£]?")
FEW = 12  # numbers as text with no more levels were made text on purpose


def find_traps(formula: Formula, variables: Mapping[str, Column]) -> tuple[str, ...]:
    """Sentences on columns that may be read otherwise than they are meant.

    Parameters
    ----------
    formula : Formula
        Parsed formula.
    variables : mapping
        Its atoms, by label; of rows in batches the levels only, so that codes are not
        looked for there.

    Returns
    -------
    tuple of str
        One sentence each, without a full stop; none for most data.
    """
    found = []
    for name in _plain_predictors(formula):
        column = variables.get(name)
        if isinstance(column, FactorColumn) and column.kind == "text":
            found += _text(name, column.levels)
        elif isinstance(column, NumericColumn) and not _is_used_otherwise(
            name, formula
        ):
            found += _codes(name, column)
    return tuple(found)


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
    more = f" (and {len(pairs) - 1} more such pairs)" if len(pairs) > 1 else ""
    return (
        f"{name!r} has the levels {first!r} and {second!r}{more}, which differ in case "
        f"or spaces only: if they are one, write them alike",
    )


def _plain_predictors(formula: Formula) -> list[str]:
    """Columns that enter as they are, in the order of the formula."""
    atoms = [atom for atom in _predictors(formula) if isinstance(atom.node, Name)]
    return list(dict.fromkeys(atom.label for atom in atoms))


def _predictors(formula: Formula) -> list[Atom]:
    """Every atom of the fixed part and of the effects that vary."""
    parts = [formula.fixed, *(bar.predictor for bar in formula.random)]
    return [atom for part in parts for term in part.terms for atom in term.atoms]


def _is_used_otherwise(name: str, formula: Formula) -> bool:
    """Whether a column is also computed with, so that it is known to be a number."""
    return any(
        use.name == name
        for atom in _predictors(formula)
        if not isinstance(atom.node, Name)
        for use in names_in(atom.node)
    )


def _codes(name: str, column: NumericColumn) -> list[str]:
    """Sentence on whole numbers that are codes by their name, and enter as a slope."""
    words = {word.lower() for word in WORD.findall(name)}
    if (
        not words & set(CODES.split())
        or words & set(AMOUNTS.split())
        or isinstance(column.values, AbsentRows)
    ):
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


def _text(name: str, levels: tuple[str, ...]) -> list[str]:
    """Sentences on a text column among the predictors."""
    found = list(alike_levels(name, levels))
    if len(levels) > 2 and all(DATE.fullmatch(level.strip()) for level in levels):
        found.append(
            f"{name!r} holds dates as text ({levels[0]!r}) and became {len(levels)} "
            f"categories: for a trend make it a number, such as days since the first "
            f"(pandas.to_datetime(x), minus its min(), .dt.days)"
        )
        return found
    return found + _numbers(name, levels)


def _numbers(name: str, levels: tuple[str, ...]) -> list[str]:
    """Sentence on numbers that are text and no codes: many, or with decimals."""
    numbers = [number_in(level) for level in levels]
    plain = all(number is not None for number in numbers)
    whole = all(number is not None and number % 1 == 0 for number in numbers)
    dressed = not plain and all(DRESSED.fullmatch(level.strip()) for level in levels)
    if not dressed and not (plain and (len(levels) > FEW or not whole)):
        return []
    if dressed and len(levels) <= 2:
        return []
    what = "as text" if plain else "that are text for their signs"
    return [
        f"{name!r} holds numbers {what} ({listed(levels, 2)}) and became {len(levels)} "
        f"categories: convert it (lmm.read(..., decimal=','), or pandas.to_numeric), "
        f"or write factor({name}) if they are categories"
    ]

"""Fixed parts that may do where one has columns that repeat others.

Takes the terms of a formula and which of its atoms are factors; gives sums of terms to
choose from, each within the space of the first, and the orders in which to choose. Sees
no rows.
"""

import itertools
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from bayeslmm.formula import Atom, Call, LinearPredictor, Name, Term

# Terms of more factors are not looked into: there are too many parts of them.
MOST_FACTORS = 4


@dataclass(frozen=True, slots=True)
class Combined:
    """One factor, of a new column, for the combinations of others."""

    atom: Atom
    parts: tuple[Atom, ...]


@dataclass(frozen=True, slots=True)
class Base:
    """Terms to choose from, with the factor that stands for several, if any."""

    predictor: LinearPredictor
    combined: Combined | None = None


def bases(
    predictor: LinearPredictor, factors: Collection[Atom], taken: Collection[str]
) -> Iterator[Base]:
    """Sums of terms that span no more than those given, which come first.

    The others have the main effects of interactions that stand without; or no
    intercept, which all cells of an interaction would repeat; or one factor of the
    combinations that occur. `taken` are names that a new column cannot have.
    """
    yield Base(predictor)
    whole = LinearPredictor(predictor.intercept, with_margins(predictor.terms, factors))
    if set(whole.terms) != set(predictor.terms):
        yield Base(whole)
        if predictor.intercept:
            yield Base(LinearPredictor(False, predictor.terms))
    sets = {tuple(a for a in term.atoms if a in factors) for term in predictor.terms}
    for parts in sorted(sets, key=lambda parts: (len(parts), str(parts))):
        if len(parts) > 1 and all(column_of(atom) for atom in parts):
            yield _combine(predictor, parts, taken)


def with_margins(
    terms: tuple[Term, ...], factors: Collection[Atom]
) -> tuple[Term, ...]:
    """The terms and what is left of them with some factors taken away."""
    found = dict.fromkeys(terms)
    for term in terms:
        own = [atom for atom in term.atoms if atom in factors]
        for size in range(1, len(own) + 1) if len(own) <= MOST_FACTORS else ():
            for gone in itertools.combinations(own, size):
                rest = tuple(atom for atom in term.atoms if atom not in gone)
                if rest:
                    found.setdefault(Term(rest))
    atoms = dict.fromkeys(atom for term in terms for atom in term.atoms)
    place = {atom: i for i, atom in enumerate(atoms)}
    return by_degree(sorted(found, key=lambda term: [place[a] for a in term.atoms]))


def by_degree(terms: Iterable[Term]) -> tuple[Term, ...]:
    """Terms in the order of a formula."""
    return tuple(sorted(terms, key=lambda term: len(term.atoms)))


def column_of(atom: Atom) -> str | None:
    """The column that a factor is, ``t`` for ``factor(t)``; None if it is computed."""
    match atom.node:
        case Name(name) | Call("factor", (Name(name),), ()):
            return name
    return None


def _combine(
    predictor: LinearPredictor, parts: tuple[Atom, ...], taken: Collection[str]
) -> Base:
    """One factor in place of several, in the terms that all of them span."""
    name = "_".join(column_of(atom) or "" for atom in parts)
    while name in taken:
        name += "_"
    atom = Atom(name, Name(name))
    terms = set(predictor.terms)
    found: dict[Term, None] = {}
    for term in predictor.terms:
        rest = tuple(a for a in term.atoms if a not in parts)
        absorbed = len(rest) < len(term.atoms) and Term((*rest, *parts)) in terms
        found.setdefault(Term((*rest, atom)) if absorbed else term)
    chosen = LinearPredictor(predictor.intercept, by_degree(found))
    return Base(chosen, Combined(atom, parts))


def orders(terms: tuple[Term, ...]) -> Iterator[tuple[Term, ...]]:
    """Orders in which to take terms, lower ones first, each variable first in one."""
    yield terms
    yield by_degree(reversed(terms))
    for atom in dict.fromkeys(a for term in terms for a in term.atoms):
        first = sorted(terms, key=lambda term, atom=atom: atom not in term.atoms)
        yield by_degree(first)


def follows_dropped(term: Term, dropped: Iterable[Term]) -> bool:
    """Whether a term is an interaction of one that was left out."""
    return any(set(other.atoms) < set(term.atoms) for other in dropped)

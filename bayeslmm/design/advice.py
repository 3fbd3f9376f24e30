"""What to write where columns of the fixed part repeat others.

Takes a design whose fixed part lacks rank; gives formulas that were tried on the same
data and have full rank: those of the same model first, then those that give up fewest
effects. The search looks at cross-products alone, so that it also serves rows that were
summed; where the rows are in memory, what is advised is tried on them too.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from bayeslmm.design.arrays import Design
from bayeslmm.design.candidates import (
    Base,
    Combined,
    bases,
    column_of,
    follows_dropped,
    orders,
)
from bayeslmm.design.combinations import Combinations, count_combinations
from bayeslmm.design.matrices import code_terms, n_columns
from bayeslmm.design.span import FixedPart, Span, make_span
from bayeslmm.design.trials import Frame, Trials
from bayeslmm.formula import Atom, Formula, LinearPredictor, Term, parse_formula

# Formulas that a message offers.
MOST_ADVISED = 3
# With more columns nothing is tried.
MOST_COLUMNS = 1500

NOTHING = (
    "No formula was found that keeps some of the terms and has full rank: leave out "
    "terms that others determine, one at a time."
)

Counted = Mapping[tuple[Atom, ...], Combinations | None]


@dataclass(frozen=True, slots=True)
class Found:
    """A fixed part of full rank, and how many effects fewer it has than there are."""

    base: Base
    predictor: LinearPredictor
    frame: Frame
    lost: int

    @property
    def kept(self) -> set[Atom]:
        """Variables of its terms."""
        return {atom for term in self.predictor.terms for atom in term.atoms}


def advise(design: Design, part: FixedPart) -> str:
    """Sentences on what can be done about a fixed part without full rank.

    Parameters
    ----------
    design : Design
        A design whose fixed-effect columns are linearly dependent.
    part : FixedPart
        Its fixed part as the formula has it.

    Returns
    -------
    str
        Combinations of factors without rows, and formulas that have full rank.
    """
    if design.p > MOST_COLUMNS:
        return NOTHING
    span = make_span(part)
    counted = _count(design, part, span)
    facts = [str(one) for one in _smallest(counted)]
    said = list(_chosen(Trials(design, part, span), counted))
    if not said:
        return " ".join([*facts, NOTHING])
    count = "This formula was" if len(said) == 1 else "These formulas were"
    tried = f"{count} tried on the data and can be fitted:"
    return "\n".join([" ".join([*facts, tried]), *said])


def _smallest(counted: Counted) -> list[Combinations]:
    """Combinations without rows, but not those that follow from fewer factors."""
    found: list[Combinations] = []
    for one in sorted(filter(None, counted.values()), key=lambda one: len(one.parts)):
        if one.empty and not any(set(o.parts) < set(one.parts) for o in found):
            found.append(one)
    return found


def _count(design: Design, part: FixedPart, span: Span) -> Counted:
    """Combinations of the factors of each interaction."""
    terms = part.coding.formula.fixed.terms
    sets = {tuple(a for a in term.atoms if a in part.factors): None for term in terms}
    return {
        parts: count_combinations(design, part, span, parts)
        for parts in sets
        if len(parts) > 1
    }


# --- search ---------------------------------------------------------------------------


def _chosen(trials: Trials, counted: Counted) -> Iterator[str]:
    """Formulas to offer: the best, then those that keep what it drops."""
    found = sorted(_search(trials, counted), key=lambda one: _cost(one, trials.part))
    fixed = trials.part.coding.formula.fixed
    original = {atom for term in fixed.terms for atom in term.atoms}
    kept: set[Atom] = set()
    n_said = 0
    for one in found:
        new = (one.kept & original) - kept
        column = one.base.combined is not None
        if n_said == MOST_ADVISED or (n_said and (column or not new)):
            continue
        formula = _formula(one, trials.part)
        if formula is None or not _is_tried(one, formula, trials):
            continue
        kept |= one.kept
        n_said += 1
        yield f"  {formula}\n    {_words(one, trials)}"


def _search(trials: Trials, counted: Counted) -> Iterator[Found]:
    """Every fixed part of full rank that the trials come upon."""
    part, seen = trials.part, set()
    for base in bases(part.coding.formula.fixed, part.factors, part.taken):
        frame = Frame(part.coding.variables)
        if base.combined is not None:
            combined = trials.frame(counted.get(base.combined.parts), base.combined)
            if combined is None:
                continue
            frame = combined
        for predictor, partial in _choices(trials, base, frame):
            key = predictor.intercept, frozenset(predictor.terms)
            if key in seen or not trials.works(predictor, frame):
                continue
            coding = code_terms(predictor, frame.variables)
            rank = sum(n_columns(coded, frame.variables) for coded in coding)
            lost = trials.rank - rank - predictor.intercept
            if (partial or not lost) and rank + predictor.intercept < trials.design.n:
                seen.add(key)
                yield Found(base, predictor, frame, lost)


def _choices(
    trials: Trials, base: Base, frame: Frame
) -> Iterator[tuple[LinearPredictor, bool]]:
    """Some terms of a base, and whether they make a model if they say less than all.

    Interactions without their main effects do so only if these are in them.
    """
    if trials.works(base.predictor, frame):
        yield base.predictor, True
        return
    terms = base.predictor.terms
    for order in orders(terms):
        yield _greedy(trials, base, frame, order, follows_dropped), True
    yield _greedy(trials, base, frame, terms[::-1], lambda *_: False), False


def _greedy(
    trials: Trials,
    base: Base,
    frame: Frame,
    order: tuple[Term, ...],
    is_out: Callable[[Term, list[Term]], bool],
) -> LinearPredictor:
    """Terms of a base, one by one, as long as the rank is full."""
    kept: list[Term] = []
    dropped: list[Term] = []
    for term in order:
        wider = _of(base, [*kept, term])
        out = is_out(term, dropped) or not trials.works(wider, frame)
        (dropped if out else kept).append(term)
    return _of(base, kept)


def _of(base: Base, terms: list[Term]) -> LinearPredictor:
    """Some terms of a base, in its order."""
    chosen = tuple(term for term in base.predictor.terms if term in terms)
    return LinearPredictor(base.predictor.intercept, chosen)


def _cost(found: Found, part: FixedPart) -> tuple[int, int, bool, int, list[int]]:
    """What is given up: effects, columns as they are, the intercept, short formulas."""
    predictor, combined = found.predictor, found.base.combined
    written = {term: i for i, term in enumerate(part.coding.formula.fixed.terms)}
    return (
        found.lost,
        len(combined.parts) if combined else 0,
        predictor.intercept != part.coding.formula.fixed.intercept,
        len(predictor.terms),
        [written.get(term, len(written)) for term in predictor.terms],
    )


# --- what is said ---------------------------------------------------------------------


def _formula(found: Found, part: FixedPart) -> Formula | None:
    """The formula as a user would write it, read again; None if it says another."""
    text = str(replace(part.coding.formula, fixed=found.predictor))
    formula = parse_formula(text)
    same = set(formula.fixed.terms) == set(found.predictor.terms)
    return formula if same else None


def _is_tried(found: Found, formula: Formula, trials: Trials) -> bool:
    """Whether the formula passes as it is written, on the rows if they are there."""
    if trials.design.rows is not None:
        return trials.fits_rows(formula, found.frame)
    return trials.works(formula.fixed, found.frame)


def _words(found: Found, trials: Trials) -> str:
    """What a formula keeps of the model, and the column that it needs."""
    before = trials.part.coding.formula.fixed.terms
    gone = [repr(t.label) for t in before if not _has(found, t)]
    names = " and ".join(gone) or "the intercept"
    said = "the same model"
    if found.lost:
        said = f"{found.lost} effect{'s' * (found.lost > 1)} fewer: without {names}"
    elif gone and found.base.combined is None:
        said += f": {names} add{'s' * (len(gone) == 1)} nothing to the other terms"
    if found.base.combined is None or not found.kept & {found.base.combined.atom}:
        return said
    return f"{said}, once there is {_column(found.base.combined, trials)}"


def _has(found: Found, term: Term) -> bool:
    """Whether a term is there, or the combined factor in its place."""
    terms, combined = found.predictor.terms, found.base.combined
    if combined is None or not set(term.atoms) & set(combined.parts):
        return term in terms
    rest = tuple(atom for atom in term.atoms if atom not in combined.parts)
    return term in terms or Term((*rest, combined.atom)) in terms


def _column(combined: Combined, trials: Trials) -> str:
    """How to make the column of a combined factor."""
    names = [column_of(atom) or "" for atom in combined.parts]
    name, missing = combined.atom.label, trials.design.account.missing
    if trials.design.rows is None:
        return f"a column {name!r} of the combinations of {' and '.join(names)}"
    text = " + ':' + ".join(f"data[{one!r}].astype(str)" for one in names)
    if any(one in missing for one in names):
        text = f"({text}).where(data[{names}].notna().all(axis=1))"
    return f"data[{name!r}] = {text}"

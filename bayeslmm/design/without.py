"""A design with less in its bar terms: an effect, a whole term, or correlations less.

Takes a `Design` whose rows are in memory; gives that of the same rows under the smaller
formula. Needs numpy only.
"""

from collections.abc import Sequence
from dataclasses import replace

from bayeslmm.design.arrays import Design, EffectVariable, GroupTerm, rows_of
from bayeslmm.design.centring import Centring
from bayeslmm.design.rows import Rows

NEEDED = "smaller models"


def without_term(design: Design, t: int) -> Design:
    """The design without bar term number t."""
    rows = rows_of(design, NEEDED)
    own = replace(rows, Z=_left(rows.Z, t), codes=_left(rows.codes, t))
    centrings = _left(design.products.effects, t)
    return _remade(design, _left(design.groups, t), own, centrings)


def with_effects(design: Design, t: int, kept: Sequence[int]) -> Design:
    """The design in which only some effects of bar term number t vary."""
    rows, term, columns = rows_of(design, NEEDED), design.groups[t], list(kept)
    place = {column: i for i, column in enumerate(columns)}
    effects = tuple(term.effects[i] for i in columns)
    words = " + ".join("1" if name == "Intercept" else name for name in effects)
    own = replace(
        term,
        label=f"({words} | {term.group})",
        effects=effects,
        variables=tuple(_kept_variables(term, place)),
    )
    centrings = design.products.effects
    if centrings:
        entries = tuple(
            replace(entry, row=place[entry.row], column=place[entry.column])
            for entry in centrings[t].entries
            if entry.row in place and entry.column in place
        )
        centrings = _put(centrings, t, Centring(entries))
    Z = _put(rows.Z, t, rows.Z[t][:, columns])
    groups = _put(design.groups, t, own)
    return _remade(design, groups, replace(rows, Z=Z), centrings)


def uncorrelated(design: Design, t: int) -> Design:
    """The design in which the effects of bar term number t are independent.

    As ``(x || g)`` has it: where the predictors are 0.
    """
    rows, term = rows_of(design, NEEDED), design.groups[t]
    own = replace(term, label=term.label.replace(" | ", " || "), structure="diag")
    centrings = design.products.effects
    if centrings:
        centrings = _put(centrings, t, Centring())
    return _remade(design, _put(design.groups, t, own), rows, centrings)


def _kept_variables(term: GroupTerm, place: dict[int, int]) -> list[EffectVariable]:
    """Variables of a term of which some effects stay, in their new places."""
    found = []
    for own in term.variables:
        stay = [i for i, effect in enumerate(own.effects) if effect in place]
        if not stay:
            continue
        coords = tuple(own.coords[i] for i in stay) if own.coords else ()
        effects = tuple(place[own.effects[i]] for i in stay)
        found.append(replace(own, effects=effects, coords=coords))
    return found


def _remade(
    design: Design,
    groups: tuple[GroupTerm, ...],
    rows: Rows,
    centrings: tuple[Centring, ...],
) -> Design:
    """The design of other bar terms; its moments are computed anew."""
    products = replace(design.products, effects=centrings)
    return replace(design, groups=groups, rows=rows, products=products)


def _left[T](items: tuple[T, ...], t: int) -> tuple[T, ...]:
    """All but number t."""
    return (*items[:t], *items[t + 1 :])


def _put[T](items: tuple[T, ...], t: int, item: T) -> tuple[T, ...]:
    """With another item in place of number t."""
    return (*items[:t], item, *items[t + 1 :])

"""A model as equations.

Takes a model; gives the sum that is the mean, the distribution of each random part and
of the residuals, in MathML, and what their symbols stand for. The symbols are numbers
of columns, so that an equation stays short.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

from bayeslmm.covariance import Structure
from bayeslmm.design.arrays import Design, GroupTerm
from bayeslmm.families import FAMILIES
from bayeslmm.reporting.explain import column_meanings
from bayeslmm.reporting.mathml import (
    display,
    inline,
    matrix,
    mi,
    mn,
    mo,
    name_of,
    row,
    sub,
    subsup,
    sup,
    tag,
    total,
)
from bayeslmm.reporting.svg import short

if TYPE_CHECKING:
    from bayeslmm.spec import ModelSpec

MOST_ENTRIES = 3  # effects of a level whose covariance matrix is written out
MOST_COLUMNS = 12  # columns of X written out
PER_LINE = 5  # of them on a line
DISTRIBUTIONS = {
    "bernoulli": "Bernoulli",
    "negativebinomial": "NegativeBinomial",
    "t": "Student t",
    "vonmises": "von Mises",
}


@dataclass(frozen=True, slots=True)
class Equations:
    """The equations, one below the other, and what their symbols stand for.

    ``symbols`` are (symbol, label in the tables, meaning).
    """

    lines: tuple[Markup, ...]
    symbols: tuple[tuple[Markup, str, str], ...]


# --- symbols --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Symbols:
    """Numbers of columns and effects: the same name has the same number."""

    design: Design

    def fixed(self, column: int) -> int:
        """Number of a column of X; 0 is the intercept's."""
        return column if self.design.intercept is not None else column + 1

    def effect(self, term: GroupTerm, effect: int) -> int:
        """Number of an effect of a term: that of its column of X, or a further one."""
        name, names = term.effects[effect], self.design.fixed_names
        if name == "Intercept":
            return 0
        if name in names:
            return self.fixed(names.index(name))
        own = [
            other
            for t in self.design.groups
            if t.group == term.group
            for other in t.effects
            if other not in names and other != "Intercept"
        ]
        return self.fixed(len(names)) + own.index(name)

    def beta(self, column: int) -> Markup:
        """A fixed effect."""
        return sub(mi("β"), mn(self.fixed(column)))

    def where(self, term: GroupTerm) -> Markup:
        """The level of row i."""
        return row(name_of(term.group), mo("["), mi("i"), mo("]"))

    def b(self, term: GroupTerm, effect: int, level: str) -> Markup:
        """A random effect of a level."""
        number = mn(self.effect(term, effect))
        return sub(mi("b"), row(number, mo(","), level))

    def tau(self, term: GroupTerm, effect: int, *, squared: bool = False) -> Markup:
        """SD of an effect over the levels, or its variance."""
        shared = term.covariance.homogeneous and term.k > 1
        numbers = [] if shared else [mn(self.effect(term, effect))]
        index = self._index(term, numbers)
        if index is None:
            return sup(mi("τ"), mn(2)) if squared else mi("τ")
        return subsup(mi("τ"), index, mn(2)) if squared else sub(mi("τ"), index)

    def rho(self, term: GroupTerm, first: int, second: int) -> Markup:
        """Correlation of two effects of a level, with its power."""
        word, lag = term.structure, abs(first - second)
        numbers: list[Markup] = []
        if term.covariance.unstructured:
            low, high = sorted((self.effect(term, first), self.effect(term, second)))
            numbers = [mn(low), mo(","), mn(high)]
        elif word in ("toep", "homtoep"):
            numbers = [mn(lag)]
        index = self._index(term, numbers)
        base = mi("ρ") if index is None else sub(mi("ρ"), index)
        if word in ("ar1", "hetar1") and lag > 1:
            return sup(base, mn(lag))
        return base

    def _index(self, term: GroupTerm, numbers: Sequence[str]) -> Markup | None:
        """Numbers, and the group where there are several terms."""
        groups = self.design.groups
        if len(groups) > 1:
            same = [t for t in groups if t.group == term.group]
            place = f" {same.index(term) + 1}" if len(same) > 1 and not numbers else ""
            name = name_of(term.group + place)
            return row(*numbers, *([mo(",")] if numbers else []), name)
        return row(*numbers) if numbers else None

    def covariance(self, term: GroupTerm, first: int, second: int) -> Markup:
        """Entry of the covariance matrix of the effects of a level."""
        own: Structure = term.covariance
        if first == second:
            return self.tau(term, first, squared=True)
        if not own.n_corr(term.k):
            return mn(0)
        if own.homogeneous:
            spread = [self.tau(term, first, squared=True)]
        else:
            spread = [self.tau(term, first), self.tau(term, second)]
        return row(self.rho(term, first, second), *spread)


# --- equations ------------------------------------------------------------------------


def equations(model: "ModelSpec") -> Equations:
    """The equations of a model.

    Parameters
    ----------
    model : Model
        Model.

    Returns
    -------
    Equations
        Lines of MathML, and the symbols in their order.

    Examples
    --------
    >>> import bayeslmm as lmm
    >>> pupils = lmm.simulate_classrooms(6, seed=1).data
    >>> found = equations(lmm.Model("score ~ edu + (1 | classroom)", pupils))
    >>> len(found.lines), [label for _, label, _ in found.symbols][:2]
    (3, ['Intercept', 'edu'])
    """
    symbols = Symbols(model.design)
    lines = _mean_lines(model, symbols)
    lines += [_effects_line(term, symbols) for term in model.design.groups]
    if model.family == "gaussian":
        lines += _residual_lines(model.design)
    else:
        lines.append(_family_line(model))
    return Equations(tuple(lines), tuple(_symbol_rows(model, symbols)))


def _mean_lines(model: "ModelSpec", symbols: Symbols) -> list[Markup]:
    """The linear predictor, a few terms on a line."""
    design, i = model.design, mi("i")
    parts = [_fixed_part(design, column, symbols) for column in range(design.p)]
    if len(parts) > MOST_COLUMNS:
        parts = [*parts[: MOST_COLUMNS - 1], mo("⋯"), parts[-1]]
    for term in design.groups:
        parts += _random_parts(term, symbols)
    if model.formula.offsets:
        parts.append(sub(name_of("offset"), i))
    left = sub(name_of(design.response), i)
    if model.family == "gaussian":
        parts.append(sub(mi("e"), i))
    else:
        link = FAMILIES[model.family].link.name
        mean = sub(mi(_parent(model)), i)
        named = row(name_of(link), mo("("), mean, mo(")"))
        left = mean if link == "identity" else named
    chunks = [parts[k : k + PER_LINE] for k in range(0, len(parts), PER_LINE)]
    rows = []
    for k, own in enumerate(chunks or [[mn(0)]]):
        head, sign = (left, mo("=")) if k == 0 else (row(), mo("+"))
        cells = (tag("mtd", cell) for cell in (head, sign, row(*total(own))))
        rows.append(tag("mtr", *cells))
    return [display(tag("mtable", *rows, **{"class": "sum"}))]


def _fixed_part(design: Design, column: int, symbols: Symbols) -> Markup:
    """A fixed effect times its column."""
    beta = symbols.beta(column)
    if column == design.intercept:
        return beta
    return row(beta, sub(name_of(design.fixed_names[column]), mi("i")))


def _random_parts(term: GroupTerm, symbols: Symbols) -> list[Markup]:
    """The effects of a row's level times their columns."""
    found = []
    for k, effect in enumerate(term.effects):
        if k == MOST_COLUMNS:
            return [*found, mo("⋯")]
        b = symbols.b(term, k, symbols.where(term))
        column = sub(name_of(effect), mi("i"))
        found.append(b if effect == "Intercept" else row(b, column))
    return found


def _effects_line(term: GroupTerm, symbols: Symbols) -> Markup:
    """Distribution of the effects of one level."""
    level = mi("j")
    over = row(
        mo(","),
        tag("mspace", width="0.6em"),
        mi("j"),
        mo("="),
        mn(1),
        mo(","),
        mo("…"),
        mo(","),
        mn(f"{term.n_levels:,}"),
        tag("mtext", f"\N{NO-BREAK SPACE}levels of {short(term.group)}"),
    )
    if term.k == 1:
        left = symbols.b(term, 0, level)
        spread = symbols.tau(term, 0, squared=True)
        return display(left, mo("∼"), _normal(mn(0), spread), over)
    k = range(term.k)
    if term.k <= MOST_ENTRIES:
        left = matrix([[symbols.b(term, a, level)] for a in k])
        spread = matrix([[symbols.covariance(term, a, c) for c in k] for a in k])
        return display(left, mo("∼"), _normal(tag("mn", "0"), spread), over)
    first, last = symbols.b(term, 0, level), symbols.b(term, term.k - 1, level)
    left = row(mo("("), first, mo(","), mo("…"), mo(","), last, mo(")"))
    rule = tag("mtext", f", {term.covariance.words}, {term.k} × {term.k}")
    return display(left, mo("∼"), _normal(mn(0), mi("Σ")), over, rule)


def _normal(mean: str, variance: str) -> Markup:
    """A normal distribution."""
    return row(tag("mi", "Normal"), mo("("), mean, mo(","), variance, mo(")"))


def _residual_lines(design: Design) -> list[Markup]:
    """Distribution of the residuals: variance of a row, correlation of two."""
    structure, i = design.residual, mi("i")
    strata = structure.strata if structure is not None else None
    series = structure.series if structure is not None else None
    variance = sup(mi("σ"), mn(2))
    if strata is not None:
        at = row(name_of(strata.group), mo("["), i, mo("]"))
        variance = row(variance, subsup(mi("δ"), at, mn(2)))
    if design.has_weights:
        variance = tag("mfrac", variance, sub(mi("w"), i))
    lines = [display(sub(mi("e"), i), mo("∼"), _normal(mn(0), variance))]
    if strata is not None:
        first = sub(mi("δ"), name_of(strata.levels[0]))
        lines.append(display(first, mo("="), mn(1)))
    if series is not None:
        pair = row(sub(mi("e"), i), mo(","), sub(mi("e"), mi("k")))
        power: Markup = mi("ρ")
        if series.word != "cs":
            time = name_of(series.time)
            far = row(
                mo("|"), sub(time, i), mo("\N{MINUS SIGN}"), sub(time, mi("k")), mo("|")
            )
            step = row(far, mo("/"), mn(f"{series.step:.6g}"))
            power = sup(mi("ρ"), far if series.step == 1.0 else step)
        of = tag("mtext", f"\N{NO-BREAK SPACE}for rows of one {short(series.group)}")
        left = row(tag("mi", "corr"), mo("("), pair, mo(")"))
        lines.append(display(left, mo("="), power, of))
    return lines


def _family_line(model: "ModelSpec") -> Markup:
    """Distribution of the response given its linear predictor."""
    own = FAMILIES[model.family]
    plain = model.family.replace("_", " ").capitalize()
    name = DISTRIBUTIONS.get(model.family, plain)
    inside = [sub(mi(_parent(model)), mi("i")), *(mi(other) for other in own.others)]
    if own.trials:
        inside = [sub(mi("n"), mi("i")), *inside]
    listed = Markup(mo(",")).join(inside)
    left = sub(name_of(model.design.response), mi("i"))
    return display(left, mo("∼"), tag("mi", name), mo("("), listed, mo(")"))


def _parent(model: "ModelSpec") -> str:
    """Symbol of the parameter that the formula models."""
    parent = FAMILIES[model.family].parent
    return "μ" if parent == "mu" else parent


def _symbol_rows(
    model: "ModelSpec", symbols: Symbols
) -> Iterable[tuple[Markup, str, str]]:
    """Each symbol with its label in the tables and its meaning."""
    design = model.design
    meanings = column_meanings(model)
    for column, (label, words) in enumerate(
        zip(design.fixed_names, meanings, strict=True)
    ):
        yield inline(symbols.beta(column)), label, words
    for parameter in design.space.parameters:
        if parameter.term is not None:
            term = design.groups[parameter.term]
            effects = [term.effects[i] for i in parameter.index]
            if parameter.component == "sd":
                symbol = symbols.tau(term, parameter.index[0])
                words = f"SD between levels of {term.group}, in {effects[0]}"
                if term.covariance.homogeneous and term.k > 1:
                    words = f"SD between levels of {term.group}, of each effect"
            elif len(effects) == 2 and term.covariance.unstructured:
                symbol = symbols.rho(term, *parameter.index)
                words = f"correlation of {effects[0]} and {effects[1]} over levels"
            else:
                symbol = symbols.rho(term, *parameter.index)
                words = term.covariance.words
            yield inline(symbol), parameter.label, words
        elif parameter.label == "sigma" and model.family == "gaussian":
            yield inline(mi("σ")), parameter.label, "SD of a row about its mean"
        elif parameter.component == "sigma" and model.family == "gaussian":
            symbol = mi("ρ") if parameter.variable == "rho" else mi(parameter.variable)
            if parameter.variable == "sigma_ratio":
                symbol = sub(mi("δ"), name_of(parameter.coord or ""))
            yield inline(symbol), parameter.label, parameter.words
    if model.family != "gaussian":
        for other in FAMILIES[model.family].others:
            yield inline(mi(other)), other, f"parameter of the family {model.family}"

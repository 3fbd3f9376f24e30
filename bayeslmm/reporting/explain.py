"""What a formula became: equations, columns and what they mean, groups, parameters."""

import itertools
import textwrap
from typing import TYPE_CHECKING

from bayeslmm.design.arrays import Design, GroupTerm
from bayeslmm.design.evaluate import AnyNumeric, Described
from bayeslmm.design.factor_coding import Contrast
from bayeslmm.design.frame import AnyFactor
from bayeslmm.errors import ModelError, check_flag
from bayeslmm.families import FAMILIES
from bayeslmm.formula import Atom
from bayeslmm.posterior.propriety import propriety_notes
from bayeslmm.reml.matrices import Chosen
from bayeslmm.reporting.describe import account_lines, group_lines
from bayeslmm.reporting.matrices import matrix_sections
from bayeslmm.tables.numbers import counted, listed

if TYPE_CHECKING:
    from bayeslmm.spec import ModelSpec

# Section on what the posterior lacks.
PROPRIETY = "Means that do not exist"


def explain_text(
    model: "ModelSpec", *, matrices: bool = False, rows: Chosen = None
) -> str:
    """What the formula became, as plain text.

    Parameters
    ----------
    model : Model
        Model.
    matrices : bool, default False
        Also y, X and Z of a few rows and, of Gaussian models, with the REML estimates
        D, R and V.
    rows : int or sequence, optional
        Which rows, as for `RemlFit.matrices`; at most 12.

    Returns
    -------
    str
        Sections: formula, equations, fixed effects, groups, parameters, priors, notes.
    """
    sections = explain_sections(model)
    if check_flag(matrices, "matrices"):
        sections |= matrix_sections(model, rows)
    elif rows is not None:
        raise ModelError(
            "rows= says which rows of the matrices: give matrices=True too."
        )
    blocks = [model.said]
    for title, lines in sections.items():
        blocks.append("\n".join([title, *(f"  {line}" for line in lines)]))
    return "\n\n".join(blocks)


def explain_sections(model: "ModelSpec") -> dict[str, list[str]]:
    """The parts of `explain_text`, lines by title, for other layouts."""
    design = model.design
    groups = [*account_lines(design.account), *group_lines(design)]
    notes = _notes(model)
    sections = {
        "Equations": _equations(model),
        "Fixed effects": _fixed_lines(model),
        "Rows and groups": groups,
        "Parameters": _parameter_lines(model),
        "Priors": textwrap.wrap(_priors_line(model), 84),
    }
    missing = [line for note in propriety_notes(model) for line in _folded(note)]
    sections |= {PROPRIETY: missing} if missing else {}
    return sections | ({"Notes": notes} if notes else {})


def _folded(sentence: str) -> list[str]:
    """A sentence on lines of the width of the others, the later ones indented."""
    return textwrap.wrap(sentence, 84, subsequent_indent="  ")


# --- equations ------------------------------------------------------------------------


def _equations(model: "ModelSpec") -> list[str]:
    """The model as a sum, and the distribution of each random part."""
    design = model.design
    parts = [_product("beta", v.name, v.name, v.coords) for v in design.fixed]
    parts += [f"{_random_part(term)} of its {term.group}" for term in design.groups]
    parts += ["offset"] if model.formula.offsets else []
    if model.family == "gaussian":
        left = design.response
        parts.append("e")
    else:
        left = _scale_of(model)
    lines = _wrapped(f"{left} =", parts)
    lines += [_effects_line(term) for term in design.groups]
    if model.family == "gaussian":
        lines += _residual_lines(design)
    return lines


def _residual_lines(design: Design) -> list[str]:
    """Distribution of the residuals: SD of a row, correlation of two."""
    structure = design.residual
    strata = structure.strata if structure is not None else None
    series = structure.series if structure is not None else None
    sd = "sigma" if strata is None else f"sigma * sigma_ratio[{strata.group}]"
    variance = f"{sd}^2" if strata is None else f"({sd})^2"
    variance += " / weight" if design.has_weights else ""
    lines = [f"e ~ Normal(0, {variance}) in each row"]
    if strata is not None:
        lines.append(f"sigma_ratio[{strata.group}] is 1 for {strata.levels[0]}")
    if series is not None and series.word == "cs":
        lines.append(f"corr(e, e') = rho for two rows of one {series.group}")
    elif series is not None:
        far = f"|{series.time} - {series.time}'|"
        power = far if series.step == 1.0 else f"({far} / {series.step:.6g})"
        lines.append(f"corr(e, e') = rho^{power} for two rows of one {series.group}")
    return lines


def _product(symbol: str, name: str, column: str, coords: tuple[str, ...]) -> str:
    """``beta[edu]*edu``; a factor has one coefficient for each level it codes."""
    if name == "Intercept":
        return f"{symbol}[Intercept]"
    return f"{symbol}[{name}]" if coords else f"{symbol}[{name}]*{column}"


def _random_part(term: GroupTerm) -> str:
    """Sum of the effects of one bar term, in brackets if there are several."""
    names = ["Intercept" if v.expr == "1" else v.expr for v in term.variables]
    parts = [
        _product("b", name, name, variable.coords)
        for name, variable in zip(names, term.variables, strict=True)
    ]
    return parts[0] if len(parts) == 1 else "(" + " + ".join(parts) + ")"


def _wrapped(head: str, parts: list[str], width: int = 78) -> list[str]:
    """A sum over lines of at most `width` characters."""
    lines, line = [], head
    for i, part in enumerate(parts):
        piece = f" {part}" if i == 0 else f" + {part}"
        if len(line) + len(piece) > width and i > 0:
            lines.append(line)
            line = " " * len(head)
        line += piece
    return [*lines, line]


def _effects_line(term: GroupTerm) -> str:
    """Distribution of the effects of one level."""
    if term.k == 1:
        return f"b[{term.effects[0]}] ~ Normal(0, SD^2) over the levels of {term.group}"
    names = ", ".join(
        f"b[{'Intercept' if v.expr == '1' else v.expr}]"
        + (f" of {', '.join(v.coords)}" if v.coords else "")
        for v in term.variables
    )
    return f"({names}) ~ Normal(0, Sigma) over the levels of {term.group}"


def _scale_of(model: "ModelSpec") -> str:
    """What the linear predictor is, ``log(mean of count)``."""
    family = FAMILIES[model.family]
    kind = "probability" if family.is_chance else "mean"
    mean = f"{kind} of {model.design.response}"
    return mean if family.link.name == "identity" else f"{family.link.name}({mean})"


# --- fixed effects --------------------------------------------------------------------


def _fixed_lines(model: "ModelSpec") -> list[str]:
    """Each column of X with its meaning."""
    names, meanings = model.design.fixed_names, column_meanings(model)
    if not names:
        return ["none: the mean is zero apart from the random effects"]
    width = max(len(name) for name in names)
    return [
        f"{name:<{width}}  {meaning}"
        for name, meaning in zip(names, meanings, strict=True)
    ]


def column_meanings(model: "ModelSpec") -> tuple[str, ...]:
    """What the coefficient of each column of X means, in words."""
    gaussian = model.family == "gaussian"
    unit = f"mean {model.design.response}" if gaussian else _scale_of(model)
    columns = model.recipe.coding.variables
    meanings = []
    if model.design.intercept is not None:
        at = _baseline(model, ())
        meanings.append(unit + (f" where {at}" if at else ""))
    for coding in model.recipe.coding.fixed:
        given = zip(
            coding.term.atoms, coding.full, coding.contrasts(columns), strict=True
        )
        parts = [
            _atom_meanings(atom.label, columns[atom.label], full, contrast)
            for atom, full, contrast in given
        ]
        at = _baseline(model, coding.term.atoms)
        meanings += [
            _cell_meaning(cell[::-1], unit, at)
            for cell in itertools.product(*reversed(parts))
        ]
    aliasing = model.recipe.coding.aliasing
    if aliasing is not None:
        meanings = [meanings[i] for i in aliasing.kept]
    return tuple(meanings)


def _baseline(model: "ModelSpec", atoms: tuple[Atom, ...]) -> str:
    """Where a term of these atoms is read: what it interacts with, at its baseline.

    Numbers at 0, factors at their first level or where their contrast is 0; a factor
    that has all its levels coded has no baseline.
    """
    found = {}
    for coding in model.recipe.coding.fixed:
        if not set(atoms) < set(coding.term.atoms):
            continue
        columns = model.recipe.coding.variables
        given = zip(
            coding.term.atoms, coding.full, coding.contrasts(columns), strict=True
        )
        for atom, full, contrast in given:
            column = columns[atom.label]
            if full or atom in atoms:
                continue
            if contrast is not None:
                found[atom.label] = f"{atom.label} {contrast.zero}"
            elif isinstance(column, AnyFactor):
                found[atom.label] = f"{atom.label} is {column.levels[0]}"
            else:
                found[atom.label] = f"{atom.label} = 0"
    return listed(found.values()) if found else ""


def _atom_meanings(
    label: str, column: Described, full: bool, contrast: Contrast | None
) -> list[tuple[str, str]]:
    """Kind and words of each column of one atom: slope, contrast or cell."""
    if isinstance(column, AnyNumeric):
        return [("slope", name) for name in column.names]
    if full:
        return [("cell", f"{label} is {level}") for level in column.levels]
    if contrast is not None:
        return [("contrast", f"{label} {words}") for words in contrast.words]
    reference = column.levels[0]
    return [
        ("contrast", f"{label} {level} less {reference}") for level in column.levels[1:]
    ]


def _cell_meaning(cell: tuple[tuple[str, str], ...], unit: str, at: str) -> str:
    """Meaning of one column: of one atom, or how effects change with each other."""
    slopes = [words for kind, words in cell if kind == "slope"]
    contrasts = [words for kind, words in cell if kind == "contrast"]
    places = [words for kind, words in cell if kind == "cell"] + ([at] if at else [])
    where = f" where {listed(places)}" if places else ""
    if not slopes and not contrasts:
        return unit + where
    if len(slopes) == 1 and not contrasts:
        return f"change of {unit} per unit of {slopes[0]}{where}"
    if len(contrasts) == 1 and not slopes:
        return f"difference in {unit}, {contrasts[0]}{where}"
    if not slopes:
        return f"how the difference {contrasts[0]} changes, {listed(contrasts[1:])}" + (
            where
        )
    changes = [f"per unit of {words}" for words in slopes[1:]] + contrasts
    return f"how the slope of {slopes[0]} changes, {listed(changes)}{where}"


# --- parameters -----------------------------------------------------------------------


def _parameter_lines(model: "ModelSpec") -> list[str]:
    """Number of fixed effects and variance parameters, term by term."""
    design = model.design
    lines = [counted(design.p, "fixed effect")]
    total = 0
    for term in design.groups:
        own = term.covariance
        sds, corrs = own.n_sd(term.k), own.n_corr(term.k)
        total += sds + corrs
        line = f"{term.label}: {counted(sds, 'SD')}"
        if corrs:
            line += f" and {counted(corrs, 'correlation')}"
        if term.k > 1:
            line += f", {own.words} of {counted(term.k, 'effect')}"
        lines.append(line + f"; {counted(term.n_levels * term.k, 'random effect')}")
    if model.family == "gaussian":
        apart = design.residual.parameters if design.residual is not None else ()
        lines += [f"{p.label}: {p.words}" for p in apart]
        total += 1 + len(apart)
        lines.append(
            f"sigma: SD of a row about its mean; "
            f"{counted(total, 'variance parameter')} in all"
        )
    else:
        lines.append(
            f"{counted(total, 'variance parameter')} in all, and what the "
            f"family {model.family} has"
        )
    return lines


def _priors_line(model: "ModelSpec") -> str:
    """The set and its scales on one line; the whole table is `model.priors`."""
    shown = [f"{label} {prior}" for label, prior, _ in model.priors.labels[:4]]
    more = len(model.priors.labels) - len(shown)
    return (
        f"{model.priors.name}: "
        + "; ".join(shown)
        + (f"; and {more} more (print model.priors)" if more > 0 else "")
    )


def _notes(model: "ModelSpec") -> list[str]:
    """What the formula became that a reader of its text might not expect."""
    notes, text = [], model.formula.text
    if "||" in text:
        became = " + ".join(term.label for term in model.design.groups)
        notes.append(
            f"'||' sets correlations to zero between terms; it became {became}"
        )
        if any(v.coords for t in model.design.groups for v in t.variables if t.k > 1):
            notes.append(
                "a factor keeps its levels correlated under '||', as in lme4; "
                "diag(f | g) makes them independent"
            )
    groups = [term.group for term in model.design.groups]
    if any(":" in group for group in groups) and "/" in text:
        notes.append(f"'/' nests: the grouping factors became {listed(groups)}")
    repeated = {group for group in groups if groups.count(group) > 1}
    notes += [
        f"the terms of {group} are independent of each other"
        for group in sorted(repeated)
    ]
    if model.design.has_weights:
        notes.append(
            "weights are precisions: the variance of a row is sigma^2 / weight"
        )
    return notes

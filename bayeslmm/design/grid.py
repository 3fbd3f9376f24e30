"""The reference grid: all combinations of the factors, numbers at typical values.

Takes a recipe and what a user holds at chosen values; gives rows over the fixed effects
whose means are marginal means, as R's emmeans has them: factors of the fixed part at
all of their levels, each counted alike or as often as it occurs, numbers at their mean,
or at both of their values where they have only two.

References
----------
.. [1] Searle, Speed and Milliken (1980). Am. Stat. 34(4).
   https://doi.org/10.1080/00031305.1980.10483031
"""

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from bayeslmm.design.frame import AnyFactor
from bayeslmm.design.known import LevelWord
from bayeslmm.design.proportions import (
    Values,
    Weights,
    grid_weights,
    is_whole,
    typed_levels,
)
from bayeslmm.design.recipe import Recipe
from bayeslmm.design.typical import fixed_columns
from bayeslmm.errors import ModelError, listed, nearest_names, shortened

# Rows of a grid beyond which something else was meant.
MOST_ROWS = 100_000
# Step of the difference that gives a slope, as a share of the range of the data.
STEP = 1e-3


@dataclass(frozen=True, slots=True)
class Specification:
    """Variables whose combinations are wanted, and those within which to compare."""

    of: tuple[str, ...]
    by: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """All of them, in the order of the table."""
        return (*self.of, *self.by)


@dataclass(frozen=True, slots=True)
class Grid:
    """Marginal means as combinations of the fixed effects.

    Attributes
    ----------
    spec : Specification
        What varies.
    cells : tuple of tuple
        Values of the variables of ``spec.names`` in each cell.
    weights : ndarray, shape (c, p)
        Weights of the fixed effects.
    constants : ndarray, shape (c,)
        Mean offset of each cell.
    held : dict of str to tuple
        Values of the other variables, over which was averaged.
    """

    spec: Specification
    cells: tuple[Values, ...]
    weights: Float[np.ndarray, "c p"]
    constants: Float[np.ndarray, " c"]
    held: dict[str, Values]


def read_specification(recipe: Recipe, text: object) -> Specification:
    """``"f"``, ``"f * g"``, ``"f | g"``, ``"1"``, with R's ``~`` or without.

    Raises
    ------
    ModelError
        If a variable is not in the fixed part.
    """
    if not isinstance(text, str):
        raise ModelError(
            f"The variables of the means must be text such as 'dose', 'dose * sex' or "
            f"'dose | sex', not {shortened(text)}."
        )
    of, _, by = text.removeprefix("pairwise").strip().removeprefix("~").partition("|")
    parts = [
        tuple(name.strip().strip("`") for name in re.split(r"[*:+]", side))
        for side in (of, by)
    ]
    spec = Specification(*(() if p in (("",), ("1",)) else p for p in parts))
    known = fixed_columns(recipe.formula)
    for name in spec.names:
        if name not in known:
            raise ModelError(
                f"There is no variable {name!r} in the fixed part of "
                f"{recipe.formula.text!r}.{nearest_names(name, known)}"
            )
    repeated = [name for name in spec.names if spec.names.count(name) > 1]
    if repeated:
        raise ModelError(f"The variable {repeated[0]!r} is named twice in {text!r}.")
    return spec


def make_grid(
    recipe: Recipe,
    spec: Specification,
    at: Mapping[str, object] | None,
    weights: Weights = "equal",
    moved: str | None = None,
) -> Grid:
    """The grid of a specification.

    Parameters
    ----------
    recipe : Recipe
        Whose fixed part is meant.
    spec : Specification
        What varies.
    at : mapping of str to values, optional
        Values of some variables, in place of all levels or the mean.
    weights : {"equal", "proportional"}
        How combinations that are averaged over count; see `grid_weights`.
    moved : str, optional
        A number whose values are none of the data's: they count alike.

    Raises
    ------
    ModelError
        If a variable is unknown, a level too, or a number has no typical value.
    """
    values = grid_values(recipe, fixed_columns(recipe.formula), at)
    frame = grid_frame(values)
    nothing: tuple[LevelWord, ...] = ("population",) * len(recipe.design.groups)
    rows = recipe.encode(frame, words=nothing, estimable=False)
    names, cells = list(spec.names), _cells(spec, values)
    held = {name: own for name, own in values.items() if name not in names}
    averaged = [n for n, own in held.items() if len(own) > 1 and n != moved]
    counts = grid_weights(recipe, frame, averaged, weights)
    inside = [own[counts[own] > 0.0] for own in _inside(frame, names, cells)]
    offset = np.zeros(len(frame)) if rows.offset is None else rows.offset
    return Grid(
        spec=spec,
        cells=cells,
        weights=np.array([np.average(rows.X[i], 0, counts[i]) for i in inside]),
        constants=np.array([np.average(offset[i], 0, counts[i]) for i in inside]),
        held=held,
    )


def _cells(spec: Specification, values: Mapping[str, Values]) -> tuple[Values, ...]:
    """Combinations of the variables, the first varying fastest, as in emmeans."""
    turned = itertools.product(*(values[name] for name in reversed(spec.names)))
    return tuple(cell[::-1] for cell in turned)


def slope_grid(
    recipe: Recipe,
    spec: Specification,
    variable: str,
    at: Mapping[str, object] | None,
    weights: Weights = "equal",
) -> Grid:
    """The same for slopes by a numeric variable, by a central difference.

    Exact for straight lines and parabolas; elsewhere over a five hundredth of the
    range of the data, whose square is what it errs by.
    """
    values = grid_values(recipe, fixed_columns(recipe.formula), at)
    own = values.get(variable)
    if own is None or not all(isinstance(value, int | float) for value in own):
        numbers = [n for n, v in values.items() if not isinstance(v[0], str | bool)]
        raise ModelError(
            f"There is no numeric variable {variable!r} in the fixed part of "
            f"{recipe.formula.text!r}.{nearest_names(variable, numbers)}"
        )
    centre = np.array(own, dtype=float)
    known = recipe.typical.get(variable)
    spread = 0.0 if known is None else known.spread
    step = STEP * (
        spread or float(np.ptp(centre)) or float(np.abs(centre).max()) or 1.0
    )
    above, below = (
        make_grid(
            recipe,
            spec,
            {**(at or {}), variable: (centre + move).tolist()},
            weights,
            variable,
        )
        for move in (step, -step)
    )
    far = (centre + step)[0] - (centre - step)[0]  # what is left of it in doubles
    return Grid(
        spec=spec,
        cells=_cells(spec, values),
        weights=(above.weights - below.weights) / far,
        constants=(above.constants - below.constants) / far,
        held={**above.held, variable: own},
    )


def grid_values(
    recipe: Recipe,
    names: Sequence[str],
    at: Mapping[str, object] | None,
    part: str = "fixed part",
) -> dict[str, Values]:
    """Values of the variables of one part of the formula."""
    given = {} if at is None else dict(at)
    for name in given:
        if name not in names:
            raise ModelError(
                f"at= names {name!r}, which is not in the {part} of "
                f"{recipe.formula.text!r}.{nearest_names(name, names)}"
            )
    found = {}
    for name in names:
        known = _levels(recipe, name)
        if name in given:
            found[name] = _chosen(name, given[name], known)
        elif known is not None:
            found[name] = known
        elif name in recipe.typical:
            found[name] = recipe.typical[name].values
        else:
            raise ModelError(
                f"The mean of {name!r} is not known, as rows were read in batches. "
                f"Give its value: at={{{name!r}: ...}}."
            )
    size = float(np.prod([float(len(own)) for own in found.values()]))
    if size > MOST_ROWS:
        raise ModelError(
            f"The grid of {listed(found)} has {size:.0f} rows. Hold some of them with "
            f"at=."
        )
    return found


def _levels(recipe: Recipe, name: str) -> Values | None:
    """Levels of a predictor that is a factor, as the data have them."""
    formula = recipe.formula
    parts = (formula.fixed, *(bar.predictor for bar in formula.random))
    for atom in (a for part in parts for term in part.terms for a in term.atoms):
        column = recipe.coding.variables[atom.label]
        own = is_whole(atom.node) and atom.columns == (name,)
        if own and isinstance(column, AnyFactor):
            return typed_levels(column)
    return None


def _chosen(name: str, given: object, known: Values | None) -> Values:
    """Values of ``at``, of which one is one; levels must be there."""
    values: tuple[object, ...] = (given,)
    if isinstance(given, Iterable) and not isinstance(given, str | bytes):
        values = tuple(given)
    unwrapped = [v.item() if isinstance(v, np.generic) else v for v in values]
    plain = tuple(v for v in unwrapped if isinstance(v, str | int | float))
    if not plain or len(plain) < len(values):
        raise ModelError(f"at={{{name!r}: {shortened(given)}}} holds no values.")
    if known is not None:
        unknown = [v for v in plain if v not in known]
        if unknown:
            raise ModelError(
                f"{name!r} has no level {unknown[0]!r}."
                f"{nearest_names(unknown[0], known)}"
            )
    elif not all(isinstance(v, int | float) and np.isfinite(v) for v in plain):
        raise ModelError(f"{name!r} is a number, and at= has {shortened(given)}.")
    return plain


def grid_frame(values: Mapping[str, Values]) -> pd.DataFrame:
    """All combinations, one in each row."""
    rows = list(itertools.product(*values.values()))
    columns = zip(*rows, strict=True) if rows and values else ()
    if not values:
        return pd.DataFrame(index=range(1))
    return pd.DataFrame(dict(zip(values, map(list, columns), strict=True)))


def _inside(
    frame: pd.DataFrame, names: Sequence[str], cells: Sequence[Values]
) -> list[np.ndarray]:
    """Rows of the grid in each cell."""
    if not names:
        return [np.arange(len(frame))]
    keys = list(zip(*(frame[name].tolist() for name in names), strict=True))
    where: dict[Values, list[int]] = {}
    for i, key in enumerate(keys):
        where.setdefault(key, []).append(i)
    return [np.array(where[cell]) for cell in cells]


@dataclass(frozen=True, slots=True)
class Pairs:
    """Differences of cells within each combination of the by-variables.

    ``families`` numbers these combinations, ``sizes`` has the number of means in each;
    ``ends`` are the positions of the two cells.
    """

    columns: dict[str, list]
    weights: Float[np.ndarray, "d p"]
    constants: Float[np.ndarray, " d"]
    families: Float[np.ndarray, " d"]
    sizes: Float[np.ndarray, " d"]
    ends: tuple[Int[np.ndarray, " d"], Int[np.ndarray, " d"]]


def cell_columns(grid: Grid) -> dict[str, list]:
    """Values of the variables of each cell, for a table."""
    return {
        name: [cell[i] for cell in grid.cells] for i, name in enumerate(grid.spec.names)
    }


def pair_rows(grid: Grid) -> Pairs:
    """All differences of two cells that agree in the by-variables.

    Raises
    ------
    ModelError
        If there are no two.
    """
    n_of = len(grid.spec.of)
    families: dict[Values, list[int]] = {}
    for i, cell in enumerate(grid.cells):
        families.setdefault(cell[n_of:], []).append(i)
    pairs = [
        (number, by, len(members), one, other)
        for number, (by, members) in enumerate(families.items())
        for one, other in itertools.combinations(members, 2)
    ]
    if not n_of:
        raise ModelError("An overall mean, '1', has nothing to be compared with.")
    if not pairs:
        raise ModelError(
            f"There is one value of {listed(grid.spec.of)} only, so no difference. "
            f"Give several with at=."
        )
    names = [" ".join(str(value) for value in cell[:n_of]) for cell in grid.cells]
    columns: dict[str, list] = {
        "contrast": [f"{names[one]} - {names[other]}" for *_, one, other in pairs]
    }
    for place, name in enumerate(grid.spec.by):
        columns[name] = [by[place] for _, by, *_ in pairs]
    first, second = (np.array([pair[i] for pair in pairs]) for i in (3, 4))
    return Pairs(
        columns=columns,
        weights=grid.weights[first] - grid.weights[second],
        constants=grid.constants[first] - grid.constants[second],
        families=np.array([float(pair[0]) for pair in pairs]),
        sizes=np.array([float(pair[2]) for pair in pairs]),
        ends=(first, second),
    )
